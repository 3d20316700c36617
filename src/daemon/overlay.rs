//! What leads packets into the overlay: addresses, routes and rules of our own.
//!
//! What is wanted follows from the configuration, this machine's addresses and its uplinks; what
//! differs from what stands, which an earlier run may have left, is changed, and nothing else.
//! `plan` says which rules there are and why.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use control::EidPrefix;
use linux::netlink::{self, Address, Family, Route, RouteKind, Rule, Socket};

use crate::config::Config;
use crate::leftovers::{self, OverlayError};
use crate::links::Path;
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
        let addresses = self.usable_addresses()?;
        let (sources, others): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|address| self.plan.is_own(*address));
        let mut routes = self.plan.routes(self.devices.routes, &sources);
        routes.extend(self.plan.lane_routes(&self.paths));
        routes.extend(self.native.iter().map(|prefix| self.plan.throw(prefix)));
        self.sources = sources;
        let rules = self.plan.rules(&others, &self.paths);
        // A route that replaces another one is there before a rule leads to it.
        for old in self.routes.iter().filter(|old| !routes.iter().any(|new| is_same(old, new))) {
            ignore_missing(self.netlink.delete_route(old))?;
        }
        for new in routes.iter().filter(|new| !self.routes.contains(new)) {
            self.netlink.replace_route(new)?;
        }
        self.routes = routes;
        for new in rules.iter().filter(|new| !self.rules.contains(new)) {
            ignore_existing(self.netlink.add_rule(new))?;
        }
        for old in self.rules.iter().filter(|old| !rules.contains(old)) {
            ignore_missing(self.netlink.delete_rule(old))?;
        }
        self.rules = rules;
        Ok(())
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
        let route = self.plan.throw(&eid_prefix);
        if is_native {
            self.netlink.replace_route(&route)?;
            self.routes.push(route);
            return Ok(());
        }
        self.routes.retain(|standing| *standing != route);
        ignore_missing(self.netlink.delete_route(&route))
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

    /// This machine's addresses that others may send to.
    fn usable_addresses(&mut self) -> Result<Vec<IpAddr>, netlink::Error> {
        let addresses = self.netlink.list(|socket, each| socket.addresses(each))?;
        let usable = addresses.iter().filter(|one| one.is_usable() && one.scope == SCOPE_GLOBAL);
        Ok(usable.map(|address| address.ip).collect())
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
