//! Nodes that are killed and come back, in any order.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use daemon::demo::net::world::{OFFICE_HOST, World};
use daemon::demo::net::{EchoPlan, NodeStatus, Place, stream};
use linux::netlink::{Family, Socket};

use crate::testbed::{
    PATIENCE, echo_at, echo_servers, home_socket, in_world, in_world_alone, is_in_kernel,
    ping_until_answered, start, start_pair, take_down,
};

fn registered_sites(status: &NodeStatus) -> usize {
    status.registrations.iter().filter(|site| site.data_key.is_some()).count()
}

#[test]
fn a_site_registers_within_200_ms_of_its_start() {
    in_world_alone(|world| {
        world.start_map_server()?;
        let mut spans = Vec::new();
        for _ in 0..5 {
            spans.push(start(&mut world.home)?);
            world.home.stop()?;
        }
        spans.sort();
        println!("start to registered: {spans:?}");
        // One of five may meet a busy moment of the machine, the middle one does not. A kernel in
        // user mode takes tens of milliseconds for each change of an interface, on some machines
        // hundreds: there it only shows that nothing waits for a retry.
        let limit = Duration::from_millis(if is_in_kernel() { 3000 } else { 200 });
        assert!(spans[2] < limit, "{spans:?}");
        Ok(())
    });
}

#[test]
fn sites_started_before_their_map_server_register_within_2_s_of_its_start() {
    in_world_alone(|world| {
        for site in world.sites_mut() {
            site.start()?;
        }
        // Long enough that retries are spaced as far apart as they get.
        thread::sleep(Duration::from_secs(5));
        let since = Instant::now();
        world.map_server.start()?;
        for site in world.sites() {
            site.wait_until(PATIENCE, |status| status.ok)?;
        }
        let spent = since.elapsed();
        println!("Map-Server's start to registered: {spent:?}");
        let limit = Duration::from_secs(if is_in_kernel() { 15 } else { 2 });
        assert!(spent < limit, "{spent:?}");
        Ok(())
    });
}

#[test]
fn data_flows_on_while_the_map_server_is_killed_and_comes_back() {
    in_world_alone(|world| {
        world.start(PATIENCE)?;
        let _servers = echo_servers(world)?;
        ping_until_answered(world, PATIENCE)?;
        let plan = EchoPlan {
            count: 800,
            interval: Duration::from_millis(5),
            patience: Duration::from_secs(1),
        };
        let socket = home_socket(world)?;
        let flow = thread::spawn(move || stream(&socket, echo_at(OFFICE_HOST[0]), &plan));
        thread::sleep(Duration::from_millis(200));
        world.map_server.kill()?;
        thread::sleep(Duration::from_millis(500));
        let since = Instant::now();
        world.map_server.start()?;
        world.map_server.wait_until(PATIENCE, |status| registered_sites(status) == 3)?;
        let spent = since.elapsed();
        println!("all sites registered again after {spent:?}");
        assert!(spent < Duration::from_secs(if is_in_kernel() { 15 } else { 3 }), "{spent:?}");
        let outcome = flow.join().expect("no panic")?;
        println!("flow: {outcome:?}");
        assert_eq!(outcome.lost, 0, "{outcome:?}");
        Ok(())
    });
}

#[test]
fn peers_reach_a_killed_site_within_1_s_of_its_new_registration() {
    in_world_alone(|world| {
        start_pair(world)?;
        ping_until_answered(world, PATIENCE)?;
        for _ in 0..3 {
            let old_key = data_key_of_office(world)?;
            world.office.kill()?;
            start(&mut world.office)?;
            let spent = ping_until_answered(world, PATIENCE)?;
            println!("reachable {spent:?} after its registration");
            assert!(spent < Duration::from_secs(1), "{spent:?}");
            let is_kept = old_key == data_key_of_office(world)?;
            assert_eq!(is_kept, is_in_kernel(), "a data key lives as long as its interface");
        }
        Ok(())
    });
}

#[test]
fn a_stopped_site_leaves_no_device_rule_or_socket() {
    in_world(|world| {
        let before = kernel_state(world.office.place())?;
        start_pair(world)?;
        ping_until_answered(world, PATIENCE)?;
        assert_ne!(kernel_state(world.office.place())?, before);
        assert!(world.office.stop()?.success());
        if is_in_kernel() {
            take_down(&world.office)?;
        }
        assert_eq!(kernel_state(world.office.place())?, before);
        assert!(!world.office.control_socket().exists());
        Ok(())
    });
}

/// Names of links, and how many routing rules there are.
fn kernel_state(place: &Place) -> io::Result<(Vec<String>, usize)> {
    place.inside(|| {
        let mut socket = Socket::open()?;
        let (mut links, mut rules) = (Vec::new(), 0);
        socket.links(|link| links.push(link.name.to_string()))?;
        for family in [Family::V4, Family::V6] {
            socket.rules(family, |_| rules += 1)?;
        }
        links.sort();
        Ok((links, rules))
    })
}

fn data_key_of_office(world: &World) -> io::Result<Option<String>> {
    let status = world.map_server.status()?;
    Ok(status.site("office").and_then(|site| site.data_key.clone()))
}
