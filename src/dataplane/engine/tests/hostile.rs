//! Octets from outside: random, mutated, replayed. Nothing panics and nothing grows.

use control::{Duration, Side};

use super::pair::{CONTROL_PORT, DATA_PORT, Pair, packet};
use crate::engine::Random;
use crate::{Channel, DataPlane, MessageKind};

fn octets(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len).map(|_| random.below(256) as u8).collect()
}

fn mutate(random: &mut Random, octets: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let len = octets.len().max(1) as u64;
        let place = random.below(len) as usize;
        match random.below(4) {
            0 => octets.truncate(place),
            1 => octets.extend_from_within(..place.min(octets.len())),
            _ => {
                if let Some(octet) = octets.get_mut(place) {
                    *octet ^= 1 << random.below(8);
                }
            }
        }
    }
}

#[test]
fn datagrams_random_mutated_and_replayed_are_dropped_and_counted() {
    let mut random = Random::new(7);
    let mut pair = Pair::new(7);
    pair.install_control();
    pair.install(Side::Initiator, Side::Responder);
    pair.run(Duration::from_secs(1));
    let mut seen: Vec<(u16, Vec<u8>)> = Vec::new();
    let key_b = pair.b.control_key();
    for round in 0..40_000u64 {
        if round % 100 == 0 {
            pair.send(round as u8);
            pair.a.plane.send_control(Channel::Control, key_b, b"x", pair.now).unwrap();
            while let Some(datagram) = pair.a.plane.poll_datagram() {
                seen.push((datagram.to.port(), datagram.octets));
            }
            seen.truncate(400);
        }
        let (port, mut datagram) = match random.below(3) {
            0 => {
                let len = [0, 3, 32, 64, 92, 148, 300][random.below(7) as usize];
                let mut datagram = octets(&mut random, len);
                if let Some(kind) = datagram.first_chunk_mut::<4>() {
                    *kind = [random.below(6) as u8, 0, 0, 0];
                }
                let port = [CONTROL_PORT, DATA_PORT][random.below(2) as usize];
                (port, datagram)
            }
            _ => seen[random.below(seen.len() as u64) as usize].clone(),
        };
        if random.below(2) == 0 {
            mutate(&mut random, &mut datagram);
        }
        let from = (pair.a.address, 9).into();
        pair.b.plane.handle_datagram(port, from, &datagram, pair.now);
        while pair.b.plane.poll_datagram().is_some() {}
        while pair.b.plane.poll_event().is_some() {}
        while pair.b.plane.poll_packet().is_some() {}
    }
    let counters = *pair.b.plane.engine().counters();
    assert!(counters.malformed > 100 && counters.unauthentic > 100 && counters.replayed > 100);
    assert!(counters.messages_received <= 400 && counters.decapsulated <= 400);
}

#[test]
fn packets_inside_a_valid_tunnel_are_dropped_and_counted() {
    let mut random = Random::new(9);
    let mut pair = Pair::new(9);
    pair.install_control();
    pair.install(Side::Initiator, Side::Responder);
    pair.run(Duration::from_secs(1));
    // What the tunnels carry is made up here, below the checks of the sending side.
    for round in 0..20_000 {
        let mut inner = match random.below(3) {
            0 => {
                let len = random.below(120) as usize;
                octets(&mut random, len)
            }
            1 => packet(1, 2, 1),
            _ => {
                let source = pair.a.plane.engine().address(crate::Interface::Control);
                let destination = pair.b.plane.engine().address(crate::Interface::Control);
                let mut out = [0; 100];
                let len = super::super::lisp_message::emit(
                    control::LISP_PORT,
                    source,
                    destination,
                    b"ok",
                    &mut out,
                );
                out[..len.unwrap()].to_vec()
            }
        };
        mutate(&mut random, &mut inner);
        let interface =
            [crate::Interface::Control, crate::Interface::Data][random.below(2) as usize];
        pair.a.plane.engine.transmit(interface, 0, &inner, pair.now, &mut pair.a.plane.io);
        pair.run(Duration::from_millis(20 * u64::from(round % 2 == 0)));
        pair.b.packets.clear();
        pair.b.events.clear();
    }
    let counters = *pair.b.plane.engine().counters();
    assert!(counters.inner_malformed > 1000, "{counters:?}");
    let mut buffer = [0; 2000];
    let mut messages = 0;
    while pair.b.plane.receive_control(&mut buffer).is_some() {
        messages += 1;
    }
    assert!(messages <= 256);
}

#[test]
fn packets_from_the_tun_random_and_mutated_never_panic() {
    let mut random = Random::new(11);
    let mut pair = Pair::with(11, |config| {
        config.database = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    });
    pair.install(Side::Initiator, Side::Responder);
    pair.run(Duration::from_secs(1));
    for _ in 0..40_000 {
        let mut inner = if random.below(2) == 0 {
            let len = random.below(2000) as usize;
            octets(&mut random, len)
        } else {
            packet(1, 2, 3)
        };
        if let Some(first) = inner.first_mut().filter(|_| random.below(2) == 0) {
            *first = [0x45, 0x60, 0x46, 0x4f][random.below(4) as usize];
        }
        mutate(&mut random, &mut inner);
        pair.a.plane.handle_packet(&inner, pair.now);
        while let Some(datagram) = pair.a.plane.poll_datagram() {
            assert!(MessageKind::of(&datagram.octets).is_some());
        }
        while pair.a.plane.poll_packet().is_some() {}
        if random.below(10) == 0 {
            pair.run(Duration::from_millis(3));
            pair.a.packets.clear();
            pair.a.events.clear();
        }
    }
    assert!(pair.a.plane.engine().waiting() <= 256);
}
