//! Answers Map-Notifies: pushes and publications are each acknowledged, and let in once; answers to
//! subscriptions are acknowledged (RFC 9437).
//!
//! A push tells the data key and RLOCs of a site that has asked for us, or a change of what we
//! hold (RFC 9301 section 5.7, unsolicited Map-Notify).

use crate::{Instant, PeerKey};
use wire::Nonce;

use super::registrar::MAX_MAP_SERVERS;
use crate::itr::Version;

/// Octets of the longest message that is acknowledged.
pub(crate) const MAX_MESSAGE: usize = 1200;

/// Numbers seen per Map-Server, and the acknowledgement that is due.
pub(crate) struct Responder {
    windows: heapless::Vec<(PeerKey, Window), MAX_MAP_SERVERS>,
    /// One input is answered before the next, so that one is enough; a Map-Server repeats a push
    /// whose acknowledgement was overwritten.
    acknowledgement: Option<PeerKey>,
    message: heapless::Vec<u8, MAX_MESSAGE>,
}

/// The last 64 numbers of one Map-Server: reordering within them is no replay.
#[derive(Clone, Copy)]
struct Window {
    highest: u64,
    /// Bit n: `highest - n` was seen.
    seen: u64,
    epoch: u32,
    /// A new session began: the Map-Server may have restarted with a boot counter that went
    /// backwards.
    may_go_back: bool,
}

impl Responder {
    pub(crate) const fn new() -> Responder {
        Responder {
            windows: heapless::Vec::new(),
            acknowledgement: None,
            message: heapless::Vec::new(),
        }
    }

    /// A new session with this Map-Server: its numbers may start anew, once.
    pub(crate) fn handle_session(&mut self, map_server: PeerKey) {
        if let Some((_, window)) = self.windows.iter_mut().find(|(key, _)| *key == map_server) {
            window.may_go_back = true;
        }
    }

    /// Forgets the numbers of other Map-Servers than these.
    pub(crate) fn retain(&mut self, is_known: impl Fn(PeerKey) -> bool) {
        self.windows.retain(|(key, _)| is_known(*key));
    }

    /// A push that verified is to be acknowledged with its own content; `Some` when its number is
    /// new.
    pub(crate) fn handle_push(
        &mut self,
        map_server: PeerKey,
        nonce: Nonce,
        message: &[u8],
        now: Instant,
    ) -> Option<Version> {
        self.acknowledge(map_server, message);
        let epoch = self.note(map_server, nonce.0)?;
        Some(Version { map_server, epoch, number: nonce.0, pushed_at: now })
    }

    /// A Map-Notify that verified is to be acknowledged with its own content.
    pub(crate) fn acknowledge(&mut self, map_server: PeerKey, message: &[u8]) {
        self.message.clear();
        let fits = self.message.extend_from_slice(message).is_ok();
        self.acknowledgement = Some(map_server).filter(|_| fits);
    }

    /// The message to be acknowledged.
    pub(crate) fn poll_acknowledgement(&mut self) -> Option<(PeerKey, &[u8])> {
        let map_server = self.acknowledgement.take()?;
        Some((map_server, &self.message))
    }

    fn note(&mut self, map_server: PeerKey, number: u64) -> Option<u32> {
        let place = match self.windows.iter().position(|(key, _)| *key == map_server) {
            Some(place) => place,
            None => {
                let window = Window { highest: number, seen: 0, epoch: 0, may_go_back: false };
                self.windows.push((map_server, window)).ok()?;
                self.windows.len() - 1
            }
        };
        let window = &mut self.windows[place].1;
        window.note(number).then_some(window.epoch)
    }
}

impl Window {
    /// Whether the number is new.
    fn note(&mut self, number: u64) -> bool {
        let boot = |number: u64| number >> 32;
        if boot(number) < boot(self.highest) && self.may_go_back {
            let epoch = self.epoch.wrapping_add(1);
            *self = Window { highest: number, seen: 1, epoch, may_go_back: false };
            return true;
        }
        if number > self.highest {
            let ahead = u32::try_from(number - self.highest).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = number;
            return true;
        }
        let Some(bit) = u32::try_from(self.highest - number).ok().filter(|behind| *behind < 64)
        else {
            return false;
        };
        let is_new = self.seen & 1 << bit == 0;
        self.seen |= 1 << bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: PeerKey = PeerKey([1; 32]);

    fn is_new(responder: &mut Responder, number: u64) -> bool {
        let version = responder.handle_push(SERVER, Nonce(number), b"push", Instant::ZERO);
        assert_eq!(responder.poll_acknowledgement(), Some((SERVER, &b"push"[..])));
        assert_eq!(responder.poll_acknowledgement(), None);
        version.is_some()
    }

    #[test]
    fn each_number_is_let_in_once_within_a_window_of_64_and_always_acknowledged() {
        let mut responder = Responder::new();
        for (number, expected) in
            [(100, true), (100, false), (99, true), (99, false), (37, true), (36, false)]
        {
            assert_eq!(is_new(&mut responder, number), expected, "{number}");
        }
        assert!(is_new(&mut responder, 1 << 32));
        assert!(!is_new(&mut responder, 101));
        assert!(is_new(&mut responder, (1 << 32) + 1));
        assert!(!is_new(&mut responder, 1 << 32));
    }

    #[test]
    fn only_after_a_new_session_a_lower_boot_counter_starts_anew_once() {
        let mut responder = Responder::new();
        assert!(is_new(&mut responder, 7 << 32));
        assert!(!is_new(&mut responder, 3 << 32));
        responder.handle_session(SERVER);
        let number = Nonce(3 << 32);
        let version = responder.handle_push(SERVER, number, b"", Instant::ZERO).unwrap();
        assert_eq!((version.epoch, version.number), (1, 3 << 32));
        assert!(!is_new(&mut responder, 2 << 32));
        assert!(is_new(&mut responder, (3 << 32) + 1));
    }

    #[test]
    fn a_message_too_long_is_not_acknowledged() {
        let mut responder = Responder::new();
        responder.handle_push(SERVER, Nonce(1), &[0; MAX_MESSAGE + 1], Instant::ZERO);
        assert_eq!(responder.poll_acknowledgement(), None);
    }
}
