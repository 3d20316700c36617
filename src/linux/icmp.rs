//! ICMP and ICMPv6 echo: sending requests and receiving their replies.

use core::net::{IpAddr, SocketAddr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::libc;

use crate::netlink::Family;
use crate::system;
use crate::transfer::TransferError;

/// Octets of an echo message before its payload.
pub const HEADER_LEN: usize = 8;
/// Octets of payload that a request carries at most.
pub const MAX_PAYLOAD: usize = 1472;

/// A socket that sends echo requests; it receives the replies to them.
#[derive(Debug)]
pub struct EchoSocket {
    fd: OwnedFd,
    family: Family,
    /// A raw socket, which hears the replies to everybody; else the kernel sorts them.
    is_raw: bool,
    identifier: u16,
}

/// An echo reply; its payload is in the buffer given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoReply {
    /// Who answered.
    pub from: IpAddr,
    /// The sequence number of the request.
    pub sequence: u16,
    /// Where the payload stands in the buffer.
    pub payload: core::ops::Range<usize>,
}

impl EchoSocket {
    /// Opens a raw socket, or without the privilege for it a ping socket. The identifier tells
    /// replies of several raw sockets apart; a ping socket's is chosen by the kernel.
    ///
    /// # Errors
    /// When the kernel allows neither (`CAP_NET_RAW`, sysctl `net.ipv4.ping_group_range`).
    pub fn open(family: Family, identifier: u16) -> io::Result<Self> {
        let (domain, protocol) = match family {
            Family::V4 => (libc::AF_INET, libc::IPPROTO_ICMP),
            Family::V6 => (libc::AF_INET6, libc::IPPROTO_ICMPV6),
        };
        let (fd, is_raw) = match system::socket(domain, libc::SOCK_RAW, protocol) {
            Ok(fd) => (fd, true),
            Err(_) => (system::socket(domain, libc::SOCK_DGRAM, protocol)?, false),
        };
        Ok(Self { fd, family, is_raw, identifier })
    }

    /// Sends from this address of ours.
    ///
    /// # Errors
    /// When the address is not ours.
    pub fn bind(&self, source: IpAddr) -> io::Result<()> {
        Ok(system::bind(self.as_fd(), &SocketAddr::new(source, 0).into())?)
    }

    /// Sends an echo request.
    ///
    /// # Errors
    /// `TooBig` above `MAX_PAYLOAD` or the path's MTU; as `udp::Socket::send_to` otherwise.
    pub fn send(&self, to: IpAddr, sequence: u16, payload: &[u8]) -> Result<(), TransferError> {
        let mut message = [0; HEADER_LEN + MAX_PAYLOAD];
        let message = message.get_mut(..HEADER_LEN + payload.len()).ok_or(TransferError::TooBig)?;
        message[0] = match self.family {
            Family::V4 => 8,
            Family::V6 => 128,
        };
        message[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        message[6..8].copy_from_slice(&sequence.to_be_bytes());
        message[HEADER_LEN..].copy_from_slice(payload);
        if self.family == Family::V4 {
            // The kernel computes ICMPv6's checksum, which covers addresses, itself.
            let checksum = checksum(message);
            message[2..4].copy_from_slice(&checksum.to_be_bytes());
        }
        system::send_to(self.as_fd(), message, &SocketAddr::new(to, 0).into())?;
        Ok(())
    }

    /// Receives one reply to a request of this socket, `None` for any other ICMP message.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, `Network` for an ICMP error about a request.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<EchoReply>, TransferError> {
        let (len, from) = system::receive_from(self.as_fd(), buffer, 0)?;
        let from = from.internet();
        Ok(from.and_then(|from| self.parse(&buffer[..len], from.ip())))
    }

    fn parse(&self, bytes: &[u8], from: IpAddr) -> Option<EchoReply> {
        let start = match self.family {
            Family::V4 if self.is_raw => usize::from(bytes.first()? & 0xf) * 4,
            Family::V4 | Family::V6 => 0,
        };
        let header = bytes.get(start..)?.first_chunk::<HEADER_LEN>()?;
        let kind = match self.family {
            Family::V4 => 0,
            Family::V6 => 129,
        };
        let identifier = u16::from_be_bytes([header[4], header[5]]);
        let is_ours = header[0] == kind && (!self.is_raw || identifier == self.identifier);
        is_ours.then(|| EchoReply {
            from,
            sequence: u16::from_be_bytes([header[6], header[7]]),
            payload: start + HEADER_LEN..bytes.len(),
        })
    }
}

impl AsFd for EchoSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[0xff]), 0x00ff);
        assert_eq!(checksum(&[]), 0xffff);
    }
}
