//! Moves over links that take their time and lose packets, with either data plane.

use std::io;
use std::time::Duration;

use daemon::demo::net::UplinkConfig;
use daemon::demo::net::world::{HOME_HOST, PHONE_HOST, World};

use crate::mobility::{
    AP1, AP2, Echo, add_default_route, endpoint, move_phone, wait_until_mapped,
    wait_until_registered,
};
use crate::testbed::{PATIENCE, echo_at, echo_servers, eventually, in_world_alone, is_long};

const PHONE_EID: &str = "10.9.0.1/32";
/// A quarter of a round trip of 10 ms: each of a link's ends holds packets back.
const DELAY: &str = "2500us";

/// Has netem do this to both ends of the links that a packet between the phone and `home` or the
/// Map-Server passes.
fn impair(world: &World, words: &[&str]) -> io::Result<()> {
    let (ms, home, phone) = (&world.map_server, &world.home, &world.phone);
    for (place, devices) in [
        (&world.internet, &["ms", "home", "ap1", "ap2"][..]),
        (ms.place(), &["wan"]),
        (home.place(), &["wan"]),
        (phone.place(), &["ap1", "ap2"]),
    ] {
        for device in devices {
            let begin = ["qdisc", "replace", "dev", device, "root", "netem"];
            place.run("tc", &[&begin[..], words].concat())?;
        }
    }
    Ok(())
}

/// Starts all nodes, impairs the links and starts a flow from the phone to the host behind `home`.
/// What is on a link while it is impaired may be lost, so that there is no flow yet.
fn start_flow(world: &mut World, interval: Duration, words: &[&str]) -> io::Result<Echo> {
    world.start(PATIENCE)?;
    world.phone.place().ping(PHONE_HOST[0], HOME_HOST[0], PATIENCE)?;
    impair(world, words)?;
    Echo::from_phone(world, echo_at(HOME_HOST[0]), interval)
}

/// Moves the phone to and fro over links that delay, and `lose` so much.
fn move_over(dataplane: &str, lose: &str) {
    in_world_alone(|world| {
        world.use_dataplane(dataplane);
        let _servers = echo_servers(world)?;
        let netem = ["delay", DELAY, "loss", lose];
        let echo = start_flow(world, Duration::from_millis(5), &netem)?;
        echo.wait_for(10);
        let rounds = if is_long() { 50 } else { 5 };
        for (from, to) in [(&AP1, &AP2), (&AP2, &AP1)].into_iter().cycle().take(2 * rounds) {
            move_phone(world, from, to)?;
            echo.wait_for(10);
            wait_until_registered(world, "phone", &[to.rloc()]);
            wait_until_mapped(&world.home, to.rloc());
            assert_eq!(endpoint(&world.home, PHONE_EID), Some(to.rloc()));
        }
        let echoed = echo.finish();
        let (lost, sent) = (echoed.count_lost(), echoed.sent);
        println!("{dataplane}, {lose} lost by a link: {lost} of {sent} in {} moves", 2 * rounds);
        Ok(())
    });
}

#[test]
fn moves_with_a_round_trip_of_10_ms_in_the_kernel() {
    move_over("kernel", "0%");
}

#[test]
fn moves_with_a_round_trip_of_10_ms_in_user_space() {
    move_over("userspace", "0%");
}

#[test]
fn moves_are_registered_and_told_over_links_that_lose_packets_in_the_kernel() {
    move_over("kernel", "5%");
}

#[test]
fn moves_are_registered_and_told_over_links_that_lose_packets_in_user_space() {
    move_over("userspace", "5%");
}

/// The second uplink takes longer than the first: what is on its way by that one still arrives.
fn make_before_break(dataplane: &str) {
    in_world_alone(|world| {
        let uplink =
            |device: &str, priority| UplinkConfig { device: device.into(), priority, weight: 100 };
        world.phone.config.uplinks = vec![uplink("ap1", 2), uplink("ap2", 1)];
        world.use_dataplane(dataplane);
        let _servers = echo_servers(world)?;
        let echo = start_flow(world, Duration::from_millis(5), &["delay", DELAY])?;
        echo.wait_for(50);
        let phone = world.phone.place();
        AP2.associate(world, phone)?;
        phone.add_address(AP2.device, AP2.address)?;
        add_default_route(phone, &AP2, 10)?;
        let is_at_ap2 = || endpoint(&world.home, PHONE_EID) == Some(AP2.rloc());
        assert!(eventually(is_at_ap2), "home sends to {:?}", endpoint(&world.home, PHONE_EID));
        echo.wait_for(200);
        let echoed = echo.finish();
        assert!(echoed.lost.is_empty(), "{echoed:?}");
        Ok(())
    });
}

#[test]
fn nothing_in_flight_is_lost_when_a_better_uplink_comes_up_in_the_kernel() {
    make_before_break("kernel");
}

#[test]
fn nothing_in_flight_is_lost_when_a_better_uplink_comes_up_in_user_space() {
    make_before_break("userspace");
}
