//! Host names, as the C library looks them up.

use core::ffi::CStr;
use core::net::SocketAddr;
use std::ffi::CString;
use std::ptr;

use nix::errno::Errno;
use nix::libc;

use crate::system::{self, RawAddress};

/// The first address of a host, with a port. It may take as long as name servers let it.
///
/// # Errors
/// Why the name does not resolve.
pub fn look_up(host: &str, port: u16) -> Result<Option<SocketAddr>, String> {
    let Ok(name) = CString::new(host) else { return Ok(None) };
    // SAFETY: addrinfo is integers and pointers, for which zeroes are valid.
    let mut hints: libc::addrinfo = unsafe { core::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut first = ptr::null_mut();
    // SAFETY: the name ends with a NUL; the list goes where there is room for a pointer to it.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &hints, &mut first) };
    if code != 0 {
        return Err(format!("failed to lookup address information: {}", words(code)));
    }
    let mut found = None;
    let mut next = first;
    // SAFETY: the library's list, whose end is null, lives until it is freed.
    while let (None, Some(entry)) = (found, unsafe { next.as_ref() }) {
        let mut address = RawAddress::empty();
        address.len = address.len.min(entry.ai_addrlen);
        // SAFETY: that many octets are there, and fit.
        unsafe {
            let octets = entry.ai_addr.cast::<u8>();
            octets.copy_to((&raw mut address.storage).cast(), address.len as usize);
        }
        found = address.internet();
        next = entry.ai_next;
    }
    // SAFETY: the list is the library's, and nothing of it is kept.
    unsafe { libc::freeaddrinfo(first) };
    if let Some(found) = &mut found {
        found.set_port(port);
    }
    Ok(found)
}

/// The C library's words for why a name does not resolve.
fn words(code: i32) -> String {
    if code == libc::EAI_SYSTEM {
        return system::words(Errno::last()).to_string();
    }
    // SAFETY: the library has a text that stays for each number.
    let words = unsafe { CStr::from_ptr(libc::gai_strerror(code)) };
    words.to_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_an_address_and_another_has_none() {
        let found = look_up("localhost", 7).expect("a name").expect("an address");
        assert!(found.ip().is_loopback() && found.port() == 7);
        let wrong = look_up("no such name", 7).expect_err("no name");
        assert!(wrong.starts_with("failed to lookup address information: "), "{wrong}");
        assert_eq!(look_up("a\0b", 7), Ok(None));
    }
}
