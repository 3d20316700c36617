//! Reads files that hold secrets: bounded, wiped after use, and never open to others.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::Problem;
use super::key::{ENCODED_LEN, PrivateKey};
use super::problem::{FileProblem, ValueProblem};
use crate::input;

/// A file's octets and permission bits.
pub(super) struct Contents {
    pub(super) octets: Zeroizing<Vec<u8>>,
    pub(super) mode: u32,
}

/// Reads at most `max` octets and one more, which tells that there are too many.
pub(super) fn read(path: &Path, max: usize) -> Result<Contents, FileProblem> {
    let unreadable = |error: io::Error| FileProblem::Unreadable(path.to_owned(), error.kind());
    // Asked before opening, as opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FileProblem::NotAFile(path.to_owned()));
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    let octets = input::octets(&mut file, max + 1).map_err(unreadable)?;
    Ok(Contents { octets, mode })
}

/// Refuses a mode that lets others than the owner read or write.
pub(super) fn check_mode(path: &Path, mode: u32) -> Result<(), FileProblem> {
    if mode & 0o077 != 0 { Err(FileProblem::Exposed(path.to_owned(), mode)) } else { Ok(()) }
}

/// Reads a file that holds a private key in base64, as `lispguard genkey` prints it.
pub(super) fn private_key(path: &Path) -> Result<PrivateKey, Problem> {
    let contents = read(path, ENCODED_LEN + 2)?;
    check_mode(path, contents.mode)?;
    if contents.octets.len() > ENCODED_LEN + 2 {
        return Err(FileProblem::NotAKeyFile(path.to_owned()).into());
    }
    let text = core::str::from_utf8(&contents.octets).unwrap_or("");
    PrivateKey::decode(text.trim_ascii_end()).map_err(|error| ValueProblem::Key(error).into())
}
