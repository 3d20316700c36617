//! Lets a sender know what arrived, so that it sends as fast as the way takes it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// Datagrams on their way: more than any stage works on at once, less than a queue on the way
/// holds (500 packets in a TUN device's).
const WINDOW: u64 = 256;
/// The sender goes on when as many have room.
const ROOM: u64 = WINDOW / 2;
/// What has not arrived after this time without any arrival is lost.
const LOST: Duration = Duration::from_millis(20);

/// What both ends of a run know. A machine with 32 bits counts to four billion datagrams, more than
/// it sends in a run.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// Numbers below this were sent.
    sent: AtomicUsize,
    /// Numbers below this arrived or are lost.
    settled: AtomicUsize,
    sender: OnceLock<Thread>,
}

impl Receipts {
    /// How many datagrams may follow `sent`; waits for room, at most until the rest is given up
    /// for lost. To be called by one thread.
    pub(super) fn wait_for_room(&self, sent: u64) -> u64 {
        let _ = self.sender.get_or_init(thread::current);
        self.sent.store(sent as usize, Ordering::SeqCst);
        let room = self.room(sent);
        if room >= ROOM {
            return room;
        }
        let settled = self.settled.load(Ordering::SeqCst);
        thread::park_timeout(LOST);
        if self.settled.load(Ordering::SeqCst) == settled {
            self.settled.fetch_max(sent as usize, Ordering::SeqCst);
        }
        self.room(sent)
    }

    /// Notes that a number arrived, and wakes the sender when there is room again.
    pub(super) fn note(&self, number: u64) {
        self.settled.fetch_max(number.saturating_add(1) as usize, Ordering::SeqCst);
        if self.room(self.sent.load(Ordering::SeqCst) as u64) >= ROOM
            && let Some(sender) = self.sender.get()
        {
            sender.unpark();
        }
    }

    fn room(&self, sent: u64) -> u64 {
        WINDOW.saturating_sub(sent.saturating_sub(self.settled.load(Ordering::SeqCst) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_waits_for_what_arrives_and_not_for_what_is_lost() {
        let receipts = Receipts::default();
        assert_eq!(receipts.wait_for_room(0), WINDOW);
        assert_eq!(receipts.wait_for_room(ROOM), WINDOW - ROOM);
        receipts.note(9);
        assert_eq!(receipts.room(ROOM), WINDOW - ROOM + 10);
        // Nothing arrives any more: the rest is lost.
        while receipts.wait_for_room(WINDOW) < WINDOW {}
        // Numbers that were lost do not hold back what follows.
        receipts.note(2 * WINDOW - 1);
        assert_eq!(receipts.wait_for_room(2 * WINDOW), WINDOW);
    }

    #[test]
    fn an_arrival_wakes_the_sender() {
        let receipts = Receipts::default();
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut sent = 0;
                while sent < 100 * WINDOW {
                    sent += receipts.wait_for_room(sent);
                }
                sent
            });
            let mut arrived = 0;
            while !sender.is_finished() {
                let sent = receipts.sent.load(Ordering::SeqCst) as u64;
                for number in arrived..sent {
                    receipts.note(number);
                }
                arrived = arrived.max(sent);
                thread::yield_now();
            }
            assert!(sender.join().unwrap() >= 100 * WINDOW);
        });
    }
}
