//! Tells the service manager how far the start is (systemd's `Type=notify`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The router forwards.
pub const READY: &str = "READY=1";
/// The router ends.
pub const STOPPING: &str = "STOPPING=1";

/// Sends a state to the socket that `NOTIFY_SOCKET` names; without one nobody asked.
pub fn notify(state: &str) {
    if let Some(socket) = linux::process::variable(c"NOTIFY_SOCKET")
        && let Err(error) = send(state, &socket)
    {
        log::debug!("telling the service manager {state}: {error}");
    }
}

/// A name that begins with `@` is in the abstract namespace.
fn send(state: &str, socket: &OsStr) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reaches_the_service_manager_at_a_path_and_at_an_abstract_name() {
        let name = format!("lispguard-notify-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let by_path = UnixDatagram::bind(&path).expect("a socket");
        send(READY, path.as_os_str()).expect("sent");
        std::fs::remove_file(&path).expect("removed");
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
        let by_name = UnixDatagram::bind_addr(&abstract_name).expect("a socket");
        send(STOPPING, OsStr::new(&format!("@{name}"))).expect("sent");
        for (socket, state) in [(by_path, READY), (by_name, STOPPING)] {
            let mut buffer = [0; 32];
            let len = socket.recv(&mut buffer).expect("a datagram");
            assert_eq!(&buffer[..len], state.as_bytes());
        }
    }
}
