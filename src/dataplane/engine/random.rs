//! Jitter: numbers that need not be secret.

use control::Duration;

/// xorshift64*, seeded by the caller.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // Zero is the one state that it never leaves.
        Random(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// `span`, lengthened by up to a tenth.
    pub(crate) fn jitter(&mut self, span: Duration) -> Duration {
        let tenth = control::micros(span) / 10;
        span + Duration::from_micros(self.below(tenth + 1))
    }
}
