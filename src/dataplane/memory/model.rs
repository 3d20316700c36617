//! WireGuard as the engine sees it, without its cryptography: messages of the same kinds, lengths
//! and indices, keys in clear, and tags that only tell a message that was changed on its way.
//!
//! It keeps what decides whether a session comes about: timestamps that must increase per peer
//! and are read from a wall clock frozen when the tunnel is made, two initiations in flight, a
//! responder's session that stands only when its first packet came, replay windows, and the age
//! at which keys end.

use core::net::SocketAddr;

use control::{Duration, Instant, PeerKey, Side};

use crate::engine::{
    DATA_OVERHEAD, INITIATION_LEN, Listener, MessageKind, Random, Received, Refusal, Sender,
    Tunnel, receiver_index, sender_index,
};

const RESPONSE_LEN: usize = 92;
const TAG_LEN: usize = 16;
/// No key is used beyond this age.
const REJECT_AFTER: Duration = Duration::from_secs(180);
/// Sessions that may stand at once; the oldest gives way.
const SESSIONS: usize = 8;

mod field {
    use core::ops::Range;

    pub(super) const SENDER: Range<usize> = 4..8;
    pub(super) const INITIATOR_KEY: Range<usize> = 8..40;
    pub(super) const RESPONDER_KEY: Range<usize> = 40..72;
    pub(super) const TIMESTAMP: Range<usize> = 72..80;
    pub(super) const INITIATOR_TOKEN: Range<usize> = 80..88;
    pub(super) const RESPONSE_RECEIVER: Range<usize> = 8..12;
    pub(super) const RESPONDER_TOKEN: Range<usize> = 12..20;
    pub(super) const DATA_RECEIVER: Range<usize> = 4..8;
    pub(super) const COUNTER: Range<usize> = 8..16;
    pub(super) const PAYLOAD: usize = 16;
}

/// A public key, a wall clock, and a source of tokens.
#[derive(Debug)]
pub struct ModelListener {
    key: PeerKey,
    wall_clock: u64,
    random: Random,
}

impl ModelListener {
    /// An interface with this key; `wall_clock` is what the clock shows at virtual time zero.
    pub fn new(key: PeerKey, wall_clock: u64, seed: u64) -> ModelListener {
        ModelListener { key, wall_clock, random: Random::new(seed) }
    }

    pub(super) fn set_wall_clock(&mut self, wall_clock: u64) {
        self.wall_clock = wall_clock;
    }
}

impl Listener for ModelListener {
    type Tunnel = ModelTunnel;

    fn public_key(&self) -> PeerKey {
        self.key
    }

    fn tunnel(&mut self, peer: PeerKey, index: u32, _now: Instant) -> ModelTunnel {
        ModelTunnel {
            our_key: self.key,
            peer_key: peer,
            next_index: index << 8,
            wall_clock: self.wall_clock,
            random: Random::new(self.random.below(u64::MAX)),
            last_timestamp: 0,
            initiations: [None; 2],
            sessions: [None; SESSIONS],
            current: None,
        }
    }

    fn identify(
        &mut self,
        _from: SocketAddr,
        datagram: &[u8],
        _reply: &mut [u8],
        _now: Instant,
    ) -> Result<Sender, Refusal> {
        match MessageKind::of(datagram) {
            Some(MessageKind::Initiation) if datagram[field::RESPONDER_KEY] == self.key.0 => {
                let key = datagram[field::INITIATOR_KEY].first_chunk();
                let is_intact = has_tag(datagram, &self.key);
                key.filter(|_| is_intact)
                    .map(|key| Sender::Key(PeerKey(*key)))
                    .ok_or(Refusal::Unauthentic)
            }
            Some(MessageKind::Initiation) => Err(Refusal::Unauthentic),
            Some(_) => receiver_index(datagram).map(Sender::Index).ok_or(Refusal::Malformed),
            None => Err(Refusal::Malformed),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Session {
    our_index: u32,
    peer_index: u32,
    /// Both tokens mixed: what the keys of a real session come from.
    secret: u64,
    established_at: Instant,
    is_confirmed: bool,
    sent: u64,
    /// One more than the highest counter received, and which of the 128 before it were.
    next: u64,
    received: u128,
}

/// The model of a tunnel.
#[derive(Debug)]
pub struct ModelTunnel {
    our_key: PeerKey,
    peer_key: PeerKey,
    next_index: u32,
    wall_clock: u64,
    random: Random,
    last_timestamp: u64,
    /// Index and token of the last two initiations.
    initiations: [Option<(u32, u64)>; 2],
    sessions: [Option<Session>; SESSIONS],
    current: Option<usize>,
}

impl ModelTunnel {
    fn index(&mut self) -> u32 {
        let number = (self.next_index as u8).wrapping_add(1);
        self.next_index = self.next_index & !0xff | u32::from(number);
        self.next_index
    }

    fn add_session(
        &mut self,
        our_index: u32,
        peer_index: u32,
        tokens: (u64, u64),
        side: Side,
        now: Instant,
    ) -> usize {
        let place = our_index as usize % SESSIONS;
        self.sessions[place] = Some(Session {
            our_index,
            peer_index,
            secret: tokens.0 ^ tokens.1.rotate_left(32),
            established_at: now,
            is_confirmed: side == Side::Initiator,
            sent: 0,
            next: 0,
            received: 0,
        });
        place
    }

    fn handle_initiation(
        &mut self,
        datagram: &[u8],
        out: &mut [u8],
        now: Instant,
    ) -> Result<Received, Refusal> {
        let is_for_us = datagram[field::INITIATOR_KEY] == self.peer_key.0
            && datagram[field::RESPONDER_KEY] == self.our_key.0;
        if !is_for_us || !has_tag(datagram, &self.our_key) {
            return Err(Refusal::Unauthentic);
        }
        let timestamp = number(datagram, field::TIMESTAMP);
        if timestamp <= self.last_timestamp {
            return Err(Refusal::Replayed);
        }
        self.last_timestamp = timestamp;
        let peer_index = sender_index(datagram).ok_or(Refusal::Malformed)?;
        let initiator_token = number(datagram, field::INITIATOR_TOKEN);
        let responder_token = self.random.below(u64::MAX);
        let our_index = self.index();
        let tokens = (initiator_token, responder_token);
        self.add_session(our_index, peer_index, tokens, Side::Responder, now);
        let out = &mut out[..RESPONSE_LEN];
        out.fill(0);
        out[0] = 2;
        out[field::SENDER].copy_from_slice(&our_index.to_le_bytes());
        out[field::RESPONSE_RECEIVER].copy_from_slice(&peer_index.to_le_bytes());
        out[field::RESPONDER_TOKEN].copy_from_slice(&responder_token.to_le_bytes());
        put_tag(out, &self.peer_key);
        Ok(Received::Initiation(RESPONSE_LEN))
    }

    fn handle_response(
        &mut self,
        datagram: &[u8],
        out: &mut [u8],
        now: Instant,
    ) -> Result<Received, Refusal> {
        if !has_tag(datagram, &self.our_key) {
            return Err(Refusal::Unauthentic);
        }
        let our_index = receiver_index(datagram).ok_or(Refusal::Malformed)?;
        let peer_index = sender_index(datagram).ok_or(Refusal::Malformed)?;
        let token = number(datagram, field::RESPONDER_TOKEN);
        let mut answered = None;
        for initiation in &mut self.initiations {
            if initiation.is_some_and(|(index, _)| index == our_index) {
                answered = initiation.take();
            }
        }
        let (_, initiator_token) = answered.ok_or(Refusal::Unauthentic)?;
        let tokens = (initiator_token, token);
        let place = self.add_session(our_index, peer_index, tokens, Side::Initiator, now);
        self.current = Some(place);
        let len = self.encapsulate(&[], out, now).ok_or(Refusal::Unauthentic)?;
        Ok(Received::Response(len))
    }

    fn handle_data(&mut self, datagram: &[u8], out: &mut [u8]) -> Result<Received, Refusal> {
        let index = receiver_index(datagram).ok_or(Refusal::Malformed)?;
        let place = index as usize % SESSIONS;
        let session = self.sessions[place]
            .as_mut()
            .filter(|session| session.our_index == index)
            .ok_or(Refusal::Unauthentic)?;
        if datagram[datagram.len() - TAG_LEN..] != tag(datagram, session.secret) {
            return Err(Refusal::Unauthentic);
        }
        if !session.accept(number(datagram, field::COUNTER)) {
            return Err(Refusal::Replayed);
        }
        let confirms = !session.is_confirmed;
        session.is_confirmed = true;
        let established_at = session.established_at;
        let current = self.current.and_then(|current| self.sessions[current]);
        if current.is_none_or(|current| established_at >= current.established_at) {
            self.current = Some(place);
        }
        let payload = &datagram[field::PAYLOAD..datagram.len() - TAG_LEN];
        out[..payload.len()].copy_from_slice(payload);
        Ok(Received::Data { len: payload.len(), confirms })
    }
}

impl Session {
    /// Whether this counter is new; notes it.
    fn accept(&mut self, counter: u64) -> bool {
        if counter >= self.next {
            let ahead = counter - self.next + 1;
            self.received = u32::try_from(ahead)
                .ok()
                .and_then(|ahead| self.received.checked_shl(ahead))
                .unwrap_or(0)
                | 1;
            self.next = counter.saturating_add(1);
            return true;
        }
        let Some(bit) = 1u128.checked_shl(u32::try_from(self.next - 1 - counter).unwrap_or(128))
        else {
            return false;
        };
        let is_new = self.received & bit == 0;
        self.received |= bit;
        is_new
    }
}

impl Tunnel for ModelTunnel {
    fn has_session(&self) -> bool {
        self.current.is_some()
    }

    fn encapsulate(&mut self, packet: &[u8], out: &mut [u8], _now: Instant) -> Option<usize> {
        let session = self.sessions[self.current?].as_mut()?;
        let len = packet.len() + DATA_OVERHEAD;
        let out = out.get_mut(..len)?;
        out[..4].copy_from_slice(&[4, 0, 0, 0]);
        out[field::DATA_RECEIVER].copy_from_slice(&session.peer_index.to_le_bytes());
        out[field::COUNTER].copy_from_slice(&session.sent.to_le_bytes());
        session.sent += 1;
        out[field::PAYLOAD..len - TAG_LEN].copy_from_slice(packet);
        let tag = tag(out, session.secret);
        out[len - TAG_LEN..].copy_from_slice(&tag);
        Some(len)
    }

    fn decapsulate(
        &mut self,
        datagram: &[u8],
        out: &mut [u8],
        now: Instant,
    ) -> Result<Received, Refusal> {
        match MessageKind::of(datagram).ok_or(Refusal::Malformed)? {
            MessageKind::Initiation => self.handle_initiation(datagram, out, now),
            MessageKind::Response => self.handle_response(datagram, out, now),
            MessageKind::CookieReply => Err(Refusal::Unauthentic),
            MessageKind::Data => self.handle_data(datagram, out),
        }
    }

    fn initiate(&mut self, out: &mut [u8], now: Instant) -> Option<usize> {
        let index = self.index();
        let token = self.random.below(u64::MAX);
        self.initiations = [Some((index, token)), self.initiations[0]];
        let timestamp = self.wall_clock.saturating_add(now.as_micros());
        let out = out.get_mut(..INITIATION_LEN)?;
        out.fill(0);
        out[0] = 1;
        out[field::SENDER].copy_from_slice(&index.to_le_bytes());
        out[field::INITIATOR_KEY].copy_from_slice(&self.our_key.0);
        out[field::RESPONDER_KEY].copy_from_slice(&self.peer_key.0);
        out[field::TIMESTAMP].copy_from_slice(&timestamp.to_le_bytes());
        out[field::INITIATOR_TOKEN].copy_from_slice(&token.to_le_bytes());
        put_tag(out, &self.peer_key);
        Some(INITIATION_LEN)
    }

    fn refresh(&mut self, _out: &mut [u8], now: Instant) -> Option<usize> {
        for session in &mut self.sessions {
            session.take_if(|session| now - session.established_at >= REJECT_AFTER);
        }
        self.current = self.current.filter(|current| self.sessions[*current].is_some());
        None
    }

    fn is_worn(&self) -> bool {
        false
    }
}

fn number(datagram: &[u8], field: core::ops::Range<usize>) -> u64 {
    datagram[field].first_chunk().map_or(0, |octets| u64::from_le_bytes(*octets))
}

/// A handshake message ends in a tag over its other octets and the receiver's key.
fn put_tag(message: &mut [u8], receiver: &PeerKey) {
    let tag = tag(message, secret(receiver));
    let start = message.len() - TAG_LEN;
    message[start..].copy_from_slice(&tag);
}

fn has_tag(message: &[u8], receiver: &PeerKey) -> bool {
    message[message.len() - TAG_LEN..] == tag(message, secret(receiver))
}

fn secret(key: &PeerKey) -> u64 {
    key.0.iter().fold(1, |secret, octet| mix(secret, *octet))
}

/// A checksum of all but the last 16 octets: two runs of FNV-1a from different starts.
fn tag(message: &[u8], secret: u64) -> [u8; TAG_LEN] {
    let content = &message[..message.len() - TAG_LEN];
    let run = |start| content.iter().fold(start, |sum, octet| mix(sum, *octet));
    let mut tag = [0; TAG_LEN];
    tag[..8].copy_from_slice(&run(0xcbf2_9ce4_8422_2325 ^ secret).to_le_bytes());
    tag[8..].copy_from_slice(&run(0x8422_2325_cbf2_9ce4 ^ secret.rotate_left(32)).to_le_bytes());
    tag
}

fn mix(sum: u64, octet: u8) -> u64 {
    (sum ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
}
