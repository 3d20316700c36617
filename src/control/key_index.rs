//! Rows of a table found by key.

use alloc::vec::Vec;
use core::cell::Cell;
use core::cmp::Ordering;

use crate::PeerKey;

/// The places of rows, sorted by key. Beside each place is the beginning of its key, which tells
/// nearly all keys apart: rows are looked at only where it does not.
#[derive(Clone, Default, Debug)]
pub struct KeyIndex {
    entries: Vec<(u32, u32)>,
    /// The rank asked for last: one key is looked for several times in a row.
    last: Cell<usize>,
}

impl KeyIndex {
    /// Room for so many rows; more allocate.
    pub fn with_capacity(rows: usize) -> KeyIndex {
        KeyIndex { entries: Vec::with_capacity(rows), last: Cell::new(0) }
    }

    /// The rank of a key's row among all of them, or the one that it would have. `key_at` tells the
    /// key of the row at a place.
    ///
    /// # Errors
    /// When there is no row of this key.
    pub fn find<'a>(
        &self,
        key: &PeerKey,
        key_at: impl Fn(usize) -> &'a PeerKey,
    ) -> Result<usize, usize> {
        let beginning = key.beginning();
        let (mut rank, mut end) = (0, self.entries.len());
        let mut middle = self.last.get().min(end.saturating_sub(1));
        while let Some((known, place)) = self.entries.get(middle).filter(|_| rank < end) {
            let order = match known.cmp(&beginning) {
                Ordering::Equal => key_at(*place as usize).cmp(key),
                order => order,
            };
            match order {
                Ordering::Less => rank = middle + 1,
                Ordering::Greater => end = middle,
                Ordering::Equal => {
                    self.last.set(middle);
                    return Ok(middle);
                }
            }
            middle = rank.midpoint(end);
        }
        self.last.set(rank);
        Err(rank)
    }

    /// The place of the row of this rank.
    pub fn place(&self, rank: usize) -> Option<usize> {
        self.last.set(rank);
        self.entries.get(rank).map(|(_, place)| *place as usize)
    }

    /// The places of all rows, sorted by their keys.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.entries.iter().map(|(_, place)| *place as usize)
    }

    /// Takes in a row at the rank that [`KeyIndex::find`] told.
    ///
    /// # Panics
    /// When that is beyond the end.
    pub fn insert(&mut self, rank: usize, key: &PeerKey, place: usize) {
        self.entries.insert(rank, (key.beginning(), place as u32));
    }

    /// Takes a row out and tells where it was.
    ///
    /// # Panics
    /// When there is none of this rank.
    pub fn remove(&mut self, rank: usize) -> usize {
        self.entries.remove(rank).1 as usize
    }

    /// A row is at another place from now on.
    pub fn set_place(&mut self, rank: usize, place: usize) {
        if let Some((_, known)) = self.entries.get_mut(rank) {
            *known = place as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_also_where_keys_begin_alike() {
        // Keys with the same beginning in threes.
        let key = |number: u8| {
            let mut key = [number / 3; 32];
            key[31] = number;
            PeerKey(key)
        };
        let mut rows: Vec<PeerKey> = (0..30).map(|number| key(number * 7 % 30)).collect();
        let mut index = KeyIndex::with_capacity(rows.len());
        for (place, key) in rows.iter().enumerate() {
            let rank = index.find(key, |place| &rows[place]).unwrap_err();
            index.insert(rank, key, place);
        }
        let sorted: Vec<_> = index.places().map(|place| rows[place]).collect();
        assert_eq!(sorted, (0..30).map(key).collect::<Vec<_>>());
        assert_eq!(index.find(&key(4), |place| &rows[place]), Ok(4));
        assert_eq!(index.find(&PeerKey([1; 32]), |place| &rows[place]), Err(3));
        assert_eq!(rows[index.remove(4)], key(4));
        assert_eq!(index.find(&key(4), |place| &rows[place]), Err(4));
        let last = rows.len() - 1;
        rows.push(rows[last]);
        index.set_place(index.find(&rows[last], |place| &rows[place]).unwrap(), last + 1);
        assert_eq!(index.place(index.find(&rows[last], |place| &rows[place]).unwrap()), Some(30));
    }
}
