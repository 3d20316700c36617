//! What stands in the overlay's routing tables before this run: what an earlier run of ours left,
//! which is taken over or goes, or the routes of somebody else, which stay.

use std::fmt;
use std::net::IpAddr;

use control::MAX_LANES;
use dataplane::kernel::RESOLVED_METRIC;
use linux::Errno;
use linux::netlink::{self, Family, Route, RouteKind, Rule, Socket};

use crate::config::{RULES, Routing};
use crate::listings;
use crate::overlay::{Devices, PROTOCOL, SCOPE_GLOBAL, ignore_missing};

/// What IPv6 gives a route without a metric.
const DEFAULT_METRIC: u32 = 1024;

/// What our routes in the main table have: worse than what else is there for one EID-prefix, and
/// than what the data plane resolved.
pub const OVERLAY_METRIC: u32 = RESOLVED_METRIC + 1;

/// Why the overlay's addresses, routes and rules cannot be there.
#[derive(Debug)]
pub enum OverlayError {
    /// The kernel refused.
    Kernel(netlink::Error),
    /// The table leads to a device that is not ours.
    TableInUse(u32, String),
}

/// What an earlier run left.
#[derive(Default)]
pub struct Left {
    /// In our tables.
    pub routes: Vec<Route>,
    /// With our protocol number, among our priorities.
    pub rules: Vec<Rule>,
    /// On the interface that has our addresses.
    pub addresses: Vec<IpAddr>,
}

/// Lists what an earlier run left; it becomes this run's.
///
/// # Errors
/// When a table leads to a device that is not ours, or the kernel refuses.
pub fn take(
    netlink: &mut Socket,
    routing: &Routing,
    devices: &Devices,
) -> Result<Left, OverlayError> {
    let mut left = Left::default();
    for table in tables(routing) {
        for route in listings::routes(netlink, table)? {
            let is_other = !routing.is_main()
                && table == routing.table
                && route.output.is_some_and(|output| output != devices.routes);
            if is_ours(&route, routing) {
                left.routes.push(route);
            } else if route.kind == RouteKind::Unicast && is_other {
                return Err(in_use(netlink, table, route.output)?);
            }
        }
    }
    left.rules = our_rules(netlink, routing)?;
    if !devices.has_resolved_table {
        remove_routes(netlink, routing.resolved_table())?;
    }
    let addresses = listings::addresses(netlink)?;
    let on_device = addresses.iter().filter(|one| one.index == devices.addresses);
    let is_internal = |ip| ip == IpAddr::V6(devices.link_address);
    let eids = on_device.filter(|one| one.scope == SCOPE_GLOBAL && !is_internal(one.ip));
    left.addresses = eids.map(|address| address.ip).collect();
    Ok(left)
}

/// Removes what an earlier run left of routes and rules, and says how many there were.
///
/// # Errors
/// When the kernel refuses.
pub fn remove(netlink: &mut Socket, routing: &Routing) -> Result<usize, netlink::Error> {
    let rules = our_rules(netlink, routing)?;
    for rule in &rules {
        ignore_missing(netlink.delete_rule(rule))?;
    }
    let mut removed = rules.len();
    for table in tables(routing).chain([routing.resolved_table()]) {
        removed += remove_routes(netlink, table)?;
    }
    Ok(removed)
}

fn remove_routes(netlink: &mut Socket, table: u32) -> Result<usize, netlink::Error> {
    let mut removed = 0;
    for route in listings::routes(netlink, table)? {
        if route.protocol == PROTOCOL {
            ignore_missing(netlink.delete_route(&route))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// What stands of ours in the tables that the daemon puts routes into, as it was asked for: the
/// kernel gives IPv6's routes a metric, and a device where they need none.
///
/// # Errors
/// When the kernel refuses.
pub fn routes(netlink: &mut Socket, routing: &Routing) -> Result<Vec<Route>, netlink::Error> {
    let mut routes = Vec::new();
    for table in tables(routing) {
        routes.append(&mut listings::routes(netlink, table)?);
    }
    routes.retain(|route| is_ours(route, routing));
    for route in &mut routes {
        route.metric = route.metric.filter(|metric| *metric != DEFAULT_METRIC);
        route.output = route.output.filter(|_| route.kind == RouteKind::Unicast);
    }
    Ok(routes)
}

/// The tables that routes are put into by the daemon: the data plane has one of its own.
fn tables(routing: &Routing) -> impl Iterator<Item = u32> {
    let lanes = if routing.is_main() { 0 } else { MAX_LANES as u8 };
    [routing.table].into_iter().chain((0..lanes).map(|lane| routing.lane_table(lane)))
}

/// Whether the daemon put a route there; the data plane's may be in the main table as well.
fn is_ours(route: &Route, routing: &Routing) -> bool {
    let is_daemons = !routing.is_main() || route.metric == Some(OVERLAY_METRIC);
    route.protocol == PROTOCOL && is_daemons
}

fn our_rules(netlink: &mut Socket, routing: &Routing) -> Result<Vec<Rule>, netlink::Error> {
    let priorities = routing.rule_priority..routing.rule_priority + RULES;
    let mut rules = Vec::new();
    for family in [Family::V4, Family::V6] {
        match netlink.list(|socket, each| socket.rules(family, each)) {
            // A kernel without policy routing has none.
            Err(error) if error.errno() == Some(Errno::EOPNOTSUPP) => {}
            listed => rules.append(&mut listed?),
        }
    }
    rules.retain(|rule: &Rule| rule.protocol == PROTOCOL && priorities.contains(&rule.priority));
    Ok(rules)
}

fn in_use(
    netlink: &mut Socket,
    table: u32,
    output: Option<u32>,
) -> Result<OverlayError, netlink::Error> {
    let links = listings::links(netlink)?;
    let link = links.iter().find(|link| Some(link.index) == output);
    Ok(OverlayError::TableInUse(table, link.map_or_else(String::new, |link| link.name.to_string())))
}

impl From<netlink::Error> for OverlayError {
    fn from(error: netlink::Error) -> OverlayError {
        OverlayError::Kernel(error)
    }
}

impl fmt::Display for OverlayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OverlayError::Kernel(error) => {
                write!(f, "overlay addresses, routes and rules: {error}")
            }
            OverlayError::TableInUse(table, device) => write!(
                f,
                "routing table {table} leads to {device}: another lispguard? Stop it, or set \
                 option table and option rule_priority"
            ),
        }
    }
}

impl core::error::Error for OverlayError {}

#[cfg(test)]
#[path = "../linux/tests/isolated/mod.rs"]
pub(crate) mod isolated;

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use super::isolated::{ip, isolated, joined};
    use super::*;
    use crate::config::Rules;

    #[test]
    fn what_an_earlier_run_left_is_known_by_its_mark_and_the_rest_stays() {
        isolated(
            "leftovers::tests::what_an_earlier_run_left_is_known_by_its_mark_and_the_rest_stays",
            || {
                let (mut node, _other) = joined();
                let device = node.index("to-b");
                let routing = Routing {
                    fwmark: 1,
                    table: 4342,
                    rule_priority: 5090,
                    rules: Rules::Auto,
                    hashes_ports: false,
                };
                let link_address = Ipv6Addr::LOCALHOST;
                let has_resolved_table = false;
                let devices =
                    Devices { routes: device, addresses: device, link_address, has_resolved_table };
                let ours = Route {
                    table: 4342,
                    protocol: PROTOCOL,
                    kind: RouteKind::Throw,
                    ..Route::new(ip("10.7.0.0"), 16)
                };
                node.netlink.add_route(&ours).expect("a route");
                let theirs = Rule::new(Family::V4, 5090, 4342);
                let rule = Rule { priority: 5091, protocol: PROTOCOL, ..theirs };
                node.netlink.add_rule(&rule).expect("a rule");
                node.netlink.add_rule(&theirs).expect("a rule");
                let left = take(&mut node.netlink, &routing, &devices).expect("ours");
                assert_eq!((left.routes, left.rules), (vec![ours], vec![rule]));
                let foreign =
                    Route { table: 4342, output: Some(device), ..Route::new(ip("10.8.0.0"), 16) };
                node.netlink.add_route(&foreign).expect("a route");
                take(&mut node.netlink, &routing, &devices).expect("our own device");
                let elsewhere = Devices { routes: device + 99, ..devices };
                let error = take(&mut node.netlink, &routing, &elsewhere).err().expect("in use");
                assert!(error.to_string().starts_with("routing table 4342 leads to to-b: "));
                assert_eq!(remove(&mut node.netlink, &routing).expect("removed"), 2);
                let rules = node
                    .netlink
                    .list(|socket, each| socket.rules(Family::V4, each))
                    .expect("rules");
                assert!(rules.contains(&theirs) && !rules.contains(&rule));
                let routes = node
                    .netlink
                    .list(|socket, each| socket.routes(Family::V4, 4342, each))
                    .expect("routes");
                assert_eq!(routes.len(), 1);
            },
        );
    }
}
