//! Handling a Map-Reply, from the datagram that came out of the control tunnel to the messages that
//! give kernel WireGuard its peer and the routing table its routes.

use control::Instant;
use dataplane::kernel::{Kernel, KernelConfig, KernelDataConfig, LaneConfig};
use dataplane::{DataPlane, EngineConfig};
use x25519_dalek::StaticSecret;

use crate::mapping::{Family, MAPPINGS, World, own};
use crate::silent_kernel;
use crate::window::Window;

/// How many replies are counted; each has a mapping of either family.
const REPLIES: u16 = 50;

pub fn count() {
    let mut world = World::new();
    let mut kernel = open(world.now);
    for site in 0..MAPPINGS / 2 + REPLIES {
        let reply = world.ask(site, &[Family::V4, Family::V6]);
        let is_counted = site >= MAPPINGS / 2;
        let sent = silent_kernel::sent();
        let now = world.now;
        let mut handle = || {
            world.answer(&reply, |change| kernel.apply(change, now).expect("it is applied"));
            // New peers are told to the kernel before anything else is asked.
            while kernel.poll_event().is_some() {}
        };
        if is_counted {
            Window::MapReply.count(1, handle)
        } else {
            handle()
        }
        let sent = silent_kernel::sent() - sent;
        assert!(sent >= 3, "a peer and two routes are told: {sent} messages");
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
