//! Timers as descriptors, and a watch for steps of the wall clock.

use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc::{self, c_int, itimerspec, timespec};

use crate::clock;
use crate::system;

/// How far ahead the watch on the wall clock is armed.
const WATCH_AHEAD: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A one-shot timer on the clock of `clock::monotonic_micros`.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// Makes a timer that is not armed.
    ///
    /// # Errors
    /// When the process has too many descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: create(libc::CLOCK_BOOTTIME)? })
    }

    /// Arms the timer for an instant in microseconds; one that has passed fires at once.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn arm_at(&self, micros: u64) -> io::Result<()> {
        // Zero would disarm.
        let at = Duration::from_micros(micros).max(Duration::from_nanos(1));
        Ok(set(&self.fd, libc::TFD_TIMER_ABSTIME, at)?)
    }

    /// Arms the timer for a span from now; zero fires at once.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn arm_after(&self, span: Duration) -> io::Result<()> {
        Ok(set(&self.fd, 0, span.max(Duration::from_nanos(1)))?)
    }

    /// Disarms the timer.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn disarm(&self) -> io::Result<()> {
        Ok(set(&self.fd, 0, Duration::ZERO)?)
    }

    /// True when the timer fired since the last call, which makes it unreadable again.
    ///
    /// # Errors
    /// When the descriptor is broken.
    pub fn take_expiry(&self) -> io::Result<bool> {
        match system::read(self.as_fd(), &mut [0; 8]) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Becomes readable when the wall clock is set, by a person, NTP or a resume from sleep.
#[derive(Debug)]
pub struct ClockWatch {
    fd: OwnedFd,
}

impl ClockWatch {
    /// Starts to watch.
    ///
    /// # Errors
    /// When the process has too many descriptors.
    pub fn new() -> io::Result<Self> {
        let watch = Self { fd: create(libc::CLOCK_REALTIME)? };
        watch.arm()?;
        Ok(watch)
    }

    /// True when the wall clock was set since the last call.
    ///
    /// # Errors
    /// When the descriptor is broken.
    pub fn take_step(&self) -> io::Result<bool> {
        match system::read(self.as_fd(), &mut [0; 8]) {
            Err(Errno::EAGAIN) => Ok(false),
            Err(Errno::ECANCELED) => self.arm().map(|()| true),
            // It fired, for want of a later instant in 32 bits; steps are still reported.
            Ok(_) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn arm(&self) -> io::Result<()> {
        let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
        match set(&self.fd, flags, clock::wall() + WATCH_AHEAD) {
            // Armed as well: the clock was set between this arming and the one before.
            Ok(()) | Err(Errno::ECANCELED) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for ClockWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn create(clock: c_int) -> Result<OwnedFd, Errno> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: no pointers are passed.
    let fd = Errno::result(unsafe { libc::timerfd_create(clock, flags) })?;
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set(fd: &OwnedFd, flags: c_int, value: Duration) -> Result<(), Errno> {
    // SAFETY: itimerspec is plain integers, for which zeroes are valid.
    let mut spec: itimerspec = unsafe { core::mem::zeroed() };
    spec.it_value = to_timespec(value);
    // SAFETY: the kernel reads one itimerspec and writes no old value.
    let result = unsafe {
        libc::timerfd_settime(fd.as_raw_fd(), flags, &raw const spec, core::ptr::null_mut())
    };
    Errno::result(result).map(drop)
}

fn to_timespec(value: Duration) -> timespec {
    // SAFETY: timespec is plain integers, for which zeroes are valid; some have padding.
    let mut time: timespec = unsafe { core::mem::zeroed() };
    // 32-bit systems count seconds in 32 bits.
    time.tv_sec = value.as_secs().try_into().unwrap_or(i32::MAX.into());
    time.tv_nsec = value.subsec_nanos() as _;
    time
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, poll};

    use super::*;

    fn is_readable(fd: impl AsFd, millis: u16) -> bool {
        poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], millis).expect("a poll") == 1
    }

    #[test]
    fn a_timer_fires_once_at_its_instant() {
        let timer = Timer::new().expect("a timer");
        assert!(!timer.take_expiry().expect("a read"));
        let at = clock::monotonic_micros() + 5_000;
        timer.arm_at(at).expect("armed");
        assert!(is_readable(&timer, 10_000));
        assert!(clock::monotonic_micros() >= at);
        assert!(timer.take_expiry().expect("a read"));
        assert!(!timer.take_expiry().expect("a read"));
    }

    #[test]
    fn instants_that_passed_fire_at_once_and_a_disarmed_timer_never() {
        let timer = Timer::new().expect("a timer");
        for micros in [0, 1] {
            timer.arm_at(micros).expect("armed");
            assert!(is_readable(&timer, 10_000));
        }
        timer.arm_after(Duration::ZERO).expect("armed");
        assert!(is_readable(&timer, 10_000));
        timer.disarm().expect("disarmed");
        assert!(!is_readable(&timer, 5));
        timer.arm_at(u64::MAX).expect("armed");
        assert!(!is_readable(&timer, 5));
    }

    #[test]
    fn an_undisturbed_wall_clock_reports_no_step() {
        let watch = ClockWatch::new().expect("a watch");
        assert!(!is_readable(&watch, 0));
        assert!(!watch.take_step().expect("a read"));
    }
}
