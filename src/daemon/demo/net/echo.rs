//! UDP echo: a server on a node, and a client that numbers what it sends and misses what is lost.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The echo protocol's port (RFC 862).
pub const PORT: u16 = 7;
/// How soon a thread notices that it is to end.
const PATIENCE: Duration = Duration::from_millis(50);
/// A number and padding, like a small voice packet.
const DATAGRAM: usize = 160;

/// Answers until dropped.
#[derive(Debug)]
pub struct EchoServer {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl EchoServer {
    /// Answers on these sockets, each from the address it is bound to.
    ///
    /// # Errors
    /// When a socket cannot be given a timeout.
    pub fn start(sockets: Vec<UdpSocket>) -> io::Result<EchoServer> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for socket in sockets {
            socket.set_read_timeout(Some(PATIENCE))?;
            let is_over = Arc::clone(&is_over);
            threads.push(thread::spawn(move || serve(&socket, &is_over)));
        }
        Ok(EchoServer { is_over, threads })
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, is_over: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    }
}

/// What came back of a stream of numbered datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct EchoOutcome {
    /// Datagrams sent.
    pub sent: u64,
    /// Of those, never echoed.
    pub lost: u64,
    /// From the first datagram to its echo, if that came.
    pub first_reply: Option<Duration>,
    /// The longest time without an echo, from the first sending on.
    pub longest_gap: Duration,
}

/// When and how a stream is sent.
#[derive(Clone, Copy, Debug)]
pub struct EchoPlan {
    /// Datagrams to send.
    pub count: u64,
    /// Time between two of them.
    pub interval: Duration,
    /// How long after the last one its echo is waited for.
    pub patience: Duration,
}

/// Sends a stream to an echo server and waits for its echoes.
///
/// A send that fails, as while no uplink is up, counts as a datagram lost.
///
/// # Errors
/// When the socket fails on receiving for another reason than a timeout or an ICMP error.
pub fn stream(socket: &UdpSocket, to: SocketAddr, plan: &EchoPlan) -> io::Result<EchoOutcome> {
    let sender = socket.try_clone()?;
    let plan = *plan;
    let started_at = Instant::now();
    let sending = thread::spawn(move || send(&sender, to, &plan, started_at));
    let received = receive(socket, &plan, started_at);
    let sent = sending.join().unwrap_or(0);
    let mut outcome = received?;
    outcome.sent = sent;
    outcome.lost = sent.saturating_sub(outcome.lost);
    Ok(outcome)
}

fn send(socket: &UdpSocket, to: SocketAddr, plan: &EchoPlan, started_at: Instant) -> u64 {
    let mut datagram = [0; DATAGRAM];
    for number in 0..plan.count {
        let due = started_at + plan.interval * u32::try_from(number).unwrap_or(u32::MAX);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        datagram[..8].copy_from_slice(&number.to_be_bytes());
        let _ = socket.send_to(&datagram, to);
    }
    plan.count
}

/// Receives until all are back or patience ends; `lost` is how many *came* here.
fn receive(socket: &UdpSocket, plan: &EchoPlan, started_at: Instant) -> io::Result<EchoOutcome> {
    let sending = plan.interval * u32::try_from(plan.count).unwrap_or(u32::MAX);
    let ends_at = started_at + sending + plan.patience;
    let mut seen = HashSet::new();
    let mut outcome = EchoOutcome::default();
    let (mut last_at, mut buffer) = (started_at, [0; 2048]);
    while seen.len() < usize::try_from(plan.count).unwrap_or(usize::MAX) {
        let left = ends_at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left.min(PATIENCE).max(Duration::from_millis(1))))?;
        let Some(number) = receive_number(socket, &mut buffer)? else { continue };
        let now = Instant::now();
        if number == 0 && outcome.first_reply.is_none() {
            outcome.first_reply = Some(now - started_at);
        }
        seen.insert(number);
        outcome.longest_gap = outcome.longest_gap.max(now - last_at);
        last_at = now;
    }
    if seen.len() < usize::try_from(plan.count).unwrap_or(usize::MAX) {
        // What is missing at the end is a gap too, up to where sending ended.
        let unheard = (started_at + sending).saturating_duration_since(last_at);
        outcome.longest_gap = outcome.longest_gap.max(unheard);
    }
    outcome.lost = seen.len() as u64;
    Ok(outcome)
}

/// The number of the next echo; `None` on a timeout or an ICMP error.
fn receive_number(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<u64>> {
    match socket.recv_from(buffer) {
        Ok((len, _)) => Ok(buffer[..len].first_chunk().map(|number| u64::from_be_bytes(*number))),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: EchoPlan = EchoPlan {
        count: 20,
        interval: Duration::from_millis(1),
        patience: Duration::from_millis(200),
    };

    #[test]
    fn every_echo_of_a_server_is_counted() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let _server = EchoServer::start(vec![server]).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let outcome = stream(&client, to, &PLAN).unwrap();
        assert_eq!((outcome.sent, outcome.lost), (20, 0));
        assert!(outcome.first_reply.is_some() && outcome.longest_gap > Duration::ZERO);
    }

    #[test]
    fn a_silent_server_loses_all_of_them() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let outcome = stream(&client, silent.local_addr().unwrap(), &PLAN).unwrap();
        assert_eq!((outcome.sent, outcome.lost, outcome.first_reply), (20, 20, None));
        assert!(outcome.longest_gap >= Duration::from_millis(20));
    }
}
