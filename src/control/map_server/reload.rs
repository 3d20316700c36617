//! A new configuration: touches only what it changes.

use alloc::vec::Vec;

use super::site::Site;
use super::site_index::SiteIndex;
use super::{MapServer, PrefixMap};
use crate::{Instant, MapServerConfig, PeerKey, SiteConfig};

impl MapServer {
    /// Takes a configuration over: what a site may not claim any more is withdrawn, a site that is
    /// gone is refused at once and remembered until its holders know. Of two sites with one key, and
    /// of two that are given the same EID-prefix, the first counts.
    pub fn handle_config(&mut self, config: &MapServerConfig, now: Instant) {
        self.registration_timeout = config.registration_timeout;
        let mut wanted: Vec<PeerKey> = config.sites.iter().map(|site| site.key).collect();
        wanted.sort_unstable();
        for site in self.sites.places() {
            let configured = self.sites.get(site).filter(|row| row.is_configured);
            if configured.is_some_and(|row| wanted.binary_search(&row.config.key).is_err()) {
                self.dismiss(site);
            }
        }
        self.configured = PrefixMap::new();
        for site_config in &config.sites {
            let site = self.configure(site_config);
            for (place, eid_prefix) in site_config.eid_prefixes.iter().enumerate() {
                if self.configured.get(eid_prefix).is_none() {
                    self.configured.insert(*eid_prefix, (site, place));
                }
            }
        }
        for site in self.sites.places() {
            if self.sites.get(site).is_some() {
                self.withdraw_lost_claims(site, now);
            }
        }
    }

    /// Whether nothing is left of a site that is not configured any more.
    pub(super) fn is_forgotten(&self, site: SiteIndex) -> bool {
        !self.sites[site].is_configured && self.sites[site].rows.is_empty()
    }

    /// Frees the place of a site.
    pub(super) fn remove_site(&mut self, site: SiteIndex) {
        for place in 0..self.sites[site].holders.len() {
            let holder = self.sites[site].holders[place];
            self.sites[holder].deliveries.forget(site);
        }
        self.runnable.retain(|other| *other != site);
        self.replies.retain(|reply| !reply.is_about(site));
        self.deadlines.set(site, None);
        self.sites.remove(site);
    }

    fn configure(&mut self, config: &SiteConfig) -> SiteIndex {
        match self.sites.find(config.key) {
            None => self.sites.add(Site::new(config.clone(), self.boot_counter)),
            Some(site) => {
                let row = &mut self.sites[site];
                row.is_configured = true;
                if row.config != *config {
                    row.config = config.clone();
                }
                site
            }
        }
    }

    /// A site that is not configured any more holds nothing.
    fn dismiss(&mut self, site: SiteIndex) {
        self.sites[site].is_configured = false;
        while let Some(owner) = self.sites[site].deliveries.holdings().first().map(|row| row.owner)
        {
            self.sites[site].deliveries.forget(owner);
            self.remove_holder(owner, site);
        }
    }

    fn withdraw_lost_claims(&mut self, site: SiteIndex, now: Instant) {
        let mut lost = 0;
        let is_configured = self.sites[site].is_configured;
        for row in 0..u64::BITS as usize {
            let registered = self.sites[site].rows.get(row).filter(|row| row.is_registered());
            let Some(eid_prefix) = registered.map(|row| row.mapping.eid_prefix) else { continue };
            if !is_configured || !self.is_claimable(site, &eid_prefix) {
                lost |= self.withdraw(site, row, now);
            }
        }
        if lost != 0 && self.sites[site].rows.registered() == 0 {
            self.end_site(site, now);
        }
        self.publish(site, lost);
        if self.is_forgotten(site) {
            self.remove_site(site);
        } else {
            self.reschedule(site);
        }
    }
}
