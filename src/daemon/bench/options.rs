//! The words behind `lispguard bench`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::case::Case;
use super::tools::Tools;
use super::traffic::Traffic;
use super::words::{Value, add};

/// What a bench is asked to do.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Options {
    /// What to compare; empty means all that can be had.
    pub(super) cases: Vec<Case>,
    /// What to send.
    pub(super) traffic: Vec<Traffic>,
    /// How long each run counts.
    pub(super) span: Duration,
    /// How often each case runs each traffic.
    pub(super) rounds: usize,
    /// Look for the best rate of UDP, and what comes through at three times that.
    pub(super) is_sweep: bool,
    /// Print JSON instead of a table.
    pub(super) is_json: bool,
    /// Where to draw a plot.
    pub(super) svg: Option<PathBuf>,
    /// Where programs of others are.
    pub(super) tools: Tools,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cases: Vec::new(),
            traffic: Vec::new(),
            span: Duration::from_secs(2),
            rounds: 5,
            is_sweep: false,
            is_json: false,
            svg: None,
            tools: Tools::default(),
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
    let mut words = words.iter();
    let mut has_subject = false;
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let (name, mut value) = Value::of(&text, &mut words);
        match name {
            "-h" | "--help" => return Ok(Asked::Help),
            "dataplane" if !has_subject => has_subject = true,
            "--json" => options.is_json = true,
            "--sweep" => options.is_sweep = true,
            "--case" => add(&mut options.cases, &value.take()?, "case", Case::named, &cases())?,
            "--traffic" => add(
                &mut options.traffic,
                &value.take()?,
                "traffic",
                Traffic::named,
                &Traffic::ALL.map(Traffic::name).join(", "),
            )?,
            "--seconds" => {
                options.span = Duration::from_secs_f64(value.number(0.05..=3600.0)?);
            }
            "--rounds" => options.rounds = value.number(1..=1000)?,
            "--svg" => options.svg = Some(value.path()?),
            "--wg" => options.tools.wg = Some(value.path()?),
            "--boringtun-cli" => options.tools.boringtun_cli = Some(value.path()?),
            "--wireguard-go" => options.tools.wireguard_go = Some(value.path()?),
            other => return Err(format!("unexpected '{other}'")),
        }
        value.expect_used()?;
    }
    if !has_subject {
        return Err("say what: lispguard bench dataplane, or lispguard bench handover".into());
    }
    complete(options).map(Asked::Run)
}

/// Fills in what depends on other words, and refuses what does not go together.
fn complete(mut options: Options) -> Result<Options, String> {
    if options.is_sweep && options.traffic.contains(&Traffic::Tcp) {
        return Err("--sweep is about UDP: choose --traffic udp-1362 or udp-64".into());
    }
    if options.is_sweep && options.svg.is_some() {
        return Err("--svg draws what a bench without --sweep measures".into());
    }
    if options.traffic.is_empty() {
        options.traffic =
            if options.is_sweep { vec![Traffic::Udp1362] } else { Traffic::ALL.into() };
    }
    Ok(options)
}

fn cases() -> String {
    Case::ALL.map(Case::name).join(", ")
}

/// The text of `lispguard bench --help`.
pub(super) fn help() -> String {
    let mut text = String::from(HELP);
    text.push_str(
        "\nCases, each in a little internet of its own; what cannot be had is left out:\n",
    );
    for case in Case::ALL {
        text.push_str(&format!("  {:<14} {}\n", case.name(), case.about()));
    }
    text.push_str("\nTraffic, from the host behind one site to the host behind the other:\n");
    for traffic in Traffic::ALL {
        text.push_str(&format!("  {:<14} {}\n", traffic.name(), traffic.about()));
    }
    text.push_str(NOTES);
    text
}

const HELP: &str = "\
lispguard bench: how fast packets go, side by side

Usage: lispguard bench dataplane [OPTION...]

  --case NAME,...       only these cases (default: all that can be had)
  --traffic NAME,...    only this traffic (default: all; with --sweep: udp-1362)
  --seconds N           how long each run counts (default 2)
  --rounds N            how often each case runs each traffic, in turn with the
                        others and in alternating order (default 5)
  --sweep               raise the rate of UDP step by step instead, then offer
                        three times the best rate that came through
  --json                print JSON instead of a table
  --svg FILE            draw the result
  --wg FILE             where wg is (default: in PATH; apt-get install
                        wireguard-tools)
  --boringtun-cli FILE  where boringtun-cli is (cargo install boringtun-cli)
  --wireguard-go FILE   where wireguard-go is (apt-get install wireguard-go)
";

const NOTES: &str = "
UDP's sender is told what arrived and keeps 256 datagrams on their way, fewer
than a queue has room for; a sweep's sender looks at the clock alone. Rates are
payload that arrived, in Mbit/s: median, lowest and highest run. Busy time is
that of the whole machine, so nothing else should run on it. Ratios are medians
of the ratios of one round each; from five rounds on, the bound holds with 95 %
confidence. Packets seen by lispguard are those that its two sites got from
their kernels, per 10,000 that arrived (TCP: of 1,368 octets, and
acknowledgements are seen, too). A sweep offers more and more until it does not
come through, then, --rounds times, its best step again and three times the rate
that came through there: medians, in Mbit/s.

It needs root, or a kernel that lets ordinary users make namespaces. Nothing
outside its own namespaces, one temporary directory per case and the userspace
programs' sockets in /var/run/wireguard is touched, and all of it is removed at
the end. Exit status: 0 done, 1 something failed, 2 wrong usage.
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
    fn names_are_lists_or_repeated_and_count_once() {
        let options = options("dataplane --case wg,kernel --case=routed,wg --traffic tcp");
        assert_eq!(options.cases, [Case::Wg, Case::Kernel, Case::Routed]);
        assert_eq!(options.traffic, [Traffic::Tcp]);
    }

    #[test]
    fn values_follow_or_are_attached() {
        let options =
            options("--seconds 0.3 dataplane --rounds=12 --json --svg x.svg --wg=/bin/wg");
        assert_eq!((options.span, options.rounds), (Duration::from_millis(300), 12));
        assert!(options.is_json && !options.is_sweep && options.cases.is_empty());
        assert_eq!(options.svg, Some(PathBuf::from("x.svg")));
        assert_eq!(options.tools.wg, Some(PathBuf::from("/bin/wg")));
        assert_eq!(options.traffic, Traffic::ALL);
    }

    #[test]
    fn a_sweep_is_about_udp() {
        assert_eq!(options("dataplane --sweep").traffic, [Traffic::Udp1362]);
        assert_eq!(options("dataplane --sweep --traffic udp-64").traffic, [Traffic::Udp64]);
    }

    #[test]
    fn wrong_words_are_named() {
        for (line, reason) in [
            ("", "say what"),
            ("--json", "say what"),
            ("controlplane", "unexpected 'controlplane'"),
            ("dataplane dataplane", "unexpected 'dataplane'"),
            ("dataplane --case wireguard", "no case 'wireguard'; there are routed, wg, kernel, "),
            ("dataplane --traffic udp", "no traffic 'udp'; there are tcp, udp-1362, udp-64"),
            ("dataplane --case", "--case needs a value"),
            ("dataplane --svg=", "--svg needs a value"),
            ("dataplane --json=yes", "--json takes no value"),
            ("dataplane --seconds nan", "a number from 0.05 to 3600, not 'nan'"),
            ("dataplane --seconds 0", "a number from 0.05"),
            ("dataplane --rounds 0", "a number from 1 to 1000, not '0'"),
            ("dataplane --sweep --traffic tcp", "--sweep is about UDP"),
            ("dataplane --sweep --svg x", "--svg draws"),
        ] {
            assert!(parse_line(line).unwrap_err().contains(reason), "{line}");
        }
        assert_eq!(parse_line("dataplane --rounds 3 -h"), Ok(Asked::Help));
        assert!(help().contains("wireguard-go configured with wg"));
        assert!(help().lines().all(|line| line.chars().count() <= 80), "{}", help());
    }
}
