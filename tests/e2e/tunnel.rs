//! A bare WireGuard client.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use boringtun::noise::{Tunn, TunnResult};
use control::PeerKey;
use daemon::config::PrivateKey;
use daemon::demo::net::Place;
use x25519_dalek::PublicKey;

use crate::testbed::PATIENCE;

/// The largest datagram on the underlay.
const DATAGRAM: usize = 2048;
/// How long a session is used: less than WireGuard's REKEY_AFTER_TIME.
const SESSION: Duration = Duration::from_secs(100);

/// A tunnel to one peer, with a session.
pub struct Tunnel {
    socket: UdpSocket,
    tunnel: Tunn,
    shaken_at: Instant,
}

impl Tunnel {
    /// Shakes hands from an address of `place` with the peer at `endpoint`, which knows our key.
    pub fn connect(
        place: &Place,
        local: SocketAddr,
        private: &PrivateKey,
        peer: PeerKey,
        endpoint: SocketAddr,
    ) -> io::Result<Tunnel> {
        let socket = place.udp(local)?;
        socket.connect(endpoint)?;
        let index = u32::from_be_bytes(linux::random::array()?) >> 8;
        let (private, public) = (private.secret().clone(), PublicKey::from(peer.0));
        let tunnel = Tunn::new(private, public, None, None, index, None);
        let mut tunnel = Tunnel { socket, tunnel, shaken_at: Instant::now() };
        tunnel.shake_hands()?;
        Ok(tunnel)
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        let mut buffer = [0; DATAGRAM];
        if let TunnResult::WriteToNetwork(initiation) =
            self.tunnel.format_handshake_initiation(&mut buffer, true)
        {
            self.socket.send(initiation)?;
        }
        self.shaken_at = Instant::now();
        while self.tunnel.time_since_last_handshake().is_none() {
            if self.shaken_at.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.receive(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Sends any octets as an inner packet.
    pub fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        if self.shaken_at.elapsed() > SESSION {
            self.shake_hands()?;
        }
        let mut buffer = [0; DATAGRAM];
        match self.tunnel.encapsulate(packet, &mut buffer) {
            // A full buffer or an ICMP error is nothing that an attacker minds.
            TunnResult::WriteToNetwork(datagram) => {
                let _ = self.socket.send(datagram);
                Ok(())
            }
            _ => Err(io::Error::other("the tunnel has no session")),
        }
    }

    /// The next inner packet that comes in time; `None` also when a handshake ends.
    pub fn receive(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let since = Instant::now();
        let (mut received, mut buffer) = ([0; DATAGRAM], [0; DATAGRAM]);
        while let Some(left) = patience.checked_sub(since.elapsed()).filter(|one| !one.is_zero()) {
            self.socket.set_read_timeout(Some(left))?;
            let Ok(len) = self.socket.recv(&mut received) else { continue };
            let had_session = self.tunnel.time_since_last_handshake().is_some();
            let mut result = self.tunnel.decapsulate(None, &received[..len], &mut buffer);
            while let TunnResult::WriteToNetwork(datagram) = result {
                self.socket.send(datagram)?;
                result = self.tunnel.decapsulate(None, &[], &mut buffer);
            }
            match result {
                TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                    return Ok(Some(packet.to_vec()));
                }
                _ if had_session => {}
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}
