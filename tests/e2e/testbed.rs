//! A little internet for each test.

use std::any::type_name;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant};

use control::PeerKey;
use daemon::demo::net::world::{HOME_HOST, OFFICE_HOST, World};
use daemon::demo::net::{ECHO_PORT, EchoServer, Node, has_privilege};

/// What a test says: nothing, or why it could not go on.
pub type Outcome = Result<(), Box<dyn Error>>;

/// The program under test: the one that was built with it, unless the environment names another.
pub fn program() -> &'static str {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        std::env::var("LISPGUARD_TEST_PROGRAM")
            .unwrap_or_else(|_| env!("CARGO_BIN_EXE_lispguard").into())
    });
    &PROGRAM
}

/// How long what has no promised time may take, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Whether to repeat, wait and send as often as the promises say.
pub fn is_long() -> bool {
    std::env::var_os("LISPGUARD_LONG_TESTS").is_some()
}

/// The data plane that the nodes are to forward with, where the environment names one.
pub fn dataplane() -> Option<String> {
    std::env::var("LISPGUARD_TEST_DATAPLANE").ok()
}

/// Whether the kernel's WireGuard forwards, which goes on when a process ends.
pub fn is_in_kernel() -> bool {
    dataplane().as_deref() == Some("kernel")
}

/// `lispguard down` on a node: nothing of what its last run made is left.
pub fn take_down(node: &Node) -> io::Result<()> {
    let file = node.configuration_file();
    node.place().run(program(), &["down", "-c", &file.to_string_lossy()]).map(drop)
}

/// Kills a node and has its machine forget it.
pub fn kill_cold(node: &mut Node) -> io::Result<()> {
    node.kill()?;
    if is_in_kernel() { take_down(node) } else { Ok(()) }
}

/// Tests that measure times have the machine for themselves, the others share it.
static MACHINE: RwLock<()> = RwLock::new(());

/// Waits until no other test runs, and keeps others waiting while the guard lives.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until no test runs that measures times, and keeps such a test waiting while the guard lives.
pub fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// As `in_world`, for a test that sleeps: it disturbs nobody and nobody disturbs it.
pub fn in_sleeping_world<F: FnOnce(&mut World) -> Outcome>(test: F) {
    run(test);
}

/// As `in_world`, while no other test runs.
pub fn in_world_alone<F: FnOnce(&mut World) -> Outcome>(test: F) {
    let _alone = alone();
    run(test);
}

/// Builds a little internet, in which nothing runs yet, and tests in it.
///
/// An ordinary user's test runs again inside a user namespace, and fails where the kernel allows none.
pub fn in_world<F: FnOnce(&mut World) -> Outcome>(test: F) {
    let _beside = beside_others();
    run(test);
}

/// Tests where network namespaces can be made, but needs no little internet.
pub fn in_namespaces<F: FnOnce() -> Outcome>(test: F) {
    let _beside = beside_others();
    if !has_privilege().expect("/proc is mounted") {
        return in_user_namespace(&test_name::<F>());
    }
    test().unwrap_or_else(|error| panic!("{error}"));
}

fn run<F: FnOnce(&mut World) -> Outcome>(test: F) {
    if !has_privilege().expect("/proc is mounted") {
        return in_user_namespace(&test_name::<F>());
    }
    let mut world = World::build(Path::new(program())).expect("a little internet");
    if let Some(name) = dataplane() {
        world.use_dataplane(&name);
    }
    if let Ok(level) = std::env::var("LISPGUARD_TEST_LOG") {
        world.map_server.config.set_option("log_level", &level);
        for site in world.sites_mut() {
            site.config.set_option("log_level", &level);
        }
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| test(&mut world)));
    if !matches!(outcome, Ok(Ok(()))) {
        for node in [&world.map_server, &world.home, &world.office, &world.phone] {
            eprintln!("--- {}\n{}", node.name(), node.log());
            eprintln!("{}", node.ask("status").map(|(_, text)| text).unwrap_or_default());
        }
    }
    match outcome {
        Ok(outcome) => outcome.unwrap_or_else(|error| panic!("{error}")),
        Err(panic) => resume_unwind(panic),
    }
}

/// The name that the test harness knows a test by, from the type of a closure in it.
fn test_name<F>() -> String {
    let path = type_name::<F>();
    let path = path.strip_suffix("::{{closure}}").unwrap_or(path);
    path.split_once("::").map_or(path, |(_, name)| name).to_owned()
}

fn in_user_namespace(test: &str) {
    let mut command = Command::new(std::env::current_exe().expect("a test has a program"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    match linux::user_namespace::enter_on_exec(&mut command).spawn() {
        Ok(mut child) => assert!(child.wait().expect("a child").success(), "{test} failed"),
        Err(error) => panic!("{test} needs root or user namespaces and has neither: {error}"),
    }
}

/// Answers UDP echo on the hosts behind both sites.
pub fn echo_servers(world: &World) -> io::Result<[EchoServer; 2]> {
    Ok([
        world.echo_server(&world.home_host, &HOME_HOST)?,
        world.echo_server(&world.office_host, &OFFICE_HOST)?,
    ])
}

/// Where a host's echo server answers.
pub fn echo_at(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, ECHO_PORT)
}

/// A socket of the host behind `home`, at its first address.
pub fn home_socket(world: &World) -> io::Result<UdpSocket> {
    world.home_host.udp(SocketAddr::new(HOME_HOST[0], 0))
}

/// Starts a node and waits until all its EID-prefixes are registered; how long that took.
pub fn start(node: &mut Node) -> io::Result<Duration> {
    let since = Instant::now();
    node.start()?;
    node.wait_until(PATIENCE, |status| status.ok)?;
    Ok(since.elapsed())
}

/// Starts the Map-Server, `home` and `office`.
pub fn start_pair(world: &mut World) -> io::Result<()> {
    world.start_map_server()?;
    start(&mut world.home)?;
    start(&mut world.office).map(drop)
}

/// The data key that a site registered.
pub fn data_key_at(server: &Node, site: &str) -> Option<PeerKey> {
    let status = server.status().ok()?;
    let key = status.site(site)?.data_key.clone()?;
    Some(PeerKey(*daemon::config::key::decode(&key).ok()?))
}

/// Sends pings from host to host until one is answered; how long that took.
pub fn ping_until_answered(world: &World, patience: Duration) -> io::Result<Duration> {
    let since = Instant::now();
    loop {
        let spell = Duration::from_millis(30);
        match world.home_host.ping(HOME_HOST[0], OFFICE_HOST[0], spell) {
            Ok(_) => return Ok(since.elapsed()),
            Err(error) if since.elapsed() > patience => return Err(error),
            Err(_) => {}
        }
    }
}

/// Waits until `is_so`; false when it is not so within `PATIENCE`.
pub fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let since = Instant::now();
    while !is_so() {
        if since.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// What a program printed and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs the program under test with these words.
pub fn lispguard<I: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = I>) -> Said {
    let output = Command::new(program()).args(words).output().expect("the program runs");
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("output is UTF-8"),
        err: String::from_utf8(output.stderr).expect("output is UTF-8"),
    }
}
