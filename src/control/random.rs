//! Randomness from a seed: nobody who lacks the seed predicts a nonce.

use blake2::{Blake2s256, Digest};
use core::time::Duration;
use zeroize::Zeroizing;

/// A generator whose key is replaced with every block, so that its state tells nothing of the past.
pub struct Random {
    key: Zeroizing<[u8; 32]>,
    block: [u8; 32],
    used: usize,
}

impl Random {
    /// A generator of its own for each `label` under the same seed.
    pub fn new(seed: &[u8; 32], label: &[u8]) -> Random {
        let key = Blake2s256::new().chain_update(seed).chain_update(label).finalize();
        Random { key: Zeroizing::new(key.into()), block: [0; 32], used: 32 }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        if self.used == self.block.len() {
            self.refill();
        }
        let mut octets = [0; 8];
        octets.copy_from_slice(&self.block[self.used..self.used + 8]);
        self.used += 8;
        u64::from_be_bytes(octets)
    }

    /// `span`, or up to `percent` percent less.
    pub fn shortened(&mut self, span: Duration, percent: u32) -> Duration {
        let room = span.saturating_mul(percent) / 100;
        let micros = crate::micros(room);
        span.saturating_sub(Duration::from_micros(
            self.next_u64() % micros.saturating_add(1).max(1),
        ))
    }

    fn refill(&mut self) {
        let half = |label: u8| Blake2s256::new().chain_update(*self.key).chain_update([label]);
        let (next, block) = (half(0).finalize(), half(1).finalize());
        self.key.copy_from_slice(&next);
        self.block.copy_from_slice(&block);
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_labels_separate_them() {
        let mut one = Random::new(&[1; 32], b"a");
        let mut same = Random::new(&[1; 32], b"a");
        let mut other = Random::new(&[1; 32], b"b");
        let numbers: [u64; 9] = core::array::from_fn(|_| one.next_u64());
        assert_eq!(numbers, core::array::from_fn(|_| same.next_u64()));
        assert_ne!(numbers, core::array::from_fn(|_| other.next_u64()));
        for (place, number) in numbers.iter().enumerate() {
            assert!(!numbers[..place].contains(number));
        }
    }

    #[test]
    fn a_shortened_span_stays_within_its_percentage() {
        let mut random = Random::new(&[2; 32], b"");
        for _ in 0..1000 {
            let span = random.shortened(Duration::from_secs(60), 10);
            assert!(span >= Duration::from_secs(54) && span <= Duration::from_secs(60));
        }
        assert_eq!(random.shortened(Duration::ZERO, 10), Duration::ZERO);
    }
}
