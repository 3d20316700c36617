//! Storage for many datagrams that go to the kernel in one system call.

use core::mem::size_of;
use core::net::SocketAddr;
use core::ops::Range;
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::{self, cmsghdr, iovec, mmsghdr};

use crate::system::{self, RawAddress};

/// Datagrams in one message; kernels since 4.18 take as many.
const MAX_SEGMENTS: usize = 64;
/// Octets in one message: what both families' headers leave of 64 KiB.
const MAX_MESSAGE_LEN: usize = 65535 - 48;

/// Storage for sending up to a number of datagrams at once. With segmentation, datagrams of one
/// length to one address follow one another as one message, which the kernel takes apart.
pub struct SendBatch {
    octets: Box<[u8]>,
    slot_len: usize,
    /// Octets in use.
    end: usize,
    messages: Box<[Message]>,
    addresses: Box<[RawAddress]>,
    vectors: Box<[iovec]>,
    segment_lens: Box<[SegmentLen]>,
    headers: Box<[mmsghdr]>,
    /// The messages not yet sent.
    pending: Range<usize>,
    is_segmenting: bool,
    /// The first message goes as single datagrams.
    is_apart: bool,
    refusals: u64,
}

/// Datagrams to one address: all of `segment_len` octets but the last, which may be shorter.
#[derive(Clone, Copy)]
struct Message {
    to: SocketAddr,
    start: usize,
    len: usize,
    segment_len: usize,
    count: usize,
}

/// A control message with the length of the datagrams in a message.
#[derive(Clone, Copy)]
#[repr(C)]
struct SegmentLen {
    header: cmsghdr,
    len: u16,
}

// SAFETY: the pointers in `vectors` and `headers` are set anew before each system call and point
// into boxes that the batch owns; nothing reads them otherwise.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// Allocates room for `count` datagrams of up to `slot_len` octets, more where segmentation
    /// joins them.
    #[must_use]
    pub fn new(count: usize, slot_len: usize) -> Self {
        let to = SocketAddr::from(([0; 4], 0));
        let message = Message { to, start: 0, len: 0, segment_len: 0, count: 0 };
        let vector = iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        // SAFETY: zeroes are valid for a cmsghdr and an integer.
        let mut segment_len = unsafe { core::mem::zeroed::<SegmentLen>() };
        segment_len.header.cmsg_level = libc::SOL_UDP;
        segment_len.header.cmsg_type = libc::UDP_SEGMENT;
        segment_len.header.cmsg_len = (size_of::<cmsghdr>() + size_of::<u16>()) as _;
        // SAFETY: null pointers and zero lengths are valid for mmsghdr.
        let header = || unsafe { core::mem::zeroed::<mmsghdr>() };
        Self {
            octets: vec![0; count * slot_len].into(),
            slot_len,
            end: 0,
            messages: vec![message; count].into(),
            addresses: vec![RawAddress::empty(); count].into(),
            vectors: vec![vector; count].into(),
            segment_lens: vec![segment_len; count].into(),
            headers: (0..count).map(|_| header()).collect(),
            pending: 0..0,
            is_segmenting: false,
            is_apart: false,
            refusals: 0,
        }
    }

    /// Says whether the kernel takes messages of several datagrams, as `udp::Offload` found out.
    pub fn set_segmenting(&mut self, is_segmenting: bool) {
        self.is_segmenting = is_segmenting;
    }

    /// Whether datagrams are joined; ends for good when the kernel cannot take one apart on its
    /// way out.
    #[must_use]
    pub fn is_segmenting(&self) -> bool {
        self.is_segmenting
    }

    /// How many messages the kernel refused since the last call, so that their datagrams went one
    /// by one.
    pub fn take_refusals(&mut self) -> u64 {
        core::mem::take(&mut self.refusals)
    }

    /// The number of datagrams not yet sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages[self.pending.clone()].iter().map(|message| message.count).sum()
    }

    /// True when every datagram was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// True when there may be no room for a further datagram before `send_batch` emptied the batch.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.is_empty()
            && (self.pending.end == self.messages.len()
                || self.octets.len() - self.end < self.slot_len)
    }

    /// Room for a datagram of up to `len` octets, to be written there and appended by `commit`;
    /// `None` when it is longer than a slot or the batch is full.
    pub fn lend(&mut self, len: usize) -> Option<&mut [u8]> {
        if self.is_empty() {
            (self.pending, self.end, self.is_apart) = (0..0, 0, false);
        }
        if len > self.slot_len || self.is_full() {
            return None;
        }
        self.octets.get_mut(self.end..self.end + len)
    }

    /// Appends the first `len` octets of what was lent last.
    ///
    /// # Panics
    /// When more is appended than was lent.
    pub fn commit(&mut self, to: SocketAddr, len: usize) {
        let start = self.end;
        self.end += len;
        assert!(self.end <= self.octets.len(), "no more is appended than was lent");
        if self.pending.len() > usize::from(self.is_apart)
            && self.is_segmenting
            && self.messages[self.pending.end - 1].append(to, len)
        {
            return;
        }
        self.messages[self.pending.end] = Message { to, start, len, segment_len: len, count: 1 };
        self.addresses[self.pending.end] = to.into();
        self.pending.end += 1;
    }

    /// Appends a copy of a datagram; false when it or the batch is too large.
    pub fn push(&mut self, datagram: &[u8], to: SocketAddr) -> bool {
        let Some(room) = self.lend(datagram.len()) else { return false };
        room.copy_from_slice(datagram);
        self.commit(to, datagram.len());
        true
    }

    /// The first unsent datagram and where it goes.
    #[must_use]
    pub fn first(&self) -> Option<(&[u8], SocketAddr)> {
        let message = self.messages[self.pending.clone()].first()?;
        Some((&self.octets[message.first()], message.to))
    }

    /// Gives the first unsent datagram up.
    pub fn skip(&mut self) {
        let Some(message) = self.messages[self.pending.clone()].first_mut() else { return };
        message.skip();
        if message.count == 0 {
            self.pending.start += 1;
            self.is_apart = false;
        }
    }

    /// Gives every unsent datagram up.
    pub fn clear(&mut self) {
        self.pending = 0..0;
    }

    pub(super) fn send(&mut self, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        let mut total = 0;
        while let Some(first) = self.messages[self.pending.clone()].first().copied() {
            let is_joined = first.count > 1;
            let result = if is_joined && (self.is_apart || !self.is_segmenting) {
                self.send_first(fd, &first)
            } else {
                self.send_messages(fd)
            };
            match result {
                Ok(count) => total += count,
                Err(Errno::EINTR) => {}
                Err(errno) if is_joined && !self.is_apart && self.is_refusal(errno) => {
                    self.is_apart = true;
                }
                Err(_) if total > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(total)
    }

    /// Whether the kernel takes the datagrams one by one, though not as a message.
    fn is_refusal(&mut self, errno: Errno) -> bool {
        let is_refusal = matches!(errno, Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE);
        self.refusals += u64::from(is_refusal);
        // The device that the message would leave by computes no checksums: it stays so. The other
        // errors concern this message, which is longer than the path takes unfragmented.
        self.is_segmenting &= errno != Errno::EIO;
        is_refusal
    }

    fn send_first(&mut self, fd: BorrowedFd<'_>, first: &Message) -> Result<usize, Errno> {
        system::send_to(fd, &self.octets[first.first()], &first.to.into())?;
        self.is_apart = true;
        self.skip();
        Ok(1)
    }

    fn send_messages(&mut self, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        let start = self.pending.start;
        let mut end = start;
        while end < self.pending.end && (self.is_segmenting || self.messages[end].count == 1) {
            self.point(end);
            end += 1;
        }
        let headers = &mut self.headers[start..end];
        // SAFETY: these headers were pointed at live octets and addresses just above.
        let result = unsafe {
            libc::sendmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as _,
                libc::MSG_NOSIGNAL as _,
            )
        };
        let sent = start..start + Errno::result(result)? as usize;
        self.pending.start = sent.end;
        self.is_apart = false;
        Ok(self.messages[sent].iter().map(|message| message.count).sum())
    }

    /// Points the header of a message at what it needs.
    fn point(&mut self, index: usize) {
        let message = &self.messages[index];
        let octets = &mut self.octets[message.start..message.start + message.len];
        let vector = &mut self.vectors[index];
        *vector = iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: octets.len() };
        let address = &mut self.addresses[index];
        let header = &mut self.headers[index].msg_hdr;
        header.msg_name = (&raw mut address.storage).cast();
        header.msg_namelen = address.len;
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        header.msg_control = ptr::null_mut();
        header.msg_controllen = 0;
        if message.count > 1 {
            let segment_len = &mut self.segment_lens[index];
            segment_len.len = message.segment_len as u16;
            header.msg_control = ptr::from_mut(segment_len).cast();
            header.msg_controllen = size_of::<SegmentLen>() as _;
        }
    }
}

impl Message {
    /// The octets of the first datagram.
    fn first(&self) -> Range<usize> {
        self.start..self.start + self.len.min(self.segment_len)
    }

    fn skip(&mut self) {
        let len = self.len.min(self.segment_len);
        self.start += len;
        self.len -= len;
        self.count -= 1;
    }

    /// Takes a further datagram, which lies behind the others; false when it does not fit them.
    fn append(&mut self, to: SocketAddr, len: usize) -> bool {
        let fits = to == self.to
            && (1..=self.segment_len).contains(&len)
            && self.len == self.count * self.segment_len
            && self.count < MAX_SEGMENTS
            && self.len + len <= MAX_MESSAGE_LEN;
        if fits {
            self.len += len;
            self.count += 1;
        }
        fits
    }
}
