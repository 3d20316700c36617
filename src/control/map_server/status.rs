//! What a person wants to see of a Map-Server.

use core::net::SocketAddr;

use super::rows::{RowState, Rows};
use super::{Counters, MapServer};
use crate::{EidPrefix, Instant, Mapping, PeerKey};

/// A configured site.
#[derive(Clone, Copy, Debug)]
pub struct SiteStatus<'a> {
    /// Its name in the configuration.
    pub name: &'a str,
    /// Its control key.
    pub key: PeerKey,
    /// What it may claim.
    pub eid_prefixes: &'a [EidPrefix],
    /// Since when it is registered, if it is.
    pub registered_at: Option<Instant>,
    /// The outer address of its control tunnel, once it was heard.
    pub outer: Option<SocketAddr>,
    /// Whether its control session stands.
    pub has_session: bool,
    /// Whether none of its RLOCs is its outer address.
    pub is_behind_nat: bool,
    rows: &'a Rows,
}

/// A registered EID-prefix.
#[derive(Clone, Copy, Debug)]
pub struct RegistrationStatus<'a> {
    /// The EID-prefix with its RLOCs and data keys, as registered.
    pub mapping: &'a Mapping,
    /// When it was last refreshed.
    pub refreshed_at: Instant,
    /// When it ends unless refreshed.
    pub expires_at: Instant,
}

/// Who holds whose records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HolderStatus {
    /// The control key of the site whose records they are.
    pub owner: PeerKey,
    /// The control key of the site that has them.
    pub holder: PeerKey,
    /// How many EID-prefixes it has; 0 while it waits for the owner to register.
    pub eid_prefixes: usize,
    /// Of how many it has not acknowledged the latest state.
    pub pending: usize,
    /// Whether it did not answer 20 times; it is told when it is heard again.
    pub is_given_up: bool,
    /// When it last acknowledged, and which number.
    pub acknowledged: Option<(Instant, u64)>,
    /// When this is forgotten unless used.
    pub expires_at: Instant,
}

impl<'a> SiteStatus<'a> {
    /// Its registered EID-prefixes.
    pub fn registrations(&self) -> impl Iterator<Item = RegistrationStatus<'a>> + use<'a> {
        self.rows.iter().filter_map(|(_, row)| match row.state {
            RowState::Registered { refreshed_at, expires_at } => {
                Some(RegistrationStatus { mapping: &row.mapping, refreshed_at, expires_at })
            }
            RowState::Withdrawn { .. } => None,
        })
    }
}

impl MapServer {
    /// The configured sites.
    pub fn sites(&self) -> impl Iterator<Item = SiteStatus<'_>> {
        self.sites.iter().filter(|(_, site)| site.is_configured).map(|(_, site)| SiteStatus {
            name: &site.config.name,
            key: site.config.key,
            eid_prefixes: &site.config.eid_prefixes,
            registered_at: site.registered_at,
            outer: site.outer,
            has_session: site.has_session,
            is_behind_nat: site.is_behind_nat,
            rows: &site.rows,
        })
    }

    /// Who holds whose records.
    pub fn holders(&self) -> impl Iterator<Item = HolderStatus> {
        self.sites.iter().flat_map(|(_, holder)| {
            holder.deliveries.holdings().iter().map(|holding| HolderStatus {
                owner: self.sites[holding.owner].config.key,
                holder: holder.config.key,
                eid_prefixes: holding.held.count_ones() as usize,
                pending: holding.pending.count_ones() as usize,
                is_given_up: holding.is_given_up,
                acknowledged: holding.acknowledged,
                expires_at: holding.expires_at,
            })
        })
    }

    /// What happened since the start.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}
