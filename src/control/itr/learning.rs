//! What is believed of an answer or a push, and what becomes of it in the map-cache.

use super::map_cache_entry::{Learned, Origin, Outcome};
use super::policy::{is_within, negative_forwarding, outside, ways};
use super::way::Ways;
use super::{Context, Itr, MIN_NEGATIVE_TTL};
use crate::xtr::counters::{Counter, Counters};
use crate::{Eid, EidPrefix, Instant, Mapping, Side};

impl Itr {
    /// Takes a positive mapping in; says whether it is not refused.
    pub(super) fn learn(
        &mut self,
        mapping: &Mapping,
        origin: &Origin,
        context: &mut Context<'_>,
        now: Instant,
    ) -> bool {
        let (eid_prefix, locators) = (&mapping.eid_prefix, &mapping.locators);
        let ways = ways(locators, context.database);
        let mut learned = Learned { mapping, ways, is_both_nat: false };
        let ways = &mut learned.ways;
        if ways.is_empty() {
            context.counters.count(Counter::RecordsUnusable);
            return false;
        }
        if !is_within(&self.eid_space, eid_prefix)
            || context.database.is_claimed_by(eid_prefix)
            || ways.iter().any(|way| context.database.is_own_key(way.data_key.key))
        {
            context.counters.count(Counter::ClaimsRefused);
            return false;
        }
        set_sides(ways, self.initiates(eid_prefix, origin, now));
        let is_unreachable = ways.iter().all(|way| !way.locator.is_reachable);
        learned.is_both_nat = is_unreachable && self.is_behind_nat;
        let outcome = self.map_cache.learn(&mut learned, origin, now);
        if outcome == Outcome::Moved {
            learned.ways.iter().for_each(|way| self.prober.trust(way.data_key.key));
        }
        count_outcome(outcome, context.counters);
        outcome != Outcome::NoPeer
    }

    /// Whether we initiate towards new peers. The one that was answered does, for the Map-Server
    /// told the other one first; so does who is behind NAT. A restarted site has its new key pushed
    /// to those that hold its mapping: they initiate when they had traffic with it.
    fn initiates(&self, eid_prefix: &EidPrefix, origin: &Origin, now: Instant) -> bool {
        self.is_behind_nat
            || matches!(origin, Origin::Reply { .. })
            || self.map_cache.is_live(eid_prefix, now)
    }

    /// Takes a negative answer in: how far it reaches, unless it is refused.
    pub(super) fn learn_negative(
        &mut self,
        mapping: &Mapping,
        asked: Eid,
        origin: &Origin,
        context: &mut Context<'_>,
        now: Instant,
    ) -> Option<EidPrefix> {
        let Origin::Reply { asked_at } = *origin else { return None };
        let space = self.eid_space.iter().filter(|space| space.contains(asked));
        let space = space.max_by_key(|space| space.len())?;
        let mut hole = mapping.eid_prefix;
        if hole.len() < space.len() {
            hole = *space;
        }
        hole = outside(hole, asked, context.database)?;
        let ttl = mapping.record_ttl.max(MIN_NEGATIVE_TTL);
        let meaning = (mapping.action, negative_forwarding(mapping.action, self.on_miss));
        let outcome = self.map_cache.learn_negative(hole, asked, ttl, meaning, asked_at, now);
        count_outcome(outcome, context.counters);
        Some(hole)
    }
}

/// We initiate to peers that can be reached and that we send to.
pub(super) fn set_sides(ways: &mut Ways<'_>, initiates: bool) {
    for way in ways.iter_mut() {
        let is_initiator = initiates && way.locator.is_reachable && way.weight > 0;
        way.side = if is_initiator { Side::Initiator } else { Side::Responder };
    }
}

fn count_outcome(outcome: Outcome, counters: &mut Counters) {
    match outcome {
        Outcome::Held | Outcome::Moved => {}
        Outcome::Stale => counters.count(Counter::RecordsStale),
        Outcome::NoPeer => counters.count(Counter::PeersRefused),
        Outcome::Live => counters.count(Counter::NegativesIgnored),
    }
}
