//! The data peers that mappings lead to: which exist, where they are, who initiates.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::{Instant, PeerConfig, PeerKey, Side};

/// A peer that carried traffic this recently keeps its mapping against eviction and negative
/// answers.
pub(crate) const LIVE: Duration = Duration::from_secs(180);

/// Rows beyond the limit, for peers on their way out while their successors come in.
const SLACK: usize = 32;

/// The table of data peers; what differs from what the data plane has is the queue of changes.
pub(crate) struct Peers {
    rows: Vec<Row>,
    limit: usize,
    keepalive: Option<Duration>,
    is_dirty: bool,
}

struct Row {
    key: PeerKey,
    wanted: Wanted,
    installed: Option<Wanted>,
    /// Mappings that lead here; without any, the peer goes.
    uses: usize,
    traffic_at: Option<Instant>,
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
        let rows = Vec::with_capacity(limit + SLACK);
        Peers { rows, limit, keepalive: None, is_dirty: false }
    }

    /// One more mapping leads to this peer. A known peer keeps its side; its endpoint changes when
    /// another one is described. False when the peer is new and the table full; `replaces` says
    /// that the mapping gives up another peer for it.
    pub(crate) fn add_use(
        &mut self,
        key: PeerKey,
        endpoint: Option<SocketAddr>,
        side: Side,
        replaces: bool,
    ) -> bool {
        if let Some(row) = self.rows.iter_mut().find(|row| row.key == key) {
            if row.uses == 0 {
                row.wanted.side = side;
            }
            row.uses += 1;
            self.describe(key, endpoint);
            return true;
        }
        let in_use = self.rows.iter().filter(|row| row.uses > 0).count();
        if (in_use >= self.limit && !replaces) || self.rows.len() == self.rows.capacity() {
            return false;
        }
        let wanted = Wanted { endpoint, side, keepalive: self.keepalive };
        self.rows.push(Row { key, wanted, installed: None, uses: 1, traffic_at: None });
        self.is_dirty = true;
        true
    }

    /// One mapping less leads to this peer.
    pub(crate) fn drop_use(&mut self, key: PeerKey) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.key == key) {
            row.uses -= 1;
            self.is_dirty |= row.uses == 0;
        }
    }

    /// The mapping system describes the peer's endpoint anew.
    pub(crate) fn describe(&mut self, key: PeerKey, endpoint: Option<SocketAddr>) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.key == key) {
            self.is_dirty |= row.wanted.endpoint != endpoint;
            row.wanted.endpoint = endpoint;
        }
    }

    /// Keeps NAT bindings towards all peers, or stops doing so.
    pub(crate) fn set_keepalive(&mut self, keepalive: Option<Duration>) {
        if self.keepalive != keepalive {
            self.keepalive = keepalive;
            self.is_dirty = true;
            self.rows.iter_mut().for_each(|row| row.wanted.keepalive = keepalive);
        }
    }

    pub(crate) fn handle_traffic(&mut self, key: PeerKey, now: Instant) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.key == key) {
            row.traffic_at = Some(now);
        }
    }

    /// When data was last received from the peer.
    pub(crate) fn traffic_at(&self, key: PeerKey) -> Option<Instant> {
        self.rows.iter().find(|row| row.key == key)?.traffic_at
    }

    /// Whether the peer carried traffic in the last 180 s.
    pub(crate) fn is_live(&self, key: PeerKey, now: Instant) -> bool {
        self.traffic_at(key).is_some_and(|at| now.since(at) < LIVE)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The peer at this place of the table, if it carried traffic in the last 180 s.
    pub(crate) fn live_at(&self, place: usize, now: Instant) -> Option<PeerKey> {
        self.rows.get(place).map(|row| row.key).filter(|key| self.is_live(*key, now))
    }

    /// The next peer to be added or changed. An endpoint that the mapping system did not change
    /// is left as roaming has it.
    pub(crate) fn poll_set(&mut self) -> Option<PeerConfig> {
        if !self.is_dirty {
            return None;
        }
        let row =
            self.rows.iter_mut().find(|row| row.uses > 0 && row.installed != Some(row.wanted))?;
        let Wanted { endpoint, side, keepalive } = row.wanted;
        let is_moved = row.installed.is_none_or(|installed| installed.endpoint != endpoint);
        row.installed = Some(row.wanted);
        let endpoint = endpoint.filter(|_| is_moved);
        Some(PeerConfig { key: row.key, lane: 0, endpoint, side, persistent_keepalive: keepalive })
    }

    /// The next peer to be removed; asked for when no route change is left.
    pub(crate) fn poll_remove(&mut self) -> Option<PeerKey> {
        while self.is_dirty {
            let Some(place) = self.rows.iter().position(|row| row.uses == 0) else {
                self.is_dirty = false;
                break;
            };
            let row = self.rows.swap_remove(place);
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

    const A: PeerKey = PeerKey([1; 32]);
    const B: PeerKey = PeerKey([2; 32]);

    fn endpoint(port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    #[test]
    fn a_peer_lives_as_long_as_a_mapping_uses_it() {
        let mut peers = Peers::with_limit(4);
        assert!(peers.add_use(A, endpoint(1), Side::Initiator, false));
        assert!(peers.add_use(A, endpoint(1), Side::Responder, false));
        let set = peers.poll_set().unwrap();
        assert_eq!((set.key, set.endpoint, set.side), (A, endpoint(1), Side::Initiator));
        assert_eq!((peers.poll_set(), peers.poll_remove()), (None, None));
        peers.drop_use(A);
        assert_eq!(peers.poll_remove(), None);
        peers.drop_use(A);
        assert_eq!((peers.poll_set(), peers.poll_remove()), (None, Some(A)));
        assert_eq!(peers.poll_remove(), None);
    }

    #[test]
    fn a_keepalive_does_not_overwrite_a_roamed_endpoint() {
        let mut peers = Peers::with_limit(4);
        peers.add_use(A, endpoint(1), Side::Responder, false);
        peers.poll_set();
        peers.set_keepalive(Some(Duration::from_secs(25)));
        let set = peers.poll_set().unwrap();
        assert_eq!((set.endpoint, set.persistent_keepalive), (None, Some(Duration::from_secs(25))));
        peers.describe(A, endpoint(2));
        assert_eq!(peers.poll_set().unwrap().endpoint, endpoint(2));
        peers.describe(A, endpoint(2));
        assert_eq!(peers.poll_set(), None);
    }

    #[test]
    fn a_full_table_refuses_a_new_peer_but_not_a_new_key_for_a_mapping() {
        let mut peers = Peers::with_limit(1);
        assert!(peers.add_use(A, None, Side::Responder, false));
        assert_eq!(peers.poll_set().unwrap().key, A);
        assert!(!peers.add_use(B, None, Side::Responder, false));
        assert!(peers.add_use(B, None, Side::Responder, true));
        peers.drop_use(A);
        assert_eq!(peers.poll_set().unwrap().key, B);
        assert_eq!(peers.poll_remove(), Some(A));
    }

    #[test]
    fn traffic_keeps_a_peer_live_for_three_minutes() {
        let mut peers = Peers::with_limit(1);
        peers.add_use(A, None, Side::Responder, false);
        assert!(!peers.is_live(A, Instant::ZERO));
        peers.handle_traffic(A, Instant::from_millis(1000));
        assert!(peers.is_live(A, Instant::from_millis(180_999)));
        assert!(!peers.is_live(A, Instant::from_millis(181_000)));
    }
}
