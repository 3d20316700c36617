//! Random pictures at random times.

use std::collections::BTreeSet;
use std::vec::Vec;

use super::{Bench, placed};
use crate::itr::WayOut;
use crate::random::Random;
use crate::{Duration, Instant, Uplink};

/// A handover, what it should know, and dice.
struct Model {
    bench: Bench,
    random: Random,
    picture: Vec<Uplink>,
    /// Ways that were silent and not used since, until they change.
    silent: BTreeSet<(u32, bool)>,
    had_any: bool,
}

impl Model {
    fn new(seed: u8) -> Model {
        let priorities: &[u8] = [&[][..], &[1, 2, 3], &[1, 1, 1, 2]][usize::from(seed % 3)];
        Model {
            bench: Bench::new(priorities),
            random: Random::new(&[seed; 32], b"model"),
            picture: Vec::new(),
            silent: BTreeSet::new(),
            had_any: false,
        }
    }

    fn dice(&mut self, sides: u64) -> u64 {
        self.random.next_u64() % sides
    }

    fn uplink(&mut self, is_configured: bool) -> Uplink {
        let id = self.dice(5) as u32;
        let address = self.dice(3) as u8;
        let rloc = match self.dice(2) {
            0 => [192, 0, 2, 10 * id as u8 + address].into(),
            _ => [0x2001, 0xdb8, 0, 0, 0, 0, id as u16, u16::from(address) + 1].into(),
        };
        let place = is_configured.then_some(id as u8);
        let priority = [1, 1, 2, 3, 255][self.dice(5) as usize];
        Uplink { id, place, priority, metric: self.dice(3) as u32, ..Uplink::new(rloc) }
    }

    fn usable(&self) -> impl Iterator<Item = &Uplink> {
        self.picture.iter().filter(|uplink| uplink.priority != 255)
    }

    fn step(&mut self, is_configured: bool) {
        let before = self.bench.handover.uplinks().to_vec();
        let now = self.bench.now;
        let is_told = match self.dice(8) {
            0 | 1 if !self.picture.is_empty() => {
                let place = self.dice(self.picture.len() as u64) as usize;
                let gone = self.picture.swap_remove(place);
                self.silent.remove(&way(&gone));
                self.bench.handover.handle_uplinks(&self.picture, now)
            }
            0..4 => {
                let new = self.uplink(is_configured);
                if !self.picture.contains(&new) {
                    self.silent.remove(&way(&new));
                }
                self.picture.retain(|old| way(old) != way(&new));
                self.picture.push(new);
                self.bench.handover.handle_uplinks(&self.picture, now)
            }
            4 => self.silence(),
            _ => {
                let most = [1_000, 100_000, 20_000_000][self.dice(3) as usize];
                let span = Duration::from_micros(self.dice(most));
                self.bench.now += span;
                // Late, as a busy process is.
                self.bench.handover.handle_timeout(self.bench.now)
            }
        };
        self.check(&before, is_told);
    }

    fn silence(&mut self) -> bool {
        let chosen = self.bench.handover.uplinks();
        let Some(Uplink { lane, id, rloc, .. }) = chosen.first().copied() else { return false };
        let silent = WayOut { lane, is_ipv6: rloc.is_ipv6() };
        let ways: BTreeSet<_> = self.usable().map(way).collect();
        self.silent.extend(ways.iter().filter(|way| way.0 == id));
        let is_told = self.bench.handover.handle_silent(silent, self.bench.now);
        if ways.is_subset(&self.silent) {
            let used = self.bench.ids();
            self.silent.retain(|way| !used.contains(&way.0));
        } else {
            assert!(!self.bench.ids().contains(&id), "a silent one is avoided");
        }
        is_told
    }

    fn check(&mut self, before: &[Uplink], is_told: bool) {
        let now = self.bench.now;
        assert!(self.bench.handover.poll_at().is_none_or(|at| at > now), "a busy loop");
        let chosen = self.bench.handover.uplinks().to_vec();
        let is_any = self.usable().next().is_some();
        self.had_any |= is_any;
        assert_eq!(chosen.is_empty(), !self.had_any);
        let is_there = |uplink: &Uplink| {
            self.usable().any(|one| (one.id, one.rloc) == (uplink.id, uplink.rloc))
        };
        if is_any {
            assert!(chosen.iter().all(is_there), "{chosen:?} of {:?}", self.picture);
        } else {
            assert_eq!(chosen, before, "nothing is done when there is nothing");
        }
        let rows: BTreeSet<_> = chosen.iter().map(|one| (one.lane, one.rloc)).collect();
        assert_eq!(rows.len(), chosen.len());
        let shown = |uplinks: &[Uplink]| {
            uplinks.iter().map(|one| (one.id, one.rloc, one.lane)).collect::<Vec<_>>()
        };
        assert!(is_told || shown(before) == shown(&chosen), "a change that nobody is told of");
        let has_moved = before.first().map(|one| one.rloc) != chosen.first().map(|one| one.rloc);
        assert_eq!(self.bench.moves().len(), usize::from(has_moved), "a move is told once");
    }
}

fn way(uplink: &Uplink) -> (u32, bool) {
    (uplink.id, uplink.rloc.is_ipv4())
}

#[test]
fn whatever_comes_and_goes_the_best_is_one_of_what_there_is() {
    for seed in 0..60 {
        let mut model = Model::new(seed);
        for _ in 0..2_000 {
            model.step(seed % 3 != 0);
        }
    }
}

/// Moves in an hour in which the better of two uplinks does what `flap` says.
fn moves_in_an_hour(seed: u8, mut flap: impl FnMut(&mut Bench, &mut Random, u64)) -> usize {
    let mut bench = Bench::new(&[1, 2]);
    let mut random = Random::new(&[seed; 32], b"flaps");
    bench.handover.handle_uplinks(&[placed(0, 1), placed(1, 2)], bench.now);
    let (mut moves, end) = (0, Instant::from_millis(3_600_000));
    for turn in 0.. {
        flap(&mut bench, &mut random, turn);
        moves += bench.moves().len();
        let next = bench.now + Duration::from_millis(random.next_u64() % 6_000);
        while let Some(at) = bench.handover.poll_at().filter(|at| *at <= next) {
            bench.now = at;
            bench.handover.handle_timeout(at);
            moves += bench.moves().len();
        }
        bench.now = next;
        if next > end {
            break;
        }
    }
    moves
}

#[test]
fn an_uplink_that_flaps_is_left_alone_but_for_a_try_a_minute() {
    for seed in 0..20 {
        let moves = moves_in_an_hour(seed, |bench, _, turn| {
            let ways = [placed(1, 2), placed(0, 1)];
            bench.handover.handle_uplinks(&ways[..1 + turn as usize % 2], bench.now);
        });
        // There and back: while the hold doubles to a minute, and then once a minute.
        assert!((1..=2 * (7 + 60)).contains(&moves), "{moves} moves");
    }
}

#[test]
fn an_uplink_that_is_always_silent_is_tried_every_five_minutes() {
    for seed in 0..20 {
        let moves = moves_in_an_hour(seed, |bench, _, _| {
            if bench.ids()[0] == 0 {
                bench.silent(0);
            }
        });
        assert!((2..=2 * (6 + 12)).contains(&moves), "{moves} moves");
    }
}
