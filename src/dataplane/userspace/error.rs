//! Why the userspace data plane does not start.

use core::fmt;
use core::net::SocketAddr;
use std::io;

use crate::engine::EngineError;

/// What is in the way, with the system's word for it.
#[derive(Debug)]
pub enum UserspaceError {
    /// The kernel gives no random numbers.
    Random(io::Error),
    /// A UDP port cannot be bound.
    Bind(SocketAddr, io::Error),
    /// The firewall mark cannot be set.
    Mark(io::Error),
    /// The TUN device cannot be made.
    Tun(String, io::Error),
    /// The TUN device cannot be set up.
    Link(String, linux::netlink::Error),
    /// The configuration does not fit the tables.
    Engine(EngineError),
}

impl fmt::Display for UserspaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserspaceError::Random(error) => write!(f, "no random numbers: {error}"),
            UserspaceError::Bind(address, error) => match error.kind() {
                io::ErrorKind::AddrInUse => {
                    let port = address.port();
                    write!(f, "UDP port {port} is taken: another lispguard, or WireGuard?")
                }
                _ => write!(f, "cannot bind UDP {address}: {error}"),
            },
            UserspaceError::Mark(error) => write!(f, "cannot set the firewall mark: {error}"),
            UserspaceError::Tun(name, error) => match error.kind() {
                io::ErrorKind::NotFound => write!(
                    f,
                    "cannot make {name}: no /dev/net/tun; load the module tun (OpenWrt: kmod-tun)"
                ),
                io::ErrorKind::PermissionDenied => {
                    write!(f, "cannot make {name}: not permitted; run as root")
                }
                io::ErrorKind::ResourceBusy => {
                    write!(
                        f,
                        "cannot make {name}: the name is taken; is lispguard running already?"
                    )
                }
                _ => write!(f, "cannot make {name}: {error}"),
            },
            UserspaceError::Link(name, error) => write!(f, "cannot set {name} up: {error}"),
            UserspaceError::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for UserspaceError {}
