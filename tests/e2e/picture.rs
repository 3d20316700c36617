//! The picture of the uplinks is the kernel's, whatever happens to links, addresses and routes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use daemon::config;
use daemon::demo::net::{Place, Scratch};
use daemon::links::{Links, Policy};
use linux::poller::{Interest, Poller};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::testbed::{Outcome, in_namespaces, is_in_kernel, is_long};

/// Where the Map-Servers are: without a default route, the way there is the way out.
const MAP_SERVERS: [&str; 2] = ["192.0.2.2", "2001:db8:99::2"];
const FWMARK: u32 = 0x4c47;
/// The prefix of the EIDs: an address in it is no RLOC.
const EID_PREFIX: &str = "10.9.0.0/16";
/// An event that comes later than this after its change does not come.
const PATIENCE: Duration = Duration::from_secs(5);

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Changes in the words of `ip -batch`; the kernel may refuse them now.
fn change(random: &mut Random) -> String {
    let number = random.below(3);
    let (near, far) = (format!("u{number}"), format!("f{number}"));
    let add_or_remove = random.one_of(&["add", "add", "del"]);
    let up_or_down = random.one_of(&["up", "up", "down"]);
    let metric = random.one_of(&["5", "10", "20", "1024"]);
    let host = 2 + random.below(2);
    let v4 = random.below(2) == 0;
    let gateway = if v4 { format!("10.{number}.0.1") } else { format!("2001:db8:{number}::1") };
    let any = if v4 { "0.0.0.0/0" } else { "::/0" };
    let server = if v4 { "192.0.2.0/24" } else { "2001:db8:99::/48" };
    match random.below(36) {
        // All that a link needs.
        32.. => format!(
            "link add {near} type veth peer name {far}\nlink set {near} up\nlink set {far} up\naddr add \
             10.{number}.0.{host}/24 dev {near}\naddr add 2001:db8:{number}::{host}/64 dev {near} \
             nodad\nroute add {any} via {gateway} dev {near} metric {metric}"
        ),
        0 => format!("link add {near} type veth peer name {far}"),
        1 if random.below(4) == 0 => format!("link del {near}"),
        1..=5 => format!("link set {near} {up_or_down}"),
        6..=9 => format!("link set {far} {up_or_down}"),
        10 => format!("link set {near} mtu {}", random.one_of(&["1400", "1420", "1500"])),
        11..=12 => format!("addr {add_or_remove} 10.{number}.0.{host}/24 dev {near}"),
        13..=14 => format!("addr {add_or_remove} 2001:db8:{number}::{host}/64 dev {near} nodad"),
        15 => format!("addr {add_or_remove} 10.9.{number}.1/24 dev {near}"),
        16 => format!("addr {add_or_remove} 169.254.{number}.1/16 dev {near} scope link"),
        17 => format!("addr flush dev {near} scope global"),
        18..=23 => format!("route {add_or_remove} {any} via {gateway} dev {near} metric {metric}"),
        24 => format!("route {add_or_remove} {any} dev {near} metric {metric}"),
        25 => {
            format!("route {add_or_remove} {any} via {gateway} dev {near} onlink metric {metric}")
        }
        26 if v4 => format!("route replace {any} via {gateway} src 10.{number}.0.{host}"),
        26 => format!("route replace {any} via {gateway} metric {metric}"),
        27 => format!("route {add_or_remove} unreachable {any} metric 4000"),
        28 => format!("route {add_or_remove} {any} via {gateway} dev {near} table 77"),
        29 => format!("route flush {any} table main"),
        30 => format!("route {add_or_remove} {server} via {gateway}"),
        _ => format!("route {add_or_remove} {server} dev {near} metric {metric}"),
    }
}

/// A way out, as both see it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Way {
    place: Option<usize>,
    rloc: IpAddr,
    priority: u8,
    metric: u32,
    output: u32,
    gateway: Option<IpAddr>,
    /// Of a configured uplink, which gets routes of its own.
    is_on_link: bool,
    mtu: Option<u32>,
}

fn drawn(links: &mut Links) -> BTreeSet<Way> {
    let way = |path: &daemon::links::Path| Way {
        place: path.place,
        rloc: path.uplink.rloc,
        priority: path.uplink.priority,
        metric: path.uplink.metric,
        output: path.output,
        gateway: path.gateway,
        is_on_link: path.place.is_some() && path.is_on_link,
        mtu: path.mtu,
    };
    let all = links.uplinks();
    links.choose(&all);
    links.paths().iter().map(way).collect()
}

/// A device as `ip -j addr` has it.
#[derive(Debug, Deserialize)]
struct Device {
    ifindex: u32,
    ifname: String,
    flags: Vec<String>,
    mtu: u32,
    addr_info: Vec<DeviceAddress>,
}

#[derive(Debug, Deserialize)]
struct DeviceAddress {
    local: Option<String>,
    scope: Option<String>,
    #[serde(default)]
    tentative: bool,
}

/// A route as `ip -j route` has it.
#[derive(Debug, Deserialize)]
struct Route {
    #[serde(rename = "type")]
    kind: Option<String>,
    dst: String,
    gateway: Option<String>,
    dev: Option<String>,
    metric: Option<u32>,
    prefsrc: Option<String>,
    #[serde(default)]
    flags: Vec<String>,
}

/// What `ip` says of a machine.
struct Listing {
    devices: Vec<Device>,
    /// Of the main table, IPv4's first.
    routes: [Vec<Route>; 2],
    /// The ways to the Map-Servers.
    towards: [Option<Route>; 2],
}

fn parse<T: DeserializeOwned>(json: &str) -> T {
    let mut escapes = vec![0; json.len()];
    let read = serde_json_core::from_str_escaped(json, &mut escapes);
    read.unwrap_or_else(|error| panic!("{error}: {json}")).0
}

/// What is listed, by `ip` and by our code, and changed, by `ip` alone.
struct Machine {
    place: Place,
    scratch: Scratch,
}

impl Machine {
    fn new() -> io::Result<Machine> {
        let machine = Machine { place: Place::new("machine")?, scratch: Scratch::new()? };
        for number in 0..3 {
            let (near, far) = (format!("u{number}"), format!("f{number}"));
            machine
                .place
                .run("ip", &["link", "add", &near, "type", "veth", "peer", "name", &far])?;
        }
        Ok(machine)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Each line is done for itself, and may fail.
    fn change(&self, lines: &str) -> io::Result<()> {
        fs::write(self.file("changes"), lines)?;
        let file = self.file("changes");
        let _ = self.place.run("ip", &["-force", "-batch", &file.to_string_lossy()]);
        Ok(())
    }

    fn list(&self) -> io::Result<Listing> {
        let print = |words: &[&str]| self.place.run("ip", words);
        let routes = |family: &str| -> io::Result<Vec<Route>> {
            Ok(parse(&print(&[family, "-j", "route", "show", "table", "main"])?))
        };
        let mark = FWMARK.to_string();
        let towards = |family: &str, server: &str| -> Option<Route> {
            let printed = print(&[family, "-j", "route", "get", server, "mark", &mark]).ok()?;
            parse::<Vec<Route>>(&printed).into_iter().next()
        };
        Ok(Listing {
            devices: parse(&print(&["-j", "addr"])?),
            routes: [routes("-4")?, routes("-6")?],
            towards: [towards("-4", MAP_SERVERS[0]), towards("-6", MAP_SERVERS[1])],
        })
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is an address"))
}

impl Route {
    fn is_on_link(&self) -> bool {
        self.flags.iter().any(|one| one == "onlink")
    }
}

impl Device {
    fn can_send(&self) -> bool {
        let has = |flag: &str| self.flags.iter().any(|one| one == flag);
        has("UP") && has("LOWER_UP") && !has("NO-CARRIER")
    }

    fn rloc(&self, is_v4: bool) -> Option<IpAddr> {
        let eids: control::EidPrefix = EID_PREFIX.parse().expect("a prefix");
        let is_eid =
            |address| eids.contains(control::Eid { instance_id: control::InstanceId(0), address });
        let fits = |one: &&DeviceAddress| {
            !one.tentative && one.scope.as_deref().is_none_or(|scope| scope == "global")
        };
        let all = self.addr_info.iter().filter(fits).filter_map(|one| one.local.as_deref());
        all.map(address).find(|one| one.is_ipv4() == is_v4 && !is_eid(*one))
    }

    fn way(&self, route: Option<&Route>, is_v4: bool) -> Option<Way> {
        let source = route.and_then(|route| route.prefsrc.as_deref());
        Some(Way {
            place: None,
            rloc: source.map(address).or_else(|| self.rloc(is_v4))?,
            priority: 1,
            metric: route.and_then(|route| route.metric).unwrap_or(0),
            output: self.ifindex,
            gateway: route.and_then(|route| route.gateway.as_deref()).map(address),
            is_on_link: false,
            mtu: Some(self.mtu),
        })
    }
}

impl Listing {
    /// Default routes of a family by devices that can send, the best first.
    fn default_routes(&self, family: usize) -> Vec<(&Device, &Route)> {
        let leads = |route: &&Route| route.dst == "default" && route.kind.is_none();
        let device =
            |route: &Route| self.devices.iter().find(|one| Some(&one.ifname) == route.dev.as_ref());
        let usable = |route| device(route).filter(|one| one.can_send()).map(|one| (one, route));
        let mut routes: Vec<_> =
            self.routes[family].iter().filter(leads).filter_map(usable).collect();
        routes.sort_by_key(|(_, route)| route.metric.unwrap_or(0));
        routes
    }

    /// The picture, from nothing but this.
    fn draw(&self, policy: &Policy) -> BTreeSet<Way> {
        let mut ways = BTreeSet::new();
        for family in [0, 1] {
            let routes = self.default_routes(family);
            if policy.uplinks.is_empty() {
                ways.extend(
                    routes.first().and_then(|(one, route)| one.way(Some(*route), family == 0)),
                );
            }
            let mut configured = Vec::new();
            for (place, uplink) in policy.uplinks.iter().enumerate() {
                let device =
                    self.devices.iter().find(|one| one.ifname == uplink.device && one.can_send());
                let Some(device) = device else { continue };
                let route = routes.iter().find(|(one, _)| one.ifindex == device.ifindex);
                let is_on_link = route.is_some_and(|(_, route)| route.is_on_link());
                let way = device.way(route.map(|(_, route)| *route), family == 0);
                let (place, priority) = (Some(place), uplink.priority);
                let way = way.map(|way| Way { place, priority, is_on_link, ..way });
                configured.extend(way.map(|way| (way, route.is_some())));
            }
            // One without a default route counts only where none has one.
            let has_route = configured.iter().any(|(_, has_route)| *has_route);
            ways.extend(
                configured.into_iter().filter(|one| one.1 == has_route).map(|(way, _)| way),
            );
        }
        if ways.is_empty() && policy.uplinks.is_empty() {
            ways.extend(self.towards.iter().flatten().filter_map(|route| self.towards(route)));
        }
        ways
    }

    fn towards(&self, route: &Route) -> Option<Way> {
        let device = self.devices.iter().find(|one| Some(&one.ifname) == route.dev.as_ref())?;
        let way = device.way(Some(route), true)?;
        Some(Way { rloc: address(route.prefsrc.as_deref()?), metric: 0, ..way })
    }
}

fn policy(is_configured: bool) -> Policy {
    let uplink = |number: u8| config::Uplink {
        name: format!("wan{number}"),
        device: format!("u{number}"),
        priority: number + 1,
        weight: 100,
    };
    Policy {
        uplinks: if is_configured { (0..3).map(uplink).collect() } else { Vec::new() },
        eid_prefixes: vec![EID_PREFIX.parse().expect("a prefix")],
        map_servers: MAP_SERVERS.map(address).into(),
        fwmark: FWMARK,
    }
}

/// Takes what the kernel told, as the router does; whether there was something.
fn follow(links: &mut Links) -> Result<bool, linux::netlink::Error> {
    let is_changed = links.handle_ready();
    if is_changed {
        links.refresh()?;
    }
    Ok(is_changed)
}

/// Follows until the picture is as the kernel is; the picture.
fn settle(
    machine: &Machine,
    links: &mut Links,
    policy: &Policy,
    history: &str,
) -> Result<BTreeSet<Way>, Box<dyn std::error::Error>> {
    loop {
        follow(links)?;
        let wanted = machine.list()?.draw(policy);
        if follow(links)? {
            continue;
        }
        let found = drawn(links);
        if found == wanted {
            return Ok(found);
        }
        // The kernel tells of a carrier later than of all else.
        let mut poller = Poller::new()?;
        poller.add(&*links, 0, Interest::Readable)?;
        let has_more = poller.wait(Some(PATIENCE))?.next().is_some();
        assert!(has_more, "drawn {found:#?}\nis {wanted:#?}\nafter\n{history}");
    }
}

fn random_walk(seed: u64, steps: usize) -> Outcome {
    let machine = Machine::new()?;
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut policy_now = policy(seed.is_multiple_of(2));
    let mut links = machine.place.inside(|| Ok(Links::new(policy_now.clone())?))?;
    links.refresh()?;
    let (mut pictures, mut done, mut history) = (BTreeSet::new(), 0, format!("seed {seed}\n"));
    while done < steps {
        let burst: Vec<_> = (0..=random.below(5)).map(|_| change(&mut random) + "\n").collect();
        done += burst.len();
        history.push_str(&burst.concat());
        history.push('\n');
        machine.change(&burst.concat())?;
        if random.below(40) == 0 {
            policy_now = policy(policy_now.uplinks.is_empty());
            links.set_policy(policy_now.clone());
            links.refresh()?;
        }
        pictures.insert(settle(&machine, &mut links, &policy_now, &history)?);
    }
    println!("seed {seed}: {done} changes, {} pictures", pictures.len());
    assert!(pictures.len() > steps / 20, "little happened: {}", pictures.len());
    Ok(())
}

#[test]
fn the_picture_of_the_uplinks_is_the_kernels_after_any_changes() {
    in_namespaces(|| {
        let (seeds, steps) = match (is_long(), is_in_kernel()) {
            (true, _) => (40, 1000),
            (false, false) => (6, 300),
            // A kernel in user mode takes a tenth of a second to start a program.
            (false, true) => (1, 100),
        };
        (1..=seeds).try_for_each(|seed| random_walk(seed, steps))
    });
}
