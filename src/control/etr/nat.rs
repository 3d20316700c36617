//! Finds out whether a NAT stands before us (draft-ermagan-lisp-nat-traversal), and keeps its
//! binding towards the Map-Server.

use core::net::SocketAddr;
use core::time::Duration;

use super::database::Database;
use crate::random::Random;
use crate::retransmission::Retransmission;
use crate::{Change, Event, Instant, PeerKey};
use wire::Nonce;

/// Interval of the empty packets that keep a NAT binding.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(25);

/// Transmissions of one Info-Request; a Map-Server that never answers leaves us as we are.
const MAX_TRIES: u32 = 6;

/// What we know of the NAT before us.
pub(crate) struct Nat {
    state: State,
    outer: Option<SocketAddr>,
    is_behind: bool,
    is_news: bool,
    /// The control tunnel whose binding the data plane keeps.
    kept: Option<PeerKey>,
}

enum State {
    Idle,
    Asking { map_server: PeerKey, nonce: Nonce, asked_at: Instant, retransmission: Retransmission },
}

impl Nat {
    pub(crate) const fn new() -> Nat {
        Nat { state: State::Idle, outer: None, is_behind: false, is_news: false, kept: None }
    }

    /// Whether the Map-Server sees us under an address that is none of our RLOCs.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// The address that the Map-Server last saw us under.
    pub(crate) fn outer(&self) -> Option<SocketAddr> {
        self.outer
    }

    /// Asks this Map-Server what it sees, instead of what was asked before.
    pub(crate) fn ask(&mut self, map_server: PeerKey, random: &mut Random, now: Instant) {
        let nonce = Nonce(random.next_u64());
        let retransmission = Retransmission::starting_at(now);
        self.state = State::Asking { map_server, nonce, asked_at: now, retransmission };
    }

    /// The Map-Server's answer, and how long it took since it was first asked; nothing when it
    /// answers nothing outstanding.
    pub(crate) fn handle_reply(
        &mut self,
        peer: PeerKey,
        answer: Nonce,
        outer: SocketAddr,
        database: &Database,
        now: Instant,
    ) -> Option<Duration> {
        let State::Asking { map_server, nonce, asked_at, .. } = self.state else { return None };
        if (map_server, nonce) != (peer, answer) {
            return None;
        }
        self.state = State::Idle;
        let is_behind = !database.is_own_rloc(outer.ip());
        self.is_news = is_behind && (!self.is_behind || self.outer != Some(outer));
        self.is_behind = is_behind;
        self.outer = Some(outer);
        Some(now - asked_at)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let State::Asking { retransmission, .. } = self.state
            && retransmission.tries() >= MAX_TRIES
            && retransmission.is_due(now)
        {
            self.state = State::Idle;
        }
    }

    /// The keepalive of the control tunnel to `used`, the Map-Server in use, and of no other.
    pub(crate) fn poll_change(&mut self, used: Option<&PeerKey>) -> Option<Change> {
        let wanted = used.filter(|_| self.is_behind);
        if self.kept.as_ref() == wanted {
            return None;
        }
        match self.kept.take() {
            Some(kept) => Some(Change::SetControlKeepalive(kept, None)),
            None => {
                self.kept = wanted.copied();
                wanted.map(|wanted| Change::SetControlKeepalive(*wanted, Some(KEEPALIVE)))
            }
        }
    }

    /// The Info-Request that is due: to whom and with which nonce.
    pub(crate) fn poll_request(&mut self, now: Instant) -> Option<(PeerKey, Nonce)> {
        match &mut self.state {
            State::Asking { map_server, nonce, retransmission, .. }
                if retransmission.is_due(now) =>
            {
                retransmission.sent(now);
                Some((*map_server, *nonce))
            }
            _ => None,
        }
    }

    pub(crate) fn poll_event(&mut self, site: PeerKey) -> Option<Event> {
        let outer = self.outer.filter(|_| core::mem::take(&mut self.is_news))?;
        Some(Event::BehindNat { site, outer })
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        match self.state {
            State::Idle => None,
            State::Asking { retransmission, .. } => Some(retransmission.due_at()),
        }
    }
}
