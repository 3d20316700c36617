//! Collects the router's state for `status`.

use control::{Forwarding, Instant, Locators, PeerKey};
use dataplane::{Interface, PeerStatus};

use crate::config::{Config, Roles};
use crate::preflight;
use crate::reload::those;
use crate::router::Router;
use crate::status::{
    self, CachedMapping, Counter, DataInterface, Holder, OwnPrefix, Site, Status, Tunnel,
};

/// Unix time that every set clock is past: 1 January 2026.
const CLOCK_IS_SET: u64 = 1_767_225_600;

/// The state of the router now.
pub(crate) fn status(router: &Router, now: Instant) -> Status {
    let mut status = Status {
        roles: roles(&router.config),
        uptime_s: now.since(router.started_at).as_secs(),
        control_key: router.config.private_key.public_key().to_string(),
        control_address: router.plane.address(Interface::Control).to_string(),
        control_port: router.plane.port(Interface::Control).unwrap_or(router.config.ports.control),
        data: data_interface(router),
        interfaces: interfaces(router),
        rlocs: router.links.rlocs(),
        control_tunnels: tunnels(router, Interface::Control, now),
        data_tunnels: tunnels(router, Interface::Data, now),
        handovers: router.handovers.summary(),
        counters: counters(router),
        ..Status::default()
    };
    add_xtr(router, now, &mut status);
    add_map_server(router, now, &mut status);
    add_reasons(router, &mut status);
    add_remarks(router, &mut status);
    status.ok = status.reasons.is_empty();
    status
}

fn roles(config: &Config) -> Vec<&'static str> {
    let Roles { is_xtr, is_mobile_node, is_map_server } = config.roles;
    those(&[(is_xtr, "xtr"), (is_mobile_node, "mobile_node"), (is_map_server, "map_server")])
}

fn data_interface(router: &Router) -> Option<DataInterface> {
    router.plane.data_index()?;
    Some(DataInterface {
        device: router.config.devices.data.clone(),
        backend: router.plane.name(),
        mtu: router.plane.mtu() as u16,
        key: router.plane.public_key(Interface::Data).to_string(),
        port: router.plane.port(Interface::Data).unwrap_or(router.config.ports.data),
        fwmark: router.config.routing.fwmark,
    })
}

/// What kernel WireGuard has; in user space there is the data interface alone.
fn interfaces(router: &Router) -> Vec<status::Interface> {
    if router.plane.as_kernel().is_none() {
        return Vec::new();
    }
    let Config { devices, ports, routing, uplinks, .. } = &router.config;
    let paths = router.links.chosen();
    let uplink = |lane: u8| {
        let path = paths.iter().find(|path| path.uplink.lane == lane)?;
        Some(uplinks.get(path.place?)?.name.clone())
    };
    let interface = |device: &str, purpose| status::Interface {
        device: device.to_owned(),
        purpose,
        backend: router.plane.name(),
        mtu: router.plane.mtu() as u16,
        ..status::Interface::default()
    };
    let mut interfaces = vec![status::Interface {
        port: Some(ports.control),
        fwmark: Some(routing.fwmark),
        uplink: uplink(0),
        ..interface(&devices.control, "control")
    }];
    if router.plane.data_index().is_none() {
        return interfaces;
    }
    for (lane, key, port) in router.plane.data_keys() {
        interfaces.push(status::Interface {
            port: Some(port),
            fwmark: Some(routing.lane_mark(lane)),
            lane: Some(lane),
            key: Some(key.to_string()),
            uplink: uplink(lane),
            ..interface(&devices.lane(lane), "data")
        });
    }
    interfaces.push(interface(&devices.miss, "miss"));
    interfaces
}

fn tunnels(router: &Router, interface: Interface, now: Instant) -> Vec<Tunnel> {
    let mut tunnels = Vec::new();
    let mut places = Vec::new();
    for peer in router.plane.peer_status(interface) {
        places.push((peer.key, tunnels.len()));
        tunnels.push(tunnel(router, &peer, now));
    }
    if let (Interface::Data, Some(xtr)) = (interface, router.node.xtr()) {
        places.sort_unstable();
        add_mappings(xtr, &places, &mut tunnels);
    }
    tunnels
}

/// What is reached through data tunnels, whose places are in the order of their keys, and where
/// that may be.
fn add_mappings(xtr: &control::xtr::Xtr, places: &[(PeerKey, usize)], tunnels: &mut [Tunnel]) {
    for (prefix, row) in xtr.map_cache() {
        for key in row.forwarding.peers() {
            let Ok(at) = places.binary_search_by(|one| one.0.cmp(key)) else { continue };
            let tunnel = &mut tunnels[places[at].1];
            tunnel.eid_prefixes.push(prefix.to_string());
            for locator in &xtr.locators_of(row) {
                if locator.data_key.is_some_and(|data_key| data_key.key == *key) {
                    let shown = locator.to_string();
                    if let Err(place) = tunnel.rlocs.binary_search(&shown) {
                        tunnel.rlocs.insert(place, shown);
                    }
                }
            }
        }
    }
}

fn tunnel(router: &Router, peer: &PeerStatus, now: Instant) -> Tunnel {
    Tunnel {
        name: router.names.named(peer.key),
        key: peer.key.to_string(),
        lane: peer.lane,
        endpoint: peer.endpoint.map(|endpoint| endpoint.to_string()),
        up: peer.has_session,
        last_handshake_s: peer.handshake_at.map(|at| now.since(at).as_secs()),
        received: peer.rx_bytes,
        sent: peer.tx_bytes,
        ..Tunnel::default()
    }
}

fn add_xtr(router: &Router, now: Instant, status: &mut Status) {
    let Some(xtr) = router.node.xtr() else { return };
    let is_registered = xtr.registered_with().is_some();
    for prefix in xtr.database() {
        let (eid_prefix, refused) = (prefix.to_string(), xtr.is_refused(prefix));
        let registered = is_registered && !refused;
        status.database.push(OwnPrefix { eid_prefix, registered, refused });
    }
    status.map_cache = map_cache(router, now);
    add_pairs_behind_nat(router, xtr, &mut status.reasons);
}

/// The learned mappings.
pub(crate) fn map_cache(router: &Router, now: Instant) -> Vec<CachedMapping> {
    let mut rows = Vec::new();
    let Some(xtr) = router.node.xtr() else { return rows };
    for (prefix, entry) in xtr.map_cache() {
        let (forwarding, key) = match entry.forwarding {
            Forwarding::Peer(key) => ("peer", Some(key)),
            Forwarding::Lanes(lanes) => ("lanes", lanes.iter().next().map(|(_, key, _)| key)),
            Forwarding::Drop => ("drop", None),
            Forwarding::Native => ("native", None),
        };
        rows.push(CachedMapping {
            eid_prefix: prefix.to_string(),
            forwarding,
            rlocs: rlocs(&xtr.locators_of(entry)),
            key: key.map(|key| key.to_string()),
            age_s: now.since(entry.set_at).as_secs(),
            ttl_s: entry.expires_at.since(now).as_secs(),
        });
    }
    rows
}

/// Peers behind NAT when we are too: without a session they cannot be reached, until relays exist.
fn add_pairs_behind_nat(router: &Router, xtr: &control::xtr::Xtr, reasons: &mut Vec<String>) {
    if !xtr.is_behind_nat() {
        return;
    }
    let peers = router.plane.peer_status(Interface::Data);
    let mut told: Vec<_> = peers.filter(|peer| peer.has_session).map(|peer| peer.key).collect();
    for (eid_prefix, entry) in xtr.map_cache().filter(|(_, entry)| entry.is_unreachable()) {
        if let Forwarding::Peer(key) = entry.forwarding
            && !told.contains(&key)
        {
            told.push(key);
            reasons.push(control::Event::BothBehindNat { eid_prefix }.to_string());
        }
    }
}

/// The RLOCs in their order, each once: lanes may share one.
fn rlocs(locators: &Locators) -> Vec<String> {
    let mut rlocs: Vec<String> = Vec::with_capacity(locators.len());
    for locator in locators {
        let rloc = locator.rloc.to_string();
        if !rlocs.contains(&rloc) {
            rlocs.push(rloc);
        }
    }
    rlocs
}

/// The sites, as their Map-Server sees them.
pub(crate) fn registrations(router: &Router, now: Instant) -> Vec<Site> {
    let mut sites = Vec::new();
    let Some(map_server) = router.node.map_server() else { return sites };
    for site in map_server.sites() {
        let mut shown = Site {
            name: site.name.to_string(),
            key: site.key.to_string(),
            nat: site.is_behind_nat,
            ..Site::default()
        };
        for row in site.registrations() {
            if shown.eid_prefixes.is_empty() {
                let locators = &row.mapping.locators;
                let data_key = locators.iter().find_map(|locator| locator.data_key);
                shown.rlocs = rlocs(locators);
                shown.data_key = data_key.map(|data_key| data_key.key.to_string());
            }
            shown.eid_prefixes.push(row.mapping.eid_prefix.to_string());
            let (age, ttl) = (now.since(row.refreshed_at), row.expires_at.since(now));
            shown.age_s = shown.age_s.max(Some(age.as_secs()));
            shown.expires_s = Some(shown.expires_s.unwrap_or(u64::MAX).min(ttl.as_secs()));
        }
        sites.push(shown);
    }
    sites
}

fn add_map_server(router: &Router, now: Instant, status: &mut Status) {
    let Some(map_server) = router.node.map_server() else { return };
    status.registrations = registrations(router, now);
    for holder in map_server.holders().filter(|holder| holder.eid_prefixes > 0) {
        status.holders.push(Holder {
            site: router.names.of(holder.owner),
            holder: router.names.of(holder.holder),
            current: holder.pending == 0,
        });
    }
}

/// What keeps the router from being all up.
fn add_reasons(router: &Router, status: &mut Status) {
    let Status { reasons, remarks, control_tunnels, database, registrations, .. } = status;
    for tunnel in control_tunnels.iter() {
        match (router.names.unresolved(&router.config, &tunnel.key), tunnel.up) {
            // The Map-Server reached us where its name does not lead to it.
            (Some(unresolved), true) => remarks.push(unresolved),
            (Some(unresolved), false) => reasons.push(unresolved),
            (None, true) => {}
            (None, false) => reasons.push(why_down(tunnel)),
        }
    }
    let mut unregistered: Vec<&str> = Vec::new();
    for OwnPrefix { eid_prefix, registered, refused } in database.iter() {
        if *refused {
            reasons
                .push(format!("the Map-Server does not give us {eid_prefix}: is it listed there?"));
        } else if !registered {
            unregistered.push(eid_prefix);
        }
    }
    if !unregistered.is_empty() {
        reasons.push(format!("not registered: {}", unregistered.join(", ")));
    }
    if status.data.is_some() && status.rlocs.is_empty() {
        reasons.push("no uplink has an address".into());
    }
    for site in registrations.iter().filter(|site| site.eid_prefixes.is_empty()) {
        reasons.push(format!("site {} is not registered", site.name));
    }
}

fn why_down(tunnel: &Tunnel) -> String {
    let name = tunnel.name.as_ref().unwrap_or(&tunnel.key);
    match &tunnel.endpoint {
        Some(endpoint) => format!(
            "{name} at {endpoint} does not answer: is it up, and does it have our control key?"
        ),
        None => format!("{name} was not heard yet"),
    }
}

fn add_remarks(router: &Router, status: &mut Status) {
    if let Some(xtr) = router.node.xtr()
        && let (true, Some(outer)) = (xtr.is_behind_nat(), xtr.outer())
    {
        status.remarks.push(format!("behind NAT: the Map-Server sees us as {outer}"));
    }
    if router.start.data_keys.len() > 1 && preflight::hashes_addresses_alone() {
        let sharing = "lanes share traffic per pair of hosts; `option multipath_l4 '1'` shares it \
                       per connection";
        status.remarks.push(sharing.into());
    }
    status.remarks.extend(preflight::problems(&router.config, &router.plane));
    if linux::clock::wall_seconds() < CLOCK_IS_SET {
        status.remarks.push("the wall clock was never set; is NTP running?".into());
    }
    if router.clock_steps > 0 {
        status.remarks.push(format!("the wall clock was stepped {} times", router.clock_steps));
    }
}

fn counters(router: &Router) -> Vec<Counter> {
    let of_node = [
        router.node.xtr().map(|xtr| xtr.counters().iter()),
        router.node.map_server().map(|one| one.counters().iter()),
        Some(router.plane.counters()),
        Some(router.netifd.counters()),
    ];
    let mut counters = Vec::new();
    for listed in of_node {
        for (name, value) in listed.unwrap_or_default() {
            counters.push(Counter { name, value });
        }
    }
    counters
}
