//! Stretches of the program whose instructions are counted.

use std::ffi::c_int;
use std::hint::black_box;

/// No process has such priorities: a system call that says something to the emulator alone.
const BEGIN: c_int = 0x4c47_0000;
const END: c_int = 0x4c47_8000;

unsafe extern "C" {
    safe fn getpriority(which: c_int, who: u32) -> c_int;
}

/// What is counted.
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Window {
    Empty,
    LookupV4,
    LookupV6,
    MapReply,
    Routes,
    Seal,
    Send,
    Open,
    Receive,
    /// What the kernel does that stands in for a real one: nothing of it is ours.
    Kernel,
    KnownPeer,
}

impl Window {
    /// Counts what `work` executes, which does something so many times. A window that it is inside
    /// of counts none of it.
    pub fn count<T>(self, times: u32, work: impl FnOnce() -> T) -> T {
        getpriority(BEGIN | self as c_int, 0);
        let result = black_box(work());
        getpriority(END | self as c_int, times);
        result
    }
}

/// What a window itself costs.
pub fn empty() {
    Window::Empty.count(1, || ());
}
