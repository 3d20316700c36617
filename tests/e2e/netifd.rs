//! An uplink that is named as OpenWrt's users name it.

#[path = "../../src/daemon/netifd/tests/bus.rs"]
#[expect(dead_code, reason = "its ways to misbehave are another test's")]
pub mod bus;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bus::{Bus, Directory};
use daemon::demo::net::UplinkConfig;
use daemon::demo::net::world::{HOME_HOST, PHONE_HOST};

use crate::mobility::{AP1, AP2, ip, wait_until_registered};
use crate::testbed::{Outcome, PATIENCE, in_world};

/// Between two turns of the bus.
const TURN: Duration = Duration::from_millis(1);

/// Has a bus work while `body` goes on.
pub fn running(bus: Bus, body: impl FnOnce(&Mutex<Bus>) -> Outcome) -> Outcome {
    let (bus, is_over) = (Mutex::new(bus), AtomicBool::new(false));
    thread::scope(|scope| {
        let turns = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                bus.lock().unwrap_or_else(PoisonError::into_inner).run();
                thread::sleep(TURN);
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&bus)));
        is_over.store(true, Ordering::Relaxed);
        turns.join().expect("the bus did not panic");
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    })
}

#[test]
fn an_uplink_named_as_an_interface_of_netifd_follows_its_device() {
    in_world(|world| {
        let directory = Directory::new();
        let mut bus = Bus::new(directory.socket());
        bus.start();
        bus.interface("wwan", true, Some("ap1"), None);
        bus.start_netifd();
        let config = &mut world.phone.config;
        config.set_option("ubus_socket", &directory.socket().to_string_lossy());
        let wwan = UplinkConfig { device: "wwan".into(), priority: 1, weight: 100 };
        config.uplinks.push(wwan);
        running(bus, |bus| {
            let locked = || bus.lock().unwrap_or_else(PoisonError::into_inner);
            world.start(PATIENCE)?;
            world.phone.place().ping(PHONE_HOST[0], HOME_HOST[0], PATIENCE)?;
            AP2.associate(world, world.phone.place())?;
            world.phone.place().add_address(AP2.device, AP2.address)?;
            // ubusd restarts, and netifd has another device for the interface then.
            locked().stop();
            locked().interface("wwan", true, Some("ap2"), None);
            locked().start();
            locked().start_netifd();
            AP1.leave(world, world.phone.place())?;
            world.phone.place().add_default_route(ip(AP2.gateway))?;
            wait_until_registered(world, "phone", &[AP2.rloc()]);
            world.phone.place().ping(PHONE_HOST[0], HOME_HOST[0], PATIENCE)?;
            Ok(())
        })
    });
}
