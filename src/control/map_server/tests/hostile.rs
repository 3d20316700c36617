use super::*;

/// Good enough to choose octets to break.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// Flips, replaces, cuts off or adds octets.
    fn mutate(&mut self, octets: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if octets.is_empty() {
                return;
            }
            let place = self.below(octets.len());
            match self.below(5) {
                0 => octets[place] ^= 1 << self.below(8),
                1 => octets[place] = self.below(256) as u8,
                2 => octets.truncate(place),
                3 => octets.insert(place, self.below(256) as u8),
                _ => octets[place] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
            }
        }
    }
}

/// Signs again what was broken, where it still is something that can be signed.
fn sign_again(site: u8, octets: &mut [u8]) {
    let _ = wire::auth::sign(octets, &[site ^ 0x80; 32], SentAuthentication::default());
}

fn seeds(world: &World) -> Vec<Vec<u8>> {
    let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 4342);
    let request = request_message(1, "10.1.0.1", &["10.2.0.1"]);
    let many = [world.usual(1), mapping("[7]fd01::/16", &["2001:db8::1", "192.0.2.1"], 101)];
    vec![
        register_message(1, nonce(1, 2), &many, USUAL),
        register_message(1, nonce(1, 3), &[withdrawal("10.1.0.0/16")], USUAL),
        acknowledgement_message(1, nonce(BOOT, 1)),
        encapsulated(&request, at("10.1.0.1"), at("10.2.0.1")),
        request_message(2, "[7]10.1.0.1", &["fd02::1", "10.2.0.1"]),
        request,
    ]
}

#[test]
fn mutated_messages_never_panic_and_never_lead_to_much() {
    let mut world = World::registered(3);
    world.introduce(1, 2);
    let seeds = seeds(&world);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..60_000_u32 {
        let mut octets = seeds[dice.below(seeds.len())].clone();
        dice.mutate(&mut octets);
        if dice.below(3) > 0 {
            sign_again(1, &mut octets);
        }
        let outcome = world.datagram(1, &octets);
        assert!(outcome.sent.len() <= 16 && outcome.events.len() <= 8);
        if round % 64 == 0 {
            world.wait(Duration::from_millis(dice.below(500) as u64));
        }
    }
    assert!(world.map_server.sites().count() == 3);
    world.wait(MINUTE);
    let outcome = world.register(3, nonce(9, 1), &[world.usual(3)]);
    assert_eq!(outcome.to(3)[0].kind, Kind::Notify, "and it still works");
}

/// Everything whose size could follow what comes in.
fn sizes(world: &World) -> [usize; 6] {
    let map_server = &world.map_server;
    let rows = map_server.sites.iter().map(|(_, site)| site.rows.iter().count()).sum();
    [
        map_server.sites.iter().count(),
        rows,
        map_server.holders().count(),
        map_server.events.capacity(),
        map_server.replies.capacity(),
        map_server.answer.capacity(),
    ]
}

#[test]
fn a_hundred_thousand_hostile_messages_do_not_make_it_grow() {
    let mut config = config(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16"]), (3, &["10.3.0.0/16"])]);
    config.sites[0].accepts_more_specifics = true;
    let mut world = World::with(&config);
    (1..=3).for_each(|site| drop(world.register(site, nonce(1, 1), &[world.usual(site)])));
    let mut dice = Dice(42);
    let mut hostile = |world: &mut World, round: u32| {
        let any = alloc::format!("10.1.{}.{}/32", dice.below(256), dice.below(256));
        let eid = alloc::format!("10.{}.{}.1", dice.below(5), dice.below(256));
        let octets = match dice.below(4) {
            0 => register_message(1, nonce(2, round), &[mapping(&any, &["192.0.2.1"], 9)], USUAL),
            1 => register_message(1, nonce(2, round), &[withdrawal(&any)], USUAL),
            2 => request_message(u64::from(round), "10.1.0.1", &[&eid]),
            _ => acknowledgement_message(1, nonce(BOOT, round)),
        };
        world.map_server.handle_datagram(key(1), &octets, world.now);
        world.drain();
        world.wait(Duration::from_micros(500));
    };
    (1..20_000).for_each(|round| hostile(&mut world, round));
    let before = sizes(&world);
    assert!(before[1] <= 64 + 2 && before[2] <= 6);
    (20_000..120_000).for_each(|round| hostile(&mut world, round));
    let after = sizes(&world);
    assert!(after.iter().zip(before).all(|(after, before)| *after <= before.max(66)));
}

#[test]
fn a_hostile_site_cannot_make_another_be_flooded() {
    let mut world = World::registered(2);
    let mut to_victim = 0;
    for round in 0..1000 {
        to_victim += world.request(1, round, "10.1.0.1", "10.2.0.1").to(2).len();
        to_victim += world.wait(Duration::from_millis(10)).to(2).len();
    }
    assert!(to_victim <= 20, "one push, retransmitted: {to_victim}");
}
