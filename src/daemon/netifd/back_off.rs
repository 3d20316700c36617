//! Pauses between attempts that fail.

use control::Duration;

/// The pause after a first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// How long to wait before the next attempt.
#[derive(Debug)]
pub(super) struct BackOff(Duration);

impl BackOff {
    /// The pause after a failure, double the one before.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.0;
        self.0 = MAX_PAUSE.min(pause * 2);
        pause
    }

    /// An attempt did not fail.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Default for BackOff {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}
