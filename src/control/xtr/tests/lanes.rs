//! Sites with several RLOCs: priorities, weights, families, and a key per lane.

use super::bench::*;
use crate::xtr::Counter;
use crate::{
    Change, Config, DataKey, EidPrefix, Forwarding, Lanes, Limits, Locator, Mapping, PeerConfig,
    PeerKey, Side, Uplink,
};
use std::vec::Vec;

const FIRST: u64 = 1 << 32;
const B1: PeerKey = PeerKey([0xb8; 32]);
const SITE: &str = "10.2.0.0/16";

fn our_key(lane: u8) -> DataKey {
    let key = if lane == 0 { OUR_DATA_KEY } else { PeerKey([0x0d + lane; 32]) };
    DataKey { key, port: 51820 + u16::from(lane) * 2, lane }
}

fn config_with(lanes: u8) -> Config {
    let mut config = config();
    config.xtr.as_mut().unwrap().data_keys = (0..lanes).map(our_key).collect();
    config
}

/// A registered xTR with two data keys, and an uplink for each.
fn bench_with_two_lanes() -> Bench {
    let mut bench = Bench::registered(&config_with(2));
    bench.our_uplinks(&[("192.0.2.1", 0), ("198.51.100.1", 1)]);
    bench
}

impl Bench {
    fn our_uplinks(&mut self, uplinks: &[(&str, u8)]) {
        let uplinks: Vec<_> =
            uplinks.iter().map(|(rloc, lane)| Uplink { lane: *lane, ..uplink(rloc) }).collect();
        self.xtr.handle_uplinks(&uplinks, self.now);
        self.drain();
        self.acknowledge_registers();
        self.clear();
    }

    fn set_peers(&self) -> Vec<PeerConfig> {
        let set = self.changes.iter().filter_map(|change| match change {
            Change::SetPeer(config) => Some(*config),
            _ => None,
        });
        set.collect()
    }
}

/// A locator of lane 0 with key B or of lane 1 with key B1.
fn at(rloc: &str, lane: u8, priority: u8, weight: u8) -> Locator {
    let mut locator = locator(rloc, if lane == 0 { B } else { B1 });
    (locator.priority, locator.weight) = (priority, weight);
    locator.data_key.as_mut().unwrap().lane = lane;
    locator
}

fn site(locators: &[Locator]) -> Mapping {
    let mut mapping = mapping(SITE, "192.0.2.2", B);
    mapping.locators = locators.iter().copied().collect();
    mapping
}

fn shares(weights: [u8; 2]) -> Forwarding {
    let peers = [(0, B, weights[0]), (1, B1, weights[1])];
    Forwarding::Lanes(Lanes::new(&peers).unwrap())
}

fn route(forwarding: Forwarding) -> Change {
    Change::SetRoute { eid_prefix: prefix(SITE), forwarding }
}

#[test]
fn two_lanes_at_both_ends_are_peers_lane_by_lane_and_share_by_weight() {
    let mut bench = bench_with_two_lanes();
    let there = site(&[at("192.0.2.2", 0, 1, 75), at("198.51.100.2", 1, 1, 25)]);
    bench.resolve("10.2.0.1", core::slice::from_ref(&there));
    let peers: Vec<_> =
        bench.set_peers().iter().map(|set| (set.key, set.lane, set.endpoint, set.side)).collect();
    let endpoint = |text: &str| Some(text.parse().unwrap());
    assert_eq!(
        peers,
        [
            (B, 0, endpoint("192.0.2.2:51820"), Side::Initiator),
            (B1, 1, endpoint("198.51.100.2:51820"), Side::Initiator)
        ]
    );
    assert_eq!(bench.changes[2..], [route(shares([75, 25]))]);
    bench.clear();
    bench.push(FIRST, &[withdrawal(SITE)]);
    let gone = [Change::RemoveRoute(prefix(SITE)), Change::RemovePeer(B), Change::RemovePeer(B1)];
    assert_eq!(bench.changes, gone);
}

#[test]
fn one_lane_at_either_end_is_one_lane() {
    let there = site(&[at("192.0.2.2", 0, 1, 50), at("198.51.100.2", 1, 1, 50)]);
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", core::slice::from_ref(&there));
    assert_eq!(bench.forwarding("10.2.0.1"), Some(Forwarding::Peer(B)));
    assert!(matches!(bench.set_peers()[..], [PeerConfig { key, lane: 0, .. }] if key == B));
    let mut bench = bench_with_two_lanes();
    let there = site(&[at("192.0.2.2", 0, 1, 50), at("198.51.100.2", 0, 1, 50)]);
    bench.resolve("10.2.0.1", core::slice::from_ref(&there));
    assert_eq!(bench.forwarding("10.2.0.1"), Some(Forwarding::Peer(B)));
    assert!(matches!(bench.set_peers()[..], [PeerConfig { key, lane: 0, .. }] if key == B));
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", &[site(&[at("198.51.100.2", 1, 1, 50)])]);
    assert_eq!(bench.forwarding("10.2.0.1"), None, "a lane that we do not have");
    assert_eq!(bench.xtr.counters().of(Counter::RecordsUnusable), 1);
}

#[test]
fn the_locator_of_a_lane_moves_and_nothing_but_its_endpoint_changes() {
    let mut bench = bench_with_two_lanes();
    let there = site(&[at("192.0.2.2", 0, 1, 75), at("198.51.100.2", 1, 1, 25)]);
    bench.resolve("10.2.0.1", core::slice::from_ref(&there));
    bench.clear();
    bench.push(FIRST, &[site(&[at("192.0.2.2", 0, 1, 75), at("192.0.2.2", 1, 1, 25)])]);
    assert!(
        matches!(bench.changes[..], [Change::SetPeer(PeerConfig { key, lane: 1, .. })] if key == B1)
    );
    assert_eq!(bench.set_peers()[0].endpoint, Some("192.0.2.2:51820".parse().unwrap()));
    bench.clear();
    bench.push(FIRST + 1, core::slice::from_ref(&there));
    assert!(
        matches!(bench.changes[..], [Change::SetPeer(PeerConfig { key, .. })] if key == B1),
        "and back"
    );
}

#[test]
fn a_lane_without_locators_leaves_its_flows_to_the_others() {
    let mut bench = bench_with_two_lanes();
    let both = site(&[at("192.0.2.2", 0, 1, 1), at("198.51.100.2", 1, 1, 1)]);
    bench.resolve("10.2.0.1", core::slice::from_ref(&both));
    bench.traffic(B);
    bench.clear();
    bench.push(FIRST, &[site(&[at("198.51.100.2", 1, 1, 1)])]);
    assert_eq!(bench.changes, [route(Forwarding::Peer(B1)), Change::RemovePeer(B)]);
    bench.clear();
    bench.push(FIRST + 1, &[both]);
    assert!(
        matches!(bench.changes[0], Change::SetPeer(PeerConfig { key, lane: 0, .. }) if key == B)
    );
    assert_eq!(bench.changes[1..], [route(shares([1, 1]))]);
}

#[test]
fn a_lane_of_worse_priority_is_accepted_from_and_has_no_share() {
    let mut bench = bench_with_two_lanes();
    bench.resolve("10.2.0.1", &[site(&[at("192.0.2.2", 0, 2, 9), at("198.51.100.2", 1, 1, 0)])]);
    assert_eq!(bench.forwarding("10.2.0.1"), Some(shares([0, 1])));
    let sides: Vec<_> = bench.set_peers().iter().map(|set| (set.key, set.side)).collect();
    assert_eq!(sides, [(B, Side::Responder), (B1, Side::Initiator)]);
    bench.clear();
    bench.push(FIRST, &[site(&[at("192.0.2.2", 0, 1, 0), at("198.51.100.2", 1, 1, 0)])]);
    assert_eq!(bench.changes, [route(shares([1, 1]))], "no weights are equal weights");
}

#[test]
fn a_priority_of_255_is_never_used() {
    let mut bench = bench_with_two_lanes();
    bench.resolve("10.2.0.1", &[site(&[at("192.0.2.2", 0, 255, 9), at("198.51.100.2", 1, 9, 9)])]);
    assert_eq!(bench.forwarding("10.2.0.1"), Some(Forwarding::Peer(B1)));
    bench.clear();
    bench.resolve("10.3.0.1", &[site(&[at("192.0.2.2", 0, 255, 9)])]);
    assert_eq!(bench.xtr.counters().of(Counter::RecordsUnusable), 1);
    bench.push(FIRST, &[site(&[at("192.0.2.2", 0, 255, 9), at("198.51.100.2", 1, 255, 9)])]);
    let gone = [Change::RemoveRoute(prefix(SITE)), Change::RemovePeer(B1)];
    assert_eq!(bench.changes[bench.changes.len() - 2..], gone);
    let mut bench = bench_with_two_lanes();
    let ours = [("192.0.2.1", 0, 1), ("198.51.100.1", 1, 255)];
    let ours = ours.map(|(rloc, lane, priority)| Uplink { lane, priority, ..uplink(rloc) });
    bench.xtr.handle_uplinks(&ours, bench.now);
    bench.resolve("10.2.0.1", &[site(&[at("192.0.2.2", 0, 1, 9), at("198.51.100.2", 1, 1, 9)])]);
    assert_eq!(bench.forwarding("10.2.0.1"), Some(Forwarding::Peer(B)), "ours neither");
}

#[test]
fn the_best_priority_is_used_and_a_failure_moves_the_endpoint_to_the_next() {
    let mut bench = Bench::registered(&config());
    let there = [at("192.0.2.2", 0, 2, 1), at("198.51.100.2", 0, 1, 1)];
    bench.resolve("10.2.0.1", &[site(&there)]);
    assert_eq!(bench.set_peers()[0].endpoint, Some("198.51.100.2:51820".parse().unwrap()));
    bench.clear();
    bench.push(FIRST, &[site(&there[..1])]);
    assert!(matches!(bench.changes[..], [Change::SetPeer(PeerConfig { key, .. })] if key == B));
    assert_eq!(bench.set_peers()[0].endpoint, Some("192.0.2.2:51820".parse().unwrap()));
}

#[test]
fn rlocs_of_both_families_are_lanes_where_we_have_both() {
    let there = site(&[at("192.0.2.2", 0, 1, 1), at("2001:db8::2", 1, 1, 1)]);
    let mut bench = bench_with_two_lanes();
    bench.resolve("10.2.0.1", core::slice::from_ref(&there));
    assert_eq!(bench.forwarding("10.2.0.1"), Some(shares([1, 0])), "we have no IPv6");
    bench.our_uplinks(&[("192.0.2.1", 0), ("2001:db8::1", 1)]);
    assert_eq!(bench.forwarding("10.2.0.1"), Some(shares([1, 1])));
    bench.our_uplinks(&[("2001:db8::1", 0), ("2001:db8::1", 1)]);
    assert_eq!(bench.forwarding("10.2.0.1"), Some(shares([0, 1])));
}

#[test]
fn a_site_behind_nat_is_waited_for_in_every_lane() {
    let mut bench = bench_with_two_lanes();
    let mut there = site(&[at("192.168.1.2", 0, 1, 3), at("192.168.1.2", 1, 1, 1)]);
    there.locators.iter_mut().for_each(|locator| locator.is_reachable = false);
    bench.resolve("10.2.0.1", &[there]);
    assert_eq!(bench.forwarding("10.2.0.1"), Some(shares([3, 1])));
    let waits = |set: &PeerConfig| set.endpoint.is_none() && set.side == Side::Responder;
    assert!(bench.set_peers().len() == 2 && bench.set_peers().iter().all(waits));
}

#[test]
fn traffic_in_any_lane_has_the_mapping_refreshed_and_none_lets_it_end() {
    let mut bench = bench_with_two_lanes();
    let there = site(&[at("192.0.2.2", 0, 1, 1), at("198.51.100.2", 1, 1, 1)]);
    bench.resolve("10.2.0.1", core::slice::from_ref(&there));
    bench.run_with_server(HOUR / 2);
    bench.traffic(B1);
    bench.clear();
    bench.run_with_server(HOUR * 2 / 5 + HOUR / 3600);
    assert_eq!(bench.requests(), ["10.2.0.0"]);
    bench.reply(core::slice::from_ref(&there));
    bench.run_with_server(HOUR * 19 / 20);
    assert!(bench.changes.is_empty());
    bench.run_with_server(HOUR / 10);
    let gone = [Change::RemoveRoute(prefix(SITE)), Change::RemovePeer(B), Change::RemovePeer(B1)];
    assert_eq!(bench.changes, gone);
}

#[test]
fn a_lane_of_ours_without_an_rloc_is_not_used_until_it_has_one() {
    let mut bench = bench_with_two_lanes();
    let there = site(&[at("192.0.2.2", 0, 1, 1), at("198.51.100.2", 1, 1, 1)]);
    bench.resolve("10.2.0.1", core::slice::from_ref(&there));
    bench.clear();
    let lone = Uplink { lane: 1, ..uplink("198.51.100.1") };
    bench.xtr.handle_uplinks(&[lone], bench.now);
    bench.drain();
    assert_eq!(bench.changes, [route(Forwarding::Peer(B1)), Change::RemovePeer(B)]);
    bench.clear();
    bench.xtr.handle_uplinks(&[lone, uplink("192.0.2.1")], bench.now);
    bench.drain();
    assert!(
        matches!(bench.changes[0], Change::SetPeer(PeerConfig { key, lane: 0, .. }) if key == B)
    );
    assert_eq!(bench.changes[1..], [route(shares([1, 1]))]);
    bench.clear();
    bench.xtr.handle_uplinks(&[], bench.now);
    bench.drain();
    assert!(bench.changes.is_empty(), "without any RLOC all stays as it is");
}

#[test]
fn one_key_in_two_lanes_is_one_peer() {
    let mut bench = bench_with_two_lanes();
    let mut twice = site(&[at("192.0.2.2", 0, 1, 1), at("198.51.100.2", 1, 1, 1)]);
    twice.locators[1].data_key.as_mut().unwrap().key = B;
    bench.resolve("10.2.0.1", &[twice]);
    assert_eq!(bench.forwarding("10.2.0.1"), Some(Forwarding::Peer(B)));
    let mut elsewhere = mapping("10.3.0.0/16", "192.0.2.3", B);
    elsewhere.locators[0].data_key.as_mut().unwrap().lane = 1;
    bench.resolve("10.3.0.1", &[elsewhere]);
    assert_eq!(bench.forwarding("10.3.0.1"), None, "a peer is in one lane only");
    assert_eq!(bench.xtr.counters().of(Counter::PeersRefused), 1);
}

#[test]
fn lanes_count_towards_the_limit_of_peers() {
    let mut config = config_with(2);
    config.limits = Limits { peers: 1, ..Limits::default() };
    let mut bench = Bench::registered(&config);
    bench.our_uplinks(&[("192.0.2.1", 0), ("198.51.100.1", 1)]);
    bench.resolve("10.2.0.1", &[site(&[at("192.0.2.2", 0, 1, 1), at("198.51.100.2", 1, 1, 1)])]);
    assert_eq!(bench.changes, [Change::FailWaiting(eid("10.2.0.1"))]);
}

#[test]
fn our_rlocs_are_registered_with_the_keys_of_their_lanes_whatever_their_order() {
    let uplinks = [("192.0.2.1", 1, 1), ("192.0.2.1", 0, 1), ("198.51.100.1", 0, 2)];
    let uplinks = uplinks.map(|(rloc, lane, priority)| Uplink { lane, priority, ..uplink(rloc) });
    let mut reversed = uplinks;
    reversed.reverse();
    let useless = [Uplink { lane: 7, ..uplink("203.0.113.1") }, uplink("0.0.0.0")];
    let twice = [Uplink { priority: 9, ..uplinks[0] }];
    let expected = [("192.0.2.1", 0), ("192.0.2.1", 1), ("198.51.100.1", 0)];
    let expected = expected.map(|(rloc, lane)| (rloc.parse().unwrap(), Some(our_key(lane))));
    for told in [uplinks, reversed] {
        let mut bench = Bench::registered(&config_with(2));
        let told = [&twice[..], &told[..], &useless[..]].concat();
        bench.xtr.handle_uplinks(&told, bench.now);
        let known: Vec<_> =
            bench.xtr.locators().iter().map(|known| (known.rloc, known.data_key)).collect();
        assert_eq!(known, expected);
    }
}

#[test]
fn locators_that_share_an_rloc_survive_the_wire_with_their_lanes() {
    let mut there = site(&[at("192.0.2.2", 0, 1, 7), at("192.0.2.2", 1, 1, 9)]);
    there.eid_prefix = "10.2.0.0/16".parse::<EidPrefix>().unwrap();
    let mut bench = bench_with_two_lanes();
    bench.resolve("10.2.0.1", core::slice::from_ref(&there));
    let held = bench.xtr.lookup(eid("10.2.0.1")).unwrap().1;
    assert_eq!(bench.xtr.locators_of(held), there.locators);
}
