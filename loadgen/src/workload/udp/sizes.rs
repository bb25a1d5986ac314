//! Which size each frame of a stream has.
//!
//! A function of stream and number alone, so that whoever knows these two knows the length that an answer
//! must have. Each stream walks through the sequence of a mix (RFC 6985), stream i from frame i of it on: so
//! does the traffic of all streams together, and no stream has one size only. Random lengths are drawn from
//! (seed, stream, number).

use wire::frame::{FrameSize, IpVersion};
use wire::hash::mixed;
use wire::signature::SHORT;

use crate::measure::record::SizeCount;
use crate::scenario::mix::Mix;

/// Most classes that random lengths are counted in.
const RANGES_MAX: u32 = 16;

/// One frame as it is to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Length {
    /// Bytes of UDP payload.
    pub payload: u16,
    /// Which of [`Sizes::classes`] it is counted in.
    pub class: u8,
}

/// The sizes of all frames of a workload.
#[derive(Clone, Debug)]
pub struct Sizes {
    rule: Rule,
    classes: Vec<FrameSize>,
    payload_max: u16,
}

#[derive(Clone, Debug)]
enum Rule {
    Sequence(Box<[Length]>),
    Random {
        smallest: u16,
        /// Different lengths, and how many of them make one class.
        lengths: u32,
        width: u32,
        seed: u64,
    },
}

impl Sizes {
    /// The sizes of a mix over IPv4 or IPv6.
    ///
    /// # Errors
    /// The frame that has no room for headers and signature.
    pub fn new(mix: &Mix, version: IpVersion, seed: u64) -> Result<Self, String> {
        let payload = |size: FrameSize| {
            let payload = size.payload(version).filter(|payload| *payload >= SHORT);
            payload.and_then(|payload| u16::try_from(payload).ok()).ok_or_else(|| {
                format!(
                    "a frame of {size} B (IP length {}) has no room for IP{} and UDP headers and a signature of {SHORT} B: \
                     choose one with an IP length of at least {}",
                    size.ip(),
                    version.name(),
                    version.headers() as usize + SHORT
                )
            })
        };
        let (low, high) = mix.range();
        let (payload_min, payload_max) = (payload(low)?, payload(high)?);
        let (rule, classes) = match mix {
            Mix::Fixed { size } => (Rule::Sequence([Length { payload: payload_max, class: 0 }].into()), vec![*size]),
            Mix::Sequence { sizes, order } => {
                let mut classes = sizes.clone();
                classes.sort_unstable();
                classes.dedup();
                let length = |at: &u8| {
                    let size = sizes[usize::from(*at)];
                    let class = classes.binary_search(&size).unwrap_or(0) as u8;
                    payload(size).map(|payload| Length { payload, class })
                };
                let order: Result<Box<[_]>, String> = order.iter().map(length).collect();
                (Rule::Sequence(order?), classes)
            }
            Mix::Random { min, max } => {
                let lengths = u32::from(payload_max - payload_min) + 1;
                let width = lengths.div_ceil(RANGES_MAX);
                let largest = |class: u32| FrameSize::of_ip((min.ip() + (class + 1) * width - 1).min(max.ip()));
                let classes = (0..lengths.div_ceil(width)).filter_map(largest).collect();
                (Rule::Random { smallest: payload_min, lengths, width, seed }, classes)
            }
        };
        Ok(Self { rule, classes, payload_max })
    }

    /// The length of a frame.
    pub fn of(&self, stream: u16, sequence: u64) -> Length {
        match &self.rule {
            Rule::Sequence(order) => order[(sequence.wrapping_add(u64::from(stream)) % order.len() as u64) as usize],
            Rule::Random { smallest, lengths, width, seed } => {
                let drawn = mixed(seed ^ mixed(u64::from(stream) << 48 ^ sequence));
                // The upper half of a product with a number below 2^16 is uniform to 2^-48.
                let offset = ((u128::from(drawn) * u128::from(*lengths)) >> 64) as u32;
                Length { payload: smallest + offset as u16, class: (offset / width) as u8 }
            }
        }
    }

    /// Bytes of the longest payload.
    pub fn payload_max(&self) -> usize {
        self.payload_max.into()
    }

    /// A counter for each size, or for each range of random lengths under its largest one; ascending.
    pub fn classes(&self) -> Vec<SizeCount> {
        self.classes.iter().map(|&size| SizeCount { size, due: 0, sent: 0, answered: 0 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(size: u32) -> FrameSize {
        FrameSize::of_ip(size).unwrap()
    }

    #[test]
    fn a_sequence_repeats_and_streams_are_shifted() {
        // ABAABACABAAB of 40, 576 and 1500 bytes of IP; one size named twice is one class.
        let order = b"ABAABACABAAB".iter().map(|letter| letter - b'A').collect();
        let sizes =
            Sizes::new(&Mix::Sequence { sizes: vec![ip(40), ip(576), ip(1500)], order }, IpVersion::V4, 1).unwrap();
        let row = |stream| (0..24).map(|n| sizes.of(stream, n).payload).collect::<Vec<_>>();
        let once = [12, 548, 12, 12, 548, 12, 1472, 12, 548, 12, 12, 548];
        assert_eq!(row(0), [once, once].concat());
        assert_eq!(row(2)[..22], row(0)[2..]);
        let of_class = |class| (0..12).filter(|&n| sizes.of(5, n).class == class).count();
        assert_eq!([of_class(0), of_class(1), of_class(2)], [7, 4, 1]);
        // A number that no frame of ours has, out of a damaged datagram.
        assert_eq!(sizes.of(1, u64::MAX).payload, once[0]);
        assert_eq!(sizes.classes().iter().map(|count| count.size.ip()).collect::<Vec<_>>(), [40, 576, 1500]);
    }

    #[test]
    fn unordered_sizes_are_counted_in_ascending_classes() {
        let mix = Mix::Sequence { sizes: vec![ip(1500), ip(60), ip(60)], order: vec![0, 1, 2] };
        let sizes = Sizes::new(&mix, IpVersion::V6, 1).unwrap();
        assert_eq!((0..3).map(|n| sizes.of(0, n).class).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!(sizes.payload_max(), 1452);
    }

    #[test]
    fn random_lengths_are_uniform_and_repeatable() {
        let (min, max) = (FrameSize::of_frame(64).unwrap(), FrameSize::of_frame(1518).unwrap());
        let sizes = Sizes::new(&Mix::Random { min, max }, IpVersion::V4, 7).unwrap();
        let classes = sizes.classes();
        assert_eq!((classes.len(), classes[15].size), (16, max));
        let mut seen = vec![0_u32; 1455];
        let mut counted = [0_u32; 16];
        for n in 0..1_455_000 {
            let length = sizes.of(3, n);
            seen[usize::from(length.payload) - 18] += 1;
            counted[usize::from(length.class)] += 1;
            assert!(u32::from(length.payload) + 28 <= classes[usize::from(length.class)].size.ip());
        }
        // 1,000 each with a standard deviation of 32.
        assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{:?}", seen.iter().min_by_key(|n| **n));
        assert_eq!(counted.iter().sum::<u32>(), 1_455_000);
        assert_ne!(
            (0..9).map(|n| sizes.of(0, n)).collect::<Vec<_>>(),
            (0..9).map(|n| sizes.of(1, n)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_frame_without_room_is_refused() {
        let refused = |frame, version| Sizes::new(&Mix::Fixed { size: frame }, version, 1).unwrap_err();
        let text = refused(FrameSize::of_frame(64).unwrap(), IpVersion::V6);
        assert!(
            text.contains("64 B (IP length 46)") && text.contains("IPv6") && text.ends_with("at least 60"),
            "{text}"
        );
        assert!(refused(ip(39), IpVersion::V4).ends_with("at least 40"));
        assert!(Sizes::new(&Mix::Fixed { size: ip(40) }, IpVersion::V4, 1).is_ok());
    }
}
