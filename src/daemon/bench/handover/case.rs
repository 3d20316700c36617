//! What happens to the nodes, and what forwards.

use std::time::Duration;

/// A pattern of link events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Case {
    LinkDown,
    CarrierLoss,
    Roam,
    Silent,
    MakeBeforeBreak,
    PingPong,
    BothEnds,
}

impl Case {
    /// All, in the order in which they are run and told.
    pub(super) const ALL: [Case; 7] = [
        Case::LinkDown,
        Case::CarrierLoss,
        Case::Roam,
        Case::Silent,
        Case::MakeBeforeBreak,
        Case::PingPong,
        Case::BothEnds,
    ];

    /// The word on the command line, in the table and in the JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Case::LinkDown => "link-down",
            Case::CarrierLoss => "carrier-loss",
            Case::Roam => "roam",
            Case::Silent => "silent",
            Case::MakeBeforeBreak => "make-before-break",
            Case::PingPong => "ping-pong",
            Case::BothEnds => "both-ends",
        }
    }

    /// What it is, in half a line.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Case::LinkDown => "the phone's better uplink is taken down; another is up",
            Case::CarrierLoss => "its other end is taken down; another uplink is up",
            Case::Roam => "one uplink gets a new address and gateway",
            Case::Silent => "nothing passes the access point; the link stays up",
            Case::MakeBeforeBreak => "a better uplink comes up, 3 s later the first goes",
            Case::PingPong => "every 2 s to the other access point, four times",
            Case::BothEnds => "phone and home lose their better uplinks together",
        }
    }

    /// The case of this name.
    pub(super) fn named(name: &str) -> Option<Case> {
        Case::ALL.into_iter().find(|case| case.name() == name)
    }

    /// How long after the last event echoes are looked at, at the least.
    pub(super) const fn watch(self) -> Duration {
        match self {
            Case::Silent => Duration::from_millis(1500),
            _ => Duration::from_secs(1),
        }
    }

    /// Whether the phone's second uplink is up from the beginning, and how many RLOCs its
    /// Map-Server knows then.
    pub(super) const fn phone_uplinks(self) -> usize {
        match self {
            Case::LinkDown | Case::CarrierLoss | Case::Silent | Case::BothEnds => 2,
            Case::Roam | Case::MakeBeforeBreak | Case::PingPong => 1,
        }
    }

    /// The same of `home`.
    pub(super) const fn home_uplinks(self) -> usize {
        if matches!(self, Case::BothEnds) { 2 } else { 1 }
    }
}

/// What forwards for every node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Backend {
    Kernel,
    Userspace,
}

impl Backend {
    pub(super) const ALL: [Backend; 2] = [Backend::Kernel, Backend::Userspace];

    /// As `option dataplane` has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Backend::Kernel => "kernel",
            Backend::Userspace => "userspace",
        }
    }

    /// The backend of this name.
    pub(super) fn named(name: &str) -> Option<Backend> {
        Backend::ALL.into_iter().find(|backend| backend.name() == name)
    }
}
