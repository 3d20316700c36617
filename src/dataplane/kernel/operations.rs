//! What the kernel data plane asks of a kernel.

use control::{Duration, EidPrefix, MAX_LANES};
use linux::netlink::wireguard::{AllowedIp, Peer, PeerUpdate};
use linux::netlink::{Error, LinkStatistics};
use linux::packet::Bell;

/// One of our WireGuard interfaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Device {
    Control,
    Lane(u8),
}

impl Device {
    /// How many there can be.
    pub(super) const COUNT: usize = 1 + MAX_LANES;

    /// A number below `COUNT`.
    pub(super) fn place(self) -> usize {
        match self {
            Device::Control => 0,
            Device::Lane(lane) => 1 + usize::from(lane),
        }
    }
}

/// Lanes with their weights.
pub(super) type Hops = heapless::Vec<(u8, u8), MAX_LANES>;

/// What the kernel does with packets to a resolved EID-prefix.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Resolved {
    /// No route: they come to us.
    #[default]
    Nothing,
    /// They leave by these lanes.
    Lanes(Hops),
    /// They are dropped, and their senders told.
    Unreachable,
    /// They are left to the native routing table.
    Throw,
}

/// A kernel with WireGuard interfaces, a TUN device for misses and a routing table.
pub(crate) trait Operations {
    /// Adds, changes or removes a peer.
    fn set_peer(
        &mut self,
        device: Device,
        update: &PeerUpdate,
        allowed_ips: &mut dyn Iterator<Item = AllowedIp>,
    ) -> Result<(), Error>;

    /// Tells of every peer of an interface; nothing of it counts when it fails.
    fn peers(&mut self, device: Device, each: &mut dyn FnMut(&Peer)) -> Result<(), Error>;

    /// Makes an interface forget by which ways and from which addresses it sent to its peers;
    /// sessions and endpoints stay.
    fn forget_paths(&mut self, device: Device) -> Result<(), Error>;

    /// What the interface of a lane has carried over UDP, handshakes and empty packets too.
    fn statistics(&mut self, lane: u8) -> Result<LinkStatistics, Error>;

    /// How a lane's doorbell stands.
    fn bell(&self, lane: u8) -> Bell;

    /// Changes how a lane's doorbell stands; says whether that was possible.
    fn set_bell(&mut self, lane: u8, bell: Bell) -> bool;

    /// Whether a lane's doorbell rang: a packet left that is none of ours.
    fn take_ring(&mut self, lane: u8) -> bool;

    /// The clock that handshakes are told by: the time since 1970.
    fn wall_clock(&self) -> Duration;

    /// Sends a packet by an interface, past routing and firewall; says whether it was taken.
    fn inject(&mut self, device: Device, packet: &[u8]) -> bool;

    /// Changes what happens to an EID-prefix from `old` to `new`.
    fn set_route(
        &mut self,
        eid_prefix: &EidPrefix,
        old: &Resolved,
        new: &Resolved,
    ) -> Result<(), Error>;

    /// Takes a packet that the kernel had no route for: its length.
    fn receive_miss(&mut self, buffer: &mut [u8]) -> Option<usize>;

    /// Hands a packet to the kernel as if it came in by the device for misses; says whether it
    /// was taken.
    fn write_miss(&mut self, packet: &[u8]) -> bool;

    /// Takes a datagram that came out of a tunnel on the LISP port: whence, and its length.
    fn receive_message(
        &mut self,
        device: Device,
        buffer: &mut [u8],
    ) -> Option<(core::net::IpAddr, usize)>;
}
