//! The peers of one WireGuard interface.

use core::net::{Ipv6Addr, SocketAddr};

use control::{Duration, Instant, PeerKey, Side, earliest};

use super::initiator::{Initiator, Pace};
use super::timers::Timers;
use super::tunnel::Listener;

/// A peer's place in the table.
pub(super) type Slot = u16;

/// Bits of the 24-bit tunnel index that name the slot; the others count its uses.
const SLOT_BITS: u32 = 16;

/// One peer: its tunnel, timers and schedule.
pub(super) struct Peer<T> {
    pub(super) key: PeerKey,
    /// Its control or link address.
    pub(super) address: Ipv6Addr,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) side: Side,
    pub(super) tunnel: T,
    pub(super) refreshed_at: Instant,
    pub(super) timers: Timers,
    pub(super) initiator: Initiator,
    /// The session indices of the last two initiations, and when they left.
    pub(super) initiations: [Option<(u32, Instant)>; 2],
    /// Whether there was ever a session: if so, whoever has packets may initiate.
    pub(super) has_been_up: bool,
    pub(super) added_at: Instant,
    /// Whether the tunnel read the wall clock before it was stepped.
    pub(super) has_old_clock: bool,
    /// Intervals of persistent keepalives: what the configuration or the mapping system asks for,
    /// and what the NAT before us does.
    pub(super) keepalive: Option<Duration>,
    pub(super) nat_keepalive: Option<Duration>,
    pub(super) handshake_at: Option<Instant>,
    pub(super) traffic_told_at: Option<Instant>,
    pub(super) rx_bytes: u64,
    pub(super) tx_bytes: u64,
}

impl<T> Peer<T> {
    /// When the peer needs attention.
    pub(super) fn poll_at(&self) -> Option<Instant> {
        earliest(self.timers.poll_at(), self.initiator.poll_at())
    }

    /// Keeps the shorter of both keepalives going.
    pub(super) fn set_keepalives(&mut self, now: Instant) {
        let interval = [self.keepalive, self.nat_keepalive].into_iter().flatten().min();
        self.timers.set_persistent_keepalive(interval, now);
    }
}

/// A fixed number of places for peers, found by key or by session index.
pub(super) struct Peers<L: Listener> {
    pub(super) listener: L,
    /// Our own control or link address.
    pub(super) address: Ipv6Addr,
    pub(super) pace: Pace,
    /// No peer needs attention before; may be earlier than the first that does.
    pub(super) wake_at: Option<Instant>,
    slots: Vec<Option<Box<Peer<L::Tunnel>>>>,
    uses: Vec<u8>,
    by_key: Vec<(PeerKey, Slot)>,
}

impl<L: Listener> Peers<L> {
    pub(super) fn new(listener: L, address: Ipv6Addr, pace: Pace, capacity: usize) -> Peers<L> {
        let capacity = capacity.min(Slot::MAX.into());
        let mut slots = Vec::with_capacity(capacity);
        slots.resize_with(capacity, || None);
        let by_key = Vec::with_capacity(capacity);
        let uses = vec![0; capacity];
        Peers { listener, address, pace, wake_at: None, slots, uses, by_key }
    }

    pub(super) fn slot(&self, key: PeerKey) -> Option<Slot> {
        let index = self.by_key.binary_search_by(|(known, _)| known.cmp(&key)).ok()?;
        Some(self.by_key[index].1)
    }

    /// The peer whose tunnel handed out this session index.
    pub(super) fn slot_of_index(&self, session_index: u32) -> Option<Slot> {
        let index = session_index >> 8;
        let slot = Slot::try_from(index & ((1 << SLOT_BITS) - 1)).ok()?;
        let is_current = self.slots.get(usize::from(slot))?.is_some()
            && u32::from(self.uses[usize::from(slot)]) == index >> SLOT_BITS;
        is_current.then_some(slot)
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Peer<L::Tunnel>> {
        self.slots.get(usize::from(slot))?.as_deref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Peer<L::Tunnel>> {
        self.slots.get_mut(usize::from(slot))?.as_deref_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Peer<L::Tunnel>)> {
        self.by_key.iter().filter_map(|(_, slot)| Some((*slot, self.get(*slot)?)))
    }

    /// How many places there are.
    pub(super) fn capacity(&self) -> Slot {
        Slot::try_from(self.slots.len()).unwrap_or(Slot::MAX)
    }

    /// Adds a peer that is not there yet; `None` when every place is taken.
    pub(super) fn add(&mut self, key: PeerKey, address: Ipv6Addr, now: Instant) -> Option<Slot> {
        let free = self.slots.iter().position(Option::is_none)?;
        let slot = Slot::try_from(free).ok()?;
        let tunnel = self.new_tunnel(slot, key, now);
        self.slots[free] = Some(Box::new(Peer {
            key,
            address,
            endpoint: None,
            side: Side::Responder,
            tunnel,
            refreshed_at: now,
            timers: Timers::default(),
            initiator: Initiator::default(),
            initiations: [None; 2],
            has_been_up: false,
            added_at: now,
            has_old_clock: false,
            keepalive: None,
            nat_keepalive: None,
            handshake_at: None,
            traffic_told_at: None,
            rx_bytes: 0,
            tx_bytes: 0,
        }));
        let (Ok(place) | Err(place)) = self.by_key.binary_search_by(|(known, _)| known.cmp(&key));
        self.by_key.insert(place, (key, slot));
        Some(slot)
    }

    /// Gives a peer a tunnel that remembers nothing.
    pub(super) fn renew_tunnel(&mut self, slot: Slot, now: Instant) {
        let Some(key) = self.get(slot).map(|peer| peer.key) else { return };
        let tunnel = self.new_tunnel(slot, key, now);
        if let Some(peer) = self.get_mut(slot) {
            peer.tunnel = tunnel;
            peer.refreshed_at = now;
            peer.initiations = [None; 2];
            peer.has_old_clock = false;
            peer.timers.handle_loss(now);
        }
    }

    pub(super) fn remove(&mut self, key: PeerKey) -> Option<Slot> {
        let index = self.by_key.binary_search_by(|(known, _)| known.cmp(&key)).ok()?;
        let (_, slot) = self.by_key.remove(index);
        self.slots[usize::from(slot)] = None;
        Some(slot)
    }

    /// A peer's deadline may have come nearer.
    pub(super) fn wake(&mut self, at: Option<Instant>) {
        self.wake_at = earliest(self.wake_at, at);
    }

    /// Each tunnel of a slot gets other indices, so that what was meant for an earlier one is
    /// told at once.
    fn new_tunnel(&mut self, slot: Slot, key: PeerKey, now: Instant) -> L::Tunnel {
        let uses = &mut self.uses[usize::from(slot)];
        *uses = uses.wrapping_add(1);
        let index = u32::from(*uses) << SLOT_BITS | u32::from(slot);
        self.listener.tunnel(key, index, now)
    }
}
