//! Sessions: begun, established, kept alive, lost.

use core::cmp::Reverse;

use control::{Duration, Instant, Side};

use super::initiator::{self, tells_loss};
use super::peers::Slot;
use super::timers;
use super::tunnel::{Listener, MessageKind, Tunnel, sender_index};
use super::{Engine, FIRST_RETRY, Interface, Io, LONGEST_FIRST_RETRY};
use crate::Event;

/// A tunnel is told the time when it was last told so long ago.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);

const INTERFACES: [Interface; 2] = [Interface::Control, Interface::Data];

impl<L: Listener> Engine<L> {
    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, io: &mut impl Io) {
        self.expire_waiting(now, io);
        for interface in INTERFACES {
            if self.peers(interface).wake_at.is_none_or(|at| at > now) {
                continue;
            }
            for slot in 0..self.peers(interface).capacity() {
                let peer = self.peers(interface).get(slot);
                if peer.and_then(|peer| peer.poll_at()).is_some_and(|at| at <= now) {
                    self.handle_peer_timeout(interface, slot, now, io);
                }
            }
            let peers = self.peers_mut(interface);
            let wake_at = peers.iter().filter_map(|(_, peer)| peer.poll_at()).min();
            peers.wake_at = wake_at;
        }
    }

    /// Does what an input made due, so that no deadline is left in the past.
    pub(super) fn catch_up(&mut self, now: Instant, io: &mut impl Io) {
        if self.poll_at().is_some_and(|at| at <= now) {
            self.handle_timeout(now, io);
        }
    }

    /// An uplink changed: an authentic packet goes to every live peer at once, control peers
    /// first, then the most recently active; control tunnels without a session start anew.
    pub fn handle_uplink_change(&mut self, now: Instant, io: &mut impl Io) {
        for interface in INTERFACES {
            let mut after = None;
            while let Some((rank, slot)) = self.next_active(interface, after) {
                if let Some(peer) = self.peers_mut(interface).get_mut(slot) {
                    peer.timers.handle_path();
                }
                self.greet(interface, slot, now, io);
                after = Some((rank, slot));
            }
            for slot in 0..self.peers(interface).capacity() {
                let Some(peer) = self.peers_mut(interface).get_mut(slot) else { continue };
                let is_wanted = peer.initiator.is_trying()
                    || interface == Interface::Control && peer.side == Side::Initiator;
                if is_wanted && !peer.tunnel.has_session() && peer.endpoint.is_some() {
                    peer.initiator.restart(now);
                    self.handle_peer_timeout(interface, slot, now, io);
                }
            }
        }
    }

    /// The wall clock was stepped: control peers without a session get tunnels that read it anew,
    /// and handshakes start. Where a session stands our clock was accepted, and its timestamps go
    /// on increasing whatever the wall clock does; it is renewed when the session ends, unless
    /// we initiated it.
    pub fn handle_clock_step(&mut self, now: Instant, io: &mut impl Io) {
        for slot in 0..self.control.capacity() {
            let Some(peer) = self.control.get_mut(slot) else { continue };
            match peer.timers.session {
                Some(session) => peer.has_old_clock = session.side == Side::Responder,
                None => {
                    self.control.renew_tunnel(slot, now);
                    self.start_if_initiator(slot, now, io);
                }
            }
        }
    }

    /// A packet waits for a data peer without a session.
    pub(super) fn want_session(&mut self, slot: Slot, now: Instant, io: &mut impl Io) {
        self.want_session_on(Interface::Data, slot, now, io);
    }

    /// Starts a handshake, or leaves the other side its turn when that was to begin.
    pub(super) fn want_session_on(
        &mut self,
        interface: Interface,
        slot: Slot,
        now: Instant,
        io: &mut impl Io,
    ) {
        let peers = self.peers_mut(interface);
        let pace = peers.pace;
        let Some(peer) = peers.get_mut(slot) else { return };
        if peer.initiator.is_trying() || peer.endpoint.is_none() {
            return;
        }
        // Whoever was to begin would have by then.
        let had_its_turn = now - peer.added_at >= pace.three_tries();
        if peer.side == Side::Initiator || peer.has_been_up || had_its_turn {
            peer.initiator.start(now);
            self.handle_peer_timeout(interface, slot, now, io);
        } else {
            peer.initiator.yield_turn(&pace, now);
            let wake_at = peer.poll_at();
            peers.wake(wake_at);
        }
    }

    /// Starts the endless tries of a control peer that is ours to initiate.
    pub(super) fn start_if_initiator(&mut self, slot: Slot, now: Instant, io: &mut impl Io) {
        let Some(peer) = self.control.get_mut(slot) else { return };
        if peer.side == Side::Initiator && peer.endpoint.is_some() {
            peer.initiator.restart(now);
            self.handle_peer_timeout(Interface::Control, slot, now, io);
        }
    }

    /// A session stands: tell it, and send what waited for it.
    pub(super) fn handle_established(
        &mut self,
        interface: Interface,
        slot: Slot,
        side: Side,
        round_trip: Option<Duration>,
        now: Instant,
        io: &mut impl Io,
    ) {
        self.counters.sessions += 1;
        let peers = self.peers_mut(interface);
        let Some(peer) = peers.get_mut(slot) else { return };
        peer.timers.handle_session(side, now);
        peer.initiator.stop();
        peer.initiations = [None; 2];
        peer.has_been_up = true;
        peer.has_old_clock &= side == Side::Responder;
        peer.handshake_at = Some(now);
        let (key, endpoint) = (peer.key, peer.endpoint);
        let wake_at = peer.poll_at();
        peers.wake(wake_at);
        match (interface, endpoint) {
            (Interface::Data, _) => {
                self.tell(Event::DataSession { peer: key, side });
                self.release_waiting(slot, now, io);
            }
            (Interface::Control, Some(endpoint)) => {
                if let Some(round_trip) = round_trip {
                    // A response may come late: no Map-Server slows data handshakes at will.
                    let first = round_trip.saturating_mul(3).max(FIRST_RETRY);
                    self.data.pace.first = first.min(LONGEST_FIRST_RETRY);
                }
                self.tell(Event::ControlSession { peer: key, endpoint, side, round_trip });
            }
            (Interface::Control, None) => {}
        }
    }

    /// Tells a tunnel the time, when that is due; its session may have ended since.
    pub(super) fn refresh(
        &mut self,
        interface: Interface,
        slot: Slot,
        now: Instant,
        io: &mut impl Io,
    ) {
        let Some(peer) = self.peers_mut(interface).get_mut(slot) else { return };
        if now - peer.refreshed_at >= REFRESH_INTERVAL {
            self.refresh_now(interface, slot, now, io);
        }
    }

    fn refresh_now(&mut self, interface: Interface, slot: Slot, now: Instant, io: &mut impl Io) {
        let peers = match interface {
            Interface::Control => &mut self.control,
            Interface::Data => &mut self.data,
        };
        let pace = peers.pace;
        let Some(peer) = peers.get_mut(slot) else { return };
        peer.refreshed_at = now;
        let message = peer.tunnel.refresh(&mut self.out, now);
        let is_lost = peer.timers.session.is_some() && !peer.tunnel.has_session();
        if let (Some(len), Some(endpoint)) = (message, peer.endpoint) {
            let message = &self.out[..len];
            if MessageKind::of(message) == Some(MessageKind::Initiation) {
                note_initiation(&mut peer.initiations, message, now);
                peer.initiator.handle_sent(&pace, &mut self.random, now);
            } else {
                peer.timers.handle_sent(false, now);
            }
            peer.tx_bytes += len as u64;
            io.send_udp(interface, endpoint, message);
        }
        let wake_at = peer.poll_at();
        peers.wake(wake_at);
        if is_lost {
            self.handle_lost(interface, slot, now);
        }
    }

    /// The session ended. A control tunnel that is ours to initiate is tried again at once.
    fn handle_lost(&mut self, interface: Interface, slot: Slot, now: Instant) {
        let peers = self.peers_mut(interface);
        let Some(peer) = peers.get_mut(slot) else { return };
        peer.timers.handle_loss(now);
        let (key, has_old_clock) = (peer.key, peer.has_old_clock);
        if has_old_clock {
            peers.renew_tunnel(slot, now);
        }
        let Some(peer) = peers.get_mut(slot) else { return };
        if interface == Interface::Control && peer.side == Side::Initiator {
            peer.initiator.start(now);
        }
        let wake_at = peer.poll_at();
        peers.wake(wake_at);
        if interface == Interface::Control {
            self.tell(Event::ControlLost { peer: key });
        }
    }

    pub(super) fn handle_peer_timeout(
        &mut self,
        interface: Interface,
        slot: Slot,
        now: Instant,
        io: &mut impl Io,
    ) {
        while let Some(due) =
            self.peers_mut(interface).get_mut(slot).and_then(|peer| peer.timers.poll_due(now))
        {
            match due {
                timers::Due::Expiry => self.handle_expiry(interface, slot, now, io),
                timers::Due::Handshake => self.start(interface, slot, now),
                timers::Due::Silence => self.tell_silent(interface, slot),
                timers::Due::Keepalive => {
                    if !self.transmit(interface, slot, &[], now, io) {
                        self.start(interface, slot, now);
                    }
                }
            }
        }
        self.handle_initiator(interface, slot, now, io);
        let peers = self.peers_mut(interface);
        let wake_at = peers.get(slot).and_then(|peer| peer.poll_at());
        peers.wake(wake_at);
    }

    fn tell_silent(&mut self, interface: Interface, slot: Slot) {
        if let Some(key) = self.peers(interface).get(slot).map(|peer| peer.key) {
            self.tell(Event::Silent { peer: key });
        }
    }

    fn handle_expiry(&mut self, interface: Interface, slot: Slot, now: Instant, io: &mut impl Io) {
        self.refresh_now(interface, slot, now, io);
        if let Some(peer) = self.peers_mut(interface).get_mut(slot)
            && peer.timers.session.is_some()
        {
            peer.timers.extend(now);
        }
    }

    pub(super) fn start(&mut self, interface: Interface, slot: Slot, now: Instant) {
        if let Some(peer) = self.peers_mut(interface).get_mut(slot)
            && peer.endpoint.is_some()
        {
            peer.initiator.start(now);
        }
    }

    fn handle_initiator(
        &mut self,
        interface: Interface,
        slot: Slot,
        now: Instant,
        io: &mut impl Io,
    ) {
        let peers = match interface {
            Interface::Control => &mut self.control,
            Interface::Data => &mut self.data,
        };
        let mut pace = peers.pace;
        let Some(peer) = peers.get_mut(slot) else { return };
        let Some(endpoint) = peer.endpoint else { return peer.initiator.stop() };
        pace.is_endless &= peer.side == Side::Initiator;
        let due = peer.initiator.handle_timeout(&pace, &mut self.random, now);
        let initiator::Due::Initiate { unanswered } = due else { return };
        let key = peer.key;
        // The tunnel stamps its own notes with the time it was last told.
        self.refresh_now(interface, slot, now, io);
        let mut out = core::mem::take(&mut self.out);
        if let Some(peer) = self.peers_mut(interface).get_mut(slot)
            && let Some(len) = peer.tunnel.initiate(&mut out, now)
        {
            note_initiation(&mut peer.initiations, &out[..len], now);
            peer.tx_bytes += len as u64;
            io.send_udp(interface, endpoint, &out[..len]);
            self.counters.initiations_sent += 1;
        }
        self.out = out;
        if tells_loss(unanswered) {
            self.tell(match interface {
                Interface::Control => Event::ControlLost { peer: key },
                Interface::Data => Event::DataLost { peer: key },
            });
        }
    }

    /// The most recently active peer with a session that comes after `after` in that order.
    fn next_active(
        &self,
        interface: Interface,
        after: Option<(Reverse<Option<Instant>>, Slot)>,
    ) -> Option<(Reverse<Option<Instant>>, Slot)> {
        self.peers(interface)
            .iter()
            .filter(|(_, peer)| peer.tunnel.has_session())
            .map(|(slot, peer)| (Reverse(peer.timers.active_at), slot))
            .filter(|rank| after.is_none_or(|after| *rank > after))
            .min()
    }
}

fn note_initiation(initiations: &mut [Option<(u32, Instant)>; 2], message: &[u8], now: Instant) {
    if let Some(index) = sender_index(message) {
        *initiations = [Some((index, now)), initiations[0]];
    }
}
