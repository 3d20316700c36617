//! A Map-Server and sites, each a node with its in-memory data plane, as the daemon wires them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use control::auth::AuthenticationKey;
use control::{
    Change, Config, DataKey, Duration, Eid, EidPrefix, Event, Forwarding, HandoverConfig,
    InstanceId, Instant, Limits, Locator, MapServerConfig, MapServerPeer, Node, Output, PeerConfig,
    PeerKey, Side, SiteConfig, Uplink, UplinkConfig, XtrConfig,
};
use dataplane::memory::{Memory, MemoryConfig};
use dataplane::{Channel, ControlPeer, DataPlane, EngineConfig, Interface};

use crate::network::{Nat, Network, Quality};

const CONTROL_PORT: u16 = 51821;
const DATA_PORT: u16 = 51820;
pub const MAP_SERVER: usize = 0;
/// The wall clock at virtual time zero: some day in 2024.
const WALL_CLOCK: u64 = 1_720_000_000_000_000;
pub const DAY: u64 = 86_400_000_000;

/// A router under test.
pub struct Router {
    pub node: Node,
    pub plane: Memory,
    pub address: IpAddr,
    /// What translates its address, if anything does.
    pub nat: Option<Nat>,
    pub eid_prefixes: Vec<EidPrefix>,
    pub events: Vec<(Instant, Event)>,
    /// Packets that came out of the overlay: when, from, to.
    pub received: Vec<(Instant, IpAddr, IpAddr)>,
    /// Times at which it had something to do.
    pub wakeups: u64,
    pub is_up: bool,
    /// What its node asked of the data plane. The data plane here is one interface, lane 0: what
    /// concerns other lanes is only noted.
    pub changes: Vec<Change>,
    other_lanes: Vec<PeerKey>,
    /// How many data keys it has, and its uplinks; none means `address` alone.
    lanes: u8,
    uplinks: Vec<Uplink>,
    /// Whether its datagrams leave by the best chosen uplink and come in by any, instead of all by
    /// `address`.
    is_mobile: bool,
    boots: u32,
}

/// All of them, and the underlay between them.
pub struct World {
    pub now: Instant,
    pub routers: Vec<Router>,
    pub network: Network,
    seed: u8,
}

fn control_key(place: usize) -> PeerKey {
    PeerKey([0x10 + place as u8; 32])
}

fn data_key(place: usize, boots: u32) -> PeerKey {
    let mut key = [0x80 + place as u8; 32];
    (key[1], key[31]) = (0, boots as u8);
    PeerKey(key)
}

/// The data key of a lane of a site's first boot.
pub fn lane_key(place: usize, lane: u8) -> PeerKey {
    data_keys(place, 1, lane + 1)[usize::from(lane)].key
}

fn data_keys(place: usize, boots: u32, lanes: u8) -> Vec<DataKey> {
    let key = |lane: u8| {
        let mut key = data_key(place, boots);
        key.0[1] = lane;
        let port = if lane == 0 { DATA_PORT } else { DATA_PORT + 1 + u16::from(lane) };
        DataKey { key, port, lane }
    };
    (0..lanes).map(key).collect()
}

fn authentication(site: usize) -> AuthenticationKey {
    AuthenticationKey::from_secret(&[0x20 + site as u8; 32])
}

pub fn address(place: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1 + place as u8))
}

impl World {
    /// A Map-Server that is up and sites that are not, each with these EID-prefixes and one lane.
    pub fn new(sites: &[&[&str]], quality: Quality, seed: u8) -> World {
        World::with_lanes(sites, &vec![1; sites.len()], quality, seed)
    }

    /// As `new`, with so many lanes at each site.
    pub fn with_lanes(sites: &[&[&str]], lanes: &[u8], quality: Quality, seed: u8) -> World {
        let prefixes: Vec<Vec<EidPrefix>> = sites
            .iter()
            .map(|site| site.iter().map(|text| text.parse().unwrap()).collect())
            .collect();
        let map_server = map_server_config(&prefixes);
        let config = config(MAP_SERVER, 1, seed, None, Some(map_server));
        let mut routers = vec![Router::new(MAP_SERVER, &config, Vec::new(), WALL_CLOCK)];
        for (site, eid_prefixes) in prefixes.iter().enumerate() {
            let place = site + 1;
            let config = site_config(place, 1, seed, eid_prefixes, lanes[site]);
            routers.push(Router::new(place, &config, eid_prefixes.clone(), WALL_CLOCK));
        }
        let network = Network::new(quality, seed);
        let mut world = World { now: Instant::ZERO, routers, network, seed };
        world.start(MAP_SERVER, &[]);
        world
    }

    /// As `new`, with all sites started and registered.
    pub fn registered(sites: &[&[&str]], quality: Quality, seed: u8) -> World {
        let mut world = World::new(sites, quality, seed);
        for place in 1..=sites.len() {
            world.start_site(place);
        }
        let is_registered = |world: &World| (1..=sites.len()).all(|at| world.is_registered(at));
        assert!(world.run_until(Duration::from_secs(5), is_registered), "all register");
        world
    }

    pub fn start_site(&mut self, place: usize) {
        self.start(place, &[]);
    }

    fn start(&mut self, place: usize, learnt: &[(usize, SocketAddr)]) {
        let now = self.now;
        let sites = self.routers.len();
        let router = &mut self.routers[place];
        router.is_up = true;
        let peer = |key, endpoint, side| ControlPeer {
            key,
            endpoint,
            side,
            persistent_keepalive: None,
            address: None,
        };
        if place == MAP_SERVER {
            for site in 1..sites {
                let endpoint = learnt.iter().find(|(at, _)| *at == site).map(|row| row.1);
                let side = if endpoint.is_some() { Side::Initiator } else { Side::Responder };
                let peer = peer(control_key(site), endpoint, side);
                router.plane.set_control_peer(&peer, now).unwrap();
            }
        } else {
            let endpoint = Some(SocketAddr::new(address(MAP_SERVER), CONTROL_PORT));
            let peer = peer(control_key(MAP_SERVER), endpoint, Side::Initiator);
            router.plane.set_control_peer(&peer, now).unwrap();
        }
        router.tell_uplinks(now);
        self.settle(place);
    }

    /// The site's uplinks are these from now on, given as RLOC and place.
    pub fn set_uplinks(&mut self, place: usize, uplinks: &[(&str, u8)]) {
        let now = self.now;
        let uplink = |(rloc, place): &(&str, u8)| Uplink {
            id: 1 + u32::from(*place),
            place: Some(*place),
            ..Uplink::new(rloc.parse().unwrap())
        };
        let router = &mut self.routers[place];
        router.uplinks = uplinks.iter().map(uplink).collect();
        if router.is_up {
            router.tell_uplinks(now);
            self.settle(place);
        }
    }

    /// The site has these uplinks from now on, and no other addresses: what comes to others is lost.
    pub fn set_links(&mut self, place: usize, uplinks: &[Uplink]) {
        let now = self.now;
        let router = &mut self.routers[place];
        router.uplinks = uplinks.to_vec();
        router.is_mobile = true;
        if router.is_up {
            router.node.handle_uplinks(uplinks, now);
            self.settle(place);
        }
    }

    /// The site's configured uplinks get these priorities.
    pub fn set_priorities(&mut self, place: usize, priorities: &[u8]) {
        let now = self.now;
        let router = &mut self.routers[place];
        let config = |priority: &u8| UplinkConfig { priority: *priority, weight: 100 };
        let mut new =
            site_config(place, router.boots, self.seed, &router.eid_prefixes, router.lanes);
        let xtr = new.xtr.as_mut().unwrap();
        xtr.uplinks = priorities.iter().map(config).collect();
        for uplink in &mut router.uplinks {
            uplink.priority = priorities[usize::from(uplink.place.unwrap())];
        }
        router.node.handle_config(&new, now);
        router.tell_uplinks(now);
        self.settle(place);
    }

    /// The site's process starts again while its data plane forwards on: it adopts what is there,
    /// and what `more` says.
    pub fn restart_over_data_plane(&mut self, place: usize, more: &[(EidPrefix, PeerKey)]) {
        let now = self.now;
        let seed = self.seed;
        let router = &mut self.routers[place];
        router.boots += 1;
        let xtr = router.node.xtr().unwrap();
        let routes = xtr.map_cache();
        let routes: Vec<_> =
            routes.map(|(at, row)| (at, row.forwarding, xtr.locators_of(row))).collect();
        let mut config = site_config(place, router.boots, seed, &router.eid_prefixes, router.lanes);
        config.xtr.as_mut().unwrap().data_keys = data_keys(place, 1, router.lanes);
        router.node = Node::new(&config, now);
        router.changes.clear();
        for (eid_prefix, key) in more {
            let (eid_prefix, key) = (*eid_prefix, *key);
            let peer = PeerConfig {
                key,
                lane: 0,
                endpoint: None,
                side: Side::Responder,
                persistent_keepalive: None,
            };
            router.plane.apply(&Change::SetPeer(peer), now).unwrap();
            let forwarding = Forwarding::Peer(key);
            router.plane.apply(&Change::SetRoute { eid_prefix, forwarding }, now).unwrap();
            assert!(router.node.handle_adopted(eid_prefix, forwarding, &[(0, key, None)], now));
        }
        for (eid_prefix, forwarding, locators) in routes {
            let known: Vec<_> = router.plane.peer_status(Interface::Data).collect();
            let lanes = match forwarding {
                Forwarding::Lanes(lanes) => {
                    lanes.iter().map(|(lane, key, _)| (lane, key)).collect()
                }
                _ => forwarding.peers().map(|key| (0, *key)).collect::<Vec<_>>(),
            };
            let peers = lanes.iter().map(|(lane, key)| {
                let peer = known.iter().find(|peer| peer.key == *key);
                // What is only noted is where the mapping said.
                let has_key =
                    |locator: &&Locator| locator.data_key.is_some_and(|at| at.key == *key);
                let noted = locators.iter().find(has_key).and_then(Locator::endpoint);
                (*lane, *key, peer.map_or(noted, |peer| peer.endpoint))
            });
            let peers: Vec<_> = peers.collect();
            assert!(router.node.handle_adopted(eid_prefix, forwarding, &peers, now));
        }
        router.tell_uplinks(now);
        let endpoint = SocketAddr::new(address(MAP_SERVER), CONTROL_PORT);
        let (key, side) = (control_key(MAP_SERVER), Side::Initiator);
        router.node.handle_control_session(key, endpoint, side, None, now);
        self.settle(place);
    }

    /// `kill -9`: what is under way to it is lost.
    pub fn kill(&mut self, place: usize) {
        self.routers[place].is_up = false;
    }

    /// Starts a site again: a new data key, nothing remembered but the boot counter.
    pub fn restart_site(&mut self, place: usize, clock_back: u64) {
        let boots = self.routers[place].boots + 1;
        let eid_prefixes = self.routers[place].eid_prefixes.clone();
        let config = site_config(place, boots, self.seed, &eid_prefixes, self.routers[place].lanes);
        let (was_at, nat) = (self.routers[place].address, self.routers[place].nat.take());
        let is_mobile = self.routers[place].is_mobile;
        let uplinks = std::mem::take(&mut self.routers[place].uplinks);
        let mut router =
            Router::at(place, &config, eid_prefixes, WALL_CLOCK - clock_back, self.now);
        (router.address, router.nat, router.uplinks) = (was_at, nat, uplinks);
        router.is_mobile = is_mobile;
        self.routers[place] = router;
        self.start(place, &[]);
    }

    /// Starts the Map-Server again: it remembers where its sites were, and its boot counter.
    pub fn restart_map_server(&mut self) {
        let boots = self.routers[MAP_SERVER].boots + 1;
        let sites = 1..self.routers.len();
        let prefixes: Vec<_> =
            sites.clone().map(|site| self.routers[site].eid_prefixes.clone()).collect();
        let map_server = map_server_config(&prefixes);
        let config = config(MAP_SERVER, boots, self.seed, None, Some(map_server));
        self.routers[MAP_SERVER] =
            Router::at(MAP_SERVER, &config, Vec::new(), WALL_CLOCK, self.now);
        let learnt: Vec<_> = sites
            .filter_map(|site| Some((site, self.routers[site].outer(CONTROL_PORT)?)))
            .collect();
        self.start(MAP_SERVER, &learnt);
    }

    /// The site's uplink has another address from now on.
    pub fn move_to(&mut self, place: usize, address: IpAddr) {
        let now = self.now;
        let router = &mut self.routers[place];
        router.address = address;
        router.node.handle_uplinks(&[Uplink::new(address)], now);
        self.settle(place);
    }

    /// The site's uplink is behind a NAT from now on; not told yet when it is not up.
    pub fn put_behind_nat(&mut self, place: usize) {
        let last = place as u8;
        self.routers[place].nat = Some(Nat::new(Ipv4Addr::new(203, 0, 113, last).into()));
        let address = Ipv4Addr::new(192, 168, 1, last).into();
        if self.routers[place].is_up {
            self.move_to(place, address);
        } else {
            self.routers[place].address = address;
        }
    }

    /// The wall clock of a site is set right.
    pub fn set_clock_right(&mut self, place: usize) {
        let now = self.now;
        self.routers[place].plane.set_wall_clock(WALL_CLOCK);
        self.routers[place].plane.handle_clock_step(now);
        self.settle(place);
    }

    /// A host sends a packet.
    pub fn send(&mut self, place: usize, from: &str, to: &str) {
        let packet = packet(from.parse().unwrap(), to.parse().unwrap());
        let now = self.now;
        self.routers[place].plane.handle_packet(&packet, now);
        self.settle(place);
    }

    pub fn received(&self, place: usize, from: &str, to: &str) -> usize {
        let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let received = &self.routers[place].received;
        received.iter().filter(|(_, source, target)| (*source, *target) == (from, to)).count()
    }

    pub fn is_registered(&self, place: usize) -> bool {
        self.routers[place].node.xtr().unwrap().registered_with().is_some()
    }

    pub fn run_for(&mut self, span: Duration) {
        self.run_until(span, |_| false);
    }

    /// Runs until something holds, or for `span`; whether it holds.
    pub fn run_until(&mut self, span: Duration, holds: impl Fn(&World) -> bool) -> bool {
        let end = self.now + span;
        while !holds(self) {
            let Some(at) = self.next_at().filter(|at| *at <= end) else {
                self.now = end;
                return holds(self);
            };
            assert!(at >= self.now);
            self.now = at;
            self.step();
        }
        true
    }

    fn next_at(&self) -> Option<Instant> {
        let routers = self.routers.iter().filter(|router| router.is_up);
        let routers = routers.flat_map(|router| [router.node.poll_at(), router.plane.poll_at()]);
        routers.flatten().chain(self.network.next_at()).min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(flying) = self.network.arrived(now) {
            let mut routers = self.routers.iter().enumerate().filter(|(_, router)| router.is_up);
            let reached = routers.find_map(|(place, router)| {
                Some((place, router.admit(flying.from, flying.to, now)?))
            });
            if let Some((place, port)) = reached {
                let plane = &mut self.routers[place].plane;
                plane.handle_datagram(port, flying.from, &flying.octets, now);
                self.routers[place].wakeups += 1;
                self.settle(place);
            }
        }
        for place in 0..self.routers.len() {
            let router = &mut self.routers[place];
            let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            if router.is_up && (is_due(router.node.poll_at()) || is_due(router.plane.poll_at())) {
                router.wakeups += 1;
                router.node.handle_timeout(now);
                self.settle(place);
            }
        }
    }

    /// Passes on what the node and its data plane tell each other, until both are quiet.
    fn settle(&mut self, place: usize) {
        let now = self.now;
        let router = &mut self.routers[place];
        let mut buf = [0; 1500];
        if router.plane.poll_at().is_some_and(|at| at <= now) {
            router.plane.handle_timeout(now);
        }
        for _ in 0..10_000 {
            router.drain(now);
            if let Some((channel, peer, len)) = router.plane.receive_control(&mut buf) {
                router.node.handle_datagram(channel == Channel::Link, peer, &buf[..len], now);
            } else if let Some(event) = router.plane.poll_event() {
                router.handle_event(event, now);
            } else {
                break;
            }
        }
        while let Some(datagram) = router.plane.poll_datagram() {
            let port = datagram.from_port;
            let from = match &mut router.nat {
                Some(nat) => nat.translate(port, datagram.to, now),
                None => match router.source(datagram.to.ip()) {
                    Some(source) => SocketAddr::new(source, port),
                    None => continue,
                },
            };
            self.network.send(from, datagram.to, &datagram.octets, now);
        }
        while let Some(packet) = router.plane.poll_packet() {
            if packet[0] >> 4 == 4 && packet[9] == 17 {
                let octets = |at: usize| <[u8; 4]>::try_from(&packet[at..at + 4]).unwrap();
                router.received.push((now, octets(12).into(), octets(16).into()));
            }
        }
        let is_future = |at: Option<Instant>| at.is_none_or(|at| at > now);
        assert!(is_future(router.node.poll_at()), "a past deadline is a busy loop: node {place}");
        assert!(is_future(router.plane.poll_at()), "a past deadline: data plane {place}");
    }
}

impl Router {
    fn new(place: usize, config: &Config, eid_prefixes: Vec<EidPrefix>, wall_clock: u64) -> Router {
        Router::at(place, config, eid_prefixes, wall_clock, Instant::ZERO)
    }

    fn at(
        place: usize,
        config: &Config,
        eid_prefixes: Vec<EidPrefix>,
        wall_clock: u64,
        now: Instant,
    ) -> Router {
        let seed = u64::from(config.boot_counter) << 8 | place as u64;
        let memory = MemoryConfig {
            control_key: control_key(place),
            data_key: data_key(place, config.boot_counter),
            control_port: CONTROL_PORT,
            data_port: DATA_PORT,
            database: eid_prefixes.clone(),
            wall_clock,
            engine: EngineConfig { seed, ..EngineConfig::default() },
        };
        Router {
            node: Node::new(config, now),
            plane: Memory::new(&memory).unwrap(),
            address: address(place),
            nat: None,
            eid_prefixes,
            events: Vec::new(),
            received: Vec::new(),
            wakeups: 0,
            is_up: false,
            changes: Vec::new(),
            other_lanes: Vec::new(),
            lanes: config.xtr.as_ref().map_or(0, |xtr| xtr.data_keys.len() as u8),
            uplinks: Vec::new(),
            is_mobile: false,
            boots: config.boot_counter,
        }
    }

    /// The port that a datagram reaches, if it gets here.
    fn admit(&self, from: SocketAddr, to: SocketAddr, now: Instant) -> Option<u16> {
        match &self.nat {
            Some(nat) if nat.outer == to.ip() => nat.admit(from, to.port(), now),
            None if self.has(to.ip()) => Some(to.port()),
            _ => None,
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        match self.is_mobile {
            true => self.uplinks.iter().any(|uplink| uplink.rloc == address),
            false => self.address == address,
        }
    }

    /// Where a datagram to this address leaves by, if there is a way.
    fn source(&self, to: IpAddr) -> Option<IpAddr> {
        if !self.is_mobile {
            return Some(self.address);
        }
        let best = self.node.uplinks().iter().filter(|uplink| uplink.lane == 0);
        let mut alike = best.filter(|uplink| uplink.rloc.is_ipv4() == to.is_ipv4());
        alike.next().map(|uplink| uplink.rloc).filter(|rloc| self.has(*rloc))
    }

    /// Where a port is seen from outside.
    fn outer(&self, port: u16) -> Option<SocketAddr> {
        match &self.nat {
            Some(nat) => nat.outer_of(port),
            None => Some(SocketAddr::new(self.source(address(MAP_SERVER))?, port)),
        }
    }

    fn tell_uplinks(&mut self, now: Instant) {
        let alone = Uplink::new(self.address);
        let uplinks = if self.uplinks.is_empty() { vec![alone] } else { self.uplinks.clone() };
        self.node.handle_uplinks(&uplinks, now);
    }

    fn apply(&mut self, change: Change, now: Instant) {
        self.changes.push(change);
        let is_elsewhere = |key: &PeerKey| self.other_lanes.contains(key);
        match change {
            Change::SetPeer(peer) if peer.lane > 0 => self.other_lanes.push(peer.key),
            Change::RemovePeer(key) if is_elsewhere(&key) => {
                self.other_lanes.retain(|other| *other != key);
            }
            Change::SetRoute { forwarding: Forwarding::Peer(key), .. } if is_elsewhere(&key) => {}
            _ => self.plane.apply(&change, now).unwrap(),
        }
    }

    fn drain(&mut self, now: Instant) {
        let mut buf = [0; 1500];
        loop {
            match self.node.poll_output(now, &mut buf) {
                Output::Transmit { link, peer, len } => {
                    let channel = if link { Channel::Link } else { Channel::Control };
                    // Without a session it is lost, as on a wire.
                    let _ = self.plane.send_control(channel, peer, &buf[..len], now);
                }
                Output::Uplinks => self.plane.handle_uplink_change(now),
                Output::Change(change) => self.apply(change, now),
                Output::Event(event) => self.events.push((now, event)),
                Output::Wait(at) => {
                    assert!(at.is_none_or(|at| at > now), "a past deadline is a busy loop");
                    return;
                }
            }
        }
    }

    fn handle_event(&mut self, event: dataplane::Event, now: Instant) {
        use dataplane::Event as Seen;
        let node = &mut self.node;
        match event {
            Seen::Miss { source, destination } => node.handle_miss(source, destination, now),
            Seen::ControlSession { peer, endpoint, side, round_trip } => {
                node.handle_control_session(peer, endpoint, side, round_trip, now);
            }
            Seen::ControlLost { peer } => node.handle_control_lost(peer, now),
            Seen::ControlRoamed { peer, endpoint } => {
                node.handle_control_roamed(peer, endpoint, now);
            }
            Seen::DataSession { .. } => {}
            Seen::DataLost { peer } => node.handle_data_lost(peer, now),
            Seen::Silent { peer } => node.handle_silent(peer, now),
            Seen::Traffic { peer } => node.handle_traffic(peer, now),
        }
    }
}

fn map_server_config(prefixes: &[Vec<EidPrefix>]) -> MapServerConfig {
    let sites = prefixes.iter().enumerate().map(|(site, eid_prefixes)| SiteConfig {
        name: format!("site {}", site + 1),
        key: control_key(site + 1),
        authentication: authentication(site + 1),
        eid_prefixes: eid_prefixes.clone(),
        accepts_more_specifics: false,
    });
    MapServerConfig { sites: sites.collect(), registration_timeout: Duration::from_secs(180) }
}

fn site_config(
    place: usize,
    boots: u32,
    seed: u8,
    eid_prefixes: &[EidPrefix],
    lanes: u8,
) -> Config {
    let (key, authentication) = (control_key(MAP_SERVER), authentication(place));
    let xtr = XtrConfig {
        data_keys: data_keys(place, boots, lanes),
        uplinks: vec![UplinkConfig { priority: 1, weight: 100 }; usize::from(lanes)],
        database: eid_prefixes.iter().copied().map(Into::into).collect(),
        eid_space: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        on_miss: Forwarding::Drop,
        record_ttl: Duration::from_secs(3600),
        register_interval: Duration::from_secs(60),
        map_servers: vec![MapServerPeer { key, authentication }],
    };
    config(place, boots, seed, Some(xtr), None)
}

fn config(
    place: usize,
    boot_counter: u32,
    seed: u8,
    xtr: Option<XtrConfig>,
    map_server: Option<MapServerConfig>,
) -> Config {
    let mut seeds = [seed; 32];
    seeds[0] = place as u8;
    seeds[1..5].copy_from_slice(&boot_counter.to_be_bytes());
    let limits = Limits::default();
    let control_key = control_key(place);
    let handover = HandoverConfig::default();
    Config { control_key, boot_counter, seed: seeds, limits, handover, xtr, map_server }
}

pub fn eid(text: &str) -> Eid {
    Eid { instance_id: InstanceId(0), address: text.parse().unwrap() }
}

/// An IPv4 packet with an empty UDP datagram.
fn packet(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    let words =
        packet.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    packet.extend([0x10, 0, 0x10, 0, 0, 8, 0, 0]);
    packet
}
