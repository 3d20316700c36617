//! Keys that travel with a locator: the Security Key LCAF (RFC 8060 section 4.7) and lispguard's use of it.
//!
//! lispguard sends the data key of a site as one key of algorithm 251, a value that RFC 8061 leaves
//! unassigned and that only lispguard gives this meaning: 36 octets, the X25519 public key (32), the UDP
//! port WireGuard listens on (16 bits), the lane (8 bits) and flags (8 bits, sent 0 and ignored).
//! Around locator 192.0.2.1, with key 00 01 … 1f, port 51820 and lane 0, all of it reads
//!
//! ```text
//! 4003 00 00 0b 00 0030            AFI, reserved, flags, type 11, reserved, 48 octets follow
//!   01 00 fb 00                    one key, reserved, algorithm 251, not revoked
//!   0024 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f ca6c 00 00
//!   0001 c0000201                  the locator
//! ```
use core::fmt;

use crate::cursor::Reader;
use crate::{Address, Error};

/// Key algorithm under which lispguard sends its WireGuard keys.
pub const DATA_KEY_ALGORITHM: u8 = 251;

/// UDP port of the data plane unless configured otherwise.
pub const DEFAULT_DATA_PORT: u16 = 51820;

/// Keys that belong to a locator (RFC 8060 section 4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityKey<'a> {
    /// What the keys are for.
    pub algorithm: u8,
    /// Whether the keys are withdrawn.
    pub is_revoked: bool,
    /// The keys.
    pub keys: Keys<'a>,
    /// The locator that they belong to.
    pub locator: Address<'a>,
}

/// The keys of one Security Key LCAF, each with its own length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys<'a> {
    octets: &'a [u8],
    count: u8,
}

impl<'a> Keys<'a> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The octets of each key.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let mut reader = Reader::new(self.octets);
        (0..self.count).map_while(move |_| read_key(&mut reader).ok())
    }
}

fn read_key<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let len = reader.u16()?;
    reader.take(usize::from(len))
}

impl<'a> SecurityKey<'a> {
    pub(crate) fn read(body: &mut Reader<'a>) -> Result<Self, Error> {
        let [count, _reserved, algorithm, flags] = body.array()?;
        let start = body.rest();
        for _ in 0..count {
            read_key(body)?;
        }
        let octets = &start[..start.len() - body.rest().len()];
        Ok(SecurityKey {
            algorithm,
            is_revoked: flags & 1 != 0,
            keys: Keys { octets, count },
            locator: Address::read(body)?,
        })
    }
}

impl fmt::Display for SecurityKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(key) = DataKey::parse(self) {
            return write!(f, "{}({key})", self.locator);
        }
        let revoked = if self.is_revoked { " revoked" } else { "" };
        let (locator, algorithm) = (self.locator, self.algorithm);
        write!(f, "{locator}({} keys algorithm={algorithm}{revoked})", self.keys.len())
    }
}

/// lispguard's WireGuard key of a locator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DataKey {
    /// X25519 public key.
    pub public_key: [u8; 32],
    /// UDP port that WireGuard listens on.
    pub port: u16,
    /// Which of the site's interfaces it is, 0 without load sharing.
    pub lane: u8,
}

/// Why a Security Key LCAF is no usable [`DataKey`]; its locator is then unusable, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnusableKey {
    /// Another number of keys than one.
    Count(usize),
    /// Another algorithm than [`DATA_KEY_ALGORITHM`].
    Algorithm(u8),
    /// Another length than [`DataKey::LEN`].
    Length(usize),
    /// The key is withdrawn.
    Revoked,
}

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnusableKey::Count(count) => write!(f, "{count} keys instead of one"),
            UnusableKey::Algorithm(value) => write!(f, "key algorithm {value} is not WireGuard"),
            UnusableKey::Length(len) => write!(f, "key of {len} octets instead of 36"),
            UnusableKey::Revoked => f.write_str("key is revoked"),
        }
    }
}

impl core::error::Error for UnusableKey {}

impl DataKey {
    /// Octets on the wire.
    pub const LEN: usize = 36;

    /// The key of a Security Key LCAF.
    ///
    /// # Errors
    /// [`UnusableKey`] for anything but one unrevoked key of the right algorithm and length.
    pub fn parse(security_key: &SecurityKey<'_>) -> Result<Self, UnusableKey> {
        if security_key.algorithm != DATA_KEY_ALGORITHM {
            return Err(UnusableKey::Algorithm(security_key.algorithm));
        }
        if security_key.keys.len() != 1 {
            return Err(UnusableKey::Count(security_key.keys.len()));
        }
        if security_key.is_revoked {
            return Err(UnusableKey::Revoked);
        }
        let octets = security_key.keys.iter().next().unwrap_or(&[]);
        match octets.try_into() {
            Ok(octets) => Ok(Self::from_octets(octets)),
            Err(_) => Err(UnusableKey::Length(octets.len())),
        }
    }

    /// The key as it stands on the wire.
    pub fn from_octets(octets: &[u8; Self::LEN]) -> Self {
        let mut public_key = [0; 32];
        public_key.copy_from_slice(&octets[..32]);
        DataKey { public_key, port: u16::from_be_bytes([octets[32], octets[33]]), lane: octets[34] }
    }

    /// The key as it goes on the wire.
    pub fn to_octets(&self) -> [u8; Self::LEN] {
        let mut octets = [0; Self::LEN];
        octets[..32].copy_from_slice(&self.public_key);
        octets[32..34].copy_from_slice(&self.port.to_be_bytes());
        octets[34] = self.lane;
        octets
    }
}

impl fmt::Display for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wireguard=")?;
        for octet in &self.public_key[..4] {
            write!(f, "{octet:02x}")?;
        }
        write!(f, "… port={} lane={}", self.port, self.lane)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::testing::hex;
    use crate::{AddressBuffer, Addresses, LcafBody};

    const V4: Address<'static> = Address::Ipv4(core::net::Ipv4Addr::new(192, 0, 2, 1));
    const KEY_0_TO_1F: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn security_key(octets: &[u8]) -> SecurityKey<'_> {
        let (Address::Lcaf(lcaf), []) = Address::parse(octets).unwrap() else {
            panic!("no single LCAF");
        };
        match lcaf.body() {
            LcafBody::SecurityKey(key) => key,
            other => panic!("{other:?} is no security key"),
        }
    }

    fn emitted(address: &Address<'_>) -> std::vec::Vec<u8> {
        let mut octets = std::vec![0xa5; address.buffer_len()];
        address.emit(&mut octets).unwrap();
        octets
    }

    #[test]
    fn a_security_key_is_known_both_ways() {
        let octets = hex(&std::format!("400300000b00002c010006000020 {KEY_0_TO_1F} 0001c0000201"));
        assert_eq!(octets.len(), 52);
        let key = hex(KEY_0_TO_1F);
        let built = AddressBuffer::security_key(6, false, &[&key], &V4).unwrap();
        assert_eq!(emitted(&built.address()), octets);
        let parsed = security_key(&octets);
        assert_eq!((parsed.algorithm, parsed.is_revoked, parsed.locator), (6, false, V4));
        assert!(parsed.keys.iter().eq([&key[..]]));
        assert_eq!(parsed.to_string(), "192.0.2.1(1 keys algorithm=6)");
        assert_eq!(DataKey::parse(&parsed), Err(UnusableKey::Algorithm(6)));
    }

    #[test]
    fn a_locator_and_its_key_in_a_list_are_known_both_ways() {
        let octets = hex(&std::format!(
            "40030000010000360001c0000201400300000b000028010006000020 {KEY_0_TO_1F} 0000"
        ));
        assert_eq!(octets.len(), 62);
        let key = hex(KEY_0_TO_1F);
        let key = AddressBuffer::security_key(6, false, &[&key], &Address::None).unwrap();
        let list = [V4, key.address()];
        let built = AddressBuffer::afi_list(&Addresses::new(&list)).unwrap();
        assert_eq!(emitted(&built.address()), octets);
        assert_eq!(Address::parse(&octets), Ok((built.address(), &[][..])));
    }

    #[test]
    fn the_data_key_of_the_module_documentation_is_known_both_ways() {
        let octets = hex(&std::format!(
            "4003 00 00 0b 00 0030 01 00 fb 00 0024 {KEY_0_TO_1F} ca6c 00 00 0001 c0000201"
        ));
        let mut public_key = [0; 32];
        public_key.copy_from_slice(&hex(KEY_0_TO_1F));
        let key = DataKey { public_key, port: DEFAULT_DATA_PORT, lane: 0 };
        let built = AddressBuffer::data_key(&key, false, &V4).unwrap();
        assert_eq!(emitted(&built.address()), octets);
        assert_eq!(Address::parse(&octets).unwrap().0.rloc().unwrap().1, Some(Ok(key)));
        let displayed = "192.0.2.1(wireguard=00010203… port=51820 lane=0)";
        assert_eq!(built.address().to_string(), displayed);
    }

    #[test]
    fn the_flags_of_a_data_key_are_ignored() {
        let mut octets = DataKey { public_key: [7; 32], port: 1, lane: 2 }.to_octets();
        octets[35] = 0xff;
        let key = DataKey { public_key: [7; 32], port: 1, lane: 2 };
        assert_eq!(DataKey::from_octets(&octets), key);
    }

    #[test]
    fn anything_but_one_key_of_36_octets_is_unusable() {
        let long = [0; 37];
        let right = [0; 36];
        for (built, reason) in [
            (AddressBuffer::security_key(251, false, &[&long], &V4), UnusableKey::Length(37)),
            (AddressBuffer::security_key(251, false, &[&[]], &V4), UnusableKey::Length(0)),
            (AddressBuffer::security_key(251, false, &[], &V4), UnusableKey::Count(0)),
            (
                AddressBuffer::security_key(251, false, &[&right, &right], &V4),
                UnusableKey::Count(2),
            ),
            (AddressBuffer::security_key(250, false, &[&right], &V4), UnusableKey::Algorithm(250)),
            (AddressBuffer::security_key(251, true, &[&right], &V4), UnusableKey::Revoked),
        ] {
            assert_eq!(built.unwrap().address().rloc().unwrap().1, Some(Err(reason)));
        }
    }
}
