//! What the control plane asks for, step by step; each touches the peer or route it names alone.

use control::{Change, EidPrefix, Forwarding, Instant, PeerConfig, PeerKey, Side};
use linux::netlink::wireguard::PeerUpdate;

use super::machine::Machine;
use super::operations::{Device, Operations, Resolved};
use super::peers::allowed_ip;
use super::routes::lane;
use crate::{ControlPeer, EngineError, Interface, PlaneError};

impl<O: Operations> Machine<O> {
    /// Applies one step of the control plane.
    ///
    /// # Errors
    /// When a table is full, a peer unknown, or the kernel refuses.
    pub(super) fn apply(&mut self, change: &Change, now: Instant) -> Result<(), PlaneError> {
        self.applied_at = now;
        if !matches!(change, Change::SetPeer(_) | Change::SetRoute { .. }) {
            self.install_new_peers();
        }
        let result = match change {
            Change::SetPeer(config) => self.set_data_peer(config, now),
            Change::RemovePeer(key) => {
                self.remove_data_peer(*key, now);
                Ok(())
            }
            Change::SetRoute { eid_prefix, forwarding } => {
                self.set_route(eid_prefix, forwarding, now)
            }
            Change::RemoveRoute(eid_prefix) => {
                self.remove_route(eid_prefix);
                self.reconsider_waiting(now);
                Ok(())
            }
            Change::FailWaiting(eid) => {
                self.fail_waiting(*eid, now);
                Ok(())
            }
            Change::ResetControlPeer(key) => self.reset_control_peer(*key, now),
            Change::InitiateControl(key) => self.initiate_control(*key, now),
            Change::SetControlKeepalive(key, interval) => {
                let peer = self.control.get_mut(key).ok_or(EngineError::UnknownPeer(*key))?;
                peer.nat_keepalive = *interval;
                self.set_keepalive(Interface::Control, *key)
            }
        };
        if self.new_peers.is_empty() {
            self.catch_up(now);
        }
        result
    }

    /// Hands the peers that came with the last changes over to the kernel, each with all that is
    /// routed to it: what the other side sends as soon as it knows the session would be refused.
    pub(super) fn install_new_peers(&mut self) {
        let now = self.applied_at;
        let mut new_peers = core::mem::take(&mut self.new_peers);
        for key in new_peers.drain(..) {
            if let Some(peer) = self.data.get_mut(&key) {
                peer.is_new = false;
            }
            if self.install(Interface::Data, key).is_err() {
                self.counters.refused += 1;
            }
            self.begin(key, true, now);
        }
        self.new_peers = new_peers;
    }

    /// Adds or changes a control peer; a session stays when only the endpoint changes.
    ///
    /// # Errors
    /// When every place is taken, or the kernel refuses.
    pub(super) fn set_control_peer(
        &mut self,
        config: &ControlPeer,
        now: Instant,
    ) -> Result<(), PlaneError> {
        self.install_new_peers();
        let address = config.address.unwrap_or_else(|| control::auth::control_address(config.key));
        let old = self.control.get(&config.key).map(|peer| (peer.address, peer.endpoint));
        if old.is_none() {
            self.check_new(Interface::Control, config.key, Device::Control)?;
            self.control.add(config.key, Device::Control, address, now);
        }
        let Some(peer) = self.control.get_mut(&config.key) else { return Ok(()) };
        let is_adopted = !core::mem::replace(&mut peer.is_claimed, true);
        peer.address = address;
        peer.side = config.side;
        peer.keepalive = config.persistent_keepalive;
        // The kernel followed a site while no process ran; what the last one wrote down is older.
        let is_followed = is_adopted && config.side == Side::Responder && peer.has_session();
        if !is_followed || peer.endpoint.is_none() {
            peer.endpoint = config.endpoint.or(peer.endpoint);
        }
        let (endpoint, has_session) = (peer.endpoint, peer.has_session());
        let is_trying = peer.initiator.is_trying();
        let has_new_endpoint = old.is_none_or(|(_, known)| known != endpoint);
        if old.is_none_or(|(known, _)| known != address) {
            self.install_new(Interface::Control, config.key, old.is_none())?;
        } else if has_new_endpoint {
            self.move_peer(Interface::Control, config.key)?;
        }
        self.set_keepalive(Interface::Control, config.key)?;
        if has_session && let (true, Some(endpoint)) = (is_adopted, endpoint) {
            let (peer, side) = (config.key, config.side);
            self.tell(crate::Event::ControlSession { peer, endpoint, side, round_trip: None });
        }
        if !has_session && (has_new_endpoint || !is_trying) {
            self.start_if_initiator(config.key, now);
        }
        self.catch_up(now);
        Ok(())
    }

    /// Removes a control peer with its session.
    pub(super) fn remove_control_peer(&mut self, key: PeerKey) {
        self.remove_peer(Interface::Control, key);
    }

    /// Removes control peers of an earlier run that this one has not asked for.
    pub(super) fn remove_unclaimed(&mut self) {
        loop {
            let unclaimed = self.control.iter().find(|peer| !peer.is_claimed);
            let Some(key) = unclaimed.map(|peer| peer.key) else { return };
            self.remove_peer(Interface::Control, key);
        }
    }

    fn remove_peer(&mut self, interface: Interface, key: PeerKey) {
        let Some(peer) = self.peers_mut(interface).remove(&key) else { return };
        self.counters.peer_requests += 1;
        let removal = PeerUpdate::removal(key.0);
        if self.operations.set_peer(peer.device, &removal, &mut [].into_iter()).is_err() {
            self.counters.refused += 1;
        }
    }

    fn reset_control_peer(&mut self, key: PeerKey, now: Instant) -> Result<(), PlaneError> {
        self.control.get(&key).ok_or(EngineError::UnknownPeer(key))?;
        self.renew(Interface::Control, key).map_err(|error| PlaneError::Peer(key, error.into()))?;
        self.start_if_initiator(key, now);
        Ok(())
    }

    fn initiate_control(&mut self, key: PeerKey, now: Instant) -> Result<(), PlaneError> {
        let peer = self.control.get_mut(&key).ok_or(EngineError::UnknownPeer(key))?;
        if core::mem::take(&mut peer.is_adopted) && peer.endpoint.is_some() {
            // A new session tells the other side that what it told the earlier run is forgotten.
            let renewed = self.renew(Interface::Control, key);
            renewed.map_err(|error| PlaneError::Peer(key, error.into()))?;
        }
        let peer = self.control.get_mut(&key).ok_or(EngineError::UnknownPeer(key))?;
        if peer.has_session() {
            // The kernel renews what stands; that the session works is what is wanted.
            peer.note_sent(now);
            let wake_at = peer.poll_at();
            self.wake(wake_at);
            self.greet(Interface::Control, key, now);
        } else if peer.endpoint.is_some() {
            peer.initiator.start(now);
            self.handle_initiator(Interface::Control, key, now);
        }
        Ok(())
    }

    fn set_data_peer(&mut self, config: &PeerConfig, now: Instant) -> Result<(), PlaneError> {
        let (key, device) = (config.key, Device::Lane(config.lane));
        let mut old = self.data.get(&key).map(|peer| (peer.device, peer.endpoint));
        if old.is_some_and(|(known, _)| known != device) {
            self.install_new_peers();
            self.remove_data_peer(key, now);
            old = None;
        }
        if old.is_none() {
            self.check_new(Interface::Data, key, device)?;
            self.data.add(key, device, control::auth::link_address(key), now);
        }
        let Some(peer) = self.data.get_mut(&key) else { return Ok(()) };
        peer.is_claimed = true;
        peer.side = config.side;
        peer.keepalive = config.persistent_keepalive;
        peer.endpoint = config.endpoint.or(peer.endpoint);
        let (endpoint, has_session) = (peer.endpoint, peer.has_session());
        let has_new_endpoint = old.is_none_or(|(_, known)| known != endpoint);
        if !peer.is_installed {
            if !core::mem::replace(&mut peer.is_new, true) {
                self.new_peers.push(key);
            }
            return Ok(());
        }
        // The kernel may have followed it elsewhere since it was last asked.
        let is_moved = has_new_endpoint || config.endpoint.is_some();
        if is_moved {
            peer.silence.handle_path(now);
            self.move_peer(Interface::Data, key)?;
        }
        self.set_keepalive(Interface::Data, key)?;
        if has_session && is_moved {
            // The other side learns at once where we are heard from, and answers.
            self.greet(Interface::Data, key, now);
        } else if !has_session && endpoint.is_some() {
            self.begin(key, has_new_endpoint, now);
        }
        Ok(())
    }

    /// Begins a session when that is ours to do.
    fn begin(&mut self, key: PeerKey, has_new_endpoint: bool, now: Instant) {
        let has_waiting = has_new_endpoint && self.waiting_for(key) > 0;
        let Some(peer) = self.data.get_mut(&key) else { return };
        if peer.side == Side::Initiator {
            if has_new_endpoint {
                peer.initiator.restart(now);
            } else {
                peer.initiator.start(now);
            }
            self.handle_initiator(Interface::Data, key, now);
        } else if has_waiting {
            self.want_session(Interface::Data, key, now);
        }
    }

    fn check_new(
        &self,
        interface: Interface,
        key: PeerKey,
        device: Device,
    ) -> Result<(), EngineError> {
        if self.peers(interface).is_full() {
            return Err(EngineError::PeersFull(interface));
        }
        let is_there = match device {
            Device::Control => true,
            Device::Lane(lane) => usize::from(lane) < self.identity.lanes.len(),
        };
        // The kernel does not make a peer of an interface's own key.
        if !is_there || key == self.key_on(device) {
            return Err(EngineError::UnknownPeer(key));
        }
        Ok(())
    }

    fn install_new(
        &mut self,
        interface: Interface,
        key: PeerKey,
        is_new: bool,
    ) -> Result<(), PlaneError> {
        let result = self.install(interface, key);
        if result.is_err() && is_new {
            self.peers_mut(interface).remove(&key);
        }
        result.map_err(|error| PlaneError::Peer(key, error.into()))
    }

    /// Sets a peer's endpoint alone; its session stays.
    fn move_peer(&mut self, interface: Interface, key: PeerKey) -> Result<(), PlaneError> {
        let Some(peer) = self.peers(interface).get(&key) else { return Ok(()) };
        let (device, endpoint) = (peer.device, peer.endpoint);
        let update = PeerUpdate { is_update_only: true, endpoint, ..PeerUpdate::new(key.0) };
        self.request(device, &update, None)
    }

    /// Keeps the shorter of both keepalives going.
    fn set_keepalive(&mut self, interface: Interface, key: PeerKey) -> Result<(), PlaneError> {
        let Some(peer) = self.peers_mut(interface).get_mut(&key) else { return Ok(()) };
        let (device, seconds) = (peer.device, peer.keepalive_seconds());
        let old = core::mem::replace(&mut peer.keepalive_set, seconds);
        let update = |seconds| PeerUpdate {
            is_update_only: true,
            persistent_keepalive: Some(seconds),
            ..PeerUpdate::new(key.0)
        };
        if old != seconds && old != 0 && seconds != 0 {
            // The kernel sends one at once only when there were none before.
            self.request(device, &update(0), None)?;
        }
        if old != seconds {
            self.request(device, &update(seconds), None)?;
        }
        Ok(())
    }

    fn request(
        &mut self,
        device: Device,
        update: &PeerUpdate,
        eid_prefix: Option<&EidPrefix>,
    ) -> Result<(), PlaneError> {
        self.counters.peer_requests += 1;
        let mut allowed_ips = eid_prefix.map(allowed_ip).into_iter();
        self.operations
            .set_peer(device, update, &mut allowed_ips)
            .map_err(|error| PlaneError::Peer(PeerKey(update.public_key), error.into()))
    }

    fn remove_data_peer(&mut self, key: PeerKey, now: Instant) {
        let mut routed = core::mem::take(&mut self.scratch);
        routed.clear();
        routed.extend(self.routes.to_peer(key).map(|(eid_prefix, _)| *eid_prefix));
        routed.sort_unstable();
        // First no route leads to it: the kernel would answer what it cannot send.
        if let Some(peer) = self.data.get_mut(&key) {
            peer.session_at = None;
        }
        for eid_prefix in &routed {
            let forwarding = self.routes.get(eid_prefix).map(|entry| entry.forwarding);
            if matches!(forwarding, Some(Forwarding::Lanes(_))) {
                let _ = self.sync_route(eid_prefix);
            } else {
                self.forget_route(eid_prefix);
            }
        }
        self.scratch = routed;
        self.remove_peer(Interface::Data, key);
        self.reconsider_waiting(now);
    }

    fn set_route(
        &mut self,
        eid_prefix: &EidPrefix,
        forwarding: &Forwarding,
        now: Instant,
    ) -> Result<(), PlaneError> {
        if let Some((key, _)) = forwarding.shares().find(|(key, _)| self.data.get(key).is_none()) {
            return Err(EngineError::UnknownPeer(*key).into());
        }
        let old = match self.routes.get(eid_prefix) {
            Some(held) if held.forwarding == *forwarding => {
                self.reconsider_waiting(now);
                return Ok(());
            }
            held => held.map_or(Forwarding::Drop, |held| held.forwarding),
        };
        if !self.routes.set_forwarding(eid_prefix, forwarding) {
            return Err(EngineError::RoutesFull.into());
        }
        let wanted = self.resolved(forwarding);
        if wanted == Resolved::Nothing {
            // A packet that met the new peer before its session stands would make it initiate.
            self.sync_route(eid_prefix)?;
        }
        self.allow(eid_prefix, &old, forwarding)?;
        if wanted != Resolved::Nothing {
            self.reconsider_waiting(now);
            self.drain_misses(false, now);
            self.sync_route(eid_prefix)?;
            self.drain_misses(true, now);
        }
        self.disallow(&old, forwarding);
        self.reconsider_waiting(now);
        Ok(())
    }

    /// Lets the new peers send from an EID-prefix; another peer of the same interface loses it.
    fn allow(
        &mut self,
        eid_prefix: &EidPrefix,
        old: &Forwarding,
        new: &Forwarding,
    ) -> Result<(), PlaneError> {
        for (key, _) in new.shares().filter(|(key, _)| !old.leads_to(key)) {
            // A peer that the kernel does not know yet comes with all its EID-prefixes.
            let Some(peer) = self.data.get(key).filter(|peer| peer.is_installed) else { continue };
            let device = peer.device;
            let update = PeerUpdate { is_update_only: true, ..PeerUpdate::new(key.0) };
            self.request(device, &update, Some(eid_prefix))?;
        }
        Ok(())
    }

    /// Takes what went another way from the peers that are no more to send from it.
    fn disallow(&mut self, old: &Forwarding, new: &Forwarding) {
        for (key, _) in old.shares().filter(|(key, _)| !new.leads_to(key)) {
            let Some(place) = self.data.get(key).map(lane) else { continue };
            let has_moved =
                new.shares().any(|(key, _)| self.data.get(key).map(lane) == Some(place));
            if !has_moved && self.install_again(*key).is_err() {
                self.counters.refused += 1;
            }
        }
    }

    /// Replaces a peer's allowed-ips, and nothing else of it.
    fn install_again(&mut self, key: PeerKey) -> Result<(), PlaneError> {
        let Some(peer) = self.data.get(&key) else { return Ok(()) };
        let (device, own) = (peer.device, peer.own_allowed_ip());
        let update = PeerUpdate {
            is_update_only: true,
            replaces_allowed_ips: true,
            ..PeerUpdate::new(key.0)
        };
        let routed = self.routes.to_peer(key);
        let mut allowed_ips =
            [own].into_iter().chain(routed.map(|(eid_prefix, _)| allowed_ip(eid_prefix)));
        self.counters.peer_requests += 1;
        self.operations
            .set_peer(device, &update, &mut allowed_ips)
            .map_err(|error| PlaneError::Peer(key, error.into()))
    }

    fn remove_route(&mut self, eid_prefix: &EidPrefix) {
        if let Some(entry) = self.forget_route(eid_prefix) {
            self.disallow(&entry.forwarding, &Forwarding::Drop);
        }
    }
}
