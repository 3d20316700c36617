//! The packet path without input and output: packets, datagrams and instants go in; what to send
//! and to write comes out through [`Io`].
//!
//! It is generic over the WireGuard implementation, so that simulations on virtual time walk the
//! same path as packets on a router.

mod changes;
mod counters;
pub(crate) mod icmp;
mod inbound;
pub(crate) mod inbox;
pub(crate) mod initiator;
pub(crate) mod lisp_message;
mod outbound;
pub(crate) mod packet;
mod peers;
mod random;
mod routes;
mod sessions;
mod status;
mod timers;
mod tunnel;
pub(crate) mod waiting;

#[cfg(all(test, feature = "memory"))]
mod tests;

use core::fmt;
use core::net::{Ipv6Addr, SocketAddr};
use std::collections::VecDeque;

use control::{
    Duration, EidPrefix, InstanceId, Instant, LISP_PORT, PeerKey, PrefixTable, earliest,
};

use crate::Event;
pub use counters::Counters;
use inbox::Inbox;
use initiator::Pace;
use peers::Peers;
pub(crate) use random::Random;
use routes::Routes;
pub use status::PeerStatus;
pub use tunnel::{
    DATA_OVERHEAD, INITIATION_LEN, Listener, MessageKind, Received, Refusal, Sender, Tunnel,
    receiver_index, sender_index,
};
use waiting::Waiting;

/// One of the two WireGuard interfaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Interface {
    /// LISP between xTRs and Map-Servers; its peers are named by their control keys.
    Control,
    /// Packets between EIDs; its peers are named by their data keys.
    Data,
}

/// Where the engine's output goes. Nothing is reported back: what cannot be sent is lost, as on
/// any network, and counted by the implementation.
pub trait Io {
    /// Sends a UDP datagram from the interface's port.
    fn send_udp(&mut self, interface: Interface, to: SocketAddr, datagram: &[u8]);

    /// Hands a packet to the kernel.
    fn write_tun(&mut self, packet: &[u8]);

    /// Room for a datagram of up to `len` octets, to be written there and sent by `send_lent`;
    /// `None` when it is to be given to `send_udp` instead.
    fn lend_datagram(
        &mut self,
        _interface: Interface,
        _to: SocketAddr,
        _len: usize,
    ) -> Option<&mut [u8]> {
        None
    }

    /// Sends the first `len` octets of what `lend_datagram` lent last, before anything else.
    fn send_lent(&mut self, _len: usize) {}

    /// Room for a packet of up to `len` octets, to be written there and handed on by `write_lent`;
    /// `None` when it is to be given to `write_tun` instead.
    fn lend_packet(&mut self, _len: usize) -> Option<&mut [u8]> {
        None
    }

    /// Hands the first `len` octets of what `lend_packet` lent last to the kernel, before anything
    /// else.
    fn write_lent(&mut self, _len: usize) {}

    /// The engine is done with one input: what was held back to be sent together goes now.
    fn flush(&mut self) {}
}

/// Sizes and addresses, fixed for the engine's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineConfig {
    /// The longest packet that goes into a tunnel; 1,420 suits an underlay of 1,500 octets.
    pub mtu: u16,
    /// Places for control peers.
    pub control_peers: usize,
    /// Places for data peers.
    pub data_peers: usize,
    /// Places for routes.
    pub routes: usize,
    /// Places for our own EID-prefixes.
    pub database: usize,
    /// Packets that may wait, in all.
    pub waiting: usize,
    /// Packets that may wait for one destination.
    pub waiting_per_eid: usize,
    /// Our control address, where it is not derived from the key.
    pub control_address: Option<Ipv6Addr>,
    /// The instance that the TUN's addresses are EIDs of.
    pub instance_id: InstanceId,
    /// UDP port of LISP messages inside the tunnels, at both ends.
    pub lisp_port: u16,
    /// A data peer that leaves data unanswered for so long is told as silent; zero turns that off.
    pub silence: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            mtu: 1420,
            control_peers: 64,
            data_peers: 256,
            routes: 1024,
            database: 32,
            waiting: 256,
            waiting_per_eid: 16,
            control_address: None,
            instance_id: InstanceId(0),
            lisp_port: LISP_PORT,
            silence: SILENCE,
            seed: 1,
        }
    }
}

/// Why a step was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineError {
    /// No peer has this key.
    UnknownPeer(PeerKey),
    /// Every place for a peer of this interface is taken.
    PeersFull(Interface),
    /// Every place for a route is taken.
    RoutesFull,
    /// Every place for an own EID-prefix is taken.
    DatabaseFull,
    /// No session with this peer stands.
    NoSession(PeerKey),
    /// A LISP message exceeds what a tunnel carries.
    MessageTooLong,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::UnknownPeer(key) => write!(f, "{key} is no peer"),
            EngineError::PeersFull(Interface::Control) => f.write_str("too many control peers"),
            EngineError::PeersFull(Interface::Data) => f.write_str("too many data peers"),
            EngineError::RoutesFull => f.write_str("too many routes"),
            EngineError::DatabaseFull => f.write_str("too many EID-prefixes of our own"),
            EngineError::NoSession(key) => write!(f, "no session with {key}"),
            EngineError::MessageTooLong => f.write_str("the LISP message is too long"),
        }
    }
}

impl core::error::Error for EngineError {}

/// How long a data peer leaves data unanswered before that is told, by default.
const SILENCE: Duration = Duration::from_millis(300);

/// Events held until they are taken; that is after each batch of packets.
pub(crate) const EVENTS: usize = 256;

/// The least MTU of IPv6 (RFC 8200 section 5).
pub(crate) const MIN_MTU: u16 = 1280;

/// Buffers have room for packets of this length, should the MTU grow to it.
pub(crate) const LEAST_ROOM: u16 = 1500;

/// The longest datagram taken: a peer's MTU may exceed ours.
pub(crate) const LONGEST_DATAGRAM: usize = 9216;

/// First interval between initiations; a measured round trip can lengthen it.
pub(crate) const FIRST_RETRY: Duration = Duration::from_millis(50);

/// No measured round trip makes it longer: a responder yields its turn for seven of these.
pub(crate) const LONGEST_FIRST_RETRY: Duration = Duration::from_secs(1);

/// Longest interval between initiations to a data peer; shorter than the 5 s after which boringtun
/// repeats one itself.
pub(crate) const LONGEST_RETRY: Duration = Duration::from_secs(4);

/// Longest interval between initiations to a control peer: a Map-Server that starts later is found
/// within 2 s.
const LONGEST_CONTROL_RETRY: Duration = Duration::from_secs(1);

/// Both WireGuard interfaces, the routes between them and the TUN, and what waits.
pub struct Engine<L: Listener> {
    control: Peers<L>,
    data: Peers<L>,
    routes: Routes,
    database: PrefixTable<()>,
    waiting: Waiting,
    inbox: Inbox,
    events: VecDeque<Event>,
    counters: Counters,
    icmp_limiter: icmp::Limiter,
    random: Random,
    mtu: usize,
    instance_id: InstanceId,
    lisp_port: u16,
    silence: Duration,
    /// What is about to be sent, or has just been decrypted.
    out: Box<[u8]>,
    /// What is about to be encrypted, or written to the TUN as an error.
    plain: Box<[u8]>,
}

impl<L: Listener> Engine<L> {
    /// An engine without peers and routes; takes all its memory but the peers' tunnels.
    pub fn new(config: &EngineConfig, control: L, data: L) -> Engine<L> {
        let derived = control::auth::control_address(control.public_key());
        let control_address = config.control_address.unwrap_or(derived);
        let link_address = control::auth::link_address(data.public_key());
        let control_pace =
            Pace { first: FIRST_RETRY, longest: LONGEST_CONTROL_RETRY, is_endless: true };
        let data_pace = Pace { first: FIRST_RETRY, longest: LONGEST_RETRY, is_endless: false };
        let mtu = usize::from(config.mtu);
        let room = mtu.max(LEAST_ROOM.into());
        Engine {
            control: Peers::new(control, control_address, control_pace, config.control_peers),
            data: Peers::new(data, link_address, data_pace, config.data_peers),
            routes: Routes::with_capacity(config.routes),
            database: PrefixTable::with_capacity(config.database),
            waiting: Waiting::new(config.waiting, config.waiting_per_eid, room),
            inbox: Inbox::new(),
            events: VecDeque::with_capacity(EVENTS),
            counters: Counters::default(),
            icmp_limiter: icmp::Limiter::new(),
            random: Random::new(config.seed),
            mtu,
            instance_id: config.instance_id,
            lisp_port: config.lisp_port,
            silence: config.silence,
            out: vec![0; room.max(LONGEST_DATAGRAM) + DATA_OVERHEAD].into_boxed_slice(),
            plain: vec![0; room + 16].into_boxed_slice(),
        }
    }

    /// Replaces the EID-prefixes whose sources may enter the overlay.
    ///
    /// # Errors
    /// When there are more than the configured places; the first ones are in force then.
    pub fn set_database(&mut self, eid_prefixes: &[EidPrefix]) -> Result<(), EngineError> {
        self.database.clear();
        for eid_prefix in eid_prefixes {
            self.database.insert(*eid_prefix, ()).map_err(|()| EngineError::DatabaseFull)?;
        }
        Ok(())
    }

    /// What was seen since the last call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call `handle_timeout`; it may find nothing to do and name a later instant.
    pub fn poll_at(&self) -> Option<Instant> {
        earliest(self.waiting.poll_at(), earliest(self.control.wake_at, self.data.wake_at))
    }

    /// Changes both interfaces' WireGuard implementation.
    #[cfg(feature = "memory")]
    pub(crate) fn listeners_mut(&mut self, mut change: impl FnMut(&mut L)) {
        change(&mut self.control.listener);
        change(&mut self.data.listener);
    }

    fn peers(&self, interface: Interface) -> &Peers<L> {
        match interface {
            Interface::Control => &self.control,
            Interface::Data => &self.data,
        }
    }

    fn peers_mut(&mut self, interface: Interface) -> &mut Peers<L> {
        match interface {
            Interface::Control => &mut self.control,
            Interface::Data => &mut self.data,
        }
    }

    /// Tells an event; says whether there was room.
    fn tell(&mut self, event: Event) -> bool {
        let has_room = self.events.len() < EVENTS;
        if has_room {
            self.events.push_back(event);
        } else {
            self.counters.events_lost += 1;
        }
        has_room
    }
}
