//! Info-Request and Info-Reply, by which an xTR finds the NAT before it (draft-ermagan-lisp-nat-traversal).
use core::fmt;

use crate::address::Address;
use crate::cursor::{Reader, Writer};
use crate::record::check_mask_len;
use crate::{AlgorithmId, Error, KeyId, LcafBody, MessageType, Nonce, lcaf::Nat};

mod field {
    use core::ops::Range;

    pub(super) const NONCE: Range<usize> = 4..12;
    pub(super) const KEY_ID: Range<usize> = 12..13;
    pub(super) const ALGORITHM_ID: Range<usize> = 13..14;
    pub(super) const AUTHENTICATION_LEN: Range<usize> = 14..16;
}

/// Octets before the authentication data.
pub const HEADER_LEN: usize = field::AUTHENTICATION_LEN.end;

packet! {
    /// A view on an Info-Request or an Info-Reply.
}

bit_fields! {
    /// R-bit: it is an Info-Reply.
    is_reply, set_reply = 4;
}

number_fields! {
    /// Ties the reply to the request.
    nonce, set_nonce: Nonce, u64 = field::NONCE;
    /// Which secret authenticates the message: the upper half of the draft's key-ID.
    key_id, set_key_id: KeyId, u8 = field::KEY_ID;
    /// How it does: the lower half of the draft's key-ID, split as in RFC 9301 section 5.6.
    algorithm, set_algorithm: AlgorithmId, u8 = field::ALGORITHM_ID;
    /// Octets of authentication data.
    authentication_len, set_authentication_len: u16, u16 = field::AUTHENTICATION_LEN;
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Ensures that no accessor panics.
    ///
    /// # Errors
    /// [`Error::Truncated`]; [`Error::UnexpectedType`].
    pub fn check_len(&self) -> Result<(), Error> {
        let len = self.buffer.as_ref().len();
        if len < HEADER_LEN {
            return Err(Error::Truncated);
        }
        match self.message_type() {
            MessageType::Info => {}
            other => return Err(Error::UnexpectedType(other)),
        }
        match len < self.body_at() {
            true => Err(Error::Truncated),
            false => Ok(()),
        }
    }

    fn body_at(&self) -> usize {
        HEADER_LEN + usize::from(self.authentication_len())
    }

    /// The authentication data.
    pub fn authentication_data(&self) -> &[u8] {
        &self.buffer.as_ref()[HEADER_LEN..self.body_at()]
    }
}

/// The fields of an Info-Request or an Info-Reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr<'a> {
    /// R-bit: it is an Info-Reply.
    pub is_reply: bool,
    /// Ties the reply to the request.
    pub nonce: Nonce,
    /// Which secret authenticates the message.
    pub key_id: KeyId,
    /// How it does.
    pub algorithm: AlgorithmId,
    /// The authentication data; [`crate::auth::blank`] before signing.
    pub authentication_data: &'a [u8],
    /// How long the reply holds, in minutes; 0 in a request.
    pub ttl_minutes: u32,
    /// Length of the EID-prefix in bits.
    pub mask_len: u8,
    /// An EID-prefix of the asker.
    pub eid: Address<'a>,
    /// A NAT LCAF in a reply, [`Address::None`] in a request.
    pub nat: Address<'a>,
}

impl<'a> Repr<'a> {
    /// Parses the whole message.
    ///
    /// # Errors
    /// Those of [`Packet::check_len`] and of [`Address::parse`]; [`Error::UnknownVendor`];
    /// [`Error::Malformed`] when octets are left over, for a prefix longer than its address, and for
    /// another address than the NAT LCAF in a reply or none in a request.
    pub fn parse(packet: &Packet<&'a [u8]>) -> Result<Self, Error> {
        packet.check_len()?;
        let mut reader = Reader::new(&packet.buffer[HEADER_LEN..]);
        let authentication_data = reader.take(usize::from(packet.authentication_len()))?;
        let ttl_minutes = reader.u32()?;
        let [_reserved, mask_len] = reader.array()?;
        let eid = Address::read_from_message(&mut reader)?;
        let repr = Repr {
            is_reply: packet.is_reply(),
            nonce: packet.nonce(),
            key_id: packet.key_id(),
            algorithm: packet.algorithm(),
            authentication_data,
            ttl_minutes,
            mask_len,
            eid,
            nat: Address::read_from_message(&mut reader)?,
        };
        repr.check()?;
        match reader.rest() {
            [] => Ok(repr),
            _ => Err(Error::Malformed),
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_mask_len(self.mask_len, &self.eid)?;
        let is_right = match self.is_reply {
            true => self.nat().is_some(),
            false => self.nat == Address::None,
        };
        if is_right { Ok(()) } else { Err(Error::Malformed) }
    }

    /// What an Info-Reply tells about the NAT.
    pub fn nat(&self) -> Option<Nat<'a>> {
        match self.nat {
            Address::Lcaf(lcaf) => match lcaf.body() {
                LcafBody::Nat(nat) => Some(nat),
                _ => None,
            },
            _ => None,
        }
    }

    /// Octets that [`Repr::emit`] writes.
    pub fn buffer_len(&self) -> usize {
        let addresses = self.eid.buffer_len() + self.nat.buffer_len();
        HEADER_LEN + self.authentication_data.len() + 6 + addresses
    }

    /// Writes the message, its authentication data as given, and tells its length in octets.
    /// Sign what was written by [`crate::auth::sign`].
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::TooMany`] for authentication data beyond 65,535 octets;
    /// [`Error::Malformed`] for what [`Repr::parse`] refuses.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.check()?;
        buffer.get_mut(..HEADER_LEN).ok_or(Error::BufferTooSmall)?.fill(0);
        let authentication_len =
            u16::try_from(self.authentication_data.len()).map_err(|_| Error::TooMany)?;
        let mut packet = Packet::new_unchecked(&mut *buffer);
        packet.set_message_type(MessageType::Info);
        packet.set_reply(self.is_reply);
        packet.set_nonce(self.nonce);
        packet.set_key_id(self.key_id);
        packet.set_algorithm(self.algorithm);
        packet.set_authentication_len(authentication_len);
        let mut writer = Writer::new(&mut buffer[HEADER_LEN..]);
        writer.put(self.authentication_data)?;
        writer.put(&self.ttl_minutes.to_be_bytes())?;
        writer.put(&[0, self.mask_len])?;
        writer.put_with(|free| self.eid.emit(free))?;
        writer.put_with(|free| self.nat.emit(free))?;
        Ok(HEADER_LEN + writer.len())
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_reply { "Info-Reply" } else { "Info-Request" })?;
        write!(f, " nonce={} key-id={} {}", self.nonce, self.key_id, self.algorithm)?;
        write!(f, " eid={}/{}", self.eid, self.mask_len)?;
        match self.nat() {
            Some(nat) => write!(f, " ttl={}m {nat}", self.ttl_minutes),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::testing::{check_message, hex};

    const EID: Address<'static> = Address::Ipv4(core::net::Ipv4Addr::new(10, 1, 0, 1));

    fn request(authentication_data: &[u8]) -> Repr<'_> {
        Repr {
            is_reply: false,
            nonce: Nonce(0x1122_3344_5566_7788),
            key_id: KeyId(0),
            algorithm: AlgorithmId::HmacSha1_96,
            authentication_data,
            ttl_minutes: 0,
            mask_len: 32,
            eid: EID,
            nat: Address::None,
        }
    }

    #[test]
    fn a_request_is_known_both_ways() {
        let octets = hex("70 000000 1122334455667788 0001 000c a0a1a2a3a4a5a6a7a8a9aaab \
                          00000000 00 20 0001 0a010001 0000");
        check_message(
            &octets,
            Message::Info(request(&octets[16..28])),
            "Info-Request nonce=0x1122334455667788 key-id=0 hmac-sha-1-96 eid=10.1.0.1/32",
        );
    }

    #[test]
    fn a_reply_is_known_both_ways() {
        let octets = hex("78 000000 1122334455667788 0001 0000 000005a0 00 20 0001 0a010001 \
                          4003 0000 0700 0018 10f6 9c40 0001 cb007109 0001 c0000202 \
                          0001 0a000001 0000");
        let (nat, _) = Address::parse(&octets[28..]).unwrap();
        let expected = Repr { is_reply: true, ttl_minutes: 1440, nat, ..request(&[]) };
        check_message(
            &octets,
            Message::Info(expected),
            "Info-Reply nonce=0x1122334455667788 key-id=0 hmac-sha-1-96 eid=10.1.0.1/32 ttl=1440m \
             nat(global=203.0.113.9 etr-port=40000 private=10.0.0.1 ms=192.0.2.2 ms-port=4342 \
             rtrs=none)",
        );
        assert_eq!(expected.nat().unwrap().etr_port, 40000);
    }

    #[test]
    fn a_reply_without_and_a_request_with_nat_address_are_refused() {
        let mut buffer = [0; 128];
        let len = request(&[]).emit(&mut buffer).unwrap();
        buffer[0] |= 0x08;
        assert_eq!(Message::parse(&buffer[..len]), Err(Error::Malformed));
        let reply = Repr { is_reply: true, ..request(&[]) };
        assert_eq!(reply.emit(&mut buffer), Err(Error::Malformed));
        let wrong = Repr { nat: EID, ..request(&[]) };
        assert_eq!(wrong.emit(&mut buffer), Err(Error::Malformed));
    }
}
