//! What a person and a program read from a running router.

use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};

use daemon::demo::net::{Node, has_privilege};
use linux::signals::Signal;

use crate::testbed::{Said, eventually, in_world, lispguard, program, start_pair};

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
        let mut command = Command::new(program());
        let output = command.args(words).stdout(full.try_clone().expect("one more")).output();
        let output = output.expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("standard output: "), "{words:?}");
    }
}

#[test]
fn what_root_starts_for_a_user_goes_on_as_that_user_with_two_capabilities() {
    const NOBODY: u32 = 65534;
    if !has_privilege().expect("the kernel says") {
        eprintln!("only root can become somebody else");
        return;
    }
    in_world(|world| {
        let directory = std::env::temp_dir().join(format!("lispguard-user-{}", std::process::id()));
        std::fs::create_dir(&directory)?;
        let (file, socket) = (directory.join("config"), directory.join("control.sock"));
        let there = directory.display();
        let text = format!(
            "config lispguard 'main'\n option role 'map_server'\n option private_key '{}'\n \
             option run_dir '{there}'\n option state_dir '{there}'\n \
             option control_socket '{}'\n",
            control::PeerKey([7; 32]),
            socket.display()
        );
        std::fs::write(&file, text)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400))?;
        for path in [&directory, &file] {
            chown(path, Some(NOBODY), Some(NOBODY))?;
        }
        let mut command = Command::new(program());
        command
            .args(["run", "--user", "nobody", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let mut child =
            world.map_server.place().namespace().spawn(&mut command, Signal::SIGKILL)?;
        let socket = socket.to_string_lossy();
        let is_up = eventually(|| lispguard(["status", "-s", &socket]).code == Some(0));
        let told = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        child.kill()?;
        child.wait()?;
        std::fs::remove_dir_all(&directory)?;
        assert!(is_up, "it has its tunnel with these capabilities");
        let of = |name: &str| {
            let line = told.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        for name in ["Uid:", "Gid:"] {
            assert_eq!(of(name), vec![NOBODY.to_string(); 4].join(" "), "{name}");
        }
        assert_eq!((of("Groups:"), of("NoNewPrivs:")), (String::new(), "1".to_owned()));
        for name in ["CapEff:", "CapPrm:"] {
            assert_eq!(u64::from_str_radix(&of(name), 16), Ok(0x3000), "{name}");
        }
        Ok(())
    });
    let said = lispguard(["run", "--user", "no-such-user-here"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("cannot go on as user no-such-user-here: "), "{said:?}");
}

#[test]
fn nobody_needs_the_key_to_take_down_what_is_left() {
    in_world(|world| {
        let file = std::env::temp_dir().join(format!("lispguard-down-{}", std::process::id()));
        let text = "config lispguard 'main'\n option role 'map_server'\n \
                    option private_key_file '/no/such/file'\n";
        std::fs::write(&file, text)?;
        let words = ["down", "-c", &file.to_string_lossy()];
        let said = world.map_server.place().run(program(), &words);
        let checked = lispguard(["check", "-c", &file.to_string_lossy()]);
        std::fs::remove_file(&file)?;
        assert_eq!(said?, "nothing to remove\n");
        assert_eq!(checked.code, Some(2), "{checked:?}");
        Ok(())
    });
}
