//! The Unix socket on which a person or a program asks the running router.
//!
//! A request is one line: `status`, `handovers` or `lig EID`, each with or without a last word `json`.
//! The answer is a line with an exit code, then text, then end of file.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use control::{Duration, Instant};
use linux::unix::Listener;

/// Connections at once; a new one beyond them replaces the oldest.
pub const MAX_CONNECTIONS: usize = 8;
/// A request is a word and an address.
const MAX_REQUEST: usize = 128;
/// A connection that says or reads nothing for this long is closed.
const IDLE: Duration = Duration::from_secs(30);

/// What was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// The router's state.
    Status {
        /// For a program.
        is_json: bool,
    },
    /// The timeline of handovers.
    Handovers {
        /// For a program.
        is_json: bool,
    },
    /// Where an EID is.
    Lig {
        /// The EID's address.
        address: IpAddr,
        /// For a program.
        is_json: bool,
    },
}

enum State {
    Reading { line: [u8; MAX_REQUEST], len: usize },
    Waiting(Request),
    Writing { answer: Vec<u8>, sent: usize },
}

struct Connection {
    stream: UnixStream,
    state: State,
    since: Instant,
}

/// The listening socket with its connections; removed from the file system when dropped.
pub struct ControlSocket {
    listener: Listener,
    connections: [Option<Connection>; MAX_CONNECTIONS],
}

impl ControlSocket {
    /// Listens at `path`, for this user and group only; a socket that nobody serves is replaced.
    ///
    /// # Errors
    /// `AddrInUse` when another router serves the path, else what the kernel says.
    pub fn bind(path: &Path) -> io::Result<ControlSocket> {
        let listener = Listener::bind(path, 0o660)?;
        Ok(ControlSocket { listener, connections: [const { None }; MAX_CONNECTIONS] })
    }

    /// The connection to watch in this slot, and whether to watch it for writing.
    pub fn connection(&self, slot: usize) -> Option<(BorrowedFd<'_>, bool)> {
        let connection = self.connections.get(slot)?.as_ref()?;
        Some((connection.stream.as_fd(), matches!(connection.state, State::Writing { .. })))
    }

    /// Takes one waiting connection and says its slot.
    pub fn accept(&mut self, now: Instant) -> Option<usize> {
        let (stream, _) = self.listener.accept().ok()??;
        stream.set_nonblocking(true).ok()?;
        let slot = self.free_slot();
        let state = State::Reading { line: [0; MAX_REQUEST], len: 0 };
        self.connections[slot] = Some(Connection { stream, state, since: now });
        Some(slot)
    }

    fn free_slot(&self) -> usize {
        let since = |slot: &usize| self.connections[*slot].as_ref().map(|one| one.since);
        (0..MAX_CONNECTIONS).min_by_key(since).expect("there is at least one slot")
    }

    /// Reads or writes what the connection in this slot allows; `Some` is a request to answer.
    pub fn handle_ready(&mut self, slot: usize, now: Instant) -> Option<Request> {
        let connection = self.connections.get_mut(slot)?.as_mut()?;
        connection.since = now;
        let step = match &mut connection.state {
            State::Reading { line, len } => read_line(&mut connection.stream, line, len),
            State::Waiting(_) => is_open(&mut connection.stream),
            State::Writing { answer, sent } => write_answer(&mut connection.stream, answer, sent),
        };
        match step {
            Step::Again => None,
            Step::Close => {
                self.connections[slot] = None;
                None
            }
            Step::Request(Some(request)) => {
                connection.state = State::Waiting(request);
                Some(request)
            }
            Step::Request(None) => {
                self.answer(slot, 2, "unknown request\n");
                None
            }
        }
    }

    /// Gives the connection in this slot its answer.
    pub fn answer(&mut self, slot: usize, code: u8, body: &str) {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        let answer = format!("{code}\n{body}").into_bytes();
        connection.state = State::Writing { answer, sent: 0 };
        if let State::Writing { answer, sent } = &mut connection.state
            && matches!(write_answer(&mut connection.stream, answer, sent), Step::Close)
        {
            self.connections[slot] = None;
        }
    }

    /// The connections that wait for this EID, and whether they want JSON.
    pub fn waiting_for(&self, address: IpAddr) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.connections.iter().enumerate().filter_map(move |(slot, connection)| {
            match connection.as_ref()?.state {
                State::Waiting(Request::Lig { address: asked, is_json }) if asked == address => {
                    Some((slot, is_json))
                }
                _ => None,
            }
        })
    }

    /// Closes connections that were idle for too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        for connection in &mut self.connections {
            if connection.as_ref().is_some_and(|one| one.since + IDLE <= now) {
                *connection = None;
            }
        }
    }

    /// When the next connection has been idle for too long.
    pub fn poll_at(&self) -> Option<Instant> {
        self.connections.iter().flatten().map(|one| one.since + IDLE).min()
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

enum Step {
    Again,
    Close,
    Request(Option<Request>),
}

fn read_line(stream: &mut UnixStream, line: &mut [u8; MAX_REQUEST], len: &mut usize) -> Step {
    match stream.read(&mut line[*len..]) {
        Ok(0) => Step::Close,
        Ok(read) => {
            *len += read;
            match line[..*len].iter().position(|octet| *octet == b'\n') {
                Some(end) => Step::Request(parse(&line[..end])),
                None if *len == MAX_REQUEST => Step::Request(None),
                None => Step::Again,
            }
        }
        Err(error) => again_or_close(&error),
    }
}

/// A client that waits for an answer says nothing; what it says is dropped.
fn is_open(stream: &mut UnixStream) -> Step {
    match stream.read(&mut [0; 64]) {
        Ok(0) => Step::Close,
        Ok(_) => Step::Again,
        Err(error) => again_or_close(&error),
    }
}

fn write_answer(stream: &mut UnixStream, answer: &[u8], sent: &mut usize) -> Step {
    while *sent < answer.len() {
        match stream.write(&answer[*sent..]) {
            Ok(0) => return Step::Close,
            Ok(written) => *sent += written,
            Err(error) => return again_or_close(&error),
        }
    }
    Step::Close
}

fn again_or_close(error: &io::Error) -> Step {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Step::Again,
        _ => Step::Close,
    }
}

fn parse(line: &[u8]) -> Option<Request> {
    let mut words = str::from_utf8(line).ok()?.split_ascii_whitespace();
    let command = words.next()?;
    let address = if command == "lig" { Some(words.next()?.parse().ok()?) } else { None };
    let is_json = match words.next() {
        None => false,
        Some("json") => true,
        Some(_) => return None,
    };
    if words.next().is_some() {
        return None;
    }
    match (command, address) {
        ("status", _) => Some(Request::Status { is_json }),
        ("handovers", _) => Some(Request::Handovers { is_json }),
        (_, Some(address)) => Some(Request::Lig { address, is_json }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_words_and_anything_else_is_refused() {
        assert_eq!(parse(b"status"), Some(Request::Status { is_json: false }));
        assert_eq!(parse(b"status json\r"), Some(Request::Status { is_json: true }));
        assert_eq!(parse(b"handovers json"), Some(Request::Handovers { is_json: true }));
        let address = "10.2.0.1".parse().unwrap();
        assert_eq!(parse(b"lig 10.2.0.1 json"), Some(Request::Lig { address, is_json: true }));
        for wrong in [&b""[..], b"lig", b"lig x", b"status xml", b"status json x", b"\xff", b"down"]
        {
            assert_eq!(parse(wrong), None);
        }
    }

    #[test]
    fn a_ninth_connection_replaces_the_oldest_and_garbage_is_answered() {
        let path = std::env::temp_dir().join(format!("lispguard-ninth-{}", std::process::id()));
        let mut socket = ControlSocket::bind(&path).unwrap();
        let mut clients = Vec::new();
        for number in 0..9 {
            clients.push(UnixStream::connect(&path).unwrap());
            let slot = socket.accept(Instant::from_millis(number)).unwrap();
            assert_eq!(slot, number as usize % MAX_CONNECTIONS);
        }
        assert_eq!(clients[0].read(&mut [0; 1]).unwrap(), 0);
        clients[3].write_all(&[0xff; 300]).unwrap();
        assert_eq!(socket.handle_ready(3, Instant::ZERO), None);
        let mut answer = String::new();
        let _ = clients[3].read_to_string(&mut answer);
        assert_eq!(answer, "2\nunknown request\n");
        socket.handle_timeout(Instant::from_millis(100_000));
        assert_eq!(socket.poll_at(), None);
        drop(socket);
        assert!(!path.exists());
    }
}
