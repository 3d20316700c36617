//! `lispguard join`: adds the node of an exported line to the configuration.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use control::{EidPrefix, PeerKey};
use uci::Section;
use zeroize::Zeroizing;

use crate::commands::{self, fail};
use crate::config::{Config, ConfigErrors, Endpoint, Host, MapServer};
use crate::join_line::{JoinLine, LineError, MAX_LINE, is_name_octet};
use crate::{files, input};

/// Prefixes outside our EID-space that are told of.
const MAX_TOLD: usize = 8;

/// Adds what a line of `lispguard export` says, from `words` or from standard input, to the
/// configuration, which errors call `name`. Exit 0 also when it is there already, 1 when it is
/// there with other values or the file cannot be written, 2 when line or configuration are wrong.
pub fn join(path: &Path, name: &str, words: &[String]) -> ExitCode {
    match try_join(path, name, words) {
        Ok(said) => commands::print(&said),
        Err(Refusal::Config(errors)) => commands::refuse(&errors),
        Err(Refusal::Result(errors)) => {
            fail(2, &"nothing was changed, as with the new section this would be wrong:");
            commands::refuse(&errors)
        }
        Err(Refusal::Line(error)) => fail(2, &error),
        Err(Refusal::Edit(what)) => fail(1, &format_args!("nothing was changed: {what}")),
        Err(Refusal::Io(what, error)) => {
            fail(1, &format_args!("nothing was changed: {what}: {error}"))
        }
    }
}

/// Why nothing was added.
#[derive(Debug)]
enum Refusal {
    /// A line is wrong.
    Line(LineError),
    /// The configuration is wrong already.
    Config(ConfigErrors),
    /// The configuration would become wrong.
    Result(ConfigErrors),
    /// There is something else with this key or name; what to edit is enclosed.
    Edit(String),
    /// What could not be read or written.
    Io(String, io::Error),
}

fn try_join(path: &Path, name: &str, words: &[String]) -> Result<String, Refusal> {
    let lines = if words.is_empty() { from_stdin()? } else { vec![words.join(" ").parse()?] };
    // Where a link leads stays there, and the link stays a link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (config, octets) = Config::load_unjoined(path, name).map_err(Refusal::Config)?;
    let mut added = String::new();
    let mut said = String::new();
    let mut adds_map_server = false;
    for line in for_roles(&config, lines) {
        match plan(&config, &line, name)? {
            Plan::Is(what) => said += &format!("{what} is in {name} already\n"),
            Plan::Add(what, section) => {
                adds_map_server |= matches!(line, JoinLine::MapServer { .. });
                added += &format!("\n{section}");
                said += &format!("added {what} to {name}\n");
            }
        }
        said += &outside(&config, &line);
    }
    if added.is_empty() {
        return Ok(said);
    }
    let octets = appended(&octets, &added);
    let config = Config::parse(&octets, name).map_err(Refusal::Result)?;
    files::replace(path, &octets, Some(path))
        .map_err(|error| Refusal::Io(name.to_owned(), error))?;
    said += "Next: `/etc/init.d/lispguard reload`, or SIGHUP to a router that runs otherwise.\n";
    if config.roles.has_database() && adds_map_server {
        said += "The Map-Server has to know this node as well: give it what `lispguard export` prints.\n";
    }
    Ok(said)
}

impl From<LineError> for Refusal {
    fn from(error: LineError) -> Refusal {
        Refusal::Line(error)
    }
}

/// The lines of standard input, each once.
fn from_stdin() -> Result<Vec<JoinLine>, Refusal> {
    let mut stdin = io::stdin();
    if stdin.is_terminal() {
        eprintln!("Paste the line that `lispguard export` printed, then press Enter and Ctrl-D.");
    }
    let wrong = |error| Refusal::Io("standard input".into(), error);
    let text = input::text(&mut stdin, MAX_LINE + 1).map_err(wrong)?;
    if text.len() > MAX_LINE {
        return Err(LineError::TooLong.into());
    }
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.trim_ascii().is_empty()) {
        let line = line.parse()?;
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if lines.is_empty() { Err(LineError::Kind.into()) } else { Ok(lines) }
}

/// Of several lines, which are a node's two sides, those that our roles have a use for.
fn for_roles(config: &Config, lines: Vec<JoinLine>) -> Vec<JoinLine> {
    let is_used = |line: &JoinLine| match line {
        JoinLine::Site { .. } => config.roles.is_map_server,
        JoinLine::MapServer { .. } => config.roles.has_database(),
    };
    if lines.iter().any(is_used) { lines.into_iter().filter(is_used).collect() } else { lines }
}

/// What a line asks for, and what it is called.
enum Plan {
    /// Nothing.
    Is(String),
    /// A section.
    Add(String, Section),
}

fn plan(config: &Config, line: &JoinLine, file: &str) -> Result<Plan, Refusal> {
    match line {
        JoinLine::Site { name, public_key, eid_prefixes } => {
            site(config, name, *public_key, eid_prefixes, file)
        }
        JoinLine::MapServer { public_key, endpoint, .. } => {
            map_server(config, *public_key, endpoint, file)
        }
    }
}

fn site(
    config: &Config,
    name: &str,
    key: PeerKey,
    prefixes: &[EidPrefix],
    file: &str,
) -> Result<Plan, Refusal> {
    if let Some(known) = config.sites.iter().find(|known| known.public_key == key) {
        let own: Vec<_> =
            prefixes.iter().map(|one| one.with_instance_id(config.instance_id)).collect();
        let is_same = own.iter().all(|one| known.eid_prefixes.contains(one))
            && known.eid_prefixes.iter().all(|one| own.contains(one));
        let what = format!("site '{}'", known.name);
        if is_same {
            return Ok(Plan::Is(what));
        }
        let lists: String =
            prefixes.iter().map(|prefix| format!("\n\tlist eid_prefix '{prefix}'")).collect();
        return Err(Refusal::Edit(format!(
            "{what} has this key and other prefixes; what the line says is, in `config {what}` \
             of {file}:{lists}"
        )));
    }
    if config.sites.iter().any(|known| known.name == name) {
        return Err(Refusal::Edit(format!(
            "site '{name}' has another key; if it is the same site with a new one, write \
             `option public_key '{key}'` in `config site '{name}'` of {file}, else put another \
             name in the line"
        )));
    }
    if is_taken(config, name) {
        return Err(Refusal::Edit(format!(
            "another section of {file} is called '{name}'; put another name in the line"
        )));
    }
    let mut section = Section::new("site", Some(name));
    section.set("public_key", &key.to_string());
    for prefix in prefixes {
        section.add("eid_prefix", &prefix.to_string());
    }
    Ok(Plan::Add(format!("site '{name}'"), section))
}

fn map_server(
    config: &Config,
    key: PeerKey,
    endpoint: &Endpoint,
    file: &str,
) -> Result<Plan, Refusal> {
    let is_myself = config.private_key.public_key() == key;
    if let Some(known) = config.map_servers.iter().find(|known| known.public_key == key) {
        let what = format!("map_server '{}'", known.name);
        if is_myself || known.endpoint.as_ref() == Some(endpoint) {
            return Ok(Plan::Is(what));
        }
        return Err(Refusal::Edit(format!(
            "{what} has this key and another endpoint; what the line says is \
             `option endpoint '{endpoint}'` in `config {what}` of {file}"
        )));
    }
    let is_there = |known: &&MapServer| known.endpoint.as_ref() == Some(endpoint);
    if let Some(known) = config.map_servers.iter().find(is_there) {
        let name = &known.name;
        return Err(Refusal::Edit(format!(
            "map_server '{name}' has this endpoint and another key; if that is out of date, write \
             `option public_key '{key}'` in `config map_server '{name}'` of {file}"
        )));
    }
    let name = free_name(config, &endpoint.host);
    let mut section = Section::new("map_server", Some(&name));
    section.set("public_key", &key.to_string());
    if !is_myself {
        section.set("endpoint", &endpoint.to_string());
    }
    Ok(Plan::Add(format!("map_server '{name}'"), section))
}

/// Whether a section has this name, whatever its type.
fn is_taken(config: &Config, name: &str) -> bool {
    let sites = config.sites.iter().map(|one| &one.name);
    let servers = config.map_servers.iter().map(|one| &one.name);
    let prefixes = config.eid_prefixes.iter().filter_map(|one| one.name.as_ref());
    let uplinks = config.uplinks.iter().map(|one| &one.name);
    name == "main" || sites.chain(servers).chain(prefixes).chain(uplinks).any(|one| one == name)
}

/// A name for the section of a Map-Server on this host.
fn free_name(config: &Config, host: &Host) -> String {
    let first = match host {
        Host::Name(name) => name.split('.').next().unwrap_or_default(),
        Host::Address(_) => "map_server",
    };
    let plain = |octet| if is_name_octet(octet) { char::from(octet) } else { '_' };
    let name: String = first.bytes().map(plain).collect();
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    let mut names = std::iter::once(name.clone()).chain(numbered);
    names
        .find(|name| !is_taken(config, name))
        .expect("a file has fewer names than there are numbers")
}

/// Says which prefixes of a Map-Server's EID-space the configuration leaves outside the overlay.
fn outside(config: &Config, line: &JoinLine) -> String {
    let JoinLine::MapServer { eid_space, .. } = line else { return String::new() };
    let is_outside = |prefix: &&EidPrefix| {
        let prefix = prefix.with_instance_id(config.instance_id);
        !config.eid_space.iter().any(|space| space.covers(&prefix))
    };
    let say = |prefix| {
        format!(
            "{prefix} is outside our EID-space: to send there, add `list eid_space '{prefix}'` to \
             `config lispguard 'main'`\n"
        )
    };
    eid_space.iter().filter(is_outside).take(MAX_TOLD).map(say).collect()
}

/// The file with the sections at its end; its last line is ended first where that was missing.
fn appended(octets: &[u8], sections: &str) -> Zeroizing<Vec<u8>> {
    let end = if octets.last().is_none_or(|&last| last == b'\n') { "" } else { "\n" };
    // All at once, so that no copy of a secret is left behind.
    Zeroizing::new([octets, end.as_bytes(), sections.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::PathBuf;
    use std::process;

    use super::*;

    const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
    const OTHER: &str = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=";
    const THIRD: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

    /// A configuration in a directory of its own, removed when the test ends.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, text: &str) -> Scratch {
            let name = format!("lispguard-join-{}-{name}", process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            let scratch = Scratch(path);
            scratch.write(text, 0o600);
            scratch
        }

        fn file(&self) -> PathBuf {
            self.0.join("lispguard")
        }

        fn write(&self, text: &str, mode: u32) {
            fs::write(self.file(), text).unwrap();
            fs::set_permissions(self.file(), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn text(&self) -> String {
            assert_eq!(fs::read_dir(&self.0).unwrap().count(), 1, "nothing else is left behind");
            fs::read_to_string(self.file()).unwrap()
        }

        fn join(&self, line: &str) -> Result<String, Refusal> {
            try_join(&self.file(), "f", &line.split(' ').map(String::from).collect::<Vec<_>>())
        }

        /// What is to be edited instead of a section that is added.
        fn edit(&self, line: &str) -> String {
            let before = self.text();
            let refusal = self.join(line).unwrap_err();
            assert_eq!(self.text(), before);
            let Refusal::Edit(what) = refusal else { panic!("{line}: {refusal:?}") };
            what
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn main_section(role: &str) -> String {
        format!(
            "# ours\r\nconfig lispguard 'main'\n\tlist role '{role}'\n\toption private_key '{KEY}'"
        )
    }

    fn xtr() -> String {
        let main = main_section("xtr");
        format!(
            "{main}\n list eid_space 10.0.0.0/8\nconfig eid_prefix ms\n option prefix 10.1.0.0/24\n"
        )
    }

    #[test]
    fn a_site_is_added_once_and_the_rest_stays_as_it_was() {
        let before = main_section("map_server");
        let scratch = Scratch::new("site", &before);
        scratch.write(&before, 0o400);
        let line = format!("lispguard site home {OTHER} 10.1.0.0/24 fd00:1::/48");
        assert!(scratch.join(&line).unwrap().starts_with("added site 'home' to f\nNext: "));
        let after = format!(
            "{before}\n\nconfig site 'home'\n\toption public_key '{OTHER}'\n\
             \tlist eid_prefix '10.1.0.0/24'\n\tlist eid_prefix 'fd00:1::/48'\n"
        );
        assert_eq!(scratch.text(), after);
        let metadata = fs::metadata(scratch.file()).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o400);
        for again in [&line, &format!("site away {OTHER} fd00:1::/48 10.1.0.0/24")] {
            assert_eq!(scratch.join(again).unwrap(), "site 'home' is in f already\n");
            assert_eq!(fs::metadata(scratch.file()).unwrap().ino(), metadata.ino());
        }
        let what = scratch.edit(&format!("site home {OTHER} 10.2.0.0/24"));
        assert!(what.ends_with("`config site 'home'` of f:\n\tlist eid_prefix '10.2.0.0/24'"));
        let what = scratch.edit(&format!("site home {THIRD} 10.2.0.0/24"));
        assert!(what.contains(&format!("`option public_key '{THIRD}'`")));
        assert!(scratch.edit(&format!("site main {THIRD} 10.2.0.0/24")).contains("'main'"));
    }

    #[test]
    fn a_first_map_server_makes_the_configuration_complete() {
        let before = xtr();
        let scratch = Scratch::new("server", &before);
        let line = format!("map-server {OTHER} MS.example:7 10.0.0.0/9 192.0.2.0/24");
        let said = scratch.join(&line).unwrap();
        assert!(said.contains("`list eid_space '192.0.2.0/24'`") && !said.contains("10.0.0.0"));
        assert!(said.contains("lispguard export"));
        // An EID-prefix is called `ms`.
        let after = format!(
            "{before}\nconfig map_server 'ms_2'\n\toption public_key '{OTHER}'\n\
             \toption endpoint 'ms.example:7'\n"
        );
        assert_eq!(scratch.text(), after);
        assert!(scratch.join(&line).unwrap().starts_with("map_server 'ms_2' is in f already\n"));
        let what = scratch.edit(&format!("map-server {OTHER} ms.example:8"));
        assert!(what.contains("`option endpoint 'ms.example:8'` in `config map_server 'ms_2'`"));
        let what = scratch.edit(&format!("map-server {THIRD} ms.example:7"));
        assert!(what.contains(&format!("`option public_key '{THIRD}'`")));
    }

    #[test]
    fn a_node_joins_itself() {
        let text = xtr().replace("\tlist role", "\tlist role map_server\n\tlist role");
        let scratch = Scratch::new("itself", &text);
        let own = Config::load_unjoined(&scratch.file(), "f").unwrap().0.private_key.public_key();
        scratch.join(&format!("map-server {own} 192.0.2.1:51821")).unwrap();
        scratch.join(&format!("site home {own} 10.1.0.0/24")).unwrap();
        let config = Config::load(&scratch.file()).unwrap();
        assert!(config.map_servers[0].is_myself() && config.sites.len() == 1);
        assert!(scratch.join(&format!("map-server {own} a")).unwrap().contains("already"));
    }

    #[test]
    fn what_would_make_the_file_wrong_changes_nothing() {
        let scratch = Scratch::new("wrong", &main_section("map_server"));
        scratch.join(&format!("site a {OTHER} 10.1.0.0/16")).unwrap();
        let before = scratch.text();
        for line in [
            format!("site b {THIRD} 10.1.2.0/24"),
            format!("site b {THIRD} 127.0.0.0/8"),
            format!("map-server {THIRD} ms.example"),
        ] {
            assert!(matches!(scratch.join(&line), Err(Refusal::Result(_))), "{line}");
            assert_eq!(scratch.text(), before);
        }
        for line in ["site b'", "site b\nconfig", "", "site b\0"] {
            assert!(matches!(scratch.join(line), Err(Refusal::Line(_))), "{line}");
        }
        scratch.write(&before, 0o644);
        let line = format!("site b {THIRD} 10.2.0.0/16");
        assert!(matches!(scratch.join(&line), Err(Refusal::Config(_))));
        scratch.write("config lispguard 'main", 0o600);
        assert!(matches!(scratch.join(&line), Err(Refusal::Config(_))));
    }

    #[test]
    fn a_comment_at_the_end_is_ended_and_a_link_stays() {
        let text = format!("{}\n# last", main_section("map_server"));
        let scratch = Scratch::new("link", &text);
        let link = std::env::temp_dir().join(format!("lispguard-join-link-{}", process::id()));
        std::os::unix::fs::symlink(scratch.file(), &link).unwrap();
        let line = format!("site a {OTHER} 10.1.0.0/16");
        let joined = try_join(&link, "f", std::slice::from_ref(&line));
        let is_link = fs::symlink_metadata(&link).unwrap().is_symlink();
        fs::remove_file(&link).unwrap();
        joined.unwrap();
        assert!(is_link && scratch.text().starts_with(&text));
    }

    #[test]
    fn of_two_lines_each_role_takes_its_own() {
        let site: JoinLine = format!("site a {OTHER} 10.1.0.0/16").parse().unwrap();
        let server: JoinLine = format!("map-server {OTHER} a").parse().unwrap();
        let config = Config::parse(main_section("map_server").as_bytes(), "f").unwrap();
        assert_eq!(for_roles(&config, vec![site.clone(), server.clone()]), [site]);
        assert_eq!(for_roles(&config, vec![server.clone()]), [server]);
    }
}
