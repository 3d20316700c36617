//! A node with nothing to do does nothing.

use std::fs;
use std::thread;
use std::time::Duration;

use daemon::demo::net::Node;
use daemon::demo::net::world::{HOME_HOST, PHONE_HOST};

use crate::testbed::{PATIENCE, in_sleeping_world, is_long, ping_until_answered};

/// Voluntary context switches of all threads of a node since its start.
fn context_switches(node: &Node) -> std::io::Result<u64> {
    let pid = node.process_id().ok_or(std::io::ErrorKind::NotFound)?;
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

#[test]
fn an_idle_node_with_two_data_peers_wakes_less_than_twice_a_second() {
    in_sleeping_world(|world| {
        world.start(PATIENCE)?;
        ping_until_answered(world, PATIENCE)?;
        world.home_host.ping(HOME_HOST[0], PHONE_HOST[0], PATIENCE)?;
        assert_eq!(world.home.status()?.data_tunnels.iter().filter(|one| one.up).count(), 2);
        // WireGuard's passive keepalive is due 10 s after the last packet.
        thread::sleep(Duration::from_secs(11));
        let window = Duration::from_secs(if is_long() { 60 } else { 10 });
        let nodes = [&world.map_server, &world.home, &world.office, &world.phone];
        let before: Vec<_> = nodes.iter().map(|node| context_switches(node)).collect();
        thread::sleep(window);
        for (node, before) in nodes.into_iter().zip(before) {
            let rate = (context_switches(node)? - before?) as f64 / window.as_secs_f64();
            println!("{}: {rate:.2} wake-ups a second", node.name());
            assert!(rate < 2.0, "{}: {rate:.2} wake-ups a second", node.name());
        }
        Ok(())
    });
}
