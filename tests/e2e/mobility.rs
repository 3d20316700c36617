//! A phone that changes its access point, and a flow that notices.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use daemon::demo::net::world::{PHONE, PHONE_HOST};
use daemon::demo::net::{Node, Place, World};
use linux::netlink::{Address, Family, Route, Socket};
use serde::Deserialize;

use crate::testbed::eventually;

/// After this time without an echo none is expected any more.
const QUIET: Duration = Duration::from_secs(1);

/// A link of the underlay router and what a machine has on it.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Its device on the underlay router.
    pub there: &'static str,
    /// Its device on the machine.
    pub device: &'static str,
    /// The machine's address, with its length.
    pub address: &'static str,
    /// The router's address, with its length.
    pub gateway: &'static str,
}

/// The phone's first access point.
pub const AP1: Link =
    Link { there: "ap1", device: "ap1", address: "203.0.113.2/28", gateway: "203.0.113.1/28" };
/// The phone's second access point.
pub const AP2: Link =
    Link { there: "ap2", device: "ap2", address: "203.0.113.18/28", gateway: "203.0.113.17/28" };

/// An address without its length.
pub fn ip(address: &str) -> IpAddr {
    let text = address.split('/').next().unwrap_or_default();
    text.parse().expect("the constant is an address")
}

impl Link {
    /// The RLOC.
    pub fn rloc(&self) -> IpAddr {
        ip(self.address)
    }

    /// The machine hears the access point; it has no address there.
    pub fn associate(&self, world: &World, place: &Place) -> io::Result<()> {
        world.internet.set_up(self.there)?;
        place.set_up(self.device)?;
        world.internet.wait_until_running(self.there)?;
        place.wait_until_running(self.device)
    }

    /// The machine gets its address and default route.
    pub fn configure(&self, place: &Place) -> io::Result<()> {
        place.add_address(self.device, self.address)?;
        place.add_default_route(ip(self.gateway))
    }

    /// Its access point is out of reach, and what the machine had there goes.
    pub fn leave(&self, world: &World, place: &Place) -> io::Result<()> {
        world.internet.set_down(self.there)?;
        place.set_down(self.device)?;
        remove_address(place, self.device, self.address)
    }
}

/// Takes an address from a device; with IPv6 it may be gone with its link.
pub fn remove_address(place: &Place, device: &str, address: &str) -> io::Result<()> {
    let len = address.rsplit('/').next().and_then(|len| len.parse().ok()).unwrap_or(0);
    place.inside(|| {
        let mut socket = Socket::open()?;
        let index = socket.link_index(device)?;
        let gone = socket.delete_address(&Address::new(index, ip(address), len));
        if ip(address).is_ipv6() { Ok(()) } else { Ok(gone?) }
    })
}

/// A default route beside the one that is there.
pub fn add_default_route(place: &Place, link: &Link, metric: u32) -> io::Result<()> {
    place.inside(|| {
        let mut socket = Socket::open()?;
        let (gateway, metric) = (Some(ip(link.gateway)), Some(metric));
        let output = Some(socket.link_index(link.device)?);
        let any = Family::of(link.rloc()).unspecified();
        Ok(socket.add_route(&Route { gateway, metric, output, ..Route::new(any, 0) })?)
    })
}

/// The phone hears another access point, loses its own, and gets its address at the other.
pub fn move_phone(world: &World, from: &Link, to: &Link) -> io::Result<()> {
    let phone = world.phone.place();
    to.associate(world, phone)?;
    from.leave(world, phone)?;
    to.configure(phone)
}

/// A row of a node's map-cache or list of registrations: where something is.
#[derive(Debug, Default, Deserialize)]
struct Whereabouts {
    map_cache: Vec<Mapping>,
    data_tunnels: Vec<DataTunnel>,
}

#[derive(Debug, Default, Deserialize)]
struct Mapping {
    eid_prefix: String,
    rlocs: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct DataTunnel {
    key: String,
    endpoint: Option<String>,
    eid_prefixes: Vec<String>,
}

fn whereabouts(node: &Node) -> Whereabouts {
    let Ok((_, json)) = node.ask("status json") else { return Whereabouts::default() };
    let mut escapes = vec![0; json.len()];
    serde_json_core::from_str_escaped(&json, &mut escapes).map(|(read, _)| read).unwrap_or_default()
}

/// Where a node's map-cache has an EID-prefix.
pub fn mapped(node: &Node, eid_prefix: &str) -> Vec<String> {
    let rows = whereabouts(node).map_cache;
    let row = rows.into_iter().find(|row| row.eid_prefix == eid_prefix);
    row.map(|row| row.rlocs).unwrap_or_default()
}

/// Where a node's packets to an EID-prefix go now.
pub fn endpoint(node: &Node, eid_prefix: &str) -> Option<IpAddr> {
    let reaches = |one: &DataTunnel| one.eid_prefixes.iter().any(|prefix| prefix == eid_prefix);
    let tunnel = whereabouts(node).data_tunnels.into_iter().find(reaches)?;
    Some(tunnel.endpoint?.parse::<SocketAddr>().ok()?.ip())
}

/// Keys of a node's data tunnels, sorted.
pub fn data_peers(node: &Node) -> Vec<String> {
    let mut keys: Vec<_> = whereabouts(node).data_tunnels.into_iter().map(|one| one.key).collect();
    keys.sort();
    keys
}

/// Where the Map-Server has a site.
pub fn registered(world: &World, site: &str) -> Vec<String> {
    let status = world.map_server.status().unwrap_or_default();
    status.site(site).map(|site| site.rlocs.clone()).unwrap_or_default()
}

/// Waits until the Map-Server has the phone at these RLOCs, and at no others.
pub fn wait_until_registered(world: &World, site: &str, rlocs: &[IpAddr]) {
    let mut wanted: Vec<_> = rlocs.iter().map(IpAddr::to_string).collect();
    wanted.sort();
    let found = || {
        let mut found = registered(world, site);
        found.sort();
        found
    };
    assert!(eventually(|| found() == wanted), "{site} is registered at {:?}", found());
}

/// Waits until a node's map-cache has all of the phone's EID-prefixes that it has at this RLOC.
pub fn wait_until_mapped(node: &Node, rloc: IpAddr) {
    let rloc = rloc.to_string();
    let found = || PHONE.map(|prefix| mapped(node, prefix)).into_iter().find(|one| !one.is_empty());
    let is_there = || found().is_some_and(|rlocs| rlocs == [rloc.clone()]);
    assert!(eventually(is_there), "{} has the phone at {:?}", node.name(), found());
}

/// A stream of numbered datagrams to an echo server, until it is ended.
#[derive(Debug)]
pub struct Echo {
    shared: Arc<Shared>,
    sending: Option<JoinHandle<()>>,
    hearing: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    is_deaf: AtomicBool,
    sent: AtomicU64,
    heard: Mutex<HashSet<u64>>,
}

impl Shared {
    fn heard(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a stream.
#[derive(Debug)]
pub struct Echoed {
    /// Datagrams sent.
    pub sent: u64,
    /// Those never echoed, as ranges of their numbers.
    pub lost: Vec<(u64, u64)>,
}

impl Echoed {
    /// How many were never echoed.
    pub fn count_lost(&self) -> u64 {
        self.lost.iter().map(|(first, last)| last - first + 1).sum()
    }
}

impl Echo {
    /// From the phone's first address.
    pub fn from_phone(world: &World, to: SocketAddr, interval: Duration) -> io::Result<Echo> {
        Echo::start(world.phone.place().udp(SocketAddr::new(PHONE_HOST[0], 0))?, to, interval)
    }

    /// Sends one each `interval`.
    pub fn start(socket: UdpSocket, to: SocketAddr, interval: Duration) -> io::Result<Echo> {
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let shared = Arc::new(Shared::default());
        let (sender, of_sender) = (socket.try_clone()?, Arc::clone(&shared));
        let of_hearer = Arc::clone(&shared);
        let sending = thread::spawn(move || send(&sender, to, interval, &of_sender));
        let hearing = thread::spawn(move || hear(&socket, &of_hearer));
        Ok(Echo { shared, sending: Some(sending), hearing: Some(hearing) })
    }

    /// How many are sent.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Waits until `count` of those sent from now on are echoed.
    ///
    /// # Panics
    /// When they are not within `PATIENCE`.
    pub fn wait_for(&self, count: usize) {
        let from = self.sent();
        let newer = || self.shared.heard().iter().filter(|number| **number >= from).count();
        assert!(
            eventually(|| newer() >= count),
            "{} of {} datagrams are echoed",
            newer(),
            self.sent() - from
        );
    }

    /// Ends it, and waits until all is echoed or nothing more comes.
    pub fn finish(mut self) -> Echoed {
        self.shared.is_over.store(true, Ordering::Relaxed);
        join(&mut self.sending);
        let (sent, mut count, mut last_at) = (self.sent(), 0, Instant::now());
        while count < sent && last_at.elapsed() < QUIET {
            let now = self.shared.heard().len() as u64;
            if now > count {
                (count, last_at) = (now, Instant::now());
            }
            thread::sleep(Duration::from_millis(5));
        }
        let heard = self.shared.heard();
        let mut lost: Vec<(u64, u64)> = Vec::new();
        for number in (0..sent).filter(|number| !heard.contains(number)) {
            match lost.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => lost.push((number, number)),
            }
        }
        Echoed { sent, lost }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.shared.is_deaf.store(true, Ordering::Relaxed);
        join(&mut self.sending);
        join(&mut self.hearing);
    }
}

fn join(thread: &mut Option<JoinHandle<()>>) {
    if let Some(thread) = thread.take() {
        let _ = thread.join();
    }
}

fn send(socket: &UdpSocket, to: SocketAddr, interval: Duration, shared: &Shared) {
    let (since, mut datagram) = (Instant::now(), [0; 160]);
    for number in 0_u64.. {
        let due = since + interval * number as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if shared.is_over.load(Ordering::Relaxed) {
            return;
        }
        datagram[..8].copy_from_slice(&number.to_be_bytes());
        // While no uplink is up it is lost here.
        let _ = socket.send_to(&datagram, to);
        shared.sent.store(number + 1, Ordering::Relaxed);
    }
}

fn hear(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 2048];
    while !shared.is_deaf.load(Ordering::Relaxed) {
        // ICMP errors and timeouts are no echoes.
        let Ok((len, _)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(number) = buffer[..len].first_chunk() {
            shared.heard().insert(u64::from_be_bytes(*number));
        }
    }
}
