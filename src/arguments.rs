//! The words of the command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What the command line asks for.
pub enum Parsed {
    /// A command.
    Run(Command, Arguments),
    /// The demo, with the words after it.
    #[cfg(feature = "full")]
    Demo(Vec<OsString>),
    /// The bench, with the words after it.
    #[cfg(feature = "full")]
    Bench(Vec<OsString>),
    /// The help.
    Help,
    /// The version.
    Version,
    /// There is no word.
    Nothing,
}

/// What can be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Run,
    Down,
    Check,
    Status,
    Handovers,
    Lig,
    Export,
    Join,
    Genkey,
    Pubkey,
}

const COMMANDS: [(&str, Command); 10] = [
    ("run", Command::Run),
    ("down", Command::Down),
    ("check", Command::Check),
    ("status", Command::Status),
    ("handovers", Command::Handovers),
    ("lig", Command::Lig),
    ("export", Command::Export),
    ("join", Command::Join),
    ("genkey", Command::Genkey),
    ("pubkey", Command::Pubkey),
];

/// What comes with a command.
#[derive(Default)]
pub struct Arguments {
    pub operands: Vec<String>,
    pub config: Option<PathBuf>,
    pub named: Option<String>,
    pub socket: Option<PathBuf>,
    pub host: Option<String>,
    pub user: Option<String>,
    pub is_json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Config,
    Named,
    Socket,
    Host,
    User,
    Json,
    Help,
    Version,
}

/// Each with its short name, where it has one.
const FLAGS: [(&str, &str, Flag); 8] = [
    ("-c", "--config", Flag::Config),
    ("", "--named", Flag::Named),
    ("-s", "--socket", Flag::Socket),
    ("", "--host", Flag::Host),
    ("", "--user", Flag::User),
    ("", "--json", Flag::Json),
    ("-h", "--help", Flag::Help),
    ("-V", "--version", Flag::Version),
];

impl Flag {
    fn has_value(self) -> bool {
        matches!(self, Flag::Config | Flag::Named | Flag::Socket | Flag::Host | Flag::User)
    }
}

/// Reads the words after the program's name.
///
/// # Errors
/// What is wrong with them.
pub fn parse(words: &mut dyn Iterator<Item = OsString>) -> Result<Parsed, String> {
    let mut command = None;
    let mut arguments = Arguments::default();
    let mut has_flags = true;
    while let Some(word) = words.next() {
        if has_flags && word == "--" {
            has_flags = false;
        } else if has_flags && let Some((name, value)) = split(&word) {
            match arguments.set(name, value, words)? {
                Flag::Help => return Ok(Parsed::Help),
                Flag::Version => return Ok(Parsed::Version),
                _ => {}
            }
        } else if let Some(command) = command {
            arguments.add(command, text(&word)?)?;
        } else {
            let word = text(&word)?;
            #[cfg(feature = "full")]
            match word {
                "demo" => return Ok(Parsed::Demo(words.collect())),
                "bench" => return Ok(Parsed::Bench(words.collect())),
                _ => {}
            }
            command = Some(command_of(word)?);
        }
    }
    match command {
        None => Ok(Parsed::Nothing),
        Some(Command::Lig) if arguments.operands.is_empty() => {
            Err("lig needs an EID, as in `lispguard lig 10.2.0.1`".into())
        }
        Some(command) => Ok(Parsed::Run(command, arguments)),
    }
}

impl Arguments {
    /// Takes an option, whose value may be the next word, and says which it is.
    fn set(
        &mut self,
        name: &OsStr,
        value: Option<&OsStr>,
        words: &mut dyn Iterator<Item = OsString>,
    ) -> Result<Flag, String> {
        let is_it = |one: &&(&str, &str, Flag)| *name == *one.0 || *name == *one.1;
        let flag = FLAGS.iter().find(is_it).map(|one| one.2);
        let name = name.display();
        let flag = flag.ok_or_else(|| format!("invalid option '{name}'"))?;
        let value = match value {
            Some(value) if !flag.has_value() => {
                let value = value.display();
                return Err(format!("unexpected argument for option '{name}': \"{value}\""));
            }
            None if flag.has_value() => words.next(),
            value => Some(value.unwrap_or_default().to_owned()),
        };
        let value = value.ok_or_else(|| format!("missing argument for option '{name}'"))?;
        match flag {
            Flag::Config => self.config = Some(value.into()),
            Flag::Socket => self.socket = Some(value.into()),
            Flag::Named => self.named = Some(text(&value)?.to_owned()),
            Flag::Host => self.host = Some(text(&value)?.to_owned()),
            Flag::User => self.user = Some(text(&value)?.to_owned()),
            Flag::Json => self.is_json = true,
            Flag::Help | Flag::Version => {}
        }
        Ok(flag)
    }

    /// Takes a word that is no option: `join` takes a whole line, `lig` one word.
    fn add(&mut self, command: Command, word: &str) -> Result<(), String> {
        match command {
            Command::Join => {}
            Command::Lig if self.operands.is_empty() => {}
            Command::Lig => return Err(format!("unexpected argument \"{word}\"")),
            _ => return Err(format!("unexpected '{word}'")),
        }
        self.operands.push(word.to_owned());
        Ok(())
    }
}

fn command_of(word: &str) -> Result<Command, String> {
    if word == "site" || word == "map-server" {
        return Err("this is a line to give to `lispguard join`".into());
    }
    #[cfg(not(feature = "full"))]
    if word == "demo" || word == "bench" {
        return Err(format!("there is no {word} in this build; install lispguard-full"));
    }
    let found = COMMANDS.iter().find(|one| one.0 == word);
    found.map(|one| one.1).ok_or_else(|| format!("there is no command '{word}'"))
}

/// The name of an option with its dashes, and the value that is in the same word.
fn split(word: &OsStr) -> Option<(&OsStr, Option<&OsStr>)> {
    let octets = word.as_bytes();
    let (name, value) = match octets {
        [b'-', b'-', ..] => match octets.iter().position(|octet| *octet == b'=') {
            Some(end) => (&octets[..end], Some(&octets[end + 1..])),
            None => (octets, None),
        },
        [b'-', _] => (octets, None),
        [b'-', _, b'=', value @ ..] | [b'-', _, value @ ..] => (&octets[..2], Some(value)),
        _ => return None,
    };
    Some((OsStr::from_bytes(name), value.map(OsStr::from_bytes)))
}

fn text(word: &OsStr) -> Result<&str, String> {
    word.to_str().ok_or_else(|| format!("argument is invalid unicode: \"{}\"", word.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, String> {
        parse(&mut line.split(' ').filter(|word| !word.is_empty()).map(OsString::from))
    }

    fn run(line: &str) -> (Command, Arguments) {
        match parsed(line) {
            Ok(Parsed::Run(command, arguments)) => (command, arguments),
            Err(error) => panic!("{line}: {error}"),
            Ok(_) => panic!("{line}"),
        }
    }

    #[test]
    fn options_stand_anywhere_and_in_each_form() {
        for line in [
            "-c /a status",
            "status -c/a",
            "status --config=/a",
            "--config /a status",
            "status -c=/a",
        ] {
            let (command, arguments) = run(line);
            assert!(command == Command::Status && arguments.config == Some("/a".into()), "{line}");
        }
        let (_, arguments) = run("join --json -- --host site -c");
        assert_eq!(arguments.operands, ["--host", "site", "-c"]);
        assert!(arguments.is_json && arguments.host.is_none());
        assert_eq!(run("lig 10.2.0.1 -s x").1.operands, ["10.2.0.1"]);
        assert!(matches!(parsed("status -h"), Ok(Parsed::Help)));
        assert!(matches!(parsed("-V"), Ok(Parsed::Version)));
        assert!(matches!(parsed(""), Ok(Parsed::Nothing)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, said) in [
            ("status --jsn", "invalid option '--jsn'"),
            ("status -x", "invalid option '-x'"),
            ("status --config", "missing argument for option '--config'"),
            ("status --json=1", "unexpected argument for option '--json': \"1\""),
            ("-hx", "unexpected argument for option '-h': \"x\""),
            ("status now", "unexpected 'now'"),
            ("lig a b", "unexpected argument \"b\""),
            ("lig", "lig needs an EID, as in `lispguard lig 10.2.0.1`"),
            ("site a", "this is a line to give to `lispguard join`"),
            ("stats", "there is no command 'stats'"),
        ] {
            assert_eq!(parsed(line).err().as_deref(), Some(said), "{line}");
        }
    }
}
