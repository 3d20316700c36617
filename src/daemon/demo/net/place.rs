//! A machine: a network namespace with links, addresses and routes.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use linux::icmp::EchoSocket;
use linux::namespace::NetworkNamespace;
use linux::netlink::{Address, Family, Route, Socket};
use linux::poller::{Interest, Poller};
use linux::signals::Signal;

/// A machine of the little internet; it goes away when dropped.
#[derive(Debug)]
pub struct Place {
    name: String,
    namespace: NetworkNamespace,
}

impl Place {
    /// A machine with its loopback up.
    ///
    /// # Errors
    /// Without the privilege to make network namespaces.
    pub fn new(name: &str) -> io::Result<Place> {
        let place = Place { name: name.into(), namespace: NetworkNamespace::create()? };
        // Quieter, but not needed: a container may have them read-only.
        for name in ["accept_dad", "accept_ra"] {
            let _ = place.namespace.write_sysctl(&format!("net/ipv6/conf/default/{name}"), "0");
        }
        place.set_up("lo")?;
        Ok(place)
    }

    /// Lets it forward IPv4 and IPv6, as a router does.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn make_router(&self) -> io::Result<()> {
        self.namespace.write_sysctl("net/ipv4/ip_forward", "1")?;
        self.namespace.write_sysctl("net/ipv6/conf/all/forwarding", "1").or_else(absent)
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace.
    pub fn namespace(&self) -> &NetworkNamespace {
        &self.namespace
    }

    /// Does `work` inside, on the calling thread.
    ///
    /// # Errors
    /// When the thread cannot enter, or as `work`.
    pub fn inside<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let _entered = self.namespace.enter()?;
        work()
    }

    /// A socket for links, addresses, routes and rules of this machine.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn open_netlink(&self) -> io::Result<Socket> {
        self.inside(|| Ok(Socket::open()?))
    }

    fn netlink<T>(
        &self,
        work: impl FnOnce(&mut Socket) -> Result<T, linux::netlink::Error>,
    ) -> io::Result<T> {
        Ok(work(&mut self.open_netlink()?)?)
    }

    /// Connects a device here with a device there; both come up.
    ///
    /// # Errors
    /// When the kernel refuses, as when a name is taken.
    pub fn connect(&self, device: &str, there: &Place, device_there: &str) -> io::Result<()> {
        let peer = there.namespace.as_fd();
        self.netlink(|socket| socket.create_veth(device, device_there, Some(peer)))?;
        self.set_up(device)?;
        there.set_up(device_there)
    }

    /// Brings a device up.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn set_up(&self, device: &str) -> io::Result<()> {
        self.netlink(|socket| {
            let index = socket.link_index(device)?;
            socket.set_link_up(index)
        })
    }

    /// Makes a device of a kind that the kernel knows, such as `wireguard`; it is down.
    ///
    /// # Errors
    /// When the kernel does not know the kind, or the name is taken.
    pub fn create_link(&self, device: &str, kind: &str) -> io::Result<()> {
        self.netlink(|socket| socket.create_link(device, kind))
    }

    /// Sets the largest packet of a device, in octets.
    ///
    /// # Errors
    /// When there is none of that name, or it does not take that much.
    pub fn set_mtu(&self, device: &str, mtu: u32) -> io::Result<()> {
        self.netlink(|socket| {
            let index = socket.link_index(device)?;
            socket.set_link_mtu(index, mtu)
        })
    }

    /// Waits until a device that was brought up can send, as a DHCP client does: until then the
    /// kernel drops what is sent, an ARP request too, and repeats that after a second only.
    ///
    /// # Errors
    /// `TimedOut` after 2 s, when the other end is down.
    pub fn wait_until_running(&self, device: &str) -> io::Result<()> {
        let until = Instant::now() + Duration::from_secs(2);
        while !self.netlink(|socket| Ok(socket.link(device)?.is_running()))? {
            if Instant::now() > until {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{device} stays down"),
                ));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Takes a device down; the other end loses its carrier.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn set_down(&self, device: &str) -> io::Result<()> {
        self.netlink(|socket| {
            let index = socket.link_index(device)?;
            socket.set_link_down(index)
        })
    }

    /// Removes a device; a pair's other end goes with it.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn remove(&self, device: &str) -> io::Result<()> {
        self.netlink(|socket| {
            let index = socket.link_index(device)?;
            socket.delete_link(index)
        })
    }

    /// Runs a program to its end on this machine; what it printed.
    ///
    /// # Errors
    /// When there is no such program, or it fails; the message has what it said.
    pub fn run(&self, program: &str, words: &[&str]) -> io::Result<String> {
        let told =
            |reason: &dyn std::fmt::Display| io::Error::other(format!("{program}: {reason}"));
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child =
            self.namespace.spawn(&mut command, Signal::SIGKILL).map_err(|error| told(&error))?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(told(&String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Gives a device an address, written `ADDRESS/LENGTH`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn add_address(&self, device: &str, address: &str) -> io::Result<()> {
        let (ip, len) = parse_prefix(address)?;
        self.netlink(|socket| {
            let index = socket.link_index(device)?;
            socket.add_address(&Address::new(index, ip, len))
        })
    }

    /// Sends what has no better route to `gateway`.
    ///
    /// # Errors
    /// When the gateway is on no connected network.
    pub fn add_default_route(&self, gateway: IpAddr) -> io::Result<()> {
        let any = Family::of(gateway).unspecified();
        let route = Route { gateway: Some(gateway), ..Route::new(any, 0) };
        self.netlink(|socket| socket.replace_route(&route))
    }

    /// Sends what goes to a prefix, written `ADDRESS/LENGTH`, to `gateway`.
    ///
    /// # Errors
    /// When the gateway is on no connected network.
    pub fn add_route(&self, prefix: &str, gateway: IpAddr) -> io::Result<()> {
        let (ip, len) = parse_prefix(prefix)?;
        let route = Route { gateway: Some(gateway), ..Route::new(ip, len) };
        self.netlink(|socket| socket.replace_route(&route))
    }

    /// Sends what goes to a prefix, written `ADDRESS/LENGTH`, out by a device.
    ///
    /// # Errors
    /// When there is none of that name, or it is down.
    pub fn add_device_route(&self, prefix: &str, device: &str) -> io::Result<()> {
        let (ip, len) = parse_prefix(prefix)?;
        self.netlink(|socket| {
            let output = Some(socket.link_index(device)?);
            socket.replace_route(&Route { output, ..Route::new(ip, len) })
        })
    }

    /// A UDP socket on this machine.
    ///
    /// # Errors
    /// When the address is not its own, or taken.
    pub fn udp(&self, local: SocketAddr) -> io::Result<UdpSocket> {
        self.inside(|| UdpSocket::bind(local))
    }

    /// A TCP connection from this machine to one that listens on `there`.
    ///
    /// # Errors
    /// When it does not come about.
    pub fn tcp(&self, there: &Place, to: SocketAddr) -> io::Result<(TcpStream, TcpListener)> {
        let listener = there.inside(|| TcpListener::bind(to))?;
        let stream = self.inside(|| TcpStream::connect_timeout(&to, Duration::from_secs(5)))?;
        Ok((stream, listener))
    }

    /// Sends an ICMP echo request and waits for its reply; the round trip, or `TimedOut`.
    ///
    /// # Errors
    /// When no reply came within `patience`, or the machine has not the address `from`.
    pub fn ping(&self, from: IpAddr, to: IpAddr, patience: Duration) -> io::Result<Duration> {
        let identifier = u16::from_be_bytes(linux::random::array()?);
        let socket = self.inside(|| EchoSocket::open(Family::of(to), identifier))?;
        socket.bind(from)?;
        let started_at = Instant::now();
        socket.send(to, 1, &[0x5a; 56])?;
        let (mut poller, mut buffer) = (Poller::new()?, [0; 2048]);
        poller.add(&socket, 0, Interest::Readable)?;
        loop {
            match socket.receive(&mut buffer) {
                Ok(Some(reply)) if reply.from == to => return Ok(started_at.elapsed()),
                Ok(_) => continue,
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error.into()),
            }
            let left = patience.saturating_sub(started_at.elapsed());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let _ = poller.wait(Some(left))?;
        }
    }
}

/// A kernel without IPv6 or a setting of it needs no such setting.
fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Reads `ADDRESS/LENGTH`.
pub(crate) fn parse_prefix(text: &str) -> io::Result<(IpAddr, u8)> {
    text.split_once('/')
        .and_then(|(ip, len)| Some((ip.parse().ok()?, len.parse().ok()?)))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("address '{text}'")))
}
