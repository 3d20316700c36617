//! A packet of 1,420 octets through the userspace data plane, and through the cipher alone.

use std::net::{IpAddr, SocketAddr};

use control::{Change, Forwarding, Instant, PeerConfig, PeerKey, Side};
use dataplane::userspace::BoringtunListener;
use dataplane::{DATA_OVERHEAD, Engine, EngineConfig, Interface, Io};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use x25519_dalek::StaticSecret;

use crate::mapping::own;
use crate::window::Window;

const PACKET: usize = 1_420;
/// How many packets are counted.
const PACKETS: u8 = 32;
const TAG: usize = 16;

pub fn count() {
    cipher_alone();
    data_path();
}

fn cipher_alone() {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &[3; 32]).expect("a key of the right length");
    let key = LessSafeKey::new(key);
    let nonce = |number: u8| Nonce::assume_unique_for_key([number; 12]);
    let mut packets = vec![[0x5a_u8; PACKET + TAG]; PACKETS.into()];
    Window::Seal.count(PACKETS.into(), || {
        for (number, packet) in (0..).zip(&mut packets) {
            let (plain, tag) = packet.split_at_mut(PACKET);
            let sealed = key.seal_in_place_separate_tag(nonce(number), Aad::empty(), plain);
            tag.copy_from_slice(sealed.expect("it is sealed").as_ref());
        }
    });
    Window::Open.count(PACKETS.into(), || {
        for (number, packet) in (0..).zip(&mut packets) {
            key.open_in_place(nonce(number), Aad::empty(), packet).expect("it is opened");
        }
    });
    assert!(packets.iter().all(|packet| packet[..PACKET] == [0x5a; PACKET]));
}

/// What an engine sends and writes.
#[derive(Default)]
struct Pipe {
    datagrams: Vec<(Interface, Vec<u8>)>,
    written: usize,
    lent: Vec<u8>,
    /// Whether datagrams are not kept: to copy them is no part of what is counted.
    is_sink: bool,
    sunk: usize,
}

impl Pipe {
    /// Makes room, so that nothing grows while instructions are counted.
    fn new() -> Pipe {
        Pipe { lent: vec![0; 1 << 16], ..Pipe::default() }
    }
}

impl Io for Pipe {
    fn send_udp(&mut self, interface: Interface, _to: SocketAddr, datagram: &[u8]) {
        self.datagrams.push((interface, datagram.to_vec()));
    }

    fn write_tun(&mut self, packet: &[u8]) {
        self.written += packet.len();
    }

    fn lend_datagram(
        &mut self,
        interface: Interface,
        _: SocketAddr,
        _: usize,
    ) -> Option<&mut [u8]> {
        (interface == Interface::Data).then_some(&mut self.lent)
    }

    fn send_lent(&mut self, len: usize) {
        if self.is_sink {
            self.sunk += len;
            return;
        }
        let datagram = self.lent[..len].to_vec();
        self.datagrams.push((Interface::Data, datagram));
    }

    fn lend_packet(&mut self, _: usize) -> Option<&mut [u8]> {
        Some(&mut self.lent)
    }

    fn write_lent(&mut self, len: usize) {
        self.written += len;
    }
}

fn data_path() {
    let now = Instant::from_millis(1);
    let engine = |number: u8| {
        let listener = |key: u8| BoringtunListener::new(StaticSecret::from([key; 32]));
        let config = EngineConfig { seed: number.into(), ..EngineConfig::default() };
        let mut engine = Engine::new(&config, listener(number), listener(number + 100));
        engine.set_database(&[own(&format!("10.{number}.0.0/16"))]).expect("there is room");
        engine
    };
    let (mut a, mut b) = (engine(1), engine(2));
    let (mut from_a, mut from_b) = (Pipe::new(), Pipe::new());
    let address = |number: u8| -> SocketAddr { (IpAddr::from([192, 0, 2, number]), 51820).into() };
    let (key_a, key_b) = (a.public_key(Interface::Data), b.public_key(Interface::Data));
    let peer = |key: PeerKey, number, side| {
        let endpoint = Some(address(number));
        Change::SetPeer(PeerConfig { key, lane: 0, endpoint, side, persistent_keepalive: None })
    };
    let route = |key, number: u8| {
        let eid_prefix = own(&format!("10.{number}.0.0/16"));
        Change::SetRoute { eid_prefix, forwarding: Forwarding::Peer(key) }
    };
    for change in [peer(key_b, 2, Side::Initiator), route(key_b, 2)] {
        a.apply(&change, now, &mut from_a).expect("it is applied");
    }
    for change in [peer(key_a, 1, Side::Responder), route(key_a, 1)] {
        b.apply(&change, now, &mut from_b).expect("it is applied");
    }
    // The first packet has the sides shake hands.
    a.handle_tun(&packet(), now, &mut from_a);
    while !from_a.datagrams.is_empty() || !from_b.datagrams.is_empty() {
        for (interface, datagram) in core::mem::take(&mut from_a.datagrams) {
            b.handle_udp(interface, address(1), &datagram, now, &mut from_b);
        }
        for (interface, datagram) in core::mem::take(&mut from_b.datagrams) {
            a.handle_udp(interface, address(2), &datagram, now, &mut from_a);
        }
    }
    assert_eq!(from_b.written, PACKET, "the first packet arrived");
    let packet = packet();
    let mut send = |sink: &mut Pipe| (0..PACKETS).for_each(|_| a.handle_tun(&packet, now, sink));
    from_a.is_sink = true;
    Window::Send.count(PACKETS.into(), || send(&mut from_a));
    assert_eq!(from_a.sunk, usize::from(PACKETS) * (PACKET + DATA_OVERHEAD));
    from_a.is_sink = false;
    send(&mut from_a);
    let datagrams = core::mem::take(&mut from_a.datagrams);
    assert_eq!(datagrams.len(), PACKETS.into());
    Window::Receive.count(PACKETS.into(), || {
        for (interface, datagram) in &datagrams {
            b.handle_udp(*interface, address(1), datagram, now, &mut from_b);
        }
    });
    assert_eq!(from_b.written, PACKET * (1 + usize::from(PACKETS)));
}

/// From a host behind a to one behind b.
fn packet() -> Vec<u8> {
    let mut packet = vec![0; PACKET];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(PACKET as u16).to_be_bytes());
    packet[8] = 64;
    packet[9] = 17;
    packet[12..20].copy_from_slice(&[10, 1, 0, 1, 10, 2, 0, 1]);
    packet
}
