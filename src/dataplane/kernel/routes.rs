//! What is resolved: in our table, and with sessions behind it in the kernel's.

use control::{Eid, EidPrefix, Forwarding, Instant, PeerKey};

use super::machine::Machine;
use super::operations::{Hops, Operations, Resolved};
use super::peers::Peer;
use super::route_table::Entry;
use crate::PlaneError;

impl<O: Operations> Machine<O> {
    /// The resolved EID-prefixes, sorted.
    pub(super) fn routes(&self) -> impl Iterator<Item = (&EidPrefix, Forwarding)> {
        self.routes.iter().map(|(eid_prefix, entry)| (eid_prefix, entry.forwarding))
    }

    /// What the kernel is to do: it gets no route to a peer without a session, lest it initiates.
    pub(super) fn resolved(&self, forwarding: &Forwarding) -> Resolved {
        match forwarding {
            Forwarding::Drop => return Resolved::Unreachable,
            Forwarding::Native => return Resolved::Throw,
            Forwarding::Peer(_) | Forwarding::Lanes(_) => {}
        }
        let mut hops = Hops::new();
        let live = forwarding.shares().filter_map(|(key, weight)| {
            let peer = self.data.get(key).filter(|peer| peer.has_session())?;
            Some((lane(peer), weight))
        });
        hops.extend(live);
        // Without weight are those that are used when no other can be.
        if hops.iter().any(|(_, weight)| *weight > 0) {
            hops.retain(|(_, weight)| *weight > 0);
        }
        hops.iter_mut().for_each(|(_, weight)| *weight = (*weight).max(1));
        if hops.len() == 1 {
            hops[0].1 = 1;
        }
        if hops.is_empty() { Resolved::Nothing } else { Resolved::Lanes(hops) }
    }

    /// The live peer that a packet goes to; packets between the same two EIDs go the same way.
    pub(super) fn live_peer(
        &self,
        forwarding: &Forwarding,
        source: Eid,
        destination: Eid,
    ) -> Option<PeerKey> {
        let is_live = |key: &PeerKey| self.data.get(key).is_some_and(Peer::has_session);
        let live = || forwarding.shares().filter(|(key, _)| is_live(key));
        let total: u32 = live().map(|(_, weight)| u32::from(weight)).sum();
        if total == 0 {
            return live().next().map(|(key, _)| *key);
        }
        let mut share = spread(source, destination) % total;
        live().find_map(|(key, weight)| match share.checked_sub(weight.into()) {
            Some(rest) => {
                share = rest;
                None
            }
            None => Some(*key),
        })
    }

    /// A peer's session stands: what waits goes out first, then what is in the queue of misses,
    /// then the kernel gets its routes. What came to us until then goes out too, and is counted.
    pub(super) fn open(&mut self, key: PeerKey, now: Instant) {
        let mut changed = core::mem::take(&mut self.scratch);
        changed.clear();
        let is_due = |entry: &Entry| self.resolved(&entry.forwarding) != entry.installed;
        let routed = self.routes.to_peer(key).filter(|(_, entry)| is_due(entry));
        changed.extend(routed.map(|(eid_prefix, _)| *eid_prefix));
        changed.sort_unstable();
        if !changed.is_empty() {
            self.release_waiting(key, now);
            self.drain_misses(false, now);
            for eid_prefix in &changed {
                let _ = self.sync_route(eid_prefix);
            }
            self.drain_misses(true, now);
        }
        self.scratch = changed;
    }

    /// A peer has no session any more: no route leads to it.
    pub(super) fn close(&mut self, key: PeerKey, _now: Instant) {
        let mut changed = core::mem::take(&mut self.scratch);
        changed.clear();
        changed.extend(self.routes.to_peer(key).map(|(eid_prefix, _)| *eid_prefix));
        changed.sort_unstable();
        for eid_prefix in &changed {
            let _ = self.sync_route(eid_prefix);
        }
        self.scratch = changed;
    }

    /// Whether flows that go over other lanes are to be shared with this peer.
    pub(super) fn shares_flows(&self, key: PeerKey) -> bool {
        let mut routed = self.routes.to_peer(key);
        routed.any(|(_, entry)| matches!(entry.installed, Resolved::Lanes(_)))
    }

    /// Makes the kernel's table follow ours.
    pub(super) fn sync_route(&mut self, eid_prefix: &EidPrefix) -> Result<(), PlaneError> {
        let Some(entry) = self.routes.get(eid_prefix) else { return Ok(()) };
        let new = self.resolved(&entry.forwarding);
        if new == entry.installed {
            return Ok(());
        }
        self.counters.route_requests += 1;
        let result = self.operations.set_route(eid_prefix, &entry.installed, &new);
        match result {
            Ok(()) => {
                self.routes.set_installed(eid_prefix, new);
                Ok(())
            }
            Err(error) => {
                self.counters.refused += 1;
                Err(PlaneError::Route(*eid_prefix, error.into()))
            }
        }
    }

    /// Writes every route again, with what all of them have changed.
    pub(super) fn rewrite_routes(&mut self) -> Result<(), PlaneError> {
        let mut result = Ok(());
        for (eid_prefix, entry) in self.routes.iter() {
            if matches!(entry.installed, Resolved::Lanes(_)) {
                self.counters.route_requests += 1;
                let written =
                    self.operations.set_route(eid_prefix, &entry.installed, &entry.installed);
                result = result
                    .and(written.map_err(|error| PlaneError::Route(*eid_prefix, error.into())));
            }
        }
        result
    }

    /// Takes a route out of the kernel's table and ours.
    pub(super) fn forget_route(&mut self, eid_prefix: &EidPrefix) -> Option<Entry> {
        let entry = self.routes.remove(eid_prefix)?;
        if entry.installed != Resolved::Nothing {
            self.counters.route_requests += 1;
            let nothing = Resolved::Nothing;
            if self.operations.set_route(eid_prefix, &entry.installed, &nothing).is_err() {
                self.counters.refused += 1;
            }
        }
        Some(entry)
    }
}

/// The lane of a data peer.
pub(super) fn lane(peer: &Peer) -> u8 {
    match peer.device {
        super::Device::Control => 0,
        super::Device::Lane(lane) => lane,
    }
}

/// A number that spreads pairs of EIDs.
fn spread(source: Eid, destination: Eid) -> u32 {
    let bits = |eid: Eid| match eid.address {
        core::net::IpAddr::V4(v4) => u128::from(v4.to_bits()),
        core::net::IpAddr::V6(v6) => v6.to_bits(),
    };
    let mixed = bits(source).wrapping_mul(31).wrapping_add(bits(destination));
    let folded = (mixed ^ (mixed >> 64)) as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as u32
}
