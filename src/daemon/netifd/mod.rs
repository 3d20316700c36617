//! The way to ubusd: it tells which network device each logical interface of OpenWrt has, and has
//! our own object.
//!
//! netifd's notifications say that something changed; what there is now is asked for. Where there
//! is no bus, as on most Linux machines, this looks for one once a minute and knows nothing.

mod asked;
mod back_off;
mod counters;
mod failure;
mod interfaces;
mod news;
mod object;
mod procd;
mod service;
mod session;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use control::Instant;
use linux::poller::{Interest, Poller};
use linux::unix;
use ubus::{Invocation, Status, Writer};

use self::back_off::BackOff;
use self::counters::Counters;
use self::failure::Failure;
use self::session::Session;
use crate::bus::call::Call;

pub use self::interfaces::MAX_INTERFACES;

/// Times the socket is read at most before others get their turn.
const MAX_READS: usize = 4;

/// The way to netifd.
#[derive(Debug)]
pub struct Netifd {
    path: PathBuf,
    poller: Poller,
    connection: Connection,
    back_off: BackOff,
    session: Session,
    counters: Counters,
}

#[derive(Debug)]
enum Connection {
    Closed { retry_at: Instant },
    Open { stream: UnixStream, is_blocked: bool },
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    Closed,
    Socket(io::Error),
    Session(Failure),
}

impl Netifd {
    /// Will follow netifd through the ubusd that listens at `path`, from the first
    /// `handle_timeout` on. It does not matter whether there is one.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Netifd> {
        Ok(Netifd {
            path: path.into(),
            poller: Poller::new()?,
            connection: Connection::Closed { retry_at: Instant::ZERO },
            back_off: BackOff::default(),
            session: Session::new(),
            counters: Counters::default(),
        })
    }

    /// The descriptor became ready; whether a device of an interface changed.
    pub fn handle_ready(&mut self, now: Instant) -> bool {
        self.exchange(now)
    }

    /// A deadline may have passed; whether a device of an interface changed.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        match self.connection {
            Connection::Closed { retry_at } if retry_at <= now => self.connect(now),
            _ => {}
        }
        self.exchange(now)
    }

    /// When `handle_timeout` is to be called.
    pub fn poll_at(&self) -> Option<Instant> {
        match self.connection {
            Connection::Closed { retry_at } => Some(retry_at),
            Connection::Open { .. } => self.session.poll_at(),
        }
    }

    /// The network device of a logical interface that is up or about to be: its layer-3 device,
    /// or what that is made on. What was known stays known while there is no connection.
    pub fn device_of(&self, interface: &str) -> Option<&str> {
        self.session.interfaces().device_of(interface)
    }

    /// True while there is a connection to ubusd that works.
    pub fn is_connected(&self) -> bool {
        matches!(self.connection, Connection::Open { .. }) && self.session.is_open()
    }

    /// The next call of our object, to be answered by `answer`.
    pub(crate) fn poll_call(&mut self) -> Option<(Invocation, Call)> {
        self.session.poll_call()
    }

    /// Answers a call: with the fields that `fill` writes where the status is good.
    pub(crate) fn answer(
        &mut self,
        invocation: &Invocation,
        status: Status,
        fill: &mut dyn FnMut(&mut Writer<'_>),
    ) {
        self.session.answer(invocation, status, fill);
    }

    /// True while somebody hears what `notify` tells.
    pub(crate) fn is_heard(&self) -> bool {
        self.session.is_heard()
    }

    /// Tells whoever hears our object's notifications.
    pub(crate) fn notify(&mut self, name: &str, fill: &mut dyn FnMut(&mut Writer<'_>)) {
        self.session.notify(name, fill);
    }

    /// Has netifd do something with the arguments that `fill` writes; whether it is there to be asked.
    pub(crate) fn order(
        &mut self,
        method: &str,
        now: Instant,
        fill: &mut dyn FnMut(&mut Writer<'_>),
    ) -> bool {
        self.session.order(method, now, fill)
    }

    /// Has procd run our service's reload; `poll_reload` says how that was taken.
    pub(crate) fn ask_for_reload(&mut self, now: Instant) {
        self.session.ask_for_reload(now);
    }

    /// How procd took it, once.
    pub(crate) fn poll_reload(&mut self) -> Option<Status> {
        self.session.poll_reload()
    }

    /// Sends what waits, as far as the socket takes it.
    pub(crate) fn flush(&mut self, now: Instant) {
        if let Err(end) = self.send() {
            self.close(&end, now);
        }
    }

    /// What was counted since the start, by name.
    pub fn counters(&self) -> control::counters::Listed {
        let Counters { connections, failed_connections, lost_connections, .. } = self.counters;
        let of_session = self.session.counters();
        Counters { connections, failed_connections, lost_connections, ..of_session }.named()
    }

    fn connect(&mut self, now: Instant) {
        let opened = unix::connect(&self.path).and_then(|stream| {
            self.poller.add(&stream, 0, Interest::Readable)?;
            Ok(stream)
        });
        match opened {
            Ok(stream) => {
                self.counters.connections += 1;
                self.session.reset(now);
                self.connection = Connection::Open { stream, is_blocked: false };
            }
            Err(error) => {
                self.counters.failed_connections += 1;
                log::debug!("netifd: {}: {error}", self.path.display());
                self.connection = Connection::Closed { retry_at: now + self.back_off.pause() };
            }
        }
    }

    fn exchange(&mut self, now: Instant) -> bool {
        if let Connection::Closed { .. } = self.connection {
            return false;
        }
        let mut is_changed = false;
        let was_whole = self.session.is_whole();
        let result = self.receive(now, &mut is_changed).and_then(|()| {
            self.session.handle_timeout(now).map_err(End::Session)?;
            self.send()
        });
        if self.session.is_whole() && !was_whole {
            self.back_off.reset();
            log::info!("netifd: followed through {}", self.path.display());
        }
        if let Err(end) = result {
            self.close(&end, now);
        }
        is_changed
    }

    fn receive(&mut self, now: Instant, is_changed: &mut bool) -> Result<(), End> {
        let Connection::Open { stream, .. } = &mut self.connection else { return Ok(()) };
        for _ in 0..MAX_READS {
            match stream.read(self.session.space()) {
                Ok(0) => return Err(End::Closed),
                Ok(len) => {
                    *is_changed |= self.session.handle_received(len, now).map_err(End::Session)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(End::Socket(error)),
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), End> {
        let Connection::Open { stream, is_blocked } = &mut self.connection else { return Ok(()) };
        let mut is_full = false;
        while !is_full && !self.session.waiting().is_empty() {
            match stream.write(self.session.waiting()) {
                Ok(len) => self.session.handle_transmitted(len),
                Err(error) if error.kind() == ErrorKind::WouldBlock => is_full = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(End::Socket(error)),
            }
        }
        if is_full != *is_blocked {
            let interest = if is_full { Interest::Both } else { Interest::Readable };
            self.poller.modify(&*stream, 0, interest).map_err(End::Socket)?;
            *is_blocked = is_full;
        }
        Ok(())
    }

    fn close(&mut self, end: &End, now: Instant) {
        self.counters.lost_connections += 1;
        let level = if self.session.is_whole() { log::Level::Info } else { log::Level::Debug };
        log::log!(level, "netifd: {}: {end}", self.path.display());
        self.session.reset(now);
        self.connection = Connection::Closed { retry_at: now + self.back_off.pause() };
    }
}

impl AsFd for Netifd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("ubusd closed the connection"),
            Self::Socket(error) => error.fmt(f),
            Self::Session(failure) => failure.fmt(f),
        }
    }
}
