//! Public keys of WireGuard peers.

use core::cmp::Ordering;
use core::fmt;

/// The X25519 public key of a WireGuard peer; shown in base64 as `wg` shows it.
#[derive(Clone, Copy, Eq)]
pub struct PeerKey(pub [u8; 32]);

impl PeerKey {
    /// Its first 32 bits: enough to tell it from nearly all others, in the same order.
    pub fn beginning(&self) -> u32 {
        let [first, second, third, fourth, ..] = self.0;
        u32::from_be_bytes([first, second, third, fourth])
    }
}

impl PartialEq for PeerKey {
    fn eq(&self, other: &PeerKey) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Ord for PeerKey {
    /// By words: tables of keys are searched by it, and small C libraries compare octet by octet.
    fn cmp(&self, other: &PeerKey) -> Ordering {
        let (owns, others) = (self.0.as_chunks().0, other.0.as_chunks().0);
        let mut place = 0;
        while let (Some(own), Some(other)) = (owns.get(place), others.get(place)) {
            let (own, other) = (u64::from_be_bytes(*own), u64::from_be_bytes(*other));
            if own != other {
                return own.cmp(&other);
            }
            place += 1;
        }
        Ordering::Equal
    }
}

impl PartialOrd for PeerKey {
    fn partial_cmp(&self, other: &PeerKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

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

    #[test]
    fn keys_are_sorted_as_their_octets_are() {
        let key = |place: usize, value: u8| {
            let mut key = [7; 32];
            key[place] = value;
            PeerKey(key)
        };
        for (place, other) in (0..32).flat_map(|place| (0..32).map(move |other| (place, other))) {
            for (one, two) in [(key(place, 200), key(other, 9)), (key(place, 1), key(other, 2))] {
                assert_eq!(one.cmp(&two), one.0.cmp(&two.0));
                assert_eq!(one == two, one.0 == two.0);
            }
        }
        assert_eq!(key(3, 1), key(3, 1));
    }
}
