//! What a run left behind: read at the next start, or removed for good.

use control::{EidPrefix, InstanceId};
use linux::netlink::{self, Error, Family, Link, Route, RouteKind, TABLE_MAIN};

use super::adopt::Remains;
use super::operations::Hops;
use super::{ALIAS, KernelError, RESOLVED_METRIC, ROUTE_PROTOCOL};

/// Reads our routes to lanes with these interface indices; others of ours, such as those for what
/// is to be dropped, are removed: they are cheap to learn again.
pub(super) fn routes(
    netlink: &mut netlink::Socket,
    table: u32,
    instance_id: InstanceId,
    lanes: &[u32],
    remains: &mut Remains,
) -> Result<(), Error> {
    let mut stale = Vec::new();
    for family in [Family::V4, Family::V6] {
        netlink.routes_and_hops(family, table, |route, hops| {
            // In the main table the daemon has routes too.
            let is_other = table == TABLE_MAIN && route.metric != Some(RESOLVED_METRIC);
            if route.protocol != ROUTE_PROTOCOL || is_other {
                return;
            }
            let known: Option<Hops> = hops
                .map(|hop| {
                    let place = lanes.iter().position(|index| *index == hop.output)?;
                    Some((place as u8, hop.weight))
                })
                .collect();
            let known = known.filter(|hops| !hops.is_empty() && route.kind == RouteKind::Unicast);
            let prefix = EidPrefix::new(instance_id, route.destination, route.prefix_len);
            match (prefix, known) {
                (Some(prefix), Some(hops)) => remains.routes.push((prefix, hops)),
                _ => stale.push(*route),
            }
        })?;
    }
    stale.iter().try_for_each(|route| delete(netlink, route))
}

/// Removes the interfaces of these names that a run left, known by their alias, with their peers,
/// addresses and routes, and what is left of ours in the table of what is resolved. Returns the
/// number of interfaces.
///
/// # Errors
/// `NotPermitted`, or when the kernel refuses.
pub fn remove(names: &[String], resolved_table: u32) -> Result<usize, KernelError> {
    let count = remove_links(names)?;
    let mut netlink = netlink::Socket::open().map_err(KernelError::Listing)?;
    for family in [Family::V4, Family::V6] {
        let listed = netlink.list(|socket, each| socket.routes(family, resolved_table, each));
        let listed: Vec<Route> = listed.map_err(KernelError::Listing)?;
        for route in listed.iter().filter(|route| route.protocol == ROUTE_PROTOCOL) {
            delete(&mut netlink, route).map_err(KernelError::Listing)?;
        }
    }
    Ok(count)
}

/// Removes those of these interfaces that are ours; how many there were.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_links(names: &[String]) -> Result<usize, KernelError> {
    let mut netlink = netlink::Socket::open().map_err(KernelError::Listing)?;
    let links: Vec<Link> =
        netlink.list(|socket, each| socket.links(each)).map_err(KernelError::Listing)?;
    let mut count = 0;
    let is_left = |link: &&Link| {
        names.iter().any(|name| *link.name == **name)
            && link.alias.is_some_and(|alias| alias == *ALIAS)
    };
    for link in links.iter().filter(is_left) {
        match netlink.delete_link(link.index) {
            Ok(()) => count += 1,
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(KernelError::link(&link.name, 0, error)),
        }
    }
    Ok(count)
}

fn delete(netlink: &mut netlink::Socket, route: &Route) -> Result<(), Error> {
    let mut all = Route::new(route.destination, route.prefix_len);
    (all.table, all.protocol, all.kind) = (route.table, route.protocol, route.kind);
    all.metric = route.metric;
    match netlink.delete_route(&all) {
        Err(error) if error.is_missing() => Ok(()),
        result => result,
    }
}
