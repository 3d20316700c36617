use super::*;

const SOMEWHERE: wire::Address<'static> =
    wire::Address::Ipv4(core::net::Ipv4Addr::new(192, 0, 2, 1));

/// A Map-Request for one EID, with or without what makes it a subscription.
fn message(
    nonce: u64,
    eid: &str,
    (is_subscription, has_identity): (bool, bool),
    itr_rlocs: &[wire::Address<'_>],
) -> Vec<u8> {
    let asked = prefix(eid);
    let address = record::eid_address(asked.instance_id(), asked.address());
    let mask_len = asked.len();
    let eids = [wire::EidRecord { is_subscription, mask_len, eid: address.address() }];
    let source = wire::Address::Ipv4([10, 1, 0, 1].into());
    let xtr_identity = XtrIdentity { xtr_id: auth::xtr_id(key(1)), site_id: wire::SiteId(0) };
    let request = wire::MapRequest {
        xtr_identity: has_identity.then_some(xtr_identity),
        ..wire::MapRequest::new(
            Nonce(nonce),
            source,
            wire::Addresses::new(itr_rlocs),
            wire::EidRecords::new(&eids),
        )
    };
    let mut octets = vec![0; request.buffer_len()];
    request.emit(&mut octets).unwrap();
    octets
}

fn subscribe(world: &mut World, nonce: u64, eid: &str) -> Outcome {
    world.datagram(1, &message(nonce, eid, (true, true), &[SOMEWHERE]))
}

fn kinds(outcome: &Outcome) -> Vec<(u8, Kind, u64)> {
    outcome.sent.iter().map(|sent| (sent.to, sent.kind, sent.nonce)).collect()
}

#[test]
fn a_subscription_is_answered_by_a_map_notify_after_the_other_side_was_told() {
    let mut world = World::registered(2);
    let outcome = subscribe(&mut world, 42, "10.2.0.1");
    let [push, answer] = &outcome.sent[..] else { panic!("two messages: {outcome:?}") };
    assert!(push.to == 2 && is_push(push));
    assert_eq!((answer.to, answer.kind, answer.nonce), (1, Kind::Notify, 42));
    assert_eq!(answer.mappings, [world.usual(2)]);
    assert_eq!(world.map_server.counters().subscriptions_answered, 1);
    assert!(world.wait(MINUTE).to(1).is_empty(), "who misses it asks again");
}

#[test]
fn who_leaves_out_one_of_the_bits_gets_a_map_reply() {
    for bits in [(false, false), (true, false), (false, true)] {
        let mut world = World::registered(2);
        let outcome = world.datagram(1, &message(42, "10.2.0.1", bits, &[SOMEWHERE]));
        assert_eq!(kinds(&outcome)[1], (1, Kind::Reply, 42), "{bits:?}");
        assert_eq!(world.map_server.holders().count(), 2, "and is told of changes all the same");
    }
}

#[test]
fn a_lost_answer_is_given_again_and_its_acknowledgement_is_known() {
    let mut world = World::registered(2);
    subscribe(&mut world, 42, "10.2.0.1");
    let again = subscribe(&mut world, 42, "10.2.0.1");
    assert_eq!(kinds(&again), [(1, Kind::Notify, 42)], "the push is on its way");
    world.acknowledge(1, 42);
    world.acknowledge(1, 42);
    let counters = world.map_server.counters();
    assert_eq!((counters.answers_acknowledged, counters.acknowledgements_unmatched), (1, 1));
    for nonce in 100..200 {
        subscribe(&mut world, nonce, "10.2.0.1");
    }
    for nonce in 100..200 {
        world.acknowledge(1, nonce);
    }
    assert_eq!(world.map_server.counters().answers_acknowledged, 9, "the last eight are known");
}

#[test]
fn publications_follow_under_numbers_of_their_own() {
    let mut world = World::registered(2);
    let outcome = subscribe(&mut world, u64::MAX, "10.2.0.1");
    world.acknowledge_all(&outcome);
    world.acknowledge(1, u64::MAX);
    world.session(2, "192.0.2.9:51821");
    let moved = mapping("10.2.0.0/16", &["192.0.2.9"], 102);
    let outcome = world.register(2, nonce(1, 2), core::slice::from_ref(&moved));
    let [publication] = outcome.to(1)[..] else { panic!("{outcome:?}") };
    assert!(is_push(publication) && publication.mappings == [moved]);
    world.acknowledge(1, publication.nonce);
    assert!(world.wait(MINUTE).to(1).is_empty());
}

#[test]
fn a_sole_itr_rloc_of_none_withdraws_the_subscription() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    let none = [wire::Address::None];
    let outcome = world.datagram(1, &message(42, "10.2.0.1", (true, true), &none));
    assert_eq!(kinds(&outcome), [(1, Kind::Notify, 42)], "nobody else hears of it");
    assert_eq!(outcome.sent[0].mappings, [world.usual(2)]);
    let outcome = world.register(2, nonce(1, 2), &[mapping("10.2.0.0/16", &["192.0.2.9"], 102)]);
    assert!(outcome.to(1).is_empty());
    let holders: Vec<_> = world.map_server.holders().map(|row| (row.owner, row.holder)).collect();
    assert_eq!(holders, [(key(1), key(2))]);
    assert_eq!(world.map_server.counters().subscriptions_withdrawn, 1);
    let both = [wire::Address::None, SOMEWHERE];
    world.datagram(1, &message(43, "10.2.0.1", (true, true), &both));
    assert_eq!(world.map_server.holders().count(), 2, "one of several is no withdrawal");
}

#[test]
fn what_cannot_be_subscribed_to_is_answered_by_a_map_reply() {
    let mut world = World::registered(2);
    for eid in ["192.168.0.1", "10.1.0.9"] {
        let outcome = subscribe(&mut world, 42, eid);
        assert_eq!(kinds(&outcome), [(1, Kind::Reply, 42)], "{eid}");
    }
    let none = [wire::Address::None];
    let outcome = world.datagram(1, &message(43, "10.1.0.9", (true, true), &none));
    assert_eq!(kinds(&outcome), [(1, Kind::Reply, 43)]);
    assert_eq!(world.map_server.holders().count(), 0);
}

#[test]
fn a_subscription_from_a_foreign_source_is_dropped() {
    let mut world = World::registered(3);
    let request = message(42, "10.2.0.1", (true, true), &[SOMEWHERE]);
    assert!(world.datagram(3, &request).is_silent(), "10.1.0.1 is not its own");
    assert_eq!(world.map_server.counters().requests_from_foreign_source, 1);
}

#[test]
fn what_does_not_fit_the_answer_follows_as_pushes() {
    let mut config = config(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"])]);
    config.sites[1].accepts_more_specifics = true;
    let mut world = World::with(&config);
    world.register(1, nonce(1, 1), &[world.usual(1)]);
    for place in 0..32 {
        let text = alloc::format!("10.2.{place}.0/24");
        let record = mapping(&text, &["192.0.2.2", "2001:db8::2"], 102);
        world.register(2, nonce(1, place + 1), &[record]);
    }
    let outcome = subscribe(&mut world, 42, "10.2.31.1");
    let answer = outcome.to(1)[0];
    assert_eq!((answer.kind, answer.nonce), (Kind::Notify, 42));
    assert_eq!(answer.prefixes()[0], "10.2.31.0/24");
    let mut got: Vec<_> = outcome.to(1).iter().flat_map(|sent| sent.prefixes()).collect();
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 32);
}
