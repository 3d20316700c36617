//! The header before a packet of a TUN device: what is left to be done with it (virtio 1.2
//! section 5.1.6, little-endian).

use linux::tun::VIRTIO_HEADER_LEN;

/// The checksum is not computed yet: the field holds the sum over the pseudo-header.
const NEEDS_CHECKSUM: u8 = 1;
/// Among TCP segments there may be one with CWR set.
const ECN: u8 = 0x80;

/// Which kind of packet a long one is to be split into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    TcpV4,
    TcpV6,
    Udp,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::TcpV4 => 1,
            Kind::TcpV6 => 4,
            Kind::Udp => 5,
        }
    }
}

/// Where a checksum is to be computed, and which long packet is to be split.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Header {
    /// From where on a checksum is wanted, and how far behind that its field stands.
    pub(super) checksum: Option<(usize, usize)>,
    /// The kind of the packets to make, and how much of the payload goes into each.
    pub(super) split: Option<(Kind, usize)>,
    /// Octets before the payload.
    pub(super) header_len: u16,
}

impl Header {
    /// `None` for a kind of packet that nobody asked for.
    pub(super) fn parse(octets: &[u8; VIRTIO_HEADER_LEN]) -> Option<Header> {
        let word = |index| u16::from_le_bytes([octets[index], octets[index + 1]]);
        let kind = match octets[1] & !ECN {
            0 => None,
            1 => Some(Kind::TcpV4),
            4 => Some(Kind::TcpV6),
            5 => Some(Kind::Udp),
            _ => return None,
        };
        let needs_checksum = octets[0] & NEEDS_CHECKSUM != 0;
        Some(Header {
            checksum: needs_checksum.then(|| (word(6).into(), word(8).into())),
            split: kind.map(|kind| (kind, word(4).into())),
            header_len: word(2),
        })
    }

    pub(super) fn emit(&self) -> [u8; VIRTIO_HEADER_LEN] {
        let mut octets = [0; VIRTIO_HEADER_LEN];
        octets[2..4].copy_from_slice(&self.header_len.to_le_bytes());
        if let Some((start, offset)) = self.checksum {
            octets[0] = NEEDS_CHECKSUM;
            octets[6..8].copy_from_slice(&(start as u16).to_le_bytes());
            octets[8..10].copy_from_slice(&(offset as u16).to_le_bytes());
        }
        if let Some((kind, len)) = self.split {
            octets[1] = kind.code();
            octets[4..6].copy_from_slice(&(len as u16).to_le_bytes());
        }
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_way_out_and_back() {
        let octets = [1, 1, 52, 0, 0x6c, 5, 20, 0, 16, 0];
        let header =
            Header { checksum: Some((20, 16)), split: Some((Kind::TcpV4, 1388)), header_len: 52 };
        assert_eq!(Header::parse(&octets), Some(header));
        assert_eq!(header.emit(), octets);
        assert_eq!(Header::parse(&[0; 10]), Some(Header::default()));
        assert_eq!(Header::default().emit(), [0; 10]);
        let with_ecn = [1, 0x81, 52, 0, 0x6c, 5, 20, 0, 16, 0];
        assert_eq!(Header::parse(&with_ecn), Some(header));
        // UDP fragmentation is not asked for, nor is what comes after it.
        for kind in [2, 3, 6, 0x7f] {
            assert_eq!(Header::parse(&[1, kind, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        }
    }
}
