//! Which packets may stand for one long packet: TCP segments in sequence and UDP datagrams of one
//! length, alike in all that is not counted up.

use super::checksum;
use super::virtio::{Header, Kind};

const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// TCP's flags of packets that are joined: the first is there, the second ends a train.
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// A packet that may be joined with others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Flow {
    is_v6: bool,
    is_tcp: bool,
    header_len: usize,
    has_push: bool,
}

impl Flow {
    /// Looks at a complete packet; `None` for one that goes alone, whatever comes with it.
    pub(super) fn parse(packet: &[u8]) -> Option<Flow> {
        let is_v6 = match packet.first()? {
            // Options and fragments are none of ours.
            0x45 => {
                let fixed: &[u8; IPV4_LEN] = packet.first_chunk()?;
                let is_whole =
                    usize::from(u16::from_be_bytes([fixed[2], fixed[3]])) == packet.len();
                if !is_whole || fixed[6] & 0xbf != 0 || fixed[7] != 0 {
                    return None;
                }
                false
            }
            octet if octet >> 4 == 6 => {
                let fixed: &[u8; IPV6_LEN] = packet.first_chunk()?;
                let payload_len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
                if payload_len + IPV6_LEN != packet.len() {
                    return None;
                }
                true
            }
            _ => return None,
        };
        let transport = if is_v6 { IPV6_LEN } else { IPV4_LEN };
        let body = &packet[transport..];
        let (is_tcp, has_push, len) = match packet[if is_v6 { 6 } else { 9 }] {
            TCP => {
                let fixed: &[u8; 20] = body.first_chunk()?;
                let len = usize::from(fixed[12] >> 4) * 4;
                if len < 20 || fixed[13] & !PSH != ACK {
                    return None;
                }
                (true, fixed[13] & PSH != 0, len)
            }
            UDP => {
                let fixed: &[u8; 8] = body.first_chunk()?;
                let is_whole = usize::from(u16::from_be_bytes([fixed[4], fixed[5]])) == body.len();
                if !is_whole || fixed[6..8] == [0; 2] {
                    return None;
                }
                (false, false, 8)
            }
            _ => return None,
        };
        (body.len() > len).then_some(Flow { is_v6, is_tcp, header_len: transport + len, has_push })
    }

    pub(super) fn is_tcp(&self) -> bool {
        self.is_tcp
    }

    /// Octets before the payload.
    pub(super) fn header_len(&self) -> usize {
        self.header_len
    }

    /// Whether no packet may follow this one in its train.
    pub(super) fn ends_train(&self) -> bool {
        self.has_push
    }

    /// Whether `packet` comes next in a train that `first` leads, of `count` packets and
    /// `payload_len` octets.
    pub(super) fn continues(
        &self,
        own: &Flow,
        packet: &[u8],
        first: &[u8],
        count: usize,
        payload_len: usize,
    ) -> bool {
        if (self.is_v6, self.is_tcp, self.header_len) != (own.is_v6, own.is_tcp, own.header_len) {
            return false;
        }
        let same = |range: core::ops::Range<usize>| packet[range.clone()] == first[range];
        let is_next_ip = match self.is_v6 {
            true => same(0..4) && same(6..IPV6_LEN),
            false => {
                let id = |packet: &[u8]| u16::from_be_bytes([packet[4], packet[5]]);
                let is_counted = id(packet) == id(first).wrapping_add(count as u16);
                // A packet that is never fragmented needs no number (RFC 6864 section 4.1).
                let is_atomic = packet[6] & 0x40 != 0 && id(packet) == id(first);
                same(0..2) && same(6..10) && same(12..IPV4_LEN) && (is_counted || is_atomic)
            }
        };
        let at = self.transport();
        is_next_ip
            && same(at..at + 4)
            && (!self.is_tcp || {
                let sequence = |packet: &[u8]| {
                    let octets = packet[at + 4..].first_chunk().copied();
                    u32::from_be_bytes(octets.unwrap_or_default())
                };
                sequence(packet) == sequence(first).wrapping_add(payload_len as u32)
                    && same(at + 8..at + 13)
                    && same(at + 14..at + 16)
                    && same(at + 18..self.header_len)
            })
    }

    pub(super) fn is_checksum_right(&self, packet: &[u8]) -> bool {
        let sum = self.pseudo_sum(packet, packet.len());
        checksum::fold(checksum::add(sum, &packet[self.transport()..])) == 0xffff
    }

    /// TCP's flags of a packet of this flow.
    pub(super) fn flags(&self, packet: &[u8]) -> u8 {
        if self.is_tcp { packet[self.transport() + 13] } else { 0 }
    }

    /// Makes the header of a train's first packet that of the whole train, `len` octets long.
    pub(super) fn write_header(&self, first: &mut [u8], len: usize, last_flags: u8) {
        let transport = self.transport();
        if self.is_v6 {
            first[4..6].copy_from_slice(&((len - IPV6_LEN) as u16).to_be_bytes());
        } else {
            first[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            checksum::finish_ipv4(&mut first[..IPV4_LEN]);
        }
        if self.is_tcp {
            first[transport + 13] |= last_flags & PSH;
        } else {
            let len = ((len - transport) as u16).to_be_bytes();
            first[transport + 4..transport + 6].copy_from_slice(&len);
        }
        let partial = checksum::fold(self.pseudo_sum(first, len)).to_ne_bytes();
        let field = transport + self.checksum_offset();
        first[field..field + 2].copy_from_slice(&partial);
    }

    /// What the kernel is told of a train.
    pub(super) fn virtio_header(&self, segment_len: usize) -> Header {
        let kind = match (self.is_tcp, self.is_v6) {
            (true, false) => Kind::TcpV4,
            (true, true) => Kind::TcpV6,
            (false, _) => Kind::Udp,
        };
        Header {
            checksum: Some((self.transport(), self.checksum_offset())),
            split: Some((kind, segment_len)),
            header_len: self.header_len as u16,
        }
    }

    fn transport(&self) -> usize {
        if self.is_v6 { IPV6_LEN } else { IPV4_LEN }
    }

    fn checksum_offset(&self) -> usize {
        if self.is_tcp { 16 } else { 6 }
    }

    fn pseudo_sum(&self, packet: &[u8], len: usize) -> u64 {
        let addresses = if self.is_v6 { &packet[8..IPV6_LEN] } else { &packet[12..IPV4_LEN] };
        let protocol = if self.is_tcp { TCP } else { UDP };
        let len = (len - self.transport()) as u16;
        checksum::add(checksum::word(protocol.into()) + checksum::word(len), addresses)
    }
}

/// Where the addresses of a packet stand, by which packets that are not joined keep their order.
#[derive(Clone, Copy)]
pub(super) struct Place {
    is_v6: bool,
    /// Whether the ports are where a packet without options and fragments has them.
    has_ports: bool,
}

impl Place {
    pub(super) fn of(packet: &[u8]) -> Option<Place> {
        let is_ported = |protocol| protocol == TCP || protocol == UDP;
        match packet.first()? >> 4 {
            4 if packet.len() >= IPV4_LEN => {
                let is_plain = packet[0] == 0x45 && packet[6] & 0x3f == 0 && packet[7] == 0;
                let has_ports = is_plain && is_ported(packet[9]) && packet.len() >= IPV4_LEN + 4;
                Some(Place { is_v6: false, has_ports })
            }
            6 if packet.len() >= IPV6_LEN => {
                let has_ports = is_ported(packet[6]) && packet.len() >= IPV6_LEN + 4;
                Some(Place { is_v6: true, has_ports })
            }
            _ => None,
        }
    }

    /// Whether a packet may belong to the flow that `first`, one that can be joined, leads.
    pub(super) fn may_be_of(&self, packet: &[u8], first: &[u8]) -> bool {
        let same = |range: core::ops::Range<usize>| packet.get(range.clone()) == first.get(range);
        let is_first_v6 = first[0] >> 4 == 6;
        if self.is_v6 != is_first_v6 {
            return false;
        }
        match self.is_v6 {
            true => same(8..IPV6_LEN) && (!self.has_ports || same(6..7) && same(40..44)),
            false => same(12..IPV4_LEN) && (!self.has_ports || same(9..10) && same(20..24)),
        }
    }
}
