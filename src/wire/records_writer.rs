//! Writing records one by one, up to what a message may hold.
use crate::Error;
use crate::cursor::Writer;
use crate::record::{Locator, Record, Records};

/// Offset of the locator count in a record.
const LOCATOR_COUNT: usize = 4;

/// Puts records into a buffer. An error leaves everything written before it intact, so that a caller
/// who limits the buffer to the room in a message sends what is there and goes on with the next message.
///
/// Locators are written in the order they come: the caller sorts them by [`crate::Address::cmp_locator`]
/// (RFC 9301 section 5.5).
#[derive(Debug)]
pub struct RecordsWriter<'b> {
    buffer: &'b mut [u8],
    len: usize,
    count: u8,
    last_record_at: Option<usize>,
}

/// A place in a [`RecordsWriter`] to come back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    len: usize,
    count: u8,
    last_record_at: Option<usize>,
}

impl<'b> RecordsWriter<'b> {
    /// Starts with no record.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        RecordsWriter { buffer, len: 0, count: 0, last_record_at: None }
    }

    /// Adds a record with the locators it has; more may be pushed to it afterwards.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::TooMany`] beyond 255 records; [`Error::Malformed`] for a
    /// prefix longer than its IP address or a name with a zero octet in it.
    pub fn push_record(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let count = self.count.checked_add(1).ok_or(Error::TooMany)?;
        crate::record::check_mask_len(record.mask_len, &record.eid)?;
        let written = self.write(|writer| record.write(writer))?;
        self.last_record_at = Some(self.len);
        self.len += written;
        self.count = count;
        Ok(())
    }

    /// Adds a locator to the last record.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::TooMany`] beyond 255 locators; [`Error::Malformed`] before
    /// the first record or for a name with a zero octet in it.
    pub fn push_locator(&mut self, locator: &Locator<'_>) -> Result<(), Error> {
        let count_at = self.last_record_at.ok_or(Error::Malformed)? + LOCATOR_COUNT;
        let count = self.buffer[count_at].checked_add(1).ok_or(Error::TooMany)?;
        self.len += self.write(|writer| locator.write(writer))?;
        self.buffer[count_at] = count;
        Ok(())
    }

    /// Adds records as they are, reserved bits included.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::TooMany`] beyond 255 records.
    pub fn push_records(&mut self, records: &Records<'_>) -> Result<(), Error> {
        let count = self.count.checked_add(records.count()).ok_or(Error::TooMany)?;
        self.len += self.write(|writer| writer.put(records.octets()))?;
        self.count = count;
        self.last_record_at = None;
        Ok(())
    }

    /// Where the writer stands, to come back to when a record with all its locators does not fit.
    pub const fn mark(&self) -> Mark {
        Mark { len: self.len, count: self.count, last_record_at: self.last_record_at }
    }

    /// Forgets what was written since a mark of this writer.
    pub fn rollback(&mut self, mark: Mark) {
        if mark.len <= self.len {
            self.len = mark.len;
            self.count = mark.count;
            self.last_record_at = mark.last_record_at;
        }
    }

    /// Octets written.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no record is written.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Records written.
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// The records, to stand in a message.
    pub fn finish(self) -> Records<'b> {
        Records::from_written(&self.buffer[..self.len], self.count)
    }

    fn write(
        &mut self,
        put: impl FnOnce(&mut Writer<'_>) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        let mut writer = Writer::new(&mut self.buffer[self.len..]);
        put(&mut writer)?;
        Ok(writer.len())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::testing::hex;
    use crate::{Action, Address, AddressBuffer, InstanceId, Locators, MapVersion};

    const EID: Address<'static> = Address::Ipv4(core::net::Ipv4Addr::new(10, 1, 0, 0));
    const RECORD: Record<'static> = Record {
        ttl_minutes: 1440,
        mask_len: 24,
        action: Action::NoAction,
        is_authoritative: true,
        map_version: MapVersion(0x123),
        eid: EID,
        locators: Locators::EMPTY,
    };
    const LOCATOR: Locator<'static> = Locator {
        priority: 1,
        weight: 100,
        mpriority: 255,
        mweight: 0,
        is_local: true,
        is_probed: false,
        is_reachable: true,
        address: Address::Ipv4(core::net::Ipv4Addr::new(198, 51, 100, 2)),
    };
    const TEXT: &str = "000005a0 01 18 10 00 0123 0001 0a010000 01 64 ff 00 0005 0001 c6336402";

    #[test]
    fn a_record_is_known_both_ways() {
        let octets = hex(TEXT);
        let mut buffer = [0xa5; 64];
        let mut writer = RecordsWriter::new(&mut buffer);
        assert!(writer.is_empty());
        writer.push_record(&RECORD).unwrap();
        writer.push_locator(&LOCATOR).unwrap();
        let records = writer.finish();
        assert_eq!(records.octets(), octets);
        assert_eq!(Records::parse(&octets, 1), Ok((records, &[][..])));
        let record = records.iter().next().unwrap();
        assert_eq!(record, Record { locators: record.locators, ..RECORD });
        assert!(record.locators.iter().eq([LOCATOR]));
        assert_eq!(record.buffer_len(), octets.len());
        assert_eq!(
            records.to_string(),
            "10.1.0.0/24 ttl=1440m authoritative version=291 -> 198.51.100.2 1/100 local reachable"
        );
        for len in 0..octets.len() {
            assert_eq!(Records::parse(&octets[..len], 1), Err(Error::Truncated));
        }
    }

    #[test]
    fn a_negative_record_tells_its_action() {
        let record = Record {
            ttl_minutes: 15,
            action: Action::NativelyForward,
            is_authoritative: false,
            map_version: MapVersion(0),
            ..RECORD
        };
        let mut buffer = [0xa5; 64];
        let mut writer = RecordsWriter::new(&mut buffer);
        writer.push_record(&record).unwrap();
        let records = writer.finish();
        assert_eq!(records.octets(), hex("0000000f 00 18 20 00 0000 0001 0a010000"));
        assert_eq!(records.to_string(), "10.1.0.0/24 ttl=15m natively-forward");
    }

    #[test]
    fn reserved_bits_survive_with_the_octets() {
        let octets = hex("0000000f 01 18 2f ff f000 0001 0a010000 01 64 ff 00 fff8 0001 c6336402");
        let (records, rest) = Records::parse(&octets, 1).unwrap();
        assert!(rest.is_empty());
        assert_eq!(records.octets(), octets);
        let mut buffer = [0xa5; 64];
        let mut writer = RecordsWriter::new(&mut buffer);
        writer.push_records(&records).unwrap();
        assert_eq!(writer.finish(), records);
    }

    #[test]
    fn what_does_not_fit_leaves_what_is_there() {
        let octets = hex(TEXT);
        for len in 0..octets.len() {
            let mut buffer = std::vec![0xa5; octets.len() + len];
            let mut writer = RecordsWriter::new(&mut buffer);
            writer.push_record(&RECORD).unwrap();
            writer.push_locator(&LOCATOR).unwrap();
            let mark = writer.mark();
            let pushed = writer.push_record(&RECORD).and_then(|()| writer.push_locator(&LOCATOR));
            assert_eq!(pushed, Err(Error::BufferTooSmall));
            writer.rollback(mark);
            assert_eq!((writer.count(), writer.len()), (1, octets.len()));
            assert_eq!(writer.finish().octets(), octets);
        }
    }

    #[test]
    fn locators_go_to_the_last_record_only() {
        let mut buffer = [0; 256];
        let mut writer = RecordsWriter::new(&mut buffer);
        assert_eq!(writer.push_locator(&LOCATOR), Err(Error::Malformed));
        writer.push_record(&RECORD).unwrap();
        writer.push_record(&RECORD).unwrap();
        writer.push_locator(&LOCATOR).unwrap();
        let records = writer.finish();
        assert!(records.iter().map(|record| record.locators.len()).eq([0, 1]));
        assert!(Records::parse(records.octets(), records.count()).is_ok());
    }

    #[test]
    fn counts_do_not_wrap() {
        let mut buffer = std::vec![0; 8192];
        let mut writer = RecordsWriter::new(&mut buffer);
        for _ in 0..255 {
            writer.push_record(&RECORD).unwrap();
        }
        assert_eq!(writer.push_record(&RECORD), Err(Error::TooMany));
        for _ in 0..255 {
            writer.push_locator(&LOCATOR).unwrap();
        }
        assert_eq!(writer.push_locator(&LOCATOR), Err(Error::TooMany));
        assert_eq!(writer.finish().len(), 255);
    }

    #[test]
    fn a_prefix_longer_than_its_address_is_refused() {
        let instance = AddressBuffer::instance_id(InstanceId(1), 0, &EID).unwrap();
        let v6 = Address::Ipv6(core::net::Ipv6Addr::LOCALHOST);
        for (eid, longest) in [(EID, 32), (instance.address(), 32), (v6, 128)] {
            let mut buffer = [0; 64];
            let mut writer = RecordsWriter::new(&mut buffer);
            let too_long = Record { eid, mask_len: longest + 1, ..RECORD };
            assert_eq!(writer.push_record(&too_long), Err(Error::Malformed));
            assert_eq!(writer.push_record(&Record { mask_len: longest, ..too_long }), Ok(()));
            buffer[5] = longest + 1;
            assert_eq!(Records::parse(&buffer, 1), Err(Error::Malformed));
        }
    }

    #[test]
    fn a_foreign_vendor_in_a_record_is_refused() {
        let vendor = AddressBuffer::vendor(0x1122, &[]).unwrap();
        let list = AddressBuffer::afi_list(&crate::Addresses::new(&[vendor.address()])).unwrap();
        let mut buffer = [0; 64];
        let mut writer = RecordsWriter::new(&mut buffer);
        writer.push_record(&RECORD).unwrap();
        writer.push_locator(&Locator { address: list.address(), ..LOCATOR }).unwrap();
        let records = writer.finish();
        assert_eq!(Records::parse(records.octets(), 1), Err(Error::UnknownVendor(0x1122)));
    }

    #[test]
    fn sorted_locators_are_told_from_unsorted_ones() {
        let lower = Locator { address: EID, ..LOCATOR };
        for (pair, is_sorted) in [([lower, LOCATOR], true), ([LOCATOR, lower], false)] {
            let mut buffer = [0; 64];
            let mut writer = RecordsWriter::new(&mut buffer);
            writer.push_record(&RECORD).unwrap();
            for locator in &pair {
                writer.push_locator(locator).unwrap();
            }
            let record = writer.finish().iter().next().unwrap();
            assert_eq!(record.locators.is_sorted(), is_sorted);
        }
    }
}
