//! When each site has something to do: a heap with one place per site.

use alloc::vec::Vec;

use super::site_index::SiteIndex;
use crate::Instant;

/// At most one instant per site; the earliest is first.
#[derive(Default, Debug)]
pub(super) struct Deadlines {
    heap: Vec<(Instant, SiteIndex)>,
    /// Where in the heap each site stands, one more than its place; 0 is nowhere.
    places: Vec<usize>,
}

impl Deadlines {
    /// The earliest.
    pub(super) fn first(&self) -> Option<(Instant, SiteIndex)> {
        self.heap.first().copied()
    }

    /// Sets a site's instant, or takes it away.
    pub(super) fn set(&mut self, site: SiteIndex, at: Option<Instant>) {
        if self.places.len() <= site.place() {
            self.places.resize(site.place() + 1, 0);
            self.heap.reserve(self.places.len() - self.heap.len());
        }
        match (self.places[site.place()].checked_sub(1), at) {
            (None, None) => {}
            (None, Some(at)) => {
                self.heap.push((at, site));
                self.sift(self.heap.len() - 1);
            }
            (Some(place), Some(at)) => {
                self.heap[place].0 = at;
                self.sift(place);
            }
            (Some(place), None) => {
                self.places[site.place()] = 0;
                self.heap.swap_remove(place);
                if place < self.heap.len() {
                    self.sift(place);
                }
            }
        }
    }

    /// Moves what stands at `place` up or down to where it belongs.
    fn sift(&mut self, mut place: usize) {
        while place > 0 && self.heap[place] < self.heap[(place - 1) / 2] {
            let parent = (place - 1) / 2;
            self.heap.swap(place, parent);
            self.note(place);
            place = parent;
        }
        loop {
            let children = 2 * place + 1..(2 * place + 3).min(self.heap.len());
            let smallest = children.min_by_key(|&child| self.heap[child]);
            match smallest {
                Some(child) if self.heap[child] < self.heap[place] => {
                    self.heap.swap(place, child);
                    self.note(place);
                    place = child;
                }
                _ => break,
            }
        }
        self.note(place);
    }

    fn note(&mut self, place: usize) {
        self.places[self.heap[place].1.place()] = place + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    #[test]
    fn it_agrees_with_a_map_after_random_operations() {
        let mut deadlines = Deadlines::default();
        let mut model = BTreeMap::new();
        let mut random = 88_172_645_463_325_252_u64;
        for _ in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let site = SiteIndex::at((random % 50) as usize);
            let at = !(random >> 8).is_multiple_of(4);
            let at = at.then(|| Instant::from_micros((random >> 16) % 1000));
            deadlines.set(site, at);
            match at {
                Some(at) => model.insert(site, at),
                None => model.remove(&site),
            };
            let first = model.iter().map(|(site, at)| (*at, *site)).min();
            assert_eq!(deadlines.first(), first);
        }
    }
}
