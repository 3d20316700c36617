//! Sessions: who initiates, when, and what loss, silence, clocks and moves do to them.

use core::net::Ipv4Addr;

use control::{Change, Duration, Instant, Side};

use super::pair::{CONTROL_PORT, DATA_PORT, Node, Pair, packet, set_peer};
use crate::{Channel, DataPlane, Event, Interface};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn is_control_session(event: &Event) -> bool {
    matches!(event, Event::ControlSession { .. })
}

#[test]
fn crossing_initiations_do_no_harm() {
    for both_send in [false, true] {
        let mut pair = Pair::new(1);
        pair.install(Side::Initiator, Side::Initiator);
        pair.send(1);
        if both_send {
            pair.b.plane.handle_packet(&packet(2, 1, 2), pair.now);
        }
        pair.run(100 * MILLISECOND);
        assert_eq!(pair.arrived(), [1]);
        assert_eq!(pair.a.packets.len(), usize::from(both_send));
        assert_eq!((pair.a.sent[0], pair.b.sent[0]), (1, 1));
        pair.run(400 * SECOND);
    }
}

#[test]
fn the_first_packet_survives_heavy_loss() {
    for seed in 1..200 {
        let mut pair = Pair::new(seed);
        pair.loss = 30;
        pair.install(Side::Initiator, Side::Responder);
        pair.run(5 * SECOND);
        pair.loss = 0;
        pair.send(1);
        pair.run(5 * SECOND);
        assert_eq!(pair.arrived(), [1], "seed {seed}");
    }
}

#[test]
fn roles_swap_after_three_tries() {
    let mut pair = Pair::new(1);
    pair.install(Side::Responder, Side::Responder);
    pair.send(1);
    pair.run(300 * MILLISECOND);
    assert_eq!(pair.a.sent[0], 0, "the other side has its turn");
    pair.run(100 * MILLISECOND);
    assert_eq!((pair.a.sent[0], pair.arrived()), (1, vec![1]));
}

#[test]
fn a_peer_that_let_its_turn_pass_before_there_were_packets_is_not_waited_for() {
    let mut pair = Pair::new(1);
    pair.install(Side::Responder, Side::Responder);
    pair.run(400 * MILLISECOND);
    pair.send(1);
    pair.run(50 * MILLISECOND);
    assert_eq!(pair.arrived(), [1]);
}

#[test]
fn after_an_idle_time_whoever_has_packets_initiates() {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    pair.run(1000 * SECOND);
    assert!(!pair.a.peer(Interface::Data).has_session);
    pair.b.plane.handle_packet(&packet(2, 1, 1), pair.now);
    pair.run(50 * MILLISECOND);
    assert_eq!(pair.a.packets.len(), 1);
}

#[test]
fn an_active_session_is_renewed_without_losing_a_packet() {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    for number in 0..250 {
        pair.send(number);
        pair.run(2 * SECOND);
    }
    assert_eq!(pair.arrived(), (0..250).collect::<Vec<_>>());
    let sessions = pair.a.plane.engine().counters().sessions;
    assert!((4..=5).contains(&sessions), "{sessions}");
    assert_eq!(pair.a.sent[0] as u64, sessions);
}

#[test]
fn a_peer_that_fell_silent_is_tried_again_and_found() {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    pair.run(SECOND);
    // b restarts and knows no session.
    pair.b = Node::new(2, |_| {});
    pair.install(Side::Initiator, Side::Responder);
    pair.send(1);
    pair.run(14 * SECOND);
    assert_eq!(pair.arrived(), [] as [u8; 0]);
    pair.run(2 * SECOND);
    pair.send(2);
    pair.run(SECOND);
    assert_eq!(pair.arrived(), [2]);
}

#[test]
fn data_received_is_answered_by_a_keepalive_and_nothing_else_moves() {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    pair.send(1);
    pair.run(SECOND);
    let before = pair.b.sent[3];
    pair.run(60 * SECOND);
    assert_eq!(pair.b.sent[3], before + 1);
    assert_eq!(pair.a.sent[3], 2, "a confirmation and a packet");
    let wakes = pair.run(600 * SECOND);
    assert!(wakes <= 2, "{wakes} wake-ups of an idle node");
    assert_eq!(pair.a.sent[0], 1);
}

#[test]
fn a_registered_node_sleeps() {
    let mut pair = Pair::new(1);
    pair.install_control();
    let (key_a, key_b) = (pair.a.control_key(), pair.b.control_key());
    pair.run(SECOND);
    let mut wakes = 0;
    for _ in 0..60 {
        pair.a.plane.send_control(Channel::Control, key_b, b"register", pair.now).unwrap();
        pair.run(100 * MILLISECOND);
        pair.b.plane.send_control(Channel::Control, key_a, b"notify", pair.now).unwrap();
        wakes += pair.run(60 * SECOND);
        assert!(pair.a.peer(Interface::Control).has_session);
    }
    assert!(wakes < 3600 / 10, "{wakes} wake-ups in an hour");
    assert_eq!(pair.a.saw(|event| matches!(event, Event::ControlLost { .. })).len(), 0);
}

#[test]
fn a_map_server_that_starts_later_is_found_within_two_seconds() {
    let mut pair = Pair::new(1);
    pair.is_cut = true;
    pair.install_control();
    pair.run(100 * SECOND);
    let lost = pair.a.saw(|event| matches!(event, Event::ControlLost { .. }));
    let after = lost[0] - Instant::from_millis(1000);
    assert!(after > 300 * MILLISECOND && after < 500 * MILLISECOND && lost.len() < 10);
    pair.is_cut = false;
    pair.run(2 * SECOND);
    assert_eq!(pair.a.saw(is_control_session).len(), 1);
    assert_eq!(pair.b.saw(is_control_session).len(), 1);
    let Event::ControlSession { side, round_trip, endpoint, .. } = pair.a.events.last().unwrap().1
    else {
        panic!("a session is the last event");
    };
    assert_eq!((side, round_trip), (Side::Initiator, Some(20 * MILLISECOND)));
    assert_eq!(endpoint.port(), CONTROL_PORT);
}

#[test]
fn a_long_round_trip_slows_the_tries_with_data_peers() {
    let mut pair = Pair::new(1);
    pair.delay = 100 * MILLISECOND;
    pair.install_control();
    pair.run(SECOND);
    pair.is_cut = true;
    pair.install(Side::Initiator, Side::Responder);
    let before = pair.a.sent[0];
    pair.run(590 * MILLISECOND);
    assert_eq!(pair.a.sent[0], before + 1, "three round trips are 600 ms");
    pair.run(100 * MILLISECOND);
    assert_eq!(pair.a.sent[0], before + 2);
}

#[test]
fn a_clock_that_is_back_keeps_a_node_out_until_it_is_set() {
    let mut pair = Pair::new(1);
    pair.install_control();
    pair.run(SECOND);
    assert_eq!(pair.b.saw(is_control_session).len(), 1);
    let day = 86_400_000_000;
    let real = 1_000_000_000_000;
    pair.a = Node::new(1, |config| config.wall_clock = real - day);
    pair.install_control();
    pair.run(20 * SECOND);
    assert_eq!(pair.a.saw(is_control_session).len(), 0);
    assert!(pair.b.plane.engine().counters().replayed > 3);
    pair.a.plane.set_wall_clock(real);
    pair.a.plane.handle_clock_step(pair.now);
    pair.run(SECOND);
    assert_eq!(pair.a.saw(is_control_session).len(), 1);
}

#[test]
fn a_map_server_that_forgets_a_site_accepts_its_old_clock() {
    let mut pair = Pair::new(1);
    pair.install_control();
    pair.run(SECOND);
    pair.a = Node::new(1, |config| config.wall_clock = 0);
    pair.install_control();
    pair.run(5 * SECOND);
    assert_eq!(pair.a.saw(is_control_session).len(), 0);
    let key = pair.a.control_key();
    pair.b.plane.apply(&Change::ResetControlPeer(key), pair.now).unwrap();
    pair.run(2 * SECOND);
    assert_eq!(pair.a.saw(is_control_session).len(), 1);
}

#[test]
fn a_clock_step_leaves_a_session_that_stands() {
    let mut pair = Pair::new(1);
    pair.install_control();
    pair.run(SECOND);
    for plane in [&mut pair.a.plane, &mut pair.b.plane] {
        plane.set_wall_clock(0);
        plane.handle_clock_step(pair.now);
    }
    let key_b = pair.b.control_key();
    for _ in 0..10 {
        pair.a.plane.send_control(Channel::Control, key_b, b"register", pair.now).unwrap();
        pair.run(60 * SECOND);
    }
    assert_eq!(pair.a.saw(|event| matches!(event, Event::ControlLost { .. })).len(), 0);
}

#[test]
fn a_map_server_that_restarts_reaches_the_endpoints_it_learnt() {
    let mut pair = Pair::new(1);
    pair.install_control();
    pair.run(SECOND);
    pair.b = Node::new(2, |_| {});
    let peer = crate::ControlPeer {
        key: pair.a.control_key(),
        endpoint: Some((pair.a.address, CONTROL_PORT).into()),
        side: Side::Responder,
        persistent_keepalive: None,
        address: None,
    };
    pair.b.plane.set_control_peer(&peer, pair.now).unwrap();
    pair.b.plane.apply(&Change::InitiateControl(peer.key), pair.now).unwrap();
    pair.run(100 * MILLISECOND);
    let sides: Vec<_> = pair
        .a
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::ControlSession { side, .. } => Some(*side),
            _ => None,
        })
        .collect();
    assert_eq!(sides, [Side::Initiator, Side::Responder]);
}

#[test]
fn an_uplink_change_moves_every_live_peer_at_once() {
    let mut pair = Pair::new(1);
    pair.install_control();
    pair.install(Side::Initiator, Side::Responder);
    pair.run(SECOND);
    pair.send(1);
    pair.run(SECOND);
    pair.a.address = "198.51.100.7".parse().unwrap();
    pair.a.plane.handle_uplink_change(pair.now);
    pair.run(15 * MILLISECOND);
    for interface in [Interface::Control, Interface::Data] {
        let endpoint = pair.b.peer(interface).endpoint.unwrap();
        assert_eq!(endpoint.ip(), pair.a.address);
    }
    assert_eq!(pair.b.saw(|event| matches!(event, Event::ControlRoamed { .. })).len(), 1);
    pair.b.plane.handle_packet(&packet(2, 1, 9), pair.now);
    pair.run(SECOND);
    assert_eq!(pair.a.packets.len(), 1);
    assert_eq!(pair.a.sent[0], 2, "no further handshake");
}

#[test]
fn the_most_recently_active_peer_is_moved_first() {
    let mut a = Node::new(1, |_| {});
    let mut now = Instant::from_millis(1000);
    let mut others: Vec<Node> = (2..6).map(|number| Node::new(number, |_| {})).collect();
    let address = (a.address, DATA_PORT).into();
    for place in [2, 0, 3, 1] {
        now += 100 * MILLISECOND;
        let other = &mut others[place];
        set_peer(other, a.data_key(), Some(address), Side::Responder, now);
        let endpoint = (other.address, DATA_PORT).into();
        set_peer(&mut a, other.data_key(), Some(endpoint), Side::Initiator, now);
        let initiation = a.plane.poll_datagram().unwrap();
        other.plane.handle_datagram(DATA_PORT, address, &initiation.octets, now);
        let response = other.plane.poll_datagram().unwrap();
        a.plane.handle_datagram(DATA_PORT, endpoint, &response.octets, now);
        a.plane.poll_datagram().expect("the confirmation");
    }
    a.plane.handle_uplink_change(now + MILLISECOND);
    let moved: Vec<_> =
        core::iter::from_fn(|| a.plane.poll_datagram()).map(|datagram| datagram.to.ip()).collect();
    let expected: Vec<_> = [1, 3, 0, 2].map(|place: usize| others[place].address).to_vec();
    assert_eq!(moved, expected);
}

#[test]
fn a_persistent_keepalive_keeps_its_pace_and_stops() {
    let mut pair = Pair::new(1);
    pair.install_control();
    pair.run(SECOND);
    let key = pair.b.control_key();
    let set = |interval| Change::SetControlKeepalive(key, interval);
    pair.a.plane.apply(&set(Some(25 * SECOND)), pair.now).unwrap();
    let before = pair.a.sent[3];
    pair.run(101 * SECOND);
    assert_eq!(pair.a.sent[3] - before, 5, "one at once, then one in 25 s");
    pair.a.plane.apply(&set(None), pair.now).unwrap();
    let before = pair.a.sent[3];
    pair.run(70 * SECOND);
    assert_eq!(pair.a.sent[3], before);
}

#[test]
fn a_control_peer_that_is_set_again_keeps_the_keepalive_of_its_nat() {
    let mut pair = Pair::new(1);
    pair.install_control();
    pair.run(SECOND);
    let key = pair.b.control_key();
    let set = |interval| Change::SetControlKeepalive(key, interval);
    let peer = |keepalive| crate::ControlPeer {
        key,
        endpoint: Some((Ipv4Addr::new(192, 0, 2, 2), CONTROL_PORT).into()),
        side: Side::Initiator,
        persistent_keepalive: keepalive,
        address: None,
    };
    let sent_in_100_s = |pair: &mut Pair| {
        pair.run(SECOND);
        let before = pair.a.sent[3];
        pair.run(100 * SECOND);
        pair.a.sent[3] - before
    };
    pair.a.plane.apply(&set(Some(25 * SECOND)), pair.now).unwrap();
    pair.a.plane.set_control_peer(&peer(None), pair.now).unwrap();
    assert!((4..6).contains(&sent_in_100_s(&mut pair)), "its name resolved again");
    pair.a.plane.set_control_peer(&peer(Some(10 * SECOND)), pair.now).unwrap();
    assert!((10..12).contains(&sent_in_100_s(&mut pair)), "the configured one is shorter");
    pair.a.plane.apply(&set(None), pair.now).unwrap();
    assert!((10..12).contains(&sent_in_100_s(&mut pair)), "no NAT, but still configured");
    pair.a.plane.set_control_peer(&peer(None), pair.now).unwrap();
    assert_eq!(sent_in_100_s(&mut pair), 0);
}

#[test]
fn a_slow_map_server_does_not_stop_the_roles_from_swapping() {
    let mut pair = Pair::new(1);
    pair.delay = 900 * MILLISECOND;
    pair.install_control();
    pair.run(10 * SECOND);
    assert!(pair.a.peer(Interface::Control).has_session);
    pair.delay = 10 * MILLISECOND;
    pair.install(Side::Responder, Side::Responder);
    pair.send(1);
    pair.run(8 * SECOND);
    assert_eq!(pair.arrived(), [1], "before it has waited for too long");
}
