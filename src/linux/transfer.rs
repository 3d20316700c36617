//! Why one packet was not sent or received, sorted by what a caller does about it.

use core::fmt;
use std::io;

use nix::errno::Errno;

use crate::system;

/// Why one packet was not sent or received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferError {
    /// Nothing to read, or no room to write: wait for the descriptor to become ready.
    WouldBlock,
    /// The packet is larger than the path or the device takes.
    TooBig,
    /// The network refused: no route, an ICMP error, a firewall, a device that is down.
    /// The packet is lost and the socket is fine.
    Network(Errno),
    /// Anything else, a mistake of the caller included.
    Failed(Errno),
}

impl TransferError {
    /// True unless the descriptor itself is of no use any more.
    #[must_use]
    pub fn is_transient(self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

impl From<Errno> for TransferError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EAGAIN => Self::WouldBlock,
            Errno::EMSGSIZE => Self::TooBig,
            Errno::ECONNREFUSED
            | Errno::ECONNRESET
            | Errno::EHOSTUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENETUNREACH
            | Errno::ENETDOWN
            | Errno::ENETRESET
            | Errno::EADDRNOTAVAIL
            | Errno::EAFNOSUPPORT
            | Errno::EACCES
            | Errno::EPERM
            | Errno::EIO
            | Errno::EPROTO
            | Errno::ENOPROTOOPT
            | Errno::EOPNOTSUPP
            | Errno::ENXIO
            | Errno::ENODEV
            | Errno::ENOBUFS
            | Errno::ENOMEM
            | Errno::ETIMEDOUT => Self::Network(errno),
            other => Self::Failed(other),
        }
    }
}

impl From<TransferError> for io::Error {
    fn from(error: TransferError) -> Self {
        let errno = match error {
            TransferError::WouldBlock => Errno::EAGAIN,
            TransferError::TooBig => Errno::EMSGSIZE,
            TransferError::Network(errno) | TransferError::Failed(errno) => errno,
        };
        errno.into()
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("not ready"),
            Self::TooBig => f.write_str("the packet is too big"),
            Self::Network(errno) | Self::Failed(errno) => f.write_str(&system::words(*errno)),
        }
    }
}

impl core::error::Error for TransferError {}
