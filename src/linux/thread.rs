//! Threads without what the standard library keeps of each: a name, a result, hooks.

use std::ffi::c_void;
use std::io;
use std::ptr;

use nix::errno::Errno;
use nix::libc;

/// What a thread is to do.
type Work = Box<dyn FnOnce() + Send>;

/// Has a thread of its own do some work, for whose end nobody waits.
///
/// # Errors
/// When the system has no thread left.
pub fn detach(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let work: *mut Work = Box::into_raw(Box::new(Box::new(work)));
    let mut thread = 0 as libc::pthread_t;
    // SAFETY: `begin` takes the work over, which is `Send` and borrows nothing.
    let code = unsafe { libc::pthread_create(&mut thread, ptr::null(), begin, work.cast()) };
    if code != 0 {
        // SAFETY: there is no thread that took it over.
        drop(unsafe { Box::from_raw(work) });
        return Err(Errno::from_raw(code).into());
    }
    // SAFETY: the thread was just made, and nobody joins it.
    unsafe { libc::pthread_detach(thread) };
    Ok(())
}

extern "C" fn begin(work: *mut c_void) -> *mut c_void {
    // SAFETY: `detach` gave this pointer away, to this thread alone.
    let work = unsafe { Box::from_raw(work.cast::<Work>()) };
    work();
    ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_work_is_done_elsewhere() {
        let (sender, receiver) = mpsc::channel();
        detach(move || sender.send(std::thread::current().id()).expect("received"))
            .expect("a thread");
        assert_ne!(receiver.recv().expect("sent"), std::thread::current().id());
    }
}
