//! Paths that die while their link stays up.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use daemon::demo::net::UplinkConfig;
use daemon::demo::net::world::{HOME_HOST, PHONE_HOST, World};

use crate::mobility::{AP1, AP2, Echo, Link, add_default_route, endpoint, wait_until_registered};
use crate::testbed::{Outcome, PATIENCE, echo_at, echo_servers, eventually, in_world};

const PHONE_EID: &str = "10.9.0.1/32";
/// Between two datagrams of a flow.
const INTERVAL: Duration = Duration::from_millis(10);
/// So many echoes show that a flow goes on.
const MANY: usize = 50;

/// The access point forwards nothing any more, and says so to nobody; its link stays up.
fn kill_path(world: &World, link: &Link) -> io::Result<()> {
    let internet = &world.internet;
    let to = format!("{}/32", link.rloc());
    internet.run("ip", &["rule", "add", "iif", link.there, "blackhole"])?;
    internet.run("ip", &["route", "add", "blackhole", &to]).map(drop)
}

/// It forwards again.
fn revive_path(world: &World, link: &Link) -> io::Result<()> {
    let internet = &world.internet;
    let to = format!("{}/32", link.rloc());
    internet.run("ip", &["rule", "del", "iif", link.there, "blackhole"])?;
    internet.run("ip", &["route", "del", "blackhole", &to]).map(drop)
}

/// The phone hears both access points; ap1 is the better one.
fn start_with_two_uplinks(world: &mut World) -> Outcome {
    let uplink =
        |device: &str, priority| UplinkConfig { device: device.into(), priority, weight: 100 };
    world.phone.config.uplinks = vec![uplink(AP1.device, 1), uplink(AP2.device, 2)];
    let phone = world.phone.place();
    AP2.associate(world, phone)?;
    phone.add_address(AP2.device, AP2.address)?;
    add_default_route(phone, &AP2, 10)?;
    world.start(PATIENCE)?;
    wait_until_registered(world, "phone", &[AP1.rloc(), AP2.rloc()]);
    Ok(())
}

fn is_at(world: &World, rloc: IpAddr) -> bool {
    endpoint(&world.home, PHONE_EID) == Some(rloc)
}

#[test]
fn a_flow_goes_on_by_the_other_uplink_when_the_path_dies_silently() {
    in_world(|world| {
        start_with_two_uplinks(world)?;
        let _servers = echo_servers(world)?;
        world.phone.place().ping(PHONE_HOST[0], HOME_HOST[0], PATIENCE)?;
        let echo = Echo::from_phone(world, echo_at(HOME_HOST[0]), INTERVAL)?;
        echo.wait_for(MANY);
        assert!(is_at(world, AP1.rloc()), "{:?}", endpoint(&world.home, PHONE_EID));
        kill_path(world, &AP1)?;
        let sent = echo.sent();
        echo.wait_for(MANY);
        println!("{} datagrams until it went on", echo.sent() - sent - MANY as u64);
        assert!(is_at(world, AP2.rloc()), "{:?}", endpoint(&world.home, PHONE_EID));
        wait_until_registered(world, "phone", &[AP2.rloc()]);
        // The way that died was the better one: it is used again when it stood for a while.
        revive_path(world, &AP1)?;
        assert!(eventually_long(|| is_at(world, AP1.rloc())), "the phone does not return");
        echo.wait_for(MANY);
        Ok(())
    });
}

/// As `eventually`, for what a back-off of many seconds comes before.
fn eventually_long(is_so: impl Fn() -> bool) -> bool {
    (0..4).any(|_| eventually(&is_so))
}

#[test]
fn home_finds_the_phones_other_uplink_when_the_path_to_it_dies_silently() {
    in_world(|world| {
        start_with_two_uplinks(world)?;
        let _servers = echo_servers(world)?;
        let server = world.echo_server(world.phone.place(), &PHONE_HOST[..1])?;
        let socket = world.home_host.udp(SocketAddr::new(HOME_HOST[0], 0))?;
        let echo = Echo::start(socket, echo_at(PHONE_HOST[0]), INTERVAL)?;
        echo.wait_for(MANY);
        kill_path(world, &AP1)?;
        echo.wait_for(MANY);
        assert!(is_at(world, AP2.rloc()), "{:?}", endpoint(&world.home, PHONE_EID));
        drop(server);
        Ok(())
    });
}

#[test]
fn traffic_that_nobody_answers_moves_nothing() {
    in_world(|world| {
        start_with_two_uplinks(world)?;
        let sink = world.home_host.udp(SocketAddr::new(HOME_HOST[0], 9))?;
        let echo = Echo::from_phone(world, SocketAddr::new(HOME_HOST[0], 9), INTERVAL)?;
        sink.set_read_timeout(Some(PATIENCE))?;
        sink.recv(&mut [0; 2048])?;
        let registers = || world.phone.status().map(|status| status.counter("registers_sent"));
        thread::sleep(Duration::from_millis(500));
        let before = registers()?;
        // Ten times what it takes to find that a path is dead.
        for _ in 0..30 {
            thread::sleep(Duration::from_millis(100));
            assert!(is_at(world, AP1.rloc()), "{:?}", endpoint(&world.home, PHONE_EID));
        }
        assert_eq!(registers()?, before, "nothing to register");
        drop((echo, sink));
        Ok(())
    });
}
