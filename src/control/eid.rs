//! Endpoint identifiers and their prefixes (RFC 9300 section 3).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

pub use wire::InstanceId;

/// An endpoint identifier: an address inside an instance-ID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Eid {
    /// The VPN the address belongs to; 0 is the default one.
    pub instance_id: InstanceId,
    /// The address.
    pub address: IpAddr,
}

/// An EID-prefix in canonical form: no host bit is set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EidPrefix {
    instance_id: InstanceId,
    address: IpAddr,
    len: u8,
}

/// Why a text is not an EID-prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrefixError {
    /// Not `ADDRESS/LENGTH`.
    Syntax,
    /// The length exceeds 32 (IPv4) or 128 (IPv6).
    Length,
    /// A bit after the prefix length is set; the canonical prefix is enclosed.
    HostBits(EidPrefix),
}

/// The number of bits in an address of this family: 32 or 128.
pub const fn address_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address as a number whose most significant bit is the first bit, left-aligned in 128.
pub fn left_aligned(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl EidPrefix {
    /// All IPv4 addresses of the default instance.
    pub(crate) const ALL: EidPrefix = EidPrefix {
        instance_id: InstanceId(0),
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        len: 0,
    };

    /// The prefix of `len` bits that contains `address`; `None` when `len` is too large.
    pub fn new(instance_id: InstanceId, address: IpAddr, len: u8) -> Option<EidPrefix> {
        if len > address_bits(address) {
            return None;
        }
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Some(EidPrefix { instance_id, address, len })
    }

    /// The prefix that contains this EID alone.
    pub fn host(eid: Eid) -> EidPrefix {
        let len = address_bits(eid.address);
        EidPrefix { instance_id: eid.instance_id, address: eid.address, len }
    }

    /// The instance-ID.
    pub const fn instance_id(&self) -> InstanceId {
        self.instance_id
    }

    /// The first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    pub(crate) const fn address_ref(&self) -> &IpAddr {
        &self.address
    }

    /// The first address as an EID.
    pub const fn eid(&self) -> Eid {
        Eid { instance_id: self.instance_id, address: self.address }
    }

    /// The prefix length in bits.
    #[expect(clippy::len_without_is_empty, reason = "a prefix length, not a container")]
    pub const fn len(&self) -> u8 {
        self.len
    }

    /// Whether it holds one address only.
    pub const fn is_host(&self) -> bool {
        self.len == address_bits(self.address)
    }

    /// The same prefix in another instance.
    pub const fn with_instance_id(self, instance_id: InstanceId) -> EidPrefix {
        EidPrefix { instance_id, ..self }
    }

    /// The EID after its last one; `None` after the last of all.
    pub(crate) fn next(&self) -> Option<Eid> {
        let step = 1_u128.checked_shl(128 - u32::from(self.len))?;
        let next = left_aligned(self.address).checked_add(step)?;
        let address = match self.address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits((next >> 96) as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(next)),
        };
        Some(Eid { instance_id: self.instance_id, address })
    }

    /// Whether `eid` lies inside.
    pub fn contains(&self, eid: Eid) -> bool {
        self.instance_id == eid.instance_id && self.agrees_with(&eid.address)
    }

    /// Whether `other` is this prefix or a more specific one of it.
    pub fn covers(&self, other: &EidPrefix) -> bool {
        self.instance_id == other.instance_id
            && self.len <= other.len
            && self.agrees_with(&other.address)
    }

    /// Whether an address begins as this prefix does.
    fn agrees_with(&self, address: &IpAddr) -> bool {
        let alike = match (&self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        alike >= self.len.into()
    }
}

impl fmt::Display for Eid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_instance_id(self.instance_id, f)?;
        write!(f, "{}", self.address)
    }
}

impl fmt::Display for EidPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_instance_id(self.instance_id, f)?;
        write!(f, "{}/{}", self.address, self.len)
    }
}

/// Instance 0 is not written; others stand in brackets, as in `[7]10.0.0.0/8`.
fn fmt_instance_id(instance_id: InstanceId, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if instance_id.0 == 0 { Ok(()) } else { write!(f, "[{}]", instance_id.0) }
}

impl FromStr for EidPrefix {
    type Err = PrefixError;

    /// Reads `ADDRESS/LENGTH` in instance 0; a bare address is a host prefix.
    fn from_str(text: &str) -> Result<EidPrefix, PrefixError> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Syntax)?;
        let len = match len {
            Some(len) if !len.is_empty() && len.bytes().all(|b| b.is_ascii_digit()) => {
                len.parse().map_err(|_| PrefixError::Length)?
            }
            Some(_) => return Err(PrefixError::Syntax),
            None => address_bits(address),
        };
        let prefix = EidPrefix::new(InstanceId(0), address, len).ok_or(PrefixError::Length)?;
        if prefix.address == address { Ok(prefix) } else { Err(PrefixError::HostBits(prefix)) }
    }
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::Syntax => write!(f, "not an address and a length as in 10.1.0.0/24"),
            PrefixError::Length => write!(f, "the length exceeds 32 (IPv4) or 128 (IPv6)"),
            PrefixError::HostBits(prefix) => write!(f, "host bits are set; write {prefix}"),
        }
    }
}

impl core::error::Error for PrefixError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_prefix_covers_itself_and_what_is_more_specific() {
        let eight: EidPrefix = "10.0.0.0/8".parse().unwrap();
        let sixteen: EidPrefix = "10.1.0.0/16".parse().unwrap();
        assert!(eight.covers(&sixteen) && eight.covers(&eight) && !sixteen.covers(&eight));
        let all: EidPrefix = "0.0.0.0/0".parse().unwrap();
        let all_v6: EidPrefix = "::/0".parse().unwrap();
        assert!(all.covers(&eight) && !all_v6.covers(&eight));
        assert!(!eight.with_instance_id(InstanceId(1)).covers(&sixteen));
    }

    #[test]
    fn after_a_prefix_comes_the_next_address_if_there_is_one() {
        let next = |text: &str| {
            let next = text.parse::<EidPrefix>().unwrap().next();
            next.map(|eid| eid.to_string())
        };
        assert_eq!(next("10.1.0.0/16").as_deref(), Some("10.2.0.0"));
        assert_eq!(next("10.1.0.255/32").as_deref(), Some("10.1.1.0"));
        assert_eq!(next("fd00::ffff/128").as_deref(), Some("fd00::1:0"));
        assert_eq!([next("255.0.0.0/8"), next("0.0.0.0/0"), next("::/0")], [const { None }; 3]);
    }

    #[test]
    fn host_bits_are_refused_with_the_canonical_prefix() {
        let error = "10.1.0.7/24".parse::<EidPrefix>().unwrap_err();
        assert_eq!(error.to_string(), "host bits are set; write 10.1.0.0/24");
        assert_eq!("10.0.0.0/33".parse::<EidPrefix>(), Err(PrefixError::Length));
        assert_eq!("10.0.0.0/+8".parse::<EidPrefix>(), Err(PrefixError::Syntax));
        assert_eq!("fd00::/8".parse::<EidPrefix>().unwrap().to_string(), "fd00::/8");
    }

    #[test]
    fn an_instance_id_is_shown_in_brackets() {
        let prefix: EidPrefix = "10.0.0.0/8".parse().unwrap();
        assert_eq!(prefix.with_instance_id(InstanceId(7)).to_string(), "[7]10.0.0.0/8");
    }
}
