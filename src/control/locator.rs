//! Where an EID-prefix is, and with which key it is reached.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::{EidPrefix, PeerKey};
pub use wire::Action;

/// RLOCs per mapping.
pub const MAX_LOCATORS: usize = 8;

/// A WireGuard data key as it travels in the Security Key LCAF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataKey {
    /// The site's public data key.
    pub key: PeerKey,
    /// The UDP port its WireGuard listens on.
    pub port: u16,
    /// The lane, 0 where there is one only.
    pub lane: u8,
}

/// An RLOC with what RFC 9301 section 5.4 says of it, and its data key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Locator {
    /// The routing locator's address.
    pub rloc: IpAddr,
    /// Lower is preferred; 255 means "do not use".
    pub priority: u8,
    /// Share among locators of equal priority.
    pub weight: u8,
    /// Priority for multicast; 255 where unused.
    pub mpriority: u8,
    /// Weight for multicast.
    pub mweight: u8,
    /// The R bit: the sender has a route to the locator. A Map-Server clears it for a site
    /// behind NAT, which must initiate itself.
    pub is_reachable: bool,
    /// Absent when the locator carries no usable key.
    pub data_key: Option<DataKey>,
}

impl Locator {
    /// The UDP endpoint of the data peer at this locator.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.data_key.map(|key| SocketAddr::new(self.rloc, key.port))
    }
}

/// The locators of one mapping, sorted by priority, then address, then lane.
pub type Locators = heapless::Vec<Locator, MAX_LOCATORS>;

/// An EID-prefix with its locators: learned in a map-cache, our own in a database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The EID-prefix.
    pub eid_prefix: EidPrefix,
    /// How long others may keep it.
    pub record_ttl: Duration,
    /// What to do with packets when there is no locator.
    pub action: Action,
    /// Where it is.
    pub locators: Locators,
}

impl Mapping {
    /// One without locators, for a record to be read into.
    pub(crate) fn blank() -> Mapping {
        Mapping {
            eid_prefix: EidPrefix::ALL,
            record_ttl: Duration::ZERO,
            action: Action::NoAction,
            locators: Locators::new(),
        }
    }

    /// The best usable locator: lowest priority that has a key and is not 255.
    pub fn best(&self) -> Option<&Locator> {
        self.locators
            .iter()
            .filter(|locator| locator.priority != 255 && locator.data_key.is_some())
            .min_by_key(|locator| locator.priority)
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} priority {} weight {}", self.rloc, self.priority, self.weight)
    }
}
