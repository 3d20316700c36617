//! A restart under a data plane that forwards on.

use super::bench::*;
use crate::xtr::Counter;
use crate::{
    Action, Change, Config, DataKey, Duration, EidPrefix, Forwarding, Lanes, Limits, Mapping,
    PeerConfig, PeerKey, Side,
};
use core::net::SocketAddr;
use std::vec::Vec;

const FIRST: u64 = 1 << 32;
const C: PeerKey = PeerKey([0xc0; 32]);

/// A node that just started, not yet registered.
fn started(config: &Config) -> Bench {
    let mut bench = Bench::new(config);
    bench.uplinks(&["192.0.2.1"]);
    bench
}

impl Bench {
    fn adopt(&mut self, eid_prefix: &str, peer: PeerKey, endpoint: &str) {
        let endpoint: SocketAddr = endpoint.parse().unwrap();
        let eid_prefix = prefix(eid_prefix);
        let peers = [(0, peer, Some(endpoint))];
        let forwarding = Forwarding::Peer(peer);
        assert!(self.xtr.handle_adopted(eid_prefix, forwarding, &peers, self.now));
    }

    fn register(&mut self) {
        self.session(SERVER, Side::Initiator);
        self.acknowledge_registers();
        self.answer_info("192.0.2.1");
    }

    /// Answers every open question as this one says, none of them twice, until there is none left.
    fn answer_all(&mut self, answer: impl Fn(crate::Eid) -> Vec<Mapping>) -> usize {
        let mut answered = Vec::new();
        while let Some((at, asked)) = self.sent.iter().enumerate().find_map(|(at, sent)| {
            let wire::Message::EncapsulatedControl(ecm) = sent.message() else { return None };
            let nonce = sent.nonce();
            (!answered.contains(&nonce)).then(|| (at, ecm.packet.destination().ip()))
        }) {
            let (peer, nonce) = (self.sent[at].peer, self.sent[at].nonce());
            answered.push(nonce);
            let eid = crate::Eid { instance_id: crate::InstanceId(0), address: asked };
            self.datagram(peer, &map_reply(nonce, &answer(eid)));
        }
        answered.len()
    }
}

#[test]
fn what_the_answer_confirms_is_left_alone_and_what_it_does_not_is_removed() {
    let mut bench = started(&config());
    bench.adopt("10.2.0.0/16", B, "192.0.2.2:51820");
    bench.adopt("10.3.0.0/16", B, "192.0.2.2:51820");
    bench.adopt("10.4.0.0/16", C, "192.0.2.4:51820");
    bench.drain();
    bench.register();
    assert!(bench.changes.is_empty(), "{:?}", bench.changes);
    assert_eq!(bench.requests(), ["10.2.0.0", "10.4.0.0"], "one question per peer");
    let b = [mapping("10.2.0.0/16", "192.0.2.2", B), mapping("10.3.0.0/16", "192.0.2.2", B)];
    bench.answer_all(|asked| match prefix("10.4.0.0/16").contains(asked) {
        true => [negative("10.4.0.0/16", 1, Action::Drop)].into(),
        false => b.to_vec(),
    });
    let eid_prefix = prefix("10.4.0.0/16");
    let hole = Change::SetRoute { eid_prefix, forwarding: Forwarding::Drop };
    assert_eq!(bench.changes, [hole, Change::RemovePeer(C)]);
    bench.clear();
    bench.run_with_server(Duration::from_secs(50 * 60));
    assert_eq!(bench.changes, [Change::RemoveRoute(eid_prefix)], "the hole's end");
    assert!(bench.xtr.map_cache().all(|(_, row)| !row.is_adopted()));
}

#[test]
fn an_adopted_mapping_serves_misses_and_a_new_endpoint_moves_its_peer() {
    let mut bench = started(&config());
    bench.adopt("10.2.0.0/16", B, "192.0.2.2:51820");
    bench.miss("10.2.0.1");
    bench.register();
    bench.clear_but_requests();
    bench.reply(&[mapping("10.2.0.0/16", "198.51.100.2", B)]);
    let endpoint = Some("198.51.100.2:51820".parse().unwrap());
    let moved =
        PeerConfig { key: B, lane: 0, endpoint, side: Side::Responder, persistent_keepalive: None };
    assert_eq!(bench.changes, [Change::SetPeer(moved)]);
}

#[test]
fn a_peer_behind_nat_keeps_the_endpoint_that_an_earlier_run_followed_it_to() {
    let mut bench = started(&config());
    bench.adopt("10.2.0.0/16", B, "203.0.113.7:1024");
    bench.register();
    let mut there = mapping("10.2.0.0/16", "192.168.1.2", B);
    there.locators[0].is_reachable = false;
    bench.reply(&[there]);
    assert!(bench.changes.is_empty());
}

#[test]
fn a_new_key_replaces_the_adopted_one() {
    let mut bench = started(&config());
    bench.adopt("10.2.0.0/16", B, "192.0.2.2:51820");
    bench.register();
    bench.clear_but_requests();
    bench.reply(&[mapping("10.2.0.0/16", "192.0.2.2", B_NEW)]);
    assert!(matches!(bench.changes[0], Change::SetPeer(PeerConfig { key, .. }) if key == B_NEW));
    assert_eq!(bench.changes.last(), Some(&Change::RemovePeer(B)));
    assert_eq!(bench.changes.len(), 3);
}

#[test]
fn adopted_lanes_are_confirmed_as_they_are() {
    let mut config = config();
    let keys = [(OUR_DATA_KEY, 0), (PeerKey([0x0e; 32]), 1)];
    config.xtr.as_mut().unwrap().data_keys =
        keys.map(|(key, lane)| DataKey { key, port: 51820, lane }).into();
    let mut bench = started(&config);
    let (eid_prefix, endpoint) = (prefix("10.2.0.0/16"), Some("192.0.2.2:51820".parse().unwrap()));
    let lanes = Lanes::new(&[(0, B, 3), (1, C, 1)]).unwrap();
    let peers = [(0, B, endpoint), (1, C, endpoint)];
    let forwarding = Forwarding::Lanes(lanes);
    assert!(bench.xtr.handle_adopted(eid_prefix, forwarding, &peers, bench.now));
    bench.drain();
    let ours = [0, 1].map(|lane| crate::Uplink { lane, ..uplink("192.0.2.1") });
    bench.xtr.handle_uplinks(&ours, bench.now);
    bench.register();
    let mut there = mapping("10.2.0.0/16", "192.0.2.2", B);
    there.locators[0].weight = 3;
    let mut second = there.locators[0];
    (second.weight, second.data_key) = (1, Some(DataKey { key: C, port: 51820, lane: 1 }));
    there.locators.push(second).unwrap();
    bench.reply(&[there]);
    assert!(bench.changes.is_empty(), "{:?}", bench.changes);
    assert!(bench.xtr.map_cache().all(|(_, row)| !row.is_adopted()));
}

#[test]
fn what_nobody_answers_for_goes_after_180_s() {
    let mut bench = started(&config());
    bench.adopt("10.2.0.0/16", B, "192.0.2.2:51820");
    bench.register();
    bench.run_with_server(Duration::from_secs(179));
    assert!(bench.changes.is_empty());
    assert!(bench.sent.iter().filter(|sent| sent.is_request()).count() >= 30, "asked on and on");
    bench.run_with_server(Duration::from_secs(2));
    assert_eq!(bench.changes, [Change::RemoveRoute(prefix("10.2.0.0/16")), Change::RemovePeer(B)]);
}

#[test]
fn without_a_map_server_what_carries_traffic_stays() {
    let mut bench = started(&config());
    bench.adopt("10.2.0.0/16", B, "192.0.2.2:51820");
    bench.adopt("10.3.0.0/16", C, "192.0.2.3:51820");
    for _ in 0..10 {
        bench.run_for(Duration::from_secs(60));
        bench.traffic(B);
    }
    assert_eq!(bench.changes, [Change::RemoveRoute(prefix("10.3.0.0/16")), Change::RemovePeer(C)]);
    bench.clear();
    bench.register();
    assert_eq!(bench.requests(), ["10.2.0.0"]);
    bench.reply(&[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    assert!(bench.changes.is_empty(), "{:?}", bench.changes);
}

#[test]
fn a_push_confirms_too() {
    let mut bench = started(&config());
    bench.adopt("10.2.0.0/16", B, "192.0.2.2:51820");
    bench.register();
    bench.push(FIRST, &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    bench.run_with_server(Duration::from_secs(300));
    assert!(bench.changes.is_empty());
}

#[test]
fn a_negative_answer_does_not_take_what_carries_traffic_at_once() {
    let mut bench = started(&config());
    bench.adopt("10.2.0.0/16", B, "192.0.2.2:51820");
    bench.register();
    bench.traffic(B);
    bench.clear_but_requests();
    bench.reply(&[negative("10.2.0.0/16", 1, Action::Drop)]);
    assert!(bench.changes.is_empty());
    assert_eq!(bench.xtr.counters().of(Counter::NegativesIgnored), 1);
    bench.run_with_server(Duration::from_secs(181));
    assert_eq!(bench.changes.last(), Some(&Change::RemovePeer(B)));
}

#[test]
fn a_wider_answer_ends_a_more_specific_mapping_that_is_no_more() {
    let mut bench = started(&config());
    bench.adopt("10.2.3.0/24", B, "192.0.2.2:51820");
    bench.register();
    bench.clear_but_requests();
    bench.reply(&[mapping("10.2.0.0/16", "192.0.2.3", C)]);
    assert!(bench.changes.contains(&Change::RemoveRoute(prefix("10.2.3.0/24"))));
    assert_eq!(bench.changes.last(), Some(&Change::RemovePeer(B)));
    assert_eq!(bench.forwarding("10.2.3.1"), Some(Forwarding::Peer(C)));
}

#[test]
fn a_wider_mapping_is_asked_for_where_no_more_specific_one_answers() {
    let mut bench = started(&config());
    bench.adopt("10.2.0.0/16", B, "192.0.2.2:51820");
    bench.adopt("10.2.0.0/24", C, "192.0.2.3:51820");
    bench.adopt("10.2.1.0/24", C, "192.0.2.3:51820");
    bench.register();
    let mut asked = bench.requests();
    asked.sort();
    assert_eq!(asked, ["10.2.0.0", "10.2.2.0"]);
}

#[test]
fn what_we_may_not_have_goes_at_once() {
    let mut config = config();
    config.limits = Limits { map_cache: 2, ..Limits::default() };
    let mut bench = started(&config);
    bench.adopt("10.0.0.0/8", B, "192.0.2.2:51820");
    bench.adopt("172.16.0.0/12", B, "192.0.2.2:51820");
    bench.adopt("10.2.0.0/16", B, "192.0.2.2:51820");
    bench.adopt("10.3.0.0/16", OUR_DATA_KEY, "192.0.2.3:51820");
    bench.adopt("10.4.0.0/16", C, "192.0.2.4:51820");
    bench.adopt("10.5.0.0/16", B_NEW, "192.0.2.5:51820");
    let lane = [(1, B_NEW, None)];
    let forwarding = Forwarding::Peer(B_NEW);
    assert!(bench.xtr.handle_adopted(prefix("10.6.0.0/16"), forwarding, &lane, bench.now));
    bench.drain();
    let mut gone: Vec<_> = bench.changes.iter().map(|change| std::format!("{change:?}")).collect();
    gone.sort();
    let routes = ["10.0.0.0/8", "10.3.0.0/16", "10.5.0.0/16", "10.6.0.0/16", "172.16.0.0/12"];
    let expected = routes.map(|text| Change::RemoveRoute(prefix(text)));
    let peers = [OUR_DATA_KEY, B_NEW].map(Change::RemovePeer);
    let expected = expected.iter().chain(&peers).map(|change| std::format!("{change:?}"));
    let mut expected: Vec<_> = expected.collect();
    expected.sort();
    assert_eq!(gone, expected);
    assert_eq!(bench.xtr.map_cache_len(), 2);
}

#[test]
fn a_reason_to_drop_is_adopted_and_confirmed_as_well() {
    let mut bench = started(&config());
    let eid_prefix = prefix("10.2.0.0/16");
    assert!(bench.xtr.handle_adopted(eid_prefix, Forwarding::Drop, &[], bench.now));
    assert!(bench.xtr.handle_adopted(prefix("10.3.0.0/16"), Forwarding::Native, &[], bench.now));
    bench.drain();
    let set = Change::SetRoute { eid_prefix: prefix("10.3.0.0/16"), forwarding: Forwarding::Drop };
    assert_eq!(bench.changes, [set], "as the configuration has it now");
    bench.clear();
    bench.register();
    assert_eq!(bench.requests(), ["10.2.0.0", "10.3.0.0"]);
    bench.answer_all(|asked| {
        let both = ["10.2.0.0/16", "10.3.0.0/16"];
        let asked = both.iter().find(|text| prefix(text).contains(asked)).unwrap();
        [negative(asked, 15, Action::Drop)].into()
    });
    assert!(bench.changes.is_empty());
}

/// 200 sites with five EID-prefixes each, and 64 questions at once.
#[test]
fn more_than_can_be_asked_for_at_once_is_asked_for_all_the_same() {
    let mut bench = started(&config());
    let key = |site: usize| {
        let mut key = [0xee; 32];
        key[0] = site as u8;
        PeerKey(key)
    };
    let rloc = |site: usize| std::format!("198.51.100.{}", site + 1);
    let eid_prefix = |site: usize, place: usize| std::format!("10.{}.{}.0/24", 16 + site, place);
    for site in 0..200 {
        for place in 0..5 {
            let endpoint = std::format!("{}:51820", rloc(site));
            bench.adopt(&eid_prefix(site, place), key(site), &endpoint);
        }
    }
    bench.drain();
    bench.register();
    let open = |bench: &Bench| bench.xtr.requests().count();
    assert_eq!(open(&bench), Limits::default().pending_requests / 2, "misses find room");
    let site_of = |eid: crate::Eid| match eid.address {
        core::net::IpAddr::V4(v4) => usize::from(v4.octets()[1]) - 16,
        core::net::IpAddr::V6(_) => unreachable!(),
    };
    let answered = bench.answer_all(|asked| {
        let site = site_of(asked);
        (0..5).map(|place| mapping(&eid_prefix(site, place), &rloc(site), key(site))).collect()
    });
    assert_eq!(answered, 200, "one question per site");
    assert!(bench.changes.is_empty());
    assert!(bench.xtr.map_cache().all(|(_, row)| !row.is_adopted()));
    assert_eq!(bench.xtr.map_cache_len(), 1000);
    // An hour later all that carry traffic are refreshed, though they are due at once.
    bench.clear();
    bench.run_with_server(Duration::from_secs(1));
    (0..200).for_each(|site| bench.traffic(key(site)));
    let mut left = 60 * 60;
    while left > 0 {
        left -= 1;
        bench.run_with_server(Duration::from_secs(1));
        bench.answer_all(|asked| {
            let site = site_of(asked);
            (0..5).map(|place| mapping(&eid_prefix(site, place), &rloc(site), key(site))).collect()
        });
        bench.sent.retain(|sent| sent.at_ms + 500 > bench.now.as_micros() / 1000);
    }
    assert!(bench.changes.is_empty(), "{:?}", bench.changes.len());
    assert_eq!(bench.xtr.map_cache_len(), 1000);
}

#[test]
fn a_full_table_does_not_take_what_it_cannot_remember() {
    let mut config = config();
    config.limits = Limits { map_cache: 1, peers: 1, pending_requests: 2 };
    let mut bench = started(&config);
    let taken = (0..200_u8).filter(|n| {
        let (eid_prefix, key) = (std::format!("10.2.{n}.0/24"), PeerKey([n + 1; 32]));
        let eid_prefix: EidPrefix = prefix(&eid_prefix);
        let peers = [(0, key, None)];
        bench.xtr.handle_adopted(eid_prefix, Forwarding::Peer(key), &peers, bench.now)
    });
    let taken = taken.count();
    assert!(taken > 1 && taken < 200, "{taken}");
    bench.drain();
    let removed = |change: &&Change| matches!(change, Change::RemovePeer(_));
    assert_eq!(bench.changes.iter().filter(removed).count(), taken - 1);
    assert_eq!(bench.changes.len(), 2 * (taken - 1));
}
