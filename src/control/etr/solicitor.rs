//! Solicits Map-Requests from those who send to us, when our RLOCs changed and our Map-Server tells
//! nobody (RFC 9301 section 6.1).
//!
//! Bounded: as many rows as there may be data peers; a further one is left to its record TTL.

use alloc::vec::Vec;
use core::time::Duration;

use super::database::Database;
use crate::random::Random;
use crate::record;
use crate::retransmission::Retransmission;
use crate::{Instant, PeerKey};
use wire::{Addresses, EidRecord, EidRecords, Nonce};

/// Transmissions of one SMR: nothing tells whether it arrived.
const TRIES: u32 = 3;
/// New SMRs to one peer are this far apart (RFC 9301 section 6.1).
const INTERVAL: Duration = Duration::from_secs(3);
/// EID-prefixes that one SMR names; one that the peer knows is enough.
const MAX_EID_PREFIXES: usize = 8;

/// Who is being solicited, or was lately.
pub(crate) struct Solicitor {
    rows: Vec<Row>,
    limit: usize,
}

struct Row {
    peer: PeerKey,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// Until the rate limit allows the next one.
    Waiting {
        solicit_at: Instant,
    },
    Soliciting {
        nonce: Nonce,
        begun_at: Instant,
        retransmission: Retransmission,
    },
    /// Remembered for the rate limit.
    Solicited {
        until: Instant,
    },
}

impl Solicitor {
    pub(crate) fn with_limit(limit: usize) -> Solicitor {
        Solicitor { rows: Vec::with_capacity(limit), limit }
    }

    /// The peer is to ask anew for what it knows of us.
    pub(crate) fn solicit(&mut self, peer: PeerKey, random: &mut Random, now: Instant) {
        let begin = State::beginning(random, now);
        let has_room = self.rows.len() < self.limit;
        match self.rows.iter_mut().find(|row| row.peer == peer) {
            Some(row) => {
                row.state = match row.state {
                    State::Soliciting { begun_at, .. } => {
                        State::Waiting { solicit_at: begun_at + INTERVAL }
                    }
                    State::Solicited { until } if until > now => {
                        State::Waiting { solicit_at: until }
                    }
                    State::Solicited { .. } => begin,
                    waiting => waiting,
                };
            }
            None if has_room => self.rows.push(Row { peer, state: begin }),
            None => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, random: &mut Random, now: Instant) {
        for row in self.rows.iter_mut().filter(|row| row.state.due_at() <= now) {
            row.state = match row.state {
                State::Waiting { .. } => State::beginning(random, now),
                State::Soliciting { begun_at, retransmission, .. }
                    if retransmission.tries() >= TRIES =>
                {
                    State::Solicited { until: begun_at + INTERVAL }
                }
                state => state,
            };
        }
        self.rows.retain(|row| !matches!(row.state, State::Solicited { until } if until <= now));
    }

    /// The next SMR that is due.
    pub(crate) fn poll_solicit(&mut self, now: Instant) -> Option<(PeerKey, Nonce)> {
        self.rows.iter_mut().find_map(|row| match &mut row.state {
            State::Soliciting { nonce, retransmission, .. }
                if retransmission.is_due(now) && retransmission.tries() < TRIES =>
            {
                retransmission.sent(now);
                Some((row.peer, *nonce))
            }
            _ => None,
        })
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.rows.iter().map(|row| row.state.due_at()).min()
    }
}

impl State {
    fn beginning(random: &mut Random, now: Instant) -> State {
        let nonce = Nonce(random.next_u64());
        let retransmission = Retransmission::starting_at(now);
        State::Soliciting { nonce, begun_at: now, retransmission }
    }

    fn due_at(&self) -> Instant {
        match self {
            State::Waiting { solicit_at } => *solicit_at,
            State::Soliciting { retransmission, .. } => retransmission.due_at(),
            State::Solicited { until } => *until,
        }
    }
}

/// Writes an SMR: a Map-Request with the S-bit about our own EID-prefixes.
pub(super) fn emit(nonce: Nonce, database: &Database, buf: &mut [u8]) -> Option<usize> {
    let own = database.eid_prefixes().iter().take(MAX_EID_PREFIXES);
    let addresses: heapless::Vec<_, MAX_EID_PREFIXES> =
        own.map(|own| (own.len(), record::eid_address(own.instance_id(), own.address()))).collect();
    let eids: heapless::Vec<EidRecord<'_>, MAX_EID_PREFIXES> = addresses
        .iter()
        .map(|(mask_len, eid)| EidRecord {
            is_subscription: false,
            mask_len: *mask_len,
            eid: eid.address(),
        })
        .collect();
    let source = addresses.first()?.1.address();
    let itr_rloc = database.locators().first().map_or(wire::Address::None, |own| own.rloc.into());
    let itr_rlocs = [itr_rloc];
    let (itr_rlocs, eids) = (Addresses::new(&itr_rlocs), EidRecords::new(&eids));
    let request = wire::MapRequest::new(nonce, source, itr_rlocs, eids);
    wire::MapRequest { is_smr: true, ..request }.emit(buf).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn peer(number: u8) -> PeerKey {
        PeerKey([number; 32])
    }

    /// Runs until then and lists when who was solicited.
    fn run(solicitor: &mut Solicitor, until: u64) -> Vec<(u64, u8)> {
        let mut random = Random::new(&[1; 32], b"test");
        let mut sent = Vec::new();
        while let Some(now) = solicitor.poll_at().filter(|at| *at <= Instant::from_millis(until)) {
            solicitor.handle_timeout(&mut random, now);
            while let Some((peer, _)) = solicitor.poll_solicit(now) {
                sent.push((now.as_micros() / 1_000, peer.0[0]));
            }
            assert!(solicitor.poll_at().is_none_or(|at| at > now));
        }
        sent
    }

    #[test]
    fn each_smr_is_sent_three_times_and_one_begins_each_three_seconds() {
        let mut solicitor = Solicitor::with_limit(2);
        let mut random = Random::new(&[2; 32], b"test");
        let mut sent = Vec::new();
        for ms in [0, 10, 1_000, 2_000] {
            let now = Instant::from_millis(ms);
            sent.extend(run(&mut solicitor, ms));
            solicitor.solicit(peer(1), &mut random, now);
        }
        sent.extend(run(&mut solicitor, 60_000));
        let times: Vec<_> = sent.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 3_000, 3_050, 3_150], "the newer one goes in place of the older");
        assert_eq!(solicitor.poll_at(), None, "and is forgotten");
        solicitor.solicit(peer(1), &mut random, Instant::from_millis(60_000));
        let times: Vec<_> = run(&mut solicitor, 61_000).iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [60_000, 60_050, 60_150]);
    }

    #[test]
    fn a_full_table_leaves_further_peers_out() {
        let mut solicitor = Solicitor::with_limit(2);
        let mut random = Random::new(&[2; 32], b"test");
        (1..9).for_each(|number| solicitor.solicit(peer(number), &mut random, Instant::ZERO));
        let mut peers: Vec<_> = run(&mut solicitor, 9_000).iter().map(|(_, peer)| *peer).collect();
        peers.sort_unstable();
        assert_eq!(peers, [1, 1, 1, 2, 2, 2]);
        solicitor.solicit(peer(9), &mut random, Instant::from_millis(9_000));
        assert_eq!(run(&mut solicitor, 20_000).len(), 3, "there is place again");
    }
}
