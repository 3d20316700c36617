//! Runs tests where they may make network namespaces, as root or as an ordinary user.
// Each test program uses its own part of this.
#![allow(dead_code, unreachable_pub)]

use std::env;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use linux::TransferError;
use linux::namespace::{self, NetworkNamespace};
use linux::netlink::{Address, Socket};
use linux::user_namespace;

const INNER: &str = "LISPGUARD_TEST_INNER";

/// Runs the body of the test of a name; without the privilege for namespaces, in a copy of this
/// program that is root of a user namespace.
pub fn isolated(name: &str, body: fn()) {
    if namespace::is_allowed() {
        return body();
    }
    assert!(env::var_os(INNER).is_none(), "a user namespace's root may make no network namespace");
    let program = env::current_exe().expect("a path");
    let mut command = Command::new(program);
    command.args([name, "--exact", "--nocapture"]).env(INNER, "1");
    match user_namespace::enter_on_exec(&mut command).status() {
        Ok(status) => assert!(status.success(), "{name} failed in a user namespace: {status}"),
        Err(error) => panic!(
            "{name} needs root, or user namespaces for ordinary users, and has neither: {error}"
        ),
    }
}

/// A namespace with its loopback interface up, and a netlink socket in it.
pub struct Node {
    pub namespace: NetworkNamespace,
    pub netlink: Socket,
}

impl Node {
    pub fn new() -> Self {
        let namespace = NetworkNamespace::create().expect("a namespace");
        let mut netlink = namespace.run(Socket::open).expect("a thread").expect("a socket");
        let loopback = netlink.link_index("lo").expect("a loopback interface");
        netlink.set_link_up(loopback).expect("up");
        Self { namespace, netlink }
    }

    pub fn index(&mut self, name: &str) -> u32 {
        self.netlink.link_index(name).expect("an interface")
    }

    pub fn up(&mut self, name: &str) {
        let index = self.index(name);
        self.netlink.set_link_up(index).expect("up");
    }

    pub fn wait_until_running(&mut self, name: &str) {
        let is_running = |netlink: &mut Socket| netlink.link(name).expect("a link").is_running();
        eventually(|| is_running(&mut self.netlink).then_some(()).ok_or(TransferError::WouldBlock));
    }

    pub fn add_address(&mut self, name: &str, address: &str, prefix_len: u8) {
        let index = self.index(name);
        let address = Address::new(index, ip(address), prefix_len);
        self.netlink.add_address(&address).expect("an address");
    }

    /// Opens something in the namespace.
    pub fn open<T: Send>(&self, open: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(open).expect("a thread")
    }
}

/// Two nodes joined by a veth pair: `a` has 192.0.2.1/24 and 2001:db8::1/64, `b` the .2 and ::2.
pub fn joined() -> (Node, Node) {
    let (mut a, mut b) = (Node::new(), Node::new());
    a.netlink.create_veth("to-b", "to-a", Some(b.namespace.as_fd())).expect("a pair");
    for (node, name, v4, v6) in
        [(&mut a, "to-b", "192.0.2.1", "2001:db8::1"), (&mut b, "to-a", "192.0.2.2", "2001:db8::2")]
    {
        node.add_address(name, v4, 24);
        node.add_address(name, v6, 64);
        node.up(name);
    }
    (a, b)
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Repeats a nonblocking operation until it is ready, for ten seconds at most.
pub fn eventually<T>(mut operation: impl FnMut() -> Result<T, TransferError>) -> T {
    let started = Instant::now();
    loop {
        match operation() {
            Ok(value) => return value,
            Err(TransferError::WouldBlock) => {}
            Err(error) => panic!("{error:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(10), "nothing came in ten seconds");
        std::thread::sleep(Duration::from_millis(1));
    }
}
