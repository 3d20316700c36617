//! Packets longer than the wire takes, with a header before them that says how to take them apart.

use std::io::{self, IoSlice, Write};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_short, c_uint};

use super::Tun;
use crate::transfer::TransferError;

/// Octets of `struct virtio_net_hdr` before each packet.
pub const VIRTIO_HEADER_LEN: usize = 10;

/// TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN, TUN_F_USO4 and TUN_F_USO6.
const CHECKSUM: c_uint = 0x01;
const TCP: c_uint = 0x02 | 0x04 | 0x08;
const UDP: c_uint = 0x20 | 0x40;

/// What the kernel may leave to the reader of a TUN device, and takes from its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offload {
    /// TCP segments longer than the MTU, and checksums.
    pub tcp: bool,
    /// Runs of UDP datagrams of one length as one packet.
    pub udp: bool,
}

impl Tun {
    /// As `open`, but each packet has a header of `VIRTIO_HEADER_LEN` octets before it, little-
    /// endian, and may be unfinished as far as `offload` says; less than was asked for where the
    /// kernel has less, which it is asked to do rather than asked about.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with_header(name: &str, wanted: Offload) -> io::Result<(Self, Offload)> {
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        let tun = Self::open_with_flags(name, flags as c_short)?;
        // Without a say in the octet order, only headers that are all zeroes are understood.
        let is_ordered = tun.set_little_endian().is_ok();
        let tcp = wanted.tcp && is_ordered;
        let udp = wanted.udp && tcp && tun.set_offload(CHECKSUM | TCP | UDP).is_ok();
        let tcp = udp || tcp && tun.set_offload(CHECKSUM | TCP).is_ok();
        Ok((tun, Offload { tcp, udp }))
    }

    /// Hands one packet in parts, the header among them, to the kernel.
    ///
    /// # Errors
    /// As `send`; `Failed(EINVAL)` when the header does not fit the packet, too.
    pub fn send_vectored(&self, parts: &[IoSlice<'_>]) -> Result<(), TransferError> {
        loop {
            match (&self.file).write_vectored(parts) {
                Ok(len) => {
                    debug_assert_eq!(len, parts.iter().map(|part| part.len()).sum());
                    return Ok(());
                }
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EINTR) => {}
                    Some(errno) => return Err(errno.into()),
                    None => return Err(TransferError::Failed(Errno::EIO)),
                },
            }
        }
    }

    fn set_little_endian(&self) -> Result<(), Errno> {
        let code = nix::request_code_write!(b'T', 220, size_of::<c_int>());
        let value: c_int = 1;
        // SAFETY: TUNSETVNETLE reads one integer, which outlives the call.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), code as _, &raw const value) };
        Errno::result(result).map(drop)
    }

    fn set_offload(&self, flags: c_uint) -> Result<(), Errno> {
        let code = nix::request_code_write!(b'T', 208, size_of::<c_uint>());
        // SAFETY: TUNSETOFFLOAD takes its argument as a number.
        let result =
            unsafe { libc::ioctl(self.file.as_raw_fd(), code as _, libc::c_ulong::from(flags)) };
        Errno::result(result).map(drop)
    }
}
