//! Runs every case in turn, round by round.

use std::io;
use std::thread;
use std::time::Duration;

use linux::udp::Offload;

use super::options::Options;
use super::path::Path;
use super::results::Results;
use super::traffic::Traffic;

/// Between two runs, so that the end of one is not in the next.
const PAUSE: Duration = Duration::from_millis(50);

/// Measures and tells how it goes on standard error; the second is whether a run failed.
pub(super) fn measure(paths: &[Path], options: &Options, offload: Offload) -> (Results, bool) {
    let (mut results, mut has_failed) = (Results::default(), false);
    for round in 1..=options.rounds {
        for traffic in &options.traffic {
            let mut line = format!("round {round} of {}, {}:", options.rounds, traffic.name());
            for index in order(paths.len(), round) {
                let path = &paths[index];
                let outcome = run(path, *traffic, offload, options.span);
                let told = match &outcome {
                    Ok(run) => format!("{:.0}", run.mbit_s),
                    Err(error) => format!("FAILED ({error})"),
                };
                line.push_str(&format!(" {} {told}", path.case().name()));
                has_failed |= outcome.is_err();
                results.add(path.case(), *traffic, outcome.ok());
            }
            eprintln!("{line}");
        }
    }
    (results, has_failed)
}

fn run(
    path: &Path,
    traffic: Traffic,
    offload: Offload,
    span: Duration,
) -> io::Result<super::path::Run> {
    thread::sleep(PAUSE);
    path.run(traffic, offload, span)
}

/// Forwards in odd rounds, backwards in even ones: neighbours are first in turn.
fn order(count: usize, round: usize) -> Vec<usize> {
    let order = 0..count;
    if round % 2 == 1 { order.collect() } else { order.rev().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_alternates() {
        assert_eq!(order(3, 1), [0, 1, 2]);
        assert_eq!(order(3, 2), [2, 1, 0]);
        assert_eq!(order(3, 3), [0, 1, 2]);
    }
}
