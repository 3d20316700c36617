//! When the same message goes out again inside a control tunnel: 50 ms, doubling to 1 s.

use core::time::Duration;

use crate::Instant;

const FIRST_INTERVAL: Duration = Duration::from_millis(50);
const LAST_INTERVAL: Duration = Duration::from_secs(1);

/// The schedule of one unanswered message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Retransmission {
    tries: u32,
    due_at: Instant,
}

impl Retransmission {
    /// The first transmission is due at `due_at`.
    pub(crate) fn starting_at(due_at: Instant) -> Retransmission {
        Retransmission { tries: 0, due_at }
    }

    /// Whether the next transmission, or the verdict after the last one, is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due_at <= now
    }

    pub(crate) fn due_at(&self) -> Instant {
        self.due_at
    }

    /// How many times the message was sent.
    pub(crate) fn tries(&self) -> u32 {
        self.tries
    }

    /// Notes a transmission.
    pub(crate) fn sent(&mut self, now: Instant) {
        // More would be beyond the last one in any case.
        let doublings = self.tries.min(5);
        self.due_at = now + (FIRST_INTERVAL * (1 << doublings)).min(LAST_INTERVAL);
        self.tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_double_from_50_ms_to_1_s() {
        let mut retransmission = Retransmission::starting_at(Instant::ZERO);
        let mut sent_at = [0; 8];
        for at in &mut sent_at {
            let now = retransmission.due_at();
            assert!(retransmission.is_due(now));
            *at = now.as_micros() / 1000;
            retransmission.sent(now);
        }
        assert_eq!(sent_at, [0, 50, 150, 350, 750, 1550, 2550, 3550]);
        assert_eq!(retransmission.tries(), 8);
    }
}
