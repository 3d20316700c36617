//! Netlink messages as octets: a builder on a fixed buffer, and an iterator over what arrived.

use core::net::IpAddr;

use super::abi::NLA_F_NESTED;
use super::error::Error;

/// Octets of the message header.
pub(super) const HEADER_LEN: usize = 16;
const ATTRIBUTE_HEADER_LEN: usize = 4;

/// A request under construction; what does not fit is remembered and reported by `finish`.
#[derive(Debug)]
pub struct Message<'b> {
    buffer: &'b mut [u8],
    len: usize,
    flags: u16,
    has_overflowed: bool,
}

impl<'b> Message<'b> {
    /// Starts a message of a type (`RTM_*`) with flags (`NLM_F_*`) on a buffer.
    #[must_use]
    pub fn new(buffer: &'b mut [u8], kind: u16, flags: u16) -> Self {
        let mut message = Self { buffer, len: 0, flags, has_overflowed: false };
        message.put(&[0; HEADER_LEN]);
        if !message.has_overflowed {
            message.buffer[4..6].copy_from_slice(&kind.to_ne_bytes());
        }
        message
    }

    /// Appends octets, padded with zeroes to a multiple of four.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        if let Some(room) = self.take(bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self
    }

    /// Appends an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let Ok(len) = u16::try_from(ATTRIBUTE_HEADER_LEN + value.len()) else {
            self.has_overflowed = true;
            return self;
        };
        if let Some((header, room)) =
            self.take(len.into()).and_then(<[u8]>::split_first_chunk_mut::<ATTRIBUTE_HEADER_LEN>)
        {
            let (len, kind) = (len.to_ne_bytes(), kind.to_ne_bytes());
            *header = [len[0], len[1], kind[0], kind[1]];
            room.copy_from_slice(value);
        }
        self
    }

    /// Room for octets to be appended, what pads them to a multiple of four filled with zeroes.
    fn take(&mut self, len: usize) -> Option<&mut [u8]> {
        let start = self.len;
        let Some(room) = self.buffer.get_mut(start..start + len.next_multiple_of(4)) else {
            self.has_overflowed = true;
            return None;
        };
        self.len += room.len();
        if let Some(last) = room.last_chunk_mut() {
            *last = [0; 4];
        }
        Some(&mut room[..len])
    }

    /// Appends an attribute of one octet.
    pub fn attribute_u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.attribute(kind, &[value])
    }

    /// Appends an attribute of a number of 16 bits in the machine's order.
    pub fn attribute_u16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Appends an attribute of a number in the machine's order.
    pub fn attribute_u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Appends an attribute of a NUL-terminated text; longer than 255 octets counts as overflow.
    pub fn attribute_text(&mut self, kind: u16, text: &str) -> &mut Self {
        let mut value = [0; 256];
        match value.get_mut(..text.len()) {
            Some(room) if text.len() < 256 => {
                room.copy_from_slice(text.as_bytes());
                self.attribute(kind, &value[..=text.len()])
            }
            _ => {
                self.has_overflowed = true;
                self
            }
        }
    }

    /// Appends an attribute of an IP address in network order.
    pub fn attribute_ip(&mut self, kind: u16, ip: IpAddr) -> &mut Self {
        match ip {
            IpAddr::V4(v4) => self.attribute(kind, &v4.octets()),
            IpAddr::V6(v6) => self.attribute(kind, &v6.octets()),
        }
    }

    /// Appends an attribute that holds what `build` appends.
    pub fn nested(&mut self, kind: u16, build: impl FnOnce(&mut Self)) -> &mut Self {
        self.unmarked(kind | NLA_F_NESTED, build)
    }

    /// As `nested`, without the flag that says so: older subsystems know none.
    pub(super) fn unmarked(&mut self, kind: u16, build: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.len;
        self.attribute(kind, &[]);
        build(self);
        match u16::try_from(self.len - start) {
            Ok(len) if !self.has_overflowed => {
                self.buffer[start..start + 2].copy_from_slice(&len.to_ne_bytes());
            }
            _ => self.has_overflowed = true,
        }
        self
    }

    /// Octets that can still be appended.
    #[must_use]
    pub fn room(&self) -> usize {
        self.buffer.len() - self.len
    }

    /// The finished octets, with further flags and the sequence number in their header.
    ///
    /// # Errors
    /// `TooLong` when something appended did not fit.
    pub fn finish(&mut self, flags: u16, sequence: u32) -> Result<&[u8], Error> {
        if self.has_overflowed {
            return Err(Error::TooLong);
        }
        let len = u32::try_from(self.len).map_err(|_| Error::TooLong)?;
        self.buffer[..4].copy_from_slice(&len.to_ne_bytes());
        self.buffer[6..8].copy_from_slice(&(self.flags | flags).to_ne_bytes());
        self.buffer[8..12].copy_from_slice(&sequence.to_ne_bytes());
        Ok(&self.buffer[..self.len])
    }
}

/// One message of a received datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// The message's type (`RTM_*`, `NLMSG_*`).
    pub kind: u16,
    /// The message's flags (`NLM_F_*`).
    pub flags: u16,
    /// The sequence number of the request that this answers, 0 for events.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// An iterator over the messages of a datagram that ends at the first one that does not fit.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The messages that `bytes` begins with.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Octets not yet iterated over.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let bytes = core::mem::take(&mut self.rest);
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let payload = bytes.get(HEADER_LEN..len)?;
        self.rest = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Part {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            payload,
        })
    }
}

/// The octets of a hexadecimal vector written for one byte order, by fields of 1, 2 or 4 octets
/// separated by spaces: a field prefixed with `=` is the same in both orders.
#[cfg(test)]
pub(super) fn native(fields: &str) -> Vec<u8> {
    let octets = |hex: &str| -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect()
    };
    let mut bytes = Vec::new();
    for field in fields.split_whitespace() {
        match field.strip_prefix('=') {
            Some(fixed) => bytes.extend(octets(fixed)),
            None if cfg!(target_endian = "little") => bytes.extend(octets(field).iter().rev()),
            None => bytes.extend(octets(field)),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::attribute::Attributes;
    use super::*;

    #[test]
    fn a_message_has_the_bytes_of_the_protocol() {
        let mut buffer = [0xaa; 64];
        let mut message = Message::new(&mut buffer, 0x10, 0x600);
        message.put(&[1, 2, 3]).attribute_text(3, "ab");
        message.nested(18, |inner| {
            inner.attribute_u32(4, 1420).attribute_u8(9, 7);
        });
        let expected = native(
            "00000030 0010 0605 01020304 00000000 =01020300 \
             0007 0003 =61620000 0014 8012 0008 0004 0000058c 0005 0009 =07000000",
        );
        assert_eq!(message.finish(5, 0x0102_0304), Ok(&expected[..]));
    }

    #[test]
    fn a_message_that_does_not_fit_is_refused() {
        for room in 0..40 {
            let mut buffer = vec![0; room];
            let mut message = Message::new(&mut buffer, 1, 0);
            message.nested(1, |inner| {
                inner.attribute_ip(2, IpAddr::from([0; 16]));
            });
            assert_eq!(message.finish(0, 1), Err(Error::TooLong), "{room} octets");
        }
        let mut buffer = vec![0; 70_000];
        let mut message = Message::new(&mut buffer, 1, 0);
        message.attribute(1, &[0; 65_532]);
        assert_eq!(message.finish(0, 1), Err(Error::TooLong));
        let mut message = Message::new(&mut buffer, 1, 0);
        message.attribute_text(1, core::str::from_utf8(&[b'x'; 256]).expect("ASCII"));
        assert_eq!(message.finish(0, 1), Err(Error::TooLong));
    }

    #[test]
    fn mutated_datagrams_end_and_never_panic() {
        let mut buffer = [0; 256];
        let mut message = Message::new(&mut buffer, 16, 0);
        message.put(&[0; 16]).attribute_text(3, "lg-data0").nested(18, |inner| {
            inner.attribute_text(1, "wireguard").attribute_u32(2, 1);
        });
        let valid = message.finish(0, 1).expect("it fits").to_vec();
        let mut state = 0x9e37_79b9_u32;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as usize
        };
        for _ in 0..200_000 {
            let mut bytes = [valid.as_slice(), &valid].concat();
            for _ in 0..1 + random() % 4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(1 + random() % bytes.len());
            let mut count = 0;
            for part in Parts::new(&bytes) {
                count += 1 + walk(Attributes::new(part.payload), 0);
                let _ = Error::from_acknowledgement(&part, &valid);
                let _ = Error::from_done(&part, &valid);
                let _ = super::super::link::Link::parse(part.payload);
                let _ = super::super::link::LinkStatistics::parse(part.payload);
                let _ = super::super::address::Address::parse(part.payload);
                let _ = super::super::route::Route::parse(part.payload);
                let _ = super::super::rule::Rule::parse(part.payload);
            }
            assert!(count <= bytes.len() * 8);
        }
    }

    fn walk(attributes: Attributes<'_>, depth: usize) -> usize {
        let inner = |attribute: super::super::Attribute<'_>| {
            let _ = (attribute.as_text(), attribute.as_ip(), attribute.as_u32());
            if depth < 4 { 1 + walk(attribute.nested(), depth + 1) } else { 1 }
        };
        attributes.map(inner).sum()
    }
}
