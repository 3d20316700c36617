//! Which answers are believed, and which locator of a mapping is used.

use core::net::SocketAddr;

use crate::etr::database::Database;
use crate::{Action, DataKey, Eid, EidPrefix, Forwarding, Locator, Locators, left_aligned};

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

/// The locator to use and its key: reachable ones of a family that we have go first, then priority.
pub(super) fn best<'a>(
    locators: &'a Locators,
    database: &Database,
) -> Option<(&'a Locator, DataKey)> {
    let ours = database.locators();
    let is_alien = |locator: &Locator| {
        !ours.is_empty() && ours.iter().all(|own| own.rloc.is_ipv4() != locator.rloc.is_ipv4())
    };
    let usable = locators.iter().filter(|locator| locator.priority != 255);
    usable
        .filter_map(|locator| locator.data_key.map(|key| (locator, key)))
        .min_by_key(|(locator, _)| (!locator.is_reachable, is_alien(locator), locator.priority))
}

/// Where to send; nowhere when the Map-Server says that the site cannot be reached from outside.
pub(super) fn endpoint(locator: &Locator) -> Option<SocketAddr> {
    locator.endpoint().filter(|_| locator.is_reachable)
}
