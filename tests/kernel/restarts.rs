//! The kernel goes on forwarding while lispguard restarts.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use daemon::demo::net::world::{HOME_HOST, OFFICE_HOST, World};

use crate::flow::Flow;
use crate::machine::{difference, kernel_state, lost_segments};
use crate::testbed::{
    Outcome, PATIENCE, data_key_at, in_world_alone, ping_until_answered, start_pair, take_down,
};

/// A transfer at a steady rate: what is lost in it is lost by lispguard, not by a full queue.
pub struct Transfer {
    is_over: Arc<AtomicBool>,
    sending: thread::JoinHandle<io::Result<u64>>,
    receiving: thread::JoinHandle<io::Result<u64>>,
}

const CHUNK: usize = 10_000;

impl Transfer {
    /// From the host behind `home` to the one behind `office`.
    pub fn start(world: &World) -> io::Result<Transfer> {
        let to = SocketAddr::new(OFFICE_HOST[0], 5003);
        let (stream, listener) = world.home_host.tcp(&world.office_host, to)?;
        let (arriving, _) = listener.accept()?;
        arriving.set_read_timeout(Some(PATIENCE))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let is_ended = Arc::clone(&is_over);
        Ok(Transfer {
            is_over,
            sending: thread::spawn(move || send(stream, &is_ended)),
            receiving: thread::spawn(move || receive(arriving)),
        })
    }

    /// Ends it; how many octets went through, all of them.
    pub fn finish(self) -> io::Result<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        let sent = self.sending.join().expect("no panic")?;
        let received = self.receiving.join().expect("no panic")?;
        assert_eq!(sent, received, "every octet arrives");
        Ok(received)
    }
}

fn send(mut stream: TcpStream, is_over: &AtomicBool) -> io::Result<u64> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut sent = 0;
    while !is_over.load(Ordering::Relaxed) {
        stream.write_all(&[0x5a; CHUNK])?;
        sent += CHUNK as u64;
        thread::sleep(Duration::from_millis(5));
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    Ok(sent)
}

fn receive(mut stream: TcpStream) -> io::Result<u64> {
    let (mut received, mut buffer) = (0, vec![0; 65536]);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(received),
            len => received += len as u64,
        }
    }
}

/// A TCP transfer and datagrams each 2 ms both ways go on while `home` goes and comes.
fn restart_under_traffic(
    world: &mut World,
    end: impl Fn(&mut daemon::demo::net::Node) -> io::Result<()>,
) -> Outcome {
    start_pair(world)?;
    ping_until_answered(world, PATIENCE)?;
    let key = data_key_at(&world.map_server, "home");
    let (home, office) = (&world.home_host, &world.office_host);
    let interval = Duration::from_millis(2);
    let there = Flow::start((home, HOME_HOST[0]), (office, OFFICE_HOST[0]), 5004, interval, 9999)?;
    let back = Flow::start((office, OFFICE_HOST[0]), (home, HOME_HOST[0]), 5005, interval, 9999)?;
    let transfer = Transfer::start(world)?;
    thread::sleep(Duration::from_millis(300));
    let before = lost_segments(&world.home_host)?;
    for _ in 0..2 {
        end(&mut world.home)?;
        thread::sleep(Duration::from_millis(300));
        let since = Instant::now();
        world.home.start()?;
        world.home.wait_until(PATIENCE, |status| status.ok)?;
        println!("registered again after {:?}", since.elapsed());
    }
    let octets = transfer.finish()?;
    let lost = lost_segments(&world.home_host)?.saturating_sub(before);
    println!("TCP: {} KiB, {lost} segments lost", octets >> 10);
    for flow in [there, back] {
        let outcome = flow.finish()?;
        println!("UDP: {outcome:?}");
        assert!(outcome.lost.is_empty() && outcome.doubled == 0, "{outcome:?}");
    }
    assert_eq!(lost, 0, "TCP segments");
    assert_eq!(data_key_at(&world.map_server, "home"), key, "the data key is the same");

    // What was adopted is looked after: another site, and this one's new flows.
    world.office_host.ping(OFFICE_HOST[1], HOME_HOST[2], PATIENCE)?;
    assert!(world.home.status()?.data_tunnels.iter().any(|tunnel| tunnel.up));
    Ok(())
}

#[test]
fn no_packet_is_lost_when_a_node_is_restarted() {
    in_world_alone(|world| restart_under_traffic(world, |node| node.stop().map(drop)));
}

#[test]
fn in_the_main_table_no_packet_is_lost_either_and_no_rule_is_made() {
    in_world_alone(|world| {
        world.home.config.set_option("table", "main");
        let before = kernel_state(world.home.place())?;
        restart_under_traffic(world, |node| node.kill().map(drop))?;
        let running = kernel_state(world.home.place())?;
        let is_new = |line: &&String| !before.contains(line);
        let new: Vec<_> = running.iter().filter(is_new).collect();
        assert!(new.iter().all(|line| !line.contains("rule: ")), "{new:#?}");
        let has =
            |words: &[&str]| new.iter().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(has(&["10.0.0.0/8 dev lg-miss", "metric 4343"]), "{new:#?}");
        assert!(has(&["10.2.0.0/24 dev lg-data0", "metric 4342"]), "{new:#?}");

        world.home.kill()?;
        take_down(&world.home)?;
        let after = kernel_state(world.home.place())?;
        assert_eq!(before, after, "{}", difference(&before, &after));
        Ok(())
    });
}

#[test]
fn no_packet_is_lost_when_a_node_is_killed_and_comes_back() {
    in_world_alone(|world| restart_under_traffic(world, |node| node.kill().map(drop)));
}
