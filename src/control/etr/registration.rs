//! Our registration with one Map-Server, and how far it is.

use core::time::Duration;

use crate::auth::AuthenticationKey;
use crate::retransmission::Retransmission;
use crate::{Instant, MapServerPeer, PeerKey};
use wire::Nonce;

/// A Map-Server that does not acknowledge for so long makes way for the next.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// A Map-Server and our registration there.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its control key.
    pub key: PeerKey,
    /// When it last acknowledged a whole registration.
    pub acknowledged_at: Option<Instant>,
    pub(super) authentication: AuthenticationKey,
    pub(super) state: State,
    /// What a person is to be told of it.
    pub(super) news: Option<News>,
    /// It answered a subscription by a Map-Notify.
    pub(super) is_publisher: bool,
    /// What we changed is acknowledged, and nobody was told yet.
    pub(super) has_acknowledged: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    Registered,
    Lost,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// No session. Until then the next Map-Server is not tried.
    Down { patient_until: Option<Instant> },
    /// A session stands, and another Map-Server is used, not to be left before then.
    Standby { return_at: Option<Instant> },
    /// A register is outstanding.
    Registering(Exchange),
    /// All EID-prefixes are acknowledged.
    Registered { refresh_at: Instant },
}

/// One registration, message by message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// The first mapping of the outstanding message, and how many it has.
    pub(super) part: (usize, usize),
    pub(super) nonce: Nonce,
    pub(super) retransmission: Retransmission,
    /// When the Map-Server counts as silent; `None` once it does.
    pub(super) silent_at: Option<Instant>,
    /// An earlier registration still counts.
    pub(super) is_refresh: bool,
    /// What is registered changed.
    pub(super) is_change: bool,
    /// When a handshake may be asked for again.
    pub(super) handshake_at: Instant,
}

/// Where a registration stands, for status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegistrationState {
    /// No control session.
    Down,
    /// Another Map-Server is used.
    Standby,
    /// A register was sent this many times without an answer.
    Registering(u32),
    /// Acknowledged; refreshed then.
    Registered(Instant),
}

impl Server {
    pub(super) fn new(peer: &MapServerPeer, now: Instant) -> Server {
        Server {
            key: peer.key,
            acknowledged_at: None,
            authentication: peer.authentication.clone(),
            state: State::Down { patient_until: Some(now + PATIENCE) },
            news: None,
            is_publisher: false,
            has_acknowledged: false,
        }
    }

    /// Where our registration stands.
    pub fn state(&self) -> RegistrationState {
        match self.state {
            State::Down { .. } => RegistrationState::Down,
            State::Standby { .. } => RegistrationState::Standby,
            State::Registering(exchange) => {
                RegistrationState::Registering(exchange.retransmission.tries())
            }
            State::Registered { refresh_at } => RegistrationState::Registered(refresh_at),
        }
    }

    /// Whether our EID-prefixes are acknowledged there.
    pub fn is_registered(&self) -> bool {
        match self.state {
            State::Registered { .. } => true,
            State::Registering(exchange) => exchange.is_refresh,
            State::Down { .. } | State::Standby { .. } => false,
        }
    }

    /// Whether less preferred Map-Servers are to be left alone for now.
    pub(super) fn is_hopeful(&self) -> bool {
        match self.state {
            State::Registered { .. } => true,
            State::Registering(exchange) => exchange.is_refresh || exchange.silent_at.is_some(),
            State::Down { patient_until } => patient_until.is_some(),
            State::Standby { .. } => false,
        }
    }

    pub(super) fn note_loss(&mut self) {
        if self.is_registered() {
            self.news = Some(News::Lost);
        }
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        match &self.state {
            State::Down { patient_until } => *patient_until,
            State::Standby { return_at } => *return_at,
            State::Registering(exchange) => {
                let due_at = exchange.retransmission.due_at();
                Some(exchange.silent_at.map_or(due_at, |silent_at| silent_at.min(due_at)))
            }
            State::Registered { refresh_at } => Some(*refresh_at),
        }
    }

    /// Lets deadlines pass.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_past = |at: &Option<Instant>| at.is_some_and(|at| at <= now);
        match &mut self.state {
            State::Down { patient_until: at } | State::Standby { return_at: at } if is_past(at) => {
                *at = None;
            }
            State::Registering(exchange) if is_past(&exchange.silent_at) => {
                exchange.silent_at = None;
                if core::mem::take(&mut exchange.is_refresh) {
                    self.news = Some(News::Lost);
                }
            }
            _ => {}
        }
    }
}
