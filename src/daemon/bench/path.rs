//! The way of one case, from the host behind `home` to the host behind `office`.

use std::io;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use linux::udp::Offload;

use super::case::Case;
use super::meter::Measured;
use super::statistics::median;
use super::tools::Tools;
use super::traffic::Traffic;
use super::udp::{Outcome, Stream};
use super::wireguard::Tunnel;
use super::{tcp, udp};
use crate::demo::interrupt::Interrupt;
use crate::demo::net::Node;
use crate::demo::net::world::{
    HOME, HOME_HOST, HOME_UPLINK, OFFICE, OFFICE_HOST, OFFICE_UPLINK, World,
};

/// How long nodes may take to be registered, and a way until it carries.
const STARTING: Duration = Duration::from_secs(10);
const PING_PATIENCE: Duration = Duration::from_millis(500);
const PORT: u16 = 5201;
/// Each connection is measured for itself, and its window is less than what queues on the way hold:
/// else losses, and what one connection leaves to the next, decide more than the tunnel does.
const TCP_SETTINGS: [(&str, &str); 2] =
    [("net/ipv4/tcp_no_metrics_save", "1"), ("net/ipv4/tcp_rmem", "4096 131072 1048576")];

/// A little internet of its own for one case; it goes away when dropped.
#[derive(Debug)]
pub(super) struct Path {
    case: Case,
    world: World,
    _tunnel: Tunnel,
}

/// One run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Run {
    /// Payload in Mbit/s.
    pub(super) mbit_s: f64,
    /// Busy time of the whole machine in seconds per 10^9 octets of payload.
    pub(super) cpu_s_per_gb: Option<f64>,
    /// Packets that lispguard saw per 10,000 that arrived.
    pub(super) user_packets_per_10000: Option<f64>,
}

impl Run {
    /// A run that was made in pieces of equal length. The median piece's rate is the run's: now and
    /// then the machine does something else for the length of a piece or two.
    pub(super) fn of_pieces(pieces: &[Run]) -> Run {
        let sum = |of: &dyn Fn(&Run) -> Option<f64>| pieces.iter().map(of).sum::<Option<f64>>();
        let count = pieces.len().max(1) as f64;
        let rates: Vec<f64> = pieces.iter().map(|piece| piece.mbit_s).collect();
        let mean = rates.iter().sum::<f64>() / count;
        // Both are per amount of what arrived, of which a faster piece has more.
        let weighted = |of: &dyn Fn(&Run) -> Option<f64>| {
            let total = sum(&|piece| of(piece).map(|one| one * piece.mbit_s))?;
            (mean > 0.0).then(|| total / count / mean)
        };
        Run {
            mbit_s: median(&rates).unwrap_or(0.0),
            cpu_s_per_gb: weighted(&|piece| piece.cpu_s_per_gb),
            user_packets_per_10000: weighted(&|piece| piece.user_packets_per_10000),
        }
    }
}

impl Path {
    /// Builds the way and waits until it carries. `program` is the `lispguard` that nodes run.
    ///
    /// # Errors
    /// When something that the case needs is not there, or it does not carry.
    pub(super) fn build(
        case: Case,
        program: &FilePath,
        tools: &Tools,
        interrupt: &Interrupt,
    ) -> io::Result<Path> {
        let mut world = World::build(program)?;
        for host in [&world.home_host, &world.office_host] {
            for (name, value) in TCP_SETTINGS {
                host.namespace().write_sysctl(name, value)?;
            }
        }
        let tunnel = match case {
            Case::Routed => route(&world)?,
            Case::Kernel => {
                for site in world.sites_mut() {
                    site.config.set_option("table", "main");
                }
                start(&mut world, "kernel")?
            }
            Case::KernelRules => start(&mut world, "kernel")?,
            Case::Userspace => start(&mut world, "userspace")?,
            Case::Wg | Case::BoringtunCli | Case::WireguardGo => {
                Tunnel::build(&world, case, tools, interrupt)?
            }
        };
        let path = Path { case, world, _tunnel: tunnel };
        path.wait_until_carrying()?;
        Ok(path)
    }

    pub(super) fn case(&self) -> Case {
        self.case
    }

    /// Sends for a while and measures.
    ///
    /// # Errors
    /// When the way does not carry any more.
    pub(super) fn run(
        &self,
        traffic: Traffic,
        offload: Offload,
        span: Duration,
    ) -> io::Result<Run> {
        self.wait_until_carrying()?;
        let seen_before = self.seen()?;
        let measured = match traffic.datagram_len() {
            None => self.tcp(span)?,
            Some(datagram_len) => {
                self.stream(offload, &Stream { datagram_len, mbit_s: None, span })?.measured
            }
        };
        let seen = self.seen()?.zip(seen_before).map(|(after, before)| after - before);
        let packets = measured.total_octets as f64 / traffic.packet_payload() as f64;
        Ok(Run {
            mbit_s: measured.mbit_s(),
            cpu_s_per_gb: measured.busy_s_per_gb(),
            user_packets_per_10000: seen
                .filter(|_| packets > 0.0)
                .map(|seen| seen as f64 * 10_000.0 / packets),
        })
    }

    /// Sends datagrams at a rate.
    ///
    /// # Errors
    /// When the way does not carry any more.
    pub(super) fn stream(&self, offload: Offload, stream: &Stream) -> io::Result<Outcome> {
        self.wait_until_carrying()?;
        let (home, office) = (&self.world.home_host, &self.world.office_host);
        let from = SocketAddr::new(HOME_HOST[0], 0);
        udp::run((home, from), (office, self.target()), offload, stream)
    }

    fn tcp(&self, span: Duration) -> io::Result<Measured> {
        tcp::run(&self.world.home_host, &self.world.office_host, self.target(), span)
    }

    fn target(&self) -> SocketAddr {
        SocketAddr::new(OFFICE_HOST[0], PORT)
    }

    /// A session may have to be made anew after a pause: that is not what is measured.
    fn wait_until_carrying(&self) -> io::Result<()> {
        let since = Instant::now();
        let (home, office) = (&self.world.home_host, &self.world.office_host);
        let both = || {
            home.ping(HOME_HOST[0], OFFICE_HOST[0], PING_PATIENCE)?;
            office.ping(OFFICE_HOST[0], HOME_HOST[0], PING_PATIENCE)
        };
        loop {
            match both() {
                Ok(_) => return Ok(()),
                Err(error) if since.elapsed() > STARTING => {
                    let reason = format!("no ping comes through: {error}");
                    return Err(io::Error::new(error.kind(), reason));
                }
                Err(_) => {}
            }
        }
    }

    /// How many packets the routers of both sites got from their kernels; `None` where no
    /// lispguard runs.
    fn seen(&self) -> io::Result<Option<u64>> {
        if !self.case.is_lispguard() {
            return Ok(None);
        }
        let seen_by = |node: &Node| io::Result::Ok(node.status()?.counter("tun_packets"));
        Ok(Some(seen_by(&self.world.home)? + seen_by(&self.world.office)?))
    }
}

/// Routes through the underlay without a tunnel.
fn route(world: &World) -> io::Result<Tunnel> {
    let address = |uplink: &str| {
        let address = uplink.split('/').next().unwrap_or_default();
        address.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
    };
    world.internet.add_route(HOME[0], address(HOME_UPLINK)?)?;
    world.internet.add_route(OFFICE[0], address(OFFICE_UPLINK)?)?;
    Ok(Tunnel::default())
}

/// Starts lispguard on both sites, and its Map-Server.
fn start(world: &mut World, data_plane: &str) -> io::Result<Tunnel> {
    world.use_dataplane(data_plane);
    world.start_map_server()?;
    for node in [&mut world.home, &mut world.office] {
        node.start()?;
    }
    for node in [&world.home, &world.office] {
        node.wait_until(STARTING, |status| status.ok)?;
    }
    Ok(Tunnel::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_count_by_what_arrived_in_them() {
        let piece =
            |mbit_s, cpu| Run { mbit_s, cpu_s_per_gb: Some(cpu), user_packets_per_10000: None };
        let whole = Run::of_pieces(&[piece(300.0, 10.0), piece(100.0, 30.0)]);
        assert_eq!(whole, piece(200.0, 15.0));
    }
}
