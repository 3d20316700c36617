use super::*;

fn reload(world: &mut World, config: &MapServerConfig) -> Outcome {
    world.map_server.handle_config(config, world.now);
    world.drain()
}

#[test]
fn the_same_configuration_again_does_nothing() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    let same = config(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"])]);
    assert_eq!(reload(&mut world, &same), Outcome::default());
    assert_eq!(world.request(1, 1, "10.1.0.1", "10.2.0.1").sent.len(), 2);
}

#[test]
fn a_prefix_taken_from_a_site_is_withdrawn_and_may_be_anothers() {
    let mut world = World::registered(3);
    world.introduce(1, 2);
    let swapped = config(&[(1, &["10.1.0.0/16"]), (2, &["10.9.0.0/16"]), (3, &["10.2.0.0/16"])]);
    let outcome = reload(&mut world, &swapped);
    assert!(outcome.to(1)[0].is_withdrawal());
    assert!(outcome.events.contains(&Event::SiteExpired { site: key(2) }));
    let outcome = world.register(2, nonce(1, 2), &[world.usual(2)]);
    assert!(outcome.sent[0].mappings.is_empty());
    let taken = mapping("10.2.0.0/16", &["192.0.2.3"], 103);
    assert_eq!(world.register(3, nonce(1, 2), &[taken]).sent[0].mappings.len(), 1);
}

#[test]
fn a_withdrawal_that_is_still_under_way_does_not_take_away_the_new_owners_record() {
    let mut world = World::registered(3);
    world.introduce(1, 2);
    let swapped = config(&[(1, &["10.1.0.0/16"]), (2, &["10.9.0.0/16"]), (3, &["10.2.0.0/16"])]);
    reload(&mut world, &swapped);
    world.register(3, nonce(1, 2), &[mapping("10.2.0.0/16", &["192.0.2.3"], 103)]);
    let asked = world.request(1, 1, "10.1.0.1", "10.2.0.1");
    assert_eq!(asked.to(1)[0].keys(), [103]);
    let outcome = world.wait(Duration::from_secs(5));
    assert!(outcome.to(1).iter().all(|sent| !sent.is_withdrawal()), "it is not sent again");
}

#[test]
fn a_removed_site_is_refused_at_once_and_its_holders_are_told() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    let outcome = reload(&mut world, &config(&[(1, &["10.1.0.0/16"])]));
    assert!(outcome.to(1)[0].is_withdrawal());
    let register = register_message(2, nonce(1, 2), &[world.usual(2)], USUAL);
    assert!(world.datagram(2, &register).is_silent());
    assert_eq!(world.map_server.counters().unknown_peers, 1);
    assert_eq!(world.map_server.sites().count(), 1);
    assert!(world.map_server.holders().all(|row| row.holder != key(2)));
    world.acknowledge_all(&outcome);
    for sequence in 2..80 {
        world.minute(&[1], sequence);
    }
    assert_eq!(world.map_server.sites.iter().count(), 1, "nothing is left of it");
    assert_eq!(world.map_server.holders().count(), 0);
}

#[test]
fn a_site_that_comes_back_by_reload_registers_as_before() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    let both = config(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"])]);
    let outcome = reload(&mut world, &config(&[(1, &["10.1.0.0/16"])]));
    world.acknowledge_all(&outcome);
    reload(&mut world, &both);
    let outcome = world.register(2, nonce(1, 2), &[world.usual(2)]);
    assert_eq!(outcome.to(1)[0].mappings, [world.usual(2)]);
}

#[test]
fn a_new_authentication_key_counts_from_the_reload_on() {
    let mut world = World::new(&[(1, &["10.1.0.0/16"])]);
    let mut renewed = config(&[(1, &["10.1.0.0/16"])]);
    renewed.sites[0].authentication = AuthenticationKey::from_secret(&[2 ^ 0x80; 32]);
    reload(&mut world, &renewed);
    let old = register_message(1, nonce(1, 1), &[world.usual(1)], USUAL);
    assert!(world.datagram(1, &old).is_silent());
    let new = register_message(2, nonce(1, 1), &[world.usual(1)], USUAL);
    world.map_server.handle_datagram(key(1), &new, world.now);
    assert_eq!(world.map_server.counters().registers_accepted, 1);
}

#[test]
fn sites_that_come_and_go_leave_nothing_behind() {
    let mut world = World::registered(1);
    for round in 0..50_u32 {
        let site = 2 + (round % 200) as u8;
        let eid_prefix = alloc::format!("10.{site}.0.0/16");
        let with = config(&[(1, &["10.1.0.0/16"]), (site, &[&eid_prefix])]);
        reload(&mut world, &with);
        world.register(site, nonce(1, 1), &[world.usual(site)]);
        world.minute(&[1], 2 * round + 2);
        world.introduce(1, site);
        reload(&mut world, &config(&[(1, &["10.1.0.0/16"])]));
        world.minute(&[1], 2 * round + 3);
    }
    for sequence in 200..300 {
        world.minute(&[1], sequence);
    }
    assert_eq!(world.map_server.sites.iter().count(), 1);
    assert_eq!(world.map_server.holders().count(), 0);
}
