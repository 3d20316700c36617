//! An xTR whose world is played by the test.

use std::vec::Vec;

use crate::auth::AuthenticationKey;
use crate::record::{self, Sender};
use crate::xtr::Xtr;
use crate::{
    Action, Change, Config, DataKey, Duration, Eid, EidPrefix, Event, Forwarding, HandoverConfig,
    InstanceId, Instant, Limits, Locator, Locators, MapServerPeer, Mapping, Output, PeerKey, Side,
    Uplink, XtrConfig,
};
use wire::{AlgorithmId, KeyId, Message, Nonce, SentAuthentication};

pub(super) const SERVER: PeerKey = PeerKey([0xaa; 32]);
pub(super) const OTHER_SERVER: PeerKey = PeerKey([0xbb; 32]);
pub(super) const OUR_DATA_KEY: PeerKey = PeerKey([0x0d; 32]);
pub(super) const B: PeerKey = PeerKey([0xb0; 32]);
pub(super) const B_NEW: PeerKey = PeerKey([0xb1; 32]);
pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) struct Bench {
    pub(super) xtr: Xtr,
    pub(super) now: Instant,
    pub(super) sent: Vec<Sent>,
    /// What was sent between link addresses.
    pub(super) linked: Vec<Sent>,
    pub(super) changes: Vec<Change>,
    pub(super) events: Vec<Event>,
    /// What was said to each `lig`.
    pub(super) answers: Vec<Option<Mapping>>,
}

/// A message that the xTR sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) at_ms: u64,
    pub(super) peer: PeerKey,
    pub(super) octets: Vec<u8>,
}

impl Sent {
    pub(super) fn message(&self) -> Message<'_> {
        Message::parse(&self.octets).unwrap()
    }

    pub(super) fn nonce(&self) -> Nonce {
        Nonce(u64::from_be_bytes(self.control_message()[4..12].try_into().unwrap()))
    }

    /// The message, out of its Encapsulated Control Message if it is in one.
    fn control_message(&self) -> &[u8] {
        match self.message() {
            Message::EncapsulatedControl(ecm) => ecm.packet.message(),
            _ => &self.octets,
        }
    }

    pub(super) fn is_register(&self) -> bool {
        matches!(self.message(), Message::MapRegister(_))
    }

    pub(super) fn is_request(&self) -> bool {
        matches!(self.message(), Message::EncapsulatedControl(_))
    }

    pub(super) fn is_info(&self) -> bool {
        matches!(self.message(), Message::Info(_))
    }

    pub(super) fn is_ack(&self) -> bool {
        matches!(self.message(), Message::MapNotify(notify) if notify.is_ack)
    }
}

pub(super) fn authentication(server: PeerKey) -> AuthenticationKey {
    AuthenticationKey::from_secret(&server.0)
}

pub(super) fn config() -> Config {
    Config {
        control_key: PeerKey([1; 32]),
        boot_counter: 7,
        seed: [5; 32],
        limits: Limits::default(),
        handover: HandoverConfig::default(),
        xtr: Some(xtr_config()),
        map_server: None,
    }
}

pub(super) fn xtr_config() -> XtrConfig {
    XtrConfig {
        data_keys: [DataKey { key: OUR_DATA_KEY, port: 51820, lane: 0 }].into(),
        uplinks: [].into(),
        database: [prefix("10.1.0.0/16").into()].into(),
        eid_space: [prefix("10.0.0.0/8"), prefix("fd00::/8")].into(),
        on_miss: Forwarding::Drop,
        record_ttl: HOUR,
        register_interval: Duration::from_secs(60),
        map_servers: [SERVER]
            .map(|key| MapServerPeer { key, authentication: authentication(key) })
            .into(),
    }
}

pub(super) fn prefix(text: &str) -> EidPrefix {
    text.parse().unwrap()
}

pub(super) fn eid(text: &str) -> Eid {
    Eid { instance_id: InstanceId(0), address: text.parse().unwrap() }
}

pub(super) fn uplink(rloc: &str) -> Uplink {
    Uplink::new(rloc.parse().unwrap())
}

pub(super) fn locator(rloc: &str, key: PeerKey) -> Locator {
    Locator {
        rloc: rloc.parse().unwrap(),
        priority: 1,
        weight: 100,
        mpriority: 255,
        mweight: 0,
        is_reachable: true,
        data_key: Some(DataKey { key, port: 51820, lane: 0 }),
    }
}

/// A mapping with one locator.
pub(super) fn mapping(eid_prefix: &str, rloc: &str, key: PeerKey) -> Mapping {
    let mut locators = Locators::new();
    locators.push(locator(rloc, key)).unwrap();
    let eid_prefix = prefix(eid_prefix);
    Mapping { eid_prefix, record_ttl: HOUR, action: Action::NoAction, locators }
}

pub(super) fn negative(eid_prefix: &str, minutes: u64, action: Action) -> Mapping {
    let record_ttl = Duration::from_secs(60 * minutes);
    let (eid_prefix, locators) = (prefix(eid_prefix), Locators::new());
    Mapping { eid_prefix, record_ttl, action, locators }
}

pub(super) fn withdrawal(eid_prefix: &str) -> Mapping {
    negative(eid_prefix, 0, Action::NoAction)
}

impl Bench {
    pub(super) fn new(config: &Config) -> Bench {
        let xtr = Xtr::new(config, config.xtr.as_ref().unwrap(), Instant::ZERO);
        let now = Instant::ZERO;
        let (sent, linked, changes, events) = Default::default();
        let answers = Vec::new();
        let mut bench = Bench { xtr, now, sent, linked, changes, events, answers };
        bench.drain();
        bench
    }

    /// An xTR on 192.0.2.1 whose registration is acknowledged, nothing recorded.
    pub(super) fn registered(config: &Config) -> Bench {
        let mut bench = Bench::new(config);
        bench.uplinks(&["192.0.2.1"]);
        bench.session(SERVER, Side::Initiator);
        bench.acknowledge_registers();
        bench.answer_info("192.0.2.1");
        assert_eq!(bench.xtr.registered_with(), Some(SERVER));
        bench.clear();
        bench
    }

    pub(super) fn clear(&mut self) {
        self.sent.clear();
        self.linked.clear();
        self.changes.clear();
        self.events.clear();
        self.answers.clear();
    }

    pub(super) fn drain(&mut self) {
        let mut buf = [0xee; 1200];
        for _ in 0..10_000 {
            if self.xtr.poll_at().is_some_and(|at| at <= self.now) {
                self.xtr.handle_timeout(self.now);
            }
            match self.xtr.poll_output(self.now, &mut buf) {
                Output::Transmit { link, peer, len } => {
                    let (at_ms, octets) = (self.now.as_micros() / 1000, buf[..len].to_vec());
                    let sent = if link { &mut self.linked } else { &mut self.sent };
                    sent.push(Sent { at_ms, peer, octets });
                }
                Output::Change(change) => self.changes.push(change),
                Output::Event(event) => {
                    if matches!(event, Event::Lig { .. }) {
                        self.answers.push(self.xtr.lig_answer().cloned());
                    }
                    self.events.push(event);
                }
                Output::Uplinks => panic!("only a node says that"),
                Output::Wait(at) => {
                    assert!(at.is_none_or(|at| at > self.now), "a busy loop");
                    return;
                }
            }
        }
        panic!("output without end");
    }

    /// Lets time pass, doing what is due.
    pub(super) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.xtr.poll_at().filter(|at| *at <= end) {
            self.now = at;
            self.xtr.handle_timeout(at);
            self.drain();
        }
        self.now = end;
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        self.run_for(Duration::from_millis(ms));
    }

    pub(super) fn uplinks(&mut self, rlocs: &[&str]) {
        let uplinks: Vec<_> = rlocs.iter().map(|rloc| uplink(rloc)).collect();
        self.xtr.handle_uplinks(&uplinks, self.now);
        self.drain();
    }

    pub(super) fn session(&mut self, server: PeerKey, side: Side) {
        self.xtr.handle_control_session(server, side, self.now);
        self.drain();
    }

    pub(super) fn miss(&mut self, destination: &str) {
        self.xtr.handle_miss(eid("10.1.0.9"), eid(destination), self.now);
        self.drain();
    }

    pub(super) fn traffic(&mut self, peer: PeerKey) {
        self.xtr.handle_traffic(peer, self.now);
        self.drain();
    }

    /// A message out of a data tunnel.
    pub(super) fn link_datagram(&mut self, peer: PeerKey, octets: &[u8]) {
        self.xtr.handle_link_datagram(peer, octets, self.now);
        self.drain();
    }

    pub(super) fn silent(&mut self, peer: PeerKey) {
        self.xtr.handle_silent(peer, self.now);
        self.drain();
    }

    pub(super) fn datagram(&mut self, peer: PeerKey, octets: &[u8]) {
        self.xtr.handle_datagram(peer, octets, self.now);
        self.drain();
    }

    /// Acknowledges the newest register, and those that follow from it.
    pub(super) fn acknowledge_registers(&mut self) {
        let mut acknowledged = 0;
        while let Some(register) = self.sent.iter().rposition(Sent::is_register)
            && register + 1 > acknowledged
        {
            acknowledged = register + 1;
            let Sent { peer, .. } = self.sent[register];
            let nonce = self.sent[register].nonce();
            self.datagram(peer, &notify(nonce, &[], &authentication(peer)));
        }
    }

    pub(super) fn answer_info(&mut self, outer: &str) {
        let request = self.sent.iter().rfind(|sent| sent.is_info()).unwrap().clone();
        let Message::Info(info) = request.message() else { unreachable!() };
        let nat = wire::AddressBuffer::nat(&wire::lcaf::Nat {
            ms_port: 4342,
            etr_port: 4000,
            global_etr: outer.parse::<core::net::IpAddr>().unwrap().into(),
            ms: wire::Address::None,
            private_etr: wire::Address::None,
            rtrs: wire::Addresses::EMPTY,
        })
        .unwrap();
        let reply = wire::Info { is_reply: true, nat: nat.address(), ..info };
        let mut buf = [0; 1200];
        let len = reply.emit(&mut buf).unwrap();
        self.datagram(request.peer, &buf[..len]);
    }

    /// As `answer_info`, for an Info-Request that is sent once more first.
    pub(super) fn answer_info_late(&mut self, outer: &str) {
        self.run_ms(1_000);
        self.answer_info(outer);
    }

    /// The Map-Server answers the newest Map-Request.
    pub(super) fn reply(&mut self, mappings: &[Mapping]) {
        let request = self.sent.iter().rfind(|sent| sent.is_request()).unwrap();
        let (peer, nonce) = (request.peer, request.nonce());
        self.datagram(peer, &map_reply(nonce, mappings));
    }

    /// The Map-Server pushes mappings under a number.
    pub(super) fn push(&mut self, number: u64, mappings: &[Mapping]) {
        self.datagram(SERVER, &notify(Nonce(number), mappings, &authentication(SERVER)));
    }

    /// Forgets what was recorded, except the questions that may still be answered.
    pub(super) fn clear_but_requests(&mut self) {
        self.sent.retain(Sent::is_request);
        self.changes.clear();
        self.events.clear();
        self.answers.clear();
    }

    /// Lets time pass with a Map-Server that acknowledges every refresh.
    pub(super) fn run_with_server(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.xtr.poll_at().filter(|at| *at <= end) {
            self.now = at;
            self.xtr.handle_timeout(at);
            let before = self.sent.len();
            self.drain();
            if self.sent[before..].iter().any(Sent::is_register) {
                self.acknowledge_registers();
            }
        }
        self.now = end;
    }

    /// What was asked for, retransmissions left out.
    pub(super) fn requests(&self) -> Vec<std::string::String> {
        let ecm = self.sent.iter().filter_map(|sent| match sent.message() {
            Message::EncapsulatedControl(ecm) => Some(ecm.packet.destination().ip()),
            _ => None,
        });
        let mut asked: Vec<_> = ecm.map(|address| std::format!("{address}")).collect();
        asked.dedup();
        asked
    }

    /// Asks for an EID and has it answered.
    pub(super) fn resolve(&mut self, destination: &str, mappings: &[Mapping]) {
        self.miss(destination);
        self.reply(mappings);
    }

    pub(super) fn forwarding(&self, destination: &str) -> Option<Forwarding> {
        self.xtr.lookup(eid(destination)).map(|(_, row)| row.forwarding)
    }
}

pub(super) fn probe_reply(nonce: Nonce) -> Vec<u8> {
    let mut buf = [0; 1200];
    let message =
        wire::MapReply { is_probe: true, ..wire::MapReply::new(nonce, wire::Records::EMPTY) };
    let len = message.emit(&mut buf).unwrap();
    buf[..len].to_vec()
}

pub(super) fn map_reply(nonce: Nonce, mappings: &[Mapping]) -> Vec<u8> {
    let mut room = [0; 1100];
    let mut buf = [0; 1200];
    let message = wire::MapReply::new(nonce, records(&mut room, mappings));
    let len = message.emit(&mut buf).unwrap();
    buf[..len].to_vec()
}

pub(super) fn notify(nonce: Nonce, mappings: &[Mapping], key: &AuthenticationKey) -> Vec<u8> {
    let sent = SentAuthentication::default();
    let mut room = [0; 1100];
    let message = wire::MapNotify {
        is_ack: false,
        is_through_rtr: false,
        nonce,
        key_id: KeyId(0),
        algorithm: AlgorithmId::HmacSha256_128,
        authentication_data: sent.blank(AlgorithmId::HmacSha256_128),
        records: records(&mut room, mappings),
        xtr_identity: None,
    };
    let mut buf = [0; 1200];
    let len = message.emit(&mut buf).unwrap();
    wire::auth::sign(&mut buf[..len], key.as_bytes(), sent).unwrap();
    buf[..len].to_vec()
}

fn records<'a>(room: &'a mut [u8], mappings: &[Mapping]) -> wire::Records<'a> {
    let mut writer = wire::RecordsWriter::new(room);
    for mapping in mappings {
        record::write(&mut writer, mapping, Sender::MapServer { is_behind_nat: false }).unwrap();
    }
    writer.finish()
}
