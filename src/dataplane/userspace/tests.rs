//! Long packets taken apart and put together again; checksums are smoltcp's to judge.

use core::net::{Ipv4Addr, Ipv6Addr};

use linux::tun::Offload;
use smoltcp::wire::{IpAddress, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket};

use super::checksum;
use super::coalesce::Coalescer;
use super::flow::Flow;
use super::split::Segments;
use super::virtio::{Header, Kind};

const BOTH: Offload = Offload { tcp: true, udp: true };

/// A long packet as the kernel gives it: the checksum field holds the pseudo-header's sum.
#[derive(Clone, Copy)]
struct Long {
    kind: Kind,
    is_v6: bool,
    tcp_options: usize,
    /// Octets of a hop-by-hop header.
    extension: usize,
    payload_len: usize,
    flags: u8,
    id: u16,
    sequence: u32,
}

const TCP: Long = Long {
    kind: Kind::TcpV4,
    is_v6: false,
    tcp_options: 12,
    extension: 0,
    payload_len: 40_000,
    flags: 0x18,
    id: 0xfffe,
    sequence: u32::MAX - 5000,
};

const UDP: Long = Long { kind: Kind::Udp, tcp_options: 0, flags: 0, ..TCP };

impl Long {
    fn v6(self) -> Long {
        let kind = if self.kind == Kind::Udp { Kind::Udp } else { Kind::TcpV6 };
        Long { kind, is_v6: true, ..self }
    }

    fn is_tcp(&self) -> bool {
        self.kind != Kind::Udp
    }

    fn transport(&self) -> usize {
        if self.is_v6 { 40 + self.extension } else { 20 }
    }

    fn header_len(&self) -> usize {
        self.transport() + if self.is_tcp() { 20 + self.tcp_options } else { 8 }
    }

    fn packet(&self) -> Vec<u8> {
        let (transport, len) = (self.transport(), self.header_len() + self.payload_len);
        let mut packet: Vec<u8> = (0..len as u32).map(|at| (at ^ (at >> 7)) as u8).collect();
        let protocol = if self.is_tcp() { 6 } else { 17 };
        if self.is_v6 {
            packet[..4].copy_from_slice(&[0x6a, 0xbc, 0xde, 0xf0]);
            packet[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
            packet[6..8].copy_from_slice(&[protocol, 63]);
            packet[8..24].copy_from_slice(&Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1).octets());
            packet[24..40].copy_from_slice(&Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1).octets());
            if self.extension > 0 {
                packet[6] = 0;
                packet[40..48].copy_from_slice(&[protocol, 0, 1, 4, 0, 0, 0, 0]);
            }
        } else {
            packet[..2].copy_from_slice(&[0x45, 0x02]);
            packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            packet[4..6].copy_from_slice(&self.id.to_be_bytes());
            packet[6..10].copy_from_slice(&[0x40, 0, 63, protocol]);
            packet[12..16].copy_from_slice(&Ipv4Addr::new(10, 1, 0, 1).octets());
            packet[16..20].copy_from_slice(&Ipv4Addr::new(10, 2, 0, 1).octets());
            checksum::finish_ipv4(&mut packet[..20]);
        }
        let body = &mut packet[transport..];
        body[..4].copy_from_slice(&[0x13, 0x88, 0x13, 0x89]);
        if self.is_tcp() {
            body[4..8].copy_from_slice(&self.sequence.to_be_bytes());
            body[12] = ((20 + self.tcp_options) * 4) as u8;
            body[13] = self.flags;
            body[18..20].fill(0);
            body[20..20 + self.tcp_options].fill(1);
        } else {
            body[4..6].copy_from_slice(&((len - transport) as u16).to_be_bytes());
        }
        let addresses = if self.is_v6 { 8..40 } else { 12..20 };
        let pseudo = checksum::word(protocol.into()) + checksum::word((len - transport) as u16);
        let pseudo = checksum::fold(checksum::add(pseudo, &packet[addresses]));
        let field = transport + self.checksum_offset();
        packet[field..field + 2].copy_from_slice(&pseudo.to_ne_bytes());
        packet
    }

    fn checksum_offset(&self) -> usize {
        if self.is_tcp() { 16 } else { 6 }
    }

    fn header(&self, segment_len: usize) -> Header {
        Header {
            checksum: Some((self.transport(), self.checksum_offset())),
            split: Some((self.kind, segment_len)),
            header_len: self.header_len() as u16,
        }
    }

    fn split(&self, segment_len: usize) -> Vec<Vec<u8>> {
        split(&self.header(segment_len), &self.packet()).expect("a packet that fits its header")
    }

    /// What the coalescer writes for the whole of it.
    fn written(&self, segment_len: usize) -> Vec<u8> {
        let mut written = self.header(segment_len).emit().to_vec();
        written.extend(self.packet());
        written
    }
}

fn split(header: &Header, packet: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut packet = packet.to_vec();
    let mut segments = Segments::new(header, &mut packet)?;
    let mut all = Vec::new();
    while let Some(segment) = segments.next(&mut packet) {
        all.push(segment.to_vec());
    }
    Some(all)
}

fn coalesce<'a>(packets: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<Vec<u8>> {
    let mut coalescer = Coalescer::new(200_000, 256, BOTH);
    packets.into_iter().for_each(|packet| coalescer.push(packet));
    coalescer.written()
}

/// A packet that is written alone.
fn alone(packet: &[u8]) -> Vec<u8> {
    [&[0; 10], packet].concat()
}

fn assert_intact(long: &Long, segment: &[u8]) {
    let (from, to): (IpAddress, IpAddress) = if long.is_v6 {
        let ip = Ipv6Packet::new_checked(segment).expect("whole");
        assert_eq!(ip.total_len(), segment.len());
        (ip.src_addr().into(), ip.dst_addr().into())
    } else {
        let ip = Ipv4Packet::new_checked(segment).expect("whole");
        assert!(ip.verify_checksum() && usize::from(ip.total_len()) == segment.len());
        (ip.src_addr().into(), ip.dst_addr().into())
    };
    let body = &segment[long.transport()..];
    if long.is_tcp() {
        assert!(TcpPacket::new_checked(body).expect("whole").verify_checksum(&from, &to));
    } else {
        let udp = UdpPacket::new_checked(body).expect("whole");
        assert!(udp.verify_checksum(&from, &to) && usize::from(udp.len()) == body.len());
    }
}

#[test]
fn a_long_packet_splits_into_intact_ones_and_comes_together_again() {
    for base in [TCP, TCP.v6(), UDP, UDP.v6()] {
        for segment_len in [1208, 1388, 1377, 1000] {
            let edge = segment_len * 20;
            for payload_len in [segment_len + 1, edge - 1, edge, edge + 1] {
                let long = Long { payload_len, ..base };
                let segments = long.split(segment_len);
                assert_eq!(segments.len(), payload_len.div_ceil(segment_len));
                segments.iter().for_each(|segment| assert_intact(&long, segment));
                let payload: Vec<u8> = segments
                    .iter()
                    .flat_map(|segment| &segment[long.header_len()..])
                    .copied()
                    .collect();
                assert_eq!(payload, long.packet()[long.header_len()..]);
                assert_eq!(coalesce(&segments), [long.written(segment_len)]);
            }
        }
    }
}

#[test]
fn what_is_counted_goes_on_and_flags_stand_where_they_belong() {
    // CWR, ACK, PSH and FIN.
    let segments = Long { flags: 0x99, payload_len: 4000, ..TCP }.split(1388);
    let seen: Vec<_> = segments
        .iter()
        .map(|segment| {
            let ip = Ipv4Packet::new_checked(&segment[..]).expect("whole");
            let sequence = u32::from_be_bytes(*segment[24..].first_chunk().expect("whole"));
            (ip.ident(), sequence, segment[33])
        })
        .collect();
    let start = TCP.sequence;
    assert_eq!(
        seen,
        [(0xfffe, start, 0x90), (0xffff, start + 1388, 0x10), (0, start + 2776, 0x19)]
    );
}

#[test]
fn a_short_packet_only_gets_its_checksum() {
    for long in [TCP, TCP.v6(), UDP, UDP.v6()] {
        let long = Long { payload_len: 333, ..long };
        let header = Header { split: None, ..long.header(0) };
        let packets = split(&header, &long.packet()).expect("finished");
        assert_eq!(packets.len(), 1);
        assert_intact(&long, &packets[0]);
        // Without work to do nothing is looked at.
        let garbage = vec![0xa5; 50];
        assert_eq!(split(&Header::default(), &garbage), Some(vec![garbage]));
    }
    assert_eq!(split(&Header::default(), &[]), Some(vec![]));
    // Nothing to split is not split.
    let empty = Long { payload_len: 0, ..TCP };
    assert_intact(&empty, &empty.split(1388)[0]);
}

#[test]
fn extension_headers_go_with_every_part() {
    let long = Long { extension: 8, payload_len: 5000, ..TCP.v6() };
    let segments = long.split(1300);
    assert_eq!(segments.len(), 4);
    for segment in &segments {
        assert_intact(&long, segment);
        assert_eq!(segment[40..48], long.packet()[40..48]);
        assert_eq!(Flow::parse(segment), None);
    }
    let expected: Vec<_> = segments.iter().map(|segment| alone(segment)).collect();
    assert_eq!(coalesce(&segments), expected);
}

#[test]
fn headers_that_do_not_fit_their_packet_are_refused() {
    let (long, packet) = (TCP, TCP.packet());
    let good = long.header(1388);
    let split_as = |kind, len| Header { split: Some((kind, len)), ..good };
    let checked = |start, offset| Header { checksum: Some((start, offset)), ..good };
    for header in [
        split_as(Kind::TcpV4, 0),
        split_as(Kind::TcpV4, 10),
        split_as(Kind::TcpV6, 1388),
        split_as(Kind::Udp, 1388),
        checked(24, 16),
        checked(20, 6),
        checked(0, 16),
        checked(65535, 16),
        Header { checksum: None, ..good },
        Header { split: None, ..checked(40_040, 65535) },
        Header { split: None, ..checked(65535, 0) },
    ] {
        assert_eq!(split(&header, &packet), None, "{header:?}");
    }
    for len in 0..long.header_len() {
        assert_eq!(split(&good, &packet[..len]), None, "{len}");
    }
    let mut other = packet.clone();
    other[9] = 17;
    assert_eq!(split(&good, &other), None);
    other[9] = 6;
    other[0] = 0x4f;
    assert_eq!(split(&good, &other), None);
}

#[test]
fn any_octets_are_survived() {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    for _ in 0..20_000 {
        let mut long = [TCP, TCP.v6(), UDP, UDP.v6()][random() % 4];
        long.payload_len = random() % 300;
        let mut packet = long.packet();
        for _ in 0..random() % 4 {
            let at = random() % packet.len().min(64);
            packet[at] = random() as u8;
        }
        packet.truncate(random() % (packet.len() + 1));
        let mut octets = long.header(random() % 200).emit();
        for _ in 0..random() % 2 {
            octets[random() % 10] = random() as u8;
        }
        let parts = Header::parse(&octets).and_then(|header| split(&header, &packet));
        let mut all = parts.unwrap_or_default();
        all.push(packet);
        let before: usize = all.iter().map(Vec::len).sum();
        let after: usize = coalesce(all.iter().take(250)).iter().map(Vec::len).sum();
        assert!(all.len() > 250 || after <= before + 10 * all.len());
    }
}

#[test]
fn only_what_follows_in_every_respect_is_joined() {
    let segments = Long { payload_len: 1388 * 3, ..TCP }.split(1388);
    let joined = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut second = segments[1].clone();
        change(&mut second);
        coalesce([&segments[0], &second]).len() == 1
    };
    // Changes that keep the checksums right: one's complement does not see swapped words.
    let finish = |packet: &mut Vec<u8>| {
        checksum::finish_ipv4(&mut packet[..20]);
        packet[36..38].fill(0);
        let pseudo = checksum::word(6) + checksum::word((packet.len() - 20) as u16);
        let sum = checksum::add(checksum::add(pseudo, &packet[12..20]), &packet[20..]);
        packet[36..38].copy_from_slice(&checksum::field(sum));
    };
    assert!(joined(&|_| {}));
    assert!(joined(&|packet| finish(packet)));
    // Type of service, number, more fragments, time to live, source, port, acknowledgment,
    // sequence, window, urgent pointer, options, and the flags RST, SYN, FIN, ECE and CWR.
    let octets = [1, 5, 8, 15, 21, 31, 27, 35, 39, 45];
    for at in octets {
        assert!(
            !joined(&|packet| {
                packet[at] ^= 2;
                finish(packet);
            }),
            "{at}"
        );
    }
    for flag in [0x04, 0x02, 0x01, 0x40, 0x80, 0x20, 0x10] {
        assert!(
            !joined(&|packet| {
                packet[33] ^= flag;
                finish(packet);
            }),
            "{flag}"
        );
    }
    assert!(!joined(&|packet| {
        packet[6] |= 0x20;
        finish(packet);
    }));
    // A wrong checksum stays visible, whichever packet has it.
    assert!(!joined(&|packet| packet[100] ^= 1));
    let mut wrong = segments[0].clone();
    wrong[100] ^= 1;
    assert_eq!(coalesce([&wrong, &segments[1]]), [alone(&wrong), alone(&segments[1])]);
    // Neither a longer packet nor one after a shorter one.
    let long = Long { payload_len: 3000, ..TCP };
    let uneven = long.split(1388);
    assert_eq!(coalesce([&uneven[1], &uneven[2], &segments[2]]).len(), 2);
    assert_eq!(coalesce(&long.split(1388).into_iter().rev().collect::<Vec<_>>()).len(), 3);
}

#[test]
fn flows_are_joined_apart_and_each_keeps_its_order() {
    let other = Long { id: 7, ..TCP.v6() };
    let (one, two) = (TCP.split(1388), other.split(1388));
    let mixed: Vec<_> = one.iter().zip(&two).flat_map(|(one, two)| [one, two]).collect();
    assert_eq!(coalesce(mixed), [TCP.written(1388), other.written(1388)]);
    // A segment with FIN goes alone and behind; nothing is joined to what was before it.
    let last = Long { payload_len: 100, flags: 0x11, ..TCP }.packet();
    let written = coalesce([&one[0], &one[1], &last, &one[2], &one[3]]);
    assert_eq!(written.len(), 3);
    assert_eq!(written[1], alone(&last));
    // PSH ends a train.
    let pushed = Long { payload_len: 1388 * 2, ..TCP }.split(1388);
    assert_eq!(coalesce([&pushed[0], &pushed[1], &one[2], &one[3]]).len(), 2);
}

#[test]
fn without_offload_nothing_is_joined() {
    let (tcp, udp) = (TCP.split(1388), UDP.split(1388));
    for (offload, expected) in [
        (Offload { tcp: true, udp: false }, 1 + udp.len()),
        (Offload { tcp: false, udp: false }, tcp.len() + udp.len()),
    ] {
        let mut coalescer = Coalescer::new(200_000, 256, offload);
        tcp.iter().chain(&udp).for_each(|packet| coalescer.push(packet));
        assert_eq!(coalescer.written().len(), expected);
    }
    let mut coalescer = Coalescer::new(3000, 256, BOTH);
    tcp[..2].iter().for_each(|packet| coalescer.push(packet));
    assert!(coalescer.lend(1388).is_none() && coalescer.lend(usize::MAX).is_none());
    assert_eq!(coalescer.written().len(), 1);
    assert!(coalescer.is_empty() && coalescer.lend(3000).is_some());
}
