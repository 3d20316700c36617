use super::*;

fn info_message(site: u8, nonce: u64, algorithm: AlgorithmId) -> Vec<u8> {
    let info = wire::Info {
        is_reply: false,
        nonce: Nonce(nonce),
        key_id: KeyId(0),
        algorithm,
        authentication_data: SentAuthentication::default().blank(algorithm),
        ttl_minutes: 0,
        mask_len: 16,
        eid: wire::Address::Ipv4([10, 1, 0, 0].into()),
        nat: wire::Address::None,
    };
    if algorithm != AlgorithmId::None {
        return signed(site, &Message::Info(info));
    }
    let mut octets = vec![0; info.buffer_len()];
    info.emit(&mut octets).unwrap();
    octets
}

fn is_reachable(sent: &Sent) -> bool {
    sent.mappings.iter().flat_map(|row| &row.locators).all(|locator| locator.is_reachable)
}

#[test]
fn a_site_whose_outer_address_is_no_rloc_of_its_is_behind_nat() {
    let mut world = World::registered(1);
    let mut config = config(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"])]);
    config.registration_timeout = Duration::from_secs(180);
    world.map_server.handle_config(&config, world.now);
    world.session(2, "203.0.113.7:40000");
    let outcome = world.register(2, nonce(1, 1), &[mapping("10.2.0.0/16", &["10.99.0.2"], 102)]);
    let outer = "203.0.113.7:40000".parse().unwrap();
    assert!(outcome.events.contains(&Event::BehindNat { site: key(2), outer }));
    assert!(is_reachable(&outcome.sent[0]), "the acknowledgement is what it registered");
    let outcome = world.request(1, 1, "10.1.0.1", "10.2.0.1");
    assert!(is_reachable(outcome.to(2)[0]) && !is_reachable(outcome.to(1)[0]));
    let behind: Vec<_> = world.map_server.sites().map(|site| site.is_behind_nat).collect();
    assert_eq!(behind, [false, true]);
}

#[test]
fn one_rloc_among_several_that_is_the_outer_address_is_enough() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    world.session(1, "[::ffff:192.0.2.1]:51821");
    let rlocs = ["10.99.0.1", "192.0.2.1", "2001:db8::1"];
    world.register(1, nonce(1, 1), &[mapping("10.1.0.0/16", &rlocs, 101)]);
    assert!(!world.map_server.sites().next().unwrap().is_behind_nat);
}

#[test]
fn a_handover_is_not_mistaken_for_nat_whichever_is_seen_first() {
    let moved = mapping("10.2.0.0/16", &["198.51.100.2"], 102);
    let outer = "198.51.100.2:51821".parse().unwrap();
    for is_roaming_first in [true, false] {
        let mut world = World::registered(2);
        world.introduce(1, 2);
        let mut outcome = Outcome::default();
        if is_roaming_first {
            world.map_server.handle_control_roamed(key(2), outer, world.now);
            outcome.sent.extend(world.drain().sent);
            outcome.sent.extend(world.wait(Duration::from_millis(30)).sent);
        }
        outcome.sent.extend(world.register(2, nonce(1, 2), core::slice::from_ref(&moved)).sent);
        if !is_roaming_first {
            world.map_server.handle_control_roamed(key(2), outer, world.now);
            outcome.sent.extend(world.drain().sent);
        }
        world.acknowledge_all(&outcome);
        outcome.sent.extend(world.wait(Duration::from_secs(2)).sent);
        assert_eq!(outcome.to(1).len(), 1, "published once");
        assert!(is_reachable(outcome.to(1)[0]));
        assert!(world.map_server.sites().all(|site| !site.is_behind_nat));
    }
}

#[test]
fn a_site_that_moves_behind_nat_is_published_as_unreachable_and_back() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    world.session(2, "203.0.113.7:40000");
    let outcome = world.wait(Duration::from_secs(1));
    assert!(!is_reachable(outcome.to(1)[0]));
    assert!(matches!(outcome.events[..], [Event::BehindNat { .. }]));
    world.acknowledge(1, outcome.to(1).last().unwrap().nonce);
    let outcome = world.session(2, "192.0.2.2:51821");
    assert!(is_reachable(outcome.to(1)[0]), "at once");
}

#[test]
fn an_info_request_is_answered_with_the_outer_address() {
    for algorithm in [AlgorithmId::HmacSha256_128, AlgorithmId::None] {
        let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
        assert!(world.datagram(1, &info_message(1, 7, algorithm)).is_silent(), "not yet known");
        world.session(1, "203.0.113.7:40000");
        let outcome = world.datagram(1, &info_message(1, 7, algorithm));
        let [(1, octets)] = outcome.infos.as_slice() else { panic!("one Info-Reply") };
        let Ok(Message::Info(reply)) = Message::parse(octets) else { panic!("an Info-Reply") };
        assert!(reply.is_reply && reply.nonce == Nonce(7));
        let nat = reply.nat().unwrap();
        assert_eq!(nat.global_etr.ip(), Some("203.0.113.7".parse().unwrap()));
        assert_eq!(nat.etr_port, 40000);
        let verified = wire::auth::verify(octets, &[1 ^ 0x80; 32]);
        assert_eq!(verified.is_ok(), algorithm == AlgorithmId::HmacSha256_128);
    }
}

#[test]
fn forged_info_requests_and_replies_are_refused() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    world.session(1, "203.0.113.7:40000");
    let forged = info_message(2, 7, AlgorithmId::HmacSha256_128);
    assert!(world.datagram(1, &forged).is_silent());
    assert_eq!(world.map_server.counters().authentication_failures, 1);
    let message = info_message(1, 7, AlgorithmId::HmacSha256_128);
    let answered = (0..100).filter(|_| !world.datagram(1, &message).is_silent()).count();
    assert_eq!(answered, 16);
}
