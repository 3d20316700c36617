//! An underlay that loses, repeats, delays and reorders datagrams, from a seed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use control::random::Random;
use control::{Duration, Instant};

/// How the underlay treats datagrams.
#[derive(Clone, Copy)]
pub struct Quality {
    /// Datagrams lost, of a thousand.
    pub loss: u64,
    /// Datagrams that arrive twice, of a thousand.
    pub duplication: u64,
    /// The shortest way, in microseconds.
    pub delay: u64,
    /// What may be added to it: more than the spacing of datagrams reorders them.
    pub jitter: u64,
}

impl Quality {
    /// 10 ms each way, nothing else.
    pub const CLEAN: Quality = Quality { loss: 0, duplication: 0, delay: 10_000, jitter: 0 };
}

/// A datagram under way.
pub struct Flying {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub octets: Vec<u8>,
}

/// Datagrams in the order in which they arrive.
pub struct Network {
    pub quality: Quality,
    random: Random,
    flying: BTreeMap<(Instant, u64), Flying>,
    count: u64,
}

impl Network {
    pub fn new(quality: Quality, seed: u8) -> Network {
        let random = Random::new(&[seed; 32], b"network");
        Network { quality, random, flying: BTreeMap::new(), count: 0 }
    }

    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, octets: &[u8], now: Instant) {
        let copies = if self.chance(self.quality.loss) {
            0
        } else {
            1 + u8::from(self.chance(self.quality.duplication))
        };
        for _ in 0..copies {
            let jitter = self.random.next_u64() % (self.quality.jitter + 1);
            let at = now + Duration::from_micros(self.quality.delay + jitter);
            self.count += 1;
            let flying = Flying { from, to, octets: octets.to_vec() };
            self.flying.insert((at, self.count), flying);
        }
    }

    pub fn next_at(&self) -> Option<Instant> {
        self.flying.keys().next().map(|(at, _)| *at)
    }

    pub fn arrived(&mut self, now: Instant) -> Option<Flying> {
        let entry = self.flying.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    fn chance(&mut self, of_a_thousand: u64) -> bool {
        self.random.next_u64() % 1000 < of_a_thousand
    }
}

/// How long a NAT keeps what nobody sent through from inside.
const BINDING_TIME: Duration = Duration::from_secs(40);

/// A translating hop: each inner port has an outer one, and lets in only those who were sent to.
pub struct Nat {
    pub outer: IpAddr,
    next_port: u16,
    bindings: BTreeMap<u16, Binding>,
}

struct Binding {
    outer_port: u16,
    /// Who may answer, until when.
    allowed: BTreeMap<SocketAddr, Instant>,
}

impl Nat {
    pub fn new(outer: IpAddr) -> Nat {
        Nat { outer, next_port: 20_000, bindings: BTreeMap::new() }
    }

    /// Forgets everything: what is sent next leaves by other ports.
    pub fn rebind(&mut self) {
        self.bindings.clear();
    }

    /// The outer source of a datagram from inside.
    pub fn translate(&mut self, port: u16, to: SocketAddr, now: Instant) -> SocketAddr {
        let binding = self.bindings.entry(port).or_insert_with(|| {
            self.next_port += 1;
            Binding { outer_port: self.next_port, allowed: BTreeMap::new() }
        });
        binding.allowed.insert(to, now + BINDING_TIME);
        SocketAddr::new(self.outer, binding.outer_port)
    }

    /// The inner port of a datagram from outside, if it is let in.
    pub fn admit(&self, from: SocketAddr, port: u16, now: Instant) -> Option<u16> {
        let mut bindings = self.bindings.iter();
        let (inner, binding) = bindings.find(|(_, binding)| binding.outer_port == port)?;
        binding.allowed.get(&from).filter(|until| **until > now).map(|_| *inner)
    }

    /// Where an inner port is seen from outside, if it sent anything.
    pub fn outer_of(&self, port: u16) -> Option<SocketAddr> {
        self.bindings.get(&port).map(|binding| SocketAddr::new(self.outer, binding.outer_port))
    }
}
