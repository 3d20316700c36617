//! Data peers that leave packets unanswered: seen in the kernel's counters, which are looked at
//! while packets go out and not otherwise. A doorbell tells when the first one goes.
//!
//! A look reads what the interface has carried. Where one peer alone explains that, it is enough;
//! else the kernel is asked about all peers of the interface.

use control::{Duration, Instant, PeerKey, earliest};
use linux::netlink::LinkStatistics;
use linux::packet::Bell;

use super::machine::Machine;
use super::operations::{Device, Operations};
use super::peers::Peer;
use super::silence::{KEEPALIVE_LEN, Own, Span, Unanswered, is_data};
use crate::{Event, Interface};

/// Looks in the time after which a peer is silent.
const LOOKS: u32 = 6;

/// Looks go on for so long after the last packet, or until its answer is overdue.
const LINGER: Duration = Duration::from_secs(2);

/// However short that time is.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);

/// Peers of an interface that are asked about with every look; of twice as many, whether or not they
/// have sessions, with every second one.
const SURVEYED: usize = 32;

/// What an interface has carried, and when it is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    state: State,
    carried: LinkStatistics,
    /// When something last came in.
    heard_at: Instant,
    /// When the kernel was last asked about the peers.
    surveyed_at: Option<Instant>,
    own: Own,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// There is no session.
    #[default]
    Off,
    /// Nothing goes out.
    Idle,
    /// Packets go out.
    Busy {
        looked_at: Instant,
        look_at: Instant,
        /// When packets were last seen to go.
        sent_at: Instant,
        /// Whether it has not been looked at since the doorbell rang for a packet.
        has_rung: bool,
    },
}

impl Watch {
    fn poll_at(&self) -> Option<Instant> {
        match self.state {
            State::Busy { look_at, .. } => Some(look_at),
            State::Off | State::Idle => None,
        }
    }
}

impl<O: Operations> Machine<O> {
    /// When the first interface is to be looked at.
    pub(super) fn poll_look_at(&self) -> Option<Instant> {
        self.watches.iter().fold(None, |first, watch| earliest(first, watch.poll_at()))
    }

    /// A session of this interface stands: packets may go.
    pub(super) fn watch(&mut self, device: Device) {
        let Device::Lane(lane) = device else { return };
        if self.silence == Duration::ZERO || self.watches[usize::from(lane)].state != State::Off {
            return;
        }
        self.await_packet(lane);
    }

    /// The doorbell of a lane is ready: a packet goes out after none did for a while.
    pub(super) fn handle_doorbell(&mut self, lane: u8, now: Instant) {
        if !self.operations.take_ring(lane) {
            return;
        }
        let Some(watch) = self.watches.get(usize::from(lane)) else { return };
        if watch.state != State::Idle {
            return;
        }
        self.counters.doorbells += 1;
        self.set_bell(lane, Bell::Muted);
        self.take_span(lane, now, now);
        self.watches[usize::from(lane)].state = self.busy(true, now);
    }

    /// Looks at the interfaces where that is due.
    pub(super) fn look_at_lanes(&mut self, now: Instant) {
        for lane in 0..self.identity.lanes.len() {
            if self.watches[lane].poll_at().is_some_and(|at| at <= now) {
                self.look(lane as u8, now);
            }
        }
    }

    /// A message of ours leaves, which is no data.
    pub(super) fn note_own(&mut self, device: Device, key: PeerKey, len: usize, now: Instant) {
        let Device::Lane(lane) = device else { return };
        let octets = len.next_multiple_of(16).min(self.mtu.max(len)) as u64;
        if let Some(peer) = self.data.get_mut(&key) {
            peer.silence.own.add(octets, now);
        }
        if let Some(watch) = self.watches.get_mut(usize::from(lane)) {
            watch.own.add(octets, now);
        }
    }

    fn interval(&self) -> Duration {
        (self.silence / LOOKS).max(LEAST_INTERVAL)
    }

    fn busy(&self, has_rung: bool, now: Instant) -> State {
        let look_at = now + self.interval();
        State::Busy { looked_at: now, look_at, sent_at: now, has_rung }
    }

    fn look(&mut self, lane: u8, now: Instant) {
        let place = usize::from(lane);
        let State::Busy { looked_at, sent_at, has_rung, .. } = self.watches[place].state else {
            return;
        };
        let Some(mut span) = self.take_span(lane, looked_at, now) else {
            // Nobody is there any more.
            self.watches[place].state = State::Off;
            self.set_bell(lane, Bell::Off);
            return;
        };
        span.has_sent |= has_rung;
        self.attribute(lane, &span);
        self.tell_silent(lane, &span);
        if span.has_sent {
            if !has_rung && self.operations.bell(lane) == Bell::Muted {
                // They go on: from now on they leave as if nobody were there.
                self.set_bell(lane, Bell::Off);
            }
            self.watches[place].state = self.busy(false, now);
        } else if now - sent_at >= LINGER.max(self.silence) {
            self.rest(lane, now);
        } else {
            let look_at = now + self.interval();
            self.watches[place].state =
                State::Busy { looked_at: now, look_at, sent_at, has_rung: false };
        }
    }

    /// Nothing goes out any more: the doorbell tells of the next packet.
    fn rest(&mut self, lane: u8, now: Instant) {
        for peer in self.data.iter_mut().filter(|peer| peer.device == Device::Lane(lane)) {
            peer.silence.unanswered = Unanswered::Nothing;
        }
        if self.live(lane).next().is_none() {
            self.watches[usize::from(lane)].state = State::Off;
            self.set_bell(lane, Bell::Off);
            return;
        }
        self.await_packet(lane);
        // One that went before the doorbell was there did not ring it.
        if self.take_span(lane, now, now).is_some_and(|span| span.has_sent) {
            self.set_bell(lane, Bell::Muted);
            self.watches[usize::from(lane)].state = self.busy(true, now);
        }
    }

    fn await_packet(&mut self, lane: u8) {
        let is_armed = self.set_bell(lane, Bell::Armed);
        self.watches[usize::from(lane)].state = if is_armed { State::Idle } else { State::Off };
    }

    /// What the interface carried since it was last looked at.
    fn take_span(&mut self, lane: u8, looked_at: Instant, now: Instant) -> Option<Span> {
        self.counters.looks += 1;
        let Ok(carried) = self.operations.statistics(lane) else {
            self.counters.refused += 1;
            return None;
        };
        let interval = self.interval();
        let watch = self.watches.get_mut(usize::from(lane))?;
        let old = core::mem::replace(&mut watch.carried, carried);
        let packets = carried.tx_packets.saturating_sub(old.tx_packets);
        let octets = carried.tx_octets.saturating_sub(old.tx_octets);
        let more = octets.saturating_sub(packets.saturating_mul(KEEPALIVE_LEN));
        let has_sent = is_data(watch.own.subtract_from(more, looked_at));
        let has_received = carried.rx_octets != old.rx_octets;
        let heard_at = watch.heard_at;
        let is_fresh = watch.surveyed_at.is_some_and(|at| at >= heard_at);
        if has_received {
            watch.heard_at = now;
        }
        let since = looked_at + (now - looked_at).saturating_sub(interval);
        Some(Span { looked_at, since, now, has_sent, has_received, heard_at, is_fresh })
    }

    /// Finds out whose packets moved.
    fn attribute(&mut self, lane: u8, span: &Span) {
        if !span.has_sent && !span.has_received {
            return;
        }
        let count = self.live(lane).count();
        let sole = match count {
            1 => self.live(lane).next().map(|peer| peer.key),
            _ => self.sole_active(lane, span.now),
        };
        if let Some(peer) = sole.and_then(|key| self.data.get_mut(&key)) {
            peer.silence.note(span.has_sent, span.has_received, count == 1, span);
            peer.active_at = Some(span.now);
        } else if span.has_sent || self.live(lane).any(|peer| peer.silence.open_since().is_some()) {
            self.survey(lane, span);
        }
    }

    /// The one peer whose packets went lately, when the kernel was asked not long ago.
    fn sole_active(&self, lane: u8, now: Instant) -> Option<PeerKey> {
        let surveyed_at = self.watches[usize::from(lane)].surveyed_at?;
        let mut active = self
            .live(lane)
            .filter(|peer| peer.silence.moved_at.is_some_and(|at| now - at < LINGER));
        let sole = active.next()?.key;
        let is_sole = active.next().is_none() && now - surveyed_at < self.silence;
        is_sole.then_some(sole)
    }

    /// Asks the kernel about all peers of an interface, unless there are many and it was asked
    /// just now; says whether it answered.
    fn survey(&mut self, lane: u8, span: &Span) -> bool {
        let surveyed_at = self.watches[usize::from(lane)].surveyed_at;
        let passed = surveyed_at.map_or(Duration::ZERO, |at| span.now - at);
        let listed = self.data.iter().filter(|peer| peer.device == Device::Lane(lane));
        let times = listed.count() / SURVEYED;
        if surveyed_at.is_some() && passed < self.interval() * times as u32 {
            return false;
        }
        self.counters.surveys += 1;
        let (peers, device) = (&mut self.data, Device::Lane(lane));
        let result = self.operations.peers(device, &mut |told| {
            if let Some(peer) = peers.get_mut(&PeerKey(told.public_key))
                && peer.device == device
            {
                peer.silence.handle_survey(told, peer.keepalive_set, passed, span);
                peer.active_at = peer.active_at.max(peer.silence.moved_at);
            }
        });
        if result.is_err() {
            self.counters.refused += 1;
        }
        self.watches[usize::from(lane)].surveyed_at = Some(span.now);
        result.is_ok()
    }

    /// Tells of the peers that are silent by now, once the kernel has confirmed it.
    fn tell_silent(&mut self, lane: u8, span: &Span) {
        let silence = self.silence;
        let is_due = |peer: &Peer| {
            let since = peer.silence.open_since();
            since.is_some_and(|at| span.now - at >= silence)
        };
        if !self.live(lane).any(is_due) {
            return;
        }
        let is_known = self.watches[usize::from(lane)].surveyed_at == Some(span.now)
            || self.live(lane).nth(1).is_none();
        if !is_known && !self.survey(lane, span) {
            return;
        }
        for place in 0..self.data.len() {
            let Some(key) = self.data.key_at(place) else { continue };
            let Some(peer) = self.data.get_mut(&key) else { continue };
            let is_here = peer.device == Device::Lane(lane) && peer.has_session();
            if is_here && is_due(peer) && matches!(peer.silence.unanswered, Unanswered::Since(_)) {
                peer.silence.unanswered = Unanswered::Nothing;
                self.tell(Event::Silent { peer: key });
            }
        }
    }

    /// The peers of an interface with sessions, or with handshakes under way.
    fn live(&self, lane: u8) -> impl Iterator<Item = &Peer> {
        self.peers(Interface::Data).iter().filter(move |peer| {
            let is_live = peer.has_session() || peer.pending_since.is_some();
            peer.device == Device::Lane(lane) && is_live
        })
    }

    fn set_bell(&mut self, lane: u8, bell: Bell) -> bool {
        let is_set = self.operations.set_bell(lane, bell);
        if !is_set {
            self.counters.refused += 1;
        }
        is_set
    }
}
