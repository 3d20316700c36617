//! Datagrams from the underlay: authenticated, decrypted, checked, and handed on.

use core::net::SocketAddr;

use control::{Duration, Instant, Side};

use super::packet::Header;
use super::peers::Slot;
use super::routes::Route;
use super::tunnel::{Listener, MessageKind, Received, Refusal, Sender, Tunnel, receiver_index};
use super::{Engine, Interface, Io, lisp_message};
use crate::{Channel, Event};

/// Traffic of one peer is told no more often.
const TRAFFIC_INTERVAL: Duration = Duration::from_secs(10);

impl<L: Listener> Engine<L> {
    /// Takes a datagram that came in on the interface's port.
    pub fn handle_udp(
        &mut self,
        interface: Interface,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
        io: &mut impl Io,
    ) {
        let from = canonical(from);
        let mut out = core::mem::take(&mut self.out);
        let slot = self.sender(interface, from, datagram, &mut out, now, io);
        self.out = out;
        let result = slot.and_then(|slot| self.receive(interface, slot, from, datagram, now, io));
        if let Err(refusal) = result {
            let counters = &mut self.counters;
            *match refusal {
                Refusal::Malformed => &mut counters.malformed,
                Refusal::Unauthentic => &mut counters.unauthentic,
                Refusal::Replayed => &mut counters.replayed,
                Refusal::UnknownPeer => &mut counters.unknown_peer,
                Refusal::UnderLoad => &mut counters.under_load,
            } += 1;
        }
        self.catch_up(now, io);
    }

    /// Takes the next LISP message that came out of a tunnel: its peer and length. It waits for
    /// the events before it, so that a session is known when its first message is read.
    pub fn receive_control(
        &mut self,
        buf: &mut [u8],
    ) -> Option<(Channel, control::PeerKey, usize)> {
        if self.events.is_empty() { self.inbox.pop(buf) } else { None }
    }

    fn sender(
        &mut self,
        interface: Interface,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut [u8],
        now: Instant,
        io: &mut impl Io,
    ) -> Result<Slot, Refusal> {
        if datagram.len() > out.len() {
            return Err(Refusal::Malformed);
        }
        let kind = MessageKind::of(datagram).ok_or(Refusal::Malformed)?;
        let peers = self.peers_mut(interface);
        let index = match kind {
            MessageKind::Data | MessageKind::CookieReply => receiver_index(datagram),
            MessageKind::Initiation | MessageKind::Response => {
                match peers.listener.identify(from, datagram, out, now)? {
                    Sender::Key(key) => return peers.slot(key).ok_or(Refusal::UnknownPeer),
                    Sender::Index(index) => Some(index),
                    Sender::Reply(len) => {
                        io.send_udp(interface, from, &out[..len]);
                        return Err(Refusal::UnderLoad);
                    }
                }
            }
        };
        index.and_then(|index| peers.slot_of_index(index)).ok_or(Refusal::Unauthentic)
    }

    fn receive(
        &mut self,
        interface: Interface,
        slot: Slot,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
        io: &mut impl Io,
    ) -> Result<(), Refusal> {
        self.refresh(interface, slot, now, io);
        if interface == Interface::Data && MessageKind::of(datagram) == Some(MessageKind::Data) {
            return self.receive_data(slot, from, datagram, now, io);
        }
        let mut out = core::mem::take(&mut self.out);
        let received = match self.peers_mut(interface).get_mut(slot) {
            Some(peer) => peer.tunnel.decapsulate(datagram, &mut out, now),
            None => Err(Refusal::Unauthentic),
        };
        let mut established = None;
        if let Ok(received) = received {
            self.handle_authentic(interface, slot, from, datagram.len(), received, now);
            match received {
                Received::Initiation(len) => io.send_udp(interface, from, &out[..len]),
                // The greeting that confirms it wakes the other side's process too.
                Received::Response(_) => {
                    let round_trip = self.round_trip(interface, slot, datagram, now);
                    established = Some((Side::Initiator, round_trip));
                }
                Received::Data { len, confirms } => {
                    if let Some(len) = self.accept(interface, slot, &out[..len]) {
                        io.write_tun(&out[..len]);
                        self.tell_traffic(slot, now);
                    }
                    established = confirms.then_some((Side::Responder, None));
                }
                Received::CookieReply => {}
            }
        }
        self.out = out;
        // What waited leaves through the buffer.
        if let Some((side, round_trip)) = established {
            if side == Side::Initiator {
                self.greet(interface, slot, now, io);
            }
            self.handle_established(interface, slot, side, round_trip, now, io);
        }
        received.map(|_| ())
    }

    /// Takes a packet from a data peer, decrypted where it is handed on from.
    fn receive_data(
        &mut self,
        slot: Slot,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
        io: &mut impl Io,
    ) -> Result<(), Refusal> {
        let mut out = core::mem::take(&mut self.out);
        let mut lent = io.lend_packet(datagram.len());
        let plain = lent.as_deref_mut().unwrap_or(&mut out);
        let received = match self.data.get_mut(slot) {
            Some(peer) => peer.tunnel.decapsulate(datagram, plain, now),
            None => Err(Refusal::Unauthentic),
        };
        let mut confirmed = false;
        if let Ok(authentic @ Received::Data { len, confirms }) = received {
            self.handle_authentic(Interface::Data, slot, from, datagram.len(), authentic, now);
            if let Some(len) = self.accept(Interface::Data, slot, &plain[..len]) {
                match lent {
                    Some(_) => io.write_lent(len),
                    None => io.write_tun(&out[..len]),
                }
                self.tell_traffic(slot, now);
            }
            confirmed = confirms;
        }
        self.out = out;
        if confirmed {
            self.handle_established(Interface::Data, slot, Side::Responder, None, now, io);
        }
        received.map(|_| ())
    }

    /// Notes who spoke, and from where: an authentic packet from a new address moves the peer.
    fn handle_authentic(
        &mut self,
        interface: Interface,
        slot: Slot,
        from: SocketAddr,
        len: usize,
        received: Received,
        now: Instant,
    ) {
        let peers = self.peers_mut(interface);
        let Some(peer) = peers.get_mut(slot) else { return };
        peer.rx_bytes += len as u64;
        // A cookie reply proves no more than that somebody saw our initiation.
        if received == Received::CookieReply {
            return;
        }
        let is_data = matches!(received, Received::Data { len: 1.., .. });
        let is_answer = peer.timers.is_unanswered();
        if peer.timers.handle_received(is_data, now) {
            peer.initiator.start(now);
        }
        let key = peer.key;
        let has_roamed = peer.endpoint.is_some_and(|endpoint| endpoint != from);
        peer.endpoint = Some(from);
        let wake_at = peer.poll_at();
        peers.wake(wake_at);
        if has_roamed {
            self.counters.roamed += 1;
            if interface == Interface::Control {
                self.tell(Event::ControlRoamed { peer: key, endpoint: from });
            }
        }
        if is_answer && interface == Interface::Data {
            // Where packets go one way only, this is all that tells that they arrive.
            self.tell_traffic(slot, now);
        }
    }

    /// Looks at what came out of a tunnel, and whether its source is what the peer may send: the
    /// length of a packet for the TUN, or `None` for all else, which is dealt with.
    fn accept(&mut self, interface: Interface, slot: Slot, packet: &[u8]) -> Option<usize> {
        if packet.is_empty() {
            return None;
        }
        let (instance_id, port) = (self.instance_id, self.lisp_port);
        let peers = self.peers_mut(interface);
        let our_address = peers.address;
        let peer = peers.get(slot)?;
        let (key, address) = (peer.key, peer.address);
        let Some(header) = Header::parse(packet, instance_id) else {
            self.counters.inner_malformed += 1;
            return None;
        };
        let packet = &packet[..header.len];
        if interface == Interface::Control || header.source.address == address {
            let channel = match interface {
                Interface::Control => Channel::Control,
                Interface::Data => Channel::Link,
            };
            match lisp_message::parse(port, packet, address, our_address) {
                None => self.counters.inner_malformed += 1,
                // A greeting.
                Some([]) => {}
                Some(message) if self.inbox.push(channel, key, message) => {
                    self.counters.messages_received += 1;
                }
                Some(_) => self.counters.inbox_overflow += 1,
            }
            return None;
        }
        if self.routes.lookup(header.source) != Some(Route::Peer(slot)) {
            self.counters.source_refused += 1;
            return None;
        }
        self.counters.decapsulated += 1;
        self.counters.tun_written += 1;
        Some(header.len)
    }

    fn tell_traffic(&mut self, slot: Slot, now: Instant) {
        let Some(peer) = self.data.get(slot) else { return };
        if peer.traffic_told_at.is_none_or(|at| now - at >= TRAFFIC_INTERVAL)
            && self.tell(Event::Traffic { peer: peer.key })
            && let Some(peer) = self.data.get_mut(slot)
        {
            peer.traffic_told_at = Some(now);
        }
    }

    /// The time since the initiation that a response answers.
    fn round_trip(
        &self,
        interface: Interface,
        slot: Slot,
        response: &[u8],
        now: Instant,
    ) -> Option<Duration> {
        let index = receiver_index(response)?;
        let peer = self.peers(interface).get(slot)?;
        let (_, sent_at) =
            peer.initiations.iter().flatten().find(|(initiation, _)| *initiation == index)?;
        Some(now - *sent_at)
    }
}

/// The address without what may differ between two datagrams of one sender; an IPv6 scope stays,
/// as link-local addresses need it to be answered.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(mut v6) if v6.ip().to_ipv4_mapped().is_none() => {
            v6.set_flowinfo(0);
            v6.into()
        }
        _ => SocketAddr::new(address.ip().to_canonical(), address.port()),
    }
}
