//! EID-records and the locators in them, as Map-Reply, Map-Register, Map-Notify and Map-Notify-Ack carry them (RFC 9301 section 5.4).
use core::cmp::Ordering;
use core::fmt;

use crate::address::Address;
use crate::cursor::{Reader, Writer};
use crate::{Action, Error, MapVersion};

/// Octets of a record before its EID-prefix.
pub const RECORD_HEADER_LEN: usize = 10;

/// Octets of a locator before its address.
pub const LOCATOR_HEADER_LEN: usize = 6;

/// Priority of a locator that must not be used (RFC 9301 section 5.4).
pub const UNUSABLE_PRIORITY: u8 = 255;

/// Record TTL that leaves the time to the receiver (RFC 9301 section 5.4).
pub const UNLIMITED_TTL: u32 = 0xffff_ffff;

mod bit {
    /// A-bit within the octet that starts with ACT.
    pub(super) const AUTHORITATIVE: u8 = 0x10;
    pub(super) const LOCAL: u16 = 0x0004;
    pub(super) const PROBED: u16 = 0x0002;
    pub(super) const REACHABLE: u16 = 0x0001;
}

/// A mapping as it stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// How long to keep it, in minutes; 0 removes it at once, [`UNLIMITED_TTL`] leaves it to the receiver.
    pub ttl_minutes: u32,
    /// Length of the EID-prefix in bits.
    pub mask_len: u8,
    /// What to do without locators.
    pub action: Action,
    /// A-bit: whether the owner of the EID-prefix answered.
    pub is_authoritative: bool,
    /// Version of the mapping, 12 bits.
    pub map_version: MapVersion,
    /// The EID-prefix.
    pub eid: Address<'a>,
    /// Where it is.
    pub locators: Locators<'a>,
}

impl<'a> Record<'a> {
    fn read(reader: &mut Reader<'a>, read_address: ReadAddress<'a>) -> Result<Self, Error> {
        let ttl_minutes = reader.u32()?;
        let [locator_count, mask_len, action, _reserved] = reader.array()?;
        let map_version = MapVersion(reader.u16()? & 0x0fff);
        let eid = read_address(reader)?;
        let start = reader.rest();
        for _ in 0..locator_count {
            Locator::read(reader, read_address)?;
        }
        let octets = &start[..start.len() - reader.rest().len()];
        Ok(Record {
            ttl_minutes,
            mask_len,
            action: Action::from(action >> 5),
            is_authoritative: action & bit::AUTHORITATIVE != 0,
            map_version,
            eid,
            locators: Locators { octets, count: locator_count },
        })
    }

    /// Octets that the record takes in a message.
    pub const fn buffer_len(&self) -> usize {
        RECORD_HEADER_LEN + self.eid.buffer_len() + self.locators.octets.len()
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let authoritative = if self.is_authoritative { bit::AUTHORITATIVE } else { 0 };
        let action = u8::from(self.action) << 5 | authoritative;
        writer.put(&self.ttl_minutes.to_be_bytes())?;
        writer.put(&[self.locators.count, self.mask_len, action, 0])?;
        writer.put(&(self.map_version.0 & 0x0fff).to_be_bytes())?;
        writer.put_with(|free| self.eid.emit(free))?;
        writer.put(self.locators.octets)
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ttl={}m", self.eid, self.mask_len, self.ttl_minutes)?;
        if self.is_authoritative {
            f.write_str(" authoritative")?;
        }
        if self.map_version != MapVersion(0) {
            write!(f, " version={}", self.map_version)?;
        }
        if self.locators.is_empty() {
            return write!(f, " {}", self.action);
        }
        for (index, locator) in self.locators.iter().enumerate() {
            write!(f, "{}{locator}", if index == 0 { " -> " } else { ", " })?;
        }
        Ok(())
    }
}

/// One way to reach an EID-prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locator<'a> {
    /// Lower is preferred, [`UNUSABLE_PRIORITY`] is never used.
    pub priority: u8,
    /// Share of the traffic among locators of one priority.
    pub weight: u8,
    /// Priority for multicast.
    pub mpriority: u8,
    /// Weight for multicast.
    pub mweight: u8,
    /// L-bit: the locator belongs to the sender.
    pub is_local: bool,
    /// p-bit: the locator is the one being probed.
    pub is_probed: bool,
    /// R-bit: the sender has a route to it.
    pub is_reachable: bool,
    /// The address, with a key around it or not.
    pub address: Address<'a>,
}

impl<'a> Locator<'a> {
    fn read(reader: &mut Reader<'a>, read_address: ReadAddress<'a>) -> Result<Self, Error> {
        let [priority, weight, mpriority, mweight] = reader.array()?;
        let flags = reader.u16()?;
        Ok(Locator {
            priority,
            weight,
            mpriority,
            mweight,
            is_local: flags & bit::LOCAL != 0,
            is_probed: flags & bit::PROBED != 0,
            is_reachable: flags & bit::REACHABLE != 0,
            address: read_address(reader)?,
        })
    }

    /// Octets that the locator takes in a message.
    pub const fn buffer_len(&self) -> usize {
        LOCATOR_HEADER_LEN + self.address.buffer_len()
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let mut flags = 0;
        for (is_set, bit) in [
            (self.is_local, bit::LOCAL),
            (self.is_probed, bit::PROBED),
            (self.is_reachable, bit::REACHABLE),
        ] {
            flags |= if is_set { bit } else { 0 };
        }
        writer.put(&[self.priority, self.weight, self.mpriority, self.mweight])?;
        writer.put(&flags.to_be_bytes())?;
        writer.put_with(|free| self.address.emit(free))
    }
}

impl fmt::Display for Locator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.address, self.priority, self.weight)?;
        for (is_set, name) in [
            (self.is_local, " local"),
            (self.is_probed, " probed"),
            (self.is_reachable, " reachable"),
        ] {
            f.write_str(if is_set { name } else { "" })?;
        }
        Ok(())
    }
}

/// How an address is taken off octets: with its nested ones checked, or known to be checked.
type ReadAddress<'a> = fn(&mut Reader<'a>) -> Result<Address<'a>, Error>;

/// Checked locators of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locators<'a> {
    octets: &'a [u8],
    count: u8,
}

impl<'a> Locators<'a> {
    /// No locator: a negative answer, or a record whose locators are pushed afterwards.
    pub const EMPTY: Locators<'static> = Locators { octets: &[], count: 0 };

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The locators in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = Locator<'a>> + Clone + use<'a> {
        let mut reader = Reader::new(self.octets);
        (0..self.count).map_while(move |_| Locator::read(&mut reader, Address::read).ok())
    }

    /// Whether they stand in the order that RFC 9301 section 5.5 asks for.
    pub fn is_sorted(&self) -> bool {
        self.iter().is_sorted_by(|a, b| a.address.cmp_locator(&b.address) != Ordering::Greater)
    }
}

/// Checked records of one message, which is also their only limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records<'a> {
    octets: &'a [u8],
    count: u8,
}

impl<'a> Records<'a> {
    /// No record.
    pub const EMPTY: Records<'static> = Records { octets: &[], count: 0 };

    /// Takes records off the front, each address in them checked, and gives what follows them.
    ///
    /// # Errors
    /// Those of [`Address::parse`]; [`Error::UnknownVendor`]; [`Error::Malformed`] for a prefix longer
    /// than its IP address.
    pub fn parse(octets: &'a [u8], count: u8) -> Result<(Self, &'a [u8]), Error> {
        let mut reader = Reader::new(octets);
        let records = Self::read(&mut reader, count)?;
        Ok((records, reader.rest()))
    }

    pub(crate) fn read(reader: &mut Reader<'a>, count: u8) -> Result<Self, Error> {
        let start = reader.rest();
        for _ in 0..count {
            let record = Record::read(reader, Address::read_from_message)?;
            check_mask_len(record.mask_len, &record.eid)?;
        }
        let octets = &start[..start.len() - reader.rest().len()];
        Ok(Records { octets, count })
    }

    /// Records that were written one by one.
    pub(crate) const fn from_written(octets: &'a [u8], count: u8) -> Self {
        Records { octets, count }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their number as a message header has it.
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// Their octets, reserved bits included.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The records in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = Record<'a>> + Clone + use<'a> {
        let mut reader = Reader::new(self.octets);
        (0..self.count).map_while(move |_| Record::read(&mut reader, Address::read).ok())
    }
}

impl fmt::Display for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, record) in self.iter().enumerate() {
            write!(f, "{}{record}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// A mask longer than the IP address it masks is refused; other kinds of EID say nothing about it.
pub(crate) fn check_mask_len(mask_len: u8, eid: &Address<'_>) -> Result<(), Error> {
    match eid.mask_bits() {
        Some(bits) if mask_len > bits => Err(Error::Malformed),
        _ => Ok(()),
    }
}
