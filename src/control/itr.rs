//! The Ingress Tunnel Router: what we learn of others, and how we ask.

mod learning;
mod lig;
mod locator_pool;
pub(crate) mod map_cache;
pub(crate) mod map_cache_entry;
mod map_request;
mod peers;
mod policy;
mod prober;
pub(crate) mod resolver;
mod silence;
mod way;

use alloc::vec::Vec;
use core::net::SocketAddr;

pub(crate) use map_cache_entry::Version;
pub(crate) use prober::is_plea;
pub(crate) use silence::Standing;
pub use silence::WayOut;

use crate::etr::database::Database;
use crate::etr::nat::KEEPALIVE;
use crate::random::Random;
use crate::record;
use crate::xtr::counters::{Counter, Counters};
use crate::{
    Change, Config, Eid, EidPrefix, Event, Forwarding, Instant, Mapping, PeerKey, XtrConfig,
    earliest,
};
use core::time::Duration;
use learning::set_sides;
use lig::Ligs;
use map_cache::{Adopted, MapCache};
use map_cache_entry::{Origin, Outcome};
use map_request::Question;
use policy::{is_within, negative_forwarding, ways};
use prober::Prober;
use resolver::{Asked, Resolver};
use wire::XtrIdentity;

/// A negative answer is believed for at least so long.
const MIN_NEGATIVE_TTL: Duration = Duration::from_secs(1);

/// EIDs of one SMR that are looked at, besides its source.
const MAX_SOLICITED: usize = 8;

/// Map-cache, resolver, prober and `lig`.
pub(crate) struct Itr {
    pub(crate) map_cache: MapCache,
    pub(crate) resolver: Resolver,
    prober: Prober,
    ligs: Ligs,
    random: Random,
    eid_space: Vec<EidPrefix>,
    on_miss: Forwarding,
    /// The miss just refused; one input is answered before the next.
    refused: Option<Eid>,
    /// The `lig` just refused.
    refused_lig: Option<Eid>,
    is_behind_nat: bool,
}

/// What the ITR needs of the rest of the xTR.
pub(crate) struct Context<'a> {
    pub(crate) database: &'a Database,
    /// The Map-Server that acknowledges our registration.
    pub(crate) map_server: Option<&'a PeerKey>,
    /// Who subscribes to what is asked for.
    pub(crate) identity: &'a XtrIdentity,
    pub(crate) counters: &'a mut Counters,
}

impl Itr {
    pub(crate) fn new(config: &Config, xtr: &XtrConfig) -> Itr {
        let limits = &config.limits;
        Itr {
            map_cache: MapCache::with_limits(limits.map_cache, limits.peers),
            resolver: Resolver::with_limit(limits.pending_requests),
            prober: Prober::with_limit(limits.peers),
            ligs: Ligs::new(),
            random: Random::new(&config.seed, b"itr"),
            eid_space: xtr.eid_space.clone(),
            on_miss: xtr.on_miss,
            refused: None,
            refused_lig: None,
            is_behind_nat: false,
        }
    }

    /// Forgets what the new configuration does not allow any more.
    pub(crate) fn handle_config(&mut self, xtr: &XtrConfig, database: &Database) {
        self.eid_space.clone_from(&xtr.eid_space);
        self.on_miss = xtr.on_miss;
        let eid_space = &self.eid_space;
        self.map_cache.retain(|eid_prefix, _| {
            is_within(eid_space, eid_prefix) && !database.is_claimed_by(eid_prefix)
        });
        let on_miss = self.on_miss;
        self.map_cache.set_negatives(|action| negative_forwarding(action, on_miss));
    }

    /// We are behind NAT, or not any more.
    pub(crate) fn set_behind_nat(&mut self, is_behind_nat: bool) {
        if is_behind_nat && !self.is_behind_nat {
            self.map_cache.tell_unreachable();
        }
        self.is_behind_nat = is_behind_nat;
        self.map_cache.peers.set_keepalive(is_behind_nat.then_some(KEEPALIVE));
    }

    /// Our RLOCs changed: the best locator of a peer may be another one.
    pub(crate) fn handle_uplinks(&mut self, database: &Database) {
        let is_behind_nat = self.is_behind_nat;
        self.map_cache.set_ways(|locators| {
            let mut ways = ways(locators, database);
            set_sides(&mut ways, is_behind_nat);
            ways
        });
    }

    /// An earlier run left this in the data plane. False when it does not even fit to be removed.
    pub(crate) fn handle_adopted(
        &mut self,
        (eid_prefix, forwarding): (EidPrefix, Forwarding),
        peers: &[(u8, PeerKey, Option<SocketAddr>)],
        database: &Database,
        now: Instant,
    ) -> bool {
        let is_wanted = is_within(&self.eid_space, &eid_prefix)
            && !database.is_claimed_by(&eid_prefix)
            && peers
                .iter()
                .all(|(lane, key, _)| *lane < database.lanes() && !database.is_own_key(*key));
        let adopted = Adopted { eid_prefix, forwarding, peers, is_wanted };
        let is_taken = self.map_cache.adopt(&adopted, now);
        let on_miss = self.on_miss;
        self.map_cache.set_negatives(|action| negative_forwarding(action, on_miss));
        is_taken
    }

    /// Packets from `source` to `destination` have no route.
    pub(crate) fn handle_miss(
        &mut self,
        source: Eid,
        destination: Eid,
        context: &mut Context<'_>,
        now: Instant,
    ) {
        let is_ours = context.database.contains(destination);
        let refused = if !context.database.contains(source) {
            Some(Counter::SourcesRefused)
        } else if is_ours || !is_within(&self.eid_space, &EidPrefix::host(destination)) {
            Some(Counter::DestinationsRefused)
        } else if self.map_cache.lookup(destination).is_some() {
            // The data plane told of it before it had the route.
            return;
        } else {
            match self.resolver.ask(destination, source, true, now) {
                Asked::Yes => return,
                Asked::Paused => None,
                Asked::Full => Some(Counter::RequestsRefused),
            }
        };
        self.refused = Some(destination);
        if let Some(counter) = refused {
            context.counters.count(counter);
        }
    }

    /// A person asks the mapping system.
    pub(crate) fn handle_lig(&mut self, eid: Eid, context: &mut Context<'_>, now: Instant) {
        let source = context.database.source_for(eid);
        let is_asked = source.is_some_and(|source| {
            self.ligs.ask(eid) && self.resolver.ask(eid, source, false, now) == Asked::Yes
        });
        if !is_asked {
            context.counters.count(Counter::RequestsRefused);
            self.ligs.handle_answer(eid, None);
            if !self.ligs.contains(eid) {
                self.refused_lig = Some(eid);
            }
        }
    }

    /// A Map-Reply, or a Map-Notify that answers a subscription, counts only from the Map-Server that
    /// was asked, with the nonce it was asked with; false when it answers nothing.
    pub(crate) fn handle_answer(
        &mut self,
        peer: PeerKey,
        nonce: wire::Nonce,
        records: &wire::Records<'_>,
        context: &mut Context<'_>,
        now: Instant,
    ) -> bool {
        let Some((asked, origin)) = self.resolver.outstanding(peer, nonce) else {
            context.counters.count(Counter::NoncesUnknown);
            return false;
        };
        context.counters.count(Counter::RepliesAccepted);
        let mut mapping = Mapping::blank();
        let (mut answer, mut answered) = (None, None);
        for record in records.iter() {
            if record::parse(&record, &mut mapping).is_none() {
                context.counters.count(Counter::RecordsUnusable);
                continue;
            }
            let reaches = mapping.eid_prefix.contains(asked);
            let learned = if context.database.contains(asked) {
                // A person asked what the mapping system says of us: nothing to be learned.
                Some(mapping.eid_prefix).filter(|_| reaches)
            } else if !record.locators.is_empty() {
                self.learn(&mapping, &origin, context, now).then_some(mapping.eid_prefix)
            } else if reaches {
                self.learn_negative(&mapping, asked, &origin, context, now)
            } else {
                None
            };
            if reaches {
                answered = answered.or(learned);
                if answer.is_none() {
                    answer = Some((mapping.eid_prefix, mapping.locators.is_empty()));
                    self.ligs.handle_answer(asked, Some(&mapping));
                }
            }
        }
        match answer {
            Some((eid_prefix, is_negative)) => {
                self.map_cache.end_unconfirmed(asked, &eid_prefix, is_negative, now);
            }
            None => self.ligs.handle_answer(asked, None),
        }
        // A withdrawal that overtook the answer leaves nothing that packets could use.
        let has_way = context.database.contains(asked) || self.map_cache.lookup(asked).is_some();
        match answered {
            Some(eid_prefix) if has_way => self.resolver.handle_answer(asked, eid_prefix, now),
            _ if has_way => self.resolver.handle_answer(asked, EidPrefix::host(asked), now),
            _ => self.resolver.handle_useless_answer(asked, now),
        }
        true
    }

    /// A push or publication that is new.
    pub(crate) fn handle_push(
        &mut self,
        records: &wire::Records<'_>,
        version: Version,
        context: &mut Context<'_>,
        now: Instant,
    ) {
        let mut mapping = Mapping::blank();
        for record in records.iter() {
            if record::parse(&record, &mut mapping).is_none() {
                context.counters.count(Counter::RecordsUnusable);
                continue;
            }
            let is_usable = mapping.record_ttl > Duration::ZERO
                && !ways(&mapping.locators, context.database).is_empty();
            if is_usable {
                if self.learn(&mapping, &Origin::Push(version), context, now) {
                    self.resolver.handle_push(&mapping.eid_prefix);
                    self.ligs.handle_push(&mapping);
                }
                continue;
            }
            if !record.locators.is_empty() {
                context.counters.count(Counter::RecordsUnusable);
            }
            if self.map_cache.withdraw(&mapping.eid_prefix, version) == Outcome::Stale {
                context.counters.count(Counter::RecordsStale);
            }
        }
    }

    /// A data peer says that its mappings changed. One that leads to it is asked for, by way of the
    /// mapping system (RFC 9301 section 6.1); the answer brings all of them.
    pub(crate) fn handle_smr(
        &mut self,
        peer: PeerKey,
        smr: &wire::MapRequest<'_>,
        context: &mut Context<'_>,
        now: Instant,
    ) {
        let is_admitted = self.map_cache.peers.admits_message(peer, now);
        let named = smr.eids.iter().take(MAX_SOLICITED).map(|named| named.eid);
        let mut named = core::iter::once(smr.source_eid).chain(named).filter_map(|named| {
            let (instance_id, address) = named.ip_eid()?;
            Some(Eid { instance_id, address })
        });
        let map_cache = &mut self.map_cache;
        let solicited = |eid| Some((eid, map_cache.solicited(eid, peer, now)?));
        let solicited = if is_admitted { named.find_map(solicited) } else { None };
        let is_asked = solicited.is_some_and(|(eid, eid_prefix)| {
            let source = context.database.source_for(eid);
            let is_asked = source
                .is_some_and(|source| self.resolver.ask_solicited(eid, source, now) == Asked::Yes);
            if is_asked {
                map_cache.note_solicited(&eid_prefix, now);
            }
            is_asked
        });
        let accepted = if is_asked { Counter::SolicitsAccepted } else { Counter::SolicitsRefused };
        context.counters.count(accepted);
    }

    /// Does what is due: expiry, refresh, requests.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>, now: Instant) {
        self.map_cache.handle_timeout(context.map_server.is_some(), now);
        while let Some(eid_prefix) = self.map_cache.poll_refresh(now) {
            let eid = self.map_cache.eid_of(&eid_prefix);
            if let Some(source) = context.database.source_for(eid)
                && self.resolver.ask(eid, source, false, now) == Asked::Full
            {
                self.map_cache.postpone_refreshes(&eid_prefix, now);
            }
        }
        if context.map_server.is_some() {
            self.ask_for_adopted(context, now);
        }
        let Itr { map_cache, resolver, ligs, random, .. } = self;
        resolver.handle_timeout(context.map_server, random, now, |eid| {
            context.counters.count(Counter::ResolutionsFailed);
            ligs.handle_answer(eid, None);
            map_cache.lookup(eid).is_some()
        });
    }

    /// Asks for what an earlier run left, as much at once as leaves misses half of the places.
    fn ask_for_adopted(&mut self, context: &Context<'_>, now: Instant) {
        while self.resolver.is_half_free()
            && let Some(eid_prefix) = self.map_cache.unasked()
        {
            let eid = self.map_cache.eid_of(&eid_prefix);
            let Some(source) = context.database.source_for(eid) else { return };
            if self.resolver.ask(eid, source, false, now) == Asked::Full {
                return;
            }
            self.map_cache.note_asked(&eid_prefix, now);
        }
    }

    pub(crate) fn poll_change(&mut self) -> Option<Change> {
        let change = self.map_cache.poll_change();
        change
            .or_else(|| self.resolver.poll_change())
            .or_else(|| self.refused.take().map(Change::FailWaiting))
    }

    /// Writes the next Map-Request that is due: to whom and how long it is.
    pub(crate) fn poll_transmit(
        &mut self,
        context: &mut Context<'_>,
        now: Instant,
        buf: &mut [u8],
    ) -> Option<(PeerKey, usize)> {
        while let Some((map_server, nonce, request)) = self.resolver.poll_request(now) {
            let question = Question {
                nonce,
                source: request.source,
                eid: request.eid,
                itr_rloc: context.database.locators().first(),
                subscriber: *context.identity,
                is_smr_invoked: request.is_smr_invoked,
            };
            if let Some(len) = question.emit(buf) {
                context.counters.count(Counter::RequestsSent);
                return Some((map_server, len));
            }
        }
        None
    }

    /// The answer to `lig` told of last.
    pub(crate) fn lig_answer(&self) -> Option<&Mapping> {
        self.ligs.told()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.map_cache
            .poll_event()
            .or_else(|| self.prober.poll_event())
            .or_else(|| self.resolver.poll_event())
            .or_else(|| self.ligs.poll_event())
            .or_else(|| self.refused_lig.take().map(|eid| self.ligs.refuse(eid)))
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        earliest(earliest(self.map_cache.poll_at(), self.resolver.poll_at()), self.prober.poll_at())
    }
}
