//! The Map-Requests that an ITR sends: questions and probes (RFC 9301 sections 5.3, 7.1 and 8.1).

use core::net::SocketAddr;

use crate::record;
use crate::{Eid, EidPrefix, LISP_PORT, Locator};
use wire::{Addresses, EidRecord, EidRecords, Nonce};

/// Hops that the inner packet of an Encapsulated Control Message may take.
const HOP_LIMIT: u8 = 64;

/// Writes a Map-Request inside an Encapsulated Control Message (RFC 9301 section 5.8), bare when
/// the two EIDs are of different families and thus fit no IP header together.
pub(super) fn emit_request(
    nonce: Nonce,
    source: Eid,
    eid: Eid,
    itr_rloc: Option<&Locator>,
    buf: &mut [u8],
) -> Option<usize> {
    let source_eid = record::eid_address(source.instance_id, source.address);
    let asked = record::eid_address(eid.instance_id, eid.address);
    let itr_rlocs = [itr_rloc.map_or(wire::Address::None, |locator| locator.rloc.into())];
    let eids = [EidRecord {
        is_subscription: false,
        mask_len: EidPrefix::host(eid).len(),
        eid: asked.address(),
    }];
    let itr_rlocs = Addresses::new(&itr_rlocs);
    let eids = EidRecords::new(&eids);
    let request = wire::MapRequest::new(nonce, source_eid.address(), itr_rlocs, eids);
    if source.address.is_ipv4() != eid.address.is_ipv4() {
        return request.emit(buf).ok();
    }
    let (mut message, mut packet) = ([0; 256], [0; 512]);
    let len = request.emit(&mut message).ok()?;
    let ports = |address| SocketAddr::new(address, LISP_PORT);
    let (from, to) = (ports(source.address), ports(eid.address));
    let inner = wire::encapsulated_control::InnerPacket::emit(
        &mut packet,
        from,
        to,
        HOP_LIMIT,
        &message[..len],
    );
    wire::EncapsulatedControl::new(inner.ok()?).emit(buf).ok()
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
