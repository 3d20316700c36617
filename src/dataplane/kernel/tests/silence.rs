//! Peers that leave packets unanswered, and what it costs to know.

use core::net::SocketAddr;

use control::{Duration, Instant, PeerKey, Side};
use linux::packet::Bell;

use super::super::operations::Device;
use super::model::Message;
use super::world::{World, key, packet};
use crate::{Channel, EngineConfig, Event};

const MILLISECOND: Duration = Duration::from_millis(1);
const DELAY: Duration = Duration::from_millis(5);
const SILENCE: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_millis(50);
/// Long enough for looks to end, and too short for a session to need one.
const QUIET: Duration = Duration::from_secs(5);

/// Sites with sessions between the first and all others, after a quiet time.
fn quiet(has_third: bool) -> World {
    let mut world = World::new(DELAY, 1);
    if has_third {
        world.add_third();
    }
    let now = world.now;
    for site in [&mut world.b].into_iter().chain(&mut world.c) {
        let other = site.number;
        site.learn(1, Side::Responder, now);
        world.a.learn(other, Side::Initiator, now);
    }
    world.run(DELAY * 10);
    let others = if has_third { 2..4 } else { 2..3 };
    for other in others {
        assert!(world.a.has_session(key(other, 0)));
        exchange(&mut world, other, 0);
    }
    world.run(QUIET);
    assert_eq!(told(&world), []);
    world
}

/// A packet to another site, and its answer.
fn exchange(world: &mut World, other: u8, number: u8) {
    send(world, other, number);
    world.run(DELAY + MILLISECOND);
    let site = if other == 2 { Some(&mut world.b) } else { world.c.as_mut() };
    site.expect("a site").kernel.borrow_mut().send_from_host(packet(other, 1, number));
    world.run(DELAY + MILLISECOND);
}

fn send(world: &mut World, other: u8, number: u8) {
    world.a.kernel.borrow_mut().send_from_host(packet(1, other, number));
}

/// Whom the first site was told to be silent, and when.
fn told(world: &World) -> Vec<(Instant, PeerKey)> {
    let silent = |(at, event): &(Instant, Event)| match event {
        Event::Silent { peer } => Some((*at, *peer)),
        _ => None,
    };
    world.a.events.iter().filter_map(silent).collect()
}

fn bell(world: &World) -> Bell {
    world.a.kernel.borrow().interfaces[1].bell
}

fn counters(world: &World) -> [u64; 3] {
    ["looks", "surveys", "doorbells"].map(|name| world.a.counter(name))
}

fn from_second(from: SocketAddr, _: &Message) -> bool {
    from.ip() == std::net::IpAddr::from([192, 0, 2, 2])
}

#[test]
fn a_node_that_sends_nothing_looks_at_nothing() {
    let mut world = quiet(false);
    let before = counters(&world);
    world.run(Duration::from_secs(100));
    // What comes in wakes nobody, nor do messages of ours.
    for number in 0..50 {
        world.b.kernel.borrow_mut().send_from_host(packet(2, 1, number));
        world.run(LOOK);
        let now = world.now;
        world.a.machine.send_control(Channel::Link, key(2, 0), b"probe", now).expect("sent");
    }
    world.run(Duration::from_secs(50));
    assert_eq!(counters(&world), before);
    assert_eq!((bell(&world), told(&world).len()), (Bell::Armed, 0));
}

#[test]
fn a_burst_rings_once_and_is_looked_at_for_two_seconds() {
    let mut world = quiet(false);
    let before = counters(&world);
    for number in 0..20 {
        exchange(&mut world, 2, number);
    }
    assert_eq!(bell(&world), Bell::Off, "nothing is beside the packets");
    world.run(QUIET);
    let [looks, surveys, doorbells] = counters(&world);
    assert_eq!((surveys - before[1], doorbells - before[2]), (0, 1));
    // One at the ring, one at the end, and between them one in 50 ms.
    assert!((40..=52).contains(&(looks - before[0])), "{}", looks - before[0]);
    assert_eq!((bell(&world), told(&world).len()), (Bell::Armed, 0));
    // A packet alone leaves the doorbell where it is.
    exchange(&mut world, 2, 0);
    world.run(LOOK * 3);
    assert_eq!(bell(&world), Bell::Muted);
}

#[test]
fn where_one_peer_talks_one_look_in_a_sixth_of_the_time_is_enough() {
    let mut world = quiet(false);
    world.run(MILLISECOND);
    exchange(&mut world, 2, 0);
    let before = counters(&world);
    let end = world.now + Duration::from_secs(10);
    while world.now < end {
        exchange(&mut world, 2, 0);
    }
    let [looks, surveys, _] = counters(&world);
    assert!((190..=200).contains(&(looks - before[0])), "{}", looks - before[0]);
    assert_eq!(surveys, before[1]);
    assert_eq!(told(&world), []);
}

#[test]
fn a_path_that_is_cut_is_told_in_time_wherever_between_two_looks() {
    let mut world = quiet(false);
    for offset in 0..25 {
        world.loses = |_, _| false;
        for number in 0..30 {
            exchange(&mut world, 2, number);
        }
        world.run(MILLISECOND * offset * 2);
        (world.loses, world.a.events) = (from_second, Vec::new());
        let cut_at = world.now;
        while world.now < cut_at + SILENCE * 3 {
            send(&mut world, 2, 0);
            world.run(MILLISECOND * 10);
        }
        let told = told(&world);
        let after = told[0].0 - cut_at;
        assert!((SILENCE - LOOK..=SILENCE + LOOK + DELAY).contains(&after), "{after:?}");
        assert!((2..=3).contains(&told.len()), "told again as long as packets go: {told:?}");
        let gap = told[1].0 - told[0].0;
        assert!((SILENCE..=SILENCE + LOOK).contains(&gap), "{gap:?}");
    }
}

#[test]
fn one_packet_after_a_quiet_time_is_missed_exactly_when_the_time_is_over() {
    let mut world = quiet(false);
    world.loses = from_second;
    let sent_at = world.now;
    send(&mut world, 2, 0);
    world.run(QUIET);
    let told = told(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    let after = told[0].0 - sent_at;
    assert!(after >= SILENCE && after <= SILENCE + MILLISECOND * 6, "{after:?}");
}

#[test]
fn a_time_longer_than_the_looks_go_on_is_waited_for() {
    let silence = Duration::from_secs(5);
    let config = EngineConfig { silence, ..EngineConfig::default() };
    let mut world = World::with(DELAY, 1, &config);
    let now = world.now;
    world.b.learn(1, Side::Responder, now);
    world.a.learn(2, Side::Initiator, now);
    world.run(DELAY * 10);
    exchange(&mut world, 2, 0);
    world.run(silence * 3);
    assert_eq!((told(&world), bell(&world)), (vec![], Bell::Armed));
    world.loses = from_second;
    let sent_at = world.now;
    send(&mut world, 2, 0);
    world.run(silence * 3);
    let told = told(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].0 - sent_at <= silence + silence / 6, "{told:?}");
    assert_eq!(bell(&world), Bell::Armed);
}

#[test]
fn where_packets_go_one_way_it_is_told_until_something_comes() {
    let mut world = quiet(false);
    for _ in 0..300 {
        send(&mut world, 2, 0);
        world.run(MILLISECOND * 10);
    }
    let silent = told(&world).len();
    assert!((8..=10).contains(&silent), "{silent}");
    // Messages are enough of an answer.
    for _ in 0..30 {
        let now = world.now;
        world.b.machine.send_control(Channel::Link, key(1, 0), b"answer", now).expect("sent");
        for _ in 0..10 {
            send(&mut world, 2, 0);
            world.run(MILLISECOND * 10);
        }
    }
    assert!(told(&world).len() <= silent + 1);
    assert_eq!(world.a.counter("surveys"), 0);
}

#[test]
fn keepalives_handshakes_and_messages_of_ours_are_no_data() {
    let mut world = quiet(false);
    exchange(&mut world, 2, 0);
    world.loses = |from, _| from.ip() == std::net::IpAddr::from([192, 0, 2, 2]);
    for _ in 0..15 {
        let now = world.now;
        world.a.machine.send_control(Channel::Link, key(2, 0), b"probe", now).expect("sent");
        world.run(MILLISECOND * 100);
    }
    world.run(QUIET);
    assert_eq!(told(&world), []);
}

fn talk_to_both(world: &mut World, span: Duration) {
    let end = world.now + span;
    while world.now < end {
        send(world, 2, 0);
        exchange(world, 3, 0);
        world.b.kernel.borrow_mut().send_from_host(packet(2, 1, 0));
    }
}

#[test]
fn a_silent_peer_is_found_beside_one_that_answers() {
    let mut world = quiet(true);
    let talk = talk_to_both;
    for offset in 0..10 {
        world.loses = |_, _| false;
        talk(&mut world, Duration::from_secs(1));
        world.run(MILLISECOND * offset * 5);
        world.a.events.clear();
        let before = counters(&world);
        world.loses = from_second;
        let cut_at = world.now;
        talk(&mut world, SILENCE * 3);
        let told = told(&world);
        assert!(told.iter().all(|(_, peer)| *peer == key(2, 0)), "{told:?}");
        let after = told[0].0 - cut_at;
        assert!((SILENCE - LOOK..=SILENCE + LOOK + DELAY).contains(&after), "{after:?}");
        assert!((2..=3).contains(&told.len()), "{told:?}");
        let [looks, surveys, _] = counters(&world);
        assert!(surveys - before[1] <= looks - before[0]);
        assert!(looks - before[0] <= 18);
    }
}

/// Adds 70 peers to the first site, with sessions or without.
fn add_many(world: &mut World, has_session: bool) {
    let now = Some(world.now).filter(|_| has_session);
    for number in 0..70 {
        let key = PeerKey([100 + number; 32]);
        let address = control::auth::link_address(key);
        let peer = world.a.machine.data.add(key, Device::Lane(0), address, world.now);
        (peer.is_installed, peer.session_at) = (true, now);
        let mut kernel = world.a.kernel.borrow_mut();
        kernel.interfaces[1].peers.entry(key.0).or_default().handshake_at = now;
    }
}

#[test]
fn of_many_peers_that_rest_the_kernel_is_asked_less_often() {
    let mut world = quiet(true);
    add_many(&mut world, false);
    let before = counters(&world);
    talk_to_both(&mut world, Duration::from_secs(2));
    let [looks, surveys, _] = counters(&world);
    let (looks, surveys) = (looks - before[0], surveys - before[1]);
    assert!(looks >= 36 && surveys <= looks / 2 + 1, "{surveys} {looks}");
}

#[test]
fn of_many_peers_the_kernel_is_asked_less_often() {
    let mut world = quiet(true);
    add_many(&mut world, true);
    let before = counters(&world);
    talk_to_both(&mut world, Duration::from_secs(2));
    let [looks, surveys, _] = counters(&world);
    let (looks, surveys) = (looks - before[0], surveys - before[1]);
    assert!(looks >= 36 && surveys <= looks / 2 + 1, "{surveys} {looks}");
    assert_eq!(told(&world), []);
    world.loses = from_second;
    let cut_at = world.now;
    talk_to_both(&mut world, SILENCE + LOOK * 5);
    let told = told(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].0 - cut_at <= SILENCE + LOOK * 4, "{:?}", told[0].0 - cut_at);
}

#[test]
fn a_peer_that_talks_alone_has_the_others_asked_about_rarely() {
    let mut world = quiet(true);
    let talk = |world: &mut World, count: usize| {
        for _ in 0..count {
            exchange(world, 2, 0);
        }
    };
    talk(&mut world, 250);
    let before = counters(&world);
    let started_at = world.now;
    talk(&mut world, 500);
    let passed = world.now - started_at;
    let [looks, surveys, _] = counters(&world);
    let (looks, surveys) = (looks - before[0], surveys - before[1]);
    let most = (passed.as_micros() / SILENCE.as_micros()) as u64 + 1;
    assert!(surveys <= most, "{surveys} in {passed:?}");
    assert!(looks <= 6 * most);
    assert_eq!(told(&world), []);
    // Alone, and then not at all.
    world.loses = from_second;
    let cut_at = world.now;
    while told(&world).is_empty() {
        send(&mut world, 2, 0);
        world.run(MILLISECOND * 10);
    }
    let told = told(&world);
    assert!(told[0].0 - cut_at <= SILENCE + LOOK + DELAY, "{:?}", told[0].0 - cut_at);
    assert_eq!(told[0].1, key(2, 0));
}

#[test]
fn a_packet_that_is_lost_after_a_quiet_time_is_missed_beside_sessions_that_rest() {
    let mut world = quiet(true);
    world.loses = from_second;
    let sent_at = world.now;
    for _ in 0..3 {
        send(&mut world, 2, 0);
        world.run(Duration::from_millis(100));
    }
    world.run(QUIET);
    let told = told(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].0 - sent_at <= SILENCE + LOOK && told[0].1 == key(2, 0), "{told:?}");
}

#[test]
fn of_a_long_quiet_time_no_packet_is_taken_for_keepalives() {
    let mut world = quiet(true);
    world.run(Duration::from_secs(50));
    world.loses = from_second;
    let sent_at = world.now;
    for _ in 0..5 {
        send(&mut world, 2, 0);
    }
    world.run(SILENCE + LOOK * 2);
    let told = told(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].0 - sent_at <= SILENCE + LOOK && told[0].1 == key(2, 0), "{told:?}");
}

#[test]
fn a_new_path_gets_the_whole_time() {
    let mut world = quiet(false);
    for number in 0..30 {
        exchange(&mut world, 2, number);
    }
    world.loses = from_second;
    for _ in 0..25 {
        send(&mut world, 2, 0);
        world.run(MILLISECOND * 10);
    }
    let moved_at = world.now;
    world.a.machine.handle_uplink_change(moved_at);
    while told(&world).is_empty() {
        send(&mut world, 2, 0);
        world.run(MILLISECOND * 10);
    }
    let after = told(&world)[0].0 - moved_at;
    assert!(after >= SILENCE && after <= SILENCE + LOOK, "{after:?}");
}

#[test]
fn an_uplink_change_is_one_request_for_each_interface_and_a_packet_for_each_peer() {
    let mut world = quiet(true);
    let (requests, listings) = (world.a.kernel.borrow().requests, world.a.counter("listings"));
    let now = world.now;
    world.a.machine.handle_uplink_change(now);
    assert_eq!(world.a.kernel.borrow().requests, requests + 1, "there is no control session");
    assert_eq!(world.a.counter("listings"), listings);
    assert_eq!(world.a.kernel.borrow().outbox.len(), 2);
}

#[test]
fn no_time_for_it_turns_it_off() {
    let config = EngineConfig { silence: Duration::ZERO, ..EngineConfig::default() };
    let mut world = World::with(DELAY, 1, &config);
    let now = world.now;
    world.b.learn(1, Side::Responder, now);
    world.a.learn(2, Side::Initiator, now);
    world.run(DELAY * 10);
    world.loses = from_second;
    for _ in 0..100 {
        send(&mut world, 2, 0);
        world.run(MILLISECOND * 10);
    }
    assert_eq!((counters(&world), told(&world).len()), ([0; 3], 0));
    assert_eq!(bell(&world), Bell::Off);
}
