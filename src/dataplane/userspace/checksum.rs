//! The Internet checksum (RFC 1071), summed as words in the machine's own octet order.

/// The one's complement sum of octets, added to `sum`; an odd one at the end counts as if a zero
/// followed, so that only the last of several parts may have an odd length.
pub(super) fn add(sum: u64, octets: &[u8]) -> u64 {
    let (mut low, mut high) = ([0_u64; 4], [0_u64; 4]);
    let mut chunks = octets.chunks_exact(32);
    for chunk in &mut chunks {
        for (index, word) in chunk.chunks_exact(8).enumerate() {
            let word = u64::from_ne_bytes(word.try_into().expect("a chunk of eight octets"));
            low[index] += word & 0xffff_ffff;
            high[index] += word >> 32;
        }
    }
    let mut rest = 0;
    for word in chunks.remainder().chunks(4) {
        let mut octets = [0; 4];
        octets[..word.len()].copy_from_slice(word);
        rest += u64::from(u32::from_ne_bytes(octets));
    }
    sum + rest + low.iter().sum::<u64>() + high.iter().sum::<u64>()
}

/// A number of 16 bits as its octets add to a sum.
pub(super) fn word(number: u16) -> u64 {
    u16::from_ne_bytes(number.to_be_bytes()).into()
}

/// A sum as 16 bits.
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The checksum field for a sum over everything else; never zero, which UDP takes for none.
pub(super) fn field(sum: u64) -> [u8; 2] {
    match !fold(sum) {
        0 => [0xff; 2],
        checksum => checksum.to_ne_bytes(),
    }
}

/// Writes the checksum of an IPv4 header into it.
pub(super) fn finish_ipv4(header: &mut [u8]) {
    header[10..12].fill(0);
    let checksum = !fold(add(0, header));
    header[10..12].copy_from_slice(&checksum.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_rfc_1071_section_3() {
        let octets = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(add(0, &octets)).to_ne_bytes(), [0xdd, 0xf2]);
        assert_eq!(field(add(0, &octets)), [0x22, 0x0d]);
        assert_eq!(field(0xffff), [0xff; 2]);
        assert_eq!(fold(word(0xddf2)).to_ne_bytes(), [0xdd, 0xf2]);
    }

    #[test]
    fn any_length_sums_like_words() {
        let octets: Vec<u8> = (0..200_u32).map(|index| (index * 73 + 250) as u8).collect();
        for len in 0..octets.len() {
            let slow: u64 = octets[..len]
                .chunks(2)
                .map(|pair| {
                    word(u16::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| low.into()))
                })
                .sum();
            assert_eq!(fold(add(0, &octets[..len])), fold(slow), "{len}");
        }
    }
}
