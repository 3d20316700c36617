//! Queueing disciplines: netem, which delays and loses what leaves by an interface.

use core::time::Duration;

use super::REQUEST_LEN;
use super::abi::{
    NLM_F_CREATE, NLM_F_REPLACE, RTM_DELQDISC, RTM_NEWQDISC, TC_H_ROOT, TCA_KIND, TCA_NETEM_RATE,
    TCA_OPTIONS,
};
use super::error::Error;
use super::message::Message;
use super::socket::Socket;

/// Octets of `struct tcmsg`.
const HEADER_LEN: usize = 20;
/// Octets of `struct tc_netem_qopt`.
const OPTIONS_LEN: usize = 24;
/// Octets of `struct tc_netem_rate`.
const RATE_LEN: usize = 16;
/// Nanoseconds of the packet scheduler's tick (`PSCHED_SHIFT`).
const TICK_NANOS: u128 = 64;

/// What netem does to the packets that leave by an interface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Netem {
    /// How long each is held back, in steps of 64 ns and for 274 s at most.
    pub delay: Duration,
    /// The share that is lost, from 0 to 1.
    pub loss: f64,
    /// Octets per second, 34 Gbit/s at most; `None` is as fast as they come.
    pub rate: Option<u64>,
    /// Packets that are held back at once; more are lost.
    pub limit: u32,
}

impl Default for Netem {
    /// Neither delay nor loss, and the limit that `tc` has.
    fn default() -> Self {
        Self { delay: Duration::ZERO, loss: 0.0, rate: None, limit: 1000 }
    }
}

impl Netem {
    fn put(&self, message: &mut Message<'_>) {
        let ticks = u32::try_from(self.delay.as_nanos() / TICK_NANOS).unwrap_or(u32::MAX);
        let loss = (self.loss.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32;
        // struct tc_netem_qopt: latency, limit, loss, gap, duplicate, jitter.
        let mut options = [0; OPTIONS_LEN];
        options[..4].copy_from_slice(&ticks.to_ne_bytes());
        options[4..8].copy_from_slice(&self.limit.to_ne_bytes());
        options[8..12].copy_from_slice(&loss.to_ne_bytes());
        message.put(&options);
        // struct tc_netem_rate: rate, then overheads of packets and cells. Without it the rate stays
        // that was; 0 is none.
        let rate = self.rate.map_or(0, |rate| u32::try_from(rate).unwrap_or(u32::MAX));
        let mut value = [0; RATE_LEN];
        value[..4].copy_from_slice(&rate.to_ne_bytes());
        message.attribute(TCA_NETEM_RATE, &value);
    }
}

impl Socket {
    /// Has an interface delay and lose what leaves by it; replaces the queueing discipline at its
    /// root.
    ///
    /// # Errors
    /// As `request`; `is_unsupported` when the kernel has no netem.
    pub fn replace_netem(&mut self, index: u32, netem: &Netem) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        self.request(netem_message(&mut buffer, index, netem))
    }

    /// Gives an interface back the queueing discipline that it begins with.
    ///
    /// # Errors
    /// As `request`; `is_missing` when it has that one.
    pub fn delete_root_qdisc(&mut self, index: u32) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        self.request(deletion_message(&mut buffer, index))
    }
}

pub(super) fn netem_message<'b>(buffer: &'b mut [u8], index: u32, netem: &Netem) -> Message<'b> {
    let mut message = Message::new(buffer, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE);
    message.put(&header(index)).attribute_text(TCA_KIND, "netem");
    // The fixed structure comes first, and no flag marks what follows it as nested.
    message.unmarked(TCA_OPTIONS, |options| netem.put(options));
    message
}

pub(super) fn deletion_message(buffer: &mut [u8], index: u32) -> Message<'_> {
    let mut message = Message::new(buffer, RTM_DELQDISC, 0);
    message.put(&header(index));
    message
}

/// `struct tcmsg`: family and padding, index, handle, parent, info.
fn header(index: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[12..16].copy_from_slice(&TC_H_ROOT.to_ne_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::super::message::native;
    use super::*;

    /// A request of RTM_NEWQDISC with acknowledgement for the interface 7, without its length.
    const REPLACE: &str = "0024 0505 00000009 00000000 =00000000 00000007 00000000 ffffffff \
                           00000000 000a 0001 =6e6574656d00 =0000";

    fn octets(netem: &Netem) -> Vec<u8> {
        let mut buffer = [0xaa; 128];
        netem_message(&mut buffer, 7, netem).finish(5, 9).expect("it fits").to_vec()
    }

    /// As `tc qdisc replace dev DEVICE root netem` of iproute2 6.1 sends them, but with a rate of 0
    /// where it sends none.
    #[test]
    fn requests_are_those_of_tc() {
        let delay = Duration::from_millis(5);
        let expected = format!(
            "00000060 {REPLACE} 0030 0002 0001312d 000003e8 00000000 00000000 00000000 00000000 \
             0014 0006 00000000 00000000 00000000 00000000"
        );
        assert_eq!(octets(&Netem { delay, ..Netem::default() }), native(&expected));
        let expected = format!(
            "00000060 {REPLACE} 0030 0002 0001312d 000001f4 06666666 00000000 00000000 00000000 \
             0014 0006 002625a0 00000000 00000000 00000000"
        );
        let netem = Netem { delay, loss: 0.025, rate: Some(2_500_000), limit: 500 };
        assert_eq!(octets(&netem), native(&expected));
        let mut buffer = [0xaa; 128];
        let mut message = deletion_message(&mut buffer, 7);
        let expected = "00000024 0025 0005 00000009 00000000 =00000000 00000007 00000000 ffffffff \
                        00000000";
        assert_eq!(message.finish(5, 9), Ok(&native(expected)[..]));
    }

    #[test]
    fn what_is_beyond_the_numbers_is_the_most_there_is() {
        let netem =
            Netem { delay: Duration::MAX, loss: 2.0, rate: Some(u64::MAX), limit: u32::MAX };
        let octets = octets(&netem);
        let most = native("ffffffff ffffffff ffffffff");
        assert_eq!(octets[52..64], most);
        assert_eq!(octets[80..84], most[..4]);
        assert_eq!(self::octets(&Netem { loss: f64::NAN, ..netem })[60..64], [0; 4]);
    }
}
