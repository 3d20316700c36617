//! The command line.

mod arguments;

use std::path::PathBuf;
use std::process::ExitCode;

#[cfg(feature = "full")]
use daemon::{bench, demo};
use daemon::{client, commands, export, join};

use crate::arguments::{Arguments, Command, Parsed};

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
      --user NAME    for run by root: go on as this user, with no more rights than it takes
  -s, --socket PATH  the control socket of the running router, for status, handovers
                     and lig (default: what the configuration says)
  -h, --help         this text
  -V, --version      the version

Exit status: 0 done, 1 failed or degraded, 2 wrong usage or configuration,
3 not running.
A first configuration: `lispguard genkey > control.key`, then uci/README.md.
";

fn main() -> ExitCode {
    match arguments::parse(&mut std::env::args_os().skip(1)) {
        Ok(Parsed::Run(command, arguments)) => run(command, arguments),
        #[cfg(feature = "full")]
        Ok(Parsed::Demo(rest)) => demo::main(&rest),
        #[cfg(feature = "full")]
        Ok(Parsed::Bench(rest)) => bench::main(&rest),
        Ok(Parsed::Nothing) => {
            eprint!("{COMMANDS}{TESTBED}{OPTIONS}");
            ExitCode::from(2)
        }
        Ok(Parsed::Help) => commands::print(&[COMMANDS, TESTBED, OPTIONS].concat()),
        Ok(Parsed::Version) => {
            commands::print(concat!("lispguard ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Err(message) => commands::fail(2, &format_args!("{message}\nSee `lispguard --help`.")),
    }
}

fn run(command: Command, arguments: Arguments) -> ExitCode {
    let Arguments { operands, config, named, socket, host, user, is_json } = arguments;
    let config = config.unwrap_or_else(|| PathBuf::from("/etc/config/lispguard"));
    let name = named.unwrap_or_else(|| config.display().to_string());
    match command {
        Command::Run => daemon::run(&config, &name, user),
        Command::Down => daemon::down(&config),
        Command::Check => commands::check(&config, &name, is_json),
        Command::Status => client::status(&config, socket, is_json),
        Command::Handovers => client::handovers(&config, socket, is_json),
        Command::Lig => client::lig(&config, socket, &operands.join(" "), is_json),
        Command::Export => export::export(&config, &name, host.as_deref()),
        Command::Join => join::join(&config, &name, &operands),
        Command::Genkey => commands::genkey(is_json),
        Command::Pubkey => commands::pubkey(),
    }
}
