//! The xTR: an ITR and an ETR over one database (RFC 9301 section 3).
//!
//! A mobile node is one whose EID-prefixes are host addresses of its own.

pub(crate) mod counters;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;

pub use crate::etr::database::MAX_EID_PREFIXES;
pub use crate::etr::registrar::MAX_MAP_SERVERS;
pub use crate::etr::registration::{RegistrationState, Server};
pub use crate::itr::map_cache_entry::MapCacheEntry;
pub use crate::itr::resolver::{Progress, Request};
pub use counters::{Counter, Counters};

use crate::etr::{Etr, Notify};
use crate::itr::{Context, Itr, WayOut, is_plea};
use crate::output::Output;
use crate::{
    Config, Eid, EidPrefix, Forwarding, Instant, Locators, Mapping, PeerKey, Side, Uplink,
    XtrConfig, earliest,
};
use wire::{Message, MessageType};

/// Octets of the longest message taken; those we send are shorter.
pub const MAX_MESSAGE: usize = crate::etr::responder::MAX_MESSAGE;

/// An xTR. One input, then [`Xtr::poll_output`] until [`Output::Wait`].
pub struct Xtr {
    itr: Itr,
    etr: Etr,
    counters: Counters,
}

impl Xtr {
    /// An xTR without RLOCs and sessions yet; all of its memory is allocated here.
    pub fn new(config: &Config, xtr: &XtrConfig, now: Instant) -> Xtr {
        Xtr {
            itr: Itr::new(config, xtr),
            etr: Etr::new(config, xtr, now),
            counters: Counters::default(),
        }
    }

    /// A message out of the control tunnel of `peer`.
    pub fn handle_datagram(&mut self, peer: PeerKey, datagram: &[u8], now: Instant) {
        if self.etr.registrar.authentication(peer).is_none() {
            return self.counters.count(Counter::MessagesUnexpected);
        }
        match Message::parse(datagram) {
            _ if datagram.len() > MAX_MESSAGE => self.counters.count(Counter::MessagesMalformed),
            Err(_) => self.counters.count(Counter::MessagesMalformed),
            Ok(Message::MapReply(reply)) => {
                let (itr, mut context) = self.split();
                if itr.handle_answer(peer, reply.nonce, &reply.records, &mut context, now) {
                    self.etr.handle_heard(peer, now);
                }
            }
            Ok(Message::MapNotify(notify)) if notify.message_type() == MessageType::MapNotify => {
                self.handle_notify(peer, &notify, datagram, now);
            }
            Ok(Message::Info(info)) if info.is_reply => {
                if !self.etr.handle_info_reply(peer, &info, now) {
                    self.counters.count(Counter::NoncesUnknown);
                }
            }
            Ok(_) => self.counters.count(Counter::MessagesUnexpected),
        }
        self.handle_timeout(now);
    }

    fn handle_notify(
        &mut self,
        peer: PeerKey,
        notify: &wire::MapNotify<'_>,
        datagram: &[u8],
        now: Instant,
    ) {
        let is_answer = self.itr.resolver.outstanding(peer, notify.nonce).is_some();
        let counters = &mut self.counters;
        match self.etr.handle_notify(peer, notify, datagram, is_answer, counters, now) {
            Notify::Push(version) => {
                let (itr, mut context) = self.split();
                itr.handle_push(&notify.records, version, &mut context, now);
            }
            Notify::Answer => {
                let (itr, mut context) = self.split();
                itr.handle_answer(peer, notify.nonce, &notify.records, &mut context, now);
            }
            Notify::Unpublished => {
                for place in 0..self.itr.map_cache.peers.len() {
                    if let Some(peer) = self.itr.map_cache.peers.live_at(place, now) {
                        self.etr.solicit(peer, now);
                    }
                }
            }
            Notify::Done => {}
        }
    }

    /// An earlier run left this in the data plane; see [`crate::Node::handle_adopted`].
    pub fn handle_adopted(
        &mut self,
        eid_prefix: EidPrefix,
        forwarding: Forwarding,
        peers: &[(u8, PeerKey, Option<SocketAddr>)],
        now: Instant,
    ) -> bool {
        let is_taken =
            self.itr.handle_adopted((eid_prefix, forwarding), peers, &self.etr.database, now);
        self.handle_timeout(now);
        is_taken
    }

    /// A packet has no route.
    pub fn handle_miss(&mut self, source: Eid, destination: Eid, now: Instant) {
        let (itr, mut context) = self.split();
        itr.handle_miss(source, destination, &mut context, now);
        self.handle_timeout(now);
    }

    /// A control session with a Map-Server stands (again).
    pub fn handle_control_session(&mut self, peer: PeerKey, side: Side, now: Instant) {
        self.etr.handle_session(peer, side, now);
        if side == Side::Responder && self.etr.registrar.used() == Some(&peer) {
            // It restarted, and forgot that we hold what it is to tell us the changes of.
            self.itr.map_cache.doubt_live(now);
        }
        self.handle_timeout(now);
    }

    /// The control session with a Map-Server is lost.
    pub fn handle_control_lost(&mut self, peer: PeerKey, now: Instant) {
        self.etr.handle_lost(peer);
        self.handle_timeout(now);
    }

    /// Data was received from a data peer, or it answered what was sent to it.
    pub fn handle_traffic(&mut self, peer: PeerKey, now: Instant) {
        self.itr.handle_traffic(peer, now);
        self.handle_timeout(now);
    }

    /// A data peer does not answer handshakes: where it is, or its key, may have changed.
    pub fn handle_data_lost(&mut self, peer: PeerKey, now: Instant) {
        self.itr.map_cache.doubt(peer, now);
        self.handle_timeout(now);
    }

    /// A message out of the data tunnel of `peer`, between link addresses: a probe, its answer, or
    /// an SMR.
    pub fn handle_link_datagram(&mut self, peer: PeerKey, datagram: &[u8], now: Instant) {
        match Message::parse(datagram) {
            _ if datagram.len() > MAX_MESSAGE => self.counters.count(Counter::MessagesMalformed),
            Err(_) => self.counters.count(Counter::MessagesMalformed),
            Ok(Message::MapReply(reply)) if reply.is_probe => {
                let (itr, mut context) = self.split();
                itr.handle_probe_reply(peer, reply.nonce, &mut context, now);
            }
            Ok(Message::MapRequest(request)) if request.is_probe => {
                let is_admitted = self.itr.map_cache.peers.admits_message(peer, now);
                if !is_admitted || !self.etr.handle_probe(peer, &request, now) {
                    self.counters.count(Counter::ProbesRefused);
                } else if is_plea(request.nonce) {
                    return self.handle_silent(peer, now);
                }
            }
            Ok(Message::MapRequest(request)) if request.is_smr => {
                let (itr, mut context) = self.split();
                itr.handle_smr(peer, &request, &mut context, now);
            }
            Ok(_) => self.counters.count(Counter::MessagesUnexpected),
        }
        self.handle_timeout(now);
    }

    /// Data went to a data peer for a while, and nothing came back: the path is probed, the
    /// Map-Server asked at the same time whether it is our way out that is broken.
    pub fn handle_silent(&mut self, peer: PeerKey, now: Instant) {
        if self.itr.handle_silent(peer, now) {
            self.etr.probe_control_path(now);
        }
        self.handle_timeout(now);
    }

    /// A way out by which nothing is answered any more. Unless [`Xtr::handle_uplinks`] follows before
    /// the next [`Xtr::poll_output`], there is no other one.
    pub fn poll_path_failure(&mut self) -> Option<WayOut> {
        self.itr.poll_path_failure()
    }

    /// Our RLOCs are these now, or we just leave by other interfaces: who was active lately is
    /// probed, at most eight peers.
    pub fn handle_uplinks(&mut self, uplinks: &[Uplink], now: Instant) {
        self.etr.handle_uplinks(uplinks, now);
        self.itr.handle_uplinks(&self.etr.database);
        if self.itr.probe_recent(now) {
            self.etr.probe_control_path(now);
        }
        self.handle_timeout(now);
    }

    /// Asks the mapping system for `eid`, cached or not; [`crate::Event::Lig`] answers. At most
    /// eight at once, further ones are answered with nothing.
    pub fn handle_lig(&mut self, eid: Eid, now: Instant) {
        let (itr, mut context) = self.split();
        itr.handle_lig(eid, &mut context, now);
        self.handle_timeout(now);
    }

    /// What the mapping system said, as the last [`crate::Event::Lig`] told of; nothing when it did
    /// not answer.
    pub fn lig_answer(&self) -> Option<&Mapping> {
        self.itr.lig_answer()
    }

    /// Takes a new configuration over: what did not change is left alone. Table sizes, the seed
    /// and the boot counter stay as they were.
    pub fn handle_config(&mut self, xtr: &XtrConfig, now: Instant) {
        self.etr.handle_config(xtr, now);
        self.itr.handle_config(xtr, &self.etr.database);
        self.handle_timeout(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.etr.handle_timeout(now);
        self.itr.set_behind_nat(self.etr.nat.is_behind());
        let standing = self.etr.standing(now);
        let (itr, mut context) = self.split();
        itr.judge_silent(standing, &mut context, now);
        itr.handle_timeout(&mut context, now);
    }

    /// The next thing to do: changes first, so that a peer stands before a message makes the other
    /// side use it, then messages, then events. A message is in `buf`, which needs [`MAX_MESSAGE`]
    /// octets. What deadlines bring is for [`Xtr::handle_timeout`].
    pub fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output {
        let (itr, context) = self.split();
        itr.handle_stranded(&context, now);
        if let Some(change) = self.itr.poll_change() {
            return Output::Change(change);
        }
        if let Some(change) = self.etr.poll_change(now) {
            return Output::Change(change);
        }
        let sent = self.etr.poll_transmit(&mut self.counters, now, buf);
        let sent = sent.or_else(|| {
            let (itr, mut context) = self.split();
            itr.poll_transmit(&mut context, now, buf)
        });
        if let Some((peer, len)) = sent {
            return Output::Transmit { link: false, peer, len };
        }
        let sent = self.etr.poll_link_transmit(&mut self.counters, now, buf).or_else(|| {
            let (itr, mut context) = self.split();
            itr.poll_probe(&mut context, now, buf)
        });
        if let Some((peer, len)) = sent {
            return Output::Transmit { link: true, peer, len };
        }
        match self.etr.poll_event().or_else(|| self.itr.poll_event()) {
            Some(event) => Output::Event(event),
            None => Output::Wait(self.poll_at()),
        }
    }

    /// When to call [`Xtr::handle_timeout`].
    pub fn poll_at(&self) -> Option<Instant> {
        earliest(self.etr.poll_at(), self.itr.poll_at())
    }

    /// The map-cache, sorted by EID-prefix.
    pub fn map_cache(&self) -> impl Iterator<Item = (EidPrefix, &MapCacheEntry)> {
        self.itr.map_cache.iter()
    }

    /// The RLOCs of a mapping in the map-cache; none when the answer was negative.
    pub fn locators_of(&self, entry: &MapCacheEntry) -> Locators {
        self.itr.map_cache.locators_of(entry)
    }

    /// How many mappings the map-cache holds.
    pub fn map_cache_len(&self) -> usize {
        self.itr.map_cache.len()
    }

    /// Our own EID-prefixes; all are registered when [`Xtr::registered_with`] is a Map-Server.
    pub fn database(&self) -> &[EidPrefix] {
        self.etr.database.eid_prefixes()
    }

    /// Whether the Map-Server that we are registered with does not take this EID-prefix of ours.
    pub fn is_refused(&self, eid_prefix: &EidPrefix) -> bool {
        self.etr.database.is_refused(eid_prefix)
    }

    /// Our RLOCs, the preferred first.
    pub fn locators(&self) -> &Locators {
        self.etr.database.locators()
    }

    /// The Map-Servers in order of preference, and our registrations there.
    pub fn map_servers(&self) -> &[Server] {
        self.etr.registrar.servers()
    }

    /// The Map-Server that acknowledges our registration and is asked.
    pub fn registered_with(&self) -> Option<PeerKey> {
        self.etr.registrar.used().copied()
    }

    /// What is being asked for, or was lately.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.itr.resolver.iter()
    }

    /// Whether a NAT stands before us.
    pub fn is_behind_nat(&self) -> bool {
        self.etr.nat.is_behind()
    }

    /// The address that the Map-Server last saw us under.
    pub fn outer(&self) -> Option<SocketAddr> {
        self.etr.nat.outer()
    }

    /// The mapping that packets to `eid` use.
    pub fn lookup(&self, eid: Eid) -> Option<(&EidPrefix, &MapCacheEntry)> {
        self.itr.map_cache.lookup(eid)
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.set(Counter::MappingsEvicted, self.itr.map_cache.evicted);
        counters.set(Counter::MappingsOverstayed, self.itr.map_cache.overstayed);
        counters
    }

    fn split(&mut self) -> (&mut Itr, Context<'_>) {
        let Xtr { itr, etr, counters } = self;
        let Etr { database, registrar, identity, .. } = etr;
        (itr, Context { database, map_server: registrar.used(), identity, counters })
    }
}
