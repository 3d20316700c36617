//! The packet path allocates nothing per data packet; a handshake's number is stated here.
#![cfg(feature = "userspace")]

mod counting;

use std::net::SocketAddr;

use control::{Change, Forwarding, Instant, PeerConfig, Side};
use counting::allocations;
use lispguard_dataplane::userspace::BoringtunListener;
use lispguard_dataplane::{Engine, EngineConfig, Interface, Io};
use x25519_dalek::StaticSecret;

/// The last datagrams sent and the last packet written, in memory of its own.
struct Wire {
    datagrams: Vec<(usize, [u8; 2048])>,
    len: usize,
    packet: (usize, [u8; 2048]),
}

impl Wire {
    fn new() -> Wire {
        Wire { datagrams: vec![(0, [0; 2048]); 8], len: 0, packet: (0, [0; 2048]) }
    }
}

impl Io for Wire {
    fn send_udp(&mut self, _interface: Interface, _to: SocketAddr, datagram: &[u8]) {
        let slot = &mut self.datagrams[self.len];
        slot.0 = datagram.len();
        slot.1[..datagram.len()].copy_from_slice(datagram);
        self.len += 1;
    }

    fn write_tun(&mut self, packet: &[u8]) {
        self.packet.0 = packet.len();
        self.packet.1[..packet.len()].copy_from_slice(packet);
    }
}

struct Node {
    engine: Engine<BoringtunListener>,
    wire: Wire,
    address: SocketAddr,
}

impl Node {
    fn new(number: u8) -> Node {
        let listener = |number| BoringtunListener::new(StaticSecret::from([number; 32]));
        let config = EngineConfig::default();
        let mut engine = Engine::new(&config, listener(number), listener(number + 100));
        engine.set_database(&[format!("10.{number}.0.0/16").parse().unwrap()]).unwrap();
        let address = SocketAddr::from(([192, 0, 2, number], 51820));
        Node { engine, wire: Wire::new(), address }
    }

    fn install(&mut self, other: &Node, number: u8, side: Side, now: Instant) {
        let key = other.engine.public_key(Interface::Data);
        let endpoint = Some(other.address);
        let config = PeerConfig { key, lane: 0, endpoint, side, persistent_keepalive: None };
        let eid_prefix = format!("10.{number}.0.0/16").parse().unwrap();
        let forwarding = Forwarding::Peer(key);
        let route = Change::SetRoute { eid_prefix, forwarding };
        self.engine.apply(&route, now, &mut self.wire).unwrap_err();
        self.engine.apply(&Change::SetPeer(config), now, &mut self.wire).unwrap();
        self.engine.apply(&route, now, &mut self.wire).unwrap();
    }

    /// Takes what the other node sent.
    fn take(&mut self, other: &mut Node, now: Instant) {
        let sent = core::mem::take(&mut other.wire.len);
        for (len, datagram) in &other.wire.datagrams[..sent] {
            let (from, datagram) = (other.address, &datagram[..*len]);
            self.engine.handle_udp(Interface::Data, from, datagram, now, &mut self.wire);
        }
    }
}

fn now() -> Instant {
    Instant::from_micros(linux::clock::monotonic_micros())
}

fn packet(from: u8, to: u8, len: u16) -> Vec<u8> {
    let mut packet = vec![7; len.into()];
    packet[..10].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17]);
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[12..20].copy_from_slice(&[10, from, 0, 1, 10, to, 0, 1]);
    packet
}

/// boringtun decrypts handshakes into vectors: three of the initiation, one of the response.
const HANDSHAKE_ALLOCATIONS: usize = 4;

#[test]
fn a_data_packet_allocates_nothing_and_a_handshake_little() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    b.install(&a, 1, Side::Responder, now());
    let waiting = packet(1, 2, 100);
    a.install(&b, 2, Side::Initiator, now());
    a.engine.handle_tun(&waiting, now(), &mut a.wire);
    let handshake = allocations(|| {
        b.take(&mut a, now());
        a.take(&mut b, now());
        b.take(&mut a, now());
    });
    assert_eq!(b.wire.packet.1[..b.wire.packet.0], waiting, "what waited arrived");
    assert_eq!(handshake, HANDSHAKE_ALLOCATIONS);

    for len in [29, 100, 1280, 1419, 1420] {
        let (there, back) = (packet(1, 2, len), packet(2, 1, len));
        let counted = allocations(|| {
            for _ in 0..100 {
                a.engine.handle_tun(&there, now(), &mut a.wire);
                b.take(&mut a, now());
                b.engine.handle_tun(&back, now(), &mut b.wire);
                a.take(&mut b, now());
                let (a_at, b_at) = (a.engine.poll_at(), b.engine.poll_at());
                assert!(a_at.is_some() && b_at.is_some());
            }
        });
        assert_eq!(counted, 0, "{len} octets");
        assert_eq!(b.wire.packet.1[..b.wire.packet.0], there);
        assert_eq!(a.wire.packet.1[..a.wire.packet.0], back);
    }
}

#[test]
fn crossing_initiations_leave_both_sides_with_a_session() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    b.install(&a, 1, Side::Initiator, now());
    a.install(&b, 2, Side::Initiator, now());
    let (there, back) = (packet(1, 2, 100), packet(2, 1, 100));
    a.engine.handle_tun(&there, now(), &mut a.wire);
    b.engine.handle_tun(&back, now(), &mut b.wire);
    // Both initiations are on their way before either arrives; then both responses.
    for _ in 0..4 {
        let (sent, datagrams) = (core::mem::take(&mut a.wire.len), a.wire.datagrams.clone());
        a.take(&mut b, now());
        for (len, datagram) in &datagrams[..sent] {
            let datagram = &datagram[..*len];
            b.engine.handle_udp(Interface::Data, a.address, datagram, now(), &mut b.wire);
        }
    }
    assert_eq!(b.wire.packet.1[..b.wire.packet.0], there);
    assert_eq!(a.wire.packet.1[..a.wire.packet.0], back);
    for node in [&a, &b] {
        assert!(node.engine.peer_status(Interface::Data).all(|peer| peer.has_session));
        assert_eq!(node.engine.counters().initiations_sent, 1);
    }
}

#[test]
fn misses_errors_and_garbage_allocate_nothing() {
    let mut a = Node::new(1);
    let (miss, foreign, long) = (packet(1, 3, 100), packet(9, 2, 100), packet(1, 2, 1500));
    let from = SocketAddr::from(([192, 0, 2, 9], 9));
    let counted = allocations(|| {
        for round in 0..2000u16 {
            for packet in [&miss, &foreign, &long] {
                a.engine.handle_tun(packet, now(), &mut a.wire);
            }
            let mut garbage = [round as u8; 148];
            garbage[..4].copy_from_slice(&[(round % 6) as u8, 0, 0, 0]);
            a.engine.handle_udp(Interface::Control, from, &garbage, now(), &mut a.wire);
            a.engine.handle_udp(Interface::Data, from, &garbage[..92], now(), &mut a.wire);
            a.wire.len = 0;
        }
    });
    assert_eq!(counted, 0);
    let counters = a.engine.counters();
    assert_eq!((counters.misses, counters.source_not_ours, counters.too_big), (2000, 2000, 2000));
}
