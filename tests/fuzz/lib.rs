//! Fuzz targets as plain functions: each takes any octets and panics when a promise is broken.
//!
//! `cargo fuzz run --fuzz-dir tests/fuzz TARGET` explores; `tests/run fuzz` repeats a bounded, seeded part.
#![forbid(unsafe_code)]

mod node;
mod ubus;

use wire::{Address, Message};

pub use node::node;
pub use ubus::ubus;

/// A fuzz target and what its inputs may start from.
pub struct Target {
    /// Its name, also that of its binary and of its folder under `corpus`.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "address", run: address },
    Target { name: "encapsulated_control", run: encapsulated_control },
    Target { name: "info", run: info },
    Target { name: "map_notify", run: map_notify },
    Target { name: "map_register", run: map_register },
    Target { name: "map_reply", run: map_reply },
    Target { name: "map_request", run: map_request },
    Target { name: "node", run: node },
    Target { name: "ubus", run: ubus },
    Target { name: "uci", run: uci },
];

/// An AFI-encoded address, LCAFs included: one that parses is emitted as it came.
pub fn address(data: &[u8]) {
    let Ok((address, rest)) = Address::parse(data) else { return };
    let _ = format!("{address} {address:?} {:?} {:?}", address.ip_eid(), address.rloc());
    let len = data.len() - rest.len();
    let mut emitted = vec![0xa5; len];
    assert_eq!(address.emit(&mut emitted), Ok(len), "{address}");
    assert_eq!(emitted, data[..len], "{address}");
}

/// An Encapsulated Control Message, and the message in it.
pub fn encapsulated_control(data: &[u8]) {
    message(8, data);
}

/// An Info-Request or Info-Reply.
pub fn info(data: &[u8]) {
    message(7, data);
}

/// A Map-Notify or Map-Notify-Ack, told apart by the last bit of the input.
pub fn map_notify(data: &[u8]) {
    message(4 + (data.last().unwrap_or(&0) & 1), data);
}

/// A Map-Register.
pub fn map_register(data: &[u8]) {
    message(3, data);
}

/// A Map-Reply.
pub fn map_reply(data: &[u8]) {
    message(2, data);
}

/// A Map-Request.
pub fn map_request(data: &[u8]) {
    message(1, data);
}

/// A configuration.
pub fn uci(data: &[u8]) {
    match ::uci::parse(data) {
        Ok(document) => drop(format!("{document:?}")),
        Err(error) => drop(format!("{error} {error:?}")),
    }
}

/// What parses as a message of this type is the same again once emitted.
fn message(message_type: u8, data: &[u8]) {
    let mut octets = data.to_vec();
    if let Some(first) = octets.first_mut() {
        *first = message_type << 4 | *first & 0x0f;
    }
    let _ = wire::auth::verify(&octets, b"key");
    match Message::parse(&octets) {
        Ok(parsed) => {
            let _ = format!("{parsed} {parsed:?}");
            if let Message::EncapsulatedControl(outer) = parsed {
                drop(format!("{:?}", Message::parse(outer.packet.message())));
            }
            let mut emitted = vec![0xa5; parsed.buffer_len()];
            assert_eq!(parsed.emit(&mut emitted), Ok(emitted.len()), "{parsed}");
            assert_eq!(Message::parse(&emitted), Ok(parsed));
        }
        Err(error) => drop(format!("{error} {error:?}")),
    }
}
