//! An overlay of machines of different kinds.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use daemon::demo::net::world::{
    HOME, HOME_HOST, HOME_UPLINK, OFFICE, OFFICE_HOST, OFFICE_UPLINK, PHONE, PHONE_HOST,
    WIREGUARD_PORTS, World,
};
use daemon::demo::net::{Node, Place, transfer};

use crate::emulated::{AARCH64, ARM, MIPS, MIPSEL, Machine, lengthen_links};
use crate::mobility::{
    AP1, AP2, Echo, endpoint, ip, mapped, move_phone, registered, wait_until_mapped,
    wait_until_registered,
};
use crate::testbed::{Outcome, echo_at, echo_servers, eventually, in_world};

/// How long what is emulated may take to start and register.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two datagrams of a flow.
const INTERVAL: Duration = Duration::from_millis(20);
/// So many echoes show that a flow goes on.
const MANY: usize = 25;
/// How long a TCP connection sends.
const SENDING: Duration = Duration::from_millis(500);
const TCP_PORT: u16 = 9;

#[test]
fn a_mips_home_is_in_the_overlay() {
    in_world(|world| home_is_in_the_overlay(&MIPS, world));
}

#[test]
fn an_arm_home_is_in_the_overlay() {
    in_world(|world| home_is_in_the_overlay(&ARM, world));
}

#[test]
fn a_mipsel_home_is_in_the_overlay() {
    in_world(|world| home_is_in_the_overlay(&MIPSEL, world));
}

#[test]
fn an_aarch64_home_is_in_the_overlay() {
    in_world(|world| home_is_in_the_overlay(&AARCH64, world));
}

#[test]
fn a_mips_phone_moves() {
    in_world(|world| phone_moves(&MIPS, world));
}

#[test]
fn an_arm_phone_moves() {
    in_world(|world| phone_moves(&ARM, world));
}

#[test]
fn a_mipsel_phone_moves() {
    in_world(|world| phone_moves(&MIPSEL, world));
}

#[test]
fn an_aarch64_phone_moves() {
    in_world(|world| phone_moves(&AARCH64, world));
}

/// The first EID-prefix of each family.
fn of_each_family<const N: usize>(prefixes: [&'static str; N]) -> [&'static str; 2] {
    let of = |is_v6| prefixes.into_iter().find(|one| one.contains(':') == is_v6);
    [of(false), of(true)].map(|one| one.expect("both families"))
}

fn home_is_in_the_overlay(machine: &Machine, world: &mut World) -> Outcome {
    machine.emulate(&mut world.home)?;
    lengthen_links(world)?;
    let _servers = echo_servers(world)?;
    world.start(PATIENCE)?;
    assert!(machine.is_running(&world.home), "home is {}", machine.emulator);
    check_registration(world, "home", &HOME, &[ip(HOME_UPLINK)], &world.home)?;
    for (from, to) in [(0, 0), (2, 1)] {
        let (home, office) = (HOME_HOST[from], OFFICE_HOST[to]);
        world.home_host.ping(home, office, PATIENCE)?;
        world.office_host.ping(office, home, PATIENCE)?;
    }
    check_mappings(world, &world.home, "home", &world.office, &OFFICE, ip(OFFICE_UPLINK))?;
    check_mappings(world, &world.office, "office", &world.home, &HOME, ip(HOME_UPLINK))?;
    for (from, to) in [(0, 0), (2, 1)] {
        let (home, office) = (HOME_HOST[from], OFFICE_HOST[to]);
        send(&world.home_host, &world.office_host, office)?;
        send(&world.office_host, &world.home_host, home)?;
    }
    follow_the_phone(machine, world, &[HOME_HOST[0], HOME_HOST[2]])?;
    assert!(world.home.stop()?.success(), "home ends well");
    let links = world.home.place().run("ip", &["-br", "link"])?;
    assert!(!links.contains("lg-"), "home leaves nothing: {links}");
    Ok(())
}

fn phone_moves(machine: &Machine, world: &mut World) -> Outcome {
    machine.emulate(&mut world.phone)?;
    lengthen_links(world)?;
    let _servers = echo_servers(world)?;
    world.start(PATIENCE)?;
    assert!(machine.is_running(&world.phone), "the phone is {}", machine.emulator);
    check_registration(world, "phone", &PHONE, &[AP1.rloc()], &world.phone)?;
    follow_the_phone(machine, world, &[HOME_HOST[0], HOME_HOST[2]])?;
    let office = OFFICE_HOST[0];
    world.phone.place().ping(PHONE_HOST[0], office, PATIENCE)?;
    send(world.phone.place(), &world.office_host, office)?;
    send(&world.office_host, world.phone.place(), PHONE_HOST[0])?;
    Ok(())
}

/// The phone goes to its other access point and back while it speaks with hosts behind `home`.
fn follow_the_phone(machine: &Machine, world: &World, hosts: &[IpAddr]) -> Outcome {
    let mut echoes = Vec::new();
    for to in hosts {
        let from = PHONE_HOST[usize::from(to.is_ipv6())];
        world.phone.place().ping(from, *to, PATIENCE)?;
        let socket = world.phone.place().udp(SocketAddr::new(from, 0))?;
        echoes.push(Echo::start(socket, echo_at(*to), INTERVAL)?);
    }
    for (from, to) in [(&AP1, &AP2), (&AP2, &AP1)] {
        echoes.iter().for_each(|echo| echo.wait_for(MANY));
        move_phone(world, from, to)?;
        echoes.iter().for_each(|echo| echo.wait_for(MANY));
        wait_until_registered(world, "phone", &[to.rloc()]);
        wait_until_mapped(&world.home, to.rloc());
        let reached = || endpoint(&world.home, PHONE[0]) == Some(to.rloc());
        assert!(eventually(reached), "home sends to {:?}", endpoint(&world.home, PHONE[0]));
    }
    for echo in echoes {
        let echoed = echo.finish();
        let lost = echoed.count_lost();
        println!("{}: {lost} of {} datagrams lost in two moves", machine.emulator, echoed.sent);
    }
    Ok(())
}

/// The Map-Server has of a site what the site says of itself: prefixes, RLOCs and keys have come
/// through in the octet order of the wire.
fn check_registration(
    world: &World,
    name: &str,
    prefixes: &[&str],
    rlocs: &[IpAddr],
    node: &Node,
) -> Outcome {
    let server = world.map_server.status()?;
    let site = server.site(name).ok_or("no such site")?;
    let sorted = |texts: Vec<String>| {
        let mut texts = texts;
        texts.sort();
        texts
    };
    let wanted = prefixes.iter().map(ToString::to_string).collect();
    assert_eq!(sorted(site.eid_prefixes.clone()), sorted(wanted), "{name}");
    let wanted = rlocs.iter().map(ToString::to_string).collect();
    assert_eq!(sorted(registered(world, name)), sorted(wanted), "{name}");
    assert!(site.data_key.is_some() && node.status()?.has_all_tunnels(), "{name}");
    Ok(())
}

/// A node's map-cache has of another site what that site registered.
fn check_mappings<const N: usize>(
    world: &World,
    node: &Node,
    name: &str,
    other: &Node,
    prefixes: &[&'static str; N],
    rloc: IpAddr,
) -> Outcome {
    let server = world.map_server.status()?;
    let key = &server.site(other.name()).ok_or("no such site")?.data_key;
    let status = node.status()?;
    for prefix in of_each_family(*prefixes) {
        let row = status.map_cache.iter().find(|row| row.eid_prefix == prefix);
        let row = row.ok_or_else(|| format!("{name} has no mapping of {prefix}"))?;
        assert_eq!(&row.key, key, "{name}: {prefix}");
        assert_eq!(mapped(node, prefix), [rloc.to_string()], "{name}: {prefix}");
    }
    let there = SocketAddr::new(rloc, WIREGUARD_PORTS[0]).to_string();
    let tunnel = status.data_tunnels.iter().find(|tunnel| Some(&tunnel.key) == key.as_ref());
    assert_eq!(tunnel.and_then(|one| one.endpoint.clone()), Some(there), "{name}");
    let (code, answer) = node.ask(&format!("lig {}", first_host(prefixes[0])))?;
    assert!(code == 0 && answer.contains(&rloc.to_string()), "{name}: lig says {answer}");
    Ok(())
}

/// An address in an IPv4 prefix.
fn first_host(prefix: &str) -> String {
    prefix.replace(".0/24", ".1")
}

fn send(from: &Place, there: &Place, to: IpAddr) -> Outcome {
    let (stream, listener) = from.tcp(there, SocketAddr::new(to, TCP_PORT))?;
    let outcome = transfer(stream, &listener, SENDING)?;
    println!("{} to {to}: {:.1} Mbit/s over TCP", from.name(), outcome.mbit_s());
    assert!(outcome.octets > 100_000, "{outcome:?}");
    Ok(())
}
