//! LISP messages: out past the kernel's routing, in by sockets at our control and link addresses.

use control::{Duration, Instant, PeerKey, earliest};

use super::machine::{Machine, interface};
use super::operations::{Device, Operations};
use crate::engine::lisp_message;
use crate::{Channel, EngineError, Interface, PlaneError};

/// Messages handled at a time.
const BATCH: usize = 64;

/// A peer that sends is looked at when the kernel was last asked so long ago: it may have moved.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// A peer that greets is looked at so long after the kernel was last asked, and sooner when its
/// session is new: no peer makes us ask all the time.
const GREETING_PAUSE: Duration = Duration::from_millis(100);
const SESSION_PAUSE: Duration = Duration::from_millis(1);

impl<O: Operations> Machine<O> {
    /// Takes what came out of an interface's tunnels.
    pub(super) fn handle_messages(&mut self, device: Device, now: Instant) {
        self.install_new_peers();
        let mut buffer = core::mem::take(&mut self.packet);
        for _ in 0..BATCH {
            let Some((from, len)) = self.operations.receive_message(device, &mut buffer) else {
                break;
            };
            let peers = self.peers(interface(device));
            match peers.with_address(device, from).map(|peer| peer.key) {
                Some(key) => self.handle_message(device, key, &buffer[..len], now),
                None => self.counters.unknown_peer += 1,
            }
        }
        self.packet = buffer;
        self.catch_up(now);
    }

    /// Takes a message of a peer, which proves that its session stands. An empty one is a
    /// greeting.
    fn handle_message(&mut self, device: Device, key: PeerKey, message: &[u8], now: Instant) {
        let listed_at = self.listed_at[device.place()];
        let Some(peer) = self.peers_mut(interface(device)).get_mut(&key) else { return };
        peer.silent_since = None;
        peer.active_at = Some(now);
        let is_news = message.is_empty()
            || !peer.has_session()
            || listed_at.is_none_or(|at| now - at >= LOOK_AFTER);
        if is_news {
            let pause = if peer.has_session() { GREETING_PAUSE } else { SESSION_PAUSE };
            let look_at = Some(listed_at.map_or(now, |at| now.max(at + pause)));
            peer.look_at = earliest(peer.look_at, look_at);
            self.wake(look_at);
        }
        if message.is_empty() {
            return;
        }
        let channel = match interface(device) {
            Interface::Control => Channel::Control,
            Interface::Data => Channel::Link,
        };
        if self.inbox.push(channel, key, message) {
            self.counters.messages_received += 1;
        } else {
            self.counters.inbox_overflow += 1;
        }
    }

    /// Takes the next LISP message that came out of a tunnel: its peer and length. It waits for
    /// the events before it, so that a session is known when its first message is read.
    pub(super) fn receive_control(&mut self, buf: &mut [u8]) -> Option<(Channel, PeerKey, usize)> {
        self.install_new_peers();
        if self.has_events() { None } else { self.inbox.pop(buf) }
    }

    /// Sends a LISP message inside the tunnel to `peer`.
    ///
    /// # Errors
    /// When the peer is unknown or no session with it stands, or the message is too long.
    pub(super) fn send_control(
        &mut self,
        channel: Channel,
        key: PeerKey,
        message: &[u8],
        now: Instant,
    ) -> Result<(), PlaneError> {
        self.install_new_peers();
        let interface = match channel {
            Channel::Control => Interface::Control,
            Channel::Link => Interface::Data,
        };
        let peer = self.peers(interface).get(&key).ok_or(EngineError::UnknownPeer(key))?;
        let (device, address, has_session) = (peer.device, peer.address, peer.has_session());
        let (port, source) = (self.lisp_port, self.address_on(device));
        let room = self.mtu.min(self.plain.len());
        let plain = &mut self.plain[..room];
        let len = lisp_message::emit(port, source, address, message, plain)
            .ok_or(EngineError::MessageTooLong)?;
        if !has_session {
            self.want_session(interface, key, now);
            self.catch_up(now);
            return Err(EngineError::NoSession(key).into());
        }
        if self.operations.inject(device, &self.plain[..len]) {
            self.counters.messages_sent += 1;
            self.note_own(device, key, len, now);
        } else {
            self.counters.send_failed += 1;
        }
        if let Some(peer) = self.peers_mut(interface).get_mut(&key) {
            peer.note_sent(now);
            let wake_at = peer.poll_at();
            self.wake(wake_at);
        }
        self.catch_up(now);
        Ok(())
    }
}
