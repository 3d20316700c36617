//! Keeps us registered with a Map-Server (RFC 9301 section 8.2).
//!
//! Of several Map-Servers the first that acknowledges is used. One that is silent for 3 s, or
//! whose tunnel is lost, makes way for the next while it is still tried. Going back: a better one
//! whose session stood for 10 s is registered with first, and used from its acknowledgement on;
//! the registration with the other one is then left to expire, so that nobody who still asks
//! there is told that we are gone.

use core::time::Duration;

use super::registration::{Exchange, News, PATIENCE, Server, State};
use crate::auth::AuthenticationKey;
use crate::random::Random;
use crate::retransmission::Retransmission;
use crate::{Change, Event, Instant, MapServerPeer, PeerKey, Side};
use wire::Nonce;

/// Map-Servers that one xTR knows; further ones of a configuration are left out.
pub const MAX_MAP_SERVERS: usize = 8;

/// How long the session of a better Map-Server stands before we go back to it.
const RETURN_DELAY: Duration = Duration::from_secs(10);

/// Unanswered transmissions after which a new handshake is asked for as well.
const TRIES_BEFORE_HANDSHAKE: u32 = 4;

/// Handshakes are asked for at most this often.
const HANDSHAKE_INTERVAL: Duration = Duration::from_secs(1);

/// Refreshes come up to so many percent early, lest many xTRs do it together.
const JITTER_PERCENT: u32 = 10;

/// Set in the lower half of our nonces; pushes of a Map-Server count from 0 there, so that one is
/// never taken for the acknowledgement of a register, nor a late answer to a subscription for one.
const OWN_BIT: u32 = 0x8000_0000;

/// Whether a Map-Notify's nonce is one that we chose.
pub(crate) fn is_own(nonce: Nonce) -> bool {
    nonce.0 & u64::from(OWN_BIT) != 0
}

/// A nonce that is known as ours.
pub(crate) fn own(number: u64) -> Nonce {
    Nonce(number | u64::from(OWN_BIT))
}

/// The registrations with all our Map-Servers, the preferred one first.
pub(crate) struct Registrar {
    servers: heapless::Vec<Server, MAX_MAP_SERVERS>,
    boot_counter: u32,
    sequence: u32,
    used: Option<PeerKey>,
    interval: Duration,
}

/// A register to be sent.
pub(crate) struct Register<'a> {
    pub(crate) map_server: PeerKey,
    pub(crate) authentication: &'a AuthenticationKey,
    pub(crate) nonce: Nonce,
    /// Its first mapping.
    pub(crate) first: usize,
}

impl Registrar {
    pub(crate) fn new(
        map_servers: &[MapServerPeer],
        boot_counter: u32,
        interval: Duration,
        now: Instant,
    ) -> Registrar {
        let servers = map_servers.iter().take(MAX_MAP_SERVERS);
        Registrar {
            servers: servers.map(|peer| Server::new(peer, now)).collect(),
            boot_counter,
            sequence: OWN_BIT,
            used: None,
            interval,
        }
    }

    /// Takes a new list over: Map-Servers that stay keep their state.
    pub(crate) fn handle_config(
        &mut self,
        map_servers: &[MapServerPeer],
        interval: Duration,
        now: Instant,
    ) {
        let old = core::mem::take(&mut self.servers);
        let keep = |peer: &MapServerPeer| match old.iter().find(|server| server.key == peer.key) {
            Some(server) if server.authentication == peer.authentication => server.clone(),
            // The session stands as it did, the registration begins anew.
            Some(server) if !matches!(server.state, State::Down { .. }) => {
                Server { state: State::Standby { return_at: None }, ..Server::new(peer, now) }
            }
            _ => Server::new(peer, now),
        };
        self.servers = map_servers.iter().take(MAX_MAP_SERVERS).map(keep).collect();
        self.interval = interval;
    }

    /// The Map-Server that acknowledges our registration and is used for everything.
    pub(crate) fn used(&self) -> Option<&PeerKey> {
        self.used.as_ref()
    }

    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The Map-Server answered a subscription as one that publishes does (RFC 9437).
    pub(crate) fn note_publisher(&mut self, key: PeerKey) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.key == key) {
            server.is_publisher = true;
        }
    }

    /// Whether this Map-Server tells of changes those who hold our mappings.
    pub(crate) fn is_publisher(&self, key: PeerKey) -> bool {
        self.servers.iter().any(|server| server.key == key && server.is_publisher)
    }

    /// What authenticates the messages of this Map-Server.
    pub(crate) fn authentication(&self, key: PeerKey) -> Option<&AuthenticationKey> {
        self.servers.iter().find(|server| server.key == key).map(|server| &server.authentication)
    }

    /// A control session stands; true when it is a new beginning: the first one after a loss, or
    /// one that the Map-Server initiated, because it restarted.
    pub(crate) fn handle_session(&mut self, key: PeerKey, side: Side, now: Instant) -> bool {
        let Some(place) = self.servers.iter().position(|server| server.key == key) else {
            return false;
        };
        let state = match self.servers[place].state {
            State::Down { .. } => State::Standby { return_at: Some(now + RETURN_DELAY) },
            State::Registering(exchange) if side == Side::Responder => {
                let fresh = self.exchange(exchange.is_refresh, now);
                State::Registering(Exchange { is_change: exchange.is_change, ..fresh })
            }
            State::Registered { .. } if side == Side::Responder => {
                State::Registering(self.exchange(true, now))
            }
            _ => return false,
        };
        self.servers[place].state = state;
        true
    }

    /// The tunnel is lost.
    pub(crate) fn handle_lost(&mut self, key: PeerKey) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.key == key) {
            server.note_loss();
            server.state = State::Down { patient_until: None };
        }
    }

    /// What is registered has changed: it is registered anew, an outstanding register forgotten.
    pub(crate) fn restart(&mut self, now: Instant) {
        for place in 0..self.servers.len() {
            let is_refresh = match self.servers[place].state {
                State::Registering(exchange) => exchange.is_refresh,
                State::Registered { .. } => true,
                State::Down { .. } | State::Standby { .. } => continue,
            };
            let fresh = self.exchange(is_refresh, now);
            self.servers[place].state = State::Registering(Exchange { is_change: true, ..fresh });
        }
    }

    /// Whether this nonce belongs to an outstanding register.
    pub(crate) fn is_outstanding(&self, key: PeerKey, answer: Nonce) -> bool {
        self.servers.iter().any(|server| {
            server.key == key
                && matches!(server.state, State::Registering(exchange)
                    if exchange.nonce == answer && exchange.retransmission.tries() > 0)
        })
    }

    /// An acknowledgement that verified; true when it is the last one of a registration of
    /// `len` mappings.
    pub(crate) fn handle_acknowledgement(
        &mut self,
        key: PeerKey,
        len: usize,
        random: &mut Random,
        now: Instant,
    ) -> bool {
        let Some(place) = self.servers.iter().position(|server| server.key == key) else {
            return false;
        };
        let State::Registering(exchange) = self.servers[place].state else { return false };
        let next = exchange.part.0 + exchange.part.1;
        if next < len {
            let part = (next, 0);
            let fresh = self.exchange(exchange.is_refresh, now);
            let is_change = exchange.is_change;
            self.servers[place].state = State::Registering(Exchange { part, is_change, ..fresh });
            return false;
        }
        let server = &mut self.servers[place];
        if !exchange.is_refresh {
            server.news = Some(News::Registered);
        }
        server.has_acknowledged = exchange.is_change;
        server.acknowledged_at = Some(now);
        let interval = random.shortened(self.interval, JITTER_PERCENT);
        server.state = State::Registered { refresh_at: now + interval };
        true
    }

    /// Begins what is due; `can_register` says that there are EID-prefixes and RLOCs. Tells which
    /// Map-Server we begin to register with.
    pub(crate) fn handle_timeout(&mut self, can_register: bool, now: Instant) -> Option<PeerKey> {
        for place in 0..self.servers.len() {
            self.servers[place].expire(now);
            self.servers[place].state = match self.servers[place].state {
                State::Registered { refresh_at } if refresh_at <= now && can_register => {
                    State::Registering(self.exchange(true, now))
                }
                State::Registered { refresh_at } if refresh_at <= now => {
                    State::Registered { refresh_at: now + self.interval }
                }
                State::Registering(_) if !can_register => {
                    self.servers[place].note_loss();
                    State::Standby { return_at: None }
                }
                _ => continue,
            };
        }
        let begun = self.choose(can_register, now);
        self.used = self.servers.iter().find(|server| server.is_registered()).map(|used| used.key);
        begun
    }

    /// Registers with the first Map-Server that answers, and with it alone.
    fn choose(&mut self, can_register: bool, now: Instant) -> Option<PeerKey> {
        let (mut is_hope, mut is_registered, mut begun) = (false, false, None);
        for place in 0..self.servers.len() {
            let is_other_used =
                self.servers[place + 1..].iter().any(|server| server.is_registered());
            match self.servers[place].state {
                State::Standby { return_at }
                    if can_register && !is_hope && (return_at.is_none() || !is_other_used) =>
                {
                    begun = Some(self.servers[place].key);
                    self.servers[place].state = State::Registering(self.exchange(false, now));
                }
                State::Registered { .. } | State::Registering(_) if is_registered => {
                    self.servers[place].state = State::Standby { return_at: None };
                }
                _ => {}
            }
            is_hope |= self.servers[place].is_hopeful();
            is_registered |= self.servers[place].is_registered();
        }
        begun
    }

    /// A handshake to be asked for, because registers go unanswered.
    pub(crate) fn poll_change(&mut self, now: Instant) -> Option<Change> {
        self.servers.iter_mut().find_map(|server| match &mut server.state {
            State::Registering(exchange)
                if exchange.retransmission.tries() >= TRIES_BEFORE_HANDSHAKE
                    && exchange.retransmission.is_due(now)
                    && exchange.handshake_at <= now =>
            {
                exchange.handshake_at = now + HANDSHAKE_INTERVAL;
                Some(Change::InitiateControl(server.key))
            }
            _ => None,
        })
    }

    /// The next register that is due.
    pub(crate) fn poll_register(&self, now: Instant) -> Option<Register<'_>> {
        self.servers.iter().find_map(|server| match &server.state {
            State::Registering(exchange) if exchange.retransmission.is_due(now) => Some(Register {
                map_server: server.key,
                authentication: &server.authentication,
                nonce: exchange.nonce,
                first: exchange.part.0,
            }),
            _ => None,
        })
    }

    /// The register to `key` was sent with this many mappings.
    pub(crate) fn sent(&mut self, key: PeerKey, mappings: usize, now: Instant) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.key == key)
            && let State::Registering(exchange) = &mut server.state
        {
            exchange.part.1 = mappings;
            exchange.retransmission.sent(now);
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.servers.iter_mut().find_map(|server| {
            let map_server = server.key;
            match server.news.take() {
                Some(News::Registered) => Some(Event::Registered { map_server }),
                Some(News::Lost) => Some(Event::RegistrationLost { map_server }),
                None => core::mem::take(&mut server.has_acknowledged)
                    .then_some(Event::RegisterAcknowledged { map_server }),
            }
        })
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.servers.iter().filter_map(Server::due_at).min()
    }

    fn exchange(&mut self, is_refresh: bool, now: Instant) -> Exchange {
        self.sequence = self.sequence.wrapping_add(1) | OWN_BIT;
        Exchange {
            part: (0, 0),
            nonce: Nonce(u64::from(self.boot_counter) << 32 | u64::from(self.sequence)),
            retransmission: Retransmission::starting_at(now),
            silent_at: Some(now + PATIENCE),
            is_refresh,
            is_change: !is_refresh,
            handshake_at: now,
        }
    }
}
