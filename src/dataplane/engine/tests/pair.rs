//! Two nodes joined by a network with delay, loss and filters, on virtual time.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use control::{Change, Duration, EidPrefix, Forwarding, Instant, PeerConfig, PeerKey, Side};

use crate::engine::{EngineConfig, Interface, MessageKind, PeerStatus, Random};
use crate::memory::{Memory, MemoryConfig};
use crate::{ControlPeer, DataPlane, Event};

/// One-way delay.
pub(super) const DELAY: Duration = Duration::from_millis(10);

pub(super) const CONTROL_PORT: u16 = 51821;
pub(super) const DATA_PORT: u16 = 51820;

pub(super) struct Node {
    pub(super) plane: Memory,
    pub(super) address: IpAddr,
    pub(super) events: Vec<(Instant, Event)>,
    pub(super) packets: Vec<Vec<u8>>,
    /// How many datagrams left, by kind: initiations, responses, cookie replies, data.
    pub(super) sent: [usize; 4],
}

impl Node {
    pub(super) fn new(number: u8, adjust: impl FnOnce(&mut MemoryConfig)) -> Node {
        let mut config = MemoryConfig {
            control_key: PeerKey([number; 32]),
            data_key: PeerKey([number + 100; 32]),
            control_port: CONTROL_PORT,
            data_port: DATA_PORT,
            database: vec![eid_prefix(number)],
            wall_clock: 1_000_000_000_000,
            engine: EngineConfig { seed: number.into(), ..EngineConfig::default() },
        };
        adjust(&mut config);
        Node {
            plane: Memory::new(&config).unwrap(),
            address: Ipv4Addr::new(192, 0, 2, number).into(),
            events: Vec::new(),
            packets: Vec::new(),
            sent: [0; 4],
        }
    }

    pub(super) fn data_key(&self) -> PeerKey {
        self.plane.engine().public_key(Interface::Data)
    }

    pub(super) fn control_key(&self) -> PeerKey {
        self.plane.engine().public_key(Interface::Control)
    }

    pub(super) fn peer(&self, interface: Interface) -> PeerStatus {
        self.plane.engine().peer_status(interface).next().expect("a peer")
    }

    pub(super) fn saw(&self, is_it: impl Fn(&Event) -> bool) -> Vec<Instant> {
        self.events.iter().filter(|(_, event)| is_it(event)).map(|(at, _)| *at).collect()
    }
}

pub(super) struct Pair {
    pub(super) a: Node,
    pub(super) b: Node,
    pub(super) now: Instant,
    /// Percentage of datagrams lost.
    pub(super) loss: u64,
    /// Whether node a is out of reach.
    pub(super) is_cut: bool,
    pub(super) delay: Duration,
    random: Random,
    /// Arrival, whether at b, port, sender, payload.
    on_the_way: Vec<(Instant, bool, u16, SocketAddr, Vec<u8>)>,
}

impl Pair {
    pub(super) fn new(seed: u64) -> Pair {
        Pair::with(seed, |_| {})
    }

    pub(super) fn with(seed: u64, adjust: impl Fn(&mut MemoryConfig)) -> Pair {
        Pair {
            a: Node::new(1, &adjust),
            b: Node::new(2, &adjust),
            now: Instant::from_millis(1000),
            loss: 0,
            is_cut: false,
            delay: DELAY,
            random: Random::new(seed),
            on_the_way: Vec::new(),
        }
    }

    /// Installs each as the other's data peer, with routes; the sides are a's and b's.
    pub(super) fn install(&mut self, side_a: Side, side_b: Side) {
        let (key_a, key_b) = (self.a.data_key(), self.b.data_key());
        let (address_a, address_b) = (self.a.address, self.b.address);
        set_peer(&mut self.b, key_a, Some(SocketAddr::new(address_a, DATA_PORT)), side_b, self.now);
        set_route(&mut self.b, 1, key_a, self.now);
        set_peer(&mut self.a, key_b, Some(SocketAddr::new(address_b, DATA_PORT)), side_a, self.now);
        set_route(&mut self.a, 2, key_b, self.now);
    }

    /// Makes b a Map-Server that learns where a is.
    pub(super) fn install_control(&mut self) {
        let (key_a, key_b) = (self.a.control_key(), self.b.control_key());
        let endpoint = SocketAddr::new(self.b.address, CONTROL_PORT);
        let peer = |key, endpoint, side| ControlPeer {
            key,
            endpoint,
            side,
            persistent_keepalive: None,
            address: None,
        };
        self.b.plane.set_control_peer(&peer(key_a, None, Side::Responder), self.now).unwrap();
        let to_b = peer(key_b, Some(endpoint), Side::Initiator);
        self.a.plane.set_control_peer(&to_b, self.now).unwrap();
    }

    /// A host behind a sends a packet with this number to a host behind b.
    pub(super) fn send(&mut self, number: u8) {
        let packet = packet(1, 2, number);
        self.a.plane.handle_packet(&packet, self.now);
    }

    /// The numbers of the packets that arrived behind b.
    pub(super) fn arrived(&mut self) -> Vec<u8> {
        self.b.packets.iter().map(|packet| packet[28]).collect()
    }

    /// Moves time on, from one thing that is due to the next; returns how often a woke up for its
    /// own timers.
    pub(super) fn run(&mut self, span: Duration) -> usize {
        let end = self.now + span;
        let mut wakes = 0;
        loop {
            self.drain();
            let arrival = self.on_the_way.iter().map(|datagram| datagram.0);
            let timers = [self.a.plane.poll_at(), self.b.plane.poll_at()];
            let next = arrival.chain(timers.into_iter().flatten()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            assert!(next > self.now || !self.on_the_way.is_empty() || wakes == 0, "a busy loop");
            self.now = self.now.max(next);
            self.deliver();
            for (node, is_a) in [(&mut self.a, true), (&mut self.b, false)] {
                if node.plane.poll_at().is_some_and(|at| at <= self.now) {
                    node.plane.handle_timeout(self.now);
                    wakes += usize::from(is_a);
                    let at = node.plane.poll_at();
                    assert!(at.is_none_or(|at| at > self.now), "a deadline in the past");
                }
            }
        }
        self.now = end;
        wakes
    }

    fn drain(&mut self) {
        for (node, is_a) in [(&mut self.a, true), (&mut self.b, false)] {
            while let Some(event) = node.plane.poll_event() {
                node.events.push((self.now, event));
            }
            while let Some(packet) = node.plane.poll_packet() {
                node.packets.push(packet);
            }
            while let Some(datagram) = node.plane.poll_datagram() {
                let kind = MessageKind::of(&datagram.octets).expect("a WireGuard message");
                node.sent[kind as usize] += 1;
                if self.is_cut || self.random.below(100) < self.loss {
                    continue;
                }
                let from = SocketAddr::new(node.address, datagram.from_port);
                let at = self.now + self.delay;
                let port = datagram.to.port();
                self.on_the_way.push((at, is_a, port, from, datagram.octets));
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let mut rest = Vec::new();
        for (at, is_for_b, port, from, octets) in self.on_the_way.drain(..) {
            if at > now {
                rest.push((at, is_for_b, port, from, octets));
                continue;
            }
            let node = if is_for_b { &mut self.b } else { &mut self.a };
            node.plane.handle_datagram(port, from, &octets, now);
        }
        self.on_the_way = rest;
    }
}

pub(super) fn eid_prefix(number: u8) -> EidPrefix {
    format!("10.{number}.0.0/16").parse().unwrap()
}

pub(super) fn set_peer(
    node: &mut Node,
    key: PeerKey,
    endpoint: Option<SocketAddr>,
    side: Side,
    now: Instant,
) {
    let config = PeerConfig { key, lane: 0, endpoint, side, persistent_keepalive: None };
    node.plane.apply(&Change::SetPeer(config), now).unwrap();
}

pub(super) fn set_route(node: &mut Node, number: u8, key: PeerKey, now: Instant) {
    let eid_prefix = eid_prefix(number);
    let forwarding = Forwarding::Peer(key);
    node.plane.apply(&Change::SetRoute { eid_prefix, forwarding }, now).unwrap();
}

/// A UDP packet between hosts of two sites; its payload is a number.
pub(super) fn packet(from: u8, to: u8, number: u8) -> Vec<u8> {
    let mut packet = vec![0; 29];
    packet[0] = 0x45;
    packet[3] = 29;
    packet[8] = 64;
    packet[9] = 17;
    packet[12..20].copy_from_slice(&[10, from, 0, 1, 10, to, 0, 1]);
    packet[28] = number;
    packet
}

/// The same with so many octets, that must not be fragmented.
pub(super) fn long_packet(from: u8, to: u8, len: u16) -> Vec<u8> {
    let mut packet = packet(from, to, 0);
    packet.resize(len.into(), 0);
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[6] = 0x40;
    packet
}
