//! What happened, as numbers.

crate::counters! {
    /// Counts since the start.
    ;
    /// Messages from a peer that is no configured site.
    unknown_peers,
    /// Messages that are none, or of a type that is not for a Map-Server.
    malformed,
    /// Map-Registers accepted.
    registers_accepted,
    /// Map-Registers received again as they were, and acknowledged again.
    registers_duplicate,
    /// Map-Registers, and acknowledgements, with a wrong MAC or none.
    authentication_failures,
    /// Map-Registers that are not newer than the last one.
    registers_replayed,
    /// Map-Registers that do not ask for proxy replies, the only way of answering here.
    registers_without_proxy_reply,
    /// Map-Registers beyond 64 at once and 16/s of one site.
    registers_over_rate,
    /// EID-prefixes claimed that configuration does not give the site.
    claims_refused,
    /// Records of Map-Registers that are no IP prefix or have no usable locator.
    records_unusable,
    /// Locators left out of the records of Map-Registers.
    locators_unusable,
    /// EID-prefixes beyond 32 of one site.
    registrations_over_limit,
    /// EID-prefixes withdrawn by their sites.
    withdrawals,
    /// EID-prefixes whose registration was not refreshed in time.
    registrations_expired,
    /// Map-Requests answered with a mapping.
    requests_answered,
    /// Of these, answered by a Map-Notify, because they subscribe (RFC 9437).
    subscriptions_answered,
    /// Map-Requests that withdraw a subscription.
    subscriptions_withdrawn,
    /// Answers to subscriptions that were acknowledged.
    answers_acknowledged,
    /// Map-Requests answered by a negative Map-Reply.
    negative_replies,
    /// Map-Requests left unanswered: the site may register at any moment.
    requests_unanswered,
    /// Map-Requests whose source EID is not registered.
    requests_from_unregistered,
    /// Map-Requests whose source EID is another site's.
    requests_from_foreign_source,
    /// Map-Requests beyond 256 at once and 100/s of one site.
    requests_over_rate,
    /// Map-Requests of a kind not answered here: probes, SMRs, no IP address, beyond 8 EIDs.
    requests_unsupported,
    /// Pushes and publications sent for the first time.
    pushes_sent,
    /// Pushes and publications sent again.
    pushes_retransmitted,
    /// Pushes and publications acknowledged.
    pushes_acknowledged,
    /// Pushes and publications that went unanswered 20 times.
    pushes_given_up,
    /// Acknowledgements of nothing that is outstanding.
    acknowledgements_unmatched,
    /// Info-Requests answered.
    info_requests_answered,
    /// Info-Requests beyond 16 at once and 10/s of one site, or whose outer address is not known.
    info_requests_refused,
}
