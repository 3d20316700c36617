//! Numbers in datagrams, and which of them arrived.

/// Numbers beyond this are not believed: 32 MiB of marks.
const LIMIT: u64 = 1 << 28;

/// What a datagram begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// Of one run: another run's datagrams are told apart.
    pub(super) run: u64,
    /// Counted up by the sender.
    pub(super) number: u64,
}

impl Header {
    /// Writes it into the first 16 octets; what is shorter stays as it is.
    pub(super) fn emit(self, datagram: &mut [u8]) {
        if let Some((head, _)) = datagram.split_first_chunk_mut::<16>() {
            head[..8].copy_from_slice(&self.run.to_be_bytes());
            head[8..].copy_from_slice(&self.number.to_be_bytes());
        }
    }

    /// Reads it; `None` where there is not room for one.
    pub(super) fn parse(datagram: &[u8]) -> Option<Header> {
        let (run, rest) = datagram.split_first_chunk()?;
        let (number, _) = rest.split_first_chunk()?;
        Some(Header { run: u64::from_be_bytes(*run), number: u64::from_be_bytes(*number) })
    }
}

/// The numbers that arrived.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    marks: Vec<u64>,
}

impl Numbers {
    /// True the first time that a number arrives.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        if number >= LIMIT {
            return false;
        }
        let (index, mark) = ((number / 64) as usize, 1 << (number % 64));
        if index >= self.marks.len() {
            self.marks.resize((index + 1).next_power_of_two(), 0);
        }
        let is_new = self.marks[index] & mark == 0;
        self.marks[index] |= mark;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_counts_once_in_any_order() {
        let mut numbers = Numbers::default();
        for number in [7, 0, 64, 1_000_000, 63] {
            assert!(numbers.insert(number), "{number}");
            assert!(!numbers.insert(number), "{number}");
        }
        assert!(!numbers.insert(LIMIT) && !numbers.insert(u64::MAX));
    }

    #[test]
    fn a_header_is_read_back_and_a_short_datagram_has_none() {
        let header = Header { run: 0x0102_0304_0506_0708, number: 9 };
        let mut datagram = [0xff; 64];
        header.emit(&mut datagram);
        assert_eq!(Header::parse(&datagram), Some(header));
        assert_eq!(Header::parse(&datagram[..15]), None);
        header.emit(&mut datagram[..15]);
    }
}
