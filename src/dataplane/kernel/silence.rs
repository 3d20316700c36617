//! What the kernel's counters tell of one data peer: since when it has left packets unanswered.

use control::{Duration, Instant};
use linux::netlink::wireguard;

/// Octets of an empty packet over UDP.
pub(super) const KEEPALIVE_LEN: u64 = 32;

/// What came is answered by one of them after so many seconds (WireGuard paper, section 6.5).
const PASSIVE_INTERVAL: u64 = 10;

/// What a handshake's messages have beyond an empty packet.
const INITIATION_MORE: u64 = 148 - KEEPALIVE_LEN;
const RESPONSE_MORE: u64 = 92 - KEEPALIVE_LEN;

/// Octets of messages of ours that the kernel will count, beyond those of empty packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    octets: u64,
    sent_at: Instant,
}

impl Own {
    pub(super) fn add(&mut self, octets: u64, now: Instant) {
        self.octets += octets;
        self.sent_at = now;
    }

    /// What else there is in `octets`. The kernel has counted by now what was sent before the
    /// last look.
    pub(super) fn subtract_from(&mut self, octets: u64, looked_at: Instant) -> u64 {
        let rest = octets.saturating_sub(self.octets);
        self.octets = self.octets.saturating_sub(octets);
        if self.sent_at <= looked_at {
            self.octets = 0;
        }
        rest
    }
}

/// Since when packets to a peer are not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Unanswered {
    #[default]
    Nothing,
    /// Perhaps since then: it is not sure whose packets went, or whether they were answered.
    Maybe(Instant),
    Since(Instant),
}

/// What is known of one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Silence {
    pub(super) unanswered: Unanswered,
    /// When packets last went out or came in.
    pub(super) moved_at: Option<Instant>,
    /// When its present path began.
    path_at: Instant,
    /// As the kernel told last.
    rx: u64,
    tx: u64,
    pub(super) own: Own,
}

impl Silence {
    /// What went out until now took another path, or belonged to another session.
    pub(super) fn handle_path(&mut self, now: Instant) {
        self.unanswered = Unanswered::Nothing;
        self.path_at = now;
    }

    /// The peer was made anew: the kernel counts from zero.
    pub(super) fn forget(&mut self) {
        *self = Silence { path_at: self.path_at, ..Silence::default() };
    }

    /// Since when packets are perhaps not answered.
    pub(super) fn open_since(&self) -> Option<Instant> {
        match self.unanswered {
            Unanswered::Nothing => None,
            Unanswered::Maybe(at) | Unanswered::Since(at) => Some(at),
        }
    }

    /// Takes note of what moved, all of it this peer's for all that is known.
    pub(super) fn note(&mut self, has_sent: bool, has_received: bool, is_sure: bool, span: &Span) {
        if has_sent || has_received {
            self.moved_at = Some(span.now);
        }
        if has_received {
            self.unanswered = Unanswered::Nothing;
        } else if has_sent {
            let since = self.open_since().unwrap_or(span.since.max(self.path_at));
            self.unanswered = match is_sure {
                true => Unanswered::Since(since),
                false => Unanswered::Maybe(since),
            };
        }
    }

    /// Takes note of what the kernel tells, `passed` after it was last asked; it sends an empty
    /// packet in `persistent` seconds, unless that is 0.
    pub(super) fn handle_survey(
        &mut self,
        told: &wireguard::Peer,
        persistent: u16,
        passed: Duration,
        span: &Span,
    ) {
        let (rx, tx) = (told.rx_octets, told.tx_octets);
        let is_anew = rx < self.rx || tx < self.tx;
        let received = if is_anew { 0 } else { rx - self.rx };
        let sent = if is_anew { 0 } else { tx - self.tx };
        (self.rx, self.tx) = (rx, tx);
        let seconds = passed.as_secs();
        let persistent = seconds.checked_div(persistent.into()).unwrap_or(0);
        let keepalives = KEEPALIVE_LEN * (1 + seconds / PASSIVE_INTERVAL + persistent);
        let sent = self.own.subtract_from(sent.saturating_sub(keepalives), span.looked_at);
        let (has_sent, has_received) = (is_data(sent), received > 0);
        if !has_received || span.is_fresh || span.has_received {
            self.note(has_sent, has_received, true, span);
            if !has_sent && matches!(self.unanswered, Unanswered::Maybe(_)) {
                self.unanswered = Unanswered::Nothing;
            }
            return;
        }
        // What came did so before the last look; what went did so before or after it.
        self.moved_at = Some(span.now);
        let since = self.open_since().filter(|at| *at >= span.heard_at);
        self.unanswered = match since {
            _ if !has_sent => Unanswered::Nothing,
            Some(at) => Unanswered::Since(at),
            None => Unanswered::Maybe(span.since.max(self.path_at)),
        };
    }
}

/// The time between two looks at an interface.
pub(super) struct Span {
    pub(super) looked_at: Instant,
    /// Its later part, when it was longer than meant.
    pub(super) since: Instant,
    pub(super) now: Instant,
    /// Whether packets went out, of hosts.
    pub(super) has_sent: bool,
    /// Whether anything came in.
    pub(super) has_received: bool,
    /// When something came in before.
    pub(super) heard_at: Instant,
    /// Whether the kernel was asked about the peers since then.
    pub(super) is_fresh: bool,
}

/// Whether octets beyond those of empty packets are more than a handshake's.
pub(super) fn is_data(octets: u64) -> bool {
    !matches!(octets, 0 | INITIATION_MORE | RESPONSE_MORE)
}
