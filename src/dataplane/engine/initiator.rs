//! Who sends handshake initiations, and when: one side at once, the other when that fails.
//!
//! The Initiator sends at once, again after a first interval, then after intervals that double up
//! to a longest one. A Responder whose packets wait leaves the Initiator the time of three tries,
//! then the roles swap: it initiates too. Crossing initiations do no harm here.

use control::{Duration, Instant};

use super::random::Random;

/// Tries after which a peer counts as lost, and the roles swap.
pub(crate) const TRIES: u32 = 3;

/// WireGuard's REKEY_ATTEMPT_TIME: tries end after it, unless the pace says otherwise.
const ATTEMPT_TIME: Duration = Duration::from_secs(90);

/// The intervals of one interface's tries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pace {
    /// From the first try to the second.
    pub(crate) first: Duration,
    /// No interval is longer.
    pub(crate) longest: Duration,
    /// Whether tries never end.
    pub(crate) is_endless: bool,
}

impl Pace {
    /// The time that three tries take.
    pub(crate) fn three_tries(&self) -> Duration {
        self.first * ((1 << TRIES) - 1)
    }

    fn interval(&self, attempt: u32) -> Duration {
        self.first.saturating_mul(1 << attempt.min(16)).min(self.longest)
    }
}

/// The schedule of tries with one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Initiator {
    /// Nothing to do.
    #[default]
    Idle,
    /// The other side has its turn until then.
    Yielding { until: Instant },
    /// Tries go on.
    Trying { attempts: u32, since: Instant, retry_at: Instant },
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Nothing yet.
    Nothing,
    /// Send an initiation; so many went before it unanswered.
    Initiate { unanswered: u32 },
    /// The tries ended.
    GaveUp,
}

impl Initiator {
    /// Begins to try, at once; what goes on already goes on.
    pub(crate) fn start(&mut self, now: Instant) {
        if !matches!(self, Initiator::Trying { .. }) {
            self.restart(now);
        }
    }

    /// Begins to try anew, at once.
    pub(crate) fn restart(&mut self, now: Instant) {
        *self = Initiator::Trying { attempts: 0, since: now, retry_at: now };
    }

    /// The tunnel sent an initiation of its own accord: it counts as the first try.
    pub(crate) fn handle_sent(&mut self, pace: &Pace, random: &mut Random, now: Instant) {
        if !self.is_trying() {
            let retry_at = now + random.jitter(pace.interval(0));
            *self = Initiator::Trying { attempts: 1, since: now, retry_at };
        }
    }

    /// Leaves the other side its turn first.
    pub(crate) fn yield_turn(&mut self, pace: &Pace, now: Instant) {
        if *self == Initiator::Idle {
            *self = Initiator::Yielding { until: now + pace.three_tries() };
        }
    }

    /// Ends the tries: a session stands, or nobody wants one.
    pub(crate) fn stop(&mut self) {
        *self = Initiator::Idle;
    }

    /// Whether initiations are being sent.
    pub(crate) fn is_trying(&self) -> bool {
        matches!(self, Initiator::Trying { .. })
    }

    /// When `handle_timeout` has something to do.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        match *self {
            Initiator::Idle => None,
            Initiator::Yielding { until } => Some(until),
            Initiator::Trying { retry_at, .. } => Some(retry_at),
        }
    }

    /// What is due, and the next interval.
    pub(crate) fn handle_timeout(&mut self, pace: &Pace, random: &mut Random, now: Instant) -> Due {
        if let Initiator::Yielding { until } = *self
            && until <= now
        {
            self.restart(now);
        }
        let Initiator::Trying { attempts, since, retry_at } = *self else { return Due::Nothing };
        if retry_at > now {
            return Due::Nothing;
        }
        if !pace.is_endless && now - since >= ATTEMPT_TIME {
            self.stop();
            return Due::GaveUp;
        }
        let retry_at = now + random.jitter(pace.interval(attempts));
        *self = Initiator::Trying { attempts: attempts.saturating_add(1), since, retry_at };
        Due::Initiate { unanswered: attempts }
    }
}

/// Whether a loss is told after so many unanswered tries: after three, then at doubling numbers,
/// so that an endpoint's name is looked up again now and then.
pub(crate) fn tells_loss(unanswered: u32) -> bool {
    unanswered >= TRIES
        && unanswered.is_multiple_of(TRIES)
        && ((unanswered / TRIES).is_power_of_two() || unanswered.is_multiple_of(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        first: Duration::from_millis(50),
        longest: Duration::from_secs(5),
        is_endless: false,
    };

    #[test]
    fn tries_double_up_to_the_longest_interval_and_end() {
        let mut random = Random::new(1);
        let mut initiator = Initiator::default();
        initiator.start(Instant::ZERO);
        let (mut now, mut sent) = (Instant::ZERO, Vec::new());
        loop {
            match initiator.handle_timeout(&PACE, &mut random, now) {
                Due::Initiate { unanswered } => {
                    assert_eq!(unanswered as usize, sent.len());
                    sent.push(now);
                }
                Due::GaveUp => break,
                Due::Nothing => panic!("woken too early"),
            }
            now = initiator.poll_at().unwrap();
        }
        let gaps: Vec<_> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps[0] >= Duration::from_millis(50) && gaps[0] <= Duration::from_millis(55));
        assert!(gaps[1] >= Duration::from_millis(100) && gaps[1] <= Duration::from_millis(110));
        assert!(gaps.iter().all(|gap| *gap <= Duration::from_millis(5500)));
        assert!(now - Instant::ZERO >= ATTEMPT_TIME && initiator == Initiator::Idle);
    }

    #[test]
    fn a_responder_initiates_after_the_time_of_three_tries() {
        let mut random = Random::new(1);
        let mut initiator = Initiator::default();
        initiator.yield_turn(&PACE, Instant::ZERO);
        assert_eq!(initiator.poll_at(), Some(Instant::from_millis(350)));
        let at = Instant::from_millis(350);
        assert_eq!(
            initiator.handle_timeout(&PACE, &mut random, at),
            Due::Initiate { unanswered: 0 }
        );
    }

    #[test]
    fn a_loss_is_told_rarer_and_rarer() {
        let told: Vec<_> = (0..200).filter(|unanswered| tells_loss(*unanswered)).collect();
        assert_eq!(told, [3, 6, 12, 24, 48, 60, 96, 120, 180, 192]);
    }
}
