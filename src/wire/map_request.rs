//! Map-Request (RFC 9301 section 5.2, RFC 9437 for the N- and I-bits).
use core::fmt;

use crate::address::{Address, Addresses};
use crate::cursor::{Reader, Writer};
use crate::eid_record::EidRecords;
use crate::record::Records;
use crate::{Error, MessageType, Nonce, XtrIdentity};

mod field {
    use core::ops::Range;

    pub(super) const ITR_RLOC_COUNT: usize = 2;
    pub(super) const RECORD_COUNT: usize = 3;
    pub(super) const NONCE: Range<usize> = 4..12;
}

/// Octets before the source EID.
pub const HEADER_LEN: usize = field::NONCE.end;

/// ITR-RLOCs that one Map-Request can tell.
pub const MAX_ITR_RLOCS: usize = 32;

packet! {
    /// A view on a Map-Request.
}

bit_fields! {
    /// A-bit: the site itself is to answer.
    is_authoritative, set_authoritative = 4;
    /// M-bit: a record of the sender's own follows.
    has_map_data, set_map_data = 5;
    /// P-bit: probes the locator it is sent to.
    is_probe, set_probe = 6;
    /// S-bit: solicits a Map-Request (SMR).
    is_smr, set_smr = 7;
    /// p-bit: sent by a Proxy-ITR.
    is_pitr, set_pitr = 8;
    /// s-bit: answers an SMR.
    is_smr_invoked, set_smr_invoked = 9;
    /// I-bit: xTR-ID and Site-ID are its last octets (RFC 9437).
    has_xtr_identity, set_xtr_identity = 11;
    /// L-bit: the sender is an xTR of the receiver's own site.
    is_local_xtr, set_local_xtr = 17;
    /// D-bit: no Map-Reply is wanted.
    is_dont_map_reply, set_dont_map_reply = 18;
}

number_fields! {
    /// Returned in the answer.
    nonce, set_nonce: Nonce, u64 = field::NONCE;
    /// How many EIDs are asked for.
    record_count, set_record_count: u8, u8 = field::RECORD_COUNT..field::RECORD_COUNT + 1;
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
            MessageType::MapRequest => Ok(()),
            other => Err(Error::UnexpectedType(other)),
        }
    }

    /// How many ITR-RLOCs follow, 1 to 32: one more than the IRC field tells.
    pub fn itr_rloc_count(&self) -> usize {
        usize::from(self.buffer.as_ref()[field::ITR_RLOC_COUNT] & 0x1f) + 1
    }

    /// Everything after the nonce.
    pub fn body(&self) -> &[u8] {
        &self.buffer.as_ref()[HEADER_LEN..]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets how many ITR-RLOCs follow, 1 to 32; other numbers count modulo 32.
    pub fn set_itr_rloc_count(&mut self, value: usize) {
        let octet = &mut self.buffer.as_mut()[field::ITR_RLOC_COUNT];
        *octet = *octet & !0x1f | (value.wrapping_sub(1) & 0x1f) as u8;
    }

    /// Everything after the nonce.
    pub fn body_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.as_mut()[HEADER_LEN..]
    }
}

/// The fields of a Map-Request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr<'a> {
    /// A-bit: the site itself is to answer.
    pub is_authoritative: bool,
    /// P-bit: probes the locator it is sent to.
    pub is_probe: bool,
    /// S-bit: solicits a Map-Request (SMR).
    pub is_smr: bool,
    /// p-bit: sent by a Proxy-ITR.
    pub is_pitr: bool,
    /// s-bit: answers an SMR.
    pub is_smr_invoked: bool,
    /// L-bit: the sender is an xTR of the receiver's own site.
    pub is_local_xtr: bool,
    /// D-bit: no Map-Reply is wanted.
    pub is_dont_map_reply: bool,
    /// Returned in the answer.
    pub nonce: Nonce,
    /// The host whose packet caused the request, or none.
    pub source_eid: Address<'a>,
    /// Where the answer may go: 1 to [`MAX_ITR_RLOCS`].
    pub itr_rlocs: Addresses<'a>,
    /// What is asked for.
    pub eids: EidRecords<'a>,
    /// The sender's own mapping, when the M-bit is set: exactly one record.
    pub map_data: Option<Records<'a>>,
    /// Who sends it, when the I-bit is set (RFC 9437).
    pub xtr_identity: Option<XtrIdentity>,
}

impl<'a> Repr<'a> {
    /// A request without flags for one EID-prefix.
    pub const fn new(
        nonce: Nonce,
        source_eid: Address<'a>,
        itr_rlocs: Addresses<'a>,
        eids: EidRecords<'a>,
    ) -> Self {
        Repr {
            is_authoritative: false,
            is_probe: false,
            is_smr: false,
            is_pitr: false,
            is_smr_invoked: false,
            is_local_xtr: false,
            is_dont_map_reply: false,
            nonce,
            source_eid,
            itr_rlocs,
            eids,
            map_data: None,
            xtr_identity: None,
        }
    }

    /// Parses the whole message.
    ///
    /// # Errors
    /// Those of [`Packet::check_len`] and [`Records::parse`]; [`Error::Malformed`] when octets are left over.
    pub fn parse(packet: &Packet<&'a [u8]>) -> Result<Self, Error> {
        packet.check_len()?;
        let mut reader = Reader::new(&packet.buffer[HEADER_LEN..]);
        let source_eid = Address::read_from_message(&mut reader)?;
        let start = reader.rest();
        for _ in 0..packet.itr_rloc_count() {
            Address::read_from_message(&mut reader)?;
        }
        let itr_rlocs = Addresses::from_octets(&start[..start.len() - reader.rest().len()]);
        let eids = EidRecords::read(&mut reader, packet.record_count())?;
        let map_data = match packet.has_map_data() {
            true => Some(Records::read(&mut reader, 1)?),
            false => None,
        };
        let xtr_identity = match packet.has_xtr_identity() {
            true => Some(XtrIdentity::read(&mut reader)?),
            false => None,
        };
        if !reader.rest().is_empty() {
            return Err(Error::Malformed);
        }
        Ok(Repr {
            is_authoritative: packet.is_authoritative(),
            is_probe: packet.is_probe(),
            is_smr: packet.is_smr(),
            is_pitr: packet.is_pitr(),
            is_smr_invoked: packet.is_smr_invoked(),
            is_local_xtr: packet.is_local_xtr(),
            is_dont_map_reply: packet.is_dont_map_reply(),
            nonce: packet.nonce(),
            source_eid,
            itr_rlocs,
            eids,
            map_data,
            xtr_identity,
        })
    }

    /// Octets that [`Repr::emit`] writes.
    pub fn buffer_len(&self) -> usize {
        HEADER_LEN
            + self.source_eid.buffer_len()
            + self.itr_rlocs.buffer_len()
            + self.eids.buffer_len()
            + self.map_data.map_or(0, |records| records.octets().len())
            + self.xtr_identity.map_or(0, |_| XtrIdentity::LEN)
    }

    /// Writes the message and tells its length in octets.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::TooMany`] for EIDs beyond 255; [`Error::Malformed`] without
    /// or with too many ITR-RLOCs, or with another number of records than one as map data.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let itr_rloc_count = self.itr_rlocs.count();
        if !(1..=MAX_ITR_RLOCS).contains(&itr_rloc_count) {
            return Err(Error::Malformed);
        }
        let record_count = u8::try_from(self.eids.len()).map_err(|_| Error::TooMany)?;
        let mut packet = Packet::new_unchecked(buffer);
        self.emit_header(&mut packet, itr_rloc_count, record_count)?;
        let mut writer = Writer::new(packet.body_mut());
        writer.put_with(|free| self.source_eid.emit(free))?;
        self.itr_rlocs.write(&mut writer)?;
        self.eids.write(&mut writer)?;
        if let Some(records) = &self.map_data {
            if records.len() != 1 {
                return Err(Error::Malformed);
            }
            writer.put(records.octets())?;
        }
        if let Some(identity) = &self.xtr_identity {
            writer.put(&identity.octets())?;
        }
        Ok(HEADER_LEN + writer.len())
    }

    fn emit_header(
        &self,
        packet: &mut Packet<&mut [u8]>,
        itr_rloc_count: usize,
        record_count: u8,
    ) -> Result<(), Error> {
        packet.buffer.get_mut(..HEADER_LEN).ok_or(Error::BufferTooSmall)?.fill(0);
        packet.set_message_type(MessageType::MapRequest);
        packet.set_authoritative(self.is_authoritative);
        packet.set_map_data(self.map_data.is_some());
        packet.set_probe(self.is_probe);
        packet.set_smr(self.is_smr);
        packet.set_pitr(self.is_pitr);
        packet.set_smr_invoked(self.is_smr_invoked);
        packet.set_xtr_identity(self.xtr_identity.is_some());
        packet.set_local_xtr(self.is_local_xtr);
        packet.set_dont_map_reply(self.is_dont_map_reply);
        packet.set_itr_rloc_count(itr_rloc_count);
        packet.set_record_count(record_count);
        packet.set_nonce(self.nonce);
        Ok(())
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map-Request nonce={}", self.nonce)?;
        for (is_set, name) in [
            (self.is_authoritative, " authoritative"),
            (self.is_probe, " probe"),
            (self.is_smr, " smr"),
            (self.is_pitr, " pitr"),
            (self.is_smr_invoked, " smr-invoked"),
            (self.is_local_xtr, " local-xtr"),
            (self.is_dont_map_reply, " dont-map-reply"),
        ] {
            f.write_str(if is_set { name } else { "" })?;
        }
        write!(f, " source={} itr-rlocs={} eids=", self.source_eid, self.itr_rlocs)?;
        for (index, record) in self.eids.iter().enumerate() {
            write!(f, "{}{record}", if index == 0 { "" } else { "," })?;
        }
        if let Some(records) = &self.map_data {
            write!(f, " map-data=({records})")?;
        }
        if let Some(identity) = &self.xtr_identity {
            write!(f, " {identity}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_message, hex};
    use crate::{EidRecord, Message, SiteId, XtrId};

    const V4: Address<'static> = Address::Ipv4(core::net::Ipv4Addr::new(192, 0, 2, 1));
    const SOURCE: Address<'static> = Address::Ipv4(core::net::Ipv4Addr::new(10, 0, 0, 1));
    const HOST: EidRecord<'static> = EidRecord {
        is_subscription: false,
        mask_len: 32,
        eid: Address::Ipv4(core::net::Ipv4Addr::new(10, 1, 0, 1)),
    };
    const NONCE: Nonce = Nonce(0x1122_3344_5566_7788);

    #[test]
    fn a_plain_request_is_known_both_ways() {
        let octets = hex("10 00 00 01 1122334455667788 0001 0a000001 0001 c0000201 \
                          00 20 0001 0a010001");
        let expected = Repr::new(NONCE, SOURCE, Addresses::new(&[V4]), EidRecords::new(&[HOST]));
        check_message(
            &octets,
            Message::MapRequest(expected),
            "Map-Request nonce=0x1122334455667788 source=10.0.0.1 itr-rlocs=192.0.2.1 \
             eids=10.1.0.1/32",
        );
    }

    #[test]
    fn every_flag_is_known_both_ways() {
        let octets = hex("1f d0 61 01 1122334455667788 0000 0001 c0000201 0000 \
                          80 20 0001 0a010001 \
                          0000000f 00 20 20 00 0000 0001 0a000001 \
                          000102030405060708090a0b0c0d0e0f 0000000000000007");
        let itr_rlocs = [V4, Address::None];
        let eids = [EidRecord { is_subscription: true, ..HOST }];
        let map_data = Records::parse(&octets[30..46], 1).unwrap().0;
        let xtr_id = XtrId(core::array::from_fn(|index| index as u8));
        let expected = Repr {
            is_authoritative: true,
            is_probe: true,
            is_smr: true,
            is_pitr: true,
            is_smr_invoked: true,
            is_local_xtr: true,
            is_dont_map_reply: true,
            nonce: NONCE,
            source_eid: Address::None,
            itr_rlocs: Addresses::new(&itr_rlocs),
            eids: EidRecords::new(&eids),
            map_data: Some(map_data),
            xtr_identity: Some(XtrIdentity { xtr_id, site_id: SiteId(7) }),
        };
        check_message(
            &octets,
            Message::MapRequest(expected),
            "Map-Request nonce=0x1122334455667788 authoritative probe smr pitr smr-invoked \
             local-xtr dont-map-reply source=none itr-rlocs=192.0.2.1,none \
             eids=10.1.0.1/32 subscribe map-data=(10.0.0.1/32 ttl=15m natively-forward) \
             xtr-id=000102030405060708090a0b0c0d0e0f site-id=0000000000000007",
        );
    }

    #[test]
    fn each_flag_is_one_bit() {
        type Get = fn(&Packet<[u8; HEADER_LEN]>) -> bool;
        type Set = fn(&mut Packet<[u8; HEADER_LEN]>, bool);
        let flags: [(u32, Get, Set); 9] = [
            (0x0800_0000, Packet::is_authoritative, Packet::set_authoritative),
            (0x0400_0000, Packet::has_map_data, Packet::set_map_data),
            (0x0200_0000, Packet::is_probe, Packet::set_probe),
            (0x0100_0000, Packet::is_smr, Packet::set_smr),
            (0x0080_0000, Packet::is_pitr, Packet::set_pitr),
            (0x0040_0000, Packet::is_smr_invoked, Packet::set_smr_invoked),
            (0x0010_0000, Packet::has_xtr_identity, Packet::set_xtr_identity),
            (0x0000_4000, Packet::is_local_xtr, Packet::set_local_xtr),
            (0x0000_2000, Packet::is_dont_map_reply, Packet::set_dont_map_reply),
        ];
        for (mask, is_set, set) in flags {
            let mut packet = Packet::new_unchecked([0; HEADER_LEN]);
            assert!(!is_set(&packet));
            set(&mut packet, true);
            assert!(is_set(&packet));
            assert_eq!(packet.buffer[..4], mask.to_be_bytes());
            packet.buffer = [0xff; HEADER_LEN];
            set(&mut packet, false);
            assert_eq!(packet.buffer[..4], (!mask).to_be_bytes());
        }
    }

    #[test]
    fn the_itr_rloc_count_is_one_more_than_its_field() {
        let mut packet = Packet::new_unchecked([0xff; HEADER_LEN]);
        assert_eq!(packet.itr_rloc_count(), 32);
        packet.set_itr_rloc_count(1);
        assert_eq!((packet.itr_rloc_count(), packet.buffer[2]), (1, 0xe0));
    }

    #[test]
    fn one_to_thirty_two_itr_rlocs_are_emitted() {
        for (count, is_right) in [(0, false), (1, true), (32, true), (33, false)] {
            let itr_rlocs = &[V4; 33][..count];
            let repr =
                Repr::new(NONCE, SOURCE, Addresses::new(itr_rlocs), EidRecords::new(&[HOST]));
            let mut buffer = [0; 512];
            assert_eq!(repr.emit(&mut buffer).is_ok(), is_right, "{count} ITR-RLOCs");
        }
    }

    #[test]
    fn an_unknown_family_a_foreign_vendor_and_left_over_octets_are_refused() {
        for (rest, error) in [
            ("0001 0a000001 0001 c0000201 00 20 0008 0a010001", Error::UnknownAfi(8)),
            ("0001 0a000001 4009 c0000201 00 20 0001 0a010001", Error::UnknownAfi(0x4009)),
            (
                "4003 0000 ff00 0004 00001122 0001 c0000201 00 20 0001 0a010001",
                Error::UnknownVendor(0x1122),
            ),
            ("0001 0a000001 0001 c0000201 00 20 0001 0a010001 00", Error::Malformed),
            ("0001 0a000001 0001 c0000201 00 21 0001 0a010001", Error::Malformed),
        ] {
            let octets = hex(&std::format!("10000001 1122334455667788 {rest}"));
            assert_eq!(Message::parse(&octets), Err(error), "{rest}");
        }
    }
}
