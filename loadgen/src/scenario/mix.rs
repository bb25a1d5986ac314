//! A mix of frame sizes: which sizes, and in which order they follow each other.
//!
//! Pure. A mix is named by its genome (RFC 6985): one letter for each frame of the sequence that repeats.
//! The sequence is part of a result, because devices treat bursts of small frames unlike single ones.

use serde::{Deserialize, Serialize};
use wire::frame::{FrameSize, IpVersion, Layer};

mod name;
pub mod order;

/// Ethernet header and FCS around an IP packet.
const ETHERNET: u32 = 18;
/// Most different sizes of a mix.
pub const SIZES_MAX: usize = 26;
/// Most frames of the sequence that repeats.
pub const SEQUENCE_MAX: usize = 1_024;

/// The sizes of the frames of a workload.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "mix", rename_all = "kebab-case")]
pub enum Mix {
    /// All the same.
    Fixed {
        /// The size.
        size: FrameSize,
    },
    /// A sequence that repeats.
    Sequence {
        /// The different sizes; letter A is the first.
        sizes: Vec<FrameSize>,
        /// Indices into `sizes`, at most [`SEQUENCE_MAX`]; never empty.
        order: Vec<u8>,
    },
    /// Each length of the range equally often, from the seed.
    Random {
        /// Smallest frame.
        min: FrameSize,
        /// Largest frame.
        max: FrameSize,
    },
}

impl Mix {
    /// The smallest and the largest size.
    pub fn range(&self) -> (FrameSize, FrameSize) {
        match self {
            Self::Fixed { size } => (*size, *size),
            Self::Random { min, max } => (*min, *max),
            Self::Sequence { sizes, .. } => {
                let first = sizes[0];
                sizes.iter().fold((first, first), |(low, high), &size| (low.min(size), high.max(size)))
            }
        }
    }

    /// Mean bits of a frame on a layer.
    pub fn mean_bits(&self, layer: Layer) -> f64 {
        match self {
            Self::Fixed { size } => size.bits(layer) as f64,
            Self::Sequence { sizes, order } => {
                let sum: u64 = order.iter().map(|&at| sizes[usize::from(at)].bits(layer)).sum();
                sum as f64 / order.len() as f64
            }
            Self::Random { min, max } => {
                let all = (min.ip()..=max.ip()).filter_map(FrameSize::of_ip);
                let sum: u64 = all.map(|size| size.bits(layer)).sum();
                sum as f64 / f64::from(max.ip() - min.ip() + 1)
            }
        }
    }

    /// Whether every frame has room for the shortest signature.
    pub fn is_signed(&self, version: IpVersion) -> bool {
        self.range().0.payload(version).is_some_and(|payload| payload >= wire::signature::SHORT)
    }

    /// The share of each size in the bits of a layer, 0 to 1; empty for random lengths.
    pub fn shares(&self, layer: Layer) -> Vec<(FrameSize, f64)> {
        match self {
            Self::Fixed { size } => vec![(*size, 1.0)],
            Self::Random { .. } => Vec::new(),
            Self::Sequence { sizes, order } => {
                let all = self.mean_bits(layer) * order.len() as f64;
                let frames = |at: usize| order.iter().filter(|found| usize::from(**found) == at).count();
                let share =
                    |(at, size): (usize, &FrameSize)| (*size, (frames(at) as u64 * size.bits(layer)) as f64 / all);
                sizes.iter().enumerate().map(share).collect()
            }
        }
    }

    /// Frames per second that a line of so many bits per second carries at most, on average.
    pub fn max_fps(&self, line_bps: u64) -> u64 {
        (line_bps as f64 / self.mean_bits(Layer::L1)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simple_mix_has_the_mean_and_the_shares_of_its_layer() {
        let sizes = [40, 576, 1500].map(|ip| FrameSize::of_ip(ip).unwrap()).to_vec();
        let mix = Mix::Sequence { sizes, order: order::of_weights(&[7, 4, 1]).unwrap() };
        let mean = |layer| mix.mean_bits(layer) / 8.0;
        assert_eq!(
            [Layer::L3, Layer::L2, Layer::L1].map(|layer| (mean(layer) * 100.0).round()),
            [34_033.0, 36_183.0, 38_183.0]
        );
        let shares = |layer| mix.shares(layer).iter().map(|(_, share)| (share * 1e5).round()).collect::<Vec<_>>();
        assert_eq!(shares(Layer::L3), [6_856.0, 56_415.0, 36_729.0]);
        assert_eq!(shares(Layer::L2), [10_318.0, 54_721.0, 34_961.0]);
        assert_eq!([1, 10].map(|giga| mix.max_fps(giga * 1_000_000_000)), [327_367, 3_273_679]);
    }

    #[test]
    fn random_lengths_have_the_mean_of_their_range() {
        let size = |frame| FrameSize::of_frame(frame).unwrap();
        let mix = Mix::Random { min: size(64), max: size(1518) };
        assert_eq!(mix.mean_bits(Layer::L2) / 8.0, 791.0);
        assert!(mix.shares(Layer::L2).is_empty() && mix.is_signed(IpVersion::V4) && !mix.is_signed(IpVersion::V6));
    }
}
