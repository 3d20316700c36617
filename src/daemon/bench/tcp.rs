//! One TCP connection, as fast as it goes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::meter::{Measured, Meter};
use crate::demo::net::Place;

/// Neither side waits longer than this for the other.
const PATIENCE: Duration = Duration::from_secs(10);
const CHUNK: usize = 256 * 1024;

/// Sends from one machine to an address of another and measures what arrives.
///
/// # Errors
/// When no connection comes about or it stalls.
pub(super) fn run(
    from: &Place,
    to: &Place,
    address: SocketAddr,
    span: Duration,
) -> io::Result<Measured> {
    let (stream, listener) = from.tcp(to, address)?;
    let (arriving, _) = listener.accept()?;
    stream.set_write_timeout(Some(PATIENCE))?;
    arriving.set_read_timeout(Some(PATIENCE))?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(stream, &is_over));
        let received = receive(arriving, span, &is_over);
        is_over.store(true, Ordering::Relaxed);
        let sent = sending.join().map_err(|_| io::Error::other("the sender panicked"))?;
        let measured = received?;
        sent.map(|()| measured)
    })
}

fn send(mut stream: TcpStream, is_over: &AtomicBool) -> io::Result<()> {
    let chunk = vec![0x5a; CHUNK];
    while !is_over.load(Ordering::Relaxed) {
        let _ = stream.write(&chunk)?;
    }
    stream.shutdown(Shutdown::Write)
}

/// Measures, ends the sender, and takes what is on its way until then.
fn receive(mut stream: TcpStream, span: Duration, is_over: &AtomicBool) -> io::Result<Measured> {
    let (mut meter, mut buffer) = (Meter::start(span), vec![0; CHUNK]);
    loop {
        let len = stream.read(&mut buffer)?;
        meter.note(len as u64)?;
        is_over.store(meter.is_over(), Ordering::Relaxed);
        if len == 0 {
            return Ok(meter.measured());
        }
    }
}
