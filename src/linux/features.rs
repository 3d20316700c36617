//! What an interface's driver and the kernel's receive path may do, by the names that ethtool shows.

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

use crate::system;

/// Joins the datagrams of a UDP flow on their way to other hosts, as TCP's segments always are.
pub const UDP_JOINING: &str = "rx-udp-gro-forwarding";

/// ETHTOOL_GSTRINGS, ETHTOOL_GSSET_INFO, ETHTOOL_GFEATURES, ETHTOOL_SFEATURES and ETH_SS_FEATURES.
const STRINGS: u32 = 0x1b;
const SET_INFO: u32 = 0x37;
const READ: u32 = 0x3a;
const WRITE: u32 = 0x3b;
const FEATURES: u32 = 4;

/// What the kernel answers when it cannot change a feature: never, or not now.
const UNSUPPORTED: i32 = 1;
const WISHED: i32 = 2;

/// Features that a kernel may have, and the octets of a feature's name.
const MOST: usize = 64;
const NAME_LEN: usize = 32;
/// Octets of a 32-bit word.
const WORD: usize = size_of::<u32>();
/// Words before the names, and before the bits.
const STRINGS_HEADER: usize = 3;
const BITS_HEADER: usize = 2;

/// Turns a feature of an interface on or off.
///
/// # Errors
/// `ENODEV` when there is no such interface, `EOPNOTSUPP` when the kernel does not know the feature
/// or cannot change it here, `EPERM` without CAP_NET_ADMIN.
pub fn set(interface: &str, feature: &str, is_on: bool) -> Result<(), Errno> {
    let place = place(interface, feature)?;
    let mut words = [0; BITS_HEADER + MOST / 32 * 2];
    words[..BITS_HEADER].copy_from_slice(&[WRITE, place.words]);
    let bits = BITS_HEADER + place.number / 32 * 2;
    words[bits] = 1 << (place.number % 32);
    words[bits + 1] = u32::from(is_on) << (place.number % 32);
    let result = ask(interface, &mut words)?;
    if result & (UNSUPPORTED | WISHED) == 0 { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

/// Whether a feature of an interface is on.
///
/// # Errors
/// As `set`.
pub fn is_on(interface: &str, feature: &str) -> Result<bool, Errno> {
    let place = place(interface, feature)?;
    let mut words = [0; BITS_HEADER + MOST / 32 * 4];
    words[..BITS_HEADER].copy_from_slice(&[READ, place.words]);
    ask(interface, &mut words)?;
    let active = words[BITS_HEADER + place.number / 32 * 4 + 2];
    Ok(active & 1 << (place.number % 32) != 0)
}

/// Where the kernel has a feature.
struct Place {
    number: usize,
    /// How many words of bits it has.
    words: u32,
}

fn place(interface: &str, feature: &str) -> Result<Place, Errno> {
    // Command, nothing, a mask of sets as one word of 64 bits, and the length of the set asked for.
    let mask = 1 << FEATURES;
    let mask = if cfg!(target_endian = "big") { [0, mask] } else { [mask, 0] };
    let mut info = [SET_INFO, 0, mask[0], mask[1], 0];
    ask(interface, &mut info)?;
    let count = info[4];
    // The kernel writes all names, however long the buffer is.
    if count == 0 || count as usize > MOST {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut words = [0; STRINGS_HEADER + MOST * NAME_LEN / WORD];
    words[..STRINGS_HEADER].copy_from_slice(&[STRINGS, FEATURES, count]);
    ask(interface, &mut words)?;
    let names = words[STRINGS_HEADER..].chunks(NAME_LEN / WORD).take(count as usize);
    let number = names.map(octets).position(|name| is_named(&name, feature));
    Ok(Place { number: number.ok_or(Errno::EOPNOTSUPP)?, words: count.div_ceil(32) })
}

fn octets(words: &[u32]) -> [u8; NAME_LEN] {
    let mut octets = [0; NAME_LEN];
    for (to, from) in octets.chunks_mut(WORD).zip(words) {
        to.copy_from_slice(&from.to_ne_bytes());
    }
    octets
}

fn is_named(octets: &[u8; NAME_LEN], name: &str) -> bool {
    octets.split(|octet| *octet == 0).next() == Some(name.as_bytes())
}

/// Has the kernel read and write a request; returns what it says.
fn ask(interface: &str, words: &mut [u32]) -> Result<i32, Errno> {
    let socket = system::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    // SAFETY: ifreq is plain integers, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() || interface.contains('\0') {
        return Err(Errno::ENODEV);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    // SAFETY: SIOCETHTOOL reads the ifreq and reads and writes `words`, both of which outlive the
    // call; each caller's `words` are as long as what its command writes.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    Errno::result(result)
}
