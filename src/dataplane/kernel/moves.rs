//! Changes around us: of uplinks, and of the wall clock.

use core::cmp::Reverse;

use control::{Instant, PeerKey, Side};

use super::machine::Machine;
use super::operations::{Device, Operations};
use super::peers::Peer;
use crate::Interface;

impl<O: Operations> Machine<O> {
    /// An uplink changed: an authentic packet goes to every live peer at once, control peers
    /// first, then the most recently active; control tunnels without a session start anew.
    pub(super) fn handle_uplink_change(&mut self, now: Instant) {
        self.install_new_peers();
        for peer in self.data.iter_mut() {
            peer.silence.handle_path(now);
        }
        for interface in [Interface::Control, Interface::Data] {
            self.forget_paths(interface);
            let mut after = None;
            while let Some(rank) = self.next_active(interface, after) {
                self.greet(interface, rank.1, now);
                after = Some(rank);
            }
            for place in 0..self.peers(interface).len() {
                let peers = self.peers_mut(interface);
                let Some(key) = peers.key_at(place) else { continue };
                let Some(peer) = peers.get_mut(&key) else { continue };
                let is_wanted = peer.initiator.is_trying()
                    || interface == Interface::Control && peer.side == Side::Initiator;
                if is_wanted && !peer.has_session() && peer.endpoint.is_some() {
                    peer.initiator.restart(now);
                    self.handle_initiator(interface, key, now);
                }
            }
        }
        self.catch_up(now);
    }

    /// One request per interface that has sessions makes the kernel forget the source addresses
    /// and routes that it used; the endpoints stay as it followed them, so that nobody asks for
    /// them first.
    fn forget_paths(&mut self, interface: Interface) {
        let mut devices = [None; Device::COUNT];
        for peer in self.peers(interface).iter().filter(|peer| peer.has_session()) {
            devices[peer.device.place()] = Some(peer.device);
        }
        for device in devices.into_iter().flatten() {
            self.counters.path_requests += 1;
            if self.operations.forget_paths(device).is_err() {
                self.counters.refused += 1;
            }
        }
    }

    /// The most recently active peer with a session that comes after `after` in that order.
    fn next_active(
        &self,
        interface: Interface,
        after: Option<(Reverse<Option<Instant>>, PeerKey)>,
    ) -> Option<(Reverse<Option<Instant>>, PeerKey)> {
        self.peers(interface)
            .iter()
            .filter(|peer| peer.has_session())
            .map(|peer| (Reverse(peer.active_at), peer.key))
            .filter(|rank| after.is_none_or(|after| *rank > after))
            .min()
    }

    /// The wall clock was stepped: control peers without a session are made anew, and handshakes
    /// start.
    pub(super) fn handle_clock_step(&mut self, now: Instant) {
        for place in 0..self.control.len() {
            let Some(key) = self.control.key_at(place) else { continue };
            if self.control.get(&key).is_some_and(Peer::has_session) {
                continue;
            }
            if self.renew(Interface::Control, key).is_err() {
                self.counters.refused += 1;
            }
            self.start_if_initiator(key, now);
        }
        self.catch_up(now);
    }
}
