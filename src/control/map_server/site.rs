//! The sites: what configuration says of each, and what we know of it now.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::{Index, IndexMut};

use super::deliveries::Deliveries;
use super::moves::Publication;
use super::registration::LastRegister;
use super::rows::Rows;
use super::site_index::SiteIndex;
use crate::bucket::Bucket;
use crate::{Duration, Instant, KeyIndex, PeerKey, SiteConfig};

/// A WireGuard session ends this long after its handshake: what lives longer made another one.
pub(super) const SESSION_LIFETIME: Duration = Duration::from_secs(180);

/// Answers to subscriptions of one site whose acknowledgements are known as such; of more, the
/// oldest is forgotten.
pub(super) const MAX_ANSWERS: usize = 8;

/// One site.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) config: SiteConfig,
    /// Whether it still is in the configuration; if not, its holders are being told.
    pub(super) is_configured: bool,
    pub(super) rows: Rows,
    /// Since when it is registered.
    pub(super) registered_at: Option<Instant>,
    pub(super) last_register: Option<LastRegister>,
    /// When the last register of a site that withdrew everything is forgotten.
    pub(super) memory_ends_at: Option<Instant>,
    /// Sites that hold its records, sorted.
    pub(super) holders: Vec<SiteIndex>,
    /// Whose records it holds.
    pub(super) deliveries: Deliveries,
    /// Nonces of the last answers to subscriptions, to know their acknowledgements by.
    pub(super) answers: heapless::Vec<u64, MAX_ANSWERS>,
    /// Whether it is in the queue of sites to send to.
    pub(super) is_runnable: bool,
    /// The outer address of its control tunnel.
    pub(super) outer: Option<SocketAddr>,
    pub(super) has_session: bool,
    /// Its last handshake, until its control peer was reset.
    pub(super) session_at: Option<Instant>,
    pub(super) is_behind_nat: bool,
    /// When a difference between its RLOCs and its outer address counts.
    pub(super) nat_check_at: Option<Instant>,
    pub(super) registers: Bucket,
    pub(super) requests: Bucket,
    pub(super) infos: Bucket,
    pub(super) remarks: Bucket,
    /// That it is registered was told, and not yet that it is no more.
    pub(super) is_told: bool,
    pub(super) moves: Bucket,
    /// Who is yet to acknowledge that it moved.
    pub(super) publication: Option<Publication>,
}

impl Site {
    pub(super) fn new(config: SiteConfig, boot_counter: u32) -> Site {
        Site {
            config,
            is_configured: true,
            rows: Rows::default(),
            registered_at: None,
            last_register: None,
            memory_ends_at: None,
            holders: Vec::new(),
            deliveries: Deliveries::new(boot_counter),
            answers: heapless::Vec::new(),
            is_runnable: false,
            outer: None,
            has_session: false,
            session_at: None,
            is_behind_nat: false,
            nat_check_at: None,
            registers: Bucket::default(),
            requests: Bucket::default(),
            infos: Bucket::default(),
            remarks: Bucket::default(),
            is_told: false,
            moves: Bucket::default(),
            publication: None,
        }
    }

    /// A subscription is answered under this nonce.
    pub(super) fn note_answer(&mut self, nonce: u64) {
        if self.answers.contains(&nonce) {
            return;
        }
        if self.answers.is_full() {
            self.answers.remove(0);
        }
        self.answers.push(nonce).expect("a place was made");
    }

    pub(super) const fn is_registered(&self) -> bool {
        self.registered_at.is_some()
    }

    /// When its control peer is to forget its timestamp: it is not registered, had a session since
    /// the last reset, and that one is over.
    pub(super) fn reset_at(&self) -> Option<Instant> {
        let session_at = self.session_at.filter(|_| !self.is_registered() && self.is_configured)?;
        Some(session_at + SESSION_LIFETIME)
    }

    /// When it next has something to do. A site in the queue to be sent to is seen to anyway.
    pub(super) fn poll_at(&self) -> Option<Instant> {
        let retry_at = self.deliveries.retry_at().filter(|_| !self.is_runnable);
        [self.rows.ends_at(), self.memory_ends_at, self.nat_check_at, self.reset_at(), retry_at]
            .into_iter()
            .flatten()
            .min()
    }
}

/// All sites.
#[derive(Default, Debug)]
pub(super) struct Sites {
    places: Vec<Option<Site>>,
    free: Vec<SiteIndex>,
    by_key: KeyIndex,
}

impl Sites {
    pub(super) fn iter(&self) -> impl Iterator<Item = (SiteIndex, &Site)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(place, site)| Some((SiteIndex::at(place), site.as_ref()?)))
    }

    /// How many places there are, free ones included.
    pub(super) fn places(&self) -> impl Iterator<Item = SiteIndex> + use<> {
        (0..self.places.len()).map(SiteIndex::at)
    }

    pub(super) fn get(&self, index: SiteIndex) -> Option<&Site> {
        self.places.get(index.place())?.as_ref()
    }

    /// The site of a control key, remembered ones included.
    pub(super) fn find(&self, key: PeerKey) -> Option<SiteIndex> {
        let rank = self.rank(key).ok()?;
        self.by_key.place(rank).map(SiteIndex::at)
    }

    fn rank(&self, key: PeerKey) -> Result<usize, usize> {
        let key_at = |place: usize| &self[SiteIndex::at(place)].config.key;
        self.by_key.find(&key, key_at)
    }

    /// The configured site of a control key.
    pub(super) fn configured(&self, key: PeerKey) -> Option<SiteIndex> {
        self.find(key).filter(|index| self[*index].is_configured)
    }

    pub(super) fn add(&mut self, site: Site) -> SiteIndex {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            SiteIndex::at(self.places.len() - 1)
        });
        if let Err(rank) = self.rank(site.config.key) {
            self.by_key.insert(rank, &site.config.key, index.place());
        }
        self.places[index.place()] = Some(site);
        index
    }

    /// Frees a place; nothing may refer to it any more.
    pub(super) fn remove(&mut self, index: SiteIndex) {
        let Some(site) = self.get(index) else { return };
        if let Ok(rank) = self.rank(site.config.key) {
            self.by_key.remove(rank);
        }
        self.places[index.place()] = None;
        self.free.push(index);
    }
}

impl Index<SiteIndex> for Sites {
    type Output = Site;

    fn index(&self, index: SiteIndex) -> &Site {
        self.get(index).expect("an index is kept only as long as its site")
    }
}

impl IndexMut<SiteIndex> for Sites {
    fn index_mut(&mut self, index: SiteIndex) -> &mut Site {
        let site = self.places.get_mut(index.place()).and_then(Option::as_mut);
        site.expect("an index is kept only as long as its site")
    }
}
