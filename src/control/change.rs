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
    /// The peer's public data key, unique over all lanes.
    pub key: PeerKey,
    /// Which interface of ours it is on: lane k of ours pairs with lane k of theirs.
    pub lane: u8,
    /// Where to send; `None` leaves an endpoint learnt by roaming as it is.
    pub endpoint: Option<SocketAddr>,
    /// Who initiates the session.
    pub side: Side,
    /// Interval of empty packets that keep a NAT binding; `None` sends none.
    pub persistent_keepalive: Option<Duration>,
}

/// Data interfaces of one node, each with a key of its own: what flows are spread over.
pub const MAX_LANES: usize = 4;

/// The data peers that share the flows to an EID-prefix: two to [`MAX_LANES`], one per lane.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    rows: [(u8, PeerKey, u8); MAX_LANES],
    len: u8,
}

impl Lanes {
    /// Peers given as lane, key and weight, sorted by lane; `None` when they are fewer than two or
    /// more than [`MAX_LANES`], or when a lane or a key stands twice. Without any weight they share
    /// equally.
    pub fn new(peers: &[(u8, PeerKey, u8)]) -> Option<Lanes> {
        let mut rows = [(0, PeerKey([0; 32]), 0); MAX_LANES];
        rows.get_mut(..peers.len())?.copy_from_slice(peers);
        rows[..peers.len()].sort_unstable_by_key(|(lane, ..)| *lane);
        let is_new = |(place, (lane, key, _)): (usize, &(u8, PeerKey, u8))| {
            rows[..place].iter().all(|(other, known, _)| other != lane && known != key)
        };
        let are_distinct = rows[..peers.len()].iter().enumerate().all(is_new);
        if rows.iter().all(|(.., weight)| *weight == 0) {
            rows[..peers.len()].iter_mut().for_each(|(.., weight)| *weight = 1);
        }
        (peers.len() > 1 && are_distinct).then_some(Lanes { rows, len: peers.len() as u8 })
    }

    /// Lane, key and weight of each peer, the lowest lane first. Weights are shares; they are not
    /// all 0. A peer of weight 0 is accepted from, and sent to only when no other can be.
    pub fn iter(&self) -> impl Iterator<Item = (u8, PeerKey, u8)> {
        self.rows().iter().copied()
    }

    fn rows(&self) -> &[(u8, PeerKey, u8)] {
        &self.rows[..self.len.into()]
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What happens to packets for an EID-prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forwarding {
    /// Encapsulate to this data peer, and accept the prefix as a source from it only.
    Peer(PeerKey),
    /// Spread flows over these data peers, and accept the prefix as a source from all of them.
    Lanes(Lanes),
    /// Drop, and tell the sender by ICMP unreachable.
    Drop,
    /// Leave to the native routing table.
    Native,
}

impl Forwarding {
    /// Whether packets go to this data peer, alone or among others.
    pub fn leads_to(&self, key: &PeerKey) -> bool {
        self.peers().any(|peer| peer == key)
    }
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

impl Forwarding {
    /// The data peers that packets may go to and come from; none when there is no way.
    pub fn peers(&self) -> impl Iterator<Item = &PeerKey> {
        self.shares().map(|(peer, _)| peer)
    }

    /// The one of these that has this number.
    pub fn peer(&self, number: usize) -> Option<&PeerKey> {
        self.share(number).map(|(peer, _)| peer)
    }

    /// The same with their weights; a single one has a weight of 1.
    pub fn shares(&self) -> impl Iterator<Item = (&PeerKey, u8)> {
        (0..MAX_LANES).map_while(|number| self.share(number))
    }

    fn share(&self, number: usize) -> Option<(&PeerKey, u8)> {
        match self {
            Forwarding::Peer(peer) => (number == 0).then_some((peer, 1)),
            Forwarding::Lanes(lanes) => {
                lanes.rows().get(number).map(|(_, peer, weight)| (peer, *weight))
            }
            Forwarding::Drop | Forwarding::Native => None,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::SetPeer(peer) => {
                write!(f, "set peer {} on lane {}", peer.key, peer.lane)?;
                f.write_str(match peer.side {
                    Side::Initiator => ", we initiate",
                    Side::Responder => "",
                })?;
                if let Some(endpoint) = peer.endpoint {
                    write!(f, ", at {endpoint}")?;
                }
                write_keepalive(f, peer.persistent_keepalive)
            }
            Change::RemovePeer(key) => write!(f, "remove peer {key}"),
            Change::SetRoute { eid_prefix, forwarding } => {
                write!(f, "set route {eid_prefix}: {forwarding}")
            }
            Change::RemoveRoute(eid_prefix) => write!(f, "remove route {eid_prefix}"),
            Change::FailWaiting(eid) => write!(f, "fail what waits for {eid}"),
            Change::ResetControlPeer(key) => write!(f, "reset control peer {key}"),
            Change::InitiateControl(key) => write!(f, "initiate with control peer {key}"),
            Change::SetControlKeepalive(key, keepalive) => {
                write!(f, "control peer {key}")?;
                write_keepalive(f, *keepalive)
            }
        }
    }
}

fn write_keepalive(f: &mut fmt::Formatter<'_>, keepalive: Option<Duration>) -> fmt::Result {
    match keepalive {
        Some(interval) => write!(f, ", keepalive {} s", interval.as_secs()),
        None => f.write_str(", no keepalive"),
    }
}

impl fmt::Display for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Forwarding::Peer(key) => write!(f, "peer {key}"),
            Forwarding::Lanes(lanes) => {
                f.write_str("peers")?;
                lanes.iter().try_for_each(|(_, key, weight)| write!(f, " {key} weight {weight}"))
            }
            Forwarding::Drop => f.write_str("drop"),
            Forwarding::Native => f.write_str("native"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use std::vec::Vec;

    const A: PeerKey = PeerKey([0; 32]);
    const B: PeerKey = PeerKey([2; 32]);

    #[test]
    fn lanes_are_two_to_four_distinct_ones_sorted() {
        let lanes = Lanes::new(&[(1, B, 25), (0, A, 75)]).unwrap();
        assert_eq!(lanes.iter().collect::<Vec<_>>(), [(0, A, 75), (1, B, 25)]);
        let forwarding = Forwarding::Lanes(lanes);
        assert_eq!(forwarding.peers().collect::<Vec<_>>(), [&A, &B]);
        assert!(forwarding.to_string().ends_with("gI= weight 25"));
        assert_eq!(Forwarding::Peer(B).peers().collect::<Vec<_>>(), [&B]);
        assert_eq!(Forwarding::Drop.peers().next(), None);
        let none: [&[_]; 4] = [&[(0, A, 1)], &[(0, A, 1), (0, B, 1)], &[(0, A, 1), (1, A, 1)], &[]];
        assert!(none.iter().all(|peers| Lanes::new(peers).is_none()));
        let many: [_; MAX_LANES + 1] =
            core::array::from_fn(|place| (place as u8, PeerKey([place as u8; 32]), 1));
        assert!(Lanes::new(&many).is_none() && Lanes::new(&many[1..]).is_some());
    }

    #[test]
    fn lanes_without_weights_share_equally() {
        let equal = Lanes::new(&[(0, A, 0), (1, B, 0)]);
        assert_eq!(equal, Lanes::new(&[(0, A, 1), (1, B, 1)]));
        let second = Lanes::new(&[(0, A, 0), (1, B, 9)]).unwrap();
        assert_eq!(second.iter().next(), Some((0, A, 0)));
    }
}
