//! Packets for the TUN device, those that follow one another in a flow joined to long ones.
//!
//! Packets lie in one buffer as they were decrypted. A train of them is written by its first
//! packet, whose header speaks for all, and the payloads of the others: no payload is copied.

use std::io::IoSlice;

use linux::tun::{Offload, VIRTIO_HEADER_LEN};

use super::flow::{Flow, Place};
use super::virtio::{Header, Kind};

/// Packets in one train.
const MAX_PACKETS: usize = 64;

/// A train's octets, headers included.
const MAX_LEN: usize = 65535;

/// Trains that wait for further packets; others make way.
const MAX_OPEN: usize = 16;

/// The parts of one write at most: the virtio header, and a part per packet.
const MAX_PARTS: usize = MAX_PACKETS + 1;

/// Room for packets, and how they are to be written.
pub(super) struct Coalescer {
    offload: Offload,
    octets: Box<[u8]>,
    end: usize,
    pieces: Vec<Piece>,
    trains: Vec<Train>,
}

/// One packet, and the one after it in its train.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    len: usize,
    next: Option<u16>,
}

struct Train {
    first: u16,
    last: u16,
    count: usize,
    /// Of the whole train as one packet.
    len: usize,
    /// What a packet must follow to be joined; `None` when none may.
    flow: Option<Flow>,
    /// Payload of each packet but the last.
    segment_len: usize,
    is_open: bool,
    /// Whether the checksum of the first packet was found right.
    is_verified: bool,
}

impl Coalescer {
    /// Allocates room for `octets` of at most `packets` packets.
    pub(super) fn new(octets: usize, packets: u16, offload: Offload) -> Coalescer {
        Coalescer {
            offload,
            octets: vec![0; octets].into_boxed_slice(),
            end: 0,
            pieces: Vec::with_capacity(packets.into()),
            trains: Vec::with_capacity(packets.into()),
        }
    }

    /// Packets of this kind are not joined any more.
    pub(super) fn disable(&mut self, kind: Kind) {
        match kind {
            Kind::TcpV4 | Kind::TcpV6 => self.offload.tcp = false,
            Kind::Udp => self.offload.udp = false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Octets held.
    pub(super) fn len(&self) -> usize {
        self.end
    }

    /// Room for a packet; `None` when there is none before the trains are written.
    pub(super) fn lend(&mut self, len: usize) -> Option<&mut [u8]> {
        if self.pieces.len() == self.pieces.capacity() {
            return None;
        }
        self.octets.get_mut(self.end..self.end.checked_add(len)?)
    }

    /// Takes the packet in the first `len` octets of what was lent last.
    pub(super) fn commit(&mut self, len: usize) {
        let start = self.end;
        let Some(packet) = self.octets.get(start..start + len) else { return };
        // Word-aligned packets are decrypted and summed faster.
        self.end = (start + len).next_multiple_of(16).min(self.octets.len());
        let flow = Flow::parse(packet).filter(|flow| match flow.is_tcp() {
            true => self.offload.tcp,
            false => self.offload.udp,
        });
        let index = self.pieces.len() as u16;
        self.pieces.push(Piece { start, len, next: None });
        if !self.join(index, flow.as_ref()) {
            let segment_len = flow.as_ref().map_or(0, |flow| len - flow.header_len());
            self.trains.push(Train {
                first: index,
                last: index,
                count: 1,
                len,
                is_open: flow.as_ref().is_some_and(|flow| !flow.ends_train()),
                flow,
                segment_len,
                is_verified: false,
            });
        }
    }

    /// Writes every train, in the order of their first packets, and forgets them. `write` is given
    /// the parts of a write, the kind of a train of several packets, and their number.
    pub(super) fn drain(&mut self, mut write: impl FnMut(&[IoSlice<'_>], Option<Kind>, usize)) {
        for train in &self.trains {
            let header = match &train.flow {
                Some(flow) if train.count > 1 => {
                    let Piece { start, len, .. } = self.pieces[usize::from(train.first)];
                    let last = self.pieces[usize::from(train.last)];
                    let last_flags = flow.flags(&self.octets[last.start..]);
                    flow.write_header(&mut self.octets[start..start + len], train.len, last_flags);
                    flow.virtio_header(train.segment_len)
                }
                _ => Header::default(),
            };
            let octets: [u8; VIRTIO_HEADER_LEN] = header.emit();
            let mut parts = [IoSlice::new(&[]); MAX_PARTS];
            parts[0] = IoSlice::new(&octets);
            let mut next = Some(train.first);
            for (number, part) in parts[1..=train.count].iter_mut().enumerate() {
                let Some(piece) = next.map(|index| self.pieces[usize::from(index)]) else { break };
                let skipped = match &train.flow {
                    Some(flow) if number > 0 => flow.header_len(),
                    _ => 0,
                };
                *part = IoSlice::new(&self.octets[piece.start + skipped..piece.start + piece.len]);
                next = piece.next;
            }
            let kind = header.split.map(|(kind, _)| kind);
            write(&parts[..=train.count], kind, train.count);
        }
        self.trains.clear();
        self.pieces.clear();
        self.end = 0;
    }

    /// Appends a packet to the train of its flow. No train of its flow is open afterwards when it
    /// does not fit, so that the flow's packets stay in order.
    fn join(&mut self, index: u16, flow: Option<&Flow>) -> bool {
        let Coalescer { octets, pieces, trains, .. } = self;
        let Piece { start, len, .. } = pieces[usize::from(index)];
        let packet = &octets[start..start + len];
        let place = Place::of(packet);
        let mut open = 0;
        for train in trains.iter_mut().rev().filter(|train| train.is_open) {
            let Some(train_flow) = &train.flow else { continue };
            let first = pieces[usize::from(train.first)];
            let first_packet = &octets[first.start..first.start + first.len];
            open += 1;
            if open > MAX_OPEN {
                train.is_open = false;
            } else if place.is_some_and(|place| !place.may_be_of(packet, first_packet)) {
                continue;
            } else if let Some(flow) = flow
                && train.takes(train_flow, flow, first_packet, packet)
            {
                let last = usize::from(core::mem::replace(&mut train.last, index));
                train.append(flow, len);
                pieces[last].next = Some(index);
                return true;
            } else {
                train.is_open = false;
            }
        }
        false
    }
}

impl Train {
    /// Whether a packet continues the train, its checksum and that of the first being right.
    fn takes(&self, own: &Flow, flow: &Flow, first: &[u8], packet: &[u8]) -> bool {
        let payload_len = packet.len() - flow.header_len();
        self.count < MAX_PACKETS
            && self.len + payload_len <= MAX_LEN
            && (1..=self.segment_len).contains(&payload_len)
            && flow.continues(own, packet, first, self.count, self.len - own.header_len())
            && (self.is_verified || own.is_checksum_right(first))
            && flow.is_checksum_right(packet)
    }

    fn append(&mut self, flow: &Flow, len: usize) {
        let payload_len = len - flow.header_len();
        self.is_verified = true;
        self.count += 1;
        self.len += payload_len;
        self.is_open = payload_len == self.segment_len && !flow.ends_train();
    }
}

#[cfg(test)]
impl Coalescer {
    /// The trains as the kernel would get them.
    pub(super) fn written(&mut self) -> Vec<Vec<u8>> {
        let mut written = Vec::new();
        self.drain(|parts, _, _| {
            written.push(parts.iter().flat_map(|part| part.iter().copied()).collect());
        });
        written
    }

    pub(super) fn push(&mut self, packet: &[u8]) {
        self.lend(packet.len()).expect("room").copy_from_slice(packet);
        self.commit(packet.len());
    }
}
