//! What the kernel does with many datagrams as one message, found out by sending some to oneself.

use core::net::{Ipv4Addr, SocketAddr};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::{ReceiveBatch, SendBatch, Socket};
use crate::namespace::NetworkNamespace;
use crate::netlink;
use crate::poller::{Interest, Poller};
use crate::transfer::TransferError;

/// Datagrams of the probe; two messages of the same length would tell less.
const LENS: [usize; 2] = [700, 300];

/// How long a datagram may take over the loopback interface.
const PATIENCE: Duration = Duration::from_millis(100);

/// Which joined datagrams the kernel understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offload {
    /// It takes a message apart into datagrams (UDP_SEGMENT).
    pub splits: bool,
    /// It hands over datagrams joined, and tells where they end (UDP_GRO).
    pub joins: bool,
}

impl Offload {
    /// Sends datagrams over the loopback interface and looks at what arrives. Where that
    /// interface is down, a namespace of its own serves. A kernel or an emulator that takes the
    /// options and does not act on them has neither.
    #[must_use]
    pub fn probe() -> Self {
        let isolated = |_| {
            let namespace = NetworkNamespace::create()?;
            namespace.run(|| {
                let mut netlink = netlink::Socket::open().map_err(io::Error::other)?;
                let loopback = netlink.link_index("lo").map_err(io::Error::other)?;
                netlink.set_link_up(loopback).map_err(io::Error::other)?;
                Self::probe_here()
            })?
        };
        Self::probe_here().or_else(isolated).unwrap_or_default()
    }

    fn probe_here() -> io::Result<Self> {
        let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let (from, to) = (Socket::bind(any)?, Socket::bind(any)?);
        let splits = exchange(&from, &to)? == [(LENS[0], None), (LENS[1], None)];
        if !splits || to.set_joining(true).is_err() {
            return Ok(Self { splits, joins: false });
        }
        let joins = exchange(&from, &to)? == [(LENS[0] + LENS[1], Some(LENS[0]))];
        Ok(Self { splits, joins })
    }
}

/// Sends one message of two datagrams: the length of each message that arrives, and of the
/// datagrams that it says it has.
fn exchange(from: &Socket, to: &Socket) -> io::Result<Vec<(usize, Option<usize>)>> {
    let mut out = SendBatch::new(LENS.len(), LENS[0]);
    out.set_segmenting(true);
    let address = to.local_address()?;
    for len in LENS {
        out.push(&[7; LENS[0]][..len], address);
    }
    from.send_batch(&mut out)?;
    if out.take_refusals() > 0 {
        return Ok(Vec::new());
    }
    let mut poller = Poller::new()?;
    poller.add(to.as_fd(), 0, Interest::Readable)?;
    let mut batch = ReceiveBatch::new(LENS.len() + 1, 2 * LENS[0]);
    let mut seen = Vec::new();
    while seen.iter().map(|(len, _)| len).sum::<usize>() < LENS.iter().sum()
        && poller.wait(Some(PATIENCE))?.len() > 0
    {
        match to.receive_batch(&mut batch) {
            Ok(count) => seen.extend((0..count).filter_map(|index| {
                let segment_len = batch.segment_len(index);
                Some((batch.datagram(index)?.0.len(), segment_len))
            })),
            Err(TransferError::WouldBlock) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(seen)
}
