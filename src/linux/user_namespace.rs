//! Becoming root of a user namespace, so that an ordinary user may make network namespaces.

use core::ffi::CStr;
use core::fmt::{self, Write};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{getegid, geteuid};

use crate::system;

/// Moves the process into a new user namespace, in which it is root, and into a new network
/// namespace that belongs to it. Allocates nothing, so that it may run between fork and exec.
///
/// # Errors
/// `Unshare` when the process has several threads or the kernel does not allow it, `Map` when the
/// kernel does not let it become root there; the message has a hint for the user.
pub fn become_root() -> Result<(), Error> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(Error::Unshare)?;
    // An ordinary user may map groups only after giving up setgroups.
    write(c"/proc/self/setgroups", b"deny").map_err(Error::Map)?;
    for (file, id) in [(c"/proc/self/uid_map", user), (c"/proc/self/gid_map", group)] {
        let mut line = Line { octets: [0; 32], len: 0 };
        write!(line, "0 {id} 1").expect("a 32-bit number fits");
        write(file, &line.octets[..line.len]).map_err(Error::Map)?;
    }
    Ok(())
}

/// Has a program become root as `become_root` does, between fork and exec. Spawning it fails with
/// the error number alone when the kernel refuses.
pub fn enter_on_exec(command: &mut Command) -> &mut Command {
    let prepare = || {
        // After a change of user, the files under /proc/self belong to root until the exec.
        // SAFETY: PR_SET_DUMPABLE takes an integer.
        Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) })?;
        Ok(become_root()?)
    };
    // SAFETY: the closure makes system calls only; it neither allocates nor locks.
    unsafe { command.pre_exec(prepare) }
}

/// Why a process did not become root of a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The kernel made no user namespace.
    Unshare(Errno),
    /// The kernel refused the mapping of the user to root.
    Map(Errno),
}

impl Error {
    fn hint(self) -> &'static str {
        match self {
            Self::Unshare(Errno::EINVAL) => {
                "the kernel has no user namespaces (CONFIG_USER_NS), or the process has several \
                 threads"
            }
            Self::Unshare(Errno::ENOSPC) => {
                "there are too many, or none are allowed: sysctl user.max_user_namespaces"
            }
            Self::Unshare(_) | Self::Map(_) => {
                "run as root, or allow them: sysctl kernel.unprivileged_userns_clone=1, \
                 kernel.apparmor_restrict_unprivileged_userns=0; containers often forbid them"
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, errno) = match self {
            Self::Unshare(errno) => ("cannot make a user namespace", errno),
            Self::Map(errno) => ("cannot become root of a user namespace", errno),
        };
        write!(f, "{what}: {} ({})", system::words(*errno), self.hint())
    }
}

impl core::error::Error for Error {}

impl From<Error> for io::Error {
    /// Keeps the error number alone, which is what survives the way from a forked child.
    fn from(error: Error) -> Self {
        match error {
            Error::Unshare(errno) | Error::Map(errno) => errno.into(),
        }
    }
}

fn write(path: &CStr, bytes: &[u8]) -> Result<(), Errno> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    system::write(file.as_fd(), bytes).map(drop)
}

struct Line {
    octets: [u8; 32],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.octets.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
