//! What a process asks the kernel about itself.

use core::ffi::CStr;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};

/// A variable of the environment, which nothing here ever sets.
pub fn variable(name: &CStr) -> Option<OsString> {
    // SAFETY: the name ends with a NUL, and nobody changes the environment meanwhile.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: what is not null is a text of the C library's.
    let value = (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })?;
    Some(OsStr::from_bytes(value.to_bytes()).to_owned())
}

/// Keeps keys out of core dumps and debuggers. Files under `/proc/self` belong to root from then
/// on: enter a user namespace before, not after.
///
/// # Errors
/// When the kernel refuses.
pub fn deny_core_dumps() -> io::Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes an integer.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}

/// Goes on as another user, with `CAP_NET_ADMIN` and `CAP_NET_RAW` of all that root may, and
/// without a way to become more.
///
/// # Errors
/// `ENOENT` when there is no such user, `EPERM` when this process may not.
pub fn become_user(name: &CStr) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    const CAPABILITIES: u32 = 1 << 12 | 1 << 13;
    // SAFETY: the name ends with a NUL; the entry is read before another one is asked for.
    let ids = unsafe { libc::getpwnam(name.as_ptr()).as_ref() };
    let (user, group) = ids.map(|one| (one.pw_uid, one.pw_gid)).ok_or(Errno::ENOENT)?;
    // Effective, permitted and inheritable ones; then those above 32.
    let sets = [CAPABILITIES, CAPABILITIES, 0, 0, 0, 0];
    let header = [VERSION_3, 0];
    // SAFETY: there are no groups to read; the others take integers.
    unsafe {
        Errno::result(libc::setgroups(0, core::ptr::null()))?;
        Errno::result(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0))?;
        Errno::result(libc::setresgid(group, group, group))?;
        Errno::result(libc::setresuid(user, user, user))?;
    }
    // SAFETY: the kernel reads a header of two words and, for this version, two sets of three.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) })?;
    // SAFETY: PR_SET_NO_NEW_PRIVS takes integers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    Ok(())
}

/// Keeps all memory, present and future, out of swap.
///
/// # Errors
/// Without `CAP_IPC_LOCK` when the process is larger than its limit.
pub fn lock_memory() -> io::Result<()> {
    Ok(mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)?)
}

/// Has the kernel send a signal to this process when the *thread* that started it ends.
/// Allocates nothing, so that it may run between fork and exec.
///
/// # Errors
/// `ESRCH` when the parent is not `parent` any more.
pub fn die_with_parent(parent: Pid, signal: Signal) -> Result<(), Errno> {
    // SAFETY: PR_SET_PDEATHSIG takes an integer.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as c_int, 0, 0, 0) })?;
    // A parent that died before the call sends nothing.
    if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Sends a signal to one process.
///
/// # Errors
/// `EINVAL` for a number that is no single process, `ESRCH` when it is gone, `EPERM` when it
/// belongs to somebody else.
pub fn send_signal(process: u32, signal: Signal) -> io::Result<()> {
    // Zero and negative numbers would mean groups of processes.
    let process = i32::try_from(process).ok().filter(|&process| process > 0);
    Ok(kill(Pid::from_raw(process.ok_or(Errno::EINVAL)?), signal)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    fn a_signal_reaches_its_process_and_no_group() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("a child");
        send_signal(child.id(), Signal::SIGTERM).expect("sent");
        assert_eq!(child.wait().expect("ended").signal(), Some(Signal::SIGTERM as i32));
        for number in [0, u32::MAX] {
            assert!(send_signal(number, Signal::SIGCONT).is_err());
        }
    }
}
