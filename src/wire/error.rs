//! What can be wrong with a message.
use core::fmt;

use crate::message::MessageType;

/// Why octets are no LISP message, or a message does not fit where it should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The message ends before its fields do.
    Truncated,
    /// A field contradicts another one or the format.
    Malformed,
    /// An address family without a known length: the message must be dropped (RFC 9301 section 5.1).
    UnknownAfi(u16),
    /// A vendor address under a foreign OUI: the message must be dropped (RFC 9306 section 4).
    UnknownVendor(u32),
    /// Addresses nested deeper than [`crate::address::MAX_DEPTH`].
    TooDeep,
    /// A message of another type than the one asked for, or one that is not decoded here.
    UnexpectedType(MessageType),
    /// An inner packet that is neither IPv4 nor IPv6.
    UnsupportedVersion(u8),
    /// A checksum of the inner packet is wrong or absent (RFC 9301 section 5.8).
    Checksum,
    /// More entries than their count field can tell.
    TooMany,
    /// The octets do not fit the buffer.
    BufferTooSmall,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Truncated => f.write_str("message ends before its fields do"),
            Error::Malformed => f.write_str("malformed message"),
            Error::UnknownAfi(afi) => write!(f, "unknown address family {afi}"),
            Error::UnknownVendor(oui) => write!(f, "vendor address of unknown OUI {oui:06x}"),
            Error::TooDeep => f.write_str("addresses nested too deep"),
            Error::UnexpectedType(kind) => write!(f, "unexpected message type {kind}"),
            Error::UnsupportedVersion(version) => write!(f, "inner IP version {version}"),
            Error::Checksum => f.write_str("wrong checksum of the inner packet"),
            Error::TooMany => f.write_str("more entries than the count field can tell"),
            Error::BufferTooSmall => f.write_str("buffer too small"),
        }
    }
}

impl core::error::Error for Error {}
