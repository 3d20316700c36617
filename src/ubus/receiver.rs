//! Whole messages from a stream that comes in any pieces.

use crate::{Error, Header};

/// What a stream brought.
#[derive(Debug)]
pub(crate) enum Received<'a> {
    /// A whole message.
    Message(&'a [u8]),
    /// The start of a message that is longer than the buffer and is skipped.
    TooLong(Header),
}

/// Gathers octets until a message is whole, in a buffer that never grows.
#[derive(Debug)]
pub(crate) struct Receiver<B> {
    buffer: B,
    /// Where the first message that was not told begins.
    start: usize,
    /// Where the octets received end.
    end: usize,
    /// Octets still to come of a message that is longer than the buffer.
    skip: usize,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Receiver<B> {
    pub(crate) const fn new(buffer: B) -> Self {
        Self { buffer, start: 0, end: 0, skip: 0 }
    }

    /// Forgets what was received; what was counted stays.
    pub(crate) const fn reset(&mut self) {
        (self.start, self.end, self.skip) = (0, 0, 0);
    }

    /// Where the next octets go; empty only before all messages were taken out.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        let buffer = self.buffer.as_mut();
        if self.start > 0 {
            buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut buffer[self.end..]
    }

    /// The first `len` octets of the space were filled.
    pub(crate) fn handle_received(&mut self, len: usize) {
        self.end = self.end.saturating_add(len).min(self.buffer.as_ref().len());
    }

    /// Takes out the next whole message, or tells of one that never will be whole.
    pub(crate) fn poll_message(&mut self) -> Result<Option<Received<'_>>, Error> {
        let skipped = self.skip.min(self.end - self.start);
        self.start += skipped;
        self.skip -= skipped;
        let waiting = &self.buffer.as_ref()[self.start..self.end];
        let Some((header, len)) = Header::parse(waiting)? else { return Ok(None) };
        if len > self.buffer.as_ref().len() {
            self.skip = len;
            return Ok(Some(Received::TooLong(header)));
        }
        if len > waiting.len() {
            return Ok(None);
        }
        let start = self.start;
        self.start += len;
        Ok(Some(Received::Message(&self.buffer.as_ref()[start..start + len])))
    }
}
