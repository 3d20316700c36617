//! A TCP connection that carries a steady stream, and when its octets arrived.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Octets written each time: two segments.
const CHUNK: usize = 2600;
/// What could not be written more often than this is left out, so that a stall is followed by no
/// flood.
const BACKLOG: u32 = 4;
/// How soon a thread notices that it is to end.
const PATIENCE: Duration = Duration::from_millis(50);

/// Octets that arrived at an instant, from the beginning of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Arrival {
    pub(super) at: Duration,
    pub(super) octets: usize,
}

/// A stream that goes on until it is finished or dropped.
#[derive(Debug)]
pub(super) struct Download {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    started_at: Instant,
    interval: Duration,
    is_over: AtomicBool,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    arrivals: Vec<Arrival>,
    /// Why the connection ended, if it did.
    error: Option<io::Error>,
}

impl Shared {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a thread is for, and notes why it ended too early.
    fn note_end(&self, work: impl FnOnce() -> io::Result<()>) {
        if let Err(error) = work()
            && !self.is_over.load(Ordering::Relaxed)
        {
            self.log().error.get_or_insert(error);
        }
    }
}

impl Download {
    /// Starts to write to one end each `interval` and to read from the other; times count from
    /// `started_at`.
    ///
    /// # Errors
    /// When a socket cannot be given a timeout.
    pub(super) fn start(
        sending: TcpStream,
        receiving: TcpStream,
        interval: Duration,
        started_at: Instant,
    ) -> io::Result<Download> {
        sending.set_nodelay(true)?;
        sending.set_write_timeout(Some(PATIENCE))?;
        receiving.set_read_timeout(Some(PATIENCE))?;
        let (is_over, log) = (AtomicBool::new(false), Mutex::default());
        let shared = Arc::new(Shared { started_at, interval, is_over, log });
        let (of_sender, of_receiver) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::spawn(move || of_sender.note_end(|| send(&sending, &of_sender))),
            thread::spawn(move || of_receiver.note_end(|| receive(&receiving, &of_receiver))),
        ];
        Ok(Download { shared, threads })
    }

    /// When octets arrived last.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(super) fn last_at(&self) -> io::Result<Option<Duration>> {
        let mut log = self.shared.log();
        match log.error.take() {
            Some(error) => {
                Err(io::Error::new(error.kind(), format!("the TCP connection ended: {error}")))
            }
            None => Ok(log.arrivals.last().map(|arrival| arrival.at)),
        }
    }

    /// Ends it and gives all.
    pub(super) fn finish(mut self) -> Vec<Arrival> {
        self.end();
        std::mem::take(&mut self.shared.log().arrivals)
    }

    fn end(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.end();
    }
}

fn send(mut stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let (chunk, mut due) = ([0x5a; CHUNK], shared.started_at.elapsed());
    while !shared.is_over.load(Ordering::Relaxed) {
        let now = shared.started_at.elapsed();
        match stream.write(&chunk) {
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
        due = (due + shared.interval).max(now.saturating_sub(shared.interval * BACKLOG));
        thread::sleep(due.saturating_sub(now));
    }
    Ok(())
}

fn receive(mut stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while !shared.is_over.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(octets) => {
                let at = shared.started_at.elapsed();
                shared.log().arrivals.push(Arrival { at, octets });
            }
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What TCP gives up with is another error.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(1);

    #[test]
    fn octets_arrive_and_an_end_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sending = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (receiving, _) = listener.accept().unwrap();
        let other = receiving.try_clone().unwrap();
        let download = Download::start(sending, receiving, INTERVAL, Instant::now()).unwrap();
        while download.last_at().unwrap().is_none() {
            thread::sleep(INTERVAL);
        }
        other.shutdown(std::net::Shutdown::Both).unwrap();
        let ended = loop {
            match download.last_at() {
                Ok(_) => thread::sleep(INTERVAL),
                Err(error) => break error.to_string(),
            }
        };
        assert!(ended.starts_with("the TCP connection ended: "), "{ended}");
        let arrivals = download.finish();
        assert!(arrivals.iter().map(|arrival| arrival.octets).sum::<usize>() >= CHUNK);
    }
}
