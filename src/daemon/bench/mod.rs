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
use self::rounds::Built;
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
    let offload = Offload::probe();
    let mut cases = wanted(options);
    let (text, has_failed) = if options.is_sweep {
        let paths = build(&mut cases, 1, options, &interrupt)?;
        let paths: Vec<Path> = paths.into_iter().filter_map(|(_, path)| path.ok()).collect();
        sweep::measure(&paths, options, offload)
    } else {
        let build = |round| build(&mut cases, round, options, &interrupt);
        let (results, has_failed) = rounds::measure(build, options, offload)?;
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

fn wanted(options: &Options) -> Vec<Case> {
    let is_wanted = |case: &Case| options.cases.is_empty() || options.cases.contains(case);
    Case::ALL.into_iter().filter(is_wanted).collect()
}

/// Builds the ways of a round. In the first one, cases that cannot be had are left out from then
/// on, and it is said why.
fn build(
    cases: &mut Vec<Case>,
    round: usize,
    options: &Options,
    interrupt: &Interrupt,
) -> io::Result<Vec<Built>> {
    let mut paths = Vec::new();
    for case in rounds::in_order(cases.clone(), round) {
        match Path::build(case, FilePath::new(PROGRAM), &options.tools, interrupt) {
            Err(error) if round == 1 => {
                eprintln!("{} is left out: {error}", case.name());
                cases.retain(|one| *one != case);
            }
            built => paths.push((case, built)),
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
