//! Counts allocations: there are none per message, datagram, event or wait.

extern crate lispguard_linux as linux;

mod isolated;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use isolated::{eventually, ip, isolated, joined};
use linux::netlink::{Error, Family, Monitor, Route, RouteQuery, TABLE_MAIN};
use linux::poller::{Interest, Poller};
use linux::timer::Timer;
use linux::udp::{ReceiveBatch, SendBatch, Socket};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn netlink_allocates_nothing_per_message() {
    isolated("netlink_allocates_nothing_per_message", || {
        let (mut node, _other) = joined();
        let mut monitor = node.open(Monitor::open).expect("a monitor");
        let mut route = Route::new(ip("198.51.100.0"), 24);
        route.gateway = Some(ip("192.0.2.2"));
        let count = allocations(|| {
            for _ in 0..10 {
                node.netlink.replace_route(&route).expect("replaced");
                let query = RouteQuery::new(ip("198.51.100.1"));
                assert!(node.netlink.lookup_route(&query).expect("asked").is_some());
                let mut seen = 0;
                // Link-local addresses come meanwhile.
                let is_fine = |result| matches!(result, Ok(()) | Err(Error::Interrupted));
                assert!(is_fine(node.netlink.links(|_| seen += 1)));
                assert!(is_fine(node.netlink.addresses(|_| seen += 1)));
                assert!(is_fine(node.netlink.routes(Family::V4, TABLE_MAIN, |_| seen += 1)));
                assert!(is_fine(node.netlink.rules(Family::V6, |_| seen += 1)));
                assert!(is_fine(node.netlink.routes_and_hops(
                    Family::V6,
                    TABLE_MAIN,
                    |_, hops| {
                        seen += hops.count();
                    }
                )));
                assert!(node.netlink.link_statistics(1).is_ok());
                assert!(seen > 0);
                node.netlink.delete_route(&route).expect("deleted");
                assert!(node.netlink.delete_route(&route).expect_err("gone").is_missing());
                while monitor.poll_event().expect("a monitor").is_some() {}
            }
        });
        assert_eq!(count, 0);
    });
}

#[test]
fn sockets_and_waiting_allocate_nothing_per_datagram() {
    isolated("sockets_and_waiting_allocate_nothing_per_datagram", || {
        let (a, b) = joined();
        let to = "192.0.2.2:5000".parse().expect("an address");
        let receiver = b.open(|| Socket::bind(to)).expect("a socket");
        let any = "0.0.0.0:0".parse().expect("an address");
        let sender = a.open(|| Socket::bind(any)).expect("a socket");
        let (mut out, mut into) = (SendBatch::new(16, 1500), ReceiveBatch::new(16, 1500));
        let mut poller = Poller::new().expect("epoll");
        let timer = Timer::new().expect("a timer");
        poller.add(&receiver, 1, Interest::Readable).expect("added");
        poller.add(&timer, 2, Interest::Readable).expect("added");
        let count = allocations(|| {
            for _ in 0..10 {
                (0..16).for_each(|_| assert!(out.push(&[1; 1400], to)));
                assert_eq!(sender.send_batch(&mut out), Ok(16));
                timer.arm_after(Duration::from_millis(1)).expect("armed");
                assert!(poller.wait(None).expect("a wait").len() > 0);
                let mut seen = 0;
                while seen < 16 {
                    seen += eventually(|| receiver.receive_batch(&mut into));
                    assert!(into.datagram(0).is_some());
                }
                sender.send_to(&[2; 100], to).expect("sent");
                let mut buffer = [0; 200];
                assert_eq!(eventually(|| receiver.receive_from(&mut buffer)).0, 100);
                timer.disarm().expect("disarmed");
            }
        });
        assert_eq!(count, 0);
    });
}
