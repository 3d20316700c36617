//! Packets that wait for a mapping or a session, in memory that is taken at the start.

use control::{Duration, Eid, Instant};

use super::packet::Header;

/// A packet older than this is not worth sending: TCP has sent it again several times.
pub(crate) const WAITING_TIME: Duration = Duration::from_secs(10);

/// Packets in order of arrival; bounded per destination and in all.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    slots: Vec<Packet>,
    octets: Vec<u8>,
    slot_len: usize,
    /// Slots in use, in order of arrival.
    order: Vec<u16>,
    free: Vec<u16>,
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
    len: usize,
}

impl Waiting {
    /// Room for `total` packets of up to `slot_len` octets, `per_eid` for one destination.
    pub(crate) fn new(total: usize, per_eid: usize, slot_len: usize) -> Waiting {
        let total = u16::try_from(total).unwrap_or(u16::MAX);
        Waiting {
            slots: Vec::with_capacity(total.into()),
            octets: vec![0; usize::from(total) * slot_len],
            slot_len,
            order: Vec::with_capacity(total.into()),
            free: (0..total).rev().collect(),
            per_eid: per_eid.max(1),
        }
    }

    /// The longest packet that can wait.
    pub(crate) fn slot_len(&self) -> usize {
        self.slot_len
    }

    /// How many packets wait.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// What is known of each packet, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Packet> {
        self.order.iter().map(|slot| &self.slots[usize::from(*slot)])
    }

    /// When the control plane was told of a miss of this destination; not for ever, lest an answer
    /// that got lost stops a flow that never pauses.
    pub(crate) fn told_at(&self, destination: Eid, now: Instant) -> Option<Instant> {
        let of_destination = self.iter().filter(|packet| packet.destination == destination);
        let told_at = of_destination.filter_map(|packet| packet.told_at).max();
        told_at.filter(|told_at| now - *told_at < WAITING_TIME)
    }

    /// Adds a packet that fits a slot; says how many others had to leave for it. Where one
    /// destination has its share, its oldest leaves; where all is full, the oldest of all.
    pub(crate) fn push(
        &mut self,
        header: &Header,
        packet: &[u8],
        told_at: Option<Instant>,
        now: Instant,
    ) -> u64 {
        let mut dropped = 0;
        if self.count(header.destination) >= self.per_eid {
            dropped += self.drop_oldest(|packet| packet.destination == header.destination);
        } else if self.free.is_empty() {
            dropped += self.drop_oldest(|_| true);
        }
        let Some(slot) = self.free.pop() else { return dropped + 1 };
        let entry = Packet {
            source: header.source,
            destination: header.destination,
            arrived_at: now,
            told_at,
            len: packet.len().min(self.slot_len),
        };
        let index = usize::from(slot);
        if index >= self.slots.len() {
            self.slots.resize(index + 1, entry);
        }
        self.slots[index] = entry;
        self.octets[index * self.slot_len..][..entry.len].copy_from_slice(&packet[..entry.len]);
        self.order.push(slot);
        dropped
    }

    /// Shows every packet, the oldest first; those for which `keep` says no leave.
    pub(crate) fn sift(&mut self, mut keep: impl FnMut(&mut Packet, &[u8]) -> bool) {
        let Waiting { slots, octets, slot_len, order, free, .. } = self;
        order.retain(|slot| {
            let index = usize::from(*slot);
            let packet = &mut slots[index];
            let len = packet.len;
            let stays = keep(packet, &octets[index * *slot_len..][..len]);
            if !stays {
                free.push(*slot);
            }
            stays
        });
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
        for number in 0..100 {
            waiting.push(&header(number), &[0, number], Some(Instant::ZERO), Instant::ZERO);
            if number % 3 == 0 {
                waiting.sift(|packet, _| packet.destination == header(number).destination);
            }
        }
        assert!(waiting.len() <= 2 && waiting.slots.len() <= 2 && waiting.octets.len() == 4);
    }
}
