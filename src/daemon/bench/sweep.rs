//! How much UDP fits, and what becomes of three times as much.

use std::fmt::Write;
use std::io;
use std::time::Duration;

use linux::udp::Offload;
use serde::Serialize;

use super::options::Options;
use super::path::Path;
use super::statistics::{median, rounded};
use super::traffic::Traffic;
use super::udp::Stream;
use crate::status::json;

/// The first step in datagrams per second, and how much more the next one offers.
const FIRST: f64 = 2000.0;
const STEP: f64 = 1.3;
/// Steps that bring less than this part of the best are beyond it; so many of them end the sweep.
const BEYOND: f64 = 0.9;
const STEPS_BEYOND: usize = 3;
/// A sender that does not reach this part of what it is to offer is at its own end.
const REACHED: f64 = 0.8;
/// How many times the best rate is offered then.
const OVERLOAD: f64 = 3.0;

/// What was found of one case; rates are payload in Mbit/s.
#[derive(Clone, Debug, Serialize)]
struct Row {
    case: &'static str,
    traffic: &'static str,
    /// The step of which most arrived.
    best: Step,
    /// What arrived of it when it was run again in turn with the overload: the median.
    again_mbit_s: f64,
    /// Three times the best rate offered, and what arrived of it: medians.
    overload: Step,
    /// What arrived under overload by the best rate.
    overload_per_best: f64,
    steps: Vec<Step>,
}

/// One rate.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Step {
    offered_mbit_s: f64,
    delivered_mbit_s: f64,
}

/// Sweeps each case and tells how it goes on standard error; what to print, and whether a case
/// failed.
pub(super) fn measure(paths: &[Path], options: &Options, offload: Offload) -> (String, bool) {
    let (mut rows, mut has_failed) = (Vec::new(), false);
    for traffic in &options.traffic {
        for path in paths {
            match (Sweep { path, traffic: *traffic, offload, span: options.span })
                .run(options.rounds)
            {
                Ok(row) => rows.push(row),
                Err(error) => {
                    eprintln!("{}, {}: FAILED ({error})", path.case().name(), traffic.name());
                    has_failed = true;
                }
            }
        }
    }
    (if options.is_json { json(&rows) } else { table(&rows) }, has_failed)
}

struct Sweep<'a> {
    path: &'a Path,
    traffic: Traffic,
    offload: Offload,
    span: Duration,
}

impl Sweep<'_> {
    fn run(&self, rounds: usize) -> io::Result<Row> {
        let octets = self.traffic.datagram_len().unwrap_or_default() as f64;
        let steps = ascend(FIRST * octets * 8.0 / 1e6, |rate| self.offer(rate))?;
        let best = best(&steps);
        let (mut again, mut offered, mut delivered) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let fitting = self.offer(best.offered_mbit_s)?;
            let overload = self.offer(best.delivered_mbit_s * OVERLOAD)?;
            again.push(fitting.delivered_mbit_s);
            offered.push(overload.offered_mbit_s);
            delivered.push(overload.delivered_mbit_s);
        }
        let middle = |values: &[f64]| rounded(median(values).unwrap_or_default(), 1);
        let overload =
            Step { offered_mbit_s: middle(&offered), delivered_mbit_s: middle(&delivered) };
        let ratio = overload.delivered_mbit_s / best.delivered_mbit_s.max(1e-9);
        Ok(Row {
            case: self.path.case().name(),
            traffic: self.traffic.name(),
            best,
            again_mbit_s: middle(&again),
            overload,
            overload_per_best: rounded(ratio, 3),
            steps,
        })
    }

    fn offer(&self, mbit_s: f64) -> io::Result<Step> {
        let datagram_len = self.traffic.datagram_len().unwrap_or_default();
        let stream = Stream { datagram_len, mbit_s: Some(mbit_s), span: self.span };
        let outcome = self.path.stream(self.offload, &stream)?;
        let step = Step {
            offered_mbit_s: rounded(outcome.offered_mbit_s, 1),
            delivered_mbit_s: rounded(outcome.measured.mbit_s(), 1),
        };
        eprintln!(
            "{}, {}: {:.0} Mbit/s offered, {:.0} delivered",
            self.path.case().name(),
            self.traffic.name(),
            step.offered_mbit_s,
            step.delivered_mbit_s
        );
        Ok(step)
    }
}

/// Offers more and more until it is beyond what fits, or the sender cannot.
fn ascend(first: f64, mut offer: impl FnMut(f64) -> io::Result<Step>) -> io::Result<Vec<Step>> {
    let (mut steps, mut rate, mut beyond) = (Vec::new(), first, 0);
    while beyond < STEPS_BEYOND {
        let step = offer(rate)?;
        steps.push(step);
        let is_fitting = step.delivered_mbit_s > BEYOND * step.offered_mbit_s;
        beyond = if is_fitting { 0 } else { beyond + 1 };
        if step.offered_mbit_s < REACHED * rate {
            break;
        }
        rate *= STEP;
    }
    Ok(steps)
}

fn best(steps: &[Step]) -> Step {
    let by_delivery = |a: &&Step, b: &&Step| a.delivered_mbit_s.total_cmp(&b.delivered_mbit_s);
    steps.iter().max_by(by_delivery).copied().unwrap_or_default()
}

fn table(rows: &[Row]) -> String {
    let mut table = format!(
        "{:<10} {:<14} {:>9} {:>9} {:>17} {:>9} {:>7}\n",
        "traffic", "case", "best", "again", "overload offered", "delivered", "/ best"
    );
    for row in rows {
        let times = row.overload.offered_mbit_s / row.best.delivered_mbit_s.max(1e-9);
        let _ = writeln!(
            table,
            "{:<10} {:<14} {:>9.1} {:>9.1} {:>10.1} (x{times:.1}) {:>9.1} {:>7.3}",
            row.traffic,
            row.case,
            row.best.delivered_mbit_s,
            row.again_mbit_s,
            row.overload.offered_mbit_s,
            row.overload.delivered_mbit_s,
            row.overload_per_best,
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tunnel that carries `fits` and collapses beyond, under a sender that reaches `most`.
    fn tunnel(fits: f64, most: f64) -> impl FnMut(f64) -> io::Result<Step> {
        move |rate| {
            let offered = rate.min(most);
            let delivered = if offered <= fits { offered } else { fits * fits / offered };
            Ok(Step { offered_mbit_s: offered, delivered_mbit_s: delivered })
        }
    }

    #[test]
    fn a_sweep_ends_beyond_what_fits() {
        let steps = ascend(20.0, tunnel(500.0, 1e9)).unwrap();
        let best = best(&steps);
        assert!((500.0 / STEP..=500.0).contains(&best.delivered_mbit_s), "{best:?}");
        assert!(steps.last().unwrap().offered_mbit_s < 500.0 * STEP.powi(4));
    }

    #[test]
    fn a_sweep_ends_where_the_sender_does() {
        let steps = ascend(20.0, tunnel(1e9, 1000.0)).unwrap();
        assert_eq!(best(&steps).delivered_mbit_s, 1000.0);
        assert!(steps.len() < 20);
    }

    #[test]
    fn the_table_says_how_much_was_offered() {
        let step = Step { offered_mbit_s: 100.0, delivered_mbit_s: 100.0 };
        let row = Row {
            case: "userspace",
            traffic: "udp-1362",
            best: step,
            again_mbit_s: 99.0,
            overload: Step { offered_mbit_s: 300.0, delivered_mbit_s: 90.0 },
            overload_per_best: 0.9,
            steps: vec![step],
        };
        let table = table(std::slice::from_ref(&row));
        assert!(table.contains("300.0 (x3.0)") && table.ends_with("90.0   0.900\n"), "{table}");
        assert!(json(&[row]).contains("\"overload_per_best\":0.9,\"steps\":[{\"offered_mbit_s\""));
    }
}
