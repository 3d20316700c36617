//! Sites that move: when it was seen, and when all who hold their records know.

use core::net::IpAddr;
use core::time::Duration;

use super::MapServer;
use super::rows::RowSet;
use super::site_index::SiteIndex;
use crate::bucket::Rate;
use crate::{Event, Instant};

/// Moves of one site that are told: 64 at once, 4/s.
const MOVES: Rate = Rate { burst: 64, interval: Duration::from_millis(250) };

/// Who is yet to acknowledge where a site is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publication {
    /// The first holder that has not; those before it have.
    next: SiteIndex,
    /// How many there were.
    holders: usize,
}

impl Publication {
    pub(super) const fn next(&self) -> SiteIndex {
        self.next
    }
}

impl MapServer {
    /// After a register that changed these rows and was published: tells whether the site is
    /// elsewhere than before.
    pub(super) fn note_move(
        &mut self,
        site: SiteIndex,
        from: Option<IpAddr>,
        changed: RowSet,
        now: Instant,
    ) {
        let to = self.sites[site].rows.best_rloc();
        if from.is_none() || to.is_none() || from == to || changed == 0 {
            return;
        }
        if !self.sites[site].moves.take(&MOVES, now) {
            return;
        }
        let key = self.sites[site].config.key;
        self.events.push_back(Event::SiteMoved { site: key, from, to });
        let waiting = |holder: &&SiteIndex| self.is_waiting(site, **holder);
        let mut holders = self.sites[site].holders.iter().filter(waiting);
        let publication =
            holders.next().map(|next| Publication { next: *next, holders: 1 + holders.count() });
        self.sites[site].publication = publication;
        if publication.is_none() {
            self.events.push_back(Event::SitePublished { site: key, holders: 0 });
        }
    }

    /// A holder acknowledged something of this site, or holds nothing of it any more.
    pub(super) fn advance_publication(&mut self, owner: SiteIndex, holder: SiteIndex) {
        let Some(site) = self.sites.get(owner) else { return };
        let Some(publication) = site.publication.filter(|open| open.next == holder) else { return };
        let from = site.holders.partition_point(|other| *other < holder);
        let mut rest = site.holders[from..].iter();
        let next = rest.find(|holder| self.is_waiting(owner, **holder)).copied();
        let key = site.config.key;
        self.sites[owner].publication = next.map(|next| Publication { next, ..publication });
        if next.is_none() {
            let holders = publication.holders;
            self.events.push_back(Event::SitePublished { site: key, holders });
        }
    }

    /// Whether a holder has not acknowledged the latest state of a site's rows.
    fn is_waiting(&self, owner: SiteIndex, holder: SiteIndex) -> bool {
        let holding = self.sites.get(holder).and_then(|site| site.deliveries.holding(owner));
        holding.is_some_and(|holding| holding.pending != 0)
    }
}
