//! Map-Server and Map-Resolver in one role (RFC 9301 sections 8.2 to 8.4): sites register, ask, and
//! are told of every change of what they hold.
//!
//! A site is one xTR, known by its control key. A record is given out as it was registered: when
//! another site has a more specific prefix inside it, a holder of the first does not learn of the
//! second by itself.

mod counters;
mod deadlines;
mod deliveries;
mod moves;
mod nat;
mod prefix_map;
mod publisher;
mod registration;
mod reload;
mod resolver;
mod rows;
mod site;
mod site_index;
mod status;
#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use wire::MessageType;

use crate::bucket::Rate;
use crate::{Change, Event, Instant, MapServerConfig, PeerKey, Side};

use deadlines::Deadlines;
use prefix_map::PrefixMap;
use resolver::Reply;
use rows::RowSet;
use site::Sites;
use site_index::SiteIndex;

pub use counters::Counters;
pub use rows::MAX_REGISTRATIONS;
pub use status::{HolderStatus, RegistrationStatus, SiteStatus};

/// Octets of the longest message sent or accepted.
pub const MAX_MESSAGE_LEN: usize = 1200;

/// Events of one site: 8 at once, one each 10 s; others are only counted.
const REMARKS: Rate = Rate { burst: 8, interval: Duration::from_secs(10) };

/// What is to be done.
#[allow(clippy::large_enum_variant, reason = "moved once, to the caller")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send the first `len` octets of the buffer to the control peer.
    Transmit {
        /// Its control key.
        peer: PeerKey,
        /// Octets of the message.
        len: usize,
    },
    /// A step for the data plane.
    Change(Change),
    /// Something worth telling.
    Event(Event),
}

/// A Map-Server and Map-Resolver.
#[derive(Debug)]
pub struct MapServer {
    sites: Sites,
    /// Who may claim what.
    configured: PrefixMap<(SiteIndex, usize)>,
    /// Registered EID-prefixes: whose they are, and which row.
    registered: PrefixMap<(SiteIndex, usize)>,
    registration_timeout: Duration,
    boot_counter: u32,
    started_at: Instant,
    deadlines: Deadlines,
    /// When holdings that expired are looked for.
    sweep_at: Option<Instant>,
    changes: VecDeque<Change>,
    /// The answer to a Map-Register or an Info-Request, and whom it is for.
    answer: Vec<u8>,
    answer_to: Option<PeerKey>,
    /// Sites to send pushes and publications to, in order.
    runnable: VecDeque<SiteIndex>,
    replies: VecDeque<Reply>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl MapServer {
    /// A Map-Server whose numbers start at `boot_counter` << 32; nothing is registered yet.
    pub fn new(config: &MapServerConfig, boot_counter: u32, now: Instant) -> MapServer {
        let mut map_server = MapServer {
            sites: Sites::default(),
            configured: PrefixMap::new(),
            registered: PrefixMap::new(),
            registration_timeout: config.registration_timeout,
            boot_counter,
            started_at: now,
            deadlines: Deadlines::default(),
            sweep_at: None,
            changes: VecDeque::with_capacity(config.sites.len()),
            answer: Vec::with_capacity(MAX_MESSAGE_LEN),
            answer_to: None,
            runnable: VecDeque::with_capacity(config.sites.len()),
            replies: VecDeque::with_capacity(resolver::MAX_EIDS),
            events: VecDeque::with_capacity(16),
            counters: Counters::default(),
        };
        map_server.handle_config(config, now);
        map_server
    }

    /// A message out of the control tunnel of `peer`, which is who sends it.
    pub fn handle_datagram(&mut self, peer: PeerKey, datagram: &[u8], now: Instant) {
        let Some(site) = self.sites.configured(peer) else {
            self.counters.unknown_peers += 1;
            return;
        };
        if datagram.len() > MAX_MESSAGE_LEN {
            self.counters.malformed += 1;
            return;
        }
        match wire::message_type(datagram) {
            Ok(MessageType::MapRegister) => self.handle_register(site, datagram, now),
            Ok(MessageType::MapNotifyAck) => self.handle_acknowledgement(site, datagram, now),
            Ok(MessageType::MapRequest) => self.handle_request(site, datagram, now),
            Ok(MessageType::EncapsulatedControl) => self.handle_encapsulated(site, datagram, now),
            Ok(MessageType::Info) => self.handle_info(site, datagram, now),
            _ => self.counters.malformed += 1,
        }
    }

    /// A control session with a site stands (again).
    pub fn handle_control_session(
        &mut self,
        peer: PeerKey,
        endpoint: SocketAddr,
        _side: Side,
        now: Instant,
    ) {
        let Some(site) = self.sites.configured(peer) else { return };
        self.sites[site].has_session = true;
        self.sites[site].session_at = Some(now);
        self.sites[site].deliveries.resume();
        self.enqueue(site);
        self.handle_outer(site, endpoint, now);
    }

    /// A site's control tunnel has a new outer address.
    pub fn handle_control_roamed(&mut self, peer: PeerKey, endpoint: SocketAddr, now: Instant) {
        if let Some(site) = self.sites.configured(peer) {
            self.handle_outer(site, endpoint, now);
        }
    }

    /// A site's control session is lost; its registration stands until it expires.
    pub fn handle_control_lost(&mut self, peer: PeerKey, _now: Instant) {
        if let Some(site) = self.sites.configured(peer) {
            self.sites[site].has_session = false;
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, site)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.end_registrations(site, now);
            self.settle_nat(site, now);
            self.reset_control_peer(site, now);
            if self.sites[site].deliveries.retry_at().is_some_and(|at| at <= now) {
                self.enqueue(site);
            }
            if self.is_forgotten(site) {
                self.remove_site(site);
            } else {
                self.reschedule(site);
            }
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.sweep_holdings(now);
        }
    }

    /// The next step, until there is none: first changes, then answers to registers, pushes, and
    /// Map-Replies, in this order, so that a site asked for knows the asker before the asker knows it.
    ///
    /// # Panics
    /// When `buf` holds fewer than [`MAX_MESSAGE_LEN`] octets.
    pub fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Option<Output> {
        assert!(buf.len() >= MAX_MESSAGE_LEN, "the buffer holds the longest message");
        if let Some(change) = self.changes.pop_front() {
            return Some(Output::Change(change));
        }
        if let Some(peer) = self.answer_to.take() {
            buf[..self.answer.len()].copy_from_slice(&self.answer);
            return Some(Output::Transmit { peer, len: self.answer.len() });
        }
        if let Some((peer, len)) = self.poll_push(now, buf) {
            return Some(Output::Transmit { peer, len });
        }
        if let Some((peer, len)) = self.poll_reply(now, buf) {
            return Some(Output::Transmit { peer, len });
        }
        self.events.pop_front().map(Output::Event)
    }

    /// When to call [`MapServer::handle_timeout`].
    pub fn poll_at(&self) -> Option<Instant> {
        let site_at = self.deadlines.first().map(|(at, _)| at);
        site_at.into_iter().chain(self.sweep_at).min()
    }

    /// Notes an event of a site, unless it had too many; whether it did.
    fn remark(&mut self, site: SiteIndex, event: Event, now: Instant) -> bool {
        let is_noted = self.sites[site].remarks.take(&REMARKS, now);
        if is_noted {
            self.events.push_back(event);
        }
        is_noted
    }

    fn reschedule(&mut self, site: SiteIndex) {
        self.deadlines.set(site, self.sites[site].poll_at());
    }

    /// Takes an EID-prefix from its site; its holders are told by [`MapServer::publish`].
    fn withdraw(&mut self, site: SiteIndex, row: usize, now: Instant) -> RowSet {
        if let Some(registered) = self.sites[site].rows.get(row) {
            let eid_prefix = registered.mapping.eid_prefix;
            self.registered.remove(&eid_prefix);
        }
        self.sites[site].rows.withdraw(row, now);
        1 << row
    }
}
