//! Runs every case in turn, round by round.

use std::io;
use std::thread;
use std::time::Duration;

use linux::udp::Offload;

use super::case::Case;
use super::options::Options;
use super::path::{Path, Run};
use super::results::Results;
use super::traffic::Traffic;

/// The cases take turns of about this length within a run: what else the machine does, and how fast
/// it is allowed to be, changes within seconds.
const PIECE: Duration = Duration::from_millis(100);
/// Between two turns, so that the end of one is not in the next.
const PAUSE: Duration = Duration::from_millis(10);

/// The way of a case, or why there is none this time.
pub(super) type Built = (Case, io::Result<Path>);

/// Measures and tells how it goes on standard error; the second is whether a run failed. `build`
/// builds the ways of a round.
///
/// Each round has ways of its own: where the kernel happens to put one way's memory makes it up to
/// a tenth faster or slower for as long as it stands.
///
/// # Errors
/// When the ways cannot be built.
pub(super) fn measure(
    mut build: impl FnMut(usize) -> io::Result<Vec<Built>>,
    options: &Options,
    offload: Offload,
) -> io::Result<(Results, bool)> {
    let (mut results, mut has_failed) = (Results::default(), false);
    for round in 1..=options.rounds {
        let paths = build(round)?;
        for traffic in &options.traffic {
            let mut line = format!("round {round} of {}, {}:", options.rounds, traffic.name());
            let outcomes = in_turns(&paths, *traffic, offload, options.span);
            for ((case, _), outcome) in paths.iter().zip(outcomes) {
                let told = match &outcome {
                    Ok(run) => format!("{:.0}", run.mbit_s),
                    Err(error) => format!("FAILED ({error})"),
                };
                line.push_str(&format!(" {} {told}", case.name()));
                has_failed |= outcome.is_err();
                results.add(*case, *traffic, outcome.ok());
            }
            eprintln!("{line}");
        }
    }
    Ok((results, has_failed))
}

/// One run of each case, all in turns.
fn in_turns(
    paths: &[Built],
    traffic: Traffic,
    offload: Offload,
    span: Duration,
) -> Vec<io::Result<Run>> {
    let pieces = (span.as_millis() / PIECE.as_millis()).clamp(1, 1000) as u32;
    let mut outcomes: Vec<io::Result<Vec<Run>>> = paths.iter().map(|_| Ok(Vec::new())).collect();
    for piece in 1..=pieces {
        for index in in_order((0..paths.len()).collect(), piece as usize) {
            let (Ok(runs), (_, path)) = (&mut outcomes[index], &paths[index]) else { continue };
            thread::sleep(PAUSE);
            let outcome = match path {
                Ok(path) => path.run(traffic, offload, span / pieces),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            match outcome {
                Ok(run) => runs.push(run),
                Err(error) => outcomes[index] = Err(error),
            }
        }
    }
    outcomes.into_iter().map(|runs| runs.map(|runs| Run::of_pieces(&runs))).collect()
}

/// Forwards in odd rounds, backwards in even ones: neighbours are first in turn.
pub(super) fn in_order<T>(mut cases: Vec<T>, round: usize) -> Vec<T> {
    if round.is_multiple_of(2) {
        cases.reverse();
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_alternates() {
        let cases = vec!['a', 'b', 'c'];
        assert_eq!(in_order(cases.clone(), 1), ['a', 'b', 'c']);
        assert_eq!(in_order(cases.clone(), 2), ['c', 'b', 'a']);
        assert_eq!(in_order(cases, 3), ['a', 'b', 'c']);
    }
}
