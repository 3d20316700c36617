//! Features of interfaces, changed and read.

extern crate lispguard_linux as linux;

mod isolated;

use isolated::{Node, isolated};
use linux::{Errno, features};

#[test]
fn a_feature_is_turned_on_and_off() {
    isolated("a_feature_is_turned_on_and_off", || {
        let mut node = Node::new();
        node.netlink.create_link("br", "bridge").expect("a bridge");
        for is_on in [true, false] {
            node.open(|| features::set("br", features::UDP_JOINING, is_on)).expect("changed");
            assert_eq!(node.open(|| features::is_on("br", features::UDP_JOINING)), Ok(is_on));
        }
        // That one is among the last; this one is among the first, and on.
        assert_eq!(node.open(|| features::is_on("br", "rx-gro")), Ok(true));
    });
}

#[test]
fn what_is_not_there_is_refused() {
    isolated("what_is_not_there_is_refused", || {
        let node = Node::new();
        let set = |interface, feature| node.open(|| features::set(interface, feature, true));
        assert_eq!(set("lo", "rx-nonsense"), Err(Errno::EOPNOTSUPP));
        assert_eq!(set("lo", "loopback"), Err(Errno::EOPNOTSUPP));
        for name in ["nothing", "", "a-name-that-is-too-long"] {
            assert_eq!(set(name, features::UDP_JOINING), Err(Errno::ENODEV));
        }
    });
}
