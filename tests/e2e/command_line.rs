//! What a person and a program read from a running router.

use crate::testbed::{Said, eventually, in_world, lispguard, start_pair};
use daemon::demo::net::Node;

fn ask(node: &Node, words: &[&str]) -> Said {
    let socket = node.control_socket().to_string_lossy().into_owned();
    lispguard(words.iter().copied().chain(["-s", &socket]))
}

#[test]
fn status_says_all_is_up_or_why_not_or_that_nothing_runs() {
    in_world(|world| {
        assert_eq!(ask(&world.home, &["status"]).code, Some(3));
        world.home.start()?;
        world.home.wait_until(crate::testbed::PATIENCE, |_| true)?;
        let degraded = ask(&world.home, &["status"]);
        assert_eq!(degraded.code, Some(1), "{degraded:?}");
        assert!(degraded.out.contains("degraded: "), "{}", degraded.out);
        start_pair_without_home(world)?;
        assert!(eventually(|| ask(&world.home, &["status"]).code == Some(0)));
        let person = ask(&world.home, &["status"]);
        for part in ["10.1.0.0/24: registered", "latest handshake:", "all up"] {
            assert!(person.out.contains(part), "{}", person.out);
        }
        let program = ask(&world.home, &["status", "--json"]);
        assert!(program.out.starts_with("{\"ok\":true,") && program.out.ends_with("}\n"));
        let server = ask(&world.map_server, &["status"]);
        assert!(server.out.contains("site: home") && server.out.contains("10.3.0.0/24"));
        Ok(())
    });
}

fn start_pair_without_home(world: &mut daemon::demo::net::World) -> std::io::Result<()> {
    world.start_map_server()?;
    crate::testbed::start(&mut world.office)?;
    world.phone.start()
}

#[test]
fn lig_answers_as_a_person_reads_it_and_as_json() {
    in_world(|world| {
        start_pair(world)?;
        let found = ask(&world.home, &["lig", "10.2.0.77"]);
        assert_eq!(found.code, Some(0), "{found:?}");
        for part in ["10.2.0.0/24", "198.51.100.2"] {
            assert!(found.out.contains(part), "{}", found.out);
        }
        let json = ask(&world.home, &["lig", "fd01:0:0:2::77", "--json"]);
        assert!(json.out.starts_with('{') && json.out.contains("fd01:0:0:2::/64"), "{json:?}");
        let nobody = ask(&world.home, &["lig", "10.99.0.1"]);
        assert_eq!(nobody.code, Some(1), "{nobody:?}");
        let wrong = ask(&world.home, &["lig", "office"]);
        assert_eq!(wrong.code, Some(2), "{wrong:?}");
        Ok(())
    });
}

#[test]
fn errors_of_a_copy_name_the_original() {
    let copy = std::env::temp_dir().join(format!("lispguard-copy-{}", std::process::id()));
    std::fs::write(&copy, "config lispguard 'main'\n\toption nonsense '1'\n").expect("written");
    let path = copy.to_string_lossy().into_owned();
    let said = lispguard(["check", "-c", &path, "--named", "/etc/config/lispguard"]);
    std::fs::remove_file(&copy).expect("removed");
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("lispguard: /etc/config/lispguard:2: option 'nonsense'"), "{said:?}");
    assert!(!said.err.contains(&path), "{said:?}");
}

#[test]
fn a_key_that_could_not_be_written_is_no_success() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    for words in [["genkey"].as_slice(), &["genkey", "--json"], &["--version"]] {
        let mut command = std::process::Command::new(crate::testbed::program());
        let output = command.args(words).stdout(full.try_clone().expect("one more")).output();
        let output = output.expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("standard output: "), "{words:?}");
    }
}
