//! Datagrams at even intervals, and when the echo of each came.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How soon a thread notices that it is to end.
const PATIENCE: Duration = Duration::from_millis(50);
/// A number and padding, like a small voice packet.
const DATAGRAM: usize = 160;

/// A datagram: when it was sent and when its echo came, from the beginning of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Echo {
    pub(super) sent_at: Duration,
    pub(super) received_at: Option<Duration>,
}

/// A stream that goes on until it is finished or dropped.
#[derive(Debug)]
pub(super) struct Echoes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    started_at: Instant,
    interval: Duration,
    is_sent: AtomicBool,
    is_over: AtomicBool,
    log: Mutex<Vec<Echo>>,
}

impl Shared {
    fn log(&self) -> std::sync::MutexGuard<'_, Vec<Echo>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Echoes {
    /// Starts to send to an echo server each `interval`; times count from `started_at`.
    ///
    /// A send that fails, as while no uplink is up, is a datagram without an echo.
    ///
    /// # Errors
    /// When the socket cannot be given a timeout.
    pub(super) fn start(
        socket: UdpSocket,
        to: SocketAddr,
        interval: Duration,
        started_at: Instant,
    ) -> io::Result<Echoes> {
        socket.set_read_timeout(Some(PATIENCE))?;
        let sender = socket.try_clone()?;
        let shared = Arc::new(Shared {
            started_at,
            interval,
            is_sent: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            log: Mutex::default(),
        });
        let (sending, receiving) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::spawn(move || send(&sender, to, &sending)),
            thread::spawn(move || receive(&socket, &receiving)),
        ];
        Ok(Echoes { shared, threads })
    }

    /// How many came of those sent since `from`, and how many those are.
    pub(super) fn arrived_since(&self, from: Duration) -> (usize, usize) {
        let log = self.shared.log();
        let late = &log[log.partition_point(|echo| echo.sent_at < from)..];
        (late.iter().filter(|echo| echo.received_at.is_some()).count(), late.len())
    }

    /// Ends sending, waits for what is on its way, and gives all.
    pub(super) fn finish(mut self, patience: Duration) -> Vec<Echo> {
        self.shared.is_sent.store(true, Ordering::Relaxed);
        thread::sleep(patience);
        self.end();
        std::mem::take(&mut *self.shared.log())
    }

    fn end(&mut self) {
        self.shared.is_sent.store(true, Ordering::Relaxed);
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Echoes {
    fn drop(&mut self) {
        self.end();
    }
}

/// A kernel in user mode pays dearly for each system call: there are three to a datagram.
fn send(socket: &UdpSocket, to: SocketAddr, shared: &Shared) {
    let (mut datagram, mut due) = ([0; DATAGRAM], shared.started_at.elapsed());
    while !shared.is_sent.load(Ordering::Relaxed) {
        let sent_at = shared.started_at.elapsed();
        let number = {
            let mut log = shared.log();
            log.push(Echo { sent_at, received_at: None });
            log.len() as u64 - 1
        };
        datagram[..8].copy_from_slice(&number.to_be_bytes());
        let _ = socket.send_to(&datagram, to);
        due += shared.interval;
        thread::sleep(due.saturating_sub(sent_at));
    }
}

fn receive(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 2048];
    while !shared.is_over.load(Ordering::Relaxed) {
        // What fails is a timeout, or an ICMP error while no uplink is up.
        let Ok((len, _)) = socket.recv_from(&mut buffer) else { continue };
        let now = shared.started_at.elapsed();
        let Some(number) = buffer[..len].first_chunk().copied().map(u64::from_be_bytes) else {
            continue;
        };
        let mut log = shared.log();
        let echo = usize::try_from(number).ok().and_then(|number| log.get_mut(number));
        if let Some(echo) = echo {
            echo.received_at.get_or_insert(now);
        }
    }
}

/// The longest time between two of these instants, of which the later is after `from`, or from the
/// last one to `end`.
pub(super) fn longest_gap(
    instants: impl Iterator<Item = Duration>,
    from: Duration,
    end: Duration,
) -> Duration {
    let mut instants: Vec<Duration> = instants.filter(|at| *at <= end).collect();
    instants.push(end);
    instants.sort_unstable();
    let around = instants.windows(2).filter(|pair| pair[1] > from);
    around.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::net::EchoServer;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn every_echo_is_noted_once() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let _server = EchoServer::start(vec![server]).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let echoes = Echoes::start(client, to, ms(1), Instant::now()).unwrap();
        while echoes.arrived_since(Duration::ZERO).0 < 20 {
            thread::sleep(ms(1));
        }
        let log = echoes.finish(ms(200));
        assert!(log.len() >= 20 && log.iter().all(|echo| echo.received_at > Some(echo.sent_at)));
        assert!(log.windows(2).all(|pair| pair[0].sent_at <= pair[1].sent_at));
    }

    #[test]
    fn a_gap_is_around_the_event_or_at_the_end() {
        let gap = |instants: &[u64], from, end| {
            longest_gap(instants.iter().copied().map(ms), ms(from), ms(end))
        };
        assert_eq!(gap(&[0, 50, 51, 60, 61], 55, 62), ms(9));
        assert_eq!(gap(&[0, 50, 51, 60, 61], 50, 62), ms(9));
        assert_eq!(gap(&[51, 0, 50], 49, 52), ms(50));
        assert_eq!(gap(&[0, 1, 2], 1, 90), ms(88));
        assert_eq!(gap(&[], 1, 90), Duration::ZERO);
    }
}
