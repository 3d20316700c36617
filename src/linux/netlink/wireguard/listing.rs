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
pub(super) struct Listing {
    wants_allowed_ips: bool,
    has_device: bool,
    last: Option<PublicKey>,
}

impl Listing {
    pub(super) fn new(wants_allowed_ips: bool) -> Self {
        Self { wants_allowed_ips, has_device: false, last: None }
    }

    /// Hands on what a message tells; entries that are not what the protocol promises are left
    /// out.
    pub(super) fn handle_part(&mut self, payload: &[u8], each: &mut dyn FnMut(Entry<'_>)) {
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
