//! A TCP transfer between two nodes, with its rate.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Neither side waits longer than this for the other.
const TIMEOUT: Duration = Duration::from_secs(5);
const CHUNK: usize = 128 * 1024;

/// What went through.
#[derive(Clone, Copy, Debug)]
pub struct TransferOutcome {
    /// Octets that arrived.
    pub octets: u64,
    /// From the first to the last of them.
    pub spent: Duration,
}

impl TransferOutcome {
    /// Payload in Mbit/s.
    pub fn mbit_s(&self) -> f64 {
        self.octets as f64 * 8.0 / self.spent.as_secs_f64().max(1e-9) / 1e6
    }
}

/// Sends on `stream` for `span` and counts what arrives at `listener`, which it is connected to.
///
/// # Errors
/// When a side fails or stalls, or not every octet sent arrives.
pub fn transfer(
    stream: TcpStream,
    listener: &TcpListener,
    span: Duration,
) -> io::Result<TransferOutcome> {
    let (mut arriving, _) = listener.accept()?;
    arriving.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let sending = thread::spawn(move || send(stream, span));
    let started_at = Instant::now();
    let (mut octets, mut buffer) = (0, vec![0; CHUNK]);
    loop {
        match arriving.read(&mut buffer)? {
            0 => break,
            len => octets += len as u64,
        }
    }
    let spent = started_at.elapsed();
    let sent = sending.join().map_err(|_| io::Error::other("the sender panicked"))??;
    if sent != octets {
        return Err(io::Error::other(format!("{sent} octets sent, {octets} arrived")));
    }
    Ok(TransferOutcome { octets, spent })
}

fn send(mut stream: TcpStream, span: Duration) -> io::Result<u64> {
    let (chunk, ends_at, mut sent) = (vec![0x5a; CHUNK], Instant::now() + span, 0);
    while Instant::now() < ends_at {
        sent += stream.write(&chunk)? as u64;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let outcome = transfer(stream, &listener, Duration::from_millis(20)).unwrap();
        assert!(outcome.octets > 0 && outcome.mbit_s() > 0.0);
    }
}
