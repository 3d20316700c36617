//! Attributes and fields, put one after the other into a buffer.

use crate::blob::{ATTRIBUTE_HEADER_LEN, MAX_ATTRIBUTE_LEN, join_word, padded};
use crate::blobmsg::{self, named_len};

/// Writes what belongs into something.
type Fill<'f> = &'f mut dyn FnMut(&mut Writer<'_>);

/// Writes fields. What does not fit is noted, and refused when the message is complete.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
    is_overfull: bool,
}

impl<'b> Writer<'b> {
    /// Writes from the start of a buffer.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0, is_overfull: false }
    }

    /// The octets written; `None` when they did not fit.
    #[must_use]
    pub const fn len(&self) -> Option<usize> {
        if self.is_overfull { None } else { Some(self.len) }
    }

    /// True when nothing was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0 && !self.is_overfull
    }

    /// The octets that fit in all.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// Writes what `fill` writes, or nothing and says so when more than `max_len` octets would be
    /// written then.
    pub fn within(&mut self, max_len: usize, fill: Fill<'_>) -> bool {
        let Some(before) = self.len() else { return false };
        fill(self);
        let is_within = self.len().is_some_and(|len| len <= max_len);
        if !is_within {
            (self.len, self.is_overfull) = (before, false);
        }
        is_within
    }

    /// Writes no value.
    pub fn null(&mut self, name: &str) {
        self.value(blobmsg::NULL, name, &[]);
    }

    /// Writes values without names: those that `fill` writes should have empty ones.
    pub fn array(&mut self, name: &str, fill: Fill<'_>) {
        self.field(blobmsg::ARRAY, name, fill);
    }

    /// Writes values with names.
    pub fn table(&mut self, name: &str, fill: Fill<'_>) {
        self.field(blobmsg::TABLE, name, fill);
    }

    /// Writes a text, and the NUL that ends it.
    pub fn string(&mut self, name: &str, text: impl AsRef<[u8]>) {
        self.value(blobmsg::STRING, name, &[text.as_ref(), &[0]]);
    }

    /// Writes a number of 64 bits.
    pub fn i64(&mut self, name: &str, value: i64) {
        self.value(blobmsg::I64, name, &[&value.to_be_bytes()]);
    }

    /// Writes a number of 32 bits.
    pub fn i32(&mut self, name: &str, value: i32) {
        self.value(blobmsg::I32, name, &[&value.to_be_bytes()]);
    }

    /// Writes a number of 16 bits.
    pub fn i16(&mut self, name: &str, value: i16) {
        self.value(blobmsg::I16, name, &[&value.to_be_bytes()]);
    }

    /// Writes a number of 8 bits.
    pub fn i8(&mut self, name: &str, value: i8) {
        self.value(blobmsg::I8, name, &[&value.to_be_bytes()]);
    }

    /// Writes a truth value.
    pub fn boolean(&mut self, name: &str, value: bool) {
        self.i8(name, value.into());
    }

    /// Writes a floating point number.
    pub fn double(&mut self, name: &str, value: f64) {
        self.value(blobmsg::DOUBLE, name, &[&value.to_be_bytes()]);
    }

    fn value(&mut self, type_: u8, name: &str, parts: &[&[u8]]) {
        self.field(type_, name, &mut |writer| writer.all(parts));
    }

    fn field(&mut self, type_: u8, name: &str, fill: Fill<'_>) {
        let start = self.start();
        self.name(name);
        fill(self);
        self.end(start, type_, true);
    }

    fn name(&mut self, name: &str) {
        match u16::try_from(name.len()) {
            Ok(len) => self.octets(&len.to_be_bytes()),
            Err(_) => self.is_overfull = true,
        }
        self.octets(name.as_bytes());
        let name_len = 2 + name.len();
        self.zeros(named_len(name.len()) - name_len);
    }

    /// Writes an attribute whose data is written by `fill`.
    pub(crate) fn attribute(&mut self, id: u8, fill: Fill<'_>) {
        let start = self.start();
        fill(self);
        self.end(start, id, false);
    }

    /// Writes an attribute with a number.
    pub(crate) fn u32(&mut self, id: u8, value: u32) {
        self.plain(id, &[&value.to_be_bytes()]);
    }

    /// Writes an attribute with a text, and the NUL that ends it.
    pub(crate) fn text(&mut self, id: u8, text: &str) {
        self.plain(id, &[text.as_bytes(), &[0]]);
    }

    /// Writes an attribute with a number of 8 bits.
    pub(crate) fn octet(&mut self, id: u8, value: u8) {
        self.plain(id, &[&[value]]);
    }

    fn plain(&mut self, id: u8, parts: &[&[u8]]) {
        self.attribute(id, &mut |writer| writer.all(parts));
    }

    fn all(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.octets(part);
        }
    }

    /// Writes octets as they are.
    pub(crate) fn octets(&mut self, octets: &[u8]) {
        let end = self.len.saturating_add(octets.len());
        match self.buffer.get_mut(self.len..end) {
            Some(free) if !self.is_overfull => {
                free.copy_from_slice(octets);
                self.len = end;
            }
            _ => self.is_overfull = true,
        }
    }

    fn zeros(&mut self, count: usize) {
        for _ in 0..count {
            self.octets(&[0]);
        }
    }

    /// Leaves room for a header, and tells where.
    fn start(&mut self) -> usize {
        let start = self.len;
        self.octets(&[0; ATTRIBUTE_HEADER_LEN]);
        start
    }

    fn end(&mut self, start: usize, id: u8, is_extended: bool) {
        let len = self.len - start;
        self.is_overfull |= len > MAX_ATTRIBUTE_LEN;
        if self.is_overfull {
            return;
        }
        let word = join_word(id, is_extended, len);
        self.buffer[start..start + ATTRIBUTE_HEADER_LEN].copy_from_slice(&word.to_be_bytes());
        self.zeros(padded(len) - len);
    }
}
