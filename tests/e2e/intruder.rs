//! Somebody who holds a site's keys and says whatever they like inside its control tunnel.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use boringtun::noise::{Tunn, TunnResult};
use control::auth::{AuthenticationKey, control_address, xtr_id};
use control::{EidPrefix, LISP_PORT, PeerKey};
use daemon::demo::net::Node;
use daemon::demo::net::world::{HOME_UPLINK, WIREGUARD_PORTS};
use x25519_dalek::PublicKey;

use crate::testbed::PATIENCE;

/// The largest datagram on the underlay.
const DATAGRAM: usize = 2048;
const HEADERS: usize = 48;
/// How long a session is used: less than WireGuard's REKEY_AFTER_TIME.
const SESSION: Duration = Duration::from_secs(100);

/// A WireGuard client in the place of the site `home`, with a session to the Map-Server.
pub struct Intruder {
    socket: UdpSocket,
    tunnel: Tunn,
    shaken_at: Instant,
    key: PeerKey,
    addresses: (Ipv6Addr, Ipv6Addr),
    authentication: AuthenticationKey,
}

impl Intruder {
    /// Takes the place of `site`, which does not run, towards `server`.
    pub fn connect(site: &Node, server: &Node) -> io::Result<Intruder> {
        let endpoint = site.config.map_servers[0].1;
        Intruder::new(site, control_port(HOME_UPLINK), server, endpoint)
    }

    /// Takes the place of `server`, which does not run, towards a site at `uplink`.
    pub fn impersonate(server: &Node, site: &Node, uplink: &str) -> io::Result<Intruder> {
        let local = site.config.map_servers[0].1;
        Intruder::new(server, local, site, control_port(uplink))
    }

    fn new(
        played: &Node,
        local: SocketAddr,
        other: &Node,
        endpoint: SocketAddr,
    ) -> io::Result<Intruder> {
        let private = played.config.private_key.secret();
        let (key, other_key) =
            (played.config.private_key.public_key(), other.config.private_key.public_key());
        let socket = played.place().udp(local)?;
        socket.connect(endpoint)?;
        let index = u32::from_be_bytes(linux::random::array()?) >> 8;
        let public = PublicKey::from(other_key.0);
        let mut intruder = Intruder {
            socket,
            tunnel: Tunn::new(private.clone(), public, None, None, index, None),
            shaken_at: Instant::now(),
            key,
            addresses: (control_address(key), control_address(other_key)),
            authentication: AuthenticationKey::derive(private, other_key),
        };
        intruder.shake_hands()?;
        Ok(intruder)
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        let mut buffer = [0; DATAGRAM];
        if let TunnResult::WriteToNetwork(initiation) =
            self.tunnel.format_handshake_initiation(&mut buffer, true)
        {
            self.socket.send(initiation)?;
        }
        let since = Instant::now();
        self.shaken_at = since;
        while self.tunnel.time_since_last_handshake().is_none() {
            if since.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.receive(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Sends a LISP message inside the tunnel.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.send_packet(&datagram(self.addresses, message))
    }

    /// Sends any octets as an inner packet.
    pub fn send_packet(&mut self, packet: &[u8]) -> io::Result<()> {
        if self.shaken_at.elapsed() > SESSION {
            self.shake_hands()?;
        }
        let mut buffer = [0; DATAGRAM];
        match self.tunnel.encapsulate(packet, &mut buffer) {
            TunnResult::WriteToNetwork(datagram) => self.socket.send(datagram).map(drop),
            _ => Err(io::Error::other("the tunnel has no session")),
        }
    }

    /// The next LISP message that comes out of the tunnel in time.
    pub fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let since = Instant::now();
        let (mut received, mut buffer) = ([0; DATAGRAM], [0; DATAGRAM]);
        while let Some(left) = patience.checked_sub(since.elapsed()).filter(|one| !one.is_zero()) {
            self.socket.set_read_timeout(Some(left))?;
            let Ok(len) = self.socket.recv(&mut received) else { continue };
            let mut result = self.tunnel.decapsulate(None, &received[..len], &mut buffer);
            while let TunnResult::WriteToNetwork(datagram) = result {
                self.socket.send(datagram)?;
                result = self.tunnel.decapsulate(None, &[], &mut buffer);
            }
            match result {
                TunnResult::WriteToTunnelV6(packet, _) if packet.len() > HEADERS => {
                    return Ok(Some(packet[HEADERS..].to_vec()));
                }
                // Nothing came but the end of a handshake.
                _ if self.tunnel.time_since_last_handshake().is_some() => {}
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A Map-Register of this site, authentic, with these EID-prefixes at its own address.
    pub fn register(&self, nonce: u64, eid_prefixes: &[&str]) -> Vec<u8> {
        let mut records = [0; 1024];
        let mut writer = wire::RecordsWriter::new(&mut records);
        for text in eid_prefixes {
            let prefix: EidPrefix = text.parse().expect("a prefix");
            let record = wire::Record {
                ttl_minutes: 60,
                mask_len: prefix.len(),
                action: wire::Action::NoAction,
                is_authoritative: true,
                map_version: wire::MapVersion(0),
                eid: wire::Address::from(prefix.address()),
                locators: wire::Locators::EMPTY,
            };
            writer.push_record(&record).expect("it fits");
            let data_key = wire::DataKey { public_key: [9; 32], port: WIREGUARD_PORTS[0], lane: 0 };
            let rloc = wire::Address::from("192.0.2.18".parse::<std::net::IpAddr>().expect("one"));
            let address = wire::AddressBuffer::data_key(&data_key, false, &rloc).expect("it fits");
            let locator = wire::Locator {
                priority: 1,
                weight: 100,
                mpriority: 255,
                mweight: 0,
                is_local: true,
                is_probed: false,
                is_reachable: true,
                address: address.address(),
            };
            writer.push_locator(&locator).expect("it fits");
        }
        self.emit_register(nonce, writer.finish())
    }

    fn emit_register(&self, nonce: u64, records: wire::Records<'_>) -> Vec<u8> {
        let sent = wire::SentAuthentication::default();
        let algorithm = wire::AlgorithmId::HmacSha256_128;
        let register = wire::MapRegister {
            is_proxy_reply: true,
            is_security_capable: false,
            is_through_rtr: false,
            is_eid_notify: false,
            is_ttl_timeout: false,
            is_merge_request: false,
            is_want_map_notify: true,
            nonce: wire::Nonce(nonce),
            key_id: wire::KeyId(0),
            algorithm,
            authentication_data: sent.blank(algorithm),
            records,
            xtr_identity: Some(wire::XtrIdentity {
                xtr_id: xtr_id(self.key),
                site_id: wire::SiteId(0),
            }),
        };
        let mut message = vec![0; register.buffer_len()];
        register.emit(&mut message).expect("it fits");
        self.sign(&mut message);
        message
    }

    /// Makes a message authentic, whatever is in it, where it has room for that.
    pub fn sign(&self, message: &mut [u8]) {
        let sent = wire::SentAuthentication::default();
        let _ = wire::auth::sign(message, self.authentication.as_bytes(), sent);
    }

    /// Whether the Map-Server acknowledges this nonce in time.
    pub fn is_acknowledged(&mut self, nonce: u64, patience: Duration) -> io::Result<bool> {
        let since = Instant::now();
        while let Some(left) = patience.checked_sub(since.elapsed()) {
            let Some(message) = self.receive(left)? else { continue };
            if let Ok(notify) = wire::MapNotifyPacket::new_checked(&message[..])
                && notify.message_type() == wire::MessageType::MapNotify
                && notify.nonce() == wire::Nonce(nonce)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Where WireGuard's control port is on a link.
fn control_port(uplink: &str) -> SocketAddr {
    let ip = uplink.split('/').next().unwrap_or_default();
    format!("{ip}:{}", WIREGUARD_PORTS[1]).parse().expect("the constant is an address")
}

/// An IPv6 packet with UDP between the LISP ports (RFC 8200 sections 3 and 8.1).
fn datagram((source, destination): (Ipv6Addr, Ipv6Addr), message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + message.len()).expect("messages are short");
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([17, 64]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    let udp_at = packet.len();
    for field in [LISP_PORT, LISP_PORT, len, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(message);
    // The pseudo-header is the addresses, the length and the protocol.
    let words = packet[8..]
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let mut sum: u32 = words.sum::<u32>() + u32::from(len) + 17;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = match !(sum as u16) {
        0 => 0xffff,
        other => other,
    };
    packet[udp_at + 6..udp_at + 8].copy_from_slice(&checksum.to_be_bytes());
    packet
}
