//! Storage for many datagrams that go to or come from the kernel in one system call.

use core::net::SocketAddr;
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::{self, iovec, mmsghdr};

use crate::system::RawAddress;

/// Room for datagrams, allocated once; datagram `n` is octets `n * slot_len ..` of `octets`.
struct Storage {
    octets: Box<[u8]>,
    slot_len: usize,
    addresses: Box<[RawAddress]>,
    vectors: Box<[iovec]>,
    headers: Box<[mmsghdr]>,
}

// SAFETY: the pointers in `vectors` and `headers` are set anew before each system call and point
// into boxes that `Storage` owns; nothing reads them otherwise.
unsafe impl Send for Storage {}

impl Storage {
    fn new(count: usize, slot_len: usize) -> Self {
        let vector = iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        // SAFETY: null pointers and zero lengths are valid for mmsghdr.
        let header = || unsafe { core::mem::zeroed::<mmsghdr>() };
        Self {
            octets: vec![0; count * slot_len].into(),
            slot_len,
            addresses: vec![RawAddress::empty(); count].into(),
            vectors: vec![vector; count].into(),
            headers: (0..count).map(|_| header()).collect(),
        }
    }

    fn capacity(&self) -> usize {
        self.headers.len()
    }

    fn slot(&self, index: usize, len: usize) -> &[u8] {
        &self.octets[index * self.slot_len..][..len.min(self.slot_len)]
    }

    fn slot_mut(&mut self, index: usize, len: usize) -> &mut [u8] {
        &mut self.octets[index * self.slot_len..][..len.min(self.slot_len)]
    }

    /// Points the headers of a range at their slots, `len(n)` octets each.
    fn point(&mut self, range: core::ops::Range<usize>, len: impl Fn(usize) -> usize) {
        let base = self.octets.as_mut_ptr();
        for index in range {
            debug_assert!(index < self.capacity());
            // SAFETY: slot `index` lies inside `octets`, as `new` made count * slot_len of them.
            let slot = unsafe { base.add(index * self.slot_len) };
            let vector = &mut self.vectors[index];
            *vector = iovec { iov_base: slot.cast(), iov_len: len(index).min(self.slot_len) };
            let address = &mut self.addresses[index];
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut address.storage).cast();
            header.msg_namelen = address.len;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = ptr::null_mut();
            header.msg_controllen = 0;
            header.msg_flags = 0;
        }
    }
}

/// Storage for receiving up to a number of datagrams at once.
pub struct ReceiveBatch {
    storage: Storage,
    len: usize,
}

impl ReceiveBatch {
    /// Allocates room for `count` datagrams of up to `slot_len` octets.
    #[must_use]
    pub fn new(count: usize, slot_len: usize) -> Self {
        Self { storage: Storage::new(count, slot_len), len: 0 }
    }

    /// The number of datagrams received last.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when the last call received none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Datagram `index` of those received last, with its sender, to be worked on in place;
    /// `None` beyond the last one.
    pub fn datagram(&mut self, index: usize) -> Option<(&mut [u8], SocketAddr)> {
        if index >= self.len {
            return None;
        }
        let from = self.storage.addresses[index].internet()?;
        let len = self.storage.headers[index].msg_len as usize;
        Some((self.storage.slot_mut(index, len), from))
    }

    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.len = 0;
        let (count, slot_len) = (self.storage.capacity(), self.storage.slot_len);
        for address in &mut self.storage.addresses {
            address.len = size_of_val(&address.storage) as _;
        }
        self.storage.point(0..count, |_| slot_len);
        loop {
            let headers = self.storage.headers.as_mut_ptr();
            // SAFETY: `count` headers were pointed at live, disjoint, writable slots just above.
            let result =
                unsafe { libc::recvmmsg(fd.as_raw_fd(), headers, count as _, 0, ptr::null_mut()) };
            match Errno::result(result) {
                Ok(len) => self.len = len as usize,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            }
            for index in 0..self.len {
                self.storage.addresses[index].len = self.storage.headers[index].msg_hdr.msg_namelen;
            }
            return Ok(self.len);
        }
    }
}

/// Storage for sending up to a number of datagrams at once.
pub struct SendBatch {
    storage: Storage,
    lens: Box<[usize]>,
    /// The datagrams not yet sent.
    pending: core::ops::Range<usize>,
}

impl SendBatch {
    /// Allocates room for `count` datagrams of up to `slot_len` octets.
    #[must_use]
    pub fn new(count: usize, slot_len: usize) -> Self {
        Self { storage: Storage::new(count, slot_len), lens: vec![0; count].into(), pending: 0..0 }
    }

    /// The number of datagrams not yet sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// True when every datagram was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// True when no further datagram fits before `send_batch` emptied the batch.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.is_empty() && self.pending.end == self.storage.capacity()
    }

    /// Appends a datagram that `write` puts into the slot given to it, returning its length, or
    /// `None` to append nothing; false when nothing was appended or the batch is full.
    pub fn push_with(
        &mut self,
        to: SocketAddr,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        if self.is_empty() {
            self.pending = 0..0;
        }
        if self.is_full() {
            return false;
        }
        let index = self.pending.end;
        let slot_len = self.storage.slot_len;
        match write(self.storage.slot_mut(index, slot_len)) {
            Some(len) if len <= slot_len => self.lens[index] = len,
            _ => return false,
        }
        self.storage.addresses[index] = to.into();
        self.pending.end += 1;
        true
    }

    /// Appends a copy of a datagram; false when it or the batch is too large.
    pub fn push(&mut self, datagram: &[u8], to: SocketAddr) -> bool {
        self.push_with(to, |slot| {
            slot.get_mut(..datagram.len())?.copy_from_slice(datagram);
            Some(datagram.len())
        })
    }

    /// The first unsent datagram and where it goes.
    #[must_use]
    pub fn first(&self) -> Option<(&[u8], SocketAddr)> {
        let index = self.pending.clone().next()?;
        let to = self.storage.addresses[index].internet()?;
        Some((self.storage.slot(index, self.lens[index]), to))
    }

    /// Gives the first unsent datagram up.
    pub fn skip(&mut self) {
        self.pending.next();
    }

    /// Gives every unsent datagram up.
    pub fn clear(&mut self) {
        self.pending = 0..0;
    }

    pub(super) fn send(&mut self, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        let mut total = 0;
        while !self.is_empty() {
            let lens = &self.lens;
            self.storage.point(self.pending.clone(), |index| lens[index]);
            let headers = &mut self.storage.headers[self.pending.clone()];
            // SAFETY: these headers were pointed at live slots and addresses just above.
            let result = unsafe {
                libc::sendmmsg(
                    fd.as_raw_fd(),
                    headers.as_mut_ptr(),
                    headers.len() as _,
                    libc::MSG_NOSIGNAL as _,
                )
            };
            match Errno::result(result) {
                Ok(count) => {
                    self.pending.start += count as usize;
                    total += count as usize;
                }
                Err(Errno::EINTR) => {}
                Err(_) if total > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(total)
    }
}
