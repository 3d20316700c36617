//! Counts what passes the underlay router, by kind.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use linux::packet::{Capture, HARDWARE_ETHERNET};
use linux::poller::{Interest, Poller};

use super::place::Place;
use super::underlay::{Classifier, Kind, UnderlayCounts};

/// Enough of a frame to tell its kind: Ethernet, IPv6 with UDP, and the message's head.
const SNAP: usize = 96;
const ETHERNET_HEADER: usize = 14;
/// How soon the thread notices that it is to end.
const PATIENCE: Duration = Duration::from_millis(50);

/// Looks at all that comes into a machine until it is asked for the result.
#[derive(Debug)]
pub struct Observer {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<UnderlayCounts>>>,
}

impl Observer {
    /// Starts to look at everything that comes in by any device of `place`.
    ///
    /// # Errors
    /// When the kernel gives no packet socket.
    pub fn start(place: &Place, classifier: Classifier) -> io::Result<Observer> {
        let capture = place.inside(|| Capture::open(None))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let is_ended = Arc::clone(&is_over);
        let thread = thread::spawn(move || observe(&capture, &classifier, &is_ended));
        Ok(Observer { is_over, thread: Some(thread) })
    }

    /// Ends and says what was seen.
    ///
    /// # Errors
    /// When the packet socket failed.
    pub fn finish(mut self) -> io::Result<UnderlayCounts> {
        self.is_over.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(UnderlayCounts::default()) };
        thread.join().map_err(|_| io::Error::other("the observer panicked"))?
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn observe(
    capture: &Capture,
    classifier: &Classifier,
    is_over: &AtomicBool,
) -> io::Result<UnderlayCounts> {
    let mut poller = Poller::new()?;
    poller.add(capture, 0, Interest::Readable)?;
    let (mut counts, mut buffer) = (UnderlayCounts::default(), [0; SNAP]);
    loop {
        match capture.receive(&mut buffer) {
            Ok(frame) if frame.is_outgoing || frame.hardware != HARDWARE_ETHERNET => {}
            Ok(frame) => {
                let packet = buffer.get(ETHERNET_HEADER..frame.len).unwrap_or_default();
                counts.count(if is_ip(frame.protocol) {
                    classifier.classify(packet)
                } else {
                    Kind::Other
                });
            }
            Err(linux::TransferError::WouldBlock) => {
                if is_over.load(Ordering::Relaxed) {
                    counts.missed = capture.take_drops()?.into();
                    return Ok(counts);
                }
                let _ = poller.wait(Some(PATIENCE))?;
            }
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// EtherTypes of IPv4 and IPv6.
fn is_ip(protocol: u16) -> bool {
    protocol == 0x0800 || protocol == 0x86dd
}
