//! Authentication of Map-Register, Map-Notify, Map-Notify-Ack and Info messages (RFC 9301 sections 5.6 and 5.7).
//!
//! RFC 2404 and RFC 4868 truncate the MAC to 12 and 16 octets and RFC 9301 leaves the xTR-ID and Site-ID
//! outside it; deployed implementations send it whole, 20 and 32 octets, and cover everything. Every
//! combination is accepted; [`SentAuthentication`] tells which one is sent.
use core::fmt;

use hkdf::Hkdf;
use hmac::digest::{FixedOutput, KeyInit, Update};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::{AlgorithmId, MessageType, XtrIdentity, message_type};

mod field {
    use core::ops::Range;

    pub(super) const NONCE: Range<usize> = 4..12;
    pub(super) const ALGORITHM_ID: usize = 13;
    pub(super) const LENGTH: Range<usize> = 14..16;
    pub(super) const DATA: usize = 16;
}

/// The longest MAC in octets.
const MAX_LEN: usize = 32;

static ZEROS: [u8; MAX_LEN] = [0; MAX_LEN];

/// Why a message is not authentic, or could not be made so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthError {
    /// The message is too short to have authentication data, or of a type without.
    Malformed,
    /// The message is sent without authentication.
    Missing,
    /// The algorithm is not known here.
    UnknownAlgorithm(u8),
    /// The authentication data has a length that its algorithm does not give.
    Length(usize),
    /// The authentication data is wrong.
    Mismatch,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthError::Malformed => f.write_str("message has no authentication data"),
            AuthError::Missing => f.write_str("message is not authenticated"),
            AuthError::UnknownAlgorithm(value) => write!(f, "unknown algorithm {value}"),
            AuthError::Length(len) => write!(f, "authentication data of {len} octets"),
            AuthError::Mismatch => f.write_str("wrong authentication data"),
        }
    }
}

impl core::error::Error for AuthError {}

/// How much of the MAC is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MacLength {
    /// All of it, 20 or 32 octets, as deployed implementations do.
    #[default]
    Full,
    /// Its first 12 or 16 octets (RFC 2404, RFC 4868).
    Truncated,
}

/// The form of the authentication that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentAuthentication {
    /// How much of the MAC is sent.
    pub length: MacLength,
    /// Whether it covers the xTR-ID and Site-ID; RFC 9301 section 5.6 leaves them out.
    pub covers_xtr_id: bool,
}

impl Default for SentAuthentication {
    /// What deployed implementations accept: the whole MAC over the whole message.
    fn default() -> Self {
        SentAuthentication { length: MacLength::Full, covers_xtr_id: true }
    }
}

impl SentAuthentication {
    /// Zeros in the place of the authentication data of a message that is yet to be signed.
    pub fn blank(&self, algorithm: AlgorithmId) -> &'static [u8] {
        blank(algorithm, self.length)
    }
}

/// Zeros in the place of the authentication data of a message that is yet to be signed.
pub fn blank(algorithm: AlgorithmId, length: MacLength) -> &'static [u8] {
    let len = match (algorithm, length) {
        (AlgorithmId::None | AlgorithmId::Unknown(_), _) => 0,
        (AlgorithmId::HmacSha1_96, MacLength::Full) => 20,
        (AlgorithmId::HmacSha1_96, MacLength::Truncated) => 12,
        (_, MacLength::Full) => 32,
        (_, MacLength::Truncated) => 16,
    };
    &ZEROS[..len]
}

/// Computes and fills in the authentication data of a whole message, by the algorithm it names and in
/// the length it leaves room for.
///
/// # Errors
/// [`AuthError`], except [`AuthError::Mismatch`].
pub fn sign(message: &mut [u8], key: &[u8], sent: SentAuthentication) -> Result<(), AuthError> {
    let layout = Layout::of(message)?;
    let covered = match sent.covers_xtr_id {
        true => message.len(),
        false => layout.end_of_records,
    };
    let mac = layout.mac(&message[..covered], key);
    let data = &mut message[field::DATA..layout.end_of_data];
    data.copy_from_slice(&mac[..data.len()]);
    Ok(())
}

/// Checks the authentication data of a whole message in constant time, whole or truncated, with or
/// without the xTR-ID and Site-ID in it. Nothing else of the message is looked at.
///
/// As a MAC may leave them out, xTR-ID and Site-ID are a claim, not a proof: replay protection has to
/// hold per key as well.
///
/// # Errors
/// [`AuthError`]; a message without authentication is [`AuthError::Missing`].
pub fn verify(message: &[u8], key: &[u8]) -> Result<(), AuthError> {
    let layout = Layout::of(message)?;
    let data = &message[field::DATA..layout.end_of_data];
    let is_equal = |covered: usize| {
        let mac = layout.mac(&message[..covered], key);
        bool::from(mac[..data.len()].ct_eq(data))
    };
    if is_equal(message.len())
        || layout.end_of_records != message.len() && is_equal(layout.end_of_records)
    {
        return Ok(());
    }
    Err(AuthError::Mismatch)
}

/// Where the parts of an authenticated message are.
struct Layout {
    message_type: MessageType,
    algorithm: Algorithm,
    end_of_data: usize,
    /// Where the xTR-ID starts, or the message ends.
    end_of_records: usize,
}

#[derive(Clone, Copy)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha256Hkdf,
}

impl Layout {
    fn of(message: &[u8]) -> Result<Self, AuthError> {
        let message_type = message_type(message).map_err(|_| AuthError::Malformed)?;
        let header = message.get(..field::DATA).ok_or(AuthError::Malformed)?;
        let has_xtr_identity = match message_type {
            MessageType::MapRegister => header[0] & 0x02 != 0,
            MessageType::MapNotify | MessageType::MapNotifyAck => header[0] & 0x08 != 0,
            MessageType::Info => false,
            _ => return Err(AuthError::Malformed),
        };
        let len = usize::from(u16::from_be_bytes([
            header[field::LENGTH.start],
            header[field::LENGTH.start + 1],
        ]));
        let end_of_data = field::DATA + len;
        let trailer_len = if has_xtr_identity { XtrIdentity::LEN } else { 0 };
        let end_of_records = message.len().saturating_sub(trailer_len);
        if end_of_records < end_of_data {
            return Err(AuthError::Malformed);
        }
        let algorithm = algorithm(AlgorithmId::from(header[field::ALGORITHM_ID]), len)?;
        Ok(Layout { message_type, algorithm, end_of_data, end_of_records })
    }

    /// The MAC over what is covered, its authentication data taken as zeros, padded to [`MAX_LEN`].
    fn mac(&self, covered: &[u8], key: &[u8]) -> [u8; MAX_LEN] {
        let (start, rest) = covered.split_at(field::DATA);
        let (data, rest) = rest.split_at(self.end_of_data - field::DATA);
        let parts = [start, &ZEROS[..data.len()], rest];
        let mut mac = [0; MAX_LEN];
        match self.algorithm {
            Algorithm::Sha1 => mac[..20].copy_from_slice(&hmac::<Hmac<Sha1>>(key, parts)),
            Algorithm::Sha256 => mac.copy_from_slice(&hmac::<Hmac<Sha256>>(key, parts)),
            Algorithm::Sha256Hkdf => {
                let key = self.per_message_key(&start[field::NONCE], key);
                mac.copy_from_slice(&hmac::<Hmac<Sha256>>(&key, parts));
            }
        }
        mac
    }

    /// KDF(nonce + PSK, s) of RFC 9301 section 5.6: HKDF-SHA256 with salt s and no info.
    fn per_message_key(&self, nonce: &[u8], key: &[u8]) -> [u8; 32] {
        let salt: &[u8] = match self.message_type {
            MessageType::MapNotify => b"Map-Notify Authentication",
            MessageType::MapNotifyAck => b"Map-Notify-Ack Authentication",
            _ => b"Map-Register Authentication",
        };
        let mut extract = hkdf::HkdfExtract::<Sha256>::new(Some(salt));
        extract.input_ikm(nonce);
        extract.input_ikm(key);
        let (_, hkdf): (_, Hkdf<Sha256>) = extract.finalize();
        let mut derived = [0; 32];
        hkdf.expand(&[], &mut derived).expect("32 octets are one block of HKDF-SHA256");
        derived
    }
}

/// The algorithm, when it gives authentication data of this length.
fn algorithm(id: AlgorithmId, len: usize) -> Result<Algorithm, AuthError> {
    match (id, len) {
        (AlgorithmId::None, _) => Err(AuthError::Missing),
        (AlgorithmId::HmacSha1_96, 12 | 20) => Ok(Algorithm::Sha1),
        (AlgorithmId::HmacSha256_128, 16 | 32) => Ok(Algorithm::Sha256),
        (AlgorithmId::HmacSha256_128HkdfSha256, 16 | 32) => Ok(Algorithm::Sha256Hkdf),
        (AlgorithmId::Unknown(value), _) => Err(AuthError::UnknownAlgorithm(value)),
        (_, len) => Err(AuthError::Length(len)),
    }
}

fn hmac<M: Mac + KeyInit + Update + FixedOutput>(
    key: &[u8],
    parts: [&[u8]; 3],
) -> hmac::digest::Output<M> {
    let mut mac = <M as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        Mac::update(&mut mac, part);
    }
    mac.finalize().into_bytes()
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::testing::{Random, hex};

    /// A Map-Register of Open Overlay Router, key "password", HMAC-SHA-1 in full.
    const OOR: &str = "38000101d377c76f2acd77c00001001441a349b407f0705f922c9505b291978161e15352\
                       0000000a0118100000000001c0a801000164ff00000500010a000202";
    /// A Map-Register with xTR-ID and Site-ID whose MAC is left to be filled in.
    const WITH_IDENTITY: &str = "32000001000000010000000207030020\
         0000000000000000000000000000000000000000000000000000000000000000\
         0000003c0020100000000001c0a8000100000000000000000000000000000000\
         0000000000000007";
    const FULL: SentAuthentication =
        SentAuthentication { length: MacLength::Full, covers_xtr_id: true };

    /// The same message under another algorithm and length of authentication data.
    fn unsigned(algorithm: AlgorithmId, length: MacLength) -> Vec<u8> {
        let mut message = hex(WITH_IDENTITY);
        let data = blank(algorithm, length);
        message.splice(field::DATA..field::DATA + 32, data.iter().copied());
        message[field::ALGORITHM_ID] = algorithm.into();
        message[15] = data.len() as u8;
        message
    }

    #[test]
    fn the_fields_full_length_sha_1_verifies() {
        let mut message = hex(OOR);
        assert_eq!(verify(&message, b"password"), Ok(()));
        assert_eq!(verify(&message, b"passwort"), Err(AuthError::Mismatch));
        let signed = message.clone();
        message[16..36].fill(0xa5);
        sign(&mut message, b"password", FULL).unwrap();
        assert_eq!(message, signed);
    }

    #[test]
    fn a_key_derived_per_message_gives_known_octets() {
        let mut message = hex(WITH_IDENTITY);
        sign(&mut message, b"secret", FULL).unwrap();
        let mac = "c4e10f09a197b5f7d391ed373167aac7d56477e0858a52e60ee7419ce9a00258";
        assert_eq!(message[16..48], hex(mac));
        let mut ack = hex("50000000000000010000000207030020");
        ack.extend([0; 32]);
        sign(&mut ack, b"secret", FULL).unwrap();
        let mac = "1fd1da5a4b73fa7c85ecdd3dc9c016faa94840643b8f5c45120379a8b48ff223";
        assert_eq!(ack[16..48], hex(mac));
    }

    #[test]
    fn every_form_verifies_and_every_changed_bit_does_not() {
        let algorithms = [
            AlgorithmId::HmacSha1_96,
            AlgorithmId::HmacSha256_128,
            AlgorithmId::HmacSha256_128HkdfSha256,
        ];
        for algorithm in algorithms {
            for length in [MacLength::Full, MacLength::Truncated] {
                let mut message = unsigned(algorithm, length);
                sign(&mut message, b"secret", FULL).unwrap();
                assert_eq!(verify(&message, b"secret"), Ok(()));
                for bit in 0..message.len() * 8 {
                    message[bit / 8] ^= 0x80 >> (bit % 8);
                    assert!(verify(&message, b"secret").is_err(), "bit {bit}, {algorithm}");
                    message[bit / 8] ^= 0x80 >> (bit % 8);
                }
            }
        }
    }

    #[test]
    fn a_mac_without_the_identity_verifies_and_leaves_it_free() {
        let sent = SentAuthentication { length: MacLength::Full, covers_xtr_id: false };
        let mut message = unsigned(AlgorithmId::HmacSha256_128, MacLength::Full);
        sign(&mut message, b"secret", sent).unwrap();
        assert_eq!(verify(&message, b"secret"), Ok(()));
        *message.last_mut().unwrap() = 0xff;
        assert_eq!(verify(&message, b"secret"), Ok(()));
        message[50] ^= 1;
        assert_eq!(verify(&message, b"secret"), Err(AuthError::Mismatch));
    }

    #[test]
    fn all_zero_authentication_is_a_mismatch() {
        let message = unsigned(AlgorithmId::HmacSha256_128, MacLength::Full);
        assert_eq!(verify(&message, b"secret"), Err(AuthError::Mismatch));
    }

    #[test]
    fn what_cannot_be_authentic_is_told_apart() {
        let mut message = unsigned(AlgorithmId::None, MacLength::Full);
        assert_eq!(verify(&message, b"secret"), Err(AuthError::Missing));
        assert_eq!(sign(&mut message, b"secret", FULL), Err(AuthError::Missing));
        let message = unsigned(AlgorithmId::Unknown(9), MacLength::Full);
        assert_eq!(verify(&message, b"secret"), Err(AuthError::UnknownAlgorithm(9)));
        let mut message = unsigned(AlgorithmId::HmacSha256_128, MacLength::Full);
        message[15] = 20;
        assert_eq!(verify(&message, b"secret"), Err(AuthError::Length(20)));
        message[15] = 0;
        assert_eq!(verify(&message, b"secret"), Err(AuthError::Length(0)));
        message[0] = 0x10;
        assert_eq!(verify(&message, b"secret"), Err(AuthError::Malformed));
        assert_eq!(verify(&[], b"secret"), Err(AuthError::Malformed));
    }

    #[test]
    fn truncation_and_mutation_never_panic_nor_verify() {
        let octets = hex(OOR);
        for len in 0..octets.len() {
            assert!(verify(&octets[..len], b"password").is_err());
        }
        let mut random = Random(7);
        for _ in 0..2_000 {
            let mutated = random.mutate(&octets);
            assert!(mutated == octets || verify(&mutated, b"password").is_err());
        }
    }
}
