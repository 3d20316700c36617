//! What forwards: one trait, with WireGuard in the kernel, in user space or a model in memory behind it.
#![forbid(unsafe_code)]

use core::net::SocketAddr;

#[cfg(any(feature = "kernel", feature = "userspace"))]
mod backend;
mod engine;
#[cfg(feature = "kernel")]
pub mod kernel;
#[cfg(feature = "memory")]
pub mod memory;
mod plane;
mod source;
#[cfg(feature = "userspace")]
pub mod userspace;

#[cfg(any(feature = "kernel", feature = "userspace"))]
pub use backend::{Backend, PlaneError};
pub use engine::{
    Counters, DATA_OVERHEAD, Engine, EngineConfig, EngineError, INITIATION_LEN, Interface, Io,
    Listener, MessageKind, PeerStatus, Received, Refusal, Sender, Tunnel, receiver_index,
    sender_index,
};
pub use plane::Plane;
pub use source::Source;

use control::{Change, Duration, Eid, Instant, PeerKey, Side};

/// Which tunnels a LISP message travels in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// Between control addresses; the peer is named by its control key.
    Control,
    /// Between link addresses of data peers; the peer is named by its data key.
    Link,
}

/// A control peer: a Map-Server for an xTR, a site for a Map-Server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlPeer {
    /// Its public control key.
    pub key: PeerKey,
    /// Where to send; `None` waits until the peer is heard.
    pub endpoint: Option<SocketAddr>,
    /// Who initiates: an xTR towards its Map-Server does, and retries until it is answered.
    pub side: Side,
    /// Keeps a NAT binding; normally `None`.
    pub persistent_keepalive: Option<Duration>,
    /// Overrides the derived control address.
    pub address: Option<core::net::Ipv6Addr>,
}

/// What the data plane saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A packet has no route; it waits, or was dropped when too many wait. Told once per
    /// destination until a route, a failure or a drop answers it, and again after 10 s.
    Miss {
        /// The packet's source.
        source: Eid,
        /// The packet's destination.
        destination: Eid,
    },
    /// A control session stands (again).
    ControlSession {
        /// The control key.
        peer: PeerKey,
        /// The outer address it comes from.
        endpoint: SocketAddr,
        /// Our part in the handshake.
        side: Side,
        /// The handshake's round trip, where we initiated.
        round_trip: Option<Duration>,
    },
    /// Three handshakes in a row got no answer, or the session's keys expired; told again, rarer
    /// and rarer, while tries go on.
    ControlLost {
        /// The control key.
        peer: PeerKey,
    },
    /// An authenticated packet came from a new outer address.
    ControlRoamed {
        /// The control key.
        peer: PeerKey,
        /// The new outer address.
        endpoint: SocketAddr,
    },
    /// A data session stands (again); what waited for it is on its way.
    DataSession {
        /// The data key.
        peer: PeerKey,
        /// Our part in the handshake.
        side: Side,
    },
    /// Several handshakes in a row got no answer: what we know of the peer may be out of date.
    DataLost {
        /// The data key.
        peer: PeerKey,
    },
    /// Data went out to this peer and for [`EngineConfig::silence`] nothing came back. Told again
    /// after each further such time while data goes out and nothing comes. Keepalives, handshakes
    /// and LISP messages of ours are no data; whatever authentic comes from the peer ends it.
    Silent {
        /// The data key.
        peer: PeerKey,
    },
    /// Data was received from this peer, or it answered what was sent to it; told at most once
    /// every 10 s per peer.
    Traffic {
        /// The data key.
        peer: PeerKey,
    },
}

/// A data plane: it forwards packets and carries control messages.
pub trait DataPlane {
    /// Why a step was refused.
    type Error: core::error::Error;

    /// Adds or changes a control peer; a session stays when only the endpoint changes.
    ///
    /// # Errors
    /// When there are too many.
    fn set_control_peer(&mut self, peer: &ControlPeer, now: Instant) -> Result<(), Self::Error>;

    /// Removes a control peer.
    fn remove_control_peer(&mut self, peer: PeerKey);

    /// Applies one step of the control plane.
    ///
    /// # Errors
    /// When a table is full or a peer unknown; nothing has changed then.
    fn apply(&mut self, change: &Change, now: Instant) -> Result<(), Self::Error>;

    /// Sends a LISP message inside the tunnel to `peer`.
    ///
    /// # Errors
    /// When the peer is unknown or no session with it stands, or the message is too long.
    fn send_control(
        &mut self,
        channel: Channel,
        peer: PeerKey,
        datagram: &[u8],
        now: Instant,
    ) -> Result<(), Self::Error>;

    /// Takes the next LISP message that came out of a tunnel: its peer and length. Nothing comes
    /// while an event waits: a session is known when its first message is read.
    fn receive_control(&mut self, buf: &mut [u8]) -> Option<(Channel, PeerKey, usize)>;

    /// An uplink changed: an authenticated packet goes to every live peer at once, the most
    /// recently active first, and control tunnels without a session start a handshake.
    fn handle_uplink_change(&mut self, now: Instant);

    /// The wall clock was stepped: control peers forget what the old clock said and start again.
    fn handle_clock_step(&mut self, now: Instant);

    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant);

    /// What was seen since the last call.
    fn poll_event(&mut self) -> Option<Event>;

    /// When to call `handle_timeout`.
    fn poll_at(&self) -> Option<Instant>;
}
