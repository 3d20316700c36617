//! A forwarder that delays and loses packets, for kernels without netem.
//!
//! A rule sends what comes in by any link to a TUN device; this holds each packet back and writes it
//! to the device again, from where the kernel forwards it as ever. So headers, neighbours and
//! segments stay the kernel's matter.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use linux::TransferError;
use linux::clock::monotonic_micros;
use linux::netlink::{Family, InterfaceName, Route, Rule};
use linux::poller::{Interest, Poller};
use linux::timer::Timer;
use linux::tun::Tun;

use super::quality::{QUEUE, Quality};
use crate::demo::net::Place;

const DEVICE: &str = "delay";
/// Rules before this one decide on packets before they are delayed.
pub(super) const PRIORITY: u32 = 100;
const TABLE: u32 = 100;
/// How soon the thread notices that it is to end.
const PATIENCE: Duration = Duration::from_millis(50);
const MAX_PACKET: usize = 65_536;

/// Forwards until dropped.
#[derive(Debug)]
pub(super) struct Forwarder {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Takes over what a router forwards from each of `devices`.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn start(
        router: &Place,
        devices: &[&str],
        quality: &Quality,
    ) -> io::Result<Forwarder> {
        let tun = router.inside(|| Tun::open(DEVICE))?;
        // What comes from the device has the addresses of others.
        for name in ["all", DEVICE] {
            let name = format!("net/ipv4/conf/{name}/rp_filter");
            router.namespace().write_sysctl(&name, "0")?;
        }
        let mut netlink = router.open_netlink()?;
        netlink.set_link_up(tun.index())?;
        let any = Family::V4.unspecified();
        let output = Some(tun.index());
        netlink.replace_route(&Route { output, table: TABLE, ..Route::new(any, 0) })?;
        for device in devices {
            let input = Some(InterfaceName::truncated(device));
            netlink.add_rule(&Rule { input, ..Rule::new(Family::V4, PRIORITY, TABLE) })?;
        }
        let seed = u64::from_ne_bytes(linux::random::array()?);
        let line = Line::new(quality, seed);
        let (is_over, timer) = (Arc::new(AtomicBool::new(false)), Timer::new()?);
        let mut poller = Poller::new()?;
        poller.add(tun.as_fd(), 0, Interest::Readable)?;
        poller.add(timer.as_fd(), 1, Interest::Readable)?;
        let is_ended = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let _ = forward(&tun, &timer, &mut poller, line, &is_ended);
        });
        Ok(Forwarder { is_over, thread: Some(thread) })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn forward(
    tun: &Tun,
    timer: &Timer,
    poller: &mut Poller,
    mut line: Line,
    is_over: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = vec![0; MAX_PACKET];
    while !is_over.load(Ordering::Relaxed) {
        loop {
            match tun.receive(&mut buffer) {
                Ok(len) => line.take(&buffer[..len], monotonic_micros()),
                Err(TransferError::WouldBlock) => break,
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error.into()),
            }
        }
        while let Some(packet) = line.give(monotonic_micros()) {
            // Where no link leads any more, it is lost as on any router.
            let _ = tun.send(&packet);
        }
        match line.next_at() {
            Some(at) => timer.arm_at(at)?,
            None => timer.disarm()?,
        }
        let _ = poller.wait(Some(PATIENCE))?;
        let _ = timer.take_expiry()?;
    }
    Ok(())
}

/// When a packet is due, in microseconds, and its number, which keeps those of one instant in order.
type Waiting = (u64, u64, Box<[u8]>);

/// The packets that are on their way.
struct Line {
    /// In microseconds.
    delay: u64,
    /// Of 2^32 packets, how many are lost.
    loss: u64,
    /// Octets in a microsecond.
    rate: Option<f64>,
    /// When the link to a network has sent what it was given.
    busy_until: HashMap<IpAddr, f64>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    count: u64,
    random: u64,
}

impl Line {
    fn new(quality: &Quality, seed: u64) -> Line {
        Line {
            delay: quality.delay().as_micros() as u64,
            loss: (quality.loss() * 2_f64.powi(32)) as u64,
            rate: quality.rate().map(|rate| rate / 1e6),
            busy_until: HashMap::new(),
            waiting: BinaryHeap::new(),
            count: 0,
            random: seed | 1,
        }
    }

    /// Lets a packet in, or loses it.
    fn take(&mut self, packet: &[u8], now: u64) {
        if self.draw() < self.loss {
            return;
        }
        let Some(sent_at) = self.send(packet, now) else { return };
        self.count += 1;
        self.waiting.push(Reverse((sent_at + self.delay, self.count, packet.into())));
    }

    /// When the link has sent it; `None` when its queue is full.
    fn send(&mut self, packet: &[u8], now: u64) -> Option<u64> {
        let Some(rate) = self.rate else { return Some(now) };
        let busy_until = self.busy_until.entry(network(packet)?).or_insert(0.0);
        let begins_at = busy_until.max(now as f64);
        if begins_at - now as f64 > QUEUE.as_micros() as f64 {
            return None;
        }
        *busy_until = begins_at + packet.len() as f64 / rate;
        Some(*busy_until as u64)
    }

    /// The next packet that is due.
    fn give(&mut self, now: u64) -> Option<Box<[u8]>> {
        if self.next_at()? > now {
            return None;
        }
        self.waiting.pop().map(|Reverse((_, _, packet))| packet)
    }

    fn next_at(&self) -> Option<u64> {
        self.waiting.peek().map(|Reverse((at, _, _))| *at)
    }

    /// 32 bits of xorshift64*.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }
}

/// The network of an IPv4 packet's destination: every node's uplink is a /28 of its own.
fn network(packet: &[u8]) -> Option<IpAddr> {
    let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    Some(std::net::Ipv4Addr::from_bits(u32::from_be_bytes(destination) & !15).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(to: u8, len: usize) -> Vec<u8> {
        let mut packet = vec![0; len];
        packet[0] = 0x45;
        packet[19] = to;
        packet
    }

    fn line(loss_percent: f64, rate_mbit_s: Option<f64>) -> Line {
        let round_trip = Duration::from_millis(10);
        Line::new(&Quality { round_trip, loss_percent, rate_mbit_s }, 7)
    }

    #[test]
    fn packets_come_after_their_delay_and_in_order() {
        let mut line = line(0.0, None);
        for (to, at) in [(1, 100), (2, 100), (3, 101)] {
            line.take(&packet(to, 20), at);
        }
        assert_eq!((line.give(5099), line.next_at()), (None, Some(5100)));
        let due: Vec<u8> = std::iter::from_fn(|| line.give(5100)).map(|it| it[19]).collect();
        assert_eq!((due, line.next_at()), (vec![1, 2], Some(5101)));
    }

    #[test]
    fn a_share_is_lost() {
        let mut line = line(10.0, None);
        for _ in 0..10_000 {
            line.take(&packet(1, 20), 0);
        }
        assert!((8_800..9_200).contains(&line.waiting.len()), "{}", line.waiting.len());
    }

    #[test]
    fn a_busy_link_sends_one_after_the_other_and_loses_what_waits_too_long() {
        // One octet in a microsecond.
        let mut line = line(0.0, Some(8.0));
        for to in [1, 2, 17] {
            line.take(&packet(to, 1000), 0);
        }
        let due: Vec<u64> = line.waiting.iter().map(|Reverse((at, _, _))| *at).collect();
        assert_eq!(due.iter().filter(|at| **at == 6000).count(), 2, "{due:?}");
        assert!(due.contains(&7000), "{due:?}");
        for _ in 0..100 {
            line.take(&packet(1, 1000), 0);
        }
        // 51 are sent or wait on the first link.
        assert_eq!(line.waiting.len(), 52);
    }
}
