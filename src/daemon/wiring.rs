//! The configuration file's values as the control plane takes them.

use control::auth::AuthenticationKey;
use control::{
    DataKey, DatabaseEntry, Forwarding, MapServerConfig, MapServerPeer, PeerKey, SiteConfig,
    XtrConfig,
};

use crate::config::{Config, Host, OnMiss, PrivateKey, Secret};
use crate::links::Policy;

/// What is new at each start: it never comes from the file.
#[derive(Clone, Copy)]
pub struct Start {
    /// Upper half of nonces.
    pub boot_counter: u32,
    /// Seed of the control plane's randomness.
    pub seed: [u8; 32],
    /// The public data key made for this run.
    pub data_key: PeerKey,
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
    let entry = |own: &crate::config::OwnEidPrefix| DatabaseEntry {
        eid_prefix: own.prefix,
        record_ttl: Some(own.record_ttl),
    };
    XtrConfig {
        data_keys: [DataKey { key: start.data_key, port: config.ports.data, lane: 0 }].into(),
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

/// What decides which addresses are RLOCs, from the configuration.
pub fn link_policy(config: &Config) -> Policy {
    let addresses = |server: &crate::config::MapServer| match server.endpoint.as_ref()?.host {
        Host::Address(address) => Some(address),
        Host::Name(_) => None,
    };
    Policy {
        uplinks: config.uplinks.clone(),
        eid_prefixes: config.eid_prefixes.iter().map(|own| own.prefix).collect(),
        map_servers: config.map_servers.iter().filter_map(addresses).collect(),
        fwmark: config.routing.fwmark,
    }
}
