//! `lispguard bench`, for as short as it takes to see that everything is measured.

use serde::Deserialize;

use crate::testbed::{alone, beside_others, dataplane, lispguard};

/// What `--json` promises.
#[derive(Debug, Deserialize)]
struct Row {
    case: String,
    traffic: String,
    mbit_s: Option<Rate>,
    cpu_s_per_gb: Option<f64>,
    user_packets_per_10000: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Rate {
    min: f64,
    median: f64,
    max: f64,
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str, escapes: &'a mut [u8]) -> T {
    serde_json_core::from_str_escaped(json, escapes)
        .unwrap_or_else(|error| panic!("{error}: {json}"))
        .0
}

#[test]
fn every_case_and_traffic_is_measured_and_drawn() {
    let _alone = alone();
    let scratch = daemon::demo::net::Scratch::new().expect("a directory");
    let svg = scratch.path().join("bench.svg");
    let words = ["bench", "dataplane", "--seconds", "0.3", "--rounds", "1", "--json"];
    let words = words.map(String::from).into_iter();
    let said = lispguard(words.chain([
        "--case=routed".into(),
        "--case=userspace".into(),
        format!("--svg={}", svg.display()),
    ]));
    assert_eq!(said.code, Some(0), "{said:?}");
    let mut escapes = vec![0; said.out.len()];
    let rows: Vec<Row> = parse(&said.out, &mut escapes);
    let names: Vec<_> = rows.iter().map(|row| (&*row.traffic, &*row.case)).collect();
    let both = |traffic| [(traffic, "routed"), (traffic, "userspace")];
    assert_eq!(names, [both("tcp"), both("udp-1362"), both("udp-64")].concat());
    for row in &rows {
        let rate = row.mbit_s.as_ref().expect("it was measured");
        assert!(rate.min > 0.0 && rate.min <= rate.median && rate.median <= rate.max, "{row:?}");
        assert!(row.cpu_s_per_gb.is_some_and(|seconds| seconds > 0.0), "{row:?}");
        let is_seen = row.user_packets_per_10000.is_some_and(|packets| packets > 1.0);
        assert_eq!(is_seen, row.case == "userspace", "{row:?}");
    }
    let drawn = std::fs::read_to_string(svg).expect("a drawing");
    assert!(drawn.starts_with("<svg ") && drawn.contains("userspace"), "{drawn}");
}

/// What `bench handover --json` promises.
#[derive(Debug, Deserialize)]
struct HandoverRow {
    case: String,
    backend: String,
    rtt_ms: f64,
    runs: u64,
    failed: u64,
    gap_ms: Option<Spread>,
    lost: Option<Spread>,
    tcp_stall_ms: Option<Spread>,
}

#[derive(Debug, Deserialize)]
struct Spread {
    min: f64,
    median: f64,
    p95: f64,
    max: f64,
}

#[test]
fn a_handover_is_measured_and_drawn() {
    let _alone = alone();
    let scratch = daemon::demo::net::Scratch::new().expect("a directory");
    let (svg, logs) = (scratch.path().join("handover.svg"), scratch.path().join("logs"));
    let backend = dataplane().unwrap_or_else(|| "userspace".into());
    let words = ["bench", "handover", "--case=link-down", "--runs=1", "--rtt-ms=4"];
    let said = lispguard(words.map(String::from).into_iter().chain([
        "--interval-ms=5".into(),
        "--json".into(),
        format!("--backend={backend}"),
        format!("--svg={}", svg.display()),
        format!("--logs={}", logs.display()),
    ]));
    assert_eq!(said.code, Some(0), "{said:?}");
    let mut escapes = vec![0; said.out.len()];
    let rows: Vec<HandoverRow> = parse(&said.out, &mut escapes);
    let [row] = &*rows else { panic!("{rows:?}") };
    assert_eq!((&*row.case, &*row.backend), ("link-down", &*backend), "{row:?}");
    assert_eq!((row.rtt_ms, row.runs, row.failed), (4.0, 1, 0), "{row:?}");
    for (spread, least) in [(&row.gap_ms, 1.0), (&row.lost, 0.0), (&row.tcp_stall_ms, 1.0)] {
        let spread = spread.as_ref().expect("it was measured");
        let all = [spread.min, spread.median, spread.p95, spread.max];
        assert!(all[0] >= least && all.iter().all(|value| *value == all[0]), "{row:?}");
    }
    let drawn = std::fs::read_to_string(svg).expect("a drawing");
    assert!(drawn.starts_with("<svg ") && drawn.contains("link-down, "), "{drawn}");
    let log = std::fs::read_to_string(logs.join(format!("link-down-{backend}-1-phone.log")));
    assert!(log.expect("a log").contains("203.0.113.18"));
}

#[test]
fn what_cannot_be_had_is_told_and_wrong_words_are_refused() {
    let _beside = beside_others();
    let said = lispguard(["bench", "dataplane", "--case=wg", "--wg=/nonexistent/wg"]);
    assert_eq!((said.code, &*said.out), (Some(1), ""), "{said:?}");
    for part in ["wg is left out: there is no /nonexistent/wg", "nothing is left to measure"] {
        assert!(said.err.contains(part), "{said:?}");
    }
    for words in [
        &["bench"][..],
        &["bench", "dataplane", "--case", "tunnel"],
        &["bench", "handover", "--case", "walk"],
    ] {
        let said = lispguard(words);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains("--help"), "{said:?}");
    }
    let help = lispguard(["bench", "--help"]);
    assert!(help.code == Some(0) && help.out.contains("wireguard-go"), "{help:?}");
    assert!(help.out.contains("make-before-break"), "{help:?}");
}
