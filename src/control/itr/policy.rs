//! Which answers are believed, and which locators of a mapping are used.

use core::net::SocketAddr;

use super::way::{Way, Ways, endpoint};
use crate::etr::database::Database;
use crate::{
    Action, Eid, EidPrefix, Forwarding, Lanes, Locator, Locators, MAX_LANES, MAX_LOCATORS, PeerKey,
    Side, left_aligned,
};

pub(super) fn is_within(space: &[EidPrefix], eid_prefix: &EidPrefix) -> bool {
    space.iter().any(|space| space.covers(eid_prefix))
}

/// RFC 9301 section 5.4: natively-forward is for the configuration to allow, all else drops.
pub(super) fn negative_forwarding(action: Action, on_miss: Forwarding) -> Forwarding {
    match action {
        Action::NativelyForward => on_miss,
        _ => Forwarding::Drop,
    }
}

/// The largest part of `hole` with `asked` in it that overlaps none of our own EID-prefixes.
pub(super) fn outside(hole: EidPrefix, asked: Eid, database: &Database) -> Option<EidPrefix> {
    let overlaps = |own: &&EidPrefix| hole.covers(own) || own.covers(&hole);
    let common = |own: &EidPrefix| {
        let differing = left_aligned(own.address()) ^ left_aligned(asked.address);
        differing.leading_zeros() as u8
    };
    let own = database.eid_prefixes().iter().filter(overlaps);
    let len = own.map(|own| common(own) + 1).max().unwrap_or(0).max(hole.len());
    let hole = EidPrefix::new(asked.instance_id, asked.address, len)?;
    (!database.contains(asked)).then_some(hole)
}

/// The ways to a site: for each lane that both have, its best locator. Reachable ones of a family
/// that we have go first, then priority. What is worse than the best lane has no share: weight 0.
pub(super) fn ways<'a>(locators: &'a Locators, database: &Database) -> Ways<'a> {
    let is_common = |locator: &Locator| {
        let lane = locator.data_key.map(|key| key.lane);
        locator.priority != 255
            && lane.is_some_and(|lane| lane < database.lanes() && database.has_lane(lane))
    };
    let has_common = locators.iter().any(is_common);
    ways_in(locators, database, |lane| !has_common || database.has_lane(lane))
}

/// Where the peer with this key can be reached from here, the best first.
pub(super) fn endpoints(
    locators: &Locators,
    key: PeerKey,
    database: &Database,
) -> heapless::Vec<SocketAddr, MAX_LOCATORS> {
    let is_usable = |locator: &&Locator| {
        locator.priority != 255
            && !database.is_alien(locator.rloc)
            && locator.data_key.is_some_and(|known| known.key == key)
    };
    // Sorted by priority as they are.
    locators.iter().filter(is_usable).filter_map(endpoint).collect()
}

fn ways_in<'a>(
    locators: &'a Locators,
    database: &Database,
    is_ours: impl Fn(u8) -> bool,
) -> Ways<'a> {
    let rank = |locator: &Locator| {
        (!locator.is_reachable, database.is_alien(locator.rloc), locator.priority)
    };
    let mut ways = Ways::new();
    for lane in (0..database.lanes()).filter(|lane| is_ours(*lane)) {
        let usable = locators.iter().filter(|locator| locator.priority != 255);
        let best = usable
            .filter_map(|locator| Some((locator, locator.data_key.as_ref()?)))
            .filter(|(_, data_key)| data_key.lane == lane)
            .min_by_key(|(locator, _)| rank(locator));
        let Some((locator, data_key)) = best else { continue };
        // One key on two lanes would be one peer on two interfaces.
        if ways.iter().all(|way: &Way<'_>| way.data_key.key != data_key.key) {
            let way = Way { locator, data_key, side: Side::Responder, weight: 0 };
            ways.push(way).expect("our lanes are at most MAX_LANES");
        }
    }
    let overall = ways.iter().map(|way| rank(way.locator)).min();
    let is_used = |way: &Way<'_>| Some(rank(way.locator)) == overall;
    let is_equal = ways.iter().all(|way| !is_used(way) || way.locator.weight == 0);
    for way in &mut ways {
        way.weight = match (is_used(way), is_equal) {
            (true, true) => 1,
            (true, false) => way.locator.weight,
            (false, _) => 0,
        };
    }
    ways
}

/// What happens to packets that have these ways.
pub(super) fn forwarding(ways: &Ways<'_>) -> Forwarding {
    if let [way] = ways.as_slice() {
        return Forwarding::Peer(way.data_key.key);
    }
    let row = |way: &Way<'_>| (way.data_key.lane, way.data_key.key, way.weight);
    let rows: heapless::Vec<_, MAX_LANES> = ways.iter().map(row).collect();
    Lanes::new(&rows).map_or(Forwarding::Drop, Forwarding::Lanes)
}
