//! Sites behind a NAT.

use control::{Duration, Event};

use crate::network::Quality;
use crate::world::{MAP_SERVER, World, eid};

const HOME: &str = "10.1.0.1";
const OFFICE: &str = "10.2.0.1";
const PAIR: &[&[&str]] = &[&["10.1.0.0/16"], &["10.2.0.0/16"]];

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Both sites registered, these behind a NAT each.
fn world(behind_nat: &[usize], quality: Quality, seed: u8) -> World {
    let mut world = World::new(PAIR, quality, seed);
    behind_nat.iter().for_each(|place| world.put_behind_nat(*place));
    world.start_site(1);
    world.start_site(2);
    let all = |world: &World| world.is_registered(1) && world.is_registered(2);
    assert!(world.run_until(seconds(5), all), "a NAT keeps nobody from registering");
    world
}

/// Site `from` sends one packet; whether it arrives within `span`.
fn reaches(world: &mut World, from: usize, span: Duration) -> bool {
    let (to, source, target) = if from == 1 { (2, HOME, OFFICE) } else { (1, OFFICE, HOME) };
    let before = world.received(to, source, target);
    world.send(from, source, target);
    world.run_until(span, |world| world.received(to, source, target) > before)
}

fn told(world: &World, place: usize, is_it: impl Fn(&Event) -> bool) -> usize {
    world.routers[place].events.iter().filter(|(_, event)| is_it(event)).count()
}

#[test]
fn the_first_packet_crosses_a_nat_whichever_side_asks() {
    let reordering = Quality { loss: 0, duplication: 50, delay: 2_000, jitter: 30_000 };
    for seed in 0..20 {
        for (quality, asker) in
            [(Quality::CLEAN, 1), (Quality::CLEAN, 2), (reordering, 1), (reordering, 2)]
        {
            // Asked at once after the registration, and when all has settled.
            for pause in [0, 2000] {
                let mut world = world(&[2], quality, seed);
                world.run_for(millis(pause));
                assert!(reaches(&mut world, asker, seconds(1)), "{asker} asks, seed {seed}");
                assert!(reaches(&mut world, 3 - asker, millis(500)), "back, seed {seed}");
            }
        }
    }
}

#[test]
fn a_nat_is_told_on_both_ends_once() {
    let world = world(&[2], Quality::CLEAN, 1);
    let behind_nat = |event: &Event| matches!(event, Event::BehindNat { .. });
    let told: Vec<_> = (0..3).map(|place| told(&world, place, behind_nat)).collect();
    assert_eq!(told, [1, 0, 1]);
    assert!(world.routers[2].node.xtr().unwrap().is_behind_nat());
}

#[test]
fn an_idle_tunnel_through_a_nat_can_be_used_from_outside() {
    let mut world = world(&[2], Quality::CLEAN, 2);
    assert!(reaches(&mut world, 2, seconds(1)));
    for _ in 0..5 {
        world.run_for(seconds(600));
        assert!(reaches(&mut world, 1, millis(100)), "at {}", world.now);
    }
}

#[test]
fn a_nat_that_forgets_its_bindings_is_followed() {
    let mut world = world(&[2], Quality::CLEAN, 3);
    assert!(reaches(&mut world, 1, seconds(1)));
    world.run_for(seconds(10));
    world.routers[2].nat.as_mut().unwrap().rebind();
    assert!(reaches(&mut world, 2, millis(100)), "what is sent takes the new binding");
    assert!(reaches(&mut world, 1, millis(100)), "and is answered there");
    world.routers[2].nat.as_mut().unwrap().rebind();
    world.run_for(seconds(26));
    assert!(reaches(&mut world, 1, millis(100)), "a keepalive tells where we are");
    world.run_for(seconds(70));
    assert!(world.is_registered(2), "the control tunnel as well");
    assert!(reaches(&mut world, 1, millis(100)), "a refresh does not overwrite it");
}

#[test]
fn either_side_of_a_nat_may_restart() {
    for restarted in [1, 2] {
        let mut world = world(&[2], Quality::CLEAN, 4);
        assert!(reaches(&mut world, 1, seconds(1)) && reaches(&mut world, 2, seconds(1)));
        world.run_for(seconds(20));
        world.kill(restarted);
        world.run_for(seconds(5));
        world.restart_site(restarted, 0);
        assert!(world.run_until(seconds(1), |world| world.is_registered(restarted)));
        assert!(reaches(&mut world, 3 - restarted, seconds(1)), "{restarted} restarted");
        assert!(reaches(&mut world, restarted, seconds(1)), "{restarted} restarted");
    }
}

#[test]
fn a_restarted_map_server_reaches_a_site_through_its_nat() {
    let mut world = world(&[2], Quality::CLEAN, 5);
    assert!(reaches(&mut world, 1, seconds(1)));
    world.kill(MAP_SERVER);
    world.run_for(seconds(30));
    assert!(reaches(&mut world, 1, millis(100)) && reaches(&mut world, 2, millis(100)));
    world.restart_map_server();
    let is_known = |world: &World| {
        let map_server = world.routers[MAP_SERVER].node.map_server().unwrap();
        map_server.sites().filter(|site| site.registrations().count() > 0).count() == 2
    };
    assert!(world.run_until(seconds(3), is_known));
    assert!(reaches(&mut world, 1, millis(100)) && reaches(&mut world, 2, millis(100)));
}

#[test]
fn a_site_that_moves_behind_a_nat_and_out_again_keeps_what_it_receives() {
    let mut world = world(&[], Quality::CLEAN, 6);
    assert!(reaches(&mut world, 1, seconds(1)) && reaches(&mut world, 2, seconds(1)));
    world.run_for(seconds(5));
    world.put_behind_nat(2);
    for _ in 0..20 {
        world.run_for(millis(250));
        world.send(1, HOME, OFFICE);
    }
    world.run_for(seconds(1));
    assert!(world.received(2, HOME, OFFICE) >= 19, "{}", world.received(2, HOME, OFFICE));
    world.routers[2].nat = None;
    world.move_to(2, "198.51.100.9".parse().unwrap());
    world.run_for(millis(100));
    assert!(reaches(&mut world, 1, millis(100)) && reaches(&mut world, 2, millis(100)));
    world.run_for(seconds(2));
    assert!(!world.routers[2].node.xtr().unwrap().is_behind_nat());
}

#[test]
fn two_sites_behind_nats_are_told_so_once_and_nothing_is_tried() {
    for pause in [0, 2000] {
        let mut world = world(&[1, 2], Quality::CLEAN, 7);
        world.run_for(millis(pause));
        for _ in 0..20 {
            world.send(1, HOME, OFFICE);
            world.send(2, OFFICE, HOME);
            world.run_for(seconds(1));
        }
        assert_eq!(world.received(2, HOME, OFFICE), 0);
        for (place, other) in [(1, OFFICE), (2, HOME)] {
            let is_it = |event: &Event| matches!(event, Event::BothBehindNat { .. });
            assert_eq!(told(&world, place, is_it), 1, "site {place}, {pause} ms after the start");
            assert!(world.routers[place].node.xtr().unwrap().lookup(eid(other)).is_some());
        }
    }
}

#[test]
fn what_comes_to_be_behind_nats_on_both_ends_is_told_once_per_peer() {
    let sites: &[&[&str]] = &[&["10.1.0.0/16"], &["10.2.0.0/16", "10.12.0.0/16"]];
    let is_it = |event: &Event| matches!(event, Event::BothBehindNat { .. });
    let mut world = World::new(sites, Quality::CLEAN, 8);
    world.put_behind_nat(2);
    world.start_site(1);
    world.start_site(2);
    world.run_for(seconds(1));
    assert!(reaches(&mut world, 1, seconds(1)));
    assert_eq!((told(&world, 1, is_it), told(&world, 2, is_it)), (0, 0));
    world.put_behind_nat(1);
    world.run_for(seconds(2));
    assert_eq!((told(&world, 1, is_it), told(&world, 2, is_it)), (1, 1));
    world.kill(2);
    world.restart_site(2, 0);
    world.run_for(seconds(2));
    assert_eq!(told(&world, 2, is_it), 1, "it is pushed what it held before it knows of its NAT");
}
