//! Token buckets: how often others may make us work.

use core::time::Duration;

use crate::Instant;

/// What a bucket allows: `burst` at once, then one each `interval`.
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) interval: Duration,
}

/// How full one bucket is, as the instant at which it is full again.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// A full one.
    pub(crate) const fn new() -> Bucket {
        Bucket { full_at: Instant::ZERO }
    }

    /// Takes one token, if there is one.
    pub(crate) fn take(&mut self, rate: &Rate, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + rate.interval;
        let has_token = full_at - now <= rate.interval * rate.burst;
        if has_token {
            self.full_at = full_at;
        }
        has_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let rate = Rate { burst: 4, interval: Duration::from_millis(100) };
        let mut bucket = Bucket::default();
        let start = Instant::from_millis(5000);
        let passed = (0..10).filter(|_| bucket.take(&rate, start)).count();
        assert_eq!(passed, 4);
        assert!(!bucket.take(&rate, start + Duration::from_millis(99)));
        assert!(bucket.take(&rate, start + Duration::from_millis(100)));
        assert!(!bucket.take(&rate, start + Duration::from_millis(100)));
    }
}
