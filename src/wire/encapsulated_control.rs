//! Encapsulated Control Message: another message with its own IP and UDP header (RFC 9301 section 5.8).
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, UdpPacket, UdpRepr};

use crate::cursor::{Reader, Writer};
use crate::{Error, MessageType};

/// Octets before the authentication data or the inner packet.
pub const HEADER_LEN: usize = 4;

/// Octets of a UDP header.
const UDP_HEADER_LEN: usize = 8;

packet! {
    /// A view on an Encapsulated Control Message.
}

bit_fields! {
    /// S-bit: authentication data comes before the inner packet (RFC 9303 section 6.1).
    has_authentication_data, set_authentication_data = 4;
    /// D-bit: a Map-Referral is wanted (RFC 8111).
    is_ddt, set_ddt = 5;
    /// E-bit: meant for an ETR; reserved in RFC 9301, used in the field.
    is_to_etr, set_to_etr = 6;
    /// M-bit: meant for a Map-Server; reserved in RFC 9301, used in the field.
    is_to_ms, set_to_ms = 7;
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Ensures that no accessor panics.
    ///
    /// # Errors
    /// [`Error::Truncated`]; [`Error::UnexpectedType`].
    pub fn check_len(&self) -> Result<(), Error> {
        if self.buffer.as_ref().len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        match self.message_type() {
            MessageType::EncapsulatedControl => Ok(()),
            other => Err(Error::UnexpectedType(other)),
        }
    }

    /// Everything after the flags.
    pub fn body(&self) -> &[u8] {
        &self.buffer.as_ref()[HEADER_LEN..]
    }
}

/// The fields of an Encapsulated Control Message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr<'a> {
    /// D-bit: a Map-Referral is wanted (RFC 8111).
    pub is_ddt: bool,
    /// E-bit: meant for an ETR.
    pub is_to_etr: bool,
    /// M-bit: meant for a Map-Server.
    pub is_to_ms: bool,
    /// Authentication data as it stands, when the S-bit is set; not verified here.
    pub authentication_data: Option<&'a [u8]>,
    /// The inner packet.
    pub packet: InnerPacket<'a>,
}

impl<'a> Repr<'a> {
    /// An Encapsulated Control Message without flags.
    pub const fn new(packet: InnerPacket<'a>) -> Self {
        Repr { is_ddt: false, is_to_etr: false, is_to_ms: false, authentication_data: None, packet }
    }

    /// Parses the whole message and checks the inner packet.
    ///
    /// # Errors
    /// Those of [`Packet::check_len`] and [`InnerPacket::parse`].
    pub fn parse(packet: &Packet<&'a [u8]>) -> Result<Self, Error> {
        packet.check_len()?;
        let mut reader = Reader::new(&packet.buffer[HEADER_LEN..]);
        let authentication_data = match packet.has_authentication_data() {
            true => Some(read_authentication_data(&mut reader)?),
            false => None,
        };
        Ok(Repr {
            is_ddt: packet.is_ddt(),
            is_to_etr: packet.is_to_etr(),
            is_to_ms: packet.is_to_ms(),
            authentication_data,
            packet: InnerPacket::parse(reader.rest())?,
        })
    }

    /// Octets that [`Repr::emit`] writes.
    pub fn buffer_len(&self) -> usize {
        let authentication_len = self.authentication_data.map_or(0, <[u8]>::len);
        HEADER_LEN + authentication_len + self.packet.octets.len()
    }

    /// Writes the message and tells its length in octets.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        buffer.get_mut(..HEADER_LEN).ok_or(Error::BufferTooSmall)?.fill(0);
        let mut packet = Packet::new_unchecked(&mut *buffer);
        packet.set_message_type(MessageType::EncapsulatedControl);
        packet.set_authentication_data(self.authentication_data.is_some());
        packet.set_ddt(self.is_ddt);
        packet.set_to_etr(self.is_to_etr);
        packet.set_to_ms(self.is_to_ms);
        let mut writer = Writer::new(&mut buffer[HEADER_LEN..]);
        writer.put(self.authentication_data.unwrap_or(&[]))?;
        writer.put(self.packet.octets)?;
        Ok(HEADER_LEN + writer.len())
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encapsulated-Control")?;
        for (is_set, name) in
            [(self.is_ddt, " ddt"), (self.is_to_etr, " to-etr"), (self.is_to_ms, " to-ms")]
        {
            f.write_str(if is_set { name } else { "" })?;
        }
        if let Some(data) = self.authentication_data {
            write!(f, " authentication={} octets", data.len())?;
        }
        write!(f, " {}", self.packet)
    }
}

/// Cuts the authentication data off by its own lengths: LISP-SEC's (type 1, RFC 9303 section 6.1) or
/// the one between an RTR and a Map-Server (type 2, draft-ermagan-lisp-nat-traversal).
fn read_authentication_data<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let start = reader.rest();
    let [ad_type, ..] = reader.array::<4>()?;
    match ad_type {
        1 => {
            let otk_len = reader.u16()?;
            reader.take(2 + usize::from(otk_len))?;
            let eid_len = usize::from(reader.u16()?);
            reader.take(eid_len.checked_sub(2).ok_or(Error::Malformed)?)?;
        }
        2 => {
            let _key_id = reader.u16()?;
            let len = reader.u16()?;
            reader.take(usize::from(len))?;
        }
        _ => return Err(Error::Malformed),
    }
    Ok(&start[..start.len() - reader.rest().len()])
}

/// An IP packet with a UDP datagram in it, lengths and checksums right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InnerPacket<'a> {
    octets: &'a [u8],
    source: SocketAddr,
    destination: SocketAddr,
    message: &'a [u8],
}

impl<'a> InnerPacket<'a> {
    /// Checks a packet.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`]; [`Error::Truncated`]; [`Error::Checksum`]; [`Error::Malformed`] for
    /// anything but one unfragmented UDP datagram that fills the packet, and for octets after it.
    pub fn parse(octets: &'a [u8]) -> Result<Self, Error> {
        let (source, destination, protocol, datagram) = match octets.first() {
            None => return Err(Error::Truncated),
            Some(first) if first >> 4 == 4 => parse_ipv4(octets)?,
            Some(first) if first >> 4 == 6 => parse_ipv6(octets)?,
            Some(first) => return Err(Error::UnsupportedVersion(first >> 4)),
        };
        if protocol != IpProtocol::Udp {
            return Err(Error::Malformed);
        }
        let udp = UdpPacket::new_checked(datagram).map_err(|_| Error::Truncated)?;
        if usize::from(udp.len()) != datagram.len() {
            return Err(Error::Malformed);
        }
        // RFC 9301 section 5.8: the inner checksum must not be zero.
        if udp.checksum() == 0 || !udp.verify_checksum(&source.into(), &destination.into()) {
            return Err(Error::Checksum);
        }
        Ok(InnerPacket {
            octets,
            source: SocketAddr::new(source, udp.src_port()),
            destination: SocketAddr::new(destination, udp.dst_port()),
            message: &datagram[UDP_HEADER_LEN..],
        })
    }

    /// Writes a message with its IP and UDP header, checksums filled in.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::Malformed`] when the addresses are of two families or a port
    /// is 0; [`Error::TooMany`] when it is more than an IP packet can hold.
    pub fn emit(
        buffer: &'a mut [u8],
        source: SocketAddr,
        destination: SocketAddr,
        hop_limit: u8,
        message: &[u8],
    ) -> Result<Self, Error> {
        let header_len = ip_header_len(source, destination)?;
        let udp_len = UDP_HEADER_LEN + message.len();
        if header_len + udp_len > usize::from(u16::MAX) {
            return Err(Error::TooMany);
        }
        let octets = buffer.get_mut(..header_len + udp_len).ok_or(Error::BufferTooSmall)?;
        let (header, datagram) = octets.split_at_mut(header_len);
        emit_ip(header, source.ip(), destination.ip(), hop_limit, udp_len);
        let udp = UdpRepr { src_port: source.port(), dst_port: destination.port() };
        udp.emit(
            &mut UdpPacket::new_unchecked(datagram),
            &source.ip().into(),
            &destination.ip().into(),
            message.len(),
            |payload| payload.copy_from_slice(message),
            &ChecksumCapabilities::default(),
        );
        let octets = &*octets;
        let message = &octets[header_len + UDP_HEADER_LEN..];
        Ok(InnerPacket { octets, source, destination, message })
    }

    /// Octets that [`InnerPacket::emit`] writes.
    pub const fn buffer_len(source: &SocketAddr, message_len: usize) -> usize {
        let header_len = if source.is_ipv4() { IPV4_HEADER_LEN } else { IPV6_HEADER_LEN };
        header_len + UDP_HEADER_LEN + message_len
    }

    /// The packet.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Where it comes from.
    pub const fn source(&self) -> SocketAddr {
        self.source
    }

    /// Where it goes.
    pub const fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// The message in it, not yet parsed.
    pub const fn message(&self) -> &'a [u8] {
        self.message
    }
}

impl fmt::Display for InnerPacket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} ", self.source, self.destination)?;
        match crate::message_type(self.message) {
            Ok(kind) => write!(f, "{kind} {} octets", self.message.len()),
            Err(_) => f.write_str("empty"),
        }
    }
}

const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;

type Parsed<'a> = (IpAddr, IpAddr, IpProtocol, &'a [u8]);

fn parse_ipv4(octets: &[u8]) -> Result<Parsed<'_>, Error> {
    let ip = Ipv4Packet::new_checked(octets).map_err(|_| Error::Truncated)?;
    if !ip.verify_checksum() {
        return Err(Error::Checksum);
    }
    if ip.more_frags() || ip.frag_offset() != 0 || usize::from(ip.total_len()) != octets.len() {
        return Err(Error::Malformed);
    }
    let payload = &octets[usize::from(ip.header_len())..];
    Ok((ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), payload))
}

fn parse_ipv6(octets: &[u8]) -> Result<Parsed<'_>, Error> {
    let ip = Ipv6Packet::new_checked(octets).map_err(|_| Error::Truncated)?;
    if ip.total_len() != octets.len() {
        return Err(Error::Malformed);
    }
    Ok((ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), &octets[IPV6_HEADER_LEN..]))
}

fn ip_header_len(source: SocketAddr, destination: SocketAddr) -> Result<usize, Error> {
    if source.port() == 0 || destination.port() == 0 {
        return Err(Error::Malformed);
    }
    match (source, destination) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => Ok(IPV4_HEADER_LEN),
        (SocketAddr::V6(_), SocketAddr::V6(_)) => Ok(IPV6_HEADER_LEN),
        _ => Err(Error::Malformed),
    }
}

fn emit_ip(
    header: &mut [u8],
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    payload_len: usize,
) {
    let next_header = IpProtocol::Udp;
    match (source, destination) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            let ip = Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit };
            let mut packet = Ipv4Packet::new_unchecked(header);
            ip.emit(&mut packet, &ChecksumCapabilities::default());
        }
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
            let ip = Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit };
            ip.emit(&mut Ipv6Packet::new_unchecked(header));
        }
        _ => unreachable!("ip_header_len refuses two families"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::testing::{check_message, check_mutations, hex};

    const IPV4: &str = "4500 003c 0001 0000 40 11 66ae 0a000001 0a010001 10f6 10f6 0028 d231 \
                        10000001 1122334455667788 0001 0a000001 0001 c0000201 00 20 0001 0a010001";
    const AUTHENTICATION: &str = "01000002 0018 01 02 \
                                  cccccccccccccccccccccccccccccccccccccccccccccccc 0004 0002";

    #[test]
    fn an_encapsulated_request_is_known_both_ways() {
        let octets = hex(&std::format!("87000000 {IPV4}"));
        let packet = InnerPacket::parse(&octets[4..]).unwrap();
        assert_eq!(packet.source(), "10.0.0.1:4342".parse().unwrap());
        assert_eq!(packet.destination(), "10.1.0.1:4342".parse().unwrap());
        assert!(matches!(Message::parse(packet.message()), Ok(Message::MapRequest(_))));
        let expected = Repr { is_ddt: true, is_to_etr: true, is_to_ms: true, ..Repr::new(packet) };
        check_message(
            &octets,
            Message::EncapsulatedControl(expected),
            "Encapsulated-Control ddt to-etr to-ms 10.0.0.1:4342 > 10.1.0.1:4342 Map-Request 32 octets",
        );
    }

    #[test]
    fn authentication_data_stays_as_it_is() {
        let octets = hex(&std::format!("88000000 {AUTHENTICATION} {IPV4}"));
        let expected = Repr {
            authentication_data: Some(&octets[4..40]),
            ..Repr::new(InnerPacket::parse(&octets[40..]).unwrap())
        };
        check_message(
            &octets,
            Message::EncapsulatedControl(expected),
            "Encapsulated-Control authentication=36 octets \
             10.0.0.1:4342 > 10.1.0.1:4342 Map-Request 32 octets",
        );
        let rtr = hex(&std::format!("88000000 02000000 0001 0004 01020304 {IPV4}"));
        let parsed = Repr::parse(&Packet::new_checked(&rtr[..]).unwrap()).unwrap();
        assert_eq!(parsed.authentication_data, Some(&rtr[4..16]));
        let other = hex(&std::format!("88000000 03000000 0001 0004 01020304 {IPV4}"));
        assert_eq!(Message::parse(&other), Err(Error::Malformed));
    }

    #[test]
    fn an_ipv4_packet_is_emitted_with_its_checksums() {
        let mut buffer = [0xa5; 64];
        let (source, destination) =
            ("10.0.0.1:4342".parse().unwrap(), "10.1.0.1:4342".parse().unwrap());
        let message = hex("20000000 0000000000000001");
        let packet = InnerPacket::emit(&mut buffer, source, destination, 64, &message).unwrap();
        let octets = hex("4500 0028 0000 4000 40 11 26c3 0a000001 0a010001 10f6 10f6 0014 a9d6 \
                          20000000 0000000000000001");
        assert_eq!(packet.octets(), octets);
        assert_eq!(InnerPacket::buffer_len(&source, message.len()), octets.len());
        assert_eq!(InnerPacket::parse(&octets), Ok(packet));
    }

    #[test]
    fn an_ipv6_packet_is_emitted_with_its_checksum() {
        let mut buffer = [0xa5; 64];
        let (source, destination) =
            ("[2001:db8::1]:4342".parse().unwrap(), "[2001:db8::2]:61000".parse().unwrap());
        let message = hex("20000000 0000000000000001");
        let packet = InnerPacket::emit(&mut buffer, source, destination, 255, &message).unwrap();
        let octets = hex("60000000 0014 11 ff 20010db8000000000000000000000001 \
                          20010db8000000000000000000000002 10f6 ee48 0014 8511 \
                          20000000 0000000000000001");
        assert_eq!(packet.octets(), octets);
        assert_eq!(InnerPacket::buffer_len(&source, message.len()), octets.len());
        assert_eq!(InnerPacket::parse(&octets), Ok(packet));
        let mut message = hex("80000000");
        message.extend(&octets);
        check_mutations(&message);
    }

    #[test]
    fn what_is_no_sound_udp_packet_is_refused() {
        let change = |at: usize, value: u8| {
            let mut octets = hex(IPV4);
            octets[at] = value;
            InnerPacket::parse(&octets).map(|_| ()).unwrap_err()
        };
        assert_eq!(change(0, 0x55), Error::UnsupportedVersion(5));
        assert_eq!(change(8, 63), Error::Checksum);
        assert_eq!(change(59, 2), Error::Checksum);
        assert_eq!(change(3, 0x3d), Error::Truncated);
        let mut unchecked = hex(IPV4);
        unchecked[26..28].fill(0);
        assert_eq!(InnerPacket::parse(&unchecked), Err(Error::Checksum));
        let mut longer = hex(IPV4);
        longer.push(0);
        assert_eq!(InnerPacket::parse(&longer), Err(Error::Malformed));
        let mut tcp = hex(IPV4);
        (tcp[9], tcp[11]) = (6, 0xb9);
        assert_eq!(InnerPacket::parse(&tcp), Err(Error::Malformed));
        let mut fragment = hex(IPV4);
        (fragment[6], fragment[10]) = (0x20, 0x46);
        assert_eq!(InnerPacket::parse(&fragment), Err(Error::Malformed));
    }

    #[test]
    fn two_families_or_no_port_are_not_emitted() {
        let v4: SocketAddr = "10.0.0.1:4342".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::1]:4342".parse().unwrap();
        let mut buffer = [0; 128];
        let nobody = SocketAddr::new(v4.ip(), 0);
        for (source, destination) in [(v4, v6), (v6, v4), (v4, nobody), (nobody, v4)] {
            let emitted = InnerPacket::emit(&mut buffer, source, destination, 64, &[]);
            assert_eq!(emitted, Err(Error::Malformed));
        }
        for len in 0..28 {
            let emitted = InnerPacket::emit(&mut buffer[..len], v4, v4, 64, &[]);
            assert_eq!(emitted, Err(Error::BufferTooSmall));
        }
    }
}
