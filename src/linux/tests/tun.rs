//! TUN devices that outlive the process that made them.

extern crate lispguard_linux as linux;

mod isolated;

use std::io::ErrorKind;

use isolated::{Node, eventually, ip, isolated};
use linux::netlink::Route;
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
