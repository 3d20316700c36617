//! Messages from a Map-Server that lost its mind: valid ones, mutated, a third with right MACs.

use super::bench::*;
use crate::random::Random;
use crate::{Action, Limits};
use std::vec::Vec;

#[test]
fn mutated_messages_never_panic_and_never_grow_anything() {
    let mut config = config();
    config.limits = Limits { map_cache: 32, pending_requests: 8, peers: 16 };
    let mut bench = Bench::registered(&config);
    bench.traffic(B);
    let mut random = Random::new(&[3; 32], b"hostile");
    let there = [
        mapping("10.2.0.0/16", "192.0.2.2", B),
        mapping("fd00:2::/32", "2001:db8::2", B_NEW),
        negative("10.4.0.0/16", 1, Action::Drop),
    ];
    for round in 0..30_000_u64 {
        if round.is_multiple_of(50) {
            bench.miss(&std::format!("10.{}.0.1", 2 + round % 90));
            bench.run_ms(7);
        }
        let request = bench.sent.iter().rfind(|sent| sent.is_request()).cloned();
        let nonce = request.map_or(wire::Nonce(round), |request| request.nonce());
        let number = wire::Nonce((1 << 32) + round);
        let mut octets = match random.next_u64() % 3 {
            0 => map_reply(nonce, &there),
            1 => notify(number, &there, &authentication(SERVER)),
            _ => notify(nonce, &there[..1], &authentication(SERVER)),
        };
        let is_notify = octets[0] >> 4 == 4;
        mutate(&mut octets, &mut random);
        if is_notify && random.next_u64().is_multiple_of(2) {
            let sent = wire::SentAuthentication::default();
            let _ = wire::auth::sign(&mut octets, authentication(SERVER).as_bytes(), sent);
        }
        bench.datagram(SERVER, &octets);
        bench.changes.clear();
        bench.events.clear();
        if bench.sent.len() > 100 {
            bench.sent.drain(..90);
        }
        assert!(bench.xtr.map_cache_len() <= 32 && bench.xtr.requests().count() <= 8);
    }
    let counted: u64 = bench.xtr.counters().iter().map(|(_, count)| count).sum();
    assert!(counted > 10_000);
}

fn mutate(octets: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.next_u64() % 4 {
        let place = random.next_u64() as usize % octets.len();
        match random.next_u64() % 4 {
            0 => octets[place] = random.next_u64() as u8,
            1 => octets[place] ^= 1 << (random.next_u64() % 8),
            2 => octets.truncate(place.max(1)),
            _ => octets.insert(place, random.next_u64() as u8),
        }
    }
}
