//! `lispguard demo`: a small internet in network namespaces, and everything tried in it.

pub(crate) mod interrupt;
pub mod net;
mod options;
mod report;
mod step;
mod tour;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use linux::user_namespace;

use self::interrupt::Interrupt;
use self::net::{World, has_privilege};
use self::options::{Asked, Options};
use self::report::Report;
use self::tour::Tour;
use crate::commands::print;

/// This program, also after its file was replaced.
pub(crate) const PROGRAM: &str = "/proc/self/exe";

/// Runs the demo as the words after `demo` ask.
///
/// Exit code 0 when every claim held, 1 when one failed or the demo could not be built, 2 on wrong
/// usage.
pub fn main(words: &[OsString]) -> ExitCode {
    match options::parse(words) {
        Ok(Asked::Run(options)) => run(&options).unwrap_or_else(|error| {
            eprintln!("lispguard demo: {error}");
            ExitCode::FAILURE
        }),
        Ok(Asked::Help) => {
            print(&options::help());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("lispguard demo: {reason}\nSee `lispguard demo --help`.");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> io::Result<ExitCode> {
    let is_root = has_privilege()?;
    if !is_root {
        user_namespace::become_root().map_err(|error| io::Error::other(error.to_string()))?;
    }
    let interrupt = Interrupt::watch()?;
    check_tun()?;
    let mut world = World::build(Path::new(PROGRAM))?;
    if let Some(name) = &options.dataplane {
        world.use_dataplane(name);
    }
    if options.is_masqueraded {
        world.masquerade_office()?;
    }
    let mut tour = Tour::new(world, Report::new(options.is_json))?;
    tour.report().say(&format!(
        "a Map-Server, two sites and a phone in their own network namespaces, as {}\n",
        if is_root { "root" } else { "an ordinary user" }
    ));
    tour.run(options);
    tour.report().finish();
    let code = u8::from(!tour.report().is_ok());
    if options.is_kept {
        interrupt.exit_with(code);
        let entrances = entrances(tour.world(), is_root);
        // Standard output is for the one JSON object.
        if options.is_json {
            eprint!("{entrances}")
        } else {
            print(&entrances);
        }
        loop {
            thread::sleep(Duration::from_secs(3600));
        }
    }
    Ok(ExitCode::from(code))
}

/// Says early, and how to help it, that the nodes will get no TUN device.
pub(crate) fn check_tun() -> io::Result<()> {
    let opened = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    opened.map(drop).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "run as root, or let users open it: chmod 666 /dev/net/tun"
            }
            _ => "load the module: modprobe tun",
        };
        io::Error::new(error.kind(), format!("/dev/net/tun: {error} ({remedy})"))
    })
}

/// How to enter each node, for `--keep`.
fn entrances(world: &World, is_root: bool) -> String {
    let pid = std::process::id();
    let user = match is_root {
        true => String::new(),
        false => format!(" -t {pid} -U --preserve-credentials"),
    };
    let mut text = String::from("\nIt keeps running; Ctrl-C ends it. To enter a node:\n\n");
    for (name, path) in world.entrances() {
        text.push_str(&format!("  {name:<12} nsenter{user} --net={path}\n"));
    }
    text.push_str(&format!(
        "\nConfigurations and logs: {0}\nAsk a node: lispguard status -s {0}/home/control.sock\n",
        world.directory().display()
    ));
    text
}
