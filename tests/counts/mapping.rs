//! Looking up the mapping of a destination among a thousand.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use control::auth::AuthenticationKey;
use control::node::MAX_MESSAGE;
use control::{
    Action, Config, DataKey, Eid, EidPrefix, Forwarding, HandoverConfig, InstanceId, Instant,
    Limits, MapServerPeer, Node, Output, PeerKey, Side, Uplink, UplinkConfig, XtrConfig,
};
use wire::{
    AddressBuffer, AlgorithmId, KeyId, MapNotify, MapReply, MapVersion, Message, Record, Records,
    RecordsWriter, SentAuthentication,
};

use crate::window::Window;

/// Mappings in the map-cache.
pub const MAPPINGS: u16 = 1_000;
/// How many look-ups are counted.
const LOOKUPS: u16 = 1_000;
/// Who has the first half of the sites.
const OWNERS: u16 = 32;
const SERVER: PeerKey = PeerKey([0xaa; 32]);

/// A family of EIDs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

pub fn count() {
    for (family, window) in [(Family::V4, Window::LookupV4), (Family::V6, Window::LookupV6)] {
        let mut world = World::new();
        for site in 0..MAPPINGS {
            let reply = world.ask(site, &[family]);
            world.answer(&reply, |_| {});
        }
        let xtr = world.node.xtr().expect("it is one");
        assert_eq!(xtr.map_cache_len(), usize::from(MAPPINGS));
        // All over the table, in no order that a branch predictor or a cache would like.
        let eids: Vec<_> =
            (0..LOOKUPS).map(|place| eid(family, place.wrapping_mul(617) % MAPPINGS)).collect();
        let found = window.count(LOOKUPS.into(), || {
            eids.iter().filter(|eid| black_box(xtr.lookup(black_box(**eid))).is_some()).count()
        });
        assert_eq!(found, eids.len());
    }
}

/// An xTR and what its Map-Server tells it.
pub struct World {
    pub node: Node,
    pub now: Instant,
    buffer: [u8; MAX_MESSAGE],
}

impl World {
    pub fn new() -> World {
        let now = Instant::from_millis(1);
        let mut world = World { node: Node::new(&config(), now), now, buffer: [0; MAX_MESSAGE] };
        world.node.handle_uplinks(&[Uplink::new([192, 0, 2, 1].into())], now);
        let endpoint = ([192, 0, 2, 2], 51821).into();
        world.node.handle_control_session(SERVER, endpoint, Side::Initiator, None, now);
        let mut acknowledgement = None;
        world.drain(|message| {
            if let Ok(Message::MapRegister(register)) = Message::parse(message) {
                acknowledgement = Some(acknowledge(register.nonce));
            }
        });
        let acknowledgement = acknowledgement.expect("it registers");
        world.node.handle_datagram(false, SERVER, &acknowledgement, now);
        world.drain(|_| {});
        world
    }

    /// Has the node ask for a site, and gives the Map-Server's reply, with a mapping for each family.
    pub fn ask(&mut self, site: u16, families: &[Family]) -> Vec<u8> {
        self.now += std::time::Duration::from_millis(10);
        let source = match families[0] {
            Family::V4 => Ipv4Addr::new(10, 255, 0, 9).into(),
            Family::V6 => Ipv6Addr::new(0xfd01, 0, 0xffff, 0, 0, 0, 0, 9).into(),
        };
        let source = Eid { instance_id: InstanceId(0), address: source };
        self.node.handle_miss(source, eid(families[0], site), self.now);
        let mut nonce = None;
        self.drain(|message| {
            if let Ok(Message::EncapsulatedControl(request)) = Message::parse(message) {
                nonce = request.packet.message()[4..12].try_into().ok().map(u64::from_be_bytes);
            }
        });
        reply(nonce.expect("it asks"), site, families)
    }

    /// The node takes a reply; `apply` gets each change that follows.
    pub fn answer(&mut self, reply: &[u8], mut apply: impl FnMut(&control::Change)) {
        self.node.handle_datagram(false, SERVER, reply, self.now);
        loop {
            match self.node.poll_output(self.now, &mut self.buffer) {
                Output::Change(ref change) => apply(change),
                Output::Wait(_) => return,
                _ => {}
            }
        }
    }

    fn drain(&mut self, mut sent: impl FnMut(&[u8])) {
        loop {
            match self.node.poll_output(self.now, &mut self.buffer) {
                Output::Transmit { len, .. } => sent(&self.buffer[..len]),
                Output::Wait(_) => return,
                _ => {}
            }
        }
    }
}

/// The Map-Server's Map-Notify for a Map-Register.
fn acknowledge(nonce: wire::Nonce) -> Vec<u8> {
    let (algorithm, sent) = (AlgorithmId::HmacSha256_128, SentAuthentication::default());
    let notify = MapNotify {
        is_ack: false,
        is_through_rtr: false,
        nonce,
        key_id: KeyId(0),
        algorithm,
        authentication_data: sent.blank(algorithm),
        records: Records::EMPTY,
        xtr_identity: None,
    };
    let mut octets = vec![0; MAX_MESSAGE];
    let len = notify.emit(&mut octets).expect("there is room");
    octets.truncate(len);
    wire::auth::sign(&mut octets, authentication().as_bytes(), sent).expect("it is signed");
    octets
}

fn authentication() -> AuthenticationKey {
    AuthenticationKey::from_secret(&[3; 32])
}

fn prefix(family: Family, site: u16) -> (IpAddr, u8) {
    let [high, low] = site.to_be_bytes();
    match family {
        Family::V4 => (Ipv4Addr::new(10, high, low, 0).into(), 24),
        Family::V6 => (Ipv6Addr::new(0xfd01, 0, 0, site, 0, 0, 0, 0).into(), 64),
    }
}

fn eid(family: Family, site: u16) -> Eid {
    let address = match prefix(family, site).0 {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() | 9).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() | 9).into(),
    };
    Eid { instance_id: InstanceId(0), address }
}

/// The owner of a site's mappings: the sites below `MAPPINGS / 2` are a few owners' together.
fn owner(site: u16) -> u16 {
    if site < MAPPINGS / 2 { site % OWNERS } else { site }
}

/// The data key of an owner.
fn key(owner: u16) -> [u8; 32] {
    let mut key = [0x80; 32];
    key[..2].copy_from_slice(&owner.to_be_bytes());
    key
}

/// A record for each family, each with the site's one RLOC and its data key.
fn reply(nonce: u64, site: u16, families: &[Family]) -> Vec<u8> {
    let owner = owner(site);
    let [high, low] = owner.to_be_bytes();
    let rloc = wire::Address::Ipv4(Ipv4Addr::new(198, 18, high, low));
    let data_key = wire::DataKey { public_key: key(owner), port: 51820, lane: 0 };
    let address = AddressBuffer::data_key(&data_key, false, &rloc).expect("it fits");
    let mut room = [0; MAX_MESSAGE];
    let mut writer = RecordsWriter::new(&mut room);
    for family in families {
        let (eid, mask_len) = prefix(*family, site);
        let record = Record {
            ttl_minutes: 60,
            mask_len,
            action: Action::NoAction,
            is_authoritative: false,
            map_version: MapVersion(0),
            eid: eid.into(),
            locators: wire::Locators::EMPTY,
        };
        writer.push_record(&record).expect("there is room");
        let locator = wire::Locator {
            priority: 1,
            weight: 100,
            mpriority: 255,
            mweight: 0,
            is_local: false,
            is_probed: false,
            is_reachable: true,
            address: address.address(),
        };
        writer.push_locator(&locator).expect("there is room");
    }
    let records: Records<'_> = writer.finish();
    let mut octets = vec![0; MAX_MESSAGE];
    let reply = MapReply::new(wire::Nonce(nonce), records);
    let len = reply.emit(&mut octets).expect("there is room");
    octets.truncate(len);
    octets
}

fn config() -> Config {
    let prefixes = ["10.255.0.0/24", "fd01:0:ffff::/64"].map(|text| own(text).into());
    let xtr = XtrConfig {
        data_keys: [DataKey { key: PeerKey([0x0d; 32]), port: 51820, lane: 0 }].into(),
        uplinks: vec![UplinkConfig { priority: 1, weight: 100 }],
        database: prefixes.into(),
        eid_space: vec![own("10.0.0.0/8"), own("fd01::/16")],
        on_miss: Forwarding::Drop,
        record_ttl: std::time::Duration::from_secs(3600),
        register_interval: std::time::Duration::from_secs(60),
        map_servers: [MapServerPeer { key: SERVER, authentication: authentication() }].into(),
    };
    Config {
        control_key: PeerKey([1; 32]),
        boot_counter: 7,
        seed: [5; 32],
        limits: Limits { map_cache: 1_200, pending_requests: 64, peers: 1_200 },
        handover: HandoverConfig::default(),
        xtr: Some(xtr),
        map_server: None,
    }
}

pub fn own(text: &str) -> EidPrefix {
    text.parse().expect("the constant is an EID-prefix")
}
