//! What is sent.

/// A kind of traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Traffic {
    Tcp,
    Udp1362,
    Udp64,
}

impl Traffic {
    /// All, in the order in which they run.
    pub(super) const ALL: [Traffic; 3] = [Traffic::Tcp, Traffic::Udp1362, Traffic::Udp64];

    /// The word on the command line, in the table and in the JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Traffic::Tcp => "tcp",
            Traffic::Udp1362 => "udp-1362",
            Traffic::Udp64 => "udp-64",
        }
    }

    /// What it is, in half a line.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Traffic::Tcp => "one TCP connection, as fast as it goes",
            Traffic::Udp1362 => "UDP with 1,362 octets of payload, as fast as the way takes it",
            Traffic::Udp64 => "UDP with 64 octets of payload, as fast as the way takes it",
        }
    }

    /// The traffic of this name.
    pub(super) fn named(name: &str) -> Option<Traffic> {
        Traffic::ALL.into_iter().find(|traffic| traffic.name() == name)
    }

    /// Octets of payload in a datagram; `None` for TCP.
    pub(super) const fn datagram_len(self) -> Option<usize> {
        match self {
            Traffic::Tcp => None,
            Traffic::Udp1362 => Some(1362),
            Traffic::Udp64 => Some(64),
        }
    }

    /// Octets of payload in a packet inside a tunnel.
    pub(super) const fn packet_payload(self) -> u64 {
        match self {
            // An MTU of 1,420 octets less IPv4, TCP and its timestamps.
            Traffic::Tcp => 1368,
            Traffic::Udp1362 => 1362,
            Traffic::Udp64 => 64,
        }
    }
}
