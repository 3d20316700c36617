//! Namespaces, children and user namespaces of real processes.

extern crate lispguard_linux as linux;

mod isolated;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use isolated::{Node, ip, isolated, joined};
use linux::netlink::Socket;
use linux::signals::Signal;
use linux::{sysctl, user_namespace};

#[test]
fn a_thread_enters_and_goes_back() {
    isolated("a_thread_enters_and_goes_back", || {
        let mut node = Node::new();
        node.netlink.create_link("only-here", "bridge").expect("a bridge");
        let is_here = || Socket::open().expect("a socket").link("only-here").is_ok();
        assert!(!is_here());
        let entered = node.namespace.enter().expect("entered");
        assert!(is_here());
        assert!(!std::thread::spawn(move || false).join().expect("a thread"));
        drop(entered);
        assert!(!is_here());
        assert!(node.open(is_here));
        assert!(!is_here());
    });
}

#[test]
fn a_setting_belongs_to_the_threads_namespace() {
    isolated("a_setting_belongs_to_the_threads_namespace", || {
        let (first, second) = (Node::new(), Node::new());
        let name = "net/ipv4/ip_forward";
        let read = |node: &Node| node.open(|| sysctl::read(name)).expect("a setting");
        first.namespace.write_sysctl(name, "1").expect("written");
        second.namespace.write_sysctl(name, "0").expect("written");
        assert_eq!((read(&first), read(&second)), ("1".into(), "0".into()));
        second.namespace.write_sysctl(name, "1").expect("written");
        first.namespace.write_sysctl(name, "0").expect("written");
        assert_eq!((read(&first), read(&second)), ("0".into(), "1".into()));
        first.namespace.write_sysctl("net/ipv6/conf/all/forwarding", "1").expect("written");
        let error = first.namespace.write_sysctl("net/no/such", "1").expect_err("unknown");
        assert!(error.to_string().starts_with("sysctl net/no/such: "), "{error}");
    });
}

#[test]
fn a_child_runs_inside_with_its_signals_unblocked() {
    isolated("a_child_runs_inside_with_its_signals_unblocked", || {
        let mut node = Node::new();
        node.netlink.create_link("only-here", "bridge").expect("a bridge");
        let _signals = linux::signals::Signals::block(&[Signal::SIGTERM]).expect("blocked");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cat /proc/self/net/dev; grep SigBlk /proc/self/status"]);
        let command = command.stdout(Stdio::piped());
        let child = node.namespace.spawn(command, Signal::SIGKILL).expect("a child");
        let output = child.wait_with_output().expect("its end");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success());
        assert!(text.contains("only-here"), "{text}");
        assert!(text.contains("SigBlk:\t0000000000000000"), "{text}");
    });
}

#[test]
fn a_child_dies_with_the_thread_that_started_it() {
    isolated("a_child_dies_with_the_thread_that_started_it", || {
        let node = Node::new();
        let start = || {
            let mut command = Command::new("/bin/sleep");
            node.namespace.spawn(command.arg("1000"), Signal::SIGKILL).expect("a child")
        };
        let mut child = std::thread::scope(|scope| {
            scope.spawn(start).join().expect("a thread that ends at once")
        });
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "it lives on");
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    });
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    isolated("a_program_that_is_not_there_is_an_error", || {
        let node = Node::new();
        let error = node.namespace.spawn(&mut Command::new("/no/such"), Signal::SIGKILL);
        assert_eq!(error.expect_err("no program").kind(), std::io::ErrorKind::NotFound);
    });
}

/// What the copy of this program does that `nobody` runs; a plain run has nothing to do here.
#[test]
fn inside_the_user_namespace() {
    if std::env::var_os("LISPGUARD_TEST_NOBODY").is_none() {
        return;
    }
    let (mut a, mut b) = joined();
    a.namespace.write_sysctl("net/ipv4/ip_forward", "1").expect("written");
    a.wait_until_running("to-b");
    let rule = linux::netlink::Rule::new(linux::netlink::Family::V6, 100, 4342);
    b.netlink.add_rule(&rule).expect("added");
    let to = "192.0.2.2:5000".parse().expect("an address");
    let receiver = b.open(|| linux::udp::Socket::bind(to)).expect("a socket");
    let any = "0.0.0.0:0".parse().expect("an address");
    let sender = a.open(|| linux::udp::Socket::bind(any)).expect("a socket");
    sender.set_mark(1).expect("marked");
    sender.send_to(b"x", to).expect("sent");
    let (_, from) = isolated::eventually(|| receiver.receive_from(&mut [0; 10]));
    assert_eq!(from.ip(), ip("192.0.2.1"));
    println!("nobody's own little internet works");
}

#[test]
fn an_ordinary_user_has_namespaces_through_a_user_namespace() {
    let is_root = nix::unistd::geteuid().is_root();
    let mut command = Command::new("/proc/self/exe");
    command.args(["inside_the_user_namespace", "--exact", "--nocapture"]);
    command.env("LISPGUARD_TEST_NOBODY", "1").current_dir("/");
    if is_root {
        command.uid(65_534).gid(65_534);
    }
    let command = user_namespace::enter_on_exec(&mut command);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("this test needs user namespaces for ordinary users: {error}"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("nobody's own little internet works"), "{text}");
}

#[test]
fn a_refused_user_namespace_is_explained() {
    // The test's threads are what the kernel refuses.
    let error = std::thread::spawn(user_namespace::become_root).join().expect("a thread");
    let error = error.expect_err("a process of several threads");
    assert_eq!(error, user_namespace::Error::Unshare(linux::Errno::EINVAL));
    assert!(error.to_string().contains("threads"), "{error}");
}

#[test]
fn nothing_is_dumped_after_it_is_denied() {
    if std::env::var_os("LISPGUARD_TEST_DUMPS").is_some() {
        linux::process::deny_core_dumps().expect("denied");
        let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
        let line = limits.lines().find(|line| line.starts_with("Max core file size"));
        let limits: Vec<_> = line.expect("a limit").split_whitespace().skip(4).take(2).collect();
        assert_eq!(limits, ["0", "0"]);
        return;
    }
    let program = std::env::current_exe().expect("a path");
    let mut command = Command::new(program);
    command.args(["nothing_is_dumped_after_it_is_denied", "--exact"]);
    let status = command.env("LISPGUARD_TEST_DUMPS", "1").status().expect("a child");
    assert!(status.success());
}
