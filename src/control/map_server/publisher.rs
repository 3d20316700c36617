//! Pushes and publications: who holds a site's records is told of every change until it acknowledges
//! (RFC 9301 section 5.7, unsolicited Map-Notify).

use core::time::Duration;

use wire::{AlgorithmId, KeyId, Nonce, RecordsWriter, SentAuthentication};

use super::deliveries::Next;
use super::rows::{HOLDING_MARGIN, Row, RowSet};
use super::site_index::SiteIndex;
use super::{MAX_MESSAGE_LEN, MapServer};
use crate::record::{self, Sender};
use crate::{Instant, PeerKey};

/// Octets that a push has room for: what remains beside its header and a MAC of 32 octets.
pub(super) const RECORDS_LEN: usize = MAX_MESSAGE_LEN - wire::map_notify::HEADER_LEN - 32;
/// Expired holdings are looked for at most this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What was put into a message.
struct Written {
    len: usize,
    sent: RowSet,
    /// Rows that the holder need not hear of.
    settled: RowSet,
}

impl MapServer {
    /// Tells the holders of a site that these rows changed, and of new ones that share a data key
    /// with what they hold. A holder that waits for the site gets all of it.
    pub(super) fn publish(&mut self, owner: SiteIndex, changed: RowSet) {
        if changed == 0 {
            return;
        }
        let groups = self.sites[owner].rows.groups();
        for place in 0..self.sites[owner].holders.len() {
            let holder = self.sites[owner].holders[place];
            let deliveries = &mut self.sites[holder].deliveries;
            let held = deliveries.holding(owner).map_or(0, |holding| holding.held);
            let sharing = groups.iter().filter(|(_, rows)| rows & held != 0);
            let sharing = sharing.fold(held, |set, (_, rows)| set | rows);
            let rows = if held == 0 { changed } else { changed & sharing };
            if rows != 0 {
                deliveries.changed(owner, rows);
                self.enqueue(holder);
            }
        }
    }

    /// Makes a site a holder of another's rows, which it gets now unless it did just now.
    pub(super) fn push(&mut self, owner: SiteIndex, to: SiteIndex, rows: RowSet, now: Instant) {
        let expires_at = self.holding_expires_at(owner, now);
        let evicted = self.sites[to].deliveries.want(owner, rows, expires_at, now);
        self.note_holder(owner, to, evicted, expires_at, now);
        self.enqueue(to);
    }

    /// Makes a site a holder of another's rows, which it gets in another way.
    pub(super) fn hold(&mut self, owner: SiteIndex, to: SiteIndex, rows: RowSet, now: Instant) {
        let expires_at = self.holding_expires_at(owner, now);
        let evicted = self.sites[to].deliveries.hold(owner, rows, expires_at);
        self.note_holder(owner, to, evicted, expires_at, now);
    }

    /// Has a site looked at for messages to it; one that is not registered gets none.
    pub(super) fn enqueue(&mut self, site: SiteIndex) {
        let row = &mut self.sites[site];
        if row.is_registered() && !row.is_runnable {
            row.is_runnable = true;
            self.runnable.push_back(site);
        }
    }

    /// The next push or publication.
    pub(super) fn poll_push(&mut self, now: Instant, buf: &mut [u8]) -> Option<(PeerKey, usize)> {
        while let Some(&holder) = self.runnable.front() {
            if let Some(len) = self.push_to(holder, now, buf) {
                return Some((self.sites[holder].config.key, len));
            }
            self.runnable.pop_front();
            self.sites[holder].is_runnable = false;
            self.reschedule(holder);
        }
        None
    }

    pub(super) fn handle_acknowledgement(
        &mut self,
        site: SiteIndex,
        datagram: &[u8],
        now: Instant,
    ) {
        let row = &mut self.sites[site];
        if wire::auth::verify(datagram, row.config.authentication.as_bytes()).is_err() {
            self.counters.authentication_failures += 1;
            return;
        }
        let Ok(packet) = wire::MapNotifyPacket::new_checked(datagram) else {
            self.counters.malformed += 1;
            return;
        };
        let nonce = packet.nonce().0;
        if let Some(place) = row.answers.iter().position(|answer| *answer == nonce) {
            row.answers.remove(place);
            self.counters.answers_acknowledged += 1;
            return;
        }
        let Some(owner) = row.deliveries.acknowledge(nonce, now) else {
            self.counters.acknowledgements_unmatched += 1;
            return;
        };
        self.counters.pushes_acknowledged += 1;
        let expires_at = self.holding_expires_at(owner, now);
        self.sites[site].deliveries.extend(owner, expires_at);
        self.advance_publication(owner, site);
        self.enqueue(site);
        self.reschedule(site);
    }

    /// A row that will mean something else from now on.
    pub(super) fn forget_held(&mut self, owner: SiteIndex, row: usize) {
        for place in 0..self.sites[owner].holders.len() {
            let holder = self.sites[owner].holders[place];
            self.sites[holder].deliveries.forget_rows(owner, 1 << row);
        }
        if let Some(publication) = self.sites[owner].publication {
            self.advance_publication(owner, publication.next());
        }
    }

    /// Forgets holdings that were not used for longer than anybody keeps them.
    pub(super) fn sweep_holdings(&mut self, now: Instant) {
        let mut next_at = None;
        for holder in self.sites.places() {
            let Some(site) = self.sites.get(holder) else { continue };
            let expires_at = site.deliveries.holdings().iter().map(|holding| holding.expires_at);
            next_at = expires_at.filter(|at| *at > now).chain(next_at).min();
            while let Some(owner) = self.sites[holder].deliveries.expired(now) {
                self.sites[holder].deliveries.forget(owner);
                self.remove_holder(owner, holder);
            }
        }
        self.sweep_at = next_at.map(|at| at.max(now + SWEEP_INTERVAL));
    }

    pub(super) fn remove_holder(&mut self, owner: SiteIndex, holder: SiteIndex) {
        let holders = &mut self.sites[owner].holders;
        if let Ok(place) = holders.binary_search(&holder) {
            holders.remove(place);
        }
        self.advance_publication(owner, holder);
    }

    /// A holder may still have what it got when its record TTL has passed, and uses it a little longer.
    fn holding_expires_at(&self, owner: SiteIndex, now: Instant) -> Instant {
        now + self.sites[owner].rows.record_ttl() + HOLDING_MARGIN
    }

    fn note_holder(
        &mut self,
        owner: SiteIndex,
        holder: SiteIndex,
        evicted: Option<SiteIndex>,
        expires_at: Instant,
        now: Instant,
    ) {
        evicted.into_iter().for_each(|evicted| self.remove_holder(evicted, holder));
        let holders = &mut self.sites[owner].holders;
        if let Err(place) = holders.binary_search(&holder) {
            holders.insert(place, holder);
        }
        let sweep_at = expires_at.max(now + SWEEP_INTERVAL);
        self.sweep_at = Some(self.sweep_at.map_or(sweep_at, |at| at.min(sweep_at)));
    }

    /// Writes the next message to a site.
    fn push_to(&mut self, holder: SiteIndex, now: Instant, buf: &mut [u8]) -> Option<usize> {
        loop {
            let (owner, rows, again) = match self.sites[holder].deliveries.next(now) {
                Next::Message { owner, rows, again } => (owner, rows, again),
                Next::GaveUp => {
                    self.counters.pushes_given_up += 1;
                    continue;
                }
                Next::Nothing => return None,
            };
            let Written { len, sent, settled } = self.write_push(holder, owner, rows, buf);
            self.sites[holder].deliveries.sent(owner, again, sent, settled, now);
            if settled != 0 {
                self.advance_publication(owner, holder);
            }
            if sent == 0 {
                continue;
            }
            match again {
                None => self.counters.pushes_sent += 1,
                Some(_) => self.counters.pushes_retransmitted += 1,
            }
            return Some(len);
        }
    }

    /// Writes as many rows as one message holds, as they are now.
    fn write_push(
        &self,
        holder: SiteIndex,
        owner: SiteIndex,
        rows: RowSet,
        buf: &mut [u8],
    ) -> Written {
        let mut buffer = [0; RECORDS_LEN];
        let mut writer = RecordsWriter::new(&mut buffer);
        let (mut sent, mut settled) = (0, 0);
        let sender = Sender::MapServer { is_behind_nat: self.sites[owner].is_behind_nat };
        for place in (0..RowSet::BITS).filter(|place| rows & 1 << place != 0) {
            let written = match self.sites[owner].rows.get(place as usize) {
                Some(row) if row.is_registered() => {
                    record::write(&mut writer, &row.mapping, sender)
                }
                Some(row) if !self.is_taken_over(row, owner, holder) => {
                    record::write_withdrawal(&mut writer, row.mapping.eid_prefix, sender)
                }
                _ => {
                    settled |= 1 << place;
                    continue;
                }
            };
            if written.is_err() {
                break;
            }
            sent |= 1 << place;
        }
        let nonce = Nonce(self.sites[holder].deliveries.next_number());
        let len = self.write_notify(holder, nonce, writer.finish(), buf);
        Written { len, sent, settled }
    }

    /// Writes a Map-Notify that carries at most [`RECORDS_LEN`] octets of records.
    pub(super) fn write_notify(
        &self,
        to: SiteIndex,
        nonce: Nonce,
        records: wire::Records<'_>,
        buf: &mut [u8],
    ) -> usize {
        let notify = wire::MapNotify {
            is_ack: false,
            is_through_rtr: false,
            nonce,
            key_id: KeyId(0),
            algorithm: AlgorithmId::HmacSha256_128,
            authentication_data: SentAuthentication::default().blank(AlgorithmId::HmacSha256_128),
            records,
            xtr_identity: None,
        };
        let len = notify.emit(buf).expect("the records were limited to the room for them");
        let key = self.sites[to].config.authentication.as_bytes();
        wire::auth::sign(&mut buf[..len], key, SentAuthentication::default())
            .expect("room was left for the whole MAC");
        len
    }

    /// Whether a withdrawn EID-prefix is another site's now, of which the holder hears as well: the
    /// withdrawal, sent again, would take that away.
    fn is_taken_over(&self, row: &Row, owner: SiteIndex, holder: SiteIndex) -> bool {
        self.registered.get(&row.mapping.eid_prefix).is_some_and(|(other, _)| {
            *other != owner && self.sites[holder].deliveries.holding(*other).is_some()
        })
    }
}
