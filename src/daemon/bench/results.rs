//! What was measured, as a table and as JSON.

use std::fmt::Write;

use serde::Serialize;

use super::case::{COMPARED, Case};
use super::path::Run;
use super::statistics::{Summary, lower_bound, median, rounded};
use super::traffic::Traffic;
use crate::status::json;

/// All runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    series: Vec<Series>,
}

/// The runs of one case and traffic, by round; `None` where one failed.
#[derive(Clone, Debug)]
struct Series {
    case: Case,
    traffic: Traffic,
    runs: Vec<Option<Run>>,
}

/// What is told of one case and traffic; `null` where it does not apply.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Row {
    pub(super) case: &'static str,
    pub(super) traffic: &'static str,
    pub(super) mbit_s: Option<Summary>,
    pub(super) cpu_s_per_gb: Option<f64>,
    pub(super) user_packets_per_10000: Option<f64>,
}

/// How one case does beside another.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Ratio {
    pub(super) of: Case,
    pub(super) to: Case,
    pub(super) traffic: Traffic,
    pub(super) pairs: usize,
    pub(super) median: f64,
    pub(super) lower_bound: Option<f64>,
}

impl Results {
    /// Adds the next round's run of a case and traffic.
    pub(super) fn add(&mut self, case: Case, traffic: Traffic, run: Option<Run>) {
        let is_it = |series: &&mut Series| (series.case, series.traffic) == (case, traffic);
        match self.series.iter_mut().find(is_it) {
            Some(series) => series.runs.push(run),
            None => self.series.push(Series { case, traffic, runs: vec![run] }),
        }
    }

    /// Each case and traffic, by traffic, in the order in which cases are listed.
    pub(super) fn rows(&self) -> Vec<Row> {
        let series = |case, traffic| {
            self.series.iter().find(move |one| (one.case, one.traffic) == (case, traffic))
        };
        let of_traffic =
            |traffic| Case::ALL.into_iter().filter_map(move |case| series(case, traffic));
        Traffic::ALL.into_iter().flat_map(of_traffic).map(Series::row).collect()
    }

    /// The cases that are compared, where both ran.
    pub(super) fn ratios(&self) -> Vec<Ratio> {
        let pairs = Traffic::ALL
            .into_iter()
            .flat_map(|traffic| COMPARED.into_iter().map(move |(of, to)| (traffic, of, to)));
        pairs.filter_map(|(traffic, of, to)| self.ratio(of, to, traffic)).collect()
    }

    fn ratio(&self, of: Case, to: Case, traffic: Traffic) -> Option<Ratio> {
        let runs = |case| {
            let series = self.series.iter().find(|one| (one.case, one.traffic) == (case, traffic));
            series.map(|series| series.runs.iter())
        };
        let ratio = |(of, to): (&Option<Run>, &Option<Run>)| {
            let (of, to) = (of.as_ref()?.mbit_s, to.as_ref()?.mbit_s);
            (to > 0.0).then(|| of / to)
        };
        let ratios: Vec<f64> = runs(of)?.zip(runs(to)?).filter_map(ratio).collect();
        Some(Ratio {
            of,
            to,
            traffic,
            pairs: ratios.len(),
            median: median(&ratios)?,
            lower_bound: lower_bound(&ratios),
        })
    }

    /// The JSON array and a newline.
    pub(super) fn to_json(&self) -> String {
        json(&self.rows())
    }

    /// The table, with the ratios below.
    pub(super) fn table(&self) -> String {
        let mut table = format!(
            "{:<10} {:<14} {:>9} {:>9} {:>9} {:>11} {:>12}\n",
            "traffic", "case", "Mbit/s", "min", "max", "busy s/GB", "seen/10,000"
        );
        for row in self.rows() {
            let rate = |pick: fn(&Summary) -> f64| {
                row.mbit_s.as_ref().map_or("-".into(), |rate| format!("{:.1}", pick(rate)))
            };
            let shown = |value: Option<f64>, decimals: usize| {
                value.map_or("-".into(), |value| format!("{value:.decimals$}"))
            };
            let _ = writeln!(
                table,
                "{:<10} {:<14} {:>9} {:>9} {:>9} {:>11} {:>12}",
                row.traffic,
                row.case,
                rate(|rate| rate.median),
                rate(|rate| rate.min),
                rate(|rate| rate.max),
                shown(row.cpu_s_per_gb, 2),
                shown(row.user_packets_per_10000, 1),
            );
        }
        table.push_str(&self.ratio_lines());
        table
    }

    /// One line for each ratio, with a line before the first.
    pub(super) fn ratio_lines(&self) -> String {
        let mut lines = String::new();
        for ratio in self.ratios() {
            if lines.is_empty() {
                lines.push('\n');
            }
            let (of, to, traffic) = (ratio.of.name(), ratio.to.name(), ratio.traffic.name());
            let _ = write!(lines, "{of} / {to}, {traffic}: {:.3}", ratio.median);
            let _ = match ratio.lower_bound {
                Some(bound) => {
                    write!(lines, ", at least {bound:.3} with 95 % confidence")
                }
                None => write!(lines, ", too few rounds for a bound"),
            };
            let noun = if ratio.pairs == 1 { "pair" } else { "pairs" };
            let _ = writeln!(lines, " (median of {} {noun})", ratio.pairs);
        }
        lines
    }
}

impl Series {
    fn row(&self) -> Row {
        let values = |pick: fn(&Run) -> Option<f64>| -> Vec<f64> {
            self.runs.iter().flatten().filter_map(pick).collect()
        };
        let in_tenths = |rate: Summary| Summary {
            min: rounded(rate.min, 1),
            median: rounded(rate.median, 1),
            max: rounded(rate.max, 1),
        };
        Row {
            case: self.case.name(),
            traffic: self.traffic.name(),
            mbit_s: Summary::of(&values(|run| Some(run.mbit_s))).map(in_tenths),
            cpu_s_per_gb: median(&values(|run| run.cpu_s_per_gb)).map(|value| rounded(value, 3)),
            user_packets_per_10000: median(&values(|run| run.user_packets_per_10000))
                .map(|value| rounded(value, 2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mbit_s: f64, user_packets_per_10000: Option<f64>) -> Option<Run> {
        Some(Run { mbit_s, cpu_s_per_gb: Some(3.456_78), user_packets_per_10000 })
    }

    fn results() -> Results {
        let mut results = Results::default();
        for rate in [100.0, 200.0, 300.0, 400.0, 500.0] {
            results.add(Case::Kernel, Traffic::Tcp, run(rate * 0.99, Some(0.0)));
            results.add(Case::Wg, Traffic::Tcp, run(rate, None));
        }
        results.add(Case::Routed, Traffic::Udp64, None);
        results
    }

    #[test]
    fn the_json_has_every_field_of_every_row() {
        assert_eq!(
            results().to_json(),
            concat!(
                r#"[{"case":"wg","traffic":"tcp","mbit_s":{"min":100.0,"median":300.0,"#,
                r#""max":500.0},"cpu_s_per_gb":3.457,"user_packets_per_10000":null},"#,
                r#"{"case":"kernel","traffic":"tcp","mbit_s":{"min":99.0,"median":297.0,"#,
                r#""max":495.0},"cpu_s_per_gb":3.457,"user_packets_per_10000":0.0},"#,
                r#"{"case":"routed","traffic":"udp-64","mbit_s":null,"cpu_s_per_gb":null,"#,
                "\"user_packets_per_10000\":null}]\n"
            )
        );
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let ratios = results().ratios();
        assert_eq!(ratios.len(), 1);
        assert!((ratios[0].median - 0.99).abs() < 1e-9);
        assert!(ratios[0].lower_bound.is_some_and(|bound| (bound - 0.99).abs() < 1e-9));
        let mut results = results();
        results.add(Case::Kernel, Traffic::Tcp, None);
        results.add(Case::Wg, Traffic::Tcp, run(1.0, None));
        assert_eq!(results.ratios()[0].pairs, 5);
    }

    #[test]
    fn the_table_has_a_line_for_each_row_and_ratio() {
        let table = results().table();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 6, "{table}");
        assert!(lines[2].starts_with("tcp        kernel             297.0      99.0     495.0"));
        assert!(lines[2].ends_with("3.46          0.0"), "{table}");
        assert!(lines[3].ends_with("-            -"), "{table}");
        let ratio = "kernel / wg, tcp: 0.990, at least 0.990 with 95 % confidence";
        assert!(lines[5].starts_with(ratio), "{table}");
    }
}
