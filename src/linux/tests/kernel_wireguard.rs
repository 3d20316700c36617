//! WireGuard interfaces of a real kernel, and what `wg` makes of them.

extern crate lispguard_linux as linux;

mod isolated;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use isolated::{Node, ip, isolated, joined};
use linux::Errno;
use linux::netlink::wireguard::{
    AllowedIp, Device, DeviceUpdate, Entry, Peer, PeerUpdate, PublicKey, Wireguard,
};
use linux::netlink::{Error, Family, NextHop, Route, RouteKind, RouteQuery};
use linux::packet::Injector;
use linux::random;

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

/// A namespace with a WireGuard interface `wg` in it.
struct Site {
    node: Node,
    wireguard: Wireguard,
    index: u32,
    public_key: PublicKey,
}

impl Site {
    fn new(mut node: Node, port: u16) -> Self {
        node.netlink.create_link("wg", "wireguard").expect("a WireGuard interface");
        let index = node.index("wg");
        let mut wireguard = node.open(Wireguard::open).expect("a kernel with WireGuard");
        let private_key = random::array().expect("a key");
        let update = DeviceUpdate {
            private_key: Some(&private_key),
            listen_port: Some(port),
            ..DeviceUpdate::default()
        };
        wireguard.set_device(index, &update).expect("changed");
        let mut site = Self { node, wireguard, index, public_key: [0; 32] };
        site.public_key = site.device().public_key.expect("a key");
        site.node.up("wg");
        site
    }

    fn device(&mut self) -> Device {
        let mut found = None;
        let keep = |entry: Entry<'_>| {
            if let Entry::Device(device) = entry {
                found = Some(device.clone());
            }
        };
        self.wireguard.device(self.index, keep).expect("a listing");
        found.expect("an interface")
    }

    fn peer(&mut self, key: &PublicKey) -> Option<Peer> {
        let mut found = None;
        let keep = |peer: &Peer| found = found.or(Some(*peer).filter(|it| it.public_key == *key));
        self.wireguard.peers(self.index, keep).expect("a listing");
        found
    }

    fn set_peer(&mut self, update: PeerUpdate, allowed_ips: &[AllowedIp]) {
        let result = self.wireguard.set_peer(self.index, &update, allowed_ips.iter().copied());
        result.expect("changed");
    }

    /// The listing, as `wg show wg dump` words it.
    fn dump(&mut self) -> String {
        let (mut text, mut allowed_ips) = (String::new(), Vec::new());
        let mut last: Option<Peer> = None;
        let end = |last: Option<Peer>, allowed_ips: &mut Vec<String>| {
            let line = last.map(|peer| peer_line(&peer, allowed_ips));
            allowed_ips.clear();
            line.unwrap_or_default()
        };
        let collect = |entry: Entry<'_>| match entry {
            Entry::Device(device) => text += &device_line(device),
            Entry::Peer(peer) => text += &end(last.replace(*peer), &mut allowed_ips),
            Entry::AllowedIp(key, allowed_ip) => {
                assert_eq!(last.expect("a peer before").public_key, *key);
                allowed_ips.push(format!("{}/{}", allowed_ip.ip, allowed_ip.prefix_len));
            }
        };
        self.wireguard.device(self.index, collect).expect("a listing");
        text += &end(last, &mut allowed_ips);
        text
    }

    fn dump_of_wg(&self) -> String {
        let mut command = Command::new("wg");
        command.args(["show", "wg", "dump"]);
        let output = self.node.open(|| command.output()).expect("the program wg");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

fn device_line(device: &Device) -> String {
    let key = |key: Option<&[u8; 32]>| key.map_or("(none)".into(), |key| base64(key));
    let private_key = key(device.private_key.as_deref());
    let public_key = key(device.public_key.as_ref());
    let fwmark = match device.fwmark {
        0 => "off".into(),
        fwmark => format!("0x{fwmark:x}"),
    };
    format!("{private_key}\t{public_key}\t{}\t{fwmark}\n", device.listen_port)
}

fn peer_line(peer: &Peer, allowed_ips: &[String]) -> String {
    let endpoint = peer.endpoint.map_or("(none)".into(), |endpoint| endpoint.to_string());
    let allowed_ips = match allowed_ips {
        [] => "(none)".into(),
        some => some.join(","),
    };
    let handshake = peer.last_handshake.map_or(0, |at| at.as_secs());
    let keepalive = match peer.persistent_keepalive {
        0 => "off".into(),
        seconds => seconds.to_string(),
    };
    format!(
        "{}\t(none)\t{endpoint}\t{allowed_ips}\t{handshake}\t{}\t{}\t{keepalive}\n",
        base64(&peer.public_key),
        peer.rx_octets,
        peer.tx_octets,
    )
}

fn base64(key: &[u8; 32]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |octets: &[u8]| {
        let octet = |at: usize| u32::from(octets.get(at).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        (0..4)
            .map(|place| match place <= octets.len() {
                true => char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]),
                false => '=',
            })
            .collect::<String>()
    };
    key.chunks(3).map(group).collect()
}

fn allowed(text: &str) -> AllowedIp {
    let (address, len) = text.split_once('/').expect("a prefix");
    AllowedIp { ip: ip(address), prefix_len: len.parse().expect("a length") }
}

/// As many prefixes of both families, none twice.
fn many_allowed(count: u16) -> Vec<AllowedIp> {
    let one = |number: u16| {
        let [high, low] = number.to_be_bytes();
        match number % 3 {
            0 => AllowedIp { ip: [10, high, low, 0].into(), prefix_len: 24 },
            _ => AllowedIp { ip: [0x2001, 0xdb8, 0, number, 0, 0, 0, 1].into(), prefix_len: 128 },
        }
    };
    (0..count).map(one).collect()
}

fn endpoint(text: &str) -> Option<SocketAddr> {
    Some(text.parse().expect("an endpoint"))
}

#[test]
fn wg_lists_what_was_set_and_in_the_same_words() {
    isolated("wg_lists_what_was_set_and_in_the_same_words", || {
        let mut site = Site::new(Node::new(), 51_820);
        assert_eq!(site.dump(), site.dump_of_wg());
        let update = DeviceUpdate { fwmark: Some(0x4c47), ..DeviceUpdate::default() };
        site.wireguard.set_device(site.index, &update).expect("changed");
        for (number, place) in [
            (1, endpoint("192.0.2.7:4342")),
            (2, endpoint("[2001:db8::7]:51821")),
            (3, endpoint("[fe80::7%1]:51821")),
            (4, None),
        ] {
            let mut update = PeerUpdate::new([number; 32]);
            update.endpoint = place;
            update.persistent_keepalive = Some(u16::from(number) * 1000 - 1000);
            let own = AllowedIp { ip: [10, 0, 0, number].into(), prefix_len: 32 };
            let shared = [own, allowed("198.51.100.0/24"), allowed("2001:db8::/32")];
            site.set_peer(update, if number < 4 { &shared } else { &[] });
        }
        let dump = site.dump();
        // wg names the interface of a scope.
        assert_eq!(dump.replace("%1]", "%lo]"), site.dump_of_wg());
        for part in [
            "\t51820\t0x4c47\n",
            "\t192.0.2.7:4342\t10.0.0.1/32\t0\t0\t0\toff\n",
            "\t[2001:db8::7]:51821\t10.0.0.2/32\t",
            "\t[fe80::7%1]:51821\t",
            "\t10.0.0.3/32,198.51.100.0/24,2001:db8::/32\t",
            "\t(none)\t(none)\t(none)\t0\t0\t0\t3000\n",
        ] {
            assert!(dump.contains(part), "{part:?} in {dump}");
        }
        let update = DeviceUpdate { removes_peers: true, fwmark: Some(0), ..Default::default() };
        site.wireguard.set_device(site.index, &update).expect("changed");
        let dump = site.dump();
        assert_eq!(dump, site.dump_of_wg());
        assert!(dump.ends_with("\t51820\toff\n"), "{dump}");
    });
}

#[test]
fn allowed_ips_that_take_several_messages_are_joined() {
    isolated("allowed_ips_that_take_several_messages_are_joined", || {
        let mut site = Site::new(Node::new(), 51_820);
        let many = many_allowed(3000);
        let (mut first, second) = (PeerUpdate::new([1; 32]), PeerUpdate::new([2; 32]));
        (first.endpoint, first.persistent_keepalive) = (endpoint("192.0.2.7:1"), Some(7));
        first.replaces_allowed_ips = true;
        site.set_peer(first, &many);
        site.set_peer(second, &[allowed("203.0.113.0/24")]);
        let count = |site: &mut Site| {
            let (mut peers, mut listed) = (0, Vec::new());
            let collect = |entry: Entry<'_>| match entry {
                Entry::Device(_) => {}
                Entry::Peer(_) => peers += 1,
                Entry::AllowedIp(_, allowed_ip) => listed.push(allowed_ip),
            };
            site.wireguard.device(site.index, collect).expect("a listing");
            (peers, listed)
        };
        let (peers, listed) = count(&mut site);
        assert_eq!((peers, listed.len()), (2, 3001));
        assert_eq!(site.dump(), site.dump_of_wg());
        let mut peers = Vec::new();
        site.wireguard.peers(site.index, |peer| peers.push(*peer)).expect("a listing");
        assert_eq!(peers.iter().map(|peer| peer.public_key[0]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((peers[0].endpoint, peers[0].persistent_keepalive), (first.endpoint, 7));

        first.replaces_allowed_ips = false;
        site.set_peer(first, &[allowed("203.0.113.0/24")]);
        assert_eq!(count(&mut site).1.len(), 3001, "moved from the second peer");
        first.replaces_allowed_ips = true;
        site.set_peer(first, &many[..2]);
        let (_, mut listed) = count(&mut site);
        listed.sort_by_key(|allowed_ip| allowed_ip.ip);
        assert_eq!(listed.len(), 2);
        assert!(
            listed.iter().all(|allowed_ip| many[..2].iter().any(|some| some.ip == allowed_ip.ip))
        );

        site.set_peer(PeerUpdate { is_update_only: true, ..PeerUpdate::new([3; 32]) }, &many);
        assert!(site.peer(&[3; 32]).is_none(), "nothing to update");
        site.set_peer(PeerUpdate::removal([3; 32]), &[]);
        site.set_peer(PeerUpdate::removal([1; 32]), &many);
        assert!(site.peer(&[1; 32]).is_none() && site.peer(&[2; 32]).is_some());
        for number in 0..200 {
            site.set_peer(PeerUpdate::new([number; 32]), &[]);
        }
        assert_eq!(count(&mut site), (200, vec![]));
        assert_eq!(site.dump(), site.dump_of_wg());
    });
}

/// An empty UDP datagram between two addresses.
fn datagram(from: &str, to: &str) -> [u8; 48] {
    let mut packet = [0; 48];
    packet[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 8, 17, 64]);
    for (at, address) in [(8, from), (24, to)] {
        let address: std::net::Ipv6Addr = address.parse().expect("an address");
        packet[at..at + 16].copy_from_slice(&address.octets());
    }
    packet[40..].copy_from_slice(&[0x10, 0xf6, 0x10, 0xf6, 0, 8, 0xff, 0xff]);
    packet
}

/// Waits until a peer's last handshake is another than before.
fn handshake(site: &mut Site, key: &PublicKey, before: Option<Duration>) -> Peer {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        let peer = site.peer(key).expect("a peer");
        if peer.last_handshake != before {
            return peer;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no handshake in 20 seconds");
}

#[test]
fn a_session_stands_moves_and_ends() {
    isolated("a_session_stands_moves_and_ends", || {
        let (a, b) = joined();
        let (mut a, mut b) = (Site::new(a, 51_820), Site::new(b, 51_821));
        let (a_key, b_key) = (a.public_key, b.public_key);
        a.node.add_address("wg", "fd00::a", 128);
        b.node.add_address("wg", "fd00::b", 128);
        let mut to_b = PeerUpdate::new(b_key);
        to_b.endpoint = endpoint("192.0.2.2:51821");
        a.set_peer(to_b, &[allowed("fd00::b/128")]);
        b.set_peer(PeerUpdate::new(a_key), &[allowed("fd00::a/128")]);
        assert_eq!(a.peer(&b_key).expect("a peer").last_handshake, None);

        let index = a.index;
        let injector = a.node.open(|| Injector::open(index)).expect("an injector");
        injector.send(&datagram("fd00::a", "fd00::b")).expect("sent");
        let initiator = handshake(&mut a, &b_key, None);
        let responder = handshake(&mut b, &a_key, None);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        for peer in [&initiator, &responder] {
            let at = peer.last_handshake.expect("a handshake");
            assert!(at <= now && now - at < Duration::from_secs(20), "{at:?} {now:?}");
            assert!(peer.rx_octets > 0 && peer.tx_octets > 0, "{peer:?}");
        }
        assert_eq!(responder.endpoint, endpoint("192.0.2.1:51820"));
        assert_eq!(a.dump(), a.dump_of_wg());
        assert_eq!(b.dump(), b.dump_of_wg());

        // Over IPv6 now: the responder follows, and the session is the same.
        let moved = PeerUpdate { endpoint: endpoint("[2001:db8::2]:51821"), ..to_b };
        a.set_peer(PeerUpdate { is_update_only: true, ..moved }, &[]);
        injector.send(&datagram("fd00::a", "fd00::b")).expect("sent");
        let started = Instant::now();
        while b.peer(&a_key).expect("a peer").endpoint != endpoint("[2001:db8::1]:51820") {
            assert!(started.elapsed() < Duration::from_secs(20), "the responder does not follow");
            std::thread::sleep(Duration::from_millis(1));
        }
        let peer = a.peer(&b_key).expect("a peer");
        assert_eq!(
            (peer.last_handshake, peer.endpoint),
            (initiator.last_handshake, moved.endpoint)
        );
        let peer = b.peer(&a_key).expect("a peer");
        assert_eq!(peer.last_handshake, responder.last_handshake);
        let statistics = b.node.netlink.link_statistics(b.index).expect("statistics");
        assert!(statistics.rx_packets >= 2 && statistics.rx_octets >= 96, "{statistics:?}");

        // Gone and back, a peer has no session.
        a.set_peer(PeerUpdate::removal(b_key), &[]);
        a.set_peer(moved, &[allowed("fd00::b/128")]);
        assert_eq!(a.peer(&b_key).expect("a peer").last_handshake, None);
    });
}

/// Sends a packet and tells where the responder takes it to be from.
fn seen_from(injector: &Injector, b: &mut Site, key: &PublicKey) -> SocketAddr {
    let before = b.peer(key).expect("a peer").rx_octets;
    injector.send(&datagram("fd00::a", "fd00::b")).expect("sent");
    let started = Instant::now();
    loop {
        let peer = b.peer(key).expect("a peer");
        if peer.rx_octets > before {
            return peer.endpoint.expect("an endpoint");
        }
        assert!(started.elapsed() < Duration::from_secs(20), "nothing comes");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_firewall_mark_that_is_set_again_makes_all_peers_forget_their_source() {
    isolated("a_firewall_mark_that_is_set_again_makes_all_peers_forget_their_source", || {
        let (a, b) = joined();
        let (mut a, mut b) = (Site::new(a, 51_820), Site::new(b, 51_821));
        let (a_key, b_key) = (a.public_key, b.public_key);
        a.node.add_address("to-b", "192.0.2.77", 32);
        a.node.add_address("wg", "fd00::a", 128);
        b.node.add_address("wg", "fd00::b", 128);
        let mut to_b = PeerUpdate::new(b_key);
        to_b.endpoint = endpoint("192.0.2.2:51821");
        a.set_peer(to_b, &[allowed("fd00::b/128")]);
        b.set_peer(PeerUpdate::new(a_key), &[allowed("fd00::a/128")]);
        let index = a.index;
        let injector = a.node.open(|| Injector::open(index)).expect("an injector");
        injector.send(&datagram("fd00::a", "fd00::b")).expect("sent");
        let before = handshake(&mut a, &b_key, None);

        let mut route = Route::new(ip("192.0.2.2"), 32);
        (route.output, route.source) = (Some(a.node.index("to-b")), Some(ip("192.0.2.77")));
        a.node.netlink.replace_route(&route).expect("replaced");
        let old = endpoint("192.0.2.1:51820");
        assert_eq!(Some(seen_from(&injector, &mut b, &a_key)), old, "the source stays");
        let update = DeviceUpdate { fwmark: Some(0), ..DeviceUpdate::default() };
        a.wireguard.set_device(a.index, &update).expect("changed");
        let new = endpoint("192.0.2.77:51820");
        assert_eq!(Some(seen_from(&injector, &mut b, &a_key)), new);
        let after = a.peer(&b_key).expect("a peer");
        assert_eq!(after.last_handshake, before.last_handshake, "the session is the same");
        assert_eq!((after.endpoint, a.device().listen_port), (to_b.endpoint, 51_820));
    });
}

#[test]
fn a_refusal_tells_what_is_wrong() {
    isolated("a_refusal_tells_what_is_wrong", || {
        let mut site = Site::new(Node::new(), 51_820);
        let update = DeviceUpdate::default();
        let error = site.wireguard.set_device(99, &update).expect_err("no such interface");
        assert!(error.is_missing(), "{error}");
        let error = site.wireguard.peers(99, |_| ()).expect_err("no such interface");
        assert!(error.is_missing(), "{error}");
        let loopback = site.node.index("lo");
        let error = site.wireguard.set_device(loopback, &update).expect_err("another kind");
        assert_eq!(error.errno(), Some(Errno::EOPNOTSUPP));

        let prefix = AllowedIp { ip: ip("10.0.0.0"), prefix_len: 33 };
        let update = PeerUpdate::new([1; 32]);
        let error = site.wireguard.set_peer(site.index, &update, [prefix]).expect_err("too long");
        assert_eq!(error.errno(), Some(Errno::EINVAL));

        site.node.netlink.create_link("second", "wireguard").expect("a WireGuard interface");
        let second = site.node.index("second");
        let update = DeviceUpdate { listen_port: Some(51_820), ..DeviceUpdate::default() };
        site.wireguard.set_device(second, &update).expect("not up, so that no port is taken");
        let error = site.node.netlink.set_link_up(second).expect_err("taken");
        assert_eq!(error.errno(), Some(Errno::EADDRINUSE));
        let mut socket = site.node.open(linux::netlink::Socket::open_generic).expect("a socket");
        let error = socket.generic_family("no such family").expect_err("no family");
        assert!(error.is_missing() && matches!(error, Error::Refused { .. }), "{error}");
    });
}

#[test]
fn keys_survive_and_are_not_shown() {
    isolated("keys_survive_and_are_not_shown", || {
        let mut site = Site::new(Node::new(), 51_820);
        let (device, again) = (site.device(), site.device());
        assert_eq!(device, again);
        let mut other = Site::new(Node::new(), 51_820);
        let update =
            DeviceUpdate { private_key: device.private_key.as_deref(), ..DeviceUpdate::default() };
        other.wireguard.set_device(other.index, &update).expect("changed");
        assert_eq!(other.device().public_key, Some(site.public_key));
        assert_eq!(other.device().private_key, device.private_key);
        let private = device.private_key.as_deref().expect("a key");
        let (listed, bytes) = (format!("{private:?}"), base64(private));
        let inner = listed.trim_matches(['[', ']']);
        for shown in [format!("{device:?}"), format!("{update:?}"), format!("{:?}", site.wireguard)]
        {
            assert!(!shown.contains(inner) && !shown.contains(&bytes), "{shown}");
        }
    });
}

fn listed(site: &mut Site, family: Family) -> Vec<(Route, Vec<NextHop>)> {
    let mut routes = Vec::new();
    let collect = |route: &Route, hops: linux::netlink::NextHops<'_>| {
        routes.push((*route, hops.collect()));
    };
    site.node.netlink.routes_and_hops(family, 4343, collect).expect("a listing");
    routes
}

#[test]
fn flows_are_shared_among_wireguard_interfaces_by_weight() {
    isolated("flows_are_shared_among_wireguard_interfaces_by_weight", || {
        let mut site = Site::new(Node::new(), 51_820);
        site.node.netlink.create_link("second", "wireguard").expect("a WireGuard interface");
        let (first, second) = (site.index, site.node.index("second"));
        site.node.up("second");
        for (family, prefix, len) in
            [(Family::V4, "198.51.0.0", 16), (Family::V6, "2001:db8:51::", 48)]
        {
            let mut rule = linux::netlink::Rule::new(family, 100, 4343);
            rule.protocol = 76;
            site.node.netlink.add_rule(&rule).expect("added");
            let mut route = Route::new(ip(prefix), len);
            (route.table, route.protocol, route.metric) = (4343, 76, Some(1024));
            (route.mtu, route.advertised_mss) = (Some(1380), Some(1320));
            let hop = |output, weight| NextHop { output, gateway: None, weight };
            for weights in [(1, 1), (1, 3), (200, 50)] {
                let hops = [hop(first, weights.0), hop(second, weights.1)];
                site.node.netlink.replace_multipath(&route, &hops).expect("replaced");
                let listed = listed(&mut site, family);
                assert_eq!(listed.len(), 1, "{listed:?}");
                let (found, found_hops) = &listed[0];
                assert_eq!(found_hops, &hops);
                let expected = Route { output: Some(first), is_multipath: true, ..route };
                assert_eq!(*found, expected);
                let share = share_of(&mut site, family, first);
                let wanted = f64::from(weights.0) / f64::from(weights.0 + weights.1);
                assert!((share - wanted).abs() < 0.12, "{family:?} {weights:?}: {share}");
            }
            route.output = Some(second);
            site.node.netlink.replace_route(&route).expect("replaced");
            assert_eq!(listed(&mut site, family), [(route, vec![hop(second, 1)])]);
            let hops = [hop(first, 1), hop(second, 1)];
            site.node.netlink.replace_multipath(&route, &hops).expect("replaced");
            (route.mtu, route.advertised_mss, route.output) = (None, None, None);
            route.kind = RouteKind::Unreachable;
            site.node.netlink.replace_route(&route).expect("replaced");
            let kinds: Vec<_> = listed(&mut site, family).iter().map(|it| it.0.kind).collect();
            assert_eq!(kinds, [RouteKind::Unreachable]);
            route.kind = RouteKind::Unicast;
            site.node.netlink.replace_multipath(&route, &hops).expect("replaced");
            site.node.netlink.delete_route(&route).expect("deleted");
            assert_eq!(listed(&mut site, family), []);
            site.node.netlink.replace_multipath(&route, &hops[1..]).expect("replaced");
            route.output = Some(second);
            assert_eq!(listed(&mut site, family)[0].1, hops[1..]);
            site.node.netlink.delete_route(&route).expect("deleted");
        }
    });
}

/// The share of 400 destinations that leave by an interface.
fn share_of(site: &mut Site, family: Family, output: u32) -> f64 {
    let mut count = 0;
    for number in 0..400_u16 {
        let [high, low] = number.to_be_bytes();
        let destination = match family {
            Family::V4 => [198, 51, high, low].into(),
            Family::V6 => [0x2001, 0xdb8, 0x51, 0, 0, 0, 0, number].into(),
        };
        let mut query = RouteQuery::new(destination);
        query.source = Some(family.unspecified());
        let found = site.node.netlink.lookup_route(&query).expect("asked").expect("a way");
        count += u32::from(found.output == Some(output));
    }
    f64::from(count) / 400.0
}

#[test]
fn nothing_is_allocated_per_peer_or_listing() {
    isolated("nothing_is_allocated_per_peer_or_listing", || {
        let mut site = Site::new(Node::new(), 51_820);
        let many = many_allowed(500);
        let before = ALLOCATIONS.with(Cell::get);
        for number in 1..20 {
            let mut update = PeerUpdate::new([number; 32]);
            (update.replaces_allowed_ips, update.endpoint) = (true, endpoint("192.0.2.7:1"));
            let result = site.wireguard.set_peer(site.index, &update, many.iter().copied());
            result.expect("changed");
            let (mut peers, mut entries) = (0, 0);
            site.wireguard.peers(site.index, |_| peers += 1).expect("a listing");
            site.wireguard.device(site.index, |_| entries += 1).expect("a listing");
            assert_eq!((peers, entries), (number, 501 + u32::from(number)));
            site.node.netlink.link_statistics(site.index).expect("statistics");
        }
        assert_eq!(ALLOCATIONS.with(Cell::get), before);
    });
}
