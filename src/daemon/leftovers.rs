//! What stands in the overlay's routing table before this run: remains of a run that was killed,
//! which go, or the routes of somebody else, which stay.

use std::fmt;

use linux::netlink::{self, Family, RouteKind, Socket, TABLE_MAIN};

use crate::config::{Routing, Rules};
use crate::overlay::ignore_missing;

/// Why the overlay's addresses, routes and rules cannot be there.
#[derive(Debug)]
pub enum OverlayError {
    /// The kernel refused.
    Kernel(netlink::Error),
    /// The table leads to a device that is not ours.
    TableInUse(u32, String),
}

/// Removes what a run that was killed left: its routes in the table went with its device, except
/// those that name none, and its rules for addresses of this machine may be for old ones.
///
/// # Errors
/// When the table leads to another device than `device`, or the kernel refuses.
pub fn clear(netlink: &mut Socket, routing: &Routing, device: u32) -> Result<(), OverlayError> {
    clear_table(netlink, routing.table, device)?;
    if routing.rules == Rules::None {
        return Ok(());
    }
    for family in [Family::V4, Family::V6] {
        for rule in netlink.list(|socket, each| socket.rules(family, each))? {
            let is_ours = rule.priority == routing.rule_priority && rule.table == TABLE_MAIN;
            if is_ours && rule.source.is_some() {
                ignore_missing(netlink.delete_rule(&rule))?;
            }
        }
    }
    Ok(())
}

fn clear_table(netlink: &mut Socket, table: u32, device: u32) -> Result<(), OverlayError> {
    for family in [Family::V4, Family::V6] {
        for route in netlink.list(|socket, each| socket.routes(family, table, each))? {
            match (route.kind, route.output) {
                (RouteKind::Unicast, Some(output)) if output != device => {
                    let links = netlink.list(|socket, each| socket.links(each))?;
                    let link = links.iter().find(|link| link.index == output);
                    let name = link.map_or_else(String::new, |link| link.name.to_string());
                    return Err(OverlayError::TableInUse(table, name));
                }
                (RouteKind::Throw, _) => ignore_missing(netlink.delete_route(&route))?,
                _ => {}
            }
        }
    }
    Ok(())
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
mod isolated;

#[cfg(test)]
mod tests {
    use linux::netlink::{Route, Rule};

    use super::isolated::{ip, isolated, joined};
    use super::*;

    #[test]
    fn remains_of_a_killed_run_go_and_the_routes_of_others_stay() {
        isolated(
            "leftovers::tests::remains_of_a_killed_run_go_and_the_routes_of_others_stay",
            || {
                let (mut node, _other) = joined();
                let device = node.index("to-b");
                let routing =
                    Routing { fwmark: 1, table: 4342, rule_priority: 5090, rules: Rules::Auto };
                let prefix = |address, kind| Route {
                    table: 4342,
                    kind,
                    ..Route::new(ip(address), if ip(address).is_ipv4() { 16 } else { 32 })
                };
                for address in ["10.7.0.0", "fd00:7::"] {
                    let route = prefix(address, RouteKind::Throw);
                    node.netlink.add_route(&route).expect("a route");
                }
                let mut stale = Rule::new(Family::V4, 5090, TABLE_MAIN);
                stale.source = Some((ip("192.0.2.9"), 32));
                node.netlink.add_rule(&stale).expect("a rule");
                let other = Rule { priority: 5000, ..stale };
                node.netlink.add_rule(&other).expect("a rule");
                clear(&mut node.netlink, &routing, device).expect("cleared");
                let listed = node
                    .netlink
                    .list(|socket, each| socket.rules(Family::V4, each))
                    .expect("rules");
                assert!(listed.contains(&other) && !listed.contains(&stale));
                let all = |netlink: &mut Socket, family| {
                    netlink.list(|socket, each| socket.routes(family, 4342, each)).expect("routes")
                };
                assert!(all(&mut node.netlink, Family::V4).is_empty());
                assert!(all(&mut node.netlink, Family::V6).is_empty());
                let foreign =
                    Route { output: Some(device), ..prefix("10.8.0.0", RouteKind::Unicast) };
                node.netlink.add_route(&foreign).expect("a route");
                clear(&mut node.netlink, &routing, device).expect("our own device");
                let error = clear(&mut node.netlink, &routing, device + 99).expect_err("in use");
                assert!(error.to_string().starts_with("routing table 4342 leads to to-b: "));
                assert_eq!(all(&mut node.netlink, Family::V4).len(), 1);
            },
        );
    }
}
