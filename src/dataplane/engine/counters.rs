//! What is counted, for `status` and metrics.

/// Packets and datagrams by what became of them; all since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Packets from the TUN.
    pub tun_packets: u64,
    /// Packets written to the TUN.
    pub tun_written: u64,
    /// Packets encrypted to data peers, LISP messages too.
    pub encapsulated: u64,
    /// Packets from data peers that passed all checks, LISP messages too.
    pub decapsulated: u64,
    /// Packets from the TUN that are not IP, or whose addresses cannot cross an overlay.
    pub not_routable: u64,
    /// Packets from the TUN whose source is not in our database.
    pub source_not_ours: u64,
    /// Packets from a peer whose source is not routed to it.
    pub source_refused: u64,
    /// Packets from a peer that are not what its tunnel carries.
    pub inner_malformed: u64,
    /// Packets that exceed the tunnel's MTU.
    pub too_big: u64,
    /// Packets that had to wait for a mapping.
    pub misses: u64,
    /// Packets that had to wait for a session.
    pub session_waits: u64,
    /// Packets that waited and then went out.
    pub waiting_sent: u64,
    /// Packets that had to leave for newer ones.
    pub waiting_overflow: u64,
    /// Packets that waited for longer than 10 s.
    pub waiting_expired: u64,
    /// Packets whose resolution failed.
    pub waiting_failed: u64,
    /// Packets to an EID-prefix that is to be dropped.
    pub route_dropped: u64,
    /// Packets to an EID-prefix that the native routing table should have taken.
    pub route_native: u64,
    /// ICMP errors sent.
    pub icmp_sent: u64,
    /// ICMP errors that the rate limit held back.
    pub icmp_limited: u64,
    /// Datagrams that are no WireGuard message.
    pub malformed: u64,
    /// Datagrams with a wrong MAC, tag, key or session.
    pub unauthentic: u64,
    /// Datagrams seen before.
    pub replayed: u64,
    /// Handshakes from keys that are no peer.
    pub unknown_peer: u64,
    /// Handshakes not looked at, or answered with a cookie, because there were too many.
    pub under_load: u64,
    /// Handshake initiations sent.
    pub initiations_sent: u64,
    /// Sessions established, renewals too.
    pub sessions: u64,
    /// LISP messages sent inside tunnels.
    pub messages_sent: u64,
    /// LISP messages received inside tunnels.
    pub messages_received: u64,
    /// LISP messages dropped because the control plane did not take them.
    pub inbox_overflow: u64,
    /// Events dropped because nobody took them.
    pub events_lost: u64,
    /// Changes of a peer's outer address that an authentic packet told.
    pub roamed: u64,
}
