//! `lispguard down`: removes what a run left in the kernel, and only that.

use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use control::MAX_LANES;
use dataplane::kernel::{self, KernelError};
use linux::netlink;

use crate::commands::{self, fail, print};
use crate::config::{Config, Devices, Routing};
use crate::leftovers;
use crate::listings;
use crate::overlay::SCOPE_GLOBAL;

/// Why something stays.
enum DownError {
    Served(String),
    Devices(KernelError),
    Routes(netlink::Error),
}

/// Removes what a run of this configuration left; exit 1 when something stays.
pub fn down(path: &Path) -> ExitCode {
    let config = match Config::load_without_key(path) {
        Ok(config) => config,
        Err(errors) => return commands::refuse(&errors),
    };
    if UnixStream::connect(&config.control_socket).is_ok() {
        let socket = config.control_socket.display();
        return fail(1, &format_args!("a router serves {socket}; stop it first"));
    }
    match remove(&config) {
        Ok((0, 0)) => print("nothing to remove\n"),
        Ok((devices, others)) => {
            print(&format!("removed {devices} interfaces, {others} rules and routes\n"))
        }
        Err(error) => fail(1, &error),
    }
}

/// How many interfaces, and how many rules and routes are gone.
fn remove(config: &Config) -> Result<(usize, usize), DownError> {
    if is_served(config).map_err(DownError::Routes)? {
        return Err(DownError::Served(config.devices.control.clone()));
    }
    let mut netlink = netlink::Socket::open().map_err(DownError::Routes)?;
    let others = leftovers::remove(&mut netlink, &config.routing).map_err(DownError::Routes)?;
    let devices = remove_devices(&config.devices, &config.routing).map_err(DownError::Devices)?;
    Ok((devices, others))
}

/// Whether a router runs, of this configuration or another one, that has these interfaces: it then
/// listens for LISP messages at the control interface's address.
///
/// # Errors
/// When the kernel refuses.
pub fn is_served(config: &Config) -> Result<bool, netlink::Error> {
    let mut netlink = netlink::Socket::open()?;
    let links = listings::links(&mut netlink)?;
    let is_control = |link: &&netlink::Link| {
        *link.name == *config.devices.control
            && link.alias.is_some_and(|alias| alias == *kernel::ALIAS)
    };
    let Some(link) = links.iter().find(is_control) else { return Ok(false) };
    let addresses = listings::addresses(&mut netlink)?;
    let mut internal = addresses
        .iter()
        .filter(|one| one.index == link.index && one.scope == SCOPE_GLOBAL && one.ip.is_ipv6());
    Ok(internal.any(|one| {
        let bound = UdpSocket::bind((one.ip, config.ports.lisp));
        bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    }))
}

/// Removes the interfaces that an earlier run with kernel WireGuard left, and its routes to them.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_devices(devices: &Devices, routing: &Routing) -> Result<usize, KernelError> {
    let mut names = vec![devices.control.clone(), devices.miss.clone()];
    names.extend(lanes_from(0, devices));
    kernel::remove(&names, routing.resolved_table())
}

/// Removes the interfaces of lanes from `count` on, which an earlier run had.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_lanes_from(count: usize, devices: &Devices) -> Result<usize, KernelError> {
    kernel::remove_links(&lanes_from(count, devices).collect::<Vec<_>>())
}

fn lanes_from(count: usize, devices: &Devices) -> impl Iterator<Item = String> {
    (count..MAX_LANES).map(|lane| devices.lane(lane as u8))
}

impl fmt::Display for DownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownError::Served(device) => write!(f, "a router has {device}; stop it first"),
            DownError::Devices(error) => error.fmt(f),
            DownError::Routes(error) => write!(f, "routes and rules: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leftovers::isolated::{ip, isolated, joined};
    use control::PeerKey;

    #[test]
    fn a_router_that_listens_has_its_interfaces_and_others_are_left() {
        let name = "down::tests::a_router_that_listens_has_its_interfaces_and_others_are_left";
        isolated(name, || {
            let text = format!(
                "config lispguard 'main'\n option role 'map_server'\n option private_key '{}'\n \
                 option control_device 'to-b'\n",
                PeerKey([7; 32])
            );
            let config = Config::parse(text.as_bytes(), "test").expect("right");
            let (mut node, _other) = joined();
            let is_served = |node: &crate::leftovers::isolated::Node| {
                node.open(|| is_served(&config)).expect("told")
            };
            let socket =
                node.open(|| UdpSocket::bind((ip("2001:db8::1"), 4342)).expect("a socket"));
            assert!(!is_served(&node), "not one of ours");
            let index = node.index("to-b");
            node.netlink.set_link_alias(index, kernel::ALIAS).expect("marked");
            assert!(is_served(&node));
            drop(socket);
            assert!(!is_served(&node), "it ended");
        });
    }
}
