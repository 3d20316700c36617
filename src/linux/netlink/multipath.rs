//! Routes whose traffic several next hops share.

use core::net::{IpAddr, Ipv6Addr};

use super::REQUEST_LEN;
use super::abi::{
    AF_INET6, NDA_DST, NLM_F_CREATE, NLM_F_REPLACE, NUD_PERMANENT, RTA_GATEWAY, RTA_MULTIPATH,
    RTM_NEWNEIGH, RTM_NEWROUTE, RTNH_F_ONLINK,
};
use super::attribute::{Attribute, Attributes};
use super::error::Error;
use super::message::Message;
use super::route::Route;
use super::socket::Socket;

/// Octets of `struct rtnexthop`.
const HEADER_LEN: usize = 8;
/// Octets of all next hops of a request, enough for eleven of IPv6.
pub(super) const HOPS_LEN: usize = 320;

/// Stands in for the gateway of a next hop that has none: the kernel shares IPv6 traffic among
/// next hops with gateways only. An interface without link-layer addresses makes no use of it.
pub(super) const NO_GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x6e6f, 0x6e65);

/// One of the ways that a route's traffic takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop {
    /// The index of the interface it leaves by, 0 when the route drops.
    pub output: u32,
    /// The gateway, of the route's family.
    pub gateway: Option<IpAddr>,
    /// Its share of the flows, relative to the others' weights; 0 counts as 1.
    pub weight: u8,
}

/// The next hops of a listed route: one for each way, none when it drops.
#[derive(Debug, Clone)]
pub struct NextHops<'a> {
    single: Option<NextHop>,
    rest: &'a [u8],
}

impl<'a> NextHops<'a> {
    pub(super) fn new(route: &Route, payload: &'a [u8]) -> Self {
        let attributes = payload.get(super::route::HEADER_LEN..).unwrap_or_default();
        match Attributes::new(attributes).find_kind(RTA_MULTIPATH) {
            Some(hops) => Self { single: None, rest: hops.value },
            None => {
                let hop = |output| NextHop { output, gateway: route.gateway, weight: 1 };
                Self { single: route.output.map(hop), rest: &[] }
            }
        }
    }
}

impl Iterator for NextHops<'_> {
    type Item = NextHop;

    fn next(&mut self) -> Option<NextHop> {
        if let Some(hop) = self.single.take() {
            return Some(hop);
        }
        // struct rtnexthop: length, flags, weight less one, interface index, then attributes.
        let bytes = core::mem::take(&mut self.rest);
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let attributes = Attributes::new(bytes.get(HEADER_LEN..len)?);
        self.rest = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        let is_stand_in = |gateway: &IpAddr| *gateway == IpAddr::V6(NO_GATEWAY);
        Some(NextHop {
            output: u32::from_ne_bytes([header[4], header[5], header[6], header[7]]),
            gateway: attributes
                .find_kind(RTA_GATEWAY)
                .and_then(|gateway: Attribute<'_>| gateway.as_ip())
                .filter(|gateway| !is_stand_in(gateway)),
            weight: header[3].saturating_add(1),
        })
    }
}

impl Socket {
    /// Adds a route with several next hops in place of the one of that prefix, table and metric,
    /// if there is one. The next hops count, not the route's `gateway` and `output`; a gateway
    /// need not be within reach of an address of ours. An IPv6 next hop without gateway must lead
    /// to an interface without link-layer addresses, such as TUN or WireGuard.
    ///
    /// # Errors
    /// As `request`; `TooLong` when they are too many: eleven of IPv6 always fit.
    pub fn replace_multipath(&mut self, route: &Route, hops: &[NextHop]) -> Result<(), Error> {
        if let [hop] = hops {
            let (gateway, output, is_on_link) =
                (hop.gateway, Some(hop.output), hop.gateway.is_some());
            return self.replace_route(&Route { gateway, output, is_on_link, ..*route });
        }
        let mut buffer = [0; REQUEST_LEN];
        if has_stand_ins(route, hops) {
            for hop in hops.iter().filter(|hop| hop.gateway.is_none()) {
                self.request(neighbour_message(&mut buffer, hop.output))?;
            }
        }
        let mut encoded = [0; HOPS_LEN];
        let message = message(&mut buffer, &mut encoded, route, hops)?;
        self.request(message)
    }
}

fn has_stand_ins(route: &Route, hops: &[NextHop]) -> bool {
    route.destination.is_ipv6() && hops.iter().any(|hop| hop.gateway.is_none())
}

/// Makes the stand-in a neighbour that is always there: while the kernel does not know a gateway
/// to be, it takes turns among next hops instead of looking at flows and weights.
pub(super) fn neighbour_message(buffer: &mut [u8], index: u32) -> Message<'_> {
    // struct ndmsg: family, padding, interface index, state, flags, type.
    let mut header = [0; 12];
    header[0] = AF_INET6;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    let mut message = Message::new(buffer, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
    message.put(&header).attribute_ip(NDA_DST, NO_GATEWAY.into());
    message
}

pub(super) fn message<'b>(
    buffer: &'b mut [u8],
    encoded: &mut [u8; HOPS_LEN],
    route: &Route,
    hops: &[NextHop],
) -> Result<Message<'b>, Error> {
    let stand_in = route.destination.is_ipv6().then_some(IpAddr::V6(NO_GATEWAY));
    let gateway_of = |hop: &NextHop| hop.gateway.or(stand_in);
    let mut len = 0;
    for hop in hops {
        len += emit(hop, gateway_of(hop), &mut encoded[len..]).ok_or(Error::TooLong)?;
    }
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    // A gateway, or its lack, decides on the scope of the whole route.
    let gateway = hops.first().and_then(gateway_of);
    let shared = Route { gateway, output: None, ..*route };
    let mut message = shared.message_without_gateway(buffer, RTM_NEWROUTE, flags);
    message.attribute(RTA_MULTIPATH, &encoded[..len]);
    Ok(message)
}

/// Writes one `struct rtnexthop` with its gateway; `None` when it does not fit.
fn emit(hop: &NextHop, gateway: Option<IpAddr>, buffer: &mut [u8]) -> Option<usize> {
    let mut octets = [0; 16];
    let value: &[u8] = match gateway {
        Some(IpAddr::V4(v4)) => {
            octets[..4].copy_from_slice(&v4.octets());
            &octets[..4]
        }
        Some(IpAddr::V6(v6)) => {
            octets.copy_from_slice(&v6.octets());
            &octets
        }
        None => &[],
    };
    let attribute_len = if value.is_empty() { 0 } else { 4 + value.len() };
    let len = HEADER_LEN + attribute_len;
    let room = buffer.get_mut(..len)?;
    room[..2].copy_from_slice(&(len as u16).to_ne_bytes());
    room[2] = if gateway.is_some() { RTNH_F_ONLINK as u8 } else { 0 };
    room[3] = hop.weight.max(1) - 1;
    room[4..8].copy_from_slice(&hop.output.to_ne_bytes());
    if !value.is_empty() {
        room[8..10].copy_from_slice(&(attribute_len as u16).to_ne_bytes());
        room[10..12].copy_from_slice(&RTA_GATEWAY.to_ne_bytes());
        room[12..].copy_from_slice(value);
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::super::RouteKind;
    use super::super::message::native;
    use super::*;

    fn hop(output: u32, gateway: Option<&str>, weight: u8) -> NextHop {
        let gateway = gateway.map(|text| text.parse().expect("an address"));
        NextHop { output, gateway, weight }
    }

    #[test]
    fn a_request_has_the_bytes_of_the_protocol() {
        let mut route = Route::new(IpAddr::from([198, 51, 100, 0]), 24);
        (route.table, route.protocol, route.mtu) = (4343, 76, Some(1380));
        let hops = [hop(5, None, 1), hop(6, None, 3)];
        let (mut buffer, mut encoded) = ([0xaa; 512], [0xaa; HOPS_LEN]);
        let mut message = message(&mut buffer, &mut encoded, &route, &hops).expect("it fits");
        let expected = native(
            "0000004c 0018 0505 00000009 00000000 =02180000 =fc4cfd01 00000000 \
             0008 0001 =c6336400 0008 000f 000010f7 000c 8008 0008 0002 00000564 \
             0014 0009 0008 =0000 00000005 0008 =0002 00000006",
        );
        assert_eq!(message.finish(5, 9), Ok(&expected[..]));
        let found = Route::parse(&expected[16..]).expect("a route");
        assert!(found.is_multipath && found.output == Some(5));
        assert_eq!(NextHops::new(&found, &expected[16..]).collect::<Vec<_>>(), hops);
    }

    #[test]
    fn ipv6_next_hops_without_gateway_get_a_stand_in_that_is_not_listed() {
        let route = Route::new("2001:db8:51::".parse().expect("an address"), 48);
        let hops = [hop(5, None, 255), hop(6, Some("fe80::1"), 0)];
        let (mut buffer, mut encoded) = ([0xaa; 512], [0xaa; HOPS_LEN]);
        let mut message = message(&mut buffer, &mut encoded, &route, &hops).expect("it fits");
        let expected = native(
            "00000074 0018 0505 00000009 00000000 =0a300000 =fe040001 00000000 \
             0014 0001 =20010db8005100000000000000000000 0008 000f 000000fe 003c 0009 \
             001c =04fe 00000005 0014 0005 =fe8000000000000000000000 =6e6f6e65 \
             001c =0400 00000006 0014 0005 =fe800000000000000000000000000001",
        );
        assert_eq!(message.finish(5, 9), Ok(&expected[..]));
        let found = Route::parse(&expected[16..]).expect("a route");
        let listed: Vec<_> = NextHops::new(&found, &expected[16..]).collect();
        assert_eq!(listed, [hops[0], hop(6, Some("fe80::1"), 1)]);
        let mut message = neighbour_message(&mut buffer, 5);
        let expected = native(
            "00000030 001c 0505 00000009 00000000 =0a000000 00000005 0080 =0000 \
             0014 0001 =fe8000000000000000000000 =6e6f6e65",
        );
        assert_eq!(message.finish(5, 9), Ok(&expected[..]));
    }

    #[test]
    fn too_many_next_hops_are_refused() {
        let route = Route::new("2001:db8:51::".parse().expect("an address"), 48);
        for (count, is_fitting) in [(11, true), (12, false), (100, false)] {
            let hops = vec![hop(5, None, 1); count];
            let (mut buffer, mut encoded) = ([0; REQUEST_LEN], [0; HOPS_LEN]);
            let message = message(&mut buffer, &mut encoded, &route, &hops);
            assert_eq!(message.is_ok(), is_fitting, "{count}");
            if let Ok(mut message) = message {
                assert!(message.finish(0, 1).is_ok());
            }
        }
    }

    #[test]
    fn a_route_that_drops_has_no_next_hop_and_a_plain_one_has_one() {
        let mut route = Route::new(IpAddr::from([198, 51, 100, 0]), 24);
        let payload = |route: &Route| {
            let mut buffer = [0; 256];
            let mut message = route.message(&mut buffer, RTM_NEWROUTE, 0);
            message.finish(0, 1).expect("it fits")[16..].to_vec()
        };
        route.kind = RouteKind::Unreachable;
        assert_eq!(NextHops::new(&route, &payload(&route)).next(), None);
        (route.kind, route.output) = (RouteKind::Unicast, Some(7));
        let hops: Vec<_> = NextHops::new(&route, &payload(&route)).collect();
        assert_eq!(hops, [hop(7, None, 1)]);
    }

    #[test]
    fn next_hops_whose_lengths_lie_end_the_iteration() {
        let route = Route::new(IpAddr::from([198, 51, 100, 0]), 24);
        for len in [0_u16, 7, 9, 17, u16::MAX] {
            let mut payload = vec![0; 12];
            payload.extend(native("0014 0009"));
            payload.extend(len.to_ne_bytes());
            payload.extend([0; 14]);
            assert!(NextHops::new(&route, &payload).count() <= 1, "length {len}");
        }
        assert_eq!(NextHops::new(&route, &[]).count(), 0);
    }
}
