//! Answers RLOC-probes of data peers (RFC 9301 section 7.1).

use core::time::Duration;

use super::database::Database;
use super::responder::MAX_MESSAGE;
use crate::bucket::{Bucket, Rate};
use crate::record;
use crate::{EidPrefix, Instant, PeerKey};
use wire::Nonce;

/// Probes of all peers together: a hub that moved is asked by all of them at once, twice each.
const PROBES: Rate = Rate { burst: 512, interval: Duration::from_millis(2) };

/// The answer that is due. One input is answered before the next, so that one is enough.
pub(crate) struct Probed {
    probes: Bucket,
    answer: Option<(PeerKey, Nonce, usize)>,
}

impl Probed {
    pub(crate) const fn new() -> Probed {
        Probed { probes: Bucket::new(), answer: None }
    }

    /// A probe about one of our EIDs, which the peer is allowed to send; false when it is about
    /// another one, or there are too many.
    pub(crate) fn handle_probe(
        &mut self,
        peer: PeerKey,
        probe: &wire::MapRequest<'_>,
        database: &Database,
        now: Instant,
    ) -> bool {
        let asked = probe.eids.iter().next().and_then(|asked| {
            let (instance_id, address) = asked.eid.ip_eid()?;
            EidPrefix::new(instance_id, address, asked.mask_len)
        });
        let Some(own) = asked.and_then(|asked| database.covering(&asked)) else { return false };
        if !self.probes.take(&PROBES, now) {
            return false;
        }
        self.answer = Some((peer, probe.nonce, own));
        true
    }

    /// Writes the Map-Reply: to whom and how long it is.
    pub(crate) fn poll_answer(
        &mut self,
        database: &Database,
        buf: &mut [u8],
    ) -> Option<(PeerKey, usize)> {
        let (peer, nonce, own) = self.answer.take()?;
        let mut room = [0; MAX_MESSAGE - wire::map_reply::HEADER_LEN];
        let mut writer = wire::RecordsWriter::new(&mut room);
        record::write(&mut writer, &database.mapping(own)?, record::Sender::Etr).ok()?;
        let reply = wire::MapReply::new(nonce, writer.finish());
        let len = wire::MapReply { is_probe: true, ..reply }.emit(buf).ok()?;
        Some((peer, len))
    }
}
