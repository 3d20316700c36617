//! Whose records one site holds, and which of them are yet to be acknowledged: the state is the
//! queue, so that a newer record replaces an older one that is still on its way.

use alloc::vec::Vec;
use core::time::Duration;

use super::rows::RowSet;
use super::site_index::SiteIndex;
use crate::Instant;
use crate::retransmission::Retransmission;

/// Sites whose records one site may hold; as many as a map-cache holds mappings. When full, the
/// soonest to expire is forgotten.
pub(super) const MAX_HOLDINGS: usize = 1024;
/// Messages to one site that may be unacknowledged: half of the receiver's replay window.
const WINDOW: usize = 32;
/// Numbers that the receiver's replay window spans: an older one it acknowledges but ignores.
const REPLAY_WINDOW: u64 = 64;
/// Transmissions before we wait for the site to be heard again.
const MAX_TRIES: u32 = 20;
/// A request so soon after an acknowledgement does not cause the same push again. Later ones do,
/// since the holder may have evicted what it acknowledged.
const FRESH: Duration = Duration::from_secs(5);

/// What one site has of another.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) owner: SiteIndex,
    /// Rows of the owner that it has or is to have; none while it waits for the owner to register.
    pub(super) held: RowSet,
    /// Rows of which it has not acknowledged the latest state.
    pub(super) pending: RowSet,
    /// Whether the site did not answer: nothing is sent until it is heard again.
    pub(super) is_given_up: bool,
    /// When something was last acknowledged, and its number.
    pub(super) acknowledged: Option<(Instant, u64)>,
    /// Rows acknowledged since `fresh_since`.
    fresh: RowSet,
    fresh_since: Instant,
    pub(super) expires_at: Instant,
}

/// A message that is not acknowledged.
#[derive(Debug)]
struct Outstanding {
    owner: SiteIndex,
    /// The rows in it whose state is still the latest.
    rows: RowSet,
    /// The first and last number it was sent under with this content.
    first: u64,
    last: u64,
    retransmission: Retransmission,
}

/// What to send next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// These rows of `owner`, under [`Deliveries::next_number`].
    Message { owner: SiteIndex, rows: RowSet, again: Option<usize> },
    /// A message went unanswered for the last time.
    GaveUp,
    /// Nothing before [`Deliveries::retry_at`].
    Nothing,
}

/// Pushes and publications to one site.
#[derive(Debug)]
pub(super) struct Deliveries {
    /// Sorted by owner.
    holdings: Vec<Holding>,
    outstanding: Vec<Outstanding>,
    last_number: u64,
    /// No holding before this one has anything to send.
    work_from: usize,
}

impl Deliveries {
    pub(super) fn new(boot_counter: u32) -> Deliveries {
        Deliveries {
            holdings: Vec::new(),
            outstanding: Vec::new(),
            last_number: u64::from(boot_counter) << 32,
            work_from: 0,
        }
    }

    pub(super) fn holdings(&self) -> &[Holding] {
        &self.holdings
    }

    pub(super) fn holding(&self, owner: SiteIndex) -> Option<&Holding> {
        self.place(owner).ok().map(|place| &self.holdings[place])
    }

    /// Notes that the site holds these rows of `owner`; tells which owner was forgotten for it.
    pub(super) fn hold(
        &mut self,
        owner: SiteIndex,
        rows: RowSet,
        expires_at: Instant,
    ) -> Option<SiteIndex> {
        if let Ok(place) = self.place(owner) {
            let holding = &mut self.holdings[place];
            holding.held |= rows;
            holding.expires_at = holding.expires_at.max(expires_at);
            return None;
        }
        let mut evicted = None;
        if self.holdings.len() >= MAX_HOLDINGS {
            evicted = self.holdings.iter().min_by_key(|row| row.expires_at).map(|row| row.owner);
            evicted.into_iter().for_each(|owner| self.forget(owner));
        }
        let holding = Holding {
            owner,
            held: rows,
            pending: 0,
            is_given_up: false,
            acknowledged: None,
            fresh: 0,
            fresh_since: Instant::ZERO,
            expires_at,
        };
        let place = self.place(owner).unwrap_or_else(|place| place);
        self.holdings.insert(place, holding);
        self.work_from = 0;
        evicted
    }

    /// Notes that the site is to hold these rows, and has them sent unless it acknowledged them
    /// just now; tells which owner was forgotten for it.
    pub(super) fn want(
        &mut self,
        owner: SiteIndex,
        rows: RowSet,
        expires_at: Instant,
        now: Instant,
    ) -> Option<SiteIndex> {
        let evicted = self.hold(owner, rows, expires_at);
        let place = self.place(owner).expect("the holding was noted just now");
        let holding = &mut self.holdings[place];
        let is_fresh = now - holding.fresh_since < FRESH && rows & !holding.fresh == 0;
        if !is_fresh {
            holding.pending |= rows;
            holding.is_given_up = false;
            self.work_from = self.work_from.min(place);
        }
        evicted
    }

    /// Rows changed: what is on its way is not the latest any more.
    pub(super) fn changed(&mut self, owner: SiteIndex, rows: RowSet) {
        let Ok(place) = self.place(owner) else { return };
        self.holdings[place].held |= rows;
        self.holdings[place].pending |= rows;
        self.holdings[place].fresh &= !rows;
        self.work_from = self.work_from.min(place);
        self.forget_outstanding(owner, rows);
    }

    /// The site lost what it held: everything is sent again.
    pub(super) fn restart(&mut self) {
        self.outstanding.clear();
        for holding in &mut self.holdings {
            holding.pending = holding.held;
            holding.fresh = 0;
            holding.is_given_up = false;
        }
        self.work_from = 0;
    }

    /// The site is heard: what was given up is sent again.
    pub(super) fn resume(&mut self) {
        self.holdings.iter_mut().for_each(|holding| holding.is_given_up = false);
        self.work_from = 0;
    }

    /// The site is not registered any more: nothing is sent until it is.
    pub(super) fn suspend(&mut self) {
        self.outstanding.clear();
        self.work_from = 0;
    }

    /// Rows of `owner` that will mean something else from now on.
    pub(super) fn forget_rows(&mut self, owner: SiteIndex, rows: RowSet) {
        if let Ok(place) = self.place(owner) {
            self.holdings[place].held &= !rows;
            self.holdings[place].pending &= !rows;
            self.holdings[place].fresh &= !rows;
            self.forget_outstanding(owner, rows);
        }
    }

    /// Forgets an owner altogether.
    pub(super) fn forget(&mut self, owner: SiteIndex) {
        if let Ok(place) = self.place(owner) {
            self.holdings.remove(place);
            self.work_from = 0;
            self.forget_outstanding(owner, RowSet::MAX);
        }
    }

    /// One holding that has expired.
    pub(super) fn expired(&self, now: Instant) -> Option<SiteIndex> {
        self.holdings.iter().find(|row| row.expires_at <= now).map(|row| row.owner)
    }

    /// What to send now. Follow a [`Next::Message`] with [`Deliveries::sent`].
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if let Some(again) = self.outstanding.iter().position(|row| row.retransmission.is_due(now))
        {
            let Outstanding { owner, rows, ref retransmission, .. } = self.outstanding[again];
            if retransmission.tries() < MAX_TRIES {
                return Next::Message { owner, rows, again: Some(again) };
            }
            self.outstanding.swap_remove(again);
            if let Ok(place) = self.place(owner) {
                self.holdings[place].is_given_up = true;
            }
            return Next::GaveUp;
        }
        if self.outstanding.len() >= WINDOW {
            return Next::Nothing;
        }
        while let Some(Holding { owner, pending, is_given_up, .. }) =
            self.holdings.get(self.work_from)
        {
            let rows = pending & !self.on_its_way(*owner);
            if rows != 0 && !is_given_up {
                return Next::Message { owner: *owner, rows, again: None };
            }
            self.work_from += 1;
        }
        Next::Nothing
    }

    /// The number of the next message.
    pub(super) const fn next_number(&self) -> u64 {
        self.last_number + 1
    }

    /// Notes that `sent` of a message's rows went out under the next number, and that `settled`
    /// ones need not.
    pub(super) fn sent(
        &mut self,
        owner: SiteIndex,
        again: Option<usize>,
        sent: RowSet,
        settled: RowSet,
        now: Instant,
    ) {
        if let Ok(place) = self.place(owner) {
            self.holdings[place].pending &= !settled;
            self.work_from = self.work_from.min(place);
        }
        if sent == 0 {
            if let Some(place) = again {
                self.outstanding.swap_remove(place);
            }
            return;
        }
        self.last_number += 1;
        let last = self.last_number;
        let place = again.unwrap_or_else(|| {
            let retransmission = Retransmission::starting_at(now);
            self.outstanding.push(Outstanding {
                owner,
                rows: sent,
                first: last,
                last,
                retransmission,
            });
            self.outstanding.len() - 1
        });
        let outstanding = &mut self.outstanding[place];
        if outstanding.rows != sent {
            outstanding.rows = sent;
            outstanding.first = last;
        }
        outstanding.last = last;
        outstanding.retransmission.sent(now);
    }

    /// Notes an acknowledgement and tells whose records it was for. A number that fell out of the
    /// receiver's replay window, or whose content is not the latest, acknowledges nothing.
    pub(super) fn acknowledge(&mut self, number: u64, now: Instant) -> Option<SiteIndex> {
        if number > self.last_number || self.last_number - number >= REPLAY_WINDOW {
            return None;
        }
        let place =
            self.outstanding.iter().position(|row| (row.first..=row.last).contains(&number))?;
        let Outstanding { owner, rows, .. } = self.outstanding.swap_remove(place);
        let place = self.place(owner).ok()?;
        let holding = &mut self.holdings[place];
        holding.pending &= !rows;
        holding.is_given_up = false;
        holding.acknowledged = Some((now, number));
        if now - holding.fresh_since >= FRESH {
            holding.fresh = 0;
            holding.fresh_since = now;
        }
        holding.fresh |= rows;
        self.work_from = self.work_from.min(place);
        Some(owner)
    }

    /// Extends a holding that was used.
    pub(super) fn extend(&mut self, owner: SiteIndex, expires_at: Instant) {
        if let Ok(place) = self.place(owner) {
            let holding = &mut self.holdings[place];
            holding.expires_at = holding.expires_at.max(expires_at);
        }
    }

    /// When the next message goes out again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.outstanding.iter().map(|row| row.retransmission.due_at()).min()
    }

    fn place(&self, owner: SiteIndex) -> Result<usize, usize> {
        self.holdings.binary_search_by_key(&owner, |holding| holding.owner)
    }

    fn on_its_way(&self, owner: SiteIndex) -> RowSet {
        let of_owner = self.outstanding.iter().filter(|row| row.owner == owner);
        of_owner.fold(0, |rows, row| rows | row.rows)
    }

    fn forget_outstanding(&mut self, owner: SiteIndex, rows: RowSet) {
        self.outstanding.retain_mut(|row| {
            if row.owner == owner {
                row.rows &= !rows;
            }
            row.rows != 0
        });
    }
}
