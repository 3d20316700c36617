//! Routes: changing, looking up and listing them.

use core::net::IpAddr;

use nix::errno::Errno;

use super::abi::{
    NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, RT_SCOPE_HOST, RT_SCOPE_LINK, RT_SCOPE_NOWHERE,
    RT_SCOPE_UNIVERSE, RT_TABLE_COMPAT, RTA_DST, RTA_GATEWAY, RTA_MARK, RTA_METRICS, RTA_MULTIPATH,
    RTA_OIF, RTA_PREFSRC, RTA_PRIORITY, RTA_SRC, RTA_TABLE, RTA_VIA, RTAX_ADVMSS, RTAX_MTU,
    RTM_DELROUTE, RTM_F_CLONED, RTM_GETROUTE, RTM_NEWROUTE, RTNH_F_ONLINK,
};
use super::attribute::{Attribute, Attributes};
use super::error::Error;
use super::message::Message;
use super::multipath::NextHops;
use super::socket::Socket;
use super::{Family, REQUEST_LEN};

/// Octets of `struct rtmsg`.
pub(super) const HEADER_LEN: usize = 12;

/// The table of ordinary routes.
pub const TABLE_MAIN: u32 = 254;
/// The table of the machine's own addresses, kept by the kernel.
pub const TABLE_LOCAL: u32 = 255;

/// What a route does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// Sends it to a gateway or an interface.
    Unicast,
    /// Delivers it here.
    Local,
    /// Drops it in silence.
    Blackhole,
    /// Drops it and tells the sender.
    Unreachable,
    /// Drops it and tells the sender that this is on purpose.
    Prohibit,
    /// Ends the lookup in this table; the next rule decides.
    Throw,
    /// Another kind, by its number (`RTN_*`).
    Unknown(u8),
}

impl RouteKind {
    fn number(self) -> u8 {
        match self {
            Self::Unicast => 1,
            Self::Local => 2,
            Self::Blackhole => 6,
            Self::Unreachable => 7,
            Self::Prohibit => 8,
            Self::Throw => 9,
            Self::Unknown(number) => number,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Unicast,
            2 => Self::Local,
            6 => Self::Blackhole,
            7 => Self::Unreachable,
            8 => Self::Prohibit,
            9 => Self::Throw,
            other => Self::Unknown(other),
        }
    }
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The destination's address, its bits beyond the prefix zero.
    pub destination: IpAddr,
    /// The length of the destination's prefix in bits.
    pub prefix_len: u8,
    /// What it does.
    pub kind: RouteKind,
    /// The routing table.
    pub table: u32,
    /// Who made it (`RTPROT_*`: 2 the kernel, 3 boot, 4 static).
    pub protocol: u8,
    /// The next hop; of the other family is allowed.
    pub gateway: Option<IpAddr>,
    /// The index of the interface it leaves by.
    pub output: Option<u32>,
    /// The source address that packets of this machine get.
    pub source: Option<IpAddr>,
    /// The priority among routes of one prefix, lower wins; IPv6's default is 1024.
    pub metric: Option<u32>,
    /// The largest packet in octets, where the route limits it.
    pub mtu: Option<u32>,
    /// The TCP segment size in octets that this machine announces on it.
    pub advertised_mss: Option<u32>,
    /// The gateway is reached through `output` though no route says so.
    pub is_on_link: bool,
    /// Several next hops share the traffic; `gateway` and `output` are those of the first.
    pub is_multipath: bool,
    /// An entry of the kernel's cache of path MTUs and redirects rather than of a table.
    pub is_cached: bool,
}

impl Route {
    /// A unicast route of the main table with protocol static, everything else unset.
    #[must_use]
    pub fn new(destination: IpAddr, prefix_len: u8) -> Self {
        Self {
            destination,
            prefix_len,
            kind: RouteKind::Unicast,
            table: TABLE_MAIN,
            protocol: 4,
            gateway: None,
            output: None,
            source: None,
            metric: None,
            mtu: None,
            advertised_mss: None,
            is_on_link: false,
            is_multipath: false,
            is_cached: false,
        }
    }

    /// Reads the payload of an `RTM_NEWROUTE` or `RTM_DELROUTE`.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let header = payload.first_chunk::<HEADER_LEN>()?;
        let family = Family::from_number(header[0])?;
        let flags = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
        let mut route = Self::new(family.unspecified(), header[1]);
        route.table = u32::from(header[4]);
        route.protocol = header[5];
        route.kind = RouteKind::from_number(header[7]);
        route.is_on_link = flags & RTNH_F_ONLINK != 0;
        route.is_cached = flags & RTM_F_CLONED != 0;
        for attribute in Attributes::new(&payload[HEADER_LEN..]) {
            match attribute.kind {
                RTA_DST => route.destination = attribute.as_ip()?,
                RTA_TABLE => route.table = attribute.as_u32()?,
                RTA_PREFSRC => route.source = attribute.as_ip(),
                RTA_PRIORITY => route.metric = attribute.as_u32(),
                RTA_METRICS => {
                    let metric = |kind| attribute.nested().find_kind(kind)?.as_u32();
                    (route.mtu, route.advertised_mss) = (metric(RTAX_MTU), metric(RTAX_ADVMSS));
                }
                RTA_MULTIPATH => route.is_multipath = true,
                _ => route.apply_hop(&attribute),
            }
        }
        if route.is_multipath
            && let Some(hop) = NextHops::new(&route, payload).next()
        {
            (route.output, route.gateway) = (Some(hop.output), hop.gateway);
        }
        let is_consistent =
            Family::of(route.destination) == family && route.prefix_len <= family.host_prefix_len();
        is_consistent.then_some(route)
    }

    fn apply_hop(&mut self, attribute: &Attribute<'_>) {
        match attribute.kind {
            RTA_OIF => self.output = attribute.as_u32(),
            RTA_GATEWAY => self.gateway = attribute.as_ip(),
            // struct rtvia: the family in 16 bits, then the address.
            RTA_VIA => {
                let value = attribute.value.get(2..).unwrap_or_default();
                self.gateway = Attribute { kind: RTA_VIA, value }.as_ip();
            }
            _ => {}
        }
    }

    pub(super) fn message<'b>(&self, buffer: &'b mut [u8], kind: u16, flags: u16) -> Message<'b> {
        let mut message = self.message_without_gateway(buffer, kind, flags);
        match self.gateway {
            Some(gateway) if Family::of(gateway) == Family::of(self.destination) => {
                message.attribute_ip(RTA_GATEWAY, gateway);
            }
            Some(gateway) => {
                message.attribute(RTA_VIA, &via(gateway)[..via_len(gateway)]);
            }
            None => {}
        }
        message
    }

    pub(super) fn message_without_gateway<'b>(
        &self,
        buffer: &'b mut [u8],
        kind: u16,
        flags: u16,
    ) -> Message<'b> {
        let scope = match self.kind {
            _ if kind == RTM_DELROUTE => RT_SCOPE_NOWHERE,
            RouteKind::Local => RT_SCOPE_HOST,
            RouteKind::Unicast if self.gateway.is_none() => RT_SCOPE_LINK,
            _ => RT_SCOPE_UNIVERSE,
        };
        let route_flags = if self.is_on_link { RTNH_F_ONLINK } else { 0 };
        let family = Family::of(self.destination);
        let mut message = Message::new(buffer, kind, flags);
        message.put(&header(family, self.prefix_len, self, scope, route_flags));
        message.attribute_ip(RTA_DST, self.destination).attribute_u32(RTA_TABLE, self.table);
        for (kind, value) in [(RTA_OIF, self.output), (RTA_PRIORITY, self.metric)] {
            if let Some(value) = value {
                message.attribute_u32(kind, value);
            }
        }
        if let Some(source) = self.source {
            message.attribute_ip(RTA_PREFSRC, source);
        }
        if self.mtu.is_some() || self.advertised_mss.is_some() {
            message.nested(RTA_METRICS, |metrics| {
                for (kind, value) in [(RTAX_MTU, self.mtu), (RTAX_ADVMSS, self.advertised_mss)] {
                    if let Some(value) = value {
                        metrics.attribute_u32(kind, value);
                    }
                }
            });
        }
        message
    }
}

/// What to ask of the routing tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteQuery {
    /// Where a packet would go.
    pub destination: IpAddr,
    /// The firewall mark it would carry.
    pub mark: Option<u32>,
    /// The source address it would have.
    pub source: Option<IpAddr>,
    /// The index of the interface its socket is bound to.
    pub output: Option<u32>,
}

impl RouteQuery {
    /// A query for a destination alone.
    #[must_use]
    pub fn new(destination: IpAddr) -> Self {
        Self { destination, mark: None, source: None, output: None }
    }
}

impl Socket {
    /// Adds a route.
    ///
    /// # Errors
    /// As `request`; `is_existing` when there is one of that prefix, table and metric.
    pub fn add_route(&mut self, route: &Route) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.request(route.message(&mut buffer, RTM_NEWROUTE, flags))
    }

    /// Adds a route in place of the one of that prefix, table and metric, if there is one.
    ///
    /// # Errors
    /// As `request`.
    pub fn replace_route(&mut self, route: &Route) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.request(route.message(&mut buffer, RTM_NEWROUTE, flags))
    }

    /// Deletes the first route that has what `route` has set, with all its next hops.
    ///
    /// # Errors
    /// As `request`; `is_missing` when there is none.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), Error> {
        let mut route = *route;
        if route.is_multipath {
            // With the gateway of one of them, that one alone would go.
            (route.gateway, route.output) = (None, None);
        }
        let mut buffer = [0; REQUEST_LEN];
        self.request(route.message(&mut buffer, RTM_DELROUTE, 0))
    }

    /// Asks the kernel how a packet would leave; `None` when it would not.
    ///
    /// # Errors
    /// As `request`.
    pub fn lookup_route(&mut self, query: &RouteQuery) -> Result<Option<Route>, Error> {
        let family = Family::of(query.destination);
        let mut buffer = [0; REQUEST_LEN];
        let mut message = Message::new(&mut buffer, RTM_GETROUTE, 0);
        let source_len = query.source.map_or(0, |source| Family::of(source).host_prefix_len());
        let mut header = [0; HEADER_LEN];
        header[..3].copy_from_slice(&[family.number(), family.host_prefix_len(), source_len]);
        message.put(&header).attribute_ip(RTA_DST, query.destination);
        if let Some(source) = query.source {
            message.attribute_ip(RTA_SRC, source);
        }
        for (kind, value) in [(RTA_MARK, query.mark), (RTA_OIF, query.output)] {
            if let Some(value) = value {
                message.attribute_u32(kind, value);
            }
        }
        let mut found = None;
        let result = self.ask(message, |part| found = found.or(Route::parse(part.payload)));
        match result {
            Ok(()) => Ok(found.filter(is_way_out)),
            Err(error) if is_no_route(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands every route of a table and family to `each`, those of the kernel's cache left out.
    ///
    /// # Errors
    /// As `dump`.
    pub fn routes(
        &mut self,
        family: Family,
        table: u32,
        mut each: impl FnMut(Route),
    ) -> Result<(), Error> {
        self.routes_and_hops(family, table, |route, _| each(*route))
    }

    /// As `routes`, with all next hops of each.
    ///
    /// # Errors
    /// As `dump`.
    pub fn routes_and_hops(
        &mut self,
        family: Family,
        table: u32,
        mut each: impl FnMut(&Route, NextHops<'_>),
    ) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let mut message = Message::new(&mut buffer, RTM_GETROUTE, 0);
        let mut header = [0; HEADER_LEN];
        header[0] = family.number();
        message.put(&header).attribute_u32(RTA_TABLE, table);
        let result = self.dump(message, |part| {
            let route = Route::parse(part.payload);
            // Kernels before 4.20 ignore the filter.
            if let Some(route) = route.filter(|route| route.table == table && !route.is_cached) {
                each(&route, NextHops::new(&route, part.payload));
            }
        });
        match result {
            // A table exists from its first route on.
            Err(Error::Refused { errno: Errno::ENOENT, .. }) => Ok(()),
            result => result,
        }
    }
}

fn is_way_out(route: &Route) -> bool {
    matches!(route.kind, RouteKind::Unicast | RouteKind::Local)
}

/// A lookup that ends in a route that drops is answered with that route's error number.
fn is_no_route(error: &Error) -> bool {
    let dropped =
        [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES, Errno::EAGAIN, Errno::EINVAL];
    match error {
        // EINVAL is a blackhole's number, and with words it is a request that is wrong.
        Error::Refused { errno, message, .. } => dropped.contains(errno) && message.is_empty(),
        _ => false,
    }
}

/// `struct rtmsg`: family, destination and source lengths, TOS, table, protocol, scope, type,
/// flags.
fn header(
    family: Family,
    prefix_len: u8,
    route: &Route,
    scope: u8,
    flags: u32,
) -> [u8; HEADER_LEN] {
    let table = u8::try_from(route.table).unwrap_or(RT_TABLE_COMPAT);
    let mut header = [0; HEADER_LEN];
    header[..2].copy_from_slice(&[family.number(), prefix_len]);
    header[4..8].copy_from_slice(&[table, route.protocol, scope, route.kind.number()]);
    header[8..].copy_from_slice(&flags.to_ne_bytes());
    header
}

/// `struct rtvia`: the family in 16 bits, then the address.
fn via(gateway: IpAddr) -> [u8; 18] {
    let mut via = [0; 18];
    via[..2].copy_from_slice(&u16::from(Family::of(gateway).number()).to_ne_bytes());
    match gateway {
        IpAddr::V4(v4) => via[2..6].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => via[2..].copy_from_slice(&v6.octets()),
    }
    via
}

fn via_len(gateway: IpAddr) -> usize {
    2 + usize::from(Family::of(gateway).host_prefix_len() / 8)
}

#[cfg(test)]
mod tests {
    use super::super::message::native;
    use super::*;

    #[test]
    fn a_route_request_has_the_bytes_of_the_protocol() {
        let mut route = Route::new(IpAddr::from([198, 51, 100, 0]), 24);
        route.table = 4342;
        route.gateway = Some(IpAddr::from([192, 0, 2, 254]));
        route.output = Some(3);
        route.metric = Some(10);
        route.source = Some(IpAddr::from([192, 0, 2, 1]));
        (route.mtu, route.advertised_mss) = (Some(1420), Some(1380));
        let mut buffer = [0xaa; 128];
        let mut message = route.message(&mut buffer, RTM_NEWROUTE, 0x500);
        let expected = native(
            "00000060 0018 0505 00000009 00000000 =02180000 =fc040001 00000000 \
             0008 0001 =c6336400 0008 000f 000010f6 0008 0004 00000003 0008 0006 0000000a \
             0008 0007 =c0000201 0014 8008 0008 0002 0000058c 0008 0008 00000564 \
             0008 0005 =c00002fe",
        );
        assert_eq!(message.finish(5, 9), Ok(&expected[..]));
        assert_eq!(Route::parse(&expected[16..]), Some(route));
    }

    #[test]
    fn a_gateway_of_the_other_family_survives() {
        let mut route = Route::new(IpAddr::from([0, 0, 0, 0]), 0);
        route.gateway = Some("fe80::1".parse().expect("an address"));
        route.output = Some(2);
        route.table = TABLE_MAIN;
        let mut buffer = [0; 128];
        let mut message = route.message(&mut buffer, RTM_NEWROUTE, 0);
        let bytes = message.finish(0, 1).expect("it fits");
        assert_eq!(Route::parse(&bytes[16..]), Some(route));
    }

    #[test]
    fn the_first_hop_of_a_multipath_route_is_read() {
        let payload = native(
            "=0218 =0000 =fe040001 00000000 0008 0001 =c6336400 \
             0024 0009 0010 =0000 00000005 0008 0005 =c0000201 \
             0010 =0000 00000006 0008 0005 =c0000202",
        );
        let route = Route::parse(&payload).expect("a route");
        assert!(route.is_multipath);
        assert_eq!(route.output, Some(5));
        assert_eq!(route.gateway, Some(IpAddr::from([192, 0, 2, 1])));
    }

    #[test]
    fn a_prefix_longer_than_its_address_is_refused() {
        let payload = native("=0221 =0000 =fe040001 00000000 0008 0001 =c6336400");
        assert_eq!(Route::parse(&payload), None);
    }
}
