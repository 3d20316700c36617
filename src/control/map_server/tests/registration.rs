use super::*;

#[test]
fn a_register_is_acknowledged_with_its_nonce_and_records() {
    let mut world = World::new(&[(1, &["10.1.0.0/16", "fd01::/16"])]);
    let mappings =
        [mapping("10.1.0.0/16", &["192.0.2.1"], 101), mapping("fd01::/16", &["192.0.2.1"], 101)];
    let outcome = world.register(1, nonce(1, 1), &mappings);
    let [notify] = outcome.sent.as_slice() else { panic!("one answer") };
    assert_eq!((notify.to, notify.kind, notify.nonce), (1, Kind::Notify, nonce(1, 1)));
    assert_eq!(notify.mappings, mappings);
    assert_eq!(outcome.events, [Event::SiteRegistered { site: key(1), eid_prefixes: 2 }]);
    let site = world.map_server.sites().next().unwrap();
    assert_eq!(site.registered_at, Some(world.now));
    let registration = site.registrations().next().unwrap();
    assert_eq!(registration.mapping, &mappings[0]);
    assert_eq!(registration.expires_at, world.now + Duration::from_secs(180));
}

#[test]
fn nothing_is_answered_when_no_map_notify_is_wanted() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    let flags = Flags { is_want_map_notify: false, ..USUAL };
    let message = register_message(1, nonce(1, 1), &[world.usual(1)], flags);
    assert!(world.datagram(1, &message).is_silent());
    assert_eq!(world.map_server.counters().registers_accepted, 1);
}

#[test]
fn a_refreshed_registration_stands_and_an_unrefreshed_one_expires() {
    let mut world = World::registered(1);
    for sequence in 2..10 {
        let outcome = world.register(1, nonce(1, sequence), &[world.usual(1)]);
        assert!(outcome.events.is_empty(), "a refresh is no news");
        world.wait(MINUTE);
    }
    let outcome = world.wait(Duration::from_secs(119));
    assert_eq!(outcome, Outcome::default());
    let outcome = world.wait(Duration::from_secs(1));
    assert_eq!(outcome.changes, [Change::ResetControlPeer(key(1))]);
    assert_eq!(outcome.events, [Event::SiteExpired { site: key(1) }]);
    assert_eq!(world.map_server.sites().next().unwrap().registrations().count(), 0);
}

#[test]
fn the_t_bit_makes_a_registration_last_as_long_as_its_record_ttl() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    let flags = Flags { is_ttl_timeout: true, ..USUAL };
    world.datagram(1, &register_message(1, nonce(1, 1), &[world.usual(1)], flags));
    assert!(world.wait(Duration::from_secs(3599)).events.is_empty());
    assert_eq!(world.wait(Duration::from_secs(1)).events, [Event::SiteExpired { site: key(1) }]);
}

#[test]
fn a_claim_outside_the_sites_prefixes_is_refused_and_the_other_records_stand() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"])]);
    let claims = ["10.2.0.0/16", "10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/8", "[7]10.1.0.0/16"];
    let mappings = claims.map(|claim| mapping(claim, &["192.0.2.1"], 101));
    let outcome = world.register(1, nonce(1, 1), &mappings);
    assert_eq!(outcome.sent[0].prefixes(), ["10.1.0.0/16"]);
    assert_eq!(world.map_server.counters().claims_refused, 4);
    let refused = Event::ClaimRefused { site: key(1), eid_prefix: prefix("10.2.0.0/16") };
    assert!(outcome.events.contains(&refused));
    assert_eq!(world.map_server.sites().next().unwrap().registrations().count(), 1);
}

#[test]
fn a_site_that_may_divide_its_prefix_registers_within_it_but_not_within_anothers() {
    let mut config = config(&[(1, &["10.0.0.0/8"]), (2, &["10.2.0.0/16"])]);
    config.sites[0].accepts_more_specifics = true;
    let mut world = World::with(&config);
    let claims = ["10.1.0.0/16", "10.2.0.0/16", "10.2.3.0/24", "10.0.0.0/8"];
    let mappings = claims.map(|claim| mapping(claim, &["192.0.2.1"], 101));
    let outcome = world.register(1, nonce(1, 1), &mappings);
    assert_eq!(outcome.sent[0].prefixes(), ["10.1.0.0/16", "10.0.0.0/8"]);
    assert_eq!(world.map_server.counters().claims_refused, 2);
}

#[test]
fn a_replayed_register_is_refused_and_the_same_one_is_acknowledged_again() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    let first = register_message(1, nonce(1, 1), &[world.usual(1)], USUAL);
    let second = register_message(1, nonce(1, 2), &[world.usual(1)], USUAL);
    let answer = world.datagram(1, &first);
    assert_eq!(world.datagram(1, &first).sent, answer.sent, "the Map-Notify was lost");
    world.datagram(1, &second);
    let replay = world.datagram(1, &first);
    assert!(replay.is_silent());
    assert_eq!(replay.events, [Event::RegisterReplayed { site: key(1) }]);
    let changed = [mapping("10.1.0.0/16", &["203.0.113.9"], 109)];
    assert!(world.register(1, nonce(1, 2), &changed).is_silent(), "same nonce, another content");
    assert!(world.register(1, nonce(0, 9), &changed).is_silent(), "an earlier boot");
    let counters = world.map_server.counters();
    assert_eq!((counters.registers_duplicate, counters.registers_replayed), (1, 3));
}

#[test]
fn the_replay_memory_ends_with_the_registration() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    world.register(1, nonce(9, 9), &[world.usual(1)]);
    world.wait(Duration::from_secs(180));
    let outcome = world.register(1, nonce(1, 1), &[world.usual(1)]);
    assert_eq!(
        outcome.sent.len(),
        1,
        "a state file that went backwards does not lock out for ever"
    );
}

#[test]
fn a_wrong_mac_is_dropped_before_anything_is_read() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"])]);
    let mut bad = register_message(1, nonce(1, 1), &[world.usual(1)], USUAL);
    *bad.last_mut().unwrap() ^= 1;
    assert!(world.datagram(1, &bad).is_silent());
    let of_another_site = register_message(2, nonce(1, 1), &[world.usual(1)], USUAL);
    assert!(world.datagram(1, &of_another_site).is_silent());
    let counters = *world.map_server.counters();
    assert_eq!((counters.authentication_failures, counters.malformed), (2, 0));
    assert_eq!(counters.registers_accepted, 0);
}

#[test]
fn strangers_and_registers_without_proxy_reply_are_refused() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    let message = register_message(1, nonce(1, 1), &[world.usual(1)], USUAL);
    assert!(world.datagram(9, &message).is_silent());
    let flags = Flags { is_proxy_reply: false, ..USUAL };
    let message = register_message(1, nonce(1, 1), &[world.usual(1)], flags);
    assert!(world.datagram(1, &message).is_silent());
    let counters = world.map_server.counters();
    assert_eq!((counters.unknown_peers, counters.registers_without_proxy_reply), (1, 1));
}

#[test]
fn a_withdrawn_prefix_is_gone_and_its_replay_is_refused_until_it_would_have_expired() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    let register = register_message(1, nonce(1, 1), &[world.usual(1)], USUAL);
    world.datagram(1, &register);
    let outcome = world.register(1, nonce(1, 2), &[withdrawal("10.1.0.0/16")]);
    assert_eq!(outcome.sent[0].nonce, nonce(1, 2), "a withdrawal is acknowledged as well");
    assert_eq!(outcome.events, [Event::SiteExpired { site: key(1) }]);
    assert!(outcome.changes.is_empty(), "the session is alive");
    assert!(world.datagram(1, &register).is_silent());
    world.wait(Duration::from_secs(180));
    assert_eq!(world.register(1, nonce(1, 1), &[world.usual(1)]).sent.len(), 1);
}

#[test]
fn a_site_registers_at_most_32_prefixes() {
    let mut config = config(&[(1, &["10.0.0.0/8"])]);
    config.sites[0].accepts_more_specifics = true;
    let mut world = World::with(&config);
    for place in 0..40_u32 {
        let eid_prefix = alloc::format!("10.{place}.0.0/16");
        world.register(1, nonce(1, place + 1), &[mapping(&eid_prefix, &["192.0.2.1"], 101)]);
    }
    assert_eq!(world.map_server.counters().registrations_over_limit, 8);
    assert_eq!(world.map_server.sites().next().unwrap().registrations().count(), 32);
}

#[test]
fn a_prefix_that_comes_back_counts_towards_the_32() {
    let mut config = config(&[(1, &["10.0.0.0/8"])]);
    config.sites[0].accepts_more_specifics = true;
    let mut world = World::with(&config);
    let of = |place: u32| alloc::format!("10.{place}.0.0/16");
    // Each under a data key of its own.
    let record = |place: u32| mapping(&of(place), &["192.0.2.1"], 101 + place as u8);
    (0..32).for_each(|place| drop(world.register(1, nonce(1, place + 1), &[record(place)])));
    world.register(1, nonce(1, 40), &[withdrawal(&of(0))]);
    world.register(1, nonce(1, 41), &[record(32)]);
    world.register(1, nonce(1, 42), &[record(0)]);
    assert_eq!(world.map_server.counters().registrations_over_limit, 1);
    assert_eq!(world.map_server.sites().next().unwrap().registrations().count(), 32);
    world.register(1, nonce(1, 43), &[record(31)]);
    assert_eq!(world.map_server.counters().registrations_over_limit, 1, "a refresh is none");
}

#[test]
fn prefixes_that_come_and_go_find_room_for_ever() {
    let mut config = config(&[(1, &["10.0.0.0/8"])]);
    config.sites[0].accepts_more_specifics = true;
    let mut world = World::with(&config);
    for place in 0..=255_u32 {
        let eid_prefix = alloc::format!("10.{place}.0.0/16");
        let records = [mapping(&eid_prefix, &["192.0.2.1"], 101)];
        assert_eq!(world.register(1, nonce(1, 2 * place + 1), &records).sent.len(), 1);
        let registered = world.map_server.sites().next().unwrap().registrations().count();
        assert_eq!(registered, 1);
        world.register(1, nonce(1, 2 * place + 2), &[withdrawal(&eid_prefix)]);
        world.wait(Duration::from_secs(1));
    }
    assert_eq!(world.map_server.counters().registrations_over_limit, 0);
}

#[test]
fn what_a_restarted_site_does_not_register_again_ends_soon() {
    let mut world = World::new(&[(1, &["10.1.0.0/16", "10.9.0.0/16"])]);
    let both = [world.usual(1), mapping("10.9.0.0/16", &["192.0.2.1"], 101)];
    world.register(1, nonce(1, 1), &both);
    world.register(1, nonce(2, 1), &[world.usual(1)]);
    assert_eq!(world.map_server.sites().next().unwrap().registrations().count(), 2);
    world.wait(Duration::from_secs(10));
    let left: Vec<_> = world.map_server.sites().next().unwrap().registrations().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].mapping.eid_prefix, prefix("10.1.0.0/16"));
}

#[test]
fn a_register_with_an_unusable_locator_keeps_the_others() {
    let mut world = World::new(&[(1, &["10.1.0.0/16", "10.9.0.0/16"])]);
    let mut two = mapping("10.1.0.0/16", &["192.0.2.1", "192.0.2.2"], 101);
    two.locators[1].data_key.as_mut().unwrap().port = 0;
    let mut none = mapping("10.9.0.0/16", &["192.0.2.1"], 101);
    none.locators[0].data_key.as_mut().unwrap().port = 0;
    let outcome = world.register(1, nonce(1, 1), &[two, none]);
    assert_eq!(outcome.sent[0].prefixes(), ["10.1.0.0/16"]);
    let counters = world.map_server.counters();
    assert_eq!((counters.locators_unusable, counters.records_unusable), (2, 1));
    let site = world.map_server.sites().next().unwrap();
    assert_eq!(site.registrations().next().unwrap().mapping.locators.len(), 1);
}

#[test]
fn a_site_that_had_a_session_but_does_not_register_has_its_timestamp_forgotten_once() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    world.session(1, "192.0.2.1:51821");
    assert!(world.wait(Duration::from_secs(179)).changes.is_empty());
    let outcome = world.wait(Duration::from_secs(1));
    assert_eq!(outcome.changes, [Change::ResetControlPeer(key(1))]);
    assert!(world.wait(Duration::from_secs(3600)).changes.is_empty(), "nothing to forget since");
}

#[test]
fn after_expiry_every_session_that_leads_to_nothing_is_reset_again() {
    let mut world = World::registered(1);
    let changes = world.wait(Duration::from_secs(200)).changes;
    assert_eq!(changes, [Change::ResetControlPeer(key(1))]);
    world.session(1, "192.0.2.1:51821");
    let changes = world.wait(Duration::from_secs(180)).changes;
    assert_eq!(changes, [Change::ResetControlPeer(key(1))]);
}

#[test]
fn a_site_that_moves_often_is_still_told_to_be_gone_and_back() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    let mut sequence = 0;
    let mut told = |world: &mut World, mappings: &[Mapping]| {
        sequence += 1;
        let events = world.register(1, nonce(1, sequence), mappings).events.into_iter();
        let is_meant = |event: &Event| {
            matches!(event, Event::SiteRegistered { .. } | Event::SiteExpired { .. })
        };
        Vec::from_iter(events.filter(is_meant))
    };
    let (there, gone) = ([world.usual(1)], [withdrawal("10.1.0.0/16")]);
    let registered = Event::SiteRegistered { site: key(1), eid_prefixes: 1 };
    let mut moves = Vec::new();
    for octet in 1..=30 {
        let rloc = format!("192.0.2.{octet}");
        moves.append(&mut told(&mut world, &[mapping("10.1.0.0/16", &[&rloc], 101)]));
    }
    assert_eq!(moves, vec![registered.clone(); 8], "one cannot fill a log by moving");
    assert_eq!(told(&mut world, &gone), [Event::SiteExpired { site: key(1) }]);
    assert_eq!(told(&mut world, &there), [], "one remark too many");
    assert_eq!(told(&mut world, &gone), [], "and nothing to take back");
    assert_eq!(told(&mut world, &there), []);
    world.wait(MINUTE);
    assert_eq!(told(&mut world, &there), [registered], "with the next refresh");
}
