//! WireGuard in the kernel, told by netlink who, where and with which key: packets to resolved
//! EIDs never come here.
//!
//! What the kernel has no session for is routed to a TUN device. It waits here until a session
//! stands, leaves by a packet socket, and then the kernel gets a route. A packet that is given to
//! a peer of the kernel makes it initiate, and in the kernel initiations that cross cancel each
//! other, so that a peer gets none before its session stands or it is our turn.

mod adopt;
mod changes;
mod counters;
mod error;
mod host;
mod machine;
mod messages;
mod misses;
mod moves;
mod open;
mod operations;
mod peers;
mod remains;
mod route_table;
mod routes;
mod sessions;
mod silence;
mod status;
#[cfg(test)]
mod tests;
mod watch;

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;

use control::{Change, EidPrefix, Forwarding, Instant, MAX_LANES, PeerKey};
use x25519_dalek::StaticSecret;

pub use self::counters::Counters;
pub use self::error::KernelError;
use self::host::Host;
use self::machine::Machine;
use self::operations::Device;
pub use self::remains::{remove, remove_links};
use crate::{
    Channel, ControlPeer, DataPlane, EngineConfig, Event, Interface, PeerStatus, PlaneError, Source,
};

/// The alias of the interfaces that lispguard made.
pub const ALIAS: &str = "lispguard";

/// The protocol of the routes and rules that lispguard made (`RTA_PROTOCOL`).
pub const ROUTE_PROTOCOL: u8 = 76;

/// What routes of ours have where the table is the main one: worse than what others put there.
pub const RESOLVED_METRIC: u32 = 4342;

/// What the kernel data plane is made from.
pub struct KernelConfig {
    /// The private control key.
    pub control_private_key: StaticSecret,
    /// UDP port of the control tunnels; 0 lets the kernel choose.
    pub control_port: u16,
    /// Name of the control interface.
    pub control_device: String,
    /// Our control address, where it is not derived from the key.
    pub control_address: Option<Ipv6Addr>,
    /// The data side; `None` for a Map-Server that forwards nothing.
    pub data: Option<KernelDataConfig>,
    /// Firewall mark of what the control tunnels send; 0 is none.
    pub fwmark: u32,
    /// Table sizes and the tunnels' MTU.
    pub engine: EngineConfig,
}

/// The data interfaces, the device for misses and the table of what is resolved.
pub struct KernelDataConfig {
    /// One to [`MAX_LANES`] data interfaces; the place is the lane.
    pub lanes: Vec<LaneConfig>,
    /// Name of the TUN device for what is not resolved.
    pub miss_device: String,
    /// The routing table for what is resolved, ours alone.
    pub resolved_table: u32,
    /// Our EID-prefixes.
    pub database: Vec<EidPrefix>,
    /// Whether data interfaces that stand get new keys, which ends their sessions.
    pub rotate_keys: bool,
}

/// One data interface.
pub struct LaneConfig {
    /// Its name.
    pub device: String,
    /// UDP port of its tunnels; 0 lets the kernel choose.
    pub port: u16,
    /// Firewall mark of what its tunnels send; 0 is none.
    pub fwmark: u32,
}

/// What an earlier run left and this one goes on with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adopted {
    /// The EID-prefix.
    pub eid_prefix: EidPrefix,
    /// Where its packets go.
    pub forwarding: Forwarding,
    /// Lane, key and endpoint of each peer.
    pub peers: heapless::Vec<(u8, PeerKey, Option<SocketAddr>), MAX_LANES>,
}

/// The data plane of the kernel. Dropped, it leaves everything in place for the next run.
pub struct Kernel {
    machine: Machine<Host>,
}

impl Kernel {
    /// Makes the interfaces, or takes over those that an earlier run made, with their keys, peers
    /// and routes. Addresses for EIDs, the routes of the EID-space and rules are the caller's.
    ///
    /// # Errors
    /// When the kernel lacks WireGuard or refuses, a name or port is taken, or another lispguard
    /// runs; what was made before the refusal is removed again.
    pub fn new(config: KernelConfig) -> Result<Kernel, KernelError> {
        let now = Instant::from_micros(linux::clock::monotonic_micros());
        open::open(&config, now).map(|machine| Kernel { machine })
    }

    /// Whether the kernel has WireGuard; asking loads its module.
    pub fn is_available() -> bool {
        open::is_available()
    }

    /// The descriptors to watch for reading, level-triggered.
    pub fn sources(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>)> {
        self.machine.operations().sources()
    }

    /// Handles up to 64 packets or messages of a descriptor that is ready. Events and messages
    /// are to be taken after it.
    pub fn handle_ready(&mut self, source: Source, now: Instant) {
        match source {
            Source::Tun => self.machine.handle_misses(now),
            Source::Messages { interface: Interface::Control, .. } => {
                self.machine.handle_messages(Device::Control, now);
            }
            Source::Messages { interface: Interface::Data, lane } => {
                self.machine.handle_messages(Device::Lane(lane), now);
            }
            Source::Doorbell { lane } => self.machine.handle_doorbell(lane, now),
            Source::Socket { .. } => {}
        }
    }

    /// What stood when this run began: the EID-prefixes that are routed to peers.
    pub fn adopted(&self) -> impl Iterator<Item = Adopted> {
        self.machine.adopted()
    }

    /// The UDP port of an interface, lane 0 for data.
    pub fn port(&self, interface: Interface) -> Option<u16> {
        self.machine.operations().port(match interface {
            Interface::Control => Device::Control,
            Interface::Data => Device::Lane(0),
        })
    }

    /// The public key of an interface, lane 0 for data; zeroes when there is no data side.
    pub fn public_key(&self, interface: Interface) -> PeerKey {
        self.machine.public_key(interface)
    }

    /// Lane, public key and UDP port of each data interface.
    pub fn data_keys(&self) -> impl Iterator<Item = (u8, PeerKey, u16)> {
        let keys = self.machine.lane_keys();
        keys.filter_map(|(lane, key)| {
            Some((lane, key, self.machine.operations().port(Device::Lane(lane))?))
        })
    }

    /// Our control address, or our link address on lane 0.
    pub fn address(&self, interface: Interface) -> Ipv6Addr {
        self.machine.address(interface)
    }

    /// The longest packet that goes into a tunnel, in octets.
    pub fn mtu(&self) -> usize {
        self.machine.mtu()
    }

    /// Changes the longest packet that goes into a tunnel, of all interfaces.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_mtu(&mut self, mtu: u16) -> Result<(), PlaneError> {
        self.machine.set_mtu(mtu);
        let mtu = self.machine.mtu() as u32;
        self.machine.operations_mut().set_mtu(mtu).map_err(|error| PlaneError::Mtu(error.into()))
    }

    /// Sets the addresses that what this machine sends to resolved EIDs comes from.
    ///
    /// # Errors
    /// When the kernel refuses a route; the others are changed then.
    pub fn set_route_sources(
        &mut self,
        v4: Option<Ipv4Addr>,
        v6: Option<Ipv6Addr>,
    ) -> Result<(), PlaneError> {
        if self.machine.operations_mut().set_sources(v4, v6) {
            return self.machine.rewrite_routes();
        }
        Ok(())
    }

    /// Replaces the EID-prefixes whose sources may enter the overlay.
    ///
    /// # Errors
    /// When there are more than the configured places; the first ones are in force then.
    pub fn set_database(&mut self, eid_prefixes: &[EidPrefix]) -> Result<(), PlaneError> {
        self.machine.set_database(eid_prefixes)
    }

    /// The interface index of the TUN device for misses.
    pub fn miss_index(&self) -> Option<u32> {
        self.machine.operations().miss_index()
    }

    /// The interface index of a lane.
    pub fn lane_index(&self, lane: u8) -> Option<u32> {
        self.machine.operations().index(Device::Lane(lane))
    }

    /// The interface index of the control interface.
    pub fn control_index(&self) -> Option<u32> {
        self.machine.operations().index(Device::Control)
    }

    /// The index of the device that the EID-space is routed to: that for misses.
    pub fn overlay_index(&self) -> Option<u32> {
        self.miss_index()
    }

    /// The index of the device that EIDs of our own are put on: lane 0's.
    pub fn data_index(&self) -> Option<u32> {
        self.lane_index(0)
    }

    /// The devices whose reverse path filter is strict and cannot be loosened: it drops what comes
    /// in from EIDs.
    pub fn strictly_filtered(&self) -> impl Iterator<Item = &str> {
        self.machine.operations().strictly_filtered()
    }

    /// Asks the kernel what its peers did, so that `peer_status` shows this moment.
    pub fn refresh_status(&mut self, now: Instant) {
        self.machine.refresh(now);
    }

    /// The peers of an interface, all lanes, sorted by key, as the kernel told of them last.
    pub fn peer_status(&self, interface: Interface) -> impl Iterator<Item = PeerStatus> {
        self.machine.peer_status(interface)
    }

    /// The resolved EID-prefixes, sorted.
    pub fn routes(&self) -> impl Iterator<Item = (&EidPrefix, Forwarding)> {
        self.machine.routes()
    }

    /// Packets that wait, for a mapping or a session.
    pub fn waiting(&self) -> usize {
        self.machine.waiting()
    }

    /// What was counted since the start, with names.
    pub fn counters(&self) -> control::counters::Listed {
        self.machine.counters().iter()
    }

    /// What was counted since the start.
    pub fn all_counters(&self) -> &Counters {
        self.machine.counters()
    }
}

impl DataPlane for Kernel {
    type Error = PlaneError;

    fn set_control_peer(&mut self, peer: &ControlPeer, now: Instant) -> Result<(), PlaneError> {
        self.machine.set_control_peer(peer, now)
    }

    fn remove_control_peer(&mut self, peer: PeerKey) {
        self.machine.remove_control_peer(peer);
    }

    fn apply(&mut self, change: &Change, now: Instant) -> Result<(), PlaneError> {
        self.machine.apply(change, now)
    }

    fn send_control(
        &mut self,
        channel: Channel,
        peer: PeerKey,
        datagram: &[u8],
        now: Instant,
    ) -> Result<(), PlaneError> {
        self.machine.send_control(channel, peer, datagram, now)
    }

    fn receive_control(&mut self, buf: &mut [u8]) -> Option<(Channel, PeerKey, usize)> {
        self.machine.receive_control(buf)
    }

    fn handle_uplink_change(&mut self, now: Instant) {
        self.machine.handle_uplink_change(now);
    }

    fn handle_clock_step(&mut self, now: Instant) {
        self.machine.handle_clock_step(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.machine.poll_event()
    }

    fn poll_at(&self) -> Option<Instant> {
        self.machine.poll_at()
    }
}
