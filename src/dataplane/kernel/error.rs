//! Why the kernel data plane does not start.

use core::fmt;
use std::io;

use linux::Errno;
use linux::netlink::{self, InterfaceName};

use crate::EngineError;

/// What is in the way, with the system's word for it.
#[derive(Debug)]
pub enum KernelError {
    /// The kernel gives no random numbers.
    Random(io::Error),
    /// The kernel has no WireGuard.
    Missing,
    /// Interfaces may not be changed.
    NotPermitted,
    /// An interface of this name is there, and lispguard did not make it.
    Foreign(InterfaceName),
    /// Another process has the TUN device open.
    IsRunning(InterfaceName),
    /// A UDP port is taken.
    PortTaken(u16),
    /// An interface cannot be made or set up.
    Link(InterfaceName, netlink::Error),
    /// The TUN device cannot be made.
    Tun(InterfaceName, io::Error),
    /// The sockets at an interface cannot be opened.
    Socket(InterfaceName, io::Error),
    /// The kernel does not tell what stands.
    Listing(netlink::Error),
    /// The configuration does not fit the tables.
    Engine(EngineError),
}

impl KernelError {
    /// What a refusal to change an interface means.
    pub(super) fn link(name: &str, port: u16, error: netlink::Error) -> KernelError {
        match error.errno() {
            Some(Errno::EPERM | Errno::EACCES) => KernelError::NotPermitted,
            Some(Errno::EADDRINUSE) => KernelError::PortTaken(port),
            Some(Errno::EOPNOTSUPP) => KernelError::Missing,
            _ => KernelError::Link(InterfaceName::truncated(name), error),
        }
    }

    pub(super) fn tun(name: &str, error: io::Error) -> KernelError {
        let name = InterfaceName::truncated(name);
        match error.kind() {
            io::ErrorKind::PermissionDenied => KernelError::NotPermitted,
            io::ErrorKind::ResourceBusy => KernelError::IsRunning(name),
            io::ErrorKind::InvalidInput => KernelError::Foreign(name),
            _ => KernelError::Tun(name, error),
        }
    }

    pub(super) fn socket(name: &str, error: io::Error) -> KernelError {
        match error.kind() {
            io::ErrorKind::PermissionDenied => KernelError::NotPermitted,
            _ => KernelError::Socket(InterfaceName::truncated(name), error),
        }
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KernelError::Random(error) => write!(f, "no random numbers: {error}"),
            KernelError::Missing => f.write_str(
                "the kernel has no WireGuard; load the module wireguard (OpenWrt: \
                 kmod-wireguard), or set `option dataplane 'userspace'`",
            ),
            KernelError::NotPermitted => {
                f.write_str("may not change network interfaces; run as root")
            }
            KernelError::Foreign(name) => write!(
                f,
                "an interface {name} is there that lispguard did not make; it stays as it is"
            ),
            KernelError::IsRunning(name) => {
                write!(f, "{name} is in use; is lispguard running already?")
            }
            KernelError::PortTaken(port) => {
                write!(f, "UDP port {port} is taken: another lispguard, or WireGuard?")
            }
            KernelError::Link(name, error) => write!(f, "cannot set {name} up: {error}"),
            KernelError::Tun(name, error) => match error.kind() {
                io::ErrorKind::NotFound => write!(
                    f,
                    "cannot make {name}: no /dev/net/tun; load the module tun (OpenWrt: kmod-tun)"
                ),
                _ => write!(f, "cannot make {name}: {error}"),
            },
            KernelError::Socket(name, error) => write!(f, "no sockets at {name}: {error}"),
            KernelError::Listing(error) => write!(f, "the kernel does not tell: {error}"),
            KernelError::Engine(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for KernelError {}
