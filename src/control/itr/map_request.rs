//! The Map-Requests that an ITR sends: questions and probes (RFC 9301 sections 5.3, 7.1 and 8.1).

use core::net::SocketAddr;

use crate::record;
use crate::{Eid, EidPrefix, LISP_PORT, Locator};
use wire::encapsulated_control::InnerPacket;
use wire::{Addresses, EidRecord, EidRecords, Nonce, XtrIdentity};

/// Hops that the inner packet of an Encapsulated Control Message may take.
const HOP_LIMIT: u8 = 64;

/// What the mapping system is asked.
pub(super) struct Question<'a> {
    pub(super) nonce: Nonce,
    pub(super) source: Eid,
    pub(super) eid: Eid,
    pub(super) itr_rloc: Option<&'a Locator>,
    /// Who wants to be told of changes from now on (RFC 9437).
    pub(super) subscriber: XtrIdentity,
    /// The site that is asked for wants it.
    pub(super) is_smr_invoked: bool,
}

impl Question<'_> {
    /// Writes it inside an Encapsulated Control Message (RFC 9301 section 5.8), bare when the two
    /// EIDs are of different families and thus fit no IP header together.
    pub(super) fn emit(&self, buf: &mut [u8]) -> Option<usize> {
        let Question { source, eid, .. } = *self;
        if source.address.is_ipv4() != eid.address.is_ipv4() {
            return self.emit_bare(buf);
        }
        let (mut message, mut packet) = ([0; 256], [0; 512]);
        let len = self.emit_bare(&mut message)?;
        let ports = |address| SocketAddr::new(address, LISP_PORT);
        let (from, to) = (ports(source.address), ports(eid.address));
        let message = &message[..len];
        let inner = InnerPacket::emit(&mut packet, from, to, HOP_LIMIT, message).ok()?;
        wire::EncapsulatedControl::new(inner).emit(buf).ok()
    }

    /// Without an RLOC it is no subscription: that would withdraw one (RFC 9437).
    fn emit_bare(&self, buf: &mut [u8]) -> Option<usize> {
        let source_eid = record::eid_address(self.source.instance_id, self.source.address);
        let asked = record::eid_address(self.eid.instance_id, self.eid.address);
        let itr_rlocs = [self.itr_rloc.map_or(wire::Address::None, |own| own.rloc.into())];
        let is_subscription = self.itr_rloc.is_some();
        let mask_len = EidPrefix::host(self.eid).len();
        let eids = [EidRecord { is_subscription, mask_len, eid: asked.address() }];
        let (itr_rlocs, eids) = (Addresses::new(&itr_rlocs), EidRecords::new(&eids));
        let request = wire::MapRequest::new(self.nonce, source_eid.address(), itr_rlocs, eids);
        let xtr_identity = Some(self.subscriber).filter(|_| is_subscription);
        let is_smr_invoked = self.is_smr_invoked;
        wire::MapRequest { xtr_identity, is_smr_invoked, ..request }.emit(buf).ok()
    }
}

/// Writes a Map-Request with the P-bit, to be sent to the xTR that it is about.
pub(super) fn emit_probe(
    nonce: Nonce,
    source: Eid,
    probed: EidPrefix,
    itr_rloc: Option<&Locator>,
    buf: &mut [u8],
) -> Option<usize> {
    let source_eid = record::eid_address(source.instance_id, source.address);
    let probed_eid = record::eid_address(probed.instance_id(), probed.address());
    let itr_rlocs = [itr_rloc.map_or(wire::Address::None, |locator| locator.rloc.into())];
    let eids =
        [EidRecord { is_subscription: false, mask_len: probed.len(), eid: probed_eid.address() }];
    let itr_rlocs = Addresses::new(&itr_rlocs);
    let eids = EidRecords::new(&eids);
    let request = wire::MapRequest::new(nonce, source_eid.address(), itr_rlocs, eids);
    wire::MapRequest { is_probe: true, ..request }.emit(buf).ok()
}
