//! Seeded choices: the same seed gives the same bytes on every machine.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use wire::hash::SplitMix64;

/// The seeds of one test: always the same, or as the environment says.
pub(crate) fn seeds(what: &str, usual: u64) -> impl Iterator<Item = u64> {
    let number = |name: &str| -> Option<u64> {
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")))
    };
    let duration = number("NADARE_FUZZ_SECONDS").map(Duration::from_secs);
    let chosen = || duration.map(|_| RandomState::new().build_hasher().finish() >> 16);
    let first = number("NADARE_FUZZ_SEED").or_else(chosen).unwrap_or(1);
    println!("{what}: NADARE_FUZZ_SEED={first}");
    let start = Instant::now();
    (first..).enumerate().map_while(move |(count, seed)| {
        let more = duration.map_or((count as u64) < usual, |duration| start.elapsed() < duration);
        more.then_some(seed)
    })
}

/// Choices from a seed.
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// A number from 0 to below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    /// True once in `count` times.
    pub(crate) fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// One to three changes: a byte replaced, inserted or removed, a piece doubled, removed or moved, a
    /// word of the protocol put in.
    pub(crate) fn mutate(&mut self, sample: &[u8]) -> Vec<u8> {
        const ALPHABET: &[u8] = b"\r\n\t :,/;\0\x7f\xffaA09=*#-+\"\\%chunked";
        const WORDS: [&[u8]; 12] = [
            b"\r\n",
            b"\r\n\r\n",
            b"Content-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"\r\nTransfer-Encoding: chunked",
            b"\r\nConnection: close, x-a",
            b"0\r\n\r\n",
            b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            b" HTTP/1.1",
            b"\r\n ",
            b"Host: h\r\n",
            b"chunked",
        ];
        let mut bytes = sample.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len().max(1));
            let end = (at + self.below(40)).min(bytes.len());
            let byte = self.pick(ALPHABET);
            match self.below(10) {
                _ if bytes.is_empty() => bytes.push(byte),
                0..=2 => bytes[at] = byte,
                3 | 4 => bytes.insert(at, byte),
                5 => drop(bytes.remove(at)),
                6 => drop(bytes.drain(at..end)),
                7 => {
                    let word = self.pick(&WORDS);
                    bytes.splice(at..at, word.iter().copied());
                }
                8 => {
                    let piece: Vec<u8> = bytes.drain(at..end).collect();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                _ => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes
    }
}
