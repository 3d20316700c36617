//! Long packets from the TUN device, split in place into those that go into the tunnel.
//!
//! Each packet's header is written directly before its part of the payload, over what has been
//! sent already: no payload is copied.

use super::checksum;
use super::virtio::{Header, Kind};

/// The longest header of a packet that is split; IPv4 and TCP have no more than 120 octets.
const MAX_HEADER_LEN: usize = 256;

/// A long packet makes no more than these.
const MAX_SEGMENTS: usize = 2048;

/// IPv4 and IPv6 headers without options.
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;

/// TCP's flags: a segment that is not the last has neither of the first two, and only the first
/// has the third (RFC 3168 section 6.1.2).
const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// The packets that one read gives.
pub(super) struct Segments {
    /// The packet's octets, all of it.
    end: usize,
    /// Where the payload of the next one starts.
    next: usize,
    split: Option<Split>,
}

struct Split {
    is_tcp: bool,
    header: [u8; MAX_HEADER_LEN],
    header_len: usize,
    /// Where the transport header starts.
    transport: usize,
    segment_len: usize,
    /// The sum over the pseudo-header, less the length.
    pseudo_sum: u64,
}

impl Segments {
    /// Looks at a packet and the header before it, and finishes its checksum where it goes as it
    /// is; `None` when both do not fit each other.
    pub(super) fn new(header: &Header, packet: &mut [u8]) -> Option<Segments> {
        let end = packet.len();
        let split = match header.split {
            Some((kind, segment_len)) => Split::new(kind, segment_len, header, packet)?,
            None => None,
        };
        if split.is_none()
            && let Some((start, offset)) = header.checksum
        {
            finish(packet, start, offset)?;
        }
        let next = split.as_ref().map_or(0, |split| split.header_len);
        Some(Segments { end, next, split })
    }

    /// The next packet; `packet` is what `new` was given.
    pub(super) fn next<'a>(&mut self, packet: &'a mut [u8]) -> Option<&'a [u8]> {
        if self.next >= self.end {
            return None;
        }
        let payload_at = self.next;
        let Some(split) = &self.split else {
            self.next = self.end;
            return packet.get(..self.end);
        };
        self.next = self.end.min(payload_at + split.segment_len);
        let segment = packet.get_mut(payload_at - split.header_len..self.next)?;
        split.write_header(payload_at - split.header_len, self.next == self.end, segment);
        Some(segment)
    }
}

impl Split {
    /// `Some(None)` when there is no payload to split.
    fn new(kind: Kind, segment_len: usize, header: &Header, packet: &[u8]) -> Option<Option<Self>> {
        let (transport, offset) = header.checksum?;
        let version = packet.first()? >> 4;
        let (protocol, ip_len) = match version {
            4 => (packet.get(9).copied(), usize::from(packet[0] & 15) * 4),
            _ => (None, transport),
        };
        let is_tcp = kind != Kind::Udp;
        let is_consistent = match kind {
            Kind::TcpV4 => version == 4,
            Kind::TcpV6 => version == 6,
            Kind::Udp => version == 4 || version == 6,
        } && protocol
            .is_none_or(|protocol| protocol == if is_tcp { 6 } else { 17 })
            && ip_len == transport
            && transport >= if version == 4 { IPV4_LEN } else { IPV6_LEN }
            && offset == if is_tcp { 16 } else { 6 };
        let header_len = transport
            + match is_tcp {
                true => (usize::from(packet.get(transport + 12)? >> 4) * 4).max(20),
                false => 8,
            };
        let payload_len = packet.len().checked_sub(header_len)?;
        if !is_consistent
            || segment_len == 0
            || header_len > MAX_HEADER_LEN
            || payload_len.div_ceil(segment_len) > MAX_SEGMENTS
        {
            return None;
        }
        if payload_len == 0 {
            return Some(None);
        }
        let mut copy = [0; MAX_HEADER_LEN];
        copy[..header_len].copy_from_slice(&packet[..header_len]);
        let field = transport + offset;
        let given = u16::from_ne_bytes([copy[field], copy[field + 1]]);
        copy[field..field + 2].fill(0);
        // One's complement subtracts by adding the complement.
        let old_len = !((packet.len() - transport) as u16);
        let pseudo_sum = u64::from(given) + checksum::word(old_len);
        Some(Some(Split { is_tcp, header: copy, header_len, transport, segment_len, pseudo_sum }))
    }

    /// Writes the header of the packet whose payload starts `done` octets into the whole payload.
    fn write_header(&self, done: usize, is_last: bool, segment: &mut [u8]) {
        let (len, transport) = (segment.len(), self.transport);
        segment[..self.header_len].copy_from_slice(&self.header[..self.header_len]);
        if segment[0] >> 4 == 4 {
            segment[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            let index = (done / self.segment_len) as u16;
            let id = u16::from_be_bytes([segment[4], segment[5]]).wrapping_add(index);
            segment[4..6].copy_from_slice(&id.to_be_bytes());
            checksum::finish_ipv4(&mut segment[..transport]);
        } else {
            segment[4..6].copy_from_slice(&((len - IPV6_LEN) as u16).to_be_bytes());
        }
        let transport_len = (len - transport) as u16;
        let body = &mut segment[transport..];
        let field = if self.is_tcp {
            let sequence = [body[4], body[5], body[6], body[7]];
            let sequence = u32::from_be_bytes(sequence).wrapping_add(done as u32);
            body[4..8].copy_from_slice(&sequence.to_be_bytes());
            body[13] &= if is_last { 0xff } else { !FIN_PSH };
            body[13] &= if done == 0 { 0xff } else { !CWR };
            16
        } else {
            body[4..6].copy_from_slice(&transport_len.to_be_bytes());
            6
        };
        let sum = checksum::add(self.pseudo_sum + checksum::word(transport_len), body);
        body[field..field + 2].copy_from_slice(&checksum::field(sum));
    }
}

/// Computes the checksum of `packet[start..]`, whose field holds the pseudo-header's sum.
fn finish(packet: &mut [u8], start: usize, offset: usize) -> Option<()> {
    let body = packet.get_mut(start..)?;
    let field = offset..offset.checked_add(2)?;
    body.get(field.clone())?;
    let sum = checksum::add(0, body);
    body[field].copy_from_slice(&checksum::field(sum));
    Some(())
}
