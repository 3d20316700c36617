//! LISP as state machines: bytes, instants and a seed go in, actions come out.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod auth;
mod bucket;
mod change;
mod config;
pub mod counters;
mod eid;
mod etr;
mod event;
mod itr;
mod key;
mod key_index;
mod locator;
pub mod map_server;
mod marks;
pub mod mobile_node;
pub mod node;
mod output;
mod prefix_table;
pub mod random;
mod record;
mod retransmission;
mod round_trip;
mod time;
pub mod xtr;

pub use change::{Change, Forwarding, Lanes, MAX_LANES, PeerConfig, Side};
pub use config::{
    Config, DatabaseEntry, HandoverConfig, Limits, MapServerConfig, MapServerPeer, SiteConfig,
    Uplink, UplinkConfig, XtrConfig,
};
pub use eid::{Eid, EidPrefix, InstanceId, PrefixError, address_bits, left_aligned};
pub use event::{Cause, Event};
pub use key::PeerKey;
pub use key_index::KeyIndex;
pub use locator::{Action, DataKey, Locator, Locators, MAX_LOCATORS, Mapping};
pub use node::Node;
pub use output::Output;
pub use prefix_table::PrefixTable;
pub use time::{Duration, Instant, earliest, micros};

/// UDP port of LISP control messages inside the tunnels (RFC 9301 section 5).
pub const LISP_PORT: u16 = 4342;
