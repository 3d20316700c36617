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
