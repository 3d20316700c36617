//! TUN devices: IP packets in and out of the kernel.

mod offload;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_short};

use crate::netlink::InterfaceName;
use crate::system;
use crate::text::Text;
use crate::transfer::TransferError;
pub use offload::{Offload, VIRTIO_HEADER_LEN};

/// A TUN device, nonblocking; it goes away with this value.
#[derive(Debug)]
pub struct Tun {
    file: File,
    name: InterfaceName,
    index: u32,
}

impl Tun {
    /// Makes a device in the calling thread's network namespace; `%d` in the name becomes the
    /// first free number. Each read or write is one IP packet without any header before it.
    ///
    /// # Errors
    /// When `/dev/net/tun` cannot be opened, or the name is taken or not allowed.
    pub fn open(name: &str) -> io::Result<Self> {
        Self::open_with_flags(name, (libc::IFF_TUN | libc::IFF_NO_PI) as c_short)
    }

    fn open_with_flags(name: &str, flags: c_short) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .map_err(|error| system::named("/dev/net/tun", &error))?;
        // SAFETY: ifreq is plain integers, for which zeroes are valid.
        let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
        if name.len() >= request.ifr_name.len() || name.contains('\0') {
            return Err(Errno::EINVAL.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = flags;
        let code = nix::request_code_write!(b'T', 202, size_of::<c_int>());
        // SAFETY: TUNSETIFF reads and writes one ifreq, which outlives the call.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), code as _, &raw mut request) };
        Errno::result(result)?;
        // SAFETY: zero-filled before, so that reading the name reads initialised octets.
        let given = request.ifr_name.map(|octet| octet as u8);
        let len = given.iter().position(|&octet| octet == 0).unwrap_or(given.len());
        let name = core::str::from_utf8(&given[..len]).map_err(io::Error::other)?;
        let index = nix::net::if_::if_nametoindex(name)?;
        Ok(Self { file, name: Text::truncated(name), index })
    }

    /// As `open`, but the device stays when this value goes; one that stayed is taken over.
    ///
    /// # Errors
    /// As `open`; `ResourceBusy` when another process has it open, `InvalidInput` when the name
    /// is that of another kind of interface.
    pub fn open_persistent(name: &str) -> io::Result<Self> {
        let tun = Self::open(name)?;
        tun.set_persistent(true)?;
        Ok(tun)
    }

    /// Whether the device stays when this value goes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_persistent(&self, is_persistent: bool) -> io::Result<()> {
        let code = nix::request_code_write!(b'T', 203, size_of::<c_int>());
        let value = libc::c_ulong::from(is_persistent);
        // SAFETY: TUNSETPERSIST takes its argument as a number.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), code as _, value) };
        Ok(Errno::result(result).map(drop)?)
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device's interface index in the namespace where it was made.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Reads one packet that the kernel routed to the device; what does not fit is cut off.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize, TransferError> {
        Ok(system::read(self.as_fd(), buffer)?)
    }

    /// Hands one IP packet to the kernel as if it came in by the device.
    ///
    /// # Errors
    /// `Network` when the device is down; `Failed(EINVAL)` when it is no IP packet.
    pub fn send(&self, packet: &[u8]) -> Result<(), TransferError> {
        system::write(self.as_fd(), packet)?;
        Ok(())
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
