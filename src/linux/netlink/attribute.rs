//! Reading netlink attributes: bounded by the buffer, whatever its octets say.

use core::net::IpAddr;

use super::abi::NLA_TYPE_MASK;

const HEADER_LEN: usize = 4;

/// One attribute: a number and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The attribute's number, without the nested and byte-order flags.
    pub kind: u16,
    /// The value, without padding.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The value as an octet.
    #[must_use]
    pub fn as_u8(&self) -> Option<u8> {
        self.value.first().copied()
    }

    /// The value as a number of 16 bits in the machine's order.
    #[must_use]
    pub fn as_u16(&self) -> Option<u16> {
        self.value.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
    }

    /// The value as a number of 64 bits in the machine's order.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.value.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
    }

    /// The value as a number in the machine's order.
    #[must_use]
    pub fn as_u32(&self) -> Option<u32> {
        self.value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    /// The value as a text, up to its NUL.
    #[must_use]
    pub fn as_text(&self) -> Option<&'a str> {
        let end = self.value.iter().position(|&octet| octet == 0).unwrap_or(self.value.len());
        core::str::from_utf8(&self.value[..end]).ok()
    }

    /// The value as an IP address: IPv4 of 4 octets or IPv6 of 16.
    #[must_use]
    pub fn as_ip(&self) -> Option<IpAddr> {
        match self.value.len() {
            4 => self.value.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
            16 => self.value.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
            _ => None,
        }
    }

    /// The attributes inside this one.
    #[must_use]
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.value)
    }
}

/// An iterator over attributes that ends at the first one that does not fit.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes that `bytes` begins with.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The first attribute of a number.
    #[must_use]
    pub fn find_kind(&self, kind: u16) -> Option<Attribute<'a>> {
        self.clone().find(|attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let bytes = core::mem::take(&mut self.rest);
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & NLA_TYPE_MASK;
        let value = bytes.get(HEADER_LEN..len)?;
        self.rest = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(len: u16, kind: u16) -> [u8; 4] {
        let (len, kind) = (len.to_ne_bytes(), kind.to_ne_bytes());
        [len[0], len[1], kind[0], kind[1]]
    }

    #[test]
    fn attributes_are_read_with_their_padding() {
        let mut bytes = header(5, 1).to_vec();
        bytes.extend([7, 0, 0, 0]);
        bytes.extend(header(8, 0x8000 | 2));
        bytes.extend(0x0102_0304_u32.to_ne_bytes());
        let read: Vec<_> = Attributes::new(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].kind, read[0].as_u8()), (1, Some(7)));
        assert_eq!((read[1].kind, read[1].as_u32()), (2, Some(0x0102_0304)));
    }

    #[test]
    fn the_last_attribute_may_lack_its_padding() {
        let mut bytes = header(5, 3).to_vec();
        bytes.push(b'x');
        let read: Vec<_> = Attributes::new(&bytes).collect();
        assert_eq!(read, [Attribute { kind: 3, value: b"x" }]);
    }

    #[test]
    fn lengths_that_lie_end_the_iteration() {
        for len in [0, 1, 3, 9, u16::MAX] {
            let mut bytes = header(len, 1).to_vec();
            bytes.extend([0; 4]);
            assert_eq!(Attributes::new(&bytes).count(), 0, "length {len}");
        }
        assert_eq!(Attributes::new(&[8, 0, 1]).count(), 0);
    }
}
