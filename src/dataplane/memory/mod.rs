//! The data plane of simulations: the engine on virtual time, with a model of WireGuard.

mod model;

use core::net::SocketAddr;
use std::collections::VecDeque;

use control::{EidPrefix, Instant, PeerKey};

pub use self::model::{ModelListener, ModelTunnel};
use crate::engine::{Engine, EngineConfig, EngineError, Interface, Io};
use crate::plane::Plane;

/// A data plane whose datagrams and packets are handed over by the caller.
pub type Memory = Plane<ModelListener, MemoryIo>;

/// What the in-memory data plane is made from.
#[derive(Clone, PartialEq, Debug)]
pub struct MemoryConfig {
    /// Our public control key.
    pub control_key: PeerKey,
    /// Our public data key.
    pub data_key: PeerKey,
    /// UDP port of the control tunnels.
    pub control_port: u16,
    /// UDP port of the data tunnels.
    pub data_port: u16,
    /// Our EID-prefixes.
    pub database: Vec<EidPrefix>,
    /// The wall clock at virtual time zero, in microseconds.
    pub wall_clock: u64,
    /// Table sizes, the tunnel's MTU and the seed.
    pub engine: EngineConfig,
}

/// A UDP datagram on its way to the simulated network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// The port it leaves by.
    pub from_port: u16,
    /// Where it goes.
    pub to: SocketAddr,
    /// Its payload.
    pub octets: Vec<u8>,
}

/// What the engine sent and wrote, until it is taken.
#[derive(Debug)]
pub struct MemoryIo {
    control_port: u16,
    data_port: u16,
    datagrams: VecDeque<Datagram>,
    packets: VecDeque<Vec<u8>>,
}

impl Io for MemoryIo {
    fn send_udp(&mut self, interface: Interface, to: SocketAddr, datagram: &[u8]) {
        let from_port = match interface {
            Interface::Control => self.control_port,
            Interface::Data => self.data_port,
        };
        self.datagrams.push_back(Datagram { from_port, to, octets: datagram.to_vec() });
    }

    fn write_tun(&mut self, packet: &[u8]) {
        self.packets.push_back(packet.to_vec());
    }
}

impl Memory {
    /// A data plane without peers and routes.
    ///
    /// # Errors
    /// When the database does not fit.
    pub fn new(config: &MemoryConfig) -> Result<Memory, EngineError> {
        let seed = config.engine.seed;
        let control = ModelListener::new(config.control_key, config.wall_clock, seed);
        let data = ModelListener::new(config.data_key, config.wall_clock, seed ^ u64::MAX);
        let mut engine = Engine::new(&config.engine, control, data);
        engine.set_database(&config.database)?;
        let io = MemoryIo {
            control_port: config.control_port,
            data_port: config.data_port,
            datagrams: VecDeque::new(),
            packets: VecDeque::new(),
        };
        Ok(Memory { engine, io })
    }

    /// A packet that a host behind us, or the node itself, sends into the overlay.
    pub fn handle_packet(&mut self, packet: &[u8], now: Instant) {
        self.engine.handle_tun(packet, now, &mut self.io);
    }

    /// A datagram that came to one of our ports; one to another port is lost.
    pub fn handle_datagram(&mut self, to_port: u16, from: SocketAddr, octets: &[u8], now: Instant) {
        let interface = if to_port == self.io.control_port {
            Interface::Control
        } else if to_port == self.io.data_port {
            Interface::Data
        } else {
            return;
        };
        self.engine.handle_udp(interface, from, octets, now, &mut self.io);
    }

    /// The next datagram for the network.
    pub fn poll_datagram(&mut self) -> Option<Datagram> {
        self.io.datagrams.pop_front()
    }

    /// The next packet for the hosts behind us.
    pub fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.io.packets.pop_front()
    }

    /// Steps the wall clock to what it would have shown at virtual time zero, in microseconds.
    /// As on a router, tunnels notice at `handle_clock_step` only.
    pub fn set_wall_clock(&mut self, wall_clock: u64) {
        self.engine.listeners_mut(|listener| listener.set_wall_clock(wall_clock));
    }
}
