//! Routers boot with a wrong clock.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::testbed::{PATIENCE, in_world_alone, ping_until_answered, start_pair};

const DAY: Duration = Duration::from_secs(86_400);

/// Sets the clock of a kernel that is nobody's but the tests'.
fn set_clock(to: SystemTime) -> io::Result<()> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    assert!(cpu.contains("User Mode Linux"), "this machine's clock is not ours to set");
    let since = to.duration_since(UNIX_EPOCH).expect("after 1970");
    let text = format!("@{}.{:03}", since.as_secs(), since.subsec_millis());
    let status = std::process::Command::new("date").args(["-s", &text]).output()?.status;
    assert!(status.success(), "date -s {text}");
    Ok(())
}

#[test]
fn a_node_that_starts_a_day_back_registers_once_the_clock_is_set() {
    in_world_alone(|world| {
        start_pair(world)?;
        ping_until_answered(world, PATIENCE)?;
        world.home.kill()?;
        set_clock(SystemTime::now() - DAY)?;
        world.home.start()?;
        std::thread::sleep(Duration::from_secs(2));
        println!("a day back: {:?}", world.home.status()?.reasons);
        set_clock(SystemTime::now() + DAY)?;
        let registered = world.home.wait_until(PATIENCE, |status| status.ok)?;
        let answered = ping_until_answered(world, PATIENCE)?;
        println!("registered {registered:?}, answered {answered:?} after the clock was set");
        Ok(())
    });
}
