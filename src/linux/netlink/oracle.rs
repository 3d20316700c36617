//! What the netlink-packet crates make of our requests, and we of theirs, octet by octet.

use core::net::{IpAddr, SocketAddr};

use netlink_packet_core::{
    Emitable, NetlinkHeader, NetlinkMessage, NetlinkPayload, ParseableParametrized,
};
use netlink_packet_generic::GenlHeader;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage, Stats64};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RouteProtocol, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::rule::{RuleAttribute, RuleFlags, RuleMessage};
use netlink_packet_route::stats::{StatsAttribute, StatsFilterMask, StatsMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, rule};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute,
    WireguardCmd, WireguardDeviceFlags, WireguardMessage, WireguardPeer, WireguardPeerAttribute,
    WireguardPeerFlags, WireguardTimeSpec,
};

use super::abi::{IFLA_IFALIAS, NLA_F_NESTED, RTA_METRICS, RTM_NEWROUTE, RTM_NEWRULE};
use super::link::{LinkStatistics, create, put_kind, statistics_message};
use super::message::Message;
use super::multipath::{HOPS_LEN, NO_GATEWAY, NextHop, NextHops, message, neighbour_message};
use super::wireguard::{
    AllowedIp, DeviceUpdate, Entry, Listing, PeerUpdate, device_message, listing_message,
    peer_message,
};
use super::{Family, Link, Route, RouteKind, Rule, RuleAction};

/// A request with acknowledgement.
const FLAGS: u16 = 5;

fn finished(mut message: Message<'_>) -> Vec<u8> {
    message.finish(FLAGS, 9).expect("it fits").to_vec()
}

/// The same message as the oracle writes it, with the flags of ours.
fn written(ours: &[u8], message: RouteNetlinkMessage) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = u16::from_ne_bytes([ours[6], ours[7]]);
    header.sequence_number = 9;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The oracle reads our octets as its message, and writes its message as our octets.
fn compare(ours: &[u8], message: RouteNetlinkMessage) {
    let read = NetlinkMessage::<RouteNetlinkMessage>::deserialize(ours).expect("it is read");
    assert_eq!(read.payload, NetlinkPayload::InnerMessage(message.clone()));
    assert_eq!(ours, written(ours, message));
}

/// The octets without the flag that the oracle leaves away on one attribute.
fn without_nested_flag(ours: &[u8], kind: u16) -> Vec<u8> {
    let flagged = (kind | NLA_F_NESTED).to_ne_bytes();
    let at = ours.windows(2).position(|pair| pair == flagged).expect("the attribute");
    let mut bytes = ours.to_vec();
    bytes[at..at + 2].copy_from_slice(&kind.to_ne_bytes());
    bytes
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn address(text: &str) -> RouteAddress {
    match ip(text) {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    }
}

fn route_message(
    family: AddressFamily,
    prefix_len: u8,
    kind: RouteType,
    attributes: Vec<RouteAttribute>,
) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.destination_prefix_length = prefix_len;
    message.header.table = 252;
    message.header.protocol = RouteProtocol::Other(76);
    message.header.scope = RouteScope::Universe;
    message.header.kind = kind;
    message.attributes = attributes;
    message
}

fn our_route(destination: &str, prefix_len: u8) -> Route {
    let mut route = Route::new(ip(destination), prefix_len);
    (route.table, route.protocol) = (4343, 76);
    route
}

fn route_octets(route: &Route) -> Vec<u8> {
    finished(route.message(&mut [0xaa; 512], RTM_NEWROUTE, 0x500))
}

#[test]
fn routes_are_what_the_oracle_writes() {
    let mut route = our_route("2001:db8:1::", 48);
    (route.output, route.metric) = (Some(3), Some(1024));
    (route.source, route.gateway) = (Some(ip("2001:db8::1")), Some(ip("fe80::1")));
    (route.mtu, route.advertised_mss) = (Some(1380), Some(1320));
    route.is_on_link = true;
    let mut message = route_message(
        AddressFamily::Inet6,
        48,
        RouteType::Unicast,
        vec![
            RouteAttribute::Destination(address("2001:db8:1::")),
            RouteAttribute::Table(4343),
            RouteAttribute::Oif(3),
            RouteAttribute::Priority(1024),
            RouteAttribute::PrefSource(address("2001:db8::1")),
            RouteAttribute::Metrics(vec![RouteMetric::Mtu(1380), RouteMetric::Advmss(1320)]),
            RouteAttribute::Gateway(address("fe80::1")),
        ],
    );
    message.header.flags = RouteFlags::Onlink;
    let message = RouteNetlinkMessage::NewRoute(message);
    let ours = route_octets(&route);
    compare(&without_nested_flag(&ours, RTA_METRICS), message.clone());
    assert_eq!(Route::parse(&written(&ours, message)[16..]), Some(route));
}

#[test]
fn routes_that_drop_or_cross_families_are_what_the_oracle_writes() {
    for (kind, theirs) in [
        (RouteKind::Unreachable, RouteType::Unreachable),
        (RouteKind::Throw, RouteType::Throw),
        (RouteKind::Blackhole, RouteType::BlackHole),
        (RouteKind::Prohibit, RouteType::Prohibit),
    ] {
        let mut route = our_route("198.51.100.0", 24);
        route.kind = kind;
        let attributes =
            vec![RouteAttribute::Destination(address("198.51.100.0")), RouteAttribute::Table(4343)];
        let message = route_message(AddressFamily::Inet, 24, theirs, attributes);
        compare(&route_octets(&route), RouteNetlinkMessage::NewRoute(message));
    }
    let mut route = our_route("198.51.100.0", 24);
    (route.gateway, route.output) = (Some(ip("fe80::1")), Some(3));
    let attributes = vec![
        RouteAttribute::Destination(address("198.51.100.0")),
        RouteAttribute::Table(4343),
        RouteAttribute::Oif(3),
        RouteAttribute::Via(RouteVia::Inet6("fe80::1".parse().expect("an address"))),
    ];
    let message = route_message(AddressFamily::Inet, 24, RouteType::Unicast, attributes);
    compare(&route_octets(&route), RouteNetlinkMessage::NewRoute(message));
}

/// Next hops as the oracle has them.
fn their_hop(hop: &NextHop, gateway: Option<RouteAddress>) -> RouteNextHop {
    let mut theirs = RouteNextHop::default();
    theirs.interface_index = hop.output;
    theirs.hops = hop.weight - 1;
    if let Some(gateway) = gateway {
        theirs.flags = RouteNextHopFlags::Onlink;
        theirs.attributes = vec![RouteAttribute::Gateway(gateway)];
    }
    theirs
}

#[test]
fn multipath_routes_are_what_the_oracle_writes() {
    let stand_in = RouteAddress::Inet6(NO_GATEWAY);
    for (family, prefix, len, theirs) in [
        (AddressFamily::Inet, "198.51.100.0", 24, None),
        (AddressFamily::Inet6, "2001:db8:51::", 48, Some(stand_in)),
    ] {
        let hop = |output, weight| NextHop { output, gateway: None, weight };
        let hops = [hop(5, 1), hop(6, 3), hop(7, 255)];
        let route = our_route(prefix, len);
        let (mut buffer, mut encoded) = ([0xaa; 512], [0xaa; HOPS_LEN]);
        let ours = message(&mut buffer, &mut encoded, &route, &hops).expect("it fits");
        let ours = finished(ours);
        let attributes = vec![
            RouteAttribute::Destination(address(prefix)),
            RouteAttribute::Table(4343),
            RouteAttribute::MultiPath(
                hops.iter().map(|hop| their_hop(hop, theirs.clone())).collect(),
            ),
        ];
        let mut message = route_message(family, len, RouteType::Unicast, attributes);
        if family == AddressFamily::Inet {
            message.header.scope = RouteScope::Link;
        }
        let message = RouteNetlinkMessage::NewRoute(message);
        compare(&ours, message.clone());
        let answer = written(&ours, message);
        let listed: Vec<_> = NextHops::new(&route, &answer[16..]).collect();
        assert_eq!(listed, hops);
    }
}

#[test]
fn the_neighbour_of_a_next_hop_is_what_the_oracle_writes() {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.ifindex = 7;
    message.header.state = NeighbourState::Permanent;
    let neighbour = NeighbourAddress::Inet6(NO_GATEWAY);
    message.attributes = vec![NeighbourAttribute::Destination(neighbour)];
    let ours = finished(neighbour_message(&mut [0xaa; 64], 7));
    compare(&ours, RouteNetlinkMessage::NewNeighbour(message));
}

#[test]
fn rules_are_what_the_oracle_writes() {
    let mut rule = Rule::new(Family::V6, 5090, 4343);
    (rule.protocol, rule.mark, rule.is_inverted) = (76, Some(0x4c47), true);
    rule.source = Some((ip("2001:db8::"), 32));
    rule.destination = Some((ip("2001:db8:1::"), 48));
    rule.input = crate::Text::new("lan");
    rule.suppress_prefix_len = Some(0);
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet6;
    (message.header.dst_len, message.header.src_len) = (48, 32);
    message.header.table = 252;
    message.header.action = rule::RuleAction::ToTable;
    message.header.flags = RuleFlags::Invert;
    message.attributes = vec![
        RuleAttribute::Priority(5090),
        RuleAttribute::Table(4343),
        RuleAttribute::Destination(ip("2001:db8:1::")),
        RuleAttribute::Source(ip("2001:db8::")),
        RuleAttribute::Iifname("lan".into()),
        RuleAttribute::FwMark(0x4c47),
        RuleAttribute::FwMask(u32::MAX),
        RuleAttribute::SuppressPrefixLen(0),
        RuleAttribute::Protocol(RouteProtocol::Other(76)),
    ];
    compare_rule(&rule, message);
    for (action, theirs) in [
        (RuleAction::Goto(6000), rule::RuleAction::Goto),
        (RuleAction::Nop, rule::RuleAction::Nop),
        (RuleAction::Unreachable, rule::RuleAction::Unreachable),
        (RuleAction::Blackhole, rule::RuleAction::Blackhole),
        (RuleAction::Prohibit, rule::RuleAction::Prohibit),
    ] {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.action = theirs;
        message.attributes = vec![RuleAttribute::Priority(5000)];
        if let RuleAction::Goto(target) = action {
            message.attributes.push(RuleAttribute::Goto(target));
        }
        message.attributes.push(RuleAttribute::Protocol(RouteProtocol::Static));
        compare_rule(&Rule::with_action(Family::V4, 5000, action), message);
    }
}

fn compare_rule(rule: &Rule, message: RuleMessage) {
    let ours = finished(rule.message(&mut [0xaa; 256], RTM_NEWRULE, 0x600));
    let message = RouteNetlinkMessage::NewRule(message);
    compare(&ours, message.clone());
    assert_eq!(Rule::parse(&written(&ours, message)[16..]), Some(*rule));
}

#[test]
fn links_are_what_the_oracle_writes() {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName("lg-data0".into()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Wireguard)]),
    ];
    let mut buffer = [0xaa; 256];
    let mut ours = create(&mut buffer, "lg-data0");
    put_kind(&mut ours, "wireguard");
    let ours = finished(ours);
    let kindless = without_nested_flag(&ours, super::abi::IFLA_LINKINFO);
    compare(&kindless, RouteNetlinkMessage::NewLink(message));

    let mut message = LinkMessage::default();
    message.header.index = 7;
    message.attributes = vec![
        LinkAttribute::IfName("lg-data0".into()),
        LinkAttribute::Mtu(1420),
        LinkAttribute::IfAlias("lispguard".into()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Wireguard)]),
    ];
    let answer = written(&ours, RouteNetlinkMessage::NewLink(message));
    let link = Link::parse(&answer[16..]).expect("a link");
    assert_eq!((link.index, link.mtu, link.name.as_str()), (7, 1420, "lg-data0"));
    assert_eq!(link.alias.expect("an alias"), "lispguard");
    assert_eq!(link.kind.expect("a kind"), "wireguard");
    assert_eq!(IFLA_IFALIAS, 20);
}

#[test]
fn statistics_are_what_the_oracle_writes() {
    let mut message = StatsMessage::default();
    message.header.ifindex = 7;
    message.header.filter_mask = StatsFilterMask::Link64;
    let ours = finished(statistics_message(&mut [0xaa; 64], 7));
    compare(&ours, RouteNetlinkMessage::GetStats(message.clone()));
    let mut theirs = Stats64::default();
    (theirs.rx_packets, theirs.tx_packets) = (1, 2);
    (theirs.rx_bytes, theirs.tx_bytes) = (3 << 40, 4 << 40);
    message.attributes = vec![StatsAttribute::Link64(theirs)];
    let answer = written(&ours, RouteNetlinkMessage::NewStats(message));
    let expected =
        LinkStatistics { rx_packets: 1, tx_packets: 2, rx_octets: 3 << 40, tx_octets: 4 << 40 };
    assert_eq!(LinkStatistics::parse(&answer[16..]), Some(expected));
}

/// As `compare`, for a message of the WireGuard family without its netlink header.
fn compare_wireguard(ours: &[u8], message: &WireguardMessage) {
    let header = GenlHeader::parse(&ours[16..]).expect("a header");
    let read = WireguardMessage::parse_with_param(&ours[20..], header);
    assert_eq!(read.expect("it is read"), *message);
    assert_eq!(&ours[16..], written_wireguard(message));
}

fn written_wireguard(message: &WireguardMessage) -> Vec<u8> {
    let header = GenlHeader { cmd: message.cmd.into(), version: 1 };
    let mut bytes = vec![0; header.buffer_len() + message.buffer_len()];
    header.emit(&mut bytes);
    message.emit(&mut bytes[4..]);
    bytes
}

fn their_allowed_ip(allowed_ip: &AllowedIp) -> WireguardAllowedIp {
    let family = match allowed_ip.ip {
        IpAddr::V4(_) => WireguardAddressFamily::Ipv4,
        IpAddr::V6(_) => WireguardAddressFamily::Ipv6,
    };
    WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(allowed_ip.ip),
        WireguardAllowedIpAttr::Cidr(allowed_ip.prefix_len),
    ])
}

fn allowed_ips() -> [AllowedIp; 3] {
    [
        AllowedIp { ip: ip("10.7.0.0"), prefix_len: 16 },
        AllowedIp { ip: ip("2001:db8:7::"), prefix_len: 48 },
        AllowedIp { ip: ip("fd00::7"), prefix_len: 128 },
    ]
}

#[test]
fn wireguard_interfaces_are_what_the_oracle_writes() {
    let update = DeviceUpdate {
        private_key: Some(&[3; 32]),
        listen_port: Some(51_820),
        fwmark: Some(0x4c47),
        removes_peers: true,
    };
    let message = WireguardMessage {
        cmd: WireguardCmd::SetDevice,
        attributes: vec![
            WireguardAttribute::IfIndex(7),
            WireguardAttribute::PrivateKey([3; 32]),
            WireguardAttribute::ListenPort(51_820),
            WireguardAttribute::Fwmark(0x4c47),
            WireguardAttribute::Flags(WireguardDeviceFlags::ReplacePeers),
        ],
    };
    let ours = finished(device_message(&mut [0xaa; 256], 29, 7, &update));
    compare_wireguard(&ours, &message);
    let attributes = vec![WireguardAttribute::IfIndex(7)];
    let message = WireguardMessage { cmd: WireguardCmd::GetDevice, attributes };
    compare_wireguard(&finished(listing_message(&mut [0xaa; 64], 29, 7)), &message);
}

#[test]
fn wireguard_peers_are_what_the_oracle_writes() {
    let mut update = PeerUpdate::new([1; 32]);
    (update.replaces_allowed_ips, update.is_update_only) = (true, true);
    let endpoints: [SocketAddr; 2] =
        ["192.0.2.7:4342", "[fe80::7%3]:51820"].map(|text| text.parse().expect("an endpoint"));
    for endpoint in endpoints {
        (update.endpoint, update.persistent_keepalive) = (Some(endpoint), Some(25));
        let peer = WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey([1; 32]),
            WireguardPeerAttribute::Flags(
                WireguardPeerFlags::ReplaceAllowedIps | WireguardPeerFlags::UpdateOnly,
            ),
            WireguardPeerAttribute::Endpoint(endpoint),
            WireguardPeerAttribute::PersistentKeepalive(25),
            WireguardPeerAttribute::AllowedIps(
                allowed_ips().iter().map(their_allowed_ip).collect(),
            ),
        ]);
        let attributes =
            vec![WireguardAttribute::IfIndex(7), WireguardAttribute::Peers(vec![peer])];
        let message = WireguardMessage { cmd: WireguardCmd::SetDevice, attributes };
        let mut list = allowed_ips().into_iter().peekable();
        let ours = finished(peer_message(&mut [0xaa; 512], 29, 7, &update, &mut list));
        compare_wireguard(&ours, &message);
    }
    let peer = WireguardPeer(vec![
        WireguardPeerAttribute::PublicKey([1; 32]),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::RemoveMe),
    ]);
    let attributes = vec![WireguardAttribute::IfIndex(7), WireguardAttribute::Peers(vec![peer])];
    let message = WireguardMessage { cmd: WireguardCmd::SetDevice, attributes };
    let mut none = core::iter::empty().peekable();
    let removal = PeerUpdate::removal([1; 32]);
    let ours = finished(peer_message(&mut [0xaa; 512], 29, 7, &removal, &mut none));
    compare_wireguard(&ours, &message);
}

#[test]
fn listings_that_the_oracle_writes_are_read() {
    let endpoint: SocketAddr = "[2001:db8::7]:51820".parse().expect("an endpoint");
    let time = WireguardTimeSpec { seconds: 1_800_000_000, nano_seconds: 5 };
    let peer = WireguardPeer(vec![
        WireguardPeerAttribute::PublicKey([1; 32]),
        WireguardPeerAttribute::PresharedKey([0; 32]),
        WireguardPeerAttribute::LastHandshake(time),
        WireguardPeerAttribute::PersistentKeepalive(25),
        WireguardPeerAttribute::TxBytes(1 << 40),
        WireguardPeerAttribute::RxBytes(2 << 40),
        WireguardPeerAttribute::ProtocolVersion(1),
        WireguardPeerAttribute::Endpoint(endpoint),
        WireguardPeerAttribute::AllowedIps(allowed_ips().iter().map(their_allowed_ip).collect()),
    ]);
    let message = WireguardMessage {
        cmd: WireguardCmd::GetDevice,
        attributes: vec![
            WireguardAttribute::ListenPort(51_820),
            WireguardAttribute::Fwmark(0x4c47),
            WireguardAttribute::IfIndex(7),
            WireguardAttribute::IfName("lg-data0".into()),
            WireguardAttribute::PrivateKey([3; 32]),
            WireguardAttribute::PublicKey([4; 32]),
            WireguardAttribute::Peers(vec![peer]),
        ],
    };
    let (mut count, mut listed) = (0, Vec::new());
    Listing::new(true).handle_part(&written_wireguard(&message), &mut |entry| match entry {
        Entry::Device(device) => {
            count += 1;
            assert_eq!((device.index, device.listen_port, device.fwmark), (7, 51_820, 0x4c47));
            assert_eq!(device.private_key.as_deref(), Some(&[3; 32]));
            assert_eq!(device.public_key, Some([4; 32]));
        }
        Entry::Peer(peer) => {
            count += 1;
            assert_eq!((peer.public_key, peer.endpoint), ([1; 32], Some(endpoint)));
            assert_eq!((peer.rx_octets, peer.tx_octets), (2 << 40, 1 << 40));
            let time = core::time::Duration::new(1_800_000_000, 5);
            assert_eq!((peer.last_handshake, peer.persistent_keepalive), (Some(time), 25));
        }
        Entry::AllowedIp(key, allowed_ip) => {
            assert_eq!(*key, [1; 32]);
            listed.push(allowed_ip);
        }
    });
    assert_eq!((count, listed), (2, allowed_ips().to_vec()));
}
