//! The data plane that a node runs, whichever it is.
// One of the two has this error already.
#![allow(clippy::useless_conversion)]

use core::fmt;
use core::net::Ipv6Addr;
use std::os::fd::BorrowedFd;

use control::{Change, EidPrefix, Instant, PeerKey};

use crate::{Channel, ControlPeer, DataPlane, EngineError, Event, Interface, PeerStatus, Source};

/// WireGuard in the kernel or in user space; a process has one.
#[allow(clippy::large_enum_variant)]
pub enum Backend {
    /// Resolved packets never leave the kernel.
    #[cfg(feature = "kernel")]
    Kernel(crate::kernel::Kernel),
    /// Needs no module.
    #[cfg(feature = "userspace")]
    Userspace(crate::userspace::Userspace),
}

/// Why a step was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlaneError {
    /// By the data plane's own rules.
    Engine(EngineError),
    /// The kernel does not take a peer.
    Peer(PeerKey, Box<linux::netlink::Error>),
    /// The kernel does not take a route.
    Route(EidPrefix, Box<linux::netlink::Error>),
    /// The kernel does not take an MTU.
    Mtu(Box<linux::netlink::Error>),
}

/// Evaluates an expression with whichever data plane there is.
macro_rules! with {
    ($backend:expr, $plane:ident => $result:expr) => {
        match $backend {
            #[cfg(feature = "kernel")]
            Backend::Kernel($plane) => $result,
            #[cfg(feature = "userspace")]
            Backend::Userspace($plane) => $result,
        }
    };
}

impl Backend {
    /// WireGuard in the kernel, where it is that.
    #[cfg(feature = "kernel")]
    pub fn as_kernel(&self) -> Option<&crate::kernel::Kernel> {
        match self {
            Backend::Kernel(kernel) => Some(kernel),
            #[cfg(feature = "userspace")]
            Backend::Userspace(_) => None,
        }
    }

    /// WireGuard in the kernel, where it is that.
    #[cfg(feature = "kernel")]
    pub fn as_kernel_mut(&mut self) -> Option<&mut crate::kernel::Kernel> {
        match self {
            Backend::Kernel(kernel) => Some(kernel),
            #[cfg(feature = "userspace")]
            Backend::Userspace(_) => None,
        }
    }

    /// `kernel` or `userspace`, as `option dataplane` has it.
    pub fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "kernel")]
            Backend::Kernel(_) => "kernel",
            #[cfg(feature = "userspace")]
            Backend::Userspace(_) => "userspace",
        }
    }

    /// The descriptors to watch for reading, level-triggered.
    pub fn sources(&self) -> Box<dyn Iterator<Item = (Source, BorrowedFd<'_>)> + '_> {
        with!(self, plane => Box::new(plane.sources()))
    }

    /// Handles some of what a descriptor that is ready has. Events and messages are to be taken
    /// after it.
    pub fn handle_ready(&mut self, source: Source, now: Instant) {
        with!(self, plane => plane.handle_ready(source, now));
    }

    /// The UDP port that an interface is bound to, lane 0 for data; `None` when there is none.
    pub fn port(&self, interface: Interface) -> Option<u16> {
        with!(self, plane => plane.port(interface))
    }

    /// The public key of an interface, lane 0 for data.
    pub fn public_key(&self, interface: Interface) -> PeerKey {
        with!(self, plane => plane.public_key(interface))
    }

    /// Lane, public key and UDP port of each data interface.
    pub fn data_keys(&self) -> Box<dyn Iterator<Item = (u8, PeerKey, u16)> + '_> {
        with!(self, plane => Box::new(plane.data_keys()))
    }

    /// Our control address, or our link address on lane 0.
    pub fn address(&self, interface: Interface) -> Ipv6Addr {
        with!(self, plane => plane.address(interface))
    }

    /// The longest packet that goes into a tunnel, in octets.
    pub fn mtu(&self) -> usize {
        with!(self, plane => plane.mtu())
    }

    /// Changes the longest packet that goes into a tunnel, up to the 1,500 octets or the longer
    /// packet that it began with.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_mtu(&mut self, mtu: u16) -> Result<(), PlaneError> {
        with!(self, plane => plane.set_mtu(mtu))
    }

    /// Replaces the EID-prefixes whose sources may enter the overlay.
    ///
    /// # Errors
    /// When there are more than the configured places; the first ones are in force then.
    pub fn set_database(&mut self, eid_prefixes: &[EidPrefix]) -> Result<(), PlaneError> {
        with!(self, plane => plane.set_database(eid_prefixes).map_err(PlaneError::from))
    }

    /// Asks the kernel what its peers did, so that `peer_status` shows this moment.
    pub fn refresh_status(&mut self, now: Instant) {
        match self {
            #[cfg(feature = "kernel")]
            Backend::Kernel(plane) => plane.refresh_status(now),
            #[cfg(feature = "userspace")]
            Backend::Userspace(_) => {
                let _ = now;
            }
        }
    }

    /// The peers of an interface, all lanes, sorted by key.
    pub fn peer_status(&self, interface: Interface) -> Box<dyn Iterator<Item = PeerStatus> + '_> {
        with!(self, plane => Box::new(plane.peer_status(interface)))
    }

    /// What was counted since the start, with names.
    pub fn counters(&self) -> control::counters::Listed {
        with!(self, plane => plane.counters())
    }

    /// The index of the device that the EID-space is routed to; `None` without a data side.
    pub fn overlay_index(&self) -> Option<u32> {
        with!(self, plane => plane.overlay_index())
    }

    /// The index of the device that EIDs of our own are put on; `None` without a data side.
    pub fn data_index(&self) -> Option<u32> {
        with!(self, plane => plane.data_index())
    }
}

impl DataPlane for Backend {
    type Error = PlaneError;

    fn set_control_peer(&mut self, peer: &ControlPeer, now: Instant) -> Result<(), PlaneError> {
        with!(self, plane => plane.set_control_peer(peer, now).map_err(PlaneError::from))
    }

    fn remove_control_peer(&mut self, peer: PeerKey) {
        with!(self, plane => plane.remove_control_peer(peer));
    }

    fn apply(&mut self, change: &Change, now: Instant) -> Result<(), PlaneError> {
        with!(self, plane => plane.apply(change, now).map_err(PlaneError::from))
    }

    fn send_control(
        &mut self,
        channel: Channel,
        peer: PeerKey,
        datagram: &[u8],
        now: Instant,
    ) -> Result<(), PlaneError> {
        with!(self, plane => {
            plane.send_control(channel, peer, datagram, now).map_err(PlaneError::from)
        })
    }

    fn receive_control(&mut self, buf: &mut [u8]) -> Option<(Channel, PeerKey, usize)> {
        with!(self, plane => plane.receive_control(buf))
    }

    fn handle_uplink_change(&mut self, now: Instant) {
        with!(self, plane => plane.handle_uplink_change(now));
    }

    fn handle_clock_step(&mut self, now: Instant) {
        with!(self, plane => plane.handle_clock_step(now));
    }

    fn handle_timeout(&mut self, now: Instant) {
        with!(self, plane => plane.handle_timeout(now));
    }

    fn poll_event(&mut self) -> Option<Event> {
        with!(self, plane => plane.poll_event())
    }

    fn poll_at(&self) -> Option<Instant> {
        with!(self, plane => plane.poll_at())
    }
}

impl From<EngineError> for PlaneError {
    fn from(error: EngineError) -> PlaneError {
        PlaneError::Engine(error)
    }
}

impl fmt::Display for PlaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlaneError::Engine(error) => error.fmt(f),
            PlaneError::Peer(key, error) => write!(f, "the kernel refuses peer {key}: {error}"),
            PlaneError::Route(prefix, error) => {
                write!(f, "the kernel refuses the route to {prefix}: {error}")
            }
            PlaneError::Mtu(error) => write!(f, "the kernel refuses the MTU: {error}"),
        }
    }
}

impl core::error::Error for PlaneError {}
