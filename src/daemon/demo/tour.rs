//! Does the steps one after the other and judges them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use super::net::world::{HOME_HOST, OFFICE_HOST, PHONE_HOST, WIREGUARD_PORTS};
use super::net::{
    Classifier, ECHO_PORT, EchoOutcome, EchoPlan, EchoServer, Observer, Place, World, stream,
    transfer,
};
use super::options::Options;
use super::report::{Report, milliseconds};
use super::step::Step;

/// How long the nodes may take to find each other.
const STARTING: Duration = Duration::from_secs(5);
/// How long one ping is waited for.
const PING_PATIENCE: Duration = Duration::from_secs(2);
/// How long the TCP transfer sends.
const TRANSFER: Duration = Duration::from_millis(1500);
const TRANSFER_PORT: u16 = 5001;
/// What is sent before any mapping exists.
const FIRST: EchoPlan =
    EchoPlan { count: 10, interval: Duration::from_millis(5), patience: Duration::from_secs(2) };
/// What runs while the phone moves.
const MOVING: EchoPlan = EchoPlan {
    count: 1500,
    interval: Duration::from_millis(1),
    patience: Duration::from_millis(500),
};
/// When in it the phone moves.
const MOVE_AFTER: Duration = Duration::from_millis(500);
/// What is asked of the move.
const MAX_GAP: Duration = Duration::from_millis(100);

type Outcome = Result<String, String>;

/// The steps, and what they stand on.
pub(super) struct Tour {
    report: Report,
    observer: Option<Observer>,
    _echo: [EchoServer; 2],
    sites_started_at: Instant,
    max_gap: Duration,
    world: World,
}

impl Tour {
    /// Prepares hosts and the observer; nothing runs on the nodes yet.
    pub(super) fn new(world: World, report: Report) -> io::Result<Tour> {
        let classifier = Classifier::new(&WIREGUARD_PORTS, &World::eid_space());
        Ok(Tour {
            max_gap: MAX_GAP,
            report,
            observer: Some(Observer::start(&world.internet, classifier)?),
            _echo: [
                world.echo_server(&world.home_host, &HOME_HOST)?,
                world.echo_server(&world.office_host, &OFFICE_HOST)?,
            ],
            sites_started_at: Instant::now(),
            world,
        })
    }

    pub(super) fn report(&self) -> &Report {
        &self.report
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Does the steps asked for; those that need the nodes are left out when these do not start.
    pub(super) fn run(&mut self, options: &Options) {
        self.max_gap = options.max_gap.unwrap_or(MAX_GAP);
        for step in Step::ALL.into_iter().filter(|step| options.includes(*step)) {
            let since = Instant::now();
            let outcome = self.perform(step);
            let is_over = outcome.is_err() && step.is_foundation();
            self.report.note(step, outcome, since.elapsed());
            if is_over {
                return;
            }
        }
    }

    fn perform(&mut self, step: Step) -> Outcome {
        match step {
            Step::Tunnels => self.tunnels(),
            Step::Registered => self.registered(),
            Step::FirstPacket => self.first_packet(),
            Step::Ping => self.ping(),
            Step::Tcp => self.tcp(),
            Step::Phone => self.phone(),
            Step::Handover => self.handover(),
            Step::Underlay => self.underlay(),
            Step::Table => self.table(),
        }
    }

    fn tunnels(&mut self) -> Outcome {
        self.world.start_map_server().map_err(told)?;
        self.sites_started_at = Instant::now();
        for site in self.world.sites_mut() {
            site.start().map_err(told)?;
        }
        for site in self.world.sites() {
            site.wait_until(STARTING, |status| status.has_all_tunnels()).map_err(told)?;
        }
        Ok("4 nodes run, all control tunnels up".into())
    }

    fn registered(&mut self) -> Outcome {
        let mut eid_prefixes = 0;
        for site in self.world.sites() {
            site.wait_until(STARTING, |status| status.ok).map_err(told)?;
            eid_prefixes += site.config.eid_prefixes.len();
        }
        let spent = self.sites_started_at.elapsed();
        self.report.figures.registered_ms = u64::try_from(spent.as_millis()).ok();
        let at_server = |status: &super::net::NodeStatus| {
            status.registrations.iter().map(|site| site.eid_prefixes.len()).sum::<usize>()
        };
        let server = &self.world.map_server;
        server.wait_until(STARTING, |status| at_server(status) == eid_prefixes).map_err(told)?;
        Ok(format!("{eid_prefixes} EID-prefixes of 3 sites, {} ms after start", spent.as_millis()))
    }

    fn first_packet(&mut self) -> Outcome {
        let socket = self.world.home_host.udp(SocketAddr::new(HOME_HOST[0], 0)).map_err(told)?;
        let outcome = stream(&socket, echo_at(OFFICE_HOST[0]), &FIRST).map_err(told)?;
        let figures = &mut self.report.figures;
        figures.first_packet_lost = Some(outcome.lost);
        figures.first_reply_ms = outcome.first_reply.map(milliseconds);
        match (outcome.lost, figures.first_reply_ms) {
            (0, Some(ms)) => {
                Ok(format!("home to office: none of {} lost, first echo {ms:.1} ms", outcome.sent))
            }
            (lost, _) => Err(format!("home to office: {lost} of {} lost", outcome.sent)),
        }
    }

    fn ping(&mut self) -> Outcome {
        let (home, office) = (&self.world.home_host, &self.world.office_host);
        let mut pings = Pings::default();
        for one in HOME_HOST {
            for other in OFFICE_HOST.into_iter().filter(|other| other.is_ipv4() == one.is_ipv4()) {
                pings.ping(home, one, other);
                pings.ping(office, other, one);
            }
        }
        pings.outcome("home and office, IPv4, IPv6 and the second prefix")
    }

    fn tcp(&mut self) -> Outcome {
        let to = SocketAddr::new(OFFICE_HOST[0], TRANSFER_PORT);
        let (home, office) = (&self.world.home_host, &self.world.office_host);
        let outcome = home
            .tcp(office, to)
            .and_then(|(stream, listener)| transfer(stream, &listener, TRANSFER))
            .map_err(|error| format!("home to office: {error}"))?;
        let rate = outcome.mbit_s();
        self.report.figures.tcp_mbit_s = Some((rate * 10.0).round() / 10.0);
        let mib = outcome.octets >> 20;
        Ok(format!("home to office: {mib} MiB, {rate:.0} Mbit/s"))
    }

    fn phone(&mut self) -> Outcome {
        let (home, phone) = (&self.world.home_host, self.world.phone.place());
        let mut pings = Pings::default();
        for (one, other) in [(HOME_HOST[0], PHONE_HOST[0]), (HOME_HOST[2], PHONE_HOST[1])] {
            pings.ping(phone, other, one);
            pings.ping(home, one, other);
        }
        pings.outcome("phone and home, IPv4 and IPv6")
    }

    fn handover(&mut self) -> Outcome {
        let place = self.world.phone.place();
        place
            .ping(PHONE_HOST[0], HOME_HOST[0], PING_PATIENCE)
            .map_err(|error| format!("phone does not reach home at ap1: {error}"))?;
        let socket = place.udp(SocketAddr::new(PHONE_HOST[0], 0)).map_err(told)?;
        let world = &self.world;
        let (streamed, moved) = thread::scope(|scope| {
            let moving = scope.spawn(|| {
                thread::sleep(MOVE_AFTER);
                world.move_phone()
            });
            let streamed = stream(&socket, echo_at(HOME_HOST[0]), &MOVING);
            (streamed, moving.join())
        });
        moved.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())).map_err(told)?;
        let outcome = streamed.map_err(told)?;
        self.report.figures.handover_gap_ms = Some(milliseconds(outcome.longest_gap));
        self.report.figures.handover_lost = Some(outcome.lost);
        judge_handover(&outcome, self.max_gap)
    }

    fn underlay(&mut self) -> Outcome {
        let observer = self.observer.take().ok_or("looked at once already")?;
        let counts = observer.finish().map_err(told)?;
        self.report.figures.underlay = Some(counts);
        let mut text = format!(
            "{} WireGuard, {} LISP in clear, {} inner addresses in clear, {} of its own",
            counts.wireguard, counts.lisp_clear, counts.inner_clear, counts.other
        );
        if counts.missed > 0 {
            text.push_str(&format!(", {} too fast to be looked at", counts.missed));
        }
        let is_clean = counts.lisp_clear == 0 && counts.inner_clear == 0 && counts.wireguard > 0;
        if is_clean { Ok(text) } else { Err(text) }
    }

    fn table(&mut self) -> Outcome {
        let (_, table) = self.world.map_server.ask("status").map_err(told)?;
        self.report.say("");
        for line in table.lines() {
            self.report.say(&format!("    {line}"));
        }
        self.report.say("");
        let status = self.world.map_server.status().map_err(told)?;
        let registered = status.registrations.iter().filter(|site| site.data_key.is_some()).count();
        let text = format!("the Map-Server knows {registered} of 3 sites and their data keys");
        if registered == 3 { Ok(text) } else { Err(text) }
    }
}

fn judge_handover(outcome: &EchoOutcome, max_gap: Duration) -> Outcome {
    let gap = milliseconds(outcome.longest_gap);
    let text = format!("ap1 to ap2: gap {gap:.1} ms, {} of {} lost", outcome.lost, outcome.sent);
    if outcome.longest_gap < max_gap {
        Ok(text)
    } else {
        Err(format!("{text}; asked for are less than {} ms", max_gap.as_millis()))
    }
}

/// Pings, and those that failed.
#[derive(Default)]
struct Pings {
    done: usize,
    slowest: Duration,
    failed: Vec<String>,
}

impl Pings {
    fn ping(&mut self, place: &Place, from: IpAddr, to: IpAddr) {
        match place.ping(from, to, PING_PATIENCE) {
            Ok(spent) => {
                self.done += 1;
                self.slowest = self.slowest.max(spent);
            }
            Err(error) => self.failed.push(format!("{from} to {to}: {error}")),
        }
    }

    fn outcome(self, what: &str) -> Outcome {
        if self.failed.is_empty() {
            let slowest = milliseconds(self.slowest);
            Ok(format!("{what}: {} pings, slowest {slowest:.1} ms", self.done))
        } else {
            Err(self.failed.join("; "))
        }
    }
}

fn echo_at(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, ECHO_PORT)
}

fn told(error: io::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_gap_fails_the_handover_and_losses_do_not() {
        let outcome = |ms| EchoOutcome {
            sent: 10,
            lost: 3,
            first_reply: None,
            longest_gap: Duration::from_millis(ms),
        };
        assert_eq!(
            judge_handover(&outcome(99), MAX_GAP).unwrap(),
            "ap1 to ap2: gap 99.0 ms, 3 of 10 lost"
        );
        assert!(judge_handover(&outcome(100), MAX_GAP).unwrap_err().contains("less than 100 ms"));
    }
}
