//! ICMP errors towards the sender of a packet that cannot go on (RFC 792, RFC 1191, RFC 4443).
//!
//! Their source is the destination of the packet they answer: it lies behind the TUN, so that
//! reverse path filters pass it; an address of our own would be dropped there as a martian.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use control::Instant;
use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv4Repr,
    Ipv6Packet, Ipv6Repr,
};

/// The longest error: IPv6's minimum MTU (RFC 4443 section 2.4 (c)).
pub(crate) const MAX_LEN: usize = 1280;
/// IPv4 errors quote what fits 576 octets (RFC 1812 section 4.3.2.3).
const MAX_LEN_V4: usize = 576;

/// Errors per second, and at once after a quiet time.
const RATE: u64 = 100;
const BURST: u64 = 50;

/// Why a packet cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// It exceeds this MTU.
    TooBig(u16),
    /// The mapping system knows no way, or none that works.
    Unreachable,
    /// Its source is not one of our EIDs.
    Prohibited,
}

/// A token bucket over all errors.
#[derive(Debug)]
pub(crate) struct Limiter {
    tokens: u64,
    filled_at: Instant,
}

impl Limiter {
    pub(crate) fn new() -> Limiter {
        Limiter { tokens: BURST, filled_at: Instant::ZERO }
    }

    /// Whether one more error may go.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let micros = control::micros(now - self.filled_at);
        let earned = micros.saturating_mul(RATE) / 1_000_000;
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(BURST);
            // The fraction of a token that was earned too is forgotten.
            self.filled_at = now;
        }
        let has_token = self.tokens > 0;
        self.tokens -= u64::from(has_token);
        has_token
    }
}

/// Writes the error that answers `packet`; `None` where none may be sent.
pub(crate) fn emit(packet: &[u8], reason: Reason, out: &mut [u8]) -> Option<usize> {
    match packet.first()? >> 4 {
        4 => emit_v4(packet, reason, out),
        6 => emit_v6(packet, reason, out),
        _ => None,
    }
}

fn emit_v4(packet: &[u8], reason: Reason, out: &mut [u8]) -> Option<usize> {
    let ip = Ipv4Packet::new_checked(packet).ok()?;
    let (source, destination) = (ip.src_addr(), ip.dst_addr());
    let is_error = ip.next_header() == IpProtocol::Icmp
        && !matches!(ip.payload().first(), Some(0 | 8 | 13 | 14));
    if ip.frag_offset() != 0 || is_error || !is_unicast_v4(source) || !is_unicast_v4(destination) {
        return None;
    }
    let code = match reason {
        Reason::TooBig(_) => 4,
        Reason::Unreachable => 1,
        Reason::Prohibited => 13,
    };
    let quoted = &packet[..packet.len().min(ip.total_len().into()).min(MAX_LEN_V4 - 28)];
    let len = 28 + quoted.len();
    let repr = Ipv4Repr {
        src_addr: destination,
        dst_addr: source,
        next_header: IpProtocol::Icmp,
        payload_len: len - 20,
        hop_limit: 64,
    };
    let out = out.get_mut(..len)?;
    repr.emit(&mut Ipv4Packet::new_unchecked(&mut *out), &Default::default());
    let mtu = if let Reason::TooBig(mtu) = reason { mtu } else { 0 };
    out[24..28].copy_from_slice(&u32::from(mtu).to_be_bytes());
    let mut icmp = Icmpv4Packet::new_unchecked(&mut out[20..]);
    icmp.set_msg_type(Icmpv4Message::DstUnreachable);
    icmp.set_msg_code(code);
    icmp.data_mut().copy_from_slice(quoted);
    icmp.fill_checksum();
    Some(len)
}

fn emit_v6(packet: &[u8], reason: Reason, out: &mut [u8]) -> Option<usize> {
    let ip = Ipv6Packet::new_checked(packet).ok()?;
    let (source, destination) = (ip.src_addr(), ip.dst_addr());
    if !is_unicast_v6(source) || !is_unicast_v6(destination) || is_error_or_fragment_v6(&ip) {
        return None;
    }
    let quoted = &packet[..packet.len().min(ip.total_len()).min(MAX_LEN - 48)];
    let len = 48 + quoted.len();
    let repr = Ipv6Repr {
        src_addr: destination,
        dst_addr: source,
        next_header: IpProtocol::Icmpv6,
        payload_len: len - 40,
        hop_limit: 64,
    };
    let out = out.get_mut(..len)?;
    repr.emit(&mut Ipv6Packet::new_unchecked(&mut *out));
    let (message, code, mtu) = match reason {
        // A smaller MTU than IPv6's least would be ignored (RFC 8201 section 4).
        Reason::TooBig(mtu) => (Icmpv6Message::PktTooBig, 0, u32::from(mtu).max(1280)),
        Reason::Unreachable => (Icmpv6Message::DstUnreachable, 3, 0),
        Reason::Prohibited => (Icmpv6Message::DstUnreachable, 1, 0),
    };
    out[44..48].copy_from_slice(&mtu.to_be_bytes());
    out[48..].copy_from_slice(quoted);
    let mut icmp = Icmpv6Packet::new_unchecked(&mut out[40..]);
    icmp.set_msg_type(message);
    icmp.set_msg_code(code);
    icmp.fill_checksum(&destination, &source);
    Some(len)
}

/// Whether an ICMPv6 error or a fragment that is not the first; extension headers are followed.
fn is_error_or_fragment_v6(ip: &Ipv6Packet<&[u8]>) -> bool {
    let (mut next_header, mut rest) = (ip.next_header(), ip.payload());
    // More headers than these come from nobody who deserves an answer.
    for _ in 0..8 {
        let len = match next_header {
            IpProtocol::Icmpv6 => return rest.first().is_none_or(|kind| *kind < 128),
            IpProtocol::Ipv6Frag => {
                let Some(fields) = rest.first_chunk::<8>() else { return true };
                if u16::from_be_bytes([fields[2], fields[3]]) >> 3 != 0 {
                    return true;
                }
                8
            }
            IpProtocol::HopByHop | IpProtocol::Ipv6Route | IpProtocol::Ipv6Opts => {
                rest.get(1).map_or(8, |len| 8 + 8 * usize::from(*len))
            }
            _ => return false,
        };
        let (Some(next), Some(after)) = (rest.first(), rest.get(len..)) else { return true };
        next_header = IpProtocol::from(*next);
        rest = after;
    }
    true
}

fn is_unicast_v4(address: Ipv4Addr) -> bool {
    !(address.is_broadcast() || address.octets()[0] == 0 || is_special(address.into()))
}

fn is_unicast_v6(address: Ipv6Addr) -> bool {
    !is_special(address.into())
}

fn is_special(address: IpAddr) -> bool {
    address.is_multicast() || address.is_unspecified() || address.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet_v4(protocol: u8, len: usize) -> Vec<u8> {
        let mut packet = vec![0; len];
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        packet[9] = protocol;
        packet[12..20].copy_from_slice(&[10, 1, 0, 1, 10, 2, 0, 1]);
        packet
    }

    fn packet_v6(next_header: u8, len: usize) -> Vec<u8> {
        let mut packet = vec![0; len];
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&(len as u16 - 40).to_be_bytes());
        packet[6] = next_header;
        (packet[8], packet[23]) = (0xfd, 1);
        (packet[24], packet[39]) = (0xfd, 2);
        packet
    }

    #[test]
    fn a_packet_that_is_too_big_is_answered_with_the_mtu() {
        let mut out = [0xff; MAX_LEN];
        let packet = packet_v4(17, 1500);
        let len = emit(&packet, Reason::TooBig(1420), &mut out).unwrap();
        let ip = Ipv4Packet::new_checked(&out[..len]).unwrap();
        assert!(ip.verify_checksum() && len == 576);
        assert_eq!(ip.dst_addr(), Ipv4Addr::new(10, 1, 0, 1));
        let icmp = Icmpv4Packet::new_checked(ip.payload()).unwrap();
        assert!(icmp.verify_checksum());
        assert_eq!(ip.payload()[..2], [3, 4]);
        assert_eq!(ip.payload()[4..8], [0, 0, 5, 140]);
        assert_eq!(icmp.data(), &packet[..548]);

        let packet = packet_v6(6, 1500);
        let len = emit(&packet, Reason::TooBig(1420), &mut out).unwrap();
        let ip = Ipv6Packet::new_checked(&out[..len]).unwrap();
        let icmp = Icmpv6Packet::new_checked(ip.payload()).unwrap();
        assert!(icmp.verify_checksum(&ip.src_addr(), &ip.dst_addr()) && len == MAX_LEN);
        assert_eq!(icmp.pkt_too_big_mtu(), 1420);
        assert_eq!(icmp.payload(), &packet[..1232]);
    }

    #[test]
    fn nothing_answers_an_error_a_fragment_or_a_group() {
        let mut out = [0; MAX_LEN];
        let mut error = packet_v4(1, 40);
        error[20] = 3;
        assert_eq!(emit(&error, Reason::Unreachable, &mut out), None);
        error[20] = 8;
        assert!(emit(&error, Reason::Unreachable, &mut out).is_some());
        error[7] = 1;
        assert_eq!(emit(&error, Reason::Unreachable, &mut out), None);
        let mut group = packet_v4(17, 40);
        group[16] = 224;
        assert_eq!(emit(&group, Reason::Prohibited, &mut out), None);

        let mut error = packet_v6(58, 60);
        error[40] = 1;
        assert_eq!(emit(&error, Reason::Unreachable, &mut out), None);
        error[40] = 128;
        assert!(emit(&error, Reason::Unreachable, &mut out).is_some());
        let mut fragment = packet_v6(44, 60);
        fragment[43] = 8;
        assert_eq!(emit(&fragment, Reason::Unreachable, &mut out), None);
        fragment[40..44].copy_from_slice(&[58, 0, 0, 1]);
        assert_eq!(emit(&fragment, Reason::Unreachable, &mut out), None);
    }

    #[test]
    fn errors_are_limited_to_a_rate() {
        let mut limiter = Limiter::new();
        let passed = (0..2000).filter(|ms| limiter.take(Instant::from_millis(*ms))).count();
        assert!((240..=260).contains(&passed), "{passed}");
    }
}
