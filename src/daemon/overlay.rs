//! What leads packets into the overlay: addresses, routes and rules of our own.
//!
//! What is wanted follows from the configuration, this machine's addresses and its uplinks; what
//! differs from what stands, which an earlier run may have left, is changed, and nothing else. What
//! stands is asked of the kernel each time: with an address or a device it takes routes away.
//! `plan` says which rules there are and why.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use control::EidPrefix;
use linux::netlink::{self, Address, Family, Route, RouteKind, Rule, Socket, TABLE_MAIN};

use crate::config::Config;
use crate::leftovers::{self, OverlayError};
use crate::links::Path;
use crate::listings;
use crate::plan::Plan;

/// `RTPROT_*` number of what is ours: `ip route` and `ip rule` show it.
pub const PROTOCOL: u8 = 76;

/// `RT_SCOPE_UNIVERSE`: valid everywhere.
pub const SCOPE_GLOBAL: u8 = 0;

/// The interfaces that the data plane made for the overlay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Devices {
    /// Where the EID-space leads: a TUN.
    pub routes: u32,
    /// What has a mobile node's EIDs as addresses.
    pub addresses: u32,
    /// The address of that one inside the tunnels, which is no EID.
    pub link_address: Ipv6Addr,
    /// Whether resolved EID-prefixes have a table that the kernel forwards by.
    pub has_resolved_table: bool,
}

/// What stands of ours in the kernel.
#[derive(Debug)]
pub struct Overlay {
    netlink: Socket,
    devices: Devices,
    plan: Plan,
    paths: Vec<Path>,
    routes: Vec<Route>,
    rules: Vec<Rule>,
    addresses: Vec<IpAddr>,
    /// The addresses of this machine that are EIDs.
    sources: Vec<IpAddr>,
    /// The kernel took the source of a route, whose address may be back since.
    has_lost_source: bool,
    /// What the mapping system leaves to the native routing table.
    native: Vec<EidPrefix>,
    /// Whether all of it stays when the value goes, for the next run.
    is_kept: bool,
}

impl Overlay {
    /// Installs what `config` asks for; what an earlier run left is taken over or removed.
    ///
    /// # Errors
    /// When the kernel refuses, or a table is somebody else's; what was installed is removed
    /// when the value is dropped.
    pub fn new(config: &Config, devices: Devices) -> Result<Overlay, OverlayError> {
        let mut netlink = Socket::open()?;
        let left = leftovers::take(&mut netlink, &config.routing, &devices)?;
        let mut overlay = Overlay {
            netlink,
            devices,
            plan: Plan::default(),
            paths: Vec::new(),
            routes: left.routes,
            rules: left.rules,
            addresses: left.addresses,
            sources: Vec::new(),
            has_lost_source: false,
            native: Vec::new(),
            is_kept: false,
        };
        overlay.reload(config)?;
        Ok(overlay)
    }

    /// Leaves everything in place when the value goes: kernel WireGuard forwards on.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Changes what differs from the last configuration, and nothing else.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn reload(&mut self, config: &Config) -> Result<(), netlink::Error> {
        self.plan = Plan::new(config, self.devices.has_resolved_table);
        let wanted = self.plan.addresses();
        let device = self.devices.addresses;
        for address in self.addresses.iter().filter(|one| !wanted.contains(one)) {
            ignore_missing(self.netlink.delete_address(&host(device, *address)))?;
        }
        for address in wanted.iter().filter(|one| !self.addresses.contains(one)) {
            ignore_existing(self.netlink.add_address(&host(device, *address)))?;
        }
        self.addresses = wanted;
        self.refresh()
    }

    /// Leads the tunnels over these uplinks at once; `set_paths` then makes all else fit.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn lead(&mut self, paths: &[Path]) -> Result<(), netlink::Error> {
        // Some may be there; to ask would take longer than to say it again. One that the kernel
        // refuses, such as by a gateway that has just gone, does not hold up the others.
        let mut result = Ok(());
        for route in self.plan.lane_routes(paths) {
            result = result.and(self.netlink.replace_route(&route));
        }
        let rules = self.plan.rules(&[], paths);
        let mut marked = rules.iter().filter(|rule| rule.mark.is_some());
        if marked.all(|rule| self.rules.contains(rule)) {
            return result;
        }
        result.and(self.set_paths(paths))
    }

    /// Follows this machine's uplinks.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_paths(&mut self, paths: &[Path]) -> Result<(), netlink::Error> {
        self.paths = paths.to_vec();
        self.refresh()
    }

    /// Follows this machine's addresses: the overlay's routes get the one inside its own
    /// EID-prefixes as source, and the others stay outside.
    fn refresh(&mut self) -> Result<(), netlink::Error> {
        let (mut sources, mut others) = (Vec::new(), Vec::new());
        for address in listings::addresses(&mut self.netlink)? {
            // Those that others may send to.
            if address.is_usable() && address.scope == SCOPE_GLOBAL {
                let is_own = self.plan.is_own(address.ip);
                if is_own { &mut sources } else { &mut others }.push(address.ip);
            }
        }
        let mut routes = self.plan.routes(self.devices.routes, &sources);
        routes.append(&mut self.plan.lane_routes(&self.paths));
        let defaults = self.defaults()?;
        for prefix in &self.native {
            routes.push(self.plan.native(prefix, &defaults));
        }
        self.sources = sources;
        if let Some(routing) = self.plan.routing() {
            let standing = leftovers::routes(&mut self.netlink, routing)?;
            let is_lost = |old: &Route| {
                let of_old = |one: &&Route| is_same(one, old) && one.kind == old.kind;
                let now = standing.iter().find(of_old);
                old.source.is_some() && now.is_some_and(|one| one.source.is_none())
            };
            self.has_lost_source |= self.routes.iter().any(is_lost);
            self.routes = standing;
        }
        let rules = self.plan.rules(&others, &self.paths);
        // A route that replaces another one is there before a rule leads to it.
        for old in self.routes.iter().filter(|old| !routes.iter().any(|new| is_same(old, new))) {
            ignore_missing(self.netlink.delete_route(old))?;
        }
        let mut result = Ok(());
        for new in routes.iter().filter(|new| !self.routes.contains(new)) {
            result = result.and(self.netlink.replace_route(new));
        }
        self.routes = routes;
        for new in rules.iter().filter(|new| !self.rules.contains(new)) {
            ignore_existing(self.netlink.add_rule(new))?;
        }
        for old in self.rules.iter().filter(|old| !rules.contains(old)) {
            ignore_missing(self.netlink.delete_rule(old))?;
        }
        self.rules = rules;
        result
    }

    /// Keeps packets to an EID-prefix out of the overlay, or no longer.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_native(
        &mut self,
        eid_prefix: EidPrefix,
        is_native: bool,
    ) -> Result<(), netlink::Error> {
        let place = self.native.iter().position(|known| *known == eid_prefix);
        match (place, is_native) {
            (None, true) => self.native.push(eid_prefix),
            (Some(place), false) => drop(self.native.swap_remove(place)),
            _ => return Ok(()),
        }
        let defaults = self.defaults()?;
        let route = self.plan.native(&eid_prefix, &defaults);
        if is_native {
            self.netlink.replace_route(&route)?;
            self.routes.push(route);
            return Ok(());
        }
        let is_it = |one: &Route| is_same(one, &route) && one.output != Some(self.devices.routes);
        let Some(place) = self.routes.iter().position(is_it) else { return Ok(()) };
        let standing = self.routes.swap_remove(place);
        ignore_missing(self.netlink.delete_route(&standing))
    }

    /// The EIDs among this machine's addresses, which its own packets get as source.
    pub fn sources(&self) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let v4 = self.sources.iter().find_map(|one| match one {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        });
        let v6 = self.sources.iter().find_map(|one| match one {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(*v6),
        });
        (v4, v6)
    }

    /// The EIDs that a device of ours has as addresses.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Whether routes with these sources lost them since this was asked last.
    pub fn take_lost_source(&mut self) -> bool {
        core::mem::take(&mut self.has_lost_source)
    }

    /// The default routes that what is native gets copies of.
    fn defaults(&mut self) -> Result<Vec<Route>, netlink::Error> {
        if self.native.is_empty() || self.plan.metric().is_none() {
            return Ok(Vec::new());
        }
        let mut defaults = listings::routes(&mut self.netlink, TABLE_MAIN)?;
        defaults.retain(|one| one.prefix_len == 0 && one.kind == RouteKind::Unicast);
        Ok(defaults)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        for rule in &self.rules {
            let _ = self.netlink.delete_rule(rule);
        }
        for route in &self.routes {
            let _ = self.netlink.delete_route(route);
        }
    }
}

/// A route of ours.
pub fn route(prefix: &EidPrefix, table: u32, kind: RouteKind) -> Route {
    Route { kind, table, protocol: PROTOCOL, ..Route::new(prefix.address(), prefix.len()) }
}

fn host(device: u32, ip: IpAddr) -> Address {
    Address::new(device, ip, Family::of(ip).host_prefix_len())
}

/// Whether a replacement of one takes the other's place.
fn is_same(one: &Route, other: &Route) -> bool {
    (one.destination, one.prefix_len, one.table)
        == (other.destination, other.prefix_len, other.table)
}

fn ignore_existing(result: Result<(), netlink::Error>) -> Result<(), netlink::Error> {
    result.or_else(|error| if error.is_existing() { Ok(()) } else { Err(error) })
}

pub(crate) fn ignore_missing(result: Result<(), netlink::Error>) -> Result<(), netlink::Error> {
    result.or_else(|error| if error.is_missing() { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leftovers::isolated::{Node, ip, isolated, joined};

    const CONFIG: &str = "
        config lispguard 'main'
            option role 'xtr'
            option private_key 'KKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKI='
            list eid_space '10.0.0.0/8'
            list eid_space 'fd01::/16'
        config eid_prefix
            option prefix '10.1.0.0/24'
        config eid_prefix
            option prefix 'fd01:0:0:1::/64'
        config map_server 'ms'
            option public_key 'MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM='
            option endpoint '192.0.2.2'
        config uplink
            option device 'to-b'";

    /// The overlay's device is a pair's end here, and so is the uplink.
    fn overlay(node: &mut Node) -> Overlay {
        let config = Config::parse(CONFIG.as_bytes(), "test").expect("a configuration");
        let device = node.index("to-b");
        let devices = Devices {
            routes: device,
            addresses: device,
            link_address: Ipv6Addr::LOCALHOST,
            has_resolved_table: true,
        };
        node.open(|| Overlay::new(&config, devices)).expect("an overlay")
    }

    fn path(output: u32, rloc: &str) -> Path {
        let uplink = control::Uplink { id: output, ..control::Uplink::new(ip(rloc)) };
        Path { uplink, place: Some(0), output, gateway: None, is_on_link: false, mtu: None }
    }

    /// All routes and rules of ours, as the kernel orders them.
    fn standing(node: &mut Node) -> (Vec<Route>, Vec<Rule>) {
        let (mut routes, mut rules) = (Vec::new(), Vec::new());
        for family in [Family::V4, Family::V6] {
            for table in [4342, 4344] {
                let listed = node.netlink.list(|socket, each| socket.routes(family, table, each));
                routes.extend(listed.expect("routes"));
            }
            rules.extend(
                node.netlink.list(|socket, each| socket.rules(family, each)).expect("rules"),
            );
        }
        rules.retain(|rule| rule.protocol == PROTOCOL);
        (routes, rules)
    }

    #[test]
    fn a_lane_whose_uplink_comes_later_still_leaves_by_it() {
        isolated("overlay::tests::a_lane_whose_uplink_comes_later_still_leaves_by_it", || {
            let (mut node, _other) = joined();
            let mut overlay = overlay(&mut node);
            let device = node.index("to-b");
            overlay
                .set_paths(&[path(device, "192.0.2.1"), path(device, "2001:db8::1")])
                .expect("paths");
            let beyond = [
                Path {
                    gateway: Some(ip("198.18.0.1")),
                    is_on_link: true,
                    ..path(device, "192.0.2.1")
                },
                Path { gateway: Some(ip("fe80::1")), ..path(device, "2001:db8::1") },
            ];
            overlay.set_paths(&beyond).expect("paths");
            let (routes, rules) = standing(&mut node);
            let ways = routes.iter().filter(|route| route.table == 4344);
            let ways: Vec<_> = ways.map(|route| (route.gateway, route.source)).collect();
            assert_eq!(ways, beyond.map(|path| (path.gateway, Some(path.uplink.rloc))));
            for family in [Family::V4, Family::V6] {
                let mut marked =
                    rules.iter().filter(|rule| rule.family == family && rule.mark.is_some());
                assert_eq!(marked.next().expect("a rule").table, netlink::TABLE_MAIN);
                assert_eq!(marked.next().expect("a rule").table, 4344);
                assert!(matches!(
                    marked.next().expect("a rule").action,
                    netlink::RuleAction::Goto(_)
                ));
            }
        });
    }

    #[test]
    fn a_way_that_the_kernel_refuses_does_not_hold_up_the_others() {
        isolated(
            "overlay::tests::a_way_that_the_kernel_refuses_does_not_hold_up_the_others",
            || {
                let (mut node, _other) = joined();
                let mut overlay = overlay(&mut node);
                let device = node.index("to-b");
                let beyond = Path { gateway: Some(ip("198.18.0.1")), ..path(device, "192.0.2.1") };
                let fine = path(device, "2001:db8::1");
                overlay.lead(&[beyond, fine]).expect_err("no way to the gateway");
                let (routes, rules) = standing(&mut node);
                let ways = routes.iter().filter(|route| route.table == 4344);
                assert_eq!(
                    ways.map(|route| route.source).collect::<Vec<_>>(),
                    [Some(fine.uplink.rloc)]
                );
                let lanes = rules.iter().filter(|rule| rule.table == 4344);
                let lanes: Vec<_> = lanes.map(|rule| rule.family).collect();
                assert_eq!(lanes, [Family::V4, Family::V6]);
                // Nor once the rules are there.
                overlay.netlink.delete_route(&routes[routes.len() - 1]).expect("deleted");
                overlay.lead(&[beyond, fine]).expect_err("no way to the gateway");
                assert_eq!(standing(&mut node).0, routes);
            },
        );
    }

    #[test]
    fn what_the_kernel_took_away_with_an_address_comes_back() {
        isolated("overlay::tests::what_the_kernel_took_away_with_an_address_comes_back", || {
            let (mut node, _other) = joined();
            node.add_address("lo", "10.1.0.1", 24);
            node.add_address("lo", "fd01:0:0:1::1", 64);
            let mut overlay = overlay(&mut node);
            let before = standing(&mut node);
            assert_eq!(before.0.len(), 2);
            assert!(before.0.iter().all(|route| route.source.is_some()));
            let lo = node.index("lo");
            for (address, len) in [("10.1.0.1", 24), ("fd01:0:0:1::1", 64)] {
                let address = Address::new(lo, ip(address), len);
                node.netlink.delete_address(&address).expect("removed");
                node.netlink.add_address(&address).expect("added");
            }
            assert_ne!(standing(&mut node), before);
            overlay.set_paths(&[]).expect("routes");
            assert_eq!(standing(&mut node), before);
            assert!(overlay.take_lost_source() && !overlay.take_lost_source());
            let device = node.index("to-b");
            overlay.set_paths(&[path(device, "192.0.2.1")]).expect("routes");
            let before = standing(&mut node);
            node.netlink.set_link_down(device).expect("down");
            node.up("to-b");
            assert!(standing(&mut node).0.is_empty());
            overlay.set_paths(&[path(device, "192.0.2.1")]).expect("routes");
            assert_eq!(standing(&mut node), before);
        });
    }

    #[test]
    fn the_next_run_takes_over_what_stands() {
        isolated("overlay::tests::the_next_run_takes_over_what_stands", || {
            let (mut node, _other) = joined();
            node.add_address("lo", "10.1.0.1", 24);
            node.add_address("lo", "fd01:0:0:1::1", 64);
            let device = node.index("to-b");
            let paths = [path(device, "192.0.2.1"), path(device, "2001:db8::1")];
            let mut first = overlay(&mut node);
            first.set_paths(&paths).expect("paths");
            first.keep();
            drop(first);
            let before = standing(&mut node);
            assert_eq!(before.0.len(), 4);
            let mut second = overlay(&mut node);
            second.set_paths(&paths).expect("paths");
            let after = standing(&mut node);
            assert_eq!(after.0, before.0);
            assert_eq!(after.1.len(), before.1.len());
            assert!(after.1.iter().all(|rule| before.1.contains(rule)));
            drop(second);
            let left = standing(&mut node);
            assert!(left.0.is_empty() && left.1.is_empty(), "{left:?}");
        });
    }
}
