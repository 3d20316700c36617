//! An engine together with what carries out its output.

use core::net::Ipv6Addr;

use control::{Change, EidPrefix, Instant, PeerKey};

use crate::engine::{Engine, EngineError, Interface, Io, Listener, PeerStatus};
use crate::{Channel, ControlPeer, DataPlane, Event};

/// A data plane: the engine, and where its datagrams and packets go.
pub struct Plane<L: Listener, I: Io> {
    pub(crate) engine: Engine<L>,
    pub(crate) io: I,
}

impl<L: Listener, I: Io> Plane<L, I> {
    /// The engine, for status.
    pub fn engine(&self) -> &Engine<L> {
        &self.engine
    }

    /// The public key of an interface.
    pub fn public_key(&self, interface: Interface) -> PeerKey {
        self.engine.public_key(interface)
    }

    /// Our control or link address.
    pub fn address(&self, interface: Interface) -> Ipv6Addr {
        self.engine.address(interface)
    }

    /// The longest packet that goes into a tunnel, in octets.
    pub fn mtu(&self) -> usize {
        self.engine.mtu()
    }

    /// The peers of an interface, sorted by key.
    pub fn peer_status(&self, interface: Interface) -> impl Iterator<Item = PeerStatus> {
        self.engine.peer_status(interface)
    }

    /// What was counted since the start, with names.
    pub fn counters(&self) -> control::counters::Listed {
        self.engine.counters().iter()
    }

    /// Replaces the EID-prefixes whose sources may enter the overlay.
    ///
    /// # Errors
    /// When there are more than the configured places; the first ones are in force then.
    pub fn set_database(&mut self, eid_prefixes: &[EidPrefix]) -> Result<(), EngineError> {
        self.engine.set_database(eid_prefixes)
    }
}

impl<L: Listener, I: Io> DataPlane for Plane<L, I> {
    type Error = EngineError;

    fn set_control_peer(&mut self, peer: &ControlPeer, now: Instant) -> Result<(), EngineError> {
        let result = self.engine.set_control_peer(peer, now, &mut self.io);
        self.io.flush();
        result
    }

    fn remove_control_peer(&mut self, peer: PeerKey) {
        self.engine.remove_control_peer(peer);
    }

    fn apply(&mut self, change: &Change, now: Instant) -> Result<(), EngineError> {
        let result = self.engine.apply(change, now, &mut self.io);
        self.io.flush();
        result
    }

    fn send_control(
        &mut self,
        channel: Channel,
        peer: PeerKey,
        datagram: &[u8],
        now: Instant,
    ) -> Result<(), EngineError> {
        let result = self.engine.send_control(channel, peer, datagram, now, &mut self.io);
        self.io.flush();
        result
    }

    fn receive_control(&mut self, buf: &mut [u8]) -> Option<(Channel, PeerKey, usize)> {
        self.engine.receive_control(buf)
    }

    fn handle_uplink_change(&mut self, now: Instant) {
        self.engine.handle_uplink_change(now, &mut self.io);
        self.io.flush();
    }

    fn handle_clock_step(&mut self, now: Instant) {
        self.engine.handle_clock_step(now, &mut self.io);
        self.io.flush();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.engine.handle_timeout(now, &mut self.io);
        self.io.flush();
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.engine.poll_event()
    }

    fn poll_at(&self) -> Option<Instant> {
        self.engine.poll_at()
    }
}
