//! The configuration file's values as the control plane takes them.

use control::auth::AuthenticationKey;
use control::{
    DataKey, DatabaseEntry, Forwarding, MAX_LANES, MapServerConfig, MapServerPeer, PeerKey,
    SiteConfig, UplinkConfig, XtrConfig,
};
use dataplane::Backend;

use crate::config::{Config, Host, OnMiss, PrivateKey, Secret};
use crate::links::{Links, Policy};

/// What is new at each start: it never comes from the file.
#[derive(Clone)]
pub struct Start {
    /// Upper half of nonces.
    pub boot_counter: u32,
    /// Seed of the control plane's randomness.
    pub seed: [u8; 32],
    /// The public data key of each lane.
    pub data_keys: heapless::Vec<DataKey, MAX_LANES>,
}

/// Peers that wait for a mapping or hold one; each takes a few kilobytes when it is used.
pub(crate) const MAX_PEERS: usize = 256;
/// EIDs asked for at once.
const MAX_PENDING: usize = 64;

/// The control plane's configuration.
pub fn control_config(config: &Config, start: &Start) -> control::Config {
    control::Config {
        control_key: config.private_key.public_key(),
        boot_counter: start.boot_counter,
        seed: start.seed,
        limits: control::Limits {
            map_cache: config.limits.map_cache_size,
            pending_requests: MAX_PENDING,
            peers: MAX_PEERS.min(config.limits.map_cache_size),
        },
        handover: control::HandoverConfig {
            hold: config.handover.hold,
            ..control::HandoverConfig::default()
        },
        xtr: config.roles.has_database().then(|| xtr_config(config, start)),
        map_server: config.roles.is_map_server.then(|| map_server_config(config)),
    }
}

fn xtr_config(config: &Config, start: &Start) -> XtrConfig {
    let map_server = |server: &crate::config::MapServer| MapServerPeer {
        key: server.public_key,
        authentication: authentication(
            &config.private_key,
            server.public_key,
            server.authentication_key.as_ref(),
        ),
    };
    let uplink =
        |one: &crate::config::Uplink| UplinkConfig { priority: one.priority, weight: one.weight };
    let entry = |own: &crate::config::OwnEidPrefix| DatabaseEntry {
        eid_prefix: own.prefix,
        record_ttl: Some(own.record_ttl),
    };
    XtrConfig {
        data_keys: start.data_keys.to_vec(),
        uplinks: config.uplinks.iter().map(uplink).collect(),
        database: config.eid_prefixes.iter().map(entry).collect(),
        eid_space: config.eid_space.clone(),
        on_miss: match config.on_miss {
            OnMiss::Drop => Forwarding::Drop,
            OnMiss::Native => Forwarding::Native,
        },
        record_ttl: config.record_ttl,
        register_interval: config.register_interval,
        map_servers: config.map_servers.iter().map(map_server).collect(),
    }
}

fn map_server_config(config: &Config) -> MapServerConfig {
    let site = |site: &crate::config::Site| SiteConfig {
        name: site.name.clone(),
        key: site.public_key,
        authentication: authentication(
            &config.private_key,
            site.public_key,
            site.authentication_key.as_ref(),
        ),
        eid_prefixes: site.eid_prefixes.clone(),
        accepts_more_specifics: site.accepts_more_specifics,
    };
    MapServerConfig {
        sites: config.sites.iter().map(site).collect(),
        registration_timeout: config.registration_timeout,
    }
}

fn authentication(
    ours: &PrivateKey,
    theirs: PeerKey,
    secret: Option<&Secret>,
) -> AuthenticationKey {
    match secret {
        Some(secret) => AuthenticationKey::from_secret(secret.as_bytes()),
        None => AuthenticationKey::derive(ours.secret(), theirs),
    }
}

/// Octets that WireGuard over UDP and IPv6 adds to a packet.
const TUNNEL_OVERHEAD: u32 = 80;
/// Where no uplink is there yet: Ethernet's.
const DEFAULT_UPLINK_MTU: u32 = 1500;
/// IPv6 works on no smaller link (RFC 8200 section 5); a larger one than jumbo frames is a local
/// device whose packets no path carries.
const OVERLAY_MTU: std::ops::RangeInclusive<u32> = 1280..=9000;

/// The configured MTU, else what the smallest uplink leaves for a packet inside a tunnel.
pub fn overlay_mtu(config: &Config, links: &Links) -> u16 {
    config.mtu.unwrap_or_else(|| {
        let uplink = links.mtu().unwrap_or(DEFAULT_UPLINK_MTU);
        let mtu = uplink.saturating_sub(TUNNEL_OVERHEAD);
        mtu.clamp(*OVERLAY_MTU.start(), *OVERLAY_MTU.end()) as u16
    })
}

/// The data plane's public keys, one for each lane.
pub fn data_keys(plane: &Backend) -> heapless::Vec<DataKey, MAX_LANES> {
    plane.data_keys().map(|(lane, key, port)| DataKey { key, port, lane }).take(MAX_LANES).collect()
}

/// What decides which addresses are RLOCs, from the configuration.
pub fn link_policy(config: &Config) -> Policy {
    let addresses = |server: &crate::config::MapServer| match server.endpoint.as_ref()?.host {
        Host::Address(address) => Some(address),
        Host::Name(_) => None,
    };
    Policy {
        uplinks: config.uplinks.clone(),
        eid_prefixes: config.database(),
        map_servers: config.map_servers.iter().filter_map(addresses).collect(),
        fwmark: config.routing.fwmark,
    }
}
