//! LISP messages inside a tunnel: IPv6 and UDP between the addresses of its two ends.

use core::net::Ipv6Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, Ipv6Packet, Ipv6Repr, UdpPacket, UdpRepr};

/// Octets of the IPv6 and UDP headers.
pub(crate) const HEADERS: usize = 48;

/// Writes `message` with its headers, from and to `port`; `None` when it does not fit.
pub(crate) fn emit(
    port: u16,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    message: &[u8],
    out: &mut [u8],
) -> Option<usize> {
    let len = HEADERS + message.len();
    let out = out.get_mut(..len)?;
    let ip = Ipv6Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Udp,
        payload_len: len - 40,
        hop_limit: 64,
    };
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut *out));
    UdpRepr { src_port: port, dst_port: port }.emit(
        &mut UdpPacket::new_unchecked(&mut out[40..]),
        &IpAddress::Ipv6(source),
        &IpAddress::Ipv6(destination),
        message.len(),
        |payload| payload.copy_from_slice(message),
        &ChecksumCapabilities::default(),
    );
    Some(len)
}

/// The LISP message in `packet`, when it goes from `source` to `destination` and to `port`.
pub(crate) fn parse(
    port: u16,
    packet: &[u8],
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> Option<&[u8]> {
    let ip = Ipv6Packet::new_checked(packet).ok()?;
    let is_ours = ip.version() == 6
        && ip.src_addr() == source
        && ip.dst_addr() == destination
        && ip.next_header() == IpProtocol::Udp;
    if !is_ours {
        return None;
    }
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    let (source, destination) = (IpAddress::Ipv6(source), IpAddress::Ipv6(destination));
    // IPv6 needs the checksum (RFC 8200 section 8.1), though the tunnel has its own.
    let is_valid =
        udp.dst_port() == port && udp.checksum() != 0 && udp.verify_checksum(&source, &destination);
    is_valid.then(|| udp.payload())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_out_as_it_went_in_and_only_between_the_right_addresses() {
        let (a, b): (Ipv6Addr, Ipv6Addr) = ("fd01::1".parse().unwrap(), "fd02::2".parse().unwrap());
        let mut out = [0xff; 64];
        let len = emit(4342, a, b, b"message", &mut out).unwrap();
        assert_eq!(parse(4342, &out[..len], a, b), Some(&b"message"[..]));
        assert_eq!(parse(4342, &out[..len], b, a), None);
        assert_eq!(parse(4343, &out[..len], a, b), None);
        assert_eq!(emit(4342, a, b, &[0; 17], &mut out), None);
        for bit in 0..len * 8 {
            let mut broken = out;
            broken[bit / 8] ^= 1 << (bit % 8);
            let _ = parse(4342, &broken[..len], a, b);
        }
        for short in 0..len {
            assert_eq!(parse(4342, &out[..short], a, b), None);
        }
    }
}
