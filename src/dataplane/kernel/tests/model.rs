//! A model of kernel WireGuard: what is staged waits for a handshake; one initiation in 5 s unless
//! the peer is made anew; initiations that cross cancel each other; the responder's handshake
//! counts from the first packet; keys end after 180 s; what comes is
//! answered within 10 s.

use core::cell::RefCell;
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use control::{Duration, EidPrefix, InstanceId, Instant, PrefixTable};
use linux::Errno;
use linux::netlink::wireguard::{self, AllowedIp, PeerUpdate, PublicKey};
use linux::netlink::{Error, LinkStatistics};
use linux::packet::Bell;

use super::super::operations::{Device, Operations, Resolved};
use crate::engine::packet::Header;

const REKEY_TIMEOUT: Duration = Duration::from_secs(5);
const REKEY_AFTER: Duration = Duration::from_secs(120);
const REJECT_AFTER: Duration = Duration::from_secs(180);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const STAGED: usize = 128;

/// A WireGuard message on its way.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Initiation { sender: PublicKey, id: u64 },
    Response { sender: PublicKey, answers: u64, id: u64 },
    Data { sender: PublicKey, id: u64, packet: Vec<u8> },
}

impl Message {
    fn len(&self) -> u64 {
        match self {
            Message::Initiation { .. } => 148,
            Message::Response { .. } => 92,
            Message::Data { packet, .. } => 32 + packet.len().next_multiple_of(16) as u64,
        }
    }
}

#[derive(Clone, Debug)]
struct Keys {
    id: u64,
    made_at: Instant,
    is_initiator: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ModelPeer {
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) allowed_ips: Vec<AllowedIp>,
    staged: VecDeque<Vec<u8>>,
    initiated_at: Option<Instant>,
    initiation: Option<u64>,
    current: Option<Keys>,
    next: Option<Keys>,
    /// When what came is answered by an empty packet, if nothing else goes.
    answer_at: Option<Instant>,
    pub(super) handshake_at: Option<Instant>,
    rx: u64,
    tx: u64,
}

#[derive(Debug, Default)]
pub(super) struct Interface {
    pub(super) key: PublicKey,
    pub(super) address: Option<SocketAddr>,
    pub(super) own: Option<IpAddr>,
    pub(super) peers: BTreeMap<PublicKey, ModelPeer>,
    pub(super) messages: VecDeque<(IpAddr, Vec<u8>)>,
    pub(super) statistics: LinkStatistics,
    pub(super) bell: Bell,
    pub(super) has_rung: bool,
}

impl Interface {
    fn count_sent(statistics: &mut LinkStatistics, peer: &mut ModelPeer, len: u64) {
        statistics.tx_packets += 1;
        statistics.tx_octets += len;
        peer.tx += len;
    }

    fn count_received(statistics: &mut LinkStatistics, peer: &mut ModelPeer, len: u64) {
        statistics.rx_packets += 1;
        statistics.rx_octets += len;
        peer.rx += len;
    }
}

/// One machine's kernel.
#[derive(Debug)]
pub(super) struct ModelKernel {
    pub(super) now: Instant,
    pub(super) interfaces: Vec<Interface>,
    pub(super) routes: PrefixTable<Resolved>,
    pub(super) misses: VecDeque<Vec<u8>>,
    /// What came out of tunnels for hosts.
    pub(super) delivered: Vec<Vec<u8>>,
    pub(super) errors: Vec<Vec<u8>>,
    pub(super) outbox: Vec<(SocketAddr, SocketAddr, Message)>,
    pub(super) requests: usize,
    /// Whether it takes no peer.
    pub(super) is_refusing: bool,
    next_id: u64,
}

fn covers(allowed_ip: &AllowedIp, ip: IpAddr) -> bool {
    let eid = control::Eid { instance_id: InstanceId(0), address: ip };
    let prefix = EidPrefix::new(InstanceId(0), allowed_ip.ip, allowed_ip.prefix_len);
    prefix.is_some_and(|prefix| prefix.contains(eid))
}

impl ModelKernel {
    pub(super) fn new(salt: u64) -> ModelKernel {
        ModelKernel {
            now: Instant::ZERO,
            interfaces: Vec::new(),
            routes: PrefixTable::with_capacity(64),
            misses: VecDeque::new(),
            delivered: Vec::new(),
            errors: Vec::new(),
            outbox: Vec::new(),
            requests: 0,
            is_refusing: false,
            next_id: salt << 32,
        }
    }

    /// A host sends a packet: it takes its route, or comes to the device for misses.
    pub(super) fn send_from_host(&mut self, packet: Vec<u8>) {
        let header = Header::parse(&packet, InstanceId(0)).expect("a packet");
        match self.routes.lookup(header.destination).map(|(_, route)| route.clone()) {
            Some(Resolved::Lanes(hops)) => {
                let (lane, _) = hops[0];
                self.transmit(1 + usize::from(lane), packet);
            }
            Some(Resolved::Unreachable | Resolved::Throw) => {}
            _ => self.misses.push_back(packet),
        }
    }

    pub(super) fn transmit(&mut self, place: usize, packet: Vec<u8>) -> bool {
        let header = Header::parse(&packet, InstanceId(0)).expect("a packet");
        let ip = header.destination.address;
        let interface = &mut self.interfaces[place];
        let is_ours = interface.own == Some(header.source.address);
        interface.has_rung |= interface.bell == Bell::Armed && !is_ours;
        let mut peers = interface.peers.iter_mut();
        let Some((key, peer)) =
            peers.find(|(_, peer)| peer.allowed_ips.iter().any(|one| covers(one, ip)))
        else {
            return false;
        };
        if peer.endpoint.is_none() {
            return false;
        }
        if peer.staged.len() == STAGED {
            peer.staged.pop_front();
        }
        peer.staged.push_back(packet);
        let key = *key;
        self.flush(place, key);
        true
    }

    fn flush(&mut self, place: usize, key: PublicKey) {
        let now = self.now;
        let interface = &mut self.interfaces[place];
        let (sender, from) = (interface.key, interface.address.expect("an address"));
        let statistics = &mut interface.statistics;
        let Some(peer) = interface.peers.get_mut(&key) else { return };
        let Some(to) = peer.endpoint else { return };
        peer.current = peer.current.take().filter(|keys| now - keys.made_at < REJECT_AFTER);
        if let Some(keys) = peer.current.clone() {
            if peer.answer_at.is_some_and(|at| at <= now) && peer.staged.is_empty() {
                peer.staged.push_back(Vec::new());
            }
            while let Some(packet) = peer.staged.pop_front() {
                peer.answer_at = None;
                let message = Message::Data { sender, id: keys.id, packet };
                Interface::count_sent(statistics, peer, message.len());
                self.outbox.push((from, to, message));
            }
            if !keys.is_initiator || now - keys.made_at < REKEY_AFTER {
                return;
            }
        }
        if peer.initiated_at.is_none_or(|at| now - at >= REKEY_TIMEOUT) {
            self.next_id += 1;
            peer.initiated_at = Some(now);
            peer.initiation = Some(self.next_id);
            let message = Message::Initiation { sender, id: self.next_id };
            Interface::count_sent(statistics, peer, message.len());
            self.outbox.push((from, to, message));
        }
    }

    /// The kernel tries again what is staged, and answers what came.
    pub(super) fn run_timers(&mut self) {
        for place in 0..self.interfaces.len() {
            let interface = &self.interfaces[place];
            let staged: Vec<PublicKey> = interface
                .peers
                .iter()
                .filter(|(_, peer)| {
                    !peer.staged.is_empty() || peer.answer_at.is_some_and(|at| at <= self.now)
                })
                .map(|(key, _)| *key)
                .collect();
            for key in staged {
                self.flush(place, key);
            }
        }
    }

    pub(super) fn receive(&mut self, from: SocketAddr, to: SocketAddr, message: Message) {
        let now = self.now;
        let at =
            |interface: &Interface| interface.address.is_some_and(|one| one.port() == to.port());
        let Some(place) = self.interfaces.iter().position(at) else { return };
        let our_key = self.interfaces[place].key;
        let (Message::Initiation { sender, .. }
        | Message::Response { sender, .. }
        | Message::Data { sender, .. }) = message;
        let len = message.len();
        let interface = &mut self.interfaces[place];
        let statistics = &mut interface.statistics;
        let Some(peer) = interface.peers.get_mut(&sender) else { return };
        match message {
            Message::Initiation { id, .. } => {
                // Our own handshake is over, whether or not it would be answered.
                peer.initiation = None;
                peer.next = Some(Keys { id, made_at: now, is_initiator: false });
                Interface::count_received(statistics, peer, len);
                peer.endpoint = Some(from);
                let response = Message::Response { sender: our_key, answers: id, id };
                Interface::count_sent(statistics, peer, response.len());
                self.outbox.push((to, from, response));
            }
            Message::Response { answers, id, .. } => {
                if peer.initiation.take_if(|initiation| *initiation == answers).is_none() {
                    return;
                }
                Interface::count_received(statistics, peer, len);
                peer.endpoint = Some(from);
                peer.current = Some(Keys { id, made_at: now, is_initiator: true });
                peer.handshake_at = Some(now);
                if peer.staged.is_empty() {
                    let message = Message::Data { sender: our_key, id, packet: Vec::new() };
                    Interface::count_sent(statistics, peer, message.len());
                    self.outbox.push((to, from, message));
                }
                self.flush(place, sender);
            }
            Message::Data { id, packet, .. } => {
                if let Some(keys) = peer.next.take_if(|keys| keys.id == id) {
                    peer.current = Some(keys);
                    peer.handshake_at = Some(now);
                }
                if peer.current.as_ref().is_none_or(|keys| keys.id != id) {
                    return;
                }
                Interface::count_received(statistics, peer, len);
                peer.endpoint = Some(from);
                if !packet.is_empty() {
                    peer.answer_at = peer.answer_at.or(Some(now + KEEPALIVE_TIMEOUT));
                }
                self.flush(place, sender);
                self.deliver(place, sender, packet);
            }
        }
    }

    fn deliver(&mut self, place: usize, sender: PublicKey, packet: Vec<u8>) {
        let Some(header) = Header::parse(&packet, InstanceId(0)) else { return };
        let interface = &mut self.interfaces[place];
        let source = header.source.address;
        let allowed = interface.peers[&sender].allowed_ips.iter().any(|one| covers(one, source));
        if !allowed {
            return;
        }
        if interface.own == Some(header.destination.address) {
            interface.messages.push_back((source, packet[48..].to_vec()));
        } else {
            self.delivered.push(packet);
        }
    }
}

fn place(device: Device) -> usize {
    device.place()
}

/// The machine's view of its kernel.
#[derive(Clone)]
pub(super) struct Handle(pub(super) Rc<RefCell<ModelKernel>>);

impl Operations for Handle {
    fn set_peer(
        &mut self,
        device: Device,
        update: &PeerUpdate,
        allowed_ips: &mut dyn Iterator<Item = AllowedIp>,
    ) -> Result<(), Error> {
        let mut kernel = self.0.borrow_mut();
        kernel.requests += 1;
        if kernel.is_refusing {
            return Err(Error::Socket(Errno::ENOBUFS));
        }
        let interface =
            kernel.interfaces.get_mut(place(device)).ok_or(Error::Socket(Errno::ENODEV))?;
        let key = update.public_key;
        if update.is_removed {
            interface.peers.remove(&key);
            return Ok(());
        }
        if update.is_update_only && !interface.peers.contains_key(&key) {
            return Ok(());
        }
        let added: Vec<AllowedIp> = allowed_ips.collect();
        for peer in interface.peers.values_mut() {
            peer.allowed_ips.retain(|known| !added.contains(known));
        }
        let peer = interface.peers.entry(key).or_default();
        if update.replaces_allowed_ips {
            peer.allowed_ips.clear();
        }
        peer.allowed_ips.extend(added);
        peer.endpoint = update.endpoint.or(peer.endpoint);
        Ok(())
    }

    fn peers(
        &mut self,
        device: Device,
        each: &mut dyn FnMut(&wireguard::Peer),
    ) -> Result<(), Error> {
        let kernel = self.0.borrow();
        for (key, peer) in &kernel.interfaces[place(device)].peers {
            each(&wireguard::Peer {
                public_key: *key,
                endpoint: peer.endpoint,
                last_handshake: peer.handshake_at.map(|at| Duration::from_micros(at.as_micros())),
                rx_octets: peer.rx,
                tx_octets: peer.tx,
                persistent_keepalive: 0,
            });
        }
        Ok(())
    }

    fn forget_paths(&mut self, _device: Device) -> Result<(), Error> {
        self.0.borrow_mut().requests += 1;
        Ok(())
    }

    fn statistics(&mut self, lane: u8) -> Result<LinkStatistics, Error> {
        Ok(self.0.borrow().interfaces[place(Device::Lane(lane))].statistics)
    }

    fn bell(&self, lane: u8) -> Bell {
        self.0.borrow().interfaces[place(Device::Lane(lane))].bell
    }

    fn set_bell(&mut self, lane: u8, bell: Bell) -> bool {
        let interface = &mut self.0.borrow_mut().interfaces[place(Device::Lane(lane))];
        (interface.bell, interface.has_rung) = (bell, false);
        true
    }

    fn take_ring(&mut self, lane: u8) -> bool {
        let interface = &mut self.0.borrow_mut().interfaces[place(Device::Lane(lane))];
        core::mem::take(&mut interface.has_rung)
    }

    fn wall_clock(&self) -> Duration {
        Duration::from_micros(self.0.borrow().now.as_micros())
    }

    fn inject(&mut self, device: Device, packet: &[u8]) -> bool {
        self.0.borrow_mut().transmit(place(device), packet.to_vec())
    }

    fn set_route(
        &mut self,
        eid_prefix: &EidPrefix,
        old: &Resolved,
        new: &Resolved,
    ) -> Result<(), Error> {
        let mut kernel = self.0.borrow_mut();
        kernel.requests += 1;
        assert_eq!(kernel.routes.get(eid_prefix).unwrap_or(&Resolved::Nothing), old);
        match new {
            Resolved::Nothing => drop(kernel.routes.remove(eid_prefix)),
            new => drop(kernel.routes.insert(*eid_prefix, new.clone())),
        }
        Ok(())
    }

    fn receive_miss(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let packet = self.0.borrow_mut().misses.pop_front()?;
        buffer[..packet.len()].copy_from_slice(&packet);
        Some(packet.len())
    }

    fn write_miss(&mut self, packet: &[u8]) -> bool {
        self.0.borrow_mut().errors.push(packet.to_vec());
        true
    }

    fn receive_message(&mut self, device: Device, buffer: &mut [u8]) -> Option<(IpAddr, usize)> {
        let (from, message) = self.0.borrow_mut().interfaces[place(device)].messages.pop_front()?;
        buffer[..message.len()].copy_from_slice(&message);
        Some((from, message.len()))
    }
}
