//! What happens to mappings: pushes, new keys, expiry, eviction.

use super::bench::*;
use crate::xtr::Counter;
use crate::{Change, Duration, EidPrefix, Forwarding, Limits, PeerKey, Side};
use std::vec::Vec;

const FIRST: u64 = 1 << 32;

#[test]
fn an_unchanged_record_causes_no_change() {
    let mut bench = Bench::registered(&config());
    let there = [mapping("10.2.0.0/16", "192.0.2.2", B), mapping("10.3.0.0/16", "192.0.2.2", B)];
    bench.resolve("10.2.0.1", &there);
    bench.clear();
    bench.push(FIRST, &there);
    assert!(bench.changes.is_empty() && bench.events.is_empty());
    assert!(bench.sent[0].is_ack());
}

#[test]
fn a_new_rloc_moves_the_endpoint_of_the_peer_and_nothing_else() {
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    bench.clear();
    bench.push(FIRST, &[mapping("10.2.0.0/16", "198.51.100.2", B)]);
    assert!(matches!(bench.changes[..], [Change::SetPeer(peer)]
        if peer.key == B && peer.side == Side::Initiator
            && peer.endpoint == Some("198.51.100.2:51820".parse().unwrap())));
}

#[test]
fn a_new_key_moves_routes_and_then_removes_the_old_peer() {
    let mut bench = Bench::registered(&config());
    let old = [mapping("10.2.0.0/16", "192.0.2.2", B), mapping("10.3.0.0/16", "192.0.2.2", B)];
    bench.resolve("10.2.0.1", &old);
    bench.traffic(B);
    bench.clear();
    let new = old.map(|mut mapping| {
        mapping.locators[0].data_key.as_mut().unwrap().key = B_NEW;
        mapping
    });
    bench.push(FIRST, &new);
    let route =
        |text| Change::SetRoute { eid_prefix: prefix(text), forwarding: Forwarding::Peer(B_NEW) };
    assert!(
        matches!(bench.changes[0], Change::SetPeer(peer)
        if peer.key == B_NEW && peer.side == Side::Initiator),
        "we had traffic"
    );
    assert_eq!(
        bench.changes[1..],
        [route("10.2.0.0/16"), route("10.3.0.0/16"), Change::RemovePeer(B)]
    );
}

#[test]
fn a_new_key_in_half_of_the_records_leaves_the_old_peer_its_route() {
    let mut bench = Bench::registered(&config());
    let both = [mapping("10.2.0.0/16", "192.0.2.2", B), mapping("10.3.0.0/16", "192.0.2.2", B)];
    bench.resolve("10.2.0.1", &both);
    bench.clear();
    bench.push(FIRST, &[mapping("10.2.0.0/16", "192.0.2.2", B_NEW)]);
    assert!(!bench.changes.contains(&Change::RemovePeer(B)));
    assert!(matches!(bench.changes[0], Change::SetPeer(peer) if peer.side == Side::Responder));
    bench.push(FIRST + 1, &[mapping("10.3.0.0/16", "192.0.2.2", B_NEW)]);
    assert_eq!(bench.changes.last(), Some(&Change::RemovePeer(B)));
}

#[test]
fn an_older_number_never_brings_an_old_key_or_a_withdrawn_mapping_back() {
    let mut bench = Bench::registered(&config());
    bench.push(FIRST + 5, &[mapping("10.2.0.0/16", "192.0.2.2", B_NEW)]);
    bench.push(
        FIRST + 4,
        &[mapping("10.2.0.0/16", "192.0.2.2", B), mapping("10.3.0.0/16", "192.0.2.2", B)],
    );
    assert_eq!(bench.forwarding("10.2.0.1"), Some(Forwarding::Peer(B_NEW)));
    assert_eq!(bench.forwarding("10.3.0.1"), Some(Forwarding::Peer(B)), "each for itself");
    bench.push(FIRST + 9, &[withdrawal("10.3.0.0/16")]);
    bench.push(FIRST + 8, &[mapping("10.3.0.0/16", "192.0.2.2", B)]);
    assert_eq!(bench.forwarding("10.3.0.1"), None);
    assert_eq!(bench.xtr.counters().of(Counter::RecordsStale), 2);
    assert_eq!(bench.sent.iter().filter(|sent| sent.is_ack()).count(), 4, "all acknowledged");
    bench.push(FIRST + 8, &[mapping("10.3.0.0/16", "192.0.2.2", B)]);
    assert_eq!(bench.xtr.counters().of(Counter::PushesRepeated), 1);
    bench.push(FIRST + 10, &[mapping("10.3.0.0/16", "192.0.2.2", B)]);
    assert_eq!(bench.forwarding("10.3.0.1"), Some(Forwarding::Peer(B)));
}

#[test]
fn a_withdrawal_removes_the_route_and_then_the_peer() {
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    bench.clear();
    bench.push(FIRST, &[withdrawal("10.2.0.0/16")]);
    assert_eq!(bench.changes, [Change::RemoveRoute(prefix("10.2.0.0/16")), Change::RemovePeer(B)]);
}

#[test]
fn an_idle_mapping_expires_and_a_used_one_is_refreshed() {
    let mut bench = Bench::registered(&config());
    let c = PeerKey([0xc0; 32]);
    bench.resolve("10.2.0.1", &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    bench.resolve("10.3.0.1", &[mapping("10.3.0.0/16", "192.0.2.3", c)]);
    bench.run_with_server(Duration::from_secs(600));
    bench.traffic(B);
    bench.clear();
    bench.run_with_server(Duration::from_secs(54 * 60 - 600 - 1));
    assert!(bench.requests().is_empty());
    bench.run_with_server(Duration::from_secs(2));
    assert_eq!(bench.requests(), ["10.2.0.0"]);
    bench.reply(&[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    assert!(bench.changes.is_empty());
    bench.run_with_server(Duration::from_secs(400));
    assert_eq!(bench.changes, [Change::RemoveRoute(prefix("10.3.0.0/16")), Change::RemovePeer(c)]);
    assert_eq!(bench.forwarding("10.2.0.1"), Some(Forwarding::Peer(B)));
}

#[test]
fn a_mapping_with_traffic_outlives_a_map_server_that_is_gone() {
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    bench.xtr.handle_control_lost(SERVER, bench.now);
    bench.drain();
    bench.clear();
    for _ in 0..90 {
        bench.run_for(Duration::from_secs(60));
        bench.traffic(B);
    }
    assert!(bench.changes.is_empty() && bench.xtr.counters().of(Counter::MappingsOverstayed) > 0);
    bench.run_for(Duration::from_secs(300));
    assert_eq!(bench.changes.last(), Some(&Change::RemovePeer(B)));
}

#[test]
fn the_soonest_to_expire_is_evicted_but_one_with_traffic_last() {
    let mut config = config();
    config.limits = Limits { map_cache: 2, ..Limits::default() };
    let mut bench = Bench::registered(&config);
    let c = PeerKey([0xc0; 32]);
    bench.resolve("10.2.0.1", &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    bench.run_ms(1_000);
    bench.resolve("10.3.0.1", &[mapping("10.3.0.0/16", "192.0.2.3", c)]);
    bench.traffic(B);
    bench.clear();
    let d = PeerKey([0xd0; 32]);
    bench.resolve("10.4.0.1", &[mapping("10.4.0.0/16", "192.0.2.4", d)]);
    assert_eq!(bench.changes[1], Change::RemoveRoute(prefix("10.3.0.0/16")));
    assert_eq!(bench.changes[3], Change::RemovePeer(c));
    assert_eq!(bench.xtr.map_cache_len(), 2);
    bench.traffic(d);
    bench.resolve("10.5.0.1", &[mapping("10.5.0.0/16", "192.0.2.4", d)]);
    assert_eq!(bench.forwarding("10.2.0.1"), None, "all carry traffic");
    assert_eq!(bench.xtr.counters().of(Counter::MappingsEvicted), 2);
}

#[test]
fn mappings_with_many_locators_make_others_leave_before_there_is_no_room_for_them() {
    let mut config = config();
    config.limits = Limits { map_cache: 100, ..Limits::default() };
    let mut bench = Bench::registered(&config);
    let many = |number: u8, first: u8| {
        let mut mapping = mapping(&format!("10.{number}.0.0/16"), "192.0.2.2", B);
        let rlocs = (first + 1..first + 8).map(|host| locator(&format!("192.0.2.{host}"), B));
        mapping.locators.extend(rlocs);
        mapping
    };
    let held = |bench: &Bench, number: u8| {
        let (_, entry) = bench.xtr.lookup(eid(&format!("10.{number}.0.1")))?;
        Some(bench.xtr.locators_of(entry))
    };
    // Two locators for each of 100 mappings and of 96 that may be leaving, by eight.
    let room = (100 + 96) / 4;
    for number in 2..=61 {
        bench.push(number.into(), &[many(number, 2)]);
        bench.run_ms(10);
    }
    assert_eq!(bench.xtr.map_cache_len(), usize::from(room));
    assert_eq!(bench.xtr.counters().of(Counter::MappingsEvicted), u64::from(60 - room));
    for number in 2..=61 {
        let expected = (number > 61 - room).then(|| many(number, 2).locators);
        assert_eq!(held(&bench, number), expected, "10.{number}.0.0/16");
    }
    // The one soonest to expire is set anew where it is.
    let first = 62 - room;
    bench.push(62, &[many(first, 20)]);
    assert_eq!(held(&bench, first), Some(many(first, 20).locators));
    assert_eq!(bench.xtr.map_cache_len(), usize::from(room));
}

#[test]
fn a_full_table_of_peers_refuses_the_mapping_and_fails_what_waits() {
    let mut config = config();
    config.limits = Limits { peers: 1, ..Limits::default() };
    let mut bench = Bench::registered(&config);
    bench.resolve("10.2.0.1", &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    bench.clear();
    bench.resolve("10.3.0.1", &[mapping("10.3.0.0/16", "192.0.2.3", B_NEW)]);
    assert_eq!(bench.changes, [Change::FailWaiting(eid("10.3.0.1"))]);
    assert_eq!(bench.xtr.counters().of(Counter::PeersRefused), 1);
}

#[test]
fn a_reachable_locator_of_a_family_that_we_have_is_used() {
    let mut bench = Bench::registered(&config());
    let mut there = mapping("10.2.0.0/16", "2001:db8::2", B);
    let mut second = locator("192.0.2.2", B);
    second.priority = 9;
    there.locators.push(second).unwrap();
    bench.resolve("10.2.0.1", &[there]);
    let endpoints = |bench: &Bench| -> Vec<_> {
        let configs = bench.changes.iter().filter_map(|change| match change {
            Change::SetPeer(config) => config.endpoint,
            _ => None,
        });
        configs.collect()
    };
    assert_eq!(endpoints(&bench), ["192.0.2.2:51820".parse().unwrap()]);
    bench.uplinks(&["2001:db8::1"]);
    assert_eq!(endpoints(&bench).last(), Some(&"[2001:db8::2]:51820".parse().unwrap()));
}

/// What the map-cache should hold: a list.
#[derive(Default)]
struct Model {
    rows: Vec<(EidPrefix, PeerKey, crate::Instant)>,
}

#[test]
fn the_map_cache_and_the_data_plane_agree_with_a_naive_model() {
    for seed in 1..=10_u8 {
        let mut config = config();
        config.limits = Limits { map_cache: 24, pending_requests: 64, peers: 256 };
        let mut bench = Bench::registered(&config);
        let mut random = crate::random::Random::new(&[seed; 32], b"model");
        let mut model = Model::default();
        let mut installed: Vec<(EidPrefix, Forwarding)> = Vec::new();
        let mut number = FIRST;
        for _ in 0..600 {
            let (len, bits) = (12 + random.next_u64() % 13, random.next_u64() as u32);
            let address = core::net::Ipv4Addr::from_bits(0x0a02_0000 | bits & 0x000f_0f0f);
            let text = std::format!("{address}/32").parse::<EidPrefix>().unwrap();
            let subject = EidPrefix::new(text.instance_id(), text.address(), len as u8).unwrap();
            let key = PeerKey([(0x40 + random.next_u64() % 16) as u8; 32]);
            number += 1;
            if random.next_u64().is_multiple_of(4) {
                bench.push(number, &[withdrawal(&std::format!("{subject}"))]);
                model.rows.retain(|(known, ..)| *known != subject);
            } else if !subject.covers(&prefix("10.1.0.0/16")) {
                let mut there = mapping(&std::format!("{subject}"), "192.0.2.2", key);
                there.record_ttl = Duration::from_secs(60 * (1 + random.next_u64() % 20));
                bench.push(number, core::slice::from_ref(&there));
                let row = (subject, key, bench.now + there.record_ttl);
                model.learn(row);
            }
            bench.run_with_server(Duration::from_millis(random.next_u64() % 20_000));
            model.rows.retain(|(.., expires_at)| *expires_at > bench.now);
            apply(&mut installed, &mut bench.changes);
            model.compare(&bench, &installed, address.into());
            bench.clear();
        }
        assert!(bench.xtr.counters().of(Counter::MappingsEvicted) > 10);
    }
}

impl Model {
    fn learn(&mut self, row: (EidPrefix, PeerKey, crate::Instant)) {
        self.rows.retain(|(known, ..)| *known != row.0);
        if self.rows.len() == 24 {
            let order = |row: &(EidPrefix, PeerKey, crate::Instant)| (row.2, row.0);
            let soonest = *self.rows.iter().min_by_key(|row| order(row)).unwrap();
            self.rows.retain(|known| *known != soonest);
        }
        self.rows.push(row);
    }

    fn compare(
        &self,
        bench: &Bench,
        installed: &[(EidPrefix, Forwarding)],
        address: core::net::IpAddr,
    ) {
        let mut expected: Vec<_> =
            self.rows.iter().map(|(known, key, _)| (*known, Forwarding::Peer(*key))).collect();
        expected.sort_by_key(|(known, _)| *known);
        let held: Vec<_> =
            bench.xtr.map_cache().map(|(known, row)| (known, row.forwarding)).collect();
        assert_eq!(held, expected);
        let mut installed = installed.to_vec();
        installed.sort_by_key(|(known, _)| *known);
        assert_eq!(installed, expected, "the data plane has the same");
        let longest = self
            .rows
            .iter()
            .filter(|(known, ..)| known.contains(eid(&std::format!("{address}"))))
            .max_by_key(|(known, ..)| known.len());
        let found = bench.xtr.lookup(eid(&std::format!("{address}")));
        assert_eq!(found.map(|(known, _)| *known), longest.map(|(known, ..)| *known));
    }
}

/// A data plane that checks the order of changes.
fn apply(installed: &mut Vec<(EidPrefix, Forwarding)>, changes: &mut Vec<Change>) {
    for change in changes.drain(..) {
        match change {
            Change::SetRoute { eid_prefix, forwarding } => {
                installed.retain(|(known, _)| *known != eid_prefix);
                installed.push((eid_prefix, forwarding));
            }
            Change::RemoveRoute(eid_prefix) => {
                assert!(installed.iter().any(|(known, _)| *known == eid_prefix));
                installed.retain(|(known, _)| *known != eid_prefix);
            }
            Change::RemovePeer(key) => {
                let is_used = |(_, forwarding): &(_, _)| *forwarding == Forwarding::Peer(key);
                assert!(!installed.iter().any(is_used), "a route still leads to the peer");
            }
            _ => {}
        }
    }
}

#[test]
fn packets_do_not_wait_on_an_answer_that_a_withdrawal_overtook() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.1");
    bench.push(FIRST, &[withdrawal("10.2.0.0/16")]);
    bench.clear_but_requests();
    bench.reply(&[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    assert_eq!(bench.forwarding("10.2.0.1"), None);
    assert_eq!(bench.changes, [Change::FailWaiting(eid("10.2.0.1"))]);
}
