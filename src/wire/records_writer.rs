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
