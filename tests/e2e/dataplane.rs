//! The data plane that the configuration asks for.

use daemon::demo::net::Place;

use crate::testbed::in_world;

/// Whether this machine's kernel has WireGuard.
fn has_wireguard() -> bool {
    let place = Place::new("anywhere").expect("a namespace");
    place.create_link("wg", "wireguard").is_ok()
}

#[test]
fn a_kernel_without_wireguard_is_told_with_the_way_out() {
    in_world(|world| {
        if has_wireguard() {
            return Ok(());
        }
        world.home.config.set_option("dataplane", "kernel");
        world.home.start()?;
        let said = loop {
            if let Some(status) = world.home.ended()? {
                assert!(!status.success(), "{status}");
                break world.home.log();
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        assert_eq!(said.lines().count(), 1, "{said}");
        for part in ["WireGuard", "option dataplane 'userspace'"] {
            assert!(said.contains(part), "no '{part}' in: {said}");
        }
        assert!(world.home.place().remove("lg-ctl").is_err(), "nothing is left");
        Ok(())
    });
}
