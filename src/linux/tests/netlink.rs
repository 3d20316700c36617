//! Links, addresses, routes, rules and events of real namespaces.

extern crate lispguard_linux as linux;

mod isolated;

use std::os::fd::AsFd;
use std::time::Duration;

use isolated::{Node, eventually, ip, isolated, joined};
use linux::Errno;
use linux::icmp::EchoSocket;
use linux::netlink::{
    Address, Error, Event, Family, Link, Monitor, Netem, NextHop, Route, RouteKind, RouteQuery,
    Rule, RuleAction, TABLE_MAIN,
};
use linux::poller::{Interest, Poller};

fn ping(node: &Node, to: &str) {
    let to = ip(to);
    let socket = node.open(|| EchoSocket::open(Family::of(to), 7)).expect("a socket");
    socket.send(to, 3, b"hello").expect("sent");
    let mut buffer = [0; 200];
    let reply = loop {
        if let Some(reply) = eventually(|| socket.receive(&mut buffer)) {
            break reply;
        }
    };
    assert_eq!((reply.from, reply.sequence), (to, 3));
    assert_eq!(&buffer[reply.payload], b"hello");
}

#[test]
fn two_namespaces_reach_each_other_over_a_veth_pair() {
    isolated("two_namespaces_reach_each_other_over_a_veth_pair", || {
        let (a, b) = joined();
        ping(&a, "192.0.2.2");
        ping(&a, "2001:db8::2");
        ping(&b, "192.0.2.1");
        ping(&b, "2001:db8::1");
    });
}

#[test]
fn a_link_is_changed_and_deleted() {
    isolated("a_link_is_changed_and_deleted", || {
        let (mut a, mut b) = (Node::new(), Node::new());
        a.netlink.create_veth("first", "second", None).expect("a pair");
        let index = a.index("first");
        a.netlink.rename_link(index, "renamed").expect("renamed");
        a.netlink.set_link_mtu(index, 1280).expect("an MTU");
        let link = a.netlink.link("renamed").expect("a link");
        assert_eq!((link.index, link.mtu, link.is_up()), (index, 1280, false));
        assert_eq!(link.kind.expect("a kind"), "veth");
        a.up("renamed");
        let link = a.netlink.link("renamed").expect("a link");
        assert!(link.is_up() && !link.is_running(), "its peer is down");
        a.up("second");
        a.wait_until_running("renamed");

        a.netlink.create_link("bridge", "bridge").expect("a bridge");
        let bridge = a.index("bridge");
        a.netlink.set_link_master(index, Some(bridge)).expect("a port");
        assert_eq!(a.netlink.link("renamed").expect("a link").master, Some(bridge));
        a.netlink.set_link_master(index, None).expect("no port");
        assert_eq!(a.netlink.link("renamed").expect("a link").master, None);
        a.netlink.set_link_down(index).expect("down");

        a.netlink.move_link(index, b.namespace.as_fd()).expect("moved");
        assert!(a.netlink.link("renamed").expect_err("gone").is_missing());
        let moved = b.index("renamed");
        b.netlink.delete_link(moved).expect("deleted");
        assert!(a.netlink.link("second").expect_err("gone with its peer").is_missing());
        let links = a.netlink.list(|netlink, each| netlink.links(each)).expect("a listing");
        let has = |name: &str| links.iter().any(|link: &Link| link.name == name);
        assert!(has("lo") && has("bridge") && !has("second"));
    });
}

#[test]
fn a_link_has_an_alias_and_statistics() {
    isolated("a_link_has_an_alias_and_statistics", || {
        let (mut a, _b) = joined();
        let index = a.index("to-b");
        assert_eq!(a.netlink.link("to-b").expect("a link").alias, None);
        a.netlink.set_link_alias(index, "lispguard").expect("set");
        let link = a.netlink.link_at(index).expect("a link");
        assert_eq!(
            (link.name.as_str(), link.alias.expect("an alias").as_str()),
            ("to-b", "lispguard")
        );
        let links = a.netlink.list(|netlink, each| netlink.links(each)).expect("a listing");
        assert!(links.contains(&a.netlink.link("to-b").expect("a link")), "{links:?}");
        a.netlink.set_link_alias(index, &"x".repeat(255)).expect("set");
        assert_eq!(
            a.netlink.link_at(index).expect("a link").alias,
            linux::Text::new(&"x".repeat(31))
        );
        assert!(a.netlink.set_link_alias(index, &"x".repeat(256)).is_err());
        a.netlink.set_link_alias(index, "").expect("removed");
        assert_eq!(a.netlink.link_at(index).expect("a link").alias, None);

        let before = a.netlink.link_statistics(index).expect("statistics");
        ping(&a, "192.0.2.2");
        let after = a.netlink.link_statistics(index).expect("statistics");
        assert!(after.rx_packets > before.rx_packets && after.tx_packets > before.tx_packets);
        assert!(after.rx_octets >= before.rx_octets + 33, "{before:?} {after:?}");
        assert!(after.tx_octets >= before.tx_octets + 33, "{before:?} {after:?}");
        // Nothing else comes with the answer, and a refusal ends it as well.
        for _ in 0..3 {
            assert!(a.netlink.link_statistics(9999).is_err());
            let again = a.netlink.link_statistics(index).expect("statistics");
            assert!(again.tx_octets >= after.tx_octets);
            let mut poller = Poller::new().expect("a poller");
            poller.add(a.netlink.as_fd(), 0, Interest::Readable).expect("added");
            assert_eq!(poller.wait(Some(Duration::ZERO)).expect("a wait").len(), 0);
        }
        for error in [
            a.netlink.link_at(9999).expect_err("no such link"),
            a.netlink.link_statistics(9999).expect_err("no such link"),
        ] {
            assert!(error.is_missing(), "{error}");
        }
    });
}

#[test]
fn several_next_hops_share_a_route() {
    isolated("several_next_hops_share_a_route", || {
        let (mut node, _other) = joined();
        node.netlink.create_veth("second", "its-peer", None).expect("a pair");
        node.add_address("second", "203.0.113.1", 24);
        node.add_address("second", "2001:db8:2::1", 64);
        node.up("second");
        node.up("its-peer");
        let (first, second) = (node.index("to-b"), node.index("second"));
        for (family, prefix, gateways) in [
            (Family::V4, "198.51.100.0", ["192.0.2.2", "203.0.113.2"]),
            (Family::V6, "2001:db8:1::", ["2001:db8::2", "fe80::1"]),
        ] {
            let hop =
                |output, gateway, weight| NextHop { output, gateway: Some(ip(gateway)), weight };
            let hops = [hop(first, gateways[0], 1), hop(second, gateways[1], 9)];
            let mut route = Route::new(ip(prefix), if family == Family::V4 { 24 } else { 48 });
            (route.table, route.metric, route.protocol) = (43_420, Some(7), 76);
            (route.mtu, route.advertised_mss) = (Some(1380), Some(1320));
            node.netlink.replace_multipath(&route, &hops).expect("added");
            let mut listed = Vec::new();
            let collect = |route: &Route, hops: linux::netlink::NextHops<'_>| {
                listed.push((*route, hops.collect::<Vec<_>>()));
            };
            node.netlink.routes_and_hops(family, 43_420, collect).expect("a listing");
            let (output, gateway) = (Some(first), Some(ip(gateways[0])));
            let expected = Route { output, gateway, is_multipath: true, ..route };
            assert_eq!(listed, [(expected, hops.to_vec())]);
            node.netlink.delete_route(&expected).expect("deleted");
            assert_eq!(self::listed(&mut node, family, 43_420), []);
            node.netlink.replace_multipath(&route, &hops).expect("added again");
            node.netlink.replace_multipath(&route, &hops[1..]).expect("replaced");
            let found = self::listed(&mut node, family, 43_420);
            assert_eq!((found.len(), found[0].output), (1, Some(second)));
            assert!(!found[0].is_multipath && found[0].gateway == Some(ip(gateways[1])));
            let error = node.netlink.replace_multipath(&route, &[hops[0]; 40]);
            assert_eq!(error, Err(Error::TooLong));
            node.netlink.delete_route(&route).expect("deleted");
            assert_eq!(self::listed(&mut node, family, 43_420), []);
        }
    });
}

#[test]
fn a_refusal_has_the_kernels_words() {
    isolated("a_refusal_has_the_kernels_words", || {
        let mut node = Node::new();
        node.netlink.create_link("twice", "bridge").expect("a bridge");
        assert!(node.netlink.create_link("twice", "bridge").expect_err("taken").is_existing());
        let error = node.netlink.create_link("x", "no such kind").expect_err("unknown");
        assert_eq!(error.errno(), Some(Errno::EOPNOTSUPP));
        assert!(error.to_string().contains("Unknown device type"), "{error}");
        let error = node.netlink.create_link(&"x".repeat(16), "bridge").expect_err("too long");
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        let error = node.netlink.create_link(&"x".repeat(600), "bridge").expect_err("too long");
        assert_eq!(error, Error::TooLong);
        let mut route = Route::new(ip("192.0.2.0"), 24);
        route.gateway = Some(ip("198.51.100.1"));
        let error = node.netlink.add_route(&route).expect_err("no way to the gateway");
        assert!(error.to_string().contains("gateway"), "{error}");
    });
}

#[test]
fn netem_is_there_or_unsupported() {
    isolated("netem_is_there_or_unsupported", || {
        let mut node = Node::new();
        let index = node.index("lo");
        match node.netlink.replace_netem(index, &Netem::default()) {
            Ok(()) => node.netlink.delete_root_qdisc(index).expect("deleted"),
            Err(error) => assert!(error.is_unsupported(), "{error}"),
        }
    });
}

#[test]
fn addresses_come_and_go() {
    isolated("addresses_come_and_go", || {
        let mut node = Node::new();
        node.netlink.create_link("net", "bridge").expect("a bridge");
        let index = node.index("net");
        let added = [
            Address::new(index, ip("192.0.2.1"), 24),
            Address::new(index, ip("192.0.2.9"), 32),
            Address::new(index, ip("2001:db8::1"), 64),
            Address::new(index, ip("2001:db8::9"), 128),
        ];
        for address in &added {
            node.netlink.add_address(address).expect("added");
            node.netlink.add_address(address).expect("added again");
        }
        node.up("net");
        let listed = node.netlink.list(|netlink, each| netlink.addresses(each)).expect("a listing");
        for address in &added {
            let found = listed.iter().find(|found| found.ip == address.ip).expect("listed");
            assert_eq!((found.index, found.prefix_len), (index, address.prefix_len));
            assert!(found.is_usable(), "usable at once: {found:?}");
        }
        for address in &added {
            node.netlink.delete_address(address).expect("deleted");
            let error = node.netlink.delete_address(address).expect_err("gone");
            assert!(error.is_missing(), "{error}");
        }
        let left = node.netlink.list(|netlink, each| netlink.addresses(each)).expect("a listing");
        assert!(left.iter().all(|left| added.iter().all(|added| added.ip != left.ip)));
    });
}

fn listed(node: &mut Node, family: Family, table: u32) -> Vec<Route> {
    let routes = node.netlink.list(|netlink, each| netlink.routes(family, table, each));
    routes.expect("a listing")
}

#[test]
fn routes_of_every_kind_stand_in_a_table_of_our_own() {
    isolated("routes_of_every_kind_stand_in_a_table_of_our_own", || {
        let (mut node, _other) = joined();
        let output = node.index("to-b");
        for (family, prefix, len, gateway, source) in [
            (Family::V4, "198.51.100.0", 24, "192.0.2.2", "192.0.2.1"),
            (Family::V6, "2001:db8:1::", 48, "2001:db8::2", "2001:db8::1"),
        ] {
            assert_eq!(listed(&mut node, family, 43_420), []);
            let mut route = Route::new(ip(prefix), len);
            (route.table, route.metric, route.mtu) = (43_420, Some(7), Some(1380));
            (route.gateway, route.output) = (Some(ip(gateway)), Some(output));
            route.source = Some(ip(source));
            node.netlink.add_route(&route).expect("added");
            assert!(node.netlink.add_route(&route).expect_err("there").is_existing());
            assert_eq!(listed(&mut node, family, 43_420), [route]);
            (route.gateway, route.mtu) = (None, None);
            node.netlink.replace_route(&route).expect("replaced");
            assert_eq!(listed(&mut node, family, 43_420), [route]);
            for kind in [RouteKind::Unreachable, RouteKind::Blackhole, RouteKind::Throw] {
                let mut other = Route::new(family.unspecified(), 0);
                (other.table, other.kind, other.metric) = (43_420, kind, Some(9));
                node.netlink.add_route(&other).expect("added");
                let found = listed(&mut node, family, 43_420);
                assert!(found.iter().any(|found| found.kind == kind && found.prefix_len == 0));
                node.netlink.delete_route(&other).expect("deleted");
                assert!(node.netlink.delete_route(&other).expect_err("gone").is_missing());
            }
            node.netlink.delete_route(&route).expect("deleted");
            assert_eq!(listed(&mut node, family, 43_420), []);
        }
    });
}

#[test]
fn an_ipv4_route_may_have_an_ipv6_gateway() {
    isolated("an_ipv4_route_may_have_an_ipv6_gateway", || {
        let (mut node, _other) = joined();
        let mut route = Route::new(ip("198.51.100.0"), 24);
        (route.gateway, route.output) = (Some(ip("2001:db8::2")), Some(node.index("to-b")));
        node.netlink.add_route(&route).expect("added");
        let found = node.netlink.lookup_route(&RouteQuery::new(ip("198.51.100.1")));
        assert_eq!(found.expect("asked").expect("a way").gateway, route.gateway);
    });
}

#[test]
fn a_lookup_follows_rules_and_marks() {
    isolated("a_lookup_follows_rules_and_marks", || {
        let (mut node, _other) = joined();
        let output = node.index("to-b");
        for (family, anywhere, gateway, own) in [
            (Family::V4, "203.0.113.9", "192.0.2.2", "192.0.2.1"),
            (Family::V6, "2001:db8:ff::9", "2001:db8::2", "2001:db8::1"),
        ] {
            let mut query = RouteQuery::new(ip(anywhere));
            assert_eq!(node.netlink.lookup_route(&query), Ok(None));
            let mut route = Route::new(family.unspecified(), 0);
            (route.table, route.gateway, route.output) = (4342, Some(ip(gateway)), Some(output));
            node.netlink.add_route(&route).expect("added");
            let mut rule = Rule::new(family, 100, 4342);
            (rule.mark, rule.is_inverted) = (Some(0x4c49), true);
            node.netlink.add_rule(&rule).expect("added");
            assert!(node.netlink.add_rule(&rule).expect_err("there").is_existing());
            let rules =
                node.netlink.list(|netlink, each| netlink.rules(family, each)).expect("a listing");
            assert!(rules.contains(&rule), "{rules:?}");

            let found = node.netlink.lookup_route(&query).expect("asked").expect("a way");
            assert_eq!((found.gateway, found.output), (Some(ip(gateway)), Some(output)));
            assert_eq!(found.source, Some(ip(own)));
            query.mark = Some(0x4c49);
            assert_eq!(node.netlink.lookup_route(&query), Ok(None), "the mark escapes the rule");
            query.mark = None;

            // wg-quick's second rule: what the main table knows better than a default route wins.
            let mut first = Rule::new(family, 99, TABLE_MAIN);
            first.suppress_prefix_len = Some(0);
            node.netlink.add_rule(&first).expect("added");
            let mut default = Route::new(family.unspecified(), 0);
            default.output = Some(output);
            node.netlink.add_route(&default).expect("added");
            let gateway_of = |node: &mut Node| {
                let found = node.netlink.lookup_route(&query).expect("asked");
                found.expect("a way").gateway
            };
            assert_eq!(gateway_of(&mut node), Some(ip(gateway)), "the default is suppressed");
            node.netlink.delete_rule(&first).expect("deleted");
            node.netlink.delete_rule(&rule).expect("deleted");
            assert_eq!(gateway_of(&mut node), None, "the main table's default");
            assert!(node.netlink.delete_rule(&rule).expect_err("gone").is_missing());
        }
        let query = RouteQuery::new(ip("127.0.0.1"));
        let found = node.netlink.lookup_route(&query).expect("asked").expect("a way");
        assert_eq!(found.kind, RouteKind::Local);
    });
}

#[test]
fn a_rule_may_ask_for_source_destination_and_input() {
    isolated("a_rule_may_ask_for_source_destination_and_input", || {
        let mut node = Node::new();
        let mut rule = Rule::new(Family::V4, 50, 4342);
        rule.source = Some((ip("192.0.2.0"), 24));
        rule.destination = Some((ip("198.51.100.0"), 25));
        rule.input = linux::Text::new("lo");
        node.netlink.add_rule(&rule).expect("added");
        let rules =
            node.netlink.list(|netlink, each| netlink.rules(Family::V4, each)).expect("a listing");
        assert!(rules.contains(&rule), "{rules:?}");
        node.netlink.delete_rule(&rule).expect("deleted");
    });
}

#[test]
fn rules_jump_over_others_and_drop() {
    isolated("rules_jump_over_others_and_drop", || {
        let (mut node, _other) = joined();
        for (family, to) in [(Family::V4, "192.0.2.2"), (Family::V6, "2001:db8::2")] {
            let mut jump = Rule::with_action(family, 50, RuleAction::Goto(70));
            (jump.mark, jump.protocol) = (Some(1), 76);
            let mut drop = Rule::with_action(family, 60, RuleAction::Unreachable);
            drop.protocol = 76;
            let mut target = Rule::with_action(family, 70, RuleAction::Nop);
            target.protocol = 76;
            let mut query = RouteQuery::new(ip(to));
            for rule in [&jump, &drop, &target] {
                node.netlink.add_rule(rule).expect("added");
                assert!(node.netlink.add_rule(rule).expect_err("there").is_existing());
            }
            let rules =
                node.netlink.list(|netlink, each| netlink.rules(family, each)).expect("a listing");
            for rule in [&jump, &drop, &target] {
                assert!(rules.contains(rule), "{rules:?}");
            }
            assert_eq!(node.netlink.lookup_route(&query), Ok(None), "dropped");
            query.mark = Some(1);
            assert!(node.netlink.lookup_route(&query).expect("asked").is_some(), "jumped over it");
            for rule in [&jump, &drop, &target] {
                node.netlink.delete_rule(rule).expect("deleted");
                assert!(node.netlink.delete_rule(rule).expect_err("gone").is_missing());
            }
            query.mark = None;
            assert!(node.netlink.lookup_route(&query).expect("asked").is_some());
            let backwards = Rule::with_action(family, 70, RuleAction::Goto(50));
            assert!(node.netlink.add_rule(&backwards).is_err());
        }
    });
}

fn wait_for(monitor: &mut Monitor, what: &str, is_it: impl Fn(&Event) -> bool) {
    let started = std::time::Instant::now();
    while started.elapsed().as_secs() < 10 {
        match monitor.poll_event().expect("a monitor") {
            Some(event) if is_it(&event) => return,
            Some(_) => {}
            None => std::thread::sleep(std::time::Duration::from_millis(1)),
        }
    }
    panic!("no event: {what}");
}

#[test]
fn a_monitor_sees_links_addresses_and_routes() {
    isolated("a_monitor_sees_links_addresses_and_routes", || {
        let mut node = Node::new();
        let mut monitor = node.open(Monitor::open).expect("a monitor");
        assert_eq!(monitor.poll_event(), Ok(None));
        node.netlink.create_veth("one", "two", None).expect("a pair");
        node.up("one");
        wait_for(&mut monitor, "up", |event| match event {
            Event::LinkChanged(link) => link.name == "one" && link.is_up() && !link.is_running(),
            _ => false,
        });
        node.up("two");
        wait_for(&mut monitor, "carrier", |event| match event {
            Event::LinkChanged(link) => link.name == "one" && link.is_running(),
            _ => false,
        });
        let index = node.index("one");
        for (text, len, prefix) in
            [("192.0.2.1", 24, "198.51.100.0"), ("2001:db8::1", 64, "2001:db8:1::")]
        {
            let address = Address::new(index, ip(text), len);
            node.netlink.add_address(&address).expect("added");
            wait_for(&mut monitor, "address", |event| match event {
                Event::AddressChanged(seen) => seen.ip == address.ip && seen.index == index,
                _ => false,
            });
            let mut route = Route::new(ip(prefix), len);
            route.output = Some(index);
            node.netlink.add_route(&route).expect("added");
            wait_for(&mut monitor, "route", |event| match event {
                Event::RouteChanged(seen) => seen.destination == route.destination,
                _ => false,
            });
            node.netlink.delete_route(&route).expect("deleted");
            wait_for(&mut monitor, "no route", |event| match event {
                Event::RouteRemoved(seen) => seen.destination == route.destination,
                _ => false,
            });
            node.netlink.delete_address(&address).expect("deleted");
            wait_for(&mut monitor, "no address", |event| match event {
                Event::AddressRemoved(seen) => seen.ip == address.ip,
                _ => false,
            });
        }
        node.netlink.delete_link(index).expect("deleted");
        wait_for(&mut monitor, "no link", |event| match event {
            Event::LinkRemoved(link) => link.index == index,
            _ => false,
        });
    });
}

#[test]
fn a_monitor_that_fell_behind_says_so_and_goes_on() {
    isolated("a_monitor_that_fell_behind_says_so_and_goes_on", || {
        let mut node = Node::new();
        let mut monitor = node.open(Monitor::open).expect("a monitor");
        let index = node.index("lo");
        let mut route = Route::new(ip("198.51.100.0"), 24);
        (route.output, route.table) = (Some(index), 4342);
        for _ in 0..4000 {
            node.netlink.add_route(&route).expect("added");
            node.netlink.delete_route(&route).expect("deleted");
        }
        wait_for(&mut monitor, "an overrun", |event| *event == Event::Overrun);
        while monitor.poll_event().expect("a monitor").is_some() {}
        node.netlink.set_link_down(index).expect("down");
        wait_for(&mut monitor, "down", |event| matches!(event, Event::LinkChanged(_)));
    });
}
