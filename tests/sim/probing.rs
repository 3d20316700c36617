//! Paths that die without a word, and traffic that only looks as if they had.

use std::collections::BTreeMap;

use control::{Cause, Change, Duration, Event, Instant, Uplink};
use dataplane::{Channel, DataPlane};

use crate::network::Quality;
use crate::world::{MAP_SERVER, World, lane_key};

const HOME: &str = "10.1.0.1";
const OFFICE: &str = "10.2.0.1";
const PAIR: &[&[&str]] = &[&["10.1.0.0/16"], &["10.2.0.0/16"]];
const SILENCE: Duration = Duration::from_millis(300);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The uplinks of a site that has two, the first preferred.
fn both(first: &str, second: &str) -> [Uplink; 2] {
    let uplink = |place: u8, rloc: &str| Uplink {
        id: 1 + u32::from(place),
        place: Some(place),
        priority: 1 + place,
        ..Uplink::new(rloc.parse().unwrap())
    };
    [uplink(0, first), uplink(1, second)]
}

fn home() -> [Uplink; 2] {
    both("192.0.2.2", "198.51.100.2")
}

fn office() -> [Uplink; 2] {
    both("192.0.2.3", "198.51.100.3")
}

/// Two sites that have exchanged packets, and are quiet now. One way takes `delay_ms`.
fn talking(home: &[Uplink], office: &[Uplink], delay_ms: u64) -> World {
    let mut world = World::new(PAIR, Quality { delay: 1_000 * delay_ms, ..Quality::CLEAN }, 3);
    world.set_links(1, home);
    world.set_links(2, office);
    world.start_site(1);
    world.start_site(2);
    assert!(world.run_until(seconds(5), |world| world.is_registered(1) && world.is_registered(2)));
    for _ in 0..10 {
        world.send(1, HOME, OFFICE);
        world.send(2, OFFICE, HOME);
        world.run_for(seconds(1));
    }
    for router in &mut world.routers {
        router.events.clear();
        router.changes.clear();
    }
    world
}

/// Site 1 sends a packet every 10 ms, and nobody sends anything back.
fn send_one_way(world: &mut World, span: Duration) {
    let end = world.now + span;
    while world.now < end {
        world.send(1, HOME, OFFICE);
        world.run_for(millis(10));
    }
}

/// When site 1 left an uplink, or an endpoint of the other site, and which of both.
fn moves(world: &World) -> Vec<(Instant, &'static str)> {
    let events = world.routers[1].events.iter();
    let moves = events.filter_map(|(at, event)| match event {
        Event::Moved { cause: Cause::Silent, .. } => Some((*at, "uplink")),
        Event::Moved { .. } => Some((*at, "other uplink")),
        Event::EndpointMoved { .. } => Some((*at, "endpoint")),
        _ => None,
    });
    moves.collect()
}

fn counters(world: &World, place: usize) -> BTreeMap<&'static str, u64> {
    world.routers[place].node.xtr().unwrap().counters().iter().collect()
}

#[test]
fn a_dead_uplink_is_left_after_silence_and_two_round_trips_exactly() {
    for (delay, timeout) in [(1, 50), (10, 50), (25, 100), (60, 240)] {
        let mut world = talking(&home(), &office()[..1], delay);
        let began = world.now;
        world.network.dead = vec![home()[0].rloc];
        send_one_way(&mut world, seconds(2));
        let expected = (began + SILENCE + millis(timeout), "uplink");
        assert_eq!(moves(&world), [expected], "{delay} ms");
        let arrived = world.routers[2].received.last().unwrap().0;
        assert!(world.now - arrived <= millis(10 + delay), "it flows: {delay} ms");
        assert_eq!(world.routers[1].node.uplinks()[0].rloc, home()[1].rloc);
    }
}

#[test]
fn a_dead_endpoint_is_left_after_silence_and_two_round_trips_exactly() {
    for (delay, timeout) in [(1, 50), (10, 50), (25, 100), (60, 240)] {
        let mut world = talking(&home()[..1], &office(), delay);
        let began = world.now;
        world.network.dead = vec![office()[0].rloc];
        send_one_way(&mut world, seconds(2));
        let expected = (began + SILENCE + millis(timeout), "endpoint");
        assert_eq!(moves(&world)[0], expected, "{delay} ms");
        let arrived = world.routers[2].received.last().unwrap().0;
        assert!(world.now - arrived <= millis(10 + delay), "it flows: {delay} ms");
        // Told by the first that its answers do not arrive, the other one leaves its dead uplink.
        assert_eq!(world.routers[2].node.uplinks()[0].rloc, office()[1].rloc, "{delay} ms");
        // That one is tried again after 10 s.
        let failed = counters(&world, 1)["probes_failed"];
        send_one_way(&mut world, seconds(5));
        assert_eq!(counters(&world, 1)["probes_failed"], failed, "both ways: {delay} ms");
    }
}

#[test]
fn traffic_that_goes_one_way_only_is_probed_and_moves_nothing() {
    let mut world = talking(&home(), &office(), 10);
    let before = counters(&world, 1)["probes_sent"];
    send_one_way(&mut world, seconds(60));
    assert_eq!(moves(&world), []);
    let now = counters(&world, 1);
    let probes = now["probes_sent"] - before;
    assert!((100..=400).contains(&probes), "{probes} probes");
    assert_eq!((now["probes_failed"], counters(&world, 2)["probes_sent"]), (0, 1));
    assert!(world.routers[1].changes.is_empty());
}

#[test]
fn no_single_lost_message_moves_anything() {
    // The packets go out by then; what follows is silence's.
    for lost in 0..8 {
        let mut world = talking(&home(), &office(), 10);
        world.send(1, HOME, OFFICE);
        world.run_for(millis(299));
        world.network.lose(Some(lost));
        world.run_for(seconds(5));
        assert_eq!(moves(&world), [], "message {lost}");
        assert_eq!(counters(&world, 1)["probes_failed"], 0, "message {lost}");
        assert_eq!(world.received(2, HOME, OFFICE), 11);
    }
}

#[test]
fn two_lost_messages_in_a_row_move_the_endpoint_and_no_more() {
    let mut world = talking(&home(), &office(), 10);
    world.send(1, HOME, OFFICE);
    world.run_for(millis(299));
    // To and from the other site only: the Map-Server answers.
    world.network.dead = vec![office()[0].rloc];
    world.run_for(millis(60));
    world.network.dead.clear();
    world.run_for(seconds(30));
    assert_eq!(moves(&world).iter().map(|(_, what)| *what).collect::<Vec<_>>(), ["endpoint"]);
    world.send(1, HOME, OFFICE);
    world.run_for(seconds(1));
    assert_eq!(world.received(2, HOME, OFFICE), 12);
}

#[test]
fn where_all_endpoints_are_dead_less_and_less_is_tried() {
    for is_map_server_dead in [false, true] {
        let mut world = talking(&home()[..1], &office(), 10);
        let before = counters(&world, 1);
        world.kill(2);
        if is_map_server_dead {
            world.kill(MAP_SERVER);
        }
        send_one_way(&mut world, seconds(60));
        let now = counters(&world, 1);
        let more = |name: &str| now[name] - before[name];
        let set = |change: &&Change| matches!(change, Change::SetPeer(_));
        let set = world.routers[1].changes.iter().filter(set).count();
        assert!((12..=40).contains(&more("probes_sent")), "{} probes", more("probes_sent"));
        assert!(set <= 20, "{set} endpoints set");
        assert!(more("requests_sent") <= 40, "{} requests", more("requests_sent"));
        let moves = moves(&world);
        assert!((6..=16).contains(&moves.len()), "{moves:?}");
        assert!(moves.iter().all(|(_, what)| *what == "endpoint"));
    }
}

#[test]
fn where_everything_is_dead_two_uplinks_are_tried_less_and_less_often() {
    let mut world = talking(&home(), &office()[..1], 10);
    world.kill(2);
    world.kill(MAP_SERVER);
    send_one_way(&mut world, seconds(60));
    let moves = moves(&world);
    let last = moves.iter().filter(|(at, _)| world.now - *at < seconds(30)).count();
    assert!(moves.len() <= 20 && last <= 6, "{moves:?}");
    let probes = counters(&world, 1)["probes_sent"];
    assert!(probes <= 60, "{probes} probes");
}

#[test]
fn a_map_server_that_is_down_moves_nobody_whose_peers_answer() {
    let mut world = talking(&home(), &office(), 10);
    world.kill(MAP_SERVER);
    send_one_way(&mut world, seconds(20));
    assert_eq!(moves(&world), []);
}

#[test]
fn a_flood_of_probes_is_answered_within_bounds() {
    let mut world = talking(&home(), &office(), 10);
    let eids = [wire::EidRecord {
        is_subscription: false,
        mask_len: 16,
        eid: wire::Address::Ipv4([10, 1, 0, 0].into()),
    }];
    let rlocs = [wire::Address::None];
    let (mut buf, mut answered) = ([0; 256], 0);
    for round in 0..10 {
        for number in 0..200 {
            let request = wire::MapRequest {
                is_probe: true,
                ..wire::MapRequest::new(
                    wire::Nonce(2 * (1_000 * round + number)),
                    wire::Address::None,
                    wire::Addresses::new(&rlocs),
                    wire::EidRecords::new(&eids),
                )
            };
            let len = request.emit(&mut buf).unwrap();
            let (peer, now) = (lane_key(1, 0), world.now);
            let plane = &mut world.routers[2].plane;
            plane.send_control(Channel::Link, peer, &buf[..len], now).unwrap();
        }
        world.send(2, OFFICE, HOME);
        world.run_for(millis(100));
        answered = counters(&world, 1)["probes_answered"];
    }
    assert!((32..=60).contains(&answered), "{answered} of 2,000");
    assert!(counters(&world, 1)["probes_refused"] > 1_900);
    assert_eq!(moves(&world), []);
}
