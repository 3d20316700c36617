//! Somebody who holds a site's keys and says whatever they like inside its control tunnel.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use control::auth::{AuthenticationKey, control_address, xtr_id};
use control::{EidPrefix, LISP_PORT, PeerKey};
use daemon::config::PrivateKey;
use daemon::demo::net::world::{
    HOME_HOST, HOME_UPLINK, OFFICE, OFFICE_HOST, OFFICE_UPLINK, WIREGUARD_PORTS, World,
};
use daemon::demo::net::{Node, NodeConfig, NodeStatus, Role};

use crate::testbed::{PATIENCE, data_key_at, start};
use crate::tunnel::Tunnel;

/// An IPv6 and a UDP header.
const HEADERS: usize = 48;

/// Somebody in the place of a node that does not run, with a session to another one.
pub struct Intruder {
    tunnel: Tunnel,
    key: PeerKey,
    data_key: PrivateKey,
    rloc: IpAddr,
    addresses: (Ipv6Addr, Ipv6Addr),
    authentication: AuthenticationKey,
}

impl Intruder {
    /// Takes the place of `site` at `uplink` towards `server`.
    pub fn connect(site: &Node, uplink: &str, server: &Node) -> io::Result<Intruder> {
        let endpoint = site.config.map_servers[0].1;
        Intruder::new(site, at(uplink, WIREGUARD_PORTS[1]), server, endpoint)
    }

    /// Takes the place of `server` towards `site` at `uplink`.
    pub fn impersonate(server: &Node, site: &Node, uplink: &str) -> io::Result<Intruder> {
        let local = site.config.map_servers[0].1;
        Intruder::new(server, local, site, at(uplink, WIREGUARD_PORTS[1]))
    }

    fn new(
        played: &Node,
        local: SocketAddr,
        other: &Node,
        endpoint: SocketAddr,
    ) -> io::Result<Intruder> {
        let private = &played.config.private_key;
        let (key, other_key) = (private.public_key(), other.config.private_key.public_key());
        Ok(Intruder {
            tunnel: Tunnel::connect(played.place(), local, private, other_key, endpoint)?,
            key,
            data_key: NodeConfig::new(Role::Xtr)?.private_key,
            rloc: local.ip(),
            addresses: (control_address(key), control_address(other_key)),
            authentication: AuthenticationKey::derive(private.secret(), other_key),
        })
    }

    /// The data key that it registers.
    pub fn data_key(&self) -> &PrivateKey {
        &self.data_key
    }

    /// Sends a LISP message inside the tunnel.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let (source, destination) = self.addresses;
        let ends = [(source, LISP_PORT), (destination, LISP_PORT)];
        self.tunnel
            .send(&datagram(ends.map(|(ip, port)| SocketAddrV6::new(ip, port, 0, 0)), message))
    }

    /// Sends any octets as an inner packet.
    pub fn send_packet(&mut self, packet: &[u8]) -> io::Result<()> {
        self.tunnel.send(packet)
    }

    /// The next LISP message that comes out of the tunnel in time.
    pub fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let packet = self.tunnel.receive(patience)?;
        Ok(packet.and_then(|packet| Some(packet.get(HEADERS..)?.to_vec())))
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
            let public_key = self.data_key.public_key().0;
            let data_key = wire::DataKey { public_key, port: WIREGUARD_PORTS[0], lane: 0 };
            let rloc = wire::Address::from(self.rloc);
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

/// A port of a node whose link has this address and length.
pub fn at(uplink: &str, port: u16) -> SocketAddr {
    let ip = uplink.split('/').next().unwrap_or_default();
    format!("{ip}:{port}").parse().expect("the constant is an address")
}

/// An IPv6 packet with UDP in it (RFC 8200 sections 3 and 8.1).
fn datagram([from, to]: [SocketAddrV6; 2], payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("payloads are short");
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([17, 64]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    let checksum_at = packet.len() + 6;
    for field in [from.port(), to.port(), len, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(payload);
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
    packet[checksum_at..checksum_at + 2].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// UDP between two IPv6 EIDs, to be sent inside a data tunnel.
pub fn between_eids(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let (SocketAddr::V6(from), SocketAddr::V6(to)) = (from, to) else {
        panic!("the addresses are IPv6");
    };
    datagram([from, to], payload)
}

/// Takes the place of `office`, has `home` ask for it, and makes a data tunnel to `home`.
pub fn data_tunnel_to_home(world: &mut World) -> Result<Tunnel, Box<dyn Error>> {
    world.start_map_server()?;
    start(&mut world.home)?;
    let mut intruder = Intruder::connect(&world.office, OFFICE_UPLINK, &world.map_server)?;
    let register = intruder.register(7 << 32, &OFFICE);
    intruder.send(&register)?;
    assert!(intruder.is_acknowledged(7 << 32, PATIENCE)?);
    let short = Duration::from_millis(50);
    let asked = world.home_host.ping(HOME_HOST[2], OFFICE_HOST[1], short);
    assert!(asked.is_err(), "nobody answers yet");
    let is_known = |status: &NodeStatus| status.map_cache.len() == OFFICE.len();
    world.home.wait_until(PATIENCE, is_known)?;
    let home_key = data_key_at(&world.map_server, "home").ok_or("home is registered")?;
    let [port, _] = WIREGUARD_PORTS;
    let (local, endpoint) = (at(OFFICE_UPLINK, port), at(HOME_UPLINK, port));
    Ok(Tunnel::connect(world.office.place(), local, intruder.data_key(), home_key, endpoint)?)
}
