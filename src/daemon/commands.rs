//! The commands that need no running router: check, genkey, pubkey.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use zeroize::Zeroizing;

use crate::config::{Config, ConfigErrors, PrivateKey};

/// A key is 44 characters.
const MAX_LINE: u64 = 128;

/// Writes to standard output; a reader that went away is not an error.
pub fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Says whether the configuration, which errors call `name`, is right; exit 2 when it is not.
pub fn check(path: &Path, name: &str) -> ExitCode {
    match load(path, name) {
        Ok(_) => {
            print(&format!("{name}: right\n"));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Loads the configuration, which errors call `name`.
///
/// # Errors
/// Exit code 2; what is wrong is on standard error then, one error a line.
pub fn load(path: &Path, name: &str) -> Result<Config, ExitCode> {
    Config::load_as(path, name).map_err(|errors| refuse(&errors))
}

/// Prints what is wrong with a configuration, one error a line, and returns exit code 2.
pub fn refuse(errors: &ConfigErrors) -> ExitCode {
    for error in errors {
        eprintln!("lispguard: {error}");
    }
    ExitCode::from(2)
}

/// Prints a new private key, as JSON together with its public key.
pub fn genkey(is_json: bool) -> ExitCode {
    let mut octets = Zeroizing::new([0; 32]);
    if let Err(error) = linux::random::fill(octets.as_mut_slice()) {
        eprintln!("lispguard: the kernel gives no random numbers: {error}");
        return ExitCode::FAILURE;
    }
    let key = PrivateKey::from_random(*octets);
    let text = key.encode();
    let _ = if is_json {
        let public = key.public_key();
        let private = text.as_str();
        writeln!(io::stdout(), r#"{{"private_key":"{private}","public_key":"{public}"}}"#)
    } else {
        writeln!(io::stdout(), "{}", text.as_str())
    };
    ExitCode::SUCCESS
}

/// Reads a private key from standard input and prints its public key.
pub fn pubkey() -> ExitCode {
    let mut line = Zeroizing::new(String::with_capacity(MAX_LINE as usize));
    if let Err(error) = io::stdin().lock().take(MAX_LINE).read_line(&mut line) {
        eprintln!("lispguard: standard input: {error}");
        return ExitCode::FAILURE;
    }
    match PrivateKey::decode(line.trim()) {
        Ok(key) => {
            print(&format!("{}\n", key.public_key()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lispguard: standard input holds no private key: {error}");
            ExitCode::FAILURE
        }
    }
}
