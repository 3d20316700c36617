//! RLOC-probing (RFC 9301 section 7.1): whether the path to a data peer still carries, both ways.
//!
//! A peer is probed when data went to it and nothing came back, and after our uplinks changed. Only
//! the first kind leads to a verdict, and only when the probe and its repetition went unanswered.
//! Bounded: as many rows as there may be data peers; of more, the one that is idle for longest goes.

use alloc::vec::Vec;
use core::time::Duration;

use crate::random::Random;
use crate::round_trip::RoundTrip;
use crate::{Event, Instant, PeerKey};
use wire::Nonce;

/// Transmissions of a probe on whose answer something depends.
const TRIES: u8 = 2;
/// Transmissions of one that only measures: a new path's first packets may be lost.
const MEASURING_TRIES: u8 = 4;
/// The bit of a probe's nonce that says that earlier ones went unanswered: it may be the way out of
/// the one who gets it that is broken, though what comes to it arrives.
const PLEA_BIT: u64 = 0b001;
/// Bits of a nonce that tell which of its transmissions is answered.
const TRY_BITS: u64 = 0b110;
/// Pause after all that could be tried was, doubling.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// What it doubles to.
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// How often a peer that was heard since may be a reason to give an uplink up.
const PATH_FAILURES: u8 = 3;
/// Answers and moves that nobody polled yet; of more the oldest are not told.
const MAX_EVENTS: usize = 8;

/// What is known of the paths to data peers.
pub(crate) struct Prober {
    rows: Vec<Row>,
    limit: usize,
    events: heapless::Deque<Event, MAX_EVENTS>,
}

struct Row {
    peer: PeerKey,
    round_trip: RoundTrip,
    state: State,
    /// The last one: its answer may come late.
    probe: Probe,
    answered_at: Option<Instant>,
    /// Endpoints found silent since the peer was last heard.
    tried: u8,
    /// Verdicts on the uplink that this peer may still cause.
    path_failures_left: u8,
    pause: Duration,
    used_at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    /// Nothing depends on the answer.
    Measuring,
    /// Is it silent?
    Doubted,
    /// It is. Whose fault that is may be open until then.
    Unanswered {
        until: Instant,
    },
    /// The path is to blame: the uplink is given up if there is another one.
    Failed {
        is_told: bool,
    },
    /// All was tried.
    Paused {
        until: Instant,
    },
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    /// Of its first transmission.
    nonce: u64,
    sent_at: [Instant; MEASURING_TRIES as usize],
    tries: u8,
    due_at: Instant,
    is_answered: bool,
}

/// Whether the sender of a probe got no answer to the one before.
pub(crate) fn is_plea(nonce: Nonce) -> bool {
    nonce.0 & PLEA_BIT != 0
}

/// What a Map-Reply with the P-bit turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answered {
    /// The first answer to the last probe.
    Now,
    /// The answer to its repetition.
    Again,
    /// Nothing was asked.
    Unknown,
}

impl Prober {
    pub(crate) fn with_limit(limit: usize) -> Prober {
        Prober { rows: Vec::with_capacity(limit), limit, events: heapless::Deque::new() }
    }

    /// Data went to the peer and nothing came back; true when it is being asked now, false when it
    /// is already, was in vain just now, or there is no place.
    pub(crate) fn handle_silent(
        &mut self,
        peer: PeerKey,
        random: &mut Random,
        now: Instant,
    ) -> bool {
        let Some(row) = self.row(peer, now) else { return false };
        match row.state {
            State::Idle | State::Measuring => {}
            State::Paused { until } if until <= now => {}
            _ => return false,
        }
        row.begin(State::Doubted, false, random, now);
        true
    }

    /// Measures the path to a peer; not while a verdict is being found.
    pub(crate) fn measure(&mut self, peer: PeerKey, random: &mut Random, now: Instant) {
        if let Some(row) = self.row(peer, now)
            && matches!(row.state, State::Idle | State::Measuring | State::Paused { .. })
        {
            row.begin(State::Measuring, false, random, now);
        }
    }

    /// Whether the path to the peer was never measured.
    pub(crate) fn is_new(&self, peer: PeerKey) -> bool {
        !self.rows.iter().any(|row| row.peer == peer)
    }

    /// We leave by other uplinks: each path is another one, and who was silent gets another chance.
    /// True when there are such.
    pub(crate) fn handle_uplinks(&mut self, random: &mut Random, now: Instant) -> bool {
        let mut is_doubting = false;
        for row in &mut self.rows {
            row.round_trip.expire();
            row.tried = 0;
            if matches!(row.state, State::Doubted | State::Unanswered { .. } | State::Failed { .. })
            {
                let is_plea = row.state != State::Doubted || row.probe.nonce & PLEA_BIT != 0;
                row.begin(State::Doubted, is_plea, random, now);
                is_doubting = true;
            }
        }
        is_doubting
    }

    /// The peer sends, or is elsewhere: it was not, or is not any more, out of reach.
    pub(crate) fn trust(&mut self, peer: PeerKey) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.peer == peer) {
            row.trust();
        }
    }

    /// A Map-Reply with the P-bit from the peer.
    pub(crate) fn handle_reply(&mut self, peer: PeerKey, nonce: Nonce, now: Instant) -> Answered {
        let Some(row) = self.rows.iter_mut().find(|row| row.peer == peer) else {
            return Answered::Unknown;
        };
        let Some(sent_at) = row.probe.sent_at(nonce) else { return Answered::Unknown };
        if core::mem::replace(&mut row.probe.is_answered, true) {
            return Answered::Again;
        }
        let round_trip = now - sent_at;
        row.round_trip.sample(round_trip);
        row.answered_at = Some(now);
        row.trust();
        row.state = State::Idle;
        self.tell(Event::PathAnswered { peer, round_trip });
        Answered::Now
    }

    pub(crate) fn tell(&mut self, event: Event) {
        if self.events.is_full() {
            self.events.pop_front();
        }
        let is_in = self.events.push_back(event).is_ok();
        debug_assert!(is_in, "a place was made");
    }

    /// Ends what went unanswered.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for row in self.rows.iter_mut().filter(|row| row.probe.due_at <= now) {
            match row.state {
                State::Measuring if row.probe.tries >= MEASURING_TRIES => row.state = State::Idle,
                State::Doubted if row.probe.tries >= TRIES => {
                    row.state = State::Unanswered { until: now };
                }
                _ => {}
            }
        }
    }

    /// A peer that did not answer, and since when it was asked: to be followed by
    /// [`Prober::wait`], [`Prober::fail`], [`Prober::retry`], [`Prober::pause`] or
    /// [`Prober::forget`]. Those at `from` and later places, with where to go on.
    pub(crate) fn unanswered(&self, from: usize) -> Option<(usize, PeerKey, Instant)> {
        let mut rows = self.rows.iter().enumerate().skip(from);
        let is_open = |row: &Row| matches!(row.state, State::Unanswered { .. });
        let (place, row) = rows.find(|(_, row)| is_open(row))?;
        Some((place, row.peer, row.probe.sent_at[0]))
    }

    /// The verdict waits until then for what else is being found out.
    pub(crate) fn wait(&mut self, place: usize, until: Instant) {
        self.rows[place].state = State::Unanswered { until };
    }

    /// The path is to blame; false when this peer caused too many such verdicts.
    pub(crate) fn fail(&mut self, place: usize) -> bool {
        let row = &mut self.rows[place];
        let Some(left) = row.path_failures_left.checked_sub(1) else { return false };
        row.path_failures_left = left;
        row.state = State::Failed { is_told: false };
        true
    }

    /// The next peer whose path is to blame, which is told now.
    pub(crate) fn poll_failed(&mut self) -> Option<PeerKey> {
        let untold = State::Failed { is_told: false };
        let row = self.rows.iter_mut().find(|row| row.state == untold)?;
        row.state = State::Failed { is_told: true };
        Some(row.peer)
    }

    /// The paths to those peers are told of as well.
    pub(crate) fn note_told(&mut self, is_meant: impl Fn(PeerKey) -> bool) {
        let untold = State::Failed { is_told: false };
        let rows = self.rows.iter_mut().filter(|row| row.state == untold && is_meant(row.peer));
        rows.for_each(|row| row.state = State::Failed { is_told: true });
    }

    /// What was told, and no uplink came in its place.
    pub(crate) fn stranded(&self, from: usize) -> Option<(usize, PeerKey)> {
        let told = State::Failed { is_told: true };
        let mut rows = self.rows.iter().enumerate().skip(from);
        rows.find(|(_, row)| row.state == told).map(|(place, row)| (place, row.peer))
    }

    /// One more endpoint was silent; how many that makes.
    pub(crate) fn note_tried(&mut self, place: usize) -> usize {
        let row = &mut self.rows[place];
        row.tried = row.tried.saturating_add(1);
        usize::from(row.tried)
    }

    /// The peer is tried at another endpoint.
    pub(crate) fn retry(&mut self, place: usize, random: &mut Random, now: Instant) {
        let row = &mut self.rows[place];
        row.round_trip.expire();
        row.begin(State::Doubted, true, random, now);
    }

    /// All was tried: the peer is left alone for a while.
    pub(crate) fn pause(&mut self, place: usize, now: Instant) {
        let row = &mut self.rows[place];
        row.state = State::Paused { until: now + row.pause };
        row.pause = (row.pause * 2).min(LAST_PAUSE);
        row.tried = 0;
        row.path_failures_left = 1;
    }

    /// It is no peer any more.
    pub(crate) fn forget(&mut self, place: usize) {
        self.rows[place].state = State::Idle;
    }

    /// Whether one of the peers for which that holds answered a probe since then.
    pub(crate) fn has_answer(&self, since: Instant, is_meant: impl Fn(PeerKey) -> bool) -> bool {
        let is_late = |row: &Row| row.answered_at.is_some_and(|at| at >= since);
        self.rows.iter().any(|row| is_late(row) && is_meant(row.peer))
    }

    /// The next probe that is due.
    pub(crate) fn poll_probe(&mut self, now: Instant) -> Option<(PeerKey, Nonce)> {
        self.rows.iter_mut().find_map(|row| row.poll_probe(now))
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.rows.iter().filter_map(Row::due_at).min()
    }

    /// The row of a peer; a new one takes the place of the one idle for longest in a full table.
    fn row(&mut self, peer: PeerKey, now: Instant) -> Option<&mut Row> {
        let place = match self.rows.iter().position(|row| row.peer == peer) {
            Some(place) => place,
            None => {
                if self.rows.len() >= self.limit {
                    let idle = self.rows.iter().enumerate();
                    let idle = idle.filter(|(_, row)| row.due_at().is_none());
                    let (oldest, _) = idle.min_by_key(|(_, row)| row.used_at)?;
                    self.rows.swap_remove(oldest);
                }
                self.rows.push(Row::new(peer, now));
                self.rows.len() - 1
            }
        };
        let row = &mut self.rows[place];
        row.used_at = now;
        Some(row)
    }
}

impl Row {
    fn new(peer: PeerKey, now: Instant) -> Row {
        let sent_at = [now; MEASURING_TRIES as usize];
        Row {
            peer,
            round_trip: RoundTrip::default(),
            state: State::Idle,
            probe: Probe { nonce: 0, sent_at, tries: 0, due_at: now, is_answered: true },
            answered_at: None,
            tried: 0,
            path_failures_left: PATH_FAILURES,
            pause: FIRST_PAUSE,
            used_at: now,
        }
    }

    fn begin(&mut self, state: State, is_plea: bool, random: &mut Random, now: Instant) {
        self.state = state;
        let sent_at = [now; MEASURING_TRIES as usize];
        let nonce = random.next_u64() & !(TRY_BITS | PLEA_BIT) | u64::from(is_plea);
        self.probe = Probe { nonce, sent_at, tries: 0, due_at: now, is_answered: false };
    }

    /// The peer was heard.
    fn trust(&mut self) {
        self.tried = 0;
        self.path_failures_left = PATH_FAILURES;
        self.pause = FIRST_PAUSE;
        if matches!(self.state, State::Paused { .. }) {
            self.state = State::Idle;
        }
    }

    fn poll_probe(&mut self, now: Instant) -> Option<(PeerKey, Nonce)> {
        let Row { round_trip, probe, .. } = self;
        let after = |tries: u8| match self.state {
            State::Measuring if tries < MEASURING_TRIES => {
                Some(round_trip.timeout() * (1 << tries))
            }
            State::Doubted if tries == 0 => Some(round_trip.retry_after()),
            State::Doubted if tries < TRIES => {
                Some(round_trip.timeout() - round_trip.retry_after())
            }
            _ => None,
        };
        let interval = after(probe.tries).filter(|_| probe.due_at <= now)?;
        let place = usize::from(probe.tries);
        probe.sent_at[place] = now;
        probe.tries += 1;
        probe.due_at = now + interval;
        Some((self.peer, Nonce(probe.nonce | (place as u64) << TRY_BITS.trailing_zeros())))
    }

    fn due_at(&self) -> Option<Instant> {
        match self.state {
            State::Idle | State::Failed { .. } | State::Paused { .. } => None,
            State::Measuring | State::Doubted => Some(self.probe.due_at),
            State::Unanswered { until } => Some(until),
        }
    }
}

impl Probe {
    /// When the transmission that this nonce answers was sent.
    fn sent_at(&self, answer: Nonce) -> Option<Instant> {
        let place = ((answer.0 & TRY_BITS) >> TRY_BITS.trailing_zeros()) as usize;
        let is_sent = answer.0 & !TRY_BITS == self.nonce && place < usize::from(self.tries);
        is_sent.then(|| self.sent_at[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> PeerKey {
        PeerKey([number; 32])
    }

    /// Sends what is due until then: when, to whom, under which nonce.
    fn run(prober: &mut Prober, until: u64) -> Vec<(u64, u8, Nonce)> {
        let mut sent = Vec::new();
        while let Some(now) = prober.poll_at().filter(|at| *at <= Instant::from_millis(until)) {
            prober.handle_timeout(now);
            while let Some((place, ..)) = prober.unanswered(0) {
                prober.pause(place, now);
            }
            while let Some((peer, nonce)) = prober.poll_probe(now) {
                sent.push((now.as_micros() / 1_000, peer.0[0], nonce));
            }
            assert!(prober.poll_at().is_none_or(|at| at > now));
        }
        sent
    }

    #[test]
    fn each_transmission_is_known_by_its_nonce() {
        let mut random = Random::new(&[1; 32], b"test");
        for answered in 0..4_usize {
            let mut prober = Prober::with_limit(1);
            prober.measure(peer(1), &mut random, Instant::ZERO);
            let sent = run(&mut prober, 750);
            let times: Vec<_> = sent.iter().map(|(at, ..)| *at).collect();
            assert_eq!(times, [0, 100, 300, 700]);
            let (at, _, nonce) = sent[answered];
            let now = Instant::from_millis(750);
            assert_eq!(prober.handle_reply(peer(2), nonce, now), Answered::Unknown);
            assert_eq!(prober.handle_reply(peer(1), Nonce(!nonce.0), now), Answered::Unknown);
            assert_eq!(prober.handle_reply(peer(1), nonce, now), Answered::Now);
            let round_trip = Duration::from_millis(750 - at);
            assert_eq!(
                prober.poll_event(),
                Some(Event::PathAnswered { peer: peer(1), round_trip })
            );
            assert_eq!(prober.handle_reply(peer(1), sent[0].2, now), Answered::Again);
            assert_eq!((prober.poll_event(), prober.poll_at()), (None, None));
        }
    }

    #[test]
    fn a_full_table_forgets_who_is_idle_for_longest_and_nobody_who_is_asked() {
        let mut random = Random::new(&[1; 32], b"test");
        let mut prober = Prober::with_limit(2);
        for number in 1..=3 {
            let is_in = prober.handle_silent(peer(number), &mut random, Instant::ZERO);
            assert_eq!(is_in, number < 3, "two are being asked");
        }
        run(&mut prober, 200);
        let now = Instant::from_millis(300);
        assert!(!prober.handle_silent(peer(1), &mut random, now), "it pauses");
        assert!(prober.handle_silent(peer(3), &mut random, now));
        assert!(prober.is_new(peer(2)) && !prober.is_new(peer(1)));
    }

    #[test]
    fn events_that_nobody_polls_are_bounded() {
        let mut random = Random::new(&[1; 32], b"test");
        let mut prober = Prober::with_limit(20);
        for number in 0..20 {
            prober.measure(peer(number), &mut random, Instant::ZERO);
        }
        for (_, peer, nonce) in run(&mut prober, 0) {
            prober.handle_reply(PeerKey([peer; 32]), nonce, Instant::ZERO);
        }
        let told: Vec<_> = core::iter::from_fn(|| prober.poll_event()).collect();
        assert_eq!(told.len(), MAX_EVENTS);
        assert!(matches!(told[7], Event::PathAnswered { peer, .. } if peer.0[0] == 19));
    }
}
