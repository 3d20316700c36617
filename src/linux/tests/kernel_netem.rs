//! Queueing disciplines of a real kernel that has netem.

extern crate lispguard_linux as linux;

mod isolated;

use std::time::{Duration, Instant};

use isolated::{Node, ip, isolated, joined};
use linux::TransferError;
use linux::icmp::EchoSocket;
use linux::netlink::{Family, Netem};

/// The round trip of a ping, `None` when no reply came in time.
fn ping(node: &Node, patience: Duration) -> Option<Duration> {
    let to = ip("192.0.2.2");
    let socket = node.open(|| EchoSocket::open(Family::of(to), 7)).expect("a socket");
    let started_at = Instant::now();
    socket.send(to, 1, b"hello").expect("sent");
    let mut buffer = [0; 200];
    while started_at.elapsed() < patience {
        match socket.receive(&mut buffer) {
            Ok(Some(reply)) if reply.from == to => return Some(started_at.elapsed()),
            Ok(_) | Err(TransferError::WouldBlock) => {}
            Err(error) => panic!("{error:?}"),
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    None
}

#[test]
fn netem_delays_and_loses_until_it_is_deleted() {
    isolated("netem_delays_and_loses_until_it_is_deleted", || {
        let (mut a, _b) = joined();
        a.wait_until_running("to-b");
        let patience = Duration::from_secs(5);
        // The first one waits for the neighbour's address.
        ping(&a, patience).expect("an answer");
        let index = a.index("to-b");
        let delay = Duration::from_millis(60);
        let netem = Netem { delay, ..Netem::default() };
        a.netlink.replace_netem(index, &netem).expect("a kernel with netem");
        assert!(ping(&a, patience).expect("an answer") >= delay);
        a.netlink.replace_netem(index, &Netem { rate: Some(1000), ..netem }).expect("slower");
        let slow = ping(&a, patience).expect("an answer");
        assert!(slow >= delay + Duration::from_millis(40), "47 octets take 47 ms: {slow:?}");
        a.netlink.replace_netem(index, &netem).expect("as fast as they come again");
        let fast = ping(&a, patience).expect("an answer");
        assert!(fast < slow - Duration::from_millis(20), "{fast:?} {slow:?}");
        a.netlink.replace_netem(index, &Netem { loss: 1.0, ..netem }).expect("lossy");
        assert_eq!(ping(&a, Duration::from_millis(300)), None);
        a.netlink.delete_root_qdisc(index).expect("deleted");
        assert!(ping(&a, patience).is_some());
        assert!(a.netlink.delete_root_qdisc(index).expect_err("deleted before").is_missing());
        let error = a.netlink.replace_netem(9999, &netem).expect_err("no such interface");
        assert!(error.is_missing() && !error.is_unsupported(), "{error}");
    });
}
