//! Reading what the kernel tells of a WireGuard interface, which may take several messages.

use core::fmt;
use core::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use core::time::Duration;

use zeroize::Zeroizing;

use super::super::Family;
use super::super::abi::{
    AF_INET, AF_INET6, WGALLOWEDIP_A_CIDR_MASK, WGALLOWEDIP_A_FAMILY, WGALLOWEDIP_A_IPADDR,
    WGDEVICE_A_FWMARK, WGDEVICE_A_IFINDEX, WGDEVICE_A_LISTEN_PORT, WGDEVICE_A_PEERS,
    WGDEVICE_A_PRIVATE_KEY, WGDEVICE_A_PUBLIC_KEY, WGPEER_A_ALLOWEDIPS, WGPEER_A_ENDPOINT,
    WGPEER_A_LAST_HANDSHAKE_TIME, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, WGPEER_A_PUBLIC_KEY,
    WGPEER_A_RX_BYTES, WGPEER_A_TX_BYTES,
};
use super::super::attribute::{Attribute, Attributes};
use super::super::generic::generic_attributes;
use super::{AllowedIp, PublicKey};

/// A WireGuard interface.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    /// The interface's index.
    pub index: u32,
    /// The private key, `None` as long as it has none.
    pub private_key: Option<Zeroizing<[u8; 32]>>,
    /// The public key, `None` as long as it has none.
    pub public_key: Option<PublicKey>,
    /// The UDP port, 0 as long as it has none.
    pub listen_port: u16,
    /// The firewall mark of the packets sent over UDP, 0 for none.
    pub fwmark: u32,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("index", &self.index)
            .field("public_key", &self.public_key)
            .field("listen_port", &self.listen_port)
            .field("fwmark", &self.fwmark)
            .finish_non_exhaustive()
    }
}

/// A peer of a WireGuard interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its public key.
    pub public_key: PublicKey,
    /// Where its packets go.
    pub endpoint: Option<SocketAddr>,
    /// When the last handshake was completed, as time since 1970; `None` when there was none.
    pub last_handshake: Option<Duration>,
    /// Octets received over UDP, authenticated ones only.
    pub rx_octets: u64,
    /// Octets sent over UDP.
    pub tx_octets: u64,
    /// Seconds between empty packets that keep a path open, 0 for none.
    pub persistent_keepalive: u16,
}

/// One entry of the listing of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The interface itself: the first entry.
    Device(&'a Device),
    /// A peer.
    Peer(&'a Peer),
    /// An allowed-ip of the peer told last.
    AllowedIp(&'a PublicKey, AllowedIp),
}

/// Joins the messages of a listing: a peer whose allowed-ips do not fit one message comes again
/// at the beginning of the next, with its public key and the rest of them alone.
#[derive(Debug)]
pub(in crate::netlink) struct Listing {
    wants_allowed_ips: bool,
    has_device: bool,
    last: Option<PublicKey>,
}

impl Listing {
    pub(in crate::netlink) fn new(wants_allowed_ips: bool) -> Self {
        Self { wants_allowed_ips, has_device: false, last: None }
    }

    /// Hands on what a message tells; entries that are not what the protocol promises are left
    /// out.
    pub(in crate::netlink) fn handle_part(
        &mut self,
        payload: &[u8],
        each: &mut dyn FnMut(Entry<'_>),
    ) {
        // Some kernels repeat what the interface is in every message of its first peer.
        if !self.has_device
            && let Some(device) = Device::parse(generic_attributes(payload))
        {
            self.has_device = true;
            each(Entry::Device(&device));
        }
        let peers = generic_attributes(payload).filter(|list| list.kind == WGDEVICE_A_PEERS);
        for entry in peers.flat_map(|list| list.nested()) {
            self.handle_peer(entry.nested(), each);
        }
    }

    fn handle_peer(&mut self, attributes: Attributes<'_>, each: &mut dyn FnMut(Entry<'_>)) {
        let Some(peer) = Peer::parse(attributes.clone()) else {
            return;
        };
        let key = peer.public_key;
        if self.last.replace(key) != Some(key) {
            each(Entry::Peer(&peer));
        }
        if self.wants_allowed_ips {
            attributes
                .filter(|list| list.kind == WGPEER_A_ALLOWEDIPS)
                .flat_map(|list| list.nested())
                .filter_map(|entry| AllowedIp::parse(entry.nested()))
                .for_each(|allowed_ip| each(Entry::AllowedIp(&key, allowed_ip)));
        }
    }
}

impl Device {
    /// Messages may have peers alone.
    fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let mut index = None;
        let mut device =
            Self { index: 0, private_key: None, public_key: None, listen_port: 0, fwmark: 0 };
        for attribute in attributes {
            match attribute.kind {
                WGDEVICE_A_IFINDEX => index = attribute.as_u32(),
                WGDEVICE_A_PRIVATE_KEY => device.private_key = key(&attribute).map(Zeroizing::new),
                WGDEVICE_A_PUBLIC_KEY => device.public_key = key(&attribute),
                WGDEVICE_A_LISTEN_PORT => device.listen_port = attribute.as_u16()?,
                WGDEVICE_A_FWMARK => device.fwmark = attribute.as_u32()?,
                _ => {}
            }
        }
        device.index = index?;
        Some(device)
    }
}

impl Peer {
    fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let mut public_key = None;
        let mut peer = Self {
            public_key: [0; 32],
            endpoint: None,
            last_handshake: None,
            rx_octets: 0,
            tx_octets: 0,
            persistent_keepalive: 0,
        };
        for attribute in attributes {
            match attribute.kind {
                WGPEER_A_PUBLIC_KEY => public_key = key(&attribute),
                WGPEER_A_ENDPOINT => peer.endpoint = endpoint(attribute.value),
                WGPEER_A_LAST_HANDSHAKE_TIME => peer.last_handshake = time(attribute.value),
                WGPEER_A_RX_BYTES => peer.rx_octets = attribute.as_u64()?,
                WGPEER_A_TX_BYTES => peer.tx_octets = attribute.as_u64()?,
                WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL => {
                    peer.persistent_keepalive = attribute.as_u16()?;
                }
                _ => {}
            }
        }
        peer.public_key = public_key?;
        Some(peer)
    }
}

impl AllowedIp {
    fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let number = |kind| attributes.find_kind(kind);
        let family = u8::try_from(number(WGALLOWEDIP_A_FAMILY)?.as_u16()?).ok()?;
        let ip = number(WGALLOWEDIP_A_IPADDR)?.as_ip()?;
        let prefix_len = number(WGALLOWEDIP_A_CIDR_MASK)?.as_u8()?;
        let is_consistent = Family::from_number(family) == Some(Family::of(ip))
            && prefix_len <= Family::of(ip).host_prefix_len();
        is_consistent.then_some(Self { ip, prefix_len })
    }
}

fn key(attribute: &Attribute<'_>) -> Option<[u8; 32]> {
    attribute.value.try_into().ok()
}

/// `struct __kernel_timespec`: seconds and nanoseconds, 64 bits each, both 0 for never.
fn time(value: &[u8]) -> Option<Duration> {
    let (seconds, nanoseconds) = (value.first_chunk::<8>()?, value.get(8..)?.first_chunk::<8>()?);
    let seconds = u64::try_from(i64::from_ne_bytes(*seconds)).ok()?;
    let nanoseconds = u32::try_from(i64::from_ne_bytes(*nanoseconds)).ok()?;
    let is_time = nanoseconds < 1_000_000_000 && (seconds, nanoseconds) != (0, 0);
    is_time.then(|| Duration::new(seconds, nanoseconds))
}

/// `struct sockaddr_in` or `struct sockaddr_in6`.
fn endpoint(value: &[u8]) -> Option<SocketAddr> {
    let header = value.first_chunk::<8>()?;
    let family = u16::from_ne_bytes([header[0], header[1]]);
    let port = u16::from_be_bytes([header[2], header[3]]);
    if family == u16::from(AF_INET) {
        return Some(SocketAddr::from(([header[4], header[5], header[6], header[7]], port)));
    }
    let rest = value.get(8..)?.first_chunk::<20>().filter(|_| family == u16::from(AF_INET6))?;
    let (octets, scope) = rest.split_first_chunk::<16>()?;
    let scope = u32::from_ne_bytes(scope.try_into().ok()?);
    Some(SocketAddrV6::new(Ipv6Addr::from(*octets), port, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::super::super::message::{Message, native};
    use super::*;

    const KEY: &str = "=0101010101010101010101010101010101010101010101010101010101010101";
    const PRIVATE: &str = "=0202020202020202020202020202020202020202020202020202020202020202";

    #[derive(Debug, PartialEq)]
    enum Told {
        Device(Device),
        Peer(Peer),
        AllowedIp(PublicKey, AllowedIp),
    }

    fn told(messages: &[&[u8]]) -> Vec<Told> {
        let mut told = Vec::new();
        let mut listing = Listing::new(true);
        for message in messages {
            listing.handle_part(message, &mut |entry| {
                told.push(match entry {
                    Entry::Device(device) => Told::Device(device.clone()),
                    Entry::Peer(peer) => Told::Peer(*peer),
                    Entry::AllowedIp(key, allowed_ip) => Told::AllowedIp(*key, allowed_ip),
                });
            });
        }
        told
    }

    /// An interface with one peer, as a kernel lists it, with a preshared key, a protocol version
    /// and two attributes that nobody knows.
    fn answer() -> Vec<u8> {
        let fields = format!(
            "=00010000 0006 0006 ca6c =0000 0008 0007 00004c47 0008 0001 00000007 \
             0006 0002 =7767 =0000 0024 0003 {PRIVATE} 0024 0004 {KEY} 0008 0063 deadbeef \
             00f0 8008 00ec 8000 0024 0001 {KEY} 0024 0002 {PRIVATE} TIME 0006 0005 0019 =0000 \
             COUNTERS 0008 000a 00000001 0005 0064 =01000000 \
             0014 0004 0002 =10f6 =c0000207 =0000000000000000 \
             0048 8009 001c 8000 0005 0003 =08000000 0006 0001 0002 =0000 0008 0002 =0a000000 \
             0028 8000 0005 0003 =20000000 0006 0001 000a =0000 \
             0014 0002 =20010db8000000000000000000000000",
        );
        let wide = |number: u64| match cfg!(target_endian = "little") {
            true => format!("{:08x} {:08x}", number as u32, number >> 32),
            false => format!("{:08x} {:08x}", number >> 32, number as u32),
        };
        let time = format!("0014 0006 {} {}", wide(1_800_000_000), wide(999_999_999));
        let (tx, rx) = (wide(5_000_000_000), wide(7));
        let counters = format!("000c 0008 {tx} 000c 0007 {rx}");
        native(&fields.replace("TIME", &time).replace("COUNTERS", &counters))
    }

    fn peer() -> Peer {
        Peer {
            public_key: [1; 32],
            endpoint: Some(([192, 0, 2, 7], 4342).into()),
            last_handshake: Some(Duration::new(1_800_000_000, 999_999_999)),
            rx_octets: 7,
            tx_octets: 5_000_000_000,
            persistent_keepalive: 25,
        }
    }

    fn allowed_ips() -> [AllowedIp; 2] {
        [
            AllowedIp { ip: [10, 0, 0, 0].into(), prefix_len: 8 },
            AllowedIp { ip: [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0].into(), prefix_len: 32 },
        ]
    }

    #[test]
    fn an_answer_of_a_kernel_is_read() {
        let device = Device {
            index: 7,
            private_key: Some(Zeroizing::new([2; 32])),
            public_key: Some([1; 32]),
            listen_port: 51_820,
            fwmark: 0x4c47,
        };
        let [first, second] = allowed_ips().map(|prefix| Told::AllowedIp([1; 32], prefix));
        let expected = [Told::Device(device), Told::Peer(peer()), first, second];
        assert_eq!(told(&[&answer()]), expected);
        let mut peers = 0;
        Listing::new(false).handle_part(&answer(), &mut |entry| match entry {
            Entry::Device(_) => {}
            Entry::Peer(_) => peers += 1,
            Entry::AllowedIp(..) => panic!("not wanted"),
        });
        assert_eq!(peers, 1);
    }

    /// A message with peers alone: each has a key made of one octet, and one allowed-ip.
    fn peers_alone(peers: &[(u8, [u8; 4])]) -> Vec<u8> {
        let mut buffer = [0; 1024];
        let mut message = Message::new(&mut buffer, 0, 0);
        message.put(&[0, 1, 0, 0]).nested(WGDEVICE_A_PEERS, |list| {
            for (key, ip) in peers {
                list.nested(0, |peer| {
                    peer.attribute(WGPEER_A_PUBLIC_KEY, &[*key; 32]);
                    peer.nested(WGPEER_A_ALLOWEDIPS, |list| {
                        list.nested(0, |entry| {
                            entry.attribute_u16(WGALLOWEDIP_A_FAMILY, 2);
                            entry.attribute(WGALLOWEDIP_A_IPADDR, ip);
                            entry.attribute_u8(WGALLOWEDIP_A_CIDR_MASK, 32);
                        });
                    });
                });
            }
        });
        message.finish(0, 0).expect("it fits")[16..].to_vec()
    }

    #[test]
    fn a_peer_that_takes_several_messages_is_one_peer() {
        let second = peers_alone(&[(1, [10, 0, 0, 1]), (3, [10, 0, 0, 3])]);
        let third = peers_alone(&[(3, [10, 0, 0, 4])]);
        let all = told(&[&answer(), &answer(), &second, &third]);
        let devices = all.iter().filter(|it| matches!(it, Told::Device(_))).count();
        assert_eq!(devices, 1, "some kernels repeat the interface");
        let peers: Vec<_> = all
            .iter()
            .filter_map(|it| if let Told::Peer(peer) = it { Some(*peer) } else { None })
            .collect();
        assert_eq!(peers.len(), 2);
        assert_eq!((peers[0], peers[1].public_key), (peer(), [3; 32]));
        let last = AllowedIp { ip: [10, 0, 0, 4].into(), prefix_len: 32 };
        assert_eq!(all.last(), Some(&Told::AllowedIp([3; 32], last)));
        assert_eq!(all.len(), 1 + 2 + 2 + 2 + 3);
    }

    #[test]
    fn a_truncated_answer_is_read_as_far_as_it_goes() {
        let answer = answer();
        let whole = told(&[&answer]);
        for len in 0..answer.len() {
            let told = told(&[&answer[..len]]);
            // The list of peers does not fit what was cut, so that no peer is half read.
            assert!(told.len() <= 1, "{len} octets: {told:?}");
            if let (Some(Told::Device(device)), Told::Device(known)) = (told.first(), &whole[0]) {
                assert_eq!(device.index, known.index);
            }
        }
    }

    #[test]
    fn mutated_answers_never_panic_and_tell_no_more_than_they_hold() {
        let valid = answer();
        let mut state = 0x9e37_79b9_u32;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as usize
        };
        for _ in 0..100_000 {
            let mut bytes = valid.clone();
            for _ in 0..1 + random() % 4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(1 + random() % bytes.len());
            for entry in told(&[&bytes, &valid]) {
                if let Told::AllowedIp(_, AllowedIp { ip, prefix_len }) = entry {
                    assert!(prefix_len <= Family::of(ip).host_prefix_len());
                }
            }
        }
    }

    #[test]
    fn a_time_that_is_none_is_no_time() {
        let time = |seconds: i64, nanoseconds: i64| {
            time(&[seconds.to_ne_bytes(), nanoseconds.to_ne_bytes()].concat())
        };
        assert_eq!(time(0, 0), None);
        assert_eq!(time(0, 1), Some(Duration::from_nanos(1)));
        assert_eq!(time(i64::MAX, 999_999_999).map(|time| time.as_secs()), Some(i64::MAX as u64));
        for (seconds, nanoseconds) in [(-1, 0), (1, -1), (1, 1_000_000_000), (1, i64::MAX)] {
            assert_eq!(time(seconds, nanoseconds), None);
        }
        assert_eq!(super::time(&[1; 15]), None);
    }

    #[test]
    fn an_endpoint_of_another_family_or_too_short_is_none() {
        let v6 = native("000a =ca6c =00000000 =fe800000000000000000000000000007 00000003");
        assert_eq!(endpoint(&v6), Some("[fe80::7%3]:51820".parse().expect("an endpoint")));
        for len in 0..28 {
            assert_eq!(endpoint(&v6[..len]), None, "{len} octets");
        }
        assert_eq!(endpoint(&native("0001 =ca6c =0000000000000000000000000000")), None);
    }
}
