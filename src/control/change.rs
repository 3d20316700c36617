//! What the control plane asks of the data plane.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::{EidPrefix, PeerKey};

/// Which side of a WireGuard session sends the handshake initiation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// We initiate, at once.
    Initiator,
    /// We only install the peer; we initiate when packets have waited in vain.
    Responder,
}

/// A data peer as the mapping system describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerConfig {
    /// The peer's public data key.
    pub key: PeerKey,
    /// Where to send; `None` leaves an endpoint learnt by roaming as it is.
    pub endpoint: Option<SocketAddr>,
    /// Who initiates the session.
    pub side: Side,
    /// Interval of empty packets that keep a NAT binding; `None` sends none.
    pub persistent_keepalive: Option<Duration>,
}

/// What happens to packets for an EID-prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forwarding {
    /// Encapsulate to this data peer, and accept the prefix as a source from it only.
    Peer(PeerKey),
    /// Drop, and tell the sender by ICMP unreachable.
    Drop,
    /// Leave to the native routing table.
    Native,
}

/// One step for the data plane, to be applied in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Add a data peer, or change its endpoint, side or keepalive; a session stays.
    SetPeer(PeerConfig),
    /// Remove a data peer; no route leads to it any more.
    RemovePeer(PeerKey),
    /// Forward an EID-prefix; replaces what was set for the same prefix.
    SetRoute {
        /// The EID-prefix.
        eid_prefix: EidPrefix,
        /// Where its packets go.
        forwarding: Forwarding,
    },
    /// Forget an EID-prefix: packets to it are misses again.
    RemoveRoute(EidPrefix),
    /// Drop the packets that wait for this EID: its resolution failed.
    FailWaiting(crate::Eid),
    /// Forget all state of a control peer, its last handshake timestamp too, and install it again.
    ResetControlPeer(PeerKey),
    /// Start a handshake with a control peer now.
    InitiateControl(PeerKey),
    /// Keep the NAT binding of a control tunnel alive; `None` stops.
    SetControlKeepalive(PeerKey, Option<Duration>),
}

impl fmt::Display for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Forwarding::Peer(key) => write!(f, "peer {key}"),
            Forwarding::Drop => f.write_str("drop"),
            Forwarding::Native => f.write_str("native"),
        }
    }
}
