//! A WireGuard tunnel between the two sites that a person configured: with `wg`, without lispguard.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use linux::signals::Signal;

use super::case::Case;
use super::tools::Tools;
use crate::demo::interrupt::Interrupt;
use crate::demo::net::world::{HOME, HOME_UPLINK, OFFICE, OFFICE_UPLINK, WIREGUARD_PORTS};
use crate::demo::net::{Node, World, scratch};

/// What lispguard's own tunnels have here.
const MTU: u32 = 1420;
/// How long a program may take until its device can be configured.
const STARTING: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);
/// Where a userspace WireGuard listens for `wg`.
const SOCKETS: &str = "/var/run/wireguard";
/// How its devices are named, with the number of our process behind.
const DEVICE: &str = "lgb";

/// The tunnel's programs; they end when this is dropped or its process dies.
#[derive(Debug, Default)]
pub(super) struct Tunnel {
    processes: Vec<Child>,
    sockets: Vec<PathBuf>,
}

impl Tunnel {
    /// Connects both sites and routes the LAN of each to the other.
    ///
    /// # Errors
    /// When a program or the kernel's WireGuard is not there, or one refuses.
    pub(super) fn build(
        world: &World,
        case: Case,
        tools: &Tools,
        interrupt: &Interrupt,
    ) -> io::Result<Tunnel> {
        let wg = tools.wg()?;
        let maker = match case {
            Case::Wg => None,
            _ => Some(tools.maker(case)?),
        };
        let mut tunnel = Tunnel::default();
        for (near, far, endpoint, eid_prefix) in [
            (&world.home, &world.office, OFFICE_UPLINK, OFFICE[0]),
            (&world.office, &world.home, HOME_UPLINK, HOME[0]),
        ] {
            let device = match &maker {
                Some(maker) => tunnel.start(near, maker, case, interrupt)?,
                None => create(near)?,
            };
            let address = endpoint.split('/').next().unwrap_or_default();
            let endpoint = format!("{address}:{}", WIREGUARD_PORTS[0]);
            tunnel.configure(near, &wg, &device, &words(near, far, &endpoint, eid_prefix)?)?;
            near.place().set_mtu(&device, MTU)?;
            near.place().set_up(&device)?;
            near.place().add_device_route(eid_prefix, &device)?;
        }
        Ok(tunnel)
    }

    /// Starts a userspace WireGuard and names its device.
    fn start(
        &mut self,
        node: &Node,
        program: &Path,
        case: Case,
        interrupt: &Interrupt,
    ) -> io::Result<String> {
        // The sockets of all devices are in one directory, whatever their namespaces are.
        static COUNT: AtomicU8 = AtomicU8::new(0);
        scratch::remove_stale(Path::new(SOCKETS), DEVICE, Path::new("/proc"));
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let device = format!("{DEVICE}{}-{number}", std::process::id());
        let socket = Path::new(SOCKETS).join(format!("{device}.sock"));
        interrupt.remove_on_signal(socket.clone());
        self.sockets.push(socket);
        let log = File::create(log_of(node))?;
        let mut command = Command::new(program);
        command.arg("--foreground");
        if case == Case::BoringtunCli {
            command.arg("--disable-drop-privileges");
        }
        command.arg(&device).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.processes.push(node.place().namespace().spawn(&mut command, Signal::SIGKILL)?);
        Ok(device)
    }

    /// Runs `wg set`, again until a program that was just started answers.
    fn configure(
        &mut self,
        node: &Node,
        wg: &Path,
        device: &str,
        words: &[String],
    ) -> io::Result<()> {
        let since = Instant::now();
        let words: Vec<_> =
            ["set", device].into_iter().chain(words.iter().map(String::as_str)).collect();
        loop {
            let Err(error) = node.place().run(&wg.to_string_lossy(), &words) else { return Ok(()) };
            let Some(process) = self.processes.last_mut() else { return Err(error) };
            let state = match process.try_wait()? {
                Some(status) => format!("it ended ({status})"),
                None if since.elapsed() > STARTING => "it does not listen".into(),
                None => {
                    thread::sleep(POLL);
                    continue;
                }
            };
            let log = fs::read_to_string(log_of(node)).unwrap_or_default();
            let last = log.lines().last().unwrap_or_default();
            return Err(io::Error::other(format!("{state}: {error} {last}")));
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        for socket in &self.sockets {
            let _ = fs::remove_file(socket);
        }
    }
}

/// Makes the kernel's device.
fn create(node: &Node) -> io::Result<String> {
    node.place().create_link("wg0", "wireguard").map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("the kernel makes no WireGuard device: {error} (modprobe wireguard)"),
        )
    })?;
    Ok("wg0".into())
}

/// What follows `wg set DEVICE`; the private key goes through a file that only we read.
fn words(near: &Node, far: &Node, endpoint: &str, allowed: &str) -> io::Result<Vec<String>> {
    let file = near.directory().join("wg.key");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&file)?.write_all(near.config.private_key.encode().as_bytes())?;
    let key = far.config.private_key.public_key().to_string();
    let port = WIREGUARD_PORTS[0].to_string();
    let words = [
        ["listen-port", &port],
        ["private-key", &file.to_string_lossy()],
        ["peer", &key],
        ["endpoint", endpoint],
        ["allowed-ips", allowed],
    ];
    Ok(words.concat().into_iter().map(String::from).collect())
}

fn log_of(node: &Node) -> PathBuf {
    node.directory().join("wireguard.log")
}
