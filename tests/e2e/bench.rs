//! `lispguard bench`, for as short as it takes to see that everything is measured.

use serde::Deserialize;

use crate::testbed::{alone, beside_others, lispguard};

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

#[test]
fn what_cannot_be_had_is_told_and_wrong_words_are_refused() {
    let _beside = beside_others();
    let said = lispguard(["bench", "dataplane", "--case=wg", "--wg=/nonexistent/wg"]);
    assert_eq!((said.code, &*said.out), (Some(1), ""), "{said:?}");
    for part in ["wg is left out: there is no /nonexistent/wg", "nothing is left to measure"] {
        assert!(said.err.contains(part), "{said:?}");
    }
    for words in [&["bench"][..], &["bench", "dataplane", "--case", "tunnel"]] {
        let said = lispguard(words);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains("--help"), "{said:?}");
    }
    let help = lispguard(["bench", "--help"]);
    assert!(help.code == Some(0) && help.out.contains("wireguard-go"), "{help:?}");
}
