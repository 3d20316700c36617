//! The resolved EID-prefixes, found by EID and by the peers that they lead to.

use core::mem;

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
    by_peer: Links,
}

/// Which entries have which peers: peers whose keys fall to the same head are a chain. A link is
/// named by its entry's place times [`MAX_LANES`] and its number in the entry, plus 1; 0 is an end.
struct Links {
    heads: Vec<u32>,
    /// What follows each link.
    next: Vec<u32>,
}

impl RouteTable {
    pub(super) fn with_capacity(capacity: usize) -> RouteTable {
        RouteTable {
            entries: PrefixTable::with_capacity(capacity),
            by_peer: Links {
                heads: vec![0; capacity.max(1)],
                next: Vec::with_capacity(capacity * MAX_LANES),
            },
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
        let mut link = self.by_peer.heads[self.by_peer.head(&key)];
        core::iter::from_fn(move || {
            loop {
                let at = (link as usize).checked_sub(1)?;
                link = self.by_peer.next[at];
                let found = self.entries.at(at / MAX_LANES)?;
                if found.1.forwarding.peer(at % MAX_LANES) == Some(&key) {
                    return Some(found);
                }
            }
        })
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
        self.by_peer.remove(place, &entry.forwarding);
        entry.forwarding = *forwarding;
        self.by_peer.add(place, forwarding);
        true
    }

    pub(super) fn remove(&mut self, eid_prefix: &EidPrefix) -> Option<Entry> {
        let place = self.entries.place(eid_prefix)?;
        let entry = self.entries.remove(eid_prefix)?;
        self.by_peer.remove(place, &entry.forwarding);
        Some(entry)
    }

    /// Takes note of what the kernel has.
    pub(super) fn set_installed(&mut self, eid_prefix: &EidPrefix, installed: Resolved) {
        if let Some(entry) = self.entries.get_mut(eid_prefix) {
            entry.installed = installed;
        }
    }
}

impl Links {
    fn head(&self, key: &PeerKey) -> usize {
        key.beginning() as usize % self.heads.len()
    }

    /// Adds the peers of an entry, each once.
    fn add(&mut self, place: usize, forwarding: &Forwarding) {
        let first = place * MAX_LANES;
        if self.next.len() < first + MAX_LANES {
            self.next.resize(first + MAX_LANES, 0);
        }
        for (number, key) in forwarding.peers().enumerate() {
            if forwarding.peers().take(number).all(|other| other != key) {
                let head = self.head(key);
                let following = mem::replace(&mut self.heads[head], (first + number + 1) as u32);
                self.next[first + number] = following;
            }
        }
    }

    /// Removes the peers of an entry.
    fn remove(&mut self, place: usize, forwarding: &Forwarding) {
        for (number, key) in forwarding.peers().enumerate() {
            let (head, mut before) = (self.head(key), None);
            let mut link = self.heads[head];
            while let Some(at) = (link as usize).checked_sub(1) {
                link = self.next[at];
                if at == place * MAX_LANES + number {
                    match before {
                        None => self.heads[head] = link,
                        Some(before) => self.next[before] = link,
                    }
                    break;
                }
                before = Some(at);
            }
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

    #[test]
    fn whatever_comes_and_goes_the_chains_hold_what_is_there() {
        let mut table = RouteTable::with_capacity(8);
        let mut model: [Forwarding; 8] = [Forwarding::Drop; 8];
        let mut state = 1_u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        for _ in 0..5_000 {
            let number = random(8) as u8;
            let forwarding = match random(4) {
                0 => Forwarding::Drop,
                1 => Forwarding::Peer(key(random(5) as u8)),
                _ => {
                    let lanes = [0, 1, 2].map(|lane| (lane, key(random(5) as u8), 1));
                    Lanes::new(&lanes).map_or(Forwarding::Native, Forwarding::Lanes)
                }
            };
            match random(3) {
                0 => {
                    let gone = table.remove(&prefix(number));
                    model[usize::from(number)] = Forwarding::Drop;
                    assert!(gone.is_none_or(|gone| gone.installed == Resolved::Nothing));
                }
                _ => {
                    assert!(set(&mut table, number, forwarding));
                    model[usize::from(number)] = forwarding;
                }
            }
            for peer in 0..5 {
                let leads = |number: &u8| model[usize::from(*number)].leads_to(&key(peer));
                let expected: Vec<_> = (0..8).filter(leads).map(prefix).collect();
                assert_eq!(to_peer(&table, peer), expected);
            }
        }
    }
}
