//! `lispguard demo`, as a newcomer and as CI run it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use daemon::demo::net::{Scratch, has_privilege};
use serde::Deserialize;

use crate::testbed::{alone, beside_others, dataplane, eventually, lispguard, program};

/// What `--json` promises.
#[derive(Debug, Deserialize)]
struct Report {
    ok: bool,
    registered_ms: Option<u64>,
    first_packet_lost: Option<u64>,
    first_reply_ms: Option<f64>,
    tcp_mbit_s: Option<f64>,
    handover_gap_ms: Option<f64>,
    handover_lost: Option<u64>,
    underlay: Option<Underlay>,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Underlay {
    wireguard: u64,
    lisp_clear: u64,
    inner_clear: u64,
}

#[derive(Debug, Deserialize)]
struct Step {
    name: String,
    ok: bool,
}

fn parse(json: &str) -> Report {
    let mut escapes = vec![0; json.len()];
    let (report, _) = serde_json_core::from_str_escaped(json, &mut escapes)
        .unwrap_or_else(|error| panic!("{error}: {json}"));
    report
}

fn assert_all_claims(json: &str) {
    let report = parse(json);
    assert!(report.ok, "{json}");
    assert_eq!(report.steps.len(), 9, "{json}");
    assert!(report.steps.iter().all(|step| step.ok && !step.name.is_empty()), "{json}");
    assert!(report.registered_ms.is_some() && report.first_reply_ms.is_some(), "{json}");
    assert_eq!(report.first_packet_lost, Some(0), "{json}");
    assert!(report.tcp_mbit_s.is_some_and(|rate| rate > 1.0), "{json}");
    assert!(report.handover_gap_ms.is_some_and(|gap| gap < 100.0), "{json}");
    assert!(report.handover_lost.is_some(), "{json}");
    let underlay = report.underlay.expect("it was looked at");
    assert!(underlay.wireguard > 0, "{json}");
    assert_eq!((underlay.lisp_clear, underlay.inner_clear), (0, 0), "{json}");
}

/// Whether a directory of this process's demo is there.
fn scratch_of(process: u32) -> PathBuf {
    std::env::temp_dir().join(format!("lispguard-demo-{process}"))
}

/// The words of a demo, with the data plane that the environment names.
fn demo_words<'a>(words: &[&'a str], dataplane: Option<&'a str>) -> Vec<&'a str> {
    let chosen = dataplane.map(|name| ["--dataplane", name]);
    let chosen = chosen.as_ref().map_or(&[][..], |words| &words[..]);
    ["demo"].iter().chain(words).chain(chosen).copied().collect()
}

#[test]
fn every_claim_of_the_demo_holds() {
    let _alone = alone();
    let since = Instant::now();
    let said = lispguard(demo_words(&["--json"], dataplane().as_deref()));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_all_claims(&said.out);
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}

#[test]
fn an_ordinary_user_sees_the_same() {
    if !has_privilege().expect("/proc is mounted") {
        // The test above ran as one.
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new().expect("a directory");
    let copy = scratch.path().join("lispguard");
    fs::copy(program(), &copy).expect("a copy");
    open_to_all(scratch.path());
    // Not every machine lets users open the TUN device: here one that does is put in its place,
    // for this process alone.
    let script = "mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && \
                  chmod 755 /dev/net && exec setpriv --reuid 65534 --regid 65534 --clear-groups \
                  \"$0\" \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(&copy)
        .args(demo_words(&["--json"], dataplane().as_deref()))
        .output()
        .expect("util-linux is installed");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert_all_claims(&out);
}

fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("ours");
}

#[test]
fn a_chosen_step_runs_alone_and_a_wrong_word_is_refused() {
    let _beside = beside_others();
    let said = lispguard(demo_words(&["--json", "--only", "ping"], dataplane().as_deref()));
    assert_eq!(said.code, Some(0), "{said:?}");
    let report = parse(&said.out);
    let names: Vec<_> = report.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["tunnels", "registered", "ping"]);
    assert!(report.tcp_mbit_s.is_none() && report.underlay.is_none());
    for words in [&["demo", "--only", "pong"][..], &["demo", "--fast"]] {
        let said = lispguard(words);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains("--help"), "{said:?}");
    }
    let help = lispguard(["demo", "--help"]);
    assert!(help.code == Some(0) && help.out.contains("first-packet"), "{help:?}");
}

#[test]
fn an_unknown_data_plane_is_refused() {
    let said = lispguard(["demo", "--dataplane", "quick"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("auto, kernel, userspace"), "{said:?}");
}

#[test]
fn what_a_killed_or_interrupted_demo_made_goes_away() {
    let _beside = beside_others();
    for signal in [linux::signals::Signal::SIGINT, linux::signals::Signal::SIGKILL] {
        let mut command = Command::new(program());
        let words = ["--keep", "--only", "ping"];
        command.args(demo_words(&words, dataplane().as_deref())).process_group(0);
        let demo = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let process = demo.id();
        let mut demo = Ended(demo);
        let directory = scratch_of(process);
        let nodes = || children_of(process);
        assert_eq!(entrances(&mut demo.0), 7, "the router, the nodes and the hosts");
        assert_eq!(nodes().len(), 4);
        let nodes = nodes();
        linux::process::send_signal(process, signal).expect("sent");
        demo.0.wait().expect("it ends");
        assert!(eventually(|| nodes.iter().all(|node| has_ended(*node))), "its nodes end");
        if signal == linux::signals::Signal::SIGKILL {
            // Nobody was left to remove the directory: the next start does, of whatever demo.
            drop(Scratch::new().expect("a directory"));
        }
        assert!(!directory.exists(), "{}", directory.display());
    }
}

/// A process that does not outlive the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads what the demo prints until it waits; how many network namespaces it says to enter.
fn entrances(demo: &mut Child) -> usize {
    let out = BufReader::new(demo.stdout.take().expect("it is piped"));
    let lines =
        out.lines().map_while(Result::ok).take_while(|line| !line.starts_with("Ask a node"));
    let path = |line: String| Some(line.split_once("--net=")?.1.to_owned());
    lines.filter_map(path).filter(|path| is_network_namespace(path)).count()
}

fn is_network_namespace(path: &str) -> bool {
    fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("net:["))
}

/// The fields of a process's `stat` after its name: its state, its parent and more.
fn stat_of(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.to_owned())
}

fn children_of(process: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parent_of = |pid: u32| stat_of(pid)?.split(' ').nth(1)?.parse::<u32>().ok();
    processes.filter(|pid| parent_of(*pid) == Some(process)).collect()
}

fn has_ended(process: u32) -> bool {
    stat_of(process).is_none_or(|stat| stat.starts_with('Z'))
}
