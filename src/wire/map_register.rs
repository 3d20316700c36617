//! Map-Register (RFC 9301 section 5.6).
//!
//! Of an untrusted message only the [`Packet`] is to be used until [`crate::auth::verify`] is content.
use core::fmt;

use crate::cursor::{Reader, Writer};
use crate::record::Records;
use crate::{AlgorithmId, Error, KeyId, MessageType, Nonce, XtrIdentity};

packet! {
    /// A view on a Map-Register.
}

bit_fields! {
    /// P-bit: the Map-Server is to answer for the site.
    is_proxy_reply, set_proxy_reply = 4;
    /// S-bit: the site knows LISP-SEC (RFC 9303).
    is_security_capable, set_security_capable = 5;
    /// I-bit: xTR-ID and Site-ID are its last octets.
    has_xtr_identity, set_xtr_identity = 6;
    /// R-bit of draft-ermagan-lisp-nat-traversal: sent by way of an RTR.
    is_through_rtr, set_through_rtr = 7;
    /// E-bit: tells of a dynamic EID.
    is_eid_notify, set_eid_notify = 19;
    /// T-bit: the registration lasts as long as the record TTL.
    is_ttl_timeout, set_ttl_timeout = 20;
    /// a-bit: locators of several xTRs are to be merged.
    is_merge_request, set_merge_request = 21;
    /// M-bit: a Map-Notify is wanted.
    is_want_map_notify, set_want_map_notify = 23;
}

authenticated_packet!(MessageType::MapRegister);

/// The fields of a Map-Register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr<'a> {
    /// P-bit: the Map-Server is to answer for the site.
    pub is_proxy_reply: bool,
    /// S-bit: the site knows LISP-SEC (RFC 9303).
    pub is_security_capable: bool,
    /// R-bit of draft-ermagan-lisp-nat-traversal: sent by way of an RTR.
    pub is_through_rtr: bool,
    /// E-bit: tells of a dynamic EID.
    pub is_eid_notify: bool,
    /// T-bit: the registration lasts as long as the record TTL.
    pub is_ttl_timeout: bool,
    /// a-bit: locators of several xTRs are to be merged.
    pub is_merge_request: bool,
    /// M-bit: a Map-Notify is wanted.
    pub is_want_map_notify: bool,
    /// Greater than in any Map-Register before.
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
            is_proxy_reply: packet.is_proxy_reply(),
            is_security_capable: packet.is_security_capable(),
            is_through_rtr: packet.is_through_rtr(),
            is_eid_notify: packet.is_eid_notify(),
            is_ttl_timeout: packet.is_ttl_timeout(),
            is_merge_request: packet.is_merge_request(),
            is_want_map_notify: packet.is_want_map_notify(),
            nonce: packet.nonce(),
            key_id: packet.key_id(),
            algorithm: packet.algorithm(),
            authentication_data,
            records,
            xtr_identity: packet.xtr_identity(),
        })
    }

    fn emit_flags(&self, packet: &mut Packet<&mut [u8]>) {
        packet.set_message_type(MessageType::MapRegister);
        packet.set_proxy_reply(self.is_proxy_reply);
        packet.set_security_capable(self.is_security_capable);
        packet.set_xtr_identity(self.xtr_identity.is_some());
        packet.set_through_rtr(self.is_through_rtr);
        packet.set_eid_notify(self.is_eid_notify);
        packet.set_ttl_timeout(self.is_ttl_timeout);
        packet.set_merge_request(self.is_merge_request);
        packet.set_want_map_notify(self.is_want_map_notify);
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map-Register nonce={}", self.nonce)?;
        for (is_set, name) in [
            (self.is_proxy_reply, " proxy-reply"),
            (self.is_security_capable, " security-capable"),
            (self.is_through_rtr, " through-rtr"),
            (self.is_eid_notify, " eid-notify"),
            (self.is_ttl_timeout, " ttl-timeout"),
            (self.is_merge_request, " merge"),
            (self.is_want_map_notify, " want-map-notify"),
        ] {
            f.write_str(if is_set { name } else { "" })?;
        }
        self.fmt_rest(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_message, hex};
    use crate::{Message, SiteId, XtrId, auth};

    const TEXT: &str = "3f 00 1d 01 1122334455667788 05 02 0010 \
                        a0a1a2a3a4a5a6a7a8a9aaabacadaeaf \
                        0000003c 01 18 10 00 0000 0001 0a010000 01 64 ff 00 0005 0001 c6336402 \
                        000102030405060708090a0b0c0d0e0f 0000000000000007";

    #[test]
    fn every_flag_is_known_both_ways() {
        let octets = hex(TEXT);
        let expected = Repr {
            is_proxy_reply: true,
            is_security_capable: true,
            is_through_rtr: true,
            is_eid_notify: true,
            is_ttl_timeout: true,
            is_merge_request: true,
            is_want_map_notify: true,
            nonce: Nonce(0x1122_3344_5566_7788),
            key_id: KeyId(5),
            algorithm: AlgorithmId::HmacSha256_128,
            authentication_data: &octets[16..32],
            records: Records::parse(&octets[32..60], 1).unwrap().0,
            xtr_identity: Some(XtrIdentity {
                xtr_id: XtrId(core::array::from_fn(|index| index as u8)),
                site_id: SiteId(7),
            }),
        };
        check_message(
            &octets,
            Message::MapRegister(expected),
            "Map-Register nonce=0x1122334455667788 proxy-reply security-capable through-rtr \
             eid-notify ttl-timeout merge want-map-notify key-id=5 hmac-sha-256-128 \
             xtr-id=000102030405060708090a0b0c0d0e0f site-id=0000000000000007 \
             records=(10.1.0.0/24 ttl=60m authoritative -> 198.51.100.2 1/100 local reachable)",
        );
    }

    #[test]
    fn no_flag_and_no_authentication_are_known_both_ways() {
        let octets = hex("30 00 00 00 0000000000000001 00 00 0000");
        let expected = Repr {
            is_proxy_reply: false,
            is_security_capable: false,
            is_through_rtr: false,
            is_eid_notify: false,
            is_ttl_timeout: false,
            is_merge_request: false,
            is_want_map_notify: false,
            nonce: Nonce(1),
            key_id: KeyId(0),
            algorithm: AlgorithmId::None,
            authentication_data: &[],
            records: Records::EMPTY,
            xtr_identity: None,
        };
        let text = "Map-Register nonce=0x0000000000000001 key-id=0 none records=()";
        check_message(&octets, Message::MapRegister(expected), text);
    }

    #[test]
    fn each_flag_is_one_bit() {
        type Get = fn(&Packet<[u8; HEADER_LEN]>) -> bool;
        type Set = fn(&mut Packet<[u8; HEADER_LEN]>, bool);
        let flags: [(u32, Get, Set); 8] = [
            (0x0800_0000, Packet::is_proxy_reply, Packet::set_proxy_reply),
            (0x0400_0000, Packet::is_security_capable, Packet::set_security_capable),
            (0x0200_0000, Packet::has_xtr_identity, Packet::set_xtr_identity),
            (0x0100_0000, Packet::is_through_rtr, Packet::set_through_rtr),
            (0x0000_1000, Packet::is_eid_notify, Packet::set_eid_notify),
            (0x0000_0800, Packet::is_ttl_timeout, Packet::set_ttl_timeout),
            (0x0000_0400, Packet::is_merge_request, Packet::set_merge_request),
            (0x0000_0100, Packet::is_want_map_notify, Packet::set_want_map_notify),
        ];
        for (mask, is_set, set) in flags {
            let mut packet = Packet::new_unchecked([0; HEADER_LEN]);
            assert!(!is_set(&packet));
            set(&mut packet, true);
            assert!(is_set(&packet));
            assert_eq!(packet.buffer[..4], mask.to_be_bytes());
        }
    }

    #[test]
    fn identity_and_authentication_are_found_before_the_records_are_looked_at() {
        let mut octets = hex(TEXT);
        octets[32..60].fill(0xff);
        let packet = Packet::new_checked(&octets[..]).unwrap();
        assert_eq!(packet.authentication_data(), &octets[16..32]);
        assert_eq!(packet.xtr_identity().unwrap().site_id, SiteId(7));
        assert_eq!(packet.record_octets(), [0xff; 28]);
        assert_eq!(packet.nonce(), Nonce(0x1122_3344_5566_7788));
        assert!(Repr::parse(&packet).is_err());
    }

    #[test]
    fn a_register_is_emitted_signed_and_verified() {
        let octets = hex(TEXT);
        let mut repr = Repr::parse(&Packet::new_checked(&octets[..]).unwrap()).unwrap();
        for length in [auth::MacLength::Full, auth::MacLength::Truncated] {
            for covers_xtr_id in [true, false] {
                let sent = auth::SentAuthentication { length, covers_xtr_id };
                repr.authentication_data = sent.blank(repr.algorithm);
                let mut buffer = [0xa5; 128];
                let len = repr.emit(&mut buffer).unwrap();
                auth::sign(&mut buffer[..len], b"secret", sent).unwrap();
                assert_eq!(auth::verify(&buffer[..len], b"secret"), Ok(()));
            }
        }
    }
}
