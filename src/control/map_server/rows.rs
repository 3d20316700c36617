//! The records of one site, as it registered them.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::{EidPrefix, Instant, Mapping, PeerKey};

/// EID-prefixes that one site may have registered at once.
pub const MAX_REGISTRATIONS: usize = 32;
/// Registered rows, and as many withdrawn ones of which holders are yet to hear.
const MAX_ROWS: usize = 2 * MAX_REGISTRATIONS;
/// A holding, and the memory of a withdrawal, outlive the record TTL by this much.
pub(super) const HOLDING_MARGIN: Duration = Duration::from_secs(5 * 60);

/// Places of rows, one bit each.
pub(super) type RowSet = u64;

/// Rows that share a data key, under that key; `None` for those without a key.
pub(super) type Groups = heapless::Vec<(Option<PeerKey>, RowSet), MAX_REGISTRATIONS>;

/// One EID-prefix of a site.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) mapping: Mapping,
    pub(super) state: RowState,
    /// Boot counter of the site when it registered this.
    boot: u32,
}

/// Whether a row is registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RowState {
    /// It is.
    Registered { refreshed_at: Instant, expires_at: Instant },
    /// It was; it stands here so that its holders are told.
    Withdrawn { forget_at: Instant },
}

/// What registering did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Registered {
    pub(super) row: usize,
    pub(super) is_changed: bool,
    /// The place held a withdrawn row that nobody is told about any more.
    pub(super) is_reused: bool,
}

/// The rows of one site, each at a place that it keeps.
#[derive(Default, Debug)]
pub(super) struct Rows {
    places: Vec<Option<Row>>,
}

impl Row {
    pub(super) const fn is_registered(&self) -> bool {
        matches!(self.state, RowState::Registered { .. })
    }

    /// The key that says which records travel with this one: that of the lowest lane, which no
    /// failing uplink changes.
    pub(super) fn data_key(&self) -> Option<PeerKey> {
        let keys = self.mapping.locators.iter();
        let keys = keys.filter_map(|locator| Some((locator.priority, locator.data_key?)));
        let lowest = keys.min_by_key(|(priority, key)| (key.lane, *priority, key.key));
        lowest.map(|(_, key)| key.key)
    }
}

impl Rows {
    pub(super) fn get(&self, row: usize) -> Option<&Row> {
        self.places.get(row)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Row)> {
        self.places.iter().enumerate().filter_map(|(place, row)| Some((place, row.as_ref()?)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.iter().all(Option::is_none)
    }

    pub(super) fn find(&self, eid_prefix: &EidPrefix) -> Option<usize> {
        self.iter().find(|(_, row)| row.mapping.eid_prefix == *eid_prefix).map(|(place, _)| place)
    }

    pub(super) fn registered(&self) -> RowSet {
        let registered = self.iter().filter(|(_, row)| row.is_registered());
        registered.fold(0, |set, (place, _)| set | 1 << place)
    }

    /// Registers or refreshes an EID-prefix; `None` when the site has too many.
    pub(super) fn register(
        &mut self,
        mapping: Mapping,
        boot: u32,
        now: Instant,
        expires_at: Instant,
    ) -> Option<Registered> {
        let state = RowState::Registered { refreshed_at: now, expires_at };
        let found = self.find(&mapping.eid_prefix);
        let is_refresh = found.and_then(|place| self.get(place)).is_some_and(Row::is_registered);
        if !is_refresh && self.registered().count_ones() as usize >= MAX_REGISTRATIONS {
            return None;
        }
        let (place, is_reused) = match found {
            Some(place) => (place, false),
            None => self.free_place()?,
        };
        let is_changed = match self.get(place).filter(|_| found.is_some()) {
            Some(row) => !row.is_registered() || row.mapping != mapping,
            None => true,
        };
        self.places[place] = Some(Row { mapping, state, boot });
        Some(Registered { row: place, is_changed, is_reused })
    }

    /// Withdraws a row, which is remembered until no holder can have it any more.
    pub(super) fn withdraw(&mut self, row: usize, now: Instant) {
        if let Some(row) = &mut self.places[row] {
            let forget_at = now + row.mapping.record_ttl + HOLDING_MARGIN;
            row.mapping.locators.clear();
            row.state = RowState::Withdrawn { forget_at };
        }
    }

    pub(super) fn forget(&mut self, row: usize) {
        self.places[row] = None;
    }

    /// Rows of an earlier boot of the site end at `at`: it restarted and may not have them any more.
    pub(super) fn end_earlier_boots(&mut self, boot: u32, at: Instant) {
        for row in self.places.iter_mut().flatten().filter(|row| row.boot != boot) {
            if let RowState::Registered { expires_at, .. } = &mut row.state {
                *expires_at = at.min(*expires_at);
            }
        }
    }

    /// A row whose registration, or the memory of whose withdrawal, has ended.
    pub(super) fn ended(&self, now: Instant) -> Option<usize> {
        self.iter().find(|(_, row)| row.state.ends_at() <= now).map(|(place, _)| place)
    }

    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.iter().map(|(_, row)| row.state.ends_at()).min()
    }

    /// The longest record TTL, which bounds how long holders keep what they have.
    pub(super) fn record_ttl(&self) -> Duration {
        self.iter().map(|(_, row)| row.mapping.record_ttl).max().unwrap_or(Duration::ZERO)
    }

    /// Where the site is best reached: of all registered locators the one of lowest priority.
    pub(super) fn best_rloc(&self) -> Option<IpAddr> {
        let registered = self.iter().filter(|(_, row)| row.is_registered());
        let locators = registered.flat_map(|(_, row)| row.mapping.locators.iter());
        let usable = locators.filter(|locator| locator.priority != 255);
        usable.map(|locator| (locator.priority, locator.rloc)).min().map(|(_, rloc)| rloc)
    }

    /// The registered rows by data key.
    pub(super) fn groups(&self) -> Groups {
        let mut groups = Groups::new();
        for (place, row) in self.iter().filter(|(_, row)| row.is_registered()) {
            let key = row.data_key();
            match groups.iter_mut().find(|(other, _)| *other == key) {
                Some((_, set)) => *set |= 1 << place,
                None => groups
                    .push((key, 1 << place))
                    .expect("there are at most MAX_REGISTRATIONS registered rows"),
            }
        }
        groups
    }

    /// The registered rows that share the data key of this one.
    pub(super) fn group_of(&self, row: usize) -> RowSet {
        let groups = self.groups();
        groups.iter().find(|(_, set)| set & 1 << row != 0).map_or(0, |(_, set)| *set)
    }

    /// A free place, if need be that of the row withdrawn longest ago; whether it was that.
    fn free_place(&mut self) -> Option<(usize, bool)> {
        if let Some(place) = self.places.iter().position(Option::is_none) {
            return Some((place, false));
        }
        if self.places.len() < MAX_ROWS {
            self.places.push(None);
            return Some((self.places.len() - 1, false));
        }
        let withdrawn = self.iter().filter(|(_, row)| !row.is_registered());
        withdrawn.min_by_key(|(_, row)| row.state.ends_at()).map(|(place, _)| (place, true))
    }
}

impl RowState {
    const fn ends_at(&self) -> Instant {
        match *self {
            RowState::Registered { expires_at, .. } => expires_at,
            RowState::Withdrawn { forget_at } => forget_at,
        }
    }
}
