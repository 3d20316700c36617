//! The words behind `lispguard bench handover`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::super::words::{Value, add};
use super::case::{Backend, Case};
use super::quality::Quality;

/// What a bench is asked to do.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Options {
    /// What happens.
    pub(super) cases: Vec<Case>,
    /// What forwards; empty means all that can be had.
    pub(super) backends: Vec<Backend>,
    /// How often each case runs with each backend.
    pub(super) runs: usize,
    /// Between two datagrams; a writing by TCP is as long as five of them.
    pub(super) interval: Duration,
    /// What the underlay's links are like.
    pub(super) quality: Quality,
    /// Print JSON instead of a table.
    pub(super) is_json: bool,
    /// Where to draw plots.
    pub(super) svg: Option<PathBuf>,
    /// Where to keep what the nodes log.
    pub(super) logs: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cases: Vec::new(),
            backends: Vec::new(),
            runs: 10,
            interval: Duration::from_millis(1),
            quality: Quality::default(),
            is_json: false,
            svg: None,
            logs: None,
        }
    }
}

/// What to do with the words.
#[derive(PartialEq, Debug)]
pub(super) enum Asked {
    /// Run the bench.
    Run(Options),
    /// Print the help.
    Help,
}

/// Reads the words; the error says which one is wrong.
pub(super) fn parse(words: &[OsString]) -> Result<Asked, String> {
    let mut options = Options::default();
    let quality = &mut options.quality;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let (name, mut value) = Value::of(&text, &mut words);
        match name {
            "-h" | "--help" => return Ok(Asked::Help),
            "--json" => options.is_json = true,
            "--case" => {
                let all = Case::ALL.map(Case::name).join(", ");
                add(&mut options.cases, &value.take()?, "case", Case::named, &all)?;
            }
            "--backend" => {
                let all = Backend::ALL.map(Backend::name).join(", ");
                add(&mut options.backends, &value.take()?, "backend", Backend::named, &all)?;
            }
            "--runs" => options.runs = value.number(1..=10_000)?,
            "--interval-ms" => {
                options.interval = Duration::from_secs_f64(value.number(0.2..=50.0)? / 1e3);
            }
            "--rtt-ms" => {
                quality.round_trip = Duration::from_secs_f64(value.number(0.0..=2000.0)? / 1e3);
            }
            "--loss" => quality.loss_percent = value.number(0.0..=50.0)?,
            "--rate" => quality.rate_mbit_s = Some(value.number(1.0..=10_000.0)?),
            "--svg" => options.svg = Some(value.path()?),
            "--logs" => options.logs = Some(value.path()?),
            other => return Err(format!("unexpected '{other}'")),
        }
        value.expect_used()?;
    }
    if options.cases.is_empty() {
        options.cases = Case::ALL.into();
    }
    Ok(Asked::Run(options))
}

/// The text of `lispguard bench handover --help`.
pub(super) fn help() -> String {
    let mut text = String::from(HELP);
    text.push_str("\nCases, each run in a little internet of its own:\n");
    for case in Case::ALL {
        text.push_str(&format!("  {:<18} {}\n", case.name(), case.about()));
    }
    text.push_str(NOTES);
    text
}

const HELP: &str = "\
lispguard bench handover: how long a mobile node is not heard while it moves

Usage: lispguard bench handover [OPTION...]

  --case NAME,...     only these cases (default: all)
  --backend NAME,...  kernel, userspace (default: all that can be had)
  --runs N            how often each case runs with each backend (default 10)
  --interval-ms N     between two datagrams (default 1)
  --rtt-ms N          round trip between any two nodes (default 10)
  --loss PERCENT      packets lost on the way from node to node (default 0)
  --rate MBIT         rate of every link, with a queue of 50 ms (default: any)
  --json              print JSON instead of a table
  --svg FILE          draw one run of each case, and the distribution of gaps
  --logs FOLDER       keep what the nodes log, at level debug, and the timelines
                      of their handovers
";

const NOTES: &str = "
The phone sends a UDP datagram each interval to the host behind home, which
echoes it; that host sends it 2,600 octets every five intervals by TCP, too.
Both run before the links change. gap: the longest time between two echoes
around the event; before: the same before the event, when only a busy machine
makes gaps; lost: datagrams never echoed (with --loss, those the links lose
among them); TCP stall: the longest time in which no octet arrived. Median,
lowest, 95th percentile and highest run. A run that is not heard again within
10 s has failed. On a busy machine, start it with `chrt -r 1`; on a slow one,
as a kernel in user mode is, `--interval-ms 5` leaves it time to breathe.

Links are changed by netlink from this process. Round trip, loss and rate are
the kernel's netem where it has that, else a forwarder of lispguard's own: the
underlay router's kernel hands it every packet by a TUN device and gets it back
when it is due, some 0.1 ms late. netem delays ARP replies to a node, too, half
a round trip at a new gateway; the forwarder does not. The result tells which
one it was.

It needs root, or a kernel that lets ordinary users make namespaces. Nothing
outside its own namespaces and a temporary directory per run is touched, and all
of it is removed at the end. Exit status: 0 done, 1 a run failed, 2 wrong usage.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Asked, String> {
        parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn options(line: &str) -> Options {
        match parse_line(line) {
            Ok(Asked::Run(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn without_words_every_case_runs_at_ten_milliseconds() {
        let options = options("");
        assert_eq!((options.cases, options.runs), (Case::ALL.to_vec(), 10));
        assert_eq!(options.interval, Duration::from_millis(1));
        assert!(options.backends.is_empty() && !options.is_json && options.logs.is_none());
        let round_trip = Duration::from_millis(10);
        let expected = Quality { round_trip, loss_percent: 0.0, rate_mbit_s: None };
        assert_eq!(options.quality, expected);
    }

    #[test]
    fn names_are_lists_or_repeated_and_values_follow_or_are_attached() {
        let options = options(
            "--case roam,link-down --case=silent,roam --backend kernel --runs=3 --rtt-ms 2.5 \
             --loss=1.5 --rate 20 --json --svg x.svg --logs=l",
        );
        assert_eq!(options.cases, [Case::Roam, Case::LinkDown, Case::Silent]);
        assert_eq!((options.backends, options.runs), (vec![Backend::Kernel], 3));
        let round_trip = Duration::from_micros(2500);
        let expected = Quality { round_trip, loss_percent: 1.5, rate_mbit_s: Some(20.0) };
        assert!(options.quality == expected && options.is_json);
        assert_eq!(options.svg, Some(PathBuf::from("x.svg")));
        assert_eq!(options.logs, Some(PathBuf::from("l")));
    }

    #[test]
    fn wrong_words_are_named() {
        for (line, reason) in [
            ("dataplane", "unexpected 'dataplane'"),
            ("--case walk", "no case 'walk'; there are link-down, carrier-loss, roam, silent"),
            ("--backend memory", "no backend 'memory'; there are kernel, userspace"),
            ("--runs 0", "--runs is a number from 1 to 10000, not '0'"),
            ("--interval-ms 0", "a number from 0.2 to 50, not '0'"),
            ("--rtt-ms -1", "a number from 0 to 2000, not '-1'"),
            ("--loss nan", "a number from 0 to 50, not 'nan'"),
            ("--rate 0", "a number from 1 to 10000"),
            ("--json=yes", "--json takes no value"),
            ("--svg", "--svg needs a value"),
        ] {
            assert!(parse_line(line).unwrap_err().contains(reason), "{line}");
        }
        assert_eq!(parse_line("--runs 3 -h"), Ok(Asked::Help));
        assert!(help().lines().all(|line| line.chars().count() <= 80), "{}", help());
        for case in Case::ALL {
            assert!(help().contains(case.name()));
        }
    }
}
