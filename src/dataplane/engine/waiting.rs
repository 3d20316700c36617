//! Packets that wait for a mapping or a session, in memory that is taken at the start.

use control::{Duration, Eid, Instant};

use super::packet::Header;

/// A packet older than this is not worth sending: TCP has sent it again several times.
pub(crate) const WAITING_TIME: Duration = Duration::from_secs(10);

/// Octets that there is room for, for each packet that may wait: what begins a flow is short.
const SHARE: usize = 448;

/// Packets in order of arrival; bounded per destination and in all.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    packets: Vec<Packet>,
    /// Their octets, in the same order, with gaps where packets left.
    octets: Box<[u8]>,
    /// Where the octets of the newest packet end.
    end: usize,
    longest: usize,
    per_eid: usize,
}

/// What is known of a packet that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) source: Eid,
    pub(crate) destination: Eid,
    pub(crate) arrived_at: Instant,
    /// When the control plane was told that its destination has no route, if it was.
    pub(crate) told_at: Option<Instant>,
    start: usize,
    len: usize,
}

impl Waiting {
    /// Room for `total` packets of up to `longest` octets, `per_eid` for one destination.
    pub(crate) fn new(total: usize, per_eid: usize, longest: usize) -> Waiting {
        Waiting {
            packets: Vec::with_capacity(total),
            octets: vec![0; total * SHARE.min(longest) + longest].into_boxed_slice(),
            end: 0,
            longest,
            per_eid: per_eid.max(1),
        }
    }

    /// The longest packet that can wait.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// How many packets wait.
    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// What is known of each packet, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Packet> {
        self.packets.iter()
    }

    /// When the control plane was told of a miss of this destination; not for ever, lest an answer
    /// that got lost stops a flow that never pauses.
    pub(crate) fn told_at(&self, destination: Eid, now: Instant) -> Option<Instant> {
        let of_destination = self.iter().filter(|packet| packet.destination == destination);
        let told_at = of_destination.filter_map(|packet| packet.told_at).max();
        told_at.filter(|told_at| now - *told_at < WAITING_TIME)
    }

    /// Adds a packet that is not too long; says how many others had to leave for it. Where one
    /// destination has its share, its oldest leaves; where all is full, the oldest of all.
    pub(crate) fn push(
        &mut self,
        header: &Header,
        packet: &[u8],
        told_at: Option<Instant>,
        now: Instant,
    ) -> u64 {
        let packet = &packet[..packet.len().min(self.longest)];
        let mut dropped = 0;
        if self.count(header.destination) >= self.per_eid {
            dropped += self.drop_oldest(|packet| packet.destination == header.destination);
        } else if self.packets.len() == self.packets.capacity() {
            dropped += self.drop_oldest(|_| true);
        }
        if self.end + packet.len() > self.octets.len() {
            dropped += self.close_gaps();
        }
        let room = self.octets.get_mut(self.end..self.end + packet.len());
        let Some(room) = room.filter(|_| self.packets.len() < self.packets.capacity()) else {
            return dropped + 1;
        };
        room.copy_from_slice(packet);
        self.packets.push(Packet {
            source: header.source,
            destination: header.destination,
            arrived_at: now,
            told_at,
            start: self.end,
            len: packet.len(),
        });
        self.end += packet.len();
        dropped
    }

    /// Moves all packets to the front. The oldest leave until there is room for one more, and so much
    /// that this is not done again soon: how many.
    fn close_gaps(&mut self) -> u64 {
        let enough = (self.octets.len() - self.longest) * 3 / 4;
        let mut held: usize = self.packets.iter().map(|packet| packet.len).sum();
        let mut dropped = 0;
        while held > enough {
            held -= self.packets[dropped].len;
            dropped += 1;
        }
        self.packets.drain(..dropped);
        self.end = 0;
        for packet in &mut self.packets {
            self.octets.copy_within(packet.start..packet.start + packet.len, self.end);
            packet.start = self.end;
            self.end += packet.len;
        }
        dropped as u64
    }

    /// Shows every packet, the oldest first; those for which `keep` says no leave.
    pub(crate) fn sift(&mut self, mut keep: impl FnMut(&mut Packet, &[u8]) -> bool) {
        let Waiting { packets, octets, end, .. } = self;
        packets.retain_mut(|packet| {
            let (start, len) = (packet.start, packet.len);
            keep(packet, &octets[start..start + len])
        });
        if packets.is_empty() {
            *end = 0;
        }
    }

    /// When the oldest has waited for too long.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.iter().next().map(|packet| packet.arrived_at + WAITING_TIME)
    }

    fn count(&self, destination: Eid) -> usize {
        self.iter().filter(|packet| packet.destination == destination).count()
    }

    fn drop_oldest(&mut self, is_victim: impl Fn(&Packet) -> bool) -> u64 {
        let mut dropped = 0;
        self.sift(|packet, _| {
            let leaves = dropped == 0 && is_victim(packet);
            dropped += u64::from(leaves);
            !leaves
        });
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::InstanceId;
    use core::net::{IpAddr, Ipv4Addr};

    fn header(host: u8) -> Header {
        let eid = |host| Eid {
            instance_id: InstanceId(0),
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)),
        };
        Header { source: eid(0), destination: eid(host), len: 2 }
    }

    fn numbers(waiting: &mut Waiting) -> Vec<u8> {
        let mut numbers = Vec::new();
        waiting.sift(|_, packet| {
            numbers.push(packet[1]);
            true
        });
        numbers
    }

    #[test]
    fn one_destination_keeps_its_newest_packets_in_order() {
        let mut waiting = Waiting::new(8, 3, 2);
        for number in 0..5 {
            let dropped =
                waiting.push(&header(1), &[0, number], Some(Instant::ZERO), Instant::ZERO);
            assert_eq!(dropped, u64::from(number > 2));
        }
        assert_eq!(numbers(&mut waiting), [2, 3, 4]);
    }

    #[test]
    fn a_full_store_drops_the_oldest_of_all() {
        let mut waiting = Waiting::new(4, 3, 2);
        for (number, host) in [1, 2, 2, 2].into_iter().enumerate() {
            waiting.push(&header(host), &[0, number as u8], Some(Instant::ZERO), Instant::ZERO);
        }
        assert_eq!(waiting.push(&header(3), &[0, 9], Some(Instant::ZERO), Instant::ZERO), 1);
        assert_eq!(numbers(&mut waiting), [1, 2, 3, 9]);
    }

    #[test]
    fn packets_that_leave_make_room_and_memory_does_not_grow() {
        let mut waiting = Waiting::new(2, 2, 2);
        let (packets, octets) = (waiting.packets.capacity(), waiting.octets.len());
        for number in 0..100 {
            waiting.push(&header(number), &[0, number], Some(Instant::ZERO), Instant::ZERO);
            if number % 3 == 0 {
                waiting.sift(|packet, _| packet.destination == header(number).destination);
            }
        }
        assert!(waiting.len() <= 2);
        assert_eq!((waiting.packets.capacity(), waiting.octets.len()), (packets, octets));
    }

    /// Packets of any length come and leave in any order; what is left is whole and in order, and
    /// none that there was room for is missing.
    #[test]
    fn gaps_are_closed_and_no_octet_is_lost() {
        const LONGEST: usize = 1500;
        let mut waiting = Waiting::new(32, 32, LONGEST);
        let mut model: Vec<Vec<u8>> = Vec::new();
        let mut random = crate::engine::Random::new(7);
        for number in 0..20_000u32 {
            let len = 1 + random.below(LONGEST as u64) as usize;
            let packet: Vec<u8> = (0..len).map(|at| (number as usize + at) as u8).collect();
            let host = random.below(4) as u8;
            let dropped = waiting.push(&header(host), &packet, None, Instant::ZERO);
            model.drain(..dropped as usize);
            model.push(packet);
            assert!(dropped == 0 || waiting.len() >= 8, "{} of {LONGEST} at most", waiting.len());
            let leaves = random.below(8);
            let mut place = 0;
            waiting.sift(|_, _| {
                place += 1;
                (number + place) % 8 != leaves as u32
            });
            let mut place = 0;
            model.retain(|_| {
                place += 1;
                (number + place) % 8 != leaves as u32
            });
            let mut held = Vec::new();
            waiting.sift(|_, packet| {
                held.push(packet.to_vec());
                true
            });
            assert!(held == model, "after {number}");
        }
    }
}
