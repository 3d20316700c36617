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
    /// How many more datagrams are sent before one is lost for certain.
    doomed_in: Option<u64>,
    /// Datagrams to and from these addresses are lost, though their links are up.
    pub dead: Vec<IpAddr>,
}

impl Network {
    pub fn new(quality: Quality, seed: u8) -> Network {
        let random = Random::new(&[seed; 32], b"network");
        Network {
            quality,
            random,
            flying: BTreeMap::new(),
            count: 0,
            doomed_in: None,
            dead: Vec::new(),
        }
    }

    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, octets: &[u8], now: Instant) {
        let is_doomed = self.doomed_in == Some(0);
        self.doomed_in = self.doomed_in.and_then(|more| more.checked_sub(1));
        if is_doomed || self.is_dead(from.ip()) || self.is_dead(to.ip()) {
            return;
        }
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
        loop {
            let entry = self.flying.first_entry().filter(|entry| entry.key().0 <= now)?;
            let flying = entry.remove();
            if !self.is_dead(flying.from.ip()) && !self.is_dead(flying.to.ip()) {
                return Some(flying);
            }
        }
    }

    /// Loses the `n`th datagram from now on, counted from 0; `None` loses none any more.
    pub fn lose(&mut self, n: Option<u64>) {
        self.doomed_in = n;
    }

    /// How many datagrams are under way.
    pub fn len(&self) -> usize {
        self.flying.len()
    }

    fn is_dead(&self, address: IpAddr) -> bool {
        self.dead.contains(&address)
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
