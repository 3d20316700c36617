//! A table keyed by EID-prefix with longest-prefix match, whose memory is taken once.
//!
//! Prefixes are the leaves of a crit-bit tree: each branch tells where two sides first differ, and a
//! lookup follows one bit per branch down to the prefix that agrees longest. Each prefix is linked
//! to the next less specific one that covers it; what covers an EID is that prefix or one of those.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::{Eid, EidPrefix, InstanceId};

/// Longest-prefix match over {instance-ID, prefix}; never grows beyond its capacity.
#[derive(Clone, Debug)]
pub struct PrefixTable<T> {
    /// One less than there are prefixes.
    branches: Vec<Branch>,
    /// These and their values come one by one, so that memory is not touched before it is used.
    leaves: Vec<Leaf>,
    values: Vec<Option<(EidPrefix, T)>>,
    /// The first place that was used and is free, or `NONE`; the leaf there tells the next one.
    free: u32,
    len: usize,
    capacity: usize,
    root: Link,
}

/// The number of a branch; above `LEAF`, of a leaf.
type Link = u32;

const LEAF: Link = 1 << 31;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Branch {
    /// The first bit in which the keys of both sides differ.
    bit: u32,
    /// Where that bit is 0, and where it is 1.
    sides: [Link; 2],
    up: Link,
}

#[derive(Clone, Copy, Debug)]
struct Leaf {
    key: Key,
    /// The place of the most specific prefix that covers this one, or `NONE`.
    cover: u32,
    up: Link,
}

/// A prefix as a string of bits: instance-ID, family, address and length, then zeroes. A prefix
/// sorts directly before all that it covers.
#[derive(Clone, Copy, Debug)]
struct Key([u32; 8]);

/// Bits before the address, and the word with the length.
const BEFORE_ADDRESS: u32 = 64;
const LEN: usize = 6;

impl Key {
    const LONGEST: u32 = u32::MAX;

    #[inline(always)]
    fn new(InstanceId(instance_id): InstanceId, address: &IpAddr, len: u32) -> Key {
        Key(match address {
            IpAddr::V4(address) => [instance_id, 4, address.to_bits(), 0, 0, 0, len, 0],
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let (first, second) = ((bits >> 96) as u32, (bits >> 64) as u32);
                let (third, fourth) = ((bits >> 32) as u32, bits as u32);
                [instance_id, 6, first, second, third, fourth, len, 0]
            }
        })
    }

    fn of(eid_prefix: &EidPrefix) -> Key {
        Key::new(eid_prefix.instance_id(), eid_prefix.address_ref(), eid_prefix.len().into())
    }

    /// Where a look-up for what covers this one ends: of prefixes with one address at the longest.
    fn longest(mut self) -> Key {
        self.0[LEN] = Key::LONGEST;
        self
    }

    fn len(&self) -> u32 {
        self.0[LEN]
    }

    #[inline(always)]
    fn side(&self, bit: u32) -> usize {
        // There are 8 words: no bit is beyond them.
        (self.0[(bit / 32 % 8) as usize] << (bit % 32) >> 31) as usize
    }

    #[inline(always)]
    fn first_difference(&self, other: &Key) -> Option<u32> {
        let mut place = 0;
        while let (Some(own), Some(other)) = (self.0.get(place), other.0.get(place)) {
            if own != other {
                return Some(32 * place as u32 + (own ^ other).leading_zeros());
            }
            place += 1;
        }
        None
    }

    #[inline(always)]
    fn covers(&self, other: &Key) -> bool {
        let len = self.len();
        len <= other.len()
            && self.first_difference(other).is_none_or(|bit| bit >= BEFORE_ADDRESS + len)
    }
}

impl<T> PrefixTable<T> {
    /// A table for `capacity` prefixes; all of its memory is allocated here.
    ///
    /// # Panics
    /// When `capacity` exceeds 2^31 - 1.
    pub fn with_capacity(capacity: usize) -> PrefixTable<T> {
        assert!(capacity < LEAF as usize, "a table of fewer than 2^31 prefixes");
        PrefixTable {
            branches: Vec::with_capacity(capacity),
            leaves: Vec::with_capacity(capacity),
            values: Vec::with_capacity(capacity),
            free: NONE,
            len: 0,
            capacity,
            root: NONE,
        }
    }

    /// How many prefixes it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.root == NONE
    }

    /// Whether a new prefix would be refused.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity
    }

    /// How many prefixes it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sets the value of a prefix and returns the one it replaces.
    ///
    /// # Errors
    /// Gives the value back when the prefix is new and the table full.
    pub fn insert(&mut self, eid_prefix: EidPrefix, value: T) -> Result<Option<T>, T> {
        let Some(place) = self.take_place(&eid_prefix) else { return Err(value) };
        let old = self.values[place].replace((eid_prefix, value));
        Ok(old.map(|(_, value)| value))
    }

    /// The value of a prefix, to be changed, with its place; made where it is when the prefix is
    /// new. `None` when the table is full then.
    #[inline]
    pub fn entry(
        &mut self,
        eid_prefix: &EidPrefix,
        new: impl FnOnce() -> T,
    ) -> Option<(usize, &mut T)> {
        let place = self.take_place(eid_prefix)?;
        let (_, value) = self.values[place].get_or_insert_with(|| (*eid_prefix, new()));
        Some((place, value))
    }

    /// The place of a prefix, where its value may still have to be put.
    fn take_place(&mut self, eid_prefix: &EidPrefix) -> Option<usize> {
        let key = Key::of(eid_prefix);
        let bit = match self.nearest(&key) {
            Some(near) => match self.leaves[near].key.first_difference(&key) {
                Some(bit) => bit,
                None => return Some(near),
            },
            None => 0,
        };
        if self.is_full() {
            return None;
        }
        let cover = self.covering(&key).map_or(NONE, |cover| cover as u32);
        let leaf = Leaf { key, cover, up: NONE };
        let mut place = self.free;
        match self.leaves.get_mut(place as usize) {
            Some(free) => self.free = core::mem::replace(free, leaf).up,
            None => {
                place = self.leaves.len() as u32;
                self.values.push(None);
                self.leaves.push(leaf);
            }
        }
        self.len += 1;
        self.attach(place, bit);
        self.cover_again(&key, cover, place);
        Some(place as usize)
    }

    /// Removes a prefix and returns its value.
    pub fn remove(&mut self, eid_prefix: &EidPrefix) -> Option<T> {
        let place = self.place(eid_prefix)?;
        let leaf = self.leaves[place];
        self.cover_again(&leaf.key, place as u32, leaf.cover);
        self.detach(LEAF | place as u32, leaf.up);
        self.leaves[place].up = core::mem::replace(&mut self.free, place as u32);
        self.len -= 1;
        self.values[place].take().map(|(_, value)| value)
    }

    /// Puts a leaf into the tree whose key is like those there up to a bit.
    fn attach(&mut self, place: u32, bit: u32) {
        let leaf = LEAF | place;
        if self.root == NONE {
            self.root = leaf;
            return;
        }
        let key = self.leaves[place as usize].key;
        let (mut up, mut other) = (NONE, self.root);
        while let Some(branch) = self.branches.get(other as usize).filter(|one| one.bit < bit) {
            (up, other) = (other, branch.sides[key.side(branch.bit)]);
        }
        let new = self.branches.len() as Link;
        let sides = if key.side(bit) == 0 { [leaf, other] } else { [other, leaf] };
        self.branches.push(Branch { bit, sides, up });
        self.replace(up, other, new);
        self.set_up(leaf, new);
        self.set_up(other, new);
    }

    /// Takes a leaf and the branch that leads to it out of the tree.
    fn detach(&mut self, leaf: Link, up: Link) {
        let Some(branch) = self.branches.get(up as usize).copied() else {
            self.root = NONE;
            return;
        };
        let other = branch.sides[usize::from(branch.sides[0] == leaf)];
        self.replace(branch.up, up, other);
        self.set_up(other, branch.up);
        // The last branch gets the number of the one that goes.
        let last = self.branches.len() as Link - 1;
        self.branches.swap_remove(up as usize);
        if up != last {
            let moved = self.branches[up as usize];
            self.replace(moved.up, last, up);
            moved.sides.into_iter().for_each(|side| self.set_up(side, up));
        }
    }

    /// Has a branch, or the root, lead elsewhere.
    fn replace(&mut self, branch: Link, from: Link, to: Link) {
        match self.branches.get_mut(branch as usize) {
            Some(branch) => branch.sides[usize::from(branch.sides[0] != from)] = to,
            None => self.root = to,
        }
    }

    fn set_up(&mut self, link: Link, up: Link) {
        match self.branches.get_mut(link as usize) {
            Some(branch) => branch.up = up,
            None => self.leaves[(link & !LEAF) as usize].up = up,
        }
    }

    /// What `key` covers and was linked to one place is linked to another.
    fn cover_again(&mut self, key: &Key, from: u32, to: u32) {
        let mut walk = self.walk(key);
        while let Some(place) = walk.step(&self.branches, &self.leaves) {
            let leaf = &mut self.leaves[place];
            if leaf.cover == from && leaf.key.len() > key.len() && key.covers(&leaf.key) {
                leaf.cover = to;
            }
        }
    }

    /// The place of a prefix: a number below the capacity that is its own while it is held.
    pub fn place(&self, eid_prefix: &EidPrefix) -> Option<usize> {
        let key = Key::of(eid_prefix);
        let is_same = |place: &usize| self.leaves[*place].key.first_difference(&key).is_none();
        self.nearest(&key).filter(is_same)
    }

    /// What is held at a place.
    pub fn at(&self, place: usize) -> Option<(&EidPrefix, &T)> {
        self.values.get(place)?.as_ref().map(|(eid_prefix, value)| (eid_prefix, value))
    }

    /// What is held at a place, to be changed.
    pub fn at_mut(&mut self, place: usize) -> Option<(&EidPrefix, &mut T)> {
        self.values.get_mut(place)?.as_mut().map(|(eid_prefix, value)| (&*eid_prefix, value))
    }

    /// The value of exactly this prefix.
    pub fn get(&self, eid_prefix: &EidPrefix) -> Option<&T> {
        Some(self.held_at(self.place(eid_prefix)?).1)
    }

    /// The value of exactly this prefix, to be changed.
    pub fn get_mut(&mut self, eid_prefix: &EidPrefix) -> Option<&mut T> {
        let place = self.place(eid_prefix)?;
        self.at_mut(place).map(|(_, value)| value)
    }

    /// The longest prefix that contains `eid`, with its value.
    pub fn lookup(&self, eid: Eid) -> Option<(&EidPrefix, &T)> {
        self.longest(eid).map(|place| self.held_at(place))
    }

    /// The longest prefix that contains `eid` and whose value is one of those asked for.
    pub fn lookup_where(
        &self,
        eid: Eid,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Option<(&EidPrefix, &T)> {
        let mut place = self.longest(eid)?;
        while let Some(Some((eid_prefix, value))) = self.values.get(place) {
            if is_wanted(value) {
                return Some((eid_prefix, value));
            }
            place = self.leaves.get(place)?.cover as usize;
        }
        None
    }

    /// The longest prefix that contains `eid`, with its value to be changed.
    pub fn lookup_mut(&mut self, eid: Eid) -> Option<(&EidPrefix, &mut T)> {
        let place = self.longest(eid)?;
        self.at_mut(place)
    }

    /// All prefixes that contain `eid`, the longest first.
    pub fn containing(&self, eid: Eid) -> impl Iterator<Item = (&EidPrefix, &T)> {
        let wider = |place: &usize| {
            let cover = self.leaves[*place].cover;
            (cover != NONE).then_some(cover as usize)
        };
        core::iter::successors(self.longest(eid), wider).map(|place| self.held_at(place))
    }

    /// All prefixes with their values, sorted by instance-ID, family, address and length.
    pub fn iter(&self) -> impl Iterator<Item = (&EidPrefix, &T)> {
        let mut walk = Walk::over(self.root, &self.branches);
        core::iter::from_fn(move || walk.step(&self.branches, &self.leaves))
            .map(|place| self.held_at(place))
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
        let key = Key::of(eid_prefix);
        let mut walk = self.walk(&key);
        core::iter::from_fn(move || walk.step(&self.branches, &self.leaves))
            .filter(move |place| key.covers(&self.leaves[*place].key))
            .map(|place| self.held_at(place))
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

    /// The place of the prefix whose key agrees longest with this one.
    #[inline(always)]
    fn nearest(&self, key: &Key) -> Option<usize> {
        let mut link = self.root;
        while let Some(branch) = self.branches.get(link as usize) {
            link = branch.sides[key.side(branch.bit)];
        }
        (link != NONE).then_some((link & !LEAF) as usize)
    }

    #[inline(always)]
    fn longest(&self, eid: Eid) -> Option<usize> {
        let key = Key::new(eid.instance_id, &eid.address, Key::LONGEST);
        self.cover_of(self.nearest(&key)?, &key)
    }

    /// The place of the most specific prefix that covers `key`. Whatever covers it agrees with it
    /// no longer than the nearest does, and so covers that one too.
    fn covering(&self, key: &Key) -> Option<usize> {
        self.cover_of(self.nearest(&key.longest())?, key)
    }

    /// The prefix at a place, or the most specific one that covers it, that covers `key` too.
    #[inline(always)]
    fn cover_of(&self, mut place: usize, key: &Key) -> Option<usize> {
        // No leaf is at `NONE`.
        while let Some(leaf) = self.leaves.get(place) {
            if leaf.key.covers(key) {
                return Some(place);
            }
            place = leaf.cover as usize;
        }
        None
    }

    /// A walk over all prefixes that may be covered by `key`.
    fn walk(&self, key: &Key) -> Walk {
        let end = BEFORE_ADDRESS + key.len();
        let mut link = self.root;
        while let Some(branch) = self.branches.get(link as usize).filter(|one| one.bit < end) {
            link = branch.sides[key.side(branch.bit)];
        }
        Walk::over(link, &self.branches)
    }

    fn held_at(&self, place: usize) -> (&EidPrefix, &T) {
        let (eid_prefix, value) = self.values[place].as_ref().expect("each place has its value");
        (eid_prefix, value)
    }
}

/// Goes through the leaves below a link, sorted.
struct Walk {
    top: Link,
    next: Link,
}

impl Walk {
    fn over(top: Link, branches: &[Branch]) -> Walk {
        Walk { top, next: first(top, branches) }
    }

    /// The place of the next leaf.
    fn step(&mut self, branches: &[Branch], leaves: &[Leaf]) -> Option<usize> {
        if self.next == NONE {
            return None;
        }
        let place = (self.next & !LEAF) as usize;
        let (mut link, mut up) = (self.next, leaves[place].up);
        self.next = NONE;
        while link != self.top {
            let branch = &branches[up as usize];
            if branch.sides[0] == link {
                self.next = first(branch.sides[1], branches);
                break;
            }
            (link, up) = (up, branch.up);
        }
        Some(place)
    }
}

/// The first leaf below a link.
fn first(mut link: Link, branches: &[Branch]) -> Link {
    while let Some(branch) = branches.get(link as usize) {
        link = branch.sides[0];
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address_bits;
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
    fn an_entry_is_made_once_and_stays_in_its_place() {
        let mut table = PrefixTable::with_capacity(1);
        let known: EidPrefix = "10.0.0.0/8".parse().unwrap();
        let (place, value) = table.entry(&known, || 1).unwrap();
        *value += 1;
        assert_eq!(table.entry(&known, || 7), Some((place, &mut 2)));
        assert_eq!((table.place(&known), table.get(&known)), (Some(place), Some(&2)));
        assert_eq!(table.entry(&"10.1.0.0/16".parse().unwrap(), || 3), None);
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
        let contains = model.iter().filter(|(known, _)| known.contains(eid));
        assert_eq!(table.containing(eid).count(), contains.count());
        let (mut contains, is_odd) = (table.containing(eid), |value: &u32| value % 2 == 1);
        let wanted = contains.find(|(_, value)| is_odd(value));
        assert_eq!(table.lookup_where(eid, is_odd), wanted);
        assert!(table.containing(eid).is_sorted_by(|(one, _), (other, _)| one.len() > other.len()));
        let exact = model.iter().find(|(known, _)| known == eid_prefix).map(|(_, value)| value);
        assert_eq!(table.get(eid_prefix), exact);
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
