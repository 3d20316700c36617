//! What a process asks the kernel about itself.

use std::io;

use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

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
