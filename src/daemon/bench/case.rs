//! What is compared.

/// A way from one site's host to the other's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Case {
    Routed,
    Wg,
    Kernel,
    KernelRules,
    Userspace,
    BoringtunCli,
    WireguardGo,
}

impl Case {
    /// All, those that are compared with one another side by side.
    pub(super) const ALL: [Case; 7] = [
        Case::Routed,
        Case::Wg,
        Case::Kernel,
        Case::KernelRules,
        Case::Userspace,
        Case::BoringtunCli,
        Case::WireguardGo,
    ];

    /// The word on the command line, in the table and in the JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Case::Routed => "routed",
            Case::Wg => "wg",
            Case::Kernel => "kernel",
            Case::KernelRules => "kernel-rules",
            Case::Userspace => "userspace",
            Case::BoringtunCli => "boringtun-cli",
            Case::WireguardGo => "wireguard-go",
        }
    }

    /// What it is, in half a line.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Case::Routed => "no tunnel",
            Case::Wg => "kernel WireGuard configured by hand with wg",
            Case::Kernel => "lispguard with option dataplane 'kernel', table 'main'",
            Case::KernelRules => "lispguard with option dataplane 'kernel', tables of its own",
            Case::Userspace => "lispguard with option dataplane 'userspace'",
            Case::BoringtunCli => "boringtun-cli configured with wg",
            Case::WireguardGo => "wireguard-go configured with wg",
        }
    }

    /// The case of this name.
    pub(super) fn named(name: &str) -> Option<Case> {
        Case::ALL.into_iter().find(|case| case.name() == name)
    }

    /// Whether it is lispguard, which can be asked how many packets it saw.
    pub(super) const fn is_lispguard(self) -> bool {
        matches!(self, Case::Kernel | Case::KernelRules | Case::Userspace)
    }
}

/// What is put in relation when both ran: the first is measured against the second.
pub(super) const COMPARED: [(Case, Case); 4] = [
    (Case::Kernel, Case::Wg),
    (Case::KernelRules, Case::Wg),
    (Case::Userspace, Case::BoringtunCli),
    (Case::Userspace, Case::WireguardGo),
];
