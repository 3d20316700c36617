//! Public keys of WireGuard peers.

use core::fmt;

/// The X25519 public key of a WireGuard peer; shown in base64 as `wg` shows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub [u8; 32]);

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'='; 44];
        for (group, out) in self.0.chunks(3).zip(text.chunks_mut(4)) {
            let bytes = [group[0], group.get(1).copied().unwrap_or(0), *group.get(2).unwrap_or(&0)];
            let bits = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
            for (place, character) in out.iter_mut().take(group.len() + 1).enumerate() {
                *character = BASE64[(bits >> (18 - 6 * place)) as usize & 63];
            }
        }
        f.pad(core::str::from_utf8(&text).expect("base64 is ASCII"))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_key_is_shown_as_wg_shows_it() {
        assert_eq!(PeerKey([0; 32]).to_string(), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let mut key = [0xff; 32];
        key[31] = 0xfe;
        assert_eq!(PeerKey(key).to_string(), "//////////////////////////////////////////4=");
    }
}
