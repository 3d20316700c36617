//! Each rule of the policy, and random pictures.

mod model;

use super::*;
use std::vec::Vec;

/// A handover on virtual time.
pub(super) struct Bench {
    pub(super) handover: Handover,
    pub(super) now: Instant,
}

pub(super) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A way that no configuration names.
fn plain(id: u32, rloc: &str, metric: u32) -> Uplink {
    Uplink { id, metric, ..Uplink::new(rloc.parse().unwrap()) }
}

/// The IPv4 way of a configured uplink: its place is the id.
pub(super) fn placed(id: u8, priority: u8) -> Uplink {
    let rloc = [192, 0, 2, id].into();
    Uplink { id: u32::from(id), place: Some(id), priority, ..Uplink::new(rloc) }
}

impl Bench {
    pub(super) fn new(priorities: &[u8]) -> Bench {
        let config = |priority: &u8| UplinkConfig { priority: *priority, weight: 100 };
        let uplinks: Vec<_> = priorities.iter().map(config).collect();
        let handover = Handover::new(&HandoverConfig::default(), &uplinks, uplinks.len());
        Bench { handover, now: Instant::from_millis(1) }
    }

    /// Whether others are chosen.
    fn picture(&mut self, picture: &[Uplink]) -> bool {
        self.handover.handle_uplinks(picture, self.now)
    }

    /// Lets time pass; whether others are chosen.
    fn wait(&mut self, span: Duration) -> bool {
        let end = self.now + span;
        let mut is_changed = false;
        while let Some(at) = self.handover.poll_at().filter(|at| *at <= end) {
            self.now = at;
            is_changed |= self.handover.handle_timeout(at);
            assert!(self.handover.poll_at().is_none_or(|next| next > at), "a busy loop");
        }
        self.now = end;
        is_changed
    }

    fn silent(&mut self, lane: u8) -> bool {
        self.handover.handle_silent(WayOut { lane, is_ipv6: false }, self.now)
    }

    /// The interfaces of the chosen ones.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.handover.uplinks().iter().map(|uplink| uplink.id).collect()
    }

    /// Why and to where it moved since this was asked last.
    pub(super) fn moves(&mut self) -> Vec<(Cause, IpAddr)> {
        let events = core::iter::from_fn(|| self.handover.poll_event());
        let shown = |event: Event| match event {
            Event::Moved { cause, to, .. } => (cause, to.expect("it moved to somewhere")),
            other => panic!("{other}"),
        };
        events.map(shown).collect()
    }

    fn moved(&mut self, cause: Cause, to: &Uplink) {
        assert_eq!(self.moves(), [(cause, to.rloc)]);
        assert_eq!(self.handover.uplinks()[0].rloc, to.rloc);
    }
}

#[test]
fn the_best_has_the_lowest_priority_then_metric_then_is_the_first() {
    let ways = [
        Uplink { priority: 1, ..plain(9, "192.0.2.9", 20) },
        Uplink { priority: 2, ..plain(2, "192.0.2.2", 0) },
        Uplink { priority: 1, ..plain(4, "192.0.2.4", 30) },
        Uplink { priority: 1, ..plain(8, "192.0.2.8", 20) },
    ];
    let mut bench = Bench::new(&[]);
    assert!(bench.picture(&ways));
    bench.moved(Cause::First, &ways[3]);
    for (left, best) in [(3, 0), (0, 2), (2, 1)] {
        let picture: Vec<_> = ways.iter().filter(|way| **way != ways[left]).copied().collect();
        bench = Bench::new(&[]);
        assert!(bench.picture(&picture));
        if left == 3 {
            bench.moved(Cause::First, &ways[best]);
        }
    }
}

#[test]
fn among_equals_the_one_in_use_stays() {
    let mut bench = Bench::new(&[]);
    let (second, first) = (plain(5, "192.0.2.5", 10), plain(2, "192.0.2.2", 10));
    bench.picture(&[second]);
    assert!(!bench.picture(&[first, second]));
    assert!(!bench.wait(seconds(100)));
    assert_eq!(bench.ids(), [5]);
    bench.picture(&[first]);
    bench.picture(&[first, second]);
    assert!(!bench.wait(seconds(100)), "in either direction");
    assert_eq!(bench.ids(), [2]);
}

#[test]
fn a_priority_of_255_is_never_used() {
    let mut bench = Bench::new(&[255, 1]);
    assert!(!bench.picture(&[placed(0, 255)]));
    assert!(bench.ids().is_empty());
    assert!(bench.picture(&[placed(0, 255), placed(1, 1)]));
    assert_eq!(bench.ids(), [1]);
    assert!(!bench.picture(&[placed(0, 255)]), "nor when all else is lost");
    assert!(!bench.wait(seconds(100)));
    assert_eq!(bench.ids(), [1]);
}

#[test]
fn all_that_is_there_first_is_used_at_once() {
    let mut bench = Bench::new(&[1, 1]);
    assert!(bench.picture(&[placed(0, 1), placed(1, 1)]));
    assert_eq!(bench.handover.poll_at(), None);
    bench.moved(Cause::First, &placed(0, 1));
    let lanes: Vec<_> =
        bench.handover.uplinks().iter().map(|uplink| (uplink.id, uplink.lane)).collect();
    assert_eq!(lanes, [(0, 0), (1, 1), (1, 0)]);
    assert!(!bench.picture(&[placed(1, 1), placed(0, 1)]), "the same in another order");
}

#[test]
fn a_lost_way_is_left_at_once() {
    let mut bench = Bench::new(&[1, 2]);
    bench.picture(&[placed(0, 1), placed(1, 2)]);
    bench.moves();
    assert!(bench.picture(&[placed(1, 2)]));
    bench.moved(Cause::Lost, &placed(1, 2));
    assert_eq!(bench.ids(), [1]);
}

#[test]
fn the_last_way_is_kept_until_something_comes() {
    for next in [plain(3, "192.0.2.3", 0), plain(3, "2001:db8::3", 900)] {
        let mut bench = Bench::new(&[]);
        let only = plain(2, "192.0.2.2", 0);
        bench.picture(&[only]);
        bench.moves();
        assert!(!bench.picture(&[]) && !bench.wait(seconds(10)));
        assert_eq!(bench.ids(), [2]);
        assert!(bench.picture(&[only]), "it is told that it is back");
        assert!(bench.moves().is_empty(), "but nothing moved");
        bench.picture(&[]);
        assert!(bench.picture(&[next]), "whatever comes is used at once");
        bench.moved(Cause::Lost, &next);
    }
}

#[test]
fn another_address_of_an_uplink_in_use_is_followed_at_once() {
    let mut bench = Bench::new(&[1, 2]);
    let elsewhere = Uplink { rloc: [198, 51, 100, 1].into(), ..placed(0, 1) };
    bench.picture(&[placed(0, 1), placed(1, 2)]);
    bench.moves();
    assert!(bench.picture(&[elsewhere, placed(1, 2)]));
    bench.moved(Cause::Roamed, &elsewhere);
    let mut bench = Bench::new(&[]);
    bench.picture(&[plain(1, "192.0.2.1", 0)]);
    bench.moves();
    bench.picture(&[]);
    let v6 = plain(1, "2001:db8::1", 0);
    assert!(bench.picture(&[v6]), "after a gap, in the other family");
    bench.moved(Cause::Roamed, &v6);
}

#[test]
fn a_new_address_of_an_uplink_in_use_in_the_other_family_is_not_held() {
    let mut bench = Bench::new(&[]);
    let v6 = plain(1, "2001:db8::1", 50);
    let v4 = [plain(1, "192.0.2.1", 0), plain(1, "192.0.2.9", 0)];
    bench.picture(&[v4[0], v6]);
    for address in [1, 0, 1, 0] {
        bench.moves();
        assert!(bench.picture(&[v6]));
        bench.moved(Cause::Roamed, &v6);
        assert!(bench.picture(&[v4[address], v6]));
        bench.moved(Cause::Roamed, &v4[address]);
    }
    bench.picture(&[v6]);
    assert!(!bench.picture(&[v4[0], v6]), "what comes back as it was is");
}

#[test]
fn a_better_way_is_used_when_it_stood_for_a_second() {
    let mut bench = Bench::new(&[1, 2]);
    bench.picture(&[placed(1, 2)]);
    bench.moves();
    let both = [placed(0, 1), placed(1, 2)];
    assert!(!bench.picture(&both));
    assert_eq!(bench.handover.poll_at(), Some(bench.now + seconds(1)));
    assert!(!bench.wait(Duration::from_millis(999)) && !bench.picture(&both));
    assert!(bench.wait(Duration::from_millis(1)));
    bench.moved(Cause::Better, &placed(0, 1));
    assert_eq!(bench.ids(), [0, 1], "both are there: make before break");
}

#[test]
fn what_changes_while_it_is_held_begins_to_stand_anew() {
    let mut bench = Bench::new(&[]);
    let used = plain(2, "192.0.2.2", 50);
    bench.picture(&[used]);
    for (rloc, metric) in [("192.0.2.1", 10), ("192.0.2.9", 10), ("192.0.2.9", 20)] {
        assert!(!bench.picture(&[used, plain(1, rloc, metric)]));
        assert!(!bench.wait(Duration::from_millis(900)));
    }
    assert!(bench.wait(Duration::from_millis(100)));
    assert_eq!(bench.ids(), [1]);
}

/// How long the first of two is held when it comes back.
fn hold(bench: &mut Bench) -> Duration {
    bench.picture(&[placed(1, 2)]);
    bench.picture(&[placed(0, 1), placed(1, 2)]);
    let hold = bench.handover.poll_at().unwrap().since(bench.now);
    assert!(bench.wait(hold));
    hold
}

#[test]
fn each_early_loss_doubles_the_hold_up_to_a_minute() {
    let mut bench = Bench::new(&[1, 2]);
    bench.picture(&[placed(1, 2)]);
    bench.picture(&[placed(0, 1), placed(1, 2)]);
    bench.wait(seconds(1));
    for expected in [2, 4, 8, 16, 32, 60, 60] {
        bench.wait(seconds(59));
        assert_eq!(hold(&mut bench), seconds(expected));
    }
    bench.wait(seconds(60));
    assert_eq!(hold(&mut bench), seconds(1), "it stood for a minute");
    assert_eq!(hold(&mut bench), seconds(2));
    bench.picture(&[placed(1, 2)]);
    bench.wait(seconds(60));
    assert_eq!(hold(&mut bench), seconds(1), "it was gone for a minute");
}

#[test]
fn a_loss_while_it_is_held_counts_too() {
    let mut bench = Bench::new(&[1, 2]);
    bench.picture(&[placed(1, 2)]);
    for expected in [1, 2, 4] {
        bench.picture(&[placed(0, 1), placed(1, 2)]);
        assert_eq!(bench.handover.poll_at(), Some(bench.now + seconds(expected)));
        bench.picture(&[placed(1, 2)]);
        assert_eq!(bench.handover.poll_at(), None);
    }
}

#[test]
fn what_is_held_is_used_at_once_when_it_is_needed() {
    let mut bench = Bench::new(&[1, 2, 3]);
    bench.picture(&[placed(1, 2)]);
    bench.moves();
    bench.picture(&[placed(0, 1), placed(1, 2)]);
    assert!(bench.picture(&[placed(0, 1)]));
    bench.moved(Cause::Lost, &placed(0, 1));
    let mut bench = Bench::new(&[1, 2, 3]);
    bench.picture(&[placed(1, 2), placed(2, 3)]);
    bench.moves();
    bench.picture(&[placed(0, 1), placed(1, 2), placed(2, 3)]);
    assert!(bench.picture(&[placed(0, 1), placed(2, 3)]));
    bench.moved(Cause::Lost, &placed(2, 3));
    assert!(bench.wait(seconds(1)), "it is not needed while there is another");
    bench.moved(Cause::Better, &placed(0, 1));
}

#[test]
fn without_a_configuration_the_best_of_each_family_is_used() {
    let mut bench = Bench::new(&[]);
    let v4 = [plain(1, "192.0.2.1", 10), plain(2, "192.0.2.2", 20)];
    let v6 = [plain(1, "2001:db8::1", 90), plain(2, "2001:db8::2", 80)];
    bench.picture(&[v4[0], v4[1], v6[0], v6[1]]);
    assert_eq!(bench.handover.uplinks(), [v4[0], v6[1]]);
    bench.picture(&[v4[1], v6[0]]);
    assert_eq!(bench.handover.uplinks(), [v4[1], v6[0]]);
    bench.picture(&[v6[0]]);
    assert_eq!(bench.handover.uplinks(), [v6[0]]);
    assert!(bench.moves().contains(&(Cause::Lost, v6[0].rloc)), "from IPv4 to IPv6");
}

#[test]
fn a_configured_uplink_that_comes_up_joins_after_its_hold_with_its_lane() {
    let mut bench = Bench::new(&[1, 1]);
    bench.picture(&[placed(0, 1)]);
    bench.moves();
    let shown = |bench: &Bench| {
        let uplinks = bench.handover.uplinks().iter();
        uplinks.map(|uplink| (uplink.lane, uplink.id, uplink.priority)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&bench), [(0, 0, 1), (1, 0, 1)]);
    assert!(!bench.picture(&[placed(0, 1), placed(1, 1)]));
    assert!(bench.wait(seconds(1)));
    assert_eq!(shown(&bench), [(0, 0, 1), (1, 1, 1), (0, 1, 2)]);
    assert!(bench.moves().is_empty(), "the best is the same one");
}

#[test]
fn a_silent_uplink_is_left_out_while_there_is_another() {
    let mut bench = Bench::new(&[1, 2]);
    bench.picture(&[placed(0, 1), placed(1, 2)]);
    bench.moves();
    for (suspicion, hold) in [(10, 1), (20, 1), (40, 1), (80, 1), (160, 1), (300, 1), (300, 1)] {
        assert!(bench.silent(0));
        bench.moved(Cause::Silent, &placed(1, 2));
        assert_eq!(bench.ids(), [1]);
        assert!(!bench.wait(seconds(suspicion)), "{suspicion}");
        assert!(!bench.wait(Duration::from_millis(hold * 1000 - 1)));
        assert!(bench.wait(Duration::from_millis(1)));
        bench.moved(Cause::Better, &placed(0, 1));
    }
    bench.wait(seconds(300));
    bench.silent(0);
    assert_eq!(bench.handover.poll_at(), Some(bench.now + seconds(10)), "that is long ago");
}

#[test]
fn the_uplink_of_the_silent_lane_is_the_one_that_is_left() {
    let mut bench = Bench::new(&[1, 1]);
    bench.picture(&[placed(0, 1), placed(1, 1)]);
    assert!(bench.silent(1));
    assert_eq!(bench.ids(), [0, 0]);
    assert!(!bench.silent(3), "no such lane");
}

#[test]
fn when_all_are_silent_they_are_used_in_turn() {
    let mut bench = Bench::new(&[1, 1, 1]);
    let ways = [0, 1, 2].map(|id| placed(id, 1));
    bench.picture(&ways);
    let turns: Vec<_> = (0..6)
        .map(|_| {
            bench.silent(0);
            bench.handover.uplinks()[0].id
        })
        .collect();
    assert_eq!(turns, [1, 2, 0, 1, 2, 0]);
    let mut bench = Bench::new(&[1, 2]);
    bench.picture(&[placed(0, 1), placed(1, 2)]);
    bench.silent(0);
    assert!(bench.silent(0));
    assert_eq!(bench.ids(), [0, 1], "none is left out");
}

#[test]
fn a_silent_way_that_is_the_only_one_stays() {
    let mut bench = Bench::new(&[]);
    bench.picture(&[plain(1, "192.0.2.1", 0), plain(1, "2001:db8::1", 0)]);
    bench.moves();
    assert!(!bench.silent(0) && bench.moves().is_empty());
    assert_eq!(bench.handover.poll_at(), None);
}

#[test]
fn without_a_hold_a_suspicion_ends_in_use() {
    let mut bench = Bench::new(&[]);
    let config = HandoverConfig { hold: Duration::ZERO, ..HandoverConfig::default() };
    bench.handover = Handover::new(&config, &[], 0);
    bench.picture(&[plain(1, "192.0.2.1", 1), plain(2, "192.0.2.2", 2)]);
    assert!(bench.silent(0));
    assert_eq!(bench.ids(), [2]);
    assert!(bench.wait(config.suspicion));
    assert_eq!(bench.ids(), [1]);
}

#[test]
fn of_two_families_the_silent_one_s_uplink_is_avoided() {
    let mut bench = Bench::new(&[]);
    let pictured = [plain(1, "192.0.2.1", 1), plain(2, "2001:db8::2", 1), plain(3, "192.0.2.3", 2)];
    for is_ipv6 in [false, true] {
        bench.picture(&pictured);
        let before = bench.ids();
        assert_eq!(before, [1, 2]);
        bench.handover.handle_silent(WayOut { lane: 0, is_ipv6 }, bench.now);
        assert!(!bench.ids().contains(&if is_ipv6 { 2 } else { 1 }), "{:?}", bench.ids());
        bench = Bench::new(&[]);
    }
}

#[test]
fn a_held_way_is_better_than_a_silent_one() {
    let mut bench = Bench::new(&[1, 2]);
    bench.picture(&[placed(0, 1)]);
    bench.picture(&[placed(0, 1), placed(1, 2)]);
    bench.moves();
    assert!(bench.silent(0));
    bench.moved(Cause::Silent, &placed(1, 2));
}

#[test]
fn a_suspicion_ends_when_the_uplink_changes_or_comes_back() {
    let mut bench = Bench::new(&[1, 2]);
    let elsewhere = Uplink { rloc: [198, 51, 100, 1].into(), ..placed(0, 1) };
    bench.picture(&[placed(0, 1), placed(1, 2)]);
    bench.silent(0);
    bench.moves();
    bench.picture(&[elsewhere, placed(1, 2)]);
    assert!(bench.wait(seconds(1)));
    bench.moved(Cause::Better, &elsewhere);
    bench.silent(0);
    bench.picture(&[placed(1, 2)]);
    bench.picture(&[elsewhere, placed(1, 2)]);
    assert_eq!(bench.handover.poll_at(), Some(bench.now + seconds(1)));
}

#[test]
fn a_configuration_moves_at_once() {
    let mut bench = Bench::new(&[1, 2]);
    bench.picture(&[placed(0, 1), placed(1, 2)]);
    bench.moves();
    assert!(bench.picture(&[placed(0, 3), placed(1, 2)]));
    bench.moved(Cause::Reconfigured, &placed(1, 2));
    let config = [1, 1].map(|priority| UplinkConfig { priority, weight: 1 });
    let is_changed =
        bench.handover.handle_config(&HandoverConfig::default(), &config, 2, bench.now);
    assert!(is_changed, "two lanes");
}

#[test]
fn a_metric_that_flaps_is_held_longer_each_time() {
    let mut bench = Bench::new(&[]);
    let (other, [good, bad]) =
        (plain(2, "192.0.2.2", 20), [10, 30].map(|metric| plain(1, "192.0.2.1", metric)));
    bench.picture(&[good, other]);
    bench.wait(seconds(60));
    for expected in [1, 2, 4] {
        assert!(bench.picture(&[bad, other]));
        assert_eq!(bench.ids(), [2]);
        assert!(!bench.picture(&[good, other]));
        assert_eq!(bench.handover.poll_at(), Some(bench.now + seconds(expected)));
        assert!(bench.wait(seconds(expected)));
        assert_eq!(bench.ids(), [1]);
    }
}

#[test]
fn of_several_addresses_the_known_one_stays() {
    let mut bench = Bench::new(&[]);
    bench.picture(&[plain(1, "192.0.2.5", 0)]);
    assert!(!bench.picture(&[plain(1, "192.0.2.1", 0), plain(1, "192.0.2.5", 0)]));
    assert!(bench.picture(&[plain(1, "192.0.2.1", 0)]));
}

#[test]
fn a_full_table_keeps_the_best_and_forgets_what_is_gone() {
    let mut bench = Bench::new(&[]);
    let way = |id: u32| {
        let rloc = IpAddr::from([198, 51, (id / 250) as u8, (id % 250) as u8]);
        Uplink { id, metric: 5000 - id, ..Uplink::new(rloc) }
    };
    let many: Vec<_> = (1..=100).map(way).collect();
    bench.picture(&many);
    assert_eq!(bench.ids(), [100]);
    for id in 101..1000 {
        bench.picture(&[way(id)]);
        assert_eq!(bench.ids(), [id], "each in the place of a gone one");
    }
    let many: Vec<_> = (1..=100).map(way).chain([way(999)]).collect();
    bench.picture(&many);
    let mut more = many.clone();
    more.push(way(1000));
    bench.picture(&more);
    assert!(bench.wait(seconds(1)), "in the place of the worst one");
    assert_eq!(bench.ids(), [1000]);
}
