//! What the control plane asks for, step by step.

use control::{Change, Forwarding, Instant, PeerConfig, PeerKey, Side};

use super::peers::Slot;
use super::routes::Route;
use super::tunnel::{Listener, Tunnel};
use super::{Engine, EngineError, Interface, Io};
use crate::ControlPeer;

impl<L: Listener> Engine<L> {
    /// Applies one step of the control plane.
    ///
    /// # Errors
    /// When a table is full or a peer unknown; nothing has changed then.
    pub fn apply(
        &mut self,
        change: &Change,
        now: Instant,
        io: &mut impl Io,
    ) -> Result<(), EngineError> {
        match *change {
            Change::SetPeer(ref config) => self.set_data_peer(config, now, io)?,
            Change::RemovePeer(key) => {
                if let Some(slot) = self.data.remove(key) {
                    self.routes.remove_peer(slot);
                    self.reconsider_waiting(now, io);
                }
            }
            Change::SetRoute { eid_prefix, forwarding } => {
                let route = self.route(forwarding)?;
                if !self.routes.set(eid_prefix, route) {
                    return Err(EngineError::RoutesFull);
                }
                self.reconsider_waiting(now, io);
            }
            Change::RemoveRoute(eid_prefix) => {
                self.routes.remove(&eid_prefix);
                self.reconsider_waiting(now, io);
            }
            Change::FailWaiting(eid) => self.fail_waiting(eid, now, io),
            Change::ResetControlPeer(key) => {
                let slot = self.control_slot(key)?;
                self.control.renew_tunnel(slot, now);
                self.start_if_initiator(slot, now, io);
            }
            Change::InitiateControl(key) => {
                let slot = self.control_slot(key)?;
                self.start(Interface::Control, slot, now);
                self.handle_peer_timeout(Interface::Control, slot, now, io);
            }
            Change::SetControlKeepalive(key, interval) => {
                let slot = self.control_slot(key)?;
                if let Some(peer) = self.control.get_mut(slot) {
                    peer.nat_keepalive = interval;
                    peer.set_keepalives(now);
                }
                self.handle_peer_timeout(Interface::Control, slot, now, io);
            }
        }
        Ok(())
    }

    /// Adds or changes a control peer; a session stays when only the endpoint changes.
    ///
    /// # Errors
    /// When every place is taken.
    pub fn set_control_peer(
        &mut self,
        config: &ControlPeer,
        now: Instant,
        io: &mut impl Io,
    ) -> Result<(), EngineError> {
        let address = config.address.unwrap_or_else(|| control::auth::control_address(config.key));
        let slot = match self.control.slot(config.key) {
            Some(slot) => slot,
            None => self
                .control
                .add(config.key, address, now)
                .ok_or(EngineError::PeersFull(Interface::Control))?,
        };
        let Some(peer) = self.control.get_mut(slot) else { return Ok(()) };
        let has_new_endpoint = config.endpoint.is_some() && config.endpoint != peer.endpoint;
        peer.address = address;
        peer.side = config.side;
        peer.endpoint = config.endpoint.or(peer.endpoint);
        peer.keepalive = config.persistent_keepalive;
        peer.set_keepalives(now);
        if !peer.tunnel.has_session() && (has_new_endpoint || !peer.initiator.is_trying()) {
            self.start_if_initiator(slot, now, io);
        }
        self.handle_peer_timeout(Interface::Control, slot, now, io);
        Ok(())
    }

    /// Removes a control peer with its session.
    pub fn remove_control_peer(&mut self, key: PeerKey) {
        self.control.remove(key);
    }

    fn set_data_peer(
        &mut self,
        config: &PeerConfig,
        now: Instant,
        io: &mut impl Io,
    ) -> Result<(), EngineError> {
        let slot = match self.data.slot(config.key) {
            Some(slot) => slot,
            None => self
                .data
                .add(config.key, control::auth::link_address(config.key), now)
                .ok_or(EngineError::PeersFull(Interface::Data))?,
        };
        let Some(peer) = self.data.get_mut(slot) else { return Ok(()) };
        let has_new_endpoint = config.endpoint.is_some() && config.endpoint != peer.endpoint;
        peer.side = config.side;
        peer.endpoint = config.endpoint.or(peer.endpoint);
        peer.keepalive = config.persistent_keepalive;
        peer.set_keepalives(now);
        let has_session = peer.tunnel.has_session();
        if has_session && has_new_endpoint {
            peer.timers.handle_path();
            // The other side learns at once where we are heard from, and answers.
            self.greet(Interface::Data, slot, now, io);
        } else if !has_session && peer.endpoint.is_some() {
            if config.side == Side::Initiator {
                if has_new_endpoint {
                    peer.initiator.restart(now)
                } else {
                    peer.initiator.start(now)
                }
            } else if has_new_endpoint && self.has_waiting(slot) {
                self.want_session(slot, now, io);
            }
        }
        self.handle_peer_timeout(Interface::Data, slot, now, io);
        Ok(())
    }

    fn route(&self, forwarding: Forwarding) -> Result<Route, EngineError> {
        match forwarding {
            Forwarding::Peer(key) => {
                self.data.slot(key).map(Route::Peer).ok_or(EngineError::UnknownPeer(key))
            }
            Forwarding::Lanes(lanes) => {
                // This data plane is one interface, lane 0.
                let (_, key, _) = lanes.iter().next().expect("lanes are two at least");
                self.data.slot(key).map(Route::Peer).ok_or(EngineError::UnknownPeer(key))
            }
            Forwarding::Drop => Ok(Route::Drop),
            Forwarding::Native => Ok(Route::Native),
        }
    }

    fn control_slot(&self, key: PeerKey) -> Result<Slot, EngineError> {
        self.control.slot(key).ok_or(EngineError::UnknownPeer(key))
    }

    fn has_waiting(&self, slot: Slot) -> bool {
        self.waiting_for(slot) > 0
    }
}
