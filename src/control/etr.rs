//! The Egress Tunnel Router: what we tell the mapping system of ourselves, and what it pushes.

mod control_path;
pub(crate) mod database;
pub(crate) mod nat;
mod probed;
pub(crate) mod registrar;
pub(crate) mod registration;
pub(crate) mod responder;
mod solicitor;

use core::net::SocketAddr;

use crate::auth::{self, AuthenticationKey};
use crate::itr::{Standing, Version};
use crate::random::Random;
use crate::record;
use crate::xtr::counters::{Counter, Counters};
use crate::{Change, Config, Event, Instant, PeerKey, Side, Uplink, XtrConfig, earliest};
use control_path::ControlPath;
use database::Database;
use nat::Nat;
use probed::Probed;
use registrar::Registrar;
use responder::{MAX_MESSAGE, Responder};
use solicitor::Solicitor;
use wire::{AlgorithmId, KeyId, MessageType, SentAuthentication, SiteId, XtrIdentity};

/// Key-ID 0: one secret per pair.
const KEY_ID: KeyId = KeyId(0);

/// How everything we send is authenticated.
const ALGORITHM: AlgorithmId = AlgorithmId::HmacSha256_128;

/// Database, registrations, NAT and pushes.
pub(crate) struct Etr {
    pub(crate) database: Database,
    pub(crate) registrar: Registrar,
    pub(crate) nat: Nat,
    control_path: ControlPath,
    probed: Probed,
    responder: Responder,
    solicitor: Solicitor,
    /// Our RLOCs changed since the last whole registration.
    has_moved: bool,
    random: Random,
    pub(crate) identity: XtrIdentity,
    control_key: PeerKey,
}

/// What a Map-Notify turned out to be.
pub(crate) enum Notify {
    /// A push or publication that is new.
    Push(Version),
    /// The answer to a question of ours.
    Answer,
    /// Our new RLOCs are acknowledged by a Map-Server that tells nobody of them.
    Unpublished,
    /// Nothing more to be done.
    Done,
}

impl Etr {
    pub(crate) fn new(config: &Config, xtr: &XtrConfig, now: Instant) -> Etr {
        let interval = xtr.register_interval;
        let xtr_id = auth::xtr_id(config.control_key);
        Etr {
            database: Database::new(xtr),
            registrar: Registrar::new(&xtr.map_servers, config.boot_counter, interval, now),
            nat: Nat::new(),
            control_path: ControlPath::new(),
            probed: Probed::new(),
            responder: Responder::new(),
            solicitor: Solicitor::with_limit(config.limits.peers),
            has_moved: false,
            random: Random::new(&config.seed, b"etr"),
            identity: XtrIdentity { xtr_id, site_id: SiteId(0) },
            control_key: config.control_key,
        }
    }

    pub(crate) fn handle_config(&mut self, xtr: &XtrConfig, now: Instant) {
        self.registrar.handle_config(&xtr.map_servers, xtr.register_interval, now);
        let registrar = &self.registrar;
        self.responder.retain(|key| registrar.authentication(key).is_some());
        if self.database.handle_config(xtr) {
            self.registrar.restart(now);
        }
    }

    /// Registers anew and asks for the NAT when our RLOCs changed.
    pub(crate) fn handle_uplinks(&mut self, uplinks: &[Uplink], now: Instant) {
        self.control_path.handle_uplinks();
        if !self.database.set_uplinks(uplinks) {
            return;
        }
        self.has_moved = true;
        self.registrar.restart(now);
        if let Some(used) = self.registrar.used() {
            self.nat.ask(*used, &mut self.random, now);
        }
    }

    pub(crate) fn handle_session(&mut self, peer: PeerKey, side: Side, now: Instant) {
        if self.registrar.handle_session(peer, side, now) {
            self.responder.handle_session(peer);
            if self.registrar.used() == Some(&peer) {
                self.nat.ask(peer, &mut self.random, now);
            }
        }
    }

    /// This data peer is to ask anew for what it knows of us.
    pub(crate) fn solicit(&mut self, peer: PeerKey, now: Instant) {
        self.solicitor.solicit(peer, &mut self.random, now);
    }

    /// Finds out whether the Map-Server can be reached. One of our own proves nothing.
    pub(crate) fn probe_control_path(&mut self, now: Instant) {
        let used = self.registrar.used().copied().filter(|used| *used != self.control_key);
        self.control_path.ask(used, &mut self.random, now);
    }

    /// What is known of our way out to the Map-Server.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        self.control_path.standing(now)
    }

    /// The Map-Server answered something of ours.
    pub(crate) fn handle_heard(&mut self, map_server: PeerKey, now: Instant) {
        self.control_path.handle_heard(map_server, now);
    }

    /// A probe of a data peer; false when it is not answered.
    pub(crate) fn handle_probe(
        &mut self,
        peer: PeerKey,
        probe: &wire::MapRequest<'_>,
        now: Instant,
    ) -> bool {
        self.probed.handle_probe(peer, probe, &self.database, now)
    }

    pub(crate) fn handle_lost(&mut self, peer: PeerKey) {
        self.registrar.handle_lost(peer);
    }

    /// A Map-Notify proves nothing unless it verifies with the key of the Map-Server whose tunnel
    /// it came through. `is_answer` says that its nonce is that of a question to this Map-Server.
    pub(crate) fn handle_notify(
        &mut self,
        peer: PeerKey,
        notify: &wire::MapNotify<'_>,
        message: &[u8],
        is_answer: bool,
        counters: &mut Counters,
        now: Instant,
    ) -> Notify {
        let is_authentic = self
            .registrar
            .authentication(peer)
            .is_some_and(|key| wire::auth::verify(message, key.as_bytes()).is_ok());
        if !is_authentic {
            counters.count(Counter::AuthenticationFailures);
            return Notify::Done;
        }
        let is_acknowledgement = self.registrar.is_outstanding(peer, notify.nonce);
        if is_acknowledgement || is_answer {
            // A push proves only the way to us.
            self.control_path.handle_heard(peer, now);
        }
        if is_acknowledgement {
            for record in notify.records.iter() {
                if let Some(eid_prefix) = record::eid_prefix(&record) {
                    self.database.handle_taken(&eid_prefix);
                }
            }
            let (len, random) = (self.database.len(), &mut self.random);
            if !self.registrar.handle_acknowledgement(peer, len, random, now) {
                return Notify::Done;
            }
            self.database.handle_registered();
            if core::mem::take(&mut self.has_moved) && !self.registrar.is_publisher(peer) {
                return Notify::Unpublished;
            }
            return Notify::Done;
        }
        if is_answer {
            self.registrar.note_publisher(peer);
            self.responder.acknowledge(peer, message);
            return Notify::Answer;
        }
        if registrar::is_own(notify.nonce) {
            counters.count(Counter::NoncesUnknown);
            return Notify::Done;
        }
        match self.responder.handle_push(peer, notify.nonce, message, now) {
            Some(version) => {
                self.registrar.note_publisher(peer);
                counters.count(Counter::PushesAccepted);
                Notify::Push(version)
            }
            None => {
                counters.count(Counter::PushesRepeated);
                Notify::Done
            }
        }
    }

    /// False when the Info-Reply answers nothing outstanding or tells no address.
    pub(crate) fn handle_info_reply(
        &mut self,
        peer: PeerKey,
        info: &wire::Info<'_>,
        now: Instant,
    ) -> bool {
        if self.control_path.handle_reply(peer, info.nonce, now) {
            return true;
        }
        let outer = info.nat().and_then(|nat| {
            Some(SocketAddr::new(nat.global_etr.ip()?.to_canonical(), nat.etr_port))
        });
        let round_trip = outer
            .and_then(|outer| self.nat.handle_reply(peer, info.nonce, outer, &self.database, now));
        if let Some(round_trip) = round_trip {
            self.control_path.handle_round_trip(round_trip);
            self.control_path.handle_heard(peer, now);
        }
        round_trip.is_some()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let can_register =
            !self.database.locators().is_empty() && !self.database.eid_prefixes().is_empty();
        if let Some(begun) = self.registrar.handle_timeout(can_register, now) {
            self.nat.ask(begun, &mut self.random, now);
        }
        self.nat.handle_timeout(now);
        self.solicitor.handle_timeout(&mut self.random, now);
    }

    pub(crate) fn poll_change(&mut self, now: Instant) -> Option<Change> {
        let keepalive = self.nat.poll_change(self.registrar.used());
        keepalive.or_else(|| self.registrar.poll_change(now))
    }

    /// Writes the next message that is due: to whom and how long it is.
    pub(crate) fn poll_transmit(
        &mut self,
        counters: &mut Counters,
        now: Instant,
        buf: &mut [u8],
    ) -> Option<(PeerKey, usize)> {
        if let Some(sent) = self.poll_acknowledgement(buf) {
            return Some(sent);
        }
        while let Some(register) = self.registrar.poll_register(now) {
            let written = emit_register(&self.database, &register, self.identity, buf);
            let key = register.map_server;
            let (len, mappings) = written.unwrap_or((0, 0));
            self.registrar.sent(key, mappings, now);
            if len > 0 {
                counters.count(Counter::RegistersSent);
                return Some((key, len));
            }
        }
        loop {
            let request = self.control_path.poll_request(now);
            let (key, nonce) = request.or_else(|| self.nat.poll_request(now))?;
            if let Some(len) = self.emit_info_request(nonce, buf) {
                return Some((key, len));
            }
        }
    }

    /// Writes the next message to a data peer: to whom and how long it is.
    pub(crate) fn poll_link_transmit(
        &mut self,
        counters: &mut Counters,
        now: Instant,
        buf: &mut [u8],
    ) -> Option<(PeerKey, usize)> {
        if let Some(answer) = self.probed.poll_answer(&self.database, buf) {
            counters.count(Counter::ProbesAnswered);
            return Some(answer);
        }
        while let Some((peer, nonce)) = self.solicitor.poll_solicit(now) {
            if let Some(len) = solicitor::emit(nonce, &self.database, buf) {
                counters.count(Counter::SolicitsSent);
                return Some((peer, len));
            }
        }
        None
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.registrar.poll_event().or_else(|| self.nat.poll_event(self.control_key))
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let registration_at = earliest(self.registrar.poll_at(), self.nat.poll_at());
        let path_at = earliest(self.control_path.due_at(), self.solicitor.poll_at());
        earliest(registration_at, path_at)
    }

    /// RFC 9301 section 5.7: the Map-Notify's content, authenticated anew.
    fn poll_acknowledgement(&mut self, buf: &mut [u8]) -> Option<(PeerKey, usize)> {
        let (key, message) = self.responder.poll_acknowledgement()?;
        let buf = buf.get_mut(..message.len())?;
        buf.copy_from_slice(message);
        let mut packet = wire::MapNotifyPacket::new_unchecked(&mut *buf);
        packet.set_message_type(MessageType::MapNotifyAck);
        sign(buf, self.registrar.authentication(key)?)?;
        Some((key, buf.len()))
    }

    fn emit_info_request(&self, nonce: wire::Nonce, buf: &mut [u8]) -> Option<usize> {
        let own = self.database.eid_prefixes().first()?;
        let eid = record::eid_address(own.instance_id(), own.address());
        let request = wire::Info {
            is_reply: false,
            nonce,
            key_id: KEY_ID,
            // The tunnel and the nonce authenticate it.
            algorithm: AlgorithmId::None,
            authentication_data: &[],
            ttl_minutes: 0,
            mask_len: own.len(),
            eid: eid.address(),
            nat: wire::Address::None,
        };
        request.emit(buf).ok()
    }
}

/// Writes a register with as many mappings as fit from its first one on: its length, and how many.
fn emit_register(
    database: &Database,
    register: &registrar::Register<'_>,
    identity: XtrIdentity,
    buf: &mut [u8],
) -> Option<(usize, usize)> {
    let sent = SentAuthentication::default();
    let blank = sent.blank(ALGORITHM);
    let overhead = wire::map_register::HEADER_LEN + blank.len() + XtrIdentity::LEN;
    let mut room = [0; MAX_MESSAGE];
    let room_len = buf.len().min(MAX_MESSAGE).checked_sub(overhead)?;
    let mut writer = wire::RecordsWriter::new(&mut room[..room_len]);
    let mut mappings = 0;
    while let Some(mapping) = database.mapping(register.first + mappings) {
        if record::write(&mut writer, &mapping, record::Sender::Etr).is_err() {
            break;
        }
        mappings += 1;
    }
    let message = wire::MapRegister {
        is_proxy_reply: true,
        is_security_capable: false,
        is_through_rtr: false,
        is_eid_notify: false,
        is_ttl_timeout: false,
        is_merge_request: false,
        is_want_map_notify: true,
        nonce: register.nonce,
        key_id: KEY_ID,
        algorithm: ALGORITHM,
        authentication_data: blank,
        records: writer.finish(),
        xtr_identity: Some(identity),
    };
    let len = message.emit(buf).ok()?;
    sign(&mut buf[..len], register.authentication)?;
    Some((len, mappings))
}

fn sign(message: &mut [u8], key: &AuthenticationKey) -> Option<()> {
    wire::auth::sign(message, key.as_bytes(), SentAuthentication::default()).ok()
}
