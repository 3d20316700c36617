//! Netlink towards the kernel's routing subsystem and WireGuard, on fixed buffers.
//!
//! Netlink numbers are in the machine's own byte order, except where an attribute says otherwise.

pub mod abi;
mod address;
mod attribute;
mod error;
mod generic;
mod link;
mod message;
mod monitor;
mod multipath;
#[cfg(test)]
mod oracle;
mod qdisc;
mod route;
mod rule;
mod socket;
pub mod wireguard;

pub use address::{Address, IFA_F_NODAD, IFA_F_NOPREFIXROUTE, IFA_F_TENTATIVE};
pub use attribute::{Attribute, Attributes};
pub use error::Error;
pub use generic::{generic_attributes, generic_message};
pub use link::{InterfaceName, Link, LinkStatistics};
pub use message::{Message, Part, Parts};
pub use monitor::{Event, Monitor};
pub use multipath::{NextHop, NextHops};
pub use qdisc::Netem;
pub use route::{Route, RouteKind, RouteQuery, TABLE_LOCAL, TABLE_MAIN};
pub use rule::{Rule, RuleAction};
pub use socket::Socket;

/// Octets reserved for one request; the largest typed request needs about 160.
const REQUEST_LEN: usize = 512;

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(ip: core::net::IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The prefix length of a host: 32 or 128.
    #[must_use]
    pub fn host_prefix_len(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The address of all zeroes.
    #[must_use]
    pub fn unspecified(self) -> core::net::IpAddr {
        match self {
            Self::V4 => core::net::Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => core::net::Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::V4 => abi::AF_INET,
            Self::V6 => abi::AF_INET6,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        match number {
            abi::AF_INET => Some(Self::V4),
            abi::AF_INET6 => Some(Self::V6),
            _ => None,
        }
    }
}
