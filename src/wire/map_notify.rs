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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_message, hex};
    use crate::{Message, SiteId, XtrId};

    #[test]
    fn a_notify_without_flags_is_known_both_ways() {
        let octets = hex("40 00 00 01 0000000100000002 01 01 000c a0a1a2a3a4a5a6a7a8a9aaab \
                          0000003c 00 18 00 00 0000 0001 0a010000");
        let expected = Repr {
            is_ack: false,
            is_through_rtr: false,
            nonce: Nonce(0x1_0000_0002),
            key_id: KeyId(1),
            algorithm: AlgorithmId::HmacSha1_96,
            authentication_data: &octets[16..28],
            records: Records::parse(&octets[28..], 1).unwrap().0,
            xtr_identity: None,
        };
        check_message(
            &octets,
            Message::MapNotify(expected),
            "Map-Notify nonce=0x0000000100000002 key-id=1 hmac-sha-1-96 \
             records=(10.1.0.0/24 ttl=60m no-action)",
        );
    }

    #[test]
    fn an_ack_with_every_flag_is_known_both_ways() {
        let octets = hex("5c 00 00 00 0000000100000002 00 09 0000 \
                          000102030405060708090a0b0c0d0e0f 0000000000000007");
        let expected = Repr {
            is_ack: true,
            is_through_rtr: true,
            nonce: Nonce(0x1_0000_0002),
            key_id: KeyId(0),
            algorithm: AlgorithmId::Unknown(9),
            authentication_data: &[],
            records: Records::EMPTY,
            xtr_identity: Some(XtrIdentity {
                xtr_id: XtrId(core::array::from_fn(|index| index as u8)),
                site_id: SiteId(7),
            }),
        };
        check_message(
            &octets,
            Message::MapNotify(expected),
            "Map-Notify-Ack nonce=0x0000000100000002 through-rtr key-id=0 algorithm-9 \
             xtr-id=000102030405060708090a0b0c0d0e0f site-id=0000000000000007 records=()",
        );
    }

    #[test]
    fn other_types_are_refused() {
        let octets = hex("30 00 00 00 0000000000000001 00 00 0000");
        let error = Error::UnexpectedType(MessageType::MapRegister);
        assert_eq!(Packet::new_checked(&octets[..]), Err(error));
    }

    #[test]
    fn authentication_data_beyond_the_message_is_truncated() {
        for text in [
            "40 00 00 00 0000000000000001 00 00 0001",
            "48 00 00 00 0000000000000001 00 00 0000 00",
        ] {
            assert_eq!(Packet::new_checked(&hex(text)[..]), Err(Error::Truncated));
        }
    }
}
