//! The state of the kernel data plane, and what drives it: inputs, instants and a kernel.

use core::net::Ipv6Addr;
use std::collections::VecDeque;

use control::{
    Duration, EidPrefix, InstanceId, Instant, MAX_LANES, PeerKey, PrefixTable, earliest,
};

use super::Counters;
use super::operations::{Device, Operations};
use super::peers::{Peer, Peers};
use super::route_table::RouteTable;
use super::watch::Watch;
use crate::engine::inbox::Inbox;
use crate::engine::initiator::Pace;
use crate::engine::waiting::Waiting;
use crate::engine::{EVENTS, FIRST_RETRY, LEAST_ROOM, LONGEST_RETRY, MIN_MTU, Random, icmp};
use crate::{EngineConfig, EngineError, Event, Interface, PlaneError};

/// Longest interval between initiations to a control peer. A peer that is made anew takes no
/// answer to what it sent before: the round trip has to be shorter.
const LONGEST_CONTROL_RETRY: Duration = Duration::from_secs(2);

/// The longest packet taken from the device for misses, whose MTU the administrator may raise.
const PACKET: usize = 1 << 16;

/// Our control interface, and our data interfaces by lane.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) control_key: PeerKey,
    pub(super) control_address: Ipv6Addr,
    pub(super) lanes: heapless::Vec<(PeerKey, Ipv6Addr), MAX_LANES>,
}

/// The kernel data plane without input and output.
pub(super) struct Machine<O> {
    pub(super) operations: O,
    pub(super) identity: Identity,
    pub(super) control: Peers,
    pub(super) data: Peers,
    pub(super) routes: RouteTable,
    pub(super) database: PrefixTable<()>,
    pub(super) waiting: Waiting,
    pub(super) inbox: Inbox,
    events: VecDeque<Event>,
    pub(super) counters: Counters,
    pub(super) icmp_limiter: icmp::Limiter,
    pub(super) random: Random,
    pub(super) control_pace: Pace,
    pub(super) data_pace: Pace,
    /// The time that a handshake with a Map-Server took.
    pub(super) round_trip: Option<Duration>,
    pub(super) mtu: usize,
    pub(super) instance_id: InstanceId,
    pub(super) lisp_port: u16,
    /// Nothing needs attention before; may be earlier than the first that does.
    pub(super) wake_at: Option<Instant>,
    /// When control peers of an earlier run go that this one has not asked for.
    pub(super) tidy_at: Option<Instant>,
    /// The data peers that came with the last changes: the kernel does not know them yet.
    pub(super) new_peers: Vec<PeerKey>,
    /// When the last change came.
    pub(super) applied_at: Instant,
    /// When the kernel was last asked about each interface.
    pub(super) listed_at: [Option<Instant>; Device::COUNT],
    /// After how long a data peer is silent; zero turns that off.
    pub(super) silence: Duration,
    pub(super) watches: [Watch; MAX_LANES],
    /// A packet from the device for misses, or a message from a tunnel.
    pub(super) packet: Box<[u8]>,
    /// A packet of our own.
    pub(super) plain: Box<[u8]>,
    /// EID-prefixes in use while the table of routes changes.
    pub(super) scratch: Vec<EidPrefix>,
}

impl<O: Operations> Machine<O> {
    /// A machine without peers and routes; takes all its memory.
    pub(super) fn new(config: &EngineConfig, operations: O, identity: Identity) -> Machine<O> {
        let (mtu, room) = (config.mtu.max(MIN_MTU), config.mtu.max(LEAST_ROOM));
        Machine {
            operations,
            identity,
            control: Peers::with_capacity(config.control_peers),
            data: Peers::with_capacity(config.data_peers),
            routes: RouteTable::with_capacity(config.routes),
            database: PrefixTable::with_capacity(config.database),
            waiting: Waiting::new(config.waiting, config.waiting_per_eid, room.into()),
            inbox: Inbox::new(),
            // After a restart the sessions of all control peers are told at once.
            events: VecDeque::with_capacity(EVENTS + config.control_peers),
            counters: Counters::default(),
            icmp_limiter: icmp::Limiter::new(),
            random: Random::new(config.seed),
            control_pace: Pace {
                first: FIRST_RETRY,
                longest: LONGEST_CONTROL_RETRY,
                is_endless: true,
            },
            data_pace: Pace { first: FIRST_RETRY, longest: LONGEST_RETRY, is_endless: false },
            round_trip: None,
            mtu: mtu.into(),
            instance_id: config.instance_id,
            lisp_port: config.lisp_port,
            wake_at: None,
            tidy_at: None,
            new_peers: Vec::with_capacity(config.data_peers),
            applied_at: Instant::ZERO,
            listed_at: [None; Device::COUNT],
            silence: config.silence,
            watches: Default::default(),
            packet: vec![0; PACKET].into_boxed_slice(),
            plain: vec![0; usize::from(room)].into_boxed_slice(),
            scratch: Vec::with_capacity(config.routes),
        }
    }

    pub(super) fn operations(&self) -> &O {
        &self.operations
    }

    pub(super) fn operations_mut(&mut self) -> &mut O {
        &mut self.operations
    }

    /// Replaces the EID-prefixes whose sources may enter the overlay.
    ///
    /// # Errors
    /// When there are more than the configured places; the first ones are in force then.
    pub(super) fn set_database(&mut self, eid_prefixes: &[EidPrefix]) -> Result<(), PlaneError> {
        self.database.clear();
        for eid_prefix in eid_prefixes {
            self.database.insert(*eid_prefix, ()).map_err(|()| EngineError::DatabaseFull)?;
        }
        Ok(())
    }

    /// What was seen since the last call.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.install_new_peers();
        self.events.pop_front()
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When to call `handle_timeout`; it may find nothing to do and name a later instant.
    pub(super) fn poll_at(&self) -> Option<Instant> {
        if !self.new_peers.is_empty() {
            return Some(self.applied_at);
        }
        earliest(earliest(self.waiting.poll_at(), self.wake_at), self.poll_look_at())
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.install_new_peers();
        self.expire_waiting(now);
        self.look_at_lanes(now);
        if self.wake_at.is_none_or(|at| at > now) {
            return;
        }
        if self.tidy_at.is_some_and(|at| at <= now) {
            self.tidy_at = None;
            self.remove_unclaimed();
        }
        for interface in [Interface::Control, Interface::Data] {
            self.look_at_due(interface, now);
            for place in 0..self.peers(interface).len() {
                if let Some(key) = self.peers(interface).key_at(place) {
                    self.handle_initiator(interface, key, now);
                }
            }
        }
        self.stop_awaiting();
        let peers = self.control.iter().chain(self.data.iter());
        self.wake_at = earliest(self.tidy_at, peers.filter_map(Peer::poll_at).min());
    }

    /// Nobody awaits a session that nothing waits for and that is not ours to begin.
    fn stop_awaiting(&mut self) {
        for place in 0..self.data.len() {
            let Some(key) = self.data.key_at(place) else { continue };
            let is_passive = self.data.get(&key).is_some_and(|peer| {
                peer.pending_since.is_some() && peer.initiator.poll_at().is_none()
            });
            if is_passive
                && self.waiting_for(key) == 0
                && let Some(peer) = self.data.get_mut(&key)
            {
                peer.pending_since = None;
                peer.look_at = None;
            }
        }
    }

    /// Does what an input made due, so that no deadline is left in the past.
    pub(super) fn catch_up(&mut self, now: Instant) {
        if self.poll_at().is_some_and(|at| at <= now) {
            self.handle_timeout(now);
        }
    }

    /// A deadline may have come nearer.
    pub(super) fn wake(&mut self, at: Option<Instant>) {
        self.wake_at = earliest(self.wake_at, at);
    }

    pub(super) fn peers(&self, interface: Interface) -> &Peers {
        match interface {
            Interface::Control => &self.control,
            Interface::Data => &self.data,
        }
    }

    pub(super) fn peers_mut(&mut self, interface: Interface) -> &mut Peers {
        match interface {
            Interface::Control => &mut self.control,
            Interface::Data => &mut self.data,
        }
    }

    /// Our own address on an interface.
    pub(super) fn address_on(&self, device: Device) -> Ipv6Addr {
        let lane = |lane: u8| self.identity.lanes.get(usize::from(lane));
        match device {
            Device::Control => self.identity.control_address,
            Device::Lane(number) => {
                lane(number).map_or(Ipv6Addr::UNSPECIFIED, |(_, address)| *address)
            }
        }
    }

    /// Our own key on an interface.
    pub(super) fn key_on(&self, device: Device) -> PeerKey {
        let lane = |lane: u8| self.identity.lanes.get(usize::from(lane));
        match device {
            Device::Control => self.identity.control_key,
            Device::Lane(number) => lane(number).map_or(PeerKey([0; 32]), |(key, _)| *key),
        }
    }

    /// Tells an event; says whether there was room.
    pub(super) fn tell(&mut self, event: Event) -> bool {
        let has_room = self.events.len() < self.events.capacity();
        if has_room {
            self.events.push_back(event);
        } else {
            self.counters.events_lost += 1;
        }
        has_room
    }
}

/// The interface that a device is of.
pub(super) fn interface(device: Device) -> Interface {
    match device {
        Device::Control => Interface::Control,
        Device::Lane(_) => Interface::Data,
    }
}
