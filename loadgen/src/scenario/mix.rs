//! A mix of frame sizes: which sizes, and in which order they follow each other.
//!
//! Pure. A mix is named by its genome (RFC 6985): one letter for each frame of the sequence that repeats.
//! The sequence is part of a result, because devices treat bursts of small frames unlike single ones.

use serde::{Deserialize, Serialize};
use wire::frame::{FrameSize, IpVersion, Layer};

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
}
