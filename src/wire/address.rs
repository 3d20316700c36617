//! AFI-encoded addresses: two octets of address family, then the address (RFC 9301 section 5.1, RFC 8060 section 3).
use core::cmp::Ordering;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cursor::{Reader, Writer};
use crate::{DataKey, Error, InstanceId, Lcaf, LcafBody, security_key::UnusableKey};

/// Address family numbers.
pub mod afi {
    /// No address.
    pub const NONE: u16 = 0;
    /// IPv4.
    pub const IPV4: u16 = 1;
    /// IPv6.
    pub const IPV6: u16 = 2;
    /// 48-bit MAC address (RFC 8060 section 4.10.2).
    pub const MAC: u16 = 6;
    /// Distinguished name, ended by a zero octet (RFC 8060 section 4.10.3).
    pub const DISTINGUISHED_NAME: u16 = 17;
    /// LISP Canonical Address Format (RFC 8060 section 3).
    pub const LCAF: u16 = 16387;
}

/// How deep LCAFs may stand in each other.
pub const MAX_DEPTH: usize = 4;

/// An address of any family, borrowed from the message it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address<'a> {
    /// No address, AFI 0.
    None,
    /// IPv4.
    Ipv4(Ipv4Addr),
    /// IPv6.
    Ipv6(Ipv6Addr),
    /// 48-bit MAC address.
    Mac([u8; 6]),
    /// Distinguished name without its terminating zero octet.
    DistinguishedName(&'a [u8]),
    /// LISP Canonical Address Format.
    Lcaf(Lcaf<'a>),
}

/// Whether a vendor's address under an OUI that is not ours is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vendors {
    Accepted,
    Refused,
}

impl<'a> Address<'a> {
    /// Takes one address off the front, nested ones checked, and gives what follows it.
    ///
    /// # Errors
    /// [`Error::UnknownAfi`], [`Error::TooDeep`], [`Error::Truncated`], [`Error::Malformed`].
    pub fn parse(octets: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        let mut reader = Reader::new(octets);
        let address = Self::read_checked(&mut reader, Vendors::Accepted)?;
        Ok((address, reader.rest()))
    }

    /// As it stands in a message, where RFC 9306 section 4 forbids vendors we do not know.
    pub(crate) fn read_from_message(reader: &mut Reader<'a>) -> Result<Self, Error> {
        Self::read_checked(reader, Vendors::Refused)
    }

    fn read_checked(reader: &mut Reader<'a>, vendors: Vendors) -> Result<Self, Error> {
        let address = Self::read(reader)?;
        address.check(MAX_DEPTH, vendors)?;
        Ok(address)
    }

    /// Reads one address without looking into an LCAF.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let start = reader.rest();
        Ok(match reader.u16()? {
            afi::NONE => Address::None,
            afi::IPV4 => Address::Ipv4(Ipv4Addr::from(reader.array::<4>()?)),
            afi::IPV6 => Address::Ipv6(Ipv6Addr::from(reader.array::<16>()?)),
            afi::MAC => Address::Mac(reader.array()?),
            afi::DISTINGUISHED_NAME => {
                let end = reader.rest().iter().position(|&octet| octet == 0);
                let name = reader.take(end.ok_or(Error::Truncated)?)?;
                reader.take(1)?;
                Address::DistinguishedName(name)
            }
            afi::LCAF => {
                let lcaf = Lcaf::delimit(start)?;
                *reader = Reader::new(&start[lcaf.octets().len()..]);
                Address::Lcaf(lcaf)
            }
            other => return Err(Error::UnknownAfi(other)),
        })
    }

    pub(crate) fn check(&self, depth: usize, vendors: Vendors) -> Result<(), Error> {
        match self {
            Address::Lcaf(lcaf) => lcaf.check(depth.checked_sub(1).ok_or(Error::TooDeep)?, vendors),
            _ => Ok(()),
        }
    }

    /// Octets that [`Address::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        match self {
            Address::None => 2,
            Address::Ipv4(_) => 6,
            Address::Ipv6(_) => 18,
            Address::Mac(_) => 8,
            Address::DistinguishedName(name) => 2 + name.len() + 1,
            Address::Lcaf(lcaf) => lcaf.octets().len(),
        }
    }

    /// Writes the address with its family and tells the octets written.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::Malformed`] for a name with a zero octet in it.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut writer = Writer::new(buffer);
        if !matches!(self, Address::Lcaf(_)) {
            writer.put(&self.afi().to_be_bytes())?;
        }
        match self {
            Address::None => {}
            Address::Ipv4(address) => writer.put(&address.octets())?,
            Address::Ipv6(address) => writer.put(&address.octets())?,
            Address::Mac(address) => writer.put(address)?,
            Address::DistinguishedName(name) => {
                if name.contains(&0) {
                    return Err(Error::Malformed);
                }
                writer.put(name)?;
                writer.put(&[0])?;
            }
            Address::Lcaf(lcaf) => writer.put(lcaf.octets())?,
        }
        Ok(writer.len())
    }

    /// Address family number.
    pub const fn afi(&self) -> u16 {
        match self {
            Address::None => afi::NONE,
            Address::Ipv4(_) => afi::IPV4,
            Address::Ipv6(_) => afi::IPV6,
            Address::Mac(_) => afi::MAC,
            Address::DistinguishedName(_) => afi::DISTINGUISHED_NAME,
            Address::Lcaf(_) => afi::LCAF,
        }
    }

    /// The address when it is plain IPv4 or IPv6.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Ipv4(address) => Some(IpAddr::V4(*address)),
            Address::Ipv6(address) => Some(IpAddr::V6(*address)),
            _ => None,
        }
    }

    /// The address as an IP EID, instance-ID 0 when it has none; `None` for any other kind.
    pub fn ip_eid(&self) -> Option<(InstanceId, IpAddr)> {
        match self.lcaf_body() {
            Some(LcafBody::InstanceId { instance_id, address, .. }) => {
                Some((instance_id, address.ip()?))
            }
            _ => Some((InstanceId(0), self.ip()?)),
        }
    }

    /// The IP address of a locator, and the WireGuard key around it when it stands inside a Security
    /// Key LCAF; `None` for any other kind.
    pub fn rloc(&self) -> Option<(IpAddr, Option<Result<DataKey, UnusableKey>>)> {
        match self.lcaf_body() {
            Some(LcafBody::SecurityKey(key)) => {
                Some((key.locator.ip()?, Some(DataKey::parse(&key))))
            }
            _ => Some((self.ip()?, None)),
        }
    }

    /// Whether this is an LCAF of a type not decoded here: a locator to be ignored (RFC 9306 section 3).
    pub fn is_unknown_lcaf(&self) -> bool {
        matches!(self.lcaf_body(), Some(LcafBody::Unknown(_)))
    }

    fn lcaf_body(&self) -> Option<LcafBody<'a>> {
        match self {
            Address::Lcaf(lcaf) => Some(lcaf.body()),
            _ => None,
        }
    }

    /// The order in which locators stand in a record: family first, then the address or, of an LCAF, its type
    /// (RFC 9301 section 5.5, RFC 8060 section 3); ties between LCAFs go by their octets.
    pub fn cmp_locator(&self, other: &Address<'_>) -> Ordering {
        match (self, other) {
            (Address::Ipv4(a), Address::Ipv4(b)) => a.cmp(b),
            (Address::Ipv6(a), Address::Ipv6(b)) => a.cmp(b),
            (Address::Mac(a), Address::Mac(b)) => a.cmp(b),
            (Address::DistinguishedName(a), Address::DistinguishedName(b)) => a.cmp(b),
            (Address::Lcaf(a), Address::Lcaf(b)) => {
                let types = u8::from(a.lcaf_type()).cmp(&u8::from(b.lcaf_type()));
                types.then_with(|| a.octets().cmp(b.octets()))
            }
            _ => self.afi().cmp(&other.afi()),
        }
    }

    /// Bits of the address that a mask may cover: 32, 128, or `None` when it is no IP address.
    pub(crate) fn mask_bits(&self) -> Option<u8> {
        match self.ip_eid()?.1 {
            IpAddr::V4(_) => Some(32),
            IpAddr::V6(_) => Some(128),
        }
    }
}

impl From<IpAddr> for Address<'_> {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Address::Ipv4(address),
            IpAddr::V6(address) => Address::Ipv6(address),
        }
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::None => f.write_str("none"),
            Address::Ipv4(address) => address.fmt(f),
            Address::Ipv6(address) => address.fmt(f),
            Address::Mac([a, b, c, d, e, g]) => {
                write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
            Address::DistinguishedName(name) => write!(f, "\"{}\"", name.escape_ascii()),
            Address::Lcaf(lcaf) => lcaf.fmt(f),
        }
    }
}

/// Addresses one after the other: checked octets of a message, or values to be emitted.
#[derive(Clone, Copy)]
pub struct Addresses<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Octets(&'a [u8]),
    Values(&'a [Address<'a>]),
}

impl<'a> Addresses<'a> {
    /// No address at all.
    pub const EMPTY: Addresses<'static> = Addresses(Source::Octets(&[]));

    /// Addresses to be emitted.
    pub const fn new(addresses: &'a [Address<'a>]) -> Self {
        Addresses(Source::Values(addresses))
    }

    /// Octets that hold nothing but addresses; the caller has them checked.
    pub(crate) const fn from_octets(octets: &'a [u8]) -> Self {
        Addresses(Source::Octets(octets))
    }

    /// The addresses in order.
    pub fn iter(&self) -> impl Iterator<Item = Address<'a>> + Clone + use<'a> {
        let (octets, values) = match self.0 {
            Source::Octets(octets) => (octets, &[][..]),
            Source::Values(values) => (&[][..], values),
        };
        let mut reader = Reader::new(octets);
        core::iter::from_fn(move || match reader.rest() {
            [] => None,
            _ => Address::read(&mut reader).ok(),
        })
        .chain(values.iter().copied())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.iter().count()
    }

    /// Octets that they take in a message.
    pub fn buffer_len(&self) -> usize {
        match self.0 {
            Source::Octets(octets) => octets.len(),
            Source::Values(values) => values.iter().map(Address::buffer_len).sum(),
        }
    }

    /// The octets they stand in, none when they are values.
    pub(crate) const fn octets(&self) -> &'a [u8] {
        match self.0 {
            Source::Octets(octets) => octets,
            Source::Values(_) => &[],
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        match self.0 {
            Source::Octets(octets) => writer.put(octets),
            Source::Values(values) => {
                values.iter().try_for_each(|address| writer.put_with(|free| address.emit(free)))
            }
        }
    }
}

impl<'a> From<&'a [Address<'a>]> for Addresses<'a> {
    fn from(addresses: &'a [Address<'a>]) -> Self {
        Addresses::new(addresses)
    }
}

impl PartialEq for Addresses<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Addresses<'_> {}

impl fmt::Debug for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{address}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::AddressBuffer;
    use crate::testing::hex;

    fn check(text: &str, expected: Address<'_>, displayed: &str) {
        let mut octets = hex(text);
        let len = octets.len();
        let mut buffer = [0xa5; 64];
        assert_eq!(expected.emit(&mut buffer), Ok(len));
        assert_eq!(buffer[..len], octets);
        assert_eq!(expected.buffer_len(), len);
        assert_eq!(expected.to_string(), displayed);
        for short in 0..len {
            assert_eq!(Address::parse(&octets[..short]), Err(Error::Truncated));
            assert_eq!(expected.emit(&mut buffer[..short]), Err(Error::BufferTooSmall));
        }
        octets.push(0x99);
        assert_eq!(Address::parse(&octets), Ok((expected, &[0x99][..])));
    }

    #[test]
    fn plain_addresses_are_known_both_ways() {
        check("0000", Address::None, "none");
        check("0001 c0000201", Address::Ipv4(Ipv4Addr::new(192, 0, 2, 1)), "192.0.2.1");
        check(
            "0002 20010db8000000000000000000000001",
            Address::Ipv6("2001:db8::1".parse().unwrap()),
            "2001:db8::1",
        );
        check("0006 02005e0053af", Address::Mac([2, 0, 0x5e, 0, 0x53, 0xaf]), "02:00:5e:00:53:af");
        check("0011 686f6d6500", Address::DistinguishedName(b"home"), "\"home\"");
        check("0011 6822ff00", Address::DistinguishedName(b"h\"\xff"), "\"h\\\"\\xff\"");
    }

    #[test]
    fn an_unknown_family_is_an_error() {
        assert_eq!(Address::parse(&hex("0008 0000000000000000")), Err(Error::UnknownAfi(8)));
        assert_eq!(
            Address::parse(&hex("4003 0000 0100 0004 0008 0000")),
            Err(Error::UnknownAfi(8))
        );
    }

    #[test]
    fn a_name_with_a_zero_octet_is_not_emitted() {
        let name = Address::DistinguishedName(b"a\0b");
        assert_eq!(name.emit(&mut [0; 16]), Err(Error::Malformed));
    }

    #[test]
    fn lcafs_nest_four_deep_and_no_deeper() {
        let mut nested = AddressBuffer::copy(&Address::None).unwrap();
        for _ in 0..MAX_DEPTH {
            nested = AddressBuffer::instance_id(InstanceId(1), 32, &nested.address()).unwrap();
        }
        let too_deep = AddressBuffer::instance_id(InstanceId(1), 32, &nested.address());
        assert_eq!(too_deep.map(|_| ()), Err(Error::TooDeep));
    }

    #[test]
    fn eids_and_rlocs_show_through_their_lcafs() {
        let home = Address::Ipv4(Ipv4Addr::new(10, 0, 0, 1));
        let eid = AddressBuffer::instance_id(InstanceId(7), 0, &home).unwrap();
        assert_eq!(eid.address().ip_eid(), Some((InstanceId(7), home.ip().unwrap())));
        assert_eq!(eid.address().rloc(), None);
        let key = DataKey { public_key: [9; 32], port: 51820, lane: 1 };
        let rloc = AddressBuffer::data_key(&key, false, &home).unwrap();
        assert_eq!(rloc.address().rloc(), home.ip().map(|home| (home, Some(Ok(key)))));
        assert_eq!(rloc.address().ip_eid(), None);
        assert_eq!(home.rloc(), home.ip().map(|home| (home, None)));
    }

    #[test]
    fn locators_are_ordered_by_family_then_address_then_lcaf_type() {
        let v4 = Address::Ipv4(Ipv4Addr::new(203, 0, 113, 1));
        let higher = Address::Ipv4(Ipv4Addr::new(203, 0, 113, 2));
        let v6 = Address::Ipv6(Ipv6Addr::LOCALHOST);
        let list = AddressBuffer::afi_list(&Addresses::new(&[v6])).unwrap();
        let key = AddressBuffer::security_key(6, false, &[&[1]], &v4).unwrap();
        let other_key = AddressBuffer::security_key(6, false, &[&[1]], &higher).unwrap();
        let sorted = [v4, higher, v6, list.address(), key.address(), other_key.address()];
        for (index, low) in sorted.iter().enumerate() {
            assert_eq!(low.cmp_locator(low), Ordering::Equal);
            for high in &sorted[index + 1..] {
                assert_eq!(low.cmp_locator(high), Ordering::Less);
                assert_eq!(high.cmp_locator(low), Ordering::Greater);
            }
        }
    }

    #[test]
    fn addresses_are_the_same_as_octets_and_as_values() {
        let values = [Address::Ipv4(Ipv4Addr::new(192, 0, 2, 1)), Address::None];
        let octets = hex("0001c0000201 0000");
        let parsed = Addresses::from_octets(&octets);
        assert_eq!(parsed, Addresses::new(&values));
        assert_eq!(parsed.count(), 2);
        assert_eq!(parsed.buffer_len(), Addresses::new(&values).buffer_len());
        assert_eq!(parsed.to_string(), "192.0.2.1,none");
        assert_eq!(Addresses::EMPTY.count(), 0);
    }
}
