//! Sessions: begun, found in the kernel's listing, lost.

use control::{Duration, Instant, PeerKey, Side};
use linux::netlink;
use linux::netlink::wireguard::PeerUpdate;

use super::machine::{Machine, interface};
use super::operations::{Device, Operations};
use super::peers::{News, Peer, allowed_ip};
use crate::engine::initiator::{self, Initiator, tells_loss};
use crate::engine::{FIRST_RETRY, LONGEST_FIRST_RETRY, lisp_message};
use crate::{Event, Interface};

/// Traffic of one peer is told no more often.
const TRAFFIC_INTERVAL: Duration = Duration::from_secs(10);

/// After a handshake the kernel uses its keys for 180 s (WireGuard paper, section 6.2), on a clock
/// that differs a little from ours.
const KEYS_LIFE: Duration = Duration::from_secs(181);

/// After a listing that failed the kernel is asked again.
const LISTING_RETRY: Duration = Duration::from_secs(1);

impl<O: Operations> Machine<O> {
    /// Asks the kernel about all peers now.
    pub(super) fn refresh(&mut self, now: Instant) {
        self.list(Device::Control, now);
        for lane in 0..self.identity.lanes.len() {
            self.list(Device::Lane(lane as u8), now);
        }
        self.catch_up(now);
    }

    /// Asks the kernel about the peers of an interface when that is due for one of them.
    pub(super) fn look_at_due(&mut self, interface: Interface, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let mut due = [false; Device::COUNT];
        for peer in self.peers(interface).iter() {
            // A peer is not made anew when its session came meanwhile.
            let is_tried = peer.initiated_at.is_some() && is_due(peer.initiator.poll_at());
            due[peer.device.place()] |= is_due(peer.look_at) || is_tried;
        }
        if due[Device::Control.place()] {
            self.list(Device::Control, now);
        }
        for lane in 0..self.identity.lanes.len() {
            let device = Device::Lane(lane as u8);
            if due[device.place()] {
                self.list(device, now);
            }
        }
    }

    fn list(&mut self, device: Device, now: Instant) {
        self.counters.listings += 1;
        self.listed_at[device.place()] = Some(now);
        let wall = self.operations.wall_clock();
        let peers = match interface(device) {
            Interface::Control => &mut self.control,
            Interface::Data => &mut self.data,
        };
        for peer in peers.iter_mut().filter(|peer| peer.device == device) {
            peer.is_listed = !peer.is_installed;
            if !peer.is_installed {
                peer.look_at = peer.next_look(now);
            }
        }
        let result = self.operations.peers(device, &mut |told| {
            if let Some(peer) = peers.get_mut(&PeerKey(told.public_key))
                && peer.device == device
            {
                peer.handle_listing(told, wall, now);
            }
        });
        if result.is_err() {
            self.counters.refused += 1;
            for peer in peers.iter_mut().filter(|peer| peer.device == device) {
                peer.is_listed = true;
                peer.look_at = peer.look_at.map(|at| at.max(now + LISTING_RETRY));
            }
        }
        for place in 0..self.peers(interface(device)).len() {
            self.handle_news(device, place, now);
        }
    }

    fn handle_news(&mut self, device: Device, place: usize, now: Instant) {
        let interface = interface(device);
        let peers = self.peers_mut(interface);
        let Some(key) = peers.key_at(place) else { return };
        let Some(peer) = peers.get_mut(&key).filter(|peer| peer.device == device) else { return };
        let news = core::mem::take(&mut peer.news);
        let (endpoint, wake_at) = (peer.endpoint, peer.poll_at());
        let has_vanished = !core::mem::replace(&mut peer.is_listed, true);
        self.wake(wake_at);
        if has_vanished {
            return self.handle_vanished(interface, key, now);
        }
        if news == News::default() {
            return;
        }
        if news.is_established {
            self.handle_established(interface, key, news.is_early, now);
        } else if news.is_lost {
            self.handle_lost(interface, key, now);
        }
        if news.has_roamed {
            self.counters.roamed += 1;
            if let (Interface::Control, Some(endpoint)) = (interface, endpoint) {
                self.tell(Event::ControlRoamed { peer: key, endpoint });
            }
        }
        if news.has_traffic && interface == Interface::Data {
            self.tell_traffic(key, now);
        }
        if news.is_silent {
            self.handle_silent(interface, key, now);
        }
    }

    /// A session stands: tell it, and hand what waited for it over to the kernel.
    fn handle_established(
        &mut self,
        interface: Interface,
        key: PeerKey,
        is_early: bool,
        now: Instant,
    ) {
        self.counters.sessions += 1;
        let Some(peer) = self.peers_mut(interface).get_mut(&key) else { return };
        let is_ours = peer.initiator.is_trying();
        let side = match (is_ours, is_early) {
            (true, _) => Side::Initiator,
            (false, true) => Side::Responder,
            (false, false) => peer.side,
        };
        let round_trip = peer.round_trip(now).filter(|_| is_ours);
        peer.settle(now);
        peer.silence.handle_path(now);
        let (device, endpoint, wake_at) = (peer.device, peer.endpoint, peer.poll_at());
        self.wake(wake_at);
        self.watch(device);
        if interface == Interface::Data {
            self.tell(Event::DataSession { peer: key, side });
            return self.open(key, now);
        }
        if let Some(round_trip) = round_trip {
            self.round_trip = Some(round_trip);
            // A response may come late: no Map-Server slows data handshakes at will.
            let first = round_trip.saturating_mul(3).max(FIRST_RETRY);
            self.data_pace.first = first.min(LONGEST_FIRST_RETRY);
        }
        if let Some(endpoint) = endpoint {
            self.tell(Event::ControlSession { peer: key, endpoint, side, round_trip });
        }
    }

    /// A session ended without another: packets are misses again, so that who initiates is
    /// decided here and not by the kernel.
    fn handle_lost(&mut self, interface: Interface, key: PeerKey, now: Instant) {
        match interface {
            Interface::Control => {
                self.tell(Event::ControlLost { peer: key });
                self.start_if_initiator(key, now);
            }
            Interface::Data => {
                self.close(key, now);
                if self.shares_flows(key) {
                    self.want_session(Interface::Data, key, now);
                }
            }
        }
    }

    /// What went out was not answered.
    fn handle_silent(&mut self, interface: Interface, key: PeerKey, now: Instant) {
        match interface {
            Interface::Data => {
                self.tell(Event::DataLost { peer: key });
            }
            Interface::Control => {
                let Some(peer) = self.control.get_mut(&key) else { return };
                if peer.session_at.take().is_some() {
                    peer.look_at = None;
                    self.tell(Event::ControlLost { peer: key });
                    self.start_if_initiator(key, now);
                }
            }
        }
    }

    /// Somebody removed the peer from the interface: it is put back.
    fn handle_vanished(&mut self, interface: Interface, key: PeerKey, now: Instant) {
        self.counters.peers_vanished += 1;
        let Some(peer) = self.peers_mut(interface).get_mut(&key) else { return };
        let had_session = peer.has_session();
        peer.forget();
        peer.look_at = peer.next_look(now);
        if self.install(interface, key).is_err() {
            self.counters.refused += 1;
        }
        if had_session {
            self.handle_lost(interface, key, now);
        }
    }

    fn tell_traffic(&mut self, key: PeerKey, now: Instant) {
        let Some(peer) = self.data.get(&key) else { return };
        if peer.traffic_told_at.is_none_or(|at| now - at >= TRAFFIC_INTERVAL)
            && self.tell(Event::Traffic { peer: key })
            && let Some(peer) = self.data.get_mut(&key)
        {
            peer.traffic_told_at = Some(now);
        }
    }

    /// Something waits for a peer without a session: starts a handshake, or leaves the other side
    /// its turn when that was to begin.
    pub(super) fn want_session(&mut self, interface: Interface, key: PeerKey, now: Instant) {
        let pace = match interface {
            Interface::Control => self.control_pace,
            Interface::Data => self.data_pace,
        };
        let Some(peer) = self.peers_mut(interface).get_mut(&key) else { return };
        if peer.has_session() || peer.initiator.is_trying() || peer.endpoint.is_none() {
            return;
        }
        // Whoever was to begin would have by then.
        let had_its_turn = now - peer.added_at >= pace.three_tries();
        if peer.side == Side::Initiator || peer.has_been_up || had_its_turn {
            peer.initiator.start(now);
            self.handle_initiator(interface, key, now);
        } else {
            peer.initiator.yield_turn(&pace, now);
            peer.await_session(now);
            let wake_at = peer.poll_at();
            self.wake(wake_at);
        }
    }

    /// Starts the endless tries of a control peer that is ours to initiate.
    pub(super) fn start_if_initiator(&mut self, key: PeerKey, now: Instant) {
        let Some(peer) = self.control.get_mut(&key) else { return };
        if peer.side == Side::Initiator && peer.endpoint.is_some() && !peer.has_session() {
            peer.initiator.restart(now);
            self.handle_initiator(Interface::Control, key, now);
        }
    }

    /// Tries what is due. The kernel was asked before a peer that was tried already is tried
    /// again.
    pub(super) fn handle_initiator(&mut self, interface: Interface, key: PeerKey, now: Instant) {
        let (peers, mut pace) = match interface {
            Interface::Control => (&mut self.control, self.control_pace),
            Interface::Data => (&mut self.data, self.data_pace),
        };
        let has_new_peers = !self.new_peers.is_empty();
        // A peer that the kernel does not know yet begins when it does; one that it refused is
        // given to it again with each try.
        let is_next = |peer: &&mut Peer| peer.is_installed || !has_new_peers;
        let Some(peer) = peers.get_mut(&key).filter(is_next) else { return };
        if peer.endpoint.is_none() {
            return peer.initiator.stop();
        }
        pace.is_endless &= peer.side == Side::Initiator;
        let due = peer.initiator.handle_timeout(&pace, &mut self.random, now);
        let wake_at = peer.poll_at();
        self.wake(wake_at);
        match due {
            initiator::Due::Nothing => {}
            initiator::Due::GaveUp => self.give_up(interface, key),
            initiator::Due::Initiate { unanswered } => {
                if self.leaves_turn(interface, key, now) {
                    return;
                }
                self.initiate(interface, key, now);
                if tells_loss(unanswered) {
                    self.tell(match interface {
                        Interface::Control => Event::ControlLost { peer: key },
                        Interface::Data => Event::DataLost { peer: key },
                    });
                }
            }
        }
    }

    /// Whether the other side's handshake is to be waited for: making the peer anew would end it
    /// halfway, and an initiation of ours that crosses another cancels both. Of two that both try,
    /// the higher key waits twice as long.
    fn leaves_turn(&mut self, interface: Interface, key: PeerKey, now: Instant) -> bool {
        let Some(peer) = self.peers(interface).get(&key) else { return true };
        let measured = self.round_trip.map(|span| span.saturating_mul(3).max(FIRST_RETRY));
        let first = measured.unwrap_or(LONGEST_FIRST_RETRY).min(LONGEST_FIRST_RETRY);
        let hold = if self.key_on(peer.device) > key { first * 2 } else { first };
        let hold_until = peer.heard_at.map(|at| at + hold).filter(|until| *until > now);
        let (Some(retry_at), Initiator::Trying { attempts, since, .. }) =
            (hold_until, peer.initiator)
        else {
            return false;
        };
        let Some(peer) = self.peers_mut(interface).get_mut(&key) else { return true };
        peer.initiator = Initiator::Trying { attempts: attempts.max(1) - 1, since, retry_at };
        peer.await_session(now);
        let wake_at = peer.poll_at();
        self.wake(wake_at);
        true
    }

    /// Makes the kernel begin a handshake now: it does with the first packet for a peer that it
    /// has sent none to in the last 5 s, so that a peer tried before is made anew.
    fn initiate(&mut self, interface: Interface, key: PeerKey, now: Instant) {
        let is_stale = self.peers(interface).get(&key).is_some_and(|peer| {
            // With keys that the kernel would still use it begins no handshake either.
            let has_keys = peer.handshake_at.is_some_and(|at| now - at < KEYS_LIFE);
            peer.initiated_at.is_some() || has_keys || !peer.is_installed
        });
        if is_stale && self.renew(interface, key).is_err() {
            self.counters.refused += 1;
        }
        self.counters.initiations_sent += 1;
        let wall = self.operations.wall_clock();
        self.greet(interface, key, now);
        let Some(peer) = self.peers_mut(interface).get_mut(&key) else { return };
        peer.note_initiated(wall, now);
        let wake_at = peer.poll_at();
        self.wake(wake_at);
    }

    /// The tries ended; the kernel's own end too.
    fn give_up(&mut self, interface: Interface, key: PeerKey) {
        if self.renew(interface, key).is_err() {
            self.counters.refused += 1;
        }
        if let Some(peer) = self.peers_mut(interface).get_mut(&key) {
            peer.pending_since = None;
            peer.look_at = None;
        }
    }

    /// Sends an empty message: a packet that begins a session, or tells the other side where we
    /// are.
    pub(super) fn greet(&mut self, interface: Interface, key: PeerKey, now: Instant) {
        let Some(peer) = self.peers(interface).get(&key) else { return };
        let (device, address, has_session) = (peer.device, peer.address, peer.has_session());
        let source = self.address_on(device);
        let len = lisp_message::emit(self.lisp_port, source, address, &[], &mut self.plain);
        let packet = len.map_or(&[][..], |len| &self.plain[..len]);
        if !self.operations.inject(device, packet) {
            self.counters.send_failed += 1;
        } else if has_session {
            self.note_own(device, key, len.unwrap_or(0), now);
        }
    }

    /// Makes a peer anew: the kernel forgets its handshakes, and when it began one.
    pub(super) fn renew(
        &mut self,
        interface: Interface,
        key: PeerKey,
    ) -> Result<(), netlink::Error> {
        let Some(peer) = self.peers_mut(interface).get_mut(&key) else { return Ok(()) };
        peer.forget();
        let device = peer.device;
        self.counters.peers_renewed += 1;
        self.counters.peer_requests += 1;
        self.operations.set_peer(device, &PeerUpdate::removal(key.0), &mut [].into_iter())?;
        self.install(interface, key)
    }

    /// Tells the kernel all that it is to know of a peer.
    pub(super) fn install(
        &mut self,
        interface: Interface,
        key: PeerKey,
    ) -> Result<(), netlink::Error> {
        let Some(peer) = self.peers(interface).get(&key) else { return Ok(()) };
        let (device, own) = (peer.device, peer.own_allowed_ip());
        let update = PeerUpdate { replaces_allowed_ips: true, ..peer.update() };
        let is_data = interface == Interface::Data;
        let routed = self.routes.to_peer(key).filter(|_| is_data);
        let mut allowed_ips =
            [own].into_iter().chain(routed.map(|(eid_prefix, _)| allowed_ip(eid_prefix)));
        self.counters.peer_requests += 1;
        self.operations.set_peer(device, &update, &mut allowed_ips)?;
        let peers = if is_data { &mut self.data } else { &mut self.control };
        if let Some(peer) = peers.get_mut(&key) {
            peer.is_installed = true;
            peer.keepalive_set = peer.keepalive_seconds();
        }
        Ok(())
    }
}
