//! Marks on the places of a table, whose memory is taken once.

use alloc::vec::Vec;

/// Which places are marked.
pub(crate) struct Marks {
    words: Vec<u32>,
    /// No word before this one has a mark.
    first: usize,
}

impl Marks {
    /// For the places below `places`, none of them marked.
    pub(crate) fn with_capacity(places: usize) -> Marks {
        Marks { words: alloc::vec![0; places.div_ceil(32)], first: 0 }
    }

    pub(crate) fn set(&mut self, place: usize) {
        self.words[place / 32] |= 1 << (place % 32);
        self.first = self.first.min(place / 32);
    }

    /// Takes the mark off the first marked place.
    pub(crate) fn pop(&mut self) -> Option<usize> {
        let is_marked = |word: &u32| *word != 0;
        let Some(skipped) = self.words[self.first..].iter().position(is_marked) else {
            self.first = self.words.len();
            return None;
        };
        self.first += skipped;
        let bit = self.words[self.first].trailing_zeros();
        self.words[self.first] &= !(1 << bit);
        Some(self.first * 32 + bit as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_places_come_in_order_and_once() {
        let mut marks = Marks::with_capacity(100);
        assert_eq!(marks.pop(), None);
        for place in [99, 0, 64, 31, 32, 64] {
            marks.set(place);
        }
        let popped: Vec<_> = core::iter::from_fn(|| marks.pop()).collect();
        assert_eq!(popped, [0, 31, 32, 64, 99]);
        marks.set(70);
        assert_eq!((marks.pop(), marks.pop()), (Some(70), None));
        marks.set(3);
        assert_eq!((marks.pop(), marks.pop()), (Some(3), None));
    }
}
