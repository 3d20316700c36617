//! What `status` shows.

use core::net::Ipv6Addr;

use control::PeerKey;

use super::Counters;
use super::machine::Machine;
use super::operations::{Device, Operations};
use super::routes::lane;
use crate::engine::MIN_MTU;
use crate::{Interface, PeerStatus};

impl<O: Operations> Machine<O> {
    /// The peers of an interface, all lanes, sorted by key.
    pub(super) fn peer_status(&self, interface: Interface) -> impl Iterator<Item = PeerStatus> {
        self.peers(interface).iter().map(move |peer| PeerStatus {
            key: peer.key,
            lane: lane(peer),
            address: peer.address,
            endpoint: peer.endpoint,
            side: peer.side,
            has_session: peer.has_session(),
            handshake_at: peer.handshake_at,
            active_at: peer.active_at,
            rx_bytes: peer.rx_bytes(),
            tx_bytes: peer.tx_bytes(),
            waiting: if interface == Interface::Data { self.waiting_for(peer.key) } else { 0 },
        })
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Packets that wait, for a mapping or a session.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The longest packet that goes into a tunnel, in octets.
    pub(super) fn mtu(&self) -> usize {
        self.mtu
    }

    /// Changes the longest packet that goes into a tunnel, up to what the buffers were made for.
    pub(super) fn set_mtu(&mut self, mtu: u16) {
        self.mtu = usize::from(mtu).clamp(MIN_MTU.into(), self.waiting.longest());
    }

    /// An interface's public key.
    pub(super) fn public_key(&self, interface: Interface) -> PeerKey {
        self.key_on(first(interface))
    }

    /// Our control address, or our link address on lane 0.
    pub(super) fn address(&self, interface: Interface) -> Ipv6Addr {
        self.address_on(first(interface))
    }

    /// Lane and public key of each data interface.
    pub(super) fn lane_keys(&self) -> impl Iterator<Item = (u8, PeerKey)> {
        let lanes = self.identity.lanes.iter().enumerate();
        lanes.map(|(lane, (key, _))| (lane as u8, *key))
    }
}

fn first(interface: Interface) -> Device {
    match interface {
        Interface::Control => Device::Control,
        Interface::Data => Device::Lane(0),
    }
}
