//! Each section type as a typed value.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use control::{EidPrefix, InstanceId, MAX_LANES, PeerKey};
use linux::netlink::TABLE_MAIN;
use log::LevelFilter;

use super::error::{Place, SectionName};
use super::key::PrivateKey;
use super::problem::{OptionProblem, ValueProblem};
use super::reader::{Reader, Report, name_of};
use super::value::{self, Role};
use super::{
    Config, DEFAULT_MAX_SITES, DataPlane, Devices, Handover, LARGEST_MAX_SITES, Limits, MapServer,
    OnMiss, OwnEidPrefix, Ports, RULES, Roles, Routing, Rules, Site, Uplink, file,
};

/// A Unix socket's path has room for 107 octets and a NUL.
const MAX_SOCKET_PATH: usize = 107;
/// The kernel's `IFNAMSIZ` without the NUL.
const MAX_DEVICE: usize = 15;
/// Each lane has a mark of its own.
const MAX_MARK: u32 = u32::MAX - MAX_LANES as u32 + 1;

/// The roles, or `None` when they are missing or wrong.
pub(super) fn roles(main: &mut Reader<'_>) -> Option<Roles> {
    if main.section.option("role").is_none() {
        main.about("role", OptionProblem::Missing("`list role 'xtr'` or another role"));
        return None;
    }
    let values = main.list("role", value::role);
    let mut roles = Roles::default();
    for (place, &(role, line)) in values.iter().enumerate() {
        let earlier = values.iter().take(place).find(|(other, _)| *other == role);
        if let Some(&(_, earlier)) = earlier {
            main.at(line, "role", ValueProblem::DuplicateItem(earlier));
        }
        match role {
            Role::Xtr => roles.is_xtr = true,
            Role::MobileNode => roles.is_mobile_node = true,
            Role::MapServer => roles.is_map_server = true,
        }
    }
    if roles.is_xtr && roles.is_mobile_node {
        main.about("role", ValueProblem::Roles);
        return None;
    }
    let is_complete = main.section.option("role").map(|option| option.value.texts().len());
    (is_complete == Some(values.len())).then_some(roles)
}

/// The private key, from the option or from the file it names.
pub(super) fn private_key(main: &mut Reader<'_>) -> Option<PrivateKey> {
    let has = |name| main.section.option(name).is_some();
    match (has("private_key"), has("private_key_file")) {
        (false, false) => {
            main.about("private_key_file", OptionProblem::NoPrivateKey);
            None
        }
        (true, true) => {
            main.about("private_key_file", OptionProblem::TwoPrivateKeys);
            None
        }
        (true, false) => {
            main.one("private_key", |text| PrivateKey::decode(text).map_err(ValueProblem::Key))
        }
        (false, true) => {
            let path = main.one("private_key_file", value::path)?;
            match file::private_key(&path) {
                Ok(key) => Some(key),
                Err(problem) => {
                    main.about("private_key_file", problem);
                    None
                }
            }
        }
    }
}

/// The main section with everything in it but the other sections.
pub(super) fn main(main: &mut Reader<'_>, roles: Roles, private_key: PrivateKey) -> Config {
    let instance_id = main.one("instance_id", value::instance_id).unwrap_or(InstanceId(0));
    let eid_space = eid_space(main, roles, instance_id);
    let run_dir = main.one("run_dir", value::path).unwrap_or("/var/run/lispguard".into());
    let control_socket = control_socket(main, &run_dir);
    let second = Duration::from_secs(1);
    Config {
        roles,
        private_key,
        ports: ports(main, roles),
        instance_id,
        control_address: main.one("control_address", value::control_address),
        eid_space,
        on_miss: main.one("on_miss", value::on_miss).unwrap_or(OnMiss::Drop),
        record_ttl: main.one("record_ttl", value::record_ttl).unwrap_or(3600 * second),
        routing: routing(main),
        mtu: main.one("mtu", value::mtu).flatten(),
        dataplane: main.one("dataplane", value::data_plane).unwrap_or(DataPlane::Auto),
        limits: limits(main),
        registration_timeout: main
            .one("registration_timeout", |text| value::seconds(text, 3, 86_400))
            .unwrap_or(180 * second),
        register_interval: main
            .one("register_interval", |text| value::seconds(text, 1, 3600))
            .unwrap_or(60 * second),
        log_level: main.one("log_level", value::log_level).unwrap_or(LevelFilter::Info),
        run_dir,
        state_dir: main.one("state_dir", value::path).unwrap_or("/etc/lispguard".into()),
        control_socket,
        handover: handover(main),
        ubus_socket: ubus_socket(main),
        devices: devices(main),
        eid_prefixes: Vec::new(),
        map_servers: Vec::new(),
        sites: Vec::new(),
        uplinks: Vec::new(),
    }
}

fn eid_space(main: &mut Reader<'_>, roles: Roles, instance_id: InstanceId) -> Vec<EidPrefix> {
    if roles.has_database() && main.section.option("eid_space").is_none() {
        main.about("eid_space", OptionProblem::Missing("`list eid_space 'ADDRESS/LENGTH'`"));
    }
    let prefixes = main.list("eid_space", |text| value::prefix(text, instance_id));
    let mut seen = Seen::default();
    for &(prefix, line) in &prefixes {
        seen.insert(octets_of_prefix(&prefix), main, "eid_space", line);
    }
    prefixes.into_iter().map(|(prefix, _)| prefix).collect()
}

fn ports(main: &mut Reader<'_>, roles: Roles) -> Ports {
    let ports = Ports {
        control: main.one("control_port", value::port).unwrap_or(51821),
        data: main.one("data_port", value::port).unwrap_or(51820),
        lisp: main.one("lisp_port", value::port).unwrap_or(control::LISP_PORT),
    };
    if roles.has_database() && ports.control == ports.data {
        main.about("data_port", ValueProblem::SamePort(ports.control));
    }
    ports
}

fn routing(main: &mut Reader<'_>) -> Routing {
    let rules = main.one("rules", value::rules).unwrap_or(Rules::Auto);
    // Rules of ours tell the tunnels' packets by their mark.
    let least_mark = u32::from(rules == Rules::Auto);
    let table = main.one("table", value::table).unwrap_or(4342);
    Routing {
        fwmark: main
            .one("fwmark", |text| value::number(text, least_mark, MAX_MARK))
            .unwrap_or(0x4c47),
        table,
        // The kernel's own rules are 0 (local), 32766 (main) and 32767 (default).
        rule_priority: main
            .one("rule_priority", |text| value::number(text, 1, 32766 - RULES))
            .unwrap_or(5090),
        rules: if table == TABLE_MAIN { Rules::None } else { rules },
        hashes_ports: main.one("multipath_l4", value::flag).unwrap_or(false),
    }
}

fn devices(main: &mut Reader<'_>) -> Devices {
    let mut name = |option, default: &str| {
        main.one(option, value::device).unwrap_or_else(|| default.to_owned())
    };
    let devices = Devices {
        data: name("data_device", "lg-data0"),
        control: name("control_device", "lg-ctl"),
        miss: name("miss_device", "lg-miss"),
    };
    let data: Vec<String> = (0..MAX_LANES as u8).map(|lane| devices.lane(lane)).collect();
    if devices.control == devices.miss || data.contains(&devices.control) {
        main.about("control_device", ValueProblem::SameDevice);
    }
    if data.contains(&devices.miss) {
        main.about("miss_device", ValueProblem::SameDevice);
    }
    if data.iter().any(|name| name.len() > MAX_DEVICE) {
        main.about("data_device", ValueProblem::Device);
    }
    devices
}

fn handover(main: &mut Reader<'_>) -> Handover {
    let hold = main.one("handover_hold", |text| value::milliseconds(text, 0, 60_000));
    Handover {
        silence: main.one("silence", value::silence).unwrap_or(Duration::from_millis(300)),
        hold: hold.unwrap_or(Duration::from_secs(1)),
    }
}

fn ubus_socket(main: &mut Reader<'_>) -> PathBuf {
    let socket = main.one("ubus_socket", value::path);
    let socket = socket.unwrap_or("/var/run/ubus/ubus.sock".into());
    if socket.as_os_str().len() > MAX_SOCKET_PATH {
        main.about("ubus_socket", ValueProblem::SocketPath);
    }
    socket
}

fn limits(main: &mut Reader<'_>) -> Limits {
    let mut size =
        |name, max, default| main.one(name, |text| value::size(text, max)).unwrap_or(default);
    let limits = Limits {
        map_cache_size: size("map_cache_size", 1 << 16, 1024),
        waiting_per_eid: size("waiting_per_eid", 1024, 16),
        waiting_total: size("waiting_total", 1 << 16, 256),
        max_sites: size("max_sites", LARGEST_MAX_SITES, DEFAULT_MAX_SITES),
    };
    if limits.waiting_total < limits.waiting_per_eid {
        main.about("waiting_total", ValueProblem::LessThan("waiting_per_eid"));
    }
    limits
}

fn control_socket(main: &mut Reader<'_>, run_dir: &Path) -> PathBuf {
    let configured = main.one("control_socket", value::path);
    let name = if configured.is_some() { "control_socket" } else { "run_dir" };
    let socket = configured.unwrap_or_else(|| run_dir.join("control.sock"));
    if socket.as_os_str().len() > MAX_SOCKET_PATH {
        main.about(name, ValueProblem::SocketPath);
    }
    socket
}

/// What the sections after the main one are read with, and what they must not repeat.
pub(super) struct Others<'a> {
    /// The main section.
    pub(super) config: &'a Config,
    /// Our public control key, unless the private one is wrong.
    pub(super) own_key: Option<PeerKey>,
    /// Whether all of the EID-space could be read.
    pub(super) is_eid_space_known: bool,
    /// Own EID-prefixes.
    pub(super) own_prefixes: Seen,
    /// Public keys of Map-Servers.
    pub(super) map_server_keys: Seen,
    /// Public keys of sites.
    pub(super) site_keys: Seen,
    /// EID-prefixes of sites.
    pub(super) site_prefixes: Seen,
    /// Each of them once.
    pub(super) nestable: Vec<EidPrefix>,
    /// Devices of uplinks.
    pub(super) devices: Seen,
}

/// What a value is told from others of its kind by: one form for all kinds, so that there is one
/// table in the program.
type Octets = [u8; 32];

/// Values of one kind, and where they stand.
#[derive(Default)]
pub(super) struct Seen {
    /// Places in the list.
    by_value: BTreeMap<Octets, u32>,
    rows: Vec<(SectionName, u32)>,
}

fn octets_of_prefix(prefix: &EidPrefix) -> Octets {
    let mut octets = [0; 32];
    octets[..4].copy_from_slice(&prefix.instance_id().0.to_be_bytes());
    octets[4] = prefix.len();
    octets[5] = u8::from(prefix.address().is_ipv6());
    match prefix.address() {
        IpAddr::V4(address) => octets[6..10].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => octets[6..22].copy_from_slice(&address.octets()),
    }
    octets
}

/// A device's name has at most 15 octets.
fn octets_of_device(name: &str) -> Octets {
    let mut octets = [0; 32];
    octets.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    octets
}

impl Seen {
    fn get(&self, value: &Octets) -> Option<&(SectionName, u32)> {
        self.by_value.get(value).map(|place| &self.rows[*place as usize])
    }

    /// Reports a value of an option that was there before; whether it is a new one.
    pub(super) fn insert(
        &mut self,
        value: Octets,
        reader: &mut Reader<'_>,
        option: &str,
        line: u32,
    ) -> bool {
        let section = name_of(reader.section);
        match self.get(&value) {
            // Of sections that were joined this is said already.
            Some((earlier, _)) if *earlier == section && reader.section.repeated_at.is_some() => {}
            Some((earlier, at)) if *earlier == section => {
                reader.at(line, option, ValueProblem::DuplicateItem(*at));
            }
            Some((earlier, at)) => {
                reader.at(line, option, ValueProblem::Duplicate(earlier.clone(), *at));
            }
            None => {
                self.by_value.insert(value, self.rows.len() as u32);
                self.rows.push((section, line));
                return true;
            }
        }
        false
    }
}

impl Others<'_> {
    /// `config eid_prefix`
    pub(super) fn eid_prefix(&mut self, reader: &mut Reader<'_>) -> Option<OwnEidPrefix> {
        let config = self.config;
        let parse =
            if config.roles.is_mobile_node { value::host_prefix } else { value::eid_prefix };
        let remedy = "`option prefix 'ADDRESS/LENGTH'`";
        let prefix = reader.required("prefix", remedy, |text| parse(text, config.instance_id));
        let record_ttl = reader.one("record_ttl", value::record_ttl).unwrap_or(config.record_ttl);
        let prefix = prefix?;
        let octets = octets_of_prefix(&prefix);
        self.own_prefixes.insert(octets, reader, "prefix", reader.line("prefix"));
        if self.is_eid_space_known && !config.eid_space.iter().any(|space| space.covers(&prefix)) {
            reader.about("prefix", ValueProblem::OutsideEidSpace(value::as_written(prefix)));
        }
        Some(OwnEidPrefix { name: reader.section.name.clone(), prefix, record_ttl })
    }

    /// `config map_server`
    pub(super) fn map_server(&mut self, reader: &mut Reader<'_>) -> Option<MapServer> {
        let name = reader.name();
        let public_key = public_key(reader, &mut self.map_server_keys);
        let endpoint = reader.one("endpoint", value::endpoint);
        let has_endpoint = reader.section.option("endpoint").is_some();
        let is_myself = public_key.is_some() && public_key == self.own_key;
        if is_myself && !self.config.roles.is_map_server {
            reader.about("public_key", ValueProblem::OwnKey);
        } else if is_myself && has_endpoint {
            reader.about("endpoint", OptionProblem::OwnEndpoint);
        } else if !is_myself && !has_endpoint && self.own_key.is_some() {
            reader.about("endpoint", OptionProblem::NoEndpoint);
        }
        let authentication_key = reader.one("authentication_key", value::secret);
        let persistent_keepalive =
            reader.one("persistent_keepalive", |text| value::seconds(text, 1, 65_535));
        Some(MapServer {
            name: name?,
            public_key: public_key?,
            endpoint,
            authentication_key,
            persistent_keepalive,
        })
    }

    /// `config site`
    pub(super) fn site(&mut self, reader: &mut Reader<'_>) -> Option<Site> {
        let name = reader.name();
        let public_key = public_key(reader, &mut self.site_keys);
        if reader.section.option("eid_prefix").is_none() {
            let remedy = OptionProblem::Missing("`list eid_prefix 'ADDRESS/LENGTH'`");
            reader.about("eid_prefix", remedy);
        }
        let instance_id = self.config.instance_id;
        let prefixes = reader.list("eid_prefix", |text| value::eid_prefix(text, instance_id));
        for &(prefix, line) in &prefixes {
            let octets = octets_of_prefix(&prefix);
            if self.site_prefixes.insert(octets, reader, "eid_prefix", line) {
                self.nestable.push(prefix);
            }
        }
        let endpoint = reader.one("endpoint", value::endpoint);
        let authentication_key = reader.one("authentication_key", value::secret);
        let more_specifics = reader.one("accept_more_specifics", value::flag);
        Some(Site {
            name: name?,
            public_key: public_key?,
            eid_prefixes: prefixes.into_iter().map(|(prefix, _)| prefix).collect(),
            endpoint,
            authentication_key,
            accepts_more_specifics: more_specifics.unwrap_or(true),
        })
    }

    /// Refuses prefixes of different sites that contain one another: a map-cache that holds the
    /// wider one never asks for the other.
    pub(super) fn report_nested(&self, report: &mut Report) {
        let place_of = |prefix: &EidPrefix| self.site_prefixes.get(&octets_of_prefix(prefix));
        for prefix in &self.nestable {
            let Some((section, line)) = place_of(prefix) else { continue };
            let around = |len| EidPrefix::new(prefix.instance_id(), prefix.address(), len);
            let wider = (0..prefix.len()).rev().filter_map(around);
            let other = wider
                .filter_map(|wider| Some((wider, place_of(&wider)?)))
                .find(|(_, (other, _))| other != section);
            if let Some((wider, (other, at))) = other {
                let place = Place::Option("eid_prefix".into(), section.clone());
                let problem = ValueProblem::InsideOther(wider, other.clone(), *at);
                report.add(Some(*line), place, problem);
            }
        }
    }

    /// `config uplink`
    pub(super) fn uplink(&mut self, reader: &mut Reader<'_>) -> Option<Uplink> {
        let device = reader.required("device", "`option device 'NAME'`", value::device);
        let priority = reader.one("priority", value::octet).unwrap_or(1);
        let weight = reader.one("weight", value::octet).unwrap_or(100);
        let device = device?;
        let octets = octets_of_device(&device);
        self.devices.insert(octets, reader, "device", reader.line("device"));
        let name = reader.section.name.clone().unwrap_or_else(|| device.clone());
        Some(Uplink { name, device, priority, weight })
    }
}

fn public_key(reader: &mut Reader<'_>, seen: &mut Seen) -> Option<PeerKey> {
    let remedy = "`option public_key 'KEY'` as `lispguard pubkey` prints it there";
    let key = reader.required("public_key", remedy, value::public_key)?;
    seen.insert(key.0, reader, "public_key", reader.line("public_key"));
    Some(key)
}
