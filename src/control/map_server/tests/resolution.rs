use super::*;

#[test]
fn the_site_asked_for_gets_the_askers_records_before_the_asker_gets_its_own() {
    let mut world = World::registered(2);
    let outcome = world.request(1, 42, "10.1.0.1", "10.2.0.1");
    let [push, reply] = outcome.sent.as_slice() else { panic!("two messages: {outcome:?}") };
    assert_eq!(
        (push.to, push.kind, push.prefixes()),
        (2, Kind::Notify, vec!["10.1.0.0/16".into()])
    );
    assert!(is_push(push));
    assert_eq!((reply.to, reply.kind, reply.nonce), (1, Kind::Reply, 42));
    assert_eq!(reply.mappings, [world.usual(2)]);
    assert_eq!(world.map_server.holders().count(), 2);
}

#[test]
fn an_encapsulated_request_is_answered_like_a_bare_one() {
    for (source, eid) in [("10.1.0.1", "10.2.0.1"), ("fd01::1", "fd02::1")] {
        let sites: [(u8, &[&str]); 2] =
            [(1, &["10.1.0.0/16", "fd01::/16"]), (2, &["10.2.0.0/16", "fd02::/16"])];
        let mut world = World::new(&sites);
        for (site, eid_prefixes) in sites {
            let records: Vec<_> =
                eid_prefixes.iter().map(|text| mapping(text, &["192.0.2.1"], site)).collect();
            world.register(site, nonce(1, 1), &records);
        }
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 4342);
        let request = request_message(42, source, &[eid]);
        let outcome = world.datagram(1, &encapsulated(&request, at(source), at(eid)));
        let kinds: Vec<_> = outcome.sent.iter().map(|sent| (sent.to, sent.kind)).collect();
        assert_eq!(kinds, [(2, Kind::Notify), (1, Kind::Reply)]);
        assert!(outcome.sent[1].mappings[0].eid_prefix.address().is_ipv4() == source.contains('.'));
        assert_eq!(outcome.sent[1].mappings.len(), 2, "all of the site's records");
    }
}

#[test]
fn a_request_from_an_unregistered_or_foreign_source_is_dropped() {
    let mut world = World::registered(2);
    assert!(world.request(1, 1, "10.3.0.1", "10.2.0.1").is_silent());
    assert!(world.request(1, 2, "10.2.0.1", "10.1.0.1").is_silent());
    assert!(world.request(9, 3, "10.1.0.1", "10.2.0.1").is_silent());
    let counters = world.map_server.counters();
    assert_eq!(counters.requests_from_unregistered, 1);
    assert_eq!(counters.requests_from_foreign_source, 1);
    assert_eq!(counters.unknown_peers, 1);
    assert_eq!(world.map_server.holders().count(), 0);
}

#[test]
fn a_request_before_ones_own_registration_is_dropped() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"])]);
    world.register(2, nonce(1, 1), &[world.usual(2)]);
    assert!(world.request(1, 1, "10.1.0.1", "10.2.0.1").is_silent());
    world.register(1, nonce(1, 1), &[world.usual(1)]);
    assert_eq!(world.request(1, 1, "10.1.0.1", "10.2.0.1").sent.len(), 2);
}

#[test]
fn a_repeated_request_is_answered_again_without_another_push() {
    let mut world = World::registered(2);
    let first = world.request(1, 42, "10.1.0.1", "10.2.0.1");
    let again = world.request(1, 42, "10.1.0.1", "10.2.0.1");
    assert_eq!(again.sent, first.sent[1..], "the push is on its way");
    world.acknowledge_all(&first);
    let again = world.request(1, 43, "10.1.0.1", "10.2.0.1");
    assert_eq!(again.sent.len(), 1, "the push was acknowledged just now");
    world.wait(Duration::from_secs(5));
    let later = world.request(1, 44, "10.1.0.1", "10.2.0.1");
    assert_eq!(later.sent.len(), 2, "the other side may have evicted it since");
}

#[test]
fn both_sides_asking_at_once_are_both_answered_and_both_told() {
    let mut world = World::registered(2);
    let one = world.request(1, 1, "10.1.0.1", "10.2.0.1");
    let other = world.request(2, 2, "10.2.0.1", "10.1.0.1");
    let kinds = |outcome: &Outcome| -> Vec<_> {
        outcome.sent.iter().map(|sent| (sent.to, sent.kind)).collect()
    };
    assert_eq!(kinds(&one), [(2, Kind::Notify), (1, Kind::Reply)]);
    assert_eq!(kinds(&other), [(1, Kind::Notify), (2, Kind::Reply)]);
}

#[test]
fn a_reply_carries_the_asked_record_first_and_then_those_of_the_same_key() {
    let mut world = World::new(&[
        (1, &["10.1.0.0/16"]),
        (2, &["10.2.0.0/16", "10.3.0.0/16", "fd02::/16", "10.4.0.0/16"]),
    ]);
    world.register(1, nonce(1, 1), &[world.usual(1)]);
    let records = [
        mapping("10.2.0.0/16", &["192.0.2.2"], 102),
        mapping("10.3.0.0/16", &["192.0.2.2"], 102),
        mapping("fd02::/16", &["192.0.2.2"], 102),
        mapping("10.4.0.0/16", &["192.0.2.2"], 104),
    ];
    world.register(2, nonce(1, 1), &records);
    let outcome = world.request(1, 1, "10.1.0.1", "fd02::1");
    assert_eq!(outcome.sent[1].prefixes(), ["fd02::/16", "10.2.0.0/16", "10.3.0.0/16"]);
    let outcome = world.request(1, 2, "10.1.0.1", "10.4.0.1");
    assert_eq!(outcome.sent.last().unwrap().prefixes(), ["10.4.0.0/16"]);
    let asked_by_it = world.request(2, 3, "10.4.0.1", "10.1.0.1");
    assert_eq!(asked_by_it.to(1)[0].prefixes(), ["10.4.0.0/16"], "a push is by key as well");
}

#[test]
fn what_does_not_fit_a_reply_follows_as_pushes() {
    let mut config = config(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"])]);
    config.sites[1].accepts_more_specifics = true;
    let mut world = World::with(&config);
    world.register(1, nonce(1, 1), &[world.usual(1)]);
    let texts: Vec<_> = (0..32).map(|place| alloc::format!("10.2.{place}.0/24")).collect();
    for (place, text) in texts.iter().enumerate() {
        let rlocs = ["192.0.2.2", "2001:db8::2"];
        world.register(2, nonce(1, place as u32 + 1), &[mapping(text, &rlocs, 102)]);
    }
    let mut outcome = world.request(1, 7, "10.1.0.1", "10.2.31.1");
    let reply = outcome.sent.iter().position(|sent| sent.kind == Kind::Reply).unwrap();
    assert_eq!(outcome.sent[reply].prefixes()[0], "10.2.31.0/24");
    assert!(reply == 1 && outcome.sent.len() > 2, "the rest does not wait for an answer");
    let mut got: Vec<_> = outcome.to(1).iter().flat_map(|sent| sent.prefixes()).collect();
    assert!(outcome.to(1).len() >= 3);
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 32);
    let mut asked = world.request(2, 8, "10.2.5.1", "10.1.0.1");
    outcome.sent.append(&mut asked.sent);
    world.acknowledge_all(&outcome);
    assert!(world.map_server.holders().all(|holder| holder.pending == 0));
}

#[test]
fn a_site_may_ask_for_its_own_eid() {
    let mut world = World::registered(1);
    let outcome = world.request(1, 1, "10.1.0.1", "10.1.0.1");
    assert_eq!(outcome.sent.len(), 1);
    assert_eq!(outcome.sent[0].mappings, [world.usual(1)]);
    assert_eq!(world.map_server.holders().count(), 0);
}

#[test]
fn several_eids_of_one_request_are_answered_up_to_eight() {
    let mut world = World::registered(3);
    let asked = ["10.2.0.1", "10.3.0.1", "192.168.0.1"];
    let outcome = world.datagram(1, &request_message(1, "10.1.0.1", &asked));
    let replies = outcome.to(1).iter().filter(|sent| sent.kind == Kind::Reply).count();
    assert_eq!(replies, 3);
    let outcome = world.datagram(1, &request_message(2, "10.1.0.1", &["192.168.0.1"; 40]));
    assert_eq!(outcome.sent.len(), 8);
    assert_eq!(world.map_server.counters().requests_unsupported, 32);
}

fn negative(outcome: &Outcome) -> (String, u64, Action) {
    let [Sent { kind: Kind::Reply, mappings, .. }] = outcome.sent.as_slice() else {
        panic!("one negative Map-Reply: {outcome:?}")
    };
    let [mapping] = mappings.as_slice() else { panic!("one record") };
    assert!(mapping.locators.is_empty());
    (mapping.eid_prefix.to_string(), mapping.record_ttl.as_secs() / 60, mapping.action)
}

#[test]
fn an_eid_that_is_nobodys_gets_the_least_specific_hole() {
    let mut world = World::registered(2);
    let mut ask = |eid: &str| negative(&world.request(1, 1, "10.1.0.1", eid));
    let native = Action::NativelyForward;
    assert_eq!(ask("192.168.0.1"), ("128.0.0.0/1".into(), 15, native));
    assert_eq!(ask("10.3.0.1"), ("10.3.0.0/16".into(), 15, native));
    assert_eq!(ask("10.4.0.1"), ("10.4.0.0/14".into(), 15, native));
    assert_eq!(ask("2001:db8::1"), ("::/0".into(), 15, native));
    assert_eq!(ask("[9]10.1.0.1"), ("[9]0.0.0.0/0".into(), 15, native));
    assert_eq!(world.map_server.counters().negative_replies, 5);
    assert_eq!(world.map_server.holders().count(), 0);
}

#[test]
fn an_unknown_eid_is_told_at_once_after_the_start() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    world.register(1, nonce(1, 1), &[world.usual(1)]);
    let answer = negative(&world.request(1, 1, "10.1.0.1", "10.9.0.1"));
    assert_eq!(answer.2, Action::NativelyForward);
}

#[test]
fn a_configured_but_unregistered_eid_is_not_denied_in_the_first_minute() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"])]);
    world.register(1, nonce(1, 1), &[world.usual(1)]);
    assert!(world.request(1, 1, "10.1.0.1", "10.2.0.1").is_silent());
    assert_eq!(world.map_server.counters().requests_unanswered, 1);
    world.wait(MINUTE);
    let answer = negative(&world.request(1, 2, "10.1.0.1", "10.2.0.1"));
    assert_eq!(answer, ("10.2.0.0/16".into(), 1, Action::Drop));
}

#[test]
fn who_asked_for_an_unregistered_eid_learns_it_as_soon_as_it_registers() {
    let mut world = World::registered(1);
    let mut config = config(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"])]);
    config.registration_timeout = Duration::from_secs(180);
    world.map_server.handle_config(&config, world.now);
    negative(&world.request(1, 1, "10.1.0.1", "10.2.0.1"));
    let outcome = world.register(2, nonce(1, 1), &[world.usual(2)]);
    let order: Vec<_> = outcome.sent.iter().map(|sent| (sent.to, sent.prefixes())).collect();
    let (one, two) = (vec!["10.1.0.0/16".to_string()], vec!["10.2.0.0/16".to_string()]);
    assert_eq!(order, [(2, two.clone()), (2, one), (1, two)], "acknowledged, told, published");
}

#[test]
fn a_hole_within_a_sites_prefix_spares_what_is_registered_and_what_is_anothers() {
    let mut config =
        config(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"]), (3, &["10.2.64.0/18"])]);
    config.sites[1].accepts_more_specifics = true;
    let mut world = World::with(&config);
    world.register(1, nonce(1, 1), &[world.usual(1)]);
    world.register(2, nonce(1, 1), &[mapping("10.2.0.0/24", &["192.0.2.2"], 102)]);
    let outcome = world.request(1, 1, "10.1.0.1", "10.2.1.1");
    assert!(outcome.to(1).is_empty(), "it may register more");
    world.wait(MINUTE);
    world.register(1, nonce(1, 2), &[world.usual(1)]);
    world.register(2, nonce(1, 2), &[mapping("10.2.0.0/24", &["192.0.2.2"], 102)]);
    let mut ask = |eid: &str| negative(&world.request(1, 1, "10.1.0.1", eid)).0;
    assert_eq!(ask("10.2.1.1"), "10.2.1.0/24");
    assert_eq!(ask("10.2.32.1"), "10.2.32.0/19");
    assert_eq!(ask("10.2.200.1"), "10.2.128.0/17");
    assert_eq!(ask("10.2.64.1"), "10.2.64.0/18");
}

#[test]
fn a_default_site_takes_what_is_nobodys_and_leaves_what_is_configured() {
    let mut world =
        World::new(&[(1, &["10.1.0.0/16"]), (2, &["0.0.0.0/0", "::/0"]), (3, &["10.3.0.0/16"])]);
    world.register(1, nonce(1, 1), &[world.usual(1)]);
    let defaults = ["0.0.0.0/0", "::/0"].map(|text| mapping(text, &["192.0.2.2"], 102));
    world.register(2, nonce(1, 1), &defaults);
    world.wait(MINUTE);
    world.register(1, nonce(1, 2), &[world.usual(1)]);
    let outcome = world.request(1, 1, "10.1.0.1", "2001:db8::1");
    assert_eq!(outcome.to(1)[0].prefixes(), ["::/0", "0.0.0.0/0"]);
    let outcome = world.request(1, 2, "10.1.0.1", "192.168.0.1");
    assert_eq!(outcome.to(1).last().unwrap().prefixes(), ["0.0.0.0/0", "::/0"]);
    let outcome = world.request(1, 3, "10.1.0.1", "10.3.0.1");
    assert_eq!(negative(&outcome), ("10.3.0.0/16".into(), 1, Action::Drop));
    let elsewhere = world.request(1, 4, "10.1.0.1", "[3]192.168.0.1");
    assert_eq!(negative(&elsewhere).0, "[3]0.0.0.0/0");
}

#[test]
fn an_instance_is_a_space_of_its_own() {
    let mut world = World::new(&[
        (1, &["10.1.0.0/16", "[7]10.0.0.0/8"]),
        (2, &["10.2.0.0/16", "[7]10.0.0.0/16"]),
    ]);
    let in_seven = mapping("[7]10.0.0.0/8", &["192.0.2.1"], 101);
    world.register(1, nonce(1, 1), &[world.usual(1), in_seven]);
    let in_seven = mapping("[7]10.0.0.0/16", &["192.0.2.2"], 107);
    world.register(2, nonce(1, 1), &[world.usual(2), in_seven.clone()]);
    let outcome = world.request(1, 1, "[7]10.1.0.1", "[7]10.0.0.1");
    assert_eq!(outcome.sent.last().unwrap().mappings, [in_seven]);
    let outcome = world.request(1, 2, "[7]10.0.0.1", "10.2.0.1");
    assert!(outcome.is_silent(), "that source is the other site's in instance 7");
}

#[test]
fn requests_beyond_the_rate_are_not_answered() {
    let mut world = World::registered(2);
    let answered = (0..1000)
        .filter(|place| world.request(1, *place, "10.1.0.1", "192.168.0.1").to(1).len() == 1);
    assert_eq!(answered.count(), 256);
    assert_eq!(world.map_server.counters().requests_over_rate, 744);
    world.wait(Duration::from_secs(1));
    let outcome = world.request(2, 1, "10.2.0.1", "192.168.0.1");
    assert_eq!(outcome.sent.len(), 1, "another site is not touched");
    let answered = (0..1000)
        .filter(|place| world.request(1, *place, "10.1.0.1", "192.168.0.1").to(1).len() == 1);
    assert_eq!(answered.count(), 100);
}
