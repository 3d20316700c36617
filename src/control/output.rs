//! What a node wants done.

use crate::{Change, Event, Instant, PeerKey};

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send a message: the first `len` octets of the buffer that was passed in.
    Transmit {
        /// Between link addresses of data peers instead of control addresses.
        link: bool,
        /// The peer, named by its data key or its control key accordingly.
        peer: PeerKey,
        /// Octets.
        len: usize,
    },
    /// [`Node::uplinks`](crate::Node::uplinks) are others, or the last one is back: the data plane leaves by them from
    /// now on. Before anything else that comes of it.
    Uplinks,
    /// Apply a change to the data plane.
    Change(Change),
    /// Tell a person.
    Event(Event),
    /// Nothing more until then, or until the next input.
    Wait(Option<Instant>),
}
