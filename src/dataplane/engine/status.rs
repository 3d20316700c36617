//! What `status` shows.

use core::net::{Ipv6Addr, SocketAddr};

use control::{EidPrefix, Forwarding, Instant, PeerKey, Side};

use super::peers::Slot;
use super::routes::Route;
use super::tunnel::{Listener, Tunnel};
use super::{Counters, Engine, Interface, MIN_MTU};

/// One peer at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// Its control or data key.
    pub key: PeerKey,
    /// Which of our data interfaces it is on; 0 for a control peer.
    pub lane: u8,
    /// Its control or link address.
    pub address: Ipv6Addr,
    /// Where packets to it go.
    pub endpoint: Option<SocketAddr>,
    /// Who is to initiate.
    pub side: Side,
    /// Whether packets can go.
    pub has_session: bool,
    /// When the last session was established.
    pub handshake_at: Option<Instant>,
    /// The last authentic packet in either direction.
    pub active_at: Option<Instant>,
    /// UDP payload received that was authentic.
    pub rx_bytes: u64,
    /// UDP payload sent.
    pub tx_bytes: u64,
    /// Packets that wait for its session.
    pub waiting: usize,
}

impl<L: Listener> Engine<L> {
    /// The peers of an interface, sorted by key.
    pub fn peer_status(&self, interface: Interface) -> impl Iterator<Item = PeerStatus> {
        self.peers(interface).iter().map(move |(slot, peer)| PeerStatus {
            key: peer.key,
            lane: 0,
            address: peer.address,
            endpoint: peer.endpoint,
            side: peer.side,
            has_session: peer.tunnel.has_session(),
            handshake_at: peer.handshake_at,
            active_at: peer.timers.active_at,
            rx_bytes: peer.rx_bytes,
            tx_bytes: peer.tx_bytes,
            waiting: if interface == Interface::Data { self.waiting_for(slot) } else { 0 },
        })
    }

    /// The routes, sorted by prefix.
    pub fn routes(&self) -> impl Iterator<Item = (&EidPrefix, Forwarding)> {
        self.routes.iter().filter_map(|(eid_prefix, route)| {
            let forwarding = match route {
                Route::Peer(slot) => Forwarding::Peer(self.data.get(slot)?.key),
                Route::Drop => Forwarding::Drop,
                Route::Native => Forwarding::Native,
            };
            Some((eid_prefix, forwarding))
        })
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Packets that wait, for a mapping or a session.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The longest packet that goes into a tunnel, in octets.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Changes the longest packet that goes into a tunnel, up to the 1,500 octets or the longer
    /// packet that the buffers were made for.
    pub fn set_mtu(&mut self, mtu: u16) {
        self.mtu = usize::from(mtu).clamp(usize::from(MIN_MTU), self.waiting.longest());
    }

    /// An interface's public key.
    pub fn public_key(&self, interface: Interface) -> PeerKey {
        self.peers(interface).listener.public_key()
    }

    /// Our control or link address.
    pub fn address(&self, interface: Interface) -> Ipv6Addr {
        self.peers(interface).address
    }

    pub(super) fn waiting_for(&self, slot: Slot) -> usize {
        let is_for_peer = |destination| self.routes.lookup(destination) == Some(Route::Peer(slot));
        self.waiting.iter().filter(|packet| is_for_peer(packet.destination)).count()
    }
}
