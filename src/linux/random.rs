//! Random octets from the kernel.

use std::io;

use nix::errno::Errno;
use nix::libc;

/// Fills a buffer with octets fit for keys; waits, early at boot, until the kernel has some.
///
/// # Errors
/// When the kernel has no `getrandom`.
pub fn fill(buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        // SAFETY: the rest of the buffer is writable for its length.
        let result = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match Errno::result(result) {
            Ok(len) => filled += len as usize,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// A random array.
///
/// # Errors
/// As `fill`.
pub fn array<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_fillings_differ() {
        let (first, second) = (array::<32>().expect("random"), array::<32>().expect("random"));
        assert_ne!(first, second);
        fill(&mut []).expect("nothing to fill");
    }
}
