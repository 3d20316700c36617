//! Subscribing to what we ask for (RFC 9437): the answer comes as a Map-Notify.

use super::bench::*;
use crate::xtr::Counter;
use crate::{Change, PeerConfig, Side};
use wire::{Message, Nonce};

impl Bench {
    /// The Map-Server answers the newest Map-Request by a Map-Notify.
    fn notify_answer(&mut self, mappings: &[crate::Mapping]) -> Nonce {
        let nonce = self.sent.iter().rfind(|sent| sent.is_request()).unwrap().nonce();
        self.datagram(SERVER, &notify(nonce, mappings, &authentication(SERVER)));
        nonce
    }

    fn counted(&self, counter: Counter) -> u64 {
        self.xtr.counters().of(counter)
    }
}

#[test]
fn every_question_subscribes_under_a_nonce_that_no_push_has() {
    let mut bench = Bench::registered(&config());
    for site in 2..200 {
        bench.sent.clear();
        bench.miss(&std::format!("10.{site}.0.1"));
        let Message::EncapsulatedControl(ecm) = bench.sent[0].message() else { panic!() };
        let Ok(Message::MapRequest(request)) = Message::parse(ecm.packet.message()) else {
            panic!()
        };
        assert!(request.eids.iter().all(|asked| asked.is_subscription));
        assert_eq!(request.xtr_identity.unwrap().xtr_id, crate::auth::xtr_id(config().control_key));
        assert_ne!(request.nonce.0 & 0x8000_0000, 0);
        assert_eq!(
            request.itr_rlocs.iter().next(),
            Some(wire::Address::Ipv4([192, 0, 2, 1].into()))
        );
        bench.reply(&[mapping(&std::format!("10.{site}.0.0/16"), "192.0.2.2", B)]);
    }
}

#[test]
fn the_answer_makes_us_initiator_and_is_acknowledged_under_its_nonce() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.1");
    let nonce = bench.notify_answer(&[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    let Change::SetPeer(PeerConfig { key, side, .. }) = bench.changes[0] else { panic!() };
    assert_eq!((key, side), (B, Side::Initiator));
    let ack = bench.sent.iter().find(|sent| sent.is_ack()).expect("it is acknowledged");
    assert_eq!(ack.nonce(), nonce);
    wire::auth::verify(&ack.octets, authentication(SERVER).as_bytes()).unwrap();
    bench.clear();
    bench.run_ms(20_000);
    assert!(bench.sent.is_empty(), "it is not asked for again");
    assert_eq!(bench.counted(Counter::RepliesAccepted), 1);
    assert_eq!(bench.counted(Counter::PushesAccepted), 0);
}

#[test]
fn an_answer_or_its_copy_spoils_no_number_of_a_push() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.1");
    let first = mapping("10.2.0.0/16", "192.0.2.2", B);
    let nonce = bench.notify_answer(core::slice::from_ref(&first));
    bench.clear();
    bench.datagram(SERVER, &notify(nonce, &[withdrawal("10.2.0.0/16")], &authentication(SERVER)));
    assert!(bench.changes.is_empty() && bench.sent.is_empty(), "the copy does nothing");
    assert_eq!(bench.counted(Counter::NoncesUnknown), 1);
    bench.push((3 << 32) + 1, &[mapping("10.2.0.0/16", "192.0.2.9", B)]);
    assert_eq!(bench.counted(Counter::PushesAccepted), 1);
    assert!(matches!(bench.changes[..], [Change::SetPeer(_)]), "{:?}", bench.changes);
}

#[test]
fn lost_questions_and_lost_answers_are_made_up_for_by_the_next() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.1");
    bench.run_ms(160);
    let nonces: std::vec::Vec<_> =
        bench.sent.iter().filter(|sent| sent.is_request()).map(Sent::nonce).collect();
    assert!(nonces.len() == 3 && nonces.iter().all(|nonce| *nonce == nonces[0]));
    let forged = [mapping("10.2.0.0/16", "192.0.2.66", B_NEW)];
    bench.datagram(SERVER, &notify(nonces[0], &forged, &authentication(OTHER_SERVER)));
    bench.datagram(OTHER_SERVER, &notify(nonces[0], &forged, &authentication(OTHER_SERVER)));
    assert!(bench.changes.is_empty());
    assert_eq!(bench.counted(Counter::AuthenticationFailures), 1);
    bench.notify_answer(&[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    assert!(bench.forwarding("10.2.0.1").is_some());
}

#[test]
fn an_answer_that_a_publication_overtook_is_older() {
    let mut bench = Bench::registered(&config());
    bench.miss("10.2.0.1");
    bench.run_ms(10);
    bench.push(1 << 32, &[mapping("10.2.0.0/16", "192.0.2.9", B_NEW)]);
    bench.clear_but_requests();
    bench.notify_answer(&[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    assert!(bench.changes.is_empty());
    assert_eq!(bench.counted(Counter::RecordsStale), 1);
    assert!(
        bench.xtr.requests().all(|request| request.progress() == crate::xtr::Progress::Answered)
    );
}

#[test]
fn a_map_server_that_knows_no_subscriptions_answers_as_ever() {
    let mut bench = Bench::registered(&config());
    bench.resolve("10.2.0.1", &[mapping("10.2.0.0/16", "192.0.2.2", B)]);
    assert!(bench.forwarding("10.2.0.1").is_some());
    assert!(!bench.sent.iter().any(Sent::is_ack));
}
