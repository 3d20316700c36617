//! What was wrong with a message, or why a request could not be made.

use core::fmt;

/// Why octets are no message, or why no message was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// A length points past the end of what holds it.
    Truncated,
    /// A length is less than that of its own header, or more than a message may have.
    Length(u32),
    /// A message of another version of the protocol.
    Version(u8),
    /// A field's name is no text, or does not end where it says.
    Name,
    /// A value does not have the length of its type, or is no text where one belongs.
    Value,
    /// The buffer has no room for the message.
    Overfull,
    /// As many requests as there may be wait for their end.
    TooManyRequests,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("a length points past the end"),
            Self::Length(len) => write!(f, "a length of {len} octets"),
            Self::Version(version) => write!(f, "version {version} of the protocol"),
            Self::Name => f.write_str("a malformed field name"),
            Self::Value => f.write_str("a value that does not fit its type"),
            Self::Overfull => f.write_str("no room for the message"),
            Self::TooManyRequests => f.write_str("too many requests wait for their end"),
        }
    }
}

impl core::error::Error for Error {}
