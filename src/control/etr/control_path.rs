//! Whether the Map-Server can be reached over our present way out: asked by an Info-Request, which
//! is what a control tunnel has for a probe.

use core::time::Duration;

use crate::itr::Standing;
use crate::random::Random;
use crate::round_trip::RoundTrip;
use crate::{Instant, PeerKey};
use wire::Nonce;

/// New questions are this far apart.
const INTERVAL: Duration = Duration::from_millis(250);
/// The bit of a nonce that tells which of the two transmissions is answered.
const TRY_BIT: u64 = 1;

/// The last question, and what is known of the Map-Server's distance.
pub(crate) struct ControlPath {
    round_trip: RoundTrip,
    question: Option<Question>,
    heard_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Question {
    map_server: PeerKey,
    nonce: u64,
    asked_at: Instant,
    again_at: Instant,
    fails_at: Instant,
    tries: u8,
}

impl ControlPath {
    pub(crate) const fn new() -> ControlPath {
        ControlPath { round_trip: RoundTrip::new(), question: None, heard_at: None }
    }

    /// Asks the Map-Server in use whether it is there, unless it was asked just now. Without one
    /// nothing speaks for our way out.
    pub(crate) fn ask(&mut self, used: Option<PeerKey>, random: &mut Random, now: Instant) {
        let Some(map_server) = used else {
            self.question = None;
            return;
        };
        let is_recent = |question: &Question| {
            question.map_server == map_server && now - question.asked_at < INTERVAL
        };
        if self.question.as_ref().is_some_and(is_recent) {
            return;
        }
        self.question = Some(Question {
            map_server,
            nonce: random.next_u64() & !TRY_BIT,
            asked_at: now,
            again_at: now + self.round_trip.retry_after(),
            fails_at: now + self.round_trip.timeout(),
            tries: 0,
        });
    }

    /// We leave by other uplinks: what was found out is of no use any more.
    pub(crate) fn handle_uplinks(&mut self) {
        self.round_trip.expire();
        self.question = None;
    }

    /// The Map-Server answered something else of ours.
    pub(crate) fn handle_heard(&mut self, map_server: PeerKey, now: Instant) {
        if self.question.as_ref().is_some_and(|question| question.map_server == map_server) {
            self.heard_at = Some(now);
        }
    }

    /// So long did it take the Map-Server to answer something else.
    pub(crate) fn handle_round_trip(&mut self, round_trip: Duration) {
        if !self.round_trip.is_known() {
            self.round_trip.sample(round_trip);
        }
    }

    /// An Info-Reply; false when it answers none of our questions.
    pub(crate) fn handle_reply(&mut self, peer: PeerKey, answer: Nonce, now: Instant) -> bool {
        let Some(question) = self.question.filter(|question| {
            question.map_server == peer
                && question.nonce == answer.0 & !TRY_BIT
                && answer.0 & TRY_BIT < u64::from(question.tries)
        }) else {
            return false;
        };
        let is_first = answer.0 & TRY_BIT == 0;
        let sent_at = if is_first { question.asked_at } else { question.again_at };
        self.round_trip.sample(now - sent_at);
        self.heard_at = Some(now);
        true
    }

    /// What is known of our way out.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        match self.question {
            None => Standing::Silent,
            Some(question) if self.heard_at.is_some_and(|at| at >= question.asked_at) => {
                Standing::Heard
            }
            Some(question) if question.fails_at > now => Standing::Asked(question.fails_at),
            Some(_) => Standing::Silent,
        }
    }

    /// The Info-Request that is due: to whom and with which nonce.
    pub(crate) fn poll_request(&mut self, now: Instant) -> Option<(PeerKey, Nonce)> {
        let due_at = self.due_at().filter(|at| *at <= now)?;
        let question = self.question.as_mut()?;
        let nonce = Nonce(question.nonce | u64::from(question.tries));
        question.tries += 1;
        if due_at != question.asked_at {
            question.again_at = now;
        }
        Some((question.map_server, nonce))
    }

    /// When the question is to be sent, again or for the first time.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let question = self.question.as_ref()?;
        let is_heard = self.heard_at.is_some_and(|at| at >= question.asked_at);
        match question.tries {
            0 => Some(question.asked_at),
            1 if !is_heard => Some(question.again_at),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: PeerKey = PeerKey([1; 32]);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn asked() -> (ControlPath, Random, Nonce) {
        let (mut path, mut random) = (ControlPath::new(), Random::new(&[1; 32], b"test"));
        path.ask(Some(SERVER), &mut random, at(0));
        let (map_server, nonce) = path.poll_request(at(0)).unwrap();
        assert_eq!((map_server, path.poll_request(at(0))), (SERVER, None));
        (path, random, nonce)
    }

    #[test]
    fn an_unanswered_question_is_sent_twice_and_then_the_map_server_is_silent() {
        let (mut path, ..) = asked();
        assert_eq!(path.due_at(), Some(at(50)));
        assert!(path.poll_request(at(50)).is_some());
        assert_eq!(path.due_at(), None);
        assert_eq!(path.standing(at(99)), Standing::Asked(at(100)));
        assert_eq!(path.standing(at(100)), Standing::Silent);
    }

    #[test]
    fn its_answer_or_any_other_answer_of_the_map_server_proves_the_way() {
        let (mut path, mut random, nonce) = asked();
        assert!(!path.handle_reply(PeerKey([2; 32]), nonce, at(10)));
        assert!(!path.handle_reply(SERVER, Nonce(nonce.0 | TRY_BIT), at(10)), "not sent yet");
        assert!(path.handle_reply(SERVER, nonce, at(10)));
        assert_eq!((path.standing(at(900)), path.due_at()), (Standing::Heard, None));
        path.ask(Some(SERVER), &mut random, at(1_000));
        assert_eq!(
            path.standing(at(1_000)),
            Standing::Asked(at(1_050)),
            "twice 10 ms, at least 50"
        );
        path.handle_heard(PeerKey([2; 32]), at(1_001));
        assert_eq!(path.standing(at(1_060)), Standing::Silent);
        path.handle_heard(SERVER, at(1_070));
        assert_eq!(path.standing(at(1_070)), Standing::Heard, "late is not never");
    }

    #[test]
    fn questions_are_a_quarter_of_a_second_apart_unless_the_way_changes() {
        let (mut path, mut random, _) = asked();
        path.poll_request(at(50));
        path.ask(Some(SERVER), &mut random, at(249));
        assert_eq!(path.poll_request(at(249)), None);
        path.ask(Some(SERVER), &mut random, at(250));
        assert!(path.poll_request(at(250)).is_some());
        path.handle_uplinks();
        assert_eq!(path.standing(at(251)), Standing::Silent);
        path.ask(Some(SERVER), &mut random, at(251));
        assert!(path.poll_request(at(251)).is_some());
        path.ask(None, &mut random, at(252));
        assert_eq!(path.standing(at(252)), Standing::Silent, "there is nobody to ask");
    }
}
