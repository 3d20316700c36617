//! Unix stream sockets in the file system: listening, with the identity of who connects, and
//! connecting.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    Backlog, SockFlag, UnixAddr, accept4, bind, connect as connect_socket, getsockopt, listen,
    sockopt::PeerCredentials,
};
use nix::sys::stat::{Mode, fchmod};

use crate::system;

/// Connections that wait to be accepted at most.
const BACKLOG: i32 = 16;

/// Who is at the other end, as the kernel saw it when the connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// The process.
    pub process: i32,
    /// Its effective user.
    pub user: u32,
    /// Its effective group.
    pub group: u32,
}

/// A listening socket; its file goes away with this value.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    path: PathBuf,
    /// Device and inode of the file, so that another process's socket is never removed.
    identity: (u64, u64),
}

impl Listener {
    /// Listens at a path, with the file's permission bits such as 0o600. A socket left behind by a
    /// process that died is replaced; one that is listened to, or another file, is left alone.
    ///
    /// # Errors
    /// `AddrInUse` when the path is taken; else why the file could not be made.
    pub fn bind(path: impl AsRef<Path>, mode: u32) -> io::Result<Self> {
        let path = path.as_ref();
        let address = UnixAddr::new(path)?;
        let fd = system::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
        // The file is made with the mode of the socket's own inode, so that at no time anybody
        // else can connect; the umask is taken off it.
        fchmod(&fd, Mode::from_bits_truncate(mode as _))?;
        match bind(fd.as_raw_fd(), &address) {
            Err(Errno::EADDRINUSE) if is_stale(path)? => {
                fs::remove_file(path)?;
                bind(fd.as_raw_fd(), &address)?;
            }
            result => result?,
        }
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        listen(&fd, Backlog::new(BACKLOG)?)?;
        let identity = identity(path)?;
        Ok(Self { fd, path: path.to_owned(), identity })
    }

    /// Accepts one connection, nonblocking as the listener; `None` when there is none.
    ///
    /// # Errors
    /// When the process has too many descriptors.
    pub fn accept(&self) -> io::Result<Option<(UnixStream, Credentials)>> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = match accept4(self.fd.as_raw_fd(), flags) {
            // SAFETY: the descriptor is new and owned by nobody else.
            Ok(fd) => unsafe { OwnedFd::from_raw_fd(fd) },
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let credentials = getsockopt(&fd, PeerCredentials)?;
        let credentials = Credentials {
            process: credentials.pid(),
            user: credentials.uid(),
            group: credentials.gid(),
        };
        Ok(Some((fd.into(), credentials)))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // A file that cannot be removed is stale for the next process, which removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connects to who listens at a path, without waiting; the stream is nonblocking.
///
/// # Errors
/// When nobody listens there, or `WouldBlock` when too many wait there already.
pub fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path.as_ref())?;
    let fd = system::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
    connect_socket(fd.as_raw_fd(), &address)?;
    Ok(fd.into())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// True when a path is a socket to which nobody listens.
fn is_stale(path: &Path) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let refused = UnixStream::connect(path).err().map(|error| error.kind());
    Ok(refused == Some(io::ErrorKind::ConnectionRefused))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let unique = format!("lispguard-unix-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(unique);
            fs::create_dir(&path).expect("a directory of our own");
            Self(path)
        }

        fn socket(&self) -> PathBuf {
            self.0.join("socket")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("the directory is ours");
        }
    }

    #[test]
    fn a_connection_tells_who_connected() {
        let directory = Directory::new("accept");
        let listener = Listener::bind(directory.socket(), 0o600).expect("bound");
        assert!(listener.accept().expect("an accept").is_none());
        let mut client = UnixStream::connect(directory.socket()).expect("connected");
        let (mut server, credentials) = listener.accept().expect("an accept").expect("a client");
        assert_eq!(credentials.process, std::process::id().cast_signed());
        assert_eq!(credentials.user, nix::unistd::geteuid().as_raw());
        assert_eq!(credentials.group, nix::unistd::getegid().as_raw());
        let error = server.read(&mut [0; 1]).expect_err("nothing yet");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"x").expect("written");
        assert_eq!(server.read(&mut [0; 1]).expect("read"), 1);
    }

    #[test]
    fn connecting_never_waits() {
        let directory = Directory::new("connect");
        let error = connect(directory.socket()).expect_err("no file");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let listener = Listener::bind(directory.socket(), 0o600).expect("bound");
        let mut client = connect(directory.socket()).expect("connected");
        let error = client.read(&mut [0; 1]).expect_err("nothing yet");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let mut waiting = Vec::new();
        let error = loop {
            match connect(directory.socket()) {
                Ok(client) => waiting.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(waiting.len() <= 2 * BACKLOG as usize);
        let (mut server, _) = listener.accept().expect("an accept").expect("a client");
        server.write_all(b"x").expect("written");
        assert_eq!(client.read(&mut [0; 1]).expect("read"), 1);
    }

    #[test]
    fn the_file_has_the_mode_asked_for_and_goes_away() {
        let directory = Directory::new("mode");
        for mode in [0o600, 0o660] {
            let listener = Listener::bind(directory.socket(), mode).expect("bound");
            let metadata = fs::metadata(directory.socket()).expect("a file");
            assert_eq!(metadata.permissions().mode() & 0o777, mode);
            drop(listener);
            assert!(!directory.socket().exists());
        }
    }

    #[test]
    fn only_a_socket_that_nobody_listens_to_is_replaced() {
        let directory = Directory::new("stale");
        drop(std::os::unix::net::UnixListener::bind(directory.socket()).expect("bound"));
        assert!(directory.socket().exists(), "std leaves its file behind");
        let listener = Listener::bind(directory.socket(), 0o600).expect("replaced");
        let error = Listener::bind(directory.socket(), 0o600).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        fs::write(directory.socket(), "precious").expect("written");
        let error = Listener::bind(directory.socket(), 0o600).expect_err("not a socket");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read(directory.socket()).expect("kept"), b"precious");
    }

    #[test]
    fn the_socket_of_a_successor_is_left_alone() {
        let directory = Directory::new("successor");
        let first = Listener::bind(directory.socket(), 0o600).expect("bound");
        fs::remove_file(directory.socket()).expect("removed");
        let second = Listener::bind(directory.socket(), 0o600).expect("bound");
        drop(first);
        assert!(directory.socket().exists());
        drop(second);
    }
}
