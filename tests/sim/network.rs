//! An underlay that loses, repeats, delays and reorders datagrams, from a seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

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
