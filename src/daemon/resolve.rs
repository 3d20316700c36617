//! Host names of Map-Servers, looked up off the event loop so that a slow name server delays
//! only the Map-Server it belongs to.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use control::{Duration, Instant, earliest};
use linux::{names, thread};

/// The pause after a failed look-up, doubled up to `MAX_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum Name {
    Resolved,
    InFlight { is_stale: bool },
    Failed { retry_at: Instant },
}

#[derive(Debug)]
struct Entry {
    host: String,
    port: u16,
    state: Name,
    pause: Duration,
}

/// The answer for one of the names.
#[derive(Debug)]
pub struct Answer {
    /// The name's place in the list given to `new`.
    pub index: usize,
    /// The first address of the name; the error's text where there is none.
    pub endpoint: Result<SocketAddr, String>,
    /// It failed before, and nothing came in between.
    pub is_repeated: bool,
}

/// Answers that nobody took yet, each with the generation of the names that it is for.
type Answers = Arc<Mutex<Vec<(u64, Answer)>>>;

/// Looks up a fixed list of names, each on a thread of its own while it lasts.
#[derive(Debug)]
pub struct Resolver {
    entries: Vec<Entry>,
    answers: Answers,
    wake: UnixStream,
    waker: Arc<UnixStream>,
    generation: u64,
}

impl Resolver {
    /// A resolver without names.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> std::io::Result<Resolver> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        Ok(Resolver {
            entries: Vec::new(),
            answers: Answers::default(),
            wake,
            waker: Arc::new(waker),
            generation: 0,
        })
    }

    /// Replaces the names and looks all of them up; answers to older names are dropped.
    pub fn set_names(&mut self, names: Vec<(String, u16)>) {
        self.generation += 1;
        self.entries.clear();
        for (host, port) in names {
            self.entries.push(Entry { host, port, state: Name::Resolved, pause: FIRST_PAUSE });
        }
        self.look_up_all();
    }

    /// Looks all names up again: an uplink changed.
    pub fn look_up_all(&mut self) {
        for index in 0..self.entries.len() {
            self.look_up(index);
        }
    }

    /// Looks one name up again; where a look-up runs, another follows it.
    pub fn look_up(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        if let Name::InFlight { is_stale } = &mut entry.state {
            *is_stale = true;
            return;
        }
        entry.state = Name::InFlight { is_stale: false };
        let (host, port) = (entry.host.clone(), entry.port);
        let (generation, answers, waker) =
            (self.generation, self.answers.clone(), self.waker.clone());
        let tell = move |endpoint| {
            let answer = (generation, Answer { index, endpoint, is_repeated: false });
            answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            let _ = (&*waker).write(&[0]);
        };
        let tell_here = tell.clone();
        let spawned = thread::detach(move || {
            tell(match names::look_up(&host, port) {
                Ok(Some(endpoint)) => Ok(endpoint),
                Ok(None) => Err(format!("'{host}' has no address")),
                Err(error) => Err(format!("'{host}' does not resolve: {error}")),
            });
        });
        if let Err(error) = spawned {
            tell_here(Err(format!("'{}' cannot be looked up: {error}", entry.host)));
        }
    }

    /// The next answer that arrived.
    pub fn poll_answer(&mut self, now: Instant) -> Option<Answer> {
        let mut octets = [0; 16];
        while matches!((&self.wake).read(&mut octets), Ok(1..)) {}
        loop {
            let taken = self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let (generation, mut answer) = taken?;
            if generation != self.generation {
                continue;
            }
            let entry = self.entries.get_mut(answer.index)?;
            let was_stale = matches!(entry.state, Name::InFlight { is_stale: true });
            entry.state = match answer.endpoint {
                Ok(_) => {
                    entry.pause = FIRST_PAUSE;
                    Name::Resolved
                }
                Err(_) => {
                    answer.is_repeated = entry.pause > FIRST_PAUSE;
                    let retry_at = now + entry.pause;
                    entry.pause = (entry.pause * 2).min(MAX_PAUSE);
                    Name::Failed { retry_at }
                }
            };
            if was_stale {
                self.look_up(answer.index);
            }
            return Some(answer);
        }
    }

    /// Looks up again the names whose pause is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        for index in 0..self.entries.len() {
            if matches!(self.entries[index].state, Name::Failed { retry_at } if retry_at <= now) {
                self.look_up(index);
            }
        }
    }

    /// When the next pause is over.
    pub fn poll_at(&self) -> Option<Instant> {
        let mut first = None;
        for entry in &self.entries {
            if let Name::Failed { retry_at } = entry.state {
                first = earliest(first, Some(retry_at));
            }
        }
        first
    }
}

impl AsFd for Resolver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(resolver: &mut Resolver) -> Answer {
        loop {
            if let Some(answer) = resolver.poll_answer(Instant::ZERO) {
                return answer;
            }
            resolver.wake.set_nonblocking(false).unwrap();
            (&resolver.wake).read_exact(&mut [0]).unwrap();
            resolver.wake.set_nonblocking(true).unwrap();
        }
    }

    #[test]
    fn a_name_that_fails_is_asked_again_after_a_pause_and_delays_no_other() {
        let mut resolver = Resolver::new().unwrap();
        let names = [("localhost".to_string(), 1), ("no such name".to_string(), 2)];
        resolver.set_names(names.into());
        let (one, two) = (answer(&mut resolver), answer(&mut resolver));
        let (good, bad) = if one.index == 0 { (one, two) } else { (two, one) };
        assert!(good.endpoint.unwrap().ip().is_loopback());
        assert!(!bad.is_repeated);
        assert!(bad.endpoint.unwrap_err().starts_with("'no such name' does not resolve: "));
        assert_eq!(resolver.poll_at(), Some(Instant::ZERO + FIRST_PAUSE));
        resolver.handle_timeout(Instant::ZERO + FIRST_PAUSE);
        assert_eq!(resolver.poll_at(), None);
        let again = answer(&mut resolver);
        assert!(again.index == 1 && again.is_repeated);
    }
}
