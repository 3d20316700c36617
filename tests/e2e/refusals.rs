//! What a Map-Server does not accept from a site.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use daemon::demo::net::NodeConfig;
use daemon::demo::net::Role;
use daemon::demo::net::world::{HOME, HOME_HOST, HOME_UPLINK, OFFICE_HOST, PHONE_HOST};

use crate::intruder::{Intruder, between_eids, data_tunnel_to_home};
use crate::testbed::{PATIENCE, Said, eventually, in_world, is_in_kernel, lispguard, start};

/// `lispguard status` of a node.
fn status(node: &daemon::demo::net::Node) -> Said {
    let socket = node.control_socket();
    lispguard(["status", "-s", &socket.to_string_lossy()])
}

#[test]
fn a_site_with_a_wrong_control_key_does_not_register() {
    in_world(|world| {
        world.home.config.private_key = NodeConfig::new(Role::Xtr)?.private_key;
        world.start_map_server()?;
        world.home.start()?;
        start(&mut world.office)?;
        let refused = |status: &daemon::demo::net::NodeStatus| status.counter("unknown_peer") > 0;
        // The kernel's WireGuard drops what it does not know without a count.
        if !is_in_kernel() {
            world.map_server.wait_until(PATIENCE, refused)?;
        }
        let said = status(&world.home);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.out.contains("degraded: ") && said.out.contains("ms1"), "{}", said.out);
        let at_server = world.map_server.status()?;
        assert!(at_server.site("home").is_some_and(|site| site.data_key.is_none()));
        assert!(at_server.site("office").is_some_and(|site| site.data_key.is_some()));
        Ok(())
    });
}

#[test]
fn an_eid_prefix_of_another_site_is_refused_and_the_others_work() {
    in_world(|world| {
        // The Map-Server was told before; home now wants one of office's networks as well.
        world.home.config.eid_prefixes.push("10.2.0.128/25".into());
        world.start_map_server()?;
        start(&mut world.office)?;
        world.home.start()?;
        let claims = |status: &daemon::demo::net::NodeStatus| status.counter("claims_refused") > 0;
        world.map_server.wait_until(PATIENCE, claims)?;
        let has_others = || {
            let status = world.map_server.status().unwrap_or_default();
            status.site("home").is_some_and(|site| site.eid_prefixes.len() == HOME.len())
        };
        assert!(eventually(has_others), "what is its own is registered");
        assert!(world.map_server.log().contains("10.2.0.128/25"), "{}", world.map_server.log());
        let said = status(&world.home);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.out.contains("10.2.0.128/25"), "{}", said.out);
        Ok(())
    });
}

#[test]
fn a_replayed_register_is_refused_and_a_repeated_one_acknowledged_again() {
    in_world(|world| {
        world.start_map_server()?;
        let mut intruder = Intruder::connect(&world.home, HOME_UPLINK, &world.map_server)?;
        let short = Duration::from_millis(300);
        let (first, second) =
            (intruder.register(7 << 32, &HOME), intruder.register(8 << 32, &HOME[..1]));
        intruder.send(&first)?;
        assert!(intruder.is_acknowledged(7 << 32, PATIENCE)?);
        intruder.send(&second)?;
        assert!(intruder.is_acknowledged(8 << 32, PATIENCE)?);
        // The same message again is a retransmission whose acknowledgement was lost.
        intruder.send(&second)?;
        assert!(intruder.is_acknowledged(8 << 32, PATIENCE)?);
        intruder.send(&first)?;
        assert!(!intruder.is_acknowledged(7 << 32, short)?);
        let status = world.map_server.status()?;
        assert!(status.counter("registers_replayed") > 0, "{status:?}");
        Ok(())
    });
}

#[test]
fn a_register_with_a_wrong_mac_or_for_another_site_is_refused() {
    in_world(|world| {
        world.start_map_server()?;
        let mut intruder = Intruder::connect(&world.home, HOME_UPLINK, &world.map_server)?;
        let short = Duration::from_millis(300);
        let mut forged = intruder.register(7 << 32, &HOME);
        forged[20] ^= 1;
        intruder.send(&forged)?;
        assert!(!intruder.is_acknowledged(7 << 32, short)?);
        // In home's tunnel nobody registers office's network.
        let foreign = intruder.register(8 << 32, &["10.2.0.0/24"]);
        intruder.send(&foreign)?;
        let _ = intruder.is_acknowledged(8 << 32, short)?;
        let status = world.map_server.status()?;
        assert!(status.counter("claims_refused") > 0, "{status:?}");
        assert!(status.registrations.iter().all(|site| site.eid_prefixes.is_empty()), "{status:?}");
        Ok(())
    });
}

#[test]
fn a_site_cannot_send_from_an_eid_that_it_does_not_own() {
    in_world(|world| {
        let mut tunnel = data_tunnel_to_home(world)?;
        let to = SocketAddr::new(HOME_HOST[2], 5000);
        let socket = world.home_host.udp(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let stranger = "fd01:0:0:7::1".parse::<IpAddr>()?;
        let outside = "2001:db8::1".parse::<IpAddr>()?;
        for source in [PHONE_HOST[1], HOME_HOST[2], stranger, outside] {
            tunnel.send(&between_eids(SocketAddr::new(source, 5000), to, b"forged"))?;
        }
        tunnel.send(&between_eids(SocketAddr::new(OFFICE_HOST[1], 5000), to, b"honest"))?;
        let mut buffer = [0; 64];
        let (len, from) = socket.recv_from(&mut buffer)?;
        assert_eq!((&buffer[..len], from.ip()), (&b"honest"[..], OFFICE_HOST[1]));
        // The kernel's WireGuard tells nobody.
        if !is_in_kernel() {
            assert_eq!(world.home.status()?.counter("source_refused"), 4);
        }
        Ok(())
    });
}
