//! A table keyed by EID-prefix with longest-prefix match, whose memory is taken once.
//!
//! Places are sorted by prefix, each linked to that of the next less specific prefix that covers
//! it: a lookup is one binary search and a short walk up. Prefixes and values stay where they are
//! put, so that an insert moves numbers of places only.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::net::IpAddr;

use crate::{Eid, EidPrefix, address_bits};

/// Longest-prefix match over {instance-ID, prefix}; never grows beyond its capacity.
#[derive(Clone, Debug)]
pub struct PrefixTable<T> {
    /// The places in use, sorted by their keys.
    order: Vec<u32>,
    nodes: Vec<Node>,
    values: Vec<Option<(EidPrefix, T)>>,
    free: Vec<u32>,
}

/// No less specific prefix covers it.
const ROOT: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    key: Key,
    /// The place of the most specific prefix that covers this one, or `ROOT`.
    parent: u32,
}

/// A prefix as numbers: instance and family first, then the left-aligned address and the length,
/// so that a prefix sorts directly before all that it covers. Words of 32 bits, as small machines
/// compare them at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key {
    /// Instance-ID, family, and the address.
    words: [u32; 6],
    len: u8,
}

impl Key {
    const NONE: Key = Key { words: [0; 6], len: 0 };

    fn of(eid: Eid, len: u8) -> Key {
        let instance_id = eid.instance_id.0;
        let words = match eid.address {
            IpAddr::V4(address) => [instance_id, 4, address.to_bits(), 0, 0, 0],
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let word = |place: u32| (bits >> (96 - 32 * place)) as u32;
                [instance_id, 6, word(0), word(1), word(2), word(3)]
            }
        };
        Key { words, len }
    }

    fn of_prefix(eid_prefix: &EidPrefix) -> Key {
        Key::of(eid_prefix.eid(), eid_prefix.len())
    }

    fn covers(&self, other: &Key) -> bool {
        if self.words[..2] != other.words[..2] || self.len > other.len {
            return false;
        }
        let mut left = u32::from(self.len);
        for (own, other) in self.words[2..].iter().zip(&other.words[2..]) {
            let differing = own ^ other;
            if left < 32 {
                return left == 0 || differing >> (32 - left) == 0;
            }
            if differing != 0 {
                return false;
            }
            left -= 32;
        }
        true
    }

    #[inline]
    fn order(&self, other: &Key) -> Ordering {
        for (own, other) in self.words.iter().zip(&other.words) {
            if own != other {
                return own.cmp(other);
            }
        }
        self.len.cmp(&other.len)
    }
}

impl<T> PrefixTable<T> {
    /// A table for `capacity` prefixes; all of its memory is allocated here.
    ///
    /// # Panics
    /// When `capacity` exceeds 2^32 - 2.
    pub fn with_capacity(capacity: usize) -> PrefixTable<T> {
        let places = u32::try_from(capacity).expect("a table of fewer than 2^32 prefixes");
        assert!(places < ROOT, "the last place is reserved");
        let mut values = Vec::with_capacity(capacity);
        values.resize_with(capacity, || None);
        PrefixTable {
            order: Vec::with_capacity(capacity),
            nodes: alloc::vec![Node { key: Key::NONE, parent: ROOT }; capacity],
            values,
            free: (0..places).rev().collect(),
        }
    }

    /// How many prefixes it holds.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether a new prefix would be refused.
    pub fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// How many prefixes it can hold.
    pub fn capacity(&self) -> usize {
        self.values.len()
    }

    /// Sets the value of a prefix and returns the one it replaces.
    ///
    /// # Errors
    /// Gives the value back when the prefix is new and the table full.
    pub fn insert(&mut self, eid_prefix: EidPrefix, value: T) -> Result<Option<T>, T> {
        let key = Key::of_prefix(&eid_prefix);
        let index = match self.position(&key) {
            Ok(index) => {
                let old = self.values[self.order[index] as usize].replace((eid_prefix, value));
                return Ok(old.map(|(_, value)| value));
            }
            Err(index) => index,
        };
        let Some(place) = self.free.pop() else { return Err(value) };
        self.values[place as usize] = Some((eid_prefix, value));
        let parent = self.covering(index, &key).unwrap_or(ROOT);
        self.nodes[place as usize] = Node { key, parent };
        self.order.insert(index, place);
        self.relink(index + 1, &key, parent, place);
        Ok(None)
    }

    /// Removes a prefix and returns its value.
    pub fn remove(&mut self, eid_prefix: &EidPrefix) -> Option<T> {
        let key = Key::of_prefix(eid_prefix);
        let index = self.position(&key).ok()?;
        let place = self.order.remove(index);
        self.relink(index, &key, place, self.nodes[place as usize].parent);
        self.free.push(place);
        self.values[place as usize].take().map(|(_, value)| value)
    }

    /// From this index on, what `key` covers and was linked to one place is linked to another.
    fn relink(&mut self, index: usize, key: &Key, from: u32, to: u32) {
        for place in &self.order[index..] {
            let node = &mut self.nodes[*place as usize];
            if !key.covers(&node.key) {
                break;
            }
            if node.parent == from {
                node.parent = to;
            }
        }
    }

    /// The place of a prefix: a number below the capacity that is its own while it is held.
    pub fn place(&self, eid_prefix: &EidPrefix) -> Option<usize> {
        let index = self.position(&Key::of_prefix(eid_prefix)).ok()?;
        Some(self.order[index] as usize)
    }

    /// What is held at a place.
    pub fn at(&self, place: usize) -> Option<(&EidPrefix, &T)> {
        self.values[place].as_ref().map(|(eid_prefix, value)| (eid_prefix, value))
    }

    /// What is held at a place, to be changed.
    pub fn at_mut(&mut self, place: usize) -> Option<(&EidPrefix, &mut T)> {
        self.values[place].as_mut().map(|(eid_prefix, value)| (&*eid_prefix, value))
    }

    /// The value of exactly this prefix.
    pub fn get(&self, eid_prefix: &EidPrefix) -> Option<&T> {
        Some(self.entry(self.place(eid_prefix)?).1)
    }

    /// The value of exactly this prefix, to be changed.
    pub fn get_mut(&mut self, eid_prefix: &EidPrefix) -> Option<&mut T> {
        let place = self.place(eid_prefix)?;
        self.at_mut(place).map(|(_, value)| value)
    }

    /// The longest prefix that contains `eid`, with its value.
    pub fn lookup(&self, eid: Eid) -> Option<(&EidPrefix, &T)> {
        self.longest(eid).map(|place| self.entry(place))
    }

    /// The longest prefix that contains `eid`, with its value to be changed.
    pub fn lookup_mut(&mut self, eid: Eid) -> Option<(&EidPrefix, &mut T)> {
        let place = self.longest(eid)?;
        self.at_mut(place)
    }

    /// All prefixes with their values, sorted by instance-ID, family, address and length.
    pub fn iter(&self) -> impl Iterator<Item = (&EidPrefix, &T)> {
        self.order.iter().map(|place| self.entry(*place as usize))
    }

    /// All values, in no order, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = (&EidPrefix, &mut T)> {
        self.values.iter_mut().flatten().map(|(eid_prefix, value)| (&*eid_prefix, value))
    }

    /// The same with their places.
    pub fn places_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let held =
            |(place, value): (usize, _)| Option::as_mut(value).map(|(_, value)| (place, value));
        self.values.iter_mut().enumerate().filter_map(held)
    }

    /// This prefix, if present, and all more specific ones of it, sorted.
    pub fn within(&self, eid_prefix: &EidPrefix) -> impl Iterator<Item = (&EidPrefix, &T)> {
        let key = Key::of_prefix(eid_prefix);
        let (Ok(start) | Err(start)) = self.position(&key);
        self.order[start..]
            .iter()
            .take_while(move |place| key.covers(&self.nodes[**place as usize].key))
            .map(|place| self.entry(*place as usize))
    }

    /// The most specific prefix that covers `eid_prefix`: itself, if present.
    pub fn covering_prefix(&self, eid_prefix: &EidPrefix) -> Option<(&EidPrefix, &T)> {
        self.longest_of(&Key::of_prefix(eid_prefix)).map(|place| self.entry(place))
    }

    /// Removes the prefixes for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&EidPrefix, &mut T) -> bool) {
        for place in 0..self.values.len() {
            if let Some((eid_prefix, value)) = &mut self.values[place]
                && !keep(eid_prefix, value)
            {
                let eid_prefix = *eid_prefix;
                self.remove(&eid_prefix);
            }
        }
    }

    /// Removes every prefix; the memory stays.
    pub fn clear(&mut self) {
        self.retain(|_, _| false);
    }

    /// Where a key is in the order, or belongs.
    fn position(&self, key: &Key) -> Result<usize, usize> {
        self.order.binary_search_by(|place| self.nodes[*place as usize].key.order(key))
    }

    fn longest(&self, eid: Eid) -> Option<usize> {
        self.longest_of(&Key::of(eid, address_bits(eid.address)))
    }

    fn longest_of(&self, key: &Key) -> Option<usize> {
        let place = match self.position(key) {
            Ok(index) => self.order[index],
            Err(index) => self.covering(index, key)?,
        };
        Some(place as usize)
    }

    /// The place of the most specific prefix that covers `key`, where `key` belongs at `index`: the
    /// one in front of it or one of that one's ancestors.
    fn covering(&self, index: usize, key: &Key) -> Option<u32> {
        let mut candidate = self.order[index.checked_sub(1)?];
        while candidate != ROOT {
            let node = &self.nodes[candidate as usize];
            if node.key.covers(key) {
                return Some(candidate);
            }
            candidate = node.parent;
        }
        None
    }

    fn entry(&self, place: usize) -> (&EidPrefix, &T) {
        let (eid_prefix, value) = self.values[place].as_ref().expect("each place has its value");
        (eid_prefix, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstanceId;
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    #[test]
    fn lookups_inserts_and_removals_agree_with_a_naive_model() {
        for seed in 1..=20 {
            let mut random = Random(seed);
            let mut table = PrefixTable::with_capacity(96);
            let mut model: Vec<(EidPrefix, u32)> = Vec::new();
            for step in 0..3000u32 {
                let eid_prefix = random.eid_prefix();
                if random.below(3) > 0 {
                    insert_both(&mut table, &mut model, eid_prefix, step);
                } else {
                    let place = model.iter().position(|(known, _)| *known == eid_prefix);
                    let expected = place.map(|place| model.remove(place).1);
                    assert_eq!(table.remove(&eid_prefix), expected);
                }
                compare(&table, &model, random.eid(), &random.eid_prefix());
            }
            table.clear();
            assert!(table.is_empty() && !table.is_full());
        }
    }

    #[test]
    fn a_full_table_refuses_a_new_prefix_and_still_replaces_a_known_one() {
        let mut table = PrefixTable::with_capacity(1);
        let known: EidPrefix = "10.0.0.0/8".parse().unwrap();
        assert_eq!(table.insert(known, 1), Ok(None));
        assert_eq!(table.insert("10.1.0.0/16".parse().unwrap(), 2), Err(2));
        assert_eq!(table.insert(known, 3), Ok(Some(1)));
        assert!(table.is_full() && table.capacity() == 1);
    }

    #[test]
    fn retain_removes_what_it_is_told_to() {
        let mut table = PrefixTable::with_capacity(8);
        for (value, text) in ["10.0.0.0/8", "10.1.0.0/16", "fd00::/8", "::/0"].iter().enumerate() {
            table.insert(text.parse().unwrap(), value).unwrap();
        }
        table.retain(|_, value| *value % 2 == 1);
        let left: Vec<_> = table.iter().map(|(_, value)| *value).collect();
        assert_eq!(left, [1, 3]);
    }

    fn insert_both(
        table: &mut PrefixTable<u32>,
        model: &mut Vec<(EidPrefix, u32)>,
        eid_prefix: EidPrefix,
        value: u32,
    ) {
        let known = model.iter().position(|(known, _)| *known == eid_prefix);
        let expected = match known {
            Some(place) => Ok(Some(core::mem::replace(&mut model[place].1, value))),
            None if model.len() == table.capacity() => Err(value),
            None => {
                model.push((eid_prefix, value));
                Ok(None)
            }
        };
        assert_eq!(table.insert(eid_prefix, value), expected);
    }

    fn compare(
        table: &PrefixTable<u32>,
        model: &[(EidPrefix, u32)],
        eid: Eid,
        eid_prefix: &EidPrefix,
    ) {
        assert_eq!(table.len(), model.len());
        let longest = model
            .iter()
            .filter(|(known, _)| known.contains(eid))
            .max_by_key(|(known, _)| known.len())
            .map(|(known, value)| (known, value));
        assert_eq!(table.lookup(eid), longest);
        let exact = model.iter().find(|(known, _)| known == eid_prefix).map(|(_, value)| value);
        assert_eq!(table.get(eid_prefix), exact);
        let covering = model
            .iter()
            .filter(|(known, _)| known.covers(eid_prefix))
            .max_by_key(|(known, _)| known.len())
            .map(|(known, value)| (known, value));
        assert_eq!(table.covering_prefix(eid_prefix), covering);
        let mut within: Vec<_> =
            model.iter().filter(|(known, _)| eid_prefix.covers(known)).copied().collect();
        within.sort();
        let found: Vec<_> =
            table.within(eid_prefix).map(|(known, value)| (*known, *value)).collect();
        assert_eq!(found, within);
    }

    /// xorshift64*: small, and the same everywhere.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
        }

        /// Few bits vary, so that prefixes nest and EIDs hit.
        fn eid(&mut self) -> Eid {
            let instance_id = InstanceId(self.below(2) as u32);
            let (high, low) = (self.below(4), self.below(8));
            let address = if self.below(2) == 0 {
                IpAddr::V4(Ipv4Addr::from_bits((high << 28 | low) as u32))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 124 | u128::from(low)))
            };
            Eid { instance_id, address }
        }

        fn eid_prefix(&mut self) -> EidPrefix {
            let eid = self.eid();
            let bits = address_bits(eid.address);
            let len = match self.below(3) {
                0 => self.below(6) as u8,
                1 => bits - self.below(5) as u8,
                _ => self.below(u64::from(bits) + 1) as u8,
            };
            EidPrefix::new(eid.instance_id, eid.address, len).unwrap()
        }
    }
}
