//! Building addresses that contain others.
use crate::address::{Address, Addresses, afi};
use crate::cursor::Writer;
use crate::lcaf::{HEADER_LEN, LcafType, Nat};
use crate::security_key::DATA_KEY_ALGORITHM;
use crate::{DataKey, Error, InstanceId};

/// Octets that the longest address built here may take.
pub const CAPACITY: usize = 256;

/// An address that owns its octets.
#[derive(Debug, Clone)]
pub struct AddressBuffer {
    octets: [u8; CAPACITY],
    len: usize,
}

impl AddressBuffer {
    /// A copy of an address.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] beyond [`CAPACITY`]; [`Error::Malformed`] for a name with a zero octet in it.
    pub fn copy(address: &Address<'_>) -> Result<Self, Error> {
        let mut octets = [0; CAPACITY];
        let len = address.emit(&mut octets)?;
        Ok(AddressBuffer { octets, len })
    }

    /// An address within an instance (RFC 8060 section 4.1).
    ///
    /// # Errors
    /// As [`AddressBuffer::nat`].
    pub fn instance_id(
        instance_id: InstanceId,
        mask_len: u8,
        address: &Address<'_>,
    ) -> Result<Self, Error> {
        Self::build(LcafType::InstanceId, mask_len, |body| {
            body.put(&instance_id.0.to_be_bytes())?;
            body.put_with(|free| address.emit(free))
        })
    }

    /// Keys around a locator (RFC 8060 section 4.7).
    ///
    /// # Errors
    /// As [`AddressBuffer::nat`], and [`Error::TooMany`] beyond 255 keys or 65,535 octets in one.
    pub fn security_key(
        algorithm: u8,
        is_revoked: bool,
        keys: &[&[u8]],
        locator: &Address<'_>,
    ) -> Result<Self, Error> {
        let count = u8::try_from(keys.len()).map_err(|_| Error::TooMany)?;
        Self::build(LcafType::SecurityKey, 0, |body| {
            body.put(&[count, 0, algorithm, u8::from(is_revoked)])?;
            for key in keys {
                let len = u16::try_from(key.len()).map_err(|_| Error::TooMany)?;
                body.put(&len.to_be_bytes())?;
                body.put(key)?;
            }
            body.put_with(|free| locator.emit(free))
        })
    }

    /// lispguard's WireGuard key around a locator.
    ///
    /// # Errors
    /// As [`AddressBuffer::nat`].
    pub fn data_key(key: &DataKey, is_revoked: bool, locator: &Address<'_>) -> Result<Self, Error> {
        Self::security_key(DATA_KEY_ALGORITHM, is_revoked, &[&key.to_octets()], locator)
    }

    /// Addresses on both sides of a NAT (RFC 8060 section 4.4).
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] beyond [`CAPACITY`]; [`Error::TooDeep`] when it nests too deep;
    /// [`Error::Malformed`] for a name with a zero octet in it.
    pub fn nat(nat: &Nat<'_>) -> Result<Self, Error> {
        Self::build(LcafType::Nat, 0, |body| {
            body.put(&nat.ms_port.to_be_bytes())?;
            body.put(&nat.etr_port.to_be_bytes())?;
            for address in [nat.global_etr, nat.ms, nat.private_etr] {
                body.put_with(|free| address.emit(free))?;
            }
            nat.rtrs.write(body)
        })
    }

    /// Addresses that belong together (RFC 8060 section 4.10).
    ///
    /// # Errors
    /// As [`AddressBuffer::nat`].
    pub fn afi_list(addresses: &Addresses<'_>) -> Result<Self, Error> {
        Self::build(LcafType::AfiList, 0, |body| addresses.write(body))
    }

    /// A vendor's own format (RFC 9306 section 4), the OUI in the lower 24 bits.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] beyond [`CAPACITY`].
    pub fn vendor(oui: u32, data: &[u8]) -> Result<Self, Error> {
        Self::build(LcafType::Vendor, 0, |body| {
            body.put(&(oui & 0x00ff_ffff).to_be_bytes())?;
            body.put(data)
        })
    }

    /// The address.
    pub fn address(&self) -> Address<'_> {
        // What was built was parsed once, so that it parses again.
        Address::parse(&self.octets[..self.len]).map_or(Address::None, |(address, _)| address)
    }

    fn build(
        lcaf_type: LcafType,
        rsvd2: u8,
        put_body: impl FnOnce(&mut Writer<'_>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut octets = [0; CAPACITY];
        let mut body = Writer::new(&mut octets[HEADER_LEN..]);
        put_body(&mut body)?;
        let body_len = body.len();
        octets[..2].copy_from_slice(&afi::LCAF.to_be_bytes());
        octets[2..6].copy_from_slice(&[0, 0, lcaf_type.into(), rsvd2]);
        octets[6..8].copy_from_slice(&(body_len as u16).to_be_bytes());
        let len = HEADER_LEN + body_len;
        Address::parse(&octets[..len])?;
        Ok(AddressBuffer { octets, len })
    }
}
