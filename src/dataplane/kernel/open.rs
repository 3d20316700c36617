//! Making the interfaces, or taking over those of an earlier run.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use control::{Instant, MAX_LANES, PeerKey, auth};
use linux::Errno;
use linux::features;
use linux::netlink::wireguard::{self, AllowedIp, DeviceUpdate, Entry, Wireguard};
use linux::netlink::{self, Address, Error, InterfaceName, Link};
use linux::packet::{Doorbell, Injector};
use linux::sysctl;
use linux::tun::Tun;
use linux::udp::Socket;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::adopt::Remains;
use super::host::{Host, Port};
use super::machine::{Identity, Machine};
use super::operations::Device;
use super::{ALIAS, KernelConfig, KernelError, LaneConfig, remains};

/// An address that nobody has (RFC 7600 section 4.8).
const DUMMY_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// The name of the interface by which the module is loaded.
const PROBE: &str = "lg-probe";

/// The kind of the interfaces.
const KIND: &str = "wireguard";

/// Whether the kernel has WireGuard; asking loads its module.
pub(super) fn is_available() -> bool {
    netlink::Socket::open()
        .map_err(KernelError::Listing)
        .is_ok_and(|mut netlink| open_wireguard(&mut netlink).is_ok())
}

fn open_wireguard(netlink: &mut netlink::Socket) -> Result<Wireguard, KernelError> {
    match Wireguard::open() {
        Ok(wireguard) => return Ok(wireguard),
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(KernelError::Listing(error)),
    }
    // Some kernels load the module for an interface alone.
    netlink.create_link(PROBE, KIND).map_err(|error| match error.errno() {
        Some(Errno::EPERM) => KernelError::NotPermitted,
        _ => KernelError::Missing,
    })?;
    if let Ok(index) = netlink.link_index(PROBE) {
        let _ = netlink.delete_link(index);
    }
    Wireguard::open().map_err(|_| KernelError::Missing)
}

/// What this start made; it goes again unless the start succeeds.
struct Opening {
    netlink: netlink::Socket,
    wireguard: Wireguard,
    made: Vec<u32>,
    remains: Remains,
    strict: Vec<InterfaceName>,
    lisp_port: u16,
    mtu: u32,
}

/// What an interface is to be.
struct Wanted<'a> {
    device: Device,
    name: &'a str,
    port: u16,
    fwmark: u32,
    /// `None` keeps the one it has, or makes one.
    private_key: Option<&'a StaticSecret>,
    /// `None` follows from the key.
    address: Option<Ipv6Addr>,
}

/// Opens everything.
pub(super) fn open(config: &KernelConfig, now: Instant) -> Result<Machine<Host>, KernelError> {
    let mut netlink = netlink::Socket::open().map_err(KernelError::Listing)?;
    let wireguard = open_wireguard(&mut netlink)?;
    let mut opening = Opening {
        netlink,
        wireguard,
        made: Vec::new(),
        remains: Remains::default(),
        strict: Vec::new(),
        lisp_port: config.engine.lisp_port,
        mtu: config.engine.mtu.into(),
    };
    let result = opening.open(config);
    match result {
        Ok((identity, control, lanes, miss)) => {
            let host = Host {
                netlink: opening.netlink,
                wireguard: opening.wireguard,
                control,
                lanes,
                miss,
                resolved_table: config.data.as_ref().map_or(0, |data| data.resolved_table),
                sources: (None, None),
                strict: opening.strict,
            };
            let mut machine = Machine::new(&config.engine, host, identity);
            if let Some(data) = &config.data {
                // Its length was checked.
                let _ = machine.set_database(&data.database);
            }
            machine.adopt(opening.remains, now);
            Ok(machine)
        }
        Err(error) => {
            for index in opening.made {
                let _ = opening.netlink.delete_link(index);
            }
            Err(error)
        }
    }
}

type Opened = (Identity, Port, heapless::Vec<Port, MAX_LANES>, Option<Tun>);

impl Opening {
    fn open(&mut self, config: &KernelConfig) -> Result<Opened, KernelError> {
        let lanes = config.data.as_ref().map_or(&[][..], |data| data.lanes.as_slice());
        let lanes = &lanes[..lanes.len().min(MAX_LANES)];
        // Nothing is changed before every name is known to be free or ours.
        self.find(&config.control_device, KIND)?;
        for lane in lanes {
            self.find(&lane.device, KIND)?;
        }
        if let Some(data) = &config.data
            && data.database.len() > config.engine.database
        {
            return Err(KernelError::Engine(crate::EngineError::DatabaseFull));
        }
        let miss = match &config.data {
            Some(data) => Some(self.open_miss(&data.miss_device)?),
            None => None,
        };
        let (control, control_key, control_address) = self.open_device(&Wanted {
            device: Device::Control,
            name: &config.control_device,
            port: config.control_port,
            fwmark: config.fwmark,
            private_key: Some(&config.control_private_key),
            address: config.control_address.or(config.engine.control_address),
        })?;
        let mut identity = Identity { control_key, control_address, lanes: heapless::Vec::new() };
        let mut ports = heapless::Vec::new();
        let rotates = config.data.as_ref().is_some_and(|data| data.rotate_keys);
        for (place, lane) in lanes.iter().enumerate() {
            let (port, key, address) = self.open_lane(place as u8, lane, rotates)?;
            let _ = (ports.push(port), identity.lanes.push((key, address)));
        }
        if let Some(data) = &config.data {
            let indices: Vec<u32> = ports.iter().map(|port: &Port| port.index).collect();
            let (table, instance_id) = (data.resolved_table, config.engine.instance_id);
            remains::routes(&mut self.netlink, table, instance_id, &indices, &mut self.remains)
                .map_err(KernelError::Listing)?;
        }
        Ok((identity, control, ports, miss))
    }

    fn open_lane(
        &mut self,
        place: u8,
        lane: &LaneConfig,
        rotates: bool,
    ) -> Result<(Port, PeerKey, Ipv6Addr), KernelError> {
        let mut fresh = Zeroizing::new([0; 32]);
        linux::random::fill(fresh.as_mut_slice()).map_err(KernelError::Random)?;
        let fresh = StaticSecret::from(*fresh);
        let is_there = self.find(&lane.device, KIND)?.is_some();
        self.open_device(&Wanted {
            device: Device::Lane(place),
            name: &lane.device,
            port: lane.port,
            fwmark: lane.fwmark,
            private_key: (rotates || !is_there).then_some(&fresh),
            address: None,
        })
    }

    /// The interface of a name, when it is one of ours.
    fn find(&mut self, name: &str, kind: &str) -> Result<Option<Link>, KernelError> {
        match self.netlink.link(name) {
            Ok(link) => {
                let is_kind = link.kind.is_some_and(|known| known == *kind);
                let is_marked = link.alias.is_some_and(|alias| alias == *ALIAS);
                let name = InterfaceName::truncated(name);
                if is_kind && is_marked { Ok(Some(link)) } else { Err(KernelError::Foreign(name)) }
            }
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(KernelError::link(name, 0, error)),
        }
    }

    fn open_miss(&mut self, name: &str) -> Result<Tun, KernelError> {
        let is_there = self.find(name, "tun")?.is_some();
        let tun = Tun::open_persistent(name).map_err(|error| KernelError::tun(name, error))?;
        let index = tun.index();
        if !is_there {
            self.made.push(index);
        }
        let link = |error| KernelError::link(name, 0, error);
        self.netlink.set_link_alias(index, ALIAS).map_err(link)?;
        self.netlink.set_link_mtu(index, self.mtu).map_err(link)?;
        self.loosen_filter(name, index);
        self.netlink.set_link_up(index).map_err(link)?;
        Ok(tun)
    }

    fn open_device(
        &mut self,
        wanted: &Wanted<'_>,
    ) -> Result<(Port, PeerKey, Ipv6Addr), KernelError> {
        let name = wanted.name;
        let link = |error| KernelError::link(name, wanted.port, error);
        let index = match self.find(name, KIND)? {
            Some(link) => link.index,
            None => {
                self.netlink.create_link(name, KIND).map_err(link)?;
                let index = self.netlink.link_index(name).map_err(link)?;
                self.made.push(index);
                self.netlink.set_link_alias(index, ALIAS).map_err(link)?;
                index
            }
        };
        let old_key = self.configure(index, wanted).map_err(link)?;
        self.netlink.set_link_mtu(index, self.mtu).map_err(link)?;
        self.loosen_filter(name, index);
        let _ = sysctl::write(&format!("net/ipv6/conf/{name}/disable_ipv6"), "0");
        // What is forwarded from the tunnels goes on in runs, where the kernel can do that.
        let _ = features::set(name, features::UDP_JOINING, true);
        self.netlink.set_link_up(index).map_err(link)?;
        let (key, port) = self.read(index, wanted.device).map_err(link)?;
        let derive = |key| match wanted.device {
            Device::Control => auth::control_address(key),
            Device::Lane(_) => auth::link_address(key),
        };
        let address = wanted.address.unwrap_or(derive(key));
        let old_address = old_key.map(derive).filter(|old| *old != address);
        self.set_address(index, address, old_address)
            .map_err(|error| KernelError::Link(InterfaceName::truncated(name), error))?;
        let port = self.open_sockets(wanted, index, port, address)?;
        Ok((port, key, address))
    }

    /// Sets key, port and mark where they differ: setting a key ends sessions. Tells which key
    /// there was.
    fn configure(&mut self, index: u32, wanted: &Wanted<'_>) -> Result<Option<PeerKey>, Error> {
        let mut known = None;
        self.wireguard.device(index, |entry| {
            if let Entry::Device(device) = entry {
                known = Some((device.public_key, device.listen_port, device.fwmark));
            }
        })?;
        let (key, port, fwmark) = known.unwrap_or((None, 0, 0));
        let differs = |secret: &&StaticSecret| key != Some(control::auth::public_key(secret).0);
        let private_key =
            wanted.private_key.filter(differs).map(|secret| Zeroizing::new(secret.to_bytes()));
        let update = DeviceUpdate {
            private_key: private_key.as_deref(),
            listen_port: Some(wanted.port).filter(|wanted| *wanted != 0 && *wanted != port),
            fwmark: Some(wanted.fwmark).filter(|wanted| *wanted != fwmark),
            // Peers of another key have no session with this one.
            removes_peers: private_key.is_some(),
        };
        self.wireguard.set_device(index, &update)?;
        Ok(key.map(PeerKey))
    }

    /// Reads key and port, and the peers that stand.
    fn read(&mut self, index: u32, device: Device) -> Result<(PeerKey, u16), Error> {
        let mut known = None;
        let mut peers: Vec<(Device, wireguard::Peer, Vec<AllowedIp>)> = Vec::new();
        self.wireguard.device(index, |entry| match entry {
            Entry::Device(device) => known = Some((device.public_key, device.listen_port)),
            Entry::Peer(peer) => peers.push((device, *peer, Vec::new())),
            Entry::AllowedIp(_, allowed_ip) => {
                if let Some((_, _, allowed_ips)) = peers.last_mut() {
                    allowed_ips.push(allowed_ip);
                }
            }
        })?;
        self.remains.peers.append(&mut peers);
        let (key, port) = known.ok_or(Error::Malformed)?;
        Ok((PeerKey(key.ok_or(Error::Malformed)?), port))
    }

    /// Gives the interface this address, and takes what an earlier key gave it.
    fn set_address(
        &mut self,
        index: u32,
        ip: Ipv6Addr,
        old: Option<Ipv6Addr>,
    ) -> Result<(), Error> {
        if let Some(old) = old {
            match self.netlink.delete_address(&Address::new(index, old.into(), 128)) {
                Err(error) if !error.is_missing() => return Err(error),
                _ => {}
            }
        }
        match self.netlink.add_address(&Address::new(index, ip.into(), 128)) {
            Err(error) if error.is_existing() => Ok(()),
            result => result,
        }
    }

    fn open_sockets(
        &mut self,
        wanted: &Wanted<'_>,
        index: u32,
        port: u16,
        address: Ipv6Addr,
    ) -> Result<Port, KernelError> {
        let (name, fwmark) = (wanted.name, wanted.fwmark);
        let refused = |error| KernelError::socket(name, error);
        let injector = Injector::open(index).map_err(refused)?;
        let socket = Socket::bind(SocketAddr::new(address.into(), self.lisp_port));
        let socket = socket.map_err(refused)?;
        // Nobody but WireGuard's peers may speak as one of them.
        socket.bind_to_device(name).map_err(refused)?;
        let mut early = [0; 16];
        while socket.receive_from(&mut early).is_ok() {}
        let doorbell = match wanted.device {
            Device::Control => None,
            Device::Lane(_) => Some(Doorbell::open(index, address).map_err(refused)?),
        };
        Ok(Port { index, port, fwmark, injector, socket, doorbell })
    }

    /// Packets from EIDs come in here whose way back leads elsewhere as long as it is unresolved;
    /// WireGuard itself refuses a source that is not the peer's. Where the machine has all
    /// interfaces filtered, this one is so loosely, which needs an IPv4 address on it: without one
    /// the kernel takes the loose filter for a strict one.
    fn loosen_filter(&mut self, name: &str, index: u32) {
        let setting = format!("net/ipv4/conf/{name}/rp_filter");
        let value = |name: &str| sysctl::read(name).ok().and_then(|text| text.parse::<u8>().ok());
        let all = value("net/ipv4/conf/all/rp_filter").unwrap_or(0);
        let wanted = if all == 0 { 0 } else { 2 };
        if wanted != 0 {
            let _ = self.netlink.add_address(&Address::new(index, DUMMY_ADDRESS.into(), 32));
        }
        if value(&setting) == Some(wanted) || sysctl::write(&setting, &wanted.to_string()).is_ok() {
            return;
        }
        if all.max(value(&setting).unwrap_or(0)) == 1 {
            self.strict.push(InterfaceName::truncated(name));
        }
    }
}
