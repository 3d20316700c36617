//! From a file to a checked configuration.

use std::path::Path;

use control::mobile_node::lanes;
use uci::{Document, Section, limits::MAX_FILE};
use zeroize::Zeroizing;

use super::error::{ConfigErrors, Place};
use super::key::PrivateKey;
use super::problem::{FileProblem, SectionProblem, ValueProblem};
use super::reader::{Reader, Report};
use super::schema::{SECTIONS, SectionRule};
use super::sections::{self, Others};
use super::{Config, MAX_EID_PREFIXES, MAX_MAP_SERVERS, MAX_UPLINKS, Problem, file};

/// Options whose values are secrets.
const SECRETS: [&str; 2] = ["private_key", "authentication_key"];

impl Config {
    /// Reads and checks a configuration file, and the private key file it names.
    ///
    /// # Errors
    /// All that is wrong, each with line, option and remedy.
    pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
        Config::load_as(path, &path.display().to_string())
    }

    /// As `load`, for a copy of the file that errors call `name`.
    ///
    /// # Errors
    /// As `load`.
    pub fn load_as(path: &Path, name: &str) -> Result<Config, ConfigErrors> {
        load_waiving(path, name, |_| false)
    }

    /// As `load`, for who needs no key: that its file is gone is no error, and the key another one.
    ///
    /// # Errors
    /// As `load`.
    pub fn load_without_key(path: &Path) -> Result<Config, ConfigErrors> {
        load_waiving(path, &path.display().to_string(), |problem| {
            matches!(problem, Problem::File(_))
        })
    }

    /// As `load_as`, for a file that may still lack Map-Servers; the file's octets come along.
    ///
    /// # Errors
    /// As `load`.
    pub fn load_unjoined(
        path: &Path,
        name: &str,
    ) -> Result<(Config, Zeroizing<Vec<u8>>), ConfigErrors> {
        match file::read(path, MAX_FILE) {
            Ok(contents) => {
                let origin = Some((path, contents.mode));
                Ok((read(&contents.octets, name, origin, lacks_map_servers)?, contents.octets))
            }
            Err(problem) => unreadable(name, problem),
        }
    }

    /// Checks a configuration; `file` is what errors call it.
    ///
    /// # Errors
    /// All that is wrong, each with line, option and remedy.
    pub fn parse(octets: &[u8], file: &str) -> Result<Config, ConfigErrors> {
        read(octets, file, None, |_| false)
    }
}

fn load_waiving(
    path: &Path,
    name: &str,
    is_waived: fn(&Problem) -> bool,
) -> Result<Config, ConfigErrors> {
    match file::read(path, MAX_FILE) {
        Ok(contents) => read(&contents.octets, name, Some((path, contents.mode)), is_waived),
        Err(problem) => unreadable(name, problem),
    }
}

fn lacks_map_servers(problem: &Problem) -> bool {
    matches!(problem, Problem::Section(SectionProblem::NoneOf("map_server")))
}

fn unreadable<T>(name: &str, problem: FileProblem) -> Result<T, ConfigErrors> {
    let mut report = Report::new(name, |_| false);
    report.add(None, Place::File, problem);
    report.finish(None)
}

fn read(
    octets: &[u8],
    name: &str,
    origin: Option<(&Path, u32)>,
    is_waived: fn(&Problem) -> bool,
) -> Result<Config, ConfigErrors> {
    let mut report = Report::new(name, is_waived);
    match uci::parse(octets) {
        Err(error) => {
            report.add(Some(error.position.line), Place::File, Problem::Syntax(error.kind));
            report.finish(None)
        }
        Ok(document) => {
            if let Some((path, mode)) = origin {
                check_secrets(&document, path, mode, &mut report);
            }
            let config = check(&document, &mut report);
            report.finish(config)
        }
    }
}

/// Refuses secrets in a file that others may read.
fn check_secrets(document: &Document, path: &Path, mode: u32, report: &mut Report) {
    let Err(problem) = file::check_mode(path, mode) else { return };
    for section in &document.sections {
        if let Some(name) = SECRETS.into_iter().find(|name| section.option(name).is_some()) {
            Reader { section, report }.about(name, problem);
            return;
        }
    }
}

/// Reads every section; the value counts only when nothing was reported.
fn check(document: &Document, report: &mut Report) -> Option<Config> {
    let main_rule = &SECTIONS[0];
    let mut mains = document.sections.iter().filter(|section| is_main(section));
    let Some(main) = mains.next() else {
        report.add(None, Place::File, SectionProblem::NoMain);
        return None;
    };
    let is_named_main = main.name.as_deref() == Some("main");
    for other in mains.chain((!is_named_main).then_some(main)) {
        report.section(other, SectionProblem::MainName);
    }
    let roles = sections::roles(&mut Reader { section: main, report });
    let mut reader = Reader::open(main, main_rule, roles, report);
    let private_key = sections::private_key(&mut reader);
    let own_key = private_key.as_ref().map(PrivateKey::public_key);
    // A stand-in for a wrong key or role lets the rest be read, so that it is reported as well.
    let stand_in = || PrivateKey::from_random([0; 32]);
    let private_key = private_key.unwrap_or_else(stand_in);
    let mut config = sections::main(&mut reader, roles.unwrap_or_default(), private_key);
    let eid_space = main.option("eid_space").map_or(0, |option| option.value.texts().len());
    let is_eid_space_known = eid_space > 0 && eid_space == config.eid_space.len();
    let mut others = Others { own_key, is_eid_space_known, ..Others::default() };
    for section in document.sections.iter().filter(|section| !is_main(section)) {
        match SectionRule::of(&section.section_type) {
            Some(rule) => {
                let mut reader = Reader::open(section, rule, roles, report);
                add(&mut config, &mut others, &mut reader);
            }
            None => {
                let found = section.section_type.chars().take(40).collect();
                report.section(section, SectionProblem::UnknownType(found));
            }
        }
    }
    others.report_nested(report);
    check_lanes(&config, main, report);
    check_table(&config, main, report);
    check_counts(document, &config, main, report);
    Some(config)
}

fn is_main(section: &Section) -> bool {
    section.section_type == SECTIONS[0].section_type
}

/// Adds what a section says.
fn add(config: &mut Config, others: &mut Others, reader: &mut Reader<'_>) {
    match reader.section.section_type.as_str() {
        "eid_prefix" => config.eid_prefixes.extend(others.eid_prefix(config, reader)),
        "map_server" => config.map_servers.extend(others.map_server(config, reader)),
        "site" => config.sites.extend(others.site(config, reader)),
        "uplink" => config.uplinks.extend(others.uplink(reader)),
        other => unreachable!("the schema has no section type {other}"),
    }
}

/// Refuses a data port that leaves the lanes none of their own.
fn check_lanes(config: &Config, main: &Section, report: &mut Report) {
    let Config { ports, uplinks, .. } = config;
    for lane in 1..lanes::of(uplinks.iter().map(|one| one.priority)).len() as u8 {
        let port = ports.lane(lane);
        if port == ports.control || ports.lane(lane - 1) == port {
            Reader { section: main, report }.about("data_port", ValueProblem::LanePort(port));
        }
    }
}

/// Refuses what cannot do without rules, where all routes are in the main table.
fn check_table(config: &Config, main: &Section, report: &mut Report) {
    if !config.routing.is_main() {
        return;
    }
    let mut reader = Reader { section: main, report };
    if !config.uplinks.is_empty() {
        reader.about("table", ValueProblem::NeedsRules("`config uplink`"));
    }
    if config.eid_space.iter().any(|space| space.len() == 0) {
        reader.about("table", ValueProblem::NeedsRules("an EID-space of everything"));
    }
}

/// Refuses too many sections of a type, and none where the role needs one.
fn check_counts(document: &Document, config: &Config, main: &Section, report: &mut Report) {
    let of = |section_type: &'static str| {
        document.sections.iter().filter(move |section| section.section_type == section_type)
    };
    for (section_type, max) in
        [("eid_prefix", MAX_EID_PREFIXES), ("map_server", MAX_MAP_SERVERS), ("uplink", MAX_UPLINKS)]
    {
        if let Some(section) = of(section_type).nth(max) {
            report.section(section, SectionProblem::TooMany(max));
        }
        let is_needed = config.roles.has_database() && section_type != "uplink";
        if is_needed && of(section_type).next().is_none() {
            report.section(main, SectionProblem::NoneOf(section_type));
        }
    }
    if let Some(section) = of("site").nth(config.limits.max_sites) {
        report.section(section, SectionProblem::TooManySites(config.limits.max_sites));
    }
}
