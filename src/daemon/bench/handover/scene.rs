//! The little internet of one run, and what happens in it.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use linux::netlink::{Address, Family, InterfaceName, Route, Rule, RuleAction, Socket};

use super::case::{Backend, Case};
use super::forwarder;
use super::quality::Quality;
use super::underlay::Underlay;
use crate::demo::PROGRAM;
use crate::demo::net::world::{AP1, AP2, HOME_HOST, PHONE_HOST, World, gateway};
use crate::demo::net::{ECHO_PORT, EchoServer, Node, Place, UplinkConfig};

/// How long nodes may take to be registered, and the way until it carries.
const STARTING: Duration = Duration::from_secs(10);
const PING_PATIENCE: Duration = Duration::from_millis(500);
const DOWNLOAD_PORT: u16 = 5001;
/// A second uplink of `home`.
const HOME_SECOND: &str = "192.0.2.34/28";
/// Another access point behind the same interface.
const ROAMED: &str = "203.0.113.34/28";
/// How much worse the second uplink's default route is.
const METRIC: u32 = 100;
/// How long a better uplink is there before the first goes.
const OVERLAP: Duration = Duration::from_secs(3);
/// How often and how fast the phone goes to and fro.
const MOVES: u32 = 4;
const STAY: Duration = Duration::from_secs(2);

/// Nodes that run and reach each other; all of it goes away when dropped.
#[derive(Debug)]
pub(super) struct Scene {
    case: Case,
    // Before the world, whose router it forwards for.
    underlay: Underlay,
    _echo: EchoServer,
    world: World,
}

impl Scene {
    /// Builds it and waits until everything is registered and carries.
    ///
    /// # Errors
    /// When something cannot be had, or does not come about in time.
    pub(super) fn build(
        case: Case,
        backend: Backend,
        quality: &Quality,
        is_debugging: bool,
    ) -> io::Result<Scene> {
        let mut world = World::build(Path::new(PROGRAM))?;
        world.use_dataplane(backend.name());
        let mut devices = vec!["ms", "home", "office", "ap1", "ap2"];
        if case.home_uplinks() == 2 {
            add_home_uplink(&world)?;
            devices.push("home2");
            world.home.config.uplinks = uplinks([("wan", 1), ("wan2", 2)]);
        }
        prepare_phone(case, &mut world)?;
        if is_debugging {
            for node in [&mut world.map_server, &mut world.home, &mut world.phone] {
                node.config.set_option("log_level", "debug");
            }
        }
        let underlay = Underlay::build(&world.internet, &devices, quality)?;
        let echo = world.echo_server(&world.home_host, &HOME_HOST[..1])?;
        let mut scene = Scene { case, underlay, _echo: echo, world };
        scene.start()?;
        Ok(scene)
    }

    fn start(&mut self) -> io::Result<()> {
        self.world.start_map_server()?;
        for node in [&mut self.world.home, &mut self.world.phone] {
            node.start()?;
        }
        let expected = [("home", self.case.home_uplinks()), ("phone", self.case.phone_uplinks())];
        self.world.map_server.wait_until(STARTING, |status| {
            expected.iter().all(|(name, count)| {
                status.site(name).is_some_and(|site| site.rlocs.len() == *count)
            })
        })?;
        for node in [&self.world.home, &self.world.phone] {
            node.wait_until(STARTING, |status| status.ok)?;
        }
        let since = Instant::now();
        let phone = self.world.phone.place();
        while let Err(error) = phone.ping(PHONE_HOST[0], HOME_HOST[0], PING_PATIENCE) {
            if since.elapsed() > STARTING {
                let reason = format!("no ping comes through: {error}");
                return Err(io::Error::new(error.kind(), reason));
            }
        }
        Ok(())
    }

    /// What delays its packets.
    pub(super) fn underlay(&self) -> &'static str {
        self.underlay.name()
    }

    /// A socket of the phone, and where its datagrams are echoed.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub(super) fn echo(&self) -> io::Result<(UdpSocket, SocketAddr)> {
        let socket = self.world.phone.place().udp(SocketAddr::new(PHONE_HOST[0], 0))?;
        Ok((socket, SocketAddr::new(HOME_HOST[0], ECHO_PORT)))
    }

    /// A connection from the host behind `home` to the phone: both ends.
    ///
    /// # Errors
    /// When it does not come about.
    pub(super) fn connection(&self) -> io::Result<(TcpStream, TcpStream)> {
        let to = SocketAddr::new(PHONE_HOST[0], DOWNLOAD_PORT);
        let (sending, listener) = self.world.home_host.tcp(self.world.phone.place(), to)?;
        Ok((sending, listener.accept()?.0))
    }

    /// Has it happen; tells the instant of the first event.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn perform(&self) -> io::Result<Instant> {
        let (phone, internet) = (self.world.phone.place(), &self.world.internet);
        match self.case {
            Case::LinkDown => Ok(Switch::down(phone, "ap1")?.throw()?),
            Case::CarrierLoss => Ok(Switch::down(internet, "ap1")?.throw()?),
            Case::Roam => self.roam(),
            Case::Silent => self.silence(),
            Case::MakeBeforeBreak => {
                let at = Instant::now();
                attach(phone, internet, "ap2", AP2, METRIC)?;
                thread::sleep(OVERLAP);
                phone.set_down("ap1")?;
                Ok(at)
            }
            Case::PingPong => self.go_to_and_fro(),
            Case::BothEnds => {
                let switches =
                    [Switch::down(phone, "ap1")?, Switch::down(self.world.home.place(), "wan")?];
                throw_together(switches)
            }
        }
    }

    /// The device is at another access point, without a moment of "down".
    fn roam(&self) -> io::Result<Instant> {
        let mut netlink = self.world.phone.place().open_netlink()?;
        let index = netlink.link_index("ap1")?;
        let (old, len) = crate::demo::net::parse_prefix(AP1)?;
        let (new, _) = crate::demo::net::parse_prefix(ROAMED)?;
        let at = Instant::now();
        netlink.delete_address(&Address::new(index, old, len))?;
        netlink.add_address(&Address::new(index, new, len))?;
        netlink.add_route(&default_route(gateway(ROAMED)?.into(), index, 0))?;
        Ok(at)
    }

    /// Nothing passes the access point any more; its link stays as it is.
    fn silence(&self) -> io::Result<Instant> {
        let mut netlink = self.world.internet.open_netlink()?;
        let drop = Rule::with_action(Family::V4, forwarder::PRIORITY / 2, RuleAction::Blackhole);
        let (network, len) = (gateway(AP1)?.to_bits() & !15, 28);
        let destination = Some((IpAddr::V4(network.into()), len));
        let input = Some(InterfaceName::truncated("ap1"));
        let at = Instant::now();
        netlink.add_rule(&Rule { input, ..drop })?;
        netlink.add_rule(&Rule { destination, ..drop })?;
        Ok(at)
    }

    /// The next access point is heard a moment before the one in use is lost.
    fn go_to_and_fro(&self) -> io::Result<Instant> {
        let (phone, internet) = (self.world.phone.place(), &self.world.internet);
        let mut started_at = None;
        for number in 0..MOVES {
            let since = Instant::now();
            let (old, new, address) =
                if number % 2 == 0 { ("ap1", "ap2", AP2) } else { ("ap2", "ap1", AP1) };
            attach(phone, internet, new, address, METRIC + number)?;
            thread::sleep((STAY / 2).saturating_sub(since.elapsed()));
            let at = Switch::down(phone, old)?.throw()?;
            started_at.get_or_insert(at);
            if number + 1 < MOVES {
                thread::sleep(STAY.saturating_sub(since.elapsed()));
            }
        }
        started_at.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Copies what the nodes logged to a folder, and their handovers' timelines, under names that
    /// begin with `prefix`.
    ///
    /// # Errors
    /// As the file system says.
    pub(super) fn keep_logs(&self, folder: &Path, prefix: &str) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let nodes: [&Node; 3] = [&self.world.map_server, &self.world.home, &self.world.phone];
        nodes.into_iter().try_for_each(|node| {
            let file = |kind| folder.join(format!("{prefix}-{}.{kind}", node.name()));
            std::fs::write(file("log"), node.log())?;
            // A node that fell over tells no more than that.
            match node.ask("handovers json") {
                Ok((_, timelines)) => std::fs::write(file("handovers.json"), timelines),
                Err(_) => Ok(()),
            }
        })
    }
}

fn uplinks(devices: [(&str, u8); 2]) -> Vec<UplinkConfig> {
    let uplink = |(device, priority): (&str, u8)| UplinkConfig {
        device: device.into(),
        priority,
        weight: 100,
    };
    devices.into_iter().map(uplink).collect()
}

/// The phone's uplinks as the case begins with.
fn prepare_phone(case: Case, world: &mut World) -> io::Result<()> {
    let order = match case {
        // They are what the default routes are.
        Case::Roam | Case::PingPong => None,
        Case::MakeBeforeBreak => Some([("ap2", 1), ("ap1", 2)]),
        _ => Some([("ap1", 1), ("ap2", 2)]),
    };
    world.phone.config.uplinks = order.map_or(Vec::new(), uplinks);
    if case.phone_uplinks() == 2 {
        attach(world.phone.place(), &world.internet, "ap2", AP2, METRIC)?;
    }
    let (phone, internet) = (world.phone.place(), &world.internet);
    match case {
        Case::Roam => {
            internet.add_address("ap1", &format!("{}/28", gateway(ROAMED)?))?;
            introduce(phone, internet, ["ap1", "ap1"], ROAMED)
        }
        _ if case.phone_uplinks() == 2 => introduce(phone, internet, ["ap2", "ap2"], AP2),
        _ => Ok(()),
    }
}

/// A node and its access point know each other's Ethernet address: they are next to each other, but
/// netem delays their ARP like what goes through the whole internet.
fn introduce(node: &Place, internet: &Place, devices: [&str; 2], address: &str) -> io::Result<()> {
    let hardware = |place: &Place, device: &str| {
        let shown = place.run("ip", &["-o", "link", "show", "dev", device])?;
        let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
        words.nth(1).map(str::to_owned).ok_or_else(|| io::Error::other(shown.clone()))
    };
    let know = |place: &Place, device: &str, whom: &str, hardware: &str| {
        let words =
            ["neigh", "replace", whom, "lladdr", hardware, "nud", "permanent", "dev", device];
        place.run("ip", &words).map(drop)
    };
    let (of_node, of_internet) = (hardware(node, devices[0])?, hardware(internet, devices[1])?);
    know(node, devices[0], &gateway(address)?.to_string(), &of_internet)?;
    let (ip, _) = crate::demo::net::parse_prefix(address)?;
    know(internet, devices[1], &ip.to_string(), &of_node)
}

fn add_home_uplink(world: &World) -> io::Result<()> {
    let home = world.home.place();
    world.internet.connect("home2", home, "wan2")?;
    world.internet.add_address("home2", &format!("{}/28", gateway(HOME_SECOND)?))?;
    home.wait_until_running("wan2")?;
    home.add_address("wan2", HOME_SECOND)?;
    let mut netlink = home.open_netlink()?;
    let index = netlink.link_index("wan2")?;
    netlink.add_route(&default_route(gateway(HOME_SECOND)?.into(), index, METRIC))?;
    introduce(home, &world.internet, ["wan2", "home2"], HOME_SECOND)
}

/// Brings a device up and, once it runs, gives it its address and default route, as DHCP does.
fn attach(
    phone: &Place,
    internet: &Place,
    device: &str,
    address: &str,
    metric: u32,
) -> io::Result<()> {
    phone.set_up(device)?;
    internet.wait_until_running(device)?;
    phone.wait_until_running(device)?;
    phone.add_address(device, address)?;
    let mut netlink = phone.open_netlink()?;
    let index = netlink.link_index(device)?;
    Ok(netlink.replace_route(&default_route(gateway(address)?.into(), index, metric))?)
}

fn default_route(gateway: IpAddr, output: u32, metric: u32) -> Route {
    Route {
        gateway: Some(gateway),
        output: Some(output),
        metric: (metric > 0).then_some(metric),
        ..Route::new(Family::of(gateway).unspecified(), 0)
    }
}

/// A device that is taken down by one message.
struct Switch {
    netlink: Socket,
    index: u32,
}

impl Switch {
    fn down(place: &Place, device: &str) -> io::Result<Switch> {
        let mut netlink = place.open_netlink()?;
        let index = netlink.link_index(device)?;
        Ok(Switch { netlink, index })
    }

    /// Takes it down; the instant before.
    fn throw(mut self) -> io::Result<Instant> {
        let at = Instant::now();
        self.netlink.set_link_down(self.index)?;
        Ok(at)
    }
}

/// Two at once; the first instant.
fn throw_together(switches: [Switch; 2]) -> io::Result<Instant> {
    let barrier = Barrier::new(switches.len());
    let thrown: Vec<_> = thread::scope(|scope| {
        let threads = switches.map(|switch| {
            scope.spawn(|| {
                barrier.wait();
                switch.throw()
            })
        });
        threads.map(thread::ScopedJoinHandle::join).into()
    });
    let mut first: Option<Instant> = None;
    for outcome in thrown {
        let at = outcome.map_err(|_| io::Error::other("a thread panicked"))??;
        first = Some(first.map_or(at, |first| first.min(at)));
    }
    first.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
