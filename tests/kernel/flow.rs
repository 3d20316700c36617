//! A flow of numbered datagrams, one way, and what became of each.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use daemon::demo::net::Place;

/// How long after the last one is sent the others are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A datagram's number and when it came.
type Arrival = (u64, Instant);

/// A flow that goes on.
pub struct Flow {
    is_over: Arc<AtomicBool>,
    sending: JoinHandle<io::Result<Vec<Instant>>>,
    receiving: JoinHandle<io::Result<Vec<Arrival>>>,
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// How many were sent.
    pub sent: usize,
    /// Those that never came, as ranges.
    pub lost: Vec<(u64, u64)>,
    /// How many came twice.
    pub doubled: usize,
    /// How many came after one that was sent later.
    pub overtaken: usize,
    /// From the first sending to the first arrival of that datagram.
    pub first: Option<Duration>,
}

impl Flow {
    /// Sends one each `interval` from one host to the other until `finish`, or `most` of them.
    pub fn start(
        (from, source): (&Place, IpAddr),
        (to, destination): (&Place, IpAddr),
        port: u16,
        interval: Duration,
        most: usize,
    ) -> io::Result<Flow> {
        let destination = SocketAddr::new(destination, port);
        let receiver = to.udp(destination)?;
        let sender = from.udp(SocketAddr::new(source, 0))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (is_ended, count) = (Arc::clone(&is_over), Arc::new(AtomicUsize::new(usize::MAX)));
        let sent = Arc::clone(&count);
        let sending = thread::spawn(move || {
            let (since, mut sent_at) = (Instant::now(), Vec::new());
            while sent_at.len() < most && !is_ended.load(Ordering::Relaxed) {
                let due = since + interval * sent_at.len() as u32;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let number = (sent_at.len() as u64).to_be_bytes();
                sent_at.push(Instant::now());
                sender.send_to(&number, destination)?;
            }
            sent.store(sent_at.len(), Ordering::Relaxed);
            Ok(sent_at)
        });
        let receiving = thread::spawn(move || receive(&receiver, &count));
        Ok(Flow { is_over, sending, receiving })
    }

    /// Waits until as many are sent as were to be.
    pub fn wait(self) -> io::Result<Outcome> {
        let sent_at = self.sending.join().expect("no panic")?;
        Ok(judge(&sent_at, &self.receiving.join().expect("no panic")?))
    }

    /// Sends no more.
    pub fn finish(self) -> io::Result<Outcome> {
        self.is_over.store(true, Ordering::Relaxed);
        self.wait()
    }
}

/// Receives until all that was sent is there, or nothing comes any more.
fn receive(socket: &UdpSocket, sent: &AtomicUsize) -> io::Result<Vec<Arrival>> {
    let (mut arrivals, mut buffer) = (Vec::new(), [0; 64]);
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut last_at = Instant::now();
    loop {
        let sent = sent.load(Ordering::Relaxed);
        if arrivals.len() >= sent || sent != usize::MAX && last_at.elapsed() > PATIENCE {
            return Ok(arrivals);
        }
        match socket.recv(&mut buffer) {
            Ok(8) => {
                last_at = Instant::now();
                let number = buffer[..8].try_into().map(u64::from_be_bytes);
                arrivals.push((number.expect("8 octets"), last_at));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn judge(sent_at: &[Instant], arrivals: &[Arrival]) -> Outcome {
    let mut came = vec![0_usize; sent_at.len()];
    let (mut highest, mut overtaken) = (0, 0);
    for (number, _) in arrivals {
        came[*number as usize] += 1;
        overtaken += usize::from(*number < highest);
        highest = highest.max(*number);
    }
    let mut lost: Vec<(u64, u64)> = Vec::new();
    for (number, _) in came.iter().enumerate().filter(|(_, times)| **times == 0) {
        let number = number as u64;
        match lost.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => lost.push((number, number)),
        }
    }
    let first = arrivals.iter().find(|(number, _)| *number == 0);
    Outcome {
        sent: sent_at.len(),
        lost,
        doubled: came.iter().filter(|times| **times > 1).count(),
        overtaken,
        first: first.map(|(_, at)| at.saturating_duration_since(sent_at[0])),
    }
}
