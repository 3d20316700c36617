//! What lispguard cannot have it says in one line, and leaves nothing half-made behind.

use std::io;
use std::process::{Command, Stdio};

use daemon::demo::net::world::WIREGUARD_PORTS;
use daemon::demo::net::{Node, Place};
use linux::signals::Signal;

use crate::machine::{difference, kernel_state, write_secret};
use crate::testbed::{in_world, program};

/// Runs `lispguard run` on a node, by words before it; what it said before it ended by itself.
fn refused(node: &Node, before: &[&str]) -> io::Result<(Option<i32>, String)> {
    let file = write_secret(node, "lispguard", &node.config.to_uci(node.directory()))?;
    let run = [program(), "run", "-c"];
    let words: Vec<&str> = before.iter().copied().chain(run).collect();
    let mut command = Command::new("timeout");
    command.arg("10").args(words).arg(file).stdin(Stdio::null()).stderr(Stdio::piped());
    let child = node.place().namespace().spawn(&mut command, Signal::SIGKILL)?;
    let output = child.wait_with_output()?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// One line of error with all of `parts`, and a machine as it was before.
fn assert_refused(node: &Node, before: &[&str], parts: &[&str]) -> io::Result<()> {
    let state = kernel_state(node.place())?;
    let (code, said) = refused(node, before)?;
    println!("{said}");
    assert!(!matches!(code, Some(0 | 124) | None), "{code:?}: {said}");
    let errors: Vec<_> = said.lines().filter(|line| !line.starts_with("info: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    for part in parts {
        assert!(errors[0].contains(part), "no '{part}' in: {said}");
    }
    let after = kernel_state(node.place())?;
    assert_eq!(state, after, "{}", difference(&state, &after));
    Ok(())
}

fn take_name(place: &Place, device: &str, kind: &str) -> io::Result<()> {
    place.run("ip", &["link", "add", device, "type", kind]).map(drop)
}

#[test]
fn a_taken_port_is_named() {
    in_world(|world| {
        for port in WIREGUARD_PORTS {
            let holder = world.home.place().udp(format!("[::]:{port}").parse()?)?;
            assert_refused(&world.home, &[], &[&port.to_string()])?;
            drop(holder);
        }
        Ok(())
    });
}

#[test]
fn an_interface_of_the_wanted_name_that_is_not_ours_is_named() {
    in_world(|world| {
        for device in ["lg-data0", "lg-ctl", "lg-miss"] {
            for kind in ["wireguard", "dummy"] {
                take_name(world.home.place(), device, kind)?;
                assert_refused(&world.home, &[], &[device])?;
                world.home.place().remove(device)?;
            }
        }
        Ok(())
    });
}

#[test]
fn who_may_not_is_told_what_is_missing() {
    in_world(|world| {
        let powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
        assert_refused(&world.home, &powerless, &["root"])?;
        Ok(())
    });
}

#[test]
fn a_second_run_on_the_same_machine_is_refused() {
    in_world(|world| {
        crate::testbed::start_pair(world)?;
        let mut config = world.home.config.clone();
        let scratch = daemon::demo::net::Scratch::new()?;
        config.set_option("control_socket", &scratch.path().join("s").to_string_lossy());
        config.set_option("run_dir", &scratch.path().to_string_lossy());
        std::mem::swap(&mut config, &mut world.home.config);
        assert_refused(&world.home, &[], &["lispguard running already"])?;
        crate::testbed::ping_until_answered(world, crate::testbed::PATIENCE)?;
        Ok(())
    });
}
