//! Map-Reply (RFC 9301 section 5.4).
use core::fmt;

use crate::cursor::{Reader, Writer};
use crate::record::Records;
use crate::{Error, MessageType, Nonce};

mod field {
    use core::ops::Range;

    pub(super) const RECORD_COUNT: Range<usize> = 3..4;
    pub(super) const NONCE: Range<usize> = 4..12;
}

/// Octets before the records.
pub const HEADER_LEN: usize = field::NONCE.end;

packet! {
    /// A view on a Map-Reply.
}

bit_fields! {
    /// P-bit: answers a probe.
    is_probe, set_probe = 4;
    /// E-bit: the site knows echo-nonce.
    is_echo_nonce_capable, set_echo_nonce_capable = 5;
    /// S-bit: LISP-SEC authentication data follows the records (RFC 9303).
    has_authentication_data, set_authentication_data = 6;
}

number_fields! {
    /// The nonce of the Map-Request.
    nonce, set_nonce: Nonce, u64 = field::NONCE;
    /// How many records follow.
    record_count, set_record_count: u8, u8 = field::RECORD_COUNT;
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Ensures that no accessor panics.
    ///
    /// # Errors
    /// [`Error::Truncated`]; [`Error::UnexpectedType`].
    pub fn check_len(&self) -> Result<(), Error> {
        if self.buffer.as_ref().len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        match self.message_type() {
            MessageType::MapReply => Ok(()),
            other => Err(Error::UnexpectedType(other)),
        }
    }

    /// Everything after the nonce.
    pub fn body(&self) -> &[u8] {
        &self.buffer.as_ref()[HEADER_LEN..]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Everything after the nonce.
    pub fn body_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.as_mut()[HEADER_LEN..]
    }
}

/// The fields of a Map-Reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr<'a> {
    /// P-bit: answers a probe.
    pub is_probe: bool,
    /// E-bit: the site knows echo-nonce.
    pub is_echo_nonce_capable: bool,
    /// The nonce of the Map-Request.
    pub nonce: Nonce,
    /// The mappings.
    pub records: Records<'a>,
    /// LISP-SEC authentication data as it stands, when the S-bit is set (RFC 9303 section 6.2).
    pub authentication_data: Option<&'a [u8]>,
}

impl<'a> Repr<'a> {
    /// An answer without flags.
    pub const fn new(nonce: Nonce, records: Records<'a>) -> Self {
        Repr {
            is_probe: false,
            is_echo_nonce_capable: false,
            nonce,
            records,
            authentication_data: None,
        }
    }

    /// Parses the whole message.
    ///
    /// # Errors
    /// Those of [`Packet::check_len`] and [`Records::parse`]; [`Error::Malformed`] when octets are left over.
    pub fn parse(packet: &Packet<&'a [u8]>) -> Result<Self, Error> {
        packet.check_len()?;
        let mut reader = Reader::new(&packet.buffer[HEADER_LEN..]);
        let records = Records::read(&mut reader, packet.record_count())?;
        let authentication_data = match (packet.has_authentication_data(), reader.rest()) {
            (true, []) => return Err(Error::Truncated),
            (true, data) => Some(data),
            (false, []) => None,
            (false, _) => return Err(Error::Malformed),
        };
        Ok(Repr {
            is_probe: packet.is_probe(),
            is_echo_nonce_capable: packet.is_echo_nonce_capable(),
            nonce: packet.nonce(),
            records,
            authentication_data,
        })
    }

    /// Octets that [`Repr::emit`] writes.
    pub fn buffer_len(&self) -> usize {
        HEADER_LEN + self.records.octets().len() + self.authentication_data.map_or(0, <[u8]>::len)
    }

    /// Writes the message and tells its length in octets.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        buffer.get_mut(..HEADER_LEN).ok_or(Error::BufferTooSmall)?.fill(0);
        let mut packet = Packet::new_unchecked(buffer);
        packet.set_message_type(MessageType::MapReply);
        packet.set_probe(self.is_probe);
        packet.set_echo_nonce_capable(self.is_echo_nonce_capable);
        packet.set_authentication_data(self.authentication_data.is_some());
        packet.set_record_count(self.records.count());
        packet.set_nonce(self.nonce);
        let mut writer = Writer::new(packet.body_mut());
        writer.put(self.records.octets())?;
        writer.put(self.authentication_data.unwrap_or(&[]))?;
        Ok(HEADER_LEN + writer.len())
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map-Reply nonce={}", self.nonce)?;
        f.write_str(if self.is_probe { " probe" } else { "" })?;
        f.write_str(if self.is_echo_nonce_capable { " echo-nonce" } else { "" })?;
        if let Some(data) = self.authentication_data {
            write!(f, " lisp-sec={} octets", data.len())?;
        }
        write!(f, " records=({})", self.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::testing::{check_message, check_mutations, hex};

    #[test]
    fn an_answer_is_known_both_ways() {
        let octets = hex("2c 00 00 02 1122334455667788 \
                          000005a0 01 18 10 00 0000 0001 0a010000 01 64 ff 00 0007 0001 c6336402 \
                          0000000f 00 18 a0 00 0000 0001 0a020000");
        let records = Records::parse(&octets[12..], 2).unwrap().0;
        let expected = Repr {
            is_probe: true,
            is_echo_nonce_capable: true,
            ..Repr::new(Nonce(0x1122_3344_5566_7788), records)
        };
        check_message(
            &octets,
            Message::MapReply(expected),
            "Map-Reply nonce=0x1122334455667788 probe echo-nonce \
             records=(10.1.0.0/24 ttl=1440m authoritative -> \
             198.51.100.2 1/100 local probed reachable; \
             10.2.0.0/24 ttl=15m drop/auth-failure)",
        );
    }

    #[test]
    fn lisp_sec_data_stays_as_it_is() {
        let octets = hex("22 00 00 01 0000000000000001 0000000f 00 18 20 00 0000 0001 0a010000 \
                          01000000 0004 0002");
        let repr = Repr::parse(&Packet::new_checked(&octets[..]).unwrap()).unwrap();
        assert_eq!(repr.authentication_data, Some(&octets[28..]));
        let mut buffer = [0xa5; 64];
        assert_eq!(repr.emit(&mut buffer), Ok(octets.len()));
        assert_eq!(buffer[..octets.len()], octets);
        assert_eq!(Message::parse(&octets[..28]), Err(Error::Truncated));
        check_mutations(&octets);
    }

    #[test]
    fn octets_after_the_records_are_refused() {
        let octets = hex("20 00 00 00 0000000000000001 00");
        assert_eq!(Message::parse(&octets), Err(Error::Malformed));
    }

    #[test]
    fn another_type_is_refused() {
        let octets = hex("10 00 00 00 0000000000000001");
        let error = Error::UnexpectedType(MessageType::MapRequest);
        assert_eq!(Packet::new_checked(&octets[..]), Err(error));
    }
}
