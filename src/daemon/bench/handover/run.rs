//! One run: traffic flows, something happens, and it flows again.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::case::{Backend, Case};
use super::download::{Arrival, Download};
use super::echoes::{Echo, Echoes, longest_gap};
use super::options::Options;
use super::scene::Scene;

/// Datagrams sent from one writing by TCP to the next.
const WRITES: u32 = 5;
/// Before the event, echoes come for so long.
const SETTLING: Duration = Duration::from_millis(500);
/// Over how long it is judged whether echoes come again, and octets by TCP.
const LOOK: Duration = Duration::from_millis(300);
const LOOK_TCP: Duration = Duration::from_millis(100);
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// What is on its way for longer than a round trip and this has been lost.
const STRAGGLING: Duration = Duration::from_millis(200);

/// What was seen; instants count from the event.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Run {
    pub(super) gap: Duration,
    /// The longest time without an echo before the event: what the machine does by itself.
    pub(super) gap_before: Duration,
    pub(super) lost: usize,
    pub(super) tcp_stall: Duration,
    /// What delayed the packets.
    pub(super) underlay: &'static str,
    pub(super) traces: Traces,
}

/// What came when, from the beginning of the streams.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Traces {
    /// When the first event was.
    pub(super) event_at: Duration,
    pub(super) end_at: Duration,
    pub(super) echoes: Vec<Echo>,
    pub(super) arrivals: Vec<Arrival>,
}

/// Builds a little internet and has the case happen in it; `name` is for what is logged.
///
/// # Errors
/// When it cannot be built, or the phone is not heard again.
pub(super) fn run(case: Case, backend: Backend, options: &Options, name: &str) -> io::Result<Run> {
    let scene = Scene::build(case, backend, &options.quality, options.logs.is_some())?;
    let outcome = observe(case, &scene, options);
    if let Some(folder) = &options.logs {
        scene.keep_logs(Path::new(folder), name)?;
    }
    outcome
}

fn observe(case: Case, scene: &Scene, options: &Options) -> io::Result<Run> {
    let started_at = Instant::now();
    let (socket, to) = scene.echo()?;
    let (sending, receiving) = scene.connection()?;
    let echoes = Echoes::start(socket, to, options.interval, started_at)?;
    let download = Download::start(sending, receiving, options.interval * WRITES, started_at)?;
    let flow = Flow { echoes, download, started_at };
    flow.wait(Duration::ZERO, SETTLING)?;
    let measured_from = started_at.elapsed();
    // Not in step with the stream, nor with what the nodes do each so often.
    let [random] = linux::random::array()?;
    thread::sleep(SETTLING + Duration::from_micros(u64::from(random) * 80));
    let event_at = scene.perform()? - started_at;
    flow.wait(started_at.elapsed(), case.watch())
        .map_err(|error| io::Error::new(error.kind(), format!("not heard again: {error}")))?;
    let end_at = started_at.elapsed();
    let echoes = flow.echoes.finish(options.quality.round_trip + STRAGGLING);
    let arrivals = flow.download.finish();
    let traces = Traces { event_at, end_at, echoes, arrivals };
    Ok(traces.judge(measured_from, scene.underlay()))
}

struct Flow {
    echoes: Echoes,
    download: Download,
    started_at: Instant,
}

impl Flow {
    /// Waits until `least` is over since `from` and all flows.
    fn wait(&self, from: Duration, least: Duration) -> io::Result<()> {
        loop {
            thread::sleep(POLL);
            let now = self.started_at.elapsed();
            let tcp_at = self.download.last_at()?;
            if now < from + least {
                continue;
            }
            let (arrived, sent) = self.echoes.arrived_since(now.saturating_sub(LOOK));
            let is_heard = sent > 0 && arrived * 2 > sent;
            let has_octets = tcp_at.is_some_and(|at| at + LOOK_TCP > now);
            if is_heard && has_octets {
                return Ok(());
            }
            if now > from + least + PATIENCE {
                let which = if is_heard { "TCP stalls" } else { "no echo" };
                let reason = format!("{which} for {} s", PATIENCE.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
            }
        }
    }
}

impl Traces {
    fn judge(self, measured_from: Duration, underlay: &'static str) -> Run {
        let heard = || self.echoes.iter().filter_map(|echo| echo.received_at);
        let gap = longest_gap(heard(), self.event_at, self.end_at);
        let gap_before = longest_gap(heard(), measured_from, self.event_at);
        let of_tcp = self.arrivals.iter().map(|arrival| arrival.at);
        let tcp_stall = longest_gap(of_tcp, self.event_at, self.end_at);
        let is_lost = |echo: &&Echo| echo.sent_at >= measured_from && echo.received_at.is_none();
        let lost = self.echoes.iter().filter(is_lost).count();
        Run { gap, gap_before, lost, tcp_stall, underlay, traces: self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_run_is_judged_by_what_came() {
        let echo = |number: u64| Echo {
            sent_at: ms(number),
            // The first is lost before, ten are lost at the event.
            received_at: (number != 0 && !(50..60).contains(&number)).then(|| ms(number + 10)),
        };
        let arrival = |at| Arrival { at: ms(at), octets: 1 };
        let traces = Traces {
            event_at: ms(55),
            end_at: ms(110),
            echoes: (0..100).map(echo).collect(),
            arrivals: [10, 20, 90, 100].map(arrival).into(),
        };
        let run = traces.judge(ms(1), "netem");
        assert_eq!((run.gap, run.lost, run.tcp_stall), (ms(11), 10, ms(70)));
        assert_eq!((run.gap_before, run.traces.echoes.len()), (ms(1), 100));
    }
}
