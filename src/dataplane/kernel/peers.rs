//! The peers of our WireGuard interfaces, as they are wanted and as the kernel told of them last.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use control::{Duration, EidPrefix, Instant, KeyIndex, PeerKey, Side, earliest};
use linux::netlink::wireguard::{self, AllowedIp, PeerUpdate};

use super::operations::Device;
use super::silence::Silence;
use crate::engine::initiator::Initiator;

/// A session counts as over this long after its handshake, while the kernel would still use its
/// keys for 2 s: once they are gone, the kernel begins a handshake with any packet, at either end.
/// Where packets go, the kernel renews a session after 120 to 165 s.
pub(super) const SESSION_LIFE: Duration = Duration::from_secs(178);

/// What went out is answered within this time, by an empty packet when nothing else goes
/// (WireGuard paper, section 6.5).
pub(super) const SILENCE: Duration = Duration::from_secs(15);

/// Peers with sessions are looked at this often while packets go, and at least as often as that
/// when none do.
const SHORT_INTERVAL: Duration = Duration::from_secs(10);
const LONG_INTERVAL: Duration = Duration::from_secs(60);

/// While a session is awaited, the kernel is asked when this much has passed, or an eighth of the
/// time so far, but at least once a second.
const LEAST_WAIT: Duration = Duration::from_millis(1);
const MOST_WAIT: Duration = Duration::from_secs(1);

/// Octets of an empty packet over UDP, and the shortest interval at which others keep NAT
/// bindings by them.
const KEEPALIVE_LEN: u64 = 32;
const KEEPALIVE_INTERVAL: u64 = 25;

/// Octets of one handshake: initiation, response, first packet.
const HANDSHAKE_LEN: u64 = 148 + 92 + KEEPALIVE_LEN;

/// The kernel renews a session that it began 120 s after its handshake.
const EARLY: Duration = Duration::from_secs(110);

/// What the last listing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct News {
    pub(super) is_established: bool,
    /// The session that stood was young: it was not ours to renew.
    pub(super) is_early: bool,
    pub(super) is_lost: bool,
    pub(super) has_roamed: bool,
    pub(super) has_traffic: bool,
    pub(super) is_silent: bool,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) key: PeerKey,
    pub(super) device: Device,
    /// Its control or link address.
    pub(super) address: Ipv6Addr,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) side: Side,
    pub(super) initiator: Initiator,
    /// Whether there was ever a session: if so, whoever has packets may initiate.
    pub(super) has_been_up: bool,
    pub(super) added_at: Instant,
    /// Intervals of persistent keepalives: what the configuration or the mapping system asks for,
    /// and what the NAT before us does.
    pub(super) keepalive: Option<Duration>,
    pub(super) nat_keepalive: Option<Duration>,
    /// The interval in seconds that the kernel has.
    pub(super) keepalive_set: u16,
    /// When the session that stands was established.
    pub(super) session_at: Option<Instant>,
    pub(super) handshake_at: Option<Instant>,
    /// The last handshake as the kernel tells it.
    handshake: Option<Duration>,
    /// When we gave the kernel a reason to initiate, since the peer was made or had a session.
    pub(super) initiated_at: Option<Instant>,
    /// As the clock showed then by which the kernel tells handshakes.
    initiated_wall: Duration,
    /// When something came from the peer without a session: it initiated, and we answered.
    pub(super) heard_at: Option<Instant>,
    /// Since when a session is awaited.
    pub(super) pending_since: Option<Instant>,
    /// When to ask the kernel next.
    pub(super) look_at: Option<Instant>,
    looked_at: Option<Instant>,
    interval: Duration,
    /// Since when something is on its way that wants an answer.
    pub(super) silent_since: Option<Instant>,
    pub(super) active_at: Option<Instant>,
    pub(super) traffic_told_at: Option<Instant>,
    /// What the kernel counts, and what it counted before the peer was made anew.
    rx: u64,
    tx: u64,
    rx_earlier: u64,
    tx_earlier: u64,
    pub(super) silence: Silence,
    pub(super) news: News,
    /// Whether the last listing had it.
    pub(super) is_listed: bool,
    /// Whether the kernel is about to be told of it.
    pub(super) is_new: bool,
    /// Whether the kernel has it.
    pub(super) is_installed: bool,
    /// Whether somebody of this run wants it.
    pub(super) is_claimed: bool,
    /// Whether its session is one of an earlier run.
    pub(super) is_adopted: bool,
}

impl Peer {
    fn new(key: PeerKey, device: Device, address: Ipv6Addr, now: Instant) -> Peer {
        Peer {
            key,
            device,
            address,
            endpoint: None,
            side: Side::Responder,
            initiator: Initiator::default(),
            has_been_up: false,
            added_at: now,
            keepalive: None,
            nat_keepalive: None,
            keepalive_set: 0,
            session_at: None,
            handshake_at: None,
            handshake: None,
            initiated_at: None,
            initiated_wall: Duration::ZERO,
            heard_at: None,
            pending_since: None,
            look_at: None,
            looked_at: None,
            interval: SHORT_INTERVAL,
            silent_since: None,
            active_at: None,
            traffic_told_at: None,
            rx: 0,
            tx: 0,
            rx_earlier: 0,
            tx_earlier: 0,
            silence: Silence::default(),
            news: News::default(),
            is_listed: true,
            is_new: false,
            is_installed: false,
            is_claimed: true,
            is_adopted: false,
        }
    }

    pub(super) fn has_session(&self) -> bool {
        self.session_at.is_some()
    }

    /// When the peer needs attention.
    pub(super) fn poll_at(&self) -> Option<Instant> {
        earliest(self.look_at, self.initiator.poll_at())
    }

    pub(super) fn rx_bytes(&self) -> u64 {
        self.rx_earlier + self.rx
    }

    pub(super) fn tx_bytes(&self) -> u64 {
        self.tx_earlier + self.tx
    }

    /// The allowed-ip that every peer has.
    pub(super) fn own_allowed_ip(&self) -> AllowedIp {
        AllowedIp { ip: IpAddr::V6(self.address), prefix_len: 128 }
    }

    /// What the kernel is to know of it, but its allowed-ips.
    pub(super) fn update(&self) -> PeerUpdate {
        PeerUpdate {
            endpoint: self.endpoint,
            persistent_keepalive: Some(self.keepalive_seconds()),
            ..PeerUpdate::new(self.key.0)
        }
    }

    /// The shorter of both keepalives, 0 for none.
    pub(super) fn keepalive_seconds(&self) -> u16 {
        let interval = [self.keepalive, self.nat_keepalive].into_iter().flatten().min();
        interval.map_or(0, |span| u16::try_from(span.as_secs().max(1)).unwrap_or(u16::MAX))
    }

    /// Takes note of what the kernel tells.
    pub(super) fn handle_listing(&mut self, told: &wireguard::Peer, wall: Duration, now: Instant) {
        self.is_listed = true;
        let since = self.looked_at.replace(now);
        // Somebody made the peer anew: the kernel counts from zero.
        let (rx, tx) = (told.rx_octets, told.tx_octets);
        if rx < self.rx || tx < self.tx {
            self.forget_counts();
        }
        let (rx_more, tx_more) = (rx - self.rx, tx - self.tx);
        (self.rx, self.tx) = (rx, tx);
        if told.endpoint.is_some() && told.endpoint != self.endpoint {
            self.news.has_roamed = self.endpoint.is_some();
            self.endpoint = told.endpoint;
        }
        let is_new = told.last_handshake.is_some() && told.last_handshake != self.handshake;
        self.handshake = told.last_handshake;
        if is_new {
            self.note_handshake(wall, since, now);
        }
        let is_over =
            self.handshake.is_none() || self.session_at.is_some_and(|at| now - at >= SESSION_LIFE);
        if self.session_at.is_some() && is_over {
            self.session_at = None;
            self.news.is_lost = true;
        }
        self.note_traffic(rx_more, tx_more, is_new, since, now);
        self.look_at = self.next_look(now);
    }

    /// A handshake that is new to us; on a clock that may have been stepped since.
    fn note_handshake(&mut self, wall: Duration, since: Option<Instant>, now: Instant) {
        let age = self.handshake.map_or(Duration::ZERO, |at| wall.saturating_sub(at));
        let passed = Instant::from_micros(now.as_micros().saturating_sub(age.as_micros() as u64));
        let at = passed.max(since.unwrap_or(passed)).min(now);
        let earlier = self.handshake_at.replace(at);
        if now - at < SESSION_LIFE {
            self.news.is_early = earlier.is_some_and(|earlier| at - earlier < EARLY);
            self.session_at = Some(at);
            self.is_adopted = false;
            self.news.is_established = true;
        }
    }

    fn note_traffic(
        &mut self,
        rx_more: u64,
        tx_more: u64,
        is_new: bool,
        since: Option<Instant>,
        now: Instant,
    ) {
        let moved = rx_more > 0 || tx_more > 0;
        if moved {
            self.active_at = Some(now);
        }
        let Some(since) = since else { return };
        let seconds = (now - since).as_secs();
        let keepalives = KEEPALIVE_LEN * (1 + seconds / KEEPALIVE_INTERVAL);
        let idle = keepalives + if is_new { HANDSHAKE_LEN } else { 0 };
        // Without a session there are handshakes alone.
        self.news.has_traffic =
            self.has_session() && (rx_more > idle || rx_more > 0 && tx_more > idle);
        // What a Map-Server or site does is known by its messages.
        let is_busy = self.device != Device::Control && (rx_more > idle || tx_more > idle);
        self.interval = match is_busy {
            true => SHORT_INTERVAL,
            false => (self.interval * 2).min(LONG_INTERVAL),
        };
        if rx_more > 0 {
            self.heard_at = Some(now).filter(|_| !self.has_session());
            self.silent_since = None;
        } else if tx_more > 2 * KEEPALIVE_LEN && self.device != Device::Control {
            self.silent_since = self.silent_since.or(Some(now));
        }
        if self.silent_since.is_some_and(|at| now - at >= SILENCE) {
            self.silent_since = None;
            self.news.is_silent = true;
        }
    }

    /// When the kernel is to be asked next.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        if let Some(since) = self.pending_since {
            return Some(now + ((now - since) / 8).clamp(LEAST_WAIT, MOST_WAIT));
        }
        let at = self.session_at?;
        let silent_at = self.silent_since.map(|at| (at + SILENCE).max(now + LEAST_WAIT));
        let look_at = (at + SESSION_LIFE).min(now + self.interval);
        earliest(Some(look_at), silent_at)
    }

    /// Something went out that the other side answers.
    pub(super) fn note_sent(&mut self, now: Instant) {
        if self.silent_since.is_none() {
            self.silent_since = Some(now);
            self.look_at = earliest(self.look_at, Some(now + SILENCE));
        }
    }

    /// A session is awaited from now on.
    pub(super) fn await_session(&mut self, now: Instant) {
        if self.pending_since.is_none() {
            self.pending_since = Some(now);
        }
        self.look_at = earliest(self.look_at, self.next_look(now));
    }

    /// The kernel was given a reason to initiate.
    pub(super) fn note_initiated(&mut self, wall: Duration, now: Instant) {
        self.initiated_at = Some(now);
        self.initiated_wall = wall;
        // Tries that go on for long, as with a Map-Server that is down, are not each watched
        // closely.
        self.pending_since = Some(match self.initiator {
            Initiator::Trying { since, .. } => since,
            _ => now,
        });
        self.look_at = self.next_look(now);
    }

    /// From the packet that made the kernel initiate to the answer, as the kernel saw it: we were
    /// busy before and after. A clock that was stepped meanwhile tells nothing.
    pub(super) fn round_trip(&self, now: Instant) -> Option<Duration> {
        let noticed = now - self.initiated_at?;
        let span = self.handshake?.checked_sub(self.initiated_wall)?;
        Some(span.min(noticed))
    }

    /// The session stands: nothing is awaited any more.
    pub(super) fn settle(&mut self, now: Instant) {
        self.initiator.stop();
        self.has_been_up = true;
        self.initiated_at = None;
        self.heard_at = None;
        self.pending_since = None;
        self.silent_since = None;
        self.interval = SHORT_INTERVAL;
        self.look_at = self.next_look(now);
    }

    /// The peer was made anew: the kernel knows nothing of it.
    pub(super) fn forget(&mut self) {
        self.forget_counts();
        (self.handshake, self.handshake_at) = (None, None);
        self.session_at = None;
        self.initiated_at = None;
        self.heard_at = None;
        self.silent_since = None;
        self.silence.forget();
    }

    fn forget_counts(&mut self) {
        self.rx_earlier += core::mem::take(&mut self.rx);
        self.tx_earlier += core::mem::take(&mut self.tx);
    }
}

/// A fixed number of places for peers.
#[derive(Debug)]
pub(super) struct Peers {
    rows: Vec<Peer>,
    order: KeyIndex,
    capacity: usize,
}

impl Peers {
    pub(super) fn with_capacity(capacity: usize) -> Peers {
        Peers {
            rows: Vec::with_capacity(capacity),
            order: KeyIndex::with_capacity(capacity),
            capacity,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn get(&self, key: &PeerKey) -> Option<&Peer> {
        Some(&self.rows[self.row(key)?])
    }

    pub(super) fn get_mut(&mut self, key: &PeerKey) -> Option<&mut Peer> {
        let row = self.row(key)?;
        Some(&mut self.rows[row])
    }

    /// The key of the peer at a place, of places sorted by key; they change when peers come and go.
    pub(super) fn key_at(&self, place: usize) -> Option<PeerKey> {
        self.order.place(place).map(|row| self.rows[row].key)
    }

    pub(super) fn with_address(&self, device: Device, address: IpAddr) -> Option<&Peer> {
        self.rows.iter().find(|peer| peer.device == device && IpAddr::V6(peer.address) == address)
    }

    /// All peers, sorted by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.order.places().map(|row| &self.rows[row])
    }

    /// All peers, in no order, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.rows.iter_mut()
    }

    /// Adds a peer that is not there yet; there has to be room.
    pub(super) fn add(
        &mut self,
        key: PeerKey,
        device: Device,
        address: Ipv6Addr,
        now: Instant,
    ) -> &mut Peer {
        let (Ok(place) | Err(place)) = self.place(&key);
        let row = self.rows.len();
        self.order.insert(place, &key, row);
        self.rows.push(Peer::new(key, device, address, now));
        &mut self.rows[row]
    }

    pub(super) fn remove(&mut self, key: &PeerKey) -> Option<Peer> {
        let place = self.place(key).ok()?;
        // The last row moves to where the removed one was.
        let last = self.place(&self.rows.last()?.key).ok()?;
        self.order.set_place(last, self.order.place(place)?);
        let row = self.order.remove(place);
        Some(self.rows.swap_remove(row))
    }

    fn row(&self, key: &PeerKey) -> Option<usize> {
        self.order.place(self.place(key).ok()?)
    }

    fn place(&self, key: &PeerKey) -> Result<usize, usize> {
        self.order.find(key, |row| &self.rows[row].key)
    }
}

/// An EID-prefix as an allowed-ip.
pub(super) fn allowed_ip(eid_prefix: &EidPrefix) -> AllowedIp {
    AllowedIp { ip: eid_prefix.address(), prefix_len: eid_prefix.len() }
}
