//! The resolved EID-prefixes, found by EID and by the peers that they lead to.

use control::{Eid, EidPrefix, Forwarding, MAX_LANES, PeerKey, PrefixTable};

use super::operations::Resolved;

/// A resolved EID-prefix.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) forwarding: Forwarding,
    /// What stands in the kernel's table.
    pub(super) installed: Resolved,
}

impl Default for Entry {
    #[inline(always)]
    fn default() -> Entry {
        Entry { forwarding: Forwarding::Drop, installed: Resolved::Nothing }
    }
}

/// Entries by EID-prefix, of fixed capacity.
pub(super) struct RouteTable {
    entries: PrefixTable<Entry>,
    /// For each peer of each entry, the beginning of its key and the entry's place; sorted.
    by_peer: Vec<(u32, u32)>,
}

impl RouteTable {
    pub(super) fn with_capacity(capacity: usize) -> RouteTable {
        RouteTable {
            entries: PrefixTable::with_capacity(capacity),
            by_peer: Vec::with_capacity(capacity * MAX_LANES),
        }
    }

    pub(super) fn get(&self, eid_prefix: &EidPrefix) -> Option<&Entry> {
        self.entries.get(eid_prefix)
    }

    pub(super) fn lookup(&self, eid: Eid) -> Option<&Entry> {
        self.entries.lookup(eid).map(|(_, entry)| entry)
    }

    /// All entries, sorted by EID-prefix.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&EidPrefix, &Entry)> {
        self.entries.iter()
    }

    /// The entries that lead to a peer.
    pub(super) fn to_peer(&self, key: PeerKey) -> impl Iterator<Item = (&EidPrefix, &Entry)> {
        let begin = key.beginning();
        let first = self.by_peer.partition_point(|(known, _)| *known < begin);
        let alike = self.by_peer[first..].iter().take_while(move |(known, _)| *known == begin);
        alike
            .filter_map(|(_, place)| self.entries.at(*place as usize))
            .filter(move |(_, entry)| entry.forwarding.leads_to(&key))
    }

    /// Says where packets go from now on; false when there is no room.
    pub(super) fn set_forwarding(
        &mut self,
        eid_prefix: &EidPrefix,
        forwarding: &Forwarding,
    ) -> bool {
        let Some((place, entry)) = self.entries.entry(eid_prefix, Entry::default) else {
            return false;
        };
        forget_peers(&mut self.by_peer, &entry.forwarding, place);
        entry.forwarding = *forwarding;
        for (key, _) in forwarding.shares() {
            let row = (key.beginning(), place as u32);
            if let Err(index) = self.by_peer.binary_search(&row) {
                self.by_peer.insert(index, row);
            }
        }
        true
    }

    pub(super) fn remove(&mut self, eid_prefix: &EidPrefix) -> Option<Entry> {
        let place = self.entries.place(eid_prefix)?;
        let entry = self.entries.remove(eid_prefix)?;
        forget_peers(&mut self.by_peer, &entry.forwarding, place);
        Some(entry)
    }

    /// Takes note of what the kernel has.
    pub(super) fn set_installed(&mut self, eid_prefix: &EidPrefix, installed: Resolved) {
        if let Some(entry) = self.entries.get_mut(eid_prefix) {
            entry.installed = installed;
        }
    }
}

fn forget_peers(by_peer: &mut Vec<(u32, u32)>, forwarding: &Forwarding, place: usize) {
    for (key, _) in forwarding.shares() {
        if let Ok(index) = by_peer.binary_search(&(key.beginning(), place as u32)) {
            by_peer.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::Lanes;

    /// Keys of one peer each, the first two of which begin alike.
    fn key(number: u8) -> PeerKey {
        let mut key = [number.max(1); 32];
        key[31] = number;
        PeerKey(key)
    }

    fn prefix(number: u8) -> EidPrefix {
        format!("10.0.{number}.0/24").parse().unwrap()
    }

    fn set(table: &mut RouteTable, number: u8, forwarding: Forwarding) -> bool {
        table.set_forwarding(&prefix(number), &forwarding)
    }

    fn to_peer(table: &RouteTable, number: u8) -> Vec<EidPrefix> {
        let mut found: Vec<_> = table.to_peer(key(number)).map(|(at, _)| *at).collect();
        found.sort();
        found
    }

    #[test]
    fn entries_are_found_by_each_peer_that_they_lead_to() {
        let mut table = RouteTable::with_capacity(4);
        let lanes = Lanes::new(&[(0, key(0), 1), (1, key(1), 1)]).unwrap();
        assert!(set(&mut table, 1, Forwarding::Lanes(lanes)));
        assert!(set(&mut table, 2, Forwarding::Peer(key(1))));
        assert!(set(&mut table, 3, Forwarding::Peer(key(2))));
        assert!(set(&mut table, 4, Forwarding::Drop));
        assert!(!set(&mut table, 5, Forwarding::Peer(key(2))));
        assert_eq!(to_peer(&table, 0), [prefix(1)]);
        assert_eq!(to_peer(&table, 1), [prefix(1), prefix(2)]);
        assert_eq!(to_peer(&table, 2), [prefix(3)]);
        assert!(set(&mut table, 1, Forwarding::Peer(key(2))));
        assert!(table.remove(&prefix(2)).is_some());
        assert_eq!([to_peer(&table, 0), to_peer(&table, 1)], [[], []]);
        assert_eq!(to_peer(&table, 2), [prefix(1), prefix(3)]);
    }
}
