//! Reading clocks.

use core::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Microseconds since the machine's start, the time it slept included; never steps.
#[must_use]
pub fn monotonic_micros() -> u64 {
    let time = read(ClockId::CLOCK_BOOTTIME);
    time.as_secs() * 1_000_000 + u64::from(time.subsec_micros())
}

/// The wall clock: time since 1970 without leap seconds; it steps when it is set.
#[must_use]
pub fn wall() -> Duration {
    read(ClockId::CLOCK_REALTIME)
}

/// Whole seconds of the wall clock.
#[must_use]
pub fn wall_seconds() -> u64 {
    wall().as_secs()
}

fn read(clock: ClockId) -> Duration {
    // Linux has had both clocks since 2.6.39. What fails is a wall clock set beyond 2038 where
    // seconds have 32 bits.
    let Ok(time) = clock_gettime(clock) else {
        return Duration::from_secs(i32::MAX.unsigned_abs().into());
    };
    // A wall clock before 1970 reads as 1970.
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let first = monotonic_micros();
        assert!(monotonic_micros() >= first && first > 0);
        assert!(wall_seconds() > 0);
    }
}
