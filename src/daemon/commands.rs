//! The commands that need no running router: check, genkey, pubkey.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::config::{Config, ConfigErrors, Place, PrivateKey, SectionName};
use crate::status::json;

/// A key is 44 characters.
const MAX_LINE: u64 = 128;

/// Writes to standard output; a reader that went away is not an error.
pub fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Says whether the configuration, which errors call `name`, is right; exit 2 when it is not. As
/// JSON, all that is wrong is on standard output.
pub fn check(path: &Path, name: &str, is_json: bool) -> ExitCode {
    let loaded = Config::load_as(path, name);
    if is_json {
        print(&json(&Verdict::of(loaded.as_ref().err())));
    }
    match &loaded {
        Ok(_) => {
            if !is_json {
                print(&format!("{name}: right\n"));
            }
            ExitCode::SUCCESS
        }
        Err(_) if is_json => ExitCode::from(2),
        Err(errors) => refuse(errors),
    }
}

/// What is wrong with a configuration, for programs.
#[derive(Serialize)]
struct Verdict<'a> {
    ok: bool,
    problems: Vec<Told<'a>>,
}

/// One thing that is wrong; what does not apply is null.
#[derive(Serialize)]
struct Told<'a> {
    file: &'a str,
    line: Option<u32>,
    /// Its name, or its type where it has none.
    section: Option<&'a str>,
    option: Option<&'a str>,
    text: String,
}

impl Verdict<'_> {
    fn of(errors: Option<&ConfigErrors>) -> Verdict<'_> {
        let problems = errors.into_iter().flatten().map(|error| {
            let (section, option) = match &error.place {
                Place::File => (None, None),
                Place::Section(section) => (Some(section), None),
                Place::Option(option, section) => (Some(section), Some(option.as_str())),
            };
            let section = section.map(|name| {
                let (SectionName::Named(name) | SectionName::Anonymous(name)) = name;
                name.as_str()
            });
            let text = error.problem.to_string();
            Told { file: &error.file, line: error.line, section, option, text }
        });
        let problems: Vec<_> = problems.collect();
        Verdict { ok: problems.is_empty(), problems }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        json(&Verdict::of(Config::parse(text.as_bytes(), "f").err().as_ref()))
    }

    #[test]
    fn what_is_wrong_is_told_to_programs() {
        let text = told("config lispguard 'main'\n\toption mtu '\"'\nconfig nonsense\n");
        assert!(text.starts_with(r#"{"ok":false,"problems":[{"file":"f","line":"#), "{text}");
        assert!(
            text.contains(r#""line":2,"section":"main","option":"mtu","text":"'\"' is"#),
            "{text}"
        );
        assert!(text.contains(r#""line":3,"section":"nonsense","option":null"#), "{text}");
        assert_eq!(json(&Verdict::of(None)), "{\"ok\":true,\"problems\":[]}\n");
    }
}
