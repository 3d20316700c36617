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
