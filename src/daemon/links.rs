//! One picture of the uplinks, from the kernel's links, addresses and routes and netifd's names.
//!
//! It holds every way that can be used now; the control plane chooses among them.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use linux::netlink::{self, Address, Event, Family, Link, Monitor, Route, RouteQuery, TABLE_MAIN};

use control::EidPrefix;

use crate::{config, listings};

/// `RT_SCOPE_UNIVERSE`: valid everywhere.
const SCOPE_GLOBAL: u8 = 0;
/// Events taken at once; while more come, everything else gets its turn.
const MAX_EVENTS: usize = 1000;

/// One RLOC and the way it leaves this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path {
    /// The RLOC with its priority, weight and metric; its lane, where it was chosen.
    pub uplink: control::Uplink,
    /// The place of its uplink in the configuration; `None` where none is configured.
    pub place: Option<usize>,
    /// The interface's index.
    pub output: u32,
    /// The default route's next hop, where it has one.
    pub gateway: Option<IpAddr>,
    /// That is reached through the interface though no route says so.
    pub is_on_link: bool,
    /// The interface's MTU in octets, once it is known.
    pub mtu: Option<u32>,
}

/// What decides which addresses are RLOCs.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Policy {
    /// The configured uplinks; when empty, the devices of the default routes.
    pub uplinks: Vec<config::Uplink>,
    /// Addresses inside these are EIDs, never RLOCs.
    pub eid_prefixes: Vec<EidPrefix>,
    /// Where the Map-Servers are: without a default route, the way to them is the uplink.
    pub map_servers: Vec<IpAddr>,
    /// The mark of the tunnels' own packets.
    pub fwmark: u32,
}

/// Follows the kernel and says when the picture changed.
#[derive(Debug)]
pub struct Links {
    netlink: netlink::Socket,
    monitor: Monitor,
    policy: Policy,
    picture: Vec<Path>,
    /// What the control plane uses, the best first.
    chosen: Vec<control::Uplink>,
    /// Those that are in the picture.
    used: Vec<Path>,
    /// Without a default route the way to a Map-Server may change with any route.
    follows_every_route: bool,
}

impl Links {
    /// Starts to follow the kernel in this network namespace.
    ///
    /// # Errors
    /// When the kernel gives no netlink socket.
    pub fn new(policy: Policy) -> Result<Links, netlink::Error> {
        let (netlink, monitor) = (netlink::Socket::open()?, Monitor::open()?);
        Ok(Links {
            netlink,
            monitor,
            policy,
            picture: Vec::new(),
            chosen: Vec::new(),
            used: Vec::new(),
            follows_every_route: true,
        })
    }

    /// Replaces the policy; `refresh` then shows its effect.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Takes waiting events; whether any of them can change the picture.
    pub fn handle_ready(&mut self) -> bool {
        let mut is_relevant = false;
        for _ in 0..MAX_EVENTS {
            match self.monitor.poll_event() {
                Ok(Some(Event::RouteChanged(route) | Event::RouteRemoved(route))) => {
                    is_relevant |= route.table == TABLE_MAIN
                        && (route.prefix_len == 0 || self.follows_every_route);
                }
                Ok(Some(_)) => is_relevant = true,
                Ok(None) => return is_relevant,
                Err(error) => {
                    log::warn!("following links: {error}");
                    return true;
                }
            }
        }
        is_relevant
    }

    /// Draws the picture anew; whether it differs from the last one.
    ///
    /// # Errors
    /// When the kernel refuses a listing.
    pub fn refresh(&mut self) -> Result<bool, netlink::Error> {
        let order = |path: &Path| (path.uplink.priority, path.uplink.rloc, path.output, path.place);
        let mut picture: Vec<Path> = Vec::new();
        for path in self.draw()? {
            if !picture.contains(&path) {
                let place = picture.partition_point(|one| order(one) <= order(&path));
                picture.insert(place, path);
            }
        }
        let is_changed = picture != self.picture;
        self.picture = picture;
        self.used = self.find_chosen();
        Ok(is_changed)
    }

    /// The smallest MTU of the uplinks in octets.
    pub fn mtu(&self) -> Option<u32> {
        self.picture.iter().filter_map(|path| path.mtu).min()
    }

    /// Every way out that can be used.
    pub fn paths(&self) -> &[Path] {
        &self.picture
    }

    /// The ways out that are used and still there, with their lanes, the best first.
    pub fn chosen(&self) -> &[Path] {
        &self.used
    }

    /// The control plane uses these from now on.
    pub fn choose(&mut self, uplinks: &[control::Uplink]) {
        self.chosen = uplinks.to_vec();
        self.used = self.find_chosen();
    }

    fn find_chosen(&self) -> Vec<Path> {
        let mut found = Vec::new();
        for uplink in &self.chosen {
            let is_it = |one: &&Path| (one.uplink.id, one.uplink.rloc) == (uplink.id, uplink.rloc);
            if let Some(path) = self.picture.iter().find(is_it) {
                found.push(Path { uplink: *uplink, ..*path });
            }
        }
        found
    }

    /// All that could be used, for the control plane.
    pub fn uplinks(&self) -> Vec<control::Uplink> {
        self.picture.iter().map(|path| path.uplink).collect()
    }

    /// The RLOCs in use, each once, in words.
    pub fn rlocs(&self) -> Vec<String> {
        let mut rlocs = Vec::new();
        for path in &self.used {
            let rloc = path.uplink.rloc.to_string();
            if !rlocs.contains(&rloc) {
                rlocs.push(rloc);
            }
        }
        rlocs
    }

    fn draw(&mut self) -> Result<Vec<Path>, netlink::Error> {
        let links = listings::links(&mut self.netlink)?;
        let addresses = listings::addresses(&mut self.netlink)?;
        let routes = listings::routes(&mut self.netlink, TABLE_MAIN)?;
        let mtus: Vec<_> = links.iter().map(|link| (link.index, link.mtu)).collect();
        let seen = Seen { links, addresses, routes, eid_prefixes: &self.policy.eid_prefixes };
        let has_uplinks = !self.policy.uplinks.is_empty();
        let mut paths: Vec<Path> = Vec::new();
        for family in [Family::V4, Family::V6] {
            if has_uplinks {
                seen.add_configured(family, &self.policy, &mut paths);
            } else {
                paths.extend(seen.by_default(family));
            }
        }
        self.follows_every_route = paths.is_empty() && !has_uplinks;
        if self.follows_every_route {
            for index in 0..self.policy.map_servers.len() {
                paths.extend(self.towards(self.policy.map_servers[index])?);
            }
        }
        for path in &mut paths {
            path.mtu = mtus.iter().find(|(index, _)| *index == path.output).map(|(_, mtu)| *mtu);
        }
        Ok(paths)
    }

    /// The way the kernel takes to a Map-Server.
    fn towards(&mut self, destination: IpAddr) -> Result<Option<Path>, netlink::Error> {
        let query = RouteQuery { mark: Some(self.policy.fwmark), ..RouteQuery::new(destination) };
        let Some(route) = self.netlink.lookup_route(&query)? else { return Ok(None) };
        Ok(path(route.source, route.output, route.gateway, (1, 100)))
    }
}

impl AsFd for Links {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

fn path(
    rloc: Option<IpAddr>,
    output: Option<u32>,
    gateway: Option<IpAddr>,
    (priority, weight): (u8, u8),
) -> Option<Path> {
    let output = output?;
    let uplink = control::Uplink { id: output, priority, weight, ..control::Uplink::new(rloc?) };
    Some(Path { uplink, place: None, output, gateway, is_on_link: false, mtu: None })
}

/// What the kernel listed.
struct Seen<'a> {
    links: Vec<Link>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
    eid_prefixes: &'a [EidPrefix],
}

impl Seen<'_> {
    /// The RLOCs of the configured uplinks in a family, at most one each. One that still waits for
    /// its default route is left out while others have theirs: what is sent there finds nobody.
    fn add_configured(&self, family: Family, policy: &Policy, paths: &mut Vec<Path>) {
        let first = paths.len();
        let mut has_led = false;
        for (place, uplink) in policy.uplinks.iter().enumerate() {
            let Some((path, is_led)) = self.uplink(family, place, uplink) else { continue };
            if is_led && !has_led {
                paths.truncate(first);
                has_led = true;
            }
            if is_led || !has_led {
                paths.push(path);
            }
        }
    }

    /// The RLOC of a configured uplink, and whether a default route leads there.
    fn uplink(
        &self,
        family: Family,
        place: usize,
        uplink: &config::Uplink,
    ) -> Option<(Path, bool)> {
        let named = |link: &&Link| *link.name == *uplink.device && link.is_running();
        let link = self.links.iter().find(named)?;
        let default = self.default_routes(family).find(|one| one.output == Some(link.index));
        let path = path(
            self.rloc(link.index, family, default.and_then(|route| route.source)),
            Some(link.index),
            default.and_then(|route| route.gateway),
            (uplink.priority, uplink.weight),
        )?;
        let uplink = control::Uplink {
            place: u8::try_from(place).ok(),
            metric: default.and_then(|route| route.metric).unwrap_or(0),
            ..path.uplink
        };
        let is_on_link = default.is_some_and(|route| route.is_on_link);
        Some((Path { uplink, place: Some(place), is_on_link, ..path }, default.is_some()))
    }

    /// The RLOC of the best default route.
    fn by_default(&self, family: Family) -> Option<Path> {
        let runs = |route: &&Route| {
            self.links.iter().any(|one| Some(one.index) == route.output && one.is_running())
        };
        let best = self
            .default_routes(family)
            .filter(runs)
            .min_by_key(|route| route.metric.unwrap_or(0))?;
        let rloc = self.rloc(best.output?, family, best.source);
        let path = path(rloc, best.output, best.gateway, (1, 100))?;
        let metric = best.metric.unwrap_or(0);
        Some(Path { uplink: control::Uplink { metric, ..path.uplink }, ..path })
    }

    fn default_routes(&self, family: Family) -> impl Iterator<Item = &Route> {
        self.routes
            .iter()
            .filter(move |route| route.prefix_len == 0 && Family::of(route.destination) == family)
    }

    /// The route's own source, else the interface's first address that a stranger can answer to,
    /// one that lasts before others.
    fn rloc(&self, index: u32, family: Family, source: Option<IpAddr>) -> Option<IpAddr> {
        source.or_else(|| {
            let fits = |one: &&Address| {
                one.index == index
                    && Family::of(one.ip) == family
                    && one.is_usable()
                    && one.scope == SCOPE_GLOBAL
                    && !self.is_eid(one.ip)
            };
            self.addresses.iter().filter(fits).min_by_key(|one| !one.is_lasting()).map(|one| one.ip)
        })
    }

    fn is_eid(&self, address: IpAddr) -> bool {
        self.eid_prefixes.iter().any(|prefix| {
            prefix.contains(control::Eid { instance_id: prefix.instance_id(), address })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_lasts_is_the_rloc() {
        const TEMPORARY: u32 = 0x01;
        const DEPRECATED: u32 = 0x20;
        let rloc = |flags: [u32; 2]| {
            let ips = ["2001:db8::1", "2001:db8::2"].map(|ip| ip.parse().expect("an address"));
            let address = |(ip, flags)| Address { flags, ..Address::new(1, ip, 64) };
            let addresses = ips.into_iter().zip(flags).map(address).collect();
            let seen = Seen { links: Vec::new(), addresses, routes: Vec::new(), eid_prefixes: &[] };
            seen.rloc(1, Family::V6, None).map(|rloc| ips.iter().position(|ip| *ip == rloc))
        };
        assert_eq!(rloc([0, 0]), Some(Some(0)));
        assert_eq!(rloc([TEMPORARY, 0]), Some(Some(1)));
        assert_eq!(rloc([DEPRECATED, 0]), Some(Some(1)));
        assert_eq!(rloc([TEMPORARY, DEPRECATED]), Some(Some(0)));
    }
}
