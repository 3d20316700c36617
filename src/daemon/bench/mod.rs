//! `lispguard bench`: measurements in network namespaces, of tunnels side by side and of handovers.

mod case;
mod handover;
mod machine;
mod meter;
mod numbers;
mod options;
mod path;
mod plot;
mod receipts;
mod results;
mod rounds;
mod statistics;
mod sweep;
mod tcp;
mod tools;
mod traffic;
mod udp;
mod wireguard;
mod words;

use std::ffi::OsString;
use std::io;
use std::path::Path as FilePath;
use std::process::ExitCode;

use linux::udp::Offload;
use linux::user_namespace;

use self::case::Case;
use self::options::{Asked, Options};
use self::path::Path;
use crate::commands::print;
use crate::demo::interrupt::Interrupt;
use crate::demo::net::has_privilege;
use crate::demo::{PROGRAM, check_tun};

/// Runs the bench as the words after `bench` ask.
///
/// Exit code 0 when every run was good, 1 when one failed or nothing could be built, 2 on wrong
/// usage.
pub fn main(words: &[OsString]) -> ExitCode {
    if let Some((subject, rest)) = words.split_first()
        && subject == "handover"
    {
        return handover::main(rest);
    }
    match options::parse(words) {
        Ok(Asked::Run(options)) => run(&options).unwrap_or_else(|error| {
            eprintln!("lispguard bench: {error}");
            ExitCode::FAILURE
        }),
        Ok(Asked::Help) => {
            print(&options::help());
            if words.len() == 1 {
                print("\n");
                return handover::main(words);
            }
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("lispguard bench: {reason}\nSee `lispguard bench --help`.");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> io::Result<ExitCode> {
    if !has_privilege()? {
        user_namespace::become_root().map_err(|error| io::Error::other(error.to_string()))?;
    }
    let interrupt = Interrupt::watch()?;
    check_tun()?;
    let paths = build(options, &interrupt)?;
    let offload = Offload::probe();
    let (text, has_failed) = if options.is_sweep {
        sweep::measure(&paths, options, offload)
    } else {
        let (results, has_failed) = rounds::measure(&paths, options, offload);
        if let Some(file) = &options.svg {
            std::fs::write(file, plot::draw(&results.rows()))
                .map_err(|error| named(error, &file.display().to_string()))?;
        }
        if options.is_json {
            eprint!("{}", results.ratio_lines());
            (results.to_json(), has_failed)
        } else {
            (format!("\n{}", results.table()), has_failed)
        }
    };
    print(&text);
    Ok(ExitCode::from(u8::from(has_failed)))
}

/// Builds every case that can be had and says, once, why others cannot.
fn build(options: &Options, interrupt: &Interrupt) -> io::Result<Vec<Path>> {
    let mut paths = Vec::new();
    for case in Case::ALL {
        if !options.cases.is_empty() && !options.cases.contains(&case) {
            continue;
        }
        match Path::build(case, FilePath::new(PROGRAM), &options.tools, interrupt) {
            Ok(path) => paths.push(path),
            Err(error) => eprintln!("{} is left out: {error}", case.name()),
        }
    }
    if paths.is_empty() {
        return Err(io::Error::other(
            "nothing is left to measure; --help says what each case needs",
        ));
    }
    Ok(paths)
}

fn named(error: io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
