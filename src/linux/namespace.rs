//! Network namespaces that live as long as a descriptor and have no name in the file system.

use core::marker::PhantomData;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getpid;

use crate::process;
use crate::sysctl;

/// A network namespace; the kernel removes it, and what is in it, after its last user.
#[derive(Debug)]
pub struct NetworkNamespace {
    fd: OwnedFd,
}

impl NetworkNamespace {
    /// Makes a namespace, its loopback interface down.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`: see `user_namespace`.
    pub fn create() -> io::Result<Self> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::current()
        };
        join(thread::Builder::new().name("new namespace".into()).spawn(make)?)
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        Ok(Self { fd: File::open("/proc/thread-self/ns/net")?.into() })
    }

    /// Moves the calling thread into the namespace until the guard is dropped.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`.
    pub fn enter(&self) -> io::Result<Entered> {
        let previous = Self::current()?;
        setns(&self.fd, CloneFlags::CLONE_NEWNET)?;
        Ok(Entered { previous, bound_to_thread: PhantomData })
    }

    /// Runs `work` on a thread of its own inside the namespace.
    ///
    /// # Errors
    /// When the thread cannot be started or cannot enter.
    ///
    /// # Panics
    /// When `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let body = || {
                setns(&self.fd, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            };
            let thread = thread::Builder::new().spawn_scoped(scope, body)?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a program inside the namespace, with no signal blocked. The kernel sends it `signal`
    /// when the calling *thread* ends: call this from a thread that lives as long as the program.
    ///
    /// # Errors
    /// When it cannot be started or cannot enter.
    pub fn spawn(&self, command: &mut Command, signal: Signal) -> io::Result<Child> {
        let parent = getpid();
        let fd = self.fd.try_clone()?;
        let prepare = move || {
            process::die_with_parent(parent, signal)?;
            setns(&fd, CloneFlags::CLONE_NEWNET)?;
            SigSet::empty().thread_set_mask()?;
            Ok(())
        };
        // SAFETY: the closure makes system calls only; it neither allocates nor locks.
        unsafe { command.pre_exec(prepare) };
        command.spawn()
    }

    /// Writes a setting of the namespace, such as `net/ipv4/ip_forward`.
    ///
    /// # Errors
    /// As `sysctl::write`.
    pub fn write_sysctl(&self, name: &str, value: &str) -> io::Result<()> {
        let _entered = self.enter()?;
        sysctl::write(name, value)
    }
}

impl AsFd for NetworkNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The calling thread is in another namespace until this is dropped.
#[must_use = "the thread goes back as soon as this is dropped"]
#[derive(Debug)]
pub struct Entered {
    previous: NetworkNamespace,
    /// Only the thread that entered can go back.
    bound_to_thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        setns(&self.previous.fd, CloneFlags::CLONE_NEWNET)
            .expect("a thread may go back to a namespace that it holds open");
    }
}

fn join<T>(thread: thread::JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// True when the calling process may make network namespaces.
#[must_use]
pub fn is_allowed() -> bool {
    // CLONE_NEWNET is checked for permission and undone with the thread.
    let try_out = || unshare(CloneFlags::CLONE_NEWNET);
    let thread = thread::spawn(try_out);
    thread.join().unwrap_or(Err(Errno::EPERM)).is_ok()
}
