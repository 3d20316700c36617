//! The little internet of the demo: who is where, under which addresses.
//!
//! ```text
//!  home-host ── home ──┐                     ┌── office ── office-host
//!  10.1.0.2     .18    │                     │   198.51.100.2  10.2.0.2
//!  10.3.0.2            │                     │                 fd01:0:0:2::2
//!  fd01:0:0:1::2       ├───── internet ──────┤
//!                      │                     ├── ap1 203.0.113.2  ─┐
//!         ms ──────────┘                     └── ap2 203.0.113.18 ─┴─ phone
//!         192.0.2.2                                                   10.9.0.1, fd01:0:0:9::1
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use control::EidPrefix;

use super::configuration::{NodeConfig, Role};
use super::echo::{self, EchoServer};
use super::node::Node;
use super::place::Place;
use super::scratch::Scratch;

/// What goes into the overlay.
pub const EID_SPACE: [&str; 2] = ["10.0.0.0/8", "fd01::/16"];
/// WireGuard's ports on the underlay: data and control.
pub const WIREGUARD_PORTS: [u16; 2] = [51820, 51821];
/// EID-prefixes of `home`.
pub const HOME: [&str; 3] = ["10.1.0.0/24", "10.3.0.0/24", "fd01:0:0:1::/64"];
/// EID-prefixes of `office`.
pub const OFFICE: [&str; 2] = ["10.2.0.0/24", "fd01:0:0:2::/64"];
/// EID-prefixes of `phone`.
pub const PHONE: [&str; 2] = ["10.9.0.1/32", "fd01:0:0:9::1/128"];
/// Addresses of the host behind `home`.
pub const HOME_HOST: [IpAddr; 3] = [v4(10, 1, 0, 2), v4(10, 3, 0, 2), v6(1, 2)];
/// Addresses of the host behind `office`.
pub const OFFICE_HOST: [IpAddr; 2] = [v4(10, 2, 0, 2), v6(2, 2)];
/// Addresses of `phone` itself.
pub const PHONE_HOST: [IpAddr; 2] = [v4(10, 9, 0, 1), v6(9, 1)];

const MAP_SERVER: &str = "192.0.2.2/28";
/// RLOC of `home`, with the length of its link.
pub const HOME_UPLINK: &str = "192.0.2.18/28";
/// RLOC of `office`, with the length of its link.
pub const OFFICE_UPLINK: &str = "198.51.100.2/28";
/// Its address behind an address translation.
const OFFICE_PRIVATE: &str = "192.168.7.2/28";
/// Where `phone` is at first, with the length of its link.
pub const AP1: &str = "203.0.113.2/28";
/// Where it moves to.
pub const AP2: &str = "203.0.113.18/28";

/// How long a started process may take until its control socket answers.
const STARTING: Duration = Duration::from_secs(5);

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(network: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, network, 0, 0, 0, host))
}

/// The little internet; all of it goes away when it is dropped or its process dies.
#[derive(Debug)]
pub struct World {
    /// The Map-Server and Map-Resolver.
    pub map_server: Node,
    /// A site with two IPv4 prefixes and an IPv6 one.
    pub home: Node,
    /// A site with an IPv4 and an IPv6 prefix.
    pub office: Node,
    /// A mobile node, at ap1 at first.
    pub phone: Node,
    /// The host behind `home`.
    pub home_host: Place,
    /// The host behind `office`.
    pub office_host: Place,
    /// The underlay router.
    pub internet: Place,
    /// The address translation before `office`, where there is one.
    nat: Option<Place>,
    scratch: Scratch,
}

impl World {
    /// Builds it; nothing runs yet. `program` is the `lispguard` that the nodes run.
    ///
    /// # Errors
    /// Without the privilege to make network namespaces, or as the kernel and the file system say.
    pub fn build(program: &Path) -> io::Result<World> {
        let scratch = Scratch::new()?;
        let internet = Place::new("internet")?;
        internet.make_router()?;
        let node = |name: &str, config| {
            Node::new(Place::new(name)?, program, scratch.directory(name)?, config)
        };
        let map_server = NodeConfig::new(Role::MapServer)?;
        let ms = (map_server.private_key.public_key(), endpoint(MAP_SERVER)?);
        let site = |role, prefixes: &[&str]| {
            let mut config = NodeConfig::new(role)?;
            config.eid_space = EID_SPACE.map(String::from).into();
            config.eid_prefixes = prefixes.iter().copied().map(String::from).collect();
            config.map_servers.push(ms);
            io::Result::Ok(config)
        };
        let mut world = World {
            map_server: node("ms", map_server)?,
            home: node("home", site(Role::Xtr, &HOME)?)?,
            office: node("office", site(Role::Xtr, &OFFICE)?)?,
            phone: node("phone", site(Role::MobileNode, &PHONE)?)?,
            home_host: Place::new("home-host")?,
            office_host: Place::new("office-host")?,
            internet,
            nat: None,
            scratch,
        };
        world.wire_up()?;
        world.admit_sites();
        Ok(world)
    }

    fn wire_up(&self) -> io::Result<()> {
        for (node, device, address) in [
            (&self.map_server, "wan", MAP_SERVER),
            (&self.home, "wan", HOME_UPLINK),
            (&self.office, "wan", OFFICE_UPLINK),
            (&self.phone, "ap1", AP1),
            (&self.phone, "ap2", AP2),
        ] {
            let there = if device == "wan" { node.name() } else { device };
            self.internet.connect(there, node.place(), device)?;
            self.internet.add_address(there, &format!("{}/28", gateway(address)?))?;
            if device == "ap2" {
                node.place().set_down(device)?;
            } else {
                uplink(node.place(), device, address)?;
            }
        }
        lan(self.home.place(), &self.home_host, &HOME_HOST)?;
        lan(self.office.place(), &self.office_host, &OFFICE_HOST)
    }

    /// Tells the Map-Server's configuration who its sites are: `home`, `office` and `phone` with
    /// the keys and prefixes of their own configurations.
    pub fn admit_sites(&mut self) {
        let sites = [&self.home, &self.office, &self.phone];
        self.map_server.config.sites =
            sites.into_iter().map(|site| site.config.as_site(site.name())).collect();
    }

    /// Has all nodes forward with this data plane, as `option dataplane` names it.
    pub fn use_dataplane(&mut self, name: &str) {
        for node in [&mut self.map_server, &mut self.home, &mut self.office, &mut self.phone] {
            node.config.set_option("dataplane", name);
        }
    }

    /// Puts `office`, before it is started, behind a router that masquerades with nftables.
    ///
    /// # Errors
    /// When there is no `nft`, or the kernel refuses.
    pub fn masquerade_office(&mut self) -> io::Result<()> {
        let nat = Place::new("nat")?;
        nat.make_router()?;
        self.internet.remove("office")?;
        self.internet.connect("office", &nat, "wan")?;
        self.internet.add_address("office", &format!("{}/28", gateway(OFFICE_UPLINK)?))?;
        uplink(&nat, "wan", OFFICE_UPLINK)?;
        nat.connect("lan", self.office.place(), "wan")?;
        nat.add_address("lan", &format!("{}/28", gateway(OFFICE_PRIVATE)?))?;
        uplink(self.office.place(), "wan", OFFICE_PRIVATE)?;
        nat.run("nft", &["add table ip nat"])?;
        nat.run("nft", &["add chain ip nat post { type nat hook postrouting priority srcnat; }"])?;
        nat.run("nft", &["add rule ip nat post oifname wan masquerade"])?;
        self.nat = Some(nat);
        Ok(())
    }

    /// Starts the Map-Server and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start_map_server(&mut self) -> io::Result<()> {
        self.map_server.start()?;
        self.map_server.wait_until(STARTING, |_| true).map(drop)
    }

    /// The three sites.
    pub fn sites(&self) -> [&Node; 3] {
        [&self.home, &self.office, &self.phone]
    }

    /// The three sites, to be started or changed.
    pub fn sites_mut(&mut self) -> [&mut Node; 3] {
        [&mut self.home, &mut self.office, &mut self.phone]
    }

    /// Starts the Map-Server, then all sites, and waits until every EID-prefix is registered;
    /// the time from the first site's start.
    ///
    /// # Errors
    /// When a node does not start or register within `patience`.
    pub fn start(&mut self, patience: Duration) -> io::Result<Duration> {
        self.start_map_server()?;
        let since = std::time::Instant::now();
        for site in self.sites_mut() {
            site.start()?;
        }
        for site in self.sites() {
            site.wait_until(patience.saturating_sub(since.elapsed()), |status| status.ok)?;
        }
        Ok(since.elapsed())
    }

    /// Each machine: the underlay router, the nodes, the hosts.
    pub fn places(&self) -> [&Place; 7] {
        [
            &self.internet,
            self.map_server.place(),
            self.home.place(),
            &self.home_host,
            self.office.place(),
            &self.office_host,
            self.phone.place(),
        ]
    }

    /// The phone hears ap2, loses ap1, and gets its address and default route at ap2.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn move_phone(&self) -> io::Result<()> {
        self.phone.place().set_up("ap2")?;
        self.internet.wait_until_running("ap2")?;
        self.phone.place().wait_until_running("ap2")?;
        self.internet.set_down("ap1")?;
        self.phone.place().set_down("ap1")?;
        uplink(self.phone.place(), "ap2", AP2)
    }

    /// Answers UDP echo on each address of a host.
    ///
    /// # Errors
    /// When an address is taken.
    pub fn echo_server(&self, place: &Place, addresses: &[IpAddr]) -> io::Result<EchoServer> {
        let sockets: io::Result<Vec<_>> = addresses
            .iter()
            .map(|address| place.udp(SocketAddr::new(*address, echo::PORT)))
            .collect();
        EchoServer::start(sockets?)
    }

    /// What goes into the overlay, for one who looks from outside.
    pub fn eid_space() -> Vec<EidPrefix> {
        EID_SPACE.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// Its temporary directory.
    pub fn directory(&self) -> PathBuf {
        self.scratch.path().to_path_buf()
    }

    /// How to enter each machine from outside: its name and the path of its namespace.
    pub fn entrances(&self) -> Vec<(String, String)> {
        let pid = std::process::id();
        let path = |place: &Place| {
            let fd = place.namespace().as_fd().as_raw_fd();
            (place.name().to_string(), format!("/proc/{pid}/fd/{fd}"))
        };
        self.places().into_iter().map(path).collect()
    }
}

/// The first address of the /28 around an address.
pub(crate) fn gateway(address: &str) -> io::Result<Ipv4Addr> {
    Ok(Ipv4Addr::from_bits((parse_address(address)?.to_bits() & !15) + 1))
}

fn parse_address(address: &str) -> io::Result<Ipv4Addr> {
    let text = address.split('/').next().unwrap_or_default();
    text.parse().map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn endpoint(address: &str) -> io::Result<SocketAddr> {
    Ok(SocketAddr::new(parse_address(address)?.into(), WIREGUARD_PORTS[1]))
}

/// Gives a node its RLOC and the way to the underlay router.
fn uplink(place: &Place, device: &str, address: &str) -> io::Result<()> {
    place.add_address(device, address)?;
    place.add_default_route(gateway(address)?.into())
}

/// Connects a site with its host; the site's own address ends in 1.
fn lan(site: &Place, host: &Place, addresses: &[IpAddr]) -> io::Result<()> {
    site.make_router()?;
    site.connect("lan", host, "eth0")?;
    let mut families = Vec::new();
    for address in addresses {
        let (router, len) = match address {
            IpAddr::V4(v4) => (IpAddr::V4(Ipv4Addr::from_bits((v4.to_bits() & !255) + 1)), 24),
            IpAddr::V6(v6) => (IpAddr::V6(Ipv6Addr::from_bits((v6.to_bits() >> 64 << 64) + 1)), 64),
        };
        site.add_address("lan", &format!("{router}/{len}"))?;
        host.add_address("eth0", &format!("{address}/{len}"))?;
        if !families.contains(&address.is_ipv4()) {
            families.push(address.is_ipv4());
            host.add_default_route(router)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_eid_prefix_of_the_plan_is_in_the_eid_space() {
        let space = World::eid_space();
        assert_eq!(space.len(), EID_SPACE.len());
        for text in HOME.iter().chain(&OFFICE).chain(&PHONE) {
            let prefix: EidPrefix = text.parse().unwrap();
            assert!(space.iter().any(|whole| whole.covers(&prefix)), "{text}");
        }
    }
}
