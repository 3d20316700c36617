//! Numbered UDP datagrams, many to a system call, at a rate or as fast as the way takes them.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use linux::TransferError;
use linux::poller::{Interest, Poller};
use linux::udp::{Offload, ReceiveBatch, SendBatch, Socket};

use super::meter::{Measured, Meter};
use super::numbers::{Header, Numbers};
use super::receipts::Receipts;
use crate::demo::net::Place;

/// Datagrams that are made before the kernel gets them.
const BATCH: usize = 128;
/// Between two looks at a clock that does not want a datagram yet.
const NAP: Duration = Duration::from_micros(300);
/// How long a socket may be full, in milliseconds, before the sender looks whether it is to end.
const FULL_MILLIS: u16 = 50;
/// How soon the receiver notices that it is to end.
const PATIENCE: Duration = Duration::from_millis(10);
/// When nothing came for so long, nothing is on its way.
const SILENCE: Duration = Duration::from_millis(60);
/// What is on its way after a run is waited for no longer than this.
const DRAINING: Duration = Duration::from_secs(2);
/// Messages that the receiver takes at once, and their length where they are joined.
const MESSAGES: usize = 16;
const JOINED_LEN: usize = 65536;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// Octets of payload in a datagram.
    pub(super) datagram_len: usize,
    /// Payload offered in Mbit/s; `None` is as fast as the way takes it, hardly losing any.
    pub(super) mbit_s: Option<f64>,
    /// How long what arrives is counted.
    pub(super) span: Duration,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// Payload in Mbit/s that was offered.
    pub(super) offered_mbit_s: f64,
    /// What arrived, each datagram once.
    pub(super) measured: Measured,
}

/// Sends from an address of one machine to an address of another and measures what arrives.
///
/// # Errors
/// When an address is taken, or a datagram does not fit the path.
pub(super) fn run(
    from: (&Place, SocketAddr),
    to: (&Place, SocketAddr),
    offload: Offload,
    stream: &Stream,
) -> io::Result<Outcome> {
    let sending = from.0.inside(|| Socket::bind(from.1))?;
    let receiving = to.0.inside(|| Socket::bind(to.1))?;
    if offload.joins {
        receiving.set_joining(true)?;
    }
    let run = u64::from_be_bytes(linux::random::array()?);
    let receipts = Receipts::default();
    let sender = Sender { run, to: to.1, stream, splits: offload.splits, receipts: &receipts };
    let receiver = Receiver { run, stream, joins: offload.joins, receipts: &receipts };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sent = scope.spawn(|| sender.send(&sending, &is_over));
        let received = receiver.receive(&receiving, &is_over);
        is_over.store(true, Ordering::Relaxed);
        let sent = sent.join().map_err(|_| io::Error::other("the sender panicked"))?;
        Ok(Outcome { offered_mbit_s: sent?, measured: received? })
    })
}

struct Sender<'a> {
    run: u64,
    to: SocketAddr,
    stream: &'a Stream,
    splits: bool,
    receipts: &'a Receipts,
}

impl Sender<'_> {
    /// Sends until told to end; the rate in Mbit/s that it came to.
    fn send(&self, socket: &Socket, is_over: &AtomicBool) -> io::Result<f64> {
        let len = self.stream.datagram_len;
        let per_second = self.stream.mbit_s.map(|rate| rate * 1e6 / 8.0 / len as f64);
        let mut batch = SendBatch::new(BATCH, len);
        batch.set_segmenting(self.splits);
        let (started_at, mut number) = (Instant::now(), 0);
        while !is_over.load(Ordering::Relaxed) {
            let due = match per_second {
                None => self.receipts.wait_for_room(number),
                Some(rate) => {
                    ((started_at.elapsed().as_secs_f64() * rate) as u64).saturating_sub(number)
                }
            };
            if due == 0 {
                thread::sleep(NAP);
                continue;
            }
            for _ in 0..due.min(BATCH as u64) {
                let Some(room) = batch.lend(len) else { break };
                Header { run: self.run, number }.emit(room);
                batch.commit(self.to, len);
                number += 1;
            }
            deliver(socket, &mut batch, is_over)?;
        }
        let octets = number as f64 * len as f64;
        Ok(octets * 8.0 / started_at.elapsed().as_secs_f64().max(1e-9) / 1e6)
    }
}

/// Gives the kernel the whole batch.
fn deliver(socket: &Socket, batch: &mut SendBatch, is_over: &AtomicBool) -> io::Result<()> {
    while !batch.is_empty() && !is_over.load(Ordering::Relaxed) {
        match socket.send_batch(batch) {
            Ok(_) => {}
            Err(TransferError::WouldBlock) => {
                let _ = socket.wait_writable(FULL_MILLIS);
            }
            // A full queue: it is lost, as on the way.
            Err(TransferError::Network(_)) => batch.skip(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

struct Receiver<'a> {
    run: u64,
    stream: &'a Stream,
    joins: bool,
    receipts: &'a Receipts,
}

impl Receiver<'_> {
    /// Measures, ends the sender, and takes what is on its way then.
    fn receive(&self, socket: &Socket, is_over: &AtomicBool) -> io::Result<Measured> {
        let (count, slot_len) =
            if self.joins { (MESSAGES, JOINED_LEN) } else { (BATCH, self.stream.datagram_len) };
        let mut batch = ReceiveBatch::new(count, slot_len);
        let mut poller = Poller::new()?;
        poller.add(socket, 0, Interest::Readable)?;
        let (mut meter, mut numbers) = (Meter::start(self.stream.span), Numbers::default());
        let (mut last_at, mut ended_at) = (Instant::now(), None);
        loop {
            let octets = match socket.receive_batch(&mut batch) {
                Ok(_) => self.take(&mut batch, &mut numbers),
                Err(TransferError::WouldBlock) => {
                    let _ = poller.wait(Some(PATIENCE))?;
                    0
                }
                Err(error) if error.is_transient() => 0,
                Err(error) => return Err(error.into()),
            };
            meter.note(octets)?;
            if octets > 0 {
                last_at = Instant::now();
            }
            if meter.is_over() {
                is_over.store(true, Ordering::Relaxed);
                let since = *ended_at.get_or_insert_with(Instant::now);
                if since.max(last_at).elapsed() > SILENCE || since.elapsed() > DRAINING {
                    return Ok(meter.measured());
                }
            }
        }
    }

    /// Octets of the datagrams that belong to this run and were not here before.
    fn take(&self, batch: &mut ReceiveBatch, numbers: &mut Numbers) -> u64 {
        let (mut octets, mut newest) = (0, None);
        for index in 0..batch.len() {
            let Some((datagrams, _)) = batch.datagrams(index) else { continue };
            for datagram in datagrams {
                let header = Header::parse(datagram).filter(|header| header.run == self.run);
                let Some(Header { number, .. }) = header else { continue };
                newest = newest.max(Some(number));
                octets += if numbers.insert(number) { datagram.len() as u64 } else { 0 };
            }
        }
        if let Some(newest) = newest {
            self.receipts.note(newest);
        }
        octets
    }
}
