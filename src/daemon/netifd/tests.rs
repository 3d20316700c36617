//! Netifd against a small ubusd and netifd on a real socket, in virtual time.

mod bus;

use std::collections::BTreeMap;

use control::{Duration, Instant};
use linux::poller::{Interest, Poller};
use ubus::{Invocation, Status};

use super::Netifd;
use crate::bus::call::Call;
use bus::{Bus, Directory};

/// Wakeups between two events after which something spins.
const MAX_WAKEUPS: usize = 10_000;

/// Both sides, and how often ours was woken.
struct Bench {
    netifd: Netifd,
    bus: Bus,
    now: Instant,
    poller: Poller,
    wakeups: usize,
    changes: usize,
    _directory: Directory,
}

impl Bench {
    /// A bus that is not there yet.
    fn new() -> Self {
        let directory = Directory::new();
        let netifd = Netifd::new(directory.socket()).expect("a descriptor");
        let bus = Bus::new(directory.socket());
        let poller = Poller::new().expect("epoll");
        poller.add(&netifd, 0, Interest::Readable).expect("added");
        let now = Instant::from_millis(1_000);
        Self { netifd, bus, now, poller, wakeups: 0, changes: 0, _directory: directory }
    }

    /// A bus with netifd on it, whose `wan` is on `eth0` and `wwan` on `wlan0`.
    fn started() -> Self {
        let mut bench = Self::new();
        bench.bus.start();
        bench.bus.interface("wan", true, Some("eth0"), None);
        bench.bus.interface("wwan", true, Some("wlan0"), None);
        bench.bus.start_netifd();
        bench.settle();
        assert!(bench.netifd.is_connected());
        assert_eq!(bench.device_of("wan"), Some("eth0"));
        (bench.wakeups, bench.changes) = (0, 0);
        bench
    }

    /// Lets both sides do what they have to do at this moment.
    fn settle(&mut self) {
        let mut wakeups = 0;
        loop {
            self.bus.run();
            let is_due = self.netifd.poll_at().is_some_and(|at| at <= self.now);
            let is_ready = self.poller.wait(Some(Duration::ZERO)).expect("a wait").len() > 0;
            if is_ready {
                self.changes += usize::from(self.netifd.handle_ready(self.now));
            } else if is_due {
                self.changes += usize::from(self.netifd.handle_timeout(self.now));
                let poll_at = self.netifd.poll_at();
                assert!(poll_at.is_none_or(|at| at > self.now), "a deadline in the past");
            } else {
                break;
            }
            wakeups += 1;
            assert!(wakeups < MAX_WAKEUPS, "it spins");
        }
        self.wakeups += wakeups;
    }

    /// Lets time pass, from deadline to deadline.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.settle();
            match self.netifd.poll_at() {
                Some(at) if at <= end => self.now = at,
                _ => break,
            }
        }
        self.now = end;
        self.settle();
    }

    fn device_of(&self, interface: &str) -> Option<&str> {
        self.netifd.device_of(interface)
    }

    fn counter(&self, name: &str) -> u64 {
        let counters: BTreeMap<_, _> = self.netifd.counters().collect();
        *counters.get(name).unwrap_or_else(|| panic!("no counter {name}"))
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn each_interface_that_is_up_or_about_to_be_has_its_device() {
    let mut bench = Bench::new();
    bench.bus.start();
    bench.bus.interface("wan", true, Some("pppoe-wan"), Some("eth0"));
    bench.bus.interface("lan", false, None, Some("br-lan"));
    bench.bus.pending("wan6", Some("eth0"));
    bench.bus.pending("alias", Some("@wan"));
    bench.bus.interface("odd", true, Some("a-name-that-no-device-has"), Some("eth1"));
    bench.bus.interface("none", true, None, None);
    bench.bus.start_netifd();
    assert!(!bench.netifd.is_connected());
    bench.settle();
    assert!(bench.netifd.is_connected());
    assert_eq!(bench.changes, 1);
    assert_eq!(bench.device_of("wan"), Some("pppoe-wan"));
    assert_eq!(bench.device_of("wan6"), Some("eth0"));
    assert_eq!(bench.device_of("odd"), Some("eth1"));
    for name in ["lan", "alias", "none", "", "wa"] {
        assert_eq!(bench.device_of(name), None, "{name}");
    }
    assert_eq!(bench.counter("ubus_dumps"), 1);
    assert_eq!(bench.netifd.poll_at(), None, "nothing to do");
}

#[test]
fn a_notification_of_either_object_is_followed_at_once() {
    let mut bench = Bench::started();
    bench.pass(SECOND);
    bench.bus.interface("wan", false, None, Some("eth0"));
    bench.bus.notify("network.interface", "interface.down");
    bench.settle();
    assert_eq!((bench.device_of("wan"), bench.changes), (None, 1));
    bench.pass(SECOND);
    bench.bus.interface("wan", true, Some("eth2"), None);
    bench.bus.notify("network.device", "link_up");
    bench.settle();
    assert_eq!((bench.device_of("wan"), bench.changes), (Some("eth2"), 2));
    bench.pass(SECOND);
    bench.bus.notify("network.device", "link_down");
    bench.pass(SECOND);
    assert_eq!(bench.changes, 2, "nothing that is told here changed");
    assert_eq!(bench.counter("ubus_notifications"), 3);
    assert_eq!(bench.counter("ubus_dumps"), 4);
}

#[test]
fn a_flood_of_notifications_is_asked_about_every_twenty_milliseconds() {
    let mut bench = Bench::started();
    bench.pass(SECOND);
    for _ in 0..100 {
        for _ in 0..20 {
            bench.bus.notify("network.interface", "interface.update");
            bench.settle();
        }
        bench.pass(Duration::from_millis(1));
    }
    bench.bus.interface("wan", true, Some("eth9"), None);
    bench.bus.notify("network.interface", "interface.update");
    bench.pass(SECOND);
    assert_eq!(bench.device_of("wan"), Some("eth9"), "the last one counts");
    assert_eq!(bench.counter("ubus_notifications"), 2_001);
    let dumps = bench.counter("ubus_dumps");
    assert!((5..=8).contains(&dumps), "{dumps} dumps in 100 ms");
    assert_eq!(bench.netifd.poll_at(), None);
}

#[test]
fn notifications_during_an_answer_lead_to_one_more_question() {
    let mut bench = Bench::started();
    bench.pass(SECOND);
    bench.bus.holds_answers = true;
    for _ in 0..50 {
        bench.bus.notify("network.interface", "interface.update");
        bench.settle();
    }
    bench.pass(SECOND);
    assert_eq!(bench.counter("ubus_dumps"), 2, "one at a time");
    bench.bus.holds_answers = false;
    bench.pass(SECOND);
    assert_eq!(bench.counter("ubus_dumps"), 3);
}

#[test]
fn a_bus_that_restarts_is_found_again_and_what_was_known_stays() {
    let mut bench = Bench::started();
    for round in 1..=5 {
        bench.bus.stop();
        bench.settle();
        assert!(!bench.netifd.is_connected());
        assert_eq!(bench.device_of("wan"), Some("eth0"));
        bench.bus.start();
        bench.bus.start_netifd();
        bench.pass(SECOND);
        assert!(bench.netifd.is_connected());
        assert_eq!(bench.bus.subscriptions(), 2);
        assert_eq!(bench.counter("ubus_connections"), 1 + round);
    }
    assert_eq!(bench.changes, 0);
    bench.bus.interface("wan", true, Some("eth1"), None);
    bench.bus.notify("network.interface", "interface.update");
    bench.pass(SECOND);
    assert_eq!(bench.device_of("wan"), Some("eth1"));
}

#[test]
fn a_machine_without_a_bus_looks_for_one_once_a_minute() {
    let mut bench = Bench::new();
    bench.pass(Duration::from_secs(3_600));
    assert!(!bench.netifd.is_connected());
    assert!(bench.wakeups < 70, "{} wakeups in an hour", bench.wakeups);
    assert_eq!(bench.counter("ubus_failed_connections"), bench.wakeups as u64);
    bench.bus.start();
    bench.bus.interface("wan", true, Some("eth0"), None);
    bench.bus.start_netifd();
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.device_of("wan"), Some("eth0"));
}

#[test]
fn a_bus_that_talks_nonsense_is_left_and_tried_again_ever_later() {
    let mut bench = Bench::new();
    bench.bus.start();
    bench.bus.nonsense = Some(0x5eed);
    bench.pass(Duration::from_secs(3_600));
    let connections = bench.counter("ubus_connections");
    assert!((50..70).contains(&connections), "{connections} connections in an hour");
    assert_eq!(bench.counter("ubus_lost_connections"), connections);
    assert!(bench.counter("ubus_nonsense") > 0);
    assert!(bench.wakeups < 300, "{} wakeups in an hour", bench.wakeups);
    bench.bus.nonsense = None;
    bench.bus.start_netifd();
    bench.pass(Duration::from_secs(60));
    assert!(bench.netifd.is_connected());
    bench.bus.stop();
    bench.bus.start();
    bench.pass(SECOND);
    assert!(bench.netifd.is_connected(), "the pause is the first one again");
}

#[test]
fn a_bus_that_only_accepts_is_left_after_a_while() {
    let mut bench = Bench::new();
    bench.bus.start();
    bench.bus.is_silent = true;
    bench.pass(Duration::from_secs(3_600));
    assert!((50..70).contains(&bench.counter("ubus_timeouts")));
    assert!(bench.wakeups < 200, "{} wakeups in an hour", bench.wakeups);
}

#[test]
fn an_answer_that_does_not_come_ends_the_connection() {
    let mut bench = Bench::started();
    bench.bus.holds_answers = true;
    bench.pass(SECOND);
    bench.bus.notify("network.interface", "interface.update");
    bench.pass(Duration::from_secs(4));
    assert!(bench.netifd.is_connected());
    bench.bus.holds_answers = false;
    bench.bus.forget_answers();
    bench.pass(Duration::from_secs(3));
    assert_eq!((bench.counter("ubus_timeouts"), bench.counter("ubus_connections")), (1, 2));
    assert!(bench.netifd.is_connected());
}

#[test]
fn octets_one_by_one_are_as_good() {
    let mut bench = Bench::new();
    bench.bus.piece_len = 1;
    bench.bus.start();
    bench.bus.interface("wan", true, Some("eth0"), None);
    bench.bus.start_netifd();
    bench.settle();
    assert_eq!(bench.device_of("wan"), Some("eth0"));
}

#[test]
fn a_connection_cut_anywhere_is_made_again() {
    for len in 0..600 {
        let mut bench = Bench::new();
        bench.bus.start();
        bench.bus.interface("wan", true, Some("eth0"), None);
        bench.bus.start_netifd();
        bench.bus.cut_after = Some(len);
        bench.settle();
        bench.bus.cut_after = None;
        bench.pass(SECOND);
        assert_eq!(bench.device_of("wan"), Some("eth0"), "cut after {len} octets");
        assert!(bench.wakeups < 50);
    }
}

#[test]
fn a_netifd_that_goes_is_subscribed_to_when_it_is_back() {
    let mut bench = Bench::started();
    bench.bus.stop_netifd();
    bench.settle();
    assert!(bench.netifd.is_connected());
    assert_eq!(bench.device_of("wan"), Some("eth0"), "the device is still there");
    bench.pass(Duration::from_secs(600));
    assert!(bench.wakeups < 60, "{} wakeups in ten minutes", bench.wakeups);
    bench.bus.interface("wan", true, Some("eth1"), None);
    bench.bus.start_netifd();
    bench.settle();
    assert_eq!(bench.device_of("wan"), Some("eth1"), "at once");
    assert_eq!(bench.bus.subscriptions(), 2);
    assert_eq!(bench.counter("ubus_connections"), 1);
    bench.pass(SECOND);
    assert_eq!(bench.netifd.poll_at(), None);
}

#[test]
fn a_netifd_that_goes_while_it_is_asked_is_not_waited_for() {
    let mut bench = Bench::started();
    bench.pass(SECOND);
    bench.bus.holds_answers = true;
    bench.bus.notify("network.interface", "interface.update");
    bench.settle();
    bench.bus.stop_netifd();
    bench.bus.forget_answers();
    bench.bus.holds_answers = false;
    bench.pass(Duration::from_secs(20));
    assert_eq!((bench.counter("ubus_timeouts"), bench.counter("ubus_connections")), (0, 1));
    bench.bus.interface("wan", true, Some("eth1"), None);
    bench.bus.start_netifd();
    bench.settle();
    assert_eq!(bench.device_of("wan"), Some("eth1"));
}

#[test]
fn who_may_not_be_told_of_new_objects_looks_for_them() {
    let mut bench = Bench::new();
    bench.bus.denies_events = true;
    bench.bus.start();
    bench.bus.interface("wan", true, Some("eth0"), None);
    bench.pass(Duration::from_secs(10));
    assert!(bench.netifd.is_connected());
    assert_eq!(bench.device_of("wan"), None);
    bench.bus.start_netifd();
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.device_of("wan"), Some("eth0"));
    assert_eq!(bench.bus.subscriptions(), 2);
}

#[test]
fn carriers_are_told_where_interfaces_are_not() {
    let mut bench = Bench::new();
    bench.bus.start();
    bench.bus.start_netifd();
    bench.bus.hide("network.interface");
    bench.settle();
    assert_eq!(bench.bus.subscriptions(), 1);
    bench.bus.notify("network.device", "link_up");
    bench.pass(Duration::from_secs(600));
    assert_eq!((bench.counter("ubus_notifications"), bench.counter("ubus_dumps")), (1, 0));
    assert!(bench.wakeups < 60, "{} wakeups in ten minutes", bench.wakeups);
}

#[test]
fn who_may_not_subscribe_asks_now_and_then() {
    let mut bench = Bench::new();
    bench.bus.denies_subscriptions = true;
    bench.bus.start();
    bench.bus.interface("wan", true, Some("eth0"), None);
    bench.bus.start_netifd();
    bench.settle();
    assert_eq!(bench.device_of("wan"), Some("eth0"));
    bench.bus.interface("wan", true, Some("eth1"), None);
    bench.pass(Duration::from_secs(600));
    assert_eq!(bench.device_of("wan"), Some("eth1"));
    assert!(bench.wakeups < 150, "{} wakeups in ten minutes", bench.wakeups);
}

#[test]
fn more_interfaces_than_there_is_room_for_are_counted() {
    let mut bench = Bench::new();
    bench.bus.start();
    for number in 0..70 {
        bench.bus.interface(&format!("if{number:02}"), true, Some(&format!("eth{number}")), None);
    }
    bench.bus.filler_len = 1_000;
    bench.bus.start_netifd();
    bench.settle();
    assert_eq!(bench.device_of("if63"), Some("eth63"));
    assert_eq!(bench.device_of("if64"), None);
    assert_eq!(bench.counter("ubus_interfaces_refused"), 6);
}

#[test]
fn an_answer_longer_than_the_buffer_leaves_what_was_known() {
    let mut bench = Bench::started();
    bench.bus.filler_len = 300_000;
    bench.bus.interface("wan", true, Some("eth1"), None);
    bench.bus.notify("network.interface", "interface.update");
    bench.pass(Duration::from_secs(600));
    assert_eq!(bench.device_of("wan"), Some("eth0"));
    assert!(bench.netifd.is_connected());
    assert!((2..20).contains(&bench.counter("ubus_failed_dumps")));
    assert_eq!(bench.counter("ubus_oversized"), bench.counter("ubus_failed_dumps"));
    bench.bus.filler_len = 0;
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.device_of("wan"), Some("eth1"));
}

#[test]
fn malformed_interfaces_leave_what_was_known() {
    let mut bench = Bench::started();
    bench.bus.is_malformed = true;
    bench.bus.interface("wan", true, Some("eth1"), None);
    bench.bus.notify("network.interface", "interface.update");
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.device_of("wan"), Some("eth0"));
    assert!(bench.counter("ubus_malformed") > 0 && bench.counter("ubus_failed_dumps") > 0);
    bench.bus.is_malformed = false;
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.device_of("wan"), Some("eth1"));
    assert_eq!(bench.counter("ubus_connections"), 1);
}

#[test]
fn a_bus_that_does_not_read_neither_blocks_nor_wakes() {
    let mut bench = Bench::started();
    bench.pass(SECOND);
    bench.bus.is_deaf = true;
    for _ in 0..8_000 {
        bench.bus.call_us();
        bench.settle();
    }
    assert!(bench.counter("ubus_unanswered") > 0);
    bench.wakeups = 0;
    bench.pass(Duration::from_secs(1));
    assert!(bench.wakeups < 5, "{} wakeups", bench.wakeups);
    bench.bus.is_deaf = false;
    bench.pass(Duration::from_secs(30));
    assert!(bench.netifd.is_connected());
    bench.bus.interface("wan", true, Some("eth1"), None);
    bench.bus.notify("network.interface", "interface.update");
    bench.settle();
    assert_eq!(bench.device_of("wan"), Some("eth1"));
}

/// Has the bus deliver what it has, and says what was called.
fn calls(bench: &mut Bench) -> Vec<(Invocation, Call)> {
    bench.settle();
    std::iter::from_fn(|| bench.netifd.poll_call()).collect()
}

#[test]
fn our_object_is_called_and_answers() {
    let mut bench = Bench::started();
    assert!(bench.bus.is_published);
    let call = bench.bus.call("resolve", &bus::text("eid", "10.2.0.1"));
    let told = calls(&mut bench);
    let [(invocation, Call::Resolve(address))] = told[..] else { panic!("{told:?}") };
    assert_eq!(address.to_string(), "10.2.0.1");
    assert_eq!(bench.bus.answer_of(call), None);
    bench.netifd.answer(&invocation, Status::Ok, &mut |writer| writer.string("eid", "10.2.0.1"));
    bench.netifd.flush(bench.now);
    bench.settle();
    assert_eq!(bench.bus.answer_of(call), Some((0, "\"eid\":\"10.2.0.1\"".to_owned())));
}

#[test]
fn wrong_calls_are_answered_at_once_and_counted() {
    let mut bench = Bench::started();
    let huge = bus::text("eid", &"1".repeat(200_000));
    let wrong = [
        bench.bus.call("resolve", &huge),
        bench.bus.call("resolve", &[0x83, 0, 0, 3]),
        bench.bus.call("interface_up", &[]),
        bench.bus.call("no such", &[]),
    ];
    assert!(calls(&mut bench).is_empty());
    let statuses = wrong.map(|call| bench.bus.answer_of(call).map(|(status, _)| status));
    assert_eq!(statuses, [2, 2, 2, 3].map(Some));
    assert_eq!((bench.counter("ubus_calls"), bench.counter("ubus_calls_refused")), (4, 4));
}

#[test]
fn a_flood_of_calls_is_bounded_and_every_caller_gets_an_answer() {
    let mut bench = Bench::started();
    let asked: Vec<_> = (0..100).map(|_| bench.bus.call("status", &[])).collect();
    let kept = calls(&mut bench);
    assert_eq!(kept.len(), 8);
    for (invocation, _) in &kept {
        // Longer than what may wait, of which the caller is told.
        bench
            .netifd
            .answer(invocation, Status::Ok, &mut |writer| writer.string("a", [b'x'; 200_000]));
    }
    bench.netifd.flush(bench.now);
    bench.settle();
    let status = |call: &u16| bench.bus.answer_of(*call).expect("an answer").0;
    assert_eq!(asked.iter().filter(|call| status(call) == 11).count(), 92, "no room");
    assert_eq!(asked.iter().filter(|call| status(call) == 9).count(), 8, "too long");
}

#[test]
fn calls_of_a_lost_connection_are_forgotten() {
    let mut bench = Bench::started();
    bench.bus.call("status", &[]);
    let kept = calls(&mut bench);
    bench.bus.call("status", &[]);
    bench.settle();
    bench.bus.stop();
    bench.settle();
    bench.netifd.answer(&kept[0].0, Status::Ok, &mut |_| {});
    assert_eq!(bench.netifd.poll_call(), None);
    bench.bus.start();
    bench.bus.start_netifd();
    bench.pass(SECOND);
    assert!(bench.bus.is_published, "it is published again");
}

#[test]
fn who_may_not_publish_tries_again_ever_later_and_follows_netifd_all_the_same() {
    let mut bench = Bench::new();
    bench.bus.denies_publication = true;
    bench.bus.start();
    bench.bus.interface("wan", true, Some("eth0"), None);
    bench.bus.start_netifd();
    bench.pass(Duration::from_secs(600));
    assert_eq!((bench.device_of("wan"), bench.counter("ubus_connections")), (Some("eth0"), 1));
    assert!((10..20).contains(&bench.counter("ubus_refused")));
    bench.bus.denies_publication = false;
    bench.pass(Duration::from_secs(60));
    assert!(bench.bus.is_published);
}

#[test]
fn only_who_is_heard_tells() {
    let mut bench = Bench::started();
    let tell = |bench: &mut Bench| {
        bench.netifd.notify("peer", &mut |writer| writer.boolean("up", true));
        bench.netifd.flush(bench.now);
        bench.settle();
    };
    tell(&mut bench);
    bench.bus.set_subscribers(true);
    bench.settle();
    tell(&mut bench);
    bench.bus.set_subscribers(false);
    bench.settle();
    tell(&mut bench);
    assert_eq!(bench.bus.notifications, [("peer".to_owned(), "\"up\":true".to_owned())]);
    assert_eq!((bench.counter("ubus_told"), bench.counter("ubus_untold")), (1, 0));
    assert_eq!(bench.netifd.poll_at(), None);
}

#[test]
fn interfaces_that_wait_for_us_are_asked_to_come_back_once_per_connection() {
    let mut bench = Bench::new();
    bench.bus.overlay("overlay");
    bench.bus.start();
    bench.bus.start_netifd();
    bench.settle();
    let renewed = || ("renew".to_owned(), "\"interface\":\"overlay\"".to_owned());
    assert_eq!(bench.bus.orders, [renewed()]);
    bench.bus.notify("network.interface", "interface.update");
    bench.pass(SECOND);
    assert_eq!(bench.bus.orders.len(), 1);
    bench.bus.stop();
    bench.settle();
    bench.bus.start();
    bench.bus.start_netifd();
    bench.pass(SECOND);
    assert_eq!(bench.bus.orders, [renewed(), renewed()]);
    assert_eq!(bench.counter("ubus_timeouts"), 0);
}

#[test]
fn procd_is_told_to_reload_and_says_how_it_took_that() {
    let mut bench = Bench::started();
    let ask = |bench: &mut Bench| {
        // A second caller waits for the same answer.
        bench.netifd.ask_for_reload(bench.now);
        bench.netifd.ask_for_reload(bench.now);
        bench.netifd.flush(bench.now);
        bench.settle();
        let statuses = [bench.netifd.poll_reload(), bench.netifd.poll_reload()];
        assert_eq!(bench.netifd.poll_at(), None);
        statuses
    };
    assert_eq!(ask(&mut bench), [Some(Status::NotFound), None], "it is not there");
    bench.bus.start_procd();
    assert_eq!(ask(&mut bench), [Some(Status::Ok), None]);
    let told = "\"type\":\"config.change\",\"data\":{\"package\":\"lispguard\"}";
    assert_eq!(bench.bus.orders, [("event".to_owned(), told.to_owned())]);
    bench.bus.denies_events = true;
    assert_eq!(ask(&mut bench), [Some(Status::PermissionDenied), None]);
    bench.bus.is_deaf = true;
    bench.netifd.ask_for_reload(bench.now);
    bench.netifd.flush(bench.now);
    bench.pass(Duration::from_secs(6));
    assert_eq!(bench.netifd.poll_reload(), Some(Status::Timeout), "it is busy");
    assert!(bench.netifd.is_connected(), "which is no matter of the others'");
    bench.bus.is_deaf = false;
    bench.netifd.ask_for_reload(bench.now);
    bench.bus.stop();
    bench.settle();
    assert_eq!(bench.netifd.poll_reload(), Some(Status::ConnectionFailed));
}
