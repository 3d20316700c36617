//! The engine's output on Linux: a TUN device, and UDP sockets of both families.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use linux::netlink;
use linux::tun::{self, Tun};
use linux::udp::{self, ReceiveBatch, SendBatch, Socket};
use linux::{Errno, TransferError};

use super::coalesce::Coalescer;
use super::{DataConfig, Offload, Source, UserspaceError};
use crate::engine::{DATA_OVERHEAD, Interface, Io, LONGEST_DATAGRAM};

/// Datagrams sent or received in one system call; of more, each one's share of it is small already.
const BATCH: usize = 16;

/// As many of data, sent where the kernel takes apart what is joined: two such messages.
const JOINED_SENT: usize = 96;

/// Messages of joined datagrams received in one system call.
const JOINED_BATCH: usize = 4;

/// The longest message of joined datagrams.
const JOINED: usize = 1 << 16;

/// Decrypted packets held until they are written to the TUN, where the kernel takes trains of them;
/// else there is nothing to be had by holding many.
const PACKETS: u16 = 256;
const PACKETS_LEN: usize = 116 * 1024;
const FEW_PACKETS_LEN: usize = 32 * 1024;

/// Held packets are written when they are this long, so that there is room for those of one more
/// joined message.
const PACKETS_ENOUGH: usize = 48 * 1024;

/// How long a full socket may hold up the packets from the TUN, in milliseconds.
const SEND_PATIENCE: u16 = 1;

/// The longest packet taken from the TUN where the kernel gives trains; else as long as a datagram,
/// as its MTU may have been raised.
const TRAIN: usize = 1 << 16;

/// What the kernel did not take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SocketCounters {
    /// Datagrams lost because the socket's buffer was full.
    pub send_full: u64,
    /// Datagrams lost because there was no way to their destination.
    pub send_failed: u64,
    /// Messages of several datagrams that the kernel did not take, so that they went one by one.
    pub send_apart: u64,
    /// Packets that the TUN device did not take.
    pub tun_failed: u64,
    /// Packets from the TUN device whose header did not fit them.
    pub tun_malformed: u64,
    /// Errors on receiving: mostly ICMP about what was sent earlier.
    pub receive_failed: u64,
}

/// A socket, and what is to leave by it.
pub(super) struct Port {
    interface: Interface,
    is_v6: bool,
    socket: Socket,
    batch: SendBatch,
}

impl Port {
    pub(super) fn source(&self) -> Source {
        Source::Socket { interface: self.interface, is_v6: self.is_v6 }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sockets, TUN device and buffers.
pub struct LinuxIo {
    pub(super) tun: Option<Tun>,
    pub(super) sockets: Vec<Port>,
    pub(super) received: Option<ReceiveBatch>,
    pub(super) packet: Box<[u8]>,
    pub(super) counters: SocketCounters,
    pub(super) offload: Offload,
    /// What is to be written to the TUN.
    packets: Coalescer,
    /// The port that room was lent by, and where to.
    lent: Option<(usize, SocketAddr)>,
    /// Datagrams given to sockets so far.
    sent: u64,
}

impl LinuxIo {
    pub(super) fn open(
        control_port: u16,
        data: Option<&DataConfig>,
        fwmark: u32,
        mtu: u16,
        wanted: Offload,
    ) -> Result<LinuxIo, UserspaceError> {
        let mut offload = Offload::default();
        let mut sockets = Vec::with_capacity(4);
        let slot_len = usize::from(mtu).max(1500) + DATA_OVERHEAD;
        let batch = || SendBatch::new(BATCH, slot_len);
        bind(&mut sockets, Interface::Control, control_port, fwmark, batch)?;
        let (mut tun, mut packets_len, mut packet_len) = (None, 0, 0);
        if let Some(data) = data {
            let udp = found(wanted.udp);
            let count = if udp.splits { JOINED_SENT } else { BATCH };
            let batch = || SendBatch::new(count, slot_len);
            bind(&mut sockets, Interface::Data, data.port, fwmark, batch)?;
            let (device, tun_offload) = open_tun(&data.tun_name, mtu, wanted.tun)?;
            tun = Some(device);
            offload = Offload { tun: tun_offload, udp: offload_sockets(&mut sockets, udp) };
            (packets_len, packet_len) = match tun_offload == tun::Offload::default() {
                true => (FEW_PACKETS_LEN, LONGEST_DATAGRAM),
                false => (PACKETS_LEN, TRAIN),
            };
            packet_len += tun::VIRTIO_HEADER_LEN;
        }
        let (count, slot_len) = match offload.udp.joins {
            true => (JOINED_BATCH, JOINED),
            false => (BATCH, LONGEST_DATAGRAM),
        };
        Ok(LinuxIo {
            packets: Coalescer::new(packets_len, PACKETS, offload.tun),
            tun,
            sockets,
            received: Some(ReceiveBatch::new(count, slot_len)),
            packet: vec![0; packet_len].into_boxed_slice(),
            counters: SocketCounters::default(),
            offload,
            lent: None,
            sent: 0,
        })
    }

    pub(super) fn port(&self, interface: Interface) -> Option<u16> {
        let port = self.sockets.iter().find(|port| port.interface == interface)?;
        port.socket.local_address().ok().map(|address| address.port())
    }

    /// Receives datagrams; says whether there were any.
    pub(super) fn receive(
        &mut self,
        interface: Interface,
        is_v6: bool,
        batch: &mut ReceiveBatch,
    ) -> bool {
        let Some(port) = self.sockets.iter().find(|port| is_port(port, interface, is_v6)) else {
            return false;
        };
        match port.socket.receive_batch(batch) {
            Ok(count) => count > 0,
            Err(TransferError::WouldBlock) => false,
            Err(_) => {
                self.counters.receive_failed += 1;
                false
            }
        }
    }

    /// Writes the packets that were decrypted, once there are so many that more would not be
    /// joined to them.
    pub(super) fn write_some(&mut self) {
        if self.packets.len() >= PACKETS_ENOUGH {
            self.write_packets();
        }
    }

    /// Datagrams given to sockets so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    fn write_packets(&mut self) {
        if self.packets.is_empty() {
            return;
        }
        let (tun, counters) = (&self.tun, &mut self.counters);
        let mut refused = None;
        self.packets.drain(|parts, kind, count| {
            let error = match tun {
                Some(tun) => tun.send_vectored(parts).err(),
                None => Some(TransferError::WouldBlock),
            };
            counters.tun_failed += if error.is_some() { count as u64 } else { 0 };
            if error == Some(TransferError::Failed(Errno::EINVAL)) {
                refused = kind.or(refused);
            }
        });
        // The kernel takes long packets of some kinds only; TCP sends the lost ones again.
        if let Some(kind) = refused {
            self.packets.disable(kind);
        }
    }
}

impl Io for LinuxIo {
    fn send_udp(&mut self, interface: Interface, to: SocketAddr, datagram: &[u8]) {
        match self.lend_datagram(interface, to, datagram.len()) {
            Some(room) => {
                room.copy_from_slice(datagram);
                self.send_lent(datagram.len());
            }
            None => self.counters.send_failed += 1,
        }
    }

    fn write_tun(&mut self, packet: &[u8]) {
        match self.lend_packet(packet.len()) {
            Some(room) => {
                room.copy_from_slice(packet);
                self.write_lent(packet.len());
            }
            None => self.counters.tun_failed += 1,
        }
    }

    fn lend_datagram(
        &mut self,
        interface: Interface,
        to: SocketAddr,
        len: usize,
    ) -> Option<&mut [u8]> {
        let is_v6 = to.is_ipv6();
        let index = self.sockets.iter().position(|port| is_port(port, interface, is_v6))?;
        let port = &mut self.sockets[index];
        if port.batch.is_full() {
            send(port, &mut self.counters);
        }
        self.lent = Some((index, to));
        port.batch.lend(len)
    }

    fn send_lent(&mut self, len: usize) {
        if let Some((index, to)) = self.lent.take() {
            self.sockets[index].batch.commit(to, len);
            self.sent += 1;
        }
    }

    fn lend_packet(&mut self, len: usize) -> Option<&mut [u8]> {
        if self.packets.lend(len).is_none() {
            self.write_packets();
        }
        self.packets.lend(len)
    }

    fn write_lent(&mut self, len: usize) {
        self.packets.commit(len);
    }

    fn flush(&mut self) {
        for port in &mut self.sockets {
            send(port, &mut self.counters);
        }
        self.write_packets();
    }
}

fn is_port(port: &Port, interface: Interface, is_v6: bool) -> bool {
    port.interface == interface && port.is_v6 == is_v6
}

/// Sends what a port holds; a datagram that the kernel refuses is lost, the others go on. While
/// the socket is full nothing more is read from the TUN, whose queue is where packets that do not
/// fit are lost cheapest; but not for long, as datagrams wait to be received.
fn send(port: &mut Port, counters: &mut SocketCounters) {
    let mut patience = SEND_PATIENCE;
    while !port.batch.is_empty() {
        match port.socket.send_batch(&mut port.batch) {
            Ok(_) => {}
            Err(TransferError::WouldBlock) => {
                if patience > 0 && port.socket.wait_writable(patience) {
                    patience -= 1;
                    continue;
                }
                counters.send_full += port.batch.len() as u64;
                port.batch.clear();
            }
            Err(_) => {
                counters.send_failed += 1;
                port.batch.skip();
            }
        }
    }
    counters.send_apart += port.batch.take_refusals();
}

/// What of that the kernel does.
fn found(wanted: udp::Offload) -> udp::Offload {
    if !wanted.splits && !wanted.joins {
        return udp::Offload::default();
    }
    let found = udp::Offload::probe();
    udp::Offload { splits: wanted.splits && found.splits, joins: wanted.joins && found.joins }
}

/// Has the kernel split and join datagrams of the data sockets.
fn offload_sockets(ports: &mut [Port], found: udp::Offload) -> udp::Offload {
    let udp::Offload { splits, joins } = found;
    let mut is_joining = false;
    for port in ports.iter_mut().filter(|port| port.interface == Interface::Data) {
        port.batch.set_segmenting(splits);
        is_joining |= joins && port.socket.set_joining(true).is_ok();
    }
    udp::Offload { splits, joins: is_joining }
}

/// Binds both families to one port; a machine without IPv6 has IPv4 alone.
fn bind(
    ports: &mut Vec<Port>,
    interface: Interface,
    port: u16,
    fwmark: u32,
    batch: impl Fn() -> SendBatch,
) -> Result<(), UserspaceError> {
    let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let socket = open(v4, fwmark)?;
    let chosen = socket.local_address().map_err(|error| UserspaceError::Bind(v4, error))?.port();
    ports.push(Port { interface, is_v6: false, socket, batch: batch() });
    let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), chosen);
    match open(v6, fwmark) {
        Ok(socket) => ports.push(Port { interface, is_v6: true, socket, batch: batch() }),
        Err(UserspaceError::Bind(_, error)) if has_no_ipv6(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn has_no_ipv6(error: &std::io::Error) -> bool {
    let missing = [linux::Errno::EAFNOSUPPORT, linux::Errno::EADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|code| missing.iter().any(|errno| *errno as i32 == code))
}

fn open(address: SocketAddr, fwmark: u32) -> Result<Socket, UserspaceError> {
    let socket = Socket::bind(address).map_err(|error| UserspaceError::Bind(address, error))?;
    if fwmark != 0 {
        socket.set_mark(fwmark).map_err(UserspaceError::Mark)?;
    }
    Ok(socket)
}

fn open_tun(
    name: &str,
    mtu: u16,
    wanted: tun::Offload,
) -> Result<(Tun, tun::Offload), UserspaceError> {
    let (tun, offload) = Tun::open_with_header(name, wanted)
        .map_err(|error| UserspaceError::Tun(name.to_owned(), error))?;
    let link = |error| UserspaceError::Link(name.to_owned(), error);
    let mut netlink = netlink::Socket::open().map_err(link)?;
    if netlink.link(tun.name()).map_err(link)?.mtu != u32::from(mtu) {
        netlink.set_link_mtu(tun.index(), mtu.into()).map_err(link)?;
    }
    netlink.set_link_up(tun.index()).map_err(link)?;
    Ok((tun, offload))
}
