//! What a packet on the underlay is, to somebody who looks from outside.

use std::net::IpAddr;

use control::{Eid, EidPrefix, InstanceId};
use serde::Serialize;

/// What an observer takes a packet for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A WireGuard message between WireGuard ports.
    WireGuard,
    /// LISP data (4341), control (4342) or VXLAN-GPE (4790) outside a tunnel.
    LispClear,
    /// From or to an EID outside a tunnel.
    InnerClear,
    /// The underlay's own.
    Other,
}

/// Packets by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnderlayCounts {
    /// WireGuard messages.
    pub wireguard: u64,
    /// LISP outside a tunnel.
    pub lisp_clear: u64,
    /// Packets from or to an EID outside a tunnel.
    pub inner_clear: u64,
    /// The underlay's own: neighbour discovery, ICMP.
    pub other: u64,
    /// Packets that went by too fast to be looked at.
    pub missed: u64,
}

impl UnderlayCounts {
    /// Counts one packet.
    pub fn count(&mut self, kind: Kind) {
        *match kind {
            Kind::WireGuard => &mut self.wireguard,
            Kind::LispClear => &mut self.lisp_clear,
            Kind::InnerClear => &mut self.inner_clear,
            Kind::Other => &mut self.other,
        } += 1;
    }
}

const UDP: u8 = 17;
/// RFC 9300 section 5.3, RFC 9301 section 5, RFC 9305 section 4.
const LISP_PORTS: [u16; 3] = [4341, 4342, 4790];

/// What counts as WireGuard, and what as inner.
#[derive(Clone, Debug)]
pub struct Classifier {
    ports: Vec<u16>,
    eid_space: Vec<EidPrefix>,
}

impl Classifier {
    /// Nodes' WireGuard listens on `ports`; EIDs are in `eid_space`.
    pub fn new(ports: &[u16], eid_space: &[EidPrefix]) -> Classifier {
        Classifier { ports: ports.to_vec(), eid_space: eid_space.to_vec() }
    }

    /// Looks at a packet from its IP header on; what is no IP is the underlay's own.
    pub fn classify(&self, packet: &[u8]) -> Kind {
        let Some(header) = Header::parse(packet) else { return Kind::Other };
        if self.is_eid(header.source) || self.is_eid(header.destination) {
            return Kind::InnerClear;
        }
        let Some((source, destination, payload)) = header.udp(packet) else { return Kind::Other };
        if LISP_PORTS.iter().any(|port| [source, destination].contains(port)) {
            return Kind::LispClear;
        }
        let is_port = self.ports.contains(&source) && self.ports.contains(&destination);
        if is_port && is_wireguard(payload, header.payload_len.saturating_sub(8)) {
            return Kind::WireGuard;
        }
        Kind::Other
    }

    fn is_eid(&self, address: IpAddr) -> bool {
        let eid = Eid { instance_id: InstanceId(0), address };
        self.eid_space.iter().any(|prefix| prefix.contains(eid))
    }
}

/// Message types and lengths of the WireGuard paper, section 5.4. A packet cut by the observer still
/// has its length in `len`.
fn is_wireguard(payload: &[u8], len: usize) -> bool {
    match payload {
        [1, 0, 0, 0, ..] => len == 148,
        [2, 0, 0, 0, ..] => len == 92,
        [3, 0, 0, 0, ..] => len == 64,
        [4, 0, 0, 0, ..] => len >= 32,
        _ => false,
    }
}

/// The part of an IP header that tells kinds apart.
struct Header {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload_at: usize,
    payload_len: usize,
}

impl Header {
    fn parse(packet: &[u8]) -> Option<Header> {
        let be16 = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
        match packet.first()? >> 4 {
            4 => {
                let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
                let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
                let payload_at = usize::from(packet[0] & 15) * 4;
                // A later fragment has no ports.
                let is_first = be16(6)? & 0x1fff == 0;
                Some(Header {
                    source: source.into(),
                    destination: destination.into(),
                    protocol: if is_first { packet[9] } else { 0 },
                    payload_at,
                    payload_len: usize::from(be16(2)?).saturating_sub(payload_at),
                })
            }
            6 => {
                let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
                let destination: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
                Some(Header {
                    source: source.into(),
                    destination: destination.into(),
                    protocol: packet[6],
                    payload_at: 40,
                    payload_len: usize::from(be16(4)?),
                })
            }
            _ => None,
        }
    }

    /// Ports and payload, where it is UDP.
    fn udp<'a>(&self, packet: &'a [u8]) -> Option<(u16, u16, &'a [u8])> {
        let [s0, s1, d0, d1, _, _, _, _, payload @ ..] = packet.get(self.payload_at..)? else {
            return None;
        };
        let ports = (u16::from_be_bytes([*s0, *s1]), u16::from_be_bytes([*d0, *d1]));
        (self.protocol == UDP).then_some((ports.0, ports.1, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classifier() -> Classifier {
        let space = ["10.0.0.0/8", "fd01::/16"].map(|text| text.parse().unwrap());
        Classifier::new(&[51820, 51821], &space)
    }

    /// An IPv4 packet with UDP in it.
    fn udp(source: [u8; 4], destination: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        let total = u16::try_from(28 + payload.len()).unwrap();
        let mut packet = vec![0x45, 0];
        packet.extend(total.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
        packet.extend(source);
        packet.extend(destination);
        packet.extend(ports.0.to_be_bytes());
        packet.extend(ports.1.to_be_bytes());
        packet.extend((total - 20).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(payload);
        packet
    }

    #[test]
    fn wireguard_is_known_by_its_ports_types_and_lengths() {
        let (a, b) = ([192, 0, 2, 2], [198, 51, 100, 2]);
        let message = |kind: u8, len: usize| {
            let mut payload = vec![0; len];
            payload[0] = kind;
            payload
        };
        for (kind, len, expected) in [
            (1, 148, Kind::WireGuard),
            (1, 147, Kind::Other),
            (2, 92, Kind::WireGuard),
            (3, 64, Kind::WireGuard),
            (4, 32, Kind::WireGuard),
            (4, 1452, Kind::WireGuard),
            (4, 31, Kind::Other),
            (5, 148, Kind::Other),
        ] {
            let packet = udp(a, b, (51820, 51820), &message(kind, len));
            assert_eq!(classifier().classify(&packet), expected, "{kind} {len}");
            assert_eq!(classifier().classify(&packet[..32]), expected, "cut {kind} {len}");
        }
        let elsewhere = udp(a, b, (51820, 7), &message(1, 148));
        assert_eq!(classifier().classify(&elsewhere), Kind::Other);
    }

    #[test]
    fn lisp_and_inner_addresses_in_clear_are_found() {
        let (a, b, eid) = ([192, 0, 2, 2], [198, 51, 100, 2], [10, 1, 0, 2]);
        for ports in [(4342, 4342), (9, 4341), (4790, 9)] {
            assert_eq!(classifier().classify(&udp(a, b, ports, &[])), Kind::LispClear);
        }
        assert_eq!(classifier().classify(&udp(eid, b, (51820, 51820), &[])), Kind::InnerClear);
        assert_eq!(classifier().classify(&udp(a, eid, (9, 9), &[])), Kind::InnerClear);
        let mut v6 = [0; 40];
        v6[0] = 0x60;
        assert_eq!(classifier().classify(&v6), Kind::Other);
        v6[8] = 0xfd;
        v6[9] = 0x01;
        assert_eq!(classifier().classify(&v6), Kind::InnerClear);
    }

    #[test]
    fn a_packet_cut_anywhere_is_still_something() {
        let packet = udp([192, 0, 2, 2], [198, 51, 100, 2], (51820, 51820), &[4, 0, 0, 0]);
        for len in 0..packet.len() {
            classifier().classify(&packet[..len]);
        }
    }
}
