//! Soliciting Map-Requests, and being solicited (RFC 9301 section 6.1).

use super::bench::*;
use crate::PeerKey;
use crate::xtr::Counter;
use std::vec::Vec;
use wire::{Message, Nonce};

const C: PeerKey = PeerKey([0xc0; 32]);

/// B and C are live peers, learnt from a Map-Server that knows no subscriptions.
fn talking() -> Bench {
    talking_within(64)
}

/// The same with room for so many questions.
fn talking_within(pending_requests: usize) -> Bench {
    let mut config = config();
    config.limits.pending_requests = pending_requests;
    let mut bench = Bench::registered(&config);
    for (eid, eid_prefix, key) in [("10.2.0.1", "10.2.0.0/16", B), ("10.3.0.1", "10.3.0.0/16", C)] {
        bench.resolve(eid, &[mapping(eid_prefix, "192.0.2.2", key)]);
        bench.traffic(key);
    }
    bench.run_ms(2_000);
    bench.clear();
    bench
}

fn solicited(bench: &Bench) -> Vec<(u64, PeerKey)> {
    let is_smr =
        |sent: &&Sent| matches!(sent.message(), Message::MapRequest(request) if request.is_smr);
    bench.linked.iter().filter(is_smr).map(|sent| (sent.at_ms, sent.peer)).collect()
}

fn smr(source: &str, eids: &[&str]) -> Vec<u8> {
    let eids: Vec<_> = eids
        .iter()
        .map(|text| {
            let eid = prefix(text);
            let (mask_len, eid) = (eid.len(), eid.address().into());
            wire::EidRecord { is_subscription: false, mask_len, eid }
        })
        .collect();
    let source = source.parse::<core::net::IpAddr>().map_or(wire::Address::None, Into::into);
    let rlocs = [wire::Address::Ipv4([192, 0, 2, 2].into())];
    let (rlocs, eids) = (wire::Addresses::new(&rlocs), wire::EidRecords::new(&eids));
    let request = wire::MapRequest::new(Nonce(7), source, rlocs, eids);
    let mut buf = [0; 512];
    let len = wire::MapRequest { is_smr: true, ..request }.emit(&mut buf).unwrap();
    buf[..len].to_vec()
}

#[test]
fn live_peers_are_solicited_once_the_map_server_knows_our_new_rlocs() {
    let mut bench = talking();
    bench.uplinks(&["198.51.100.1"]);
    bench.run_ms(40);
    assert!(solicited(&bench).is_empty(), "they would be told the old ones");
    bench.acknowledge_registers();
    let begun = bench.now.as_micros() / 1_000;
    bench.run_ms(30_000);
    let mut times: Vec<_> = solicited(&bench);
    times.sort_unstable();
    let expected = [0, 50, 150].map(|after| [(begun + after, B), (begun + after, C)]);
    assert_eq!(times, expected.concat());
    let sent = bench.linked.iter().rfind(|sent| solicited(&bench).last().unwrap().0 == sent.at_ms);
    let Message::MapRequest(request) = sent.unwrap().message() else { panic!() };
    assert!(!request.is_probe && !request.is_smr_invoked);
    let named = request.eids.iter().next().unwrap();
    assert_eq!(
        (named.mask_len, named.eid.ip_eid().unwrap().1),
        (16, prefix("10.1.0.0/16").address())
    );
    bench.clear();
    bench.run_with_server(HOUR / 10);
    assert!(solicited(&bench).is_empty(), "a refresh is no change");
}

#[test]
fn a_database_that_is_emptied_meanwhile_solicits_nobody() {
    let mut bench = talking();
    bench.uplinks(&["198.51.100.1"]);
    bench.acknowledge_registers();
    let begun = solicited(&bench).len();
    assert_eq!(begun, 2);
    bench.xtr.handle_config(&crate::XtrConfig { database: [].into(), ..xtr_config() }, bench.now);
    bench.drain();
    bench.run_ms(10_000);
    assert_eq!(solicited(&bench).len(), begun);
}

#[test]
fn an_smr_that_finds_no_place_among_the_questions_is_taken_when_it_is_repeated() {
    let mut bench = talking_within(2);
    bench.miss("10.4.0.1");
    bench.miss("10.5.0.1");
    let named = smr("10.2.0.1", &["10.2.0.0/16"]);
    bench.link_datagram(B, &named);
    assert_eq!(bench.xtr.counters().of(Counter::SolicitsRefused), 1);
    bench.run_ms(50);
    bench.reply(&[mapping("10.5.0.0/16", "192.0.2.2", C)]);
    bench.run_ms(1_100);
    bench.link_datagram(B, &named);
    assert_eq!(bench.xtr.counters().of(Counter::SolicitsAccepted), 1);
}

#[test]
fn nobody_is_solicited_when_the_map_server_publishes() {
    for is_pushed in [false, true] {
        let mut bench = talking();
        if is_pushed {
            bench.push(1 << 32, &[mapping("10.4.0.0/16", "192.0.2.4", B_NEW)]);
        } else {
            bench.miss("10.4.0.1");
            let nonce = bench.sent.iter().rfind(|sent| sent.is_request()).unwrap().nonce();
            let mappings = [mapping("10.4.0.0/16", "192.0.2.4", B_NEW)];
            bench.datagram(SERVER, &notify(nonce, &mappings, &authentication(SERVER)));
        }
        bench.uplinks(&["198.51.100.1"]);
        bench.acknowledge_registers();
        bench.run_ms(10_000);
        assert!(solicited(&bench).is_empty());
    }
}

#[test]
fn an_idle_peer_is_not_solicited() {
    let mut bench = talking();
    bench.run_with_server(HOUR / 20);
    bench.traffic(B);
    bench.uplinks(&["198.51.100.1"]);
    bench.acknowledge_registers();
    assert!(solicited(&bench).iter().all(|(_, peer)| *peer == B));
    assert_eq!(solicited(&bench).len(), 1);
}

#[test]
fn moves_in_a_row_are_solicited_three_seconds_apart() {
    let mut bench = talking();
    for place in 1..40 {
        bench.uplinks(&[&std::format!("198.51.100.{place}")]);
        bench.acknowledge_registers();
        bench.run_ms(200);
    }
    bench.run_ms(5_000);
    let times: Vec<_> =
        solicited(&bench).iter().filter(|(_, peer)| *peer == B).map(|(at, _)| *at).collect();
    let begun: Vec<_> = times
        .iter()
        .filter(|at| {
            !times.contains(&(*at - 50))
                && !times.contains(&(*at - 100))
                && !times.contains(&(*at - 150))
        })
        .collect();
    assert!((3..=4).contains(&begun.len()), "{times:?}");
    assert!(begun.windows(2).all(|pair| pair[1] - pair[0] >= 3_000), "{begun:?}");
}

#[test]
fn an_smr_of_its_own_peer_makes_us_ask_the_map_server() {
    for named in [
        smr("10.2.0.1", &["10.2.0.0/16"]),
        smr("none", &["10.2.0.0/16"]),
        smr("10.2.0.1", &["10.9.0.0/16"]),
    ] {
        let mut bench = talking();
        bench.link_datagram(B, &named);
        let [request] = &bench.sent[..] else { panic!("one request: {:?}", bench.sent) };
        let Message::EncapsulatedControl(ecm) = request.message() else { panic!() };
        let Ok(Message::MapRequest(request)) = Message::parse(ecm.packet.message()) else {
            panic!()
        };
        assert!(request.is_smr_invoked && !request.is_smr && !request.is_probe);
        bench.reply(&[mapping("10.2.0.0/16", "198.51.100.2", B)]);
        assert_eq!(bench.changes.len(), 1, "its endpoint: {:?}", bench.changes);
        bench.link_datagram(B, &named);
        bench.run_ms(2_900);
        bench.link_datagram(B, &named);
        assert_eq!(bench.requests().len(), 1, "one each three seconds");
        bench.run_ms(100);
        bench.sent.clear();
        bench.link_datagram(B, &named);
        assert_eq!(bench.requests().len(), 1);
        assert_eq!(bench.xtr.counters().of(Counter::SolicitsAccepted), 2);
    }
}

#[test]
fn an_smr_of_anybody_else_or_about_anything_else_is_ignored() {
    let mut bench = talking();
    bench.link_datagram(C, &smr("10.2.0.1", &["10.2.0.0/16"]));
    bench.link_datagram(PeerKey([0xee; 32]), &smr("10.2.0.1", &["10.2.0.0/16"]));
    bench.link_datagram(B, &smr("10.1.0.1", &["10.1.0.0/16"]));
    bench.link_datagram(B, &smr("10.99.0.1", &["10.99.0.0/16"]));
    bench.link_datagram(B, &smr("none", &[]));
    for _ in 0..1_000 {
        bench.link_datagram(C, &smr("10.2.0.1", &["10.2.0.0/16"; 20]));
    }
    assert!(bench.sent.is_empty() && bench.changes.is_empty());
    assert_eq!(bench.xtr.counters().of(Counter::SolicitsRefused), 1_005);
}
