//! The timeline of handovers: what was seen when, from the event to the Map-Server's acknowledgement.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;

use control::{Cause, Duration, Instant, PeerKey};

use crate::told::{List, Told, Value, told};

/// Handovers that are remembered; the oldest makes way.
pub const MAX_HANDOVERS: usize = 64;
/// The same with those that subscribers are yet to be told of.
const MAX_UNTOLD: usize = 4 * MAX_HANDOVERS;
/// What did not happen by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Upper bounds of the histogram's classes in milliseconds; what takes longer is in one more.
const CLASSES: [u32; 10] = [2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000];

told! {
    /// One handover. Spans are in microseconds from the moment at which this process saw its cause.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Handover {
        /// Its number since the start, from 1.
        pub number: u64,
        /// Unix time in milliseconds.
        pub unix_ms: u64,
        /// At a Map-Server: the site that moved; absent when we moved ourselves.
        pub site: Option<String>,
        /// What told of it: `netlink`, `ubus`, `timer`, `probe`, `configuration`, `register`.
        pub source: &'static str,
        /// Why.
        pub cause: &'static str,
        /// The RLOC before.
        pub from: Option<String>,
        /// The RLOC since.
        pub to: Option<String>,
        /// The tunnels' routes lead over the new uplink.
        pub moved_us: Option<u64>,
        /// An authenticated packet is on its way to every live peer.
        pub sent_us: Option<u64>,
        /// The first packet came back on the new path.
        pub answered_us: Option<u64>,
        /// The Map-Server acknowledged the registration.
        pub registered_us: Option<u64>,
        /// At the Map-Server: everyone who holds the site's records acknowledged the new ones.
        pub published_us: Option<u64>,
        /// At the Map-Server: how many those are.
        pub holders: Option<usize>,
    }
}

/// A step of a handover, beyond its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Moved,
    Sent,
    Answered,
    Registered,
}

told! {
    /// A class of the histogram.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Class {
        /// Its upper bound in milliseconds; absent in the last one.
        pub up_to_ms: Option<u32>,
        /// Handovers whose first answer came in this time.
        pub count: u64,
    }
}

told! {
    /// All handovers since the start.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Summary {
        /// How many of our own there were.
        pub count: u64,
        /// How long it took until the first answer.
        pub answered: Vec<Class>,
    }
}

/// The handovers of this run.
#[derive(Debug)]
pub(crate) struct Handovers {
    rows: VecDeque<Row>,
    count: u64,
    own: u64,
    answered: [u64; CLASSES.len() + 1],
}

#[derive(Debug)]
struct Row {
    handover: Handover,
    site: Option<PeerKey>,
    began_at: Instant,
    /// Whether more may come.
    is_open: bool,
    /// [`Handovers::poll_ended`] told it.
    is_told: bool,
}

impl Row {
    fn since(&self, now: Instant) -> u64 {
        control::micros(now.since(self.began_at))
    }

    fn is_done(&self) -> bool {
        let Handover { answered_us, registered_us, published_us, .. } = self.handover;
        match self.site {
            Some(_) => published_us.is_some(),
            None => answered_us.is_some() && registered_us.is_some(),
        }
    }

    /// Nothing more is waited for: it is logged, once.
    fn end(&mut self) {
        if std::mem::take(&mut self.is_open) {
            log::info!("{}", self.handover);
        }
    }
}

impl Handovers {
    pub(crate) fn new() -> Handovers {
        Handovers {
            rows: VecDeque::with_capacity(MAX_HANDOVERS),
            count: 0,
            own: 0,
            answered: [0; CLASSES.len() + 1],
        }
    }

    /// We move; `began_at` is when its cause was seen.
    pub(crate) fn begin(
        &mut self,
        source: &'static str,
        cause: Cause,
        (from, to): (Option<IpAddr>, Option<IpAddr>),
        began_at: Instant,
        unix_ms: u64,
    ) {
        self.own += 1;
        let handover = Handover { source, cause: cause_name(cause), ..between(from, to, unix_ms) };
        self.push(handover, None, began_at);
    }

    /// A site moved that registers here.
    pub(crate) fn begin_site(
        &mut self,
        (site, name): (PeerKey, String),
        (from, to): (Option<IpAddr>, Option<IpAddr>),
        now: Instant,
        unix_ms: u64,
    ) {
        let known = Handover { source: "register", cause: "moved", ..between(from, to, unix_ms) };
        self.push(Handover { site: Some(name), ..known }, Some(site), now);
    }

    fn push(&mut self, handover: Handover, site: Option<PeerKey>, began_at: Instant) {
        self.close(|row| row.site == site);
        if let Some(place) = self.rows.len().checked_sub(MAX_HANDOVERS) {
            self.rows[place].end();
        }
        // Those that made way go once they are told.
        while self.rows.len() >= MAX_HANDOVERS
            && (self.rows[0].is_told || self.rows.len() == MAX_UNTOLD)
        {
            self.rows.pop_front();
        }
        self.count += 1;
        let handover = Handover { number: self.count, ..handover };
        self.rows.push_back(Row { handover, site, began_at, is_open: true, is_told: false });
    }

    /// The first of its kind counts.
    pub(crate) fn note(&mut self, step: Step, now: Instant) {
        let Some(row) = self.rows.iter_mut().rev().find(|row| row.site.is_none() && row.is_open)
        else {
            return;
        };
        let since = row.since(now);
        let place = match step {
            Step::Moved => &mut row.handover.moved_us,
            Step::Sent => &mut row.handover.sent_us,
            Step::Answered => &mut row.handover.answered_us,
            Step::Registered => &mut row.handover.registered_us,
        };
        if place.is_none() {
            *place = Some(since);
            if step == Step::Answered {
                self.answered[class_of(since)] += 1;
            }
        }
        self.close(Row::is_done);
    }

    /// All holders of this site's records acknowledged the new ones.
    pub(crate) fn note_published(&mut self, site: PeerKey, holders: usize, now: Instant) {
        let mut rows = self.rows.iter_mut().rev();
        if let Some(row) = rows.find(|row| row.site == Some(site) && row.is_open) {
            row.handover.published_us = Some(row.since(now));
            row.handover.holders = Some(holders);
        }
        self.close(Row::is_done);
    }

    /// Ends the rows of which that is so.
    fn close(&mut self, is_ended: impl Fn(&Row) -> bool) {
        self.rows.iter_mut().filter(|row| is_ended(row)).for_each(Row::end);
    }

    /// Gives up on what did not come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.close(|row| row.began_at + PATIENCE <= now);
    }

    /// The next of which nothing more is waited for, each once.
    pub(crate) fn poll_ended(&mut self) -> Option<&Handover> {
        let row = self.rows.iter_mut().find(|row| !row.is_open && !row.is_told)?;
        row.is_told = true;
        Some(&row.handover)
    }

    /// When to call [`Handovers::handle_timeout`].
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let open = self.rows.iter().filter(|row| row.is_open);
        open.map(|row| row.began_at + PATIENCE).min()
    }

    fn remembered(&self) -> impl Iterator<Item = &Handover> {
        let made_way = self.rows.len().saturating_sub(MAX_HANDOVERS);
        self.rows.iter().skip(made_way).map(|row| &row.handover)
    }

    /// The remembered ones as a person reads them.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for handover in self.remembered() {
            let (of_day, ms) = ((handover.unix_ms / 1000) % 86_400, handover.unix_ms % 1000);
            let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
            text += &format!("{hour:02}:{minute:02}:{second:02}.{ms:03} UTC  {handover}\n");
        }
        if text.is_empty() {
            text += "no handover since the start\n";
        }
        text
    }

    /// What there was in all.
    pub(crate) fn summary(&self) -> Summary {
        let mut answered = Vec::new();
        for (place, &count) in self.answered.iter().enumerate() {
            answered.push(Class { up_to_ms: CLASSES.get(place).copied(), count });
        }
        Summary { count: self.own, answered }
    }
}

fn between(from: Option<IpAddr>, to: Option<IpAddr>, unix_ms: u64) -> Handover {
    let [from, to] = [from, to].map(|rloc| rloc.map(|rloc| rloc.to_string()));
    Handover { from, to, unix_ms, ..Handover::default() }
}

/// One word, for programs.
fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::First => "first",
        Cause::Lost => "lost",
        Cause::Roamed => "roamed",
        Cause::Better => "better",
        Cause::Silent => "silent",
        Cause::Reconfigured => "reconfigured",
    }
}

fn class_of(span_us: u64) -> usize {
    let is_within = |bound: &u32| span_us <= u64::from(*bound) * 1000;
    CLASSES.iter().position(is_within).unwrap_or(CLASSES.len())
}

/// The remembered ones, the oldest first.
impl List for Handovers {
    fn tell(&self, to: &mut dyn FnMut(Value<'_>)) {
        self.remembered().for_each(|handover| to(handover.told()));
    }
}

impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |rloc: &Option<String>| rloc.clone().unwrap_or_else(|| "nowhere".into());
        match &self.site {
            Some(site) => write!(f, "site {site} moved")?,
            None => write!(f, "handover")?,
        }
        write!(f, " from {} to {}", place(&self.from), place(&self.to))?;
        if self.site.is_none() {
            write!(f, ", {} ({})", self.cause, self.source)?;
        }
        let steps = [
            ("moved", self.moved_us),
            ("sent", self.sent_us),
            ("answered", self.answered_us),
            ("registered", self.registered_us),
        ];
        for (name, span) in steps.into_iter().filter(|_| self.site.is_none()) {
            match span {
                Some(us) => write!(f, ", {name} {}.{} ms", us / 1000, us % 1000 / 100)?,
                None => write!(f, ", not {name}")?,
            }
        }
        if let (Some(us), Some(holders)) = (self.published_us, self.holders) {
            write!(f, ", {holders} others told in {}.{} ms", us / 1000, us % 1000 / 100)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn rows(handovers: &Handovers) -> impl Iterator<Item = &Handover> {
        handovers.remembered()
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn moved(handovers: &mut Handovers, began_at: Instant) {
        let way = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        handovers.begin("netlink", Cause::Lost, way, began_at, 1_000);
    }

    #[test]
    fn each_step_counts_from_the_event_and_the_first_of_its_kind_stays() {
        let mut handovers = Handovers::new();
        handovers.note(Step::Answered, at(1));
        assert_eq!(rows(&handovers).count(), 0);
        moved(&mut handovers, at(100));
        handovers.note(Step::Moved, at(101));
        handovers.note(Step::Sent, at(102));
        handovers.note(Step::Answered, at(112));
        handovers.note(Step::Answered, at(150));
        assert_eq!(handovers.poll_at(), Some(at(10_100)));
        handovers.note(Step::Registered, at(120));
        assert_eq!(handovers.poll_at(), None, "nothing more is waited for");
        assert_eq!(handovers.poll_ended().map(|one| one.registered_us), Some(Some(20_000)));
        assert_eq!(handovers.poll_ended(), None);
        let one = rows(&handovers).next().unwrap();
        let spans = [one.moved_us, one.sent_us, one.answered_us, one.registered_us];
        assert_eq!(spans, [Some(1000), Some(2000), Some(12_000), Some(20_000)]);
        let text = "handover from 192.0.2.1 to 192.0.2.2, lost (netlink), moved 1.0 ms, sent 2.0 ms, \
                    answered 12.0 ms, registered 20.0 ms";
        assert_eq!(one.to_string(), text);
        let summary = handovers.summary();
        assert_eq!(summary.count, 1);
        let class = summary.answered.iter().find(|class| class.count == 1).unwrap();
        assert_eq!(class.up_to_ms, Some(20));
    }

    #[test]
    fn what_does_not_come_is_not_waited_for_and_the_oldest_make_way() {
        let mut handovers = Handovers::new();
        moved(&mut handovers, at(0));
        handovers.handle_timeout(at(10_000));
        handovers.note(Step::Answered, at(10_001));
        assert_eq!(rows(&handovers).next().unwrap().answered_us, None);
        for number in 0..100 {
            moved(&mut handovers, at(20_000 + number));
        }
        assert_eq!(rows(&handovers).count(), MAX_HANDOVERS);
        assert_eq!(rows(&handovers).last().unwrap().number, 101);
        assert_eq!(rows(&handovers).filter(|one| one.moved_us.is_some()).count(), 0);
    }

    /// What these tests logged.
    struct Lines(Mutex<Vec<String>>);

    static LINES: Lines = Lines(Mutex::new(Vec::new()));

    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            self.0.lock().expect("a log").push(record.args().to_string());
        }

        fn flush(&self) {}
    }

    #[test]
    fn each_is_logged_and_told_once_even_if_it_makes_way_before_its_end() {
        log::set_logger(&LINES).expect("no other logger in these tests");
        log::set_max_level(log::LevelFilter::Info);
        let mut handovers = Handovers::new();
        let count = MAX_HANDOVERS as u8 + 30;
        for site in 0..count {
            let to = Some([198, 51, 100, site].into());
            let name = format!("crowd{site}");
            handovers.begin_site((PeerKey([site; 32]), name), (None, to), at(5), 0);
        }
        handovers.note_published(PeerKey([count - 1; 32]), 2, at(9));
        handovers.handle_timeout(at(20_000));
        let mut numbers = Vec::new();
        while let Some(told) = handovers.poll_ended() {
            numbers.push(told.number);
        }
        assert_eq!(numbers, Vec::from_iter(1..=u64::from(count)));
        let lines = LINES.0.lock().expect("a log");
        for site in 0..count {
            let of_site = format!("site crowd{site} moved");
            let logged = lines.iter().filter(|line| line.starts_with(&of_site)).count();
            assert_eq!(logged, 1, "{of_site}");
        }
    }

    #[test]
    fn untold_ones_are_bounded() {
        let mut handovers = Handovers::new();
        for number in 0..2 * MAX_UNTOLD as u64 {
            moved(&mut handovers, at(number));
        }
        assert_eq!(handovers.rows.len(), MAX_UNTOLD);
        assert_eq!(handovers.poll_ended().map(|one| one.number), Some(MAX_UNTOLD as u64 + 1));
        while handovers.poll_ended().is_some() {}
        moved(&mut handovers, at(1_000));
        assert_eq!(handovers.rows.len(), MAX_HANDOVERS);
        let room = Handovers::new().rows.capacity();
        let mut handovers = Handovers::new();
        for number in 0..2 * MAX_UNTOLD as u64 {
            moved(&mut handovers, at(number));
            while handovers.poll_ended().is_some() {}
        }
        assert_eq!(handovers.rows.capacity(), room, "nobody has to wait");
    }

    #[test]
    fn sites_move_beside_one_another() {
        let mut handovers = Handovers::new();
        for site in [1, 2] {
            let name = format!("site{site}");
            let to = Some([192, 0, 2, site].into());
            handovers.begin_site((PeerKey([site; 32]), name), (None, to), at(5), 86_399_123);
        }
        handovers.note_published(PeerKey([1; 32]), 3, at(9));
        handovers.note_published(PeerKey([2; 32]), 0, at(25));
        assert_eq!(
            handovers.table(),
            "23:59:59.123 UTC  site site1 moved from nowhere to 192.0.2.1, 3 others told in 4.0 ms\n\
             23:59:59.123 UTC  site site2 moved from nowhere to 192.0.2.2, 0 others told in 20.0 ms\n"
        );
        assert_eq!(Handovers::new().table(), "no handover since the start\n");
        assert_eq!(handovers.summary().count, 0);
    }
}
