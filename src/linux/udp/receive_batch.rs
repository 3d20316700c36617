//! Storage for many datagrams that come from the kernel in one system call.

use core::mem::size_of;
use core::net::SocketAddr;
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::{self, c_int, cmsghdr, iovec, mmsghdr};

use crate::system::RawAddress;

/// Storage for receiving up to a number of messages at once. A message is one datagram, or
/// several of one sender where the socket has them joined.
pub struct ReceiveBatch {
    /// Message `n` is octets `n * slot_len ..`.
    octets: Box<[u8]>,
    slot_len: usize,
    addresses: Box<[RawAddress]>,
    vectors: Box<[iovec]>,
    segment_lens: Box<[SegmentLen]>,
    headers: Box<[mmsghdr]>,
    len: usize,
}

/// Room for the control message with the length of the datagrams in a message.
#[derive(Clone, Copy)]
#[repr(C)]
struct SegmentLen {
    header: cmsghdr,
    len: c_int,
}

// SAFETY: the pointers in `vectors` and `headers` are set anew before each system call and point
// into boxes that the batch owns; nothing reads them otherwise.
unsafe impl Send for ReceiveBatch {}

impl ReceiveBatch {
    /// Allocates room for `count` messages of up to `slot_len` octets.
    #[must_use]
    pub fn new(count: usize, slot_len: usize) -> Self {
        let vector = iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        // SAFETY: zeroes are valid for a cmsghdr and an integer.
        let segment_len = unsafe { core::mem::zeroed::<SegmentLen>() };
        // SAFETY: null pointers and zero lengths are valid for mmsghdr.
        let header = || unsafe { core::mem::zeroed::<mmsghdr>() };
        Self {
            octets: vec![0; count * slot_len].into(),
            slot_len,
            addresses: vec![RawAddress::empty(); count].into(),
            vectors: vec![vector; count].into(),
            segment_lens: vec![segment_len; count].into(),
            headers: (0..count).map(|_| header()).collect(),
            len: 0,
        }
    }

    /// The number of messages received last.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when the last call received none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when the last call received as many as there is room for: there may be more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len == self.headers.len()
    }

    /// Message `index` of those received last, with its sender, to be worked on in place; `None`
    /// beyond the last one. It is one datagram unless the socket joins them.
    pub fn datagram(&mut self, index: usize) -> Option<(&mut [u8], SocketAddr)> {
        let from = self.addresses[..self.len].get(index)?.internet()?;
        Some((self.message(index), from))
    }

    /// The datagrams of message `index`, with their sender, as `datagram`.
    pub fn datagrams(
        &mut self,
        index: usize,
    ) -> Option<(impl Iterator<Item = &mut [u8]>, SocketAddr)> {
        let from = self.addresses[..self.len].get(index)?.internet()?;
        let segment_len = self.segment_len(index).unwrap_or(self.slot_len).max(1);
        let message = self.message(index);
        // An empty datagram is one too.
        let empty = message.is_empty().then_some(&mut [][..]);
        Some((empty.into_iter().chain(message.chunks_mut(segment_len)), from))
    }

    /// The length of all datagrams in message `index` but the last; `None` when it is a single one.
    #[must_use]
    // The lengths are of other types in other C libraries.
    #[allow(clippy::unnecessary_cast)]
    pub fn segment_len(&self, index: usize) -> Option<usize> {
        let header = &self.headers[..self.len].get(index)?.msg_hdr;
        let SegmentLen { header: control, len } = &self.segment_lens[index];
        let needed = size_of::<cmsghdr>() + size_of::<c_int>();
        let is_told = header.msg_controllen as usize >= needed
            && control.cmsg_len as usize >= needed
            && (control.cmsg_level, control.cmsg_type) == (libc::SOL_UDP, libc::UDP_GRO);
        usize::try_from(*len).ok().filter(|len| is_told && *len > 0)
    }

    fn message(&mut self, index: usize) -> &mut [u8] {
        let len = self.headers[index].msg_len as usize;
        &mut self.octets[index * self.slot_len..][..len.min(self.slot_len)]
    }

    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.len = 0;
        self.point();
        loop {
            let (headers, count) = (self.headers.as_mut_ptr(), self.headers.len());
            // SAFETY: `count` headers were pointed at live, disjoint, writable slots just above.
            let result =
                unsafe { libc::recvmmsg(fd.as_raw_fd(), headers, count as _, 0, ptr::null_mut()) };
            match Errno::result(result) {
                Ok(len) => self.len = len as usize,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            }
            for index in 0..self.len {
                self.addresses[index].len = self.headers[index].msg_hdr.msg_namelen;
            }
            return Ok(self.len);
        }
    }

    /// Points the headers at their slots.
    fn point(&mut self) {
        let slots = self.octets.chunks_exact_mut(self.slot_len);
        for (index, slot) in slots.take(self.headers.len()).enumerate() {
            let vector = &mut self.vectors[index];
            *vector = iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
            let address = &mut self.addresses[index];
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut address.storage).cast();
            header.msg_namelen = size_of_val(&address.storage) as _;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.segment_lens[index]).cast();
            header.msg_controllen = size_of::<SegmentLen>() as _;
            header.msg_flags = 0;
        }
    }
}
