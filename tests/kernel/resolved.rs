//! What is resolved stays in the kernel.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use daemon::demo::net::transfer;
use daemon::demo::net::world::{HOME_HOST, OFFICE_HOST};

use crate::machine::{MISS, statistics};
use crate::testbed::{PATIENCE, in_world_alone, ping_until_answered, start_pair};

#[test]
fn lispguard_sees_no_packet_of_a_resolved_flow() {
    in_world_alone(|world| {
        start_pair(world)?;
        ping_until_answered(world, PATIENCE)?;
        world.home_host.ping(HOME_HOST[2], OFFICE_HOST[1], PATIENCE)?;
        // What came late of the first packets.
        thread::sleep(Duration::from_millis(300));
        let (home, office) = (world.home.place(), world.office.place());
        let seen =
            || -> std::io::Result<_> { Ok([statistics(home, MISS)?, statistics(office, MISS)?]) };
        let carried = || -> std::io::Result<u64> { Ok(statistics(home, "lg-data0")?.tx_packets) };
        let (seen_before, carried_before) = (seen()?, carried()?);

        for address in OFFICE_HOST {
            let to = SocketAddr::new(address, 5001);
            let (stream, listener) = world.home_host.tcp(&world.office_host, to)?;
            let outcome = transfer(stream, &listener, Duration::from_secs(1))?;
            println!("{address}: {:.0} Mbit/s", outcome.mbit_s());
        }
        let sent = carried()? - carried_before;
        println!("{sent} packets by lg-data0");
        assert!(sent > 10_000, "{sent}");
        assert_eq!(seen()?, seen_before, "lg-miss carried nothing");
        Ok(())
    });
}
