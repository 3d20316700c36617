//! What a node is told at start and at reload.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use crate::auth::AuthenticationKey;
use crate::{DataKey, EidPrefix, Forwarding, PeerKey};

/// Bounds of every table; memory is taken from them at start-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Mappings in the map-cache. When full, the soonest to expire is evicted.
    pub map_cache: usize,
    /// EIDs being asked for at once. When full, a new one is refused and counted.
    pub pending_requests: usize,
    /// Data peers. When full, a mapping with a new peer is refused and counted.
    pub peers: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { map_cache: 1024, pending_requests: 64, peers: 256 }
    }
}

/// When a change of the uplinks is real: what is lost is left at once, what comes up has to stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandoverConfig {
    /// How long an uplink stands before it is used, while another one is.
    pub hold: Duration,
    /// What losses of a young uplink double that to at most.
    pub max_hold: Duration,
    /// How long an uplink is left out after probes over it went unanswered, while another one is
    /// there.
    pub suspicion: Duration,
    /// What being silent again doubles that to at most.
    pub max_suspicion: Duration,
}

impl Default for HandoverConfig {
    fn default() -> HandoverConfig {
        HandoverConfig {
            hold: Duration::from_secs(1),
            max_hold: Duration::from_secs(60),
            suspicion: Duration::from_secs(10),
            max_suspicion: Duration::from_secs(300),
        }
    }
}

/// A node's whole configuration.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Our public control key.
    pub control_key: PeerKey,
    /// Upper half of every nonce that must increase across restarts.
    pub boot_counter: u32,
    /// Seed of all randomness; from the kernel, new at each start.
    pub seed: [u8; 32],
    /// Table sizes.
    pub limits: Limits,
    /// When a change of the uplinks is real.
    pub handover: HandoverConfig,
    /// The xTR or mobile node, if this node is one.
    pub xtr: Option<XtrConfig>,
    /// The Map-Server and Map-Resolver, if this node is one.
    pub map_server: Option<MapServerConfig>,
}

impl fmt::Debug for Config {
    /// Leaves the seed out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("control_key", &self.control_key)
            .field("boot_counter", &self.boot_counter)
            .field("limits", &self.limits)
            .field("handover", &self.handover)
            .field("xtr", &self.xtr)
            .field("map_server", &self.map_server)
            .finish_non_exhaustive()
    }
}

/// An xTR, or a mobile node: an xTR whose EID-prefixes are host addresses of its own.
#[derive(Clone, PartialEq, Debug)]
pub struct XtrConfig {
    /// Our data keys and ports, one per lane: the place is the lane. At least one, at most
    /// [`crate::MAX_LANES`].
    pub data_keys: Vec<DataKey>,
    /// The configured uplinks, by place; when empty, the best way out of each family is registered
    /// alone.
    pub uplinks: Vec<UplinkConfig>,
    /// Our EID-prefixes, at most 32.
    pub database: Vec<DatabaseEntry>,
    /// The EID-space that goes into the overlay.
    pub eid_space: Vec<EidPrefix>,
    /// What a negative answer means for packets: `Forwarding::Drop` or `Forwarding::Native`.
    pub on_miss: Forwarding,
    /// How long others may keep our mappings, where an entry does not say.
    pub record_ttl: Duration,
    /// Refresh of the registration (RFC 9301 section 8.2: 60 s).
    pub register_interval: Duration,
    /// Map-Servers in order of preference, at most 8.
    pub map_servers: Vec<MapServerPeer>,
}

/// An EID-prefix of our own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatabaseEntry {
    /// The EID-prefix.
    pub eid_prefix: EidPrefix,
    /// How long others may keep its mapping; `None` as the whole database.
    pub record_ttl: Option<Duration>,
}

impl From<EidPrefix> for DatabaseEntry {
    fn from(eid_prefix: EidPrefix) -> DatabaseEntry {
        DatabaseEntry { eid_prefix, record_ttl: None }
    }
}

/// A Map-Server that we register with.
#[derive(Clone, PartialEq, Debug)]
pub struct MapServerPeer {
    /// Its public control key.
    pub key: PeerKey,
    /// Authenticates Map-Register and Map-Notify.
    pub authentication: AuthenticationKey,
}

/// A Map-Server and Map-Resolver.
#[derive(Clone, PartialEq, Debug)]
pub struct MapServerConfig {
    /// The sites that may register.
    pub sites: Vec<SiteConfig>,
    /// A registration ends this long after its last refresh (RFC 9301 section 8.2: 3 minutes).
    pub registration_timeout: Duration,
}

/// A LISP site as its Map-Server knows it.
#[derive(Clone, PartialEq, Debug)]
pub struct SiteConfig {
    /// For people.
    pub name: String,
    /// The site's public control key.
    pub key: PeerKey,
    /// Authenticates Map-Register and Map-Notify.
    pub authentication: AuthenticationKey,
    /// What the site may claim.
    pub eid_prefixes: Vec<EidPrefix>,
    /// Whether it may claim more specific prefixes of these too.
    pub accepts_more_specifics: bool,
}

/// What the configuration says of an uplink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UplinkConfig {
    /// Lower is preferred; 255 means "do not use" (RFC 9300 section 5.4).
    pub priority: u8,
    /// Share among equals.
    pub weight: u8,
}

/// One of our own RLOCs, and the uplink that has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uplink {
    /// The interface's index: the same number is the same uplink.
    pub id: u32,
    /// Its place among the configured uplinks; `None` where none is configured.
    pub place: Option<u8>,
    /// Its address.
    pub rloc: IpAddr,
    /// Lower is preferred; 255 means "do not use".
    pub priority: u8,
    /// Share among equals.
    pub weight: u8,
    /// The metric of its default route; among equal priorities, lower is preferred.
    pub metric: u32,
    /// The lane whose data key goes with it: a chosen uplink stands once for each lane that it
    /// serves. In a picture of what there is, it means nothing.
    pub lane: u8,
}

impl Uplink {
    /// The one uplink of a node that has no more: no place, priority 1, weight 100, lane 0.
    pub const fn new(rloc: IpAddr) -> Uplink {
        Uplink { id: 0, place: None, rloc, priority: 1, weight: 100, metric: 0, lane: 0 }
    }
}
