//! Signals as a descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::SigSet;
pub use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Receives chosen signals, which no longer interrupt the process.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks the signals in the calling thread and those it starts later, and receives them here:
    /// to be called before the first thread is started.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn block(signals: &[Signal]) -> io::Result<Self> {
        let set: SigSet = signals.iter().copied().collect();
        set.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self { fd: SignalFd::with_flags(&set, flags)? })
    }

    /// The next signal received, or `None`.
    ///
    /// # Errors
    /// When the descriptor is broken.
    pub fn receive(&self) -> io::Result<Option<Signal>> {
        match self.fd.read_signal() {
            Ok(Some(info)) => Ok(Signal::try_from(info.ssi_signo.cast_signed()).ok()),
            Ok(None) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_received() {
        let signals = Signals::block(&[Signal::SIGUSR2]).expect("blocked");
        assert_eq!(signals.receive().expect("a read"), None);
        nix::sys::signal::raise(Signal::SIGUSR2).expect("raised");
        assert_eq!(signals.receive().expect("a read"), Some(Signal::SIGUSR2));
        assert_eq!(signals.receive().expect("a read"), None);
    }
}
