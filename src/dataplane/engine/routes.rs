//! Where packets for an EID go, and from which peer a source is accepted.

use control::{Eid, EidPrefix, PrefixTable};

use super::peers::Slot;

/// A route with its peer's place in the table of peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route {
    Peer(Slot),
    Drop,
    Native,
}

/// Longest-prefix match from EID to forwarding, of fixed capacity.
#[derive(Debug)]
pub(super) struct Routes(PrefixTable<Route>);

impl Routes {
    pub(super) fn with_capacity(capacity: usize) -> Routes {
        Routes(PrefixTable::with_capacity(capacity))
    }

    /// Sets a route; says whether there was room.
    pub(super) fn set(&mut self, eid_prefix: EidPrefix, route: Route) -> bool {
        self.0.insert(eid_prefix, route).is_ok()
    }

    pub(super) fn remove(&mut self, eid_prefix: &EidPrefix) {
        self.0.remove(eid_prefix);
    }

    /// Removes what leads to a peer.
    pub(super) fn remove_peer(&mut self, slot: Slot) {
        self.0.retain(|_, route| *route != Route::Peer(slot));
    }

    pub(super) fn lookup(&self, eid: Eid) -> Option<Route> {
        self.0.lookup(eid).map(|(_, route)| *route)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&EidPrefix, Route)> {
        self.0.iter().map(|(eid_prefix, route)| (eid_prefix, *route))
    }
}
