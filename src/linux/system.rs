//! Socket system calls behind safe signatures.

use core::ffi::CStr;
use core::fmt;
use core::mem::{MaybeUninit, size_of};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc::{self, c_int, sockaddr_storage, socklen_t};

use crate::text::Text;

/// The C library's words for an error.
pub(crate) fn words(errno: Errno) -> Text<80> {
    let mut octets = [0_u8; 80];
    // SAFETY: what is written fits, its NUL included.
    unsafe { libc::strerror_r(errno as c_int, octets.as_mut_ptr().cast(), octets.len()) };
    let words = CStr::from_bytes_until_nul(&octets).unwrap_or_default();
    Text::truncated(words.to_str().unwrap_or_default())
}

/// Makes a nonblocking, close-on-exec socket.
pub(crate) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> Result<OwnedFd, Errno> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers are passed.
    let fd = Errno::result(unsafe { libc::socket(domain, kind, protocol) })?;
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an integer socket option.
pub(crate) fn set_option(
    fd: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: c_int,
) -> Result<(), Errno> {
    set_option_bytes(fd, level, option, &value.to_ne_bytes())
}

/// Sets a socket option from its octets.
pub(crate) fn set_option_bytes(
    fd: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &[u8],
) -> Result<(), Errno> {
    let len = value.len() as socklen_t;
    // SAFETY: pointer and length describe `value`, which the kernel only reads.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, value.as_ptr().cast(), len) };
    Errno::result(result).map(drop)
}

/// Reads a socket option of exactly the buffer's length.
pub(crate) fn option_bytes(
    fd: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &mut [u8],
) -> Result<(), Errno> {
    let mut len = value.len() as socklen_t;
    // SAFETY: `value` is writable for the `len` octets announced.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut len)
    };
    Errno::result(result)?;
    if len as usize == value.len() { Ok(()) } else { Err(Errno::EPROTO) }
}

/// Gives a socket a filter of classic BPF, in place of the one it had.
pub(crate) fn attach_filter(
    fd: BorrowedFd<'_>,
    program: &[libc::sock_filter],
) -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?,
        filter: program.as_ptr().cast_mut(),
    };
    let len = size_of::<libc::sock_fprog>() as socklen_t;
    // SAFETY: the kernel reads the structure and the statements it points to, which outlive the
    // call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            len,
        )
    };
    Errno::result(result).map(drop)
}

/// Waits until a descriptor can be written to, for a number of milliseconds at most.
pub(crate) fn wait_writable(fd: BorrowedFd<'_>, millis: u16) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd is passed, which outlives the call.
    let result = unsafe { libc::poll(&raw mut poll, 1, millis.into()) };
    result > 0 && poll.revents & libc::POLLOUT != 0
}

/// Asks for socket buffers of `octets`, above the system's limit where privileges allow it.
pub(crate) fn enlarge_buffers(fd: BorrowedFd<'_>, octets: c_int) {
    for (forced, limited) in
        [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        if set_option(fd, libc::SOL_SOCKET, forced, octets).is_err() {
            // Smaller buffers than asked for cost packets under load, not correctness.
            let _ = set_option(fd, libc::SOL_SOCKET, limited, octets);
        }
    }
}

/// A socket address as the kernel wants it.
#[derive(Clone, Copy)]
pub(crate) struct RawAddress {
    pub(crate) storage: sockaddr_storage,
    pub(crate) len: socklen_t,
}

impl RawAddress {
    /// Room for any address.
    pub(crate) fn empty() -> Self {
        // SAFETY: sockaddr_storage is plain integers, for which zeroes are valid.
        let storage = unsafe { MaybeUninit::zeroed().assume_init() };
        Self { storage, len: size_of::<sockaddr_storage>() as socklen_t }
    }

    /// The address made of one of libc's `sockaddr_*` types.
    ///
    /// # Safety
    /// `T` is a `sockaddr_*` structure: plain integers without padding that matters.
    pub(crate) unsafe fn new<T: Copy>(address: T) -> Self {
        const { assert!(size_of::<T>() <= size_of::<sockaddr_storage>()) };
        let mut raw = Self::empty();
        // SAFETY: the storage is at least as large as T (asserted) and aligned for every sockaddr.
        unsafe { (&raw mut raw.storage).cast::<T>().write(address) };
        raw.len = size_of::<T>() as socklen_t;
        raw
    }

    /// The address as one of libc's `sockaddr_*` types, or `None` when it is shorter than that.
    ///
    /// # Safety
    /// `T` is a `sockaddr_*` structure of plain integers.
    pub(crate) unsafe fn read<T: Copy>(&self) -> Option<T> {
        // SAFETY: as promised by the caller.
        unsafe { self.read_prefix(size_of::<T>()) }
    }

    /// As `read`, content with the first `len` octets; the rest is whatever was there before.
    ///
    /// # Safety
    /// `T` is a `sockaddr_*` structure of plain integers.
    pub(crate) unsafe fn read_prefix<T: Copy>(&self, len: usize) -> Option<T> {
        let is_whole = self.len as usize >= len;
        const { assert!(size_of::<T>() <= size_of::<sockaddr_storage>()) };
        // SAFETY: the storage is initialised, large enough (asserted) and aligned for every sockaddr.
        is_whole.then(|| unsafe { (&raw const self.storage).cast::<T>().read() })
    }

    /// The Internet address, or `None` for another family.
    pub(crate) fn internet(&self) -> Option<SocketAddr> {
        match c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: sockaddr_in is plain integers.
                let address = unsafe { self.read::<libc::sockaddr_in>() }?;
                let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: sockaddr_in6 is plain integers.
                let address = unsafe { self.read::<libc::sockaddr_in6>() }?;
                let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
                let port = u16::from_be(address.sin6_port);
                Some(SocketAddrV6::new(ip, port, 0, address.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => {
                let raw = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: sockaddr_in is a sockaddr of plain integers.
                unsafe { Self::new(raw) }
            }
            SocketAddr::V6(v6) => {
                let raw = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: sockaddr_in6 is a sockaddr of plain integers.
                unsafe { Self::new(raw) }
            }
        }
    }
}

/// Binds a socket.
pub(crate) fn bind(fd: BorrowedFd<'_>, address: &RawAddress) -> Result<(), Errno> {
    // SAFETY: the storage holds `len` octets of address, which the kernel only reads.
    let result =
        unsafe { libc::bind(fd.as_raw_fd(), (&raw const address.storage).cast(), address.len) };
    Errno::result(result).map(drop)
}

/// Sets where a socket sends to; a datagram socket sends nothing yet.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &RawAddress) -> Result<(), Errno> {
    // SAFETY: the storage holds `len` octets of address, which the kernel only reads.
    let result =
        unsafe { libc::connect(fd.as_raw_fd(), (&raw const address.storage).cast(), address.len) };
    Errno::result(result).map(drop)
}

/// The address a socket is bound to.
pub(crate) fn local_address(fd: BorrowedFd<'_>) -> Result<RawAddress, Errno> {
    let mut address = RawAddress::empty();
    // SAFETY: the storage is writable for the `len` octets announced.
    let result = unsafe {
        libc::getsockname(fd.as_raw_fd(), (&raw mut address.storage).cast(), &raw mut address.len)
    };
    Errno::result(result).map(|_| address)
}

/// Receives one datagram and its sender; with `MSG_TRUNC` the length may exceed the buffer's.
pub(crate) fn receive_from(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: c_int,
) -> Result<(usize, RawAddress), Errno> {
    loop {
        let mut from = RawAddress::empty();
        // SAFETY: buffer and storage are writable for the lengths given with them.
        let result = unsafe {
            libc::recvfrom(
                fd.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                flags,
                (&raw mut from.storage).cast(),
                &raw mut from.len,
            )
        };
        match Errno::result(result) {
            Ok(len) => return Ok((len as usize, from)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Sends one datagram.
pub(crate) fn send_to(
    fd: BorrowedFd<'_>,
    datagram: &[u8],
    to: &RawAddress,
) -> Result<usize, Errno> {
    loop {
        // SAFETY: datagram and storage are readable for the lengths given with them.
        let result = unsafe {
            libc::sendto(
                fd.as_raw_fd(),
                datagram.as_ptr().cast(),
                datagram.len(),
                libc::MSG_NOSIGNAL,
                (&raw const to.storage).cast(),
                to.len,
            )
        };
        match Errno::result(result) {
            Ok(len) => return Ok(len as usize),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reads from a descriptor.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        // SAFETY: the buffer is writable for its length.
        let result =
            unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        match Errno::result(result) {
            Ok(len) => return Ok(len as usize),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Writes to a descriptor.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        // SAFETY: the buffer is readable for its length.
        let result = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
        match Errno::result(result) {
            Ok(len) => return Ok(len as usize),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// An error, and what it is about.
#[derive(Debug)]
struct Named(String);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Named {}

/// The error with what it is about before it.
pub(crate) fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), Named(format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_to_the_kernel_and_back() {
        for text in ["192.0.2.1:4342", "[2001:db8::1]:51820", "[fe80::1%3]:1"] {
            let address: SocketAddr = text.parse().expect("a valid address");
            assert_eq!(RawAddress::from(address).internet(), Some(address));
        }
    }

    #[test]
    fn a_short_or_foreign_address_is_none() {
        let mut raw = RawAddress::from(SocketAddr::from(([192, 0, 2, 1], 1)));
        raw.len = 7;
        assert_eq!(raw.internet(), None);
        assert_eq!(RawAddress::empty().internet(), None);
    }
}
