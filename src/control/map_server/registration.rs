//! Map-Registers: authentication, replay protection, claims, expiry (RFC 9301 sections 5.6 and 8.2).

use core::time::Duration;

use wire::{Record, RecordsWriter};

use super::rows::{Groups, RowSet};
use super::site_index::SiteIndex;
use super::{MAX_MESSAGE_LEN, MapServer};
use crate::bucket::Rate;
use crate::record;
use crate::{Action, Change, EidPrefix, Event, Instant, Mapping};

/// Map-Registers of one site.
const REGISTERS: Rate = Rate { burst: 64, interval: Duration::from_micros(62_500) };
/// A restarted site registers within this time what it still has.
const RESTART_GRACE: Duration = Duration::from_secs(10);

/// The last Map-Register accepted: a later one must be newer, and only the same one is acknowledged
/// again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LastRegister {
    nonce: u64,
    authentication_data: [u8; 32],
}

impl LastRegister {
    fn of(register: &wire::MapRegister<'_>) -> LastRegister {
        let mut authentication_data = [0; 32];
        let given = register.authentication_data;
        let len = given.len().min(authentication_data.len());
        authentication_data[..len].copy_from_slice(&given[..len]);
        LastRegister { nonce: register.nonce.0, authentication_data }
    }

    const fn boot(&self) -> u32 {
        (self.nonce >> 32) as u32
    }
}

impl MapServer {
    pub(super) fn handle_register(&mut self, site: SiteIndex, datagram: &[u8], now: Instant) {
        let Some(register) = self.check_register(site, datagram, now) else { return };
        let this = LastRegister::of(&register);
        match self.sites[site].last_register {
            Some(last) if last == this => {
                self.counters.registers_duplicate += 1;
                self.acknowledge_again(site, &register);
            }
            Some(last) if this.nonce <= last.nonce => {
                self.counters.registers_replayed += 1;
                let key = self.sites[site].config.key;
                self.remark(site, Event::RegisterReplayed { site: key }, now);
            }
            _ => self.register(site, &register, now),
        }
    }

    /// Ends what was not refreshed in time.
    pub(super) fn end_registrations(&mut self, site: SiteIndex, now: Instant) {
        let mut ended: RowSet = 0;
        while let Some(row) = self.sites[site].rows.ended(now) {
            if self.sites[site].rows.registered() & 1 << row == 0 {
                self.forget_row(site, row);
                continue;
            }
            self.counters.registrations_expired += 1;
            ended |= self.withdraw(site, row, now);
        }
        if self.sites[site].memory_ends_at.is_some_and(|at| at <= now) {
            self.sites[site].memory_ends_at = None;
            self.sites[site].last_register = None;
        }
        if ended != 0 && self.sites[site].rows.registered() == 0 {
            self.expire(site);
        }
        self.publish(site, ended);
    }

    /// Forgets the timestamp of a site that had a session and is not registered: it may be back with
    /// an earlier clock.
    pub(super) fn reset_control_peer(&mut self, site: SiteIndex, now: Instant) {
        if self.sites[site].reset_at().is_some_and(|at| at <= now) {
            self.sites[site].session_at = None;
            self.changes.push_back(Change::ResetControlPeer(self.sites[site].config.key));
        }
    }

    /// Whether configuration gives an EID-prefix to a site: the longest configured prefix that
    /// covers it is the site's, and is the prefix itself or may be divided.
    pub(super) fn is_claimable(&self, site: SiteIndex, eid_prefix: &EidPrefix) -> bool {
        let (owner, config) = (self.configured.covering(eid_prefix), &self.sites[site].config);
        owner.is_some_and(|(configured, (owner, _))| {
            *owner == site && (configured == *eid_prefix || config.accepts_more_specifics)
        })
    }

    /// Clears a row of which nobody is to be told any more.
    pub(super) fn forget_row(&mut self, site: SiteIndex, row: usize) {
        self.sites[site].rows.forget(row);
        self.forget_held(site, row);
    }

    /// The site withdrew everything. A replay is refused until its last registration would have ended.
    pub(super) fn end_site(&mut self, site: SiteIndex, now: Instant) {
        let memory_ends_at = now + self.registration_timeout;
        let row = &mut self.sites[site];
        row.registered_at = None;
        row.memory_ends_at = Some(memory_ends_at);
        row.is_behind_nat = false;
        row.nat_check_at = None;
        row.deliveries.suspend();
        self.tell_end(site);
    }

    /// As often as it was told that the site is registered.
    fn tell_end(&mut self, site: SiteIndex) {
        let row = &mut self.sites[site];
        if core::mem::take(&mut row.is_told) {
            let event = Event::SiteExpired { site: row.config.key };
            self.events.push_back(event);
        }
    }

    /// A register that may be acted on: within the rate, authentic, understood.
    fn check_register<'a>(
        &mut self,
        site: SiteIndex,
        datagram: &'a [u8],
        now: Instant,
    ) -> Option<wire::MapRegister<'a>> {
        let row = &mut self.sites[site];
        let counter = if !row.registers.take(&REGISTERS, now) {
            &mut self.counters.registers_over_rate
        } else if wire::auth::verify(datagram, row.config.authentication.as_bytes()).is_err() {
            &mut self.counters.authentication_failures
        } else {
            let packet = wire::MapRegisterPacket::new_checked(datagram);
            match packet.and_then(|packet| wire::MapRegister::parse(&packet)) {
                Ok(register) if register.is_proxy_reply => return Some(register),
                Ok(_) => &mut self.counters.registers_without_proxy_reply,
                Err(_) => &mut self.counters.malformed,
            }
        };
        *counter += 1;
        None
    }

    fn register(&mut self, site: SiteIndex, register: &wire::MapRegister<'_>, now: Instant) {
        let this = LastRegister::of(register);
        let was_registered = self.sites[site].is_registered();
        let last = self.sites[site].last_register.replace(this);
        let is_rebooted = last.is_none_or(|last| last.boot() != this.boot());
        let keys = self.sites[site].rows.groups();
        let was_at = self.sites[site].rows.best_rloc();
        self.sites[site].memory_ends_at = None;
        self.counters.registers_accepted += 1;

        let mut buffer = [0; MAX_MESSAGE_LEN];
        let mut accepted = RecordsWriter::new(&mut buffer);
        let mut changed: RowSet = 0;
        for record in register.records.iter() {
            let terms = Terms { boot: this.boot(), is_ttl_timeout: register.is_ttl_timeout };
            if let Some(rows) = self.apply_record(site, &record, terms, now) {
                changed |= rows;
                accept(&mut accepted, &record);
            }
        }
        if is_rebooted {
            self.sites[site].rows.end_earlier_boots(this.boot(), now + RESTART_GRACE);
        }
        let count = self.sites[site].rows.registered().count_ones() as usize;
        if count == 0 && was_registered {
            self.end_site(site, now);
        } else if count > 0 {
            self.sites[site].registered_at.get_or_insert(now);
            let is_restarted = is_rebooted || self.has_new_key(site, &keys);
            self.resume_deliveries(site, is_restarted, now);
            changed |= self.check_nat(site, !was_registered, now);
        }
        self.publish(site, changed);
        self.note_move(site, was_at, changed, now);
        // What was one remark too many is told with a later refresh.
        if count > 0 && (changed != 0 || !self.sites[site].is_told) {
            let key = self.sites[site].config.key;
            let event = Event::SiteRegistered { site: key, eid_prefixes: count };
            self.sites[site].is_told |= self.remark(site, event, now);
        }
        if register.is_want_map_notify {
            self.answer_register(site, register, accepted);
        }
        self.reschedule(site);
    }

    /// Whether the site has a data key that it did not have before.
    fn has_new_key(&self, site: SiteIndex, before: &Groups) -> bool {
        let now = self.sites[site].rows.groups();
        now.iter().any(|(key, _)| before.iter().all(|(other, _)| other != key))
    }

    /// Before the site's own records go out it gets those that it holds, all of them when it
    /// restarted, and those of its holders, who will send to it.
    fn resume_deliveries(&mut self, site: SiteIndex, is_restarted: bool, now: Instant) {
        if !is_restarted {
            self.sites[site].deliveries.resume();
            self.enqueue(site);
            return;
        }
        self.sites[site].deliveries.restart();
        self.enqueue(site);
        for place in 0..self.sites[site].holders.len() {
            let holder = self.sites[site].holders[place];
            let rows = self.sites[holder].rows.registered();
            if rows != 0 && self.sites[site].deliveries.holding(holder).is_none() {
                self.push(holder, site, rows, now);
            }
        }
    }

    /// Takes one record in, and tells which row it changed; `None` when it is refused, which leaves
    /// the message's other records as they are.
    fn apply_record(
        &mut self,
        site: SiteIndex,
        record: &Record<'_>,
        terms: Terms,
        now: Instant,
    ) -> Option<RowSet> {
        let mut mapping = Mapping::blank();
        let Some(unusable_locators) = record::parse(record, &mut mapping) else {
            self.counters.records_unusable += 1;
            return None;
        };
        self.counters.locators_unusable += unusable_locators as u64;
        let eid_prefix = mapping.eid_prefix;
        if !self.is_claimable(site, &eid_prefix) {
            self.counters.claims_refused += 1;
            let key = self.sites[site].config.key;
            self.remark(site, Event::ClaimRefused { site: key, eid_prefix }, now);
            return None;
        }
        if is_withdrawal(record) {
            let found = self.registered.get(&eid_prefix).filter(|(owner, _)| *owner == site);
            let Some(&(_, row)) = found else { return Some(0) };
            self.counters.withdrawals += 1;
            return Some(self.withdraw(site, row, now));
        }
        if mapping.locators.is_empty() {
            self.counters.records_unusable += 1;
            return None;
        }
        let timeout =
            if terms.is_ttl_timeout { mapping.record_ttl } else { self.registration_timeout };
        mapping.action = Action::NoAction;
        let rows = &mut self.sites[site].rows;
        let Some(registered) = rows.register(mapping, terms.boot, now, now + timeout) else {
            self.counters.registrations_over_limit += 1;
            return None;
        };
        if registered.is_reused {
            self.forget_held(site, registered.row);
        }
        self.registered.insert(eid_prefix, (site, registered.row));
        Some(if registered.is_changed { 1 << registered.row } else { 0 })
    }

    /// The registration expired.
    fn expire(&mut self, site: SiteIndex) {
        let row = &mut self.sites[site];
        row.registered_at = None;
        row.last_register = None;
        row.session_at = None;
        row.is_behind_nat = false;
        row.nat_check_at = None;
        row.deliveries.suspend();
        let key = row.config.key;
        self.changes.push_back(Change::ResetControlPeer(key));
        self.tell_end(site);
    }

    /// The Map-Notify was lost, and the register came again: the answer is the same.
    fn acknowledge_again(&mut self, site: SiteIndex, register: &wire::MapRegister<'_>) {
        if !register.is_want_map_notify {
            return;
        }
        let mut buffer = [0; MAX_MESSAGE_LEN];
        let mut accepted = RecordsWriter::new(&mut buffer);
        let mut mapping = Mapping::blank();
        for record in register.records.iter() {
            if record::parse(&record, &mut mapping).is_none() {
                continue;
            }
            let is_registered = self.registered.get(&mapping.eid_prefix).is_some();
            let is_kept = is_withdrawal(&record) || is_registered && !mapping.locators.is_empty();
            if is_kept && self.is_claimable(site, &mapping.eid_prefix) {
                accept(&mut accepted, &record);
            }
        }
        self.answer_register(site, register, accepted);
    }

    /// The Map-Notify: the register's fields and those of its records that were accepted.
    fn answer_register(
        &mut self,
        site: SiteIndex,
        register: &wire::MapRegister<'_>,
        accepted: RecordsWriter<'_>,
    ) {
        let config = &self.sites[site].config;
        let notify = wire::MapNotify {
            is_ack: false,
            is_through_rtr: false,
            nonce: register.nonce,
            key_id: register.key_id,
            algorithm: register.algorithm,
            authentication_data: register.authentication_data,
            records: accepted.finish(),
            xtr_identity: register.xtr_identity,
        };
        self.answer.resize(MAX_MESSAGE_LEN, 0);
        let len = notify.emit(&mut self.answer).expect("it is no longer than the register was");
        self.answer.truncate(len);
        let key = config.authentication.as_bytes();
        wire::auth::sign(&mut self.answer, key, wire::SentAuthentication::default())
            .expect("the register had the same algorithm and length");
        self.answer_to = Some(config.key);
    }
}

/// What a whole register says of each of its records.
#[derive(Clone, Copy)]
struct Terms {
    boot: u32,
    /// T-bit: the registration lasts as long as the record TTL.
    is_ttl_timeout: bool,
}

fn is_withdrawal(record: &Record<'_>) -> bool {
    record.ttl_minutes == 0 || record.locators.is_empty()
}

fn accept(accepted: &mut RecordsWriter<'_>, record: &Record<'_>) {
    accepted.push_record(record).expect("the records of one message fit another one");
}
