//! Packet sockets: seeing every frame of an interface, noticing the first, and sending packets past
//! routing.

mod doorbell;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc::{self, sockaddr_ll};

use crate::system::{self, RawAddress};
use crate::transfer::TransferError;

pub use doorbell::{Bell, Doorbell};

/// Octets of frames that the kernel is asked to keep for us.
const KERNEL_BUFFER_LEN: i32 = 16 * 1024 * 1024;

/// Octets of packets on their way out that the kernel is asked to allow for.
const INJECTED_LEN: i32 = 4 * 1024 * 1024;

/// Hardware type of Ethernet: a frame begins with 14 octets of header (`ARPHRD_ETHER`).
pub const HARDWARE_ETHERNET: u16 = 1;
/// Hardware type of devices without frame headers: TUN, WireGuard (`ARPHRD_NONE`).
pub const HARDWARE_NONE: u16 = 0xfffe;

/// A frame that was captured; its octets are in the buffer given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// Octets in the buffer.
    pub len: usize,
    /// Octets of the whole frame, more than `len` when the buffer is too small.
    pub frame_len: usize,
    /// The interface's index.
    pub index: u32,
    /// The frame is leaving by the interface rather than coming in.
    pub is_outgoing: bool,
    /// The EtherType in the machine's order: 0x0800 for IPv4, 0x86dd for IPv6.
    pub protocol: u16,
    /// The interface's hardware type (`HARDWARE_*`).
    pub hardware: u16,
}

/// Sees every frame of one interface, or of all of a network namespace.
#[derive(Debug)]
pub struct Capture {
    fd: OwnedFd,
}

impl Capture {
    /// Starts to capture on the interface of an index, `None` for all.
    ///
    /// # Errors
    /// Without `CAP_NET_RAW`, or when there is no such interface.
    pub fn open(index: Option<u32>) -> io::Result<Self> {
        // Made deaf and bound to its interface before it hears anything.
        let fd = system::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        system::enlarge_buffers(fd.as_fd(), KERNEL_BUFFER_LEN);
        let all = libc::ETH_P_ALL as u16;
        system::bind(fd.as_fd(), &address(index.unwrap_or(0), all))?;
        Ok(Self { fd })
    }

    /// Receives one frame.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, `Network` when the interface went down.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Captured, TransferError> {
        let (frame_len, from) = system::receive_from(self.as_fd(), buffer, libc::MSG_TRUNC)?;
        // SAFETY: sockaddr_ll is plain integers.
        let from = unsafe { from.read_prefix::<sockaddr_ll>(LINK_ADDRESS_LEN) };
        let from = from.ok_or(TransferError::Failed(Errno::EPROTO))?;
        Ok(Captured {
            len: frame_len.min(buffer.len()),
            frame_len,
            index: from.sll_ifindex.cast_unsigned(),
            is_outgoing: from.sll_pkttype == libc::PACKET_OUTGOING,
            protocol: u16::from_be(from.sll_protocol),
            hardware: from.sll_hatype,
        })
    }

    /// The frames that the kernel could not keep since the last call.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn take_drops(&self) -> io::Result<u32> {
        // struct tpacket_stats: packets, drops.
        let mut statistics = [0; 8];
        system::option_bytes(
            self.as_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            &mut statistics,
        )?;
        let [.., a, b, c, d] = statistics;
        Ok(u32::from_ne_bytes([a, b, c, d]))
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sends IP packets by one interface, past routing and firewall.
#[derive(Debug)]
pub struct Injector {
    fd: OwnedFd,
    index: u32,
}

impl Injector {
    /// Opens a socket that sends by the interface of an index and receives nothing.
    ///
    /// # Errors
    /// Without `CAP_NET_RAW`.
    pub fn open(index: u32) -> io::Result<Self> {
        let fd = system::socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0)?;
        // A packet counts until it has left the machine, a burst of them at once.
        system::enlarge_buffers(fd.as_fd(), INJECTED_LEN);
        Ok(Self { fd, index })
    }

    /// Sends one IP packet.
    ///
    /// # Errors
    /// `WouldBlock`, `TooBig` for the interface, `Network` when it is down or gone,
    /// `Failed(EINVAL)` when it is no IP packet.
    pub fn send(&self, packet: &[u8]) -> Result<(), TransferError> {
        let protocol = match packet.first().map(|octet| octet >> 4) {
            Some(4) => libc::ETH_P_IP,
            Some(6) => libc::ETH_P_IPV6,
            _ => return Err(TransferError::Failed(Errno::EINVAL)),
        };
        system::send_to(self.as_fd(), packet, &address(self.index, protocol as u16))?;
        Ok(())
    }
}

impl AsFd for Injector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Octets of a `sockaddr_ll` up to its hardware address.
const LINK_ADDRESS_LEN: usize = 12;

fn address(index: u32, protocol: u16) -> RawAddress {
    // SAFETY: sockaddr_ll is plain integers, for which zeroes are valid.
    let mut address: sockaddr_ll = unsafe { core::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index.cast_signed();
    // SAFETY: sockaddr_ll is a sockaddr of plain integers.
    unsafe { RawAddress::new(address) }
}
