//! The map-cache: what other sites' EID-prefixes map to (RFC 9301 section 8.1).
//!
//! Bounded, in mappings and in locators. When full, the mapping soonest to expire is evicted, one
//! whose peer carried traffic in the last 180 s only when all are such. What a row has installed in
//! the data plane and what it wants there may differ: the differences are the queue of changes.

mod adoption;
mod refresh;
mod withdrawal;

use core::time::Duration;

pub(crate) use adoption::Adopted;
use withdrawal::{Tombstones, version_of};

use super::locator_pool::LocatorPool;
use super::map_cache_entry::{Installed, Learned, MapCacheEntry, Origin, Outcome, Version};
use super::peers::Peers;
use super::policy::forwarding;
use super::way::Ways;
use crate::marks::Marks;
use crate::{
    Action, Change, Eid, EidPrefix, Event, Forwarding, Instant, Locator, Locators, Mapping,
    PrefixTable, earliest,
};

/// Rows beyond the limit, for mappings on their way out of the data plane: more than the records
/// that fit a message.
const SLACK: usize = 96;

/// Locators for each row that there is room for, together with rows that have fewer.
const LOCATORS: usize = 2;

/// How much longer a mapping with live traffic is kept when no Map-Server can be asked.
const OVERSTAY: Duration = Duration::from_secs(60);

/// Until a refresh that got no answer is tried again (RFC 9301 section 5.3).
const REFRESH_PAUSE: Duration = Duration::from_secs(30);

/// Learned mappings and the peers that they lead to.
pub(crate) struct MapCache {
    rows: PrefixTable<MapCacheEntry>,
    locators: LocatorPool,
    pub(crate) peers: Peers,
    tombstones: Tombstones,
    limit: usize,
    live_rows: usize,
    /// Rows that are leaving, or may differ from what the data plane has.
    leaving: Marks,
    changed: Marks,
    /// Rows that may be worth telling of.
    news: Marks,
    /// There may be adopted mappings that nobody was asked for yet.
    has_unasked: bool,
    /// No row is due before; it may be that none is due then.
    due_at: Option<Instant>,
    pub(crate) evicted: u64,
    pub(crate) overstayed: u64,
}

impl MapCache {
    pub(crate) fn with_limits(mappings: usize, peers: usize) -> MapCache {
        let places = mappings + SLACK;
        MapCache {
            rows: PrefixTable::with_capacity(places),
            locators: LocatorPool::with_limit(LOCATORS * places),
            peers: Peers::with_limit(peers),
            tombstones: Tombstones::new(),
            limit: mappings,
            live_rows: 0,
            leaving: Marks::with_capacity(places),
            changed: Marks::with_capacity(places),
            news: Marks::with_capacity(places),
            has_unasked: false,
            due_at: None,
            evicted: 0,
            overstayed: 0,
        }
    }

    /// The mapping that packets to `eid` use.
    pub(crate) fn lookup(&self, eid: Eid) -> Option<(&EidPrefix, &MapCacheEntry)> {
        self.rows.lookup_where(eid, |row| !row.is_leaving)
    }

    /// All mappings, sorted by EID-prefix.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (EidPrefix, &MapCacheEntry)> {
        self.rows.iter().filter(|(_, row)| !row.is_leaving).map(|(prefix, row)| (*prefix, row))
    }

    /// How many mappings there are.
    pub(crate) fn len(&self) -> usize {
        self.live_rows
    }

    /// Takes a positive mapping in.
    pub(crate) fn learn(
        &mut self,
        learned: &mut Learned<'_>,
        origin: &Origin,
        now: Instant,
    ) -> Outcome {
        let Learned { mapping: Mapping { eid_prefix, locators, .. }, ways, is_both_nat } = learned;
        let held = held(&self.rows, eid_prefix);
        if self.is_stale(eid_prefix, held, origin) {
            return Outcome::Stale;
        }
        self.peers.admit(ways);
        let old = held.map_or(&Forwarding::Drop, |row| &row.forwarding);
        let is_same = held.is_some_and(|row| self.locators.iter(row.locators).eq(locators.iter()));
        if ways.is_empty() || !self.peers.replace(old, ways, !is_same) {
            return Outcome::NoPeer;
        }
        let forwarding = forwarding(ways);
        let has_new_peers = !forwarding.peers().eq(old.peers());
        let was_unreachable = held.is_some_and(MapCacheEntry::is_unreachable);
        let outcome = if held.is_some() && !is_same { Outcome::Moved } else { Outcome::Held };
        if let Some((place, row)) = self.make_room(eid_prefix, locators.len(), &forwarding, now) {
            row.set(locators, Action::NoAction, &forwarding, learned.mapping.record_ttl, now);
            if let Origin::Push(version) = origin {
                row.version = Some(*version);
            }
            row.is_news = has_new_peers || !is_same;
            row.is_both_nat = *is_both_nat && (has_new_peers || !was_unreachable);
            self.note(place, locators);
        }
        self.drop_negatives_within(eid_prefix);
        outcome
    }

    /// Takes a negative answer for `asked` in, unless packets to it are carried right now.
    pub(crate) fn learn_negative(
        &mut self,
        eid_prefix: EidPrefix,
        asked: Eid,
        record_ttl: Duration,
        (action, forwarding): (Action, Forwarding),
        asked_at: Instant,
        now: Instant,
    ) -> Outcome {
        let held = held(&self.rows, &eid_prefix);
        let carries = |row: &MapCacheEntry| self.peers.carry(row, now);
        if held.is_some_and(carries) || self.lookup(asked).is_some_and(|(_, row)| carries(row)) {
            return Outcome::Live;
        }
        if self.is_stale(&eid_prefix, held, &Origin::Reply { asked_at }) {
            return Outcome::Stale;
        }
        let had_peers = held.is_some_and(MapCacheEntry::has_peers);
        if let Some(held) = held {
            self.peers.release(&held.forwarding);
        }
        if let Some((place, row)) = self.make_room(&eid_prefix, 0, &forwarding, now) {
            row.set(&[], action, &forwarding, record_ttl, now);
            (row.is_news, row.is_both_nat) = (had_peers, false);
            self.note(place, &[]);
        }
        Outcome::Held
    }

    /// Takes a mapping out of the data plane and forgets it.
    pub(crate) fn leave(&mut self, eid_prefix: &EidPrefix) {
        if let Some(place) = self.rows.place(eid_prefix) {
            self.leave_at(place);
        }
    }

    fn leave_at(&mut self, place: usize) {
        let Some((_, row)) = self.rows.at_mut(place).filter(|(_, row)| !row.is_leaving) else {
            return;
        };
        self.peers.release(&row.forwarding);
        self.locators.clear(&mut row.locators);
        row.is_leaving = true;
        self.leaving.set(place);
        self.live_rows -= 1;
    }

    /// The RLOCs of a mapping; none when the answer was negative.
    pub(crate) fn locators_of(&self, row: &MapCacheEntry) -> Locators {
        self.locators.get(row.locators)
    }

    /// Forgets every mapping that `keep` says no to.
    pub(crate) fn retain(&mut self, keep: impl Fn(&EidPrefix, &MapCacheEntry) -> bool) {
        for place in 0..self.rows.capacity() {
            if self.rows.at(place).is_some_and(|(eid_prefix, row)| !keep(eid_prefix, row)) {
                self.leave_at(place);
            }
        }
    }

    /// Whether a peer of exactly this mapping carried traffic lately.
    pub(crate) fn is_live(&self, eid_prefix: &EidPrefix, now: Instant) -> bool {
        self.rows.get(eid_prefix).is_some_and(|row| self.peers.carry(row, now))
    }

    /// Judges every mapping's locators anew. One that would have no way keeps those that it has.
    pub(crate) fn set_ways(&mut self, ways_of: impl Fn(&Locators) -> Ways<'_>) {
        for (place, row) in self.rows.places_mut().filter(|(_, row)| row.has_peers()) {
            let locators = self.locators.get(row.locators);
            let mut ways = ways_of(&locators);
            self.peers.admit(&mut ways);
            if ways.is_empty() || !self.peers.replace(&row.forwarding, &ways, true) {
                continue;
            }
            let forwarding = forwarding(&ways);
            drop(ways);
            row.set_forwarding(&forwarding);
            self.changed.set(place);
        }
    }

    /// We are behind NAT: no tunnel with those who are as well.
    pub(crate) fn tell_unreachable(&mut self) {
        for (place, row) in self.rows.places_mut() {
            if row.is_unreachable() {
                row.is_both_nat = true;
                self.news.set(place);
            }
        }
    }

    /// Judges negative mappings anew.
    pub(crate) fn set_negatives(&mut self, forwarding_of: impl Fn(Action) -> Forwarding) {
        for (place, row) in self.rows.places_mut() {
            if row.forwarding.peers().next().is_none() {
                row.set_forwarding(&forwarding_of(row.action));
                self.changed.set(place);
            }
        }
    }

    /// Ends what expired. Without a Map-Server to ask, a mapping that carries traffic stays.
    pub(crate) fn handle_timeout(&mut self, can_ask: bool, now: Instant) {
        self.tombstones.retain(|tombstone| tombstone.expires_at > now);
        if self.due_at.is_none_or(|due_at| due_at > now) {
            return;
        }
        for place in 0..self.rows.capacity() {
            let Some((_, row)) = self.rows.at_mut(place) else { continue };
            if row.is_leaving || row.expires_at > now {
                continue;
            }
            if !can_ask && self.peers.carry(row, now) {
                row.expires_at = now + OVERSTAY;
                if !adoption::is_unasked(row) {
                    row.refresh_at = Some(now + REFRESH_PAUSE);
                }
                self.overstayed += 1;
                continue;
            }
            self.leave_at(place);
        }
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// The next change, in the order that keeps the data plane whole: peers before the routes to
    /// them, routes before the removal of what they led to.
    pub(crate) fn poll_change(&mut self) -> Option<Change> {
        if let Some(config) = self.peers.poll_set() {
            return Some(Change::SetPeer(config));
        }
        while let Some(place) = self.leaving.pop() {
            let Some((eid_prefix, row)) = self.rows.at_mut(place) else { continue };
            let (eid_prefix, was_installed) = (*eid_prefix, row.installed != Installed::Nothing);
            if row.is_leaving {
                self.rows.remove(&eid_prefix);
                if was_installed {
                    return Some(Change::RemoveRoute(eid_prefix));
                }
            }
        }
        while let Some(place) = self.changed.pop() {
            let Some((eid_prefix, row)) = self.rows.at_mut(place) else { continue };
            if !row.is_leaving && row.installed != Installed::Wanted {
                row.installed = Installed::Wanted;
                return Some(Change::SetRoute {
                    eid_prefix: *eid_prefix,
                    forwarding: row.forwarding,
                });
            }
        }
        self.peers.poll_remove().map(Change::RemovePeer)
    }

    /// The next mapping worth telling of.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        while let Some(place) = self.news.pop() {
            let Some((eid_prefix, row)) = self.rows.at_mut(place) else { continue };
            if row.is_leaving {
                continue;
            }
            let eid_prefix = *eid_prefix;
            if row.is_both_nat {
                let forwarding = row.forwarding;
                self.news.set(place);
                // One line for all that lead to the same peer.
                let alike = self.rows.values_mut().filter(|(_, row)| row.forwarding == forwarding);
                alike.for_each(|(_, row)| row.is_both_nat = false);
                return Some(Event::BothBehindNat { eid_prefix });
            }
            if core::mem::take(&mut row.is_news) {
                let locators = self.locators.iter(row.locators);
                let best = locators.min_by_key(|locator| locator.priority);
                return Some(Event::Mapped { eid_prefix, rloc: best.map(|best| best.rloc) });
            }
        }
        None
    }

    /// The row of a mapping, which is to be set with so many locators, and its place. Where there is
    /// none, the peers that it was to lead to are given back.
    fn make_room(
        &mut self,
        eid_prefix: &EidPrefix,
        locators: usize,
        forwarding: &Forwarding,
        now: Instant,
    ) -> Option<(usize, &mut MapCacheEntry)> {
        let Some((place, row)) = self.rows.entry(eid_prefix, MapCacheEntry::blank) else {
            self.peers.release(forwarding);
            return None;
        };
        self.locators.clear(&mut row.locators);
        let is_new = row.is_leaving;
        if is_new {
            row.version = None;
            if let Some(version) = version_of(&self.tombstones, eid_prefix) {
                row.version = Some(*version);
            }
            if self.live_rows >= self.limit {
                self.evict(eid_prefix, |_| true, now);
            }
        }
        let has_locators = |row: &MapCacheEntry| !row.locators.is_empty();
        while self.locators.room() < locators && self.evict(eid_prefix, has_locators, now) {}
        self.live_rows += usize::from(is_new);
        self.rows.at_mut(place).map(|(_, row)| (place, row))
    }

    /// The row at a place was set.
    fn note(&mut self, place: usize, locators: &[Locator]) {
        let Some((_, row)) = self.rows.at_mut(place) else { return };
        self.locators.set(&mut row.locators, locators);
        let due_at = row.due_at();
        self.due_at = earliest(self.due_at, Some(due_at));
        if row.installed != Installed::Wanted {
            self.changed.set(place);
        }
        if row.is_news || row.is_both_nat {
            self.news.set(place);
        }
    }

    /// Of the others for which that holds, the mapping soonest to expire leaves; false when there is
    /// none.
    fn evict(
        &mut self,
        kept: &EidPrefix,
        is_meant: impl Fn(&MapCacheEntry) -> bool,
        now: Instant,
    ) -> bool {
        let rank = |row: &MapCacheEntry| (self.peers.carry(row, now), row.expires_at);
        let others = self.iter().filter(|(eid_prefix, row)| eid_prefix != kept && is_meant(row));
        let victim = others.min_by_key(|(_, row)| rank(row)).map(|(eid_prefix, _)| eid_prefix);
        if let Some(victim) = &victim {
            self.leave(victim);
            self.evicted += 1;
        }
        victim.is_some()
    }

    /// A site that registers fills the holes that were told of it before.
    fn drop_negatives_within(&mut self, eid_prefix: &EidPrefix) {
        let is_hole = |row: &MapCacheEntry| !row.is_leaving && !row.has_peers();
        if !self.rows.within(eid_prefix).any(|(_, row)| is_hole(row)) {
            return;
        }
        self.retain(|other, row| !(is_hole(row) && eid_prefix.covers(other)));
    }
}

/// The mapping of exactly this EID-prefix.
fn held<'a>(
    rows: &'a PrefixTable<MapCacheEntry>,
    eid_prefix: &EidPrefix,
) -> Option<&'a MapCacheEntry> {
    rows.get(eid_prefix).filter(|row| !row.is_leaving)
}

#[cfg(test)]
mod tests {
    use super::super::way::Way;
    use super::*;
    use crate::{DataKey, PeerKey, Side};

    #[test]
    fn a_mapping_fills_the_holes_within_it() {
        const HOLES: u32 = 1 << 16;
        let mut map_cache = MapCache::with_limits(HOLES as usize + 1, 1);
        let (now, ttl) = (Instant::from_millis(1), Duration::from_secs(60));
        for number in 0..HOLES {
            let address = core::net::Ipv4Addr::from_bits(10 << 24 | number << 8);
            let eid = Eid { instance_id: crate::InstanceId(0), address: address.into() };
            let hole = EidPrefix::new(eid.instance_id, eid.address, 24).unwrap();
            let drop = (Action::Drop, Forwarding::Drop);
            map_cache.learn_negative(hole, eid, ttl, drop, Instant::ZERO, now);
        }
        let data_key = DataKey { key: PeerKey([1; 32]), port: 51820, lane: 0 };
        let locator = Locator {
            rloc: core::net::Ipv4Addr::new(192, 0, 2, 1).into(),
            priority: 1,
            weight: 1,
            mpriority: 255,
            mweight: 0,
            is_reachable: true,
            data_key: Some(data_key),
        };
        let mut mapping = Mapping::blank();
        (mapping.eid_prefix, mapping.record_ttl) = ("10.0.0.0/8".parse().unwrap(), ttl);
        mapping.locators.push(locator).unwrap();
        let way = Way { locator: &locator, data_key: &data_key, side: Side::Responder, weight: 1 };
        let ways = [way].into_iter().collect();
        let mut learned = Learned { mapping: &mapping, ways, is_both_nat: false };
        let origin = Origin::Reply { asked_at: Instant::ZERO };
        assert_eq!(map_cache.learn(&mut learned, &origin, now), Outcome::Held);
        assert_eq!(map_cache.len(), 1);
    }
}
