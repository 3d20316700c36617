//! The line by which one node is made known to another: `export` prints it, `join` reads it.

use core::fmt;
use core::str::FromStr;

use control::{EidPrefix, PeerKey, PrefixError};

use crate::config::key::{self, KeyError};
use crate::config::{Endpoint, EndpointError};

/// Octets of a line.
pub const MAX_LINE: usize = 64 * 1024;
/// A site's name, in octets.
const MAX_NAME: usize = 63;
/// An endpoint with a host name of 253 octets is the longest word.
const MAX_WORD: usize = 260;

/// What a line says; prefixes are without instance-ID.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JoinLine {
    /// `lispguard site NAME KEY EID-PREFIX…`, for a Map-Server.
    Site {
        /// The section's name at the Map-Server: letters, digits and `_`.
        name: String,
        /// The site's public control key.
        public_key: PeerKey,
        /// What it may register; never empty.
        eid_prefixes: Vec<EidPrefix>,
    },
    /// `lispguard map-server KEY HOST:PORT EID-SPACE…`, for a site.
    MapServer {
        /// The Map-Server's public control key.
        public_key: PeerKey,
        /// Where it listens.
        endpoint: Endpoint,
        /// What the site's EID-space should hold; may be empty.
        eid_space: Vec<EidPrefix>,
    },
}

/// Why a text is not such a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LineError {
    /// Longer than [`MAX_LINE`].
    TooLong,
    /// The word at this place, counted from 1, is too long or has characters that no word has.
    Word(usize),
    /// It begins otherwise.
    Kind,
    /// It ends before this word.
    Missing(&'static str),
    /// The site's name.
    Name,
    /// The key.
    Key(KeyError),
    /// The endpoint.
    Endpoint(EndpointError),
    /// A prefix.
    Prefix(String, PrefixError),
}

impl FromStr for JoinLine {
    type Err = LineError;

    fn from_str(line: &str) -> Result<JoinLine, LineError> {
        if line.len() > MAX_LINE {
            return Err(LineError::TooLong);
        }
        let mut words: Vec<&str> =
            line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        if let Some(place) = words.iter().position(|word| !is_word(word)) {
            return Err(LineError::Word(place + 1));
        }
        if words.first() == Some(&"lispguard") {
            words.remove(0);
        }
        let mut words = words.into_iter();
        match words.next() {
            Some("site") => {
                let name = words.next().ok_or(LineError::Missing("NAME"))?;
                if name.len() > MAX_NAME || !name.bytes().all(is_name_octet) {
                    return Err(LineError::Name);
                }
                let public_key = public_key(words.next())?;
                let eid_prefixes = words.map(prefix).collect::<Result<Vec<_>, _>>()?;
                if eid_prefixes.is_empty() {
                    return Err(LineError::Missing("EID-PREFIX"));
                }
                Ok(JoinLine::Site { name: name.to_owned(), public_key, eid_prefixes })
            }
            Some("map-server") => {
                let public_key = public_key(words.next())?;
                let endpoint = words.next().ok_or(LineError::Missing("HOST:PORT"))?;
                let endpoint = endpoint.parse().map_err(LineError::Endpoint)?;
                let eid_space = words.map(prefix).collect::<Result<_, _>>()?;
                Ok(JoinLine::MapServer { public_key, endpoint, eid_space })
            }
            _ => Err(LineError::Kind),
        }
    }
}

/// Whether it is short and has nothing that a shell, a terminal or UCI takes for more than itself.
fn is_word(word: &str) -> bool {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"_-+/=.:[]".contains(&octet);
    word.len() <= MAX_WORD && word.bytes().all(is_plain)
}

/// What the name of a UCI section holds.
pub const fn is_name_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

fn public_key(word: Option<&str>) -> Result<PeerKey, LineError> {
    let key = key::decode(word.ok_or(LineError::Missing("KEY"))?).map_err(LineError::Key)?;
    Ok(PeerKey(*key))
}

fn prefix(word: &str) -> Result<EidPrefix, LineError> {
    let wrong = |error| LineError::Prefix(word.to_owned(), error);
    // A bare address is more likely a mistake than a host.
    if !word.contains('/') {
        return Err(wrong(PrefixError::Syntax));
    }
    word.parse().map_err(wrong)
}

impl fmt::Display for JoinLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefixes = match self {
            JoinLine::Site { name, public_key, eid_prefixes } => {
                write!(f, "lispguard site {name} {public_key}")?;
                eid_prefixes
            }
            JoinLine::MapServer { public_key, endpoint, eid_space } => {
                write!(f, "lispguard map-server {public_key} {endpoint}")?;
                eid_space
            }
        };
        prefixes.iter().try_for_each(|prefix| write!(f, " {prefix}"))
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::TooLong => write!(f, "the line is longer than {MAX_LINE} octets"),
            LineError::Word(place) => write!(
                f,
                "word {place} is too long, or has characters that no name, key, endpoint or prefix \
                 has; copy the line of `lispguard export` again"
            ),
            LineError::Kind => write!(
                f,
                "this is no line of `lispguard export`, which is `lispguard site NAME KEY \
                 EID-PREFIX…` or `lispguard map-server KEY HOST:PORT EID-SPACE…`"
            ),
            LineError::Missing(word) => write!(f, "the line ends before {word}; copy all of it"),
            LineError::Name => {
                write!(
                    f,
                    "the site's name has other characters than letters, digits and '_', or \
                    more than {MAX_NAME}; write another"
                )
            }
            LineError::Key(error) => write!(f, "the key: {error}"),
            LineError::Endpoint(error) => write!(f, "the endpoint: {error}"),
            LineError::Prefix(word, error) => write!(f, "'{word}': {error}"),
        }
    }
}

impl core::error::Error for LineError {}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=";

    #[test]
    fn what_is_shown_is_read_back() {
        for line in [
            format!("lispguard site home {KEY} 10.1.0.0/24 fd00:1::/48"),
            format!("lispguard map-server {KEY} ms.example.net:51821 10.0.0.0/8 ::/0"),
            format!("lispguard map-server {KEY} [2001:db8::1]:7"),
        ] {
            assert_eq!(line.parse::<JoinLine>().unwrap().to_string(), line);
            let without = line.strip_prefix("lispguard ").unwrap();
            assert_eq!(format!(" {without}\t ").parse::<JoinLine>().unwrap().to_string(), line);
        }
    }

    #[test]
    fn hostile_and_short_lines_are_refused() {
        let site = format!("site a {KEY}");
        for (line, error) in [
            (String::new(), LineError::Kind),
            ("lispguard lispguard site".into(), LineError::Kind),
            ("site".into(), LineError::Missing("NAME")),
            ("site a".into(), LineError::Missing("KEY")),
            (site.clone(), LineError::Missing("EID-PREFIX")),
            (format!("map-server {KEY}"), LineError::Missing("HOST:PORT")),
            (format!("site a-b {KEY} 10.0.0.0/8"), LineError::Name),
            (format!("site {} {KEY} 10.0.0.0/8", "a".repeat(64)), LineError::Name),
            (format!("site a' {KEY} 10.0.0.0/8"), LineError::Word(2)),
            (format!("site a\n {KEY} 10.0.0.0/8"), LineError::Word(2)),
            (format!("{site} 10.0.0.0/8\r"), LineError::Word(4)),
            (format!("{site} 10.0.0.0/8\u{1b}[2J"), LineError::Word(4)),
            (format!("{site} 10.0.0.0/8\0"), LineError::Word(4)),
            (format!("{site} ё"), LineError::Word(4)),
            (format!("{site} \"10.0.0.0/8\""), LineError::Word(4)),
            (format!("{site} {}", "1".repeat(261)), LineError::Word(4)),
            (format!("{site} {}", " ".repeat(MAX_LINE)), LineError::TooLong),
            (format!("{site} 10.0.0.1"), LineError::Prefix("10.0.0.1".into(), PrefixError::Syntax)),
            ("site a x 10.0.0.0/8".into(), LineError::Key(KeyError::Length(1))),
            (format!("map-server {KEY} a:0"), LineError::Endpoint(EndpointError::Port)),
        ] {
            assert_eq!(line.parse::<JoinLine>(), Err(error), "{line:?}");
        }
    }
}
