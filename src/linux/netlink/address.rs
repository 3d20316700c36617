//! Addresses of interfaces.

use core::net::IpAddr;

use super::abi::{
    AF_UNSPEC, IFA_ADDRESS, IFA_FLAGS, IFA_LOCAL, NLM_F_CREATE, NLM_F_REPLACE, RT_SCOPE_HOST,
    RT_SCOPE_LINK, RT_SCOPE_UNIVERSE, RTM_DELADDR, RTM_GETADDR, RTM_NEWADDR,
};
use super::attribute::Attributes;
use super::error::Error;
use super::message::Message;
use super::socket::Socket;
use super::{Family, REQUEST_LEN};

/// Octets of `struct ifaddrmsg`.
const HEADER_LEN: usize = 8;

/// An IPv6 address that changes from day to day; in IPv4, one beside the first of its prefix.
pub const IFA_F_TEMPORARY: u32 = 0x01;
/// The address is used for no new connection.
pub const IFA_F_DEPRECATED: u32 = 0x20;
/// The address is used at once, without looking for duplicates.
pub const IFA_F_NODAD: u32 = 0x02;
/// The address is being checked for duplicates and not usable yet.
pub const IFA_F_TENTATIVE: u32 = 0x40;
/// The kernel adds no route for the address's prefix.
pub const IFA_F_NOPREFIXROUTE: u32 = 0x200;

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The interface's index.
    pub index: u32,
    /// The address.
    pub ip: IpAddr,
    /// The length of its prefix in bits.
    pub prefix_len: u8,
    /// How far it is valid (`RT_SCOPE_*`).
    pub scope: u8,
    /// The kernel's flags (`IFA_F_*`).
    pub flags: u32,
}

impl Address {
    /// An address to be added: its scope follows from the address, and IPv6 is usable at once.
    #[must_use]
    pub fn new(index: u32, ip: IpAddr, prefix_len: u8) -> Self {
        let is_link_local = match ip {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let scope = match ip {
            _ if ip.is_loopback() => RT_SCOPE_HOST,
            _ if is_link_local => RT_SCOPE_LINK,
            _ => RT_SCOPE_UNIVERSE,
        };
        let flags = if ip.is_ipv6() { IFA_F_NODAD } else { 0 };
        Self { index, ip, prefix_len, scope, flags }
    }

    /// True when the address can be a source now.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.flags & IFA_F_TENTATIVE == 0
    }

    /// True when it stays for a while: it is neither about to go nor, in IPv6, a temporary one that
    /// hides who one is (RFC 8981).
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        let is_temporary = self.ip.is_ipv6() && self.flags & IFA_F_TEMPORARY != 0;
        self.flags & IFA_F_DEPRECATED == 0 && !is_temporary
    }

    /// Reads the payload of an `RTM_NEWADDR` or `RTM_DELADDR`.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let header = payload.first_chunk::<HEADER_LEN>()?;
        let family = Family::from_number(header[0])?;
        let mut flags = u32::from(header[2]);
        let mut ip = None;
        for attribute in Attributes::new(&payload[HEADER_LEN..]) {
            match attribute.kind {
                // On a point-to-point interface IFA_ADDRESS is the other end.
                IFA_LOCAL => ip = attribute.as_ip(),
                IFA_ADDRESS => ip = ip.or(attribute.as_ip()),
                IFA_FLAGS => flags = attribute.as_u32()?,
                _ => {}
            }
        }
        let ip = ip.filter(|&ip| Family::of(ip) == family)?;
        let index = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
        Some(Self { index, ip, prefix_len: header[1], scope: header[3], flags })
    }

    pub(super) fn message<'b>(&self, buffer: &'b mut [u8], kind: u16, flags: u16) -> Message<'b> {
        let family = Family::of(self.ip).number();
        let index = self.index.to_ne_bytes();
        let mut message = Message::new(buffer, kind, flags);
        message.put(&[
            family,
            self.prefix_len,
            self.flags as u8,
            self.scope,
            index[0],
            index[1],
            index[2],
            index[3],
        ]);
        message.attribute_ip(IFA_LOCAL, self.ip).attribute_ip(IFA_ADDRESS, self.ip);
        message
    }
}

impl Socket {
    /// Adds an address, or refreshes it when it is there.
    ///
    /// # Errors
    /// As `request`.
    pub fn add_address(&mut self, address: &Address) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let mut message = address.message(&mut buffer, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
        message.attribute_u32(IFA_FLAGS, address.flags);
        self.request(message)
    }

    /// Deletes an address.
    ///
    /// # Errors
    /// As `request`; `is_missing` when it is not there.
    pub fn delete_address(&mut self, address: &Address) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let message = address.message(&mut buffer, RTM_DELADDR, 0);
        self.request(message)
    }

    /// Hands every address of both families to `each`.
    ///
    /// # Errors
    /// As `dump`.
    pub fn addresses(&mut self, mut each: impl FnMut(Address)) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let mut message = Message::new(&mut buffer, RTM_GETADDR, 0);
        message.put(&[AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0]);
        self.dump(message, |part| {
            if let Some(address) = Address::parse(part.payload) {
                each(address);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::native;
    use super::*;

    #[test]
    fn an_address_request_has_the_bytes_of_the_protocol() {
        let address = Address::new(7, IpAddr::from([192, 0, 2, 1]), 24);
        let mut buffer = [0xaa; 64];
        let mut message = address.message(&mut buffer, RTM_NEWADDR, 0x500);
        let expected = native(
            "00000028 0014 0505 00000003 00000000 =02180000 00000007 \
             0008 0002 =c0000201 0008 0001 =c0000201",
        );
        assert_eq!(message.finish(5, 3), Ok(&expected[..]));
        assert_eq!(Address::parse(&expected[16..]), Some(address));
    }

    #[test]
    fn the_local_address_of_a_point_to_point_interface_is_ours() {
        let payload = native(
            "=0220 =80 =00 00000004 0008 0001 =c0000202 0008 0002 =c0000201 0008 0008 00000280",
        );
        let address = Address::parse(&payload).expect("an address");
        assert_eq!(address.ip, IpAddr::from([192, 0, 2, 1]));
        assert_eq!((address.index, address.prefix_len, address.flags), (4, 32, 0x280));
    }

    #[test]
    fn an_address_of_another_family_than_its_header_is_refused() {
        let payload = native("=0a20 =80 =00 00000004 0008 0001 =c0000202");
        assert_eq!(Address::parse(&payload), None);
    }
}
