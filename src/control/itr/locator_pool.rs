//! The locators of all mappings: many have one or two, few have [`crate::MAX_LOCATORS`].

use alloc::vec::Vec;

use crate::{Locator, Locators};

/// No further place.
const NONE: u32 = u32::MAX;

/// Room for a number of locators, shared by lists of them. Its memory is taken at the start.
pub(crate) struct LocatorPool {
    places: Vec<Place>,
    /// The first of the places that were used and are free.
    free: u32,
    limit: usize,
    used: usize,
}

struct Place {
    locator: Locator,
    next: u32,
}

/// A mapping's locators in the pool, in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocatorList {
    first: u32,
}

impl LocatorList {
    pub(crate) const EMPTY: LocatorList = LocatorList { first: NONE };

    pub(crate) fn is_empty(self) -> bool {
        self.first == NONE
    }
}

impl LocatorPool {
    /// Room for `limit` locators.
    pub(crate) fn with_limit(limit: usize) -> LocatorPool {
        LocatorPool { places: Vec::with_capacity(limit), free: NONE, limit, used: 0 }
    }

    /// How many more there is room for.
    pub(crate) fn room(&self) -> usize {
        self.limit - self.used
    }

    /// The locators of a list.
    pub(crate) fn iter(&self, list: LocatorList) -> impl Iterator<Item = &Locator> {
        let mut next = list.first;
        core::iter::from_fn(move || {
            let place = self.places.get(next as usize)?;
            next = place.next;
            Some(&place.locator)
        })
    }

    /// A copy of a list.
    pub(crate) fn get(&self, list: LocatorList) -> Locators {
        let mut locators = Locators::new();
        for locator in self.iter(list) {
            let is_in = locators.push(*locator).is_ok();
            debug_assert!(is_in, "no list is longer than those it is set from");
        }
        locators
    }

    /// Takes the places of a list back.
    pub(crate) fn clear(&mut self, list: &mut LocatorList) {
        while let Some(place) = self.places.get_mut(list.first as usize) {
            let next = core::mem::replace(&mut place.next, self.free);
            self.free = core::mem::replace(&mut list.first, next);
            self.used -= 1;
        }
    }

    /// Sets a list anew; what there is no room for is left out.
    pub(crate) fn set(&mut self, list: &mut LocatorList, locators: &[Locator]) {
        self.clear(list);
        // The last one first: each goes before those that follow it.
        for locator in locators.iter().take(self.room()).rev() {
            let place = Place { locator: *locator, next: list.first };
            list.first = match self.places.get_mut(self.free as usize) {
                Some(free) => {
                    let at = self.free;
                    self.free = core::mem::replace(free, place).next;
                    at
                }
                None => {
                    self.places.push(place);
                    (self.places.len() - 1) as u32
                }
            };
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn locator(number: u64) -> Locator {
        let octets = (number as u32).to_be_bytes();
        Locator {
            rloc: core::net::Ipv4Addr::from(octets).into(),
            priority: 1,
            weight: 100,
            mpriority: 255,
            mweight: 0,
            is_reachable: true,
            data_key: None,
        }
    }

    #[test]
    fn lists_agree_with_a_naive_model_and_no_place_is_lost() {
        let mut random = Random::new(&[3; 32], b"lists");
        let mut below = |bound| random.next_u64() % bound;
        let mut pool = LocatorPool::with_limit(20);
        let mut lists = [LocatorList::EMPTY; 8];
        let mut model: [Vec<Locator>; 8] = Default::default();
        for number in 0..10_000 {
            let which = below(8) as usize;
            let count = below(9);
            let wanted: Vec<_> = (0..count).map(|each| locator(number * 8 + each)).collect();
            pool.set(&mut lists[which], &wanted);
            model[which].clear();
            let room = 20 - model.iter().map(Vec::len).sum::<usize>();
            model[which] = wanted.into_iter().take(room).collect();
            assert_eq!(pool.room(), 20 - model.iter().map(Vec::len).sum::<usize>());
            for (list, expected) in lists.iter().zip(&model) {
                assert_eq!(pool.get(*list), expected[..]);
            }
        }
        assert!(pool.places.len() <= 20 && pool.places.capacity() == 20);
        lists.iter_mut().for_each(|list| pool.clear(list));
        assert_eq!((pool.room(), pool.iter(lists[0]).count()), (20, 0));
    }
}
