//! What the demo found: lines while it runs, a table or one JSON object at its end.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::net::UnderlayCounts;
use super::step::Step;
use crate::commands::print;
use crate::status::json;

/// What one step said of itself.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StepReport {
    name: &'static str,
    ok: bool,
    ms: u64,
    text: String,
}

/// The measured values; `None` where the step was left out or failed.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Figures {
    /// From the sites' start until all EID-prefixes are registered.
    pub(super) registered_ms: Option<u64>,
    /// Of the datagrams sent before any mapping existed.
    pub(super) first_packet_lost: Option<u64>,
    /// From the very first datagram to its echo.
    pub(super) first_reply_ms: Option<f64>,
    /// Payload of the TCP transfer.
    pub(super) tcp_mbit_s: Option<f64>,
    /// The longest time between two echoes around the move.
    pub(super) handover_gap_ms: Option<f64>,
    /// Datagrams of that flow that were never echoed.
    pub(super) handover_lost: Option<u64>,
    /// What the underlay router saw.
    pub(super) underlay: Option<UnderlayCounts>,
}

#[derive(Serialize)]
struct Whole<'a> {
    ok: bool,
    registered_ms: Option<u64>,
    first_packet_lost: Option<u64>,
    first_reply_ms: Option<f64>,
    tcp_mbit_s: Option<f64>,
    handover_gap_ms: Option<f64>,
    handover_lost: Option<u64>,
    underlay: Option<UnderlayCounts>,
    total_ms: u64,
    steps: &'a [StepReport],
}

/// Collects the outcome of each step.
#[derive(Debug)]
pub(super) struct Report {
    is_json: bool,
    started_at: Instant,
    steps: Vec<StepReport>,
    pub(super) figures: Figures,
}

impl Report {
    pub(super) fn new(is_json: bool) -> Report {
        Report {
            is_json,
            started_at: Instant::now(),
            steps: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// Prints a line for a reader.
    pub(super) fn say(&self, line: &str) {
        if !self.is_json {
            print(&format!("{line}\n"));
        }
    }

    /// Notes how a step ended and prints its line.
    pub(super) fn note(&mut self, step: Step, outcome: Result<String, String>, spent: Duration) {
        let ok = outcome.is_ok();
        let text = outcome.unwrap_or_else(|reason| reason);
        let ms = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
        let verdict = if ok { "ok" } else { "FAILED" };
        self.say(&format!("{ms:>6} ms  {:<13} {text}  {verdict}", step.name()));
        self.steps.push(StepReport { name: step.name(), ok, ms, text });
    }

    /// Whether every step ended well.
    pub(super) fn is_ok(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.ok)
    }

    /// Prints the end of the report.
    pub(super) fn finish(&self) {
        if self.is_json {
            print(&self.to_json());
        } else {
            print(&self.table());
        }
    }

    fn total_ms(&self) -> u64 {
        u64::try_from(self.started_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn to_json(&self) -> String {
        let figures = &self.figures;
        json(&Whole {
            ok: self.is_ok(),
            registered_ms: figures.registered_ms,
            first_packet_lost: figures.first_packet_lost,
            first_reply_ms: figures.first_reply_ms,
            tcp_mbit_s: figures.tcp_mbit_s,
            handover_gap_ms: figures.handover_gap_ms,
            handover_lost: figures.handover_lost,
            underlay: figures.underlay,
            total_ms: self.total_ms(),
            steps: &self.steps,
        })
    }

    fn table(&self) -> String {
        let mut table = String::from("\n");
        let mut row = |label: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(table, "  {label:<32} {value}");
            }
        };
        let figures = &self.figures;
        row("start to registered", figures.registered_ms.map(|ms| format!("{ms} ms")));
        row("lost before the first mapping", figures.first_packet_lost.map(|n| n.to_string()));
        row("first echo after", figures.first_reply_ms.map(|ms| format!("{ms:.1} ms")));
        row("TCP through the tunnel", figures.tcp_mbit_s.map(|rate| format!("{rate:.0} Mbit/s")));
        row("gap of the handover", figures.handover_gap_ms.map(|ms| format!("{ms:.1} ms")));
        row("lost in the handover", figures.handover_lost.map(|n| n.to_string()));
        if let Some(underlay) = figures.underlay {
            row("underlay: WireGuard", Some(underlay.wireguard.to_string()));
            row("underlay: LISP in clear", Some(underlay.lisp_clear.to_string()));
            row("underlay: inner addresses", Some(underlay.inner_clear.to_string()));
            row("underlay: its own (ARP, ICMP)", Some(underlay.other.to_string()));
        }
        let failed = self.steps.iter().filter(|step| !step.ok).count();
        let (done, seconds) = (self.steps.len(), self.total_ms() as f64 / 1000.0);
        let _ = match failed {
            0 => writeln!(table, "\nall {done} steps passed in {seconds:.1} s"),
            _ => writeln!(table, "\n{failed} of {done} steps FAILED, after {seconds:.1} s"),
        };
        table
    }
}

/// Milliseconds with one decimal, as the JSON has them.
pub(super) fn milliseconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_object_has_every_field_also_when_steps_were_left_out() {
        let mut report = Report::new(true);
        assert!(!report.is_ok());
        report.figures.handover_gap_ms = Some(milliseconds(Duration::from_micros(12_340)));
        report.figures.underlay =
            Some(UnderlayCounts { wireguard: 5, ..UnderlayCounts::default() });
        report.note(Step::Ping, Ok("12 pings".into()), Duration::from_millis(7));
        let json = report.to_json();
        assert!(
            json.starts_with("{\"ok\":true,\"registered_ms\":null,\"first_packet_lost\":null,")
        );
        for part in [
            "\"handover_gap_ms\":12.3,",
            "\"underlay\":{\"wireguard\":5,\"lisp_clear\":0,\"inner_clear\":0,",
            "\"steps\":[{\"name\":\"ping\",\"ok\":true,\"ms\":7,\"text\":\"12 pings\"}]}",
        ] {
            assert!(json.contains(part), "{json}");
        }
    }

    #[test]
    fn one_failed_step_fails_the_whole() {
        let mut report = Report::new(true);
        report.note(Step::Ping, Ok(String::new()), Duration::ZERO);
        report.note(Step::Tcp, Err("no connection".into()), Duration::ZERO);
        assert!(!report.is_ok());
        assert!(report.table().contains("1 of 2 steps FAILED"));
    }
}
