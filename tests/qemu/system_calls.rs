//! The system calls that a node makes, against those that its seccomp filter lets through on OpenWrt.

use std::collections::BTreeSet;
use std::time::Duration;

use daemon::demo::net::World;

use crate::emulated::{ARM, MIPS, Machine, lengthen_links};
use crate::testbed::{Outcome, echo_servers, in_world, ping_until_answered, start};

const FILTER: &str = include_str!("../../openwrt/files/seccomp.json");
/// How long what is emulated may take to start and register.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_mips_home_makes_the_system_calls_that_are_let_through() {
    in_world(|world| home_is_let_through(&MIPS, world));
}

#[test]
fn an_arm_home_makes_the_system_calls_that_are_let_through() {
    in_world(|world| home_is_let_through(&ARM, world));
}

/// Starts it, has it forward, read its configuration again and end.
fn home_is_let_through(machine: &Machine, world: &mut World) -> Outcome {
    machine.emulate_with(&mut world.home, "-strace")?;
    lengthen_links(world)?;
    world.start_map_server()?;
    world.home.start()?;
    world.home.wait_until(PATIENCE, |status| status.ok)?;
    start(&mut world.office)?;
    let _servers = echo_servers(world)?;
    ping_until_answered(world, PATIENCE)?;
    world.home.reload()?;
    ping_until_answered(world, PATIENCE)?;
    world.home.stop()?;
    let log = world.home.log();
    let made = made(&log);
    println!("{} system calls: {made:?}", made.len());
    assert!(made.contains("socket") && made.contains("exit_group"), "the trace is understood");
    let kept = made.iter().filter(|name| !is_let_through(name)).collect::<Vec<_>>();
    assert!(kept.is_empty(), "openwrt/files/seccomp.json does not have {kept:?}");
    Ok(())
}

fn is_let_through(name: &str) -> bool {
    FILTER.split('"').any(|word| word == name)
}

/// The names of the system calls in a trace, as qemu writes it: `PROCESS NAME(ARGUMENTS) = RESULT`.
fn made(trace: &str) -> BTreeSet<&str> {
    let call = |line| {
        let (process, call): (&str, &str) = str::split_once(line, ' ')?;
        let (name, _) = call.split_once('(')?;
        let is_name = |name: &str| {
            name.chars().all(|one| one.is_ascii_lowercase() || "_0123456789".contains(one))
        };
        (process.parse::<u32>().is_ok() && is_name(name)).then_some(name)
    };
    trace.lines().filter_map(call).collect()
}
