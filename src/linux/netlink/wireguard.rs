//! WireGuard interfaces of the kernel: their keys, peers and allowed-ips.

mod listing;

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use zeroize::Zeroize;

pub use listing::{Device, Entry, Peer};

use super::abi::{
    AF_INET, AF_INET6, WG_CMD_GET_DEVICE, WG_CMD_SET_DEVICE, WG_GENL_VERSION,
    WGALLOWEDIP_A_CIDR_MASK, WGALLOWEDIP_A_FAMILY, WGALLOWEDIP_A_IPADDR, WGDEVICE_A_FLAGS,
    WGDEVICE_A_FWMARK, WGDEVICE_A_IFINDEX, WGDEVICE_A_LISTEN_PORT, WGDEVICE_A_PEERS,
    WGDEVICE_A_PRIVATE_KEY, WGDEVICE_F_REPLACE_PEERS, WGPEER_A_ALLOWEDIPS, WGPEER_A_ENDPOINT,
    WGPEER_A_FLAGS, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, WGPEER_A_PUBLIC_KEY,
    WGPEER_F_REMOVE_ME, WGPEER_F_REPLACE_ALLOWEDIPS, WGPEER_F_UPDATE_ONLY,
};
use super::error::Error;
use super::generic::generic_message;
use super::message::Message;
use super::socket::Socket;
use super::{Family, REQUEST_LEN};
pub(super) use listing::Listing;

const FAMILY_NAME: &str = "wireguard";

/// Octets of a request about a peer, enough for about a hundred allowed-ips.
const PEER_REQUEST_LEN: usize = 4096;
/// Octets of an allowed-ip of IPv6 in a request.
const ALLOWED_IP_LEN: usize = 40;

/// A public key of X25519.
pub type PublicKey = [u8; 32];

/// A prefix that a peer may send from and that packets to it go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedIp {
    /// The prefix's address; the kernel clears the bits beyond the prefix.
    pub ip: IpAddr,
    /// The length of the prefix in bits.
    pub prefix_len: u8,
}

/// What to change of an interface; what is not set stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceUpdate<'a> {
    /// The private key; a peer with the public key that belongs to it is removed.
    pub private_key: Option<&'a [u8; 32]>,
    /// The UDP port, 0 for any; it is taken while the interface is up.
    pub listen_port: Option<u16>,
    /// The firewall mark of the packets sent over UDP, 0 for none.
    pub fwmark: Option<u32>,
    /// Removes all peers.
    pub removes_peers: bool,
}

impl fmt::Debug for DeviceUpdate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceUpdate")
            .field("has_private_key", &self.private_key.is_some())
            .field("listen_port", &self.listen_port)
            .field("fwmark", &self.fwmark)
            .field("removes_peers", &self.removes_peers)
            .finish()
    }
}

/// What to change of a peer; what is not set stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerUpdate {
    /// The peer's public key.
    pub public_key: PublicKey,
    /// Removes it; nothing else counts then.
    pub is_removed: bool,
    /// Changes it if it is there, and does not add it.
    pub is_update_only: bool,
    /// Removes the allowed-ips that it has before those given with this are added.
    pub replaces_allowed_ips: bool,
    /// Where its packets go; as with any packet from it, the session stays.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between empty packets that keep a path open, 0 for none.
    pub persistent_keepalive: Option<u16>,
}

impl PeerUpdate {
    /// Adds a peer, or changes nothing of it.
    #[must_use]
    pub fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            is_removed: false,
            is_update_only: false,
            replaces_allowed_ips: false,
            endpoint: None,
            persistent_keepalive: None,
        }
    }

    /// Removes a peer.
    #[must_use]
    pub fn removal(public_key: PublicKey) -> Self {
        Self { is_removed: true, ..Self::new(public_key) }
    }

    fn flags(&self) -> u32 {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        flag(self.is_removed, WGPEER_F_REMOVE_ME)
            | flag(self.replaces_allowed_ips, WGPEER_F_REPLACE_ALLOWEDIPS)
            | flag(self.is_update_only, WGPEER_F_UPDATE_ONLY)
    }
}

/// A socket for the WireGuard interfaces of the network namespace in which it was opened. What it
/// received and sent is overwritten after each call, for the sake of the keys in it.
#[derive(Debug)]
pub struct Wireguard {
    socket: Socket,
    family: u16,
    request: Box<[u8]>,
}

impl Wireguard {
    /// Opens a socket in the calling thread's network namespace; the kernel loads its module.
    ///
    /// # Errors
    /// `is_missing` when the kernel has no WireGuard; `Socket` when it gives no socket.
    pub fn open() -> Result<Self, Error> {
        let mut socket = Socket::open_generic()?;
        let family = socket.generic_family(FAMILY_NAME)?;
        Ok(Self { socket, family, request: vec![0; PEER_REQUEST_LEN].into() })
    }

    /// Changes an interface.
    ///
    /// # Errors
    /// As `Socket::request`; `is_missing` when there is no such interface, `EOPNOTSUPP` when it
    /// is of another kind, `EADDRINUSE` when it is up and the port is taken.
    pub fn set_device(&mut self, index: u32, update: &DeviceUpdate<'_>) -> Result<(), Error> {
        let message = device_message(&mut self.request, self.family, index, update);
        let result = self.socket.request(message);
        self.request[..REQUEST_LEN].zeroize();
        self.socket.wipe();
        result
    }

    /// Adds, changes or removes a peer, and adds allowed-ips to it, which another peer of the
    /// interface loses. What does not fit one message follows in others.
    ///
    /// # Errors
    /// As `set_device`; a peer that was to be removed or changed and is not there is no error.
    pub fn set_peer(
        &mut self,
        index: u32,
        update: &PeerUpdate,
        allowed_ips: impl IntoIterator<Item = AllowedIp>,
    ) -> Result<(), Error> {
        let mut allowed_ips = allowed_ips.into_iter().peekable();
        let mut update = *update;
        loop {
            let (buffer, family) = (&mut self.request, self.family);
            let message = peer_message(buffer, family, index, &update, &mut allowed_ips);
            self.socket.request(message)?;
            if update.is_removed || allowed_ips.peek().is_none() {
                return Ok(());
            }
            update = PeerUpdate { is_update_only: true, ..PeerUpdate::new(update.public_key) };
        }
    }

    /// Hands what an interface is, then each peer followed by its allowed-ips, to `each`.
    ///
    /// # Errors
    /// As `set_device`, and `Interrupted` when the peers changed meanwhile: ask again.
    pub fn device(&mut self, index: u32, each: impl FnMut(Entry<'_>)) -> Result<(), Error> {
        self.dump(index, Listing::new(true), each)
    }

    /// Hands each peer of an interface to `each`, without looking at allowed-ips.
    ///
    /// # Errors
    /// As `device`.
    pub fn peers(&mut self, index: u32, mut each: impl FnMut(&Peer)) -> Result<(), Error> {
        self.dump(index, Listing::new(false), |entry| {
            if let Entry::Peer(peer) = entry {
                each(peer);
            }
        })
    }

    fn dump(
        &mut self,
        index: u32,
        mut listing: Listing,
        mut each: impl FnMut(Entry<'_>),
    ) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let family = self.family;
        let message = listing_message(&mut buffer, family, index);
        let result = self.socket.dump(message, |part| {
            if part.kind == family {
                listing.handle_part(part.payload, &mut each);
            }
        });
        self.socket.wipe();
        result
    }
}

pub(super) fn listing_message(buffer: &mut [u8], family: u16, index: u32) -> Message<'_> {
    let mut message = generic_message(buffer, family, WG_CMD_GET_DEVICE, WG_GENL_VERSION);
    message.attribute_u32(WGDEVICE_A_IFINDEX, index);
    message
}

pub(super) fn device_message<'b>(
    buffer: &'b mut [u8],
    family: u16,
    index: u32,
    update: &DeviceUpdate<'_>,
) -> Message<'b> {
    let mut message = generic_message(buffer, family, WG_CMD_SET_DEVICE, WG_GENL_VERSION);
    message.attribute_u32(WGDEVICE_A_IFINDEX, index);
    if let Some(key) = update.private_key {
        message.attribute(WGDEVICE_A_PRIVATE_KEY, key);
    }
    if let Some(port) = update.listen_port {
        message.attribute_u16(WGDEVICE_A_LISTEN_PORT, port);
    }
    if let Some(fwmark) = update.fwmark {
        message.attribute_u32(WGDEVICE_A_FWMARK, fwmark);
    }
    if update.removes_peers {
        message.attribute_u32(WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS);
    }
    message
}

/// Takes as many of the allowed-ips as fit.
pub(super) fn peer_message<'b>(
    buffer: &'b mut [u8],
    family: u16,
    index: u32,
    update: &PeerUpdate,
    allowed_ips: &mut core::iter::Peekable<impl Iterator<Item = AllowedIp>>,
) -> Message<'b> {
    let mut message = generic_message(buffer, family, WG_CMD_SET_DEVICE, WG_GENL_VERSION);
    message.attribute_u32(WGDEVICE_A_IFINDEX, index);
    message.nested(WGDEVICE_A_PEERS, |peers| {
        // Entries of a list have no number.
        peers.nested(0, |peer| {
            peer.attribute(WGPEER_A_PUBLIC_KEY, &update.public_key);
            if update.flags() != 0 {
                peer.attribute_u32(WGPEER_A_FLAGS, update.flags());
            }
            if update.is_removed {
                return;
            }
            if let Some(endpoint) = update.endpoint {
                attribute_endpoint(peer, endpoint);
            }
            if let Some(seconds) = update.persistent_keepalive {
                peer.attribute_u16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, seconds);
            }
            if allowed_ips.peek().is_some() {
                peer.nested(WGPEER_A_ALLOWEDIPS, |list| {
                    while list.room() >= ALLOWED_IP_LEN
                        && let Some(allowed_ip) = allowed_ips.next()
                    {
                        attribute_allowed_ip(list, &allowed_ip);
                    }
                });
            }
        });
    });
    message
}

fn attribute_allowed_ip(list: &mut Message<'_>, allowed_ip: &AllowedIp) {
    list.nested(0, |entry| {
        let family = Family::of(allowed_ip.ip).number();
        entry.attribute_u16(WGALLOWEDIP_A_FAMILY, u16::from(family));
        entry.attribute_ip(WGALLOWEDIP_A_IPADDR, allowed_ip.ip);
        entry.attribute_u8(WGALLOWEDIP_A_CIDR_MASK, allowed_ip.prefix_len);
    });
}

/// `struct sockaddr_in` and `struct sockaddr_in6`: the port is in network order, the family and
/// the scope are the machine's.
fn attribute_endpoint(peer: &mut Message<'_>, endpoint: SocketAddr) {
    let mut octets = [0; 28];
    let port = endpoint.port().to_be_bytes();
    octets[2..4].copy_from_slice(&port);
    let (family, len) = match endpoint {
        SocketAddr::V4(v4) => {
            octets[4..8].copy_from_slice(&v4.ip().octets());
            (AF_INET, 16)
        }
        SocketAddr::V6(v6) => {
            octets[8..24].copy_from_slice(&v6.ip().octets());
            octets[24..].copy_from_slice(&v6.scope_id().to_ne_bytes());
            (AF_INET6, 28)
        }
    };
    octets[..2].copy_from_slice(&u16::from(family).to_ne_bytes());
    peer.attribute(WGPEER_A_ENDPOINT, &octets[..len]);
}

#[cfg(test)]
mod tests {
    use super::super::attribute::Attributes;
    use super::super::generic::generic_attributes;
    use super::super::message::native;
    use super::*;

    const KEY: &str = "=0101010101010101010101010101010101010101010101010101010101010101";

    #[test]
    fn a_change_of_an_interface_has_the_bytes_of_the_protocol() {
        let update = DeviceUpdate {
            private_key: Some(&[1; 32]),
            listen_port: Some(51_820),
            fwmark: Some(0x4c47),
            removes_peers: true,
        };
        let mut buffer = [0xaa; 128];
        let mut message = device_message(&mut buffer, 0x1d, 7, &update);
        let expected = native(&format!(
            "00000058 001d 0005 00000002 00000000 =01010000 0008 0001 00000007 0024 0003 {KEY} \
             0006 0006 ca6c =0000 0008 0007 00004c47 0008 0005 00000001",
        ));
        assert_eq!(message.finish(5, 2), Ok(&expected[..]));
        let mut message = device_message(&mut buffer, 0x1d, 7, &DeviceUpdate::default());
        let expected = native("0000001c 001d 0005 00000002 00000000 =01010000 0008 0001 00000007");
        assert_eq!(message.finish(5, 2), Ok(&expected[..]));
        let mut message = listing_message(&mut buffer, 0x1d, 7);
        let expected = native("0000001c 001d 0301 00000002 00000000 =00010000 0008 0001 00000007");
        assert_eq!(message.finish(0x301, 2), Ok(&expected[..]));
    }

    #[test]
    fn a_change_of_a_peer_has_the_bytes_of_the_protocol() {
        let mut update = PeerUpdate::new([1; 32]);
        update.replaces_allowed_ips = true;
        update.endpoint = Some("192.0.2.7:4342".parse().expect("an endpoint"));
        update.persistent_keepalive = Some(25);
        let allowed_ips = [
            AllowedIp { ip: [10, 0, 0, 0].into(), prefix_len: 8 },
            AllowedIp { ip: "2001:db8::".parse().expect("an address"), prefix_len: 32 },
        ];
        let mut list = allowed_ips.into_iter().peekable();
        let mut buffer = [0xaa; 512];
        let mut message = peer_message(&mut buffer, 0x1d, 7, &update, &mut list);
        let expected = native(&format!(
            "000000b4 001d 0005 00000002 00000000 =01010000 0008 0001 00000007 \
             0098 8008 0094 8000 0024 0001 {KEY} 0008 0003 00000002 \
             0014 0004 0002 =10f6 =c0000207 =0000000000000000 0006 0005 0019 =0000 \
             0048 8009 001c 8000 0006 0001 0002 =0000 0008 0002 =0a000000 0005 0003 =08000000 \
             0028 8000 0006 0001 000a =0000 0014 0002 =20010db8000000000000000000000000 \
             0005 0003 =20000000",
        ));
        assert_eq!(message.finish(5, 2), Ok(&expected[..]));
        assert_eq!(list.next(), None);
    }

    #[test]
    fn an_endpoint_of_ipv6_keeps_its_scope() {
        let mut update = PeerUpdate { is_update_only: true, ..PeerUpdate::new([1; 32]) };
        update.endpoint = Some("[fe80::7%3]:51820".parse().expect("an endpoint"));
        let mut buffer = [0xaa; 512];
        let mut none = core::iter::empty().peekable();
        let mut message = peer_message(&mut buffer, 0x1d, 7, &update, &mut none);
        let expected = native(&format!(
            "00000070 001d 0005 00000002 00000000 =01010000 0008 0001 00000007 \
             0054 8008 0050 8000 0024 0001 {KEY} 0008 0003 00000004 \
             0020 0004 000a =ca6c =00000000 =fe800000000000000000000000000007 00000003",
        ));
        assert_eq!(message.finish(5, 2), Ok(&expected[..]));
    }

    #[test]
    fn a_removal_has_a_key_and_nothing_else() {
        let mut update = PeerUpdate::removal([1; 32]);
        (update.endpoint, update.persistent_keepalive) =
            (Some(([192, 0, 2, 7], 1).into()), Some(1));
        let prefix = AllowedIp { ip: [10, 0, 0, 0].into(), prefix_len: 8 };
        let mut buffer = [0xaa; 512];
        let mut list = core::iter::once(prefix).peekable();
        let mut message = peer_message(&mut buffer, 0x1d, 7, &update, &mut list);
        let expected = native(&format!(
            "00000050 001d 0005 00000002 00000000 =01010000 0008 0001 00000007 \
             0034 8008 0030 8000 0024 0001 {KEY} 0008 0003 00000001",
        ));
        assert_eq!(message.finish(5, 2), Ok(&expected[..]));
    }

    #[test]
    fn allowed_ips_fill_a_message_and_the_rest_is_left_for_others() {
        let prefix = |number: u16| AllowedIp {
            ip: [0x2001, 0xdb8, 0, number, 0, 0, 0, 0].into(),
            prefix_len: 64,
        };
        for room in [160, 200, 1024, PEER_REQUEST_LEN] {
            let mut buffer = vec![0xaa; room];
            let mut list = (0..200).map(prefix).peekable();
            let (mut seen, mut messages) = (0, 0);
            while list.peek().is_some() {
                let mut message =
                    peer_message(&mut buffer, 1, 7, &PeerUpdate::new([1; 32]), &mut list);
                let bytes = message.finish(0, 1).expect("it fits");
                let inner =
                    |bytes: Attributes<'_>, kind| bytes.find_kind(kind).expect("it").value.len();
                let peers = generic_attributes(&bytes[16..]).find_kind(WGDEVICE_A_PEERS);
                let peer = peers.expect("peers").nested().next().expect("a peer");
                seen += inner(peer.nested(), WGPEER_A_ALLOWEDIPS) / ALLOWED_IP_LEN;
                messages += 1;
            }
            assert_eq!(seen, 200);
            assert_eq!(messages, 200_usize.div_ceil((room - 80) / ALLOWED_IP_LEN), "{room} octets");
        }
    }
}
