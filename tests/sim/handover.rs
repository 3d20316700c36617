//! Sites that move: how long nothing comes, what is lost, and that all who have to learn it do.

use control::{Cause, Duration, Event, Instant, Locator, Uplink};

use dataplane::Interface;

use crate::network::Quality;
use crate::world::{MAP_SERVER, World, eid};

const HOME: &str = "10.1.0.1";
const OFFICE: &str = "10.2.0.1";
const PAIR: &[&[&str]] = &[&["10.1.0.0/16"], &["10.2.0.0/16"]];
/// There and back on the clean network.
const ROUND_TRIP: Duration = Duration::from_millis(20);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn wan(rloc: &str) -> Uplink {
    Uplink { id: 1, ..Uplink::new(rloc.parse().unwrap()) }
}

/// Better than the other one.
fn wlan(rloc: &str) -> Uplink {
    Uplink { id: 2, ..Uplink::new(rloc.parse().unwrap()) }
}

fn lte(rloc: &str) -> Uplink {
    Uplink { id: 3, metric: 10, ..Uplink::new(rloc.parse().unwrap()) }
}

/// Two registered mobile nodes whose tunnel stands.
fn world(home: &[Uplink], office: &[Uplink]) -> World {
    let mut world = World::new(PAIR, Quality::CLEAN, 1);
    world.set_links(1, home);
    world.set_links(2, office);
    world.start_site(1);
    world.start_site(2);
    assert!(world.run_until(seconds(5), |world| world.is_registered(1) && world.is_registered(2)));
    world.send(1, HOME, OFFICE);
    world.run_for(seconds(1));
    assert_eq!(stream(&mut world, seconds(1)), [Flow::default(); 2], "nothing is lost before");
    world
}

/// What came of a stream of packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Flow {
    lost: usize,
    /// How much longer than a millisecond nothing came, at most.
    gap: Duration,
}

/// Each sends the other a packet every millisecond for `span`; what came of it at site 1 and at
/// site 2, once what is under way has arrived.
fn stream(world: &mut World, span: Duration) -> [Flow; 2] {
    stream_while(world, span, |_| {})
}

/// The same, with something that happens after 100 ms.
fn stream_while(world: &mut World, span: Duration, event: impl FnOnce(&mut World)) -> [Flow; 2] {
    let before = [1, 2].map(|place: usize| world.routers[place].received.len());
    let (began, mut event) = (world.now, Some(event));
    let mut sent = 0;
    while world.now < began + span {
        if world.now >= began + millis(100)
            && let Some(event) = event.take()
        {
            event(world);
        }
        world.send(1, HOME, OFFICE);
        world.send(2, OFFICE, HOME);
        sent += 1;
        world.run_for(millis(1));
    }
    world.run_for(ROUND_TRIP);
    [1, 2].map(|place: usize| {
        let received = &world.routers[place].received[before[place - 1]..];
        let at: Vec<Instant> = received.iter().map(|(at, ..)| *at).collect();
        let gap = at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(span);
        Flow { lost: sent - received.len(), gap: gap.saturating_sub(millis(1)) }
    })
}

/// The locators of a site as the Map-Server has them.
fn registered(world: &World, place: usize) -> Vec<Locator> {
    let map_server = world.routers[MAP_SERVER].node.map_server().unwrap();
    let site = map_server.sites().nth(place - 1).unwrap();
    site.registrations().next().map(|row| row.mapping.locators.to_vec()).unwrap_or_default()
}

/// Whether all know that a site is at its chosen uplinks: the Map-Server, the other site, and its
/// data plane.
fn is_known(world: &World, place: usize) -> bool {
    let uplinks = world.routers[place].node.uplinks();
    let is_right = |locators: &[Locator]| {
        locators.len() == uplinks.len()
            && uplinks.iter().all(|uplink| locators.iter().any(|one| one.rloc == uplink.rloc))
    };
    let (other, at) = if place == 1 { (2, HOME) } else { (1, OFFICE) };
    let xtr = world.routers[other].node.xtr().unwrap();
    let known = xtr.lookup(eid(at)).map(|(_, row)| xtr.locators_of(row));
    is_right(&registered(world, place)) && known.is_some_and(|known| is_right(&known))
}

fn causes(world: &World, place: usize) -> Vec<Cause> {
    let cause = |(_, event): &(_, Event)| match event {
        Event::Moved { cause, .. } => Some(*cause),
        _ => None,
    };
    world.routers[place].events.iter().filter_map(cause).collect()
}

/// What is kept of others, which moves must not make more of: holders, map-cache entries and data
/// peers at each site, datagrams under way.
fn tables(world: &World) -> Vec<usize> {
    let map_server = world.routers[MAP_SERVER].node.map_server().unwrap();
    let mut tables = vec![map_server.holders().count(), world.network.len()];
    for router in &world.routers[1..] {
        let xtr = router.node.xtr().unwrap();
        tables.extend([xtr.map_cache_len(), xtr.requests().count()]);
        tables.push(router.plane.peer_status(Interface::Data).count());
    }
    tables
}

/// Whether a packet each way, sent now, arrives at once.
fn flows(world: &mut World) -> bool {
    let before = [1, 2].map(|place: usize| world.routers[place].received.len());
    world.send(1, HOME, OFFICE);
    world.send(2, OFFICE, HOME);
    world.run_for(ROUND_TRIP / 2);
    [1, 2].map(|place: usize| world.routers[place].received.len()) == before.map(|n| n + 1)
}

#[test]
fn after_a_lost_link_nothing_comes_for_exactly_a_round_trip() {
    let mut world = world(&[wlan("192.0.2.2"), lte("198.51.100.2")], &[wan("192.0.2.3")]);
    let [home, office] =
        stream_while(&mut world, seconds(1), |world| world.set_links(1, &[lte("198.51.100.2")]));
    assert_eq!(home.gap, ROUND_TRIP - millis(1));
    assert_eq!(home.lost, 19, "what is under way, and what is sent before the move is known");
    assert_eq!(office, Flow::default(), "what it sends takes the new uplink at once");
    assert!(is_known(&world, 1));
    assert_eq!(causes(&world, 1), [Cause::First, Cause::Lost]);
}

#[test]
fn after_a_new_address_nothing_comes_for_exactly_a_round_trip() {
    let mut world = world(&[wlan("192.0.2.2")], &[wan("192.0.2.3")]);
    let [home, office] =
        stream_while(&mut world, seconds(1), |world| world.set_links(1, &[wlan("198.51.100.9")]));
    assert_eq!((home.gap, home.lost), (ROUND_TRIP - millis(1), 19));
    assert_eq!(office, Flow::default());
    assert!(flows(&mut world) && is_known(&world, 1));
    assert_eq!(causes(&world, 1), [Cause::First, Cause::Roamed]);
}

#[test]
fn a_move_from_ipv6_to_ipv4_and_back_takes_no_longer() {
    let configured =
        |place: u8, uplink: Uplink| Uplink { place: Some(place), priority: 1 + place, ..uplink };
    let v6 = configured(0, wlan("2001:db8::2"));
    let v4 = configured(1, lte("198.51.100.2"));
    let office = [configured(0, wan("2001:db8::3")), configured(1, wan("192.0.2.3"))];
    let mut world = world(&[v6, v4], &office);
    for (links, cause) in [(&[v4][..], Cause::Lost), (&[v6, v4], Cause::Better)] {
        let [home, office] =
            stream_while(&mut world, seconds(4), |world| world.set_links(1, links));
        let (gap, lost) = match cause {
            Cause::Lost => (ROUND_TRIP - millis(1), 19),
            _ => (Duration::ZERO, 0),
        };
        assert_eq!((home.gap, home.lost), (gap, lost), "{cause}");
        assert_eq!(office, Flow::default(), "{cause}");
        assert!(is_known(&world, 1));
        assert_eq!(causes(&world, 1).last(), Some(&cause));
    }
}

#[test]
fn a_move_to_an_uplink_that_came_up_beside_the_one_in_use_loses_nothing() {
    let both = [wlan("192.0.2.2"), lte("198.51.100.2")];
    let mut world = world(&both[1..], &[wan("192.0.2.3")]);
    let flow = stream_while(&mut world, seconds(2), |world| world.set_links(1, &both));
    assert_eq!(flow, [Flow::default(); 2]);
    assert_eq!(causes(&world, 1), [Cause::First, Cause::Better]);
    let flow = stream_while(&mut world, seconds(1), |world| world.set_links(1, &both[..1]));
    assert_eq!(flow, [Flow::default(); 2], "the old one may go");
    assert!(is_known(&world, 1));
}

#[test]
fn a_move_back_and_forth_every_two_seconds_loses_a_round_trip_each_time() {
    let both = [wlan("192.0.2.2"), lte("198.51.100.2")];
    let mut world = world(&both, &[wan("192.0.2.3")]);
    let mut lost = 0;
    for turn in 0..10 {
        let [home, office] = stream_while(&mut world, seconds(2), |world| match turn % 2 {
            0 => world.set_links(1, &both[1..]),
            _ => world.set_links(1, &both),
        });
        assert!(home.gap < ROUND_TRIP && office == Flow::default(), "turn {turn}: {home:?}");
        lost += home.lost;
    }
    // At first it goes back after a second; then the one that breaks down is held for longer.
    assert_eq!(lost, 2 * 19);
}

#[test]
fn both_ends_that_move_at_once_meet_through_the_map_server() {
    let elsewhere = [wlan("198.51.100.2"), wan("198.51.100.3")];
    let mut world = world(&[wlan("192.0.2.2")], &[wan("192.0.2.3")]);
    let flow = stream_while(&mut world, seconds(1), |world| {
        world.set_links(1, &elsewhere[..1]);
        world.set_links(2, &elsewhere[1..]);
    });
    // To the Map-Server, to one end, what that sends then, and what the other one sends then.
    assert!(flow.iter().all(|end| end.gap < ROUND_TRIP * 2), "{flow:?}");
    assert!(flow.iter().any(|end| end.gap < ROUND_TRIP * 3 / 2), "{flow:?}");
    assert!(is_known(&world, 1) && is_known(&world, 2));
}

#[test]
fn an_uplink_that_dies_silently_is_left_and_tried_again_later() {
    let both = [wlan("192.0.2.2"), lte("198.51.100.2")];
    let mut world = world(&both, &[wan("192.0.2.3")]);
    let [home, office] = stream_while(&mut world, seconds(5), |world| {
        world.network.dead = vec![both[0].rloc];
    });
    // Silence, two timeouts of 50 ms at most, and the round trip by the other uplink.
    let most = millis(300 + 2 * 50) + ROUND_TRIP * 2;
    assert!(home.gap <= most && office.gap <= most, "{home:?} {office:?}");
    assert_eq!(causes(&world, 1), [Cause::First, Cause::Silent]);
    assert!(is_known(&world, 1) && flows(&mut world));
    world.network.dead.clear();
    assert_eq!(stream(&mut world, seconds(20)), [Flow::default(); 2], "it is moved back");
    assert_eq!(causes(&world, 1), [Cause::First, Cause::Silent, Cause::Better]);
}

#[test]
fn without_a_map_server_data_moves_all_the_same_and_it_learns_when_it_is_back() {
    let mut world = world(&[wlan("192.0.2.2"), lte("198.51.100.2")], &[wan("192.0.2.3")]);
    world.kill(MAP_SERVER);
    let [home, office] =
        stream_while(&mut world, seconds(10), |world| world.set_links(1, &[lte("198.51.100.2")]));
    assert_eq!((home.gap, home.lost), (ROUND_TRIP - millis(1), 19));
    assert_eq!(office, Flow::default());
    world.restart_map_server();
    assert!(world.run_until(seconds(5), |world| is_known(world, 1)));
    assert_eq!(stream(&mut world, seconds(1)), [Flow::default(); 2]);
}

/// What happens in a move, and how long all takes until all is as it should be when a message of it
/// is lost.
type Scenario = (fn(&mut World), Duration);

#[test]
fn whatever_message_of_a_move_is_lost_all_is_right_in_time() {
    let scenarios: [Scenario; 3] = [
        (|world| world.set_links(1, &[lte("198.51.100.2")]), millis(200)),
        (|world| world.set_links(1, &[wlan("203.0.113.9"), lte("198.51.100.2")]), millis(200)),
        (
            |world| {
                world.set_links(1, &[wlan("203.0.113.9")]);
                world.set_links(2, &[wan("203.0.113.3")]);
            },
            millis(200),
        ),
    ];
    for (number, (event, bound)) in scenarios.into_iter().enumerate() {
        for lost in 0..20 {
            let mut world = world(&[wlan("192.0.2.2"), lte("198.51.100.2")], &[wan("192.0.2.3")]);
            world.network.lose(Some(lost));
            event(&mut world);
            world.run_for(bound);
            world.network.lose(None);
            let case = format!("case {number}, datagram {lost}");
            assert!(is_known(&world, 1) && is_known(&world, 2), "{case}");
            assert!(flows(&mut world), "{case}");
        }
    }
}

#[test]
fn while_data_flows_no_lost_message_makes_the_gap_longer() {
    for lost in 0..20 {
        let mut world = world(&[wlan("192.0.2.2"), lte("198.51.100.2")], &[wan("192.0.2.3")]);
        let [home, office] = stream_while(&mut world, millis(500), |world| {
            world.network.lose(Some(lost));
            world.set_links(1, &[lte("198.51.100.2")]);
        });
        // The first datagram by the new uplink moves the tunnel, whichever it is.
        assert!(home.gap <= ROUND_TRIP && home.lost <= 20, "datagram {lost}: {home:?}");
        assert!(office.lost <= 1, "datagram {lost}: {office:?}");
        assert!(is_known(&world, 1), "datagram {lost}");
    }
}

#[test]
fn a_thousand_moves_leave_the_tables_as_they_were() {
    let links = [wlan("192.0.2.2"), lte("198.51.100.2")];
    let mut world = world(&links[..1], &[wan("192.0.2.3")]);
    world.run_for(seconds(1));
    let before = tables(&world);
    let mut gaps = Vec::new();
    for turn in 0..1000 {
        let next = [links[(turn + 1) % 2]];
        if turn % 100 == 0 || turn == 999 {
            let [home, _] =
                stream_while(&mut world, millis(200), |world| world.set_links(1, &next));
            gaps.push(home.gap);
        } else {
            world.set_links(1, &next);
            world.run_for(millis(50 + turn as u64 % 7));
        }
    }
    assert_eq!(gaps, [ROUND_TRIP - millis(1); 11]);
    world.run_for(seconds(5));
    assert_eq!(tables(&world), before);
    assert!(is_known(&world, 1) && flows(&mut world));
}
