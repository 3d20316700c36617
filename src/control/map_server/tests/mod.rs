//! Behaviour of the Map-Server on virtual time, by real messages.

mod hostile;
mod interop;
mod moves;
mod nat;
mod publication;
mod registration;
mod reload;
mod resolution;
mod subscription;

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use wire::{
    AlgorithmId, EncapsulatedControl, KeyId, Message, Nonce, RecordsWriter, SentAuthentication,
    XtrIdentity,
};

use super::{MAX_MESSAGE_LEN, MapServer, Output};
use crate::auth::{self, AuthenticationKey};
use crate::record::{self, Sender};
use crate::{
    Action, Change, DataKey, EidPrefix, Event, InstanceId, Instant, Locator, MapServerConfig,
    Mapping, PeerKey, Side, SiteConfig,
};

const BOOT: u32 = 5;
const MINUTE: Duration = Duration::from_secs(60);

fn key(site: u8) -> PeerKey {
    PeerKey([site; 32])
}

fn prefix(text: &str) -> EidPrefix {
    match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((instance_id, rest)) => {
            let prefix: EidPrefix = rest.parse().unwrap();
            prefix.with_instance_id(InstanceId(instance_id.parse().unwrap()))
        }
        None => text.parse().unwrap(),
    }
}

fn nonce(boot: u32, sequence: u32) -> u64 {
    u64::from(boot) << 32 | u64::from(sequence)
}

fn site_config(site: u8, eid_prefixes: &[&str]) -> SiteConfig {
    SiteConfig {
        name: site.to_string(),
        key: key(site),
        authentication: AuthenticationKey::from_secret(&[site ^ 0x80; 32]),
        eid_prefixes: eid_prefixes.iter().map(|text| prefix(text)).collect(),
        accepts_more_specifics: false,
    }
}

fn config(sites: &[(u8, &[&str])]) -> MapServerConfig {
    MapServerConfig {
        sites: sites.iter().map(|(site, eid_prefixes)| site_config(*site, eid_prefixes)).collect(),
        registration_timeout: Duration::from_secs(180),
    }
}

fn mapping(eid_prefix: &str, rlocs: &[&str], data_key: u8) -> Mapping {
    let data_key = Some(DataKey { key: key(data_key), port: 51820, lane: 0 });
    let locator = |text: &&str| Locator {
        rloc: text.parse().unwrap(),
        priority: 1,
        weight: 100,
        mpriority: 255,
        mweight: 0,
        is_reachable: true,
        data_key,
    };
    Mapping {
        eid_prefix: prefix(eid_prefix),
        record_ttl: Duration::from_secs(3600),
        action: Action::NoAction,
        locators: rlocs.iter().map(locator).collect(),
    }
}

fn withdrawal(eid_prefix: &str) -> Mapping {
    Mapping { record_ttl: Duration::ZERO, ..mapping(eid_prefix, &[], 0) }
}

/// How a Map-Register differs from what lispguard sends.
#[derive(Clone, Copy)]
struct Flags {
    is_proxy_reply: bool,
    is_want_map_notify: bool,
    is_ttl_timeout: bool,
}

const USUAL: Flags =
    Flags { is_proxy_reply: true, is_want_map_notify: true, is_ttl_timeout: false };

fn register_message(site: u8, nonce: u64, mappings: &[Mapping], flags: Flags) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let mut writer = RecordsWriter::new(&mut buffer);
    for mapping in mappings {
        record::write(&mut writer, mapping, Sender::Etr).unwrap();
    }
    let register = wire::MapRegister {
        is_proxy_reply: flags.is_proxy_reply,
        is_security_capable: false,
        is_through_rtr: false,
        is_eid_notify: false,
        is_ttl_timeout: flags.is_ttl_timeout,
        is_merge_request: false,
        is_want_map_notify: flags.is_want_map_notify,
        nonce: Nonce(nonce),
        key_id: KeyId(0),
        algorithm: AlgorithmId::HmacSha256_128,
        authentication_data: SentAuthentication::default().blank(AlgorithmId::HmacSha256_128),
        records: writer.finish(),
        xtr_identity: Some(XtrIdentity {
            xtr_id: auth::xtr_id(key(site)),
            site_id: wire::SiteId(0),
        }),
    };
    signed(site, &Message::MapRegister(register))
}

fn acknowledgement_message(site: u8, number: u64) -> Vec<u8> {
    let ack = wire::MapNotify {
        is_ack: true,
        is_through_rtr: false,
        nonce: Nonce(number),
        key_id: KeyId(0),
        algorithm: AlgorithmId::HmacSha256_128,
        authentication_data: SentAuthentication::default().blank(AlgorithmId::HmacSha256_128),
        records: wire::Records::EMPTY,
        xtr_identity: None,
    };
    signed(site, &Message::MapNotify(ack))
}

fn signed(site: u8, message: &Message<'_>) -> Vec<u8> {
    let mut octets = vec![0; message.buffer_len()];
    message.emit(&mut octets).unwrap();
    wire::auth::sign(&mut octets, &[site ^ 0x80; 32], SentAuthentication::default()).unwrap();
    octets
}

fn request_message(nonce: u64, source: &str, eids: &[&str]) -> Vec<u8> {
    let address = |text: &str| {
        let host = prefix(text);
        record::eid_address(host.instance_id(), host.address())
    };
    let asked: Vec<_> = eids.iter().map(|text| address(text)).collect();
    let asked: Vec<_> = asked
        .iter()
        .zip(eids)
        .map(|(eid, text)| wire::EidRecord {
            is_subscription: false,
            mask_len: prefix(text).len(),
            eid: eid.address(),
        })
        .collect();
    let source = address(source);
    let rloc = [wire::Address::Ipv4([192, 0, 2, 1].into())];
    let request = wire::MapRequest::new(
        Nonce(nonce),
        source.address(),
        wire::Addresses::new(&rloc),
        wire::EidRecords::new(&asked),
    );
    let mut octets = vec![0; request.buffer_len()];
    request.emit(&mut octets).unwrap();
    octets
}

fn encapsulated(message: &[u8], source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut inner = [0; 1500];
    let packet =
        wire::encapsulated_control::InnerPacket::emit(&mut inner, source, destination, 64, message);
    let message = EncapsulatedControl::new(packet.unwrap());
    let mut octets = vec![0; message.buffer_len()];
    message.emit(&mut octets).unwrap();
    octets
}

/// A message that the Map-Server sent.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Sent {
    to: u8,
    kind: Kind,
    nonce: u64,
    mappings: Vec<Mapping>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Notify,
    Reply,
}

impl Sent {
    fn prefixes(&self) -> Vec<String> {
        self.mappings.iter().map(|mapping| mapping.eid_prefix.to_string()).collect()
    }

    /// RLOC and data key of the first locator of each record.
    fn keys(&self) -> Vec<u8> {
        let locators = self.mappings.iter().filter_map(|mapping| mapping.locators.first());
        locators.filter_map(|locator| locator.data_key).map(|data_key| data_key.key.0[0]).collect()
    }

    fn is_withdrawal(&self) -> bool {
        self.mappings.iter().all(|row| row.locators.is_empty() && row.record_ttl.is_zero())
    }
}

/// What one input led to.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Outcome {
    sent: Vec<Sent>,
    infos: Vec<(u8, Vec<u8>)>,
    changes: Vec<Change>,
    events: Vec<Event>,
}

impl Outcome {
    fn to(&self, site: u8) -> Vec<&Sent> {
        self.sent.iter().filter(|sent| sent.to == site).collect()
    }

    fn is_silent(&self) -> bool {
        self.sent.is_empty() && self.infos.is_empty()
    }
}

/// A Map-Server and the time.
struct World {
    map_server: MapServer,
    now: Instant,
}

impl World {
    fn new(sites: &[(u8, &[&str])]) -> World {
        World::with(&config(sites))
    }

    fn with(config: &MapServerConfig) -> World {
        let now = Instant::from_millis(1000);
        World { map_server: MapServer::new(config, BOOT, now), now }
    }

    /// A world after the first minute, with sites 1, 2, … registered at 192.0.2.{site} under the
    /// data key 100 + site, each with 10.{site}.0.0/16.
    fn registered(sites: u8) -> World {
        let texts: Vec<String> =
            (1..=sites).map(|site| alloc::format!("10.{site}.0.0/16")).collect();
        let configs = (1..=sites).zip(&texts).map(|(site, text)| site_config(site, &[text]));
        let config = MapServerConfig {
            sites: configs.collect(),
            registration_timeout: Duration::from_secs(180),
        };
        let mut world = World::with(&config);
        world.wait(MINUTE);
        for site in 1..=sites {
            world.session(site, &alloc::format!("192.0.2.{site}:51821"));
            world.register(site, nonce(1, 1), &[world.usual(site)]);
        }
        world.wait(Duration::from_secs(6));
        world
    }

    fn usual(&self, site: u8) -> Mapping {
        let eid_prefix = alloc::format!("10.{site}.0.0/16");
        mapping(&eid_prefix, &[&alloc::format!("192.0.2.{site}")], 100 + site)
    }

    fn session(&mut self, site: u8, outer: &str) -> Outcome {
        let outer = outer.parse().unwrap();
        self.map_server.handle_control_session(key(site), outer, Side::Responder, self.now);
        self.drain()
    }

    fn datagram(&mut self, site: u8, octets: &[u8]) -> Outcome {
        self.map_server.handle_datagram(key(site), octets, self.now);
        self.drain()
    }

    fn register(&mut self, site: u8, nonce: u64, mappings: &[Mapping]) -> Outcome {
        self.datagram(site, &register_message(site, nonce, mappings, USUAL))
    }

    fn request(&mut self, site: u8, nonce: u64, source: &str, eid: &str) -> Outcome {
        self.datagram(site, &request_message(nonce, source, &[eid]))
    }

    fn acknowledge(&mut self, site: u8, number: u64) -> Outcome {
        self.datagram(site, &acknowledgement_message(site, number))
    }

    /// Acknowledges every push in what was sent, and in what that leads to.
    fn acknowledge_all(&mut self, outcome: &Outcome) {
        let mut pushes: Vec<(u8, u64)> = pushes(outcome);
        while let Some((to, number)) = pushes.pop() {
            let outcome = self.acknowledge(to, number);
            pushes.extend(self::pushes(&outcome));
        }
    }

    /// Makes `asker` and `owner` holders of one another's records, all acknowledged and not fresh.
    fn introduce(&mut self, asker: u8, owner: u8) {
        let (source, eid) = (alloc::format!("10.{asker}.0.1"), alloc::format!("10.{owner}.0.1"));
        let outcome = self.request(asker, 77, &source, &eid);
        assert!(!outcome.to(asker).is_empty());
        self.acknowledge_all(&outcome);
        self.wait(Duration::from_secs(5));
    }

    /// Refreshes the registrations of sites while a minute passes.
    fn minute(&mut self, sites: &[u8], sequence: u32) {
        for site in sites {
            self.register(*site, nonce(1, sequence), &[self.usual(*site)]);
        }
        self.wait(MINUTE);
    }

    /// Lets time pass, with whatever is due on the way.
    fn wait(&mut self, span: Duration) -> Outcome {
        let until = self.now + span;
        let mut outcome = Outcome::default();
        while let Some(at) = self.map_server.poll_at().filter(|at| *at <= until) {
            assert!(at > self.now, "a deadline lies in the future after a drain");
            self.now = at;
            self.map_server.handle_timeout(self.now);
            let more = self.drain();
            outcome.sent.extend(more.sent);
            outcome.infos.extend(more.infos);
            outcome.changes.extend(more.changes);
            outcome.events.extend(more.events);
        }
        self.now = until;
        outcome
    }

    fn drain(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        let mut buf = [0xaa; 1500];
        while let Some(output) = self.map_server.poll_output(self.now, &mut buf) {
            match output {
                Output::Transmit { peer, len } => {
                    assert!(len <= MAX_MESSAGE_LEN);
                    read(peer.0[0], &buf[..len], &mut outcome);
                }
                Output::Change(change) => outcome.changes.push(change),
                Output::Event(event) => outcome.events.push(event),
            }
        }
        let poll_at = self.map_server.poll_at();
        assert!(poll_at.is_none_or(|at| at > self.now), "a deadline lies in the future");
        outcome
    }
}

/// To whom, and under which number, pushes went: what the register's own answer is not.
fn pushes(outcome: &Outcome) -> Vec<(u8, u64)> {
    let pushes = outcome.sent.iter().filter(|sent| is_push(sent));
    pushes.map(|sent| (sent.to, sent.nonce)).collect()
}

fn is_push(sent: &Sent) -> bool {
    sent.kind == Kind::Notify && sent.nonce >> 32 == u64::from(BOOT)
}

/// Takes a message apart, its authentication verified as its receiver does.
fn read(to: u8, octets: &[u8], outcome: &mut Outcome) {
    let verify = || wire::auth::verify(octets, &[to ^ 0x80; 32]).unwrap();
    let (kind, nonce, records) = match Message::parse(octets).unwrap() {
        Message::MapNotify(notify) => {
            verify();
            assert!(!notify.is_ack);
            (Kind::Notify, notify.nonce, notify.records)
        }
        Message::MapReply(reply) => (Kind::Reply, reply.nonce, reply.records),
        Message::Info(_) => {
            outcome.infos.push((to, octets.to_vec()));
            return;
        }
        other => panic!("a Map-Server does not send {other}"),
    };
    let mapping = |record: wire::Record<'_>| {
        let mut mapping = crate::Mapping::blank();
        record::parse(&record, &mut mapping).unwrap();
        mapping
    };
    let mappings = records.iter().map(mapping).collect();
    outcome.sent.push(Sent { to, kind, nonce: nonce.0, mappings });
}
