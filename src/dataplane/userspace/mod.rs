//! WireGuard in user space: boringtun on a TUN device and UDP sockets.

mod boringtun;
mod checksum;
mod coalesce;
mod error;
mod flow;
mod sockets;
mod split;
#[cfg(test)]
mod tests;
mod virtio;

use core::net::Ipv6Addr;
use std::os::fd::{AsFd, BorrowedFd};

use control::{EidPrefix, Instant, PeerKey};
use linux::tun::VIRTIO_HEADER_LEN;
use linux::{Errno, TransferError, tun, udp};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

pub use self::boringtun::{BoringtunListener, BoringtunTunnel};
pub use self::error::UserspaceError;
pub use self::sockets::{LinuxIo, SocketCounters};
use self::split::Segments;
use crate::PlaneError;
pub use crate::Source;
use crate::engine::{Engine, EngineConfig, Interface, Io};
use crate::plane::Plane;

/// The data plane that needs no kernel module.
pub type Userspace = Plane<BoringtunListener, LinuxIo>;

/// What the userspace data plane is made from.
pub struct UserspaceConfig {
    /// The private control key.
    pub control_private_key: StaticSecret,
    /// UDP port of the control tunnels; 0 lets the kernel choose.
    pub control_port: u16,
    /// Our control address, where it is not derived from the key.
    pub control_address: Option<Ipv6Addr>,
    /// The data side; `None` for a Map-Server that forwards nothing.
    pub data: Option<DataConfig>,
    /// Firewall mark of all we send, by which policy rules keep it off the overlay; 0 is none.
    pub fwmark: u32,
    /// Table sizes and the tunnel's MTU.
    pub engine: EngineConfig,
}

/// The TUN device and the port of the data tunnels.
pub struct DataConfig {
    /// UDP port of the data tunnels; 0 lets the kernel choose.
    pub port: u16,
    /// Name of the TUN device.
    pub tun_name: String,
    /// Our EID-prefixes.
    pub database: Vec<EidPrefix>,
}

/// What the kernel may do with many packets at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offload {
    /// Long packets by the TUN device.
    pub tun: tun::Offload,
    /// Joined datagrams by the data sockets.
    pub udp: udp::Offload,
}

impl Offload {
    /// All there is.
    pub const ALL: Offload = Offload {
        tun: tun::Offload { tcp: true, udp: true },
        udp: udp::Offload { splits: true, joins: true },
    };
}

/// Reads of the TUN at a time. More at once would save little, and arrive in bursts that short
/// queues further on do not hold.
const READS: usize = 64;

/// Packets handled at a time, after which nothing more is read.
const PACKETS: u64 = 64;

impl Userspace {
    /// Opens the sockets and, for a data side, makes the TUN device with its MTU, up. The data key
    /// is made here, and stays here. Addresses, routes and rules are the caller's.
    ///
    /// # Errors
    /// When a port is taken, `/dev/net/tun` is missing or may not be used, or the kernel refuses.
    pub fn new(config: UserspaceConfig) -> Result<Userspace, UserspaceError> {
        Userspace::with_offload(config, Offload::ALL)
    }

    /// As `new`, with less than the kernel has, for comparison.
    ///
    /// # Errors
    /// As `new`.
    pub fn with_offload(
        config: UserspaceConfig,
        offload: Offload,
    ) -> Result<Userspace, UserspaceError> {
        let mut data_key = Zeroizing::new([0; 32]);
        linux::random::fill(data_key.as_mut_slice()).map_err(UserspaceError::Random)?;
        let control = BoringtunListener::new(config.control_private_key);
        let data = BoringtunListener::new(StaticSecret::from(*data_key));
        let mut engine_config = config.engine;
        engine_config.control_address = config.control_address.or(engine_config.control_address);
        let mut engine = Engine::new(&engine_config, control, data);
        if let Some(data) = &config.data {
            engine.set_database(&data.database).map_err(UserspaceError::Engine)?;
        }
        let io = LinuxIo::open(
            config.control_port,
            config.data.as_ref(),
            config.fwmark,
            engine_config.mtu,
            offload,
        )?;
        Ok(Plane { engine, io })
    }

    /// The descriptors to watch for reading, level-triggered.
    pub fn sources(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>)> {
        let tun = self.io.tun.as_ref().map(|tun| (Source::Tun, tun.as_fd()));
        let sockets = self.io.sockets.iter().map(|socket| (socket.source(), socket.as_fd()));
        tun.into_iter().chain(sockets)
    }

    /// Handles packets of a descriptor that is ready, some hundreds at most. Events and messages
    /// are to be taken after it.
    pub fn handle_ready(&mut self, source: Source, now: Instant) {
        match source {
            Source::Tun => self.handle_tun_ready(now),
            Source::Socket { interface, is_v6 } => self.handle_socket_ready(interface, is_v6, now),
            Source::Messages { .. } | Source::Doorbell { .. } => {}
        }
        self.io.flush();
    }

    /// The UDP port that an interface is bound to; `None` when it has no socket.
    pub fn port(&self, interface: Interface) -> Option<u16> {
        self.io.port(interface)
    }

    /// The TUN device's name; `None` when there is none, or somebody deleted it.
    pub fn tun_name(&self) -> Option<&str> {
        self.io.tun.as_ref().map(|tun| tun.name())
    }

    /// The TUN device's interface index, when there is one.
    pub fn tun_index(&self) -> Option<u32> {
        self.io.tun.as_ref().map(|tun| tun.index())
    }

    /// Changes the longest packet that goes into a tunnel, of the TUN device too.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_mtu(&mut self, mtu: u16) -> Result<(), PlaneError> {
        self.engine.set_mtu(mtu);
        let Some(tun) = &self.io.tun else { return Ok(()) };
        let refused = |error| PlaneError::Mtu(Box::new(error));
        let mut netlink = linux::netlink::Socket::open().map_err(refused)?;
        netlink.set_link_mtu(tun.index(), self.engine.mtu() as u32).map_err(refused)
    }

    /// Lane 0, its public key and its UDP port, when there is a data side.
    pub fn data_keys(&self) -> impl Iterator<Item = (u8, PeerKey, u16)> + use<> {
        let key = self.public_key(Interface::Data);
        self.port(Interface::Data).map(|port| (0, key, port)).into_iter()
    }

    /// The index of the device that the EID-space is routed to: the TUN device's.
    pub fn overlay_index(&self) -> Option<u32> {
        self.tun_index()
    }

    /// The index of the device that EIDs of our own are put on: the TUN device's.
    pub fn data_index(&self) -> Option<u32> {
        self.tun_index()
    }

    /// What the kernel does with many packets at once.
    pub fn offload(&self) -> Offload {
        self.io.offload
    }

    /// What the kernel did not take.
    pub fn socket_counters(&self) -> &SocketCounters {
        &self.io.counters
    }

    fn handle_tun_ready(&mut self, now: Instant) {
        let mut buffer = core::mem::take(&mut self.io.packet);
        let end = self.io.sent() + PACKETS;
        for _ in 0..READS {
            let Some(tun) = &self.io.tun else { break };
            match tun.receive(&mut buffer) {
                Ok(len) => self.handle_long_packet(&mut buffer[..len], now),
                Err(TransferError::Failed(Errno::EBADFD)) => {
                    // Somebody deleted the device: watched on, it would be ready for ever.
                    self.io.tun = None;
                }
                Err(_) => break,
            }
            if self.io.sent() >= end {
                break;
            }
        }
        self.io.packet = buffer;
    }

    /// Handles what one read of the TUN gave: the packet's header, and a packet that may have to
    /// be split.
    fn handle_long_packet(&mut self, octets: &mut [u8], now: Instant) {
        let parsed =
            octets.split_first_chunk_mut::<VIRTIO_HEADER_LEN>().and_then(|(header, packet)| {
                let header = virtio::Header::parse(header)?;
                Some((Segments::new(&header, packet)?, packet))
            });
        let Some((mut segments, packet)) = parsed else {
            self.io.counters.tun_malformed += 1;
            return;
        };
        while let Some(segment) = segments.next(packet) {
            self.engine.handle_tun(segment, now, &mut self.io);
        }
    }

    fn handle_socket_ready(&mut self, interface: Interface, is_v6: bool, now: Instant) {
        let Some(mut batch) = self.io.received.take() else { return };
        let mut handled = 0;
        while handled < PACKETS && self.io.receive(interface, is_v6, &mut batch) {
            for index in 0..batch.len() {
                let Some((datagrams, from)) = batch.datagrams(index) else { continue };
                for datagram in datagrams {
                    self.engine.handle_udp(interface, from, datagram, now, &mut self.io);
                    handled += 1;
                }
                self.io.write_some();
            }
            if !batch.is_full() {
                break;
            }
        }
        self.io.received = Some(batch);
    }
}
