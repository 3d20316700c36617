//! Nodes that were made known to each other with `export` and `join` alone.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::testbed::{
    PATIENCE, Said, eventually, in_world, lispguard, ping_until_answered, program,
};
use daemon::demo::net::{Node, NodeConfig, Role};
use linux::signals::Signal;

/// Runs a command on a node's configuration file.
fn on(node: &Node, words: &[&str]) -> Said {
    let file = node.configuration_file().to_string_lossy().into_owned();
    lispguard(words.iter().copied().chain(["-c", &file]))
}

/// The words of a line.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn write(node: &Node) -> io::Result<()> {
    let file = node.configuration_file();
    let text = format!("# mine\n{}", node.config.to_uci(node.directory()));
    fs::write(&file, text)?;
    fs::set_permissions(file, Permissions::from_mode(0o600))
}

#[test]
fn a_site_and_its_map_server_need_a_line_of_each_other() {
    in_world(|world| {
        world.home.config.map_servers.clear();
        world.map_server.config.sites.retain(|site| site.name != "home");
        world.start_map_server()?;
        world.office.start()?;
        write(&world.home)?;
        assert_eq!(on(&world.home, &["check"]).code, Some(2), "it has no Map-Server yet");

        let site = on(&world.home, &["export"]);
        assert_eq!(site.code, Some(0), "{site:?}");
        let joined = on(&world.map_server, &[&["join"], &*words(&site.out)].concat());
        assert_eq!(joined.code, Some(0), "{joined:?}");
        let id = world.map_server.process_id().expect("it runs");
        linux::process::send_signal(id, Signal::SIGHUP)?;

        let server = on(&world.map_server, &["export", "--host", "192.0.2.2"]);
        let line = server.out.lines().find(|line| line.contains(" map-server ")).expect("a line");
        for expected in ["added", "already"] {
            let joined = on(&world.home, &[&["join"], &*words(line)].concat());
            assert!(joined.code == Some(0) && joined.out.contains(expected), "{joined:?}");
        }
        let text = fs::read_to_string(world.home.configuration_file())?;
        assert!(text.starts_with("# mine\n") && text.matches("config map_server").count() == 1);
        let mode = fs::metadata(world.home.configuration_file())?.permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let mut command = Command::new(program());
        command.args(["run", "-c"]).arg(world.home.configuration_file());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = world.home.place().namespace().spawn(&mut command, Signal::SIGKILL)?;
        let is_up = || world.home.status().is_ok_and(|status| status.ok);
        let is_registered = eventually(is_up);
        let pinged = ping_until_answered(world, PATIENCE);
        running.kill()?;
        running.wait()?;
        assert!(is_registered, "{:?}", world.map_server.log());
        pinged?;
        Ok(())
    });
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    in_world(|world| {
        write(&world.map_server)?;
        let file = world.map_server.configuration_file();
        let before = fs::read(&file)?;
        let key = NodeConfig::new(Role::Xtr)?.private_key.public_key().to_string();
        let home = world.home.config.private_key.public_key().to_string();
        for (line, said) in [
            (format!("lispguard site home {key} 10.7.0.0/24"), "'home'"),
            (format!("lispguard site shed {home} 10.7.0.0/24"), "'home'"),
            (format!("lispguard site shed {key} 10.1.0.0/25"), "10.1.0.0/2"),
            (format!("lispguard site shed {key}"), "EID-PREFIX"),
            ("lispguard site shed KEY 10.7.0.0/24".into(), "key"),
            (format!("lispguard site ../shed {key} 10.7.0.0/24"), "name"),
        ] {
            let refused = on(&world.map_server, &[&["join"], &*words(&line)].concat());
            assert!(matches!(refused.code, Some(1 | 2)), "{line}: {refused:?}");
            assert!(refused.err.contains(said), "{line}: {}", refused.err);
            assert_eq!(fs::read(&file)?, before, "{line}");
        }
        Ok(())
    });
}

#[test]
fn no_command_prints_a_private_key() {
    in_world(|world| {
        write(&world.home)?;
        let secret = world.home.config.private_key.encode();
        for words in [&["export"][..], &["check"], &["check", "--json"], &["join", "x"]] {
            let said = on(&world.home, words);
            assert!(!said.out.contains(&**secret) && !said.err.contains(&**secret), "{words:?}");
        }
        Ok(())
    });
}
