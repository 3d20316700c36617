use alloc::collections::VecDeque;

use super::*;

#[test]
fn a_change_is_published_to_every_holder_until_acknowledged() {
    let mut world = World::registered(3);
    world.introduce(1, 2);
    world.introduce(3, 2);
    world.session(2, "192.0.2.9:51821");
    let moved = mapping("10.2.0.0/16", &["192.0.2.9"], 102);
    let outcome = world.register(2, nonce(1, 2), core::slice::from_ref(&moved));
    assert_eq!(outcome.to(1)[0].mappings, core::slice::from_ref(&moved));
    assert_eq!(outcome.to(3)[0].mappings, core::slice::from_ref(&moved));
    world.acknowledge(3, outcome.to(3)[0].nonce);
    let again = world.wait(Duration::from_millis(1000));
    assert!(again.to(3).is_empty());
    assert_eq!(again.to(1).len(), 4, "after 50, 150, 350 and 750 ms");
    assert!(again.to(1).iter().all(|sent| sent.mappings == [moved.clone()]));
    let numbers: Vec<_> = again.to(1).iter().map(|sent| sent.nonce).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "each retransmission has a number of its own");
    world.acknowledge(1, outcome.to(1)[0].nonce);
    assert!(world.wait(Duration::from_secs(10)).is_silent(), "the content was the same");
    let counters = world.map_server.counters();
    assert_eq!((counters.pushes_retransmitted, counters.pushes_given_up), (4, 0));
}

#[test]
fn a_refresh_without_a_change_is_not_published() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    let outcome = world.register(2, nonce(1, 2), &[world.usual(2)]);
    assert_eq!(outcome.sent.len(), 1);
    assert_eq!((outcome.sent[0].to, outcome.sent[0].nonce), (2, nonce(1, 2)));
}

#[test]
fn a_newer_record_replaces_an_unacknowledged_one_and_only_its_own_number_acknowledges_it() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    let one =
        world.register(2, nonce(1, 2), &[mapping("10.2.0.0/16", &["192.0.2.2", "192.0.2.8"], 102)]);
    let two =
        world.register(2, nonce(1, 3), &[mapping("10.2.0.0/16", &["192.0.2.2", "192.0.2.9"], 102)]);
    assert_eq!(two.to(1)[0].mappings, [mapping("10.2.0.0/16", &["192.0.2.2", "192.0.2.9"], 102)]);
    world.acknowledge(1, one.to(1)[0].nonce);
    assert_eq!(world.map_server.counters().acknowledgements_unmatched, 1);
    let again = world.wait(Duration::from_millis(50));
    assert_eq!(again.sent.len(), 1, "the older one is not sent any more");
    assert_eq!(again.sent[0].mappings, two.to(1)[0].mappings);
    world.acknowledge(1, again.sent[0].nonce);
    assert!(world.wait(Duration::from_secs(10)).is_silent());
}

#[test]
fn a_silent_holder_is_given_up_after_20_tries_and_told_when_it_is_heard_again() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    let first =
        world.register(2, nonce(1, 2), &[mapping("10.2.0.0/16", &["192.0.2.2", "192.0.2.9"], 102)]);
    assert_eq!(first.to(1).len(), 1);
    let outcome = world.wait(Duration::from_secs(30));
    assert_eq!(outcome.to(1).len(), 19);
    assert_eq!(world.map_server.counters().pushes_given_up, 1);
    let given_up: Vec<_> = world.map_server.holders().filter(|row| row.is_given_up).collect();
    assert_eq!((given_up.len(), given_up[0].owner, given_up[0].holder), (1, key(2), key(1)));
    let outcome = world.session(1, "192.0.2.1:51821");
    assert_eq!(outcome.to(1).len(), 1);
    world.wait(Duration::from_secs(30));
    let outcome = world.register(1, nonce(1, 2), &[world.usual(1)]);
    assert_eq!(outcome.to(1).len(), 2, "its acknowledgement, and what it missed");
}

#[test]
fn an_expired_registration_is_withdrawn_from_its_holders() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    world.minute(&[1], 2);
    world.minute(&[1], 3);
    let outcome = world.wait(MINUTE);
    let first = outcome.to(1)[0];
    assert!(first.is_withdrawal() && first.prefixes() == ["10.2.0.0/16"]);
    assert_eq!(outcome.changes, [Change::ResetControlPeer(key(2))]);
}

#[test]
fn a_withdrawn_prefix_is_taken_from_its_holders_and_the_others_stay() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16", "10.9.0.0/16"])]);
    world.register(1, nonce(1, 1), &[world.usual(1)]);
    let other = mapping("10.9.0.0/16", &["192.0.2.2"], 102);
    world.register(2, nonce(1, 1), &[world.usual(2), other]);
    world.introduce(1, 2);
    let outcome = world.register(2, nonce(1, 2), &[withdrawal("10.9.0.0/16")]);
    assert!(outcome.to(1)[0].is_withdrawal());
    assert_eq!(outcome.to(1)[0].prefixes(), ["10.9.0.0/16"]);
    world.acknowledge_all(&outcome);
    assert!(world.wait(Duration::from_secs(10)).is_silent());
}

#[test]
fn a_new_prefix_under_a_held_key_is_published_too_and_one_under_another_key_is_not() {
    let mut world =
        World::new(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16", "10.8.0.0/16", "10.9.0.0/16"])]);
    world.register(1, nonce(1, 1), &[world.usual(1)]);
    world.register(2, nonce(1, 1), &[world.usual(2)]);
    world.introduce(1, 2);
    let more =
        [mapping("10.8.0.0/16", &["192.0.2.2"], 102), mapping("10.9.0.0/16", &["192.0.2.2"], 109)];
    let outcome = world.register(2, nonce(1, 2), &more);
    let published: Vec<_> = outcome.to(1).iter().flat_map(|sent| sent.prefixes()).collect();
    assert_eq!(published, ["10.8.0.0/16"]);
}

#[test]
fn a_restarted_site_is_given_what_it_lost_before_its_new_key_is_published() {
    let mut world = World::registered(4);
    world.introduce(2, 1);
    world.introduce(3, 2);
    let renewed = mapping("10.2.0.0/16", &["192.0.2.2"], 112);
    let outcome = world.register(2, nonce(2, 1), &[renewed]);
    let order: Vec<_> = outcome.sent.iter().map(|sent| (sent.to, sent.keys())).collect();
    assert_eq!(
        order,
        [(2, vec![112]), (2, vec![101]), (2, vec![103]), (1, vec![112]), (3, vec![112])],
        "acknowledged, told, published"
    );
}

#[test]
fn a_new_data_key_or_a_new_boot_alone_count_as_a_restart() {
    for (boot, data_key) in [(1, 112), (2, 102)] {
        let mut world = World::registered(2);
        world.introduce(1, 2);
        let renewed = mapping("10.2.0.0/16", &["192.0.2.2"], data_key);
        let outcome = world.register(2, nonce(boot, 2), &[renewed]);
        let keys: Vec<_> = outcome.to(2).iter().map(|sent| sent.keys()).collect();
        assert_eq!(keys, [vec![data_key], vec![101]]);
    }
}

#[test]
fn a_site_that_comes_back_after_its_expiry_is_published_to_its_holders() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    world.minute(&[1], 2);
    world.minute(&[1], 3);
    let outcome = world.wait(MINUTE);
    world.acknowledge_all(&outcome);
    let outcome = world.register(2, nonce(2, 1), &[world.usual(2)]);
    assert_eq!(outcome.to(2).len(), 2, "acknowledged, and given back what it held");
    assert_eq!(outcome.to(1)[0].mappings, [world.usual(2)]);
}

#[test]
fn nothing_is_sent_to_a_site_that_is_not_registered() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    world.minute(&[2], 2);
    world.minute(&[2], 3);
    world.minute(&[2], 4);
    let outcome = world.register(2, nonce(1, 5), &[mapping("10.2.0.0/16", &["192.0.2.9"], 102)]);
    assert!(outcome.to(1).is_empty());
    assert!(world.wait(Duration::from_secs(10)).to(1).is_empty());
    let outcome = world.register(1, nonce(2, 1), &[world.usual(1)]);
    assert_eq!(outcome.to(1).len(), 2, "acknowledged, and told what changed meanwhile");
}

#[test]
fn a_holder_is_forgotten_when_it_cannot_have_the_record_any_more() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    let mut sequence = 2;
    while world.map_server.holders().count() > 0 {
        world.minute(&[1, 2], sequence);
        sequence += 1;
        assert!(sequence < 80);
    }
    assert!(sequence > 60, "not before the record TTL and five minutes have passed");
}

#[test]
fn thirty_two_prefixes_are_split_and_all_of_them_arrive_under_loss() {
    let mut config = config(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"])]);
    config.sites[1].accepts_more_specifics = true;
    let mut world = World::with(&config);
    world.register(1, nonce(1, 1), &[world.usual(1)]);
    let rows = |rloc: &str| -> Vec<Mapping> {
        (0..32).map(|place| mapping(&alloc::format!("10.2.{place}.0/24"), &[rloc], 102)).collect()
    };
    let parts = |world: &mut World, rloc: &str, sequence: u32| {
        let mut outcome = Outcome::default();
        for (place, part) in rows(rloc).chunks(11).enumerate() {
            let more = world.register(2, nonce(1, sequence + place as u32), part);
            outcome.sent.extend(more.sent);
        }
        outcome
    };
    parts(&mut world, "192.0.2.2", 1);
    let outcome = world.request(1, 9, "10.1.0.1", "10.2.0.1");
    world.acknowledge_all(&outcome);
    world.wait(Duration::from_secs(5));
    let mut known = alloc::collections::BTreeMap::new();
    let mut outcome = parts(&mut world, "192.0.2.9", 10);
    let mut random = 99_u64;
    for _ in 0..200 {
        let mut acks = Vec::new();
        for sent in outcome.to(1) {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if random >> 62 == 0 {
                acks.push(sent.nonce);
                known.extend(sent.mappings.iter().map(|row| (row.eid_prefix, row.clone())));
            }
        }
        outcome = Outcome::default();
        acks.into_iter().for_each(|number| outcome.sent.extend(world.acknowledge(1, number).sent));
        outcome.sent.extend(world.wait(Duration::from_millis(100)).sent);
    }
    assert_eq!(known.into_values().collect::<Vec<_>>(), rows("192.0.2.9"));
    assert!(world.map_server.holders().all(|row| row.owner != key(2) || row.pending == 0));
}

#[test]
fn a_number_beyond_the_receivers_window_acknowledges_nothing() {
    let mut world = World::registered(3);
    world.introduce(1, 2);
    world.introduce(1, 3);
    let with = |site: u8, other: u32| {
        let rlocs = [alloc::format!("192.0.2.{site}"), alloc::format!("198.51.100.{other}")];
        mapping(&alloc::format!("10.{site}.0.0/16"), &[&rlocs[0], &rlocs[1]], 100 + site)
    };
    let first = world.register(2, nonce(1, 2), &[with(2, 1)]).to(1)[0].nonce;
    for sequence in 2..72 {
        let outcome = world.register(3, nonce(1, sequence), &[with(3, sequence)]);
        world.acknowledge_all(&outcome);
        world.wait(Duration::from_millis(100));
    }
    world.acknowledge(1, first);
    assert_eq!(world.map_server.counters().acknowledgements_unmatched, 1);
    let again = world.wait(Duration::from_secs(1));
    assert_eq!(again.to(1)[0].mappings, [with(2, 1)], "sent until it surely arrived");
    world.acknowledge(1, again.to(1)[0].nonce);
    assert!(world.wait(Duration::from_secs(5)).is_silent());
}

#[test]
fn numbers_are_those_of_this_boot_and_increase_per_site() {
    let mut world = World::registered(3);
    let one = world.request(1, 1, "10.1.0.1", "10.2.0.1");
    let two = world.request(3, 1, "10.3.0.1", "10.2.0.1");
    assert_eq!(one.to(2)[0].nonce, nonce(BOOT, 1));
    assert_eq!(two.to(2)[0].nonce, nonce(BOOT, 2));
}

#[test]
fn a_restarted_site_with_many_peers_gets_them_within_its_window() {
    let sites = 140_u8;
    let mut world = World::registered(sites);
    for site in 2..=sites {
        let outcome = world.request(site, 1, &alloc::format!("10.{site}.0.1"), "10.1.0.1");
        world.acknowledge_all(&outcome);
    }
    world.wait(Duration::from_secs(5));
    let mut outcome =
        world.register(1, nonce(2, 1), &[mapping("10.1.0.0/16", &["192.0.2.1"], 250)]);
    assert_eq!(outcome.to(1).len(), 1 + 32, "half of the receiver's replay window");
    let mut told = alloc::collections::BTreeSet::new();
    let mut queue: VecDeque<_> = core::mem::take(&mut outcome.sent).into();
    while let Some(sent) = queue.pop_front() {
        if is_push(&sent) {
            if sent.to == 1 {
                told.extend(sent.prefixes());
            }
            queue.extend(world.acknowledge(sent.to, sent.nonce).sent);
        }
    }
    assert_eq!(told.len(), usize::from(sites) - 1);
    assert!(world.map_server.holders().all(|row| row.pending == 0));
}
