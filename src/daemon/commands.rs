//! The commands that need no running router: check, genkey, pubkey.

use std::fmt::{Display, Write as _};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use zeroize::Zeroizing;

use crate::config::{
    Config, ConfigErrors, DEFAULT_MAX_SITES, LARGEST_MAX_SITES, Place, PrivateKey, SectionName,
};
use crate::input;
use crate::told::{self, Told as _, told};

/// A key is 44 characters.
const MAX_LINE: usize = 128;

/// Writes to standard output; a reader that went away is not an error.
pub fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            fail(1, &format_args!("standard output: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Says why a command did nothing, and gives the exit code back.
pub fn fail(code: u8, why: &dyn Display) -> ExitCode {
    eprintln!("lispguard: {why}");
    ExitCode::from(code)
}

/// Says whether the configuration, which errors call `name`, is right; exit 2 when it is not. As
/// JSON, all that is wrong is on standard output.
pub fn check(path: &Path, name: &str, is_json: bool) -> ExitCode {
    let loaded = Config::load_as(path, name);
    let mut told = ExitCode::SUCCESS;
    if is_json {
        told = print(&told::json(Verdict::of(loaded.as_ref().err()).told()));
    }
    match &loaded {
        Ok(_) if is_json => told,
        Ok(_) => print(&format!("{name}: right\n")),
        Err(_) if is_json => ExitCode::from(2),
        Err(errors) => refuse(errors),
    }
}

told! {
    /// What is wrong with a configuration, for programs.
    struct Verdict<'a> {
        ok: bool,
        problems: Vec<Wrong<'a>>,
        /// Sites of a Map-Server, where `max_sites` does not say it.
        default_max_sites: u32,
        /// The most that `max_sites` may say.
        largest_max_sites: u32,
    }
}

told! {
    /// One thing that is wrong; what does not apply is null.
    struct Wrong<'a> {
        file: &'a str,
        line: Option<u32>,
        /// Its name, or its type where it has none.
        section: Option<&'a str>,
        option: Option<&'a str>,
        text: String,
    }
}

impl Verdict<'_> {
    fn of(errors: Option<&ConfigErrors>) -> Verdict<'_> {
        let mut problems = Vec::new();
        for error in errors.into_iter().flatten() {
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
            problems.push(Wrong { file: &error.file, line: error.line, section, option, text });
        }
        Verdict {
            ok: problems.is_empty(),
            problems,
            default_max_sites: DEFAULT_MAX_SITES as u32,
            largest_max_sites: LARGEST_MAX_SITES,
        }
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
        fail(2, error);
    }
    ExitCode::from(2)
}

/// Prints a new private key, as JSON together with its public key.
pub fn genkey(is_json: bool) -> ExitCode {
    let mut octets = Zeroizing::new([0; 32]);
    if let Err(error) = linux::random::fill(octets.as_mut_slice()) {
        return fail(1, &format_args!("the kernel gives no random numbers: {error}"));
    }
    let key = PrivateKey::from_random(*octets);
    let text = key.encode();
    let mut line = Zeroizing::new(String::with_capacity(MAX_LINE * 2));
    let _ = if is_json {
        let public = key.public_key();
        let private = text.as_str();
        writeln!(line, r#"{{"private_key":"{private}","public_key":"{public}"}}"#)
    } else {
        writeln!(line, "{}", text.as_str())
    };
    print(&line)
}

/// Reads a private key from standard input and prints its public key.
pub fn pubkey() -> ExitCode {
    let line = match input::line(&mut io::stdin(), MAX_LINE) {
        Ok(line) => line,
        Err(error) => return fail(1, &format_args!("standard input: {error}")),
    };
    match PrivateKey::decode(str::from_utf8(&line).unwrap_or_default().trim_ascii()) {
        Ok(key) => print(&format!("{}\n", key.public_key())),
        Err(error) => fail(1, &format_args!("standard input holds no private key: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        told::json(Verdict::of(Config::parse(text.as_bytes(), "f").err().as_ref()).told())
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
        let right = told::json(Verdict::of(None).told());
        assert!(right.starts_with(r#"{"ok":true,"problems":[],"default_max_sites":"#), "{right}");
    }
}
