//! Sites by their places.

/// A site's place; it keeps it while it is configured or remembered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SiteIndex(u32);

impl SiteIndex {
    pub(super) fn at(place: usize) -> SiteIndex {
        SiteIndex(u32::try_from(place).expect("there are fewer than 2^32 sites"))
    }

    pub(super) const fn place(self) -> usize {
        self.0 as usize
    }
}
