//! The Map-Resolver: Map-Requests, bare or encapsulated, their Map-Replies and negative Map-Replies
//! (RFC 9301 sections 5.2, 5.4, 8.3 and 8.4). A request that subscribes is answered by a Map-Notify
//! instead, when there is something to subscribe to (RFC 9437).

use core::time::Duration;

use wire::{MessageType, Nonce, RecordsWriter};

use super::publisher::RECORDS_LEN as NOTIFY_LEN;
use super::rows::RowSet;
use super::site_index::SiteIndex;
use super::{MAX_MESSAGE_LEN, MapServer};
use crate::bucket::Rate;
use crate::record::{self, Sender};
use crate::{Action, Eid, EidPrefix, Instant, Locators, Mapping, PeerKey};

/// EIDs of one Map-Request that are answered (RFC 9301 section 5.2: senders ask for one).
pub(super) const MAX_EIDS: usize = 8;
/// Map-Requests of one site, each EID counted.
const REQUESTS: Rate = Rate { burst: 256, interval: Duration::from_millis(10) };
/// Octets that a Map-Reply has room for.
const REPLY_LEN: usize = MAX_MESSAGE_LEN - wire::map_reply::HEADER_LEN;
/// How long after its start the Map-Server does not yet know who is absent (RFC 9301 section 8.2:
/// sites register each minute).
const QUIET_AFTER_START: Duration = Duration::from_secs(60);
/// How long after its first register a site may be about to register more.
const QUIET_AFTER_REGISTRATION: Duration = Duration::from_secs(5);
/// RFC 9301 section 8.4: an EID that is nobody's.
const UNKNOWN_TTL: Duration = Duration::from_secs(15 * 60);
/// An EID that is a site's which is not registered.
const UNREGISTERED_TTL: Duration = Duration::from_secs(60);

/// A Map-Reply that is to be sent.
#[derive(Debug)]
pub(super) struct Reply {
    asker: SiteIndex,
    nonce: Nonce,
    wish: Wish,
    answer: Answer,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    /// An answer.
    Ask,
    /// And all changes from now on, which everybody who asks is told of; what differs is the form
    /// of the answer.
    Subscribe,
    /// To be told of no more changes.
    Unsubscribe,
}

impl Wish {
    /// RFC 9437: xTR-ID and N-bit subscribe, unless the only ITR-RLOC is none.
    fn of(request: &wire::MapRequest<'_>, asked: &wire::EidRecord<'_>) -> Wish {
        let mut itr_rlocs = request.itr_rlocs.iter();
        let is_nowhere = itr_rlocs.all(|rloc| rloc == wire::Address::None);
        match asked.is_subscription && request.xtr_identity.is_some() {
            false => Wish::Ask,
            true if is_nowhere && request.itr_rlocs.count() == 1 => Wish::Unsubscribe,
            true => Wish::Subscribe,
        }
    }
}

#[derive(Debug)]
enum Answer {
    Row { owner: SiteIndex, row: usize },
    Negative(Negative),
}

/// A mapping without locators.
#[derive(Clone, Copy, Debug)]
struct Negative {
    eid_prefix: EidPrefix,
    record_ttl: Duration,
    action: Action,
}

impl Reply {
    /// Whether it names a site.
    pub(super) fn is_about(&self, site: SiteIndex) -> bool {
        self.asker == site || matches!(self.answer, Answer::Row { owner, .. } if owner == site)
    }
}

/// What there is to an EID.
enum Found {
    Row {
        owner: SiteIndex,
        row: usize,
    },
    /// It is this site's, which has not registered it.
    Unregistered {
        owner: SiteIndex,
        configured: EidPrefix,
    },
    Unknown,
}

impl MapServer {
    pub(super) fn handle_encapsulated(&mut self, site: SiteIndex, datagram: &[u8], now: Instant) {
        let packet = wire::EncapsulatedControlPacket::new_checked(datagram);
        let Ok(message) = packet.and_then(|packet| wire::EncapsulatedControl::parse(&packet))
        else {
            self.counters.malformed += 1;
            return;
        };
        let inner = message.packet.message();
        match wire::message_type(inner) {
            Ok(MessageType::MapRequest) => self.handle_request(site, inner, now),
            _ => self.counters.malformed += 1,
        }
    }

    pub(super) fn handle_request(&mut self, site: SiteIndex, message: &[u8], now: Instant) {
        if !self.sites[site].requests.take(&REQUESTS, now) {
            self.counters.requests_over_rate += 1;
            return;
        }
        let packet = wire::MapRequestPacket::new_checked(message);
        let Ok(request) = packet.and_then(|packet| wire::MapRequest::parse(&packet)) else {
            self.counters.malformed += 1;
            return;
        };
        if request.is_probe || request.is_smr || request.is_dont_map_reply {
            self.counters.requests_unsupported += 1;
            return;
        }
        let Some(source_row) = self.source_row(site, &request.source_eid) else { return };
        for (place, asked) in request.eids.iter().enumerate() {
            if place > 0 && !self.sites[site].requests.take(&REQUESTS, now) {
                self.counters.requests_over_rate += 1;
                return;
            }
            match asked.eid.ip_eid() {
                Some((instance_id, address)) if place < MAX_EIDS => {
                    let eid = Eid { instance_id, address };
                    let wish = Wish::of(&request, &asked);
                    self.answer_eid(site, source_row, request.nonce, wish, eid, now);
                }
                _ => self.counters.requests_unsupported += 1,
            }
        }
    }

    /// The next Map-Reply.
    pub(super) fn poll_reply(&mut self, now: Instant, buf: &mut [u8]) -> Option<(PeerKey, usize)> {
        let Reply { asker, nonce, wish, answer } = self.replies.pop_front()?;
        let key = self.sites[asker].config.key;
        let mut buffer = [0; REPLY_LEN];
        let negative = match answer {
            Answer::Negative(negative) => negative,
            // What a site asks of its own it is not told of: it knows.
            Answer::Row { owner, row } if wish == Wish::Ask || owner == asker => {
                let mut writer = RecordsWriter::new(&mut buffer);
                let (sent, rest) = self.write_rows(owner, row, &mut writer);
                self.hold_answered(owner, asker, sent, rest, now);
                let reply = wire::MapReply::new(nonce, writer.finish());
                let len = reply.emit(buf).expect("the records were limited to the room for them");
                return Some((key, len));
            }
            Answer::Row { owner, row } => {
                let mut writer = RecordsWriter::new(&mut buffer[..NOTIFY_LEN]);
                let (sent, rest) = self.write_rows(owner, row, &mut writer);
                if wish == Wish::Subscribe {
                    self.hold_answered(owner, asker, sent, rest, now);
                    self.counters.subscriptions_answered += 1;
                }
                self.sites[asker].note_answer(nonce.0);
                return Some((key, self.write_notify(asker, nonce, writer.finish(), buf)));
            }
        };
        let Negative { eid_prefix, record_ttl, action } = negative;
        let mapping = Mapping { eid_prefix, record_ttl, action, locators: Locators::new() };
        let sender = Sender::MapServer { is_behind_nat: false };
        let mut writer = RecordsWriter::new(&mut buffer);
        record::write(&mut writer, &mapping, sender).expect("one record always fits");
        let reply = wire::MapReply::new(nonce, writer.finish());
        let len = reply.emit(buf).expect("the records were limited to the room for them");
        Some((key, len))
    }

    /// The asker holds what an answer has, and gets the rest by pushes.
    fn hold_answered(
        &mut self,
        owner: SiteIndex,
        asker: SiteIndex,
        sent: RowSet,
        rest: RowSet,
        now: Instant,
    ) {
        if owner == asker {
            return;
        }
        self.hold(owner, asker, sent, now);
        if rest != 0 {
            self.push(owner, asker, rest, now);
        }
    }

    /// The registered row that the source EID of a request lies in; it must be the asker's own.
    fn source_row(&mut self, asker: SiteIndex, source: &wire::Address<'_>) -> Option<usize> {
        let eid = source.ip_eid().map(|(instance_id, address)| Eid { instance_id, address });
        match eid.and_then(|eid| self.registered.lookup(eid)) {
            Some((_, &(owner, row))) if owner == asker => return Some(row),
            Some(_) => self.counters.requests_from_foreign_source += 1,
            None => self.counters.requests_from_unregistered += 1,
        }
        None
    }

    /// Both sides become holders of one another's records; the site asked for gets the asker's
    /// before the asker gets its own.
    fn answer_eid(
        &mut self,
        asker: SiteIndex,
        source_row: usize,
        nonce: Nonce,
        wish: Wish,
        eid: Eid,
        now: Instant,
    ) {
        let source_rows = self.sites[asker].rows.group_of(source_row);
        let answer = match self.find(eid) {
            Found::Row { owner, row } => {
                if wish == Wish::Unsubscribe {
                    self.unsubscribe(owner, asker);
                } else if owner != asker {
                    self.push(asker, owner, source_rows, now);
                    self.hold(owner, asker, 1 << row, now);
                }
                self.counters.requests_answered += 1;
                Answer::Row { owner, row }
            }
            Found::Unregistered { owner, configured } => {
                if wish == Wish::Unsubscribe {
                    self.unsubscribe(owner, asker);
                } else if owner != asker {
                    self.push(asker, owner, source_rows, now);
                    self.hold(owner, asker, 0, now);
                }
                if self.is_quiet(owner, now) {
                    self.counters.requests_unanswered += 1;
                    return;
                }
                self.counters.negative_replies += 1;
                let len = self.registered.hole_len(eid).max(configured.len());
                Answer::Negative(self.negative(eid, len, UNREGISTERED_TTL, Action::Drop))
            }
            Found::Unknown => {
                self.counters.negative_replies += 1;
                Answer::Negative(self.negative(eid, 0, UNKNOWN_TTL, Action::NativelyForward))
            }
        };
        self.replies.push_back(Reply { asker, nonce, wish, answer });
    }

    /// The asker is told of no more changes.
    fn unsubscribe(&mut self, owner: SiteIndex, asker: SiteIndex) {
        self.counters.subscriptions_withdrawn += 1;
        self.sites[asker].deliveries.forget(owner);
        self.remove_holder(owner, asker);
    }

    fn find(&self, eid: Eid) -> Found {
        let Some((configured, &(owner, _))) = self.configured.lookup(eid) else {
            return Found::Unknown;
        };
        match self.registered.lookup(eid) {
            Some((_, &(site, row))) if site == owner => Found::Row { owner, row },
            _ => Found::Unregistered { owner, configured },
        }
    }

    /// Whether a site may be about to register what it has not registered.
    fn is_quiet(&self, site: SiteIndex, now: Instant) -> bool {
        match self.sites[site].registered_at {
            Some(at) => now - at < QUIET_AFTER_REGISTRATION,
            None => now - self.started_at < QUIET_AFTER_START,
        }
    }

    /// The answer for the least specific prefix of at least `len` bits that holds
    /// the EID and covers nothing that is configured.
    fn negative(&self, eid: Eid, len: u8, record_ttl: Duration, action: Action) -> Negative {
        let len = self.configured.hole_len(eid).max(len);
        let hole = EidPrefix::new(eid.instance_id, eid.address, len);
        let eid_prefix = hole.expect("no prefix is longer than the address");
        Negative { eid_prefix, record_ttl, action }
    }

    /// Writes a row and then, as far as they fit, those that share its data key; which of them did
    /// and which did not.
    fn write_rows(
        &self,
        owner: SiteIndex,
        first: usize,
        writer: &mut RecordsWriter<'_>,
    ) -> (RowSet, RowSet) {
        let site = &self.sites[owner];
        let sender = Sender::MapServer { is_behind_nat: site.is_behind_nat };
        let group = site.rows.group_of(first);
        let others =
            (0..RowSet::BITS as usize).filter(|row| *row != first && group & 1 << row != 0);
        let mut sent = 0;
        for row in core::iter::once(first).chain(others) {
            let Some(written) = site.rows.get(row) else { continue };
            if record::write(writer, &written.mapping, sender).is_err() {
                break;
            }
            sent |= 1 << row;
        }
        (sent, group & !sent)
    }
}
