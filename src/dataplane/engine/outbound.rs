//! Packets from the TUN, and what waits: looked up, encrypted, or answered.

use control::{Instant, PeerKey};

use super::icmp::{self, Reason};
use super::packet::Header;
use super::peers::{Peer, Slot};
use super::routes::Route;
use super::tunnel::{DATA_OVERHEAD, Listener, Tunnel};
use super::waiting::WAITING_TIME;
use super::{Engine, EngineError, Interface, Io, lisp_message};
use crate::{Channel, Event};

/// What became of a packet that was to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Done,
    /// No route.
    Miss,
    /// A route, but no session.
    NoSession(Slot),
}

impl<L: Listener> Engine<L> {
    /// Forwards a packet that the kernel wrote to the TUN.
    pub fn handle_tun(&mut self, packet: &[u8], now: Instant, io: &mut impl Io) {
        self.counters.tun_packets += 1;
        let Some(header) = Header::parse(packet, self.instance_id).filter(Header::is_routable)
        else {
            self.counters.not_routable += 1;
            return;
        };
        let packet = &packet[..header.len];
        if self.database.lookup(header.source).is_none() {
            self.counters.source_not_ours += 1;
            return self.answer(packet, Reason::Prohibited, now, io);
        }
        if packet.len() > self.mtu {
            self.counters.too_big += 1;
            return self.answer(packet, Reason::TooBig(self.mtu as u16), now, io);
        }
        match self.forward(&header, packet, now, io) {
            Fate::Done => {}
            Fate::Miss => {
                self.counters.misses += 1;
                let told_at = self.waiting.told_at(header.destination, now);
                let told_at = told_at.or_else(|| self.tell_miss(&header).then_some(now));
                self.counters.waiting_overflow += self.waiting.push(&header, packet, told_at, now);
            }
            Fate::NoSession(slot) => {
                self.counters.session_waits += 1;
                self.counters.waiting_overflow += self.waiting.push(&header, packet, None, now);
                self.want_session(slot, now, io);
            }
        }
        self.catch_up(now, io);
    }

    /// Sends a LISP message inside the tunnel to `peer`.
    ///
    /// # Errors
    /// When the peer is unknown or no session with it stands, or the message is too long.
    pub fn send_control(
        &mut self,
        channel: Channel,
        peer: PeerKey,
        message: &[u8],
        now: Instant,
        io: &mut impl Io,
    ) -> Result<(), EngineError> {
        let interface = match channel {
            Channel::Control => Interface::Control,
            Channel::Link => Interface::Data,
        };
        let peers = self.peers(interface);
        let slot = peers.slot(peer).ok_or(EngineError::UnknownPeer(peer))?;
        let source = peers.address;
        let destination =
            peers.get(slot).map(|peer| peer.address).ok_or(EngineError::UnknownPeer(peer))?;
        let mut plain = core::mem::take(&mut self.plain);
        let len = lisp_message::emit(self.lisp_port, source, destination, message, &mut plain);
        let is_sent = len.is_some_and(|len| self.transmit(interface, slot, &plain[..len], now, io));
        self.plain = plain;
        self.catch_up(now, io);
        if len.is_none() {
            return Err(EngineError::MessageTooLong);
        }
        if !is_sent {
            self.want_session_on(interface, slot, now, io);
            return Err(EngineError::NoSession(peer));
        }
        self.counters.messages_sent += 1;
        Ok(())
    }

    /// Sends an empty message: a packet that confirms a session or tells the other side where we
    /// are, and that its process sees even where sessions are the kernel's.
    pub(super) fn greet(
        &mut self,
        interface: Interface,
        slot: Slot,
        now: Instant,
        io: &mut impl Io,
    ) {
        let peers = self.peers(interface);
        let Some(destination) = peers.get(slot).map(|peer| peer.address) else { return };
        let source = peers.address;
        let mut plain = core::mem::take(&mut self.plain);
        if let Some(len) = lisp_message::emit(self.lisp_port, source, destination, &[], &mut plain)
        {
            self.transmit(interface, slot, &plain[..len], now, io);
        }
        self.plain = plain;
    }

    /// Looks at everything that waits again, after a route changed.
    pub(super) fn reconsider_waiting(&mut self, now: Instant, io: &mut impl Io) {
        let mut waiting = core::mem::take(&mut self.waiting);
        let mut last_told = None;
        waiting.sift(|packet, octets| {
            let header = Header {
                source: packet.source,
                destination: packet.destination,
                len: octets.len(),
            };
            match self.forward(&header, octets, now, io) {
                Fate::Done => return false,
                Fate::NoSession(slot) => {
                    packet.told_at = None;
                    self.want_session(slot, now, io);
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
    pub(super) fn release_waiting(&mut self, slot: Slot, now: Instant, io: &mut impl Io) {
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.sift(|packet, octets| {
            let is_for_peer = self.routes.lookup(packet.destination) == Some(Route::Peer(slot));
            let is_sent = is_for_peer && self.transmit_data(slot, octets, now, io);
            self.counters.waiting_sent += u64::from(is_sent);
            !is_sent
        });
        self.waiting = waiting;
    }

    /// Answers and drops what waits for `destination`: it cannot be resolved.
    pub(super) fn fail_waiting(
        &mut self,
        destination: control::Eid,
        now: Instant,
        io: &mut impl Io,
    ) {
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.sift(|packet, octets| {
            let fails = packet.destination == destination
                && self.routes.lookup(packet.destination).is_none();
            if fails {
                self.counters.waiting_failed += 1;
                self.answer(octets, Reason::Unreachable, now, io);
            }
            !fails
        });
        self.waiting = waiting;
    }

    /// Answers and drops what has waited for too long.
    pub(super) fn expire_waiting(&mut self, now: Instant, io: &mut impl Io) {
        if self.waiting.poll_at().is_none_or(|at| at > now) {
            return;
        }
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.sift(|packet, octets| {
            let expires = packet.arrived_at + WAITING_TIME <= now;
            if expires {
                self.counters.waiting_expired += 1;
                self.answer(octets, Reason::Unreachable, now, io);
            }
            !expires
        });
        self.waiting = waiting;
    }

    /// Encrypts a packet of a host to a data peer, which is to answer; says whether it went out.
    fn transmit_data(&mut self, slot: Slot, packet: &[u8], now: Instant, io: &mut impl Io) -> bool {
        let is_sent = self.transmit(Interface::Data, slot, packet, now, io);
        if is_sent && let Some(peer) = self.data.get_mut(slot) {
            peer.timers.handle_forwarded(self.silence, now);
            let wake_at = peer.timers.poll_at();
            self.data.wake(wake_at);
        }
        is_sent
    }

    /// Encrypts a packet (empty: a keepalive) to a peer; says whether it went out.
    pub(super) fn transmit(
        &mut self,
        interface: Interface,
        slot: Slot,
        packet: &[u8],
        now: Instant,
        io: &mut impl Io,
    ) -> bool {
        self.refresh(interface, slot, now, io);
        let mtu = self.mtu;
        let peers = self.peers(interface);
        let Some(endpoint) = peers.get(slot).and_then(|peer| peer.endpoint) else { return false };
        let mut out = core::mem::take(&mut self.out);
        let len = padded_len(packet.len(), mtu) + DATA_OVERHEAD;
        let mut lent = io.lend_datagram(interface, endpoint, len);
        let peers = self.peers_mut(interface);
        let sent = peers.get_mut(slot).and_then(|peer| match &mut lent {
            Some(room) => encrypt(peer, packet, mtu, room, &mut out, now),
            None => {
                let (room, padding) = out.split_at_mut_checked(len)?;
                encrypt(peer, packet, mtu, room, padding, now)
            }
        });
        if let Some(len) = sent {
            let wake_at = peers.get(slot).and_then(|peer| peer.poll_at());
            peers.wake(wake_at);
            match lent {
                Some(_) => io.send_lent(len),
                None => io.send_udp(interface, endpoint, &out[..len]),
            }
            if interface == Interface::Data && !packet.is_empty() {
                self.counters.encapsulated += 1;
            }
        }
        self.out = out;
        sent.is_some()
    }

    /// Writes an ICMP error to the TUN, when one may be sent.
    fn answer(&mut self, packet: &[u8], reason: Reason, now: Instant, io: &mut impl Io) {
        let mut plain = core::mem::take(&mut self.plain);
        if let Some(len) = icmp::emit(packet, reason, &mut plain) {
            if self.icmp_limiter.take(now) {
                self.counters.icmp_sent += 1;
                io.write_tun(&plain[..len]);
            } else {
                self.counters.icmp_limited += 1;
            }
        }
        self.plain = plain;
    }

    fn forward(&mut self, header: &Header, packet: &[u8], now: Instant, io: &mut impl Io) -> Fate {
        match self.routes.lookup(header.destination) {
            None => Fate::Miss,
            Some(Route::Peer(slot)) => {
                if self.transmit_data(slot, packet, now, io) {
                    Fate::Done
                } else {
                    Fate::NoSession(slot)
                }
            }
            Some(Route::Drop) => {
                self.counters.route_dropped += 1;
                self.answer(packet, Reason::Unreachable, now, io);
                Fate::Done
            }
            Some(Route::Native) => {
                // The daemon's routes keep such packets off the TUN: only one that waited for the
                // answer comes here. It is lost in silence, as the sender's next try goes native.
                self.counters.route_native += 1;
                Fate::Done
            }
        }
    }

    fn tell_miss(&mut self, header: &Header) -> bool {
        self.tell(Event::Miss { source: header.source, destination: header.destination })
    }
}

/// Encrypts a packet into `out`: the datagram's length. `padding` has room for a padded copy.
fn encrypt<T: Tunnel>(
    peer: &mut Peer<T>,
    packet: &[u8],
    mtu: usize,
    out: &mut [u8],
    padding: &mut [u8],
    now: Instant,
) -> Option<usize> {
    let padded = padded_len(packet.len(), mtu);
    let len = if padded == packet.len() {
        peer.tunnel.encapsulate(packet, out, now)?
    } else {
        let plain = padding.get_mut(..padded)?;
        plain[..packet.len()].copy_from_slice(packet);
        plain[packet.len()..].fill(0);
        peer.tunnel.encapsulate(plain, out, now)?
    };
    peer.tx_bytes += len as u64;
    if peer.timers.handle_sent(!packet.is_empty(), now) || peer.tunnel.is_worn() {
        peer.initiator.start(now);
    }
    Some(len)
}

/// As WireGuard does, packets are padded to 16 octets, but not beyond the MTU.
fn padded_len(len: usize, mtu: usize) -> usize {
    len.next_multiple_of(16).min(mtu.max(len))
}
