//! The Map-Server and real xTRs on a network that delays, loses and repeats.

use super::*;
use crate::{
    Config, Eid, Forwarding, HandoverConfig, Limits, MapServerPeer, Node, Uplink, XtrConfig,
};

const MAP_SERVER: u8 = 9;

/// A message on its way.
struct Flight {
    at: Instant,
    from: u8,
    to: u8,
    octets: Vec<u8>,
}

struct Net {
    now: Instant,
    nodes: alloc::collections::BTreeMap<u8, Node>,
    flights: Vec<Flight>,
    changes: Vec<(u8, Change)>,
    random: u64,
    /// Of 256 messages so many are lost, and as many arrive twice.
    loss: u64,
}

impl Net {
    fn new(loss: u64) -> Net {
        let mut net = Net {
            now: Instant::from_millis(1000),
            nodes: alloc::collections::BTreeMap::new(),
            flights: Vec::new(),
            changes: Vec::new(),
            random: 0x2545_f491_4f6c_dd1d,
            loss,
        };
        let sites = config(&[(1, &["10.1.0.0/16"]), (2, &["10.2.0.0/16", "fd02::/16"])]);
        net.start(MAP_SERVER, Config { map_server: Some(sites), xtr: None, ..base(MAP_SERVER, 1) });
        net.start_site(1, 1, 101, &["10.1.0.0/16"]);
        net.start_site(2, 1, 102, &["10.2.0.0/16", "fd02::/16"]);
        net
    }

    fn start(&mut self, name: u8, config: Config) {
        self.nodes.insert(name, Node::new(&config, self.now));
        self.drain(name);
    }

    fn start_site(&mut self, site: u8, boot: u32, data_key: u8, database: &[&str]) {
        let xtr = XtrConfig {
            data_keys: [DataKey { key: key(data_key), port: 51820, lane: 0 }].into(),
            uplinks: [].into(),
            database: database.iter().map(|text| prefix(text).into()).collect(),
            eid_space: vec![prefix("10.0.0.0/8"), prefix("fd00::/8")],
            on_miss: Forwarding::Drop,
            record_ttl: Duration::from_secs(3600),
            register_interval: MINUTE,
            map_servers: vec![MapServerPeer {
                key: key(MAP_SERVER),
                authentication: AuthenticationKey::from_secret(&[site ^ 0x80; 32]),
            }],
        };
        self.start(site, Config { xtr: Some(xtr), map_server: None, ..base(site, boot) });
        self.move_to(site, &alloc::format!("192.0.2.{site}"));
    }

    /// A site has this RLOC now, where its Map-Server sees it.
    fn move_to(&mut self, site: u8, rloc: &str) {
        let rloc = rloc.parse().unwrap();
        let (outer, now) = (SocketAddr::new(rloc, 51821), self.now);
        let server = "198.51.100.9:51821".parse().unwrap();
        let node = |net: &mut Net, name: u8, act: &dyn Fn(&mut Node)| {
            act(net.nodes.get_mut(&name).unwrap());
            net.drain(name);
        };
        let uplink = Uplink::new(rloc);
        node(self, site, &|node| node.handle_uplinks(&[uplink], now));
        node(self, MAP_SERVER, &|node| {
            node.handle_control_session(key(site), outer, Side::Responder, None, now);
        });
        node(self, site, &|node| {
            node.handle_control_session(key(MAP_SERVER), server, Side::Initiator, None, now);
        });
    }

    fn miss(&mut self, site: u8, source: &str, destination: &str) {
        let eid = |text: &str| Eid { instance_id: InstanceId(0), address: text.parse().unwrap() };
        let (source, destination) = (eid(source), eid(destination));
        self.nodes.get_mut(&site).unwrap().handle_miss(source, destination, self.now);
        self.drain(site);
    }

    fn dice(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 256
    }

    fn drain(&mut self, name: u8) {
        let mut buf = [0; MAX_MESSAGE_LEN];
        loop {
            let node = self.nodes.get_mut(&name).unwrap();
            match node.poll_output(self.now, &mut buf) {
                crate::Output::Transmit { peer, len, .. } => {
                    self.carry(name, peer.0[0], &buf[..len])
                }
                crate::Output::Change(change) => self.changes.push((name, change)),
                crate::Output::Event(_) | crate::Output::Uplinks => {}
                crate::Output::Wait(at) => {
                    assert!(at.is_none_or(|at| at > self.now));
                    return;
                }
            }
        }
    }

    fn carry(&mut self, from: u8, to: u8, octets: &[u8]) {
        let copies = match self.dice() {
            dice if dice < self.loss => 0,
            dice if dice < 2 * self.loss => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let jitter = if self.loss == 0 { 0 } else { self.dice() / 16 };
            let at = self.now + Duration::from_millis(5 + jitter);
            self.flights.push(Flight { at, from, to, octets: octets.to_vec() });
        }
    }

    /// Lets time pass.
    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            let flight = self.flights.iter().map(|flight| flight.at).min();
            let timer = self.nodes.values().filter_map(Node::poll_at).min();
            let next = flight.into_iter().chain(timer).min().filter(|at| *at <= until);
            let Some(at) = next else { break };
            self.now = at;
            if let Some(place) = self.flights.iter().position(|flight| flight.at <= at) {
                let Flight { from, to, octets, .. } = self.flights.remove(place);
                let node = self.nodes.get_mut(&to).unwrap();
                node.handle_datagram(false, key(from), &octets, self.now);
                self.drain(to);
                continue;
            }
            for name in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.nodes.get_mut(&name).unwrap().handle_timeout(self.now);
                self.drain(name);
            }
        }
        self.now = until;
    }

    /// The data key and RLOC that a node was last told of for an EID-prefix.
    fn route(&self, name: u8, eid_prefix: &str) -> Option<(u8, Option<SocketAddr>)> {
        let mut route = None;
        for (_, change) in self.changes.iter().filter(|(node, _)| *node == name) {
            match change {
                Change::SetRoute { eid_prefix: set, forwarding: Forwarding::Peer(key) }
                    if *set == prefix(eid_prefix) =>
                {
                    route = Some(*key);
                }
                Change::SetRoute { eid_prefix: set, .. } | Change::RemoveRoute(set)
                    if *set == prefix(eid_prefix) =>
                {
                    route = None;
                }
                _ => {}
            }
        }
        let peer = self.changes.iter().rev().find_map(|(node, change)| match change {
            Change::SetPeer(peer) if *node == name && Some(peer.key) == route => {
                Some(peer.endpoint)
            }
            _ => None,
        });
        route.map(|key| (key.0[0], peer.flatten()))
    }

    fn map_server(&self) -> &MapServer {
        self.nodes[&MAP_SERVER].map_server().unwrap()
    }
}

fn base(name: u8, boot_counter: u32) -> Config {
    let limits = Limits::default();
    let seed = [name; 32];
    Config {
        control_key: key(name),
        boot_counter,
        seed,
        limits,
        handover: HandoverConfig::default(),
        xtr: None,
        map_server: None,
    }
}

fn at(rloc: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(rloc.parse().unwrap(), 51820))
}

#[test]
fn two_sites_register_resolve_and_know_one_another_in_the_right_order() {
    let mut net = Net::new(0);
    net.run(Duration::from_millis(100));
    assert!(net.map_server().sites().all(|site| site.registered_at.is_some()));
    net.miss(1, "10.1.0.1", "10.2.0.1");
    net.run(Duration::from_millis(100));
    let peers: Vec<_> = net
        .changes
        .iter()
        .filter_map(|(name, change)| match change {
            Change::SetPeer(peer) => Some((*name, peer.key.0[0], peer.side)),
            _ => None,
        })
        .collect();
    assert_eq!(peers.len(), 2);
    assert!(peers.contains(&(2, 101, Side::Responder)), "{peers:?}");
    assert!(peers.contains(&(1, 102, Side::Initiator)), "{peers:?}");
    assert_eq!(net.route(1, "fd02::/16"), Some((102, at("192.0.2.2"))), "all records travel");
    assert!(net.map_server().holders().all(|holder| holder.pending == 0));
    assert_eq!(net.map_server().counters().malformed, 0);
}

#[test]
fn a_handover_and_a_restart_reach_the_other_side_under_loss_and_reordering() {
    let mut net = Net::new(64);
    net.run(Duration::from_secs(5));
    net.miss(1, "10.1.0.1", "10.2.0.1");
    net.run(Duration::from_secs(5));
    for place in 10..30 {
        let rloc = alloc::format!("192.0.2.{place}");
        net.move_to(2, &rloc);
        net.run(Duration::from_secs(4));
        assert_eq!(net.route(1, "10.2.0.0/16"), Some((102, at(&rloc))));
    }
    for boot in 2..12 {
        let data_key = 110 + boot as u8;
        net.start_site(2, boot, data_key, &["10.2.0.0/16", "fd02::/16"]);
        net.changes.retain(|(name, _)| *name != 2);
        net.run(Duration::from_secs(5));
        assert_eq!(net.route(1, "10.2.0.0/16"), Some((data_key, at("192.0.2.2"))));
        assert_eq!(net.route(1, "fd02::/16"), Some((data_key, at("192.0.2.2"))));
        assert_eq!(net.route(2, "10.1.0.0/16"), Some((101, at("192.0.2.1"))), "it is given back");
    }
    let counters = net.map_server().counters();
    assert_eq!((counters.malformed, counters.authentication_failures), (0, 0));
    assert!(net.map_server().holders().all(|holder| holder.pending == 0));
}

#[test]
fn a_withdrawn_or_expired_site_leaves_the_other_side() {
    let mut net = Net::new(32);
    net.run(Duration::from_secs(5));
    net.miss(2, "10.2.0.1", "10.1.0.1");
    net.run(Duration::from_secs(5));
    assert!(net.route(1, "10.2.0.0/16").is_some());
    net.nodes.get_mut(&2).unwrap().handle_control_lost(key(MAP_SERVER), net.now);
    net.drain(2);
    net.run(Duration::from_secs(200));
    assert_eq!(net.route(1, "10.2.0.0/16"), None);
    assert!(net.changes.contains(&(MAP_SERVER, Change::ResetControlPeer(key(2)))));
}
