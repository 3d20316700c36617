//! Which EIDs are being asked for (RFC 9301 sections 5.3 and 8.1).
//!
//! Bounded. When full, an answered question gives its place up, then one that pauses; a new one
//! is refused when all are waiting for their answer.

use alloc::vec::Vec;
use core::time::Duration;

use super::map_cache_entry::Origin;
use crate::etr::registrar;
use crate::random::Random;
use crate::retransmission::Retransmission;
use crate::{Change, Eid, EidPrefix, Event, Instant, PeerKey, earliest};
use wire::Nonce;

/// Transmissions of one Map-Request (RFC 9301 section 5.3).
pub(crate) const MAX_TRIES: u32 = 10;

/// Pause after the last one in vain (RFC 9301 section 5.3).
pub(crate) const PAUSE: Duration = Duration::from_secs(30);

/// New Map-Requests for one EID-prefix are this far apart (RFC 9301 section 5.3).
pub(crate) const REQUEST_INTERVAL: Duration = Duration::from_secs(1);

/// How long a question waits for a Map-Server that acknowledges our registration.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(10);

/// Questions and their progress.
pub(crate) struct Resolver {
    requests: Vec<Request>,
    limit: usize,
    /// The earliest that one of them is due.
    due_at: Option<Instant>,
    /// Whether there may be one whose failure is to be told.
    has_failed: bool,
    /// Whether one may wait for a Map-Server.
    is_waiting: bool,
    /// The Map-Server that all others were asked of.
    map_server: Option<PeerKey>,
}

/// One EID that is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The EID.
    pub eid: Eid,
    /// The EID of ours that wants to talk to it.
    pub source: Eid,
    state: State,
    /// Packets wait for the answer.
    has_packets: bool,
    /// The data plane must be told that they wait in vain.
    fails_packets: bool,
    /// A person is to be told.
    is_news: bool,
    /// The site that is asked for wants it (RFC 9301 section 6.1).
    pub(super) is_smr_invoked: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Until a Map-Server acknowledges our registration.
    Waiting { give_up_at: Instant },
    /// Until the rate limit allows the request.
    Limited { ask_at: Instant },
    /// A Map-Request is outstanding.
    Asking { map_server: PeerKey, nonce: Nonce, asked_at: Instant, retransmission: Retransmission },
    /// Remembered for the rate limit.
    Answered { eid_prefix: EidPrefix, until: Instant },
    /// No answer came, or no use could be made of it.
    Paused { until: Instant },
}

/// How far a question is, for status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Waits for our registration or for the rate limit.
    Waiting,
    /// Sent this many times.
    Asked(u32),
    /// Answered less than a second ago.
    Answered,
    /// No answer: pauses until then.
    Paused(Instant),
}

/// What became of a miss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// The EID is being asked for, or will be.
    Yes,
    /// It was in vain less than 30 s ago.
    Paused,
    /// Too many are being asked for.
    Full,
}

impl Request {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        match self.state {
            State::Waiting { .. } | State::Limited { .. } => Progress::Waiting,
            State::Asking { retransmission, .. } => Progress::Asked(retransmission.tries()),
            State::Answered { .. } => Progress::Answered,
            State::Paused { until } => Progress::Paused(until),
        }
    }

    #[inline(always)]
    fn due_at(&self) -> Instant {
        match &self.state {
            State::Waiting { give_up_at } => *give_up_at,
            State::Limited { ask_at } => *ask_at,
            State::Asking { retransmission, .. } => retransmission.due_at(),
            State::Answered { until, .. } | State::Paused { until } => *until,
        }
    }

    fn is_open(&self) -> bool {
        !matches!(self.state, State::Answered { .. } | State::Paused { .. })
    }

    fn fail(&mut self, until: Instant, has_way: bool) {
        self.state = State::Paused { until };
        self.fails_packets = self.has_packets && !has_way;
        self.is_news = self.fails_packets;
        self.has_packets = false;
    }
}

impl Resolver {
    pub(crate) fn with_limit(limit: usize) -> Resolver {
        Resolver {
            requests: Vec::with_capacity(limit),
            limit,
            due_at: None,
            has_failed: false,
            is_waiting: false,
            map_server: None,
        }
    }

    /// Asks for `eid` unless it is being asked for already.
    pub(crate) fn ask(&mut self, eid: Eid, source: Eid, has_packets: bool, now: Instant) -> Asked {
        let asked = self.add(eid, source, has_packets, now);
        self.note_due();
        asked
    }

    fn add(&mut self, eid: Eid, source: Eid, has_packets: bool, now: Instant) -> Asked {
        let is_closed = |request: &Request| matches!(request.state, State::Answered { .. });
        if let Some(known) = self.request_mut(eid).filter(|known| !is_closed(known)) {
            if matches!(known.state, State::Paused { until } if until > now) {
                return Asked::Paused;
            }
            known.has_packets |= has_packets;
            if matches!(known.state, State::Paused { .. }) {
                known.state = State::Waiting { give_up_at: now + MAX_WAIT };
            }
            return Asked::Yes;
        }
        let answered = self.requests.iter().filter_map(|request| match request.state {
            State::Answered { eid_prefix, until } if eid_prefix.contains(eid) => Some(until),
            _ => None,
        });
        let state = match answered.max().filter(|until| *until > now) {
            Some(ask_at) => State::Limited { ask_at },
            None => State::Waiting { give_up_at: now + MAX_WAIT },
        };
        self.requests.retain(|request| request.eid != eid);
        if !self.make_room() {
            return Asked::Full;
        }
        self.requests.push(Request {
            eid,
            source,
            state,
            has_packets,
            fails_packets: false,
            is_news: false,
            is_smr_invoked: false,
        });
        Asked::Yes
    }

    /// Asks for `eid` because its site solicits it.
    pub(crate) fn ask_solicited(&mut self, eid: Eid, source: Eid, now: Instant) -> Asked {
        let asked = self.ask(eid, source, false, now);
        if let Some(request) = self.request_mut(eid) {
            request.is_smr_invoked = asked == Asked::Yes;
        }
        asked
    }

    /// Whether at most half of the places are taken by questions that are open.
    pub(crate) fn is_half_free(&self) -> bool {
        self.requests.iter().filter(|request| request.is_open()).count() < self.limit.div_ceil(2)
    }

    fn make_room(&mut self) -> bool {
        if self.requests.len() < self.limit {
            return true;
        }
        let rank =
            |request: &Request| (matches!(request.state, State::Paused { .. }), request.due_at());
        let closed = self.requests.iter().enumerate().filter(|(_, request)| {
            !request.is_open() && !request.fails_packets && !request.is_news
        });
        let Some((place, _)) = closed.min_by_key(|(_, request)| rank(request)) else {
            return false;
        };
        self.requests.swap_remove(place);
        true
    }

    fn request_mut(&mut self, eid: Eid) -> Option<&mut Request> {
        self.requests.iter_mut().rev().find(|request| request.eid == eid)
    }

    /// The outstanding question that a nonce from this Map-Server answers.
    pub(crate) fn outstanding(&self, peer: PeerKey, answer: Nonce) -> Option<(Eid, Origin)> {
        // The newest are the last.
        self.requests.iter().rev().find_map(|request| match &request.state {
            State::Asking { map_server, nonce, asked_at, .. }
                if *nonce == answer && *map_server == peer =>
            {
                Some((request.eid, Origin::Reply { asked_at: *asked_at }))
            }
            _ => None,
        })
    }

    /// The question is answered by a mapping or hole that reaches this far.
    pub(crate) fn handle_answer(&mut self, eid: Eid, eid_prefix: EidPrefix, now: Instant) {
        if let Some(request) = self.request_mut(eid) {
            let asked_at = match request.state {
                State::Asking { asked_at, .. } => asked_at,
                _ => now,
            };
            request.state = State::Answered { eid_prefix, until: asked_at + REQUEST_INTERVAL };
            (request.has_packets, request.is_smr_invoked) = (false, false);
            self.due_at = self.first_due_at();
        }
    }

    /// The answer is of no use to packets that wait; a person may still like it.
    pub(crate) fn handle_useless_answer(&mut self, eid: Eid, now: Instant) {
        if let Some(request) = self.request_mut(eid) {
            if request.has_packets {
                request.fail(now + PAUSE, false);
                self.note_due();
            } else {
                self.handle_answer(eid, EidPrefix::host(eid), now);
            }
        }
    }

    /// A push answers what had none. An open question stays open: a more specific mapping than the
    /// pushed one may be the answer, and packets wait on should the pushed one go again.
    pub(crate) fn handle_push(&mut self, eid_prefix: &EidPrefix) {
        for request in self.requests.iter_mut().filter(|row| eid_prefix.contains(row.eid)) {
            if let State::Paused { until } = request.state {
                let eid_prefix = *eid_prefix;
                request.state = State::Answered { eid_prefix, until };
                (request.fails_packets, request.is_news) = (false, false);
            }
        }
        self.note_due();
    }

    /// Asks what waits for `map_server`, the one that acknowledges our registration; gives up
    /// what had its ten tries; forgets what is over. Calls `failed` with each EID given up, which
    /// says whether packets to it found a way meanwhile.
    pub(crate) fn handle_timeout(
        &mut self,
        map_server: Option<&PeerKey>,
        random: &mut Random,
        now: Instant,
        mut failed: impl FnMut(Eid) -> bool,
    ) {
        let is_due = self.due_at.is_some_and(|due_at| due_at <= now);
        let is_new = self.map_server.as_ref() != map_server;
        let can_ask = self.is_waiting && map_server.is_some();
        if !(is_due || is_new || can_ask) {
            return;
        }
        self.map_server = map_server.copied();
        for request in &mut self.requests {
            match &request.state {
                State::Asking { map_server: asked, .. } if map_server != Some(asked) => {
                    request.state = State::Waiting { give_up_at: now + MAX_WAIT };
                }
                State::Limited { ask_at } if *ask_at <= now => {
                    request.state = State::Waiting { give_up_at: now + MAX_WAIT };
                }
                State::Asking { retransmission, .. }
                    if retransmission.tries() >= MAX_TRIES && retransmission.is_due(now) =>
                {
                    request.fail(now + PAUSE, failed(request.eid));
                }
                _ => {}
            }
            let State::Waiting { give_up_at } = request.state else { continue };
            if let Some(map_server) = map_server.copied() {
                let nonce = registrar::own(random.next_u64());
                let retransmission = Retransmission::starting_at(now);
                request.state = State::Asking { map_server, nonce, asked_at: now, retransmission };
            } else if give_up_at <= now {
                request.fail(now, failed(request.eid));
            }
        }
        self.requests.retain(|request| {
            request.is_open() || request.due_at() > now || request.fails_packets || request.is_news
        });
        self.note_due();
    }

    /// Packets that wait in vain, one EID at a time.
    pub(crate) fn poll_change(&mut self) -> Option<Change> {
        if !self.has_failed {
            return None;
        }
        let failed = self.requests.iter_mut().find(|request| request.fails_packets)?;
        failed.fails_packets = false;
        Some(Change::FailWaiting(failed.eid))
    }

    /// The next Map-Request to be sent: to whom, with which nonce, for what.
    pub(crate) fn poll_request(&mut self, now: Instant) -> Option<(PeerKey, Nonce, &Request)> {
        if self.due_at.is_none_or(|due_at| due_at > now) {
            return None;
        }
        let mut requests = self.requests.iter_mut().enumerate();
        let (place, map_server, nonce) =
            requests.find_map(|(place, request)| match &mut request.state {
                State::Asking { map_server, nonce, retransmission, .. }
                    if retransmission.is_due(now) && retransmission.tries() < MAX_TRIES =>
                {
                    retransmission.sent(now);
                    Some((place, *map_server, *nonce))
                }
                _ => None,
            })?;
        self.note_due();
        Some((map_server, nonce, &self.requests[place]))
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        if !self.has_failed {
            return None;
        }
        let failed = self.requests.iter_mut().find(|request| request.is_news);
        let eid = failed.map(|failed| {
            failed.is_news = false;
            failed.eid
        });
        self.note_due();
        Some(Event::ResolutionFailed { eid: eid? })
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// To be called after each change.
    fn note_due(&mut self) {
        self.due_at = self.first_due_at();
        self.has_failed =
            self.requests.iter().any(|request| request.fails_packets || request.is_news);
        self.is_waiting =
            self.requests.iter().any(|request| matches!(request.state, State::Waiting { .. }));
    }

    fn first_due_at(&self) -> Option<Instant> {
        let mut first = None;
        for request in &self.requests {
            first = earliest(first, Some(request.due_at()));
        }
        first
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstanceId;
    use std::vec::Vec;

    const SERVER: PeerKey = PeerKey([9; 32]);

    fn eid(last: u8) -> Eid {
        Eid { instance_id: InstanceId(0), address: [10, 0, 0, last].into() }
    }

    /// Runs the resolver to `until` and lists when it sent what.
    fn run(
        resolver: &mut Resolver,
        server: Option<PeerKey>,
        from: u64,
        until: u64,
    ) -> Vec<(u64, Nonce)> {
        let mut random = Random::new(&[from as u8; 32], b"test");
        let mut sent = Vec::new();
        let mut now = Instant::from_millis(from);
        while now <= Instant::from_millis(until) {
            resolver.handle_timeout(server.as_ref(), &mut random, now, |_| false);
            while let Some((_, nonce, _)) = resolver.poll_request(now) {
                sent.push((now.as_micros() / 1000, nonce));
            }
            while resolver.poll_event().is_some() {}
            match resolver.poll_at() {
                Some(at) => now = at.max(now + Duration::from_micros(1)),
                None => break,
            }
        }
        sent
    }

    #[test]
    fn ten_transmissions_of_the_same_message_then_a_pause() {
        let mut resolver = Resolver::with_limit(4);
        assert_eq!(resolver.ask(eid(1), eid(0), true, Instant::ZERO), Asked::Yes);
        let sent = run(&mut resolver, Some(SERVER), 0, 20_000);
        let times: Vec<_> = sent.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 50, 150, 350, 750, 1550, 2550, 3550, 4550, 5550]);
        assert!(sent.iter().all(|(_, nonce)| *nonce == sent[0].1));
        assert_eq!(resolver.poll_change(), Some(Change::FailWaiting(eid(1))));
        let paused_at = Instant::from_millis(6550);
        let late = resolver.ask(eid(1), eid(0), true, Instant::from_millis(36_549));
        assert_eq!(late, Asked::Paused);
        assert_eq!(resolver.ask(eid(1), eid(0), true, paused_at + PAUSE), Asked::Yes);
    }

    #[test]
    fn a_question_waits_for_the_registration_and_gives_up_after_ten_seconds() {
        let mut resolver = Resolver::with_limit(4);
        resolver.ask(eid(1), eid(0), true, Instant::ZERO);
        assert!(run(&mut resolver, None, 0, 9_999).is_empty());
        assert_eq!(run(&mut resolver, Some(SERVER), 9_999, 9_999).len(), 1);
        resolver.ask(eid(2), eid(0), true, Instant::from_millis(9_999));
        assert!(run(&mut resolver, None, 10_000, 30_000).is_empty());
        assert!(resolver.poll_change().is_some() && resolver.poll_change().is_some());
        assert_eq!(resolver.poll_change(), None);
    }

    #[test]
    fn new_requests_for_one_prefix_are_a_second_apart() {
        let mut resolver = Resolver::with_limit(4);
        let mut random = Random::new(&[0; 32], b"");
        resolver.ask(eid(1), eid(0), true, Instant::ZERO);
        resolver.handle_timeout(Some(&SERVER), &mut random, Instant::ZERO, |_| false);
        assert!(resolver.poll_request(Instant::ZERO).is_some());
        let at = Instant::from_millis(10);
        resolver.handle_answer(eid(1), "10.0.0.0/24".parse().unwrap(), at);
        assert_eq!(resolver.ask(eid(2), eid(0), true, at), Asked::Yes);
        let sent = run(&mut resolver, Some(SERVER), 10, 1000);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].0, 1000);
    }

    #[test]
    fn a_full_table_refuses_only_when_all_are_open() {
        let mut resolver = Resolver::with_limit(2);
        resolver.ask(eid(1), eid(0), true, Instant::ZERO);
        resolver.ask(eid(2), eid(0), true, Instant::ZERO);
        assert_eq!(resolver.ask(eid(3), eid(0), true, Instant::ZERO), Asked::Full);
        resolver.handle_answer(eid(1), "10.0.0.1/32".parse().unwrap(), Instant::ZERO);
        assert_eq!(resolver.ask(eid(3), eid(0), true, Instant::ZERO), Asked::Yes);
        assert_eq!(resolver.iter().count(), 2);
    }

    #[test]
    fn a_lost_map_server_sends_the_question_to_the_next() {
        let mut resolver = Resolver::with_limit(2);
        resolver.ask(eid(1), eid(0), true, Instant::ZERO);
        let first = run(&mut resolver, Some(SERVER), 0, 0)[0].1;
        let second = run(&mut resolver, Some(PeerKey([8; 32])), 1, 1)[0].1;
        assert_ne!(first, second);
        assert_eq!(resolver.outstanding(SERVER, first), None);
        assert!(resolver.outstanding(PeerKey([8; 32]), second).is_some());
    }
}
