//! Start-up: from a configuration file to a running router, or one clear error.

use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use control::PeerKey;
use dataplane::userspace::{DataConfig, Userspace, UserspaceConfig, UserspaceError};
use dataplane::{EngineConfig, Interface};
use linux::signals::{Signal, Signals};

use crate::commands;
use crate::config::{Config, MAX_EID_PREFIXES, MAX_MAP_SERVERS};
use crate::control_socket::ControlSocket;
use crate::leftovers::OverlayError;
use crate::links::Links;
use crate::logging;
use crate::overlay::Overlay;
use crate::router::{Parts, Router};
use crate::state;
use crate::wiring::{self, Start};

/// Octets that WireGuard over UDP and IPv6 adds to a packet.
const TUNNEL_OVERHEAD: u32 = 80;
/// Where no uplink is there yet: Ethernet's.
const DEFAULT_UPLINK_MTU: u32 = 1500;
/// IPv6 works on no smaller link (RFC 8200 section 5); a larger one than jumbo frames is a local
/// device whose packets no path carries.
const OVERLAY_MTU: std::ops::RangeInclusive<u32> = 1280..=9000;
/// Places for new peers while those they replace are being removed.
const SPARE_PEERS: usize = 32;

/// Why the router did not start.
#[derive(Debug)]
enum StartError {
    /// The kernel refused something that every start needs.
    System(&'static str, io::Error),
    /// The run directory cannot be made.
    RunDirectory(PathBuf, io::Error),
    /// Another file stands where the control socket belongs.
    SocketIsFile(PathBuf),
    /// The control socket cannot be made.
    Socket(PathBuf, io::Error),
    /// The data plane did not start.
    DataPlane(UserspaceError),
    /// Addresses, routes or rules were refused.
    Overlay(OverlayError),
}

/// Runs the router that `path` describes until a signal ends it.
pub fn run(path: &Path) -> ExitCode {
    let config = match commands::load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    logging::start(config.log_level);
    match start(path, config) {
        Ok(mut router) => match router.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::error!("waiting for events: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("lispguard: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(path: &Path, config: Config) -> Result<Router, StartError> {
    let system = |what| move |error| StartError::System(what, error);
    if let Err(error) = linux::process::deny_core_dumps() {
        log::warn!("core dumps stay possible: {error}");
    }
    let signals = Signals::block(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM])
        .map_err(system("signals"))?;
    std::fs::create_dir_all(&config.run_dir)
        .map_err(|error| StartError::RunDirectory(config.run_dir.clone(), error))?;
    let socket = ControlSocket::bind(&config.control_socket)
        .map_err(|error| socket_error(&config.control_socket, error))?;
    let seed = linux::random::array().map_err(system("random numbers"))?;
    let plane = data_plane(&config).map_err(StartError::DataPlane)?;
    let data_key = plane.engine().public_key(Interface::Data);
    let start = Start { boot_counter: boot_counter(&config), seed, data_key };
    let overlay = match plane.tun_index() {
        Some(device) => Some(Overlay::new(&config, device).map_err(StartError::Overlay)?),
        None => None,
    };
    report_start(&config, start.data_key);
    let parts = Parts { path: path.to_path_buf(), config, start, plane, overlay, signals, socket };
    Router::new(parts).map_err(system("netlink"))
}

fn socket_error(path: &Path, error: io::Error) -> StartError {
    let is_other = |file: std::fs::Metadata| !file.file_type().is_socket();
    match error.kind() {
        io::ErrorKind::AddrInUse if std::fs::symlink_metadata(path).is_ok_and(is_other) => {
            StartError::SocketIsFile(path.to_owned())
        }
        _ => StartError::Socket(path.to_owned(), error),
    }
}

fn boot_counter(config: &Config) -> u32 {
    state::next_boot_counter(&config.state_dir).unwrap_or_else(|(counter, error)| {
        log::warn!(
            "{}: {error}: the boot counter is not kept, the clock takes its place",
            config.state_dir.display()
        );
        counter
    })
}

fn data_plane(config: &Config) -> Result<Userspace, UserspaceError> {
    let data = config.roles.has_database().then(|| DataConfig {
        port: config.ports.data,
        tun_name: config.data_device.clone(),
        database: config.eid_prefixes.iter().map(|own| own.prefix).collect(),
    });
    let control_peers = match config.roles.is_map_server {
        true => config.limits.max_sites + MAX_MAP_SERVERS,
        false => MAX_MAP_SERVERS,
    };
    let seed = linux::random::array().map_err(UserspaceError::Random)?;
    let mtu = config.mtu.unwrap_or_else(|| overlay_mtu(config));
    Userspace::new(UserspaceConfig {
        control_private_key: config.private_key.secret().clone(),
        control_port: config.ports.control,
        control_address: config.control_address,
        data,
        fwmark: config.routing.fwmark,
        engine: EngineConfig {
            mtu,
            control_peers,
            data_peers: wiring::MAX_PEERS + SPARE_PEERS,
            routes: config.limits.map_cache_size,
            database: MAX_EID_PREFIXES,
            waiting: config.limits.waiting_total,
            waiting_per_eid: config.limits.waiting_per_eid,
            instance_id: config.instance_id,
            lisp_port: config.ports.lisp,
            seed: u64::from_ne_bytes(seed),
            ..EngineConfig::default()
        },
    })
}

/// What the smallest uplink leaves for a packet inside a tunnel.
fn overlay_mtu(config: &Config) -> u16 {
    let uplink = Links::new(wiring::link_policy(config)).ok().and_then(|mut links| {
        links.refresh().ok()?;
        links.mtu()
    });
    let mtu = uplink.unwrap_or(DEFAULT_UPLINK_MTU).saturating_sub(TUNNEL_OVERHEAD);
    mtu.clamp(*OVERLAY_MTU.start(), *OVERLAY_MTU.end()) as u16
}

fn report_start(config: &Config, data_key: PeerKey) {
    log::info!("control key {}", config.private_key.public_key());
    if config.roles.has_database() {
        log::info!("data key {data_key}, {} in user space", config.data_device);
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::System(what, error) => write!(f, "{what}: {error}"),
            StartError::RunDirectory(path, error) => {
                write!(
                    f,
                    "{}: {error}; set option run_dir to a directory that can be written",
                    path.display()
                )
            }
            StartError::SocketIsFile(path) => write!(
                f,
                "{}: there is a file that is no socket; remove it, or set option control_socket",
                path.display()
            ),
            StartError::Socket(path, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "{}: another lispguard serves this socket; stop it, or set option run_dir",
                path.display()
            ),
            StartError::Socket(path, error) => write!(
                f,
                "{}: {error}; set option run_dir to a directory that can be written",
                path.display()
            ),
            StartError::DataPlane(UserspaceError::Mark(error))
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                f.write_str("not permitted to mark packets; run as root, or with CAP_NET_ADMIN")
            }
            StartError::DataPlane(error) => error.fmt(f),
            StartError::Overlay(error) => error.fmt(f),
        }
    }
}
