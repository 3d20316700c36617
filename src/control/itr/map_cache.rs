//! The map-cache: what other sites' EID-prefixes map to (RFC 9301 section 8.1).
//!
//! Bounded. When full, the mapping soonest to expire is evicted, one whose peer carried traffic
//! in the last 180 s only when all are such. What a row has installed in the data plane and what
//! it wants there may differ: the differences are the queue of changes.

mod adoption;
mod refresh;

use core::time::Duration;

pub(crate) use adoption::Adopted;

use super::map_cache_entry::{Installed, Learned, MapCacheEntry, Origin, Outcome, Version};
use super::peers::{Peers, Ways};
use super::policy::forwarding;
use crate::marks::Marks;
use crate::{Action, Change, Eid, EidPrefix, Event, Forwarding, Instant, Locators, PrefixTable};

/// Rows beyond the limit, for mappings on their way out of the data plane: more than the records
/// that fit a message.
const SLACK: usize = 96;

/// Withdrawn mappings whose numbers are remembered; a further one displaces the oldest.
const MAX_TOMBSTONES: usize = 64;

/// How long the number of a withdrawn mapping is remembered.
const TOMBSTONE_TTL: Duration = Duration::from_secs(60);

/// How much longer a mapping with live traffic is kept when no Map-Server can be asked.
const OVERSTAY: Duration = Duration::from_secs(60);

/// Until a refresh that got no answer is tried again (RFC 9301 section 5.3).
const REFRESH_PAUSE: Duration = Duration::from_secs(30);

struct Tombstone {
    eid_prefix: EidPrefix,
    version: Version,
    expires_at: Instant,
}

/// Learned mappings and the peers that they lead to.
pub(crate) struct MapCache {
    rows: PrefixTable<MapCacheEntry>,
    pub(crate) peers: Peers,
    tombstones: heapless::Vec<Tombstone, MAX_TOMBSTONES>,
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
            peers: Peers::with_limit(peers),
            tombstones: heapless::Vec::new(),
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
        origin: Origin,
        now: Instant,
    ) -> Outcome {
        let Some(version) = self.admit(&learned.eid_prefix, origin) else { return Outcome::Stale };
        let ways = &mut learned.ways;
        self.peers.admit(ways);
        let Some(forwarding) = forwarding(ways) else { return Outcome::NoPeer };
        let held = self.rows.get(&learned.eid_prefix);
        let old = held.map(MapCacheEntry::peers).unwrap_or_default();
        let is_same = held.is_some_and(|row| row.locators == *learned.locators);
        let was_unreachable = held.is_some_and(MapCacheEntry::is_unreachable);
        if !self.peers.replace(&old, ways, !is_same) {
            return Outcome::NoPeer;
        }
        let mut row = MapCacheEntry::new(learned.record_ttl, forwarding, version, now);
        let has_new_peers = !row.forwarding.peers().eq(old.iter().copied());
        row.locators.extend_from_slice(learned.locators).expect("there is room for as many");
        row.is_news = has_new_peers || !is_same;
        row.is_both_nat = learned.is_both_nat && (has_new_peers || !was_unreachable);
        self.put(learned.eid_prefix, row, now);
        self.drop_negatives_within(&learned.eid_prefix);
        Outcome::Held
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
        let carries = |row: &MapCacheEntry| self.peers.carry(row, now);
        let exact = self.rows.get(&eid_prefix).is_some_and(carries);
        if exact || self.lookup(asked).is_some_and(|(_, row)| carries(row)) {
            return Outcome::Live;
        }
        let Some(version) = self.admit(&eid_prefix, Origin::Reply { asked_at }) else {
            return Outcome::Stale;
        };
        let old = self.rows.get(&eid_prefix).map(MapCacheEntry::peers).unwrap_or_default();
        self.peers.release(&old);
        let mut row = MapCacheEntry::new(record_ttl, forwarding, version, now);
        row.action = action;
        row.refresh_at = None;
        row.is_news = !old.is_empty();
        self.put(eid_prefix, row, now);
        Outcome::Held
    }

    /// Forgets a mapping that was withdrawn, and remembers by which push.
    pub(crate) fn withdraw(&mut self, eid_prefix: &EidPrefix, version: Version) -> Outcome {
        if self.admit(eid_prefix, Origin::Push(version)).is_none() {
            return Outcome::Stale;
        }
        self.leave(eid_prefix);
        self.tombstones.retain(|tombstone| tombstone.eid_prefix != *eid_prefix);
        if self.tombstones.is_full() {
            self.tombstones.remove(0);
        }
        let expires_at = version.pushed_at + TOMBSTONE_TTL;
        let tombstone = Tombstone { eid_prefix: *eid_prefix, version, expires_at };
        let is_in = self.tombstones.push(tombstone).is_ok();
        debug_assert!(is_in, "a place was made");
        Outcome::Held
    }

    /// Takes a mapping out of the data plane and forgets it.
    pub(crate) fn leave(&mut self, eid_prefix: &EidPrefix) {
        let Some(place) = self.rows.place(eid_prefix) else { return };
        let Some((_, row)) = self.rows.at_mut(place).filter(|(_, row)| !row.is_leaving) else {
            return;
        };
        self.peers.release(&row.peers());
        row.is_leaving = true;
        self.leaving.set(place);
        self.live_rows -= 1;
    }

    /// Forgets every mapping that `keep` says no to.
    pub(crate) fn retain(&mut self, keep: impl Fn(&EidPrefix, &MapCacheEntry) -> bool) {
        loop {
            let unwanted = self.iter().find(|(eid_prefix, row)| !keep(eid_prefix, row));
            let Some((eid_prefix, _)) = unwanted else { break };
            self.leave(&eid_prefix);
        }
    }

    /// Whether a peer of exactly this mapping carried traffic lately.
    pub(crate) fn is_live(&self, eid_prefix: &EidPrefix, now: Instant) -> bool {
        self.rows.get(eid_prefix).is_some_and(|row| self.peers.carry(row, now))
    }

    /// Whether a mapping is held with other locators.
    pub(crate) fn is_elsewhere(&self, eid_prefix: &EidPrefix, locators: &Locators) -> bool {
        self.rows.get(eid_prefix).is_some_and(|row| row.locators != *locators)
    }

    /// Judges every mapping's locators anew. One that would have no way keeps those that it has.
    pub(crate) fn set_ways(&mut self, ways_of: impl Fn(&Locators) -> Ways) {
        for (place, row) in self.rows.places_mut() {
            let old = row.peers();
            let mut ways = ways_of(&row.locators);
            self.peers.admit(&mut ways);
            if let Some(forwarding) = forwarding(&ways)
                && !old.is_empty()
                && self.peers.replace(&old, &ways, true)
            {
                row.set_forwarding(&forwarding);
                self.changed.set(place);
            }
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
        for (place, row) in self.rows.places_mut() {
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
            self.peers.release(&row.peers());
            row.is_leaving = true;
            self.leaving.set(place);
            self.live_rows -= 1;
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
                let (eid_prefix, forwarding) = (*eid_prefix, row.forwarding);
                return Some(Change::SetRoute { eid_prefix, forwarding });
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
            let (eid_prefix, forwarding) = (*eid_prefix, row.forwarding);
            if row.is_both_nat {
                self.news.set(place);
                // One line for all that lead to the same peer.
                let alike = self.rows.values_mut().filter(|(_, row)| row.forwarding == forwarding);
                alike.for_each(|(_, row)| row.is_both_nat = false);
                return Some(Event::BothBehindNat { eid_prefix });
            }
            if core::mem::take(&mut row.is_news) {
                let best = row.locators.iter().min_by_key(|locator| locator.priority);
                return Some(Event::Mapped { eid_prefix, rloc: best.map(|best| best.rloc) });
            }
        }
        None
    }

    /// The number that a mapping has after this, or `None` when it is older than what is held.
    fn admit(&self, eid_prefix: &EidPrefix, origin: Origin) -> Option<Option<Version>> {
        let tombstone = self.tombstones.iter().find(|row| row.eid_prefix == *eid_prefix);
        let row = self.rows.get(eid_prefix).filter(|row| !row.is_leaving);
        let held = row.and_then(|row| row.version).or(tombstone.map(|row| row.version));
        match (origin, held) {
            (Origin::Push(version), Some(held)) if version.is_older_than(&held) => None,
            (Origin::Reply { asked_at }, Some(held)) if held.pushed_at >= asked_at => None,
            (Origin::Push(version), _) => Some(Some(version)),
            (Origin::Reply { .. }, held) => Some(held),
        }
    }

    /// Puts a row in place of the one held, whose peers are given back, making room first.
    fn put(&mut self, eid_prefix: EidPrefix, mut row: MapCacheEntry, now: Instant) {
        let held = self.rows.get(&eid_prefix);
        if let Some(held) = held {
            row.solicited_at = held.solicited_at;
            if held.installed == Installed::Wanted {
                row.set_installed(&held.forwarding);
            } else {
                row.installed = held.installed;
            }
        }
        if held.is_none_or(|held| held.is_leaving) {
            if self.live_rows >= self.limit {
                self.evict(now);
            }
            self.live_rows += 1;
        }
        let (is_changed, is_news) =
            (row.installed != Installed::Wanted, row.is_news || row.is_both_nat);
        let due_at = row.due_at();
        self.due_at = Some(self.due_at.map_or(due_at, |known| known.min(due_at)));
        if let Err(row) = self.rows.insert(eid_prefix, row) {
            self.live_rows -= 1;
            self.peers.release(&row.peers());
            return;
        }
        let place = self.rows.place(&eid_prefix).expect("the row was just put there");
        if is_changed {
            self.changed.set(place);
        }
        if is_news {
            self.news.set(place);
        }
    }

    fn evict(&mut self, now: Instant) {
        let rank = |row: &MapCacheEntry| (self.peers.carry(row, now), row.expires_at);
        let candidates = self.rows.iter().filter(|(_, row)| !row.is_leaving);
        let victim = candidates.min_by_key(|(_, row)| rank(row)).map(|(prefix, _)| *prefix);
        if let Some(victim) = victim {
            self.leave(&victim);
            self.evicted += 1;
        }
    }

    /// A site that registers fills the holes that were told of it before.
    fn drop_negatives_within(&mut self, eid_prefix: &EidPrefix) {
        loop {
            let mut within = self.rows.within(eid_prefix);
            let negative = within.find(|(_, row)| !row.is_leaving && !row.has_peers());
            let Some((negative, _)) = negative else { break };
            let negative = *negative;
            drop(within);
            self.leave(&negative);
        }
    }
}
