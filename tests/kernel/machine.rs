//! What a test asks of the kernel around the nodes, and does to it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use daemon::demo::net::{Node, Place, World};
use linux::netlink::{LinkStatistics, Socket};

/// The devices that lispguard makes.
pub const MISS: &str = "lg-miss";

/// Names of links, rules and routes of a machine, as `ip` prints them, without what counts on.
pub fn kernel_state(place: &Place) -> io::Result<Vec<String>> {
    let mut state = Vec::new();
    for words in [
        &["-o", "link"][..],
        &["-o", "addr"],
        &["rule"],
        &["-6", "rule"],
        &["route", "show", "table", "all"],
        &["-6", "route", "show", "table", "all"],
    ] {
        let printed = place.run("ip", words)?;
        // Neither the number of an interface nor the time of an address is what somebody set.
        let without_index = |line: &str| {
            let begins = line.split_once(": ").filter(|(index, _)| index.parse::<u32>().is_ok());
            let rest = begins.map_or(line, |(_, rest)| rest).trim();
            format!("{}: {rest}", words.join(" "))
        };
        let lines = printed.lines().filter(|line| !line.contains("expires"));
        state.extend(lines.map(without_index));
    }
    state.sort();
    Ok(state)
}

/// What is in one list and not in the other, for a person to read.
pub fn difference(before: &[String], after: &[String]) -> String {
    let missing = before.iter().filter(|line| !after.contains(line));
    let new = after.iter().filter(|line| !before.contains(line));
    let lines = missing.map(|line| format!("- {line}")).chain(new.map(|line| format!("+ {line}")));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a machine has a device of this name.
pub fn has_device(place: &Place, device: &str) -> bool {
    place.inside(|| Ok(Socket::open()?.link_index(device)?)).is_ok()
}

/// What a device has carried.
pub fn statistics(place: &Place, device: &str) -> io::Result<LinkStatistics> {
    place.inside(|| {
        let mut socket = Socket::open()?;
        let index = socket.link_index(device)?;
        Ok(socket.link_statistics(index)?)
    })
}

/// TCP segments of a machine that were lost: sent again, but neither to ask whether they came
/// (RFC 8985 section 7) nor told to have come twice (RFC 2883), as those are that were only late.
pub fn lost_segments(place: &Place) -> io::Result<u64> {
    let extended = |name| counter(place, "netstat", "TcpExt: ", name);
    let again = counter(place, "snmp", "Tcp: ", "RetransSegs")?;
    let needless = extended("TCPDSACKRecv")?.max(extended("TCPLossProbes")?);
    Ok(again.saturating_sub(needless) + extended("TCPLossProbeRecovery")?)
}

/// A counter of `/proc/net`: a line of names goes before each line of values.
fn counter(place: &Place, file: &str, group: &str, name: &str) -> io::Result<u64> {
    let path = format!("/proc/thread-self/net/{file}");
    let text = place.inside(|| std::fs::read_to_string(path))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut counters = names.split(' ').zip(values.split(' '));
    let value = counters.find(|(one, _)| *one == name).map(|(_, value)| value);
    value.and_then(|value| value.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Holds packets back for `delay` on both ends of every link of the underlay: a round trip between
/// any two nodes takes four times as long.
pub fn delay_links(world: &World, delay: Duration) -> io::Result<()> {
    let text = format!("{}us", delay.as_micros());
    let [internet, ms, home, _, office, _, phone] = world.places();
    for (place, devices) in [
        (internet, &["ms", "home", "office", "ap1"][..]),
        (ms, &["wan"]),
        (home, &["wan"]),
        (office, &["wan"]),
        (phone, &["ap1"]),
    ] {
        for device in devices {
            let words = ["qdisc", "replace", "dev", device, "root", "netem", "delay", &text];
            place.run("tc", &words)?;
        }
    }
    Ok(())
}

/// Gives `node` a second uplink `wan2`, a link of its own to the underlay router, worse by its
/// metric; `number` tells its network, 192.0.2.NUMBER/28.
pub fn add_uplink(world: &World, node: &Node, number: u8) -> io::Result<()> {
    let there = format!("{}2", node.name());
    let (gateway, address) = (format!("192.0.2.{}", number + 1), format!("192.0.2.{}", number + 2));
    world.internet.connect(&there, node.place(), "wan2")?;
    world.internet.add_address(&there, &format!("{gateway}/28"))?;
    node.place().add_address("wan2", &format!("{address}/28"))?;
    let words = ["route", "add", "default", "via", &gateway, "dev", "wan2", "metric", "100"];
    node.place().run("ip", &words).map(drop)
}

/// An address without its prefix length.
pub fn address_of(uplink: &str) -> IpAddr {
    let text = uplink.split('/').next().unwrap_or_default();
    text.parse().expect("the constant is an address")
}

/// A file of a node that only this user reads.
pub fn write_secret(node: &Node, name: &str, text: &str) -> io::Result<PathBuf> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = node.directory().join(name);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&path)?.write_all(text.as_bytes())?;
    Ok(path)
}
