//! How packets of a mapping go.

use core::net::SocketAddr;

use crate::{DataKey, Locator, MAX_LANES, Side};

/// A peer to be used by a mapping, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way<'a> {
    pub(crate) locator: &'a Locator,
    /// The locator's.
    pub(crate) data_key: &'a DataKey,
    pub(crate) side: Side,
    /// Its share; 0 when it is only accepted from.
    pub(crate) weight: u8,
}

impl Way<'_> {
    /// Where to send.
    pub(crate) fn endpoint(&self) -> Option<SocketAddr> {
        endpoint(self.locator)
    }
}

/// The peers of one mapping, sorted by lane.
pub(crate) type Ways<'a> = heapless::Vec<Way<'a>, MAX_LANES>;

/// Where to send; nowhere when the Map-Server says that the site cannot be reached from outside.
pub(super) fn endpoint(locator: &Locator) -> Option<SocketAddr> {
    locator.endpoint().filter(|_| locator.is_reachable)
}
