//! Probing data peers from whom nothing comes back, and answering those who probe us.

use core::net::SocketAddr;
use std::vec::Vec;

use super::bench::*;
use crate::itr::WayOut;
use crate::xtr::Counter;
use crate::{Change, Duration, Event, Mapping, PeerConfig, PeerKey};
use wire::{Message, Nonce};

/// The way out to who is reached by IPv4.
const V4: WayOut = WayOut { lane: 0, is_ipv6: false };
const FAR: Duration = Duration::from_secs(3600);

/// The mapping of B: these RLOCs, the first preferred.
fn site_b(rlocs: &[&str]) -> Mapping {
    let mut mapping = mapping("10.2.0.0/16", rlocs[0], B);
    for (place, rloc) in rlocs.iter().enumerate().skip(1) {
        let mut locator = locator(rloc, B);
        locator.priority = 1 + place as u8;
        mapping.locators.push(locator).unwrap();
    }
    mapping
}

/// B is a peer whose path takes `round_trip_ms`, and the Map-Server's as long.
fn talking(rlocs: &[&str], round_trip_ms: u64) -> Bench {
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", &[site_b(rlocs)]);
    bench.run_ms(2_000);
    bench.traffic(B);
    bench.run_ms(round_trip_ms);
    bench.answer_probe_of(round_trip_ms);
    bench.silent(B);
    bench.run_ms(round_trip_ms);
    bench.answer_probe_of(round_trip_ms);
    bench.answer_info("192.0.2.1");
    bench.run_ms(2_000);
    bench.clear();
    bench
}

impl Bench {
    /// The peer answers the newest probe.
    fn answer_probe(&mut self) {
        let probe = self.linked.last().unwrap();
        let (peer, reply) = (probe.peer, probe_reply(probe.nonce()));
        self.link_datagram(peer, &reply);
    }

    /// The peer answers the probe that was sent so long ago.
    fn answer_probe_of(&mut self, round_trip_ms: u64) {
        let sent_at = self.now_ms() - round_trip_ms;
        let probe = self.linked.iter().rfind(|sent| sent.at_ms <= sent_at).unwrap();
        let (peer, reply) = (probe.peer, probe_reply(probe.nonce()));
        self.link_datagram(peer, &reply);
    }

    fn probed_at(&self) -> Vec<u64> {
        self.linked.iter().map(|sent| sent.at_ms).collect()
    }

    fn now_ms(&self) -> u64 {
        self.now.as_micros() / 1_000
    }

    fn endpoints(&self) -> Vec<Option<SocketAddr>> {
        let set = self.changes.iter().filter_map(|change| match change {
            Change::SetPeer(PeerConfig { key, endpoint, .. }) if *key == B => Some(*endpoint),
            _ => None,
        });
        set.collect()
    }
}

fn at(rloc: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(rloc.parse().unwrap(), 51820))
}

fn moved(from: &str, to: &str) -> Event {
    Event::EndpointMoved { peer: B, from: at(from), to: at(to).unwrap() }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_path_is_measured_when_traffic_comes_for_the_first_time() {
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", &[site_b(&["192.0.2.2"])]);
    bench.clear();
    bench.traffic(B);
    let start = bench.now_ms();
    bench.run_ms(10_000);
    let times: Vec<_> = bench.probed_at().iter().map(|at| at - start).collect();
    assert_eq!(times, [0, 100, 300, 700], "and given up without consequence");
    bench.traffic(B);
    bench.run_ms(10_000);
    assert_eq!(bench.linked.len(), 4);
    assert!(bench.changes.is_empty() && bench.events.is_empty());
    assert_eq!(bench.xtr.poll_path_failure(), None);
    bench.traffic(PeerKey([0xee; 32]));
    assert_eq!(bench.linked.len(), 4, "a stranger is no peer");
}

#[test]
fn a_probe_asks_the_peer_itself_about_its_own_eid_prefix() {
    let mut bench = talking(&["192.0.2.2"], 20);
    bench.silent(B);
    let [probe] = &bench.linked[..] else { panic!("one probe") };
    let Message::MapRequest(request) = probe.message() else { panic!() };
    assert!(request.is_probe && !request.is_smr && !request.is_smr_invoked);
    assert_eq!(request.source_eid.ip_eid().unwrap().1, prefix("10.1.0.0/16").address());
    let asked = request.eids.iter().next().unwrap();
    assert_eq!((asked.mask_len, asked.is_subscription), (16, false));
    assert_eq!(asked.eid.ip_eid().unwrap().1, prefix("10.2.0.0/16").address());
    assert_eq!(bench.sent.iter().filter(|sent| sent.is_info()).count(), 1, "the Map-Server too");
}

#[test]
fn an_answered_probe_is_the_end_of_it_however_often_that_happens() {
    let mut bench = talking(&["192.0.2.2", "192.0.2.3"], 20);
    for round in 0..100 {
        bench.silent(B);
        bench.run_ms(20);
        bench.answer_probe_of(20);
        let answered = Event::PathAnswered { peer: B, round_trip: ms(20) };
        assert_eq!(bench.events.pop(), Some(answered), "round {round}");
        bench.run_ms(280);
    }
    assert!(bench.linked.len() <= 200, "each with its repetition at most");
    assert!(bench.changes.is_empty() && bench.requests().is_empty());
    assert_eq!(bench.xtr.counters().of(Counter::ProbesFailed), 0);
}

#[test]
fn a_single_loss_of_a_probe_or_of_its_answer_moves_nothing() {
    for round_trip in [1, 10, 25, 40, 80, 200, 700] {
        let mut bench = talking(&["192.0.2.2", "192.0.2.3"], round_trip);
        for _ in 0..10 {
            bench.silent(B);
            let first = bench.linked.len();
            while bench.linked.len() == first && bench.xtr.poll_at().is_some() {
                bench.run_ms(1);
            }
            bench.run_ms(round_trip);
            bench.answer_probe_of(round_trip);
            bench.run_ms(3_000);
        }
        assert!(bench.changes.is_empty(), "{round_trip} ms");
        assert_eq!(bench.xtr.counters().of(Counter::ProbesFailed), 0, "{round_trip} ms");
    }
}

#[test]
fn a_dead_endpoint_is_left_for_the_next_after_the_timeout_exactly() {
    for (round_trip, timeout) in [(10, 50), (20, 50), (40, 80), (150, 300)] {
        let mut bench = talking(&["192.0.2.2", "192.0.2.3"], round_trip);
        bench.silent(B);
        bench.run_ms(round_trip.min(timeout - 1));
        bench.answer_info("192.0.2.1");
        bench.run_for(ms(timeout - round_trip.min(timeout - 1)) - Duration::from_micros(1));
        assert!(bench.changes.is_empty(), "not before its time: {round_trip} ms");
        bench.linked.clear();
        bench.run_for(Duration::from_micros(1));
        assert_eq!(bench.endpoints(), [at("192.0.2.3")], "{round_trip} ms");
        assert_eq!(bench.events, [moved("192.0.2.2", "192.0.2.3")]);
        assert_eq!(bench.probed_at(), [bench.now_ms()], "it is probed there at once");
        assert_eq!(bench.requests().len(), 1, "and its mapping is asked for");
        assert_eq!(bench.xtr.poll_path_failure(), None);
        bench.answer_probe();
        bench.run_ms(5_000);
        assert_eq!(bench.endpoints().len(), 1, "it stays where it answers");
    }
}

#[test]
fn when_all_endpoints_are_dead_the_best_is_set_again_and_left_alone_for_longer_each_time() {
    let mut bench = talking(&["192.0.2.2", "192.0.2.3", "2001:db8::3"], 20);
    let mut rounds = Vec::new();
    for _ in 0..400 {
        let before = bench.linked.len();
        bench.silent(B);
        if bench.linked.len() > before && bench.sent.iter().any(Sent::is_info) {
            bench.answer_info("192.0.2.1");
        }
        if bench.linked.len() > before {
            rounds.push(bench.now_ms());
        }
        bench.run_with_server(ms(300));
        bench.sent.retain(|sent| !sent.is_request());
    }
    let all = bench.endpoints();
    assert_eq!(all[..4], [at("192.0.2.3"), at("192.0.2.2"), at("192.0.2.3"), at("192.0.2.2")]);
    let gaps: Vec<_> = rounds.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps[..6], [1_200, 2_400, 4_200, 8_400, 16_200, 30_300]);
    assert!(rounds.len() < 10 && bench.linked.len() == 4 * rounds.len(), "{rounds:?}");
    bench.traffic(B);
    bench.clear();
    bench.silent(B);
    assert_eq!(bench.linked.len(), 1, "who is heard begins anew");
}

#[test]
fn when_the_map_server_is_silent_too_the_uplink_is_to_blame() {
    let mut bench = talking(&["192.0.2.2", "192.0.2.3"], 20);
    bench.silent(B);
    bench.run_for(ms(50) - Duration::from_micros(1));
    assert_eq!(bench.xtr.poll_path_failure(), None);
    bench.run_for(Duration::from_micros(1));
    assert!(bench.changes.is_empty());
    assert_eq!(bench.xtr.poll_path_failure(), Some(V4));
    assert_eq!(bench.xtr.poll_path_failure(), None);
    bench.clear();
    bench.uplinks(&["198.51.100.1"]);
    let infos = bench.sent.iter().filter(|sent| sent.is_info()).count();
    assert_eq!((bench.linked.len(), infos), (1, 2), "both are asked over the new one");
    bench.run_ms(20);
    bench.answer_probe();
    bench.run_ms(5_000);
    assert!(bench.endpoints().is_empty() && bench.xtr.poll_path_failure().is_none());
}

#[test]
fn what_the_map_server_pushes_proves_nothing_of_the_way_to_it() {
    let mut bench = talking(&["192.0.2.2", "192.0.2.3"], 20);
    bench.silent(B);
    bench.run_ms(10);
    bench.push(1 << 32, &[mapping("10.4.0.0/16", "192.0.2.4", B_NEW)]);
    bench.run_ms(40);
    assert_eq!(bench.xtr.poll_path_failure(), Some(V4));
}

#[test]
fn a_lane_is_told_of_once_however_many_of_its_peers_are_silent() {
    let mut bench = talking(&["192.0.2.2"], 20);
    bench.resolve("10.3.0.1", &[mapping("10.3.0.0/16", "192.0.2.3", B_NEW)]);
    bench.run_ms(2_000);
    bench.silent(B);
    bench.silent(B_NEW);
    bench.run_ms(300);
    let failures: Vec<_> = core::iter::from_fn(|| bench.xtr.poll_path_failure()).collect();
    assert_eq!(failures, [V4]);
}

#[test]
fn each_family_of_a_lane_is_told_of() {
    let mut bench = talking(&["192.0.2.2"], 20);
    bench.resolve("10.3.0.1", &[mapping("10.3.0.0/16", "2001:db8:3::1", B_NEW)]);
    bench.uplinks(&["192.0.2.1", "2001:db8::1"]);
    bench.run_ms(2_000);
    bench.silent(B);
    bench.silent(B_NEW);
    bench.run_ms(300);
    let failures: Vec<_> = core::iter::from_fn(|| bench.xtr.poll_path_failure()).collect();
    assert_eq!(failures, [V4, WayOut { is_ipv6: true, ..V4 }]);
}

#[test]
fn without_another_uplink_the_endpoints_are_tried() {
    let mut bench = talking(&["192.0.2.2", "192.0.2.3"], 20);
    bench.silent(B);
    bench.run_ms(50);
    assert_eq!(bench.xtr.poll_path_failure(), Some(V4));
    bench.drain();
    assert_eq!(bench.endpoints(), [at("192.0.2.3")]);
}

#[test]
fn one_peer_blames_its_uplinks_three_times_and_then_once_per_round() {
    let mut bench = talking(&["192.0.2.2"], 20);
    let mut failures = Vec::new();
    let start = bench.now_ms();
    for tick in 0..2_000 {
        if tick % 30 == 0 {
            bench.silent(B);
        }
        bench.run_ms(10);
        if bench.xtr.poll_path_failure().is_some() {
            failures.push(bench.now_ms() - start);
            bench.uplinks(&[["198.51.100.1", "192.0.2.1"][failures.len() % 2]]);
        }
        bench.drain();
        bench.sent.clear();
    }
    assert!(failures.len() < 9, "{failures:?}");
    assert!(failures[2] < 400 && failures[3] > 1_300, "{failures:?}");
}

#[test]
fn a_map_server_further_away_than_the_peer_is_waited_for() {
    let mut bench = talking(&["192.0.2.2", "192.0.2.3"], 10);
    for _ in 0..40 {
        bench.silent(B);
        bench.run_ms(10);
        bench.answer_probe();
        bench.run_ms(190);
        bench.answer_info("192.0.2.1");
        bench.run_ms(300);
    }
    bench.clear();
    bench.silent(B);
    bench.run_ms(200);
    assert!(bench.changes.is_empty() && bench.xtr.poll_path_failure().is_none());
    bench.answer_info("192.0.2.1");
    assert_eq!(bench.endpoints(), [at("192.0.2.3")]);
}

#[test]
fn a_peer_that_is_heard_meanwhile_proves_the_way_out() {
    let mut bench = talking(&["192.0.2.2", "192.0.2.3"], 20);
    let other = PeerKey([0xc0; 32]);
    bench.resolve("10.3.0.1", &[mapping("10.3.0.0/16", "192.0.2.9", other)]);
    bench.silent(B);
    bench.run_ms(10);
    bench.traffic(other);
    bench.run_ms(40);
    assert_eq!(bench.xtr.poll_path_failure(), None);
    assert_eq!(bench.endpoints(), [at("192.0.2.3")]);
}

#[test]
fn a_late_answer_ends_the_search() {
    let mut bench = talking(&["192.0.2.2"], 20);
    bench.silent(B);
    bench.run_ms(200);
    let _ = bench.xtr.poll_path_failure();
    bench.drain();
    bench.answer_probe();
    bench.clear();
    bench.silent(B);
    assert_eq!(bench.linked.len(), 1, "no pause holds it back");
    bench.answer_probe();
    let twice = bench.linked[0].nonce();
    bench.link_datagram(B, &probe_reply(twice));
    assert_eq!(bench.xtr.counters().of(Counter::NoncesUnknown), 0);
}

#[test]
fn after_a_change_of_our_uplinks_the_eight_most_recent_peers_are_probed() {
    let mut bench = Bench::registered(&config());
    for site in 2..14 {
        let text = std::format!("10.{site}.0.0/16");
        bench.miss(&std::format!("10.{site}.0.1"));
        bench.reply(&[mapping(&text, "192.0.2.2", PeerKey([site; 32]))]);
    }
    for site in [5, 9, 2, 3, 12, 4, 6, 7, 8, 10] {
        bench.run_ms(1_500);
        bench.traffic(PeerKey([site; 32]));
        bench.answer_probe();
    }
    bench.run_ms(1_500);
    bench.clear();
    bench.uplinks(&["198.51.100.1"]);
    let mut probed: Vec<_> = bench.linked.iter().map(|sent| sent.peer.0[0]).collect();
    probed.sort_unstable();
    assert_eq!(probed, [2, 3, 4, 6, 7, 8, 10, 12]);
    assert!(bench.sent[0].is_register(), "the Map-Server is told first");
    bench.run_for(FAR);
    assert_eq!(bench.linked.len(), 32, "four times each, and no more");
}

fn probe(eid_prefix: &str, nonce: u64) -> Vec<u8> {
    let asked = prefix(eid_prefix);
    let eids = [wire::EidRecord {
        is_subscription: false,
        mask_len: asked.len(),
        eid: asked.address().into(),
    }];
    let rlocs = [wire::Address::Ipv4([192, 0, 2, 2].into())];
    let (rlocs, eids) = (wire::Addresses::new(&rlocs), wire::EidRecords::new(&eids));
    let request = wire::MapRequest::new(Nonce(nonce), wire::Address::None, rlocs, eids);
    let mut buf = [0; 256];
    let len = wire::MapRequest { is_probe: true, ..request }.emit(&mut buf).unwrap();
    buf[..len].to_vec()
}

#[test]
fn a_probe_of_a_known_peer_about_our_own_eid_is_answered_with_our_mapping() {
    let mut bench = talking(&["192.0.2.2"], 20);
    for (asked, is_answered) in
        [("10.1.0.0/16", true), ("10.1.3.0/24", true), ("10.0.0.0/8", false)]
    {
        bench.clear();
        bench.link_datagram(B, &probe(asked, 42));
        assert_eq!(bench.linked.len(), usize::from(is_answered), "{asked}");
    }
    bench.link_datagram(B, &probe("10.1.0.0/16", 46));
    let Message::MapReply(reply) = bench.linked[0].message() else { panic!() };
    assert!(reply.is_probe && reply.nonce == Nonce(46));
    let record = reply.records.iter().next().unwrap();
    assert_eq!((record.mask_len, record.locators.len()), (16, 1));
    bench.clear();
    bench.link_datagram(PeerKey([0xee; 32]), &probe("10.1.0.0/16", 44));
    assert!(bench.linked.is_empty(), "a stranger is not answered");
    assert_eq!(bench.xtr.counters().of(Counter::ProbesRefused), 2);
}

#[test]
fn a_peer_that_says_it_got_no_answers_is_probed_in_turn() {
    let mut bench = talking(&["192.0.2.2"], 20);
    for nonce in [41, 43, 45] {
        bench.link_datagram(B, &probe("10.1.0.0/16", nonce));
    }
    let is_probe = |sent: &&Sent| matches!(sent.message(), Message::MapRequest(_));
    assert_eq!(bench.linked.iter().filter(is_probe).count(), 1, "which it is already");
    bench.run_ms(50);
    assert_eq!(bench.xtr.poll_path_failure(), Some(V4), "our way out it is");
    bench.clear();
    bench.uplinks(&["198.51.100.1"]);
    assert_eq!(bench.linked[0].nonce().0 % 2, 1, "we say so as well");
    bench.answer_probe();
    bench.clear();
    bench.silent(B);
    assert_eq!(bench.linked[0].nonce().0 % 2, 0, "the first one says nothing");
}

#[test]
fn a_flood_of_probes_is_bounded_and_starves_no_other_peer() {
    let mut bench = talking(&["192.0.2.2"], 20);
    let other = PeerKey([0xc0; 32]);
    bench.resolve("10.3.0.1", &[mapping("10.3.0.0/16", "192.0.2.9", other)]);
    bench.clear();
    for nonce in 0..10_000 {
        bench.link_datagram(B, &probe("10.1.0.0/16", 2 * nonce));
    }
    assert_eq!(bench.linked.len(), 32);
    bench.link_datagram(other, &probe("10.1.0.0/16", 2));
    assert_eq!(bench.linked.len(), 33);
    bench.run_ms(1_000);
    for nonce in 0..10_000 {
        bench.link_datagram(B, &probe("10.1.0.0/16", 2 * nonce));
    }
    assert_eq!(bench.linked.len(), 53);
}

#[test]
fn what_nobody_asked_for_is_counted_and_dropped() {
    let mut bench = talking(&["192.0.2.2"], 20);
    bench.link_datagram(B, &probe_reply(Nonce(7)));
    bench.link_datagram(PeerKey([0xee; 32]), &probe_reply(Nonce(7)));
    bench.link_datagram(B, b"nonsense");
    bench.link_datagram(B, &[0x10; 2_000]);
    bench.link_datagram(B, &map_reply(Nonce(7), &[site_b(&["192.0.2.66"])]));
    bench.silent(PeerKey([0xee; 32]));
    let counters = bench.xtr.counters();
    assert_eq!(counters.of(Counter::NoncesUnknown), 2);
    assert_eq!(counters.of(Counter::MessagesMalformed), 2);
    assert_eq!(counters.of(Counter::MessagesUnexpected), 1);
    assert!(bench.linked.is_empty() && bench.sent.is_empty() && bench.changes.is_empty());
}
