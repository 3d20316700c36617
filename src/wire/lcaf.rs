//! LISP Canonical Address Format (RFC 8060, RFC 9306).
use core::fmt;

use crate::address::{Address, Addresses, Vendors};
use crate::cursor::Reader;
use crate::security_key::SecurityKey;
use crate::{Error, InstanceId};

mod field {
    use core::ops::Range;

    pub(super) const RSVD1: usize = 2;
    pub(super) const FLAGS: usize = 3;
    pub(super) const TYPE: usize = 4;
    pub(super) const RSVD2: usize = 5;
    pub(super) const LENGTH: Range<usize> = 6..8;
}

/// Octets before the body: AFI, reserved, flags, type, reserved, length.
pub const HEADER_LEN: usize = field::LENGTH.end;

enum_with_unknown! {
    /// LCAF types (RFC 8060 section 3, RFC 9306 section 4).
    pub enum LcafType(u8) {
        /// Null body.
        Null = 0,
        /// AFI list.
        AfiList = 1,
        /// Instance ID.
        InstanceId = 2,
        /// AS number.
        AsNumber = 3,
        /// Application data.
        ApplicationData = 4,
        /// Geo-coordinates.
        GeoCoordinates = 5,
        /// Opaque key.
        OpaqueKey = 6,
        /// NAT traversal.
        Nat = 7,
        /// Nonce locator.
        NonceLocator = 8,
        /// Multicast info.
        MulticastInfo = 9,
        /// Explicit locator path.
        ExplicitLocatorPath = 10,
        /// Security key.
        SecurityKey = 11,
        /// Source/destination key.
        SourceDestKey = 12,
        /// Replication list entry.
        ReplicationListEntry = 13,
        /// JSON data model.
        Json = 14,
        /// Key/value address pair.
        KeyValue = 15,
        /// Encapsulation format.
        EncapsulationFormat = 16,
        /// Vendor specific.
        Vendor = 255,
    }
}

/// One LCAF: its octets, from the AFI to the end of the body, which is why it survives unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lcaf<'a> {
    octets: &'a [u8],
}

/// What an LCAF says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LcafBody<'a> {
    /// Addresses that belong together (RFC 8060 section 4.10).
    AfiList(Addresses<'a>),
    /// An address within an instance (RFC 8060 section 4.1).
    InstanceId {
        /// High-order bits of the instance-ID that count when the address is [`Address::None`].
        mask_len: u8,
        /// The instance.
        instance_id: InstanceId,
        /// The address in it.
        address: Address<'a>,
    },
    /// Addresses on both sides of a NAT (RFC 8060 section 4.4).
    Nat(Nat<'a>),
    /// Keys that belong to a locator (RFC 8060 section 4.7).
    SecurityKey(SecurityKey<'a>),
    /// A vendor's own format (RFC 9306 section 4).
    Vendor {
        /// The vendor, 24 bits.
        oui: u32,
        /// The format's octets.
        data: &'a [u8],
    },
    /// The body of a type that is not decoded here.
    Unknown(&'a [u8]),
}

/// Addresses on both sides of a NAT (RFC 8060 section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat<'a> {
    /// UDP port of the Map-Server.
    pub ms_port: u16,
    /// UDP port of the ETR as seen behind the NAT.
    pub etr_port: u16,
    /// The ETR as seen behind the NAT.
    pub global_etr: Address<'a>,
    /// The Map-Server.
    pub ms: Address<'a>,
    /// The ETR before the NAT.
    pub private_etr: Address<'a>,
    /// RTRs that the ETR may use.
    pub rtrs: Addresses<'a>,
}

impl<'a> Lcaf<'a> {
    /// Cuts one LCAF off the front by its length field.
    pub(crate) fn delimit(octets: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(octets);
        reader.take(field::LENGTH.start)?;
        let body_len = usize::from(reader.u16()?);
        reader.take(body_len)?;
        let octets = &octets[..HEADER_LEN + body_len];
        Ok(Lcaf { octets })
    }

    /// Looks at the body and at what is nested in it.
    pub(crate) fn check(&self, depth: usize, vendors: Vendors) -> Result<(), Error> {
        match self.decode()? {
            LcafBody::AfiList(list) => check_list(list, depth, vendors),
            LcafBody::InstanceId { address, .. } => address.check(depth, vendors),
            LcafBody::Nat(nat) => {
                nat.global_etr.check(depth, vendors)?;
                nat.ms.check(depth, vendors)?;
                nat.private_etr.check(depth, vendors)?;
                check_list(nat.rtrs, depth, vendors)
            }
            LcafBody::SecurityKey(key) => key.locator.check(depth, vendors),
            LcafBody::Vendor { oui, .. } if vendors == Vendors::Refused => {
                Err(Error::UnknownVendor(oui))
            }
            LcafBody::Vendor { .. } | LcafBody::Unknown(_) => Ok(()),
        }
    }

    /// All octets from the AFI on.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The first reserved octet.
    pub const fn rsvd1(&self) -> u8 {
        self.octets[field::RSVD1]
    }

    /// The flags, none of which has a meaning.
    pub const fn flags(&self) -> u8 {
        self.octets[field::FLAGS]
    }

    /// The type.
    pub fn lcaf_type(&self) -> LcafType {
        LcafType::from(self.octets[field::TYPE])
    }

    /// The second reserved octet, which some types use.
    pub const fn rsvd2(&self) -> u8 {
        self.octets[field::RSVD2]
    }

    /// What it says.
    pub fn body(&self) -> LcafBody<'a> {
        self.decode().unwrap_or(LcafBody::Unknown(&self.octets[HEADER_LEN..]))
    }

    fn decode(&self) -> Result<LcafBody<'a>, Error> {
        let mut body = Reader::new(&self.octets[HEADER_LEN..]);
        let decoded = match self.lcaf_type() {
            LcafType::AfiList => return Ok(LcafBody::AfiList(Addresses::from_octets(body.rest()))),
            LcafType::InstanceId => LcafBody::InstanceId {
                mask_len: self.rsvd2(),
                instance_id: InstanceId(body.u32()?),
                address: Address::read(&mut body)?,
            },
            LcafType::Nat => {
                let nat = Nat {
                    ms_port: body.u16()?,
                    etr_port: body.u16()?,
                    global_etr: Address::read(&mut body)?,
                    ms: Address::read(&mut body)?,
                    private_etr: Address::read(&mut body)?,
                    rtrs: Addresses::from_octets(body.rest()),
                };
                return Ok(LcafBody::Nat(nat));
            }
            LcafType::SecurityKey => LcafBody::SecurityKey(SecurityKey::read(&mut body)?),
            LcafType::Vendor => {
                let oui = body.u32()? & 0x00ff_ffff;
                let data = body.rest();
                return Ok(LcafBody::Vendor { oui, data });
            }
            _ => return Ok(LcafBody::Unknown(body.rest())),
        };
        match body.rest() {
            [] => Ok(decoded),
            _ => Err(Error::Malformed),
        }
    }
}

/// Reads to the end, so that a list which stops in the middle of an address is noticed.
fn check_list(list: Addresses<'_>, depth: usize, vendors: Vendors) -> Result<(), Error> {
    let mut reader = Reader::new(list.octets());
    while !reader.rest().is_empty() {
        Address::read(&mut reader)?.check(depth, vendors)?;
    }
    Ok(())
}

impl fmt::Debug for Lcaf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lcaf")
            .field("lcaf_type", &self.lcaf_type())
            .field("body", &self.body())
            .finish()
    }
}

impl fmt::Display for Lcaf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.body() {
            LcafBody::AfiList(list) => write!(f, "list({list})"),
            LcafBody::InstanceId { instance_id, address, .. } => {
                write!(f, "[{instance_id}]{address}")
            }
            LcafBody::Nat(nat) => nat.fmt(f),
            LcafBody::SecurityKey(key) => key.fmt(f),
            LcafBody::Vendor { oui, data } => write!(f, "vendor({oui:06x} {} octets)", data.len()),
            LcafBody::Unknown(body) => {
                let kind = u8::from(self.lcaf_type());
                write!(f, "lcaf-{kind}({} octets)", body.len())
            }
        }
    }
}

impl fmt::Display for Nat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "nat(global={} etr-port={} private={} ms={} ms-port={} rtrs={})",
            self.global_etr, self.etr_port, self.private_etr, self.ms, self.ms_port, self.rtrs
        )
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::AddressBuffer;
    use crate::testing::hex;

    const V4: Address<'static> = Address::Ipv4(core::net::Ipv4Addr::new(192, 0, 2, 1));

    fn body(octets: &[u8]) -> LcafBody<'_> {
        match Address::parse(octets) {
            Ok((Address::Lcaf(lcaf), [])) => lcaf.body(),
            other => panic!("{other:?} is no single LCAF"),
        }
    }

    fn check_octets(built: &AddressBuffer, text: &str, displayed: &str) {
        let octets = hex(text);
        let mut buffer = [0xa5; 128];
        assert_eq!(built.address().emit(&mut buffer), Ok(octets.len()));
        assert_eq!(buffer[..octets.len()], octets);
        assert_eq!(Address::parse(&octets), Ok((built.address(), &[][..])));
        assert_eq!(built.address().to_string(), displayed);
        for len in 0..octets.len() {
            assert_eq!(Address::parse(&octets[..len]), Err(Error::Truncated));
        }
    }

    #[test]
    fn an_instance_id_is_known_both_ways() {
        let text = "4003 0000 02 20 000a 00000064 0001 c0000201";
        let built = AddressBuffer::instance_id(InstanceId(100), 32, &V4).unwrap();
        check_octets(&built, text, "[100]192.0.2.1");
        let expected =
            LcafBody::InstanceId { mask_len: 32, instance_id: InstanceId(100), address: V4 };
        assert_eq!(body(&hex(text)), expected);
    }

    #[test]
    fn an_afi_list_is_known_both_ways() {
        let text = "4003 0000 01 00 000a 0001 c0000201 0011 6800";
        let list = [V4, Address::DistinguishedName(b"h")];
        let built = AddressBuffer::afi_list(&Addresses::new(&list)).unwrap();
        check_octets(&built, text, "list(192.0.2.1,\"h\")");
        assert_eq!(body(&hex(text)), LcafBody::AfiList(Addresses::new(&list)));
    }

    #[test]
    fn a_nat_address_is_known_both_ways() {
        let text = "4003 0000 07 00 001c 10f6 10f5 0001 01010101 0001 02020202 0001 0a000001 \
                    0001 03030303";
        let rtrs = [Address::Ipv4([3, 3, 3, 3].into())];
        let nat = Nat {
            ms_port: 4342,
            etr_port: 4341,
            global_etr: Address::Ipv4([1, 1, 1, 1].into()),
            ms: Address::Ipv4([2, 2, 2, 2].into()),
            private_etr: Address::Ipv4([10, 0, 0, 1].into()),
            rtrs: Addresses::new(&rtrs),
        };
        let displayed = "nat(global=1.1.1.1 etr-port=4341 private=10.0.0.1 ms=2.2.2.2 ms-port=4342 rtrs=3.3.3.3)";
        check_octets(&AddressBuffer::nat(&nat).unwrap(), text, displayed);
        assert_eq!(body(&hex(text)), LcafBody::Nat(nat));
    }

    #[test]
    fn a_vendor_address_is_known_both_ways() {
        let text = "4003 0000 ff 00 000a 00 001122 616263646566";
        let built = AddressBuffer::vendor(0x00_1122, b"abcdef").unwrap();
        check_octets(&built, text, "vendor(001122 6 octets)");
        assert_eq!(body(&hex(text)), LcafBody::Vendor { oui: 0x1122, data: b"abcdef" });
    }

    #[test]
    fn reserved_octets_and_unknown_types_survive() {
        for text in ["4003 a1a2 11 a3 0003 010203", "4003 a1a2 02 20 0006 00000001 0000"] {
            let octets = hex(text);
            let (address, rest) = Address::parse(&octets).unwrap();
            assert!(rest.is_empty());
            let mut buffer = [0xa5; 32];
            assert_eq!(address.emit(&mut buffer), Ok(octets.len()));
            assert_eq!(buffer[..octets.len()], octets);
            let Address::Lcaf(lcaf) = address else { panic!("{address} is no LCAF") };
            assert_eq!((lcaf.rsvd1(), lcaf.flags()), (0xa1, 0xa2));
            assert_eq!(u8::from(lcaf.lcaf_type()), octets[4]);
            assert_eq!(lcaf.rsvd2(), octets[5]);
        }
        let octets = hex("4003 0000 11 00 0003 010203");
        assert_eq!(body(&octets), LcafBody::Unknown(&[1, 2, 3]));
        assert!(Address::parse(&octets).unwrap().0.is_unknown_lcaf());
        assert_eq!(Address::parse(&octets).unwrap().0.to_string(), "lcaf-17(3 octets)");
    }

    #[test]
    fn a_body_that_contradicts_its_length_is_refused() {
        for (text, error) in [
            ("4003 0000 02 00 0007 00000001 0000 00", Error::Malformed),
            ("4003 0000 02 00 0005 00000001 00", Error::Truncated),
            ("4003 0000 01 00 0003 0001 c0", Error::Truncated),
            ("4003 0000 07 00 0003 10f610", Error::Truncated),
            ("4003 0000 0b 00 0008 01000600 0002 0102", Error::Truncated),
            ("4003 0000 0b 00 000b 01000600 0002 0102 0000 00", Error::Malformed),
            ("4003 0000 ff 00 0003 000011", Error::Truncated),
        ] {
            assert_eq!(Address::parse(&hex(text)), Err(error), "{text}");
        }
    }
}
