//! A data peer that is a plain WireGuard interface, set up with `wg`, and no lispguard.

use std::io;
use std::time::Duration;

use daemon::demo::net::world::{
    HOME, HOME_HOST, HOME_UPLINK, OFFICE, OFFICE_HOST, OFFICE_UPLINK, WIREGUARD_PORTS, World,
};
use daemon::demo::net::{EchoPlan, stream, transfer};

use crate::intruder::{Intruder, at};
use crate::machine::write_secret;
use crate::testbed::{
    Outcome, PATIENCE, data_key_at, echo_at, echo_servers, eventually, home_socket, in_world, start,
};

/// Slow enough that no more packets wait than may, on a busy machine too.
const PLAN: EchoPlan =
    EchoPlan { count: 50, interval: Duration::from_millis(20), patience: PATIENCE };

/// What somebody else's device at `office` is called.
const PLAIN: &str = "wg-plain";

/// Registers `office` with the data key of a plain interface, which is there already, and has `home`
/// talk to it.
fn talk_to_plain_wireguard(world: &mut World) -> Outcome {
    world.start_map_server()?;
    start(&mut world.home)?;
    let mut registrar = Intruder::connect(&world.office, OFFICE_UPLINK, &world.map_server)?;
    set_up_plain(world, &registrar)?;
    let register = registrar.register(7 << 32, &OFFICE);
    registrar.send(&register)?;
    assert!(registrar.is_acknowledged(7 << 32, PATIENCE)?);

    let _servers = echo_servers(world)?;
    let socket = home_socket(world)?;
    let outcome = stream(&socket, echo_at(OFFICE_HOST[0]), &PLAN)?;
    println!("lispguard initiates: {outcome:?}");
    assert_eq!(outcome.lost, 0, "the first packet and all others: {outcome:?}");
    world.home_host.ping(HOME_HOST[2], OFFICE_HOST[1], PATIENCE)?;

    // The plain side forgets the session and begins a new one by itself.
    wg(world, &["set", PLAIN, "peer", &home_key(world)?, "remove"])?;
    add_home(world)?;
    world.office_host.ping(OFFICE_HOST[0], HOME_HOST[0], PATIENCE)?;
    world.office_host.ping(OFFICE_HOST[1], HOME_HOST[2], PATIENCE)?;
    assert!(eventually(|| has_session(world)), "{}", wg(world, &["show", PLAIN])?);

    let to = std::net::SocketAddr::new(OFFICE_HOST[0], 5001);
    let (sending, listener) = world.home_host.tcp(&world.office_host, to)?;
    let outcome = transfer(sending, &listener, Duration::from_millis(500))?;
    println!("TCP to plain WireGuard: {:.0} Mbit/s", outcome.mbit_s());
    Ok(())
}

fn wg(world: &World, words: &[&str]) -> io::Result<String> {
    world.office.place().run("wg", words)
}

fn home_key(world: &World) -> io::Result<String> {
    let key = data_key_at(&world.map_server, "home").ok_or(io::ErrorKind::NotFound)?;
    Ok(key.to_string())
}

fn set_up_plain(world: &World, registrar: &Intruder) -> io::Result<()> {
    let office = &world.office;
    let file = write_secret(office, "plain.key", &registrar.data_key().encode())?;
    office.place().run("ip", &["link", "add", PLAIN, "type", "wireguard"])?;
    let port = WIREGUARD_PORTS[0].to_string();
    let words = ["set", PLAIN, "private-key", &file.to_string_lossy(), "listen-port", &port];
    wg(world, &words)?;
    add_home(world)?;
    office.place().set_up(PLAIN)?;
    for prefix in HOME {
        office.place().run("ip", &["route", "add", prefix, "dev", PLAIN])?;
    }
    Ok(())
}

fn add_home(world: &World) -> io::Result<()> {
    let endpoint = at(HOME_UPLINK, WIREGUARD_PORTS[0]).to_string();
    let (key, allowed) = (home_key(world)?, HOME.join(","));
    let words = ["set", PLAIN, "peer", &key, "endpoint", &endpoint, "allowed-ips", &allowed];
    wg(world, &words).map(drop)
}

/// Whether a handshake with `home` was ever completed by this peer entry.
fn has_session(world: &World) -> bool {
    let shown = wg(world, &["show", PLAIN, "latest-handshakes"]).unwrap_or_default();
    shown.split_whitespace().nth(1).is_some_and(|at| at != "0")
}

#[test]
fn a_kernel_node_and_a_plain_wireguard_interface_talk() {
    in_world(|world| {
        world.home.config.set_option("dataplane", "kernel");
        talk_to_plain_wireguard(world)
    });
}

#[test]
fn a_userspace_node_and_a_plain_wireguard_interface_talk() {
    in_world(|world| {
        world.home.config.set_option("dataplane", "userspace");
        talk_to_plain_wireguard(world)
    });
}

#[test]
fn a_kernel_node_and_a_userspace_node_talk() {
    in_world(|world| {
        for (node, name) in [
            (&mut world.map_server, "kernel"),
            (&mut world.home, "kernel"),
            (&mut world.office, "userspace"),
            (&mut world.phone, "userspace"),
        ] {
            node.config.set_option("dataplane", name);
        }
        world.start(PATIENCE)?;
        let _servers = echo_servers(world)?;
        let socket = home_socket(world)?;
        let outcome = stream(&socket, echo_at(OFFICE_HOST[0]), &PLAN)?;
        assert_eq!(outcome.lost, 0, "kernel to userspace: {outcome:?}");
        let phone = world.phone.place();
        phone.ping(daemon::demo::net::world::PHONE_HOST[0], HOME_HOST[0], PATIENCE)?;
        Ok(())
    });
}
