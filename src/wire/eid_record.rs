//! What a Map-Request asks for (RFC 9301 section 5.2, RFC 9437 for the N-bit).
use core::fmt;

use crate::Error;
use crate::address::Address;
use crate::cursor::{Reader, Writer};
use crate::record::check_mask_len;

/// An EID-prefix that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EidRecord<'a> {
    /// N-bit: notify the sender of changes too (RFC 9437).
    pub is_subscription: bool,
    /// Length of the EID-prefix in bits.
    pub mask_len: u8,
    /// The EID-prefix.
    pub eid: Address<'a>,
}

impl<'a> EidRecord<'a> {
    const SUBSCRIPTION: u8 = 0x80;

    fn read(
        reader: &mut Reader<'a>,
        read_address: fn(&mut Reader<'a>) -> Result<Address<'a>, Error>,
    ) -> Result<Self, Error> {
        let [flags, mask_len] = reader.array()?;
        Ok(EidRecord {
            is_subscription: flags & Self::SUBSCRIPTION != 0,
            mask_len,
            eid: read_address(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        check_mask_len(self.mask_len, &self.eid)?;
        let flags = if self.is_subscription { Self::SUBSCRIPTION } else { 0 };
        writer.put(&[flags, self.mask_len])?;
        writer.put_with(|free| self.eid.emit(free))
    }
}

impl fmt::Display for EidRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subscribe = if self.is_subscription { " subscribe" } else { "" };
        write!(f, "{}/{}{subscribe}", self.eid, self.mask_len)
    }
}

/// The EID-prefixes of one Map-Request: checked octets of a message, or values to be emitted.
#[derive(Clone, Copy)]
pub struct EidRecords<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Octets(&'a [u8], u8),
    Values(&'a [EidRecord<'a>]),
}

impl<'a> EidRecords<'a> {
    /// EID-prefixes to be asked for; a sender asks for exactly one (RFC 9301 section 5.2).
    pub const fn new(records: &'a [EidRecord<'a>]) -> Self {
        EidRecords(Source::Values(records))
    }

    pub(crate) fn read(reader: &mut Reader<'a>, count: u8) -> Result<Self, Error> {
        let start = reader.rest();
        for _ in 0..count {
            let record = EidRecord::read(reader, Address::read_from_message)?;
            check_mask_len(record.mask_len, &record.eid)?;
        }
        let octets = &start[..start.len() - reader.rest().len()];
        Ok(EidRecords(Source::Octets(octets, count)))
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Octets(_, count) => count as usize,
            Source::Values(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The EID-prefixes in order.
    pub fn iter(&self) -> impl Iterator<Item = EidRecord<'a>> + Clone + use<'a> {
        let (octets, count, values) = match self.0 {
            Source::Octets(octets, count) => (octets, count, &[][..]),
            Source::Values(values) => (&[][..], 0, values),
        };
        let mut reader = Reader::new(octets);
        (0..count)
            .map_while(move |_| EidRecord::read(&mut reader, Address::read).ok())
            .chain(values.iter().copied())
    }

    pub(crate) fn buffer_len(&self) -> usize {
        match self.0 {
            Source::Octets(octets, _) => octets.len(),
            Source::Values(values) => values.iter().map(|record| 2 + record.eid.buffer_len()).sum(),
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        match self.0 {
            Source::Octets(octets, _) => writer.put(octets),
            Source::Values(values) => values.iter().try_for_each(|record| record.write(writer)),
        }
    }
}

impl PartialEq for EidRecords<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for EidRecords<'_> {}

impl fmt::Debug for EidRecords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
