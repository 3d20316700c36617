use super::*;

fn moved(site: u8, from: &str, to: &str) -> Event {
    let rloc = |text: &str| Some(text.parse().unwrap());
    Event::SiteMoved { site: key(site), from: rloc(from), to: rloc(to) }
}

fn published(site: u8, holders: usize) -> Event {
    Event::SitePublished { site: key(site), holders }
}

/// What was told of moves.
fn told(outcome: &Outcome) -> Vec<Event> {
    let is_move =
        |event: &&Event| matches!(event, Event::SiteMoved { .. } | Event::SitePublished { .. });
    outcome.events.iter().filter(is_move).cloned().collect()
}

fn at(rlocs: &[&str]) -> Mapping {
    mapping("10.2.0.0/16", rlocs, 102)
}

#[test]
fn a_move_is_told_at_once_and_again_when_the_last_holder_acknowledged_it() {
    let mut world = World::registered(4);
    world.introduce(1, 2);
    world.introduce(3, 2);
    world.introduce(4, 2);
    let outcome = world.register(2, nonce(1, 2), &[at(&["192.0.2.9"])]);
    assert_eq!(told(&outcome), [moved(2, "192.0.2.2", "192.0.2.9")]);
    for (site, expected) in [(3, vec![]), (1, vec![]), (1, vec![]), (4, vec![published(2, 3)])] {
        let number = outcome.to(site)[0].nonce;
        assert_eq!(told(&world.acknowledge(site, number)), expected, "{site}");
    }
    assert!(told(&world.wait(MINUTE)).is_empty());
}

#[test]
fn a_move_of_a_site_that_nobody_holds_is_published_at_once() {
    let mut world = World::registered(2);
    let outcome = world.register(2, nonce(1, 2), &[at(&["192.0.2.9"])]);
    assert_eq!(told(&outcome), [moved(2, "192.0.2.2", "192.0.2.9"), published(2, 0)]);
}

#[test]
fn only_another_best_rloc_of_a_registered_site_is_a_move() {
    let mut world = World::registered(2);
    let mut quiet = |sequence, mappings: &[Mapping]| {
        assert!(told(&world.register(2, nonce(1, sequence), mappings)).is_empty(), "{sequence}");
    };
    quiet(2, &[at(&["192.0.2.2"])]);
    quiet(3, &[at(&["192.0.2.2", "192.0.2.9"])]);
    quiet(4, &[mapping("10.2.0.0/16", &["192.0.2.2"], 110)]);
    quiet(5, &[withdrawal("10.2.0.0/16")]);
    quiet(6, &[at(&["192.0.2.7"])]);
    let mut both = at(&["192.0.2.7", "192.0.2.9"]);
    both.locators[0].priority = 2;
    let outcome = world.register(2, nonce(1, 7), &[both]);
    assert_eq!(told(&outcome)[0], moved(2, "192.0.2.7", "192.0.2.9"));
}

#[test]
fn a_holder_that_goes_away_holds_nothing_up() {
    let mut world = World::registered(3);
    world.introduce(1, 2);
    world.introduce(3, 2);
    let outcome = world.register(2, nonce(1, 2), &[at(&["192.0.2.9"])]);
    assert!(told(&world.acknowledge(3, outcome.to(3)[0].nonce)).is_empty());
    let sites: [(u8, &[&str]); 2] = [(2, &["10.2.0.0/16"]), (3, &["10.3.0.0/16"])];
    world.map_server.handle_config(&config(&sites), world.now);
    assert_eq!(told(&world.drain()), [published(2, 2)]);
}

#[test]
fn of_two_moves_in_a_row_the_second_is_what_is_published() {
    let mut world = World::registered(2);
    world.introduce(1, 2);
    let one = world.register(2, nonce(1, 2), &[at(&["192.0.2.8"])]);
    let two = world.register(2, nonce(1, 3), &[at(&["192.0.2.9"])]);
    assert_eq!(told(&two), [moved(2, "192.0.2.8", "192.0.2.9")]);
    assert!(told(&world.acknowledge(1, one.to(1)[0].nonce)).is_empty());
    assert_eq!(told(&world.acknowledge(1, two.to(1)[0].nonce)), [published(2, 1)]);
}

#[test]
fn moves_beyond_the_rate_are_not_told() {
    let mut world = World::registered(1);
    let mut count = 0;
    for round in 0..200 {
        let rloc = alloc::format!("192.0.2.{}", 10 + round % 2);
        let outcome =
            world.register(1, nonce(1, 2 + round), &[mapping("10.1.0.0/16", &[&rloc], 101)]);
        count += told(&outcome).len();
        world.wait(Duration::from_millis(70));
    }
    assert!((200..300).contains(&count), "{count} of 400");
}
