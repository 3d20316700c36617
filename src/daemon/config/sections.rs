//! Each section type as a typed value.

use core::net::IpAddr;
use core::time::Duration;
use std::path::{Path, PathBuf};

use control::{EidPrefix, InstanceId, MAX_LANES, PeerKey};
use linux::netlink::TABLE_MAIN;
use log::LevelFilter;

use super::error::Place;
use super::key::PrivateKey;
use super::problem::{OptionProblem, ValueProblem};
use super::reader::{Reader, Report, name_of};
use super::section_name::SectionName;
use super::value;
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
/// Tables that follow the first one: of the resolved EID-prefixes, and one for each lane.
const TABLES: u32 = 1 + MAX_LANES as u32;

/// The roles, or `None` when they are missing or wrong.
pub(super) fn roles(main: &mut Reader<'_>) -> Option<Roles> {
    main.require("role", "`list role 'xtr'` or another role");
    main.section.option("role")?;
    let names = &["xtr", "mobile_node", "map_server"];
    let values = main.list("role", |text| value::choice(text, names));
    let mut has = [None; 3];
    for &(role, line) in &values {
        match has[role] {
            Some(earlier) => main.at(line, "role", ValueProblem::DuplicateItem(earlier)),
            None => has[role] = Some(line),
        }
    }
    let [is_xtr, is_mobile_node, is_map_server] = has.map(|line| line.is_some());
    if is_xtr && is_mobile_node {
        main.about("role", ValueProblem::Roles);
        return None;
    }
    let is_complete = main.section.option("role").map(|option| option.value.texts().len());
    let roles = Roles { is_xtr, is_mobile_node, is_map_server };
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
            let path = main.path("private_key_file")?;
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
    // 24 bits (RFC 8060 section 4.1).
    let instance_id = InstanceId(main.number("instance_id", 0, (1 << 24) - 1).unwrap_or(0));
    let eid_space = eid_space(main, roles, instance_id);
    let run_dir = main.path("run_dir").unwrap_or("/var/run/lispguard".into());
    let control_socket = control_socket(main, &run_dir);
    Config {
        roles,
        private_key,
        ports: ports(main, roles),
        instance_id,
        control_address: main.one("control_address", value::control_address),
        eid_space,
        on_miss: match main.choice("on_miss", &["drop", "native"]) {
            Some(1) => OnMiss::Native,
            _ => OnMiss::Drop,
        },
        record_ttl: record_ttl(main).unwrap_or(Duration::from_secs(3600)),
        routing: routing(main),
        // IPv6 needs 1280.
        mtu: main
            .number_or("mtu", ("auto", 0), 1280, 9000)
            .filter(|mtu| *mtu > 0)
            .map(|mtu| mtu as u16),
        dataplane: match main.choice("dataplane", &["auto", "userspace", "kernel"]) {
            Some(1) => DataPlane::Userspace,
            Some(2) => DataPlane::Kernel,
            _ => DataPlane::Auto,
        },
        limits: limits(main),
        registration_timeout: seconds(main, "registration_timeout", 3, 86_400, 180),
        register_interval: seconds(main, "register_interval", 1, 3600, 60),
        log_level: log_level(main),
        run_dir,
        state_dir: main.path("state_dir").unwrap_or("/etc/lispguard".into()),
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

fn seconds(main: &mut Reader<'_>, name: &str, min: u32, max: u32, default: u32) -> Duration {
    Duration::from_secs(main.number(name, min, max).unwrap_or(default).into())
}

/// Minutes, at most a week.
fn record_ttl(reader: &mut Reader<'_>) -> Option<Duration> {
    let minutes = reader.number("record_ttl", 1, 7 * 24 * 60)?;
    Some(Duration::from_secs(60 * u64::from(minutes)))
}

fn log_level(main: &mut Reader<'_>) -> LevelFilter {
    match main.choice("log_level", &["error", "warn", "info", "debug", "trace"]) {
        Some(0) => LevelFilter::Error,
        Some(1) => LevelFilter::Warn,
        Some(3) => LevelFilter::Debug,
        Some(4) => LevelFilter::Trace,
        _ => LevelFilter::Info,
    }
}

fn eid_space(main: &mut Reader<'_>, roles: Roles, instance_id: InstanceId) -> Vec<EidPrefix> {
    if roles.has_database() {
        main.require("eid_space", "`list eid_space 'ADDRESS/LENGTH'`");
    }
    let prefixes = main.list("eid_space", |text| value::prefix(text, instance_id));
    let mut seen = Seen::default();
    for &(prefix, line) in &prefixes {
        seen.insert(octets_of_prefix(&prefix), main, "eid_space", line);
    }
    prefixes.into_iter().map(|(prefix, _)| prefix).collect()
}

fn ports(main: &mut Reader<'_>, roles: Roles) -> Ports {
    let mut port = |name, default| {
        main.number(name, 1, u16::MAX.into()).map_or(default, |number| number as u16)
    };
    let ports = Ports {
        control: port("control_port", 51821),
        data: port("data_port", 51820),
        lisp: port("lisp_port", control::LISP_PORT),
    };
    if roles.has_database() && ports.control == ports.data {
        main.about("data_port", ValueProblem::SamePort(ports.control));
    }
    ports
}

fn routing(main: &mut Reader<'_>) -> Routing {
    let is_auto = main.choice("rules", &["auto", "none"]) != Some(1);
    // Rules of ours tell the tunnels' packets by their mark.
    let least_mark = u32::from(is_auto);
    let table = main.number_or("table", ("main", TABLE_MAIN), 1, u32::MAX - TABLES).unwrap_or(4342);
    // The tables 253 to 255 are the kernel's `default`, `main` and `local`.
    if table != TABLE_MAIN && table <= 255 && table + TABLES >= 253 {
        main.about("table", ValueProblem::ReservedTable(table));
    }
    Routing {
        fwmark: main.number("fwmark", least_mark, MAX_MARK).unwrap_or(0x4c47),
        table,
        // The kernel's own rules are 0 (local), 32766 (main) and 32767 (default).
        rule_priority: main.number("rule_priority", 1, 32766 - RULES).unwrap_or(5090),
        rules: if is_auto && table != TABLE_MAIN { Rules::Auto } else { Rules::None },
        hashes_ports: main.flag("multipath_l4").unwrap_or(false),
    }
}

fn devices(main: &mut Reader<'_>) -> Devices {
    let mut name =
        |option, default: &str| main.device(option).unwrap_or_else(|| default.to_owned());
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
    // 0 is never. Less than 50 ms of silence is what a path of ordinary length has.
    let silence = main.number_or("silence", ("0", 0), 50, 60_000).unwrap_or(300);
    let hold = main.number("handover_hold", 0, 60_000).unwrap_or(1000);
    let [silence, hold] = [silence, hold].map(|ms| Duration::from_millis(ms.into()));
    Handover { silence, hold }
}

fn ubus_socket(main: &mut Reader<'_>) -> PathBuf {
    let socket = main.path("ubus_socket").unwrap_or("/var/run/ubus/ubus.sock".into());
    check_socket(main, "ubus_socket", &socket);
    socket
}

fn check_socket(main: &mut Reader<'_>, name: &str, socket: &Path) {
    if socket.as_os_str().len() > MAX_SOCKET_PATH {
        main.about(name, ValueProblem::SocketPath);
    }
}

fn limits(main: &mut Reader<'_>) -> Limits {
    let mut size =
        |name, max, default| main.number(name, 1, max).map_or(default, |number| number as usize);
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
    let configured = main.path("control_socket");
    let name = if configured.is_some() { "control_socket" } else { "run_dir" };
    let socket = configured.unwrap_or_else(|| run_dir.join("control.sock"));
    check_socket(main, name, &socket);
    socket
}

/// What the sections after the main one are read with, and what they must not repeat.
#[derive(Default)]
pub(super) struct Others {
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
    rows: Vec<(Octets, SectionName, u32)>,
    /// Places of rows, in the order of their values.
    by_value: Vec<usize>,
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
    /// Where a value stands, or where it belongs in `by_value`.
    fn get(&self, value: &Octets) -> Result<(&SectionName, u32), usize> {
        let found = self.by_value.binary_search_by(|place| self.rows[*place].0.cmp(value));
        let (_, section, line) = &self.rows[self.by_value[found?]];
        Ok((section, *line))
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
            Ok((earlier, _)) if *earlier == section && reader.section.repeated_at.is_some() => {}
            Ok((earlier, at)) if *earlier == section => {
                reader.at(line, option, ValueProblem::DuplicateItem(at));
            }
            Ok((earlier, at)) => {
                reader.at(line, option, ValueProblem::Duplicate(earlier.clone(), at));
            }
            Err(place) => {
                self.by_value.insert(place, self.rows.len());
                self.rows.push((value, section, line));
                return true;
            }
        }
        false
    }
}

impl Others {
    /// `config eid_prefix`
    pub(super) fn eid_prefix(
        &mut self,
        config: &Config,
        reader: &mut Reader<'_>,
    ) -> Option<OwnEidPrefix> {
        let parse =
            if config.roles.is_mobile_node { value::host_prefix } else { value::eid_prefix };
        let remedy = "`option prefix 'ADDRESS/LENGTH'`";
        let prefix = reader.required("prefix", remedy, |text| parse(text, config.instance_id));
        let record_ttl = record_ttl(reader).unwrap_or(config.record_ttl);
        let prefix = prefix?;
        let octets = octets_of_prefix(&prefix);
        self.own_prefixes.insert(octets, reader, "prefix", reader.line("prefix"));
        if self.is_eid_space_known && !config.eid_space.iter().any(|space| space.covers(&prefix)) {
            reader.about("prefix", ValueProblem::OutsideEidSpace(value::as_written(prefix)));
        }
        Some(OwnEidPrefix { name: reader.section.name.clone(), prefix, record_ttl })
    }

    /// `config map_server`
    pub(super) fn map_server(
        &mut self,
        config: &Config,
        reader: &mut Reader<'_>,
    ) -> Option<MapServer> {
        let name = reader.name();
        let public_key = public_key(reader, &mut self.map_server_keys);
        let endpoint = reader.one("endpoint", value::endpoint);
        let has_endpoint = reader.section.option("endpoint").is_some();
        let is_myself = public_key.is_some() && public_key == self.own_key;
        if is_myself && !config.roles.is_map_server {
            reader.about("public_key", ValueProblem::OwnKey);
        } else if is_myself && has_endpoint {
            reader.about("endpoint", OptionProblem::OwnEndpoint);
        } else if !is_myself && !has_endpoint && self.own_key.is_some() {
            reader.about("endpoint", OptionProblem::NoEndpoint);
        }
        let authentication_key = reader.one("authentication_key", value::secret);
        let persistent_keepalive = reader.number("persistent_keepalive", 1, 65_535);
        Some(MapServer {
            name: name?,
            public_key: public_key?,
            endpoint,
            authentication_key,
            persistent_keepalive: persistent_keepalive.map(|s| Duration::from_secs(s.into())),
        })
    }

    /// `config site`
    pub(super) fn site(&mut self, config: &Config, reader: &mut Reader<'_>) -> Option<Site> {
        let name = reader.name();
        let public_key = public_key(reader, &mut self.site_keys);
        reader.require("eid_prefix", "`list eid_prefix 'ADDRESS/LENGTH'`");
        let instance_id = config.instance_id;
        let prefixes = reader.list("eid_prefix", |text| value::eid_prefix(text, instance_id));
        for &(prefix, line) in &prefixes {
            let octets = octets_of_prefix(&prefix);
            if self.site_prefixes.insert(octets, reader, "eid_prefix", line) {
                self.nestable.push(prefix);
            }
        }
        let endpoint = reader.one("endpoint", value::endpoint);
        let authentication_key = reader.one("authentication_key", value::secret);
        let more_specifics = reader.flag("accept_more_specifics");
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
        let place_of = |prefix: &EidPrefix| self.site_prefixes.get(&octets_of_prefix(prefix)).ok();
        for prefix in &self.nestable {
            let Some((section, line)) = place_of(prefix) else { continue };
            let around = |len| EidPrefix::new(prefix.instance_id(), prefix.address(), len);
            let wider = (0..prefix.len()).rev().filter_map(around);
            let other = wider
                .filter_map(|wider| Some((wider, place_of(&wider)?)))
                .find(|(_, (other, _))| *other != section);
            if let Some((wider, (other, at))) = other {
                let place = Place::Option("eid_prefix".into(), section.clone());
                let problem = ValueProblem::InsideOther(wider, other.clone(), at);
                report.add(Some(line), place, problem);
            }
        }
    }

    /// `config uplink`
    pub(super) fn uplink(&mut self, reader: &mut Reader<'_>) -> Option<Uplink> {
        let device = reader.required("device", "`option device 'NAME'`", value::device);
        let mut octet = |name, default| {
            reader.number(name, 0, u8::MAX.into()).map_or(default, |number| number as u8)
        };
        let (priority, weight) = (octet("priority", 1), octet("weight", 100));
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
