//! A Map-Server and two sites that speak honestly to each other while somebody speaks in their names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use control::auth::AuthenticationKey;
use control::node::MAX_MESSAGE;
use control::{
    Config, DataKey, Eid, EidPrefix, Forwarding, HandoverConfig, InstanceId, Instant, Lanes,
    Limits, MapServerConfig, MapServerPeer, Node, Output, PeerKey, Side, SiteConfig, Uplink,
    UplinkConfig, XtrConfig,
};

/// The Map-Server's place among the nodes; the sites follow it.
const MAP_SERVER: usize = 0;
const NODES: usize = 3;

/// Outputs that one input may cause in all; more is a loop without end.
const MAX_OUTPUTS: usize = 10_000;

/// Steps of two octets (what, half the length of its data) and the data: messages from inside the
/// tunnels with and without a correct MAC, changed copies of honest ones, packets, time.
pub fn node(data: &[u8]) {
    let mut network = Network::new();
    let mut rest = data;
    while let [step, half, following @ ..] = rest {
        let (octets, left) = following.split_at(following.len().min(usize::from(*half) * 2));
        network.step(*step, octets);
        rest = left;
    }
}

struct Network {
    nodes: [Node; NODES],
    now: Instant,
    /// Honest messages: sender, receiver, octets.
    honest: Vec<(usize, usize, Vec<u8>)>,
}

impl Network {
    fn new() -> Network {
        let now = Instant::from_millis(1);
        let nodes = [map_server(), site(1), site(2)].map(|config| Node::new(&config, now));
        let mut network = Network { nodes, now, honest: Vec::new() };
        for place in 1..NODES {
            network.adopt(place, &[place as u8, 3]);
            let uplinks = [0, 1].map(|number| uplink(rloc(place), number));
            network.nodes[place].handle_uplinks(&uplinks, now);
            network.session(MAP_SERVER, place, Side::Responder);
            network.session(place, MAP_SERVER, Side::Initiator);
        }
        network.settle();
        network
    }

    fn session(&mut self, of: usize, with: usize, side: Side) {
        let endpoint = SocketAddr::new(rloc(with), 51821);
        self.nodes[of].handle_control_session(control_key(with), endpoint, side, None, self.now);
    }

    fn step(&mut self, step: u8, octets: &[u8]) {
        let place = usize::from(step >> 4) % (NODES - 1) + 1;
        let (sender, receiver) =
            if step & 8 == 0 { (place, MAP_SERVER) } else { (MAP_SERVER, place) };
        let number = octets.iter().take(4).fold(0, |number, octet| number << 8 | u32::from(*octet));
        match step & 7 {
            0 => self.deliver(sender, receiver, octets),
            2 => self.link(place, octets),
            1 => self.deliver(sender, receiver, &signed(octets.to_vec())),
            3 => {
                let (source, destination) =
                    (eid(0x0a00_0001 + (place as u32) * 0x1_0000), eid(number));
                self.nodes[place].handle_miss(source, destination, self.now);
            }
            4 => self.now += Duration::from_millis(u64::from(number) % 100_000),
            5 if octets.len() > 4 => {
                self.adopt(place, &octets[..octets.len().min(8)]);
            }
            5 => {
                let rlocs = [Ipv4Addr::from(number).into(), rloc(place)];
                let uplinks = [0, 1].map(|number| uplink(rlocs[usize::from(number)], number));
                let count = number as usize % (uplinks.len() + 1);
                self.nodes[place].handle_uplinks(&uplinks[..count], self.now);
            }
            _ => self.deliver_changed(number as usize, octets.get(4..).unwrap_or_default()),
        }
        self.settle();
    }

    /// An earlier run left a mapping per octet, with a peer or two: the other site's, our own or
    /// somebody's.
    fn adopt(&mut self, place: usize, octets: &[u8]) {
        for octet in octets {
            let peers = [0, 1].map(|lane| {
                let key = data_key(usize::from(octet >> 2 & 3), lane).key;
                (octet >> 4 & lane, key, Some(SocketAddr::new(rloc(place), 51820)))
            });
            let lanes = Lanes::new(&peers.map(|(lane, key, _)| (lane, key, octet >> 5)));
            let (forwarding, peers) = match lanes {
                Some(lanes) => (Forwarding::Lanes(lanes), &peers[..]),
                None => (Forwarding::Peer(peers[0].1), &peers[..1]),
            };
            let eid_prefix = prefix([10, octet & 3, 0, 0], 16 + (octet >> 6));
            self.nodes[place].handle_adopted(eid_prefix, forwarding, peers, self.now);
        }
    }

    fn deliver(&mut self, sender: usize, receiver: usize, octets: &[u8]) {
        self.nodes[receiver].handle_datagram(false, control_key(sender), octets, self.now);
    }

    /// A message between link addresses, from the other site or one that does not exist; none at
    /// all is silence.
    fn link(&mut self, place: usize, octets: &[u8]) {
        let first = octets.first().copied().unwrap_or_default();
        let peer = data_key(usize::from(first & 3), first >> 2 & 1).key;
        match octets.get(1..) {
            Some(octets) if !octets.is_empty() => {
                self.nodes[place].handle_datagram(true, peer, octets, self.now);
            }
            _ => self.nodes[place].handle_silent(peer, self.now),
        }
    }

    /// An honest message with octets changed, each at a place and by a mask.
    fn deliver_changed(&mut self, number: usize, changes: &[u8]) {
        let Some(which) = number.checked_rem(self.honest.len()) else { return };
        let (sender, receiver, mut octets) = self.honest[which].clone();
        for change in changes.chunks_exact(2) {
            let place = usize::from(change[0]) % octets.len();
            octets[place] ^= change[1];
        }
        self.deliver(sender, receiver, &signed(octets));
    }

    /// Lets every node do what it has to do, until all wait for a later instant.
    fn settle(&mut self) {
        let mut buffer = [0; MAX_MESSAGE];
        let mut waiting = 0;
        for turn in 0.. {
            assert!(turn < MAX_OUTPUTS, "the nodes do not come to rest");
            let place = turn % NODES;
            match self.nodes[place].poll_output(self.now, &mut buffer) {
                Output::Wait(at) => {
                    assert!(at.is_none_or(|at| at > self.now), "a deadline stays in the past");
                    waiting += 1;
                    if waiting == NODES {
                        return;
                    }
                    continue;
                }
                Output::Transmit { link: false, peer, len } => {
                    let receiver = (0..NODES).find(|place| control_key(*place) == peer);
                    let receiver = receiver.expect("messages go to configured peers only");
                    assert!(len <= MAX_MESSAGE);
                    if self.honest.len() < 32 {
                        self.honest.push((place, receiver, buffer[..len].to_vec()));
                    }
                    self.deliver(place, receiver, &buffer[..len]);
                }
                Output::Event(event) => drop(format!("{event}")),
                Output::Transmit { link: true, peer, len } => {
                    let keys = (1..NODES).flat_map(|place| [0, 1].map(|lane| (place, lane)));
                    let receiver =
                        keys.into_iter().find(|(place, lane)| data_key(*place, *lane).key == peer);
                    if let Some((receiver, lane)) = receiver {
                        let us = data_key(place, lane).key;
                        let octets = &buffer[..len];
                        self.nodes[receiver].handle_datagram(true, us, octets, self.now);
                    }
                }
                Output::Change(_) | Output::Uplinks => {}
            }
            waiting = 0;
        }
    }
}

/// The message with a correct MAC, if it has a place for one.
fn signed(mut octets: Vec<u8>) -> Vec<u8> {
    let _ = wire::auth::sign(&mut octets, authentication().as_bytes(), Default::default());
    octets
}

fn control_key(place: usize) -> PeerKey {
    PeerKey([place as u8 + 1; 32])
}

fn rloc(place: usize) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, place as u8 + 1).into()
}

fn uplink(rloc: IpAddr, place: u8) -> Uplink {
    Uplink { id: u32::from(place), place: Some(place), ..Uplink::new(rloc) }
}

fn data_key(place: usize, lane: u8) -> DataKey {
    DataKey { key: PeerKey([place as u8 + 65 + 16 * lane; 32]), port: 51820, lane }
}

fn authentication() -> AuthenticationKey {
    AuthenticationKey::from_secret(b"key")
}

fn eid(address: u32) -> Eid {
    Eid { instance_id: InstanceId::default(), address: Ipv4Addr::from(address).into() }
}

fn prefix(address: [u8; 4], len: u8) -> EidPrefix {
    EidPrefix::new(InstanceId::default(), Ipv4Addr::from(address).into(), len)
        .expect("no bits beyond the length")
}

fn config(place: usize) -> Config {
    Config {
        control_key: control_key(place),
        boot_counter: 1,
        seed: [place as u8; 32],
        limits: Limits { map_cache: 8, pending_requests: 4, peers: 4 },
        handover: HandoverConfig::default(),
        xtr: None,
        map_server: None,
    }
}

fn map_server() -> Config {
    let sites = (1..NODES)
        .map(|place| SiteConfig {
            name: format!("site{place}"),
            key: control_key(place),
            authentication: authentication(),
            eid_prefixes: vec![prefix([10, place as u8, 0, 0], 16)],
            accepts_more_specifics: place == 1,
        })
        .collect();
    let map_server = MapServerConfig { sites, registration_timeout: Duration::from_secs(180) };
    Config { map_server: Some(map_server), ..config(MAP_SERVER) }
}

fn site(place: usize) -> Config {
    let xtr = XtrConfig {
        data_keys: (0..2).map(|lane| data_key(place, lane)).collect(),
        uplinks: vec![UplinkConfig { priority: 1, weight: 100 }; 2],
        database: vec![prefix([10, place as u8, 0, 0], 16).into()],
        eid_space: vec![prefix([10, 0, 0, 0], 8)],
        on_miss: Forwarding::Drop,
        record_ttl: Duration::from_secs(3600),
        register_interval: Duration::from_secs(60),
        map_servers: vec![MapServerPeer {
            key: control_key(MAP_SERVER),
            authentication: authentication(),
        }],
    };
    Config { xtr: Some(xtr), ..config(place) }
}
