//! Map-Notify and Map-Notify-Ack (RFC 9301 section 5.7).
//!
//! Of an untrusted message only the [`Packet`] is to be used until [`crate::auth::verify`] is content.
use core::fmt;

use crate::cursor::{Reader, Writer};
use crate::record::Records;
use crate::{AlgorithmId, Error, KeyId, MessageType, Nonce, XtrIdentity};

packet! {
    /// A view on a Map-Notify or a Map-Notify-Ack.
}

bit_fields! {
    /// I-bit, reserved in RFC 9301 and used in the field: xTR-ID and Site-ID are its last octets.
    has_xtr_identity, set_xtr_identity = 4;
    /// R-bit of draft-ermagan-lisp-nat-traversal: sent by way of an RTR.
    is_through_rtr, set_through_rtr = 5;
}

authenticated_packet!(MessageType::MapNotify | MessageType::MapNotifyAck);

/// The fields of a Map-Notify or a Map-Notify-Ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr<'a> {
    /// Whether it is a Map-Notify-Ack.
    pub is_ack: bool,
    /// R-bit of draft-ermagan-lisp-nat-traversal: sent by way of an RTR.
    pub is_through_rtr: bool,
    /// Ties it to a Map-Register, a subscription or a publication.
    pub nonce: Nonce,
    /// Which secret authenticates the message.
    pub key_id: KeyId,
    /// How it does.
    pub algorithm: AlgorithmId,
    /// The authentication data; [`crate::auth::blank`] before signing.
    pub authentication_data: &'a [u8],
    /// The mappings.
    pub records: Records<'a>,
    /// Who sends it, when the I-bit is set.
    pub xtr_identity: Option<XtrIdentity>,
}

impl<'a> Repr<'a> {
    /// Parses the whole message.
    ///
    /// # Errors
    /// Those of [`Packet::check_len`] and [`Records::parse`]; [`Error::Malformed`] when octets are left over.
    pub fn parse(packet: &Packet<&'a [u8]>) -> Result<Self, Error> {
        packet.check_len()?;
        let (authentication_data, records) = packet.parts()?;
        Ok(Repr {
            is_ack: packet.message_type() == MessageType::MapNotifyAck,
            is_through_rtr: packet.is_through_rtr(),
            nonce: packet.nonce(),
            key_id: packet.key_id(),
            algorithm: packet.algorithm(),
            authentication_data,
            records,
            xtr_identity: packet.xtr_identity(),
        })
    }

    /// Map-Notify or Map-Notify-Ack.
    pub const fn message_type(&self) -> MessageType {
        if self.is_ack { MessageType::MapNotifyAck } else { MessageType::MapNotify }
    }

    fn emit_flags(&self, packet: &mut Packet<&mut [u8]>) {
        packet.set_message_type(self.message_type());
        packet.set_xtr_identity(self.xtr_identity.is_some());
        packet.set_through_rtr(self.is_through_rtr);
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} nonce={}", self.message_type(), self.nonce)?;
        f.write_str(if self.is_through_rtr { " through-rtr" } else { "" })?;
        self.fmt_rest(f)
    }
}
