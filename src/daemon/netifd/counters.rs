//! What is counted on the way to netifd.

/// Numbers since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    /// Connections to ubusd.
    pub(super) connections: u64,
    /// Attempts to connect that failed.
    pub(super) failed_connections: u64,
    /// Connections that ended, whichever side ended them.
    pub(super) lost_connections: u64,
    /// Connections that we ended because what came was no message.
    pub(super) nonsense: u64,
    /// Connections that we ended because an answer did not come.
    pub(super) timeouts: u64,
    /// Messages with malformed attributes or fields.
    pub(super) malformed: u64,
    /// Messages longer than the buffer.
    pub(super) oversized: u64,
    /// Messages that belong to nothing we asked.
    pub(super) unexpected: u64,
    /// Requests that were refused.
    pub(super) refused: u64,
    /// Calls of our object that found no room for an answer.
    pub(super) unanswered: u64,
    /// Calls of the object that is published.
    pub(super) calls: u64,
    /// Those that were wrong, or one too many.
    pub(super) calls_refused: u64,
    /// What subscribers of that object were told.
    pub(super) told: u64,
    /// What there was no room to tell them.
    pub(super) untold: u64,
    /// Notifications.
    pub(super) notifications: u64,
    /// Times all interfaces were asked for.
    pub(super) dumps: u64,
    /// Answers to that without the interfaces.
    pub(super) failed_dumps: u64,
    /// Interfaces that did not fit.
    pub(super) interfaces_refused: u64,
}

impl Counters {
    /// Each number with its name.
    pub(super) fn named(&self) -> control::counters::Listed {
        const NAMES: [&str; 18] = [
            "ubus_connections",
            "ubus_failed_connections",
            "ubus_lost_connections",
            "ubus_nonsense",
            "ubus_timeouts",
            "ubus_malformed",
            "ubus_oversized",
            "ubus_unexpected",
            "ubus_refused",
            "ubus_unanswered",
            "ubus_calls",
            "ubus_calls_refused",
            "ubus_told",
            "ubus_untold",
            "ubus_notifications",
            "ubus_dumps",
            "ubus_failed_dumps",
            "ubus_interfaces_refused",
        ];
        let values = [
            &self.connections,
            &self.failed_connections,
            &self.lost_connections,
            &self.nonsense,
            &self.timeouts,
            &self.malformed,
            &self.oversized,
            &self.unexpected,
            &self.refused,
            &self.unanswered,
            &self.calls,
            &self.calls_refused,
            &self.told,
            &self.untold,
            &self.notifications,
            &self.dumps,
            &self.failed_dumps,
            &self.interfaces_refused,
        ];
        control::counters::listed(&NAMES, &values)
    }
}
