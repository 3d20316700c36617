//! Two machines, and a network between them that holds every message back.

use core::cell::RefCell;
use core::net::SocketAddr;
use std::rc::Rc;

use control::{Change, Duration, EidPrefix, Forwarding, Instant, PeerConfig, PeerKey, Side, auth};

use super::super::machine::{Identity, Machine};
use super::super::operations::Device;
use super::model::{Handle, Interface, Message, ModelKernel};
use crate::{EngineConfig, Event};

/// One machine with its kernel.
pub(super) struct Site {
    pub(super) machine: Machine<Handle>,
    pub(super) kernel: Rc<RefCell<ModelKernel>>,
    pub(super) number: u8,
    pub(super) events: Vec<(Instant, Event)>,
}

fn endpoint(number: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], port))
}

/// The key of a lane; the first site's is the lower one.
pub(super) fn key(number: u8, lane: u8) -> PeerKey {
    PeerKey([number * 16 + lane; 32])
}

pub(super) fn prefix(number: u8) -> EidPrefix {
    format!("10.{number}.0.0/16").parse().expect("an EID-prefix")
}

/// An IPv4 packet between sites, told apart by its number.
pub(super) fn packet(from: u8, to: u8, number: u8) -> Vec<u8> {
    let mut packet = vec![0; 21];
    packet[0] = 0x45;
    packet[3] = 21;
    packet[8] = 64;
    packet[9] = 17;
    packet[12..20].copy_from_slice(&[10, from, 0, 1, 10, to, 0, 1]);
    packet[20] = number;
    packet
}

impl Site {
    fn new(number: u8, lanes: u8, config: &EngineConfig) -> Site {
        let control_key = PeerKey([number; 32]);
        let mut kernel = ModelKernel::new(number.into());
        let interface = |key: PeerKey, own, port| Interface {
            key: key.0,
            address: Some(endpoint(number, port)),
            own: Some(own),
            ..Interface::default()
        };
        let control_address = auth::control_address(control_key);
        kernel.interfaces.push(interface(control_key, control_address.into(), 51821));
        let mut rows = heapless::Vec::new();
        for lane in 0..lanes {
            let (key, address) = (key(number, lane), auth::link_address(key(number, lane)));
            kernel.interfaces.push(interface(key, address.into(), 51830 + u16::from(lane)));
            let _ = rows.push((key, address));
        }
        let identity = Identity { control_key, control_address, lanes: rows };
        let kernel = Rc::new(RefCell::new(kernel));
        let config = EngineConfig { seed: number.into(), ..*config };
        let mut machine = Machine::new(&config, Handle(kernel.clone()), identity);
        machine.set_database(&[prefix(number)]).expect("room");
        Site { machine, kernel, number, events: Vec::new() }
    }

    /// A process that begins anew beside the same kernel.
    pub(super) fn restart(&mut self, now: Instant, remains: super::super::adopt::Remains) {
        let config = EngineConfig { seed: 99, ..EngineConfig::default() };
        let identity = self.machine.identity.clone();
        let mut machine = Machine::new(&config, Handle(self.kernel.clone()), identity);
        machine.set_database(&[prefix(self.number)]).expect("room");
        machine.adopt(remains, now);
        self.machine = machine;
    }

    pub(super) fn apply(&mut self, change: &Change, now: Instant) {
        self.machine.apply(change, now).expect("applied");
    }

    pub(super) fn set_peer(&mut self, other: u8, lane: u8, side: Side, now: Instant) {
        let change = Change::SetPeer(PeerConfig {
            key: key(other, lane),
            lane,
            endpoint: Some(endpoint(other, 51830 + u16::from(lane))),
            side,
            persistent_keepalive: None,
        });
        self.apply(&change, now);
    }

    /// What the mapping system says of another site of one lane.
    pub(super) fn learn(&mut self, other: u8, side: Side, now: Instant) {
        self.set_peer(other, 0, side, now);
        let forwarding = Forwarding::Peer(key(other, 0));
        self.apply(&Change::SetRoute { eid_prefix: prefix(other), forwarding }, now);
    }

    pub(super) fn has_session(&self, other: PeerKey) -> bool {
        let peer = self.machine.data.get(&other);
        peer.is_some_and(|peer| peer.has_session())
    }

    pub(super) fn counter(&self, name: &str) -> u64 {
        let mut counters = self.machine.counters().iter();
        counters.find(|(known, _)| *known == name).expect("a counter").1
    }

    pub(super) fn count(&self, is_meant: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| is_meant(event)).count()
    }

    fn poll(&mut self, now: Instant) {
        self.kernel.borrow_mut().now = now;
        self.kernel.borrow_mut().run_timers();
        self.machine.handle_misses(now);
        let count = self.kernel.borrow().interfaces.len();
        for place in 0..count {
            let device = match place {
                0 => Device::Control,
                lane => Device::Lane(lane as u8 - 1),
            };
            self.machine.handle_messages(device, now);
            if let Device::Lane(lane) = device {
                self.machine.handle_doorbell(lane, now);
            }
        }
        if self.machine.poll_at().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
        }
        assert!(self.machine.poll_at().is_none_or(|at| at > now), "no deadline is left behind");
        while let Some(event) = self.machine.poll_event() {
            self.events.push((now, event));
        }
    }
}

/// A message on its way: when it arrives, whence, whither.
type Travelling = (Instant, SocketAddr, SocketAddr, Message);

/// Both sites and what is between them.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) delay: Duration,
    pub(super) a: Site,
    pub(super) b: Site,
    /// Another, numbered 3, where there are three.
    pub(super) c: Option<Site>,
    travelling: Vec<Travelling>,
    /// Whether a message from an address gets lost.
    pub(super) loses: fn(SocketAddr, &Message) -> bool,
    pub(super) sent: usize,
}

impl World {
    pub(super) fn new(delay: Duration, lanes: u8) -> World {
        World::with(delay, lanes, &EngineConfig::default())
    }

    pub(super) fn with(delay: Duration, lanes: u8, config: &EngineConfig) -> World {
        World {
            now: Instant::from_millis(1000),
            delay,
            a: Site::new(1, lanes, config),
            b: Site::new(2, lanes, config),
            c: None,
            travelling: Vec::new(),
            loses: |_, _| false,
            sent: 0,
        }
    }

    /// Adds a third site of one lane.
    pub(super) fn add_third(&mut self) {
        self.c = Some(Site::new(3, 1, &EngineConfig::default()));
    }

    /// Goes on for a while, in steps of a millisecond.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.step();
            self.now += Duration::from_millis(1);
        }
    }

    /// Goes on until something is so; the time that took.
    pub(super) fn run_until(&mut self, is_so: impl Fn(&World) -> bool) -> Duration {
        let started_at = self.now;
        while !is_so(self) {
            assert!(self.now - started_at < Duration::from_secs(400), "it does not come to pass");
            self.step();
            self.now += Duration::from_millis(1);
        }
        self.now - started_at
    }

    fn step(&mut self) {
        let now = self.now;
        let arrived: Vec<Travelling> =
            self.travelling.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, from, to, message) in arrived {
            let sites = [&self.a, &self.b].into_iter().chain(&self.c);
            let mut sites = sites.filter(|site| endpoint(site.number, 0).ip() == to.ip());
            let Some(site) = sites.next() else { continue };
            site.kernel.borrow_mut().now = now;
            site.kernel.borrow_mut().receive(from, to, message);
        }
        for site in [&mut self.a, &mut self.b].into_iter().chain(&mut self.c) {
            site.poll(now);
            for (from, to, message) in site.kernel.borrow_mut().outbox.drain(..) {
                self.sent += 1;
                if !(self.loses)(from, &message) {
                    self.travelling.push((now + self.delay, from, to, message));
                }
            }
        }
    }
}
