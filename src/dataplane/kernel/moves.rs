//! Changes around us: of uplinks, and of the wall clock.

use core::cmp::Reverse;

use control::{Instant, PeerKey, Side};
use linux::netlink::wireguard::PeerUpdate;

use super::machine::Machine;
use super::operations::Operations;
use super::peers::Peer;
use crate::Interface;

impl<O: Operations> Machine<O> {
    /// An uplink changed: an authentic packet goes to every live peer at once, control peers
    /// first, then the most recently active; control tunnels without a session start anew.
    pub(super) fn handle_uplink_change(&mut self, now: Instant) {
        self.install_new_peers();
        // Where the peers are by now: a peer may have moved since the kernel was asked last.
        self.refresh(now);
        for interface in [Interface::Control, Interface::Data] {
            let mut after = None;
            while let Some(rank) = self.next_active(interface, after) {
                self.move_to_uplink(interface, rank.1);
                after = Some(rank);
            }
            for place in 0..self.peers(interface).len() {
                let peers = self.peers_mut(interface);
                let Some(key) = peers.key_at(place) else { continue };
                let Some(peer) = peers.get_mut(key) else { continue };
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

    /// Setting the endpoint again makes the kernel forget the source address and route that it
    /// used.
    fn move_to_uplink(&mut self, interface: Interface, key: PeerKey) {
        let Some(peer) = self.peers(interface).get(key) else { return };
        let (device, endpoint) = (peer.device, peer.endpoint);
        let update = PeerUpdate { is_update_only: true, endpoint, ..PeerUpdate::new(peer.key.0) };
        self.counters.peer_requests += 1;
        if self.operations.set_peer(device, &update, &mut [].into_iter()).is_err() {
            self.counters.refused += 1;
        }
        self.greet(interface, key);
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
            if self.control.get(key).is_some_and(Peer::has_session) {
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
