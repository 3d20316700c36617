//! Which message octets hold.
use core::fmt;

use crate::{Error, encapsulated_control, info, map_notify, map_register, map_reply, map_request};

enum_with_unknown! {
    /// LISP message types (RFC 9301 section 5.1).
    pub enum MessageType(u8) {
        /// Map-Request (RFC 9301 section 5.2).
        MapRequest = 1,
        /// Map-Reply (RFC 9301 section 5.4).
        MapReply = 2,
        /// Map-Register (RFC 9301 section 5.6).
        MapRegister = 3,
        /// Map-Notify (RFC 9301 section 5.7).
        MapNotify = 4,
        /// Map-Notify-Ack (RFC 9301 section 5.7).
        MapNotifyAck = 5,
        /// DDT Map-Referral (RFC 8111 section 6.4), not decoded here.
        MapReferral = 6,
        /// Info-Request or Info-Reply (draft-ermagan-lisp-nat-traversal).
        Info = 7,
        /// Encapsulated Control Message (RFC 9301 section 5.8).
        EncapsulatedControl = 8,
        /// Shared extension (RFC 9304), not decoded here.
        SharedExtension = 15,
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MessageType::MapRequest => "Map-Request",
            MessageType::MapReply => "Map-Reply",
            MessageType::MapRegister => "Map-Register",
            MessageType::MapNotify => "Map-Notify",
            MessageType::MapNotifyAck => "Map-Notify-Ack",
            MessageType::MapReferral => "Map-Referral",
            MessageType::Info => "Info",
            MessageType::EncapsulatedControl => "Encapsulated-Control",
            MessageType::SharedExtension => "Shared-Extension",
            MessageType::Unknown(value) => return write!(f, "type-{value}"),
        })
    }
}

/// The type of the message that octets hold.
///
/// # Errors
/// [`Error::Truncated`] when there is no octet.
pub fn message_type(octets: &[u8]) -> Result<MessageType, Error> {
    let first = octets.first().ok_or(Error::Truncated)?;
    Ok(MessageType::from(first >> 4))
}

/// Any message decoded here; authentication is the reader's to verify, before this for an untrusted sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A Map-Request.
    MapRequest(map_request::Repr<'a>),
    /// A Map-Reply.
    MapReply(map_reply::Repr<'a>),
    /// A Map-Register.
    MapRegister(map_register::Repr<'a>),
    /// A Map-Notify or a Map-Notify-Ack.
    MapNotify(map_notify::Repr<'a>),
    /// An Info-Request or an Info-Reply.
    Info(info::Repr<'a>),
    /// An Encapsulated Control Message, its inner packet checked, the message in it not yet parsed.
    EncapsulatedControl(encapsulated_control::Repr<'a>),
}

impl<'a> Message<'a> {
    /// Parses a whole UDP payload.
    ///
    /// # Errors
    /// [`Error::UnexpectedType`] for a type not decoded here, else those of the message's own parser.
    pub fn parse(octets: &'a [u8]) -> Result<Self, Error> {
        Ok(match message_type(octets)? {
            MessageType::MapRequest => Message::MapRequest(map_request::Repr::parse(
                &map_request::Packet::new_checked(octets)?,
            )?),
            MessageType::MapReply => {
                Message::MapReply(map_reply::Repr::parse(&map_reply::Packet::new_checked(octets)?)?)
            }
            MessageType::MapRegister => Message::MapRegister(map_register::Repr::parse(
                &map_register::Packet::new_checked(octets)?,
            )?),
            MessageType::MapNotify | MessageType::MapNotifyAck => Message::MapNotify(
                map_notify::Repr::parse(&map_notify::Packet::new_checked(octets)?)?,
            ),
            MessageType::Info => {
                Message::Info(info::Repr::parse(&info::Packet::new_checked(octets)?)?)
            }
            MessageType::EncapsulatedControl => {
                Message::EncapsulatedControl(encapsulated_control::Repr::parse(
                    &encapsulated_control::Packet::new_checked(octets)?,
                )?)
            }
            other => return Err(Error::UnexpectedType(other)),
        })
    }

    /// Octets that [`Message::emit`] writes.
    pub fn buffer_len(&self) -> usize {
        match self {
            Message::MapRequest(repr) => repr.buffer_len(),
            Message::MapReply(repr) => repr.buffer_len(),
            Message::MapRegister(repr) => repr.buffer_len(),
            Message::MapNotify(repr) => repr.buffer_len(),
            Message::Info(repr) => repr.buffer_len(),
            Message::EncapsulatedControl(repr) => repr.buffer_len(),
        }
    }

    /// Writes the message and tells its length in octets.
    ///
    /// # Errors
    /// Those of the message's own `emit`.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        match self {
            Message::MapRequest(repr) => repr.emit(buffer),
            Message::MapReply(repr) => repr.emit(buffer),
            Message::MapRegister(repr) => repr.emit(buffer),
            Message::MapNotify(repr) => repr.emit(buffer),
            Message::Info(repr) => repr.emit(buffer),
            Message::EncapsulatedControl(repr) => repr.emit(buffer),
        }
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::MapRequest(repr) => repr.fmt(f),
            Message::MapReply(repr) => repr.fmt(f),
            Message::MapRegister(repr) => repr.fmt(f),
            Message::MapNotify(repr) => repr.fmt(f),
            Message::Info(repr) => repr.fmt(f),
            Message::EncapsulatedControl(repr) => repr.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::testing::{check_mutations, hex};

    #[test]
    fn types_are_told_by_the_first_four_bits() {
        assert_eq!(message_type(&[]), Err(Error::Truncated));
        assert_eq!(message_type(&[0x1f]), Ok(MessageType::MapRequest));
        for value in 0..16 {
            let kind = MessageType::from(value);
            assert_eq!(u8::from(kind), value);
            assert_eq!(message_type(&[value << 4]), Ok(kind));
        }
        assert_eq!(MessageType::from(9).to_string(), "type-9");
    }

    #[test]
    fn types_that_are_not_decoded_are_told() {
        for (text, kind) in [
            ("60000000", MessageType::MapReferral),
            ("f0010000", MessageType::SharedExtension),
            ("90000000", MessageType::Unknown(9)),
        ] {
            let octets = hex(text);
            assert_eq!(Message::parse(&octets), Err(Error::UnexpectedType(kind)));
            check_mutations(&octets);
        }
    }

    #[test]
    fn errors_tell_what_is_wrong() {
        assert_eq!(Error::UnknownAfi(8).to_string(), "unknown address family 8");
        assert_eq!(
            Error::UnexpectedType(MessageType::MapReferral).to_string(),
            "unexpected message type Map-Referral"
        );
    }
}
