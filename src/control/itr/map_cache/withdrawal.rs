//! Which mapping is the newer one, also after it was withdrawn.

use core::time::Duration;

use super::{MapCache, MapCacheEntry, Origin, Outcome, Version, held};
use crate::{EidPrefix, Instant};

/// Withdrawn mappings whose numbers are remembered; a further one displaces the oldest.
const MAX_TOMBSTONES: usize = 64;

/// How long the number of a withdrawn mapping is remembered.
const TOMBSTONE_TTL: Duration = Duration::from_secs(60);

pub(super) struct Tombstone {
    eid_prefix: EidPrefix,
    version: Version,
    pub(super) expires_at: Instant,
}

pub(super) type Tombstones = heapless::Vec<Tombstone, MAX_TOMBSTONES>;

impl MapCache {
    /// Forgets a mapping that was withdrawn, and remembers by which push.
    pub(crate) fn withdraw(&mut self, eid_prefix: &EidPrefix, version: Version) -> Outcome {
        let held = held(&self.rows, eid_prefix);
        if self.is_stale(eid_prefix, held, &Origin::Push(version)) {
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

    /// Whether this is older than what is held, or than the withdrawal of what was.
    pub(super) fn is_stale(
        &self,
        eid_prefix: &EidPrefix,
        held: Option<&MapCacheEntry>,
        origin: &Origin,
    ) -> bool {
        let version = held.and_then(|row| row.version.as_ref());
        let version = version.or_else(|| version_of(&self.tombstones, eid_prefix));
        version.is_some_and(|held| match origin {
            Origin::Push(version) => version.is_older_than(held),
            Origin::Reply { asked_at } => held.pushed_at >= *asked_at,
        })
    }
}

/// The number of the withdrawal of a mapping.
pub(super) fn version_of<'a>(
    tombstones: &'a [Tombstone],
    eid_prefix: &EidPrefix,
) -> Option<&'a Version> {
    let tombstone = tombstones.iter().find(|row| row.eid_prefix == *eid_prefix);
    tombstone.map(|row| &row.version)
}
