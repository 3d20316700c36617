//! What is counted, for `status` and metrics.

control::counters! {
    /// Packets and datagrams by what became of them; all since the start.
    ;
    /// Packets from the TUN.
    tun_packets,
    /// Packets written to the TUN.
    tun_written,
    /// Packets encrypted to data peers, LISP messages too.
    encapsulated,
    /// Packets from data peers that passed all checks, LISP messages too.
    decapsulated,
    /// Packets from the TUN that are not IP, or whose addresses cannot cross an overlay.
    not_routable,
    /// Packets from the TUN whose source is not in our database.
    source_not_ours,
    /// Packets from a peer whose source is not routed to it.
    source_refused,
    /// Packets from a peer that are not what its tunnel carries.
    inner_malformed,
    /// Packets that exceed the tunnel's MTU.
    too_big,
    /// Packets that had to wait for a mapping.
    misses,
    /// Packets that had to wait for a session.
    session_waits,
    /// Packets that waited and then went out.
    waiting_sent,
    /// Packets that had to leave for newer ones.
    waiting_overflow,
    /// Packets that waited for longer than 10 s.
    waiting_expired,
    /// Packets whose resolution failed.
    waiting_failed,
    /// Packets to an EID-prefix that is to be dropped.
    route_dropped,
    /// Packets to an EID-prefix that the native routing table should have taken.
    route_native,
    /// ICMP errors sent.
    icmp_sent,
    /// ICMP errors that the rate limit held back.
    icmp_limited,
    /// Datagrams that are no WireGuard message.
    malformed,
    /// Datagrams with a wrong MAC, tag, key or session.
    unauthentic,
    /// Datagrams seen before.
    replayed,
    /// Handshakes from keys that are no peer.
    unknown_peer,
    /// Handshakes not looked at, or answered with a cookie, because there were too many.
    under_load,
    /// Handshake initiations sent.
    initiations_sent,
    /// Sessions established, renewals too.
    sessions,
    /// LISP messages sent inside tunnels.
    messages_sent,
    /// LISP messages received inside tunnels.
    messages_received,
    /// LISP messages dropped because the control plane did not take them.
    inbox_overflow,
    /// Events dropped because nobody took them.
    events_lost,
    /// Changes of a peer's outer address that an authentic packet told.
    roamed,
}
