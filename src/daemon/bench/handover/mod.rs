//! `lispguard bench handover`: how long a mobile node is not heard while it moves.

mod case;
mod download;
mod echoes;
mod forwarder;
mod options;
mod plot;
mod quality;
mod results;
mod run;
mod scene;
mod underlay;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use linux::user_namespace;

use self::case::Backend;
use self::options::{Asked, Options};
use self::results::Results;
use super::named;
use crate::commands::print;
use crate::demo::check_tun;
use crate::demo::interrupt::Interrupt;
use crate::demo::net::{Place, has_privilege};

/// Runs the bench as the words after `bench handover` ask.
///
/// Exit code 0 when every run was good, 1 when one failed or nothing could be built, 2 on wrong
/// usage.
pub(super) fn main(words: &[OsString]) -> ExitCode {
    match options::parse(words) {
        Ok(Asked::Run(options)) => run(&options).unwrap_or_else(|error| {
            eprintln!("lispguard bench handover: {error}");
            ExitCode::FAILURE
        }),
        Ok(Asked::Help) => {
            print(&options::help());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("lispguard bench handover: {reason}\nSee `lispguard bench handover --help`.");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> io::Result<ExitCode> {
    if !has_privilege()? {
        user_namespace::become_root().map_err(|error| io::Error::other(error.to_string()))?;
    }
    let _interrupt = Interrupt::watch()?;
    check_tun()?;
    let mut results = Results::new(options.quality, options.interval);
    for backend in backends(&options.backends)? {
        for case in &options.cases {
            for number in 1..=options.runs {
                let name = format!("{}-{}-{number}", case.name(), backend.name());
                let outcome = run::run(*case, backend, options, &name);
                let told = match &outcome {
                    Ok(run) => results::line(run),
                    Err(error) => format!("FAILED ({error})"),
                };
                let (case_name, runs) = (case.name(), options.runs);
                eprintln!("{case_name}, {}, run {number} of {runs}: {told}", backend.name());
                results.add(*case, backend, outcome.ok());
            }
        }
    }
    if let Some(file) = &options.svg {
        std::fs::write(file, plot::draw(&results))
            .map_err(|error| named(error, &file.display().to_string()))?;
    }
    print(&if options.is_json { results.to_json() } else { format!("\n{}", results.table()) });
    Ok(ExitCode::from(u8::from(results.has_failed())))
}

/// Those asked for that can be had; says why others cannot.
fn backends(asked: &[Backend]) -> io::Result<Vec<Backend>> {
    let mut backends = Vec::new();
    for backend in Backend::ALL {
        if !asked.is_empty() && !asked.contains(&backend) {
            continue;
        }
        match try_out(backend) {
            Ok(()) => backends.push(backend),
            Err(error) => eprintln!("{} is left out: {error}", backend.name()),
        }
    }
    if backends.is_empty() {
        return Err(io::Error::other("nothing is left to measure"));
    }
    Ok(backends)
}

fn try_out(backend: Backend) -> io::Result<()> {
    match backend {
        Backend::Kernel => Place::new("probe")?
            .create_link("probe", "wireguard")
            .map_err(|error| named(error, "no WireGuard in the kernel")),
        Backend::Userspace => Ok(()),
    }
}
