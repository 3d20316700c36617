//! Nodes that move: what flows, flows on; what has to know, learns; nothing is left behind.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use daemon::demo::net::world::{HOME, HOME_HOST, HOME_UPLINK, PHONE_HOST, World};
use daemon::demo::net::{Node, Place, UplinkConfig};

use crate::mobility::{
    AP1, AP2, Echo, Link, add_default_route, data_peers, endpoint, ip, mapped, move_phone,
    remove_address, wait_until_mapped, wait_until_registered,
};
use crate::testbed::{
    PATIENCE, echo_at, echo_servers, eventually, in_world, in_world_alone, is_long, program,
};

/// Between two datagrams of a slow flow.
const SLOW: Duration = Duration::from_millis(20);
/// So many echoes show that a flow goes on.
const MANY: usize = 50;
/// The smallest of the phone's EID-prefixes, which is asked for.
const PHONE_EID: &str = "10.9.0.1/32";

/// Starts all nodes and a flow from the phone to the host behind `home`.
fn start_flow(world: &mut World, interval: Duration) -> io::Result<Echo> {
    world.start(PATIENCE)?;
    // What waits for a mapping is another test's.
    world.phone.place().ping(PHONE_HOST[0], HOME_HOST[0], PATIENCE)?;
    let echo = Echo::from_phone(world, echo_at(HOME_HOST[0]), interval)?;
    echo.wait_for(MANY);
    Ok(echo)
}

/// What a node holds of its machine and of its peers.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    links: Vec<String>,
    routes: Vec<String>,
    rules: Vec<String>,
    control_tunnels: usize,
    data_peers: Vec<String>,
    map_cache: usize,
}

impl Holdings {
    fn of(node: &Node) -> io::Result<Holdings> {
        let process = process(node)?;
        let entries = |name: &str| fs::read_dir(process.clone() + name).map(Iterator::count);
        let lines = |listings: [&[&str]; 2]| -> io::Result<Vec<String>> {
            let mut lines = Vec::new();
            for words in listings {
                let printed = node.place().run("ip", words)?;
                lines.extend(printed.lines().map(|line| line.trim().to_owned()));
            }
            lines.sort();
            Ok(lines)
        };
        let status = node.status()?;
        Ok(Holdings {
            descriptors: entries("/fd")?,
            threads: entries("/task")?,
            links: lines([&["-br", "link"], &["-br", "addr"]])?,
            routes: lines([
                &["route", "show", "table", "all"],
                &["-6", "route", "show", "table", "all"],
            ])?,
            rules: lines([&["rule"], &["-6", "rule"]])?,
            control_tunnels: status.control_tunnels.len(),
            data_peers: data_peers(node),
            map_cache: status.map_cache.len(),
        })
    }
}

fn process(node: &Node) -> io::Result<String> {
    let id = node.process_id().ok_or(io::ErrorKind::NotFound)?;
    Ok(format!("/proc/{id}"))
}

/// A process's own memory in KiB.
#[derive(Debug)]
struct Memory {
    used: u64,
    asked: u64,
}

impl Memory {
    fn of(node: &Node) -> io::Result<Memory> {
        let status = fs::read_to_string(process(node)? + "/status")?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.split_whitespace().next()?.parse().ok()
        };
        let both = field("RssAnon:").zip(field("VmData:"));
        let memory = both.map(|(used, asked)| Memory { used, asked });
        memory.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// What was sent and received since the start, and what of it told somebody something new.
#[derive(Clone, Copy, Debug)]
struct Cost {
    all: u64,
    new: u64,
}

impl Cost {
    fn of(world: &World) -> io::Result<Cost> {
        let mut cost = Cost { all: 0, new: 0 };
        for node in [&world.map_server, &world.home, &world.phone] {
            let status = node.status()?;
            cost.all += status.counter("messages_sent") + status.counter("messages_received");
            cost.new += status.counter("registers_accepted") + status.counter("pushes_accepted");
        }
        Ok(cost)
    }

    fn since(self, before: Cost) -> Cost {
        Cost { all: self.all - before.all, new: self.new - before.new }
    }
}

/// The phone goes to ap2 and back; both moves are registered and the flow goes on after each.
fn go_and_return(world: &World, echo: &Echo) -> io::Result<()> {
    for (from, to) in [(&AP1, &AP2), (&AP2, &AP1)] {
        move_phone(world, from, to)?;
        wait_until_registered(world, "phone", &[to.rloc()]);
        echo.wait_for(1);
    }
    Ok(())
}

#[test]
fn a_thousand_handovers_leave_nothing_behind() {
    in_world_alone(|world| {
        let _servers = echo_servers(world)?;
        let echo = start_flow(world, SLOW)?;
        // Memory that is asked for at the start is used bit by bit, such as that of the last 64
        // handovers and the ring of 1,024 events.
        for _ in 0..if is_long() { 550 } else { 35 } {
            go_and_return(world, &echo)?;
        }
        let nodes = |world: &World| -> io::Result<Vec<_>> {
            let nodes = [&world.map_server, &world.home, &world.phone].into_iter();
            nodes
                .map(|node| Ok((node.name().to_owned(), Holdings::of(node)?, Memory::of(node)?)))
                .collect()
        };
        let before = nodes(world)?;
        let (rounds, mut costs) = (if is_long() { 500 } else { 30 }, Vec::new());
        for _ in 0..rounds {
            let cost = Cost::of(world)?;
            go_and_return(world, &echo)?;
            costs.push(Cost::of(world)?.since(cost));
        }
        let ten = |costs: &[Cost], part: fn(&Cost) -> u64| costs.iter().map(part).sum::<u64>();
        let (first, last) = (&costs[..10], &costs[rounds - 10..]);
        for (what, part) in
            [("all", (|cost| cost.all) as fn(&Cost) -> u64), ("new", |cost| cost.new)]
        {
            let (first, last) = (ten(first, part), ten(last, part));
            println!("{what} messages of ten rounds: {first} at first, {last} at last");
            // Messages are sent again where the machine is busy or a Map-Server limits their rate.
            assert!(last < 4 * first, "{what} messages: {first} at first, {last} at last");
        }
        for ((name, before, was), (_, after, is)) in before.iter().zip(&nodes(world)?) {
            println!("{name}: {was:?} before, {is:?} after, in KiB");
            assert_eq!(before, after, "{name}");
            assert!(is.used <= was.used + 64, "{name}: {was:?} before, {is:?} after");
            // The allocator asks for more by steps, and once for a moment's need.
            assert!(is.asked <= was.asked + 256, "{name}: {was:?} before, {is:?} after");
        }
        let echoed = echo.finish();
        println!("{} moves, {} echoes lost", 2 * rounds, echoed.count_lost());
        Ok(())
    });
}

#[test]
fn data_flows_on_when_the_map_server_is_down_during_the_move_and_it_learns_when_it_returns() {
    in_world(|world| {
        let _servers = echo_servers(world)?;
        let echo = start_flow(world, SLOW)?;
        wait_until_mapped(&world.home, AP1.rloc());
        world.map_server.kill()?;
        move_phone(world, &AP1, &AP2)?;
        echo.wait_for(MANY);
        assert_eq!(endpoint(&world.home, PHONE_EID), Some(AP2.rloc()), "home follows the data");
        world.start_map_server()?;
        wait_until_registered(world, "phone", &[AP2.rloc()]);
        wait_until_mapped(&world.home, AP2.rloc());
        echo.wait_for(MANY);
        Ok(())
    });
}

/// Where `home` goes: the same device, another network.
const HOME_FROM: Link =
    Link { there: "home", device: "wan", address: HOME_UPLINK, gateway: "192.0.2.17/28" };
const HOME_TO: Link =
    Link { there: "home", device: "wan", address: "192.0.2.82/28", gateway: "192.0.2.81/28" };

/// `home` gets another address and gateway on the device that it has.
fn move_home(world: &World, from: &Link, to: &Link) -> io::Result<()> {
    let home = world.home.place();
    remove_address(&world.internet, from.there, from.gateway)?;
    world.internet.add_address(to.there, to.gateway)?;
    remove_address(home, from.device, from.address)?;
    to.configure(home)
}

#[test]
fn both_ends_move_at_once_and_everyone_learns() {
    in_world(|world| {
        let _servers = echo_servers(world)?;
        let echo = start_flow(world, SLOW)?;
        let rounds = if is_long() { 50 } else { 5 };
        for _ in 0..rounds {
            for (phone, home) in
                [((&AP1, &AP2), (&HOME_FROM, &HOME_TO)), ((&AP2, &AP1), (&HOME_TO, &HOME_FROM))]
            {
                move_phone(world, phone.0, phone.1)?;
                move_home(world, home.0, home.1)?;
                echo.wait_for(MANY);
                wait_until_registered(world, "phone", &[phone.1.rloc()]);
                wait_until_registered(world, "home", &[home.1.rloc()]);
                wait_until_mapped(&world.home, phone.1.rloc());
                let homes = || mapped(&world.phone, HOME[0]);
                assert!(eventually(|| homes() == [home.1.rloc().to_string()]), "{:?}", homes());
                assert_eq!(endpoint(&world.phone, HOME[0]), Some(home.1.rloc()));
                assert_eq!(endpoint(&world.home, PHONE_EID), Some(phone.1.rloc()));
            }
        }
        let echoed = echo.finish();
        println!("{} moves of both, {} of {} lost", 2 * rounds, echoed.count_lost(), echoed.sent);
        Ok(())
    });
}

#[test]
fn nothing_is_lost_while_a_better_uplink_comes_up_beside_the_one_in_use() {
    in_world_alone(|world| {
        let uplink =
            |device: &str, priority| UplinkConfig { device: device.into(), priority, weight: 100 };
        world.phone.config.uplinks = vec![uplink("ap1", 2), uplink("ap2", 1)];
        let _servers = echo_servers(world)?;
        let echo = start_flow(world, Duration::from_millis(1))?;
        let phone = world.phone.place();
        AP2.associate(world, phone)?;
        phone.add_address(AP2.device, AP2.address)?;
        add_default_route(phone, &AP2, 10)?;
        let is_at_ap2 = || endpoint(&world.home, PHONE_EID) == Some(AP2.rloc());
        assert!(eventually(is_at_ap2), "home sends to {:?}", endpoint(&world.home, PHONE_EID));
        wait_until_registered(world, "phone", &[AP1.rloc(), AP2.rloc()]);
        echo.wait_for(1000);
        let echoed = echo.finish();
        println!("{echoed:?}");
        assert!(echoed.lost.is_empty(), "{echoed:?}");
        Ok(())
    });
}

/// The phone's second access point when it has IPv6 alone.
const AP2_V6: Link = Link {
    there: "ap2",
    device: "ap2",
    address: "2001:db8:113:2::2/64",
    gateway: "2001:db8:113:2::1/64",
};

/// Gives a machine of the underlay an IPv6 address beside what it has.
fn add_v6(world: &World, there: &str, place: &Place, number: u16) -> io::Result<IpAddr> {
    let [gateway, address] = [1, 2].map(|host| format!("2001:db8:{number}::{host}"));
    world.internet.add_address(there, &format!("{gateway}/64"))?;
    place.add_address("wan", &format!("{address}/64"))?;
    place.add_default_route(ip(&gateway))?;
    Ok(ip(&address))
}

/// Has the phone know its Map-Server by a name that has these addresses, as a name server or
/// `/etc/hosts` has it: that one is replaced for the phone alone.
fn know_name(world: &mut World, addresses: &[IpAddr]) -> io::Result<()> {
    let name = "ms.example.net";
    let hosts = world.directory().join("hosts");
    let lines: Vec<_> = addresses.iter().map(|address| format!("{address} {name}\n")).collect();
    fs::write(&hosts, lines.concat())?;
    let wrapper = world.directory().join("phone-lispguard");
    let script = format!(
        "#!/bin/sh\nexec unshare --mount sh -c 'mount --bind {} /etc/hosts && exec \"$0\" \"$@\"' {} \"$@\"\n",
        hosts.display(),
        program(),
    );
    fs::write(&wrapper, script)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    world.phone.set_program(&wrapper);
    world.phone.config.map_server_name = Some(name.into());
    Ok(())
}

#[test]
fn data_flows_on_when_the_phone_moves_from_ipv4_to_ipv6_and_back() {
    in_world(|world| {
        let server = add_v6(world, "ms", world.map_server.place(), 1)?;
        let home = add_v6(world, "home", world.home.place(), 2)?;
        let [(_, v4)] = world.phone.config.map_servers[..] else { panic!("one Map-Server") };
        know_name(world, &[v4.ip(), server])?;
        let _servers = echo_servers(world)?;
        let echo = start_flow(world, SLOW)?;
        let phone = world.phone.place();
        wait_until_registered(world, "home", &[ip(HOME_UPLINK), home]);
        for _ in 0..3 {
            AP2.associate(world, phone)?;
            world.internet.add_address(AP2_V6.there, AP2_V6.gateway)?;
            AP1.leave(world, phone)?;
            AP2_V6.configure(phone)?;
            echo.wait_for(MANY);
            wait_until_registered(world, "phone", &[AP2_V6.rloc()]);
            wait_until_mapped(&world.home, AP2_V6.rloc());
            assert_eq!(endpoint(&world.phone, HOME[0]), Some(home));
            AP1.associate(world, phone)?;
            AP2_V6.leave(world, phone)?;
            AP1.configure(phone)?;
            echo.wait_for(MANY);
            wait_until_registered(world, "phone", &[AP1.rloc()]);
            wait_until_mapped(&world.home, AP1.rloc());
            assert_eq!(endpoint(&world.phone, HOME[0]), Some(ip(HOME_UPLINK)));
        }
        Ok(())
    });
}
