//! Counts what arrives between two instants, with the machine's busy time in between.

use std::io;
use std::time::{Duration, Instant};

use super::machine;

/// What is left out of a run, so that slow start and cold caches are: an eighth of it at most.
const WARM_UP: Duration = Duration::from_millis(300);

/// What arrived in a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// Octets of payload.
    pub(super) octets: u64,
    /// In this time.
    pub(super) spent: Duration,
    /// Busy time of the whole machine meanwhile.
    pub(super) busy: Duration,
    /// Octets of payload of the whole run, what came before and after included.
    pub(super) total_octets: u64,
}

impl Measured {
    /// Payload in Mbit/s.
    pub(super) fn mbit_s(&self) -> f64 {
        self.octets as f64 * 8.0 / self.spent.as_secs_f64().max(1e-9) / 1e6
    }

    /// Busy seconds per 10^9 octets of payload; `None` when nothing arrived.
    pub(super) fn busy_s_per_gb(&self) -> Option<f64> {
        (self.octets > 0).then(|| self.busy.as_secs_f64() * 1e9 / self.octets as f64)
    }
}

/// A run as its receiver sees it.
#[derive(Debug)]
pub(super) struct Meter {
    counts_from: Instant,
    span: Duration,
    counting: Option<(Instant, Duration)>,
    measured: Measured,
    is_over: bool,
}

impl Meter {
    /// Starts now and counts for `span` after a warm-up.
    pub(super) fn start(span: Duration) -> Meter {
        Meter {
            counts_from: Instant::now() + WARM_UP.min(span / 8),
            span,
            counting: None,
            measured: Measured::default(),
            is_over: false,
        }
    }

    /// Notes that this much arrived, also when it is nothing.
    ///
    /// # Errors
    /// When the machine does not say how busy it is.
    pub(super) fn note(&mut self, octets: u64) -> io::Result<()> {
        self.measured.total_octets += octets;
        if self.is_over {
            return Ok(());
        }
        let now = Instant::now();
        match self.counting {
            None if now >= self.counts_from => self.counting = Some((now, machine::busy()?)),
            None => {}
            Some((since, busy_before)) => {
                self.measured.octets += octets;
                self.measured.spent = now - since;
                self.is_over = now - since >= self.span;
                if self.is_over {
                    self.measured.busy = machine::busy()?.saturating_sub(busy_before);
                }
            }
        }
        Ok(())
    }

    /// Whether the time is over.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// What was counted until now.
    pub(super) const fn measured(&self) -> Measured {
        self.measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    #[test]
    fn only_what_arrives_in_time_counts() {
        let span = Duration::from_millis(40);
        let mut meter = Meter::start(span);
        meter.note(1_000).unwrap();
        sleep(span / 8);
        meter.note(1_000).unwrap();
        meter.note(10).unwrap();
        assert!(!meter.is_over());
        sleep(span);
        meter.note(1).unwrap();
        assert!(meter.is_over());
        meter.note(1_000).unwrap();
        let measured = meter.measured();
        assert_eq!((measured.octets, measured.total_octets), (11, 3_011));
        assert!(measured.spent >= span && measured.mbit_s() > 0.0);
        assert!(measured.busy_s_per_gb().is_some());
        assert_eq!(Measured::default().busy_s_per_gb(), None);
    }
}
