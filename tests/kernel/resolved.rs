//! What is resolved stays in the kernel.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use daemon::demo::net::world::{HOME_HOST, OFFICE_HOST, World};
use daemon::demo::net::{Place, transfer};
use linux::netlink::Socket;
use linux::packet::Capture;

use crate::machine::{MISS, statistics};
use crate::testbed::{PATIENCE, in_world_alone, ping_until_answered, start_pair};

/// What goes to lispguard on a machine, from now on.
fn watch_misses(place: &Place) -> std::io::Result<Capture> {
    place.inside(|| {
        let index = Socket::open()?.link_index(MISS)?;
        Capture::open(Some(index))
    })
}

/// How many packets from EIDs there were: the interface's own multicast reports are none.
fn misses(capture: &Capture) -> usize {
    let (mut count, mut packet) = (0, [0; 128]);
    while let Ok(captured) = capture.receive(&mut packet) {
        let packet = &packet[..captured.len];
        let source: Option<IpAddr> = match packet.first().map(|octet| octet >> 4) {
            Some(4) => {
                packet.get(12..).and_then(|rest| rest.first_chunk::<4>()).map(|a| (*a).into())
            }
            Some(6) => {
                packet.get(8..).and_then(|rest| rest.first_chunk::<16>()).map(|a| (*a).into())
            }
            _ => None,
        };
        let is_eid = |address| {
            let instance_id = control::InstanceId(0);
            let eid = control::Eid { instance_id, address };
            World::eid_space().iter().any(|prefix| prefix.contains(eid))
        };
        count += usize::from(source.is_some_and(is_eid));
    }
    count
}

#[test]
fn lispguard_sees_no_packet_of_a_resolved_flow() {
    in_world_alone(|world| {
        start_pair(world)?;
        let (home, office) = (world.home.place(), world.office.place());
        let captures = [watch_misses(home)?, watch_misses(office)?];
        ping_until_answered(world, PATIENCE)?;
        world.home_host.ping(HOME_HOST[2], OFFICE_HOST[1], PATIENCE)?;
        // What came late of the first packets.
        std::thread::sleep(Duration::from_millis(300));
        let before = captures.each_ref().map(misses);
        assert!(before[0] > 0, "the first packet is seen");

        let carried = || -> std::io::Result<u64> { Ok(statistics(home, "lg-data0")?.tx_packets) };
        let carried_before = carried()?;
        for address in OFFICE_HOST {
            let to = SocketAddr::new(address, 5001);
            let (stream, listener) = world.home_host.tcp(&world.office_host, to)?;
            let outcome = transfer(stream, &listener, Duration::from_secs(1))?;
            println!("{address}: {:.0} Mbit/s", outcome.mbit_s());
        }
        let sent = carried()? - carried_before;
        let seen = captures.each_ref().map(misses);
        println!("{sent} packets by lg-data0, {seen:?} seen");
        assert!(sent > 5_000, "{sent}");
        assert_eq!(seen, [0, 0]);
        Ok(())
    });
}
