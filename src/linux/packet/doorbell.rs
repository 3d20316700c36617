//! A doorbell: it rings when a packet leaves by an interface that was quiet.

use core::net::Ipv6Addr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc::{self, sock_filter};

use super::address;
use crate::system;

/// An EtherType that no IP interface carries (IEEE 802's first for local experiments). The kernel
/// takes a zero for "the last one", and no interface for all of them.
const NO_PROTOCOL: u16 = 0x88b5;

/// The least the kernel gives: a ring or two are kept, and a burst costs no memory.
const BUFFER_LEN: i32 = 1;

/// How a doorbell stands to its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bell {
    /// It is off the interface: packets leave as if there were none.
    #[default]
    Off,
    /// The next packet that leaves rings it; until it is muted, so do those after it.
    Armed,
    /// It is on the interface and no packet rings it, but each still passes by it. From and to
    /// `Armed` that is done at once, while from either to `Off`, and back, the caller waits some
    /// milliseconds (12 to 16 on a PC), until no CPU looks at what it was bound to any more.
    Muted,
}

/// Rings when a packet leaves by an interface. Neither packets that come in ring it, nor those to
/// IPv6 multicast addresses, which the kernel sends of its own accord, nor those from one address.
#[derive(Debug)]
pub struct Doorbell {
    fd: OwnedFd,
    index: u32,
    program: [sock_filter; PROGRAM_LEN],
    bell: Bell,
}

impl Doorbell {
    /// Makes a doorbell for the interface of an index, `Off`. IPv6 packets from `unheard` do not
    /// ring it.
    ///
    /// # Errors
    /// Without `CAP_NET_RAW`.
    pub fn open(index: u32, unheard: Ipv6Addr) -> io::Result<Self> {
        let fd = system::socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0)?;
        system::set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER_LEN)?;
        Ok(Self { fd, index, program: program(unheard), bell: Bell::Off })
    }

    /// How it stands.
    #[must_use]
    pub fn bell(&self) -> Bell {
        self.bell
    }

    /// Arms it, mutes it, or takes it off the interface; rings that were not taken are gone then.
    ///
    /// # Errors
    /// When there is no such interface any more.
    pub fn set(&mut self, bell: Bell) -> io::Result<()> {
        if bell == self.bell {
            return Ok(());
        }
        // Off is kept muted, so that nothing rings that is under way.
        let program = if bell == Bell::Armed { &self.program[..] } else { &[NOTHING] };
        system::attach_filter(self.fd.as_fd(), program)?;
        let bind = |protocol| system::bind(self.fd.as_fd(), &address(self.index, protocol));
        match (self.bell, bell) {
            (Bell::Off, _) => bind(libc::ETH_P_ALL as u16)?,
            // Off an interface that is gone it is already.
            (_, Bell::Off) => match bind(NO_PROTOCOL) {
                Err(Errno::ENODEV) => {}
                result => result?,
            },
            _ => {}
        }
        self.bell = bell;
        if bell != Bell::Armed {
            self.take_ring();
        }
        Ok(())
    }

    /// Whether it rang since the last call.
    pub fn take_ring(&self) -> bool {
        let mut has_rung = false;
        loop {
            match system::receive_from(self.fd.as_fd(), &mut [0], 0) {
                Ok(_) => has_rung = true,
                Err(Errno::EAGAIN) => return has_rung,
                // The interface went down; it is heard again when it is up. Told once.
                Err(Errno::ENETDOWN) => {}
                Err(_) => return has_rung,
            }
        }
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const PROGRAM_LEN: usize = 17;

/// Drops the packet.
const NOTHING: sock_filter = statement(libc::BPF_RET, 0);
/// Keeps one octet of it.
const RING: sock_filter = statement(libc::BPF_RET, 1);

const WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const OCTET: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const EQUALS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;

const fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Goes on by so many more statements, one way or the other.
const fn jump(k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: EQUALS as u16, jt, jf, k }
}

/// The filter of the kernel's classic BPF. The packet begins with its IP header.
fn program(unheard: Ipv6Addr) -> [sock_filter; PROGRAM_LEN] {
    let kind = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned();
    let word = |at: usize| {
        let octets = unheard.octets();
        u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
    };
    [
        statement(WORD, kind),
        jump(libc::PACKET_OUTGOING.into(), 0, 13),
        statement(OCTET, 0),
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0xf0),
        jump(0x60, 0, 11),
        statement(OCTET, 24),
        jump(0xff, 8, 0),
        statement(WORD, 8),
        jump(word(0), 0, 7),
        statement(WORD, 12),
        jump(word(4), 0, 5),
        statement(WORD, 16),
        jump(word(8), 0, 3),
        statement(WORD, 20),
        jump(word(12), 0, 1),
        NOTHING,
        RING,
    ]
}
