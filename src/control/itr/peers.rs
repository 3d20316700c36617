//! The data peers that mappings lead to: which exist, where they are, who initiates.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::map_cache_entry::MapCacheEntry;
use super::way::{Way, Ways};
use crate::bucket::{Bucket, Rate};
use crate::marks::Marks;
use crate::{DataKey, Forwarding, Instant, KeyIndex, PeerConfig, PeerKey, Side};

/// A peer that carried traffic this recently keeps its mapping against eviction and negative
/// answers.
pub(crate) const LIVE: Duration = Duration::from_secs(180);

/// Messages between link addresses that one peer may have us work on: 32 at once, 20/s.
const MESSAGES: Rate = Rate { burst: 32, interval: Duration::from_millis(50) };

/// Peers that are probed after a change of our uplinks.
pub(crate) const MAX_RECENT: usize = 8;

/// Rows beyond the limit, for peers on their way out while their successors come in.
const SLACK: usize = 64;

/// The table of data peers; what differs from what the data plane has is the queue of changes.
pub(crate) struct Peers {
    rows: Vec<Row>,
    by_key: KeyIndex,
    limit: usize,
    /// Those that mappings lead to.
    in_use: usize,
    keepalive: Option<Duration>,
    /// Rows that may differ from what the data plane has, or that nothing may lead to any more.
    changed: Marks,
    unused: Marks,
}

struct Row {
    key: PeerKey,
    lane: u8,
    wanted: Wanted,
    installed: Option<Wanted>,
    /// Mappings that lead here; without any, the peer goes.
    uses: usize,
    traffic_at: Option<Instant>,
    /// Found in the data plane; the mapping system did not describe it yet.
    is_adopted: bool,
    messages: Bucket,
}

/// What the mapping system says of the peer, which is not where it may have roamed to since.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wanted {
    endpoint: Option<SocketAddr>,
    side: Side,
    keepalive: Option<Duration>,
}

impl Peers {
    pub(crate) fn with_limit(limit: usize) -> Peers {
        let places = limit + SLACK;
        Peers {
            rows: Vec::with_capacity(places),
            by_key: KeyIndex::with_capacity(places),
            limit,
            in_use: 0,
            keepalive: None,
            changed: Marks::with_capacity(places),
            unused: Marks::with_capacity(places),
        }
    }

    fn place_of(&self, key: &PeerKey) -> Result<usize, usize> {
        self.by_key.find(key, |place| &self.rows[place].key)
    }

    fn find(&self, key: &PeerKey) -> Option<&Row> {
        let index = self.place_of(key).ok()?;
        Some(&self.rows[self.by_key.place(index)?])
    }

    /// The row of a key, with its place.
    fn find_mut(&mut self, key: &PeerKey) -> Option<(usize, &mut Row)> {
        let index = self.place_of(key).ok()?;
        let place = self.by_key.place(index)?;
        Some((place, &mut self.rows[place]))
    }

    /// Puts a row in for which there is room.
    fn push(&mut self, row: Row) -> usize {
        let place = self.rows.len();
        if let Err(index) = self.place_of(&row.key) {
            self.by_key.insert(index, &row.key, place);
        }
        self.in_use += usize::from(row.uses > 0);
        self.rows.push(row);
        place
    }

    /// Takes a row out; the last one takes its place.
    fn remove(&mut self, place: usize) -> Row {
        if let Ok(index) = self.place_of(&self.rows[place].key) {
            self.by_key.remove(index);
        }
        let last = self.rows.len() - 1;
        if last != place
            && let Ok(index) = self.place_of(&self.rows[last].key)
        {
            self.by_key.set_place(index, place);
        }
        // Its marks are those of another place.
        self.changed.set(place);
        self.unused.set(place);
        self.rows.swap_remove(place)
    }

    /// A mapping that led to `old` leads by `ways` from now on. A known peer keeps its side; its
    /// endpoint changes when another one is described, which for what the mapping had before is
    /// so only with `is_new`. False, and nothing is changed, when the table is too full.
    pub(crate) fn replace(&mut self, old: &Forwarding, ways: &Ways<'_>, is_new: bool) -> bool {
        let added = ways.iter().filter(|way| self.find(&way.data_key.key).is_none()).count();
        let is_left = |old: &&PeerKey| ways.iter().all(|way| way.data_key.key != **old);
        let left = || old.peers().filter(is_left);
        let is_full = self.in_use + added > self.limit && added > left().count();
        if added > 0 && (is_full || self.rows.len() + added > self.rows.capacity()) {
            return false;
        }
        for way in ways {
            if !old.leads_to(&way.data_key.key) {
                self.add_use(way);
            } else if is_new {
                self.describe(&way.data_key.key, way.endpoint());
            }
        }
        left().for_each(|key| self.drop_use(key));
        true
    }

    fn add_use(&mut self, way: &Way<'_>) {
        let DataKey { key, lane, .. } = way.data_key;
        if let Some((place, row)) = self.find_mut(key) {
            let was_unused = row.uses == 0;
            if was_unused {
                row.wanted.side = way.side;
            }
            row.uses += 1;
            if was_unused {
                self.in_use += 1;
                self.changed.set(place);
            }
            self.describe(key, way.endpoint());
        } else {
            let wanted =
                Wanted { endpoint: way.endpoint(), side: way.side, keepalive: self.keepalive };
            let (installed, traffic_at) = (None, None);
            let (is_adopted, messages) = (false, Bucket::default());
            let (key, lane) = (*key, *lane);
            let row =
                Row { key, lane, wanted, installed, uses: 1, traffic_at, is_adopted, messages };
            let place = self.push(row);
            self.changed.set(place);
        }
    }

    /// The data plane has this peer from an earlier run, for one more mapping, or for none that is
    /// wanted. There is room for it.
    pub(crate) fn adopt(
        &mut self,
        key: PeerKey,
        lane: u8,
        endpoint: Option<SocketAddr>,
        is_used: bool,
    ) {
        if let Some((place, row)) = self.find_mut(&key) {
            let was_unused = row.uses == 0;
            row.uses += usize::from(is_used);
            self.in_use += usize::from(was_unused && is_used);
            self.changed.set(place);
            return;
        }
        let wanted = Wanted { endpoint, side: Side::Responder, keepalive: self.keepalive };
        let installed = Some(Wanted { keepalive: None, ..wanted });
        let (uses, traffic_at, is_adopted) = (usize::from(is_used), None, true);
        let messages = Bucket::default();
        let row = Row { key, lane, wanted, installed, uses, traffic_at, is_adopted, messages };
        let place = self.push(row);
        self.changed.set(place);
        self.unused.set(place);
    }

    /// Whether a peer is among those told of, in the lane that it is known in.
    pub(crate) fn is_adoptable(
        &self,
        key: &PeerKey,
        peers: &[(u8, PeerKey, Option<SocketAddr>)],
    ) -> bool {
        let known = self.find(key).map(|row| row.lane);
        let is_same = |(lane, peer, _): &(u8, PeerKey, Option<SocketAddr>)| {
            peer == key && known.is_none_or(|known| known == *lane)
        };
        peers.iter().any(is_same)
    }

    /// Whether so many more fit, within the limit or, for those that are to go, beyond it.
    pub(crate) fn has_room(&self, more: usize, is_used: bool) -> bool {
        let limit = if is_used { self.limit } else { self.rows.capacity() };
        self.rows.len() + more <= limit
    }

    /// Leaves only those of the ways whose peers are in the same lane as they are known in.
    pub(crate) fn admit(&self, ways: &mut Ways<'_>) {
        let is_known_in =
            |key: &DataKey| self.find(&key.key).is_none_or(|row| row.lane == key.lane);
        ways.retain(|way| is_known_in(way.data_key));
    }

    /// A mapping leads to these no more.
    pub(crate) fn release(&mut self, forwarding: &Forwarding) {
        forwarding.peers().for_each(|peer| self.drop_use(peer));
    }

    /// One mapping less leads to this peer.
    fn drop_use(&mut self, key: &PeerKey) {
        if let Some((place, row)) = self.find_mut(key) {
            row.uses -= 1;
            if row.uses == 0 {
                self.in_use -= 1;
                self.unused.set(place);
            }
        }
    }

    /// The mapping system describes the peer's endpoint anew.
    fn describe(&mut self, key: &PeerKey, endpoint: Option<SocketAddr>) {
        let Some((place, row)) = self.find_mut(key) else { return };
        if core::mem::take(&mut row.is_adopted) && endpoint.is_none() {
            // Where an earlier run followed it to is all that is known.
            row.installed = row.installed.map(|installed| Wanted { endpoint, ..installed });
        }
        if core::mem::replace(&mut row.wanted.endpoint, endpoint) != endpoint {
            self.changed.set(place);
        }
    }

    /// Sends to the peer at this endpoint from now on, whatever roaming has made of it.
    pub(crate) fn redirect(&mut self, key: PeerKey, endpoint: SocketAddr) {
        if let Some((place, row)) = self.find_mut(&key) {
            row.wanted.endpoint = Some(endpoint);
            row.installed = row.installed.map(|known| Wanted { endpoint: None, ..known });
            self.changed.set(place);
        }
    }

    /// The lane of a peer that mappings lead to, and where it was last said to be.
    pub(crate) fn place(&self, key: PeerKey) -> Option<(u8, Option<SocketAddr>)> {
        let row = self.find(&key).filter(|row| row.uses > 0)?;
        Some((row.lane, row.wanted.endpoint))
    }

    /// Whether we may work on a message from this peer.
    pub(crate) fn admits_message(&mut self, key: PeerKey, now: Instant) -> bool {
        let row = self.find_mut(&key).filter(|(_, row)| row.uses > 0);
        row.is_some_and(|(_, row)| row.messages.take(&MESSAGES, now))
    }

    /// Those that carried traffic in the last 180 s, most recently active first.
    pub(crate) fn recent(&self, now: Instant) -> heapless::Vec<PeerKey, MAX_RECENT> {
        let mut recent: heapless::Vec<(Instant, PeerKey), MAX_RECENT> = heapless::Vec::new();
        for row in self.rows.iter().filter(|row| row.uses > 0) {
            let Some(at) = row.traffic_at.filter(|at| now.since(*at) < LIVE) else { continue };
            let place = recent.iter().position(|(known, _)| *known < at).unwrap_or(recent.len());
            if recent.is_full() && place < MAX_RECENT {
                recent.pop();
            }
            // In a full list a place after the last one is none.
            let _ = recent.insert(place, (at, row.key));
        }
        recent.iter().map(|(_, key)| *key).collect()
    }

    /// Whether another peer of this lane was heard since then.
    pub(crate) fn has_traffic(&self, lane: u8, except: PeerKey, since: Instant) -> bool {
        let is_late = |row: &Row| row.traffic_at.is_some_and(|at| at >= since);
        self.rows.iter().any(|row| row.lane == lane && row.key != except && is_late(row))
    }

    /// Keeps NAT bindings towards all peers, or stops doing so.
    pub(crate) fn set_keepalive(&mut self, keepalive: Option<Duration>) {
        if self.keepalive != keepalive {
            self.keepalive = keepalive;
            for (place, row) in self.rows.iter_mut().enumerate() {
                row.wanted.keepalive = keepalive;
                self.changed.set(place);
            }
        }
    }

    pub(crate) fn handle_traffic(&mut self, key: PeerKey, now: Instant) {
        if let Some((_, row)) = self.find_mut(&key) {
            row.traffic_at = Some(now);
        }
    }

    /// When data was last received from the peer.
    pub(crate) fn traffic_at(&self, key: &PeerKey) -> Option<Instant> {
        self.find(key)?.traffic_at
    }

    /// Whether a peer of this mapping carried traffic in the last 180 s.
    pub(crate) fn carry(&self, row: &MapCacheEntry, now: Instant) -> bool {
        !row.is_leaving && row.forwarding.peers().any(|peer| self.is_live(peer, now))
    }

    /// Whether the peer carried traffic in the last 180 s.
    pub(crate) fn is_live(&self, key: &PeerKey, now: Instant) -> bool {
        self.traffic_at(key).is_some_and(|at| now.since(at) < LIVE)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The peer at this place of the table, if it carried traffic in the last 180 s.
    pub(crate) fn live_at(&self, place: usize, now: Instant) -> Option<PeerKey> {
        self.rows.get(place).map(|row| row.key).filter(|key| self.is_live(key, now))
    }

    /// The next peer to be added or changed. An endpoint that the mapping system did not change
    /// is left as roaming has it.
    pub(crate) fn poll_set(&mut self) -> Option<PeerConfig> {
        while let Some(place) = self.changed.pop() {
            let Some(row) = self.rows.get_mut(place) else { continue };
            let (wanted, installed) = (&row.wanted, row.installed.as_ref());
            if row.uses == 0 || installed == Some(wanted) {
                continue;
            }
            let is_moved = installed.is_none_or(|known| known.endpoint != wanted.endpoint);
            row.installed = Some(*wanted);
            return Some(PeerConfig {
                key: row.key,
                lane: row.lane,
                endpoint: if is_moved { wanted.endpoint } else { None },
                side: wanted.side,
                persistent_keepalive: wanted.keepalive,
            });
        }
        None
    }

    /// The next peer to be removed; asked for when no route change is left.
    pub(crate) fn poll_remove(&mut self) -> Option<PeerKey> {
        while let Some(place) = self.unused.pop() {
            if self.rows.get(place).is_none_or(|row| row.uses > 0) {
                continue;
            }
            let row = self.remove(place);
            if row.installed.is_some() {
                return Some(row.key);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Locator;

    const A: PeerKey = PeerKey([1; 32]);
    const B: PeerKey = PeerKey([2; 32]);

    fn endpoint(port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    fn locator(key: PeerKey, lane: u8, endpoint: Option<SocketAddr>) -> Locator {
        let there = endpoint.unwrap_or(SocketAddr::from(([192, 0, 2, 1], 1)));
        Locator {
            rloc: there.ip(),
            priority: 1,
            weight: 1,
            mpriority: 255,
            mweight: 0,
            is_reachable: endpoint.is_some(),
            data_key: Some(DataKey { key, port: there.port(), lane }),
        }
    }

    fn way(locator: &Locator, side: Side) -> Ways<'_> {
        let data_key = locator.data_key.as_ref().unwrap();
        [Way { locator, data_key, side, weight: 1 }].into_iter().collect()
    }

    /// A mapping begins to lead to A at this port.
    fn use_a(peers: &mut Peers, port: u16, side: Side) {
        let locator = locator(A, 0, endpoint(port));
        assert!(peers.replace(&Forwarding::Drop, &way(&locator, side), true));
    }

    #[test]
    fn a_peer_lives_as_long_as_a_mapping_uses_it() {
        let mut peers = Peers::with_limit(4);
        use_a(&mut peers, 1, Side::Initiator);
        use_a(&mut peers, 1, Side::Responder);
        let set = peers.poll_set().unwrap();
        assert_eq!((set.key, set.endpoint, set.side), (A, endpoint(1), Side::Initiator));
        assert_eq!((peers.poll_set(), peers.poll_remove()), (None, None));
        peers.release(&Forwarding::Peer(A));
        assert_eq!(peers.poll_remove(), None);
        peers.release(&Forwarding::Peer(A));
        assert_eq!((peers.poll_set(), peers.poll_remove()), (None, Some(A)));
        assert_eq!(peers.poll_remove(), None);
    }

    #[test]
    fn a_keepalive_does_not_overwrite_a_roamed_endpoint() {
        let mut peers = Peers::with_limit(4);
        use_a(&mut peers, 1, Side::Responder);
        peers.poll_set();
        peers.set_keepalive(Some(Duration::from_secs(25)));
        let set = peers.poll_set().unwrap();
        assert_eq!((set.endpoint, set.persistent_keepalive), (None, Some(Duration::from_secs(25))));
        peers.describe(&A, endpoint(2));
        assert_eq!(peers.poll_set().unwrap().endpoint, endpoint(2));
        peers.describe(&A, endpoint(2));
        assert_eq!(peers.poll_set(), None);
    }

    #[test]
    fn a_full_table_refuses_a_new_peer_but_not_a_new_key_for_a_mapping() {
        let mut peers = Peers::with_limit(1);
        use_a(&mut peers, 1, Side::Responder);
        assert_eq!(peers.poll_set().unwrap().key, A);
        let (at_a, at_b) = (locator(A, 0, None), locator(B, 0, None));
        let b = way(&at_b, Side::Responder);
        assert!(!peers.replace(&Forwarding::Drop, &b, true));
        let (old, mut both) = (Forwarding::Peer(A), b.clone());
        both.extend(way(&at_a, Side::Responder));
        assert!(!peers.replace(&old, &both, true), "a second lane is one more");
        assert!(peers.replace(&old, &b, true));
        assert_eq!(peers.poll_set().unwrap().key, B);
        assert_eq!(peers.poll_remove(), Some(A));
    }

    #[test]
    fn traffic_keeps_a_peer_live_for_three_minutes() {
        let mut peers = Peers::with_limit(1);
        use_a(&mut peers, 1, Side::Responder);
        assert!(!peers.is_live(&A, Instant::ZERO));
        peers.handle_traffic(A, Instant::from_millis(1000));
        assert!(peers.is_live(&A, Instant::from_millis(180_999)));
        assert!(!peers.is_live(&A, Instant::from_millis(181_000)));
    }

    #[test]
    fn a_peer_stays_in_the_lane_that_it_is_known_in() {
        let mut peers = Peers::with_limit(2);
        use_a(&mut peers, 1, Side::Responder);
        let locator = locator(A, 1, endpoint(1));
        let elsewhere = way(&locator, Side::Responder);
        let mut admitted = elsewhere.clone();
        peers.admit(&mut admitted);
        assert!(admitted.is_empty());
        peers.release(&Forwarding::Peer(A));
        while peers.poll_remove().is_some() {}
        let mut admitted = elsewhere.clone();
        peers.admit(&mut admitted);
        assert_eq!(admitted, elsewhere);
    }

    #[test]
    fn an_adopted_peer_is_set_only_when_it_is_described_elsewhere() {
        for (described, expected) in
            [(endpoint(1), None), (None, None), (endpoint(2), Some(endpoint(2)))]
        {
            let mut peers = Peers::with_limit(2);
            peers.adopt(A, 0, endpoint(1), true);
            assert_eq!((peers.poll_set(), peers.poll_remove()), (None, None));
            let locator = locator(A, 0, described);
            let ways = way(&locator, Side::Initiator);
            assert!(peers.replace(&Forwarding::Peer(A), &ways, true));
            assert_eq!(peers.poll_set().map(|set| set.endpoint), expected, "{described:?}");
        }
    }
}
