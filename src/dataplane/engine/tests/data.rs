//! Packets: waiting, routed, checked, answered.

use core::net::SocketAddr;

use control::{Change, Duration, Forwarding, Instant, PeerKey, Side};

use super::pair::{DATA_PORT, Pair, eid_prefix, long_packet, packet, set_peer, set_route};
use crate::{Channel, DataPlane, EngineConfig, EngineError, Event};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_packets_wait_and_leave_in_order() {
    let mut pair = Pair::new(1);
    for number in 0..5 {
        pair.send(number);
        pair.run(Duration::from_millis(1));
    }
    let misses = pair.a.saw(|event| matches!(event, Event::Miss { .. }));
    assert_eq!(misses.len(), 1, "one destination is told once");
    pair.install(Side::Initiator, Side::Responder);
    pair.send(5);
    pair.run(SECOND);
    pair.send(6);
    pair.run(SECOND);
    assert_eq!(pair.arrived(), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(pair.a.sent[0], 1, "one initiation");
    assert_eq!(pair.a.plane.engine().waiting(), 0);
    assert_eq!(pair.b.packets[0], packet(1, 2, 0), "no padding is left");
}

#[test]
fn a_destination_keeps_16_waiting_packets_and_all_keep_256() {
    let mut pair = Pair::new(1);
    for number in 0..20 {
        pair.send(number);
    }
    assert_eq!(pair.a.plane.engine().counters().waiting_overflow, 4);
    for host in 0..=255 {
        let mut other = packet(1, 3, host);
        other[19] = host;
        pair.a.plane.handle_packet(&other, pair.now);
    }
    assert_eq!(pair.a.plane.engine().waiting(), 256);
    pair.install(Side::Initiator, Side::Responder);
    pair.run(SECOND);
    assert_eq!(pair.arrived(), [] as [u8; 0], "the oldest of all had to leave");
    pair.run(10 * SECOND);
    assert_eq!(pair.a.plane.engine().waiting(), 0, "nothing waits for more than 10 s");
    let counters = pair.a.plane.engine().counters();
    assert_eq!((counters.waiting_expired, counters.waiting_overflow), (256, 20));
    assert!(counters.icmp_sent >= 50 && counters.icmp_limited > 0);
}

#[test]
fn a_miss_that_nobody_answers_is_told_again_when_its_packet_aged_out() {
    let mut pair = Pair::new(1);
    for second in 0..30 {
        pair.send(second);
        pair.run(SECOND);
    }
    let told = pair.a.saw(|event| matches!(event, Event::Miss { .. })).len();
    assert_eq!(told, 3, "other packets of the flow keep no miss from being told");
}

#[test]
fn a_packet_that_aged_out_is_a_miss_again() {
    let mut pair = Pair::new(1);
    pair.send(0);
    pair.run(11 * SECOND);
    pair.send(1);
    pair.run(SECOND);
    assert_eq!(pair.a.saw(|event| matches!(event, Event::Miss { .. })).len(), 2);
    assert_eq!(pair.a.packets.len(), 1, "the sender of the first was told");
    assert_eq!(pair.a.packets[0][20], 3);
}

#[test]
fn failed_and_dropped_destinations_are_answered() {
    let mut pair = Pair::new(1);
    pair.send(0);
    let destination = eid_prefix(2).eid();
    let destination = control::Eid { address: "10.2.0.1".parse().unwrap(), ..destination };
    pair.a.plane.apply(&Change::FailWaiting(destination), pair.now).unwrap();
    pair.send(1);
    let route = Change::SetRoute { eid_prefix: eid_prefix(2), forwarding: Forwarding::Drop };
    pair.a.plane.apply(&route, pair.now).unwrap();
    pair.send(2);
    pair.run(SECOND);
    assert_eq!(pair.a.packets.len(), 3);
    for (error, number) in pair.a.packets.iter().zip(0..) {
        assert_eq!(error[12..20], [10, 2, 0, 1, 10, 1, 0, 1], "to the sender, past its filters");
        assert_eq!((error[20], error[21], error[28 + 28]), (3, 1, number));
    }
    // Without the route the destination is a miss again, and told.
    pair.a.plane.apply(&Change::RemoveRoute(eid_prefix(2)), pair.now).unwrap();
    pair.send(3);
    pair.run(SECOND);
    assert_eq!(pair.a.saw(|event| matches!(event, Event::Miss { .. })).len(), 3);
}

#[test]
fn what_waited_for_a_native_destination_is_lost_in_silence() {
    let mut pair = Pair::new(1);
    pair.send(0);
    let route = Change::SetRoute { eid_prefix: eid_prefix(2), forwarding: Forwarding::Native };
    pair.a.plane.apply(&route, pair.now).unwrap();
    pair.run(20 * SECOND);
    assert!(pair.a.packets.is_empty() && pair.a.plane.engine().waiting() == 0);
    assert_eq!(pair.a.plane.engine().counters().route_native, 1);
}

#[test]
fn what_waited_for_a_route_that_went_is_a_miss() {
    let mut pair = Pair::new(1);
    pair.is_cut = true;
    pair.install(Side::Initiator, Side::Responder);
    pair.send(0);
    pair.send(1);
    pair.run(SECOND);
    assert_eq!(pair.a.saw(|event| matches!(event, Event::Miss { .. })).len(), 0);
    let key = pair.b.data_key();
    pair.a.plane.apply(&Change::RemovePeer(key), pair.now).unwrap();
    pair.run(SECOND);
    assert_eq!(pair.a.saw(|event| matches!(event, Event::Miss { .. })).len(), 1);
    assert_eq!(pair.a.plane.engine().waiting(), 2);
}

#[test]
fn a_source_that_is_not_routed_to_the_peer_is_refused() {
    let mut pair = Pair::with(1, |config| config.database.push("10.9.0.0/16".parse().unwrap()));
    pair.install(Side::Initiator, Side::Responder);
    pair.run(SECOND);
    pair.a.plane.handle_packet(&packet(9, 2, 1), pair.now);
    pair.send(2);
    pair.run(SECOND);
    assert_eq!(pair.arrived(), [2]);
    assert_eq!(pair.b.plane.engine().counters().source_refused, 1);
    // A more specific route to another peer takes a source away.
    set_peer(&mut pair.b, PeerKey([77; 32]), None, Side::Responder, pair.now);
    let route = Change::SetRoute {
        eid_prefix: "10.1.0.1/32".parse().unwrap(),
        forwarding: Forwarding::Peer(PeerKey([77; 32])),
    };
    pair.b.plane.apply(&route, pair.now).unwrap();
    pair.send(3);
    pair.run(SECOND);
    assert_eq!(pair.arrived(), [2]);
}

#[test]
fn a_source_outside_our_database_never_enters_the_overlay() {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    pair.run(SECOND);
    pair.a.plane.handle_packet(&packet(8, 2, 1), pair.now);
    pair.run(SECOND);
    assert_eq!(pair.arrived(), [] as [u8; 0]);
    assert_eq!(pair.a.packets[0][20..22], [3, 13]);
    assert_eq!(pair.a.plane.engine().counters().source_not_ours, 1);
    pair.a.plane.set_database(&["10.8.0.0/16".parse().unwrap()]).unwrap();
    pair.a.plane.handle_packet(&packet(8, 2, 1), pair.now);
    assert_eq!(pair.a.plane.engine().counters().source_not_ours, 1);
}

#[test]
fn a_packet_beyond_the_mtu_is_answered_and_one_at_the_mtu_goes() {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    pair.run(SECOND);
    pair.a.plane.handle_packet(&long_packet(1, 2, 1421), pair.now);
    pair.a.plane.handle_packet(&long_packet(1, 2, 1420), pair.now);
    pair.run(SECOND);
    assert_eq!(pair.b.packets.len(), 1);
    assert_eq!(pair.a.packets[0][20..22], [3, 4]);
    assert_eq!(pair.a.packets[0][26..28], 1420u16.to_be_bytes());
    assert_eq!(pair.a.plane.engine().counters().too_big, 1);
}

#[test]
fn messages_between_link_addresses_name_the_data_peer() {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    let (key_a, key_b) = (pair.a.data_key(), pair.b.data_key());
    let early = pair.a.plane.send_control(Channel::Link, key_b, b"early", pair.now);
    assert_eq!(early, Err(EngineError::NoSession(key_b)));
    pair.run(SECOND);
    pair.a.plane.send_control(Channel::Link, key_b, b"probe", pair.now).unwrap();
    let long = pair.a.plane.send_control(Channel::Link, key_b, &[0; 1500], pair.now);
    assert_eq!(long, Err(EngineError::MessageTooLong));
    pair.run(SECOND);
    let mut buffer = [0; 100];
    let received = pair.b.plane.receive_control(&mut buffer);
    assert_eq!(received, Some((Channel::Link, key_a, 5)));
    assert!(pair.b.plane.receive_control(&mut buffer).is_none() && pair.b.packets.is_empty());
}

#[test]
fn tables_refuse_what_does_not_fit_and_keep_what_they_have() {
    let small = EngineConfig { data_peers: 1, routes: 1, ..EngineConfig::default() };
    let mut pair = Pair::with(1, |config| config.engine = EngineConfig { seed: 1, ..small });
    pair.install(Side::Initiator, Side::Responder);
    let other = PeerKey([9; 32]);
    let route =
        |eid_prefix, key| Change::SetRoute { eid_prefix, forwarding: Forwarding::Peer(key) };
    let unknown = pair.a.plane.apply(&route(eid_prefix(3), other), pair.now);
    assert_eq!(unknown, Err(EngineError::UnknownPeer(other)));
    let full = pair.a.plane.apply(&route(eid_prefix(3), pair.b.data_key()), pair.now);
    assert_eq!(full, Err(EngineError::RoutesFull));
    let config = control::PeerConfig {
        key: other,
        lane: 0,
        endpoint: None,
        side: Side::Responder,
        persistent_keepalive: None,
    };
    let full = pair.a.plane.apply(&Change::SetPeer(config), pair.now);
    assert!(matches!(full, Err(EngineError::PeersFull(_))));
    pair.send(1);
    pair.run(SECOND);
    assert_eq!(pair.arrived(), [1]);
}

#[test]
fn traffic_one_way_is_told_at_both_ends() {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    pair.run(SECOND);
    let told = |pair: &Pair| {
        [&pair.a, &pair.b]
            .map(|node| node.saw(|event| matches!(event, Event::Traffic { .. })).len())
    };
    pair.run(60 * SECOND);
    assert_eq!(told(&pair), [0, 0], "an idle tunnel carries none");
    for second in 0..60 {
        pair.send(second);
        pair.run(SECOND);
    }
    let [at_a, at_b] = told(&pair);
    assert!((3..=6).contains(&at_a), "the other end answers with keepalives: {at_a}");
    assert_eq!(at_b, 6);
}

#[test]
fn traffic_is_told_once_in_ten_seconds() {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    for number in 0..25 {
        pair.send(number);
        pair.run(SECOND);
    }
    assert_eq!(pair.b.saw(|event| matches!(event, Event::Traffic { .. })).len(), 3);
    assert_eq!(pair.arrived().len(), 25);
}

#[test]
fn traffic_is_told_again_where_there_was_no_room_for_it() {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    pair.run(SECOND);
    for host in 0..=u8::MAX {
        let mut packet = packet(2, 3, 0);
        packet[19] = host;
        pair.b.plane.handle_packet(&packet, pair.now);
    }
    pair.send(0);
    let datagram = pair.a.plane.poll_datagram().unwrap();
    let from = SocketAddr::new(pair.a.address, datagram.from_port);
    pair.b.plane.handle_datagram(datagram.to.port(), from, &datagram.octets, pair.now);
    pair.send(1);
    pair.run(SECOND);
    assert_eq!(pair.arrived(), [0, 1]);
    assert_eq!(pair.b.saw(|event| matches!(event, Event::Traffic { .. })).len(), 1);
}

#[test]
fn a_peer_that_restarts_with_a_new_key_takes_its_routes_along() {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    pair.run(SECOND);
    let old = pair.b.data_key();
    pair.b = super::pair::Node::new(2, |config| config.data_key = PeerKey([202; 32]));
    let new = pair.b.data_key();
    let key_a = pair.a.data_key();
    let endpoint_a = Some((pair.a.address, DATA_PORT).into());
    set_peer(&mut pair.b, key_a, endpoint_a, Side::Responder, pair.now);
    set_route(&mut pair.b, 1, key_a, pair.now);
    let endpoint_b = Some((pair.b.address, DATA_PORT).into());
    set_peer(&mut pair.a, new, endpoint_b, Side::Initiator, pair.now);
    set_route(&mut pair.a, 2, new, pair.now);
    pair.a.plane.apply(&Change::RemovePeer(old), pair.now).unwrap();
    pair.send(1);
    pair.run(Duration::from_millis(100));
    assert_eq!(pair.arrived(), [1]);
    assert!(pair.now < Instant::from_millis(3000));
}
