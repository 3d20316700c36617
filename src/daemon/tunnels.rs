//! The control tunnels: which there are, where they lead, and where sites were heard.

use std::net::SocketAddr;

use control::{Change, Duration, Instant, PeerKey, Side};
use dataplane::{ControlPeer, DataPlane};
use log::Level;

use crate::config::{Config, Endpoint, Host, MapServer};
use crate::router::Router;
use crate::wiring;

/// Endpoints learnt are written at most this often.
const SAVE_PAUSE: Duration = Duration::from_millis(100);

impl Router {
    /// Tells the data plane the Map-Servers and sites of the configuration; those that the old
    /// configuration had alike are left alone.
    pub(crate) fn set_control_peers(&mut self, old: Option<&Config>, now: Instant) {
        let (was, is) = (old.map(control_peers).unwrap_or_default(), control_peers(&self.config));
        for server in &self.config.map_servers {
            let is_same = |one: &MapServer| {
                (one.public_key, &one.endpoint) == (server.public_key, &server.endpoint)
            };
            if !old.is_some_and(|old| old.map_servers.iter().any(is_same)) {
                self.names.forget_endpoint(server.public_key);
            }
        }
        for gone in was.iter().filter(|old| !is.iter().any(|new| new.key == old.key)) {
            self.plane.remove_control_peer(gone.key);
        }
        for peer in is.iter().filter(|peer| !was.contains(peer)) {
            let mut peer = *peer;
            let learnt = self.endpoints.as_ref().and_then(|known| known.of(peer.key));
            let resolved = self.names.endpoint(peer.key);
            peer.endpoint = peer.endpoint.or(resolved).or(learnt);
            if let Err(error) = self.plane.set_control_peer(&peer, now) {
                log::error!("control tunnel with {}: {error}", self.names.of(peer.key));
            }
            // A site that knew us before our restart hears at once that its session is gone.
            if peer.side == Side::Responder && peer.endpoint.is_some() {
                self.apply(&Change::InitiateControl(peer.key), now);
            }
        }
        let is_same = old.is_some_and(|old| old.map_servers == self.config.map_servers);
        if !is_same {
            self.set_names();
        }
    }

    /// What decides which addresses are RLOCs; Map-Servers given by name are where they resolve to,
    /// and logical interfaces of netifd lead to their devices.
    pub(crate) fn set_link_policy(&mut self) {
        let mut policy = wiring::link_policy(&self.config);
        let resolved = self.resolved.iter().filter_map(|key| self.names.endpoint(*key));
        policy.map_servers.extend(resolved.map(|endpoint| endpoint.ip()));
        for uplink in &mut policy.uplinks {
            if let Some(device) = self.netifd.device_of(&uplink.device) {
                device.clone_into(&mut uplink.device);
            }
        }
        self.links.set_policy(policy);
    }

    /// Has the resolver look up the Map-Servers that are given by name.
    pub(crate) fn set_names(&mut self) {
        let mut names = Vec::new();
        self.resolved.clear();
        for server in &self.config.map_servers {
            if let Some(Endpoint { host: Host::Name(name), port }) = &server.endpoint {
                names.push((name.clone(), *port));
                self.resolved.push(server.public_key);
            }
        }
        self.resolver.set_names(names);
    }

    pub(crate) fn handle_names(&mut self, now: Instant) {
        while let Some(answer) = self.resolver.poll_answer(now) {
            let Some(key) = self.resolved.get(answer.index).copied() else { continue };
            let Some(mut peer) = control_peers(&self.config).into_iter().find(|one| one.key == key)
            else {
                continue;
            };
            match answer.endpoint {
                Ok(endpoint) => {
                    peer.endpoint = Some(endpoint);
                    self.names.set_endpoint(key, endpoint);
                    if let Err(error) = self.plane.set_control_peer(&peer, now) {
                        log::error!("control tunnel with {}: {error}", self.names.of(key));
                    }
                    self.set_link_policy();
                    self.handle_links("name", now);
                }
                // While it lasts, `status` says so.
                Err(error) => {
                    let level = if answer.is_repeated { Level::Debug } else { Level::Warn };
                    log::log!(level, "the endpoint of {}: {error}", self.names.of(key));
                }
            }
        }
    }

    /// Notes where a site is, so that a restarted Map-Server finds it.
    pub(crate) fn learn(&mut self, peer: PeerKey, endpoint: SocketAddr, now: Instant) {
        if let Some(endpoints) = &mut self.endpoints {
            endpoints.learn(peer, endpoint);
            if endpoints.is_dirty() && self.save_at.is_none() {
                self.save_at = Some(now + SAVE_PAUSE);
            }
        }
    }

    pub(crate) fn save_endpoints(&mut self) {
        self.save_at = None;
        let Some(endpoints) = &mut self.endpoints else { return };
        let sites = &self.config.sites;
        if endpoints.is_dirty()
            && let Err(error) =
                endpoints.save(|key| sites.iter().any(|site| site.public_key == key))
        {
            let directory = self.config.run_dir.display();
            log::warn!("{directory}: {error}: where sites are is not kept for the next start");
        }
    }
}

/// The control tunnels that the configuration asks for.
fn control_peers(config: &Config) -> Vec<ControlPeer> {
    let mut peers = Vec::new();
    let mut add = |key, endpoint: &Option<Endpoint>, side, persistent_keepalive| {
        let endpoint = match endpoint {
            Some(Endpoint { host: Host::Address(address), port }) => {
                Some(SocketAddr::new(*address, *port))
            }
            _ => None,
        };
        peers.push(ControlPeer { key, endpoint, side, persistent_keepalive, address: None });
    };
    for server in config.map_servers.iter().filter(|server| !server.is_myself()) {
        let keepalive = server.persistent_keepalive;
        add(server.public_key, &server.endpoint, Side::Initiator, keepalive);
    }
    let own_key = config.private_key.public_key();
    for site in config.sites.iter().filter(|site| site.public_key != own_key) {
        add(site.public_key, &site.endpoint, Side::Responder, None);
    }
    peers
}
