//! Sites with several uplinks, and nodes that restart over a data plane that forwards on.

use control::{Change, Duration, EidPrefix, Forwarding, Lanes, PeerConfig, PeerKey};

use crate::network::Quality;
use crate::world::{World, eid, lane_key};

const HOME: &str = "10.1.0.1";
const OFFICE: &str = "10.2.0.1";
const PAIR: &[&[&str]] = &[&["10.1.0.0/16"], &["10.2.0.0/16", "10.12.0.0/16"]];
const HOME_UPLINKS: [(&str, u8); 2] = [("192.0.2.2", 0), ("198.51.100.2", 1)];
const OFFICE_UPLINKS: [(&str, u8); 2] = [("192.0.2.3", 0), ("2001:db8::3", 1)];

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Two registered sites that have exchanged a packet.
fn world(lanes: [u8; 2], home: &[(&str, u8)], office: &[(&str, u8)]) -> World {
    let mut world = World::with_lanes(PAIR, &lanes, Quality::CLEAN, 1);
    world.set_uplinks(1, home);
    world.set_uplinks(2, office);
    world.start_site(1);
    world.start_site(2);
    assert!(world.run_until(seconds(5), |world| world.is_registered(1) && world.is_registered(2)));
    exchange(&mut world);
    world
}

/// A packet there and one back; none is lost.
fn exchange(world: &mut World) {
    let before = (world.received(2, HOME, OFFICE), world.received(1, OFFICE, HOME));
    world.send(1, HOME, OFFICE);
    world.run_for(seconds(1));
    world.send(2, OFFICE, HOME);
    world.run_for(seconds(1));
    let after = (world.received(2, HOME, OFFICE), world.received(1, OFFICE, HOME));
    assert_eq!(after, (before.0 + 1, before.1 + 1));
}

fn clear(world: &mut World) {
    world.routers.iter_mut().for_each(|router| router.changes.clear());
}

fn forwarding(world: &World, place: usize, to: &str) -> Option<Forwarding> {
    let xtr = world.routers[place].node.xtr().unwrap();
    xtr.lookup(eid(to)).map(|(_, row)| row.forwarding)
}

fn lanes_of(place: usize, weights: [u8; 2]) -> Option<Forwarding> {
    let peer = |lane: u8| (lane, lane_key(place, lane), weights[usize::from(lane)]);
    Lanes::new(&[peer(0), peer(1)]).map(Forwarding::Lanes)
}

#[test]
fn two_lanes_meet_two_lanes_and_each_knows_both() {
    let office = [("192.0.2.3", 0), ("203.0.113.3", 1)];
    let world = world([2, 2], &HOME_UPLINKS, &office);
    for to in [OFFICE, "10.12.0.1"] {
        assert_eq!(forwarding(&world, 1, to), lanes_of(2, [100, 100]), "{to}");
    }
    assert_eq!(forwarding(&world, 2, HOME), lanes_of(1, [100, 100]));
    let peers = world.routers[1].changes.iter().filter_map(|change| match change {
        Change::SetPeer(PeerConfig { key, lane, endpoint, .. }) => Some((*key, *lane, *endpoint)),
        _ => None,
    });
    let endpoint = |text: &str| Some(text.parse().unwrap());
    let expected = [
        (lane_key(2, 0), 0, endpoint("192.0.2.3:51820")),
        (lane_key(2, 1), 1, endpoint("203.0.113.3:51822")),
    ];
    assert_eq!(peers.collect::<Vec<_>>(), expected);
}

#[test]
fn one_lane_meets_two_in_lane_0() {
    let world = world([1, 2], &[("192.0.2.2", 0)], &OFFICE_UPLINKS);
    assert_eq!(forwarding(&world, 1, OFFICE), Some(Forwarding::Peer(lane_key(2, 0))));
    assert_eq!(forwarding(&world, 2, HOME), Some(Forwarding::Peer(lane_key(1, 0))));
    let is_lane_0 = |change: &Change| match change {
        Change::SetPeer(peer) => peer.lane == 0,
        _ => true,
    };
    for place in [1, 2] {
        assert!(world.routers[place].changes.iter().all(is_lane_0));
    }
}

#[test]
fn rlocs_of_both_families_are_lanes_for_those_who_have_both() {
    let both = [("192.0.2.2", 0), ("2001:db8::2", 1)];
    let world_of = |home| world([2, 2], home, &OFFICE_UPLINKS);
    assert_eq!(forwarding(&world_of(&both), 1, OFFICE), lanes_of(2, [100, 100]));
    assert_eq!(forwarding(&world_of(&HOME_UPLINKS), 1, OFFICE), lanes_of(2, [100, 0]));
}

#[test]
fn a_failed_uplinks_lane_moves_across_families_and_back() {
    let mut world = world([2, 2], &HOME_UPLINKS, &OFFICE_UPLINKS);
    clear(&mut world);
    for (count, endpoint) in [(1, "192.0.2.3:51822"), (2, "[2001:db8::3]:51822")] {
        world.set_uplinks(2, &OFFICE_UPLINKS[..count]);
        // What comes back is held for 2 s.
        world.run_for(seconds(3));
        let moved = |change: &Change| {
            matches!(change, Change::SetPeer(peer)
                if peer.key == lane_key(2, 1) && peer.endpoint == Some(endpoint.parse().unwrap()))
        };
        let is_route = |change: &Change| matches!(change, Change::SetRoute { .. });
        let changes = core::mem::take(&mut world.routers[1].changes);
        assert_eq!(changes.iter().filter(|change| moved(change)).count(), 1, "{changes:?}");
        let others: Vec<_> = changes.iter().filter(|change| !moved(change)).collect();
        // The one with IPv4 alone gives the lane that it cannot reach no share.
        assert!(others.iter().all(|change| is_route(change)), "{others:?}");
        assert!(world.routers[2].changes.is_empty(), "{:?}", world.routers[2].changes);
        exchange(&mut world);
    }
}

#[test]
fn between_uplinks_of_one_family_a_failure_changes_one_endpoint_and_nothing_else() {
    let office = [("192.0.2.3", 0), ("203.0.113.3", 1)];
    let mut world = world([2, 2], &HOME_UPLINKS, &office);
    clear(&mut world);
    world.set_uplinks(2, &office[..1]);
    world.run_for(seconds(1));
    let [Change::SetPeer(peer)] = world.routers[1].changes[..] else {
        panic!("{:?}", world.routers[1].changes)
    };
    assert_eq!((peer.key, peer.lane), (lane_key(2, 1), 1));
    assert_eq!(peer.endpoint, Some("192.0.2.3:51822".parse().unwrap()));
    assert!(world.routers[2].changes.is_empty());
    exchange(&mut world);
}

#[test]
fn a_lane_that_is_configured_no_more_leaves_both_ends() {
    let mut world = world([2, 2], &HOME_UPLINKS, &OFFICE_UPLINKS);
    world.set_priorities(2, &[1, 2]);
    world.run_for(seconds(1));
    assert_eq!(forwarding(&world, 1, OFFICE), Some(Forwarding::Peer(lane_key(2, 0))));
    assert_eq!(forwarding(&world, 2, HOME), Some(Forwarding::Peer(lane_key(1, 0))));
    for (place, other) in [(1, 2), (2, 1)] {
        let removed = Change::RemovePeer(lane_key(other, 1));
        assert_eq!(world.routers[place].changes.last(), Some(&removed));
    }
    exchange(&mut world);
}

#[test]
fn a_restart_over_a_running_data_plane_changes_nothing_that_is_confirmed() {
    for lanes in [1, 2] {
        let office = [("192.0.2.3", 0), ("203.0.113.3", 1)];
        let n = usize::from(lanes);
        let mut world = world([lanes; 2], &HOME_UPLINKS[..n], &office[..n]);
        let stale: EidPrefix = "10.9.0.0/16".parse().unwrap();
        let nobody = PeerKey([0x77; 32]);
        let before = world.received(2, HOME, OFFICE);
        world.restart_over_data_plane(1, &[(stale, nobody)]);
        for _ in 0..100 {
            world.send(1, HOME, OFFICE);
            world.run_for(Duration::from_millis(20));
        }
        assert_eq!(world.received(2, HOME, OFFICE), before + 100, "{lanes} lanes");
        let changes = &world.routers[1].changes;
        let about_stale = [Change::RemoveRoute(stale), Change::RemovePeer(nobody)];
        let about_stale = |change: &&Change| {
            about_stale.contains(change)
                || matches!(change, Change::SetRoute { forwarding: Forwarding::Drop, .. })
        };
        assert!(changes.iter().all(|change| about_stale(&change)), "{changes:?}");
        assert!(changes.contains(&Change::RemovePeer(nobody)), "{changes:?}");
        assert!(
            world.routers[2]
                .changes
                .iter()
                .all(|change| !matches!(change, Change::RemovePeer(_) | Change::RemoveRoute(_)))
        );
        let xtr = world.routers[1].node.xtr().unwrap();
        assert!(xtr.map_cache().all(|(_, row)| !row.is_adopted()));
        exchange(&mut world);
    }
}
