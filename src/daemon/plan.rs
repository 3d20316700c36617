//! Which addresses, routes and rules a configuration wants.
//!
//! Rules, in the order in which they are asked; the first priority is `option rule_priority`:
//!
//! | rule | why |
//! | --- | --- |
//! | +0 a lane's mark: main without its default routes | what is directly connected stays direct |
//! | +0 from an address that is no EID: main | only where the EID-space is everything |
//! | +1 a lane's mark: the lane's table | a lane leaves by its uplink |
//! | +2 a lane's mark: go to +6 | the tunnels' own packets never enter the overlay |
//! | +2 not to the EID-space: go to +6 | only where it is one prefix: no look-ups for all else |
//! | +3 main without its default routes | what is routed on purpose stays outside |
//! | +4 from our EID-prefixes: resolved table | kernel WireGuard forwards, for sources that are ours |
//! | +5 overlay table | all else to the EID-space: to the process, which resolves or refuses |
//! | +6 nothing | where the others go on |
//!
//! Rules of one priority are asked in the order in which they came, so that none of them has a
//! priority with another one that decides for the same packets.

use std::net::{IpAddr, Ipv4Addr};

use control::{Eid, EidPrefix};
use linux::netlink::{Family, InterfaceName, Route, RouteKind, Rule, RuleAction, TABLE_MAIN};

use crate::config::{Config, Routing, Rules};
use crate::leftovers::OVERLAY_METRIC;
use crate::links::Path;
use crate::overlay::{PROTOCOL, route};

const MAIN: u32 = 0;
const LANE: u32 = 1;
const MARKED: u32 = 2;
const DIRECT: u32 = 3;
const RESOLVED: u32 = 4;
const OVERLAY: u32 = 5;
const END: u32 = 6;

/// What the configuration says of addresses, routes and rules.
#[derive(Clone, Default, Debug)]
pub struct Plan {
    eid_space: Vec<EidPrefix>,
    eid_prefixes: Vec<EidPrefix>,
    has_addresses: bool,
    routing: Option<Routing>,
    has_resolved_table: bool,
}

impl Plan {
    /// What `config` wants; with a resolved table where the kernel forwards.
    pub fn new(config: &Config, has_resolved_table: bool) -> Plan {
        Plan {
            eid_space: config.eid_space.clone(),
            eid_prefixes: config.database(),
            has_addresses: config.roles.is_mobile_node,
            routing: Some(config.routing),
            has_resolved_table,
        }
    }

    /// Marks, tables and priorities, once there is a configuration.
    pub fn routing(&self) -> Option<&Routing> {
        self.routing.as_ref()
    }

    /// A mobile node has its EIDs as addresses; a site's EIDs belong to its LAN.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let own = self.eid_prefixes.iter().filter(|_| self.has_addresses);
        own.map(EidPrefix::address).collect()
    }

    /// Whether an address is inside our own EID-prefixes.
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.eid_prefixes
            .iter()
            .any(|own| own.contains(Eid { instance_id: own.instance_id(), address }))
    }

    /// Among routes of one EID-prefix in the main table: those of others go before ours, and what
    /// is resolved before the EID-space. Nothing of that stands in tables of our own.
    pub fn metric(&self) -> Option<u32> {
        self.routing.filter(Routing::is_main).map(|_| OVERLAY_METRIC)
    }

    /// The EID-space leads to `device`; packets of this machine get one of `sources`.
    pub fn routes(&self, device: u32, sources: &[IpAddr]) -> Vec<Route> {
        let Some(routing) = self.routing else { return Vec::new() };
        let mut routes = Vec::new();
        for prefix in &self.eid_space {
            let is_family = |one: &&IpAddr| one.is_ipv4() == prefix.address().is_ipv4();
            routes.push(Route {
                output: Some(device),
                metric: self.metric(),
                source: sources.iter().find(is_family).copied(),
                ..route(prefix, routing.table, RouteKind::Unicast)
            });
        }
        routes
    }

    /// Ends the look-up in the overlay's table: the next rule decides. In the main table it is a
    /// copy of the default route.
    pub fn native(&self, eid_prefix: &EidPrefix, defaults: &[Route]) -> Route {
        let table = self.routing.map_or(0, |routing| routing.table);
        if self.metric().is_none() {
            return route(eid_prefix, table, RouteKind::Throw);
        }
        let is_family = |one: &&Route| one.destination.is_ipv4() == eid_prefix.address().is_ipv4();
        let default = defaults.iter().filter(is_family).min_by_key(|one| one.metric);
        let kind = if default.is_some() { RouteKind::Unicast } else { RouteKind::Unreachable };
        let default = default.copied().unwrap_or_else(|| Route::new(eid_prefix.address(), 0));
        Route {
            gateway: default.gateway,
            output: default.output,
            is_on_link: default.is_on_link,
            metric: self.metric(),
            ..route(eid_prefix, table, kind)
        }
    }

    /// The way out of each lane: a default route by its best configured uplink.
    pub fn lane_routes(&self, paths: &[Path]) -> Vec<Route> {
        let Some(routing) = self.routing else { return Vec::new() };
        let mut routes: Vec<Route> = Vec::new();
        for path in paths.iter().filter(|path| is_steered(path)) {
            let family = Family::of(path.uplink.rloc);
            let table = routing.lane_table(path.uplink.lane);
            let is_there =
                |one: &Route| one.table == table && Family::of(one.destination) == family;
            if !routes.iter().any(is_there) {
                routes.push(Route {
                    table,
                    protocol: PROTOCOL,
                    gateway: path.gateway,
                    is_on_link: path.is_on_link,
                    output: Some(path.output),
                    source: Some(path.uplink.rloc),
                    ..Route::new(family.unspecified(), 0)
                });
            }
        }
        routes
    }

    /// The rules; `others` are this machine's addresses that are no EIDs.
    pub fn rules(&self, others: &[IpAddr], paths: &[Path]) -> Vec<Rule> {
        let Some(routing) = self.routing.filter(|one| one.rules == Rules::Auto) else {
            return Vec::new();
        };
        let mut rules = Vec::new();
        for family in [Family::V4, Family::V6] {
            self.add_rules(family, &routing, others, paths, &mut rules);
        }
        rules
    }

    fn add_rules(
        &self,
        family: Family,
        routing: &Routing,
        others: &[IpAddr],
        paths: &[Path],
        rules: &mut Vec<Rule>,
    ) {
        let rule = |step, action, table| Rule {
            action,
            protocol: PROTOCOL,
            ..Rule::new(family, routing.rule_priority + step, table)
        };
        let is_family = |prefix: &EidPrefix| Family::of(prefix.address()) == family;
        let mut lanes: Vec<u8> = paths.iter().map(|path| path.uplink.lane).collect();
        lanes.push(0);
        lanes.sort_unstable();
        lanes.dedup();
        let marked = |lane: &u8, rule: Rule| Rule { mark: Some(routing.lane_mark(*lane)), ..rule };
        let steered = |lane: &&u8| {
            paths.iter().any(|path| {
                path.uplink.lane == **lane
                    && is_steered(path)
                    && Family::of(path.uplink.rloc) == family
            })
        };
        let steered: Vec<u8> = lanes.iter().filter(steered).copied().collect();
        let main = |step| Rule {
            suppress_prefix_len: Some(0),
            ..rule(step, RuleAction::Lookup, TABLE_MAIN)
        };
        for lane in &steered {
            let table = routing.lane_table(*lane);
            rules.push(marked(lane, main(MAIN)));
            rules.push(marked(lane, rule(LANE, RuleAction::Lookup, table)));
        }
        if !self.eid_space.iter().any(is_family) {
            return;
        }
        // A rule goes only where there is one.
        rules.push(rule(END, RuleAction::Nop, 0));
        let end = rule(MARKED, RuleAction::Goto(routing.rule_priority + END), 0);
        for lane in &lanes {
            rules.push(marked(lane, end));
        }
        if let Some(space) = self.sole_space(family) {
            rules.push(Rule { destination: Some(space), is_inverted: true, ..end });
        }
        // The addresses whose packets stay outside an overlay that takes everything, such as the
        // answer to somebody who reached our RLOC.
        let takes_all = |prefix: &EidPrefix| prefix.len() == 0 && is_family(prefix);
        if self.eid_space.iter().any(takes_all) {
            for address in others.iter().filter(|one| Family::of(**one) == family) {
                rules.push(Rule {
                    source: Some((*address, family.host_prefix_len())),
                    ..rule(MAIN, RuleAction::Lookup, TABLE_MAIN)
                });
            }
        }
        rules.push(main(DIRECT));
        if self.has_resolved_table {
            let resolved = rule(RESOLVED, RuleAction::Lookup, routing.resolved_table());
            for own in self.eid_prefixes.iter().filter(|prefix| is_family(prefix)) {
                rules.push(Rule { source: Some((own.address(), own.len())), ..resolved });
            }
            // What this machine sends has no source before it has a route. IPv6's rules cannot say
            // "none yet", so that there a source of our own that is no EID passes too.
            let none = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 32);
            let source = (family == Family::V4).then_some(none);
            rules.push(Rule { source, input: InterfaceName::new("lo"), ..resolved });
        }
        rules.push(rule(OVERLAY, RuleAction::Lookup, routing.table));
    }

    /// The EID-space of a family, where that is one prefix and not everything.
    fn sole_space(&self, family: Family) -> Option<(IpAddr, u8)> {
        let is_family = |prefix: &&EidPrefix| Family::of(prefix.address()) == family;
        let mut spaces = self.eid_space.iter().filter(is_family);
        let sole = spaces.next().filter(|prefix| prefix.len() > 0)?;
        spaces.next().is_none().then(|| (sole.address(), sole.len()))
    }
}

/// Whether the tunnels' packets are led to this uplink rather than left to the main table.
fn is_steered(path: &Path) -> bool {
    path.place.is_some() && path.uplink.priority != 255
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(space: &str) -> Plan {
        let rules = Rules::Auto;
        let routing =
            Routing { fwmark: 7, table: 100, rule_priority: 50, rules, hashes_ports: false };
        Plan {
            eid_space: vec![space.parse().expect("a prefix")],
            eid_prefixes: vec!["10.1.0.0/24".parse().expect("a prefix")],
            has_addresses: false,
            routing: Some(routing),
            has_resolved_table: true,
        }
    }

    fn path(lane: u8, rloc: &str, output: u32) -> Path {
        let rloc = rloc.parse().expect("an address");
        let uplink = control::Uplink { lane, ..control::Uplink::new(rloc) };
        Path {
            uplink,
            place: Some(usize::from(lane)),
            output,
            gateway: None,
            is_on_link: false,
            mtu: None,
        }
    }

    fn shown(rules: &[Rule]) -> Vec<(u32, Option<u32>, u32)> {
        let mut shown: Vec<_> =
            rules.iter().map(|rule| (rule.priority, rule.mark, rule.table)).collect();
        shown.sort_by_key(|one| one.0);
        shown
    }

    #[test]
    fn addresses_that_are_no_eids_stay_outside_an_overlay_that_takes_everything() {
        let [eid, rloc, v6] = ["10.1.0.1", "192.0.2.1", "2001:db8::1"]
            .map(|text| text.parse::<IpAddr>().expect("an address"));
        assert!(plan("0.0.0.0/0").is_own(eid) && !plan("0.0.0.0/0").is_own(rloc));
        let outside = |space: &str, address| {
            let rules = plan(space).rules(&[address], &[]);
            rules.into_iter().find(|rule| rule.source == Some((address, 32)))
        };
        assert_eq!(outside("0.0.0.0/0", rloc).expect("a rule").priority, 50);
        assert_eq!(outside("0.0.0.0/0", v6), None);
        assert_eq!(outside("10.0.0.0/8", rloc), None);
        let mut by_hand = plan("0.0.0.0/0");
        by_hand.routing.as_mut().expect("routing").rules = Rules::None;
        assert!(by_hand.rules(&[rloc], &[path(0, "192.0.2.1", 1)]).is_empty());
    }

    #[test]
    fn marked_packets_leave_by_their_lane_and_pass_the_overlay_by() {
        let paths = [path(0, "192.0.2.1", 1), path(1, "198.51.100.1", 2)];
        let rules = plan("10.0.0.0/8").rules(&[], &paths);
        assert_eq!(
            shown(&rules),
            [
                (50, Some(7), TABLE_MAIN),
                (50, Some(8), TABLE_MAIN),
                (51, Some(7), 102),
                (51, Some(8), 103),
                (52, Some(7), 0),
                (52, Some(8), 0),
                (52, None, 0),
                (53, None, TABLE_MAIN),
                (54, None, 101),
                (54, None, 101),
                (55, None, 100),
                (56, None, 0),
            ]
        );
        let routes = plan("10.0.0.0/8").lane_routes(&paths);
        let ways: Vec<_> = routes.iter().map(|route| (route.table, route.output)).collect();
        assert_eq!(ways, [(102, Some(1)), (103, Some(2))]);
    }

    #[test]
    fn a_packet_to_elsewhere_passes_the_tables_by_where_the_eid_space_is_one_prefix() {
        let passes = |space: &[&str]| {
            let prefixes = space.iter().map(|one| one.parse().expect("a prefix"));
            let plan = Plan { eid_space: prefixes.collect(), ..plan("10.0.0.0/8") };
            let rules = plan.rules(&[], &[path(0, "192.0.2.1", 1)]).into_iter();
            let passes: Vec<_> = rules.filter(|rule| rule.is_inverted).collect();
            passes.iter().map(|rule| (rule.destination, rule.action)).collect::<Vec<_>>()
        };
        let space = Some(("10.0.0.0".parse().expect("an address"), 8));
        assert_eq!(passes(&["10.0.0.0/8", "fd01::/16"])[0], (space, RuleAction::Goto(56)));
        assert_eq!(passes(&["10.0.0.0/16", "10.1.0.0/16"]), []);
        assert_eq!(passes(&["0.0.0.0/0"]), []);
    }

    #[test]
    fn another_family_than_the_eid_spaces_has_rules_for_its_lanes_alone() {
        let rules = plan("10.0.0.0/8").rules(&[], &[path(0, "2001:db8::1", 1)]);
        let v6: Vec<_> = rules.iter().filter(|rule| rule.family == Family::V6).copied().collect();
        assert_eq!(shown(&v6), [(50, Some(7), TABLE_MAIN), (51, Some(7), 102)]);
    }
}
