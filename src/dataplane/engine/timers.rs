//! The timers of one WireGuard session (WireGuard paper, section 6).

use control::{Duration, Instant, Side};

/// An initiator renews its keys when it sends after this age of the session.
const REKEY_AFTER: Duration = Duration::from_secs(120);
/// No key is used beyond this age.
const REJECT_AFTER: Duration = Duration::from_secs(180);
/// Data received is answered within this time, by an empty packet when nothing else goes.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A handshake is repeated after this time in WireGuard proper; here it only adds to others.
const REKEY_TIMEOUT: Duration = Duration::from_secs(5);

/// A session that stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Session {
    pub(super) side: Side,
    pub(super) established_at: Instant,
}

/// Deadlines of one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Timers {
    pub(super) session: Option<Session>,
    /// Data came in and nothing went out since: an empty packet is due then.
    keepalive_at: Option<Instant>,
    /// Data went out and nothing came in since: a handshake is due then.
    unanswered_at: Option<Instant>,
    /// A packet went out and nothing came in since: the peer counts as silent then.
    silent_at: Option<Instant>,
    /// When the session is too old.
    expires_at: Option<Instant>,
    persistent_keepalive: Option<Duration>,
    persistent_at: Option<Instant>,
    /// The last authenticated packet in either direction.
    pub(super) active_at: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// The session's age ends it.
    Expiry,
    /// The peer has been silent for too long.
    Handshake,
    /// The peer left packets unanswered for the time that is to be told.
    Silence,
    /// An empty packet.
    Keepalive,
}

impl Timers {
    /// A packet went out; says whether the session wants new keys.
    pub(super) fn handle_sent(&mut self, is_data: bool, now: Instant) -> bool {
        self.keepalive_at = None;
        self.persistent_at = self.persistent_keepalive.map(|interval| now + interval);
        self.active_at = Some(now);
        if is_data && self.unanswered_at.is_none() {
            self.unanswered_at = Some(now + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT);
        }
        self.is_old(REKEY_AFTER, now)
    }

    /// A packet of a host went out; the peer is silent when nothing comes for the time `silence`.
    pub(super) fn handle_forwarded(&mut self, silence: Duration, now: Instant) {
        if self.silent_at.is_none() && silence > Duration::ZERO {
            self.silent_at = Some(now + silence);
        }
    }

    /// What went out until now took another path: it says nothing about the one from now on.
    pub(super) fn handle_path(&mut self) {
        self.silent_at = None;
    }

    /// Whether data went out and nothing came in since.
    pub(super) fn is_unanswered(&self) -> bool {
        self.unanswered_at.is_some()
    }

    /// An authentic packet came in; says whether the session wants new keys.
    pub(super) fn handle_received(&mut self, is_data: bool, now: Instant) -> bool {
        (self.unanswered_at, self.silent_at) = (None, None);
        self.active_at = Some(now);
        if is_data && self.keepalive_at.is_none() {
            self.keepalive_at = Some(now + KEEPALIVE_TIMEOUT);
        }
        self.is_old(REJECT_AFTER - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT, now)
    }

    /// A session stands from now on.
    pub(super) fn handle_session(&mut self, side: Side, now: Instant) {
        self.session = Some(Session { side, established_at: now });
        self.expires_at = Some(now + REJECT_AFTER);
        (self.unanswered_at, self.silent_at) = (None, None);
    }

    /// The session ended; only the keepalives that need none go on.
    pub(super) fn handle_loss(&mut self, now: Instant) {
        *self = Timers {
            persistent_keepalive: self.persistent_keepalive,
            persistent_at: self.persistent_keepalive.map(|interval| now + interval),
            active_at: self.active_at,
            ..Timers::default()
        };
    }

    /// The tunnel still has keys at the session's end, newer ones than ours: look again soon.
    pub(super) fn extend(&mut self, now: Instant) {
        self.expires_at = Some(now + Duration::from_secs(1));
    }

    /// Sets the interval of unconditional keepalives; the first is due at once, as in the kernel.
    pub(super) fn set_persistent_keepalive(&mut self, interval: Option<Duration>, now: Instant) {
        let interval = interval.map(|interval| interval.max(Duration::from_secs(1)));
        if interval != self.persistent_keepalive {
            self.persistent_keepalive = interval;
            self.persistent_at = interval.map(|_| now);
        }
    }

    /// When `poll_due` has something to say.
    pub(super) fn poll_at(&self) -> Option<Instant> {
        let expiry = [self.expires_at, self.unanswered_at, self.silent_at];
        expiry.into_iter().chain([self.keepalive_at, self.persistent_at]).flatten().min()
    }

    /// The next thing that is due; its timer is stopped or, where it repeats, moved on.
    pub(super) fn poll_due(&mut self, now: Instant) -> Option<Due> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.expires_at) {
            self.expires_at = None;
            return Some(Due::Expiry);
        }
        if is_due(self.unanswered_at) {
            self.unanswered_at = None;
            return Some(Due::Handshake);
        }
        if is_due(self.silent_at) {
            self.silent_at = None;
            return Some(Due::Silence);
        }
        if is_due(self.persistent_at) {
            self.persistent_at = self.persistent_keepalive.map(|interval| now + interval);
            return Some(Due::Keepalive);
        }
        if is_due(self.keepalive_at) {
            self.keepalive_at = None;
            return Some(Due::Keepalive);
        }
        None
    }

    fn is_old(&self, age: Duration, now: Instant) -> bool {
        self.session.is_some_and(|session| {
            session.side == Side::Initiator && now - session.established_at >= age
        })
    }
}
