//! Every target on what its corpus holds and on seeded changes of it: the part of fuzzing that repeats.
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lispguard_fuzz::TARGETS;

/// Changed inputs per target, unless `FUZZ_RUNS` says another number.
const RUNS: usize = 200_000;

/// Longest input, in octets.
const MAX_LEN: usize = 2_048;

#[test]
fn every_target_survives_its_corpus_and_seeded_changes_of_it() {
    let runs = std::env::var("FUZZ_RUNS").map_or(RUNS, |runs| runs.parse().expect("a number"));
    for target in TARGETS {
        let started_at = Instant::now();
        let corpus = corpus(target.name);
        corpus.iter().for_each(|input| (target.run)(input));
        let mut random = Random(0x5eed ^ target.name.len() as u64);
        for _ in 0..runs {
            (target.run)(&random.change(&corpus));
        }
        println!("{}: {runs} inputs, {:?}", target.name, started_at.elapsed());
        assert!(started_at.elapsed() < Duration::from_secs(600), "{} is too slow", target.name);
    }
}

/// The inputs kept for a target; a name without any is a mistake.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{folder:?} is empty");
    paths.iter().map(|path| fs::read(path).expect("a readable file")).collect()
}

/// A small random number generator (xorshift64*), seeded.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// One input of the corpus with up to eight changes: octets set, cut out, doubled or taken from
    /// another input.
    fn change(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(8) {
            let (at, end) = (self.below(input.len()), self.below(input.len()));
            let range = at.min(end)..at.max(end).min(at.min(end) + 32);
            match self.below(6) {
                _ if input.is_empty() => input.push(self.next() as u8),
                0 => input[at] ^= 1 << self.below(8),
                1 => input[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                2 => input[at] = self.next() as u8,
                3 => drop(input.drain(range)),
                4 => {
                    let doubled = input[range].to_vec();
                    input.splice(at..at, doubled);
                }
                _ => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len());
                    let taken = other[from..].iter().copied().take(32);
                    input.splice(at..at, taken.collect::<Vec<_>>());
                }
            }
        }
        input.truncate(MAX_LEN);
        input
    }
}
