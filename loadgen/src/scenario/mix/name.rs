//! What a mix is called: its genome (RFC 6985, 4).
//!
//! `IMIX - aaafg` where every size is an Ethernet frame that has a letter there (a = 64 bytes … g = 1518,
//! z = the largest of this MTU), else `CUSTOM IMIX - ABAAB` with a table of what A, B … are. Sequences that
//! are too long for a line are told in runs: `A3 B2`.

use wire::frame::{FrameSize, Layer};

use super::order::letter;
use super::{ETHERNET, Mix};

/// Frames up to which a sequence is written out.
const WRITTEN_OUT: usize = 64;
/// The letters of RFC 6985, 4, with their frames in bytes.
const LETTERS: [(char, u32); 10] = [
    ('a', 64),
    ('b', 128),
    ('c', 256),
    ('d', 512),
    ('e', 1_024),
    ('f', 1_280),
    ('g', 1_518),
    ('h', 2_112),
    ('i', 9_000),
    ('j', 16_000),
];

impl Mix {
    /// The name in reports; `mtu` is the largest IP packet in bytes.
    pub fn name(&self, mtu: u32) -> String {
        match self {
            Self::Fixed { size } => format!("{} bytes", bytes(*size)),
            Self::Random { min, max } => format!("random {} to {} bytes", bytes(*min), bytes(*max)),
            Self::Sequence { order, .. } => {
                let letters = self.letters(mtu);
                let kind =
                    if letters.iter().all(|(letter, _)| letter.is_ascii_lowercase()) { "IMIX" } else { "CUSTOM IMIX" };
                let genome: Vec<char> = order.iter().filter_map(|at| Some(letters.get(usize::from(*at))?.0)).collect();
                format!("{kind} - {}", written(&genome))
            }
        }
    }

    /// The letter of each size; empty where there is no sequence.
    pub fn letters(&self, mtu: u32) -> Vec<(char, FrameSize)> {
        let Self::Sequence { sizes, .. } = self else { return Vec::new() };
        let standard: Option<Vec<char>> = sizes.iter().map(|size| standard_letter(*size, mtu)).collect();
        let own = || (0..sizes.len()).map(letter).collect();
        standard.unwrap_or_else(own).into_iter().zip(sizes.iter().copied()).collect()
    }

    /// What the letters mean, where the name does not say it: `A = 40 B, B = 576 B of IP`.
    pub fn table(&self, mtu: u32) -> Option<String> {
        let letters = self.letters(mtu);
        if !letters.iter().any(|(letter, _)| letter.is_ascii_uppercase() || *letter == 'z') {
            return None;
        }
        let by_ip = self.layer() == Layer::L3;
        let length = |size: &FrameSize| if by_ip { size.ip() } else { size.frame() };
        let each: Vec<String> = letters.iter().map(|(letter, size)| format!("{letter} = {} B", length(size))).collect();
        Some(format!("{} of {}", each.join(", "), if by_ip { "IP" } else { "Ethernet" }))
    }

    /// The layer whose lengths tell its sizes apart: frames, or IP packets where frames are padded.
    pub fn layer(&self) -> Layer {
        let is_padded = |size: &FrameSize| size.ip() + ETHERNET < size.frame();
        let Self::Sequence { sizes, .. } = self else { return Layer::L2 };
        // Padding makes short packets equal on Ethernet, so that a mix with one is told by its packets.
        if sizes.iter().any(is_padded) { Layer::L3 } else { Layer::L2 }
    }
}

fn standard_letter(size: FrameSize, mtu: u32) -> Option<char> {
    let named = LETTERS.iter().find(|(_, frame)| FrameSize::of_frame(*frame) == Some(size));
    named.map(|(letter, _)| *letter).or_else(|| (size.ip() == mtu).then_some('z'))
}

/// Bytes of a frame, or of its packet where the frame is padded.
fn bytes(size: FrameSize) -> String {
    if size.ip() + ETHERNET < size.frame() {
        format!("{} (IP {})", size.frame(), size.ip())
    } else {
        size.frame().to_string()
    }
}

fn written(genome: &[char]) -> String {
    if genome.len() <= WRITTEN_OUT {
        return genome.iter().collect();
    }
    let runs = genome.chunk_by(|a, b| a == b).map(|run| format!("{}{}", run[0], run.len()));
    runs.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::mix::order;

    fn mix(sizes: &[FrameSize], weights: &[u32]) -> Mix {
        Mix::Sequence { sizes: sizes.to_vec(), order: order::of_weights(weights).unwrap() }
    }

    fn frames(sizes: &[u32]) -> Vec<FrameSize> {
        sizes.iter().map(|size| FrameSize::of_frame(*size).unwrap()).collect()
    }

    #[test]
    fn a_mix_is_named_by_its_genome() {
        let simple = mix(&[40, 576, 1500].map(|ip| FrameSize::of_ip(ip).unwrap()), &[7, 4, 1]);
        assert_eq!(simple.name(1500), "CUSTOM IMIX - ABAABACABAAB");
        assert_eq!(simple.table(1500).unwrap(), "A = 40 B, B = 576 B, C = 1500 B of IP");
        let standard = mix(&frames(&[64, 512, 1518]), &[2, 1, 1]);
        assert_eq!((standard.name(1500).as_str(), standard.table(1500)), ("IMIX - adga", None));
        let jumbo = mix(&frames(&[64, 9018]), &[1, 1]);
        assert_eq!(
            (jumbo.name(9000).as_str(), jumbo.table(9000).unwrap().as_str()),
            ("IMIX - az", "a = 64 B, z = 9018 B of Ethernet")
        );
        assert_eq!(jumbo.name(9100), "CUSTOM IMIX - AB");
        assert_eq!(mix(&frames(&[64, 594]), &[1, 1]).table(1500).unwrap(), "A = 64 B, B = 594 B of Ethernet");
    }

    #[test]
    fn a_long_sequence_is_told_in_runs() {
        let long = mix(&frames(&[64, 100]), &[80, 1]);
        assert_eq!(long.name(1500), "CUSTOM IMIX - A40 B1 A40");
    }

    #[test]
    fn single_and_random_sizes_have_names_too() {
        let size = |frame| FrameSize::of_frame(frame).unwrap();
        assert_eq!(Mix::Fixed { size: size(64) }.name(1500), "64 bytes");
        assert_eq!(Mix::Fixed { size: FrameSize::of_ip(40).unwrap() }.name(1500), "64 (IP 40) bytes");
        assert_eq!(Mix::Random { min: size(64), max: size(1518) }.name(1500), "random 64 to 1518 bytes");
    }
}
