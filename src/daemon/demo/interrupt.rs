//! Ctrl-C and `kill`: what the demo or a bench made goes away at once, whatever it is doing.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use linux::poller::{Interest, Poller};
use linux::process::send_signal;
use linux::signals::{Signal, Signals};

use super::net::scratch;

/// Waits for signals on a thread of its own.
///
/// Ending this process is enough for its namespaces, which the kernel takes along. What it started
/// is ended before, so that no more files are made, then its temporary directories are removed, and
/// the files that are named here.
#[derive(Debug)]
pub(crate) struct Interrupt {
    ending: Arc<Mutex<Ending>>,
}

#[derive(Debug, Default)]
struct Ending {
    traces: Vec<PathBuf>,
    code: Option<u8>,
}

impl Interrupt {
    /// Starts to wait; to be called before any other thread is started.
    pub(crate) fn watch() -> io::Result<Interrupt> {
        let signals = Signals::block(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
        let ending = Arc::new(Mutex::new(Ending::default()));
        let shared = Arc::clone(&ending);
        thread::spawn(move || {
            let signal = wait(&signals).unwrap_or(Signal::SIGTERM);
            // Held until the process is gone: the main thread cannot end it with another code.
            let ending = shared.lock().unwrap_or_else(PoisonError::into_inner);
            end_children();
            for trace in &ending.traces {
                let _ = fs::remove_file(trace);
            }
            scratch::remove_own();
            // As a shell reports a program that a signal ended.
            process::exit(ending.code.map_or(128 + signal as i32, i32::from))
        });
        Ok(Interrupt { ending })
    }

    /// Removes this file, too, when a signal comes.
    pub(crate) fn remove_on_signal(&self, trace: PathBuf) {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).traces.push(trace);
    }

    /// A signal is the expected end from now on, with this exit code.
    pub(crate) fn exit_with(&self, code: u8) {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).code = Some(code);
    }
}

fn end_children() {
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for children in tasks.filter_map(of_task) {
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            let _ = send_signal(child, Signal::SIGKILL);
        }
    }
}

fn wait(signals: &Signals) -> io::Result<Signal> {
    let mut poller = Poller::new()?;
    poller.add(signals, 0, Interest::Readable)?;
    loop {
        if let Some(signal) = signals.receive()? {
            return Ok(signal);
        }
        let _ = poller.wait(None)?;
    }
}
