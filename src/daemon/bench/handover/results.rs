//! What was measured, as a table and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::super::statistics::{Spread, rounded};
use super::case::{Backend, Case};
use super::quality::Quality;
use super::run::{Run, Traces};
use crate::status::json;

/// All runs.
#[derive(Clone, Debug)]
pub(super) struct Results {
    quality: Quality,
    interval: Duration,
    series: Vec<Series>,
}

/// The runs of one case with one backend.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) case: Case,
    pub(super) backend: Backend,
    failed: usize,
    underlay: Option<&'static str>,
    pub(super) gaps_ms: Vec<f64>,
    gaps_before_ms: Vec<f64>,
    lost: Vec<f64>,
    tcp_stalls_ms: Vec<f64>,
    /// Of the first run.
    pub(super) traces: Option<Traces>,
}

/// What is told of one case with one backend; `null` where no run was good.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
struct Row {
    case: &'static str,
    backend: &'static str,
    rtt_ms: f64,
    loss_percent: f64,
    rate_mbit_s: Option<f64>,
    interval_ms: f64,
    underlay: Option<&'static str>,
    runs: usize,
    failed: usize,
    gap_ms: Option<Spread>,
    gap_before_ms: Option<Spread>,
    lost: Option<Spread>,
    tcp_stall_ms: Option<Spread>,
}

impl Results {
    /// Of runs over links of a quality, with a datagram each `interval`.
    pub(super) fn new(quality: Quality, interval: Duration) -> Results {
        Results { quality, interval, series: Vec::new() }
    }

    /// Adds a run; `None` is one that failed.
    pub(super) fn add(&mut self, case: Case, backend: Backend, run: Option<Run>) {
        let is_it = |series: &Series| (series.case, series.backend) == (case, backend);
        let place = self.series.iter().position(is_it).unwrap_or_else(|| {
            self.series.push(Series::new(case, backend));
            self.series.len() - 1
        });
        self.series[place].add(run);
    }

    /// Each case and backend, in the order in which they came.
    pub(super) fn series(&self) -> &[Series] {
        &self.series
    }

    /// Whether a run failed.
    pub(super) fn has_failed(&self) -> bool {
        self.series.iter().any(|series| series.failed > 0)
    }

    /// The JSON array and a newline.
    pub(super) fn to_json(&self) -> String {
        json(&self.rows())
    }

    fn rows(&self) -> Vec<Row> {
        self.series.iter().map(|series| series.row(&self.quality, self.interval)).collect()
    }

    /// What the links were like, and four lines for each case and backend.
    pub(super) fn table(&self) -> String {
        let rows = self.rows();
        let mut table =
            conditions(&self.quality, self.interval, rows.iter().find_map(|row| row.underlay));
        let _ = writeln!(
            table,
            "\n{:<18} {:<10} {:<13} {:>9} {:>9} {:>9} {:>9}",
            "case", "backend", "", "median", "min", "p95", "max"
        );
        for row in &rows {
            let runs = match row.failed {
                0 => format!("{} runs", row.runs),
                failed => format!("{} runs, {failed} FAILED", row.runs + failed),
            };
            for (index, (what, spread, decimals)) in [
                ("gap ms", row.gap_ms, 1),
                ("before ms", row.gap_before_ms, 1),
                ("lost", row.lost, 0),
                ("TCP stall ms", row.tcp_stall_ms, 1),
            ]
            .into_iter()
            .enumerate()
            {
                let (name, second) = match index {
                    0 => (row.case, row.backend),
                    1 => (&*runs, ""),
                    _ => ("", ""),
                };
                let _ = write!(table, "{name:<18} {second:<10} {what:<13}");
                let cell = |pick: fn(&Spread) -> f64| {
                    spread.map_or("-".into(), |spread| format!("{:.decimals$}", pick(&spread)))
                };
                let _ = writeln!(
                    table,
                    " {:>9} {:>9} {:>9} {:>9}",
                    cell(|it| it.median),
                    cell(|it| it.min),
                    cell(|it| it.p95),
                    cell(|it| it.max)
                );
            }
        }
        table
    }
}

/// A line about the links.
fn conditions(quality: &Quality, interval: Duration, underlay: Option<&str>) -> String {
    let by = match underlay {
        Some("forwarder") => "a forwarder of our own",
        Some(other) => other,
        None => "nothing",
    };
    let mut line = format!("round trip {} ms", milliseconds(quality.round_trip));
    if quality.loss_percent > 0.0 {
        let _ = write!(line, ", {} % lost", quality.loss_percent);
    }
    if let Some(rate) = quality.rate_mbit_s {
        let _ = write!(line, ", {rate} Mbit/s");
    }
    let _ = writeln!(
        line,
        " between any two nodes, by {by}; a datagram each {} ms",
        milliseconds(interval)
    );
    line
}

/// One run in a line.
pub(super) fn line(run: &Run) -> String {
    format!(
        "gap {:.1} ms (before the event {:.1} ms), {} lost, TCP stalls for {:.1} ms",
        milliseconds(run.gap),
        milliseconds(run.gap_before),
        run.lost,
        milliseconds(run.tcp_stall)
    )
}

impl Series {
    fn new(case: Case, backend: Backend) -> Series {
        Series {
            case,
            backend,
            failed: 0,
            underlay: None,
            gaps_ms: Vec::new(),
            gaps_before_ms: Vec::new(),
            lost: Vec::new(),
            tcp_stalls_ms: Vec::new(),
            traces: None,
        }
    }

    fn add(&mut self, run: Option<Run>) {
        let Some(run) = run else {
            self.failed += 1;
            return;
        };
        self.gaps_ms.push(milliseconds(run.gap));
        self.gaps_before_ms.push(milliseconds(run.gap_before));
        self.lost.push(run.lost as f64);
        self.tcp_stalls_ms.push(milliseconds(run.tcp_stall));
        self.underlay = Some(run.underlay);
        self.traces.get_or_insert(run.traces);
    }

    fn row(&self, quality: &Quality, interval: Duration) -> Row {
        Row {
            case: self.case.name(),
            backend: self.backend.name(),
            rtt_ms: milliseconds(quality.round_trip),
            loss_percent: quality.loss_percent,
            rate_mbit_s: quality.rate_mbit_s,
            interval_ms: milliseconds(interval),
            underlay: self.underlay,
            runs: self.gaps_ms.len(),
            failed: self.failed,
            gap_ms: Spread::of(&self.gaps_ms).map(Spread::rounded),
            gap_before_ms: Spread::of(&self.gaps_before_ms).map(Spread::rounded),
            lost: Spread::of(&self.lost),
            tcp_stall_ms: Spread::of(&self.tcp_stalls_ms).map(Spread::rounded),
        }
    }
}

/// To microseconds.
pub(super) fn milliseconds(span: Duration) -> f64 {
    rounded(span.as_secs_f64() * 1e3, 3)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// What the README promises of the JSON; whoever reads it need not know more.
    #[derive(Debug, Deserialize)]
    struct Promised<'a> {
        case: &'a str,
        backend: &'a str,
        rtt_ms: f64,
        runs: usize,
        gap_ms: Option<Numbers>,
        lost: Option<Numbers>,
        tcp_stall_ms: Option<Numbers>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Numbers {
        min: f64,
        median: f64,
        p95: f64,
        max: f64,
    }

    fn results() -> Results {
        let quality = Quality { loss_percent: 1.0, ..Quality::default() };
        let mut results = Results::new(quality, Duration::from_millis(1));
        for number in 1..=20_u64 {
            let run = Run {
                gap: Duration::from_micros(number * 1500),
                gap_before: Duration::from_millis(2),
                lost: number as usize,
                tcp_stall: Duration::from_millis(number * 10),
                underlay: "forwarder",
                traces: Traces::default(),
            };
            results.add(Case::LinkDown, Backend::Userspace, Some(run));
        }
        results.add(Case::LinkDown, Backend::Userspace, None);
        results.add(Case::Silent, Backend::Kernel, None);
        results
    }

    #[test]
    fn the_json_is_read_back() {
        let json = results().to_json();
        let (rows, _): (Vec<Promised<'_>>, _) = serde_json_core::from_str(&json).unwrap();
        let [row, failed] = &*rows else { panic!("{json}") };
        assert_eq!((row.case, row.backend, row.rtt_ms), ("link-down", "userspace", 10.0));
        assert_eq!(row.runs, 20);
        let numbers = |min, median, p95, max| Some(Numbers { min, median, p95, max });
        assert_eq!(row.gap_ms, numbers(1.5, 15.75, 28.5, 30.0));
        assert_eq!(row.lost, numbers(1.0, 10.5, 19.0, 20.0));
        assert_eq!(row.tcp_stall_ms, numbers(10.0, 105.0, 190.0, 200.0));
        assert_eq!((failed.case, failed.backend, failed.runs), ("silent", "kernel", 0));
        assert!(failed.gap_ms.is_none() && results().has_failed());
        assert!(json.contains(r#""underlay":"forwarder","runs":20,"failed":1,"#), "{json}");
    }

    #[test]
    fn the_table_has_four_lines_for_each_case_and_backend() {
        let table = results().table();
        let lines: Vec<_> = table.lines().collect();
        let links = "round trip 10 ms, 1 % lost between any two nodes, by a forwarder of our own; \
                     a datagram each 1 ms";
        assert_eq!((lines[0], lines.len()), (links, 11), "{table}");
        assert!(lines[3].starts_with("link-down          userspace  gap ms"), "{table}");
        assert!(lines[3].ends_with("15.8       1.5      28.5      30.0"), "{table}");
        assert!(lines[4].starts_with("21 runs, 1 FAILED"), "{table}");
        assert!(lines[7].ends_with("-         -         -         -"), "{table}");
    }
}
