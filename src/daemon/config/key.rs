//! WireGuard keys as text: 44 characters of base64, as `wg` reads and prints them.

use core::fmt;
use core::hint::black_box;

use control::PeerKey;
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, Zeroizing};

/// Characters of a key in base64.
pub const ENCODED_LEN: usize = 44;

/// Why a text is not a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyError {
    /// Not 44 characters; how many there are is enclosed.
    Length(usize),
    /// A character outside base64, no `=` at the end, or unused bits that are not zero.
    Encoding,
    /// All bits are zero: WireGuard's way to say "no key".
    Zero,
}

/// Writes a key as `wg` does, without a branch or a table lookup that depends on it.
pub fn encode(key: &[u8; 32]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(ENCODED_LEN));
    for group in key.chunks(3) {
        let octet = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..=group.len() {
            text.push(char::from(character(bits >> (18 - 6 * place) & 63)));
        }
    }
    text.push('=');
    text
}

/// Reads what [`encode`] writes, and nothing else.
///
/// # Errors
/// When the text is anything but 44 characters of base64 with one `=` at the end, or the key
/// is zero.
pub fn decode(text: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    if text.len() != ENCODED_LEN {
        return Err(KeyError::Length(text.chars().count()));
    }
    let (digits, padding) = text.as_bytes().split_at(ENCODED_LEN - 1);
    let mut key = Zeroizing::new([0; 32]);
    let mut wrong = u32::from(padding[0] ^ b'=');
    let mut last = 0;
    for (group, octets) in digits.chunks(4).zip(key.chunks_mut(3)) {
        let mut bits: u32 = 0;
        for place in 0..4 {
            let digit = group.get(place).map_or(0, |&character| digit(character));
            wrong |= digit & !63;
            bits = bits << 6 | digit & 63;
        }
        octets.copy_from_slice(&bits.to_be_bytes()[1..=octets.len()]);
        last = bits;
    }
    // The last group holds 16 bits in 18: what follows the key must be zero.
    wrong |= last & 0xff;
    if black_box(wrong) != 0 {
        return Err(KeyError::Encoding);
    }
    if key.iter().fold(0, |sum, octet| sum | octet) == 0 {
        return Err(KeyError::Zero);
    }
    Ok(key)
}

/// The base64 character of a digit below 64.
fn character(digit: u32) -> u8 {
    // Each addend moves the code on from where the range below it ended.
    let from = |start: u32, step: u32| (start.wrapping_sub(digit + 1) >> 31).wrapping_mul(step);
    let code = digit
        .wrapping_add(u32::from(b'A'))
        .wrapping_add(from(26, u32::from(b'a') - u32::from(b'A') - 26))
        .wrapping_sub(from(52, u32::from(b'a') + 26 - u32::from(b'0')))
        .wrapping_sub(from(62, u32::from(b'0') + 10 - u32::from(b'+')))
        .wrapping_add(from(63, u32::from(b'/') - u32::from(b'+') - 1));
    code.to_be_bytes()[3]
}

/// The digit of a base64 character; all bits set for any other.
fn digit(character: u8) -> u32 {
    let character = u32::from(character);
    // All bits set when `low <= character <= high`, else zero.
    let within = |low: u8, high: u8| {
        let outside =
            character.wrapping_sub(u32::from(low)) | u32::from(high).wrapping_sub(character);
        (outside >> 31).wrapping_sub(1)
    };
    let (upper, lower, number) = (within(b'A', b'Z'), within(b'a', b'z'), within(b'0', b'9'));
    let (plus, slash) = (within(b'+', b'+'), within(b'/', b'/'));
    upper & character.wrapping_sub(65)
        | lower & character.wrapping_sub(71)
        | number & character.wrapping_add(4)
        | plus & 62
        | slash & 63
        | !(upper | lower | number | plus | slash)
}

/// A node's private control key; wiped when dropped, never shown.
#[derive(Clone)]
pub struct PrivateKey(StaticSecret);

impl PrivateKey {
    /// A key from 32 random octets, clamped as X25519 asks (RFC 7748 section 5).
    pub fn from_random(mut octets: [u8; 32]) -> PrivateKey {
        octets[0] &= 248;
        octets[31] = octets[31] & 127 | 64;
        let key = PrivateKey(StaticSecret::from(octets));
        octets.zeroize();
        key
    }

    /// Reads 44 characters of base64.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode(text: &str) -> Result<PrivateKey, KeyError> {
        Ok(PrivateKey(StaticSecret::from(*decode(text)?)))
    }

    /// The key in base64, for the eyes of its owner.
    pub fn encode(&self) -> Zeroizing<String> {
        encode(self.0.as_bytes())
    }

    /// The public key that belongs to it.
    pub fn public_key(&self) -> PeerKey {
        control::auth::public_key(&self.0)
    }

    /// The key as the Diffie-Hellman functions take it.
    pub const fn secret(&self) -> &StaticSecret {
        &self.0
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &PrivateKey) -> bool {
        is_equal(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(hidden)")
    }
}

/// A shared secret as text; wiped when dropped, never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text of a secret.
    pub fn new(text: &str) -> Secret {
        Secret(Zeroizing::new(text.to_owned()))
    }

    /// The secret's octets.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        is_equal(self.as_bytes(), other.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Compares in a time that depends on the lengths only.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    one.len() == other.len() && difference == 0
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Length(len) => {
                write!(f, "a key has {ENCODED_LEN} characters of base64, this has {len}")
            }
            KeyError::Encoding => write!(f, "this is not base64 as `lispguard genkey` prints it"),
            KeyError::Zero => write!(f, "a key of zeros is no key"),
        }
    }
}

impl core::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_written_as_wg_does() {
        let mut key = [0; 32];
        for round in 0..200u32 {
            for (place, octet) in key.iter_mut().enumerate() {
                *octet = (round * 151 + place as u32 * 97 + (round << (place % 8)) + 1) as u8;
            }
            let text = encode(&key);
            assert_eq!(*text, PeerKey(key).to_string());
            assert_eq!(*decode(&text).unwrap(), key);
        }
    }

    #[test]
    fn every_digit_has_its_character_and_no_other_octet_is_one() {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (place, &expected) in alphabet.iter().enumerate() {
            assert_eq!(character(place as u32), expected);
            assert_eq!(digit(expected), place as u32);
        }
        for octet in (0..=255u8).filter(|octet| !alphabet.contains(octet)) {
            assert_eq!(digit(octet), u32::MAX, "{octet}");
        }
    }

    #[test]
    fn texts_that_are_not_exactly_a_key_are_refused() {
        let good = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
        assert!(decode(good).is_ok());
        let cases = [
            ("", KeyError::Length(0)),
            (&good[..43], KeyError::Length(43)),
            ("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmkA", KeyError::Encoding),
            ("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBml=", KeyError::Encoding),
            ("yAnz5TF-lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", KeyError::Encoding),
            ("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBm==", KeyError::Encoding),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", KeyError::Zero),
        ];
        for (text, error) in cases {
            assert_eq!(decode(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn the_public_key_is_the_one_of_rfc_7748_section_6_1() {
        let octets = *b"\x77\x07\x6d\x0a\x73\x18\xa5\x7d\x3c\x16\xc1\x72\x51\xb2\x66\x45\
            \xdf\x4c\x2f\x87\xeb\xc0\x99\x2a\xb1\x77\xfb\xa5\x1d\xb9\x2c\x2a";
        let public = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
        assert_eq!(PrivateKey::from_random(octets).public_key().to_string(), public);
        let text = encode(&octets);
        assert_eq!(PrivateKey::decode(&text).unwrap().public_key().to_string(), public);
    }

    #[test]
    fn secrets_are_compared_but_never_shown() {
        let key = PrivateKey::from_random([7; 32]);
        assert!(key == key.clone() && key != PrivateKey::from_random([9; 32]));
        assert_eq!(format!("{key:?} {:?}", Secret::new("x")), "PrivateKey(hidden) Secret(hidden)");
        assert!(
            Secret::new("one") == Secret::new("one") && Secret::new("one") != Secret::new("on")
        );
    }
}
