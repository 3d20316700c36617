//! Sockets of a kernel that agrees with everything and does nothing: these definitions take the
//! place of the C library's, so that messages are built and sent, and only the sending is empty.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_long, c_void};
use std::ops::Range;
use std::slice;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use crate::window::Window;

const EAGAIN: c_int = 11;
const AF_UNIX: c_int = 1;
#[cfg(target_arch = "x86_64")]
const SYS_SOCKET: c_long = 41;
#[cfg(target_arch = "mips")]
const SYS_SOCKET: c_long = 4183;
#[cfg(target_arch = "arm")]
const SYS_SOCKET: c_long = 281;

const ACKNOWLEDGEMENT: u16 = 2;
const DONE: u16 = 3;
/// `GENL_ID_CTRL`, `RTM_NEWLINK`, `RTM_GETLINK`, and what this kernel calls WireGuard.
const CONTROLLER: u16 = 16;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const WIREGUARD: u16 = 40;
const IFNAME: u16 = 3;
/// `WGDEVICE_A_PEERS`, `WGPEER_A_PUBLIC_KEY`, `WGPEER_A_LAST_HANDSHAKE_TIME`.
const PEERS: u16 = 8;
const PUBLIC_KEY: u16 = 1;
const LAST_HANDSHAKE: u16 = 6;
/// Octets of a message's header.
const HEADER: usize = 16;
const ENODEV: i32 = 19;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
}

static SENT: AtomicU32 = AtomicU32::new(0);
static STATE: Mutex<State> = Mutex::new(State {
    netlink: 0,
    generic: 0,
    request: [0; 512],
    len: 0,
    links: Vec::new(),
    is_told: true,
    keys: BTreeSet::new(),
    peers: Vec::new(),
});

/// Messages that were sent so far.
pub fn sent() -> u32 {
    SENT.load(Ordering::Relaxed)
}

/// One request at a time, as the daemon's sockets have it.
struct State {
    /// Descriptors, as bits, of routing and generic netlink.
    netlink: u64,
    generic: u64,
    request: [u8; 512],
    len: usize,
    /// Names of interfaces; the first one's index is 100.
    links: Vec<Vec<u8>>,
    /// Whether all of the answer but its end was given.
    is_told: bool,
    /// Keys of WireGuard peers that were set, and the peers as they are told of.
    keys: BTreeSet<[u8; 32]>,
    peers: Vec<u8>,
}

#[unsafe(no_mangle)]
extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    const AF_NETLINK: c_int = 16;
    // SAFETY: the arguments are those of socket(2).
    let fd = unsafe { syscall(SYS_SOCKET, AF_UNIX, kind, 0) } as c_int;
    if let (AF_NETLINK, Ok(number @ 0..64)) = (domain, u32::try_from(fd)) {
        let mut state = STATE.lock().expect("one thread");
        *(if protocol == 0 { &mut state.netlink } else { &mut state.generic }) |= 1 << number;
    }
    fd
}

#[unsafe(no_mangle)]
extern "C" fn bind(_fd: c_int, _address: *const c_void, _len: u32) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn setsockopt(
    _fd: c_int,
    _level: c_int,
    _name: c_int,
    _value: *const c_void,
    _len: u32,
) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn sendto(
    fd: c_int,
    octets: *const u8,
    len: usize,
    _flags: c_int,
    _to: *const c_void,
    _to_len: u32,
) -> isize {
    SENT.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the caller's octets are readable for this length.
    let request = unsafe { slice::from_raw_parts(octets, len) };
    Window::Kernel.count(1, || STATE.lock().expect("one thread").take(fd, request));
    len as isize
}

#[unsafe(no_mangle)]
extern "C" fn recvfrom(
    fd: c_int,
    buffer: *mut u8,
    len: usize,
    _flags: c_int,
    from: *mut c_void,
    from_len: *mut u32,
) -> isize {
    const ADDRESS: usize = 12;
    let answered = Window::Kernel.count(1, || {
        let mut state = STATE.lock().expect("one thread");
        if !state.is_netlink(fd) {
            return None;
        }
        // SAFETY: the caller's buffer and place for an address are writable.
        let buffer = unsafe {
            from.cast::<u8>().write_bytes(0, ADDRESS);
            from.cast::<u16>().write(16);
            from_len.write(ADDRESS as u32);
            slice::from_raw_parts_mut(buffer, len)
        };
        let is_generic = state.generic >> fd & 1 != 0;
        Some(state.answer(is_generic, buffer) as isize)
    });
    answered.unwrap_or_else(|| {
        // SAFETY: the C library has a place for this thread's number.
        unsafe { *__errno_location() = EAGAIN };
        -1
    })
}

impl State {
    fn is_netlink(&self, fd: c_int) -> bool {
        (0..64).contains(&fd) && (self.netlink | self.generic) >> fd & 1 != 0
    }

    /// Takes a request that somebody sent.
    fn take(&mut self, fd: c_int, request: &[u8]) {
        if !self.is_netlink(fd) {
            return;
        }
        self.len = request.len().min(self.request.len());
        self.request[..self.len].copy_from_slice(&request[..self.len]);
        self.is_told = false;
        if (self.generic >> fd) & 1 != 0 {
            self.learn_peer();
        }
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_ne_bytes([self.request[at], self.request[at + 1]])
    }

    /// Writes the next message of the answer.
    fn answer(&mut self, is_generic: bool, buffer: &mut [u8]) -> usize {
        let (kind, command) = (self.u16_at(4), self.request[HEADER]);
        let is_first = !core::mem::replace(&mut self.is_told, true);
        match (is_generic, kind) {
            (true, CONTROLLER) if is_first => {
                let family = attribute(1, &WIREGUARD.to_ne_bytes());
                self.message(buffer, CONTROLLER, &[&[1, 2, 0, 0], &family[..]].concat())
            }
            (true, WIREGUARD) if command == 0 && is_first => {
                // The interface's index, as it was asked for.
                let index = attribute(1, &self.request[HEADER + 8..HEADER + 12]);
                let (key, port) = (attribute(4, &[7; 32]), attribute(6, &51820_u16.to_ne_bytes()));
                let peers = attribute(PEERS, &self.peers);
                let device = [&[0, 1, 0, 0], &index[..], &key, &port, &peers].concat();
                self.message(buffer, WIREGUARD, &device)
            }
            (true, WIREGUARD) if command == 0 => self.message(buffer, DONE, &[0; 4]),
            (false, NEW_LINK) => {
                if let Some(name) = self.name() {
                    self.links.push(name);
                }
                self.acknowledge(buffer, 0)
            }
            (false, GET_LINK) if is_first => self.tell_link(buffer),
            // A listing: there is nothing.
            (false, kind) if kind % 4 == 2 && kind != GET_LINK => {
                self.message(buffer, DONE, &[0; 4])
            }
            _ => self.acknowledge(buffer, 0),
        }
    }

    fn tell_link(&self, buffer: &mut [u8]) -> usize {
        let name = self.name();
        match self.links.iter().position(|known| Some(known) == name.as_ref()) {
            Some(place) => {
                let index = (100 + place as u32).to_ne_bytes();
                self.message(buffer, NEW_LINK, &[&[0; 4][..], &index, &[0; 8]].concat())
            }
            None => self.acknowledge(buffer, -ENODEV),
        }
    }

    /// The interface's name in a request about links.
    fn name(&self) -> Option<Vec<u8>> {
        let name = self.find(HEADER + 16..self.len, IFNAME)?;
        let name = &self.request[name];
        Some(name.strip_suffix(&[0]).unwrap_or(name).to_vec())
    }

    /// Remembers a WireGuard peer that is set: it shakes hands at once.
    fn learn_peer(&mut self) {
        let peers = self.find(HEADER + 4..self.len, PEERS);
        let peer = peers.and_then(|peers| self.find(peers, 0));
        let Some(key) = peer.and_then(|peer| self.find(peer, PUBLIC_KEY)) else { return };
        let Ok(key) = <[u8; 32]>::try_from(&self.request[key]) else { return };
        let is_set = self.u16_at(4) == WIREGUARD && self.request[HEADER] == 1;
        if is_set && self.keys.insert(key) {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
            let time = [since.as_secs(), since.subsec_nanos().into()].map(u64::to_ne_bytes);
            let time = attribute(LAST_HANDSHAKE, &time.concat());
            let peer = attribute(0, &[attribute(PUBLIC_KEY, &key), time].concat());
            self.peers.extend(peer);
        }
    }

    /// Where the value of the first attribute of a kind is.
    fn find(&self, within: Range<usize>, kind: u16) -> Option<Range<usize>> {
        const NESTED: u16 = 0x8000;
        let mut at = within.start;
        while at + 4 <= within.end {
            let len = usize::from(self.u16_at(at)).max(4);
            if self.u16_at(at + 2) & !NESTED == kind {
                return Some(at + 4..at + len);
            }
            at += len.next_multiple_of(4);
        }
        None
    }

    fn acknowledge(&self, buffer: &mut [u8], error: i32) -> usize {
        let mut payload = [0; 4 + HEADER];
        payload[..4].copy_from_slice(&error.to_ne_bytes());
        payload[4..].copy_from_slice(&self.request[..HEADER]);
        self.message(buffer, ACKNOWLEDGEMENT, &payload)
    }

    fn message(&self, buffer: &mut [u8], kind: u16, payload: &[u8]) -> usize {
        let len = HEADER + payload.len();
        buffer[..4].copy_from_slice(&(len as u32).to_ne_bytes());
        buffer[4..6].copy_from_slice(&kind.to_ne_bytes());
        buffer[6..8].fill(0);
        // The request's number.
        buffer[8..12].copy_from_slice(&self.request[8..12]);
        buffer[12..16].fill(0);
        buffer[HEADER..len].copy_from_slice(payload);
        len
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = 4 + value.len();
    let mut octets = [&(len as u16).to_ne_bytes(), &kind.to_ne_bytes(), value].concat();
    octets.resize(len.next_multiple_of(4), 0);
    octets
}
