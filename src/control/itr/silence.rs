//! What is done about data peers from whom nothing comes back: ask, then move.
//!
//! A probe tells whether the peer is to blame, a question to the Map-Server at the same time whether
//! our own way out is. Of a dead peer the other RLOCs are tried one after the other; a dead way out
//! is told to the node, which leaves it when it has another one.

use core::net::SocketAddr;

use super::map_request;
use super::policy::endpoints;
use super::prober::Answered;
use super::{Context, Itr};
use crate::xtr::counters::Counter;
use crate::{Event, Instant, MAX_LOCATORS, PeerKey};
use wire::Nonce;

/// What the Map-Server's side says of our way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It answered since it was last asked.
    Heard,
    /// It may still answer, until then.
    Asked(Instant),
    /// It did not answer, or there is none.
    Silent,
}

/// What a packet to a peer leaves by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WayOut {
    /// The number of the lane.
    pub lane: u8,
    /// Whether the peer is reached by IPv6: an uplink may have either family alone.
    pub is_ipv6: bool,
}

impl Itr {
    /// Data went to the peer and nothing came back; true when it is being probed from now on.
    pub(crate) fn handle_silent(&mut self, peer: PeerKey, now: Instant) -> bool {
        let is_peer = self.map_cache.peers.place(peer).is_some();
        is_peer && self.prober.handle_silent(peer, &mut self.random, now)
    }

    /// The peer sends. Its path is measured the first time, so that we know how long to wait for it
    /// when it matters.
    pub(crate) fn handle_traffic(&mut self, peer: PeerKey, now: Instant) {
        self.map_cache.peers.handle_traffic(peer, now);
        if self.map_cache.peers.place(peer).is_none() {
            return;
        }
        if self.prober.is_new(peer) {
            self.prober.measure(peer, &mut self.random, now);
        }
        self.prober.trust(peer);
    }

    /// We leave by other uplinks: who was active last is probed first, so that it learns of it. True
    /// when the verdict on a peer depends on it.
    pub(crate) fn probe_recent(&mut self, now: Instant) -> bool {
        let is_doubting = self.prober.handle_uplinks(&mut self.random, now);
        for peer in self.map_cache.peers.recent(now) {
            self.prober.measure(peer, &mut self.random, now);
        }
        is_doubting
    }

    /// A Map-Reply with the P-bit came from the peer itself.
    pub(crate) fn handle_probe_reply(
        &mut self,
        peer: PeerKey,
        nonce: Nonce,
        context: &mut Context<'_>,
        now: Instant,
    ) {
        match self.prober.handle_reply(peer, nonce, now) {
            Answered::Now => context.counters.count(Counter::ProbesAccepted),
            Answered::Again => {}
            Answered::Unknown => context.counters.count(Counter::NoncesUnknown),
        }
    }

    /// Judges those who did not answer.
    pub(crate) fn judge_silent(
        &mut self,
        map_server: Standing,
        context: &mut Context<'_>,
        now: Instant,
    ) {
        self.prober.handle_timeout(now);
        let mut from = 0;
        while let Some((place, peer, since)) = self.prober.unanswered(from) {
            from = place + 1;
            let Some((lane, _)) = self.map_cache.peers.place(peer) else {
                self.prober.forget(place);
                continue;
            };
            let peers = &self.map_cache.peers;
            let is_alike =
                |other| other != peer && peers.place(other).is_some_and(|at| at.0 == lane);
            let is_fine = map_server == Standing::Heard
                || peers.has_traffic(lane, peer, since)
                || self.prober.has_answer(since, is_alike);
            if let (false, Standing::Asked(until)) = (is_fine, map_server)
                && until > now
            {
                self.prober.wait(place, until);
                continue;
            }
            context.counters.count(Counter::ProbesFailed);
            if is_fine {
                self.map_cache.doubt(peer, now);
            }
            if is_fine || !self.prober.fail(place) {
                self.try_next_endpoint(place, peer, context, now);
            }
        }
    }

    /// The next path that is to blame, once however many of its peers say so.
    pub(crate) fn poll_path_failure(&mut self) -> Option<WayOut> {
        let peers = &self.map_cache.peers;
        let way_to = |peer| {
            let (lane, endpoint) = peers.place(peer)?;
            Some(WayOut { lane, is_ipv6: endpoint.is_some_and(|at| at.is_ipv6()) })
        };
        loop {
            let peer = self.prober.poll_failed()?;
            if let Some(way) = way_to(peer) {
                self.prober.note_told(|other| way_to(other) == Some(way));
                return Some(way);
            }
        }
    }

    /// What was told to be the path's fault, and there is no other path: it may be the endpoint's.
    pub(crate) fn handle_stranded(&mut self, context: &Context<'_>, now: Instant) {
        let mut from = 0;
        while let Some((place, peer)) = self.prober.stranded(from) {
            from = place + 1;
            self.try_next_endpoint(place, peer, context, now);
        }
    }

    /// Tries the next RLOC of a silent peer; after the last one it is the best one's turn again, and
    /// the peer is left alone for a while.
    fn try_next_endpoint(
        &mut self,
        place: usize,
        peer: PeerKey,
        context: &Context<'_>,
        now: Instant,
    ) {
        let mapping = self.map_cache.mapping_of(peer);
        let endpoints: heapless::Vec<SocketAddr, MAX_LOCATORS> = mapping
            .map(|(_, row)| self.map_cache.locators_of(row))
            .map(|locators| endpoints(&locators, peer, context.database))
            .unwrap_or_default();
        let known = self.map_cache.peers.place(peer).and_then(|(_, endpoint)| endpoint);
        let current = endpoints.iter().position(|endpoint| Some(*endpoint) == known);
        let next = current.map_or(0, |current| (current + 1) % endpoints.len());
        let is_last = self.prober.note_tried(place) >= endpoints.len();
        if is_last {
            self.prober.pause(place, now);
        } else {
            self.prober.retry(place, &mut self.random, now);
        }
        let Some(to) = endpoints.get(if is_last { 0 } else { next }).copied() else { return };
        self.map_cache.peers.redirect(peer, to);
        if known != Some(to) {
            self.prober.tell(Event::EndpointMoved { peer, from: known, to });
        }
    }

    /// Writes the next probe that is due: to whom and how long it is.
    pub(crate) fn poll_probe(
        &mut self,
        context: &mut Context<'_>,
        now: Instant,
        buf: &mut [u8],
    ) -> Option<(PeerKey, usize)> {
        while let Some((peer, nonce)) = self.prober.poll_probe(now) {
            let Some((probed, _)) = self.map_cache.mapping_of(peer) else { continue };
            let Some(source) = context.database.source_for(probed.eid()) else { continue };
            let itr_rloc = context.database.locators().first();
            if let Some(len) = map_request::emit_probe(nonce, source, probed, itr_rloc, buf) {
                context.counters.count(Counter::ProbesSent);
                return Some((peer, len));
            }
        }
        None
    }
}
