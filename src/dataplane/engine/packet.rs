//! The outermost header of an inner packet: whence, whither, and of what kind.

use core::net::IpAddr;

use control::{Eid, InstanceId};
use smoltcp::wire::{Ipv4Packet, Ipv6Packet};

/// What the engine reads of an IPv4 or IPv6 packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) source: Eid,
    pub(crate) destination: Eid,
    /// Octets, as the header says; what follows in the buffer is padding.
    pub(crate) len: usize,
}

impl Header {
    /// Reads a packet that is complete; `None` when it is not, or of another version. Its addresses
    /// are EIDs of this instance.
    pub(crate) fn parse(packet: &[u8], instance_id: InstanceId) -> Option<Header> {
        let (source, destination, len): (IpAddr, IpAddr, usize) = match packet.first()? >> 4 {
            4 => {
                let ip = Ipv4Packet::new_checked(packet).ok()?;
                if ip.header_len() < 20 {
                    return None;
                }
                (ip.src_addr().into(), ip.dst_addr().into(), ip.total_len().into())
            }
            6 => {
                let ip = Ipv6Packet::new_checked(packet).ok()?;
                (ip.src_addr().into(), ip.dst_addr().into(), ip.total_len())
            }
            _ => return None,
        };
        if len > packet.len() {
            return None;
        }
        let eid = |address| Eid { instance_id, address };
        Some(Header { source: eid(source), destination: eid(destination), len })
    }

    /// Whether it can cross the overlay: neither end is multicast, link-local or the like.
    pub(crate) fn is_routable(&self) -> bool {
        is_routable(self.source.address) && is_routable(self.destination.address)
    }
}

fn is_routable(address: IpAddr) -> bool {
    let is_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(is_local || address.is_multicast() || address.is_loopback() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(packet: &[u8]) -> Option<Header> {
        Header::parse(packet, InstanceId(0))
    }

    #[test]
    fn truncated_and_foreign_packets_have_no_header() {
        let mut packet = [0; 20];
        packet[0] = 0x45;
        packet[3] = 21;
        assert_eq!(parse(&packet), None);
        packet[3] = 20;
        assert!(parse(&packet).is_some_and(|header| header.len == 20));
        packet[0] = 0x44;
        assert_eq!(parse(&packet), None);
        packet[0] = 0x60;
        assert_eq!(parse(&packet), None);
        assert_eq!(parse(&[]), None);
    }
}
