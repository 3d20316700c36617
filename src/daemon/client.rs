//! Asks a running router over its control socket: status, handovers and lig.

use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::commands::{fail, print, refuse};
use crate::config::{Config, ConfigErrors};
use crate::input;

/// Where the socket is when the configuration cannot be read.
const DEFAULT_SOCKET: &str = "/var/run/lispguard/control.sock";
/// Exit code when no router answers.
const NOT_RUNNING: u8 = 3;
/// The router answers at once, or after the mapping system did: 10 tries take under 10 s.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bounds what is believed of an answer.
const MAX_ANSWER: usize = 64 << 20;

/// Prints the router's status; exit 0 when all is up, 1 when degraded, 3 when not running.
pub fn status(config: &Path, socket: Option<PathBuf>, is_json: bool) -> ExitCode {
    ask(config, socket, if is_json { "status json" } else { "status" })
}

/// Prints the router's last handovers; exit 0, or 3 when it is not running.
pub fn handovers(config: &Path, socket: Option<PathBuf>, is_json: bool) -> ExitCode {
    ask(config, socket, if is_json { "handovers json" } else { "handovers" })
}

/// Asks the mapping system, through the router, where an EID is.
pub fn lig(config: &Path, socket: Option<PathBuf>, eid: &str, is_json: bool) -> ExitCode {
    let Ok(address) = eid.parse::<IpAddr>() else {
        let remedy = "write it as in 10.2.0.1 or fd00::1";
        return fail(2, &format_args!("'{eid}' is not an address; {remedy}"));
    };
    ask(config, socket, &format!("lig {address}{}", if is_json { " json" } else { "" }))
}

fn ask(config: &Path, socket: Option<PathBuf>, request: &str) -> ExitCode {
    let (socket, wrong) = match socket {
        Some(socket) => (socket, None),
        None => socket_of(config),
    };
    match exchange(&socket, request) {
        Ok(answer) => {
            let (code, body) = split(&answer);
            match print(body) {
                ExitCode::SUCCESS => ExitCode::from(code),
                failed => failed,
            }
        }
        Err(error) => {
            if let Some(errors) = wrong {
                refuse(&errors);
                fail(2, &"so this looks at the default socket; name it with --socket");
            }
            fail(NOT_RUNNING, &format_args!("{}: {}", socket.display(), explain(&error)))
        }
    }
}

/// The configured socket; the default one where the configuration is wrong, and why it is.
fn socket_of(config: &Path) -> (PathBuf, Option<ConfigErrors>) {
    match Config::load(config) {
        Ok(config) => (config.control_socket, None),
        Err(errors) => (PathBuf::from(DEFAULT_SOCKET), Some(errors)),
    }
}

fn exchange(socket: &Path, request: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    writeln!(stream, "{request}")?;
    input::text(&mut stream, MAX_ANSWER)
}

/// An answer is a line with the exit code, then what to print.
fn split(answer: &str) -> (u8, &str) {
    match answer.split_once('\n') {
        Some((code, body)) => (code.parse().unwrap_or(1), body),
        None => (1, "the router closed the connection without an answer\n"),
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "lispguard is not running here; start it with `lispguard run`".into()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; run this as the router's user".into()
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "the router does not answer".into(),
        _ => error.to_string(),
    }
}
