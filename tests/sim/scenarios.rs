//! What must hold of a Map-Server and its sites.

use control::{Duration, Event, Instant};

use crate::network::Quality;
use crate::world::{DAY, MAP_SERVER, World, eid};

const HOME: &str = "10.1.0.1";
const OFFICE: &str = "10.2.0.1";
const PAIR: &[&[&str]] = &[&["10.1.0.0/16"], &["10.2.0.0/16"]];

/// Up to 30 ms of reordering and one datagram in twenty twice.
const REORDERING: Quality = Quality { loss: 0, duplication: 50, delay: 2_000, jitter: 30_000 };

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn sites_register_within_200_ms() {
    let world = World::registered(PAIR, Quality::CLEAN, 1);
    assert!(world.now < Instant::from_millis(200), "{}", world.now);
    for place in 1..=2 {
        let registered = |(_, event): &(_, Event)| matches!(event, Event::Registered { .. });
        assert!(world.routers[place].events.iter().any(registered));
    }
}

#[test]
fn a_site_started_before_its_map_server_registers_within_2_s_of_its_start() {
    let mut world = World::new(PAIR, Quality::CLEAN, 1);
    world.kill(MAP_SERVER);
    world.start_site(1);
    world.run_for(seconds(37));
    world.restart_map_server();
    let took = world.now;
    assert!(world.run_until(seconds(2), |world| world.is_registered(1)), "since {took}");
}

#[test]
fn the_first_packet_of_50_cold_starts_is_not_lost() {
    for seed in 0..50 {
        let mut world = World::registered(PAIR, REORDERING, seed);
        world.send(1, HOME, OFFICE);
        world.run_for(seconds(3));
        assert_eq!(world.received(2, HOME, OFFICE), 1, "seed {seed}");
        world.send(2, OFFICE, HOME);
        world.run_for(millis(100));
        assert_eq!(world.received(1, OFFICE, HOME), 1, "seed {seed}: the way back stands");
    }
}

#[test]
fn no_first_packet_is_lost_when_both_sides_send_in_the_same_millisecond() {
    for seed in 0..50 {
        let mut world = World::registered(PAIR, REORDERING, seed);
        world.send(1, HOME, OFFICE);
        world.run_for(Duration::from_micros(u64::from(seed) * 20));
        world.send(2, OFFICE, HOME);
        world.run_for(seconds(3));
        assert_eq!(world.received(2, HOME, OFFICE), 1, "seed {seed}");
        assert_eq!(world.received(1, OFFICE, HOME), 1, "seed {seed}");
    }
}

#[test]
fn a_packet_sent_before_the_registration_waits_for_it() {
    let mut world = World::new(PAIR, Quality::CLEAN, 3);
    world.start_site(2);
    world.run_for(seconds(1));
    world.start_site(1);
    world.send(1, HOME, OFFICE);
    world.run_for(seconds(2));
    assert_eq!(world.received(2, HOME, OFFICE), 1);
}

#[test]
fn after_one_resolution_all_nine_directed_pairs_of_prefixes_work() {
    let sites: &[&[&str]] = &[
        &["10.1.0.0/16", "10.11.0.0/16", "10.21.0.0/16"],
        &["10.2.0.0/16", "10.12.0.0/16", "10.22.0.0/16"],
    ];
    let at_home = ["10.1.0.1", "10.11.0.1", "10.21.0.1"];
    let at_office = ["10.2.0.1", "10.12.0.1", "10.22.0.1"];
    for asker in [1, 2] {
        let mut world = World::registered(sites, Quality::CLEAN, 4);
        let (from, to) = if asker == 1 { (HOME, OFFICE) } else { (OFFICE, HOME) };
        world.send(asker, from, to);
        world.run_for(seconds(1));
        let asked: Vec<usize> =
            (1..=2).map(|at| world.routers[at].node.xtr().unwrap().requests().count()).collect();
        for home in at_home {
            for office in at_office {
                world.send(1, home, office);
                world.send(2, office, home);
                world.run_for(millis(11));
                let before = usize::from((home, office) == (HOME, OFFICE));
                let (from_home, from_office) = if asker == 1 { (before, 0) } else { (0, before) };
                assert_eq!(world.received(2, home, office), 1 + from_home);
                assert_eq!(world.received(1, office, home), 1 + from_office);
            }
        }
        let now: Vec<usize> =
            (1..=2).map(|at| world.routers[at].node.xtr().unwrap().requests().count()).collect();
        assert!(now.iter().zip(&asked).all(|(now, then)| now <= then), "nothing more was asked");
    }
}

#[test]
fn a_bad_underlay_delays_but_does_not_prevent() {
    for seed in 0..20 {
        let quality = Quality { loss: 200, duplication: 100, delay: 5_000, jitter: 40_000 };
        let mut world = World::new(PAIR, quality, seed);
        world.start_site(1);
        world.start_site(2);
        for _ in 0..100 {
            world.send(1, HOME, OFFICE);
            world.send(2, OFFICE, HOME);
            world.run_for(millis(200));
        }
        assert!(world.is_registered(1) && world.is_registered(2), "seed {seed}");
        assert!(world.received(2, HOME, OFFICE) > 40, "seed {seed}");
        assert!(world.received(1, OFFICE, HOME) > 40, "seed {seed}");
    }
}

/// Sends a packet each way every 100 ms for `span`; how many were lost.
fn traffic(world: &mut World, span: Duration) -> (usize, usize) {
    let before = (world.received(2, HOME, OFFICE), world.received(1, OFFICE, HOME));
    let mut sent = 0;
    let end = world.now + span;
    while world.now < end {
        for (place, from, to) in [(1, HOME, OFFICE), (2, OFFICE, HOME)] {
            if world.routers[place].is_up {
                world.send(place, from, to);
            }
        }
        sent += 1;
        world.run_for(millis(100));
    }
    let after = (world.received(2, HOME, OFFICE), world.received(1, OFFICE, HOME));
    (sent - (after.0 - before.0).min(sent), sent - (after.1 - before.1).min(sent))
}

#[test]
fn a_killed_map_server_stops_no_data_and_has_all_sites_within_3_s_of_its_return() {
    for downtime in [1, 30, 400] {
        let mut world = World::registered(PAIR, Quality::CLEAN, 5);
        world.send(1, HOME, OFFICE);
        world.run_for(seconds(1));
        world.kill(MAP_SERVER);
        assert_eq!(traffic(&mut world, seconds(downtime)), (0, 0), "{downtime} s down");
        world.restart_map_server();
        let is_known = |world: &World| {
            let map_server = world.routers[MAP_SERVER].node.map_server().unwrap();
            map_server.sites().filter(|site| site.registrations().count() > 0).count() == 2
        };
        assert!(world.run_until(seconds(3), is_known), "{downtime} s down");
        assert_eq!(traffic(&mut world, seconds(5)), (0, 0));
        assert!(world.is_registered(1) && world.is_registered(2));
    }
}

/// Whether what site 1 sends to site 2, and nobody else to anybody, arrives within a second.
fn reaches_within_1_s(world: &mut World) -> bool {
    let before = world.received(2, HOME, OFFICE);
    world.send(1, HOME, OFFICE);
    world.run_until(seconds(1), |world| world.received(2, HOME, OFFICE) > before)
}

#[test]
fn a_restarted_map_server_learns_again_who_is_to_be_told_of_a_new_key() {
    let mut world = World::registered(PAIR, Quality::CLEAN, 11);
    traffic(&mut world, seconds(5));
    world.kill(MAP_SERVER);
    world.run_for(seconds(5));
    world.restart_map_server();
    world.run_for(seconds(4));
    let holders = world.routers[MAP_SERVER].node.map_server().unwrap().holders().count();
    assert_eq!(holders, 2, "each holds the other");
    world.kill(2);
    world.restart_site(2, 0);
    assert!(world.run_until(seconds(1), |world| world.is_registered(2)));
    assert!(reaches_within_1_s(&mut world));
}

#[test]
fn a_silent_peer_whose_new_key_nobody_told_of_is_asked_for_again() {
    let mut world = World::registered(PAIR, Quality::CLEAN, 12);
    traffic(&mut world, seconds(5));
    world.run_for(seconds(400));
    world.kill(MAP_SERVER);
    world.kill(2);
    world.run_for(seconds(5));
    world.restart_map_server();
    world.run_for(seconds(5));
    world.restart_site(2, 0);
    assert!(world.run_until(seconds(1), |world| world.is_registered(2)));
    assert!(reaches_within_1_s(&mut world));
}

#[test]
fn traffic_to_a_restarted_site_flows_within_1_s_of_its_registration() {
    let mut world = World::registered(PAIR, Quality::CLEAN, 6);
    traffic(&mut world, seconds(5));
    world.kill(2);
    traffic(&mut world, seconds(3));
    world.restart_site(2, 0);
    assert!(world.run_until(seconds(1), |world| world.is_registered(2)));
    traffic(&mut world, millis(900));
    assert_eq!(traffic(&mut world, seconds(5)), (0, 0));
}

#[test]
fn a_new_rloc_is_published_to_those_who_hold_the_mapping() {
    let mut world = World::registered(PAIR, Quality::CLEAN, 7);
    traffic(&mut world, seconds(2));
    let elsewhere = "198.51.100.9".parse().unwrap();
    world.move_to(2, elsewhere);
    let knows = |world: &World| {
        let xtr = world.routers[1].node.xtr().unwrap();
        xtr.locators_of(xtr.lookup(eid(OFFICE)).unwrap().1)[0].rloc == elsewhere
    };
    assert!(world.run_until(millis(500), knows));
    world.run_for(millis(100));
    assert_eq!(traffic(&mut world, seconds(5)), (0, 0));
}

#[test]
fn a_site_with_its_clock_a_day_back_registers_when_the_clock_is_set() {
    let mut world = World::registered(PAIR, Quality::CLEAN, 8);
    world.run_for(seconds(10));
    world.kill(2);
    world.restart_site(2, DAY);
    world.run_for(seconds(20));
    assert!(!world.is_registered(2), "its handshakes look like replays");
    world.set_clock_right(2);
    assert!(world.run_until(seconds(1), |world| world.is_registered(2)));
}

#[test]
fn a_site_with_its_clock_a_day_back_registers_once_its_old_registration_expired() {
    let mut world = World::registered(PAIR, Quality::CLEAN, 9);
    world.run_for(seconds(10));
    world.kill(2);
    world.restart_site(2, DAY);
    assert!(world.run_until(seconds(190), |world| world.is_registered(2)), "{}", world.now);
}

#[test]
fn an_idle_registered_pair_wakes_up_less_than_twice_a_second() {
    let mut world = World::registered(PAIR, Quality::CLEAN, 10);
    traffic(&mut world, seconds(2));
    world.run_for(seconds(30));
    let before: Vec<u64> = world.routers.iter().map(|router| router.wakeups).collect();
    world.run_for(seconds(60));
    for (place, router) in world.routers.iter().enumerate() {
        let wakeups = router.wakeups - before[place];
        assert!(wakeups < 60, "router {place}: {wakeups} in a minute");
    }
}
