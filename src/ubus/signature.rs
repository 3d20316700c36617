//! The methods of an object as it is published.

use crate::blobmsg;

/// A method of an object of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its arguments by name. ubusd shows them to callers and holds nobody to them.
    pub arguments: &'a [(&'a str, Type)],
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Values without names.
    Array,
    /// Values with names.
    Table,
    /// A text.
    String,
    /// A number of 64 bits.
    I64,
    /// A number of 32 bits.
    I32,
    /// A truth value.
    Boolean,
}

impl Type {
    pub(crate) fn number(self) -> i32 {
        let number = match self {
            Self::Array => blobmsg::ARRAY,
            Self::Table => blobmsg::TABLE,
            Self::String => blobmsg::STRING,
            Self::I64 => blobmsg::I64,
            Self::I32 => blobmsg::I32,
            Self::Boolean => blobmsg::I8,
        };
        number.into()
    }
}
