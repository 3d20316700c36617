//! A wrong configuration prints one clear error and ends with 2.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use daemon::demo::net::{NodeConfig, Role, Scratch};

use crate::testbed::lispguard;

struct Case {
    scratch: Scratch,
    config: NodeConfig,
}

impl Case {
    fn map_server() -> Case {
        let (mut server, mut site) =
            (NodeConfig::new(Role::MapServer).unwrap(), NodeConfig::new(Role::Xtr).unwrap());
        site.eid_prefixes.push("10.1.0.0/24".into());
        server.sites.push(site.as_site("home"));
        Case { scratch: Scratch::new().unwrap(), config: server }
    }

    fn file(&self) -> PathBuf {
        self.scratch.path().join("lispguard")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
        fs::set_permissions(self.file(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn text(&self) -> String {
        self.config.to_uci(self.scratch.path())
    }
}

/// `check` and `run` refuse the file with the same line, which has all of `parts`.
fn assert_refused(file: &Path, parts: &[&str]) {
    for command in ["check", "run"] {
        let said = lispguard([command.as_ref(), "-c".as_ref(), file.as_os_str()]);
        assert_eq!(said.code, Some(2), "{command}: {said:?}");
        assert_eq!(said.err.lines().count(), 1, "{command}: {said:?}");
        for part in parts {
            assert!(said.err.contains(part), "{command}: no '{part}' in {}", said.err);
        }
    }
}

#[test]
fn a_right_configuration_is_called_right() {
    let case = Case::map_server();
    case.write(&case.text());
    let said = lispguard(["check".as_ref(), "-c".as_ref(), case.file().as_os_str()]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
}

#[test]
fn a_missing_key_is_named_with_its_remedy() {
    let case = Case::map_server();
    let text = case.text();
    let without: Vec<&str> =
        text.lines().filter(|line| !line.contains("option private_key")).collect();
    case.write(&without.join("\n"));
    assert_refused(&case.file(), &["private_key", "lispguard:1"]);
}

#[test]
fn a_bad_prefix_is_named_with_its_line() {
    let case = Case::map_server();
    let text = case.text().replace("10.1.0.0/24", "10.1.0.0/33");
    let line = 1 + text.lines().position(|line| line.contains("/33")).unwrap();
    case.write(&text);
    assert_refused(&case.file(), &["eid_prefix", "at most 32", &format!("lispguard:{line}")]);
}

#[test]
fn a_duplicate_site_is_named_with_both_lines() {
    let case = Case::map_server();
    let text = case.text();
    let site = text.find("config site").unwrap();
    let line = 1 + text.lines().position(|line| line.starts_with("config site")).unwrap();
    let twin_line = 1 + line + text[site..].lines().count();
    let parts = ["home", &format!("lispguard:{line}"), &format!("line {twin_line}")];
    for prefix in ["10.1.0.0/24", "10.4.0.0/24"] {
        let twin = text[site..].replace("10.1.0.0/24", prefix);
        case.write(&format!("{text}\n{twin}"));
        assert_refused(&case.file(), &parts);
    }
}

#[test]
fn a_file_that_is_not_there_or_may_not_be_read_is_named() {
    let case = Case::map_server();
    assert_refused(&case.file(), &["lispguard", "no file"]);
    fs::create_dir(case.file()).unwrap();
    assert_refused(&case.file(), &["lispguard"]);
}

#[test]
fn a_private_key_that_others_may_read_is_refused() {
    let case = Case::map_server();
    case.write(&case.text());
    fs::set_permissions(case.file(), fs::Permissions::from_mode(0o644)).unwrap();
    assert_refused(&case.file(), &["chmod 600"]);

    let key = case.scratch.path().join("control.key");
    fs::write(&key, format!("{}\n", case.config.private_key.encode().as_str())).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let named = format!("option private_key_file '{}'", key.display());
    let text = case.text();
    let lines = text
        .lines()
        .map(|line| if line.contains("option private_key") { named.as_str() } else { line });
    case.write(&lines.collect::<Vec<_>>().join("\n"));
    assert_refused(&case.file(), &["control.key", "chmod 600"]);
}

#[test]
fn a_misspelt_option_is_told_with_what_is_meant() {
    let case = Case::map_server();
    case.write(&case.text().replace("option run_dir", "option rundir"));
    assert_refused(&case.file(), &["rundir", "run_dir"]);
}
