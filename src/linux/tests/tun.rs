//! TUN devices that outlive the process that made them.

extern crate lispguard_linux as linux;

mod isolated;

use std::io::ErrorKind;

use isolated::{Node, eventually, ip, isolated};
use linux::netlink::{Family, NextHop, Route, RouteQuery};
use linux::tun::Tun;
use linux::udp::Socket;

#[test]
fn a_persistent_device_is_kept_and_taken_over() {
    isolated("a_persistent_device_is_kept_and_taken_over", || {
        let mut node = Node::new();
        let tun = node.open(|| Tun::open_persistent("lg-miss")).expect("a device");
        let index = tun.index();
        node.netlink.set_link_alias(index, "lispguard").expect("set");
        node.up("lg-miss");
        node.add_address("lg-miss", "198.51.100.1", 32);
        let mut route = Route::new(ip("203.0.113.0"), 24);
        route.output = Some(index);
        node.netlink.add_route(&route).expect("added");
        let busy = node.open(|| Tun::open_persistent("lg-miss")).expect_err("it is open");
        assert_eq!(busy.kind(), ErrorKind::ResourceBusy, "{busy}");
        drop(tun);

        let link = node.netlink.link("lg-miss").expect("it is still there");
        assert!(link.is_up() && link.kind.is_some_and(|kind| kind == "tun"), "{link:?}");
        assert!(link.alias.is_some_and(|alias| alias == "lispguard"));
        let tun = node.open(|| Tun::open_persistent("lg-miss")).expect("taken over");
        assert_eq!(tun.index(), index);
        // Until the kernel has seen that it is open again, it drops what is sent.
        node.wait_until_running("lg-miss");
        let from = "198.51.100.1:4000".parse().expect("an address");
        let socket = node.open(|| Socket::bind(from)).expect("a socket");
        socket.send_to(b"hello", "203.0.113.9:1".parse().expect("an address")).expect("sent");
        let mut buffer = [0; 100];
        // Other packets, such as router solicitations, come too.
        while eventually(|| tun.receive(&mut buffer)) != 33 || buffer[0] >> 4 != 4 {}
        assert_eq!(&buffer[28..33], b"hello");

        tun.set_persistent(false).expect("set");
        drop(tun);
        assert!(node.netlink.link("lg-miss").expect_err("gone").is_missing());
    });
}

#[test]
fn the_name_of_another_interface_is_refused() {
    isolated("the_name_of_another_interface_is_refused", || {
        let mut node = Node::new();
        node.netlink.create_link("taken", "bridge").expect("a bridge");
        let error = node.open(|| Tun::open_persistent("taken")).expect_err("a bridge");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(node.netlink.link("taken").is_ok());
    });
}

#[test]
fn flows_are_shared_among_devices_without_gateways() {
    isolated("flows_are_shared_among_devices_without_gateways", || {
        let mut node = Node::new();
        let tuns = ["first", "second"].map(|name| {
            let tun = node.open(|| Tun::open(name)).expect("a device");
            node.up(name);
            tun
        });
        for (family, prefix, len, own) in [
            (Family::V4, "198.51.0.0", 16, "192.0.2.1"),
            (Family::V6, "2001:db8:51::", 48, "2001:db8::1"),
        ] {
            node.add_address("first", own, family.host_prefix_len());
            let mut route = Route::new(ip(prefix), len);
            (route.source, route.metric) = (Some(ip(own)), Some(1024));
            for weights in [(1, 1), (1, 3), (200, 50)] {
                let hop =
                    |tun: &Tun, weight| NextHop { output: tun.index(), gateway: None, weight };
                let hops = [hop(&tuns[0], weights.0), hop(&tuns[1], weights.1)];
                node.netlink.replace_multipath(&route, &hops).expect("replaced");
                let mut listed = Vec::new();
                let collect = |_: &Route, hops: linux::netlink::NextHops<'_>| {
                    let hops: Vec<_> = hops.collect();
                    if hops.len() > 1 {
                        listed.push(hops);
                    }
                };
                let table = linux::netlink::TABLE_MAIN;
                node.netlink.routes_and_hops(family, table, collect).expect("a listing");
                assert_eq!(listed, [hops]);
                let mut count = 0;
                for number in 0..400_u16 {
                    let [high, low] = number.to_be_bytes();
                    let query = RouteQuery::new(match family {
                        Family::V4 => [198, 51, high, low].into(),
                        Family::V6 => [0x2001, 0xdb8, 0x51, 0, 0, 0, 0, number].into(),
                    });
                    let way = node.netlink.lookup_route(&query).expect("asked").expect("a way");
                    assert_eq!(way.source, Some(ip(own)));
                    count += u32::from(way.output == Some(tuns[0].index()));
                }
                let (share, wanted) = (
                    f64::from(count) / 400.0,
                    f64::from(weights.0) / f64::from(weights.0 + weights.1),
                );
                assert!((share - wanted).abs() < 0.12, "{family:?} {weights:?}: {share}");
            }
        }
    });
}
