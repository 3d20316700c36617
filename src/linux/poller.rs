//! Waiting for many descriptors at once.

use core::fmt;
use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc::{self, c_int, epoll_event};

/// Events taken from the kernel at once.
const EVENTS: usize = 64;

/// What to wait for; a hang-up or an error is always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Until it can be read.
    Readable,
    /// Until it can be written.
    Writable,
    /// Until either.
    Both,
}

impl Interest {
    fn flags(self) -> c_int {
        match self {
            Self::Readable => libc::EPOLLIN,
            Self::Writable => libc::EPOLLOUT,
            Self::Both => libc::EPOLLIN | libc::EPOLLOUT,
        }
    }
}

/// A descriptor that became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The token given when it was added.
    pub token: u64,
    /// Reading will not block.
    pub is_readable: bool,
    /// Writing will not block.
    pub is_writable: bool,
    /// The other end closed, or the descriptor has an error to be read.
    pub has_hung_up: bool,
}

/// An epoll instance, level-triggered.
pub struct Poller {
    fd: OwnedFd,
    events: [epoll_event; EVENTS],
}

impl Poller {
    /// Makes an instance.
    ///
    /// # Errors
    /// When the process has too many descriptors.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = Errno::result(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor is new and owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: [epoll_event { events: 0, u64: 0 }; EVENTS] })
    }

    /// Starts to watch a descriptor; `token` comes back with its events.
    ///
    /// # Errors
    /// When it is watched already or cannot be.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_fd(), token, interest.flags())
    }

    /// Changes what a watched descriptor is watched for.
    ///
    /// # Errors
    /// When it is not watched.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_fd(), token, interest.flags())
    }

    /// Stops to watch a descriptor; closing its last duplicate does so too.
    ///
    /// # Errors
    /// When it is not watched.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd.as_fd(), 0, 0)
    }

    /// Waits until something is ready or the time is over (`None`: for ever), rounded up to
    /// milliseconds; a signal ends the wait early. What did not fit comes with the next call.
    ///
    /// # Errors
    /// When the instance is broken.
    pub fn wait(
        &mut self,
        timeout: Option<Duration>,
    ) -> io::Result<impl ExactSizeIterator<Item = Ready> + '_> {
        let millis = timeout.map_or(-1, |timeout| {
            let millis = timeout.as_secs().saturating_mul(1000);
            let millis = millis.saturating_add(timeout.subsec_nanos().div_ceil(1_000_000).into());
            c_int::try_from(millis).unwrap_or(c_int::MAX)
        });
        let (events, count) = (self.events.as_mut_ptr(), EVENTS as c_int);
        // SAFETY: `events` has room for `count` entries.
        let result = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), events, count, millis) };
        let len = match Errno::result(result) {
            Ok(len) => len as usize,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        Ok(self.events[..len].iter().map(|event| {
            let flags = event.events as c_int;
            Ready {
                token: event.u64,
                is_readable: flags & libc::EPOLLIN != 0,
                is_writable: flags & libc::EPOLLOUT != 0,
                has_hung_up: flags & (libc::EPOLLHUP | libc::EPOLLERR) != 0,
            }
        }))
    }

    fn control(
        &self,
        action: c_int,
        fd: BorrowedFd<'_>,
        token: u64,
        flags: c_int,
    ) -> io::Result<()> {
        let mut event = epoll_event { events: flags as u32, u64: token };
        // SAFETY: the kernel reads one epoll_event.
        let result =
            unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), action, fd.as_raw_fd(), &raw mut event) };
        Ok(Errno::result(result).map(drop)?)
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("fd", &self.fd).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_ready_descriptor_is_told_by_its_token() {
        let (mut writer, reader) = UnixStream::pair().expect("a pair");
        let mut poller = Poller::new().expect("epoll");
        poller.add(&reader, u64::MAX - 3, Interest::Readable).expect("added");
        assert_eq!(poller.wait(Some(Duration::ZERO)).expect("a wait").len(), 0);
        writer.write_all(b"x").expect("written");
        let ready: Vec<_> = poller.wait(None).expect("a wait").collect();
        let token = u64::MAX - 3;
        let expected = Ready { token, is_readable: true, is_writable: false, has_hung_up: false };
        assert_eq!(ready, [expected]);
        poller.modify(&reader, 2, Interest::Both).expect("modified");
        let ready: Vec<_> = poller.wait(None).expect("a wait").collect();
        assert!(ready[0].is_writable && ready[0].token == 2);
        poller.remove(&reader).expect("removed");
        assert!(poller.remove(&reader).is_err());
        assert_eq!(poller.wait(Some(Duration::from_micros(10))).expect("a wait").len(), 0);
    }

    #[test]
    fn a_closed_end_is_a_hang_up() {
        let (writer, reader) = UnixStream::pair().expect("a pair");
        let mut poller = Poller::new().expect("epoll");
        poller.add(&reader, 1, Interest::Readable).expect("added");
        drop(writer);
        assert!(poller.wait(None).expect("a wait").all(|ready| ready.has_hung_up));
    }
}
