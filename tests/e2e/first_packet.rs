//! No packet is lost while its mapping is being resolved.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use daemon::demo::net::world::{HOME_HOST, OFFICE_HOST, World};
use daemon::demo::net::{EchoPlan, stream};

use crate::testbed::{
    Outcome, PATIENCE, echo_at, echo_servers, in_world, is_long, kill_cold, start,
};

const FEW: EchoPlan = EchoPlan { count: 5, interval: Duration::from_millis(1), patience: PATIENCE };

/// Restarts both sites: new data keys, empty caches. Both are down before either comes back: else
/// the old process of one would hold a session with the new one of the other, and what is sent in
/// the moment between its registration and the publication of its new key goes to a dead session.
fn start_cold(world: &mut World) -> Outcome {
    for site in [&mut world.home, &mut world.office] {
        if site.process_id().is_some() {
            kill_cold(site)?;
        }
    }
    for site in [&mut world.home, &mut world.office] {
        start(site)?;
    }
    Ok(())
}

#[test]
fn nothing_is_lost_in_cold_starts_of_a_pair() {
    in_world(|world| {
        world.start_map_server()?;
        let _servers = echo_servers(world)?;
        for round in 0..if is_long() { 50 } else { 15 } {
            start_cold(world)?;
            let socket = world.home_host.udp(SocketAddr::new(HOME_HOST[0], 0))?;
            let outcome = stream(&socket, echo_at(OFFICE_HOST[0]), &FEW)?;
            assert_eq!(outcome.lost, 0, "round {round}: {outcome:?}");
        }
        Ok(())
    });
}

#[test]
fn nothing_is_lost_when_both_hosts_send_at_once() {
    in_world(|world| {
        world.start_map_server()?;
        let _servers = echo_servers(world)?;
        for round in 0..if is_long() { 50 } else { 15 } {
            start_cold(world)?;
            let home = world.home_host.udp(SocketAddr::new(HOME_HOST[0], 0))?;
            let office = world.office_host.udp(SocketAddr::new(OFFICE_HOST[0], 0))?;
            let barrier = Barrier::new(2);
            let send = |socket: &std::net::UdpSocket, to| {
                barrier.wait();
                stream(socket, echo_at(to), &FEW)
            };
            let (one, other) = thread::scope(|scope| {
                let other = scope.spawn(|| send(&office, HOME_HOST[0]));
                (send(&home, OFFICE_HOST[0]), other.join().expect("no panic"))
            });
            assert_eq!((one?.lost, other?.lost), (0, 0), "round {round}");
        }
        Ok(())
    });
}

#[test]
fn after_one_resolution_nine_directed_pairs_work() {
    in_world(|world| {
        let third = |second| IpAddr::V4(Ipv4Addr::new(10, second, 0, 2));
        let (home, office) = ([1, 3, 5].map(third), [2, 4, 6].map(third));
        for (site, host, networks) in [
            (&mut world.home, &world.home_host, [1, 3, 5]),
            (&mut world.office, &world.office_host, [2, 4, 6]),
        ] {
            site.config.eid_prefixes = networks.map(|one| format!("10.{one}.0.0/24")).into();
            for network in &networks[1..] {
                site.place().add_address("lan", &format!("10.{network}.0.1/24"))?;
                host.add_address("eth0", &format!("10.{network}.0.2/24"))?;
            }
        }
        world.admit_sites();
        world.start_map_server()?;
        start_cold(world)?;
        world.office_host.ping(office[2], home[1], PATIENCE)?;
        let rows = |site: &daemon::demo::net::Node| -> std::io::Result<usize> {
            Ok(site.status()?.map_cache.iter().filter(|row| row.forwarding == "peer").count())
        };
        assert_eq!((rows(&world.home)?, rows(&world.office)?), (3, 3), "all travel together");
        for one in home {
            for other in office {
                world.home_host.ping(one, other, Duration::from_millis(500))?;
                world.office_host.ping(other, one, Duration::from_millis(500))?;
            }
        }
        Ok(())
    });
}
