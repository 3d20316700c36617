//! What an xTR that has nothing to do holds of memory: natively, linked with musl, what is its own,
//! and under emulation what it asked for.
//!
//! `LISPGUARD_TEST_NATIVE` names the native program.

use std::error::Error;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use control::EidPrefix;
use daemon::config::PrivateKey;
use daemon::demo::net::world::{HOME_UPLINK, World};
use daemon::demo::net::{Node, NodeStatus};

use crate::emulated::{MIPS, lengthen_links};
use crate::intruder::Intruder;
use crate::testbed::{Outcome, in_world, kill_cold};

const KIB: u64 = 1024;
/// Mappings of a few sites, and the most that may be held, or asked for, with them, in KiB.
const LIMITS: [(u16, u64); 2] = [(10, 2 * KIB), (1024, 3 * KIB)];
/// How many sites the mappings are of, at most.
const SITES: u16 = 64;
/// Mappings in a message.
const AT_ONCE: u16 = 8;
/// How long what is emulated may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_native_xtr_holds_little_memory() {
    in_world(|world| {
        let program = std::env::var_os("LISPGUARD_TEST_NATIVE").expect("it names a program");
        world.home.set_program(&PathBuf::from(program));
        holds_little(world, |process, _| own_memory(process))
    });
}

#[test]
fn a_mips_xtr_asks_for_little_memory() {
    in_world(|world| {
        MIPS.emulate_with(&mut world.home, "-strace")?;
        lengthen_links(world)?;
        holds_little(world, |process, node| Ok(asked_for(process, &node.log())))
    });
}

fn holds_little(
    world: &mut World,
    measure: impl Fn(u32, &Node) -> Result<u64, Box<dyn Error>>,
) -> Outcome {
    let mut fails = false;
    for (mappings, limit) in LIMITS {
        world.start_map_server()?;
        world.home.start()?;
        world.home.wait_until(PATIENCE, |status| status.ok)?;
        kill_cold(&mut world.map_server)?;
        // Whoever plays the Map-Server tells home of as many mappings as it likes.
        let mut server = Intruder::impersonate(&world.map_server, &world.home, HOME_UPLINK)?;
        for first in (0..mappings).step_by(AT_ONCE.into()) {
            let told = first..mappings.min(first + AT_ONCE);
            server.send(&push(&server, told)?)?;
            let known = |status: &NodeStatus| {
                status.map_cache.len() >= usize::from(mappings.min(first + AT_ONCE))
            };
            if first % 128 == 0 || first + AT_ONCE >= mappings {
                world.home.wait_until(PATIENCE, known)?;
            }
        }
        let process = world.home.process_id().ok_or("home runs")?;
        let held = measure(process, &world.home)?;
        let peers = world.home.status()?.data_tunnels.len();
        println!("{mappings} mappings of {peers} sites: {held} KiB, at most {limit}");
        fails |= held > limit;
        drop(server);
        kill_cold(&mut world.home)?;
    }
    assert!(!fails, "that is more than it may hold");
    Ok(())
}

/// A Map-Notify of mappings with these numbers.
fn push(server: &Intruder, numbers: std::ops::Range<u16>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut room = [0; 1100];
    let mut writer = wire::RecordsWriter::new(&mut room);
    let nonce = wire::Nonce(1 << 60 | u64::from(numbers.start));
    for number in numbers {
        let site = number % SITES;
        let [high, low] = number.to_be_bytes();
        let prefix: EidPrefix = format!("10.{}.{low}.0/24", 100 + high).parse()?;
        let rloc = Ipv4Addr::new(198, 51, 100, 3 + site as u8 % 12);
        let key = PrivateKey::from_random([1 + site as u8; 32]).public_key();
        let data_key = wire::DataKey { public_key: key.0, port: 51820 + site, lane: 0 };
        let address = wire::AddressBuffer::data_key(&data_key, false, &wire::Address::Ipv4(rloc))?;
        writer.push_record(&wire::Record {
            ttl_minutes: 60,
            mask_len: prefix.len(),
            action: wire::Action::NoAction,
            is_authoritative: false,
            map_version: wire::MapVersion(0),
            eid: prefix.address().into(),
            locators: wire::Locators::EMPTY,
        })?;
        writer.push_locator(&wire::Locator {
            priority: 1,
            weight: 100,
            mpriority: 255,
            mweight: 0,
            is_local: false,
            is_probed: false,
            is_reachable: true,
            address: address.address(),
        })?;
    }
    let (algorithm, sent) =
        (wire::AlgorithmId::HmacSha256_128, wire::SentAuthentication::default());
    let notify = wire::MapNotify {
        is_ack: false,
        is_through_rtr: false,
        nonce,
        key_id: wire::KeyId(0),
        algorithm,
        authentication_data: sent.blank(algorithm),
        records: writer.finish(),
        xtr_identity: None,
    };
    let mut octets = vec![0; notify.buffer_len()];
    notify.emit(&mut octets)?;
    server.sign(&mut octets);
    Ok(octets)
}

/// KiB of a process that are resident and no file's, and of its program's data, which are in part
/// the same.
fn own_memory(process: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let resident = resident.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
    let data = maps.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (begin, end) = words.first()?.split_once('-')?;
        let is_data = words.get(1)?.contains('w') && words.get(5)?.starts_with('/');
        let len = u64::from_str_radix(end, 16).ok()? - u64::from_str_radix(begin, 16).ok()?;
        is_data.then_some(len / KIB)
    });
    Ok(resident.ok_or("the kernel tells no RssAnon")? + data.sum::<u64>())
}

/// KiB that are mapped of no file, and by which the program's data grew, as a trace of system
/// calls has it.
fn asked_for(process: u32, trace: &str) -> u64 {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    let (mut mapped, mut breaks) = (0, (None, 0));
    let process = format!("{process} ");
    for line in trace.lines().filter_map(|line| line.strip_prefix(&process)) {
        let Some((call, result)) = line.rsplit_once(" = ") else { continue };
        let Some((name, words)) = call.split_once('(') else { continue };
        let words: Vec<_> = words.trim_end_matches(')').split(',').collect();
        let result = result.split_whitespace().next().and_then(number);
        let word = |place: usize| words.get(place).and_then(|word| number(word)).unwrap_or(0);
        match (Some(name.trim()), result) {
            (Some("mmap2" | "mmap"), Some(_)) if call.contains("MAP_ANON") => mapped += word(1),
            (Some("munmap"), Some(0)) => mapped -= word(1).min(mapped),
            (Some("mremap"), Some(_)) => mapped = mapped + word(2) - word(1),
            (Some("brk"), Some(end)) => breaks = (breaks.0.or(Some(end)), end),
            _ => {}
        }
    }
    (mapped + breaks.1 - breaks.0.unwrap_or(breaks.1)) / KIB
}
