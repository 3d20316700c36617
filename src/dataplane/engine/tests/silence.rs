//! Peers that leave data unanswered.

use control::{Duration, Instant, PeerKey, Side};

use super::pair::{DATA_PORT, Pair, packet, set_peer};
use crate::{Channel, DataPlane, Event};

const MILLISECOND: Duration = Duration::from_millis(1);
const SILENCE: Duration = Duration::from_millis(300);

/// A pair whose hosts have just exchanged a packet.
fn talking() -> Pair {
    let mut pair = Pair::new(1);
    pair.install(Side::Initiator, Side::Responder);
    exchange(&mut pair, 0);
    assert_eq!(told(&pair), []);
    pair
}

/// A packet there and its answer.
fn exchange(pair: &mut Pair, number: u8) {
    pair.send(number);
    pair.run(30 * MILLISECOND);
    pair.b.plane.handle_packet(&packet(2, 1, number), pair.now);
    pair.run(30 * MILLISECOND);
}

fn told(pair: &Pair) -> Vec<Instant> {
    let is_silent = |event: &Event| matches!(event, Event::Silent { .. });
    pair.a.saw(is_silent)
}

#[test]
fn a_peer_that_answers_is_never_silent() {
    let mut pair = talking();
    for number in 0..100 {
        exchange(&mut pair, number);
    }
    pair.run(Duration::from_secs(60));
    assert_eq!(told(&pair), []);
}

#[test]
fn silence_counts_from_the_first_packet_that_is_not_answered() {
    let mut pair = talking();
    pair.is_cut = true;
    let cut_at = pair.now;
    for number in 0..100 {
        pair.send(number);
        pair.run(20 * MILLISECOND);
    }
    let told = told(&pair);
    assert_eq!(told[0], cut_at + SILENCE);
    let gaps: Vec<_> = told.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 4, "told again and again: {gaps:?}");
    assert!(gaps.iter().all(|gap| *gap >= SILENCE && *gap <= SILENCE + 20 * MILLISECOND));
}

#[test]
fn one_lost_packet_is_told_once() {
    let mut pair = talking();
    pair.is_cut = true;
    let sent_at = pair.now;
    pair.send(1);
    pair.run(Duration::from_secs(10));
    assert_eq!(told(&pair), [sent_at + SILENCE]);
}

#[test]
fn keepalives_handshakes_and_messages_of_ours_are_no_data() {
    let mut pair = talking();
    let peer = pair.b.data_key();
    pair.is_cut = true;
    for _ in 0..20 {
        pair.a.plane.send_control(Channel::Link, peer, b"probe", pair.now).unwrap();
        pair.run(100 * MILLISECOND);
    }
    // Its keepalive is due, and later a handshake.
    pair.run(Duration::from_secs(30));
    assert!(pair.a.sent[0] > 1, "{:?}", pair.a.sent);
    assert_eq!(told(&pair), []);
}

#[test]
fn whatever_comes_from_the_peer_ends_its_silence() {
    let mut pair = talking();
    let peer = pair.a.data_key();
    // Packets go one way, and only messages come back.
    for number in 0..50 {
        pair.send(number);
        pair.run(50 * MILLISECOND);
        pair.b.plane.send_control(Channel::Link, peer, b"answer", pair.now).unwrap();
        pair.run(50 * MILLISECOND);
    }
    assert_eq!(told(&pair), []);
}

#[test]
fn where_packets_go_one_way_silence_is_told_again_and_again() {
    let mut pair = talking();
    for number in 0..100 {
        pair.send(number);
        pair.run(20 * MILLISECOND);
    }
    assert!((5..=7).contains(&told(&pair).len()), "{:?}", told(&pair));
    assert_eq!(pair.arrived().len(), 101);
}

#[test]
fn a_new_path_gets_the_whole_time() {
    let mut pair = talking();
    pair.is_cut = true;
    let key = pair.b.data_key();
    let moves: [fn(&mut Pair, PeerKey); 2] = [
        |pair, _| pair.a.plane.handle_uplink_change(pair.now),
        |pair, key| {
            let endpoint = std::net::SocketAddr::new(pair.a.address, DATA_PORT);
            set_peer(&mut pair.a, key, Some(endpoint), Side::Initiator, pair.now);
        },
    ];
    for one in moves {
        let before = told(&pair).len();
        pair.send(1);
        pair.run(200 * MILLISECOND);
        one(&mut pair, key);
        pair.run(50 * MILLISECOND);
        let sent_at = pair.now;
        pair.send(2);
        pair.run(SILENCE * 2);
        assert_eq!(told(&pair)[before..], [sent_at + SILENCE]);
    }
}

#[test]
fn no_time_for_it_turns_it_off() {
    let mut pair = Pair::with(1, |config| config.engine.silence = Duration::ZERO);
    pair.install(Side::Initiator, Side::Responder);
    exchange(&mut pair, 0);
    pair.is_cut = true;
    for number in 0..100 {
        pair.send(number);
        pair.run(20 * MILLISECOND);
    }
    assert_eq!(told(&pair), []);
}
