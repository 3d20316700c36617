//! The request socket: one request, its answers and its acknowledgement at a time.

use core::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use zeroize::Zeroize;

use super::abi::{
    NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK, NLM_F_ACK, NLM_F_DUMP,
    NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_MIN_TYPE, SOL_NETLINK,
};
use super::error::Error;
use super::message::{Message, Part, Parts};
use crate::system::{self, RawAddress};

/// Octets of the receive buffer: what the kernel packs into one datagram of a dump at most.
const RECEIVE_LEN: usize = 32 * 1024;
const LIST_ATTEMPTS: usize = 10;

/// A socket of the network namespace in which it was opened: `NETLINK_ROUTE`, or
/// `NETLINK_GENERIC`.
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Box<[u8]>,
    /// Octets of the buffer that have been written to since it was last wiped.
    written: usize,
}

impl Socket {
    /// Opens a socket for links, addresses, routes and rules in the calling thread's network
    /// namespace.
    ///
    /// # Errors
    /// `Socket` when the kernel gives none.
    pub fn open() -> Result<Self, Error> {
        Self::open_protocol(libc::NETLINK_ROUTE)
    }

    /// Opens a socket for the families of generic netlink in the calling thread's network
    /// namespace.
    ///
    /// # Errors
    /// `Socket` when the kernel gives none.
    pub fn open_generic() -> Result<Self, Error> {
        Self::open_protocol(libc::NETLINK_GENERIC)
    }

    fn open_protocol(protocol: libc::c_int) -> Result<Self, Error> {
        let fd = open(protocol, 0)?;
        // Kernels before 4.20 lack some of these and work without.
        for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK] {
            let _ = system::set_option(fd.as_fd(), SOL_NETLINK, option, 1);
        }
        Ok(Self { fd, sequence: 0, buffer: vec![0; RECEIVE_LEN].into(), written: 0 })
    }

    /// Sends a request and waits for its acknowledgement.
    ///
    /// # Errors
    /// `Refused` by the kernel, `TooLong`, or a failing socket.
    pub fn request(&mut self, message: Message<'_>) -> Result<(), Error> {
        self.exchange(message, NLM_F_ACK, &mut |_| ())
    }

    /// Sends a request and hands every answer to `each` until the acknowledgement.
    ///
    /// # Errors
    /// As `request`.
    pub fn ask(
        &mut self,
        message: Message<'_>,
        mut each: impl FnMut(&Part<'_>),
    ) -> Result<(), Error> {
        self.exchange(message, NLM_F_ACK, &mut each)
    }

    /// As `ask`, for what the kernel answers by one message or refuses: no acknowledgement is
    /// waited for besides.
    ///
    /// # Errors
    /// As `request`.
    pub(super) fn ask_for_one(
        &mut self,
        message: Message<'_>,
        mut each: impl FnMut(&Part<'_>),
    ) -> Result<(), Error> {
        self.exchange(message, 0, &mut each)
    }

    /// Sends a dump request and hands every entry to `each`.
    ///
    /// # Errors
    /// As `request`, and `Interrupted` when the entries changed meanwhile.
    pub fn dump(
        &mut self,
        message: Message<'_>,
        mut each: impl FnMut(&Part<'_>),
    ) -> Result<(), Error> {
        self.exchange(message, NLM_F_DUMP, &mut each)
    }

    /// Collects a listing, such as `socket.list(|socket, each| socket.links(each))`, repeating it
    /// while the entries change under it.
    ///
    /// # Errors
    /// As the listing; `Interrupted` after ten attempts.
    pub fn list<T>(
        &mut self,
        listing: impl Fn(&mut Self, &mut dyn FnMut(T)) -> Result<(), Error>,
    ) -> Result<Vec<T>, Error> {
        let mut entries = Vec::new();
        for _ in 0..LIST_ATTEMPTS {
            entries.clear();
            match listing(self, &mut |entry| entries.push(entry)) {
                Err(Error::Interrupted) => {}
                result => return result.map(|()| entries),
            }
        }
        Err(Error::Interrupted)
    }

    /// Overwrites what has been received since the last time.
    pub(super) fn wipe(&mut self) {
        self.buffer[..self.written].zeroize();
        self.written = 0;
    }

    fn exchange(
        &mut self,
        mut message: Message<'_>,
        flags: u16,
        each: &mut dyn FnMut(&Part<'_>),
    ) -> Result<(), Error> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let request = message.finish(NLM_F_REQUEST | flags, self.sequence)?;
        system::send_to(self.fd.as_fd(), request, &address(0))?;
        let has_end = flags & (NLM_F_ACK | NLM_F_DUMP) != 0;
        let mut is_interrupted = false;
        loop {
            let len = receive_waiting(self.fd.as_fd(), &mut self.buffer, &mut self.written)?;
            for part in Parts::new(&self.buffer[..len]) {
                if part.sequence != self.sequence {
                    continue;
                }
                is_interrupted |= part.flags & NLM_F_DUMP_INTR != 0;
                match part.kind {
                    NLMSG_ERROR => return Error::from_acknowledgement(&part, request),
                    NLMSG_DONE if is_interrupted => return Err(Error::Interrupted),
                    NLMSG_DONE => return Error::from_done(&part, request),
                    NLMSG_MIN_TYPE.. => {
                        each(&part);
                        if !has_end {
                            return Ok(());
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("fd", &self.fd).finish_non_exhaustive()
    }
}

/// Opens a nonblocking socket of a protocol that listens to multicast groups (`RTMGRP_*`).
pub(super) fn open(protocol: libc::c_int, groups: u32) -> Result<OwnedFd, Errno> {
    let fd = system::socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)?;
    system::bind(fd.as_fd(), &address(groups))?;
    Ok(fd)
}

/// Receives one datagram of the kernel into `buffer`; another process's datagrams give length 0.
pub(super) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Error> {
    let (len, from) = system::receive_from(fd, buffer, libc::MSG_TRUNC)?;
    // SAFETY: sockaddr_nl is plain integers.
    let sender = unsafe { from.read::<libc::sockaddr_nl>() };
    if sender.is_none_or(|sender| sender.nl_pid != 0) {
        return Ok(0);
    }
    if len > buffer.len() { Err(Error::TooLong) } else { Ok(len) }
}

fn receive_waiting(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    written: &mut usize,
) -> Result<usize, Error> {
    loop {
        match receive(fd, buffer) {
            Err(Error::Socket(Errno::EAGAIN)) => {}
            Ok(len) => {
                *written = len.max(*written);
                return Ok(len);
            }
            Err(error) => {
                // A datagram that is too long has filled the buffer.
                *written = buffer.len();
                return Err(error);
            }
        }
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn address(groups: u32) -> RawAddress {
    // SAFETY: sockaddr_nl is plain integers, for which zeroes are valid.
    let mut address: libc::sockaddr_nl = unsafe { core::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = groups;
    // SAFETY: sockaddr_nl is a sockaddr of plain integers.
    unsafe { RawAddress::new(address) }
}

#[cfg(test)]
mod tests {
    use super::super::abi::RTM_GETLINK;
    use super::*;

    #[test]
    fn what_was_received_is_wiped() {
        let mut socket = Socket::open().expect("a socket");
        let mut buffer = [0; 64];
        let mut links = 0;
        for _ in 0..2 {
            let mut message = Message::new(&mut buffer, RTM_GETLINK, 0);
            message.put(&[0; 16]);
            socket.dump(message, |_| links += 1).expect("a listing");
            assert!(socket.buffer.iter().any(|&octet| octet != 0));
            socket.wipe();
            assert!(socket.buffer.iter().all(|&octet| octet == 0));
        }
        assert!(links >= 2);
    }
}
