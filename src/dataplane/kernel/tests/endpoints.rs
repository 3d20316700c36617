//! Where peers are: as the kernel followed them.

use std::net::SocketAddr;

use control::{Change, Duration, Instant, PeerConfig, PeerKey, Side};
use linux::netlink::wireguard::Peer;

use super::super::adopt::Remains;
use super::super::operations::Device;
use super::world::{World, key, packet};
use crate::{ControlPeer, Event};

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 77], port))
}

/// Two sites with a session; the first one's kernel followed the other since it was last asked.
fn roamed() -> World {
    let mut world = World::new(Duration::from_millis(10), 1);
    let now = world.now;
    world.b.learn(1, Side::Responder, now);
    world.a.learn(2, Side::Initiator, now);
    world.a.kernel.borrow_mut().send_from_host(packet(1, 2, 0));
    world.run(Duration::from_millis(200));
    assert!(world.a.has_session(key(2, 0)));
    let mut kernel = world.a.kernel.borrow_mut();
    let peer = kernel.interfaces[1].peers.get_mut(&key(2, 0).0).expect("a peer");
    peer.endpoint = Some(at(7));
    drop(kernel);
    world
}

fn endpoint(world: &World) -> Option<SocketAddr> {
    world.a.kernel.borrow().interfaces[1].peers[&key(2, 0).0].endpoint
}

#[test]
fn an_uplink_change_leaves_a_peer_that_roamed_since_the_last_listing_where_it_is() {
    let mut world = roamed();
    let now = world.now;
    world.a.machine.handle_uplink_change(now);
    assert_eq!(endpoint(&world), Some(at(7)));
}

#[test]
fn a_peer_that_roamed_unnoticed_goes_where_it_is_told_to_be_and_hears_of_it() {
    let mut world = roamed();
    let now = world.now;
    // As it was told before.
    world.a.set_peer(2, 0, Side::Initiator, now);
    let told = world.b.kernel.borrow().interfaces[1].address;
    assert_eq!(endpoint(&world), told);
    assert_eq!(world.a.kernel.borrow().outbox.len(), 1);
    // Without an endpoint it stays where it is.
    let mut kernel = world.a.kernel.borrow_mut();
    kernel.interfaces[1].peers.get_mut(&key(2, 0).0).expect("a peer").endpoint = Some(at(7));
    drop(kernel);
    let (side, persistent_keepalive) = (Side::Initiator, Some(Duration::from_secs(25)));
    let config = PeerConfig { key: key(2, 0), lane: 0, endpoint: None, side, persistent_keepalive };
    world.a.apply(&Change::SetPeer(config), now);
    assert_eq!(endpoint(&world), Some(at(7)));
}

#[test]
fn a_site_that_moved_while_no_process_ran_is_not_looked_for_where_it_was() {
    let mut world = World::new(Duration::from_millis(10), 1);
    let now = world.now;
    let mut remains = Remains::default();
    for (number, handshake) in [(101, Some(now)), (102, None)] {
        let told = Peer {
            public_key: [number; 32],
            endpoint: Some(at(1)),
            last_handshake: handshake.map(|at: Instant| Duration::from_micros(at.as_micros())),
            rx_octets: 500,
            tx_octets: 500,
            persistent_keepalive: 0,
        };
        remains.peers.push((Device::Control, told, Vec::new()));
        let mut kernel = world.a.kernel.borrow_mut();
        let known = kernel.interfaces[0].peers.entry(told.public_key).or_default();
        (known.endpoint, known.handshake_at) = (told.endpoint, handshake);
    }
    world.a.kernel.borrow_mut().now = now;
    world.a.restart(now, remains);
    let mut set = |number: u8, side, endpoint| {
        let key = PeerKey([number; 32]);
        let address = None;
        let config = ControlPeer { key, endpoint, side, persistent_keepalive: None, address };
        world.a.machine.set_control_peer(&config, now).expect("a peer");
        world.a.kernel.borrow().interfaces[0].peers[&key.0].endpoint
    };
    // Its session stands; what was written down is older.
    assert_eq!(set(101, Side::Responder, Some(at(2))), Some(at(1)));
    // Without one, nobody was followed.
    assert_eq!(set(102, Side::Responder, Some(at(2))), Some(at(2)));
    // What is told later is newer.
    assert_eq!(set(101, Side::Responder, Some(at(3))), Some(at(3)));
    world.run(Duration::from_millis(10));
    let sessions = |event: &Event| matches!(event, Event::ControlSession { .. });
    assert_eq!(world.a.count(sessions), 1);
}
