//! Octets, random numbers and the checks that every message has to pass.
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use crate::{Error, Message};

/// Octets from hexadecimal text with blanks.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "half an octet in {text}");
    digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("hexadecimal text is ASCII");
            u8::from_str_radix(pair, 16).expect("two hexadecimal digits")
        })
        .collect()
}

/// Checks known octets both ways, and that neither truncation nor mutation of them does harm.
pub(crate) fn check_message(octets: &[u8], expected: Message<'_>, text: &str) {
    assert_eq!(Message::parse(octets), Ok(expected));
    assert_eq!(format!("{expected}"), text);
    check_emit(&expected, octets);
    for len in 0..octets.len() {
        assert!(Message::parse(&octets[..len]).is_err(), "{len} of {} octets", octets.len());
    }
    check_mutations(octets);
}

fn check_emit(message: &Message<'_>, octets: &[u8]) {
    let mut dirty = vec![0xa5; octets.len() + 3];
    assert_eq!(message.buffer_len(), octets.len());
    assert_eq!(message.emit(&mut dirty), Ok(octets.len()));
    assert_eq!(&dirty[..octets.len()], octets);
    assert_eq!(&dirty[octets.len()..], [0xa5; 3]);
    for len in 0..octets.len() {
        let mut short = vec![0xa5; len];
        assert_eq!(message.emit(&mut short), Err(Error::BufferTooSmall), "{len} octets of room");
    }
}

/// Parses what random changes make of a message; what still parses must survive emission.
pub(crate) fn check_mutations(octets: &[u8]) {
    let mut random = Random(0x11d5_b0a7_5eed_0001 ^ octets.len() as u64);
    for _ in 0..2_000 {
        let mutated = random.mutate(octets);
        if let Ok(message) = Message::parse(&mutated) {
            check_survival(&message);
        }
    }
}

fn check_survival(message: &Message<'_>) {
    let _: String = format!("{message} {message:?}");
    let mut emitted = vec![0xa5; message.buffer_len()];
    assert_eq!(message.emit(&mut emitted), Ok(emitted.len()), "{message}");
    assert_eq!(Message::parse(&emitted).as_ref(), Ok(message));
}

/// A small random number generator (xorshift64*), seeded.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// One to four changes: a bit, an octet, a cut, an insertion, octets copied elsewhere.
    pub(crate) fn mutate(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut mutated = octets.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(mutated.len());
            match self.below(5) {
                _ if mutated.is_empty() => mutated.push(self.next() as u8),
                0 => mutated[at] ^= 1 << self.below(8),
                1 => mutated[at] = self.next() as u8,
                2 => mutated.truncate(at),
                3 => mutated.insert(at, self.next() as u8),
                _ => {
                    let (from, len) = (self.below(mutated.len()), self.below(24));
                    let copied: Vec<u8> = mutated[from..].iter().copied().take(len).collect();
                    mutated.splice(at..at, copied);
                }
            }
        }
        mutated
    }
}
