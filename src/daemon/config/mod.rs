//! The configuration: UCI text in, typed and checked values or every error out.

mod endpoint;
mod error;
mod file;
pub mod key;
mod load;
mod problem;
mod reader;
mod schema;
mod section_name;
mod sections;
#[cfg(test)]
mod tests;
mod value;

use core::net::Ipv6Addr;
use core::time::Duration;
use std::path::PathBuf;

use control::{EidPrefix, InstanceId, PeerKey};
use linux::netlink::TABLE_MAIN;
use log::LevelFilter;

pub use endpoint::{Endpoint, EndpointError, Host};
pub use error::{ConfigError, ConfigErrors, MAX_ERRORS, Place, Problem};
pub use key::{PrivateKey, Secret};
pub use problem::{FileProblem, OptionProblem, SectionProblem, ValueProblem};
pub use schema::User;
pub use section_name::SectionName;

/// Where the configuration is when the command line names no file.
pub const DEFAULT_FILE: &str = "/etc/config/lispguard";

/// A checked configuration; `uci/README.md` describes every option.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// What this node is.
    pub roles: Roles,
    /// The node's control key.
    pub private_key: PrivateKey,
    /// UDP ports.
    pub ports: Ports,
    /// The VPN that every EID-prefix of this file belongs to.
    pub instance_id: InstanceId,
    /// Replaces the control address that is derived from the control key; inside `fd00::/8`.
    pub control_address: Option<Ipv6Addr>,
    /// What goes into the overlay; not empty for an xTR or mobile node.
    pub eid_space: Vec<EidPrefix>,
    /// What happens to packets for an EID that nobody registered.
    pub on_miss: OnMiss,
    /// How long others may keep our mappings, unless an EID-prefix says otherwise.
    pub record_ttl: Duration,
    /// How packets get into the overlay.
    pub routing: Routing,
    /// MTU of the overlay in octets; `None` derives it from the uplinks.
    pub mtu: Option<u16>,
    /// Which WireGuard forwards.
    pub dataplane: DataPlane,
    /// Table sizes.
    pub limits: Limits,
    /// Map-Server: a registration ends this long after its last refresh.
    pub registration_timeout: Duration,
    /// How often an xTR refreshes its registration.
    pub register_interval: Duration,
    /// The least severe message that is logged.
    pub log_level: LevelFilter,
    /// Where sockets and files of this run are.
    pub run_dir: PathBuf,
    /// Where files that survive a reboot are (the boot counter).
    pub state_dir: PathBuf,
    /// The Unix socket that `lispguard status` asks.
    pub control_socket: PathBuf,
    /// When a change of uplink is made.
    pub handover: Handover,
    /// The Unix socket of ubusd, through which netifd tells of interfaces.
    pub ubus_socket: PathBuf,
    /// Names of the interfaces that lispguard makes.
    pub devices: Devices,
    /// Our EID-prefixes, at most [`MAX_EID_PREFIXES`]; not empty for an xTR or mobile node.
    pub eid_prefixes: Vec<OwnEidPrefix>,
    /// Map-Servers in order of preference, at most [`MAX_MAP_SERVERS`]; not empty for an xTR or
    /// mobile node.
    pub map_servers: Vec<MapServer>,
    /// Sites that may register with this Map-Server.
    pub sites: Vec<Site>,
    /// Devices that RLOCs are taken from, at most [`MAX_UPLINKS`]; when empty, the devices of
    /// the default routes.
    pub uplinks: Vec<Uplink>,
}

impl Config {
    /// Our EID-prefixes.
    pub fn database(&self) -> Vec<EidPrefix> {
        self.eid_prefixes.iter().map(|own| own.prefix).collect()
    }
}

/// EID-prefixes in a node's database.
pub const MAX_EID_PREFIXES: usize = 32;
/// Map-Servers of a node.
pub const MAX_MAP_SERVERS: usize = 8;
/// Uplinks of a node.
pub const MAX_UPLINKS: usize = 8;

/// What a node is: at least one of the three, never xTR and mobile node at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Roles {
    /// `xtr`: a router for the EID-prefixes of its LAN.
    pub is_xtr: bool,
    /// `mobile_node`: a host that carries its EIDs itself.
    pub is_mobile_node: bool,
    /// `map_server`: Map-Server and Map-Resolver.
    pub is_map_server: bool,
}

impl Roles {
    /// Whether it has EID-prefixes of its own, as xTR or as mobile node.
    pub const fn has_database(self) -> bool {
        self.is_xtr || self.is_mobile_node
    }
}

/// UDP ports; none is 0, control and data differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ports {
    /// WireGuard of the control tunnels.
    pub control: u16,
    /// WireGuard of the data tunnels.
    pub data: u16,
    /// LISP inside the tunnels.
    pub lisp: u16,
}

impl Ports {
    /// WireGuard of a lane's data tunnels: the one after the data port is left to control.
    pub const fn lane(&self, lane: u8) -> u16 {
        match lane {
            0 => self.data,
            _ => self.data.saturating_add(1 + lane as u16),
        }
    }
}

/// What happens to packets for an EID that nobody registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnMiss {
    /// Dropped with an ICMP unreachable.
    Drop,
    /// Sent outside the overlay, by the routing table.
    Native,
}

/// How packets get into the overlay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Routing {
    /// Mark on the tunnels' own packets, which keeps them out of the overlay; never 0. Lane k
    /// adds k.
    pub fwmark: u32,
    /// The routing table that leads the EID-space into the overlay; the main table needs no rules.
    pub table: u32,
    /// Priority of the first of [`RULES`] rules, from 1.
    pub rule_priority: u32,
    /// Who installs the rules.
    pub rules: Rules,
    /// Whether the kernel may be set to choose among lanes by ports too, for all its routes.
    pub hashes_ports: bool,
}

/// Sites of a Map-Server, where `max_sites` does not say it, and the most it may say.
#[cfg(feature = "full")]
pub(crate) const DEFAULT_MAX_SITES: usize = 1000;
#[cfg(feature = "full")]
pub(crate) const LARGEST_MAX_SITES: u32 = 2000;
/// In a home one of the routers is the Map-Server.
#[cfg(not(feature = "full"))]
pub(crate) const DEFAULT_MAX_SITES: usize = 64;
#[cfg(not(feature = "full"))]
pub(crate) const LARGEST_MAX_SITES: u32 = 64;

/// Priorities that the rules take, from `rule_priority` on.
pub const RULES: u32 = 7;

impl Routing {
    /// Whether all routes are in the main table, and no rules lead to tables of our own.
    pub const fn is_main(&self) -> bool {
        self.table == TABLE_MAIN
    }

    /// The table of the EID-prefixes whose tunnels stand: kernel WireGuard forwards by it.
    pub const fn resolved_table(&self) -> u32 {
        if self.is_main() { self.table } else { self.table + 1 }
    }

    /// The table with a lane's way out.
    pub const fn lane_table(&self, lane: u8) -> u32 {
        self.table + 2 + lane as u32
    }

    /// The mark of a lane's own packets; 0 where none are marked.
    pub const fn lane_mark(&self, lane: u8) -> u32 {
        if self.fwmark == 0 { 0 } else { self.fwmark + lane as u32 }
    }
}

/// Names of the interfaces that lispguard makes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Devices {
    /// The data interface; a TUN, or WireGuard of lane 0.
    pub data: String,
    /// Kernel WireGuard of the control tunnels.
    pub control: String,
    /// The TUN that takes what kernel WireGuard has no tunnel for.
    pub miss: String,
}

impl Devices {
    /// The data interface of a lane: the name of lane 0's with another number at its end.
    pub fn lane(&self, lane: u8) -> String {
        match lane {
            0 => self.data.clone(),
            _ => format!("{}{lane}", self.data.trim_end_matches(|one: char| one.is_ascii_digit())),
        }
    }
}

/// Who installs the routing rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rules {
    /// lispguard does, and removes them when it ends.
    Auto,
    /// Somebody else.
    None,
}

/// Which WireGuard forwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataPlane {
    /// The kernel's where this build and the machine have it, else user space.
    Auto,
    /// WireGuard in this process.
    Userspace,
    /// The kernel's WireGuard.
    Kernel,
}

/// Sizes of tables; memory is taken from them at start-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Mappings in the map-cache.
    pub map_cache_size: usize,
    /// Packets that wait for one EID.
    pub waiting_per_eid: usize,
    /// Packets that wait in all.
    pub waiting_total: usize,
    /// Sites of a Map-Server.
    pub max_sites: usize,
}

/// `config eid_prefix`: an EID-prefix of our own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnEidPrefix {
    /// The section's name, if it has one.
    pub name: Option<String>,
    /// The prefix; a single address for a mobile node.
    pub prefix: EidPrefix,
    /// How long others may keep its mapping.
    pub record_ttl: Duration,
}

/// `config map_server`: a Map-Server that we register with.
#[derive(Clone, PartialEq, Debug)]
pub struct MapServer {
    /// The section's name.
    pub name: String,
    /// Its public control key.
    pub public_key: PeerKey,
    /// Where its control WireGuard listens; `None` when it is this node itself.
    pub endpoint: Option<Endpoint>,
    /// Authenticates Map-Register; `None` derives the key from the control keys.
    pub authentication_key: Option<Secret>,
    /// WireGuard's persistent keepalive; `None` leaves it to NAT detection.
    pub persistent_keepalive: Option<Duration>,
}

impl MapServer {
    /// Whether this node is its own Map-Server.
    pub const fn is_myself(&self) -> bool {
        self.endpoint.is_none()
    }
}

/// `config site`: a LISP site that may register here.
#[derive(Clone, PartialEq, Debug)]
pub struct Site {
    /// The section's name.
    pub name: String,
    /// The site's public control key.
    pub public_key: PeerKey,
    /// What it may claim; never empty.
    pub eid_prefixes: Vec<EidPrefix>,
    /// Where its control WireGuard listens; `None` learns it from its handshake.
    pub endpoint: Option<Endpoint>,
    /// Authenticates Map-Register; `None` derives the key from the control keys.
    pub authentication_key: Option<Secret>,
    /// Whether it may claim more specific prefixes too.
    pub accepts_more_specifics: bool,
}

/// When a change of uplink is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handover {
    /// What was sent to a peer goes unanswered for so long before it is probed; zero never probes.
    pub silence: Duration,
    /// How long a better uplink is there before it is used, while another one is.
    pub hold: Duration,
}

/// `config uplink`: a device whose addresses are RLOCs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uplink {
    /// The section's name, or the device's.
    pub name: String,
    /// The network device, or the logical interface of netifd.
    pub device: String,
    /// Lower is preferred; 255 means "do not use".
    pub priority: u8,
    /// Share among uplinks of equal priority.
    pub weight: u8,
}
