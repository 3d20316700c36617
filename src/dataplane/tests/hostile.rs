//! Real WireGuard messages, mutated, replayed and from strangers: no panic, no growth.
#![cfg(feature = "userspace")]

use std::net::SocketAddr;

use control::{Duration, Instant, PeerKey, Side};
use lispguard_dataplane::userspace::BoringtunListener;
use lispguard_dataplane::{
    Channel, ControlPeer, Engine, EngineConfig, Interface, Io, Listener, MessageKind, Received,
    Tunnel,
};
use x25519_dalek::StaticSecret;

/// Octets that repeat from run to run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn mutate(&mut self, octets: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let place = self.below(octets.len().max(1));
            match self.below(5) {
                0 => octets.truncate(place),
                1 => octets.extend_from_within(..place),
                _ => {
                    if let Some(octet) = octets.get_mut(place) {
                        *octet ^= 1 << self.below(8);
                    }
                }
            }
        }
    }
}

#[derive(Default)]
struct Sent(Vec<Vec<u8>>);

impl Io for Sent {
    fn send_udp(&mut self, _interface: Interface, _to: SocketAddr, datagram: &[u8]) {
        self.0.push(datagram.to_vec());
    }

    fn write_tun(&mut self, _packet: &[u8]) {}
}

fn listener(number: u8) -> BoringtunListener {
    BoringtunListener::new(StaticSecret::from([number; 32]))
}

fn now() -> Instant {
    Instant::from_micros(linux::clock::monotonic_micros())
}

/// A Map-Server's engine that knows the control peer 1.
fn map_server() -> Engine<BoringtunListener> {
    let mut engine = Engine::new(&EngineConfig::default(), listener(2), listener(102));
    let peer = ControlPeer {
        key: listener(1).public_key(),
        endpoint: None,
        side: Side::Responder,
        persistent_keepalive: None,
        address: None,
    };
    engine.set_control_peer(&peer, now(), &mut Sent::default()).unwrap();
    engine
}

fn from(number: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, (number % 250) as u8], 51821))
}

#[test]
fn a_peer_with_a_valid_key_cannot_break_the_engine() {
    let mut random = Random(5);
    let (mut engine, mut sent) = (map_server(), Sent::default());
    let key: PeerKey = engine.public_key(Interface::Control);
    let mut tunnel = listener(1).tunnel(key, 1, now());
    let (mut out, mut plain) = (vec![0; 4096], vec![0; 4096]);
    let len = tunnel.initiate(&mut out, now()).unwrap();
    engine.handle_udp(Interface::Control, from(1), &out[..len], now(), &mut sent);
    let response = sent.0.pop().expect("a response");
    let received = tunnel.decapsulate(&response, &mut out, now());
    let Ok(Received::Response(len)) = received else { panic!("{received:?}") };
    engine.handle_udp(Interface::Control, from(1), &out[..len], now(), &mut sent);
    assert_eq!(engine.counters().sessions, 1);

    // A valid message, to be mutated: it is built by a second engine with the same addresses.
    let mut valid = vec![0x60, 0, 0, 0, 0, 16, 17, 64];
    valid.extend(control::auth::control_address(listener(1).public_key()).octets());
    valid.extend(control::auth::control_address(key).octets());
    valid.extend([0x10, 0xf6, 0x10, 0xf6, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let mut messages = 0;
    for _ in 0..30_000 {
        let mut inner = valid.clone();
        random.mutate(&mut inner);
        inner.truncate(2000);
        let Some(len) = tunnel.encapsulate(&inner, &mut plain, now()) else { break };
        let mut datagram = plain[..len].to_vec();
        if random.below(3) == 0 {
            random.mutate(&mut datagram);
        }
        engine.handle_udp(Interface::Control, from(1), &datagram, now(), &mut sent);
        sent.0.clear();
        while engine.poll_event().is_some() {}
        while let Some((channel, peer, _)) = engine.receive_control(&mut out) {
            assert_eq!((channel, peer), (Channel::Control, listener(1).public_key()));
            messages += 1;
        }
    }
    let counters = engine.counters();
    assert!(counters.inner_malformed > 1000 && counters.unauthentic > 1000, "{counters:?}");
    assert_eq!(messages, counters.messages_received);
    assert!(engine.peer_status(Interface::Control).all(|peer| peer.has_session));
}

#[test]
fn mutated_handshakes_are_refused_before_any_key_exchange() {
    let mut random = Random(6);
    let (mut engine, mut sent) = (map_server(), Sent::default());
    let key = engine.public_key(Interface::Control);
    let mut tunnel = listener(1).tunnel(key, 1, now());
    let mut out = vec![0; 4096];
    let started = now();
    for round in 0..100_000 {
        if round % 1000 == 0 {
            tunnel.initiate(&mut out, now()).unwrap();
        }
        let mut datagram = out[..148].to_vec();
        random.mutate(&mut datagram);
        engine.handle_udp(Interface::Control, from(round), &datagram, now(), &mut sent);
    }
    assert!(now() - started < Duration::from_secs(30));
    let counters = engine.counters();
    assert!(counters.unauthentic > 20_000 && counters.malformed > 10_000, "{counters:?}");
    assert_eq!(counters.sessions, 0);
}

#[test]
fn a_flood_of_handshakes_is_asked_for_a_cookie_and_the_peer_still_gets_in() {
    let (mut engine, mut sent) = (map_server(), Sent::default());
    let key = engine.public_key(Interface::Control);
    // A stranger with a key of its own can make valid MACs.
    let mut stranger = listener(9).tunnel(key, 1, now());
    let mut out = vec![0; 4096];
    let flood: Vec<Vec<u8>> = (0..500)
        .map(|_| {
            let len = stranger.initiate(&mut out, now()).unwrap();
            out[..len].to_vec()
        })
        .collect();
    for (number, initiation) in flood.iter().enumerate() {
        engine.handle_udp(Interface::Control, from(number), initiation, now(), &mut sent);
    }
    let counters = *engine.counters();
    assert!(counters.unknown_peer >= 100 && counters.under_load > 0, "{counters:?}");
    let is_cookie = |reply: &Vec<u8>| MessageKind::of(reply) == Some(MessageKind::CookieReply);
    assert!(sent.0.iter().all(is_cookie));

    let mut tunnel = listener(1).tunnel(key, 1, now());
    let mut answers = 0;
    for _ in 0..2 {
        sent.0.clear();
        let len = tunnel.initiate(&mut out, now()).unwrap();
        let initiation = out[..len].to_vec();
        engine.handle_udp(Interface::Control, from(1), &initiation, now(), &mut sent);
        for reply in &sent.0 {
            let received = tunnel.decapsulate(reply, &mut out, now());
            answers += usize::from(matches!(received, Ok(Received::Response(_))));
        }
    }
    assert!(answers >= 1, "the second initiation carries the cookie");
}
