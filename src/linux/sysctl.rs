//! Kernel settings; those under `net` belong to the network namespace of the calling thread.

use std::fs;
use std::io;

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
    let text = fs::read_to_string(path(name)).map_err(|error| named(name, &error))?;
    Ok(text.trim_end().to_owned())
}

fn path(name: &str) -> String {
    format!("/proc/sys/{name}")
}

fn named(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("sysctl {name}: {error}"))
}
