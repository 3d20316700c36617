//! Secrets and addresses derived from the keys that are configured, so that nobody types more.

use core::fmt;
use core::net::Ipv6Addr;

use blake2::{Blake2s256, Digest};
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret, X25519_BASEPOINT_BYTES};
use zeroize::Zeroizing;

use crate::PeerKey;

/// The public key that belongs to a private one (RFC 7748 section 6.1), by the function that also
/// agrees on secrets: the other way to it would be as much code again.
pub fn public_key(private: &StaticSecret) -> PeerKey {
    PeerKey(private.diffie_hellman(&PublicKey::from(X25519_BASEPOINT_BYTES)).to_bytes())
}

/// Octets that HMAC-SHA-256 pads a key to with zeros (RFC 2104 section 2).
const HMAC_BLOCK: usize = 64;

/// Authenticates Map-Register and Map-Notify (HMAC-SHA-256); wiped when dropped, never shown.
#[derive(Clone)]
pub struct AuthenticationKey(Zeroizing<[u8; HMAC_BLOCK]>);

impl AuthenticationKey {
    /// HKDF-SHA-256 over the static Diffie-Hellman of the two control keys, with the salt
    /// "lispguard" and the info "map-register authentication".
    ///
    /// # Panics
    /// Never: 32 octets are within HKDF's limit.
    pub fn derive(our_private: &StaticSecret, their_public: PeerKey) -> AuthenticationKey {
        let shared = our_private.diffie_hellman(&PublicKey::from(their_public.0));
        let mut key = Zeroizing::new([0; HMAC_BLOCK]);
        Hkdf::<Sha256>::new(Some(b"lispguard"), shared.as_bytes())
            .expand(b"map-register authentication", &mut key[..32])
            .expect("32 octets are within HKDF's limit");
        AuthenticationKey(key)
    }

    /// A configured secret, as other implementations take it: the HMAC key itself, or its
    /// SHA-256 where it exceeds HMAC's block (RFC 2104 section 2).
    pub fn from_secret(secret: &[u8]) -> AuthenticationKey {
        let mut key = Zeroizing::new([0; HMAC_BLOCK]);
        match key.get_mut(..secret.len()) {
            Some(start) => start.copy_from_slice(secret),
            None => key[..32].copy_from_slice(&Sha256::digest(secret)),
        }
        AuthenticationKey(key)
    }

    /// The key, padded with zeros to HMAC's block, which changes no MAC.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl PartialEq for AuthenticationKey {
    fn eq(&self, other: &AuthenticationKey) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.0.as_slice(), other.0.as_slice()).into()
    }
}

impl fmt::Debug for AuthenticationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthenticationKey(hidden)")
    }
}

/// `fd00::/8` followed by the first 120 bits of BLAKE2s("lispguard control" ‖ control key).
pub fn control_address(control_key: PeerKey) -> Ipv6Addr {
    derived_address(b"lispguard control", control_key)
}

/// `fd00::/8` followed by the first 120 bits of BLAKE2s("lispguard link" ‖ data key).
pub fn link_address(data_key: PeerKey) -> Ipv6Addr {
    derived_address(b"lispguard link", data_key)
}

/// The first 128 bits of BLAKE2s("lispguard xtr-id" ‖ control key).
pub fn xtr_id(control_key: PeerKey) -> wire::XtrId {
    let mut id = [0; 16];
    id.copy_from_slice(&digest(b"lispguard xtr-id", control_key)[..16]);
    wire::XtrId(id)
}

fn derived_address(label: &[u8], key: PeerKey) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..].copy_from_slice(&digest(label, key)[..15]);
    Ipv6Addr::from(octets)
}

fn digest(label: &[u8], key: PeerKey) -> [u8; 32] {
    Blake2s256::new().chain_update(label).chain_update(key.0).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_derive_the_same_authentication_key() {
        let (a, b) = (StaticSecret::from([1; 32]), StaticSecret::from([2; 32]));
        let (public_a, public_b) = (PublicKey::from(&a), PublicKey::from(&b));
        assert_eq!(public_key(&a).0, public_a.to_bytes());
        let one = AuthenticationKey::derive(&a, PeerKey(public_b.to_bytes()));
        let other = AuthenticationKey::derive(&b, PeerKey(public_a.to_bytes()));
        assert_eq!(one, other);
        assert_ne!(one, AuthenticationKey::derive(&a, PeerKey(public_a.to_bytes())));
        assert!(!alloc::format!("{one:?}").contains(&alloc::format!("{}", one.as_bytes()[0])));
    }

    #[test]
    fn control_and_link_addresses_are_unique_local_and_differ() {
        let key = PeerKey([7; 32]);
        assert_eq!(control_address(key).octets()[0], 0xfd);
        assert_ne!(control_address(key), link_address(key));
    }
}
