//! The words behind `lispguard demo`.

use std::ffi::OsString;
use std::time::Duration;

use super::step::Step;

/// What the demo is asked to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Options {
    /// Print one JSON object instead of lines.
    pub(super) is_json: bool,
    /// Leave everything running after the steps until a signal comes.
    pub(super) is_kept: bool,
    /// The data plane of all nodes, as `option dataplane` has it.
    pub(super) dataplane: Option<String>,
    /// Put `office` behind an address translation.
    pub(super) is_masqueraded: bool,
    /// How long the handover may interrupt the phone at most, where not 100 ms.
    pub(super) max_gap: Option<Duration>,
    /// The steps to do; empty means all.
    pub(super) only: Vec<Step>,
}

/// What to do with the words.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// Run the demo.
    Run(Options),
    /// Print the help.
    Help,
}

impl Options {
    /// Whether a step is to be done: those that all others stand on always are.
    pub(super) fn includes(&self, step: Step) -> bool {
        self.only.is_empty() || step.is_foundation() || self.only.contains(&step)
    }
}

/// Reads the words; the error says which one is wrong.
pub(super) fn parse(words: &[OsString]) -> Result<Asked, String> {
    let mut options = Options::default();
    let mut words = words.iter().map(|word| word.to_string_lossy()).peekable();
    while let Some(word) = words.next() {
        match &*word {
            "-h" | "--help" => return Ok(Asked::Help),
            "--json" => options.is_json = true,
            "--keep" => options.is_kept = true,
            "--nat" => options.is_masqueraded = true,
            "--max-gap" => options.max_gap = Some(max_gap(words.next().as_deref())?),
            "--dataplane" => options.dataplane = Some(dataplane(words.next().as_deref())?),
            "--only" => {
                let is_operand = |word: &std::borrow::Cow<'_, str>| !word.starts_with('-');
                while let Some(names) = words.next_if(is_operand) {
                    for name in names.split(',').filter(|name| !name.is_empty()) {
                        options.only.push(Step::named(name).ok_or_else(|| unknown_step(name))?);
                    }
                }
                if options.only.is_empty() {
                    return Err(format!("--only needs a step: {}", step_names()));
                }
            }
            other => return Err(format!("unexpected '{other}'")),
        }
    }
    Ok(Asked::Run(options))
}

/// The text of `lispguard demo --help`.
pub(super) fn help() -> String {
    let mut text = String::from(HELP);
    for step in Step::ALL {
        text.push_str(&format!("  {:<13} {}\n", step.name(), step.about()));
    }
    text
}

/// What `option dataplane` takes.
const DATAPLANES: [&str; 3] = ["auto", "kernel", "userspace"];

const HELP: &str = "\
lispguard demo: a small internet in network namespaces, and everything tried in it

Usage: lispguard demo [--json] [--keep] [--dataplane NAME] [--nat] [--max-gap MS]
                      [--only STEP...]

  --only STEP...    only these steps, and the first two
  --dataplane NAME  auto, kernel or userspace: what the nodes forward with
  --nat             office stands behind an address translation (needs nft)
  --max-gap MS      what the handover's gap may be (default 100), for a busy machine
  --keep            leave it running afterwards and print how to enter each node;
                    Ctrl-C ends it
  --json            print one JSON object instead

Without --nat it needs no other program; root, or a kernel that lets ordinary users make
namespaces. Nothing outside its own namespaces and one temporary directory is
touched. Exit status: 0 every claim held, 1 one failed, 2 wrong usage.

Steps:
";

fn max_gap(text: Option<&str>) -> Result<Duration, String> {
    let milliseconds = text.and_then(|text| text.parse::<u32>().ok()).filter(|ms| *ms > 0);
    let milliseconds = milliseconds.ok_or("--max-gap is a number of milliseconds")?;
    Ok(Duration::from_millis(milliseconds.into()))
}

fn dataplane(name: Option<&str>) -> Result<String, String> {
    let known = name.filter(|name| DATAPLANES.contains(name));
    known
        .map(str::to_owned)
        .ok_or_else(|| format!("--dataplane is one of {}", DATAPLANES.join(", ")))
}

fn unknown_step(name: &str) -> String {
    format!("there is no step '{name}'; the steps are {}", step_names())
}

fn step_names() -> String {
    Step::ALL.map(Step::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Asked, String> {
        parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn steps_are_words_or_lists_and_end_at_the_next_option() {
        let only = vec![Step::Ping, Step::Tcp, Step::Table];
        let expected = Options { is_json: true, is_kept: true, only, ..Options::default() };
        let asked = parse_line("--keep --only ping tcp,table --json").unwrap();
        assert_eq!(asked, Asked::Run(expected.clone()));
        assert!(expected.includes(Step::Tunnels) && expected.includes(Step::Tcp));
        assert!(!expected.includes(Step::Handover));
        assert!(Options::default().includes(Step::Handover));
    }

    #[test]
    fn what_the_nodes_forward_with_is_chosen() {
        let asked = parse_line("--dataplane kernel --nat").unwrap();
        let dataplane = Some("kernel".into());
        let expected = Options { dataplane, is_masqueraded: true, ..Options::default() };
        assert_eq!(asked, Asked::Run(expected));
    }

    #[test]
    fn wrong_words_are_named() {
        for (line, reason) in [
            ("--only pong", "no step 'pong'; the steps are tunnels, "),
            ("--only --json", "--only needs a step"),
            ("ping", "unexpected 'ping'"),
            ("--dataplane fast", "one of auto, kernel, userspace"),
            ("--dataplane", "one of auto, kernel, userspace"),
        ] {
            assert!(parse_line(line).unwrap_err().contains(reason), "{line}");
        }
        assert_eq!(parse_line("--json -h"), Ok(Asked::Help));
    }
}
