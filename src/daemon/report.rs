//! Collects the router's state for `status`.

use control::{Forwarding, Instant, Locators, PeerKey};
use dataplane::{Interface, PeerStatus};

use crate::config::Config;
use crate::preflight;
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
        rlocs: router.links.rlocs().map(|rloc| rloc.to_string()).collect(),
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
    let roles = [
        (config.roles.is_xtr, "xtr"),
        (config.roles.is_mobile_node, "mobile_node"),
        (config.roles.is_map_server, "map_server"),
    ];
    roles.into_iter().filter_map(|(is_one, name)| is_one.then_some(name)).collect()
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
    interfaces.extend(router.plane.data_keys().map(|(lane, key, port)| status::Interface {
        port: Some(port),
        fwmark: Some(routing.lane_mark(lane)),
        lane: Some(lane),
        key: Some(key.to_string()),
        uplink: uplink(lane),
        ..interface(&devices.lane(lane), "data")
    }));
    interfaces.push(interface(&devices.miss, "miss"));
    interfaces
}

fn tunnels(router: &Router, interface: Interface, now: Instant) -> Vec<Tunnel> {
    let mapped = |peer: &PeerStatus| {
        let rows = router.node.xtr().into_iter().flat_map(|xtr| xtr.map_cache());
        let rows: Vec<_> = rows.filter(|(_, row)| row.forwarding.leads_to(peer.key)).collect();
        let mut rlocs: Vec<String> = rows
            .iter()
            .flat_map(|(_, row)| row.locators.iter())
            .filter(|locator| locator.data_key.is_some_and(|data_key| data_key.key == peer.key))
            .map(|locator| locator.to_string())
            .collect();
        rlocs.sort();
        rlocs.dedup();
        (rows.iter().map(|(prefix, _)| prefix.to_string()).collect::<Vec<_>>(), rlocs)
    };
    let tunnel = |peer: PeerStatus| {
        let (eid_prefixes, rlocs) = match interface {
            Interface::Data => mapped(&peer),
            Interface::Control => Default::default(),
        };
        Tunnel { eid_prefixes, rlocs, ..tunnel(router, &peer, now) }
    };
    router.plane.peer_status(interface).map(tunnel).collect()
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
    let registered = xtr.registered_with().is_some();
    let own = |prefix: &control::EidPrefix| OwnPrefix {
        eid_prefix: prefix.to_string(),
        registered: registered && !xtr.is_refused(prefix),
        refused: xtr.is_refused(prefix),
    };
    status.database = xtr.database().iter().map(own).collect();
    status.map_cache = map_cache(router, now);
    add_pairs_behind_nat(router, xtr, &mut status.reasons);
}

/// The learned mappings.
pub(crate) fn map_cache(router: &Router, now: Instant) -> Vec<CachedMapping> {
    let row = |(prefix, entry): (control::EidPrefix, &control::xtr::MapCacheEntry)| {
        let (forwarding, key) = match entry.forwarding {
            Forwarding::Peer(key) => ("peer", Some(key.to_string())),
            Forwarding::Lanes(lanes) => {
                ("lanes", lanes.iter().next().map(|(_, key, _)| key.to_string()))
            }
            Forwarding::Drop => ("drop", None),
            Forwarding::Native => ("native", None),
        };
        CachedMapping {
            eid_prefix: prefix.to_string(),
            forwarding,
            rlocs: rlocs(&entry.locators),
            key,
            age_s: now.since(entry.set_at).as_secs(),
            ttl_s: entry.expires_at.since(now).as_secs(),
        }
    };
    router.node.xtr().into_iter().flat_map(|xtr| xtr.map_cache()).map(row).collect()
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
    let sites = router.node.map_server().into_iter().flat_map(|one| one.sites());
    let site = |site: control::map_server::SiteStatus<'_>| {
        let rows: Vec<_> = site.registrations().collect();
        let locators = rows.first().map(|row| &row.mapping.locators);
        let data_key = locators.and_then(|all| all.iter().find_map(|locator| locator.data_key));
        Site {
            name: site.name.to_string(),
            key: site.key.to_string(),
            eid_prefixes: rows.iter().map(|row| row.mapping.eid_prefix.to_string()).collect(),
            rlocs: locators.map(rlocs).unwrap_or_default(),
            data_key: data_key.map(|data_key| data_key.key.to_string()),
            age_s: rows.iter().map(|row| now.since(row.refreshed_at).as_secs()).max(),
            expires_s: rows.iter().map(|row| row.expires_at.since(now).as_secs()).min(),
            nat: site.is_behind_nat,
        }
    };
    sites.map(site).collect()
}

fn add_map_server(router: &Router, now: Instant, status: &mut Status) {
    let Some(map_server) = router.node.map_server() else { return };
    status.registrations = registrations(router, now);
    let name = |key: PeerKey| router.names.of(key);
    let holders = map_server.holders().filter(|holder| holder.eid_prefixes > 0);
    status.holders = holders
        .map(|holder| Holder {
            site: name(holder.owner),
            holder: name(holder.holder),
            current: holder.pending == 0,
        })
        .collect();
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
    for OwnPrefix { eid_prefix, .. } in database.iter().filter(|own| own.refused) {
        reasons.push(format!("the Map-Server does not give us {eid_prefix}: is it listed there?"));
    }
    let is_missing = |own: &&OwnPrefix| !own.registered && !own.refused;
    let unregistered: Vec<&str> =
        database.iter().filter(is_missing).map(|own| own.eid_prefix.as_str()).collect();
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
    let mut counters = Vec::new();
    let mut add = |(name, value)| counters.push(Counter { name, value });
    if let Some(xtr) = router.node.xtr() {
        xtr.counters().iter().for_each(&mut add);
    }
    if let Some(map_server) = router.node.map_server() {
        map_server.counters().iter().for_each(&mut add);
    }
    router.plane.counters().for_each(&mut add);
    router.netifd.counters().for_each(&mut add);
    counters
}
