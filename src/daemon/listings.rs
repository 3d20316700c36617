//! What the kernel lists of this machine's links, addresses and routes.

use linux::netlink::{Address, Error, Family, Link, Route, Socket};

/// All links.
///
/// # Errors
/// When the kernel refuses.
pub fn links(netlink: &mut Socket) -> Result<Vec<Link>, Error> {
    netlink.list(|socket, each| socket.links(each))
}

/// The addresses of all links.
///
/// # Errors
/// When the kernel refuses.
pub fn addresses(netlink: &mut Socket) -> Result<Vec<Address>, Error> {
    netlink.list(|socket, each| socket.addresses(each))
}

/// The routes of a table, first IPv4's.
///
/// # Errors
/// When the kernel refuses.
pub fn routes(netlink: &mut Socket, table: u32) -> Result<Vec<Route>, Error> {
    let mut routes = Vec::new();
    for family in [Family::V4, Family::V6] {
        routes.append(&mut netlink.list(|socket, each| socket.routes(family, table, each))?);
    }
    Ok(routes)
}
