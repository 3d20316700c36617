//! No packet is lost while its mapping is being resolved, on slow links either.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use daemon::demo::net::world::{HOME_HOST, OFFICE_HOST, World};
use daemon::demo::net::{EchoOutcome, EchoPlan, stream};

use crate::flow::Flow;
use crate::machine::delay_links;
use crate::testbed::{
    PATIENCE, echo_at, echo_servers, in_world_alone, is_long, kill_cold, start_pair,
};

const FEW: EchoPlan = EchoPlan { count: 5, interval: Duration::from_millis(1), patience: PATIENCE };

/// What this machine adds by itself to four round trips, one CPU that runs eight processes: mostly,
/// and in a busy moment.
const MACHINE: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(200)];

/// Starts all without anything of a run before: new data keys, no peers, no routes, and a Map-Server
/// that remembers nobody to whom it would publish.
pub fn start_cold(world: &mut World) -> io::Result<()> {
    for node in [&mut world.map_server, &mut world.home, &mut world.office] {
        if node.process_id().is_some() {
            kill_cold(node)?;
        }
    }
    start_pair(world)
}

/// Both hosts send in the same moment.
fn send_at_once(world: &World) -> io::Result<[EchoOutcome; 2]> {
    let home = world.home_host.udp(SocketAddr::new(HOME_HOST[0], 0))?;
    let office = world.office_host.udp(SocketAddr::new(OFFICE_HOST[0], 0))?;
    let barrier = Barrier::new(2);
    let send = |socket: &UdpSocket, to| {
        barrier.wait();
        stream(socket, echo_at(to), &FEW)
    };
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(|| send(&office, HOME_HOST[0]));
        (send(&home, OFFICE_HOST[0]), other.join().expect("no panic"))
    });
    Ok([one?, other?])
}

/// Cold starts with a delay on each link, both hosts sending at once.
fn resolve_on_slow_links(delay_ms: u64) {
    in_world_alone(|world| {
        let round_trip = Duration::from_millis(4 * delay_ms);
        let _servers = echo_servers(world)?;
        delay_links(world, Duration::from_millis(delay_ms))?;
        let mut replies = Vec::new();
        for round in 0..if is_long() { 50 } else { 3 } {
            start_cold(world)?;
            for outcome in send_at_once(world)? {
                assert_eq!(outcome.lost, 0, "round {round}: {outcome:?}");
                replies.push(outcome.first_reply.expect("none is lost"));
            }
        }
        replies.sort();
        let (median, slowest) = (replies[replies.len() / 2], replies[replies.len() - 1]);
        println!("round trip {round_trip:?}: first echo {median:?}, at worst {slowest:?}");
        let [mostly, at_worst] = MACHINE.map(|machine| 4 * round_trip + machine);
        assert!(median <= mostly && slowest <= at_worst, "{replies:?}");
        Ok(())
    });
}

#[test]
fn nothing_is_lost_when_both_hosts_send_at_once_over_links_of_5_ms() {
    resolve_on_slow_links(5);
}

#[test]
fn nothing_is_lost_when_both_hosts_send_at_once_over_links_of_25_ms() {
    resolve_on_slow_links(25);
}

#[test]
fn nothing_is_lost_when_both_hosts_send_at_once_over_links_of_100_ms() {
    resolve_on_slow_links(100);
}

#[test]
fn at_most_one_of_1000_packets_a_second_is_overtaken_in_a_resolution() {
    in_world_alone(|world| {
        for site in world.sites_mut() {
            site.config.set_option("waiting_per_eid", "1024");
            site.config.set_option("waiting_total", "4096");
        }
        delay_links(world, Duration::from_millis(5))?;
        let mut overtaken = Vec::new();
        for round in 0..if is_long() { 50 } else { 5 } {
            start_cold(world)?;
            let (from, to) =
                ((&world.home_host, HOME_HOST[0]), (&world.office_host, OFFICE_HOST[0]));
            let flow = Flow::start(from, to, 5002, Duration::from_millis(1), 500)?;
            let outcome = flow.wait()?;
            println!("round {round}: {outcome:?}");
            assert_eq!((outcome.sent, outcome.doubled), (500, 0));
            assert!(outcome.lost.is_empty() && outcome.first < Some(PATIENCE), "{outcome:?}");
            overtaken.push(outcome.overtaken);
        }
        // One of many may meet a busy moment of the machine, in which nothing is exchanged for the
        // route while packets go on.
        overtaken.sort();
        assert!(overtaken[overtaken.len() - 2] <= 1, "{overtaken:?}");
        Ok(())
    });
}
