//! Who begins, what waits, when routes come and go.

use control::{Change, Duration, Forwarding, Lanes, PeerConfig, Side};
use linux::netlink::wireguard::Peer;

use super::super::adopt::Remains;
use super::super::operations::{Device, Hops, Operations, Resolved};
use super::model::Message;
use super::world::{Site, World, key, packet, prefix};
use crate::Event;

const DELAY: Duration = Duration::from_millis(20);

fn numbers(delivered: &[Vec<u8>]) -> Vec<u8> {
    delivered.iter().map(|packet| packet[20]).collect()
}

fn lane(hops: &[(u8, u8)]) -> Resolved {
    Resolved::Lanes(hops.iter().copied().collect())
}

/// Both hosts send, and the mapping system answers both.
fn both_send(sides: (Side, Side)) -> World {
    let mut world = World::new(DELAY, 1);
    world.a.kernel.borrow_mut().send_from_host(packet(1, 2, 0));
    world.b.kernel.borrow_mut().send_from_host(packet(2, 1, 0));
    world.run(DELAY * 2);
    assert_eq!(world.a.count(|event| matches!(event, Event::Miss { .. })), 1);
    let now = world.now;
    world.b.learn(1, sides.1, now);
    world.a.learn(2, sides.0, now);
    world
}

fn has_delivered(world: &World) -> bool {
    let count = |site: &Site| site.kernel.borrow().delivered.len();
    count(&world.a) == 1 && count(&world.b) == 1
}

#[test]
fn one_initiator_brings_both_first_packets_over_in_two_round_trips() {
    let mut world = both_send((Side::Initiator, Side::Responder));
    let took = world.run_until(has_delivered);
    assert!(took <= DELAY * 4 + Duration::from_millis(10), "{took:?}");
    assert_eq!(world.a.counter("initiations_sent"), 1);
    assert_eq!(world.b.counter("initiations_sent"), 0);
    assert_eq!(world.a.counter("peers_renewed") + world.b.counter("peers_renewed"), 0);
    for (site, other) in [(&world.a, 2), (&world.b, 1)] {
        let kernel = site.kernel.borrow();
        assert_eq!(kernel.routes.get(&prefix(other)), Some(&lane(&[(0, 1)])));
    }
    // From now on packets do not come to us.
    let seen = world.a.counter("tun_packets");
    for number in 1..50 {
        world.a.kernel.borrow_mut().send_from_host(packet(1, 2, number));
    }
    world.run(DELAY * 2);
    assert_eq!(numbers(&world.b.kernel.borrow().delivered), Vec::from_iter(0..50));
    assert_eq!(world.a.counter("tun_packets"), seen);
}

#[test]
fn packets_before_during_and_after_the_switch_arrive_once_and_in_order() {
    let mut world = World::new(DELAY, 1);
    for number in 0..150 {
        world.a.kernel.borrow_mut().send_from_host(packet(1, 2, number));
        if number == 6 {
            let now = world.now;
            world.b.learn(1, Side::Responder, now);
            world.a.learn(2, Side::Initiator, now);
        }
        world.run(Duration::from_millis(5));
    }
    world.run(DELAY * 4);
    assert_eq!(numbers(&world.b.kernel.borrow().delivered), Vec::from_iter(0..150));
    assert_eq!(world.a.counter("overtaken"), 0);
}

#[test]
fn initiations_that_cross_are_over_long_before_the_kernel_tries_again() {
    let mut world = both_send((Side::Initiator, Side::Initiator));
    let took = world.run_until(has_delivered);
    assert!(took < Duration::from_millis(3200), "{took:?}");
    assert_eq!(world.a.counter("peers_renewed") + world.b.counter("peers_renewed"), 1);
}

#[test]
fn a_lost_initiation_is_repeated_at_once_by_making_the_peer_anew() {
    let mut world = World::new(DELAY, 1);
    world.loses = |_, message| matches!(message, Message::Initiation { id, .. } if id & 7 < 3);
    world.a.kernel.borrow_mut().send_from_host(packet(1, 2, 0));
    let now = world.now;
    world.b.learn(1, Side::Responder, now);
    world.a.learn(2, Side::Initiator, now);
    let took = world.run_until(|world| !world.b.kernel.borrow().delivered.is_empty());
    assert!(took < Duration::from_millis(400), "{took:?}");
    assert_eq!(world.a.counter("peers_renewed"), 2);
}

#[test]
fn roles_swap_when_the_initiator_is_not_heard() {
    let mut world = World::new(DELAY, 1);
    // A NAT before the responder lets nothing in that was not asked for.
    world.loses = |from, message| {
        from.ip().to_string() == "192.0.2.1" && matches!(message, Message::Initiation { .. })
    };
    world.b.kernel.borrow_mut().send_from_host(packet(2, 1, 0));
    let now = world.now;
    world.b.learn(1, Side::Responder, now);
    world.a.learn(2, Side::Initiator, now);
    let took = world.run_until(|world| !world.a.kernel.borrow().delivered.is_empty());
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(world.a.count(|event| matches!(event, Event::DataSession { .. })), 1);
}

#[test]
fn a_peer_that_never_answers_is_told_and_given_up() {
    let mut world = World::new(DELAY, 1);
    world.loses = |_, _| true;
    world.a.kernel.borrow_mut().send_from_host(packet(1, 2, 0));
    let now = world.now;
    world.a.learn(2, Side::Initiator, now);
    world.run(Duration::from_secs(20));
    assert!(world.a.count(|event| matches!(event, Event::DataLost { .. })) >= 1);
    assert_eq!(world.a.counter("waiting_expired"), 1);
    assert_eq!(world.a.kernel.borrow().errors.len(), 1);
    world.run(Duration::from_secs(100));
    let sent = world.sent;
    world.run(Duration::from_secs(60));
    assert_eq!(world.sent, sent, "the kernel is quiet too");
}

#[test]
fn a_session_without_packets_ends_and_the_next_packet_begins_another() {
    let mut world = both_send((Side::Initiator, Side::Responder));
    world.run_until(has_delivered);
    world.run(Duration::from_secs(179));
    assert!(world.a.kernel.borrow().routes.is_empty());
    assert!(!world.b.has_session(key(1, 0)));
    // Whoever has packets begins.
    world.b.kernel.borrow_mut().send_from_host(packet(2, 1, 1));
    world.run(DELAY * 5);
    assert_eq!(numbers(&world.a.kernel.borrow().delivered), [0, 1]);
    assert_eq!(world.b.counter("peers_renewed"), 1, "its keys are as good as gone");
    assert!(!world.b.kernel.borrow().routes.is_empty());
}

#[test]
fn traffic_is_told_and_silence_too() {
    let mut world = both_send((Side::Initiator, Side::Responder));
    world.run_until(has_delivered);
    for number in 1..30 {
        world.a.kernel.borrow_mut().send_from_host(packet(1, 2, number));
        world.b.kernel.borrow_mut().send_from_host(packet(2, 1, number));
        world.run(Duration::from_secs(1));
    }
    let traffic = |event: &Event| matches!(event, Event::Traffic { .. });
    assert!((1..=4).contains(&world.a.count(traffic)), "{:?}", world.a.events);
    assert_eq!(world.a.count(|event| matches!(event, Event::DataLost { .. })), 0);
    world.loses = |_, _| true;
    for number in 0..40 {
        world.a.kernel.borrow_mut().send_from_host(packet(1, 2, number));
        world.run(Duration::from_secs(1));
    }
    assert!(world.a.count(|event| matches!(event, Event::DataLost { .. })) >= 1);
}

#[test]
fn traffic_is_told_again_where_there_was_no_room_for_it() {
    let mut world = both_send((Side::Initiator, Side::Responder));
    world.run_until(has_delivered);
    let traffic = |event: &Event| matches!(event, Event::Traffic { .. });
    let send = |world: &mut World, count| {
        for number in 0..count {
            world.b.kernel.borrow_mut().send_from_host(packet(2, 1, number));
        }
        world.run(DELAY * 2);
    };
    world.run(Duration::from_secs(25));
    let told = world.a.count(traffic);
    send(&mut world, 50);
    let other = Event::DataLost { peer: key(2, 0) };
    while world.a.machine.tell(other) {}
    let now = world.now;
    world.a.machine.refresh(now);
    world.run(DELAY);
    assert_eq!(world.a.count(traffic), told);
    send(&mut world, 50);
    let now = world.now;
    world.a.machine.refresh(now);
    world.run(DELAY);
    assert_eq!(world.a.count(traffic), told + 1);
}

#[test]
fn a_peer_removed_behind_our_back_is_put_back() {
    let mut world = both_send((Side::Initiator, Side::Responder));
    world.run_until(has_delivered);
    world.a.kernel.borrow_mut().interfaces[1].peers.clear();
    let now = world.now;
    world.a.machine.refresh(now);
    assert_eq!(world.a.counter("peers_vanished"), 1);
    assert!(world.a.kernel.borrow().routes.is_empty());
    assert_eq!(world.a.kernel.borrow().interfaces[1].peers.len(), 1);
}

#[test]
fn a_change_touches_the_peer_it_names_alone() {
    let mut world = both_send((Side::Initiator, Side::Responder));
    world.run_until(has_delivered);
    let now = world.now;
    let before = world.a.kernel.borrow().requests;
    let (key_b, side) = (key(2, 0), Side::Initiator);
    let config =
        PeerConfig { key: key_b, lane: 0, endpoint: None, side, persistent_keepalive: None };
    world.a.apply(&Change::SetPeer(config), now);
    let forwarding = Forwarding::Peer(key_b);
    world.a.apply(&Change::SetRoute { eid_prefix: prefix(2), forwarding }, now);
    assert_eq!(world.a.kernel.borrow().requests, before, "nothing new");
    let change = Change::SetRoute { eid_prefix: prefix(7), forwarding: Forwarding::Drop };
    world.a.apply(&change, now);
    world.a.apply(&Change::RemoveRoute(prefix(7)), now);
    assert_eq!(world.a.kernel.borrow().requests, before + 2);
    world.a.apply(&Change::RemoveRoute(prefix(2)), now);
    let kernel = world.a.kernel.borrow();
    assert_eq!(kernel.requests, before + 4);
    assert_eq!(kernel.interfaces[1].peers[&key(2, 0).0].allowed_ips.len(), 1);
    drop(kernel);
    assert!(world.a.has_session(key(2, 0)), "a live session is not removed");
    assert_eq!(world.a.counter("peers_renewed"), 0);
}

#[test]
fn lanes_share_as_weighed_and_a_failed_one_leaves_its_flows_to_the_other() {
    let mut world = World::new(DELAY, 2);
    let now = world.now;
    for (site, other, side) in
        [(&mut world.b, 1, Side::Responder), (&mut world.a, 2, Side::Initiator)]
    {
        site.set_peer(other, 0, side, now);
        site.set_peer(other, 1, side, now);
        let rows = [(0, key(other, 0), 3), (1, key(other, 1), 1)];
        let forwarding = Forwarding::Lanes(Lanes::new(&rows).expect("two lanes"));
        site.apply(&Change::SetRoute { eid_prefix: prefix(other), forwarding }, now);
    }
    world.run(DELAY * 5);
    assert_eq!(world.a.kernel.borrow().routes.get(&prefix(2)), Some(&lane(&[(0, 3), (1, 1)])));
    // The control plane takes lane 0 out of the set.
    let now = world.now;
    let forwarding = Forwarding::Peer(key(2, 1));
    world.a.apply(&Change::SetRoute { eid_prefix: prefix(2), forwarding }, now);
    world.a.apply(&Change::RemovePeer(key(2, 0)), now);
    let kernel = world.a.kernel.borrow();
    assert_eq!(kernel.routes.get(&prefix(2)), Some(&lane(&[(1, 1)])));
    assert!(kernel.interfaces[1].peers.is_empty());
}

/// What a restart finds on the data interface.
fn remaining_peers(site: &mut Site) -> Remains {
    let mut remains = Remains::default();
    let kernel = site.kernel.clone();
    let listing = site.machine.operations.peers(Device::Lane(0), &mut |told| {
        let allowed_ips = kernel.borrow().interfaces[1].peers[&told.public_key].allowed_ips.clone();
        remains.peers.push((Device::Lane(0), *told, allowed_ips));
    });
    listing.expect("a listing");
    remains
}

#[test]
fn a_session_of_a_run_that_ended_before_it_wrote_the_route_goes_on() {
    let mut world = both_send((Side::Initiator, Side::Responder));
    world.run_until(has_delivered);
    let remains = remaining_peers(&mut world.b);
    let known = world.b.kernel.borrow_mut().routes.remove(&prefix(1));
    assert_eq!(known, Some(lane(&[(0, 1)])));
    let now = world.now;
    world.b.restart(now, remains);
    let adopted: Vec<_> = world.b.machine.adopted().map(|one| one.eid_prefix).collect();
    assert_eq!(adopted, [prefix(1)]);
    assert_eq!(world.b.kernel.borrow().routes.get(&prefix(1)), Some(&lane(&[(0, 1)])));
    for number in 1..20 {
        world.a.kernel.borrow_mut().send_from_host(packet(1, 2, number));
    }
    world.run(DELAY * 2);
    assert_eq!(numbers(&world.b.kernel.borrow().delivered), Vec::from_iter(0..20));
}

#[test]
fn a_peer_of_an_earlier_run_without_route_and_session_goes() {
    let mut world = both_send((Side::Initiator, Side::Responder));
    world.run_until(has_delivered);
    let mut remains = remaining_peers(&mut world.b);
    remains.peers[0].1.last_handshake = None;
    world.b.kernel.borrow_mut().routes.remove(&prefix(1));
    let now = world.now;
    world.b.restart(now, remains);
    assert_eq!(world.b.machine.adopted().count(), 0);
    assert!(world.b.kernel.borrow().interfaces[1].peers.is_empty());
}

#[test]
fn what_an_earlier_run_left_goes_on_without_a_request() {
    let mut world = both_send((Side::Initiator, Side::Responder));
    world.run_until(has_delivered);
    let mut remains = remaining_peers(&mut world.a);
    remains.routes.push((prefix(2), Hops::from_slice(&[(0, 1)]).expect("one")));
    let before = world.a.kernel.borrow().requests;
    let now = world.now;
    world.a.restart(now, remains);
    assert_eq!(world.a.kernel.borrow().requests, before);
    let adopted: Vec<_> = world.a.machine.adopted().collect();
    assert_eq!(adopted.len(), 1);
    assert_eq!(adopted[0].forwarding, Forwarding::Peer(key(2, 0)));
    for number in 1..20 {
        world.a.kernel.borrow_mut().send_from_host(packet(1, 2, number));
    }
    world.run(DELAY * 2);
    assert_eq!(numbers(&world.b.kernel.borrow().delivered), Vec::from_iter(0..20));
    assert_eq!(world.a.counter("tun_packets"), 0);
}

#[test]
fn control_sessions_of_an_earlier_run_are_told_when_they_are_asked_for_and_else_go() {
    let mut world = World::new(DELAY, 1);
    let peer = |number: u8| Peer {
        public_key: [number; 32],
        endpoint: Some(std::net::SocketAddr::from(([192, 0, 2, 9], number.into()))),
        last_handshake: Some(Duration::from_millis(900)),
        rx_octets: 500,
        tx_octets: 500,
        persistent_keepalive: 0,
    };
    let mut remains = Remains::default();
    for number in 101..104 {
        let told = peer(number);
        remains.peers.push((Device::Control, told, Vec::new()));
        let mut kernel = world.a.kernel.borrow_mut();
        let known = kernel.interfaces[0].peers.entry(told.public_key).or_default();
        known.endpoint = told.endpoint;
        known.handshake_at = Some(control::Instant::from_millis(900));
    }
    let now = world.now;
    world.a.kernel.borrow_mut().now = now;
    world.a.restart(now, remains);
    for number in 101..103 {
        let config = crate::ControlPeer {
            key: control::PeerKey([number; 32]),
            endpoint: None,
            side: Side::Responder,
            persistent_keepalive: None,
            address: None,
        };
        world.a.machine.set_control_peer(&config, now).expect("a peer");
    }
    world.run(Duration::from_secs(6));
    assert_eq!(world.a.count(|event| matches!(event, Event::ControlSession { .. })), 2);
    assert_eq!(world.a.kernel.borrow().interfaces[0].peers.len(), 2);
    assert_eq!(world.a.counter("peers_renewed") + world.a.counter("peers_vanished"), 0);
}
