//! Packets that the kernel had no route for: they wait, go out past the kernel's routing, or are
//! answered.

use control::{Eid, Forwarding, Instant, PeerKey};

use super::machine::Machine;
use super::operations::Operations;
use crate::engine::icmp::{self, Reason};
use crate::engine::packet::Header;
use crate::engine::waiting::WAITING_TIME;
use crate::{Event, Interface};

/// Packets handled at a time.
const BATCH: usize = 64;

/// Packets taken before a route changes; the kernel's queue holds 500, and more may come while
/// they are handled.
const DRAIN: usize = 1024;

/// What became of a packet that was to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Done,
    /// No route.
    Miss,
    /// A route, but no session.
    NoSession(Forwarding),
}

impl<O: Operations> Machine<O> {
    /// Takes what the kernel has no route for.
    pub(super) fn handle_misses(&mut self, now: Instant) {
        self.install_new_peers();
        self.take_misses(BATCH, false, now);
        self.catch_up(now);
    }

    /// Takes all that the kernel has no route for, around the change of a route.
    pub(super) fn drain_misses(&mut self, is_overtaken: bool, now: Instant) {
        self.take_misses(DRAIN, is_overtaken, now);
    }

    fn take_misses(&mut self, most: usize, is_overtaken: bool, now: Instant) {
        // Empty while packets are being taken already.
        let mut packet = core::mem::take(&mut self.packet);
        if packet.is_empty() {
            return;
        }
        for _ in 0..most {
            let Some(len) = self.operations.receive_miss(&mut packet) else { break };
            let sent = self.counters.encapsulated;
            self.handle_miss(&packet[..len], now);
            if is_overtaken {
                self.counters.overtaken += self.counters.encapsulated - sent;
            }
        }
        self.packet = packet;
    }

    fn handle_miss(&mut self, packet: &[u8], now: Instant) {
        self.counters.tun_packets += 1;
        let Some(header) = Header::parse(packet, self.instance_id).filter(Header::is_routable)
        else {
            self.counters.not_routable += 1;
            return;
        };
        let packet = &packet[..header.len];
        if self.database.lookup(header.source).is_none() {
            self.counters.source_not_ours += 1;
            return self.answer(packet, Reason::Prohibited, now);
        }
        if packet.len() > self.mtu {
            self.counters.too_big += 1;
            return self.answer(packet, Reason::TooBig(self.mtu as u16), now);
        }
        match self.forward(&header, packet, now) {
            Fate::Done => {}
            Fate::Miss => {
                self.counters.misses += 1;
                let told_at = self.waiting.told_at(header.destination, now);
                let told_at = told_at.or_else(|| self.tell_miss(&header).then_some(now));
                self.counters.waiting_overflow += self.waiting.push(&header, packet, told_at, now);
            }
            Fate::NoSession(forwarding) => {
                self.counters.session_waits += 1;
                self.counters.waiting_overflow += self.waiting.push(&header, packet, None, now);
                self.want_sessions(forwarding, now);
            }
        }
    }

    fn forward(&mut self, header: &Header, packet: &[u8], now: Instant) -> Fate {
        let Some(entry) = self.routes.lookup(header.destination) else { return Fate::Miss };
        match entry.forwarding {
            forwarding @ (Forwarding::Peer(_) | Forwarding::Lanes(_)) => {
                match self.live_peer(&forwarding, header.source, header.destination) {
                    Some(key) => {
                        self.inject(key, packet);
                        Fate::Done
                    }
                    None => Fate::NoSession(forwarding),
                }
            }
            Forwarding::Drop => {
                self.counters.route_dropped += 1;
                self.answer(packet, Reason::Unreachable, now);
                Fate::Done
            }
            Forwarding::Native => {
                // The daemon's routes keep such packets off: only one that waited for the answer
                // comes here. It is lost in silence, as the sender's next try goes native.
                self.counters.route_native += 1;
                Fate::Done
            }
        }
    }

    /// Packets wait for sessions: the kernel is asked at once, as one may stand that the other
    /// side began.
    fn want_sessions(&mut self, forwarding: Forwarding, now: Instant) {
        for (key, _) in forwarding.shares() {
            let Some(peer) = self.data.get_mut(key).filter(|peer| !peer.has_session()) else {
                continue;
            };
            // While one is awaited, the kernel is asked often enough.
            let is_first = peer.pending_since.is_none();
            if is_first {
                peer.look_at = Some(now);
            }
            if peer.endpoint.is_none() {
                // The other side has to come.
                peer.await_session(now);
            }
            if is_first {
                self.wake(Some(now));
            }
            self.want_session(Interface::Data, *key, now);
        }
    }

    fn inject(&mut self, key: PeerKey, packet: &[u8]) {
        let Some(peer) = self.data.get(&key) else { return };
        if self.operations.inject(peer.device, packet) {
            self.counters.encapsulated += 1;
        } else {
            self.counters.send_failed += 1;
        }
    }

    /// Looks at everything that waits again, after a route changed.
    pub(super) fn reconsider_waiting(&mut self, now: Instant) {
        if self.waiting.len() == 0 {
            return;
        }
        let mut waiting = core::mem::take(&mut self.waiting);
        let mut last_told = None;
        waiting.sift(|packet, octets| {
            let header = Header {
                source: packet.source,
                destination: packet.destination,
                len: octets.len(),
            };
            match self.forward(&header, octets, now) {
                Fate::Done => return false,
                Fate::NoSession(forwarding) => {
                    packet.told_at = None;
                    self.want_sessions(forwarding, now);
                }
                Fate::Miss if packet.told_at.is_some() || last_told == Some(packet.destination) => {
                }
                Fate::Miss => {
                    packet.told_at = self.tell_miss(&header).then_some(now);
                    last_told = Some(packet.destination);
                }
            }
            true
        });
        self.waiting = waiting;
    }

    /// Sends what waits for a peer whose session stands now.
    pub(super) fn release_waiting(&mut self, key: PeerKey, _now: Instant) {
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.sift(|packet, octets| {
            let route = self.routes.lookup(packet.destination);
            let forwarding = route.map(|entry| entry.forwarding);
            let Some(forwarding) = forwarding.filter(|one| one.leads_to(&key)) else {
                return true;
            };
            let Some(key) = self.live_peer(&forwarding, packet.source, packet.destination) else {
                return true;
            };
            self.inject(key, octets);
            self.counters.waiting_sent += 1;
            false
        });
        self.waiting = waiting;
    }

    /// Answers and drops what waits for `destination`: it cannot be resolved.
    pub(super) fn fail_waiting(&mut self, destination: Eid, now: Instant) {
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.sift(|packet, octets| {
            let fails = packet.destination == destination
                && self.routes.lookup(packet.destination).is_none();
            if fails {
                self.counters.waiting_failed += 1;
                self.answer(octets, Reason::Unreachable, now);
            }
            !fails
        });
        self.waiting = waiting;
    }

    /// Answers and drops what has waited for too long.
    pub(super) fn expire_waiting(&mut self, now: Instant) {
        if self.waiting.poll_at().is_none_or(|at| at > now) {
            return;
        }
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.sift(|packet, octets| {
            let expires = packet.arrived_at + WAITING_TIME <= now;
            if expires {
                self.counters.waiting_expired += 1;
                self.answer(octets, Reason::Unreachable, now);
            }
            !expires
        });
        self.waiting = waiting;
    }

    /// Packets that wait for a peer's session.
    pub(super) fn waiting_for(&self, key: PeerKey) -> usize {
        let is_for_peer = |destination| {
            let route = self.routes.lookup(destination);
            route.is_some_and(|entry| entry.forwarding.leads_to(&key))
        };
        self.waiting.iter().filter(|packet| is_for_peer(packet.destination)).count()
    }

    /// Writes an ICMP error to the device for misses, when one may be sent.
    fn answer(&mut self, packet: &[u8], reason: Reason, now: Instant) {
        let Some(len) = icmp::emit(packet, reason, &mut self.plain) else { return };
        if !self.icmp_limiter.take(now) {
            self.counters.icmp_limited += 1;
        } else if self.operations.write_miss(&self.plain[..len]) {
            self.counters.icmp_sent += 1;
        } else {
            self.counters.send_failed += 1;
        }
    }

    fn tell_miss(&mut self, header: &Header) -> bool {
        self.tell(Event::Miss { source: header.source, destination: header.destination })
    }
}
