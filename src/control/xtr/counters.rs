//! What an xTR counted since its start.

use alloc::vec::Vec;

/// One thing that is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counter {
    /// Map-Registers sent, retransmissions too.
    RegistersSent,
    /// Map-Requests sent, retransmissions too.
    RequestsSent,
    /// Map-Replies accepted.
    RepliesAccepted,
    /// Pushes and publications that were new.
    PushesAccepted,
    /// Pushes whose number was seen before or is too old: acknowledged, ignored.
    PushesRepeated,
    /// Records older than what is held: ignored.
    RecordsStale,
    /// Mappings evicted because the map-cache was full.
    MappingsEvicted,
    /// Mappings kept beyond their TTL because no Map-Server could be asked while they carried
    /// traffic.
    MappingsOverstayed,
    /// Records refused: outside the EID-space, or claiming what is ours.
    ClaimsRefused,
    /// Records refused: no locator with a usable key.
    RecordsUnusable,
    /// Mappings refused: the table of data peers is full.
    PeersRefused,
    /// Negative answers ignored because the mapping carries traffic.
    NegativesIgnored,
    /// Misses refused: the source is not ours.
    SourcesRefused,
    /// Misses refused: the destination is outside the EID-space.
    DestinationsRefused,
    /// Misses and `lig` questions refused: too many at once.
    RequestsRefused,
    /// Resolutions that got no answer.
    ResolutionsFailed,
    /// Messages that are no LISP message, or too long.
    MessagesMalformed,
    /// Messages of a type that nobody sends to an xTR, or from a peer that is no Map-Server of ours.
    MessagesUnexpected,
    /// Map-Notifies whose authentication does not verify.
    AuthenticationFailures,
    /// Replies and acknowledgements to nothing outstanding.
    NoncesUnknown,
    /// RLOC-probes sent, repetitions too.
    ProbesSent,
    /// RLOC-probes answered by their peers.
    ProbesAccepted,
    /// Data peers that left a probe and its repetition unanswered.
    ProbesFailed,
    /// RLOC-probes of data peers that we answered.
    ProbesAnswered,
    /// RLOC-probes not answered: about an EID that is not ours, or more than 100/s of all peers or
    /// 20/s of one.
    ProbesRefused,
    /// SMRs sent, repetitions too.
    SolicitsSent,
    /// SMRs that made us ask for a mapping again.
    SolicitsAccepted,
    /// SMRs ignored: too many, or about what does not lead to who sends them.
    SolicitsRefused,
}

const NAMES: [&str; 28] = [
    "registers_sent",
    "requests_sent",
    "replies_accepted",
    "pushes_accepted",
    "pushes_repeated",
    "records_stale",
    "mappings_evicted",
    "mappings_overstayed",
    "claims_refused",
    "records_unusable",
    "peers_refused",
    "negatives_ignored",
    "sources_refused",
    "destinations_refused",
    "requests_refused",
    "resolutions_failed",
    "messages_malformed",
    "messages_unexpected",
    "authentication_failures",
    "nonces_unknown",
    "probes_sent",
    "probes_accepted",
    "probes_failed",
    "probes_answered",
    "probes_refused",
    "solicits_sent",
    "solicits_accepted",
    "solicits_refused",
];

/// The counts, which wrap.
#[derive(Clone, Default, Debug)]
pub struct Counters([u64; NAMES.len()]);

impl Counters {
    /// One more of these.
    pub(crate) fn count(&mut self, counter: Counter) {
        let count = &mut self.0[counter as usize];
        *count = count.wrapping_add(1);
    }

    /// What another table counted.
    pub(crate) fn set(&mut self, counter: Counter, count: u64) {
        self.0[counter as usize] = count;
    }

    /// How many there were.
    pub fn of(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// All counts with their names, in `snake_case`.
    pub fn iter(&self) -> crate::counters::Listed {
        let listed: Vec<_> = NAMES.iter().copied().zip(self.0.iter().copied()).collect();
        listed.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_its_name() {
        let mut counters = Counters::default();
        counters.count(Counter::SolicitsRefused);
        counters.count(Counter::RegistersSent);
        assert_eq!(counters.iter().find(|(_, count)| *count == 1), Some(("registers_sent", 1)));
        assert_eq!(counters.iter().last(), Some(("solicits_refused", 1)));
        assert_eq!(counters.of(Counter::SolicitsRefused), 1);
    }
}
