//! What leads packets into the overlay: addresses, routes and rules of the data interface.
//!
//! The main table is asked first, without its default routes: what is directly connected or
//! routed on purpose stays outside, so that an overlay default route takes no neighbour away. Then
//! packets without the tunnels' mark look up a table of our own, which holds the EID-space. Where
//! that is all there is, what this machine sends from an address that is no EID of ours, such as
//! the answer to somebody who reached its RLOC, keeps to the main table.

use std::net::IpAddr;

use control::{Eid, EidPrefix};
use linux::netlink::{self, Address, Family, Route, RouteKind, Rule, Socket, TABLE_MAIN};

use crate::config::{Config, Rules};
use crate::leftovers::{self, OverlayError};

/// `RT_SCOPE_UNIVERSE`: valid everywhere.
const SCOPE_GLOBAL: u8 = 0;

/// What this run installed; the interface takes its addresses and routes along when it goes.
#[derive(Debug)]
pub struct Overlay {
    netlink: Socket,
    device: u32,
    wanted: Wanted,
    routes: Vec<Route>,
    /// The rules for packets from addresses that are no EIDs.
    outside: Vec<Rule>,
    /// What the mapping system leaves to the native routing table.
    native: Vec<EidPrefix>,
}

/// What the configuration asks for.
#[derive(Clone, PartialEq, Debug, Default)]
struct Wanted {
    addresses: Vec<IpAddr>,
    eid_space: Vec<EidPrefix>,
    eid_prefixes: Vec<EidPrefix>,
    table: u32,
    rules: Vec<Rule>,
}

impl Wanted {
    fn of(config: &Config) -> Wanted {
        let own: Vec<_> = config.eid_prefixes.iter().map(|one| one.prefix).collect();
        let addresses = match config.roles.is_mobile_node {
            true => own.iter().map(|prefix| prefix.address()).collect(),
            false => Vec::new(),
        };
        let rules = match config.routing.rules {
            Rules::Auto => rules(config),
            Rules::None => Vec::new(),
        };
        let (table, eid_space) = (config.routing.table, config.eid_space.clone());
        Wanted { addresses, eid_space, eid_prefixes: own, table, rules }
    }

    /// Whether an address is inside our own EID-prefixes.
    fn is_own(&self, address: IpAddr) -> bool {
        self.eid_prefixes
            .iter()
            .any(|own| own.contains(Eid { instance_id: own.instance_id(), address }))
    }

    /// The rule that keeps packets from an address out of the overlay, where that takes everything.
    fn outside(&self, address: IpAddr) -> Option<Rule> {
        let takes_all = |prefix: &EidPrefix| {
            prefix.len() == 0 && prefix.address().is_ipv4() == address.is_ipv4()
        };
        self.eid_space.iter().find(|prefix| takes_all(prefix))?;
        let (family, first) = (Family::of(address), self.rules.first()?);
        let mut rule = Rule::new(family, first.priority, TABLE_MAIN);
        rule.source = Some((address, family.host_prefix_len()));
        Some(rule)
    }
}

fn rules(config: &Config) -> Vec<Rule> {
    let routing = &config.routing;
    let families = [Family::V4, Family::V6].into_iter().filter(|family| {
        config.eid_space.iter().any(|prefix| Family::of(prefix.address()) == *family)
    });
    families
        .flat_map(|family| {
            let mut main = Rule::new(family, routing.rule_priority, TABLE_MAIN);
            main.suppress_prefix_len = Some(0);
            let mut overlay = Rule::new(family, routing.rule_priority + 1, routing.table);
            (overlay.mark, overlay.is_inverted) = (Some(routing.fwmark), true);
            [main, overlay]
        })
        .collect()
}

impl Overlay {
    /// Installs what `config` asks for on the interface with this index.
    ///
    /// # Errors
    /// When the kernel refuses, or the table is somebody else's; what was installed is removed
    /// when the value is dropped.
    pub fn new(config: &Config, device: u32) -> Result<Overlay, OverlayError> {
        let mut netlink = Socket::open()?;
        leftovers::clear(&mut netlink, &config.routing, device)?;
        let mut overlay = Overlay {
            netlink,
            device,
            wanted: Wanted::default(),
            routes: Vec::new(),
            outside: Vec::new(),
            native: Vec::new(),
        };
        overlay.reload(config)?;
        Ok(overlay)
    }

    /// Changes what differs from the last configuration, and nothing else.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn reload(&mut self, config: &Config) -> Result<(), netlink::Error> {
        let wanted = Wanted::of(config);
        let old = std::mem::replace(&mut self.wanted, wanted);
        let (device, new) = (self.device, self.wanted.clone());
        for rule in old.rules.iter().filter(|rule| !new.rules.contains(rule)) {
            ignore_missing(self.netlink.delete_rule(rule))?;
        }
        for address in old.addresses.iter().filter(|one| !new.addresses.contains(one)) {
            ignore_missing(self.netlink.delete_address(&host(device, *address)))?;
        }
        for address in new.addresses.iter().filter(|one| !old.addresses.contains(one)) {
            ignore_existing(self.netlink.add_address(&host(device, *address)))?;
        }
        self.refresh_routes()?;
        for rule in new.rules.iter().filter(|rule| !old.rules.contains(rule)) {
            ignore_existing(self.netlink.add_rule(rule))?;
        }
        Ok(())
    }

    /// Follows this machine's addresses: the overlay's routes get the one inside its own
    /// EID-prefixes as source, and the others stay outside.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn refresh_routes(&mut self) -> Result<(), netlink::Error> {
        let (sources, others): (Vec<_>, Vec<_>) =
            self.addresses()?.into_iter().partition(|address| self.wanted.is_own(*address));
        self.set_outside(&others)?;
        let route = |prefix: &EidPrefix| {
            let mut route = Route::new(prefix.address(), prefix.len());
            (route.table, route.output) = (self.wanted.table, Some(self.device));
            route.source =
                sources.iter().copied().find(|one| one.is_ipv4() == prefix.address().is_ipv4());
            route
        };
        let routes: Vec<Route> = self.wanted.eid_space.iter().map(route).collect();
        for old in self.routes.iter().filter(|old| !routes.iter().any(|new| is_same(old, new))) {
            ignore_missing(self.netlink.delete_route(old))?;
        }
        for new in routes.iter().filter(|new| !self.routes.contains(new)) {
            self.netlink.replace_route(new)?;
        }
        self.routes = routes;
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
        let route = self.throw(&eid_prefix);
        match (place, is_native) {
            (None, true) => {
                self.netlink.replace_route(&route)?;
                self.native.push(eid_prefix);
                Ok(())
            }
            (Some(place), false) => {
                self.native.swap_remove(place);
                ignore_missing(self.netlink.delete_route(&route))
            }
            _ => Ok(()),
        }
    }

    /// Ends the look-up in the overlay's table: the next rule decides.
    fn throw(&self, eid_prefix: &EidPrefix) -> Route {
        Route {
            kind: RouteKind::Throw,
            table: self.wanted.table,
            ..Route::new(eid_prefix.address(), eid_prefix.len())
        }
    }

    /// Keeps packets from these addresses of ours out of an overlay that takes everything.
    fn set_outside(&mut self, addresses: &[IpAddr]) -> Result<(), netlink::Error> {
        let rule = |address: &IpAddr| self.wanted.outside(*address);
        let rules: Vec<Rule> = addresses.iter().filter_map(rule).collect();
        for old in self.outside.iter().filter(|old| !rules.contains(old)) {
            ignore_missing(self.netlink.delete_rule(old))?;
        }
        for new in rules.iter().filter(|new| !self.outside.contains(new)) {
            ignore_existing(self.netlink.add_rule(new))?;
        }
        self.outside = rules;
        Ok(())
    }

    /// This machine's addresses that others may send to.
    fn addresses(&mut self) -> Result<Vec<IpAddr>, netlink::Error> {
        let addresses = self.netlink.list(|socket, each| socket.addresses(each))?;
        let usable = addresses.iter().filter(|one| one.is_usable() && one.scope == SCOPE_GLOBAL);
        Ok(usable.map(|address| address.ip).collect())
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        for rule in self.wanted.rules.iter().chain(&self.outside) {
            let _ = self.netlink.delete_rule(rule);
        }
        for eid_prefix in std::mem::take(&mut self.native) {
            let route = self.throw(&eid_prefix);
            let _ = self.netlink.delete_route(&route);
        }
    }
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

    #[test]
    fn addresses_that_are_no_eids_stay_outside_an_overlay_that_takes_everything() {
        let wanted = |space: &str| Wanted {
            eid_space: vec![space.parse().expect("a prefix")],
            eid_prefixes: vec!["10.1.0.0/24".parse().expect("a prefix")],
            rules: vec![Rule::new(Family::V4, 5090, TABLE_MAIN)],
            ..Wanted::default()
        };
        let (eid, rloc, v6) = ("10.1.0.1", "192.0.2.1", "2001:db8::1");
        let [eid, rloc, v6] =
            [eid, rloc, v6].map(|text| text.parse::<IpAddr>().expect("an address"));
        assert!(wanted("0.0.0.0/0").is_own(eid) && !wanted("0.0.0.0/0").is_own(rloc));
        let rule = wanted("0.0.0.0/0").outside(rloc).expect("a rule");
        assert_eq!((rule.source, rule.priority), (Some((rloc, 32)), 5090));
        assert_eq!(wanted("0.0.0.0/0").outside(v6), None);
        assert_eq!(wanted("10.0.0.0/8").outside(rloc), None);
        let by_hand = Wanted { rules: Vec::new(), ..wanted("0.0.0.0/0") };
        assert_eq!(by_hand.outside(rloc), None);
    }
}
