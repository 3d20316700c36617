//! What is counted, for `status` and metrics.

control::counters! {
    /// What became of the packets that came to us, and what was asked of the kernel; all since the
    /// start. What is resolved is not among them.
    ;
    /// Packets that the kernel had no route for.
    tun_packets,
    /// Packets sent past the kernel's routing: those that waited, and those that were late.
    encapsulated,
    /// Of them, packets that were on their way to us while the route changed, so that packets
    /// sent later may have overtaken them.
    overtaken,
    /// Packets that are not IP, or whose addresses cannot cross an overlay.
    not_routable,
    /// Packets whose source is not in our database.
    source_not_ours,
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
    /// Packets that a device did not take.
    send_failed,
    /// Handshakes that we began.
    initiations_sent,
    /// Peers made anew, so that the kernel begins another handshake at once.
    peers_renewed,
    /// Peers that somebody else removed; they were put back.
    peers_vanished,
    /// Sessions established, renewals too.
    sessions,
    /// Times that the kernel was asked about the peers of an interface.
    listings,
    /// Times that a data interface's counters were read, while packets went out by it.
    looks,
    /// Times that the kernel was asked whose packets went, as several peers' did.
    surveys,
    /// Times that the first packet after a time without any woke us.
    doorbells,
    /// Requests that made an interface forget the ways to its peers.
    path_requests,
    /// Requests that changed a peer.
    peer_requests,
    /// Requests that changed a route.
    route_requests,
    /// Requests that the kernel refused, where nobody else is told.
    refused,
    /// LISP messages sent inside tunnels.
    messages_sent,
    /// LISP messages received inside tunnels.
    messages_received,
    /// Datagrams on a tunnel's LISP port from no peer.
    unknown_peer,
    /// LISP messages dropped because the control plane did not take them.
    inbox_overflow,
    /// Events dropped because nobody took them.
    events_lost,
    /// Changes of a peer's outer address that it told itself.
    roamed,
}
