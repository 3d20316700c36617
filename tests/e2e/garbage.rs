//! Octets of an attacker on every socket, and inside tunnels by somebody with a valid key.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use blake2::digest::consts::U16;
use blake2::digest::{FixedOutput, KeyInit, Update};
use blake2::{Blake2s256, Blake2sMac, Digest};
use control::PeerKey;
use daemon::demo::net::world::{HOME, HOME_HOST, HOME_UPLINK, OFFICE_HOST, WIREGUARD_PORTS};
use daemon::demo::net::{Node, NodeStatus};

use crate::intruder::{Intruder, at, between_eids, data_tunnel_to_home};
use crate::testbed::{
    PATIENCE, data_key_at, eventually, in_world, is_in_kernel, is_long, kill_cold,
    ping_until_answered, start, start_pair,
};

/// What a node's memory may grow by from the first quarter of the garbage to its end: tables that
/// are made at start are only counted by the kernel once they are written.
const MAX_GROWTH: u64 = 2 << 20;
/// Between two looks at whether the node keeps up.
const BURST: u64 = 50;

/// Datagrams of one test.
fn count() -> u64 {
    if is_long() { 1_000_000 } else { 20_000 }
}

/// A linear congruential generator, so that a failure repeats.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound.max(1)
    }

    fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// One to four octets changed, sometimes the end cut off or prolonged.
    fn mutate(&mut self, valid: &[u8]) -> Vec<u8> {
        let mut octets = valid.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(octets.len());
            if let Some(octet) = octets.get_mut(at) {
                *octet = self.next() as u8;
            }
        }
        match self.below(8) {
            0 => octets.truncate(self.below(valid.len())),
            1 => octets.extend(self.octets(16)),
            _ => {}
        }
        octets
    }
}

/// Octets of a node's memory that are in use.
fn resident(node: &Node) -> io::Result<u64> {
    let pid = node.process_id().ok_or(io::ErrorKind::NotFound)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.ok_or(io::ErrorKind::InvalidData)? << 10)
}

/// All counters of a node together: every datagram that it looks at is in one of them at least.
fn counted(node: &Node) -> io::Result<u64> {
    Ok(node.status()?.counters.iter().map(|counter| counter.value).sum())
}

/// Sends garbage, sees that the node still answers in between, and that it does not grow.
fn assail(node: &Node, mut send: impl FnMut(&mut Dice) -> io::Result<()>) -> io::Result<()> {
    let mut dice = Dice(0x5eed);
    let (mut settled, total) = (0, count());
    let counted_before = counted(node)?;
    for number in 0..total {
        send(&mut dice)?;
        if number % BURST == 0 && number % (BURST * 40) != 0 {
            // Lets the node read what the kernel would drop otherwise.
            std::thread::sleep(Duration::from_millis(1));
        } else if number % (BURST * 40) == 0 {
            node.status()?;
        }
        if number == total / 4 {
            settled = resident(node)?;
        }
    }
    node.status()?;
    let grown = resident(node)?.saturating_sub(settled);
    let counted = counted(node)? - counted_before;
    println!("{}: {counted} of {total} counted, grown by {} KiB", node.name(), grown >> 10);
    // What the kernel's WireGuard refuses no process sees.
    let is_seen = is_in_kernel() || counted >= total / 2;
    assert!(is_seen, "{}: {counted} of {total} arrived", node.name());
    assert!(grown <= MAX_GROWTH, "{} grew by {grown} octets", node.name());
    Ok(())
}

/// A WireGuard message as an outsider makes it who knows the receiver's public key.
fn wireguard_like(dice: &mut Dice, receiver: PeerKey) -> Vec<u8> {
    let (kind, len) = [(1, 148), (2, 92), (3, 64), (4, 64 + dice.below(200))][dice.below(4)];
    let mut message = dice.octets(len);
    message[..4].copy_from_slice(&[kind, 0, 0, 0]);
    let has_mac = kind < 3 && dice.below(3) != 0;
    if has_mac {
        // The WireGuard paper, section 5.4.4.
        let key = Blake2s256::new_with_prefix(b"mac1----").chain_update(receiver.0).finalize();
        let mac_at = len - 32;
        let mut mac = Blake2sMac::<U16>::new_from_slice(&key).expect("32 octets are a key");
        mac.update(&message[..mac_at]);
        message[mac_at..mac_at + 16].copy_from_slice(&mac.finalize_fixed());
    }
    message
}

#[test]
fn garbage_on_the_wireguard_ports_of_each_role_does_nothing() {
    in_world(|world| {
        start_pair(world)?;
        ping_until_answered(world, PATIENCE)?;
        let [data, control] = WIREGUARD_PORTS;
        let home_data_key = data_key_at(&world.map_server, "home").ok_or("home is registered")?;
        let public = |node: &Node| node.config.private_key.public_key();
        let server = world.home.config.map_servers[0].1;
        // The phone does not run: its place is where the attacker sits.
        let socket = world.phone.place().udp("0.0.0.0:0".parse()?)?;
        for (node, to, key) in [
            (&world.map_server, server, public(&world.map_server)),
            (&world.home, at(HOME_UPLINK, control), public(&world.home)),
            (&world.home, at(HOME_UPLINK, data), home_data_key),
        ] {
            assail(node, |dice| {
                let message = match dice.below(2) {
                    0 => {
                        let len = dice.below(1400);
                        dice.octets(len)
                    }
                    _ => wireguard_like(dice, key),
                };
                send_to(&socket, &message, to)
            })?;
        }
        ping_until_answered(world, PATIENCE)?;
        assert!(world.home.status()?.ok);
        Ok(())
    });
}

/// A full socket buffer or an ICMP error is nothing that an attacker minds.
fn send_to(socket: &UdpSocket, message: &[u8], to: SocketAddr) -> io::Result<()> {
    let _ = socket.send_to(message, to);
    Ok(())
}

/// LISP control messages of the captures, and a register of this site's own.
fn valid_messages(intruder: &Intruder) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lisp");
    let mut messages =
        vec![intruder.register(7 << 32, &HOME), intruder.register(8 << 32, &HOME[..1])];
    for capture in ["handmade.pcap", "oor/basic-proxy.pcap", "oor/nat-NEW-core.pcap"] {
        let octets = fs::read(directory.join(capture)).expect("the capture is in the tree");
        messages.extend(control_messages(&octets));
    }
    assert!(messages.len() > 40, "{}", messages.len());
    messages
}

/// UDP payloads from or to the control port in a capture of Ethernet or Linux cooked frames.
fn control_messages(capture: &[u8]) -> Vec<Vec<u8>> {
    let link_header = if capture[20] == 1 { 14 } else { 20 };
    let (mut rest, mut messages) = (&capture[24..], Vec::new());
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let packet = &after[link_header..len];
        let udp_at = if packet[0] >> 4 == 4 { usize::from(packet[0] & 15) * 4 } else { 40 };
        let ports = [0, 2].map(|at| packet.get(udp_at + at..udp_at + at + 2));
        if ports.contains(&Some(&control::LISP_PORT.to_be_bytes()[..])) {
            messages.push(packet[udp_at + 8..].to_vec());
        }
        rest = &after[len..];
    }
    messages
}

/// Mutated valid messages, a third of them authentic, some not even LISP.
fn send_inside(intruder: &mut Intruder, dice: &mut Dice, valid: &[Vec<u8>]) -> io::Result<()> {
    let chosen = dice.below(valid.len());
    let mut message = dice.mutate(&valid[chosen]);
    if dice.below(3) == 0 {
        intruder.sign(&mut message);
    }
    let sent = match dice.below(16) {
        0 => {
            let len = dice.below(1200);
            intruder.send_packet(&dice.octets(len))
        }
        _ => intruder.send(&message),
    };
    // Answers fill nobody's buffer.
    if dice.below(64) == 0 {
        while intruder.receive(Duration::from_millis(1))?.is_some() {}
    }
    sent
}

#[test]
fn garbage_inside_a_sites_control_tunnel_does_not_hurt_the_map_server() {
    in_world(|world| {
        world.start_map_server()?;
        start(&mut world.office)?;
        let mut intruder = Intruder::connect(&world.home, HOME_UPLINK, &world.map_server)?;
        let valid = valid_messages(&intruder);
        assail(&world.map_server, |dice| send_inside(&mut intruder, dice, &valid))?;
        let office = world.map_server.status()?;
        assert!(office.site("office").is_some_and(|site| site.data_key.is_some()), "{office:?}");
        drop(intruder);
        // The site that the intruder played comes back with a lower nonce at worst, or a wrong
        // clock: it registers once its registration is forgotten. The others never notice.
        assert!(world.office.status()?.ok);
        Ok(())
    });
}

#[test]
fn garbage_of_a_map_server_does_not_hurt_its_sites() {
    in_world(|world| {
        start_pair(world)?;
        ping_until_answered(world, PATIENCE)?;
        kill_cold(&mut world.map_server)?;
        let mut intruder = Intruder::impersonate(&world.map_server, &world.home, HOME_UPLINK)?;
        let valid = valid_messages(&intruder);
        assail(&world.home, |dice| send_inside(&mut intruder, dice, &valid))?;
        Ok(())
    });
}

#[test]
fn garbage_inside_a_data_tunnel_does_not_hurt_a_site() {
    in_world(|world| {
        let mut tunnel = data_tunnel_to_home(world)?;
        let (ours, theirs) = (SocketAddr::new(OFFICE_HOST[1], 9), SocketAddr::new(HOME_HOST[2], 9));
        let valid = between_eids(ours, theirs, &[0x5a; 64]);
        assail(&world.home, |dice| {
            let packet = match dice.below(4) {
                0 => {
                    let len = dice.below(1400);
                    dice.octets(len)
                }
                _ => {
                    let mut packet = dice.mutate(&valid);
                    // A scan of home's LAN would fill the kernel's neighbour table, which all
                    // namespaces, and so all tests, share.
                    if let (Some(to), Some(known)) = (packet.get_mut(24..40), valid.get(24..40)) {
                        to.copy_from_slice(known);
                    }
                    packet
                }
            };
            tunnel.send(&packet)
        })?;
        Ok(())
    });
}

#[test]
fn garbage_on_the_unix_socket_does_nothing() {
    in_world(|world| {
        world.start_map_server()?;
        let node = &world.map_server;
        let words: [&[u8]; 6] =
            [b"status", b"status json\n", b"lig 10.2.0.1\n", b"lig\n", b"\n", b"\0\xff\n"];
        let mut kept = Vec::new();
        let mut dice = Dice(7);
        let settled = resident(node)?;
        for number in 0..count() / 20 {
            let mut stream = UnixStream::connect(node.control_socket())?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let valid = words[dice.below(words.len())];
            let mut line = if dice.below(2) == 0 { valid.to_vec() } else { dice.mutate(valid) };
            if dice.below(16) == 0 {
                line = dice.octets(4096);
            }
            // The node closes what it does not understand while we still write.
            let _ = stream.write_all(&line);
            match dice.below(3) {
                0 => drop(stream),
                1 => {
                    stream.set_read_timeout(Some(Duration::from_millis(2)))?;
                    let _ = stream.read(&mut [0; 64]);
                }
                _ => kept.push(stream),
            }
            if kept.len() > 20 {
                kept.clear();
            }
            if number % 200 == 0 {
                assert!(eventually(|| node.status().is_ok()), "it answers");
            }
        }
        kept.clear();
        let answers = |status: &NodeStatus| status.registrations.len() == 3;
        node.wait_until(PATIENCE, answers)?;
        let grown = resident(node)?.saturating_sub(settled);
        assert!(grown <= MAX_GROWTH, "grew by {grown} octets");
        Ok(())
    });
}
