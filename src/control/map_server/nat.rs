//! Which sites are behind NAT: their RLOCs against the outer address of their control tunnel, and the
//! Info-Reply that tells them (draft-ermagan-lisp-nat-traversal).

use core::net::SocketAddr;
use core::time::Duration;

use wire::lcaf::Nat;
use wire::{Address, AddressBuffer, Addresses, AlgorithmId};

use super::rows::RowSet;
use super::site_index::SiteIndex;
use super::{MAX_MESSAGE_LEN, MapServer};
use crate::bucket::Rate;
use crate::{Event, Instant, LISP_PORT};

/// Info-Requests of one site, which asks by them whether its way here still carries.
const INFOS: Rate = Rate { burst: 16, interval: Duration::from_millis(100) };
/// A site that moves is seen at its new address before it has registered it, or after: a difference
/// counts when it lasts.
const SETTLING: Duration = Duration::from_millis(500);
/// Minutes that an Info-Reply holds.
const INFO_TTL_MINUTES: u32 = 24 * 60;

impl MapServer {
    /// The outer address of a site's control tunnel is this now.
    pub(super) fn handle_outer(&mut self, site: SiteIndex, outer: SocketAddr, now: Instant) {
        self.sites[site].outer = Some(SocketAddr::new(outer.ip().to_canonical(), outer.port()));
        let changed = self.check_nat(site, false, now);
        self.publish(site, changed);
        self.reschedule(site);
    }

    /// Compares what a site registered with where it is seen; which rows read differently for it.
    pub(super) fn check_nat(&mut self, site: SiteIndex, is_final: bool, now: Instant) -> RowSet {
        let row = &mut self.sites[site];
        let registered = row.rows.registered();
        let is_behind_nat = row.outer.is_some_and(|outer| {
            let mut rlocs = row.rows.iter().flat_map(|(_, row)| row.mapping.locators.iter());
            registered != 0 && rlocs.all(|locator| locator.rloc.to_canonical() != outer.ip())
        });
        if is_behind_nat && !row.is_behind_nat && !is_final {
            row.nat_check_at.get_or_insert(now + SETTLING);
            return 0;
        }
        row.nat_check_at = None;
        if is_behind_nat == row.is_behind_nat {
            return 0;
        }
        row.is_behind_nat = is_behind_nat;
        if let Some(outer) = row.outer.filter(|_| is_behind_nat) {
            let event = Event::BehindNat { site: row.config.key, outer };
            self.remark(site, event, now);
        }
        registered
    }

    /// A difference that lasted counts.
    pub(super) fn settle_nat(&mut self, site: SiteIndex, now: Instant) {
        if self.sites[site].nat_check_at.is_some_and(|at| at <= now) {
            let changed = self.check_nat(site, true, now);
            self.publish(site, changed);
        }
    }

    /// Answers an Info-Request, authenticated as the request was.
    pub(super) fn handle_info(&mut self, site: SiteIndex, datagram: &[u8], now: Instant) {
        let packet = wire::InfoPacket::new_checked(datagram);
        let Ok(info) = packet.and_then(|packet| wire::Info::parse(&packet)) else {
            self.counters.malformed += 1;
            return;
        };
        let row = &mut self.sites[site];
        let key = row.config.authentication.as_bytes();
        let is_signed = info.algorithm != AlgorithmId::None;
        if is_signed && wire::auth::verify(datagram, key).is_err() {
            self.counters.authentication_failures += 1;
            return;
        }
        let outer = row.outer.filter(|_| !info.is_reply && row.infos.take(&INFOS, now));
        let Some(outer) = outer else {
            self.counters.info_requests_refused += 1;
            return;
        };
        self.counters.info_requests_answered += 1;
        let nat = nat_address(outer);
        let reply = wire::Info {
            is_reply: true,
            ttl_minutes: INFO_TTL_MINUTES,
            nat: nat.address(),
            ..info
        };
        self.answer.resize(MAX_MESSAGE_LEN, 0);
        let Ok(len) = reply.emit(&mut self.answer) else {
            self.counters.malformed += 1;
            return;
        };
        self.answer.truncate(len);
        if is_signed {
            wire::auth::sign(&mut self.answer, key, wire::SentAuthentication::default())
                .expect("the request had the same algorithm and length");
        }
        self.answer_to = Some(row.config.key);
    }
}

fn nat_address(outer: SocketAddr) -> AddressBuffer {
    let nat = Nat {
        ms_port: LISP_PORT,
        etr_port: outer.port(),
        global_etr: Address::from(outer.ip()),
        ms: Address::None,
        private_etr: Address::None,
        rtrs: Addresses::EMPTY,
    };
    AddressBuffer::nat(&nat).expect("three short addresses fit an address buffer")
}
