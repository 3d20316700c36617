//! The engine's WireGuard implementation: boringtun, with its ways accounted for.
//!
//! boringtun reads the clock itself, but its notion of "now" moves in `update_timers` only: the
//! engine refreshes a tunnel before use. It queues packets that have no session: none is ever
//! given to it without one. It limits handshakes per tunnel: one limiter per interface looks at
//! them here, before any Diffie-Hellman, and the tunnels' own never refuses. A data packet costs
//! no allocation, a handshake four: three of the responder and one of the initiator.

use core::net::SocketAddr;
use std::sync::Arc;

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, Tunn, TunnResult};
use control::{Instant, PeerKey};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::engine::{
    Listener, MessageKind, Received, Refusal, Sender, Tunnel, receiver_index, sender_index,
};

/// Handshakes per second and interface that need no cookie.
const HANDSHAKES_PER_SECOND: u64 = 100;

/// New keys are wanted after so many packets (WireGuard: REKEY_AFTER_MESSAGES).
const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// No packet goes beyond so many (WireGuard: REJECT_AFTER_MESSAGES); boringtun does not look.
const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);

/// A private key with what boringtun shares between its tunnels.
pub struct BoringtunListener {
    private: StaticSecret,
    public: PublicKey,
    gate: RateLimiter,
    unlimited: Arc<RateLimiter>,
}

impl BoringtunListener {
    /// An interface with this private key, which is wiped when the interface goes.
    pub fn new(private: StaticSecret) -> BoringtunListener {
        let public = PublicKey::from(&private);
        BoringtunListener {
            private,
            public,
            gate: RateLimiter::new(&public, HANDSHAKES_PER_SECOND),
            unlimited: Arc::new(RateLimiter::new(&public, u64::MAX)),
        }
    }
}

impl Listener for BoringtunListener {
    type Tunnel = BoringtunTunnel;

    fn public_key(&self) -> PeerKey {
        PeerKey(self.public.to_bytes())
    }

    fn tunnel(&mut self, peer: PeerKey, index: u32, _now: Instant) -> BoringtunTunnel {
        let limiter = Some(Arc::clone(&self.unlimited));
        let peer = PublicKey::from(peer.0);
        let tunnel = Tunn::new(self.private.clone(), peer, None, None, index, limiter);
        BoringtunTunnel { tunnel, has_session: false, responded: None, counter: 0 }
    }

    fn identify(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        reply: &mut [u8],
        _now: Instant,
    ) -> Result<Sender, Refusal> {
        self.gate.reset_count();
        match self.gate.verify_packet(Some(from.ip()), datagram, reply) {
            Ok(Packet::HandshakeInit(initiation)) => {
                let sender = parse_handshake_anon(&self.private, &self.public, &initiation)
                    .map_err(|error| refusal(&error))?;
                Ok(Sender::Key(PeerKey(sender.peer_static_public)))
            }
            Ok(Packet::HandshakeResponse(response)) => Ok(Sender::Index(response.receiver_idx)),
            Ok(Packet::PacketCookieReply(reply)) => Ok(Sender::Index(reply.receiver_idx)),
            Ok(Packet::PacketData(data)) => Ok(Sender::Index(data.receiver_idx)),
            Err(TunnResult::WriteToNetwork(cookie)) => Ok(Sender::Reply(cookie.len())),
            Err(TunnResult::Err(error)) => Err(refusal(&error)),
            Err(_) => Err(Refusal::Malformed),
        }
    }
}

/// A boringtun tunnel, and what it does not tell.
pub struct BoringtunTunnel {
    tunnel: Tunn,
    has_session: bool,
    /// The session of our last response, until its first packet confirms it.
    responded: Option<u32>,
    /// The counter of the last packet sent.
    counter: u64,
}

impl Tunnel for BoringtunTunnel {
    fn has_session(&self) -> bool {
        self.has_session
    }

    fn encapsulate(&mut self, packet: &[u8], out: &mut [u8], _now: Instant) -> Option<usize> {
        if !self.has_session || self.counter >= REJECT_AFTER_MESSAGES {
            return None;
        }
        match self.tunnel.encapsulate(packet, out) {
            TunnResult::WriteToNetwork(datagram) => {
                self.counter = counter(datagram)?;
                Some(datagram.len())
            }
            _ => None,
        }
    }

    fn decapsulate(
        &mut self,
        datagram: &[u8],
        out: &mut [u8],
        _now: Instant,
    ) -> Result<Received, Refusal> {
        let kind = MessageKind::of(datagram).ok_or(Refusal::Malformed)?;
        // boringtun's replay window overflows near the end of the counter's range.
        if kind == MessageKind::Data && counter(datagram) >= Some(REJECT_AFTER_MESSAGES) {
            return Err(Refusal::Replayed);
        }
        let len = match self.tunnel.decapsulate(None, datagram, out) {
            TunnResult::WriteToNetwork(answer) if kind == MessageKind::Initiation => {
                self.responded = sender_index(answer);
                return Ok(Received::Initiation(answer.len()));
            }
            TunnResult::WriteToNetwork(answer) => {
                self.has_session = true;
                self.counter = 0;
                return Ok(Received::Response(answer.len()));
            }
            TunnResult::Done if kind == MessageKind::CookieReply => {
                return Ok(Received::CookieReply);
            }
            TunnResult::Done => 0,
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                packet.len()
            }
            TunnResult::Err(error) => return Err(refusal(&error)),
        };
        let confirms = self.responded.is_some() && self.responded == receiver_index(datagram);
        if confirms {
            self.responded = None;
            self.has_session = true;
            self.counter = 0;
        }
        Ok(Received::Data { len, confirms })
    }

    fn initiate(&mut self, out: &mut [u8], _now: Instant) -> Option<usize> {
        match self.tunnel.format_handshake_initiation(out, true) {
            TunnResult::WriteToNetwork(initiation) => Some(initiation.len()),
            _ => None,
        }
    }

    fn refresh(&mut self, out: &mut [u8], _now: Instant) -> Option<usize> {
        let message = match self.tunnel.update_timers(out) {
            TunnResult::WriteToNetwork(message) => Some(message.len()),
            _ => None,
        };
        self.has_session = self.tunnel.time_since_last_handshake().is_some();
        message
    }

    fn is_worn(&self) -> bool {
        self.counter >= REKEY_AFTER_MESSAGES
    }
}

fn counter(datagram: &[u8]) -> Option<u64> {
    datagram.get(8..)?.first_chunk().map(|octets| u64::from_le_bytes(*octets))
}

fn refusal(error: &WireGuardError) -> Refusal {
    match error {
        WireGuardError::DuplicateCounter
        | WireGuardError::InvalidCounter
        | WireGuardError::WrongTai64nTimestamp => Refusal::Replayed,
        WireGuardError::UnderLoad => Refusal::UnderLoad,
        WireGuardError::InvalidPacket
        | WireGuardError::WrongPacketType
        | WireGuardError::IncorrectPacketLength => Refusal::Malformed,
        _ => Refusal::Unauthentic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_packet_goes_beyond_the_last_counter() {
        let now = Instant::ZERO;
        let mut a = BoringtunListener::new(StaticSecret::from([1; 32]));
        let mut b = BoringtunListener::new(StaticSecret::from([2; 32]));
        let mut to_b = a.tunnel(b.public_key(), 1, now);
        let mut to_a = b.tunnel(a.public_key(), 1, now);
        let (mut one, mut other) = ([0; 256], [0; 256]);
        assert_eq!(to_b.encapsulate(&[], &mut one, now), None);
        let len = to_b.initiate(&mut one, now).unwrap();
        let received = to_a.decapsulate(&one[..len], &mut other, now);
        let Ok(Received::Initiation(len)) = received else { panic!("{received:?}") };
        let received = to_b.decapsulate(&other[..len], &mut one, now);
        assert!(matches!(received, Ok(Received::Response(32))) && to_b.has_session());
        assert!(!to_b.is_worn() && to_b.encapsulate(&[], &mut one, now).is_some());
        to_b.counter = REKEY_AFTER_MESSAGES;
        assert!(to_b.is_worn());
        to_b.counter = REJECT_AFTER_MESSAGES;
        assert_eq!(to_b.encapsulate(&[], &mut one, now), None);
    }
}
