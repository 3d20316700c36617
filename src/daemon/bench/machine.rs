//! How busy the machine was: all of it, for the kernel's cipher runs in no process of ours.

use std::io;
use std::time::Duration;

/// Of the numbers in `/proc/stat` each stands for (USER_HZ, the same on every platform here).
const TICK: Duration = Duration::from_millis(10);

/// The time that all processors together spent on anything since the machine's start.
///
/// # Errors
/// When `/proc` is not mounted.
pub(super) fn busy() -> io::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    parse(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/stat"))
}

/// Sums user, nice, system, irq and softirq, and leaves out idle, iowait and what others stole.
fn parse(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Option<Vec<u64>> =
        line.split_whitespace().take(7).map(|number| number.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq] = ticks?.try_into().ok()?;
    Some(TICK * u32::try_from(user + nice + system + irq + softirq).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_stolen_time_is_not_busy() {
        let stat = "cpu  1 2 3 1000 1000 4 5 1000 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\nintr 1\n";
        assert_eq!(parse(stat), Some(Duration::from_millis(150)));
        for wrong in ["", "cpu0 1 2 3 4 5 6 7\n", "cpu  1 2 3\n", "cpu  1 2 x 4 5 6 7\n"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert!(busy().unwrap() > Duration::ZERO);
    }
}
