//! Messages that wait to be sent, one behind the other.

use crate::message::PREFIX_LEN;
use crate::{Error, Header, Writer};

/// Messages as octets, in a buffer that never grows.
#[derive(Debug)]
pub(crate) struct Transmitter<B> {
    buffer: B,
    /// Where the octets that were not sent begin.
    start: usize,
    /// Where they end.
    end: usize,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Transmitter<B> {
    pub(crate) const fn new(buffer: B) -> Self {
        Self { buffer, start: 0, end: 0 }
    }

    pub(crate) const fn reset(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// What is to be sent next.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.buffer.as_ref()[self.start..self.end]
    }

    /// The first `len` octets of that were sent.
    pub(crate) fn handle_transmitted(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.end);
        if self.start == self.end {
            self.reset();
        }
    }

    /// Adds a message whose attributes are written by `fill`; one without room leaves no trace.
    pub(crate) fn message(
        &mut self,
        header: Header,
        fill: &mut dyn FnMut(&mut Writer<'_>),
    ) -> Result<(), Error> {
        let buffer = self.buffer.as_mut();
        if self.start > 0 {
            buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let free = &mut buffer[self.end..];
        let Some((prefix, attributes)) = free.split_first_chunk_mut::<PREFIX_LEN>() else {
            return Err(Error::Overfull);
        };
        *prefix = header.prefix();
        let mut writer = Writer::new(attributes);
        writer.attribute(0, fill);
        self.end += PREFIX_LEN + writer.len().ok_or(Error::Overfull)?;
        Ok(())
    }
}
