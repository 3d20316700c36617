//! Sites with two uplinks.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use daemon::demo::net::UplinkConfig;
use daemon::demo::net::world::{HOME_HOST, HOME_UPLINK, OFFICE_HOST};

use crate::machine::{add_uplink, address_of, statistics};
use crate::restarts::Transfer;
use crate::testbed::{
    PATIENCE, echo_servers, eventually, in_world, in_world_alone, ping_until_answered, start_pair,
};

/// The networks of the second uplinks.
const HOME_SECOND: u8 = 48;
const OFFICE_SECOND: u8 = 64;

fn uplinks(values: [(u8, u8); 2]) -> Vec<UplinkConfig> {
    let uplink = |(device, (priority, weight)): (&str, (u8, u8))| UplinkConfig {
        device: device.into(),
        priority,
        weight,
    };
    ["wan", "wan2"].into_iter().zip(values).map(uplink).collect()
}

#[test]
fn a_connection_survives_the_loss_of_the_better_uplink() {
    in_world_alone(|world| {
        add_uplink(world, &world.home, HOME_SECOND)?;
        world.home.config.uplinks = uplinks([(1, 100), (2, 100)]);
        start_pair(world)?;
        let _servers = echo_servers(world)?;
        ping_until_answered(world, PATIENCE)?;
        let registered = || {
            let status = world.map_server.status().unwrap_or_default();
            status.site("home").map(|site| site.rlocs.clone()).unwrap_or_default()
        };
        assert_eq!(registered().len(), 2, "both are registered: {:?}", registered());

        let transfer = Transfer::start(world)?;
        thread::sleep(Duration::from_millis(500));
        let second = || statistics(world.home.place(), "wan2").map(|count| count.tx_packets);
        let before = second()?;
        world.internet.set_down("home")?;
        world.home.place().set_down("wan")?;
        let moved = eventually(|| second().is_ok_and(|now| now > before + 100));
        assert!(moved, "packets leave by the second uplink");
        thread::sleep(Duration::from_millis(500));
        let octets = transfer.finish()?;
        println!("{} KiB went through", octets >> 10);
        let wan = address_of(HOME_UPLINK).to_string();
        assert!(
            eventually(|| registered().iter().all(|rloc| *rloc != wan)),
            "the lost RLOC is withdrawn: {:?}",
            registered()
        );
        world.office_host.ping(OFFICE_HOST[0], HOME_HOST[0], PATIENCE)?;
        Ok(())
    });
}

#[test]
fn flows_are_shared_by_the_weights_of_the_other_sites_uplinks() {
    in_world(|world| {
        add_uplink(world, &world.home, HOME_SECOND)?;
        add_uplink(world, &world.office, OFFICE_SECOND)?;
        world.home.config.uplinks = uplinks([(1, 50), (1, 50)]);
        world.office.config.uplinks = uplinks([(1, 75), (1, 25)]);
        for site in world.sites_mut() {
            site.config.set_option("multipath_l4", "1");
        }
        start_pair(world)?;
        ping_until_answered(world, PATIENCE)?;
        let carried = || -> std::io::Result<[u64; 2]> {
            let place = world.office.place();
            let packets = |device| statistics(place, device).map(|count| count.rx_packets);
            Ok([packets("lg-data0")?, packets("lg-data1")?])
        };
        // Both lanes have a session before flows are counted.
        let both_stand = || {
            let status = world.home.status().unwrap_or_default();
            status.data_tunnels.iter().filter(|tunnel| tunnel.up).count() == 2
        };
        let warm = |from: u16| -> std::io::Result<()> {
            for port in 0..64 {
                let source = SocketAddr::new(HOME_HOST[0], from + port);
                let socket: UdpSocket = world.home_host.udp(source)?;
                socket.send_to(b"warm", SocketAddr::new(OFFICE_HOST[0], 9))?;
            }
            Ok(())
        };
        warm(10_000)?;
        assert!(eventually(both_stand), "{:?}", world.home.status()?.data_tunnels);
        thread::sleep(Duration::from_millis(300));

        let before = carried()?;
        for port in 0..2000 {
            let socket = world.home_host.udp(SocketAddr::new(HOME_HOST[0], 20_000 + port))?;
            socket.send_to(b"a flow", SocketAddr::new(OFFICE_HOST[0], 9))?;
            if port % 50 == 0 {
                thread::sleep(Duration::from_millis(2));
            }
        }
        let arrived = || {
            let now = carried().unwrap_or(before);
            [now[0] - before[0], now[1] - before[1]]
        };
        assert!(eventually(|| arrived().iter().sum::<u64>() >= 2000), "{:?}", arrived());
        let [first, second] = arrived();
        let share = first as f64 / (first + second) as f64;
        println!("{first} and {second} flows: {:.1} % by the first lane", share * 100.0);
        assert!((0.71..=0.79).contains(&share), "{first} and {second}");
        Ok(())
    });
}
