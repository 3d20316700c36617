//! What every link of the underlay is like.

use std::time::Duration;

use linux::netlink::Netem;

/// How long a packet waits at most for a link that is busy.
pub(super) const QUEUE: Duration = Duration::from_millis(50);
/// Octets of a packet, where a queue is counted in packets.
const PACKET_LEN: f64 = 1500.0;

/// Of every link of the underlay.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Quality {
    /// Between any two nodes.
    pub(super) round_trip: Duration,
    /// Of the packets from node to node.
    pub(super) loss_percent: f64,
    /// `None` is as fast as it goes.
    pub(super) rate_mbit_s: Option<f64>,
}

impl Default for Quality {
    fn default() -> Quality {
        Quality { round_trip: Duration::from_millis(10), loss_percent: 0.0, rate_mbit_s: None }
    }
}

impl Quality {
    /// From node to node.
    pub(super) fn delay(&self) -> Duration {
        self.round_trip / 2
    }

    /// From 0 to 1.
    pub(super) fn loss(&self) -> f64 {
        self.loss_percent / 100.0
    }

    /// Octets in a second.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate_mbit_s.map(|rate| rate * 1e6 / 8.0)
    }

    pub(super) fn netem(&self) -> Netem {
        let held = (self.delay() + QUEUE).as_secs_f64();
        let packets = |rate: f64| (rate * held / PACKET_LEN).ceil() as u32;
        Netem {
            delay: self.delay(),
            loss: self.loss(),
            rate: self.rate().map(|rate| rate as u64),
            limit: self.rate().map_or(100_000, |rate| packets(rate).max(16)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limits_what_netem_holds_back() {
        let quality = Quality { rate_mbit_s: Some(12.0), loss_percent: 1.0, ..Quality::default() };
        let expected = Netem {
            delay: Duration::from_millis(5),
            loss: 0.01,
            rate: Some(1_500_000),
            // 55 ms of it.
            limit: 55,
        };
        assert_eq!(quality.netem(), expected);
        assert_eq!(Quality::default().netem().rate, None);
    }
}
