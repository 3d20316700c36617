//! A row of the map-cache, and how it comes to be.

use core::time::Duration;

use super::locator_pool::LocatorList;
use super::way::Ways;
use crate::{Action, Forwarding, Instant, Locator, Mapping, PeerKey};

/// The push that last set a mapping; numbers compare within one Map-Server and epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Version {
    pub(crate) map_server: PeerKey,
    /// Grows when the Map-Server starts numbering anew.
    pub(crate) epoch: u32,
    pub(crate) number: u64,
    pub(crate) pushed_at: Instant,
}

impl Version {
    pub(super) fn is_older_than(&self, held: &Version) -> bool {
        (self.map_server, self.epoch) == (held.map_server, held.epoch) && self.number < held.number
    }
}

/// Where what is learned comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// An answer to what was first asked then.
    Reply { asked_at: Instant },
    /// A push or publication.
    Push(Version),
}

/// A positive mapping as the xTR judged it.
pub(crate) struct Learned<'a> {
    pub(crate) mapping: &'a Mapping,
    pub(crate) ways: Ways<'a>,
    /// Neither side can be reached from outside.
    pub(crate) is_both_nat: bool,
}

/// What became of a learned mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Held now.
    Held,
    /// Held now, with other locators than before.
    Moved,
    /// Older than what is held.
    Stale,
    /// The table of peers is full, or the peers are known in other lanes.
    NoPeer,
    /// A negative answer for what carries traffic.
    Live,
}

/// What the data plane does with a mapping's packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Installed {
    /// It has no route.
    Nothing,
    /// What it is to do.
    Wanted,
    /// What it was to do before.
    Other,
}

/// A row of the map-cache, for status.
#[derive(Clone, Debug)]
pub struct MapCacheEntry {
    /// None when the answer was negative.
    pub(super) locators: LocatorList,
    /// One of them leads to a data peer.
    pub(super) has_way: bool,
    /// What a negative answer asked for.
    pub action: Action,
    /// What happens to packets.
    pub forwarding: Forwarding,
    /// When it was last learned, confirmed or pushed.
    pub set_at: Instant,
    /// When it expires.
    pub expires_at: Instant,
    pub(super) refresh_at: Option<Instant>,
    /// To be asked for again, though its peer may have been silent.
    pub(super) is_doubtful: bool,
    /// When its site last asked us to ask again.
    pub(super) solicited_at: Option<Instant>,
    pub(super) version: Option<Version>,
    pub(super) installed: Installed,
    pub(super) is_leaving: bool,
    pub(super) is_news: bool,
    pub(super) is_both_nat: bool,
    /// The data plane has it from an earlier run; the mapping system did not confirm it yet.
    pub(super) is_adopted: bool,
}

impl MapCacheEntry {
    /// No mapping yet: as one that left without ever having been in the data plane.
    #[inline(always)]
    pub(super) fn blank() -> MapCacheEntry {
        MapCacheEntry {
            locators: LocatorList::EMPTY,
            has_way: false,
            action: Action::NoAction,
            forwarding: Forwarding::Drop,
            set_at: Instant::ZERO,
            expires_at: Instant::ZERO,
            refresh_at: None,
            is_doubtful: false,
            solicited_at: None,
            version: None,
            installed: Installed::Nothing,
            is_leaving: true,
            is_news: false,
            is_both_nat: false,
            is_adopted: false,
        }
    }

    /// From now on it is a mapping with these locators, whose list is set apart; a negative one when
    /// there are none.
    pub(super) fn set(
        &mut self,
        locators: &[Locator],
        action: Action,
        forwarding: &Forwarding,
        record_ttl: Duration,
        now: Instant,
    ) {
        let is_way = |locator: &Locator| {
            locator.is_reachable && locator.priority != 255 && locator.data_key.is_some()
        };
        self.has_way = locators.iter().any(is_way);
        self.action = action;
        self.set_forwarding(forwarding);
        (self.set_at, self.expires_at) = (now, now + record_ttl);
        let refresh_after = Duration::from_secs(record_ttl.as_secs() * 9 / 10);
        self.refresh_at = (!locators.is_empty()).then(|| now + refresh_after);
        (self.is_doubtful, self.is_leaving, self.is_adopted) = (false, false, false);
    }

    /// Whether it keeps peers.
    pub(super) fn has_peers(&self) -> bool {
        !self.is_leaving && self.forwarding.peers().next().is_some()
    }

    /// Whether an earlier run learned it, and the mapping system did not confirm it since.
    pub fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// Whether it leads to a peer that cannot be reached from outside: it is behind NAT.
    pub fn is_unreachable(&self) -> bool {
        self.has_peers() && !self.is_adopted && !self.has_way
    }

    /// Packets are to be forwarded so from now on.
    pub(super) fn set_forwarding(&mut self, forwarding: &Forwarding) {
        if self.forwarding != *forwarding {
            self.forwarding = *forwarding;
            if self.installed == Installed::Wanted {
                self.installed = Installed::Other;
            }
        }
    }

    /// The data plane forwards packets so.
    pub(super) fn set_installed(&mut self, forwarding: &Forwarding) {
        let is_wanted = self.forwarding == *forwarding;
        self.installed = if is_wanted { Installed::Wanted } else { Installed::Other };
    }

    pub(super) fn due_at(&self) -> Instant {
        self.refresh_at.map_or(self.expires_at, |refresh_at| refresh_at.min(self.expires_at))
    }
}
