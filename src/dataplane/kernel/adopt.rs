//! What an earlier run left: its peers and routes, taken over as they are.

use control::{EidPrefix, Forwarding, Instant, Lanes, MAX_LANES, PeerKey};
use linux::netlink::wireguard::{self, AllowedIp, PeerUpdate};

use super::Adopted;
use super::machine::{Machine, interface};
use super::operations::{Device, Hops, Operations, Resolved};
use super::peers::{Peer, allowed_ip};
use super::routes::lane;
use crate::Interface;

/// Control peers that the configuration has not asked for by then go.
const CLAIM_TIME: control::Duration = control::Duration::from_secs(5);

/// What stands in the kernel at the start.
#[derive(Debug, Default)]
pub(super) struct Remains {
    /// Peers with their allowed-ips.
    pub(super) peers: Vec<(Device, wireguard::Peer, Vec<AllowedIp>)>,
    /// Routes of ours in the table of what is resolved.
    pub(super) routes: Vec<(EidPrefix, Hops)>,
}

impl<O: Operations> Machine<O> {
    /// Takes over what an earlier run left. Data peers without a route and without a session go.
    pub(super) fn adopt(&mut self, remains: Remains, now: Instant) {
        let wall = self.operations.wall_clock();
        for (device, told, _) in &remains.peers {
            self.adopt_peer(*device, told, wall, now);
        }
        for (eid_prefix, hops) in &remains.routes {
            if !self.adopt_route(eid_prefix, hops, Resolved::Lanes(hops.clone()), &remains) {
                self.refuse_adoption(eid_prefix, hops);
            }
        }
        self.adopt_unrouted(&remains);
        self.tidy(&remains);
        for place in 0..self.control.len() {
            // Told when the configuration asks for them.
            let Some(key) = self.control.key_at(place) else { continue };
            if let Some(peer) = self.control.get_mut(&key) {
                (peer.is_claimed, peer.is_adopted) = (false, true);
            }
        }
        self.tidy_at = Some(now + CLAIM_TIME);
        self.wake(self.tidy_at);
        for place in 0..self.data.len() {
            let key = self.data.key_at(place);
            let peer = key.and_then(|key| self.data.get(&key)).filter(|peer| peer.has_session());
            if let Some(device) = peer.map(|peer| peer.device) {
                self.watch(device);
            }
        }
        let looks = self.control.iter().chain(self.data.iter()).filter_map(Peer::poll_at);
        self.wake(looks.min());
    }

    /// False when no peers stand behind these hops, or there is no room.
    fn adopt_route(
        &mut self,
        eid_prefix: &EidPrefix,
        hops: &Hops,
        installed: Resolved,
        remains: &Remains,
    ) -> bool {
        let Some(forwarding) = self.adopted_forwarding(eid_prefix, hops, remains) else {
            return false;
        };
        if !self.routes.set_forwarding(eid_prefix, &forwarding) {
            return false;
        }
        self.routes.set_installed(eid_prefix, installed);
        // Its session may have ended, or begun, when nobody looked.
        drop(self.sync_route(eid_prefix));
        true
    }

    /// The earlier run may have ended between a session and the routes to it. The other side has
    /// the session as well, and would send into it for long if it were not kept.
    fn adopt_unrouted(&mut self, remains: &Remains) {
        for (device, told, allowed_ips) in &remains.peers {
            let key = PeerKey(told.public_key);
            let Some(peer) = self.data.get(&key).filter(|peer| peer.has_session()) else {
                continue;
            };
            let (Device::Lane(_), own) = (*device, peer.own_allowed_ip()) else { continue };
            for allowed_ip in allowed_ips.iter().filter(|allowed_ip| **allowed_ip != own) {
                let (ip, len) = (allowed_ip.ip, allowed_ip.prefix_len);
                let Some(eid_prefix) = EidPrefix::new(self.instance_id, ip, len) else { continue };
                if self.routes.get(&eid_prefix).is_none() {
                    let hops = self.hops_of(allowed_ip, remains);
                    self.adopt_route(&eid_prefix, &hops, Resolved::Nothing, remains);
                }
            }
        }
    }

    /// The lanes with a session that an EID-prefix may come by, of equal weight.
    fn hops_of(&self, allowed_ip: &AllowedIp, remains: &Remains) -> Hops {
        let mut hops = Hops::new();
        for (device, told, allowed_ips) in &remains.peers {
            let peer = self.data.get(&PeerKey(told.public_key));
            if let Device::Lane(lane) = *device
                && peer.is_some_and(Peer::has_session)
                && allowed_ips.contains(allowed_ip)
            {
                // The kernel gives an allowed-ip to one peer of an interface.
                let _ = hops.push((lane, 1));
            }
        }
        hops
    }

    /// Takes out a route that cannot be taken over.
    fn refuse_adoption(&mut self, eid_prefix: &EidPrefix, hops: &Hops) {
        let installed = Resolved::Lanes(hops.clone());
        if self.operations.set_route(eid_prefix, &installed, &Resolved::Nothing).is_err() {
            self.counters.refused += 1;
        }
    }

    fn adopt_peer(
        &mut self,
        device: Device,
        told: &wireguard::Peer,
        wall: control::Duration,
        now: Instant,
    ) {
        let key = PeerKey(told.public_key);
        let interface = interface(device);
        if self.peers(interface).is_full() || self.peers(interface).get(&key).is_some() {
            let removal = PeerUpdate::removal(told.public_key);
            let _ = self.operations.set_peer(device, &removal, &mut [].into_iter());
            return;
        }
        let address = match interface {
            Interface::Control => control::auth::control_address(key),
            Interface::Data => control::auth::link_address(key),
        };
        let peer = self.peers_mut(interface).add(key, device, address, now);
        peer.endpoint = told.endpoint;
        peer.is_installed = true;
        peer.keepalive_set = told.persistent_keepalive;
        peer.handle_listing(told, wall, now);
        peer.news = Default::default();
        peer.has_been_up = told.last_handshake.is_some();
        peer.settle(now);
    }

    /// The peers behind a route: on each of its lanes, the one that may send from the EID-prefix.
    fn adopted_forwarding(
        &self,
        eid_prefix: &EidPrefix,
        hops: &Hops,
        remains: &Remains,
    ) -> Option<Forwarding> {
        let wanted = allowed_ip(eid_prefix);
        let on_lane = |hop: u8| {
            let mut peers = remains.peers.iter();
            let (_, told, _) = peers.find(|(device, _, allowed_ips)| {
                *device == Device::Lane(hop) && allowed_ips.contains(&wanted)
            })?;
            Some(PeerKey(told.public_key)).filter(|key| self.data.get(key).is_some())
        };
        let mut rows = heapless::Vec::<(u8, PeerKey, u8), MAX_LANES>::new();
        for (hop, weight) in hops {
            rows.push((*hop, on_lane(*hop)?, *weight)).ok()?;
        }
        match rows.as_slice() {
            [] => None,
            [(_, key, _)] => Some(Forwarding::Peer(*key)),
            rows => Lanes::new(rows).map(Forwarding::Lanes),
        }
    }

    /// Removes what no route leads to, and what peers may send from beyond the routes to them.
    fn tidy(&mut self, remains: &Remains) {
        for (device, told, allowed_ips) in &remains.peers {
            let key = PeerKey(told.public_key);
            if *device == Device::Control || self.data.get(&key).is_none() {
                continue;
            }
            let count = self.routes.to_peer(key).count();
            if count == 0 {
                let removal = PeerUpdate::removal(told.public_key);
                let _ = self.operations.set_peer(*device, &removal, &mut [].into_iter());
                self.data.remove(&key);
            } else if allowed_ips.len() != count + 1 {
                let _ = self.install(Interface::Data, key);
            }
        }
    }

    /// The EID-prefixes that are routed to peers.
    pub(super) fn adopted(&self) -> impl Iterator<Item = Adopted> {
        self.routes.iter().map(|(eid_prefix, entry)| {
            let mut peers = heapless::Vec::new();
            peers.extend(entry.forwarding.shares().filter_map(|(key, _)| {
                let peer = self.data.get(key)?;
                Some((lane(peer), *key, peer.endpoint))
            }));
            Adopted { eid_prefix: *eid_prefix, forwarding: entry.forwarding, peers }
        })
    }
}
