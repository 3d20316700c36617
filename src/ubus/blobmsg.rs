//! Named, typed values in attributes, nested as tables and arrays.

use core::fmt;

use crate::blob::{Attribute, Attributes, padded, terminated};
use crate::{Error, Writer};

pub(crate) const NULL: u8 = 0;
pub(crate) const ARRAY: u8 = 1;
pub(crate) const TABLE: u8 = 2;
pub(crate) const STRING: u8 = 3;
pub(crate) const I64: u8 = 4;
pub(crate) const I32: u8 = 5;
pub(crate) const I16: u8 = 6;
pub(crate) const I8: u8 = 7;
pub(crate) const DOUBLE: u8 = 8;

/// Octets of a name's length before it.
const NAME_LEN_LEN: usize = 2;

/// A value with its name, which is empty in an array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: Value<'a>,
}

/// A typed value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// Values without names.
    Array(Fields<'a>),
    /// Values with names.
    Table(Fields<'a>),
    /// A text, without the NUL that ends it, in any encoding.
    String(&'a [u8]),
    /// A number of 64 bits.
    I64(i64),
    /// A number of 32 bits; object identifiers are told in it, too.
    I32(i32),
    /// A number of 16 bits.
    I16(i16),
    /// A number of 8 bits, or a truth value.
    I8(i8),
    /// A floating point number.
    Double(f64),
    /// A value of a type that is not known, and its octets.
    Unknown(u8, &'a [u8]),
}

impl<'a> Value<'a> {
    fn parse(type_: u8, data: &'a [u8]) -> Result<Self, Error> {
        Ok(match type_ {
            NULL if data.is_empty() => Self::Null,
            NULL => return Err(Error::Value),
            ARRAY => Self::Array(Fields::new(data)),
            TABLE => Self::Table(Fields::new(data)),
            STRING => Self::String(terminated(data)?),
            I64 => Self::I64(i64::from_be_bytes(exact(data)?)),
            I32 => Self::I32(i32::from_be_bytes(exact(data)?)),
            I16 => Self::I16(i16::from_be_bytes(exact(data)?)),
            I8 => Self::I8(i8::from_be_bytes(exact(data)?)),
            DOUBLE => Self::Double(f64::from_be_bytes(exact(data)?)),
            _ => Self::Unknown(type_, data),
        })
    }

    /// The text of a string that is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        match self {
            Self::String(octets) => core::str::from_utf8(octets).ok(),
            _ => None,
        }
    }

    /// A truth value.
    #[must_use]
    pub const fn boolean(&self) -> Option<bool> {
        match self {
            Self::I8(value) => Some(*value != 0),
            _ => None,
        }
    }
}

fn exact<const N: usize>(data: &[u8]) -> Result<[u8; N], Error> {
    data.try_into().map_err(|_| Error::Value)
}

/// The fields of a table, an array or a message; after an error come no more. Only what is asked
/// for is parsed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields<'a> {
    attributes: Attributes<'a>,
}

impl<'a> Fields<'a> {
    /// The fields in octets.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { attributes: Attributes::new(octets) }
    }

    /// Puts each field, and what is in it, into a message. What a writer of ours would write
    /// otherwise, such as padding that is not zero, comes out as ours.
    ///
    /// # Errors
    /// At the first malformed field; those before it are written. Values of unknown type, and more
    /// than `depth` tables or arrays in each other, are an [`Error::Value`].
    pub fn emit(self, writer: &mut Writer<'_>, depth: usize) -> Result<(), Error> {
        for field in self {
            let Field { name, value } = field?;
            match value {
                Value::Null => writer.null(name),
                Value::Array(_) | Value::Table(_) if depth == 0 => return Err(Error::Value),
                Value::Array(fields) => {
                    let mut inner = Ok(());
                    writer.array(name, &mut |writer| inner = fields.emit(writer, depth - 1));
                    inner?;
                }
                Value::Table(fields) => {
                    let mut inner = Ok(());
                    writer.table(name, &mut |writer| inner = fields.emit(writer, depth - 1));
                    inner?;
                }
                Value::String(text) => writer.string(name, text),
                Value::I64(value) => writer.i64(name, value),
                Value::I32(value) => writer.i32(name, value),
                Value::I16(value) => writer.i16(name, value),
                Value::I8(value) => writer.i8(name, value),
                Value::Double(value) => writer.double(name, value),
                Value::Unknown(..) => return Err(Error::Value),
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.attributes.next()?.and_then(field);
        if field.is_err() {
            self.attributes = Attributes::default();
        }
        Some(field)
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields { .. }")
    }
}

fn field(attribute: Attribute<'_>) -> Result<Field<'_>, Error> {
    let (name, data) =
        if attribute.is_extended { split_name(attribute.data)? } else { ("", attribute.data) };
    Ok(Field { name, value: Value::parse(attribute.id, data)? })
}

/// The name, its length before it and a NUL behind it, padded; and what follows.
fn split_name(data: &[u8]) -> Result<(&str, &[u8]), Error> {
    let (len, _) = data.split_first_chunk().ok_or(Error::Truncated)?;
    let end = NAME_LEN_LEN + usize::from(u16::from_be_bytes(*len));
    let rest = data.get(named_len(end - NAME_LEN_LEN)..).ok_or(Error::Truncated)?;
    let name = core::str::from_utf8(&data[NAME_LEN_LEN..end]).map_err(|_| Error::Name)?;
    if data[end] != 0 || name.contains('\0') {
        return Err(Error::Name);
    }
    Ok((name, rest))
}

/// Octets that a name of a length takes, with its length, its NUL and its padding.
pub(crate) const fn named_len(name_len: usize) -> usize {
    padded(NAME_LEN_LEN + name_len + 1)
}
