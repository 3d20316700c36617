//! The running router: it waits, hands what happened to the node and the data plane, and drains.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use control::{Change, Event as NodeEvent, Forwarding, Instant, Node, Output, PeerKey, earliest};
use dataplane::{Backend, Channel, DataPlane, Event as PlaneEvent};
use linux::poller::{Interest, Poller};
use linux::signals::{Signal, Signals};
use linux::timer::ClockWatch;

use crate::bus::Bus;
use crate::config::Config;
use crate::control_socket::ControlSocket;
use crate::handovers::Handovers;
use crate::links::{Links, Path};
use crate::names::Names;
use crate::netifd::Netifd;
use crate::notify::{self, notify};
use crate::overlay::Overlay;
use crate::resolve::Resolver;
use crate::state::Endpoints;
use crate::uplinks::Followed;
use crate::wiring::{self, Start};

/// What the poller calls each source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Plane(usize),
    Links,
    Signals,
    Clock,
    Names,
    Listener,
    Netifd,
    Connection(usize),
}

const PLANE: u64 = 0x100;
const CONNECTION: u64 = 0x200;

impl Source {
    pub(crate) fn token(self) -> u64 {
        match self {
            Source::Links => 0,
            Source::Signals => 1,
            Source::Clock => 2,
            Source::Names => 3,
            Source::Listener => 4,
            Source::Netifd => 5,
            Source::Plane(index) => PLANE + index as u64,
            Source::Connection(slot) => CONNECTION + slot as u64,
        }
    }

    fn from_token(token: u64) -> Source {
        match token {
            0 => Source::Links,
            1 => Source::Signals,
            2 => Source::Clock,
            3 => Source::Names,
            4 => Source::Listener,
            5 => Source::Netifd,
            CONNECTION.. => Source::Connection((token - CONNECTION) as usize),
            _ => Source::Plane(token.saturating_sub(PLANE) as usize),
        }
    }
}

/// Octets of the largest control message, with room to spare.
const MESSAGE_LEN: usize = 2048;
/// Descriptors handled between two waits; more stay ready.
const MAX_READY: usize = 32;

/// Everything a running router consists of.
pub struct Router {
    pub(crate) config: Config,
    pub(crate) start: Start,
    pub(crate) started_at: Instant,
    pub(crate) node: Node,
    pub(crate) plane: Backend,
    pub(crate) links: Links,
    pub(crate) netifd: Netifd,
    pub(crate) bus: Bus,
    /// The ways out that the tunnels take.
    pub(crate) followed_paths: Vec<Path>,
    /// When they took them, until it is said why.
    pub(crate) followed: Option<Followed>,
    /// Addresses or uplinks changed, and not everything follows them yet.
    pub(crate) is_to_fit: bool,
    /// What told of the change that is being handled.
    pub(crate) source: &'static str,
    pub(crate) handovers: Handovers,
    pub(crate) names: Names,
    /// How often the wall clock was stepped.
    pub(crate) clock_steps: u64,
    /// The configuration's path, and what errors call it.
    pub(crate) file: (PathBuf, String),
    pub(crate) overlay: Option<Overlay>,
    pub(crate) poller: Poller,
    plane_sources: Vec<dataplane::Source>,
    signals: Signals,
    clock: ClockWatch,
    pub(crate) resolver: Resolver,
    /// The Map-Server behind each name that the resolver knows.
    pub(crate) resolved: Vec<PeerKey>,
    pub(crate) endpoints: Option<Endpoints>,
    pub(crate) save_at: Option<Instant>,
    pub(crate) socket: ControlSocket,
    message: Box<[u8; MESSAGE_LEN]>,
    is_ending: bool,
}

/// What start-up made for the router.
pub(crate) struct Parts {
    pub(crate) file: (PathBuf, String),
    pub(crate) config: Config,
    pub(crate) start: Start,
    pub(crate) plane: Backend,
    pub(crate) overlay: Option<Overlay>,
    pub(crate) signals: Signals,
    pub(crate) socket: ControlSocket,
}

impl Router {
    /// Puts the parts together and starts the tunnels.
    pub(crate) fn new(parts: Parts) -> io::Result<Router> {
        let now = now();
        let Parts { file, config, start, plane, overlay, signals, socket } = parts;
        let node = Node::new(&wiring::control_config(&config, &start), now);
        let policy = wiring::link_policy(&config);
        let links = Links::new(policy).map_err(io::Error::other)?;
        let endpoints = config.roles.is_map_server.then(|| Endpoints::load(&config.run_dir));
        let names = Names::new(&config);
        let netifd = Netifd::new(&config.ubus_socket)?;
        let mut router = Router {
            config,
            start,
            started_at: now,
            node,
            plane,
            links,
            netifd,
            bus: Bus::default(),
            followed_paths: Vec::new(),
            followed: None,
            is_to_fit: false,
            source: "start",
            handovers: Handovers::new(),
            names,
            clock_steps: 0,
            file,
            overlay,
            poller: Poller::new()?,
            plane_sources: Vec::new(),
            signals,
            clock: ClockWatch::new()?,
            resolver: Resolver::new()?,
            resolved: Vec::new(),
            endpoints,
            save_at: None,
            socket,
            message: Box::new([0; MESSAGE_LEN]),
            is_ending: false,
        };
        router.watch_sources()?;
        router.adopt(now);
        router.handle_links("start", now);
        router.set_control_peers(None, now);
        router.drain(now);
        if let (Some(overlay), Some(_)) = (&mut router.overlay, router.plane.as_kernel()) {
            overlay.keep();
        }
        Ok(router)
    }

    fn watch_sources(&mut self) -> io::Result<()> {
        let poller = &self.poller;
        poller.add(self.links.as_fd(), Source::Links.token(), Interest::Readable)?;
        poller.add(self.netifd.as_fd(), Source::Netifd.token(), Interest::Readable)?;
        poller.add(self.signals.as_fd(), Source::Signals.token(), Interest::Readable)?;
        poller.add(self.clock.as_fd(), Source::Clock.token(), Interest::Readable)?;
        poller.add(self.resolver.as_fd(), Source::Names.token(), Interest::Readable)?;
        poller.add(self.socket.as_fd(), Source::Listener.token(), Interest::Readable)?;
        for (index, (source, fd)) in self.plane.sources().enumerate() {
            poller.add(fd, Source::Plane(index).token(), Interest::Readable)?;
            self.plane_sources.push(source);
        }
        Ok(())
    }

    /// Runs until a signal ends it.
    pub fn run(&mut self) -> io::Result<()> {
        notify(notify::READY);
        while !self.is_ending {
            let timeout = self.poll_at().map(|at| at.since(now()));
            let mut ready = heapless::Vec::<u64, MAX_READY>::new();
            for one in self.poller.wait(timeout)?.take(MAX_READY) {
                let _ = ready.push(one.token);
            }
            let now = now();
            for token in ready {
                self.handle_ready(Source::from_token(token), now);
                self.drain(now);
            }
            self.handle_timeouts(now);
            self.drain(now);
            self.serve_bus(now);
        }
        notify(notify::STOPPING);
        self.leave_bus(now());
        self.save_endpoints();
        Ok(())
    }

    /// The mappings that kernel WireGuard still forwards by become the map-cache's.
    fn adopt(&mut self, now: Instant) {
        let Some(kernel) = self.plane.as_kernel() else { return };
        let adopted: Vec<_> = kernel.adopted().collect();
        for one in &adopted {
            if !self.node.handle_adopted(one.eid_prefix, one.forwarding, &one.peers, now) {
                self.apply(&Change::RemoveRoute(one.eid_prefix), now);
            }
        }
        if !adopted.is_empty() {
            log::info!("{} mappings of the last run forward on", adopted.len());
        }
    }

    fn poll_at(&self) -> Option<Instant> {
        let deadlines = [
            self.node.poll_at(),
            self.plane.poll_at(),
            self.resolver.poll_at(),
            self.socket.poll_at(),
            self.handovers.poll_at(),
            self.netifd.poll_at(),
            self.bus.poll_at(),
            self.save_at,
        ];
        let mut first = None;
        for deadline in deadlines {
            first = earliest(first, deadline);
        }
        first
    }

    fn handle_ready(&mut self, source: Source, now: Instant) {
        match source {
            Source::Plane(index) => {
                if let Some(source) = self.plane_sources.get(index).copied() {
                    self.plane.handle_ready(source, now);
                }
            }
            Source::Links => {
                if self.links.handle_ready() {
                    self.handle_links("netlink", now);
                }
            }
            Source::Netifd => {
                if self.netifd.handle_ready(now) {
                    self.handle_interfaces(now);
                }
            }
            Source::Signals => self.handle_signals(now),
            Source::Clock => {
                if matches!(self.clock.take_step(), Ok(true)) {
                    self.clock_steps += 1;
                    log::info!("the wall clock was stepped: control tunnels start again");
                    self.plane.handle_clock_step(now);
                }
            }
            Source::Names => self.handle_names(now),
            Source::Listener => self.accept(now),
            Source::Connection(slot) => self.handle_connection(slot, now),
        }
    }

    fn handle_timeouts(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.plane.poll_at()) {
            self.plane.handle_timeout(now);
        }
        if is_due(self.node.poll_at()) {
            self.node.handle_timeout(now);
        }
        self.resolver.handle_timeout(now);
        self.socket.handle_timeout(now);
        self.handovers.handle_timeout(now);
        if is_due(self.netifd.poll_at()) && self.netifd.handle_timeout(now) {
            self.handle_interfaces(now);
        }
        if is_due(self.save_at) {
            self.save_endpoints();
        }
    }

    /// Moves what the data plane and the node have for each other until both are quiet.
    pub(crate) fn drain(&mut self, now: Instant) {
        loop {
            self.drain_node(now);
            let received = self.plane.receive_control(self.message.as_mut_slice());
            if let Some((channel, peer, len)) = received {
                log::trace!("{len} octets of LISP from {}", self.names.of(peer));
                let is_link = channel == Channel::Link;
                self.node.handle_datagram(is_link, peer, &self.message[..len], now);
            } else if let Some(event) = self.plane.poll_event() {
                self.handle_plane_event(event, now);
            } else {
                return self.fit();
            }
        }
    }

    pub(crate) fn drain_node(&mut self, now: Instant) {
        loop {
            match self.node.poll_output(now, self.message.as_mut_slice()) {
                Output::Transmit { link, peer, len } => {
                    let channel = if link { Channel::Link } else { Channel::Control };
                    log::trace!("{len} octets of LISP to {}", self.names.of(peer));
                    let sent = self.plane.send_control(channel, peer, &self.message[..len], now);
                    if let Err(error) = sent {
                        log::debug!("to {}: {error}", self.names.of(peer));
                    }
                }
                Output::Uplinks => self.follow_uplinks(now),
                Output::Change(ref change) => self.apply(change, now),
                Output::Event(event) => self.handle_node_event(&event, now),
                Output::Wait(_) => return,
            }
        }
    }

    pub(crate) fn apply(&mut self, change: &Change, now: Instant) {
        log::debug!("data plane: {change}");
        if let Change::RemovePeer(key) = *change {
            self.notify_removal(key);
        }
        if let Err(error) = self.plane.apply(change, now) {
            log::warn!("data plane: {error}");
        }
        let (eid_prefix, is_native) = match *change {
            Change::SetRoute { eid_prefix, forwarding } => {
                (eid_prefix, forwarding == Forwarding::Native)
            }
            Change::RemoveRoute(eid_prefix) => (eid_prefix, false),
            _ => return,
        };
        if let Some(overlay) = &mut self.overlay
            && let Err(error) = overlay.set_native(eid_prefix, is_native)
        {
            log::warn!("native route of {eid_prefix}: {error}");
        }
    }

    fn handle_plane_event(&mut self, event: PlaneEvent, now: Instant) {
        self.notify_plane_event(&event);
        match event {
            PlaneEvent::Miss { source, destination } => {
                self.node.handle_miss(source, destination, now);
            }
            PlaneEvent::ControlSession { peer, endpoint, side, round_trip } => {
                log::info!("control tunnel with {} stands, at {endpoint}", self.names.of(peer));
                self.learn(peer, endpoint, now);
                self.node.handle_control_session(peer, endpoint, side, round_trip, now);
            }
            PlaneEvent::ControlRoamed { peer, endpoint } => {
                log::info!("{} is at {endpoint} now", self.names.of(peer));
                self.learn(peer, endpoint, now);
                self.node.handle_control_roamed(peer, endpoint, now);
            }
            PlaneEvent::ControlLost { peer } => {
                log::info!("{} does not answer", self.names.of(peer));
                if let Some(index) = self.resolved.iter().position(|known| *known == peer) {
                    self.resolver.look_up(index);
                }
                self.node.handle_control_lost(peer, now);
            }
            PlaneEvent::DataSession { peer, .. } => log::info!("data tunnel with {peer} stands"),
            PlaneEvent::DataLost { peer } => self.node.handle_data_lost(peer, now),
            PlaneEvent::Silent { peer } => self.node.handle_silent(peer, now),
            PlaneEvent::Traffic { peer } => self.node.handle_traffic(peer, now),
        }
    }

    fn handle_node_event(&mut self, event: &NodeEvent, now: Instant) {
        self.note_handover(event, now);
        self.notify_node_event(event);
        match event {
            NodeEvent::Lig { eid } => {
                let mapping = self.node.lig_answer().cloned();
                self.answer_lig(*eid, mapping.as_ref());
            }
            NodeEvent::Mapped { .. }
            | NodeEvent::ResolutionFailed { .. }
            | NodeEvent::Moved { .. }
            | NodeEvent::PathAnswered { .. }
            | NodeEvent::RegisterAcknowledged { .. }
            | NodeEvent::SiteMoved { .. }
            | NodeEvent::SitePublished { .. } => log::debug!("{event}"),
            NodeEvent::ClaimRefused { .. }
            | NodeEvent::RegisterReplayed { .. }
            | NodeEvent::RegistrationLost { .. }
            | NodeEvent::BothBehindNat { .. } => log::warn!("{}", self.names.explain(event)),
            _ => log::info!("{}", self.names.explain(event)),
        }
    }

    fn handle_signals(&mut self, now: Instant) {
        while let Ok(Some(signal)) = self.signals.receive() {
            match signal {
                // It is logged what is wrong.
                Signal::SIGHUP => drop(self.reload(now)),
                _ => self.is_ending = true,
            }
        }
    }
}

/// The machine's monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::from_micros(linux::clock::monotonic_micros())
}
