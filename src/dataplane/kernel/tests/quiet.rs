//! What keeps the machine busy, and what does not.

use control::{Duration, PeerKey, Side};

use super::super::operations::Device;
use super::world::{World, key, packet};
use crate::{Channel, ControlPeer};

const DELAY: Duration = Duration::from_millis(20);

fn with_session() -> World {
    let mut world = World::new(DELAY, 1);
    let now = world.now;
    world.b.learn(1, Side::Responder, now);
    world.a.learn(2, Side::Initiator, now);
    world.a.kernel.borrow_mut().send_from_host(packet(1, 2, 0));
    world.run(DELAY * 10);
    assert!(world.a.has_session(key(2, 0)) && world.b.has_session(key(1, 0)));
    world
}

/// Both ends of a control tunnel.
fn set_control_peers(world: &mut World) {
    let now = world.now;
    for (site, other, side) in
        [(&mut world.b, 1, Side::Responder), (&mut world.a, 2, Side::Initiator)]
    {
        let config = ControlPeer {
            key: PeerKey([other; 32]),
            endpoint: Some(std::net::SocketAddr::from(([192, 0, 2, other], 51821))),
            side,
            persistent_keepalive: None,
            address: None,
        };
        site.machine.set_control_peer(&config, now).expect("a peer");
    }
}

#[test]
fn a_peer_that_greets_all_the_time_does_not_make_us_ask_all_the_time() {
    let mut world = with_session();
    let before = world.a.counter("listings");
    let address = control::auth::link_address(key(2, 0));
    for _ in 0..1000 {
        let greeting = (address.into(), Vec::new());
        world.a.kernel.borrow_mut().interfaces[1].messages.push_back(greeting);
        let now = world.now;
        world.a.machine.handle_messages(Device::Lane(0), now);
        world.run(Duration::from_millis(1));
    }
    let asked = world.a.counter("listings") - before;
    assert!((5..=12).contains(&asked), "{asked}");
}

#[test]
fn a_peer_that_the_kernel_refused_is_given_to_it_again_at_leisure() {
    let mut world = World::new(DELAY, 1);
    world.a.kernel.borrow_mut().is_refusing = true;
    let now = world.now;
    world.b.learn(1, Side::Responder, now);
    world.a.learn(2, Side::Initiator, now);
    for _ in 0..10 {
        world.a.kernel.borrow_mut().send_from_host(packet(1, 2, 0));
        world.run(Duration::from_millis(10));
    }
    assert!(world.a.kernel.borrow().requests < 20);
    world.a.kernel.borrow_mut().is_refusing = false;
    world.run(Duration::from_millis(1500));
    assert!(!world.b.kernel.borrow().delivered.is_empty());
}

#[test]
fn a_node_that_registers_and_nothing_else_asks_once_a_minute() {
    let mut world = World::new(DELAY, 1);
    set_control_peers(&mut world);
    world.run(Duration::from_secs(1));
    let mut before = 0;
    for minute in 0..4 {
        if minute == 1 {
            before = world.a.counter("listings");
        }
        for (site, other) in [(1, 2), (2, 1)] {
            let now = world.now;
            let site = if site == 1 { &mut world.a } else { &mut world.b };
            let peer = PeerKey([other; 32]);
            site.machine.send_control(Channel::Control, peer, b"message", now).expect("sent");
            world.run(DELAY * 2);
        }
        world.run(Duration::from_secs(60) - DELAY * 4);
    }
    // And once more for each session, which lasts two minutes.
    let asked = world.a.counter("listings") - before;
    assert!(asked <= 6, "{asked} in three minutes");
}

#[test]
fn a_map_server_that_is_down_is_not_watched_closely() {
    let mut world = World::new(DELAY, 1);
    set_control_peers(&mut world);
    world.run(Duration::from_secs(1));
    world.loses = |_, _| true;
    world.run(Duration::from_secs(400));
    let before = world.a.counter("listings");
    world.run(Duration::from_secs(60));
    let asked = world.a.counter("listings") - before;
    assert!((30..=120).contains(&asked), "{asked} in a minute");
    world.loses = |_, _| false;
    let took = world.run_until(|world| {
        world.a.machine.control.get(&PeerKey([2; 32])).is_some_and(|peer| peer.has_session())
    });
    assert!(took < Duration::from_secs(4), "{took:?}");
}
