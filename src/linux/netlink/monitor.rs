//! Following what changes: links, addresses and routes of both families.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use super::abi::{
    RTM_DELADDR, RTM_DELLINK, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE,
    RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE, RTMGRP_LINK,
};
use super::address::Address;
use super::error::Error;
use super::link::Link;
use super::message::{Part, Parts};
use super::route::Route;
use super::socket;
use crate::system;

/// Octets of the receive buffer; an event is below 2 kB.
const RECEIVE_LEN: usize = 16 * 1024;
/// Octets of events that the kernel keeps for us.
const KERNEL_BUFFER_LEN: i32 = 512 * 1024;

/// Something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A link is new or changed.
    LinkChanged(Link),
    /// A link is gone.
    LinkRemoved(Link),
    /// An address is new or changed.
    AddressChanged(Address),
    /// An address is gone.
    AddressRemoved(Address),
    /// A route is new or replaced another.
    RouteChanged(Route),
    /// A route is gone; the kernel does not tell this when the link went down.
    RouteRemoved(Route),
    /// Events were lost: list everything again.
    Overrun,
}

/// A nonblocking socket that receives the events of one network namespace.
#[derive(Debug)]
pub struct Monitor {
    fd: OwnedFd,
    buffer: Box<[u8]>,
    /// The octets received and not yet given out, as a range of the buffer.
    unread: core::ops::Range<usize>,
}

impl Monitor {
    /// Starts to listen in the calling thread's network namespace.
    ///
    /// # Errors
    /// `Socket` when the kernel gives none.
    pub fn open() -> Result<Self, Error> {
        let groups = RTMGRP_LINK
            | RTMGRP_IPV4_IFADDR
            | RTMGRP_IPV6_IFADDR
            | RTMGRP_IPV4_ROUTE
            | RTMGRP_IPV6_ROUTE;
        let fd = socket::open(libc::NETLINK_ROUTE, groups)?;
        system::enlarge_buffers(fd.as_fd(), KERNEL_BUFFER_LEN);
        Ok(Self { fd, buffer: vec![0; RECEIVE_LEN].into(), unread: 0..0 })
    }

    /// The next event, or `None` when there is none now.
    ///
    /// # Errors
    /// `Socket` when the socket failed.
    pub fn poll_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let mut parts = Parts::new(&self.buffer[self.unread.clone()]);
            if let Some(part) = parts.next() {
                self.unread.start = self.unread.end - parts.remaining();
                match Event::parse(&part) {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            match socket::receive(self.fd.as_fd(), &mut self.buffer) {
                Ok(len) => self.unread = 0..len,
                Err(Error::Socket(Errno::EAGAIN)) => {
                    self.unread = 0..0;
                    return Ok(None);
                }
                Err(Error::Socket(Errno::ENOBUFS) | Error::TooLong) => {
                    self.unread = 0..0;
                    return Ok(Some(Event::Overrun));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Event {
    fn parse(part: &Part<'_>) -> Option<Self> {
        let payload = part.payload;
        match part.kind {
            RTM_NEWLINK => Link::parse(payload).map(Self::LinkChanged),
            RTM_DELLINK => Link::parse(payload).map(Self::LinkRemoved),
            RTM_NEWADDR => Address::parse(payload).map(Self::AddressChanged),
            RTM_DELADDR => Address::parse(payload).map(Self::AddressRemoved),
            RTM_NEWROUTE => Route::parse(payload).map(Self::RouteChanged),
            RTM_DELROUTE => Route::parse(payload).map(Self::RouteRemoved),
            _ => None,
        }
    }
}
