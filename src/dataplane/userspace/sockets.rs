//! The engine's output on Linux: a TUN device, and UDP sockets of both families.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use linux::TransferError;
use linux::netlink;
use linux::tun::Tun;
use linux::udp::{ReceiveBatch, SendBatch, Socket};

use super::{DataConfig, Source, UserspaceError};
use crate::engine::{DATA_OVERHEAD, Interface, Io};

/// Datagrams or packets handled at a time.
pub(super) const BATCH: usize = 64;

/// The longest datagram taken: a peer's MTU may exceed ours.
const RECEIVED: usize = 9216;

/// The longest packet taken from the TUN, whose MTU the administrator may have raised.
const PACKET: usize = 1 << 16;

/// What the kernel did not take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SocketCounters {
    /// Datagrams lost because the socket's buffer was full.
    pub send_full: u64,
    /// Datagrams lost because there was no way to their destination.
    pub send_failed: u64,
    /// Packets that the TUN device did not take.
    pub tun_failed: u64,
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
}

impl LinuxIo {
    pub(super) fn open(
        control_port: u16,
        data: Option<&DataConfig>,
        fwmark: u32,
        mtu: u16,
    ) -> Result<LinuxIo, UserspaceError> {
        let mut sockets = Vec::with_capacity(4);
        bind(&mut sockets, Interface::Control, control_port, fwmark, mtu)?;
        let mut tun = None;
        if let Some(data) = data {
            bind(&mut sockets, Interface::Data, data.port, fwmark, mtu)?;
            tun = Some(open_tun(&data.tun_name, mtu)?);
        }
        Ok(LinuxIo {
            tun,
            sockets,
            received: Some(ReceiveBatch::new(BATCH, RECEIVED)),
            packet: vec![0; if data.is_some() { PACKET } else { 0 }].into_boxed_slice(),
            counters: SocketCounters::default(),
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
}

impl Io for LinuxIo {
    fn send_udp(&mut self, interface: Interface, to: SocketAddr, datagram: &[u8]) {
        let is_v6 = to.is_ipv6();
        let Some(port) = self.sockets.iter_mut().find(|port| is_port(port, interface, is_v6))
        else {
            self.counters.send_failed += 1;
            return;
        };
        if port.batch.is_full() {
            send(port, &mut self.counters);
        }
        if !port.batch.push(datagram, to) {
            self.counters.send_failed += 1;
        }
    }

    fn write_tun(&mut self, packet: &[u8]) {
        let is_taken = self.tun.as_ref().is_some_and(|tun| tun.send(packet).is_ok());
        self.counters.tun_failed += u64::from(!is_taken);
    }

    fn flush(&mut self) {
        for port in &mut self.sockets {
            send(port, &mut self.counters);
        }
    }
}

fn is_port(port: &Port, interface: Interface, is_v6: bool) -> bool {
    port.interface == interface && port.is_v6 == is_v6
}

/// Sends what a port holds; a datagram that the kernel refuses is lost, the others go on.
fn send(port: &mut Port, counters: &mut SocketCounters) {
    while !port.batch.is_empty() {
        match port.socket.send_batch(&mut port.batch) {
            Ok(_) => {}
            Err(TransferError::WouldBlock) => {
                counters.send_full += port.batch.len() as u64;
                port.batch.clear();
            }
            Err(_) => {
                counters.send_failed += 1;
                port.batch.skip();
            }
        }
    }
}

/// Binds both families to one port; a machine without IPv6 has IPv4 alone.
fn bind(
    ports: &mut Vec<Port>,
    interface: Interface,
    port: u16,
    fwmark: u32,
    mtu: u16,
) -> Result<(), UserspaceError> {
    let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let socket = open(v4, fwmark)?;
    let chosen = socket.local_address().map_err(|error| UserspaceError::Bind(v4, error))?.port();
    let slot_len = usize::from(mtu).max(1500) + DATA_OVERHEAD;
    let batch = || SendBatch::new(BATCH, slot_len);
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

fn open_tun(name: &str, mtu: u16) -> Result<Tun, UserspaceError> {
    let tun = Tun::open(name).map_err(|error| UserspaceError::Tun(name.to_owned(), error))?;
    let link = |error| UserspaceError::Link(name.to_owned(), error);
    let mut netlink = netlink::Socket::open().map_err(link)?;
    netlink.set_link_mtu(tun.index(), mtu.into()).map_err(link)?;
    netlink.set_link_up(tun.index()).map_err(link)?;
    Ok(tun)
}
