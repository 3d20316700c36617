//! Attributes: a word with identifier and length, then octets, padded to a multiple of four.

use crate::Error;

/// Octets of the word before an attribute's data.
pub(crate) const ATTRIBUTE_HEADER_LEN: usize = 4;
/// Longest attribute that can be told, its header included, in octets.
pub const MAX_ATTRIBUTE_LEN: usize = 0x00ff_ffff;

const EXTENDED: u32 = 1 << 31;

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// What it is, from 0 to 127.
    pub id: u8,
    /// Its data begins with a name.
    pub is_extended: bool,
    /// Its octets, without header and padding.
    pub data: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Takes an attribute and its padding off the front of octets.
    fn parse(octets: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        let (word, _) = octets.split_first_chunk().ok_or(Error::Truncated)?;
        let (id, is_extended, len) = split_word(u32::from_be_bytes(*word));
        if len < ATTRIBUTE_HEADER_LEN {
            return Err(Error::Length(len as u32));
        }
        let data = octets.get(ATTRIBUTE_HEADER_LEN..len).ok_or(Error::Truncated)?;
        let rest = octets.get(padded(len)..).ok_or(Error::Truncated)?;
        Ok((Self { id, is_extended, data }, rest))
    }

    /// The data as a number.
    pub(crate) fn u32(&self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.data.try_into().map_err(|_| Error::Value)?))
    }

    /// The data as a truth value.
    pub(crate) fn boolean(&self) -> Result<bool, Error> {
        let [octet] = self.data else { return Err(Error::Value) };
        Ok(*octet != 0)
    }

    /// The data as a text, without the NUL that ends it.
    pub(crate) fn text(&self) -> Result<&'a str, Error> {
        core::str::from_utf8(terminated(self.data)?).map_err(|_| Error::Value)
    }
}

/// The attributes that follow each other in octets; after an error come no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes in octets.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = Attribute::parse(self.rest);
        self.rest = parsed.map_or(&[], |(_, rest)| rest);
        Some(parsed.map(|(attribute, _)| attribute))
    }
}

/// Identifier, whether a name follows, and length in octets with header and without padding.
pub(crate) const fn split_word(word: u32) -> (u8, bool, usize) {
    let id = (word >> 24) as u8 & 0x7f;
    (id, word & EXTENDED != 0, word as usize & MAX_ATTRIBUTE_LEN)
}

/// The word before an attribute's data.
pub(crate) const fn join_word(id: u8, is_extended: bool, len: usize) -> u32 {
    let extended = if is_extended { EXTENDED } else { 0 };
    extended | (id as u32) << 24 | (len & MAX_ATTRIBUTE_LEN) as u32
}

/// The next multiple of four.
pub(crate) const fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// What stands before the first NUL of octets that end in one.
pub(crate) fn terminated(octets: &[u8]) -> Result<&[u8], Error> {
    match octets {
        [.., 0] => Ok(octets.split(|octet| *octet == 0).next().unwrap_or_default()),
        _ => Err(Error::Value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_follow_each_other_padded() {
        let octets = [1, 0, 0, 6, 9, 8, 0, 0, 0x85, 0, 0, 8, 1, 2, 3, 4];
        let parsed: Result<Vec<_>, _> = Attributes::new(&octets).collect();
        let first = Attribute { id: 1, is_extended: false, data: &[9, 8] };
        let second = Attribute { id: 5, is_extended: true, data: &[1, 2, 3, 4] };
        assert_eq!(parsed, Ok(vec![first, second]));
        assert_eq!(second.u32(), Ok(0x0102_0304));
        assert_eq!(first.u32(), Err(Error::Value));
    }

    #[test]
    fn every_truncation_is_refused_and_ends_the_list() {
        let octets = [1, 0, 0, 6, 9, 8, 0, 0];
        for len in 1..octets.len() {
            let mut attributes = Attributes::new(&octets[..len]);
            assert_eq!(attributes.next(), Some(Err(Error::Truncated)), "{len} octets");
            assert_eq!(attributes.next(), None);
        }
        for len in 0..4 {
            let octets = [0, 0, 0, len];
            let mut attributes = Attributes::new(&octets);
            assert_eq!(attributes.next(), Some(Err(Error::Length(len.into()))));
            assert_eq!(attributes.next(), None);
        }
    }

    #[test]
    fn a_text_ends_at_its_first_nul() {
        let text = |data| Attribute { id: 0, is_extended: false, data }.text();
        assert_eq!(text(b"wan\0"), Ok("wan"));
        assert_eq!(text(b"\0"), Ok(""));
        assert_eq!(text(b"wan\0lan\0"), Ok("wan"));
        assert_eq!(text(b"wan"), Err(Error::Value));
        assert_eq!(text(b""), Err(Error::Value));
        assert_eq!(text(b"\xff\0"), Err(Error::Value));
    }
}
