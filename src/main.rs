//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

#[cfg(feature = "full")]
use daemon::{bench, demo};
use daemon::{client, commands, export, join};

/// The help up to what only the full build has.
const COMMANDS: &str = "\
lispguard: a LISP router whose data plane is WireGuard

Usage: lispguard COMMAND [OPTION...]

  run [-c FILE]      run the router in the foreground
  down [-c FILE]     remove what a run with kernel WireGuard left forwarding when it ended
  check [--json]     say whether the configuration is right; exit 2 when it is not
  status [--json]    show tunnels, mappings and registrations of the running router;
                     exit 0 when all is up, 1 when degraded, 3 when it does not run
  handovers [--json] show the last changes of uplink, and how long each step took
  lig EID [--json]   ask the mapping system where an EID is, and with which key
  export [--host H]  print the line that makes this node known to another one; H is the
                     address or name by which sites reach a Map-Server
  join LINE          add the site or Map-Server of such a line, which may also come by
                     standard input, to the configuration
  genkey [--json]    print a new private key, with --json its public key too
  pubkey             read a private key, print its public key
";

#[cfg(feature = "full")]
const TESTBED: &str = "  \
  demo [OPTION...]   build a small internet in network namespaces and try everything
                     in it (`lispguard demo --help`)
  bench dataplane    measure tunnels side by side (`lispguard bench --help`)
  bench handover     measure how long a mobile node is not heard while it moves
";
#[cfg(not(feature = "full"))]
const TESTBED: &str = "";

const OPTIONS: &str = "
Options:
  -c, --config FILE  the configuration (default /etc/config/lispguard)
      --named FILE   the configuration is a copy, for run and check: errors call it FILE
  -s, --socket PATH  the control socket of the running router, for status, handovers
                     and lig (default: what the configuration says)
  -h, --help         this text
  -V, --version      the version

Exit status: 0 done, 1 failed or degraded, 2 wrong usage or configuration,
3 not running.
A first configuration: `lispguard genkey > control.key`, then uci/README.md.
";

/// What the words of the command line ask for.
#[derive(Default)]
struct Arguments {
    command: Option<String>,
    operands: Vec<String>,
    config: Option<PathBuf>,
    named: Option<String>,
    socket: Option<PathBuf>,
    host: Option<String>,
    is_json: bool,
}

impl Arguments {
    /// Whether a further word may follow: `join` takes a whole line, the others one at most.
    fn takes_another(&self) -> bool {
        self.operands.is_empty() || self.command.as_deref() == Some("join")
    }
}

fn main() -> ExitCode {
    let mut parser = lexopt::Parser::from_env();
    match parse(&mut parser) {
        Ok(Parsed::Run(arguments)) => run(arguments),
        #[cfg(feature = "full")]
        Ok(Parsed::Demo(rest)) => demo::main(&rest),
        #[cfg(feature = "full")]
        Ok(Parsed::Bench(rest)) => bench::main(&rest),
        Ok(Parsed::Help) => {
            for part in [COMMANDS, TESTBED, OPTIONS] {
                commands::print(part);
            }
            ExitCode::SUCCESS
        }
        Ok(Parsed::Version) => {
            commands::print(concat!("lispguard ", env!("CARGO_PKG_VERSION"), "\n"));
            ExitCode::SUCCESS
        }
        Err(error) => usage(&explain(error)),
    }
}

/// The parser's words, with arguments as they were given: a router's build has no `Debug`.
fn explain(error: lexopt::Error) -> String {
    match error {
        lexopt::Error::UnexpectedArgument(value) => {
            format!("unexpected argument \"{}\"", value.display())
        }
        lexopt::Error::UnexpectedValue { option, value } => {
            format!("unexpected argument for option '{option}': \"{}\"", value.display())
        }
        lexopt::Error::NonUnicodeValue(value) => {
            format!("argument is invalid unicode: \"{}\"", value.display())
        }
        other => other.to_string(),
    }
}

/// The outcome of reading the command line.
enum Parsed {
    Run(Arguments),
    #[cfg(feature = "full")]
    Demo(Vec<std::ffi::OsString>),
    #[cfg(feature = "full")]
    Bench(Vec<std::ffi::OsString>),
    Help,
    Version,
}

fn parse(parser: &mut lexopt::Parser) -> Result<Parsed, lexopt::Error> {
    use lexopt::prelude::*;
    let mut arguments = Arguments::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(word)
                if arguments.command.is_none() && (word == "site" || word == "map-server") =>
            {
                return Err("this is a line to give to `lispguard join`".into());
            }
            Short('h') | Long("help") => return Ok(Parsed::Help),
            Short('V') | Long("version") => return Ok(Parsed::Version),
            Short('c') | Long("config") => arguments.config = Some(parser.value()?.into()),
            Short('s') | Long("socket") => arguments.socket = Some(parser.value()?.into()),
            Long("named") => arguments.named = Some(parser.value()?.string()?),
            Long("host") => arguments.host = Some(parser.value()?.string()?),
            Long("json") => arguments.is_json = true,
            Value(word) if arguments.command.is_none() => {
                let command = word.string()?;
                #[cfg(feature = "full")]
                if command == "demo" {
                    return Ok(Parsed::Demo(parser.raw_args()?.collect()));
                }
                #[cfg(feature = "full")]
                if command == "bench" {
                    return Ok(Parsed::Bench(parser.raw_args()?.collect()));
                }
                arguments.command = Some(command);
            }
            Value(word) if arguments.takes_another() => arguments.operands.push(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Parsed::Run(arguments))
}

fn run(arguments: Arguments) -> ExitCode {
    let config = arguments.config.unwrap_or_else(|| PathBuf::from("/etc/config/lispguard"));
    let name = arguments.named.unwrap_or_else(|| config.display().to_string());
    let socket = arguments.socket;
    let is_json = arguments.is_json;
    let words: Vec<&str> = arguments.operands.iter().map(String::as_str).collect();
    match (arguments.command.as_deref(), words.as_slice()) {
        (Some("run"), []) => daemon::run(&config, &name),
        (Some("down"), []) => daemon::down(&config),
        (Some("check"), []) => commands::check(&config, &name, is_json),
        (Some("status"), []) => client::status(&config, socket, is_json),
        (Some("handovers"), []) => client::handovers(&config, socket, is_json),
        (Some("lig"), [eid]) => client::lig(&config, socket, eid, is_json),
        (Some("export"), []) => export::export(&config, &name, arguments.host.as_deref()),
        (Some("join"), words) => join::join(&config, &name, words),
        (Some("genkey"), []) => commands::genkey(is_json),
        (Some("pubkey"), []) => commands::pubkey(),
        (None, _) => {
            eprint!("{COMMANDS}{TESTBED}{OPTIONS}");
            ExitCode::from(2)
        }
        (Some("lig"), []) => usage("lig needs an EID, as in `lispguard lig 10.2.0.1`"),
        (
            Some(
                "run" | "down" | "check" | "status" | "handovers" | "export" | "genkey" | "pubkey",
            ),
            [word, ..],
        ) => usage(&format!("unexpected '{word}'")),
        #[cfg(not(feature = "full"))]
        (Some(word @ ("demo" | "bench")), _) => {
            usage(&format!("there is no {word} in this build; install lispguard-full"))
        }
        (Some(other), _) => usage(&format!("there is no command '{other}'")),
    }
}

fn usage(message: &str) -> ExitCode {
    eprintln!("lispguard: {message}\nSee `lispguard --help`.");
    ExitCode::from(2)
}
