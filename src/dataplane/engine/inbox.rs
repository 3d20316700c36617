//! LISP messages that came out of tunnels and wait for the control plane.

use std::collections::VecDeque;

use control::PeerKey;

use crate::Channel;

/// Messages held; a batch of packets is handled before the control plane takes them.
const MESSAGES: usize = 256;
/// Octets held: few LISP messages are as long as a packet.
const OCTETS: usize = 48 << 10;

/// A queue whose memory is taken at the start.
#[derive(Debug)]
pub(crate) struct Inbox {
    messages: VecDeque<Message>,
    octets: Vec<u8>,
}

#[derive(Debug)]
struct Message {
    channel: Channel,
    peer: PeerKey,
    start: usize,
    len: usize,
}

impl Inbox {
    pub(crate) fn new() -> Inbox {
        Inbox { messages: VecDeque::with_capacity(MESSAGES), octets: Vec::with_capacity(OCTETS) }
    }

    /// Adds a message; says whether there was room.
    pub(crate) fn push(&mut self, channel: Channel, peer: PeerKey, message: &[u8]) -> bool {
        if self.messages.is_empty() {
            self.octets.clear();
        }
        let (start, len) = (self.octets.len(), message.len());
        if self.messages.len() == MESSAGES || start + len > OCTETS {
            return false;
        }
        self.octets.extend_from_slice(message);
        self.messages.push_back(Message { channel, peer, start, len });
        true
    }

    /// Takes the oldest message; one that does not fit `buf` is cut.
    pub(crate) fn pop(&mut self, buf: &mut [u8]) -> Option<(Channel, PeerKey, usize)> {
        let Message { channel, peer, start, len } = self.messages.pop_front()?;
        let len = len.min(buf.len());
        buf[..len].copy_from_slice(&self.octets[start..start + len]);
        Some((channel, peer, len))
    }
}
