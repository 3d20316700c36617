//! Nodes behind OpenWrt's firewall, with what the package and its service have it add.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use control::LISP_PORT;
use daemon::demo::net::world::{
    HOME_HOST, HOME_UPLINK, OFFICE_HOST, OFFICE_UPLINK, WIREGUARD_PORTS, World,
};
use daemon::demo::net::{EchoPlan, Node, Place, stream};

use crate::first_packet::start_cold;
use crate::machine::address_of;
use crate::testbed::{Outcome, PATIENCE, echo_at, echo_servers, eventually, in_world_alone};

const ONE: EchoPlan = EchoPlan { count: 1, interval: Duration::ZERO, patience: PATIENCE };

/// Networks of OpenWrt, as netifd tells fw4 of them: the names and the devices here.
const NETWORKS: &str = "lan lan\nwan wan\noverlay lg-data0\n";

/// The rules that fw4 makes of what `tests/openwrt` saw the package's scripts say.
fn rules(directory: &Path) -> io::Result<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let seen = |name: &str| tests.join("fixtures/openwrt").join(name);
    let (networks, rules) = (directory.join("networks"), directory.join("fw4.nft"));
    std::fs::write(&networks, NETWORKS)?;
    let mut fw4 = Command::new(tests.join("openwrt/fw4"));
    fw4.args([seen("firewall.shown"), seen("firewall.services"), networks]);
    let output = fw4.output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    std::fs::write(&rules, output.stdout)?;
    Ok(rules)
}

/// A world in which the Map-Server and both sites are OpenWrt routers.
fn behind_firewalls(test: impl FnOnce(&mut World) -> Outcome) {
    in_world_alone(|world| {
        let rules = rules(&world.directory())?;
        for node in [&world.map_server, &world.home, &world.office] {
            node.place().run("nft", &["-f", &rules.to_string_lossy()])?;
        }
        test(world)
    });
}

/// A datagram and its echo; the first of its flow, and of all between these hosts.
fn echo_once(from: &Place, source: IpAddr, to: IpAddr) -> io::Result<()> {
    let outcome = stream(&from.udp(SocketAddr::new(source, 0))?, echo_at(to), &ONE)?;
    assert_eq!(outcome.lost, 0, "{source} to {to}: {outcome:?}");
    Ok(())
}

#[test]
fn the_first_packet_passes_in_both_directions() {
    behind_firewalls(|world| {
        let _servers = echo_servers(world)?;
        for _ in 0..3 {
            start_cold(world)?;
            echo_once(&world.home_host, HOME_HOST[0], OFFICE_HOST[0])?;
            start_cold(world)?;
            echo_once(&world.office_host, OFFICE_HOST[0], HOME_HOST[0])?;
            echo_once(&world.home_host, HOME_HOST[2], OFFICE_HOST[1])?;
        }
        Ok(())
    });
}

/// Counts datagrams that a node takes on its uplink, after all rules, by port.
fn count_taken(node: &Node, ports: &[u16]) -> io::Result<()> {
    let chain = "add chain inet seen taken { type filter hook input priority 300; }";
    node.place().run("nft", &["add table inet seen"])?;
    node.place().run("nft", &[chain])?;
    for port in ports {
        let rule = format!("add rule inet seen taken iifname wan udp dport {port} counter");
        node.place().run("nft", &[&rule])?;
    }
    Ok(())
}

/// How many there were, in the order of the ports.
fn taken(node: &Node) -> io::Result<Vec<u64>> {
    let text = node.place().run("nft", &["list", "chain", "inet", "seen", "taken"])?;
    let counts = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("packets ")?;
        rest.split(' ').next()?.parse().ok()
    });
    Ok(counts.collect())
}

#[test]
fn an_uplink_has_the_tunnels_ports_open_and_no_other() {
    behind_firewalls(|world| {
        const SSH: u16 = 22;
        let ports = [WIREGUARD_PORTS[0], WIREGUARD_PORTS[1], LISP_PORT, SSH];
        let from = world.internet.udp(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))?;
        for (node, uplink) in [(&world.home, HOME_UPLINK), (&world.office, OFFICE_UPLINK)] {
            count_taken(node, &ports)?;
            for port in ports.into_iter().rev() {
                // A port that rejects tells it at the next datagram.
                for _ in 0..2 {
                    let _ =
                        from.send_to(b"from outside", SocketAddr::new(address_of(uplink), port));
                }
            }
            let are_taken = || taken(node).is_ok_and(|counts| counts[..2] == [2, 2]);
            assert!(eventually(are_taken), "{:?}", taken(node)?);
            assert_eq!(taken(node)?, [2, 2, 0, 0], "{}", node.name());
        }
        Ok(())
    });
}
