//! Asking: when, whom, and what an answer does.

use super::bench::*;
use crate::xtr::Counter;
use crate::{Action, Change, Duration, Event, Forwarding, PeerConfig, PeerKey, Side};
use wire::{Message, Nonce};

fn peer(key: PeerKey, rloc: &str, side: Side) -> Change {
    let endpoint = Some(core::net::SocketAddr::new(rloc.parse().unwrap(), 51820));
    Change::SetPeer(PeerConfig { key, lane: 0, endpoint, side, persistent_keepalive: None })
}

fn route(eid_prefix: &str, key: PeerKey) -> Change {
    let forwarding = Forwarding::Peer(key);
    Change::SetRoute { eid_prefix: prefix(eid_prefix), forwarding }
}

#[test]
fn a_miss_asks_at_once_and_the_answer_makes_us_initiator() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.1");
    assert_eq!(bench.sent.len(), 1);
    let Message::EncapsulatedControl(ecm) = bench.sent[0].message() else { panic!() };
    assert_eq!(ecm.packet.source(), "10.1.0.9:4342".parse().unwrap());
    assert_eq!(ecm.packet.destination(), "10.2.0.1:4342".parse().unwrap());
    let Ok(Message::MapRequest(request)) = Message::parse(ecm.packet.message()) else { panic!() };
    assert_eq!(request.source_eid, wire::Address::Ipv4([10, 1, 0, 9].into()));
    assert_eq!((request.eids.len(), request.itr_rlocs.count()), (1, 1));
    bench.miss("10.2.0.1");
    assert_eq!(bench.sent.len(), 1, "one request per EID");
    let (one, two) =
        (mapping("10.2.0.0/16", "192.0.2.2", B), mapping("10.3.0.0/16", "192.0.2.2", B));
    bench.reply(&[one, two]);
    let expected =
        [peer(B, "192.0.2.2", Side::Initiator), route("10.2.0.0/16", B), route("10.3.0.0/16", B)];
    assert_eq!(bench.changes, expected);
    bench.clear();
    bench.run_ms(20_000);
    assert!(bench.sent.is_empty() && bench.changes.is_empty());
}

#[test]
fn nothing_is_asked_before_the_registration_is_acknowledged() {
    let mut bench = Bench::new(&config());
    bench.uplinks(&["192.0.2.1"]);
    bench.session(SERVER, Side::Initiator);
    bench.miss("10.2.0.1");
    bench.run_ms(500);
    assert!(!bench.sent.iter().any(Sent::is_request));
    bench.acknowledge_registers();
    assert!(bench.sent.iter().any(Sent::is_request));
}

#[test]
fn a_reply_counts_only_from_the_server_asked_with_the_nonce_asked() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.1");
    let nonce = bench.sent[0].nonce();
    let good = [mapping("10.2.0.0/16", "192.0.2.2", B)];
    bench.datagram(SERVER, &map_reply(Nonce(nonce.0 ^ 1), &good));
    bench.datagram(OTHER_SERVER, &map_reply(nonce, &good));
    assert!(bench.changes.is_empty());
    assert_eq!(bench.xtr.counters().of(Counter::NoncesUnknown), 1);
    bench.datagram(SERVER, &map_reply(nonce, &good));
    bench.datagram(SERVER, &map_reply(nonce, &good));
    assert_eq!(bench.changes.len(), 2);
    assert_eq!(bench.xtr.counters().of(Counter::NoncesUnknown), 2);
}

#[test]
fn a_push_serves_what_waits_and_makes_us_responder() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.1");
    bench.push(1 << 32, &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    assert_eq!(bench.changes, [peer(B, "192.0.2.2", Side::Responder), route("10.2.0.0/16", B)]);
    let ack = bench.sent.last().unwrap();
    assert!(ack.is_ack() && ack.nonce() == Nonce(1 << 32));
    wire::auth::verify(&ack.octets, authentication(SERVER).as_bytes()).unwrap();
    bench.clear();
    bench.run_ms(20_000);
    let in_vain = |change: &Change| matches!(change, Change::FailWaiting(_));
    assert!(!bench.changes.iter().any(in_vain) && bench.events.is_empty());
}

#[test]
fn the_reply_after_a_push_changes_nothing_but_may_be_more_specific() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.7");
    bench.push(1 << 32, &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    bench.clear_but_requests();
    let phone = PeerKey([0xf0; 32]);
    bench.reply(&[mapping("10.2.0.7/32", "192.0.2.7", phone)]);
    assert_eq!(
        bench.changes,
        [peer(phone, "192.0.2.7", Side::Initiator), route("10.2.0.7/32", phone)]
    );
    bench.clear();
    bench.miss("10.3.0.1");
    bench.push((1 << 32) + 1, &[mapping("10.3.0.0/16", "192.0.2.3", B_NEW)]);
    bench.changes.clear();
    bench.reply(&[mapping("10.3.0.0/16", "192.0.2.3", B_NEW)]);
    assert!(bench.changes.is_empty());
}

#[test]
fn a_reply_does_not_bring_back_what_a_push_replaced_after_the_question() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.1");
    bench.push(1 << 32, &[mapping("10.2.0.0/16", "192.0.2.2", B_NEW)]);
    bench.clear_but_requests();
    bench.reply(&[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    assert!(bench.changes.is_empty());
    assert_eq!(bench.xtr.counters().of(Counter::RecordsStale), 1);
}

#[test]
fn an_unanswered_question_fails_what_waits_and_then_pauses() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.1");
    bench.run_ms(7_000);
    assert_eq!(bench.sent.len(), 10);
    assert_eq!(bench.changes, [Change::FailWaiting(eid("10.2.0.1"))]);
    assert_eq!(bench.events, [Event::ResolutionFailed { eid: eid("10.2.0.1") }]);
    bench.clear();
    bench.miss("10.2.0.1");
    assert_eq!(bench.changes, [Change::FailWaiting(eid("10.2.0.1"))], "told again at once");
    assert!(bench.sent.is_empty());
    bench.run_ms(30_000);
    bench.clear();
    bench.miss("10.2.0.1");
    assert!(bench.sent.iter().any(Sent::is_request));
}

#[test]
fn misses_that_do_not_belong_into_the_overlay_are_refused() {
    let mut bench = Bench::registered(&config());
    bench.miss("8.8.8.8");
    bench.miss("10.1.2.3");
    bench.xtr.handle_miss(eid("10.9.0.1"), eid("10.2.0.1"), bench.now);
    bench.drain();
    assert_eq!(bench.changes.len(), 3);
    assert!(bench.sent.is_empty());
    let counters = bench.xtr.counters();
    assert_eq!(counters.of(Counter::DestinationsRefused), 2);
    assert_eq!(counters.of(Counter::SourcesRefused), 1);
}

#[test]
fn claims_to_what_is_ours_or_outside_the_eid_space_are_refused() {
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", &[mapping("10.0.0.0/8", "192.0.2.2", B)]);
    let in_vain = [Change::FailWaiting(eid("10.2.0.1"))];
    assert_eq!(bench.changes, in_vain);
    bench.push(1 << 32, &[mapping("10.1.0.0/16", "192.0.2.2", B)]);
    bench.push((1 << 32) + 1, &[mapping("172.16.0.0/12", "192.0.2.2", B)]);
    bench.push((1 << 32) + 2, &[mapping("10.4.0.0/16", "192.0.2.2", OUR_DATA_KEY)]);
    assert_eq!(bench.changes, in_vain);
    assert_eq!(bench.xtr.counters().of(Counter::ClaimsRefused), 4);
    bench.push((1 << 32) + 3, &[mapping("10.1.0.7/32", "192.0.2.7", B)]);
    assert_eq!(bench.changes.len(), 3, "a mobile node of ours that is away");
}

#[test]
fn a_negative_answer_is_cut_to_the_eid_space_and_to_what_is_not_ours() {
    let mut config = config();
    config.xtr.as_mut().unwrap().on_miss = Forwarding::Native;
    let mut bench = Bench::registered(&config);
    bench.resolve("10.2.0.1", &[negative("0.0.0.0/1", 15, Action::NativelyForward)]);
    // 10.2.0.0/15 is what of 10.0.0.0/8 holds 10.2.0.1 without 10.1.0.0/16.
    let eid_prefix = prefix("10.2.0.0/15");
    let hole = Change::SetRoute { eid_prefix, forwarding: Forwarding::Native };
    assert_eq!(bench.changes, [hole]);
    bench.clear();
    bench.resolve("10.4.0.1", &[negative("10.4.0.0/16", 1, Action::Drop)]);
    assert_eq!(bench.forwarding("10.4.0.9"), Some(Forwarding::Drop));
    bench.run_ms(61_000);
    assert_eq!(bench.changes.last(), Some(&Change::RemoveRoute(prefix("10.4.0.0/16"))));
    bench.push(1 << 32, &[mapping("10.2.0.0/15", "192.0.2.2", B)]);
    assert_eq!(bench.forwarding("10.2.0.1"), Some(Forwarding::Peer(B)));
}

#[test]
fn a_site_that_registers_fills_the_holes_told_of_it() {
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.3.1", &[negative("10.2.3.0/24", 15, Action::Drop)]);
    bench.push(1 << 32, &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    assert_eq!(bench.forwarding("10.2.3.1"), Some(Forwarding::Peer(B)));
}

#[test]
fn a_negative_answer_never_takes_a_mapping_that_carries_traffic() {
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    bench.run_ms(1_500);
    bench.traffic(B);
    bench.xtr.handle_lig(eid("10.2.0.1"), bench.now);
    bench.drain();
    bench.changes.clear();
    bench.reply(&[negative("10.2.0.0/16", 15, Action::NativelyForward)]);
    assert!(bench.changes.is_empty());
    assert_eq!(bench.xtr.counters().of(Counter::NegativesIgnored), 1);
    bench.run_with_server(Duration::from_secs(181));
    bench.xtr.handle_lig(eid("10.2.0.1"), bench.now);
    bench.drain();
    bench.reply(&[negative("10.2.0.0/16", 15, Action::NativelyForward)]);
    let forwarding = Forwarding::Drop;
    let hole = Change::SetRoute { eid_prefix: prefix("10.2.0.0/16"), forwarding };
    assert_eq!(bench.changes, [hole, Change::RemovePeer(B)]);
}

#[test]
fn lig_asks_even_what_is_cached_and_what_is_ours() {
    let mut bench = Bench::registered(&config());
    let there = mapping("10.2.0.0/16", "192.0.2.2", B);
    bench.resolve("10.2.0.1", core::slice::from_ref(&there));
    bench.run_ms(1_500);
    bench.clear();
    bench.xtr.handle_lig(eid("10.2.0.1"), bench.now);
    bench.drain();
    bench.reply(core::slice::from_ref(&there));
    let answer = Event::Lig { eid: eid("10.2.0.1") };
    assert_eq!((&bench.events[..], bench.changes.len()), (&[answer][..], 0));
    assert_eq!(bench.answers, [Some(there)]);
    bench.clear();
    let ours = mapping("10.1.0.0/16", "192.0.2.1", OUR_DATA_KEY);
    bench.xtr.handle_lig(eid("10.1.0.1"), bench.now);
    bench.drain();
    bench.reply(core::slice::from_ref(&ours));
    assert_eq!(bench.events, [Event::Lig { eid: eid("10.1.0.1") }]);
    assert_eq!(bench.answers, [Some(ours)]);
    assert!(bench.changes.is_empty());
}

#[test]
fn lig_is_answered_with_nothing_when_nobody_answers_or_too_many_ask() {
    let mut bench = Bench::registered(&config());
    for n in 0..9 {
        bench.xtr.handle_lig(eid(&std::format!("10.2.0.{n}")), bench.now);
        bench.drain();
    }
    let refused = Event::Lig { eid: eid("10.2.0.8") };
    assert_eq!(bench.events, [refused]);
    bench.run_ms(7_000);
    assert_eq!(bench.events.len(), 9);
    assert!(bench.events.iter().all(|event| matches!(event, Event::Lig { .. })));
    assert_eq!(bench.answers, [const { None }; 9]);
}

#[test]
fn a_lost_map_server_leaves_the_question_to_the_next_registration() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.1");
    bench.xtr.handle_control_lost(SERVER, bench.now);
    bench.drain();
    bench.clear();
    bench.run_ms(2_000);
    assert!(bench.sent.is_empty());
    bench.session(SERVER, Side::Initiator);
    assert!(!bench.sent.iter().any(Sent::is_request));
    bench.acknowledge_registers();
    assert!(bench.sent.iter().any(Sent::is_request));
    bench.reply(&[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    assert_eq!(bench.changes.len(), 2);
    bench.run_for(Duration::from_secs(5));
}
