//! Which mappings are to be asked for again, before their time or near its end.

use core::time::Duration;

use super::{MapCache, MapCacheEntry, REFRESH_PAUSE};
use crate::{Eid, EidPrefix, Instant, PeerKey};

/// Until what found no place among the questions is tried again.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// A mapping is asked for again because its site says so at most this often (RFC 9301 section 6.1).
const SOLICITED_INTERVAL: Duration = Duration::from_secs(3);

impl MapCache {
    /// What is known of this peer may be out of date: one of its mappings is asked for again, and
    /// the answer brings all of them.
    pub(crate) fn doubt(&mut self, peer: PeerKey, now: Instant) {
        let mut rows = self.rows.values_mut().map(|(_, row)| row);
        let row = rows.find(|row| !row.is_leaving && row.forwarding.leads_to(&peer));
        if let Some(row) = row {
            (row.is_doubtful, row.refresh_at) = (true, Some(now));
            self.due_at = Some(now);
        }
    }

    /// The peer solicits a Map-Request for this EID: its mapping, unless that does not lead there or
    /// was asked for so less than 3 s ago (RFC 9301 section 6.1).
    pub(crate) fn solicited(&self, eid: Eid, peer: PeerKey, now: Instant) -> Option<EidPrefix> {
        let (eid_prefix, row) = self.lookup(eid)?;
        let is_early = row.solicited_at.is_some_and(|at| now - at < SOLICITED_INTERVAL);
        (row.forwarding.leads_to(&peer) && !is_early).then_some(*eid_prefix)
    }

    /// The mapping is asked for because it was solicited.
    pub(crate) fn note_solicited(&mut self, eid_prefix: &EidPrefix, now: Instant) {
        if let Some(row) = self.rows.get_mut(eid_prefix) {
            row.solicited_at = Some(now);
        }
    }

    /// A mapping that leads to this peer.
    pub(crate) fn mapping_of(&self, peer: PeerKey) -> Option<(EidPrefix, &MapCacheEntry)> {
        self.iter().find(|(_, row)| row.forwarding.leads_to(&peer))
    }

    /// What is known of each peer that carries traffic may be out of date.
    pub(crate) fn doubt_live(&mut self, now: Instant) {
        for place in 0..self.peers.len() {
            if let Some(peer) = self.peers.live_at(place, now) {
                self.doubt(peer, now);
            }
        }
    }

    /// The next mapping near its end whose peer carried traffic since it was set: to be asked for
    /// again. An idle one is looked at again later.
    pub(crate) fn poll_refresh(&mut self, now: Instant) -> Option<EidPrefix> {
        if self.due_at.is_none_or(|due_at| due_at > now) {
            return None;
        }
        for (eid_prefix, row) in self.rows.values_mut() {
            if row.is_leaving || row.refresh_at.is_none_or(|refresh_at| refresh_at > now) {
                continue;
            }
            row.refresh_at = Some(now + REFRESH_PAUSE);
            let is_doubtful = core::mem::take(&mut row.is_doubtful);
            let traffic_at = row.forwarding.peers().filter_map(|peer| self.peers.traffic_at(peer));
            let is_used = traffic_at.max().is_some_and(|traffic_at| traffic_at > row.set_at);
            if is_doubtful || is_used || row.is_adopted {
                return Some(*eid_prefix);
            }
        }
        let live = self.rows.iter().filter(|(_, row)| !row.is_leaving);
        self.due_at = live.map(|(_, row)| row.due_at()).min();
        None
    }

    /// There was no place for the question that [`MapCache::poll_refresh`] told: it is due again a
    /// little later, and so are those after it.
    pub(crate) fn postpone_refreshes(&mut self, eid_prefix: &EidPrefix, now: Instant) {
        let again_at = Some(now + FULL_PAUSE);
        if let Some(row) = self.rows.get_mut(eid_prefix) {
            (row.is_doubtful, row.refresh_at) = (true, again_at);
        }
        let due = |row: &&mut MapCacheEntry| row.refresh_at.is_some_and(|at| at <= now);
        self.rows.values_mut().map(|(_, row)| row).filter(due).for_each(|row| {
            row.refresh_at = again_at;
        });
    }
}
