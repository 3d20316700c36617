//! Questions of a person to the mapping system (`lig`, RFC 6835 by name), at most eight at once.

use crate::{Eid, Event, Mapping};

const MAX_LIGS: usize = 8;

/// Open questions, and answers not yet told.
pub(crate) struct Ligs {
    rows: heapless::Vec<(Eid, State), MAX_LIGS>,
    /// The answer told of last.
    told: Option<Mapping>,
}

#[expect(clippy::large_enum_variant, reason = "eight at most, made once")]
enum State {
    Open,
    Answered(Option<Mapping>),
}

impl Ligs {
    pub(crate) const fn new() -> Ligs {
        Ligs { rows: heapless::Vec::new(), told: None }
    }

    /// Notes a question; false when there are too many. Asking twice is asking once.
    pub(crate) fn ask(&mut self, eid: Eid) -> bool {
        self.rows.iter().any(|(asked, _)| *asked == eid)
            || self.rows.push((eid, State::Open)).is_ok()
    }

    /// Whether this question is open, or its answer not yet told.
    pub(crate) fn contains(&self, eid: Eid) -> bool {
        self.rows.iter().any(|(asked, _)| *asked == eid)
    }

    /// The mapping system said this, or nothing.
    pub(crate) fn handle_answer(&mut self, eid: Eid, mapping: Option<&Mapping>) {
        for (_, state) in self.rows.iter_mut().filter(|(asked, _)| *asked == eid) {
            if matches!(state, State::Open) {
                *state = State::Answered(mapping.cloned());
            }
        }
    }

    /// A push told of a mapping: it answers the questions that it covers.
    pub(crate) fn handle_push(&mut self, mapping: &Mapping) {
        for (_, state) in self.rows.iter_mut().filter(|(eid, _)| mapping.eid_prefix.contains(*eid))
        {
            if matches!(state, State::Open) {
                *state = State::Answered(Some(mapping.clone()));
            }
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let is_answered = |(_, state): &(Eid, State)| matches!(state, State::Answered(_));
        let place = self.rows.iter().position(is_answered)?;
        let (eid, state) = self.rows.swap_remove(place);
        self.told = match state {
            State::Answered(mapping) => mapping,
            State::Open => None,
        };
        Some(Event::Lig { eid })
    }

    /// A question could not be asked.
    pub(crate) fn refuse(&mut self, eid: Eid) -> Event {
        self.told = None;
        Event::Lig { eid }
    }

    /// The answer told of last.
    pub(crate) fn told(&self) -> Option<&Mapping> {
        self.told.as_ref()
    }
}
