//! Kernel settings; those under `net` belong to the network namespace of the calling thread.

use std::fs::{self, File};
use std::io::{self, Read};

use crate::system;

/// Octets of a value at most.
const MAX_LEN: usize = 256;

/// Writes a setting, named as below `/proc/sys`: `net/ipv4/ip_forward`.
///
/// # Errors
/// When there is no such setting, or it may not be written; the message has its name.
pub fn write(name: &str, value: &str) -> io::Result<()> {
    fs::write(path(name), value).map_err(|error| named(name, &error))
}

/// Reads a setting, without its final line break.
///
/// # Errors
/// When there is no such setting; the message has its name.
pub fn read(name: &str) -> io::Result<String> {
    let mut octets = [0; MAX_LEN];
    let mut file = File::open(path(name)).map_err(|error| named(name, &error))?;
    let len = file.read(&mut octets).map_err(|error| named(name, &error))?;
    let text = str::from_utf8(octets[..len].trim_ascii_end());
    Ok(text.map_err(|_| io::ErrorKind::InvalidData)?.to_owned())
}

fn path(name: &str) -> String {
    format!("/proc/sys/{name}")
}

fn named(name: &str, error: &io::Error) -> io::Error {
    system::named(&format!("sysctl {name}"), error)
}
