//! Longest-prefix match that grows with the configuration, and the holes between its prefixes.

use alloc::vec::Vec;

use crate::{Eid, EidPrefix, address_bits, left_aligned};

/// A value per EID-prefix.
#[derive(Debug)]
pub(super) struct PrefixMap<T> {
    /// Sorted.
    rows: Vec<(EidPrefix, T)>,
    /// How many prefixes of each length there are, so that a lookup tries only those.
    lengths: [u32; 129],
}

impl<T> PrefixMap<T> {
    pub(super) fn new() -> PrefixMap<T> {
        PrefixMap { rows: Vec::new(), lengths: [0; 129] }
    }

    pub(super) fn get(&self, eid_prefix: &EidPrefix) -> Option<&T> {
        self.rank(eid_prefix).ok().map(|rank| &self.rows[rank].1)
    }

    pub(super) fn insert(&mut self, eid_prefix: EidPrefix, value: T) {
        match self.rank(&eid_prefix) {
            Ok(rank) => self.rows[rank].1 = value,
            Err(rank) => {
                self.rows.insert(rank, (eid_prefix, value));
                self.lengths[usize::from(eid_prefix.len())] += 1;
            }
        }
    }

    pub(super) fn remove(&mut self, eid_prefix: &EidPrefix) {
        if let Ok(rank) = self.rank(eid_prefix) {
            self.rows.remove(rank);
            self.lengths[usize::from(eid_prefix.len())] -= 1;
        }
    }

    /// Where a prefix is among all, or where it would be.
    fn rank(&self, eid_prefix: &EidPrefix) -> Result<usize, usize> {
        self.rows.binary_search_by_key(eid_prefix, |(known, _)| *known)
    }

    /// The longest prefix that holds `eid`.
    pub(super) fn lookup(&self, eid: Eid) -> Option<(EidPrefix, &T)> {
        self.covering(&EidPrefix::host(eid))
    }

    /// The longest prefix that covers `eid_prefix`, itself included.
    pub(super) fn covering(&self, eid_prefix: &EidPrefix) -> Option<(EidPrefix, &T)> {
        let lengths = &self.lengths[..=usize::from(eid_prefix.len())];
        let present = lengths.iter().enumerate().rev().filter(|(_, count)| **count > 0);
        present.into_iter().find_map(|(len, _)| {
            let shorter =
                EidPrefix::new(eid_prefix.instance_id(), eid_prefix.address(), len as u8)?;
            Some((shorter, self.get(&shorter)?))
        })
    }

    /// The length at which a prefix around `eid` covers no other prefix any more, once it is at
    /// least as long as the longest one that holds `eid`: what shares most leading bits with `eid`
    /// is its neighbour in order.
    pub(super) fn hole_len(&self, eid: Eid) -> u8 {
        let (Ok(rank) | Err(rank)) = self.rank(&EidPrefix::host(eid));
        let neighbours = &self.rows[rank.saturating_sub(1)..self.rows.len().min(rank + 1)];
        neighbours.iter().map(|(prefix, _)| separating_len(prefix, eid)).max().unwrap_or(0)
    }
}

/// How long a prefix around `eid` must be so as not to cover `other`; 0 when `other` holds `eid` or
/// is in another space.
fn separating_len(other: &EidPrefix, eid: Eid) -> u8 {
    let is_same_space = other.instance_id() == eid.instance_id
        && other.address().is_ipv4() == eid.address.is_ipv4();
    if !is_same_space || other.contains(eid) {
        return 0;
    }
    let common = (left_aligned(other.address()) ^ left_aligned(eid.address)).leading_zeros();
    (common as u8 + 1).min(address_bits(eid.address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstanceId;

    fn prefix(text: &str) -> EidPrefix {
        text.parse().unwrap()
    }

    fn eid(text: &str) -> Eid {
        Eid { instance_id: InstanceId(0), address: text.parse().unwrap() }
    }

    fn map(prefixes: &[&str]) -> PrefixMap<usize> {
        let mut map = PrefixMap::new();
        prefixes.iter().enumerate().for_each(|(value, text)| map.insert(prefix(text), value));
        map
    }

    #[test]
    fn the_longest_prefix_wins() {
        let mut map = map(&["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "::/0"]);
        assert_eq!(map.lookup(eid("10.1.2.3")), Some((prefix("10.1.0.0/16"), &2)));
        assert_eq!(map.lookup(eid("10.2.2.3")), Some((prefix("10.0.0.0/8"), &1)));
        assert_eq!(map.lookup(eid("192.0.2.1")), Some((prefix("0.0.0.0/0"), &0)));
        assert_eq!(map.lookup(eid("fd00::1")), Some((prefix("::/0"), &3)));
        assert_eq!(map.covering(&prefix("10.0.0.0/8")), Some((prefix("10.0.0.0/8"), &1)));
        assert_eq!(map.covering(&prefix("10.0.0.0/7")), Some((prefix("0.0.0.0/0"), &0)));
        map.remove(&prefix("10.1.0.0/16"));
        assert_eq!(map.lookup(eid("10.1.2.3")), Some((prefix("10.0.0.0/8"), &1)));
    }

    #[test]
    fn a_hole_is_the_least_specific_prefix_that_overlaps_nothing() {
        let naive = |prefixes: &[&str], eid: Eid| {
            (0..=address_bits(eid.address)).find(|len| {
                let hole = EidPrefix::new(eid.instance_id, eid.address, *len).unwrap();
                let others = prefixes.iter().map(|text| prefix(text));
                others.filter(|other| !other.contains(eid)).all(|other| !hole.covers(&other))
            })
        };
        let prefixes = ["10.0.0.0/8", "10.1.0.0/16", "10.1.128.0/17", "192.0.2.0/24", "fd00::/8"];
        let map = map(&prefixes);
        for text in ["10.2.0.1", "10.1.1.1", "11.0.0.1", "192.0.3.1", "0.0.0.0", "255.255.255.255"]
        {
            assert_eq!(Some(map.hole_len(eid(text))), naive(&prefixes, eid(text)), "{text}");
        }
        for text in ["2001:db8::1", "fe80::1", "fd00::1", "::"] {
            assert_eq!(Some(map.hole_len(eid(text))), naive(&prefixes, eid(text)), "{text}");
        }
        let elsewhere = Eid { instance_id: InstanceId(9), ..eid("10.1.0.1") };
        assert_eq!(map.hole_len(elsewhere), 0);
    }
}
