//! Handling a Map-Reply, from the datagram that came out of the control tunnel to the messages that
//! give kernel WireGuard its peer and the routing table its routes.

use control::{Duration, Instant};
use dataplane::kernel::{Kernel, KernelConfig, KernelDataConfig, LaneConfig};
use dataplane::{DataPlane, EngineConfig};
use x25519_dalek::StaticSecret;

use crate::mapping::{Family, MAPPINGS, World, own};
use crate::silent_kernel;
use crate::window::Window;

/// How many replies of each kind are counted; each has a mapping of either family.
const REPLIES: u16 = 50;
/// A session is looked for within this time.
const SOON: Duration = Duration::from_millis(100);

pub fn count() {
    let mut world = World::new();
    let mut kernel = open(world.now);
    for site in 0..MAPPINGS / 2 + REPLIES {
        let is_counted = site >= MAPPINGS / 2;
        // Of an owner whose tunnel stands.
        let is_known = !is_counted && site >= MAPPINGS / 2 - REPLIES;
        let reply = world.ask(site, &[Family::V4, Family::V6]);
        let (sent, now) = (silent_kernel::sent(), world.now);
        let mut handle = || {
            world.answer(&reply, |change| kernel.apply(change, now).expect("it is applied"));
            // New peers are told to the kernel before anything else is asked.
            while kernel.poll_event().is_some() {}
        };
        if is_counted {
            Window::MapReply.count(1, handle);
            assert!(silent_kernel::sent() > sent, "a peer is told");
        } else if is_known {
            Window::KnownPeer.count(1, handle);
            assert!(silent_kernel::sent() >= sent + 2, "two routes are told");
        } else {
            handle();
        }
        // Its session stands when the kernel is asked the next time.
        let sent = silent_kernel::sent();
        world.now = kernel.poll_at().filter(|at| *at < now + SOON).map_or(now, |at| at.max(now));
        let mut look = || {
            kernel.handle_timeout(world.now);
            while kernel.poll_event().is_some() {}
        };
        if is_counted {
            Window::Routes.count(1, look)
        } else {
            look()
        }
        assert!(silent_kernel::sent() >= sent + 2 || !is_counted, "two routes are told");
    }
    assert_eq!(kernel.routes().count(), usize::from(MAPPINGS + 2 * REPLIES));
}

fn open(now: Instant) -> Kernel {
    let engine = EngineConfig { data_peers: 1_200, routes: 1_200, ..EngineConfig::default() };
    let config = KernelConfig {
        control_private_key: StaticSecret::from([9; 32]),
        control_port: 51821,
        control_device: "lg-ctl".into(),
        control_address: None,
        data: Some(KernelDataConfig {
            lanes: vec![LaneConfig { device: "lg-data0".into(), port: 51820, fwmark: 1 }],
            miss_device: "lg-miss".into(),
            resolved_table: 4343,
            database: vec![own("10.255.0.0/24"), own("fd01:0:ffff::/64")],
            rotate_keys: false,
        }),
        fwmark: 1,
        engine,
    };
    let mut kernel = Kernel::new(config).expect("a kernel that says yes");
    kernel.handle_timeout(now);
    kernel
}
