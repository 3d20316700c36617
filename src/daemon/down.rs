//! `lispguard down`: removes what a run left in the kernel, and only that.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use control::MAX_LANES;
use dataplane::kernel::{self, KernelError};
use linux::netlink;

use crate::commands::{self, print};
use crate::config::Config;
use crate::leftovers;

/// Why something stays.
enum DownError {
    Devices(KernelError),
    Routes(netlink::Error),
}

/// Removes what a run of this configuration left; exit 1 when something stays.
pub fn down(path: &Path) -> ExitCode {
    let config = match commands::load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if UnixStream::connect(&config.control_socket).is_ok() {
        eprintln!("lispguard: a router serves {}; stop it first", config.control_socket.display());
        return ExitCode::FAILURE;
    }
    match remove(&config) {
        Ok((0, 0)) => print("nothing to remove\n"),
        Ok((devices, others)) => {
            print(&format!("removed {devices} interfaces, {others} rules and routes\n"));
        }
        Err(error) => {
            eprintln!("lispguard: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// How many interfaces, and how many rules and routes are gone.
fn remove(config: &Config) -> Result<(usize, usize), DownError> {
    let mut netlink = netlink::Socket::open().map_err(DownError::Routes)?;
    let others = leftovers::remove(&mut netlink, &config.routing).map_err(DownError::Routes)?;
    let devices = remove_devices(config).map_err(DownError::Devices)?;
    Ok((devices, others))
}

/// Removes the interfaces that an earlier run with kernel WireGuard left, and its routes to them.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_devices(config: &Config) -> Result<usize, KernelError> {
    let devices = &config.devices;
    let lanes = (0..MAX_LANES as u8).map(|lane| devices.lane(lane));
    let names: Vec<String> =
        [devices.control.clone(), devices.miss.clone()].into_iter().chain(lanes).collect();
    kernel::remove(&names, config.routing.resolved_table())
}

impl fmt::Display for DownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownError::Devices(error) => error.fmt(f),
            DownError::Routes(error) => write!(f, "routes and rules: {error}"),
        }
    }
}
