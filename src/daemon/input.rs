//! Files, sockets and standard input, read up to a bound; no copy of a secret is left behind.

use std::io::{self, ErrorKind, Read};

use zeroize::Zeroizing;

/// Octets that are asked for at first.
const ROOM: usize = 256;

/// Reads all there is, but not more than `max` octets.
///
/// # Errors
/// As the source.
pub fn octets(source: &mut dyn Read, max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    read(source, max, false)
}

/// Reads all there is as text, but not more than `max` octets.
///
/// # Errors
/// As the source, and `InvalidData` when it is not UTF-8.
pub fn text(source: &mut dyn Read, max: usize) -> io::Result<String> {
    let mut octets = octets(source, max)?;
    String::from_utf8(std::mem::take(&mut *octets))
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Reads until a line has ended, but not more than `max` octets.
///
/// # Errors
/// As the source.
pub fn line(source: &mut dyn Read, max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    read(source, max, true)
}

fn read(source: &mut dyn Read, max: usize, is_line: bool) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut octets = Zeroizing::new(Vec::new());
    let mut len = 0;
    while len < max && !(is_line && octets[..len].contains(&b'\n')) {
        if len == octets.len() {
            let mut larger = Zeroizing::new(vec![0; (4 * len).max(ROOM).min(max)]);
            larger[..len].copy_from_slice(&octets);
            octets = larger;
        }
        match source.read(&mut octets[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    octets.truncate(len);
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_read_up_to_the_bound() {
        let long = vec![b'x'; 5000];
        for (len, max) in [(0, 10), (10, 10), (5000, 6000), (5000, 4999), (5000, 1)] {
            let read = octets(&mut &long[..len], max).expect("octets");
            assert_eq!(read.len(), len.min(max), "{len} {max}");
        }
        assert_eq!(text(&mut &long[..700], 9000).expect("text"), "x".repeat(700));
        let error = text(&mut &[0xff_u8][..], 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(error.to_string(), "it is not UTF-8");
    }

    #[test]
    fn a_line_ends_where_it_does() {
        let mut source = (&b"one\n"[..]).chain(&b"two\n"[..]);
        assert_eq!(**line(&mut source, 100).expect("a line"), *b"one\n");
        assert_eq!(**line(&mut source, 2).expect("a line"), *b"tw");
    }
}
