//! TUN, UDP, packet and ICMP sockets in real namespaces.

extern crate lispguard_linux as linux;

mod isolated;

use std::fs;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};

use isolated::{Node, eventually, ip, isolated, joined};
use linux::icmp::EchoSocket;
use linux::netlink::{Family, Route, RouteKind, Rule};
use linux::packet::{Bell, Capture, Doorbell, HARDWARE_ETHERNET, Injector};
use linux::tun::{self, Tun};
use linux::udp::{self, ReceiveBatch, SendBatch, Socket};
use linux::{Errno, TransferError, namespace};

fn bind(node: &Node, address: &str) -> Socket {
    let address: SocketAddr = address.parse().expect("an address");
    node.open(|| Socket::bind(address)).expect("a socket")
}

/// An IPv4 packet with a UDP datagram without checksum.
fn udp_packet(from: [u8; 4], to: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    let len = (28 + payload.len()) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet.extend(from);
    packet.extend(to);
    let sum: u32 = packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(5000_u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend((len - 20).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

#[test]
fn a_tun_device_gives_long_packets_with_a_header() {
    isolated("a_tun_device_gives_long_packets_with_a_header", || {
        let mut node = Node::new();
        let wanted = tun::Offload { tcp: true, udp: true };
        let (tun, offload) =
            node.open(|| Tun::open_with_header("long%d", wanted)).expect("a device");
        node.add_address("long0", "10.9.0.1", 24);
        node.up("long0");
        let sender = bind(&node, "10.9.0.1:5000");
        let to = "10.9.0.2:5000".parse().expect("an address");
        let mut out = SendBatch::new(8, 1500);
        out.set_segmenting(node.open(udp::Offload::probe).splits);
        (0..3).for_each(|number| assert!(out.push(&[number; 1000], to)));
        assert_eq!(sender.send_batch(&mut out), Ok(3));
        let (mut buffer, mut seen) = (vec![0; 1 << 16], 0);
        while seen < 3000 {
            let len = eventually(|| tun.receive(&mut buffer)) - tun::VIRTIO_HEADER_LEN;
            let packet = &buffer[tun::VIRTIO_HEADER_LEN..];
            // Others are the kernel's own, such as router solicitations.
            if packet[0] == 0x45 && packet[9] == 17 {
                seen += len - 28;
                // Finished, or unfinished as was agreed on.
                assert!(buffer[0] == 0 || offload.tcp);
                assert!(buffer[1] == 0 || offload.udp);
            }
        }
        let reply = udp_packet([10, 9, 0, 2], [10, 9, 0, 1], 5000, b"back");
        let header = [0; tun::VIRTIO_HEADER_LEN];
        let parts = [IoSlice::new(&header), IoSlice::new(&reply[..20]), IoSlice::new(&reply[20..])];
        tun.send_vectored(&parts).expect("taken");
        let mut buffer = [0; 100];
        let (len, _) = eventually(|| sender.receive_from(&mut buffer));
        assert_eq!(&buffer[..len], b"back");
        let nonsense = [0xff; tun::VIRTIO_HEADER_LEN];
        assert!(tun.send_vectored(&[IoSlice::new(&nonsense), IoSlice::new(&reply)]).is_err());
    });
}

#[test]
fn packets_go_through_a_tun_device() {
    isolated("packets_go_through_a_tun_device", || {
        if let Err(error) = std::fs::OpenOptions::new().write(true).open("/dev/net/tun") {
            panic!("this test needs /dev/net/tun to be writable: {error}");
        }
        let mut node = Node::new();
        let tun = node.open(|| Tun::open("lg%d")).expect("a device");
        assert_eq!(tun.name(), "lg0");
        assert_eq!(tun.index(), node.index("lg0"));
        assert_eq!(tun.receive(&mut [0; 100]), Err(TransferError::WouldBlock));
        assert_eq!(tun.send(&[0x45; 20]), Err(TransferError::Network(Errno::EIO)), "it is down");
        node.add_address("lg0", "192.0.2.1", 24);
        node.up("lg0");
        let socket = bind(&node, "192.0.2.1:4342");
        socket.send_to(b"out", "192.0.2.7:99".parse().expect("an address")).expect("sent");
        let mut buffer = [0; 2000];
        // Router solicitations of IPv6 leave by the device as well.
        let len = loop {
            let len = eventually(|| tun.receive(&mut buffer));
            if buffer[0] >> 4 == 4 && buffer[9] == 17 {
                break len;
            }
        };
        assert_eq!((len, &buffer[16..20], &buffer[28..31]), (31, &[192, 0, 2, 7][..], &b"out"[..]));
        tun.send(&udp_packet([192, 0, 2, 7], [192, 0, 2, 1], 4342, b"in")).expect("sent");
        let (len, from) = eventually(|| socket.receive_from(&mut buffer));
        assert_eq!((&buffer[..len], from.ip()), (&b"in"[..], ip("192.0.2.7")));
        assert_eq!(tun.send(&[0; 20]), Err(TransferError::Failed(Errno::EINVAL)), "no IP packet");
        drop(tun);
        assert!(node.netlink.link("lg0").expect_err("gone").is_missing());
    });
}

#[test]
fn a_bad_device_name_is_an_error() {
    isolated("a_bad_device_name_is_an_error", || {
        let node = Node::new();
        for name in ["a name that is too long", "sl/ash", "nul\0", "lo"] {
            assert!(node.open(|| Tun::open(name)).is_err(), "{name}");
        }
    });
}

#[test]
fn a_mark_chooses_the_route() {
    isolated("a_mark_chooses_the_route", || {
        let (mut a, mut b) = joined();
        let mut route = Route::new(ip("198.51.100.0"), 24);
        (route.table, route.gateway) = (4342, Some(ip("192.0.2.2")));
        a.netlink.add_route(&route).expect("added");
        let mut rule = Rule::new(Family::V4, 100, 4342);
        rule.mark = Some(9);
        a.netlink.add_rule(&rule).expect("added");
        b.add_address("lo", "198.51.100.1", 32);
        let receiver = bind(&b, "198.51.100.1:5000");
        let sender = bind(&a, "0.0.0.0:0");
        let to = receiver.local_address().expect("an address");
        let error = sender.send_to(b"lost", to).expect_err("no route without the mark");
        assert_eq!(error, TransferError::Network(Errno::ENETUNREACH));
        sender.set_mark(9).expect("marked");
        sender.send_to(b"found", to).expect("sent");
        let mut buffer = [0; 100];
        let (len, from) = eventually(|| receiver.receive_from(&mut buffer));
        assert_eq!((&buffer[..len], from.ip()), (&b"found"[..], ip("192.0.2.1")));
    });
}

#[test]
fn errors_of_the_network_leave_the_socket_good() {
    isolated("errors_of_the_network_leave_the_socket_good", || {
        let (mut a, b) = joined();
        let (sender, receiver) = (bind(&a, "[::]:0"), bind(&b, "[2001:db8::2]:5000"));
        let to = receiver.local_address().expect("an address");
        for (kind, destination) in
            [(RouteKind::Unreachable, "2001:db8:1::1"), (RouteKind::Prohibit, "2001:db8:2::1")]
        {
            let mut route = Route::new(ip(destination), 128);
            route.kind = kind;
            a.netlink.add_route(&route).expect("added");
            let error = sender.send_to(b"x", SocketAddr::new(ip(destination), 1));
            assert!(error.expect_err("no way").is_transient());
        }
        let other_family = SocketAddr::new(ip("192.0.2.2"), 1);
        assert!(sender.send_to(b"x", other_family).expect_err("IPv6 only").is_transient());
        // The other end answers with an ICMP error, which nobody has to care for.
        sender.send_to(b"x", SocketAddr::new(to.ip(), 1)).expect("sent");
        std::thread::sleep(std::time::Duration::from_millis(20));
        let mut buffer = [0; 100];
        let error = sender.receive_from(&mut buffer).expect_err("nothing came");
        assert!(error.is_transient(), "{error:?}");
        sender.send_to(b"fine", to).expect("sent");
        assert_eq!(eventually(|| receiver.receive_from(&mut buffer)).0, 4);
    });
}

#[test]
fn fragments_are_made_only_where_allowed() {
    isolated("fragments_are_made_only_where_allowed", || {
        let (a, b) = joined();
        for (from, to) in [("0.0.0.0:0", "192.0.2.2:5000"), ("[::]:0", "[2001:db8::2]:5000")] {
            let (sender, receiver) = (bind(&a, from), bind(&b, to));
            let to = receiver.local_address().expect("an address");
            let mut buffer = [0; 3000];
            sender.send_to(&[1; 3000], to).expect("sent in fragments");
            assert_eq!(eventually(|| receiver.receive_from(&mut buffer)).0, 3000);
            sender.set_dont_fragment(true).expect("set");
            assert_eq!(sender.send_to(&[1; 3000], to), Err(TransferError::TooBig));
            sender.send_to(&[1; 1400], to).expect("sent");
            assert_eq!(eventually(|| receiver.receive_from(&mut buffer)).0, 1400);
        }
    });
}

#[test]
fn batches_carry_datagrams_of_every_length() {
    isolated("batches_carry_datagrams_of_every_length", || {
        let (a, b) = joined();
        for (from, to) in [("0.0.0.0:0", "192.0.2.2:5000"), ("[::]:0", "[2001:db8::2]:5000")] {
            let (sender, receiver) = (bind(&a, from), bind(&b, to));
            let to = receiver.local_address().expect("an address");
            let (mut out, mut into) = (SendBatch::new(8, 1500), ReceiveBatch::new(5, 100));
            assert_eq!(receiver.receive_batch(&mut into), Err(TransferError::WouldBlock));
            for round in 0..3_u8 {
                for index in 0..8_u8 {
                    assert!(!out.is_full());
                    assert!(out.push(&vec![round * 8 + index; usize::from(index) * 20], to));
                }
                assert!(out.is_full() && !out.push(b"no room", to));
                assert_eq!(out.first().expect("unsent"), (&[][..], to));
                assert_eq!(sender.send_batch(&mut out), Ok(8));
                assert!(out.is_empty() && out.first().is_none());
                let mut seen = 0;
                while seen < 8 {
                    let len = eventually(|| receiver.receive_batch(&mut into));
                    assert!(len <= 5 && len == into.len() && into.datagram(len).is_none());
                    for index in 0..len {
                        let (datagram, from) = into.datagram(index).expect("a datagram");
                        assert_eq!(from.port(), sender.local_address().expect("bound").port());
                        // A slot holds 100 octets, the rest of a datagram is cut off.
                        assert_eq!(datagram.len(), (usize::from(seen) * 20).min(100));
                        assert!(datagram.iter().all(|&octet| octet == round * 8 + seen));
                        seen += 1;
                    }
                }
            }
            assert!(!out.push(&[0; 1501], to), "longer than a slot");
        }
    });
}

#[test]
fn a_datagram_that_cannot_be_sent_is_skipped() {
    isolated("a_datagram_that_cannot_be_sent_is_skipped", || {
        let (a, b) = joined();
        let (sender, receiver) = (bind(&a, "0.0.0.0:0"), bind(&b, "192.0.2.2:5000"));
        let to = receiver.local_address().expect("an address");
        let nowhere = SocketAddr::new(ip("203.0.113.1"), 1);
        let mut out = SendBatch::new(4, 100);
        for (datagram, to) in [("one", to), ("two", nowhere), ("three", to)] {
            assert!(out.push(datagram.as_bytes(), to));
        }
        assert_eq!(sender.send_batch(&mut out), Ok(1));
        let error = sender.send_batch(&mut out).expect_err("no route");
        assert!(error.is_transient());
        assert_eq!(out.first(), Some((&b"two"[..], nowhere)));
        out.skip();
        assert_eq!(sender.send_batch(&mut out), Ok(1));
        let mut buffer = [0; 100];
        for expected in [&b"one"[..], b"three"] {
            let (len, _) = eventually(|| receiver.receive_from(&mut buffer));
            assert_eq!(&buffer[..len], expected);
        }
    });
}

#[test]
fn datagrams_of_one_length_travel_together_and_arrive_apart() {
    isolated("datagrams_of_one_length_travel_together_and_arrive_apart", || {
        let (mut a, b) = joined();
        // A loopback interface that is down is not asked.
        let closed = namespace::NetworkNamespace::create().expect("a namespace");
        let offload = a.open(udp::Offload::probe);
        assert_eq!(closed.run(udp::Offload::probe).expect("a thread"), offload);
        for (from, to) in [("0.0.0.0:0", "192.0.2.2:5000"), ("[::]:0", "[2001:db8::2]:5000")] {
            let (sender, receiver) = (bind(&a, from), bind(&b, to));
            if offload.joins {
                receiver.set_joining(true).expect("a kernel that joins");
            }
            let to = receiver.local_address().expect("an address");
            let other = SocketAddr::new(to.ip(), 5001);
            let _closed = bind(&b, &other.to_string());
            let mut out = SendBatch::new(200, 1500);
            out.set_segmenting(offload.splits);
            let lens: Vec<usize> = [vec![1000; 70], vec![400, 1000, 1000, 0, 1, 1, 1400]].concat();
            for (number, len) in lens.iter().enumerate() {
                assert!(out.push(&vec![number as u8; *len], to));
            }
            assert!(out.push(&[0; 1400], other));
            assert_eq!(out.len(), lens.len() + 1);
            assert_eq!(sender.send_batch(&mut out), Ok(lens.len() + 1));
            assert_eq!(out.take_refusals(), 0);
            let (mut into, mut number) = (ReceiveBatch::new(4, 1 << 16), 0);
            while number < lens.len() {
                let count = eventually(|| receiver.receive_batch(&mut into));
                for index in 0..count {
                    let (datagrams, from) = into.datagrams(index).expect("a message");
                    assert_eq!(from.port(), sender.local_address().expect("bound").port());
                    for datagram in datagrams {
                        assert_eq!(datagram.len(), lens[number]);
                        assert!(datagram.iter().all(|octet| usize::from(*octet) == number));
                        number += 1;
                    }
                }
            }
        }
        // What the path takes only in fragments goes one by one.
        let index = a.index("to-b");
        a.netlink.set_link_mtu(index, 1280).expect("set");
        let (sender, receiver) = (bind(&a, "0.0.0.0:0"), bind(&b, "192.0.2.2:5002"));
        let to = receiver.local_address().expect("an address");
        let mut out = SendBatch::new(8, 1500);
        out.set_segmenting(offload.splits);
        for number in 0..4 {
            assert!(out.push(&[number; 1400], to));
        }
        assert_eq!(sender.send_batch(&mut out), Ok(4));
        assert_eq!(out.take_refusals(), offload.splits.into());
        let mut buffer = [0; 1500];
        for number in 0..4 {
            let (len, _) = eventually(|| receiver.receive_from(&mut buffer));
            assert_eq!((len, buffer[0]), (1400, number));
        }
    });
}

#[test]
fn the_source_towards_a_destination_is_known_without_sending() {
    isolated("the_source_towards_a_destination_is_known_without_sending", || {
        let (a, _b) = joined();
        let source = |to: IpAddr| a.open(|| udp::source_towards(to));
        assert_eq!(source(ip("192.0.2.2")), Ok(ip("192.0.2.1")));
        assert_eq!(source(ip("2001:db8::2")), Ok(ip("2001:db8::1")));
        assert!(source(ip("203.0.113.1")).expect_err("no route").is_transient());
    });
}

#[test]
fn a_socket_may_keep_to_one_interface() {
    isolated("a_socket_may_keep_to_one_interface", || {
        let (mut a, b) = joined();
        a.add_address("lo", "198.51.100.1", 32);
        let (sender, receiver) = (bind(&a, "0.0.0.0:0"), bind(&b, "192.0.2.2:5000"));
        assert!(sender.bind_to_device("no-such").is_err());
        sender.bind_to_device("lo").expect("bound");
        let to = receiver.local_address().expect("an address");
        // Without a route by that interface the packet gets lost, or the sender is told.
        let _ = sender.send_to(b"lost", to);
        sender.bind_to_device("to-b").expect("bound");
        sender.send_to(b"found", to).expect("sent");
        let mut buffer = [0; 100];
        let (len, _) = eventually(|| receiver.receive_from(&mut buffer));
        assert_eq!(&buffer[..len], b"found");
    });
}

#[test]
fn a_capture_tells_both_directions_and_an_injector_passes_routing() {
    isolated("a_capture_tells_both_directions_and_an_injector_passes_routing", || {
        let (mut a, mut b) = joined();
        let (index, all) = (a.index("to-b"), None);
        let capture = a.open(|| Capture::open(Some(index))).expect("a capture");
        let everything = b.open(|| Capture::open(all)).expect("a capture");
        let (sender, receiver) = (bind(&a, "192.0.2.1:6000"), bind(&b, "192.0.2.2:5000"));
        let to = receiver.local_address().expect("an address");
        sender.send_to(b"there", to).expect("sent");
        let mut buffer = [0; 2000];
        let (_, from) = eventually(|| receiver.receive_from(&mut buffer));
        receiver.send_to(b"back", from).expect("sent");
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let frame = eventually(|| capture.receive(&mut buffer));
            assert_eq!((frame.index, frame.hardware), (index, HARDWARE_ETHERNET));
            assert_eq!(frame.len, frame.frame_len);
            // An Ethernet header of 14 octets, then IPv4 with protocol UDP.
            if frame.protocol == 0x0800 && buffer[23] == 17 {
                seen.push((frame.is_outgoing, buffer[42..46].to_vec()));
            }
        }
        assert_eq!(seen, [(true, b"ther".to_vec()), (false, b"back".to_vec())]);
        let frame = eventually(|| everything.receive(&mut buffer[..10]));
        assert!(frame.len == 10 && frame.frame_len > 10, "the rest is cut off: {frame:?}");
        assert_eq!(capture.take_drops().expect("statistics"), 0);

        // A bridge without ports takes what is injected; there is no route to it.
        b.netlink.create_link("side", "bridge").expect("a bridge");
        b.up("side");
        let side = b.index("side");
        let injector = b.open(|| Injector::open(side)).expect("an injector");
        let on_side = b.open(|| Capture::open(Some(side))).expect("a capture");
        let packet = udp_packet([10, 0, 0, 1], [10, 0, 0, 2], 7, b"past routing");
        injector.send(&packet).expect("sent");
        loop {
            let frame = eventually(|| on_side.receive(&mut buffer));
            if frame.protocol == 0x0800 {
                assert!(frame.is_outgoing && buffer[14..frame.len] == packet);
                break;
            }
        }
        let no_packet = TransferError::Failed(Errno::EINVAL);
        assert_eq!(injector.send(&[0x12; 20]), Err(no_packet));
        assert_eq!(injector.send(&[]), Err(no_packet));
        b.netlink.delete_link(side).expect("deleted");
        assert!(injector.send(&packet).expect_err("gone").is_transient());
    });
}

#[test]
fn a_doorbell_rings_once_for_the_first_packets_that_leave() {
    isolated("a_doorbell_rings_once_for_the_first_packets_that_leave", || {
        let (mut a, mut b) = joined();
        let index = a.index("to-b");
        for (node, device) in [(&mut a, "to-b"), (&mut b, "to-a")] {
            node.wait_until_running(device);
        }
        let unheard = "2001:db8::1".parse().expect("an address");
        let mut bell = a.open(|| Doorbell::open(index, unheard)).expect("a doorbell");
        let (here, there) = (bind(&a, "192.0.2.1:5000"), bind(&b, "192.0.2.2:5000"));
        let (address_here, address_there) =
            (here.local_address().expect("an address"), there.local_address().expect("one"));
        let mut buffer = [0; 8];
        // They know each other's Ethernet address, which goes by packets too.
        for (from, to, address) in [(&here, &there, address_there), (&there, &here, address_here)] {
            from.send_to(b"first", address).expect("sent");
            eventually(|| to.receive_from(&mut buffer));
        }
        assert!(!bell.take_ring(), "it is off");
        for _ in 0..3 {
            bell.set(Bell::Armed).expect("armed");
            there.send_to(b"in", address_here).expect("sent");
            eventually(|| here.receive_from(&mut buffer));
            assert!(!bell.take_ring(), "what comes in");
            for _ in 0..100 {
                here.send_to(b"out", address_there).expect("sent");
            }
            assert!(bell.take_ring());
            assert!(!bell.take_ring(), "one ring for all");
            for next in [Bell::Muted, Bell::Off] {
                bell.set(next).expect("changed");
                here.send_to(b"out", address_there).expect("sent");
                assert!(!bell.take_ring(), "{next:?}");
            }
            assert_eq!(tapped(&a), [0x88b5], "no packet passes by one that is off");
            while there.receive_from(&mut buffer).is_ok() {}
        }
        // Nor does one address, nor the kernel's own multicast.
        bell.set(Bell::Armed).expect("armed");
        let there_v6 = eventually_bound(&b, "[2001:db8::2]:5000");
        let v6 = eventually_bound(&a, "[2001:db8::1]:5000");
        v6.send_to(b"out", "[2001:db8::2]:5000".parse().expect("an address")).expect("sent");
        v6.send_to(b"out", "[ff02::1]:5000".parse().expect("an address")).expect("sent");
        a.add_address("to-b", "2001:db8::3", 64);
        let v6 = eventually_bound(&a, "[2001:db8::3]:5000");
        eventually(|| there_v6.receive_from(&mut buffer));
        assert!(!bell.take_ring());
        v6.send_to(b"out", "[ff02::1]:5000".parse().expect("an address")).expect("sent");
        assert!(!bell.take_ring());
        v6.send_to(b"out", "[2001:db8::2]:5000".parse().expect("an address")).expect("sent");
        eventually(|| bell.take_ring().then_some(()).ok_or(TransferError::WouldBlock));
        // An interface that goes down and comes up again does not end it.
        a.netlink.set_link_down(index).expect("down");
        a.up("to-b");
        bell.take_ring();
        a.wait_until_running("to-b");
        here.send_to(b"out", address_there).expect("sent");
        eventually(|| bell.take_ring().then_some(()).ok_or(TransferError::WouldBlock));
        a.netlink.delete_link(index).expect("deleted");
        bell.take_ring();
        bell.set(Bell::Off).expect("off");
        assert!(bell.set(Bell::Armed).is_err());
    });
}

/// The protocols of which this machine's packet sockets get the packets.
fn tapped(node: &Node) -> Vec<u16> {
    let table = node.open(|| fs::read_to_string("/proc/thread-self/net/packet")).expect("a table");
    let protocol = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[5] == "1").then(|| u16::from_str_radix(fields[3], 16).expect("a protocol"))
    };
    table.lines().skip(1).filter_map(protocol).collect()
}

/// A socket at an address that the kernel may still be checking.
fn eventually_bound(node: &Node, address: &str) -> Socket {
    let address: SocketAddr = address.parse().expect("an address");
    eventually(|| node.open(|| Socket::bind(address)).map_err(|_| TransferError::WouldBlock))
}

#[test]
fn echo_sockets_hear_their_own_replies_only() {
    isolated("echo_sockets_hear_their_own_replies_only", || {
        let (mut a, _b) = joined();
        a.add_address("to-b", "192.0.2.77", 24);
        let open = |identifier| a.open(|| EchoSocket::open(Family::V4, identifier));
        let (first, second) = (open(1).expect("a socket"), open(2).expect("a socket"));
        second.bind(ip("192.0.2.77")).expect("bound");
        first.send(ip("192.0.2.2"), 10, b"first").expect("sent");
        second.send(ip("192.0.2.2"), 20, b"second").expect("sent");
        let mut buffer = [0; 200];
        for (socket, sequence, payload) in [(&first, 10, &b"first"[..]), (&second, 20, b"second")] {
            let reply = loop {
                if let Some(reply) = eventually(|| socket.receive(&mut buffer)) {
                    break reply;
                }
            };
            assert_eq!((reply.sequence, &buffer[reply.payload]), (sequence, payload));
        }
        let error = first.send(ip("192.0.2.2"), 1, &[0; 2000]).expect_err("too long");
        assert_eq!(error, TransferError::TooBig);
    });
}
