//! What an earlier run left in the data plane: it serves on while the mapping system is asked.

use core::net::SocketAddr;
use core::time::Duration;

use super::{Installed, MapCache, MapCacheEntry, REFRESH_PAUSE};
use crate::{Action, Eid, EidPrefix, Forwarding, Instant, PeerKey, earliest};

/// How long what nobody confirms is kept.
const ADOPTED_TTL: Duration = Duration::from_secs(180);

/// How long the other mappings with the same peer are left unasked: one answer brings them all.
const SIBLING_PAUSE: Duration = Duration::from_secs(2);

/// What the data plane has for an EID-prefix.
pub(crate) struct Adopted<'a> {
    pub(crate) eid_prefix: EidPrefix,
    pub(crate) forwarding: Forwarding,
    /// Lane, key and endpoint.
    pub(crate) peers: &'a [(u8, PeerKey, Option<SocketAddr>)],
    /// Whether we may have it; else it is taken out.
    pub(crate) is_wanted: bool,
}

impl MapCache {
    /// Takes in what the data plane has, to be confirmed or, when it is not wanted or does not
    /// fit, to be taken out. False, and nothing is changed, when there is no room even for that.
    pub(crate) fn adopt(&mut self, adopted: &Adopted<'_>, now: Instant) -> bool {
        let Adopted { eid_prefix, forwarding, peers, is_wanted } = *adopted;
        let is_known = self.rows.get(&eid_prefix).is_some();
        if !self.peers.has_room(peers.len(), false) || !is_known && self.rows.is_full() {
            return false;
        }
        let has_peers = forwarding.peers().all(|key| self.peers.is_adoptable(key, peers));
        let is_wanted = is_wanted
            && !is_known
            && has_peers
            && self.live_rows < self.limit
            && self.peers.has_room(peers.len(), true);
        for (lane, key, endpoint) in peers {
            let is_used = is_wanted && forwarding.peers().any(|peer| peer == key);
            self.peers.adopt(*key, *lane, *endpoint, is_used);
        }
        let Some((place, row)) = self.rows.entry(&eid_prefix, MapCacheEntry::blank) else {
            return false;
        };
        if is_known {
            row.set_installed(&forwarding);
            self.changed.set(place);
            return true;
        }
        let action = match forwarding {
            Forwarding::Native => Action::NativelyForward,
            _ => Action::Drop,
        };
        row.set(&[], action, &forwarding, ADOPTED_TTL, now);
        row.installed = Installed::Wanted;
        (row.is_leaving, row.is_adopted) = (!is_wanted, true);
        let due_at = row.due_at();
        self.due_at = earliest(self.due_at, Some(due_at));
        self.live_rows += usize::from(is_wanted);
        self.has_unasked |= is_wanted;
        if !is_wanted {
            self.leaving.set(place);
        }
        true
    }

    /// The next adopted mapping that nobody was asked for yet.
    pub(crate) fn unasked(&mut self) -> Option<EidPrefix> {
        if !self.has_unasked {
            return None;
        }
        let next = self.rows.iter().find(|(_, row)| is_unasked(row)).map(|(at, _)| *at);
        self.has_unasked = next.is_some();
        next
    }

    /// An adopted mapping is asked for now, and again until it is confirmed or ends.
    pub(crate) fn note_asked(&mut self, eid_prefix: &EidPrefix, now: Instant) {
        let Some(row) = self.rows.get_mut(eid_prefix) else { return };
        row.refresh_at = Some(now + REFRESH_PAUSE);
        let forwarding = row.forwarding;
        let has_peers = row.has_peers();
        for (_, row) in self.rows.values_mut() {
            if has_peers && row.forwarding == forwarding && is_unasked(row) {
                row.refresh_at = Some(now + SIBLING_PAUSE);
            }
        }
        let due_at = now + SIBLING_PAUSE;
        self.due_at = earliest(self.due_at, Some(due_at));
    }

    /// The mapping system answered a question for `asked`: adopted mappings that it would have
    /// told of instead are no more, unless the answer is that there is nothing and they carry
    /// traffic.
    pub(crate) fn end_unconfirmed(
        &mut self,
        asked: Eid,
        answer: &EidPrefix,
        is_negative: bool,
        now: Instant,
    ) {
        loop {
            let of_asked = self.rows.containing(asked);
            let mut adopted = of_asked.filter(|(_, row)| row.is_adopted && !row.is_leaving);
            let over = adopted.find(|(eid_prefix, row)| {
                let is_elsewhere = is_negative || eid_prefix.len() > answer.len();
                is_elsewhere && !(is_negative && self.peers.carry(row, now))
            });
            let Some(over) = over.map(|(eid_prefix, _)| *eid_prefix) else { break };
            drop(adopted);
            self.leave(&over);
        }
    }

    /// An EID that this mapping and no more specific one answers for, if there is one.
    pub(crate) fn eid_of(&self, eid_prefix: &EidPrefix) -> Eid {
        let mut eid = eid_prefix.eid();
        while let Some((&found, _)) = self.lookup(eid) {
            if found == *eid_prefix || !eid_prefix.covers(&found) {
                return eid;
            }
            match found.next().filter(|next| eid_prefix.contains(*next)) {
                Some(next) => eid = next,
                None => return eid_prefix.eid(),
            }
        }
        eid
    }
}

/// Whether nobody was asked for it yet; as soon as somebody can be, it is.
pub(super) fn is_unasked(row: &MapCacheEntry) -> bool {
    row.is_adopted && !row.is_leaving && row.refresh_at.is_none()
}
