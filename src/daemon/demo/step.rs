//! The steps by name.

/// One step of the demo, in the order in which they are done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Tunnels,
    Registered,
    FirstPacket,
    Ping,
    Tcp,
    Phone,
    Handover,
    Underlay,
    Table,
}

impl Step {
    pub(super) const ALL: [Step; 9] = [
        Step::Tunnels,
        Step::Registered,
        Step::FirstPacket,
        Step::Ping,
        Step::Tcp,
        Step::Phone,
        Step::Handover,
        Step::Underlay,
        Step::Table,
    ];

    /// The word on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Step::Tunnels => "tunnels",
            Step::Registered => "registered",
            Step::FirstPacket => "first-packet",
            Step::Ping => "ping",
            Step::Tcp => "tcp",
            Step::Phone => "phone",
            Step::Handover => "handover",
            Step::Underlay => "underlay",
            Step::Table => "table",
        }
    }

    /// What it does, in half a line.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Step::Tunnels => "start the nodes; every control tunnel comes up",
            Step::Registered => "every EID-prefix is registered",
            Step::FirstPacket => "home to office before any mapping exists; none is lost",
            Step::Ping => "IPv4, IPv6 and the second prefix, from both sides",
            Step::Tcp => "a TCP transfer home to office, with its rate",
            Step::Phone => "phone and home reach each other, IPv4 and IPv6",
            Step::Handover => "phone moves from ap1 to ap2 under an echo every millisecond",
            Step::Underlay => "what the underlay router saw: WireGuard and nothing in clear",
            Step::Table => "the Map-Server's table",
        }
    }

    /// Whether all other steps need it.
    pub(super) const fn is_foundation(self) -> bool {
        matches!(self, Step::Tunnels | Step::Registered)
    }

    /// The step of this name.
    pub(super) fn named(name: &str) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.name() == name)
    }
}
