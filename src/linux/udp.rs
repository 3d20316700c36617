//! Nonblocking UDP sockets, one datagram or a batch at a time.

mod offload;
mod receive_batch;
mod send_batch;

use core::net::{IpAddr, SocketAddr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

pub use offload::Offload;
pub use receive_batch::ReceiveBatch;
pub use send_batch::SendBatch;

use crate::system::{self, RawAddress};
use crate::transfer::TransferError;

/// Octets of datagrams that the kernel is asked to keep for us in each direction.
const KERNEL_BUFFER_LEN: i32 = 4 * 1024 * 1024;

/// A UDP socket of one family; an IPv6 socket takes no IPv4.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    is_v6: bool,
}

impl Socket {
    /// Binds a socket in the calling thread's network namespace; port 0 lets the kernel choose.
    /// Outer packets may be fragmented until `set_dont_fragment` says otherwise.
    ///
    /// # Errors
    /// When the address is not ours or the port is taken.
    pub fn bind(local: SocketAddr) -> io::Result<Self> {
        let is_v6 = local.is_ipv6();
        let domain = if is_v6 { libc::AF_INET6 } else { libc::AF_INET };
        let fd = system::socket(domain, libc::SOCK_DGRAM, 0)?;
        if is_v6 {
            system::set_option(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        }
        system::enlarge_buffers(fd.as_fd(), KERNEL_BUFFER_LEN);
        let socket = Self { fd, is_v6 };
        socket.set_dont_fragment(false)?;
        system::bind(socket.as_fd(), &local.into())?;
        Ok(socket)
    }

    /// The address and port that the socket is bound to.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        let address = system::local_address(self.as_fd())?;
        address.internet().ok_or_else(|| Errno::EAFNOSUPPORT.into())
    }

    /// Sets the firewall mark of what the socket sends, 0 for none.
    ///
    /// # Errors
    /// Without `CAP_NET_ADMIN`.
    pub fn set_mark(&self, mark: u32) -> io::Result<()> {
        let mark = mark.cast_signed();
        Ok(system::set_option(self.as_fd(), libc::SOL_SOCKET, libc::SO_MARK, mark)?)
    }

    /// Sends and receives by one interface only.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn bind_to_device(&self, name: &str) -> io::Result<()> {
        let (level, option) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
        Ok(system::set_option_bytes(self.as_fd(), level, option, name.as_bytes())?)
    }

    /// True: never fragment, a datagram larger than the path's MTU gives `TooBig`.
    /// False: fragment where needed, without looking at the path's MTU on IPv4.
    ///
    /// # Errors
    /// When the kernel refuses the option.
    pub fn set_dont_fragment(&self, is_set: bool) -> io::Result<()> {
        // The values of IPV6_MTU_DISCOVER are those of IP_MTU_DISCOVER.
        let value = if is_set { libc::IP_PMTUDISC_DO } else { libc::IP_PMTUDISC_DONT };
        let (level, option) = match self.is_v6 {
            true => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
            false => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
        };
        Ok(system::set_option(self.as_fd(), level, option, value)?)
    }

    /// True: datagrams of one sender may come joined to one message of a `ReceiveBatch`, whose
    /// slots hold 64 KiB then (UDP_GRO). `Offload` tells whether the kernel does that.
    ///
    /// # Errors
    /// When the kernel does not know the option.
    pub fn set_joining(&self, is_set: bool) -> io::Result<()> {
        let (level, option) = (libc::SOL_UDP, libc::UDP_GRO);
        Ok(system::set_option(self.as_fd(), level, option, is_set.into())?)
    }

    /// Waits until the socket takes more, for a number of milliseconds at most; says whether it
    /// does.
    #[must_use]
    pub fn wait_writable(&self, millis: u16) -> bool {
        system::wait_writable(self.as_fd(), millis)
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// `WouldBlock`, `TooBig`, or `Network` when it is lost on the way out; the socket stays good.
    pub fn send_to(&self, datagram: &[u8], to: SocketAddr) -> Result<(), TransferError> {
        if to.is_ipv6() != self.is_v6 {
            return Err(TransferError::Network(Errno::ENETUNREACH));
        }
        system::send_to(self.as_fd(), datagram, &to.into())?;
        Ok(())
    }

    /// Receives one datagram and its sender; what does not fit is cut off.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, `Network` for an ICMP error about an earlier datagram.
    pub fn receive_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), TransferError> {
        let (len, from) = system::receive_from(self.as_fd(), buffer, 0)?;
        let from = from.internet().ok_or(TransferError::Network(Errno::EAFNOSUPPORT))?;
        Ok((len, from))
    }

    /// Receives as many datagrams as there are and the batch holds; returns their number.
    ///
    /// # Errors
    /// As `receive_from`; the batch is empty then.
    pub fn receive_batch(&self, batch: &mut ReceiveBatch) -> Result<usize, TransferError> {
        Ok(batch.receive(self.as_fd())?)
    }

    /// Sends the datagrams of the batch from its first unsent one on until the kernel takes no
    /// more; returns how many it took.
    ///
    /// # Errors
    /// As `send_to`, about the first unsent datagram; `SendBatch::skip` gives it up.
    pub fn send_batch(&self, batch: &mut SendBatch) -> Result<usize, TransferError> {
        Ok(batch.send(self.as_fd())?)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The source address that the kernel would use towards `destination`, found without sending.
///
/// # Errors
/// `Network` when there is no route.
pub fn source_towards(destination: IpAddr) -> Result<IpAddr, TransferError> {
    let domain = if destination.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    let fd = system::socket(domain, libc::SOCK_DGRAM, 0)?;
    system::connect(fd.as_fd(), &RawAddress::from(SocketAddr::new(destination, 9)))?;
    let local = system::local_address(fd.as_fd())?.internet();
    local.map(|local| local.ip()).ok_or(TransferError::Network(Errno::EADDRNOTAVAIL))
}
