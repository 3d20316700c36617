//! Start-up: from a configuration file to a running router, or one clear error.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dataplane::kernel::{Kernel, KernelConfig, KernelDataConfig, KernelError, LaneConfig};
#[cfg(feature = "full")]
use dataplane::userspace::{DataConfig, Userspace, UserspaceConfig, UserspaceError};
use dataplane::{Backend, EngineConfig, Interface};
use linux::netlink::InterfaceName;
use linux::signals::{Signal, Signals};

use crate::config::{Config, DataPlane, MAX_EID_PREFIXES, MAX_MAP_SERVERS};
use crate::control_socket::ControlSocket;
use crate::leftovers::OverlayError;
use crate::links::Links;
use crate::overlay::{Devices, Overlay};
use crate::router::{Parts, Router};
use crate::wiring::{self, Start};
use crate::{commands, down, logging, preflight, state};

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
    /// WireGuard in user space did not start.
    #[cfg(feature = "full")]
    Userspace(UserspaceError),
    /// This build has none.
    #[cfg(not(feature = "full"))]
    NoUserspace,
    /// Kernel WireGuard did not start.
    Kernel(KernelError),
    /// Addresses, routes or rules were refused.
    Overlay(OverlayError),
}

/// Runs the router that `path` describes until a signal ends it, as `user` where root starts it
/// for one. Errors call the file `name`.
pub fn run(path: &Path, name: &str, user: Option<String>) -> ExitCode {
    if let Some(user) = user
        && let Err(error) = become_user(&user)
    {
        return commands::fail(1, &format_args!("cannot go on as user {user}: {error}"));
    }
    let config = match commands::load(path, name) {
        Ok(config) => config,
        Err(code) => return code,
    };
    logging::start(config.log_level);
    match start((path, name), config) {
        Ok(mut router) => match router.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::error!("waiting for events: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => commands::fail(1, &error),
    }
}

fn become_user(user: &str) -> io::Result<()> {
    linux::process::become_user(&CString::new(user)?)
}

fn start((path, name): (&Path, &str), config: Config) -> Result<Router, StartError> {
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
    let plane = data_plane(&config)?;
    let start =
        Start { boot_counter: boot_counter(&config), seed, data_keys: wiring::data_keys(&plane) };
    if plane.as_kernel().is_some()
        && let Err(error) = down::remove_lanes_from(start.data_keys.len(), &config.devices)
    {
        log::warn!("{error}");
    }
    let is_new = plane.as_kernel().is_some_and(|kernel| kernel.adopted().next().is_none());
    let (devices, routing) = (config.devices.clone(), config.routing);
    // A start that failed leaves no interface of its own; what an earlier run left forwards on.
    let undo = || {
        if is_new && let Err(error) = down::remove_devices(&devices, &routing) {
            log::warn!("{error}");
        }
    };
    let overlay = overlay(&config, &plane).inspect_err(|_| undo())?;
    report_start(&config, &plane);
    let file = (path.to_path_buf(), name.to_owned());
    let parts = Parts { file, config, start, plane, overlay, signals, socket };
    Router::new(parts).map_err(|error| {
        undo();
        StartError::System("descriptors", error)
    })
}

fn overlay(config: &Config, plane: &Backend) -> Result<Option<Overlay>, StartError> {
    let (Some(routes), Some(addresses)) = (plane.overlay_index(), plane.data_index()) else {
        return Ok(None);
    };
    let devices = Devices {
        routes,
        addresses,
        link_address: plane.address(Interface::Data),
        has_resolved_table: plane.as_kernel().is_some(),
    };
    Overlay::new(config, devices).map(Some).map_err(StartError::Overlay)
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

/// The data plane that is asked for, or the kernel's where it has one.
fn data_plane(config: &Config) -> Result<Backend, StartError> {
    let engine = engine_config(config)?;
    let is_kernel = match config.dataplane {
        DataPlane::Kernel => true,
        DataPlane::Userspace => false,
        DataPlane::Auto => Kernel::is_available(),
    };
    let is_served = down::is_served(config)
        .map_err(|error| StartError::System("netlink", io::Error::other(error)))?;
    if is_kernel && is_served {
        let device = InterfaceName::truncated(&config.devices.control);
        return Err(StartError::Kernel(KernelError::IsRunning(device)));
    }
    if is_kernel {
        return Kernel::new(kernel_config(config, engine))
            .map(Backend::Kernel)
            .map_err(StartError::Kernel);
    }
    userspace(config, engine, is_served)
}

#[cfg(feature = "full")]
fn userspace(
    config: &Config,
    engine: EngineConfig,
    is_served: bool,
) -> Result<Backend, StartError> {
    // An earlier run may have used the kernel's; one that goes on keeps them.
    if !is_served {
        down::remove_devices(&config.devices, &config.routing).map_err(StartError::Kernel)?;
    }
    let data = config.roles.has_database().then(|| DataConfig {
        port: config.ports.data,
        tun_name: config.devices.data.clone(),
        database: config.database(),
    });
    Userspace::new(UserspaceConfig {
        control_private_key: config.private_key.secret().clone(),
        control_port: config.ports.control,
        control_address: config.control_address,
        data,
        fwmark: config.routing.fwmark,
        engine,
    })
    .map(Backend::Userspace)
    .map_err(StartError::Userspace)
}

#[cfg(not(feature = "full"))]
fn userspace(_: &Config, _: EngineConfig, _: bool) -> Result<Backend, StartError> {
    Err(StartError::NoUserspace)
}

fn kernel_config(config: &Config, engine: EngineConfig) -> KernelConfig {
    let lane = |lane: u8| LaneConfig {
        device: config.devices.lane(lane),
        port: config.ports.lane(lane),
        fwmark: config.routing.lane_mark(lane),
    };
    let lanes = control::mobile_node::lanes::of(config.uplinks.iter().map(|one| one.priority))
        .len()
        .max(1) as u8;
    KernelConfig {
        control_private_key: config.private_key.secret().clone(),
        control_port: config.ports.control,
        control_device: config.devices.control.clone(),
        control_address: config.control_address,
        data: config.roles.has_database().then(|| KernelDataConfig {
            lanes: (0..lanes).map(lane).collect(),
            miss_device: config.devices.miss.clone(),
            resolved_table: config.routing.resolved_table(),
            database: config.database(),
            rotate_keys: false,
        }),
        fwmark: config.routing.fwmark,
        engine,
    }
}

fn engine_config(config: &Config) -> Result<EngineConfig, StartError> {
    let control_peers = match config.roles.is_map_server {
        true => config.limits.max_sites + MAX_MAP_SERVERS,
        false => MAX_MAP_SERVERS,
    };
    let seed =
        linux::random::array().map_err(|error| StartError::System("random numbers", error))?;
    let mtu = match Links::new(wiring::link_policy(config)) {
        Ok(mut links) => {
            // Without a picture the MTU is Ethernet's, until the links are looked at again.
            let _ = links.refresh();
            wiring::overlay_mtu(config, &links)
        }
        Err(error) => return Err(StartError::System("netlink", error.into())),
    };
    Ok(EngineConfig {
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
        silence: config.handover.silence,
        ..EngineConfig::default()
    })
}

fn report_start(config: &Config, plane: &Backend) {
    log::info!("control key {}", config.private_key.public_key());
    let place = match (plane.as_kernel(), config.dataplane) {
        (Some(_), _) => "in the kernel",
        (None, DataPlane::Auto) => "in user space, as this kernel has no WireGuard",
        (None, _) => "in user space",
    };
    for (lane, key, _) in plane.data_keys() {
        log::info!("data key {key}, {} {place}", config.devices.lane(lane));
    }
    for problem in preflight::problems(config, plane) {
        log::warn!("{problem}");
    }
    if plane.data_keys().count() > 1 && config.routing.hashes_ports {
        hash_ports();
    }
}

/// Has the kernel choose a lane by ports too; that is so for all its multipath routes.
fn hash_ports() {
    for family in ["ipv4", "ipv6"] {
        let name = format!("net/{family}/fib_multipath_hash_policy");
        if let Err(error) = linux::sysctl::write(&name, "1") {
            log::warn!("option multipath_l4: {error}");
        }
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
            #[cfg(feature = "full")]
            StartError::Userspace(UserspaceError::Mark(error))
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                f.write_str("not permitted to mark packets; run as root, or with CAP_NET_ADMIN")
            }
            #[cfg(feature = "full")]
            StartError::Userspace(error) => error.fmt(f),
            #[cfg(not(feature = "full"))]
            StartError::NoUserspace => f.write_str(
                "no WireGuard to forward with: install kmod-wireguard or lispguard-full",
            ),
            StartError::Kernel(error) => error.fmt(f),
            StartError::Overlay(error) => error.fmt(f),
        }
    }
}
