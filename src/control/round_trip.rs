//! The smoothed round trip of a path (RFC 6298 section 2), and how long to wait for an answer over it.

use core::time::Duration;

/// An answer is waited for at least so long, and twice the smoothed round trip.
const MIN_TIMEOUT: Duration = Duration::from_millis(50);
/// The same for a path that was not measured yet.
const UNKNOWN_TIMEOUT: Duration = Duration::from_millis(100);
/// No path is waited for longer.
const MAX_TIMEOUT: Duration = Duration::from_secs(3);

/// What is known of one path's delay.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    /// It was measured on another path: the next sample replaces it.
    is_stale: bool,
}

impl RoundTrip {
    pub(crate) const fn new() -> RoundTrip {
        RoundTrip { smoothed: None, is_stale: false }
    }

    /// A message went there and its answer came back in this time.
    pub(crate) fn sample(&mut self, sample: Duration) {
        self.smoothed = Some(match self.smoothed.filter(|_| !self.is_stale) {
            Some(smoothed) => (smoothed * 7 + sample) / 8,
            None => sample,
        });
        self.is_stale = false;
    }

    /// The path is another one from now on.
    pub(crate) fn expire(&mut self) {
        self.is_stale = true;
    }

    /// Whether this path was measured.
    pub(crate) fn is_known(&self) -> bool {
        self.smoothed.is_some() && !self.is_stale
    }

    /// How long after the first transmission an answer is given up.
    pub(crate) fn timeout(&self) -> Duration {
        let least = if self.is_known() { MIN_TIMEOUT } else { UNKNOWN_TIMEOUT };
        self.smoothed.map_or(least, |smoothed| (smoothed * 2).clamp(least, MAX_TIMEOUT))
    }

    /// When the same is sent once more: at half of the timeout, earlier where the second answer
    /// would be late then, for a single loss is no verdict.
    pub(crate) fn retry_after(&self) -> Duration {
        let (timeout, round_trip) = (self.timeout(), self.smoothed.unwrap_or_default());
        let latest = timeout.saturating_sub(round_trip * 3 / 2).max(timeout / 4);
        latest.min(timeout / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_timeout_is_twice_the_smoothed_round_trip_and_at_least_50_ms() {
        let mut round_trip = RoundTrip::default();
        assert_eq!((round_trip.timeout(), round_trip.retry_after()), (millis(100), millis(50)));
        round_trip.sample(millis(10));
        assert_eq!((round_trip.timeout(), round_trip.retry_after()), (millis(50), millis(25)));
        round_trip.sample(millis(810));
        assert_eq!(round_trip.timeout(), millis(220), "an eighth of a sample counts");
        assert_eq!(round_trip.retry_after(), millis(55));
        round_trip.sample(Duration::from_secs(100));
        assert_eq!(round_trip.timeout(), MAX_TIMEOUT);
    }

    #[test]
    fn a_second_transmission_always_leaves_time_for_its_answer() {
        for ms in 1..1_000 {
            let mut round_trip = RoundTrip::default();
            round_trip.sample(millis(ms));
            let answered = round_trip.retry_after() + millis(ms);
            assert!(answered * 8 <= round_trip.timeout() * 7, "{ms} ms");
        }
    }

    #[test]
    fn another_path_is_measured_anew() {
        let mut round_trip = RoundTrip::default();
        round_trip.sample(millis(10));
        round_trip.expire();
        assert_eq!((round_trip.timeout(), round_trip.is_known()), (millis(100), false));
        round_trip.sample(millis(200));
        assert_eq!(round_trip.timeout(), millis(400));
    }
}
