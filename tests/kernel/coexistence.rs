//! What lispguard did not make it does not touch, and what it made it takes away when asked.

use std::thread;
use std::time::Duration;

use daemon::demo::net::Place;
use daemon::demo::net::world::{HOME_HOST, OFFICE_HOST};

use crate::machine::{difference, has_device, kernel_state, statistics};
use crate::testbed::{PATIENCE, in_world, ping_until_answered, start, start_pair, take_down};

/// Somebody else's WireGuard interface, rule and route.
fn add_foreign(place: &Place) -> std::io::Result<()> {
    for words in [
        &["link", "add", "wg-other", "type", "wireguard"][..],
        &["addr", "add", "172.16.0.1/24", "dev", "wg-other"],
        &["link", "set", "wg-other", "up"],
        &["rule", "add", "fwmark", "0x77", "lookup", "77", "priority", "4000"],
        &["-6", "rule", "add", "fwmark", "0x77", "lookup", "77", "priority", "4000"],
        &["route", "add", "172.17.0.0/16", "dev", "wg-other", "table", "77"],
    ] {
        place.run("ip", words)?;
    }
    Ok(())
}

#[test]
fn down_removes_what_a_run_left_and_only_that() {
    in_world(|world| {
        let place = world.home.place().name().to_owned();
        add_foreign(world.home.place())?;
        let before = kernel_state(world.home.place())?;
        start_pair(world)?;
        ping_until_answered(world, PATIENCE)?;
        let running = kernel_state(world.home.place())?;
        let untouched = before.iter().all(|line| running.contains(line));
        assert!(untouched, "{place}: {}", difference(&before, &running));

        world.home.kill()?;
        assert!(has_device(world.home.place(), "lg-data0"), "the kernel goes on");
        take_down(&world.home)?;
        let after = kernel_state(world.home.place())?;
        assert_eq!(before, after, "{}", difference(&before, &after));

        // Nothing to do is no error, and the next run begins anew.
        take_down(&world.home)?;
        start(&mut world.home)?;
        ping_until_answered(world, PATIENCE)?;
        Ok(())
    });
}

#[test]
fn an_overlay_default_route_does_not_lead_the_tunnels_into_themselves() {
    in_world(|world| {
        for site in world.sites_mut() {
            site.config.eid_space = vec!["0.0.0.0/0".into(), "::/0".into()];
        }
        start_pair(world)?;
        ping_until_answered(world, PATIENCE)?;
        let packets = || -> std::io::Result<u64> {
            let home = world.home.place();
            Ok(statistics(home, "lg-data0")?.tx_packets + statistics(home, "lg-ctl")?.tx_packets)
        };
        let before = packets()?;
        for _ in 0..10 {
            world.home_host.ping(HOME_HOST[0], OFFICE_HOST[0], PATIENCE)?;
            world.home_host.ping(HOME_HOST[2], OFFICE_HOST[1], PATIENCE)?;
        }
        thread::sleep(Duration::from_millis(500));
        let sent = packets()? - before;
        assert!((20..60).contains(&sent), "{sent} packets for 20 pings");
        assert!(world.home.status()?.ok);
        Ok(())
    });
}
