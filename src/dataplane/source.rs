//! Descriptors that a data plane wants watched.

use crate::Interface;

/// A descriptor to be watched for reading, as `handle_ready` wants it named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The TUN device: packets into the overlay, or those that the kernel has no route for.
    Tun,
    /// A UDP socket of WireGuard in user space.
    Socket {
        /// Of which interface.
        interface: Interface,
        /// Whether IPv6.
        is_v6: bool,
    },
    /// The UDP socket of the LISP messages that leave a tunnel of the kernel.
    Messages {
        /// Of which interface.
        interface: Interface,
        /// Of which lane; 0 for control.
        lane: u8,
    },
    /// Packets leave by a data interface of the kernel after a time without any.
    Doorbell {
        /// Of which lane.
        lane: u8,
    },
}
