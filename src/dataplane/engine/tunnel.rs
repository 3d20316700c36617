//! What the engine needs of a WireGuard implementation.

use core::net::SocketAddr;

use control::{Instant, PeerKey};

/// Octets that encryption adds to a packet: header, counter and tag.
pub const DATA_OVERHEAD: usize = 32;

/// Octets of a handshake initiation, the longest message that is not data.
pub const INITIATION_LEN: usize = 148;

/// WireGuard's four messages, told apart by the first octet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageKind {
    /// Handshake initiation.
    Initiation,
    /// Handshake response.
    Response,
    /// Cookie reply.
    CookieReply,
    /// Encrypted packet, or an empty keepalive.
    Data,
}

impl MessageKind {
    /// The kind of a datagram whose length can be of that kind; `None` for anything else.
    pub fn of(datagram: &[u8]) -> Option<MessageKind> {
        match (datagram.first_chunk()?, datagram.len()) {
            ([1, 0, 0, 0], INITIATION_LEN) => Some(MessageKind::Initiation),
            ([2, 0, 0, 0], 92) => Some(MessageKind::Response),
            ([3, 0, 0, 0], 64) => Some(MessageKind::CookieReply),
            ([4, 0, 0, 0], DATA_OVERHEAD..) => Some(MessageKind::Data),
            _ => None,
        }
    }
}

/// The index that the sender of a handshake message gave its session.
pub fn sender_index(datagram: &[u8]) -> Option<u32> {
    index_at(datagram, 4)
}

/// The index of the session a message belongs to, as its receiver gave it.
pub fn receiver_index(datagram: &[u8]) -> Option<u32> {
    match MessageKind::of(datagram)? {
        MessageKind::Initiation => None,
        MessageKind::Response => index_at(datagram, 8),
        MessageKind::CookieReply | MessageKind::Data => index_at(datagram, 4),
    }
}

fn index_at(datagram: &[u8], offset: usize) -> Option<u32> {
    datagram.get(offset..)?.first_chunk().map(|octets| u32::from_le_bytes(*octets))
}

/// What a datagram was, once it is authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// A handshake initiation; this many octets of response stand in the buffer.
    Initiation(usize),
    /// The response to our initiation: the session stands. This many octets that confirm it
    /// stand in the buffer.
    Response(usize),
    /// Nothing for the engine.
    CookieReply,
    /// A packet.
    Data {
        /// Octets of plaintext in the buffer; 0 is a keepalive.
        len: usize,
        /// Whether it is the first in a session that we answered: only now it stands.
        confirms: bool,
    },
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Not a WireGuard message.
    Malformed,
    /// A wrong MAC, tag, key or session index.
    Unauthentic,
    /// Seen before, or too old to tell.
    Replayed,
    /// A handshake from a key that is no peer.
    UnknownPeer,
    /// Too many handshakes to look at this one.
    UnderLoad,
}

/// Who sent a datagram, as far as can be told before its tunnel looks at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// A handshake initiation of this peer.
    Key(PeerKey),
    /// The peer whose tunnel was made with this index.
    Index(u32),
    /// Unknown as yet: it has to prove its address first, by this many octets in the buffer.
    Reply(usize),
}

/// One of our WireGuard interfaces: a private key, and what is shared by its tunnels.
pub trait Listener {
    /// A session with one peer.
    type Tunnel: Tunnel;

    /// The interface's public key.
    fn public_key(&self) -> PeerKey;

    /// A tunnel that knows nothing of earlier ones; its session indices are `index` shifted left
    /// by 8 bits, plus a number of its own. `index` has 24 bits.
    fn tunnel(&mut self, peer: PeerKey, index: u32, now: Instant) -> Self::Tunnel;

    /// Finds out who sent `datagram`, cheaply for what is garbage.
    ///
    /// # Errors
    /// When it is dropped.
    fn identify(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        reply: &mut [u8],
        now: Instant,
    ) -> Result<Sender, Refusal>;
}

/// The WireGuard protocol with one peer. Timers are the engine's; so is the rule who initiates.
pub trait Tunnel {
    /// Whether packets can be encrypted.
    fn has_session(&self) -> bool;

    /// Encrypts a packet (an empty one is a keepalive) into `out`, which has `DATA_OVERHEAD`
    /// octets more. `None` when no session stands or its counter is used up.
    fn encapsulate(&mut self, packet: &[u8], out: &mut [u8], now: Instant) -> Option<usize>;

    /// Authenticates and decrypts a datagram into `out`, which is at least as long.
    ///
    /// # Errors
    /// When it is dropped.
    fn decapsulate(
        &mut self,
        datagram: &[u8],
        out: &mut [u8],
        now: Instant,
    ) -> Result<Received, Refusal>;

    /// Writes a fresh handshake initiation, whether or not one is on its way.
    fn initiate(&mut self, out: &mut [u8], now: Instant) -> Option<usize>;

    /// Takes note of the time: sessions that are too old end. Called before use when the last
    /// call was half a second ago, and at the engine's timers. A message to be sent may stand in
    /// `out` afterwards.
    fn refresh(&mut self, out: &mut [u8], now: Instant) -> Option<usize>;

    /// Whether the current session has encrypted so many packets that a new one is wanted.
    fn is_worn(&self) -> bool;
}
