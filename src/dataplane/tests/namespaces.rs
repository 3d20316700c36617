//! Two userspace data planes in network namespaces, joined by a veth pair: packets of real hosts
//! go in by one TUN device and come out of the other.
#![cfg(feature = "userspace")]

mod counting;
#[path = "../../linux/tests/isolated/mod.rs"]
mod isolated;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant as Clock};

use control::{Change, EidPrefix, Forwarding, Instant, PeerConfig, PeerKey, Side};
use counting::allocations;
use isolated::{Node, isolated, joined};
use linux::netlink::{Address, Route};
use linux::{tun, udp};
use lispguard_dataplane::userspace::{DataConfig, Offload, Source, Userspace, UserspaceConfig};
use lispguard_dataplane::{Channel, ControlPeer, DataPlane, EngineConfig, Event, Interface};
use x25519_dalek::StaticSecret;

struct Site {
    node: Node,
    plane: Userspace,
}

impl Site {
    fn new(node: Node, number: u8) -> Site {
        Site::with_offload(node, number, Offload::ALL)
    }

    fn with_offload(mut node: Node, number: u8, offload: Offload) -> Site {
        let eids = [format!("10.{number}.0.1/32"), format!("fd00:{number}::1/128")];
        let database = eids.iter().map(|eid| eid.parse().unwrap()).collect();
        let config = UserspaceConfig {
            control_private_key: StaticSecret::from([number; 32]),
            control_port: 51821,
            control_address: None,
            data: Some(DataConfig { port: 51820, tun_name: "lgt0".into(), database }),
            fwmark: 7,
            engine: EngineConfig::default(),
        };
        let plane = node.open(|| Userspace::with_offload(config, offload)).expect("a data plane");
        let index = plane.tun_index().expect("a TUN device");
        for eid in eids {
            let address = eid.split('/').next().unwrap().parse().unwrap();
            add_eid(&mut node, index, address);
        }
        Site { node, plane }
    }

    fn key(&self, interface: Interface) -> PeerKey {
        self.plane.engine().public_key(interface)
    }

    fn socket(&self, address: &str) -> UdpSocket {
        let address: IpAddr = address.parse().unwrap();
        let socket = self.node.open(|| UdpSocket::bind((address, 5000)).unwrap());
        socket.set_nonblocking(true).unwrap();
        socket
    }

    fn poll(&mut self, now: Instant) -> Vec<Event> {
        let sources: Vec<Source> = self.plane.sources().map(|(source, _)| source).collect();
        for source in sources {
            self.plane.handle_ready(source, now);
        }
        if self.plane.poll_at().is_some_and(|at| at <= now) {
            self.plane.handle_timeout(now);
        }
        core::iter::from_fn(|| self.plane.poll_event()).collect()
    }
}

fn add_eid(node: &mut Node, index: u32, address: IpAddr) {
    let prefix_len = if address.is_ipv4() { 32 } else { 128 };
    node.netlink.add_address(&Address::new(index, address, prefix_len)).expect("an address");
    let destination = if address.is_ipv4() { "10.0.0.0" } else { "fd00::" };
    let mut route = Route::new(destination.parse().unwrap(), 8);
    route.output = Some(index);
    route.source = Some(address);
    node.netlink.add_route(&route).expect("a route");
}

fn now() -> Instant {
    Instant::from_micros(linux::clock::monotonic_micros())
}

/// Runs both sites until `is_done`, for thirty seconds at most.
fn run(a: &mut Site, b: &mut Site, mut is_done: impl FnMut(&[Event], &[Event]) -> bool) {
    let end = Clock::now() + Duration::from_secs(30);
    loop {
        let (events_a, events_b) = (a.poll(now()), b.poll(now()));
        if is_done(&events_a, &events_b) {
            return;
        }
        assert!(
            Clock::now() < end,
            "{:?} {:?}",
            a.plane.engine().counters(),
            b.plane.engine().counters()
        );
    }
}

fn peer(site: &mut Site, other: PeerKey, endpoint: &str, side: Side, number: u8) {
    let config = PeerConfig {
        key: other,
        lane: 0,
        endpoint: Some(SocketAddr::new(endpoint.parse().unwrap(), 51820)),
        side,
        persistent_keepalive: None,
    };
    site.plane.apply(&Change::SetPeer(config), now()).unwrap();
    for text in [format!("10.{number}.0.0/24"), format!("fd00:{number}::/64")] {
        let eid_prefix: EidPrefix = text.parse().unwrap();
        let forwarding = Forwarding::Peer(other);
        site.plane.apply(&Change::SetRoute { eid_prefix, forwarding }, now()).unwrap();
    }
}

/// One datagram from `a` to `b` and its answer.
fn exchange(a: &mut Site, b: &mut Site, from: &str, to: &str, len: usize) {
    let (client, server) = (a.socket(from), b.socket(to));
    let to: IpAddr = to.parse().unwrap();
    client.send_to(&vec![7; len], (to, 5000)).unwrap();
    let mut buffer = [0; 2000];
    run(a, b, |_, _| {
        if let Ok((len, from)) = server.recv_from(&mut buffer) {
            server.send_to(&buffer[..len], from).unwrap();
        }
        matches!(client.recv_from(&mut buffer), Ok((received, _)) if received == len)
    });
}

#[test]
fn packets_cross_between_tun_devices_in_both_families() {
    isolated("packets_cross_between_tun_devices_in_both_families", || {
        let (a, b) = joined();
        let (mut a, mut b) = (Site::new(a, 1), Site::new(b, 2));
        let (key_a, key_b) = (a.key(Interface::Data), b.key(Interface::Data));
        // The first packet waits for the mapping, then for the session.
        let (client, server) = (a.socket("10.1.0.1"), b.socket("10.2.0.1"));
        client.send_to(b"first", ("10.2.0.1", 5000)).unwrap();
        run(&mut a, &mut b, |events, _| {
            events.iter().any(|event| matches!(event, Event::Miss { .. }))
        });
        peer(&mut b, key_a, "192.0.2.1", Side::Responder, 1);
        peer(&mut a, key_b, "192.0.2.2", Side::Initiator, 2);
        let mut buffer = [0; 100];
        run(&mut a, &mut b, |_, _| matches!(server.recv_from(&mut buffer), Ok((5, _))));
        drop((client, server));
        exchange(&mut a, &mut b, "10.1.0.1", "10.2.0.1", 1300);
        exchange(&mut b, &mut a, "fd00:2::1", "fd00:1::1", 1300);
        // The underlay can be IPv6 as well.
        peer(&mut a, key_b, "2001:db8::2", Side::Initiator, 2);
        exchange(&mut a, &mut b, "fd00:1::1", "fd00:2::1", 100);
        let endpoint = b.plane.engine().peer_status(Interface::Data).next().unwrap().endpoint;
        assert_eq!(endpoint, Some("[2001:db8::1]:51820".parse().unwrap()));
        assert_eq!(a.plane.engine().counters().sessions, 1);
    });
}

/// Octets that tell their place in a stream.
fn stream(range: core::ops::Range<usize>) -> Vec<u8> {
    range.map(|place| (place ^ place >> 8 ^ place >> 16) as u8).collect()
}

/// A transfer of some megabytes from `a` to `b`.
fn transfer(a: &mut Site, b: &mut Site, from: &str, to: &str) {
    const LEN: usize = 3 << 20;
    let to = SocketAddr::new(to.parse().unwrap(), 6000);
    let listener = b.node.open(|| TcpListener::bind(to).unwrap());
    // The connection is made by other threads, while this one forwards.
    let (mut client, mut server) = std::thread::scope(|scope| {
        let client = scope.spawn(|| a.node.open(|| TcpStream::connect(to).unwrap()));
        let server = scope.spawn(|| listener.accept().unwrap().0);
        while !client.is_finished() || !server.is_finished() {
            forward(&mut a.plane);
            forward(&mut b.plane);
        }
        (client.join().unwrap(), server.join().unwrap())
    });
    assert_eq!(client.local_addr().unwrap().ip().to_string(), from);
    client.set_nonblocking(true).unwrap();
    server.set_nonblocking(true).unwrap();
    let (mut sent, mut received, mut buffer) = (0, 0, vec![0; 1 << 17]);
    run(a, b, |_, _| {
        let chunk = stream(sent..LEN.min(sent + (1 << 17)));
        sent += count(client.write(&chunk));
        let len = count(server.read(&mut buffer));
        assert!(buffer[..len] == stream(received..received + len), "behind {received}");
        received += len;
        received == LEN
    });
}

fn forward(plane: &mut Userspace) {
    let sources: Vec<Source> = plane.sources().map(|(source, _)| source).collect();
    sources.into_iter().for_each(|source| plane.handle_ready(source, now()));
}

fn count(result: std::io::Result<usize>) -> usize {
    match result {
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    }
}

/// Datagrams of several lengths, in runs of one length each.
fn burst(a: &mut Site, b: &mut Site, from: &str, to: &str) {
    let (client, server) = (a.socket(from), b.socket(to));
    let to = SocketAddr::new(to.parse().unwrap(), 5000);
    for len in [1, 64, 1362, 1363, 700, 1300] {
        for number in 0..40_u8 {
            client.send_to(&vec![number; len], to).unwrap();
        }
        client.send_to(&[40], to).unwrap();
        let (mut expected, mut buffer) = (0, [0; 2000]);
        run(a, b, |_, _| {
            while let Ok((received, _)) = server.recv_from(&mut buffer) {
                assert!(buffer[..received].iter().all(|octet| *octet == expected));
                assert_eq!(received, if expected == 40 { 1 } else { len });
                expected += 1;
            }
            expected == 41
        });
    }
}

#[test]
fn flows_arrive_intact_with_every_offload_and_with_none() {
    isolated("flows_arrive_intact_with_every_offload_and_with_none", || {
        let none = Offload::default();
        let tun_only = Offload { tun: Offload::ALL.tun, ..none };
        let udp_only = Offload { udp: Offload::ALL.udp, ..none };
        let without_udp_segments = Offload {
            tun: tun::Offload { tcp: true, udp: false },
            udp: udp::Offload { splits: true, joins: false },
        };
        for (one, other) in [
            (Offload::ALL, Offload::ALL),
            (Offload::ALL, none),
            (none, Offload::ALL),
            (none, none),
            (tun_only, udp_only),
            (udp_only, without_udp_segments),
        ] {
            let (a, b) = joined();
            let (mut a, mut b) = (Site::with_offload(a, 1, one), Site::with_offload(b, 2, other));
            if one == none {
                assert_eq!(a.plane.offload(), none);
            }
            let (key_a, key_b) = (a.key(Interface::Data), b.key(Interface::Data));
            peer(&mut b, key_a, "192.0.2.1", Side::Responder, 1);
            peer(&mut a, key_b, "192.0.2.2", Side::Initiator, 2);
            transfer(&mut a, &mut b, "10.1.0.1", "10.2.0.1");
            transfer(&mut b, &mut a, "fd00:2::1", "fd00:1::1");
            burst(&mut a, &mut b, "10.1.0.1", "10.2.0.1");
            burst(&mut b, &mut a, "fd00:2::1", "fd00:1::1");
            for site in [&a, &b] {
                let sockets = site.plane.socket_counters();
                assert_eq!(site.plane.engine().counters().too_big, 0, "{one:?} {other:?}");
                assert_eq!(
                    (sockets.tun_malformed, sockets.tun_failed),
                    (0, 0),
                    "{one:?} {other:?}"
                );
            }
        }
    });
}

#[test]
fn long_packets_and_joined_datagrams_allocate_nothing() {
    isolated("long_packets_and_joined_datagrams_allocate_nothing", || {
        let (a, b) = joined();
        let (mut a, mut b) = (Site::new(a, 1), Site::new(b, 2));
        let (key_a, key_b) = (a.key(Interface::Data), b.key(Interface::Data));
        peer(&mut b, key_a, "192.0.2.1", Side::Responder, 1);
        peer(&mut a, key_b, "192.0.2.2", Side::Initiator, 2);
        exchange(&mut a, &mut b, "10.1.0.1", "10.2.0.1", 1300);
        let (client, server) = (a.socket("10.1.0.1"), b.socket("10.2.0.1"));
        let to = SocketAddr::new("10.2.0.1".parse().unwrap(), 5000);
        let sources = |site: &Site| site.plane.sources().map(|(source, _)| source).collect();
        let (from_a, from_b): (Vec<Source>, Vec<Source>) = (sources(&a), sources(&b));
        let (mut buffer, mut seen) = ([0; 2000], 0);
        let end = Clock::now() + Duration::from_secs(30);
        let count = allocations(|| {
            for _ in 0..20 {
                (0..50).for_each(|_| assert_eq!(client.send_to(&[7; 1362], to).ok(), Some(1362)));
                let wanted = seen + 50;
                while seen < wanted && Clock::now() < end {
                    from_a.iter().for_each(|source| a.plane.handle_ready(*source, now()));
                    from_b.iter().for_each(|source| b.plane.handle_ready(*source, now()));
                    while server.recv_from(&mut buffer).is_ok() {
                        seen += 1;
                    }
                }
            }
        });
        assert_eq!((seen, count), (1000, 0));
    });
}

#[test]
fn lisp_messages_cross_the_control_tunnel() {
    isolated("lisp_messages_cross_the_control_tunnel", || {
        let (a, b) = joined();
        let (mut a, mut b) = (Site::new(a, 1), Site::new(b, 2));
        let (key_a, key_b) = (a.key(Interface::Control), b.key(Interface::Control));
        let peer = |key, endpoint: Option<&str>, side| ControlPeer {
            key,
            endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
            side,
            persistent_keepalive: None,
            address: None,
        };
        b.plane.set_control_peer(&peer(key_a, None, Side::Responder), now()).unwrap();
        let to_b = peer(key_b, Some("192.0.2.2:51821"), Side::Initiator);
        a.plane.set_control_peer(&to_b, now()).unwrap();
        let mut stand = [false; 2];
        run(&mut a, &mut b, |events_a, events_b| {
            for (events, stands) in [events_a, events_b].into_iter().zip(&mut stand) {
                *stands |= events.iter().any(|event| matches!(event, Event::ControlSession { .. }));
            }
            stand == [true; 2]
        });
        a.plane.send_control(Channel::Control, key_b, b"register", now()).unwrap();
        let mut buffer = [0; 1500];
        let end = Clock::now() + Duration::from_secs(30);
        let received = loop {
            a.poll(now());
            b.poll(now());
            if let Some(received) = b.plane.receive_control(&mut buffer) {
                break received;
            }
            assert!(Clock::now() < end);
        };
        assert_eq!(received, (Channel::Control, key_a, 8));
        assert_eq!(&buffer[..8], b"register");
    });
}

#[test]
fn a_taken_port_is_told_by_its_number() {
    isolated("a_taken_port_is_told_by_its_number", || {
        let node = Node::new();
        let holder = node.open(|| UdpSocket::bind("0.0.0.0:51821").unwrap());
        let config = UserspaceConfig {
            control_private_key: StaticSecret::from([1; 32]),
            control_port: 51821,
            control_address: None,
            data: None,
            fwmark: 0,
            engine: EngineConfig::default(),
        };
        let error = node.open(|| Userspace::new(config).err()).expect("the port is taken");
        assert_eq!(error.to_string(), "UDP port 51821 is taken: another lispguard, or WireGuard?");
        drop(holder);
    });
}
