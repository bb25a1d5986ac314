//! Names of what was sent, and its bits. Pure.
//!
//! A mix is named by its genome, because results of one sequence do not hold for another (RFC 6985, 3);
//! its letters stand for lengths of IP packets, which padding to the shortest frame does not change.

use wire::frame::{FrameSize, IpVersion, Layer};

use crate::measure::TrialRecord;
use crate::measure::record::FrameRecord;
use crate::report::text::{amount, count};
use crate::scenario::Plan;
use crate::scenario::mix::Mix;
use crate::verdict::answer::{Answer, Figure};
use crate::verdict::frames::{FramesSent, LayerRates};

use super::udp_of;

/// Letters of a genome in a name; all of it stands in `imix.csv`.
const GENOME_MAX: usize = 40;

/// The name of what a result was measured with: `64 B`, `CUSTOM IMIX - ABAABACABAAB`.
pub(in crate::report) fn sent(frames: &FramesSent) -> String {
    match (frames.size, &frames.genome, frames.random) {
        (Some(size), ..) => format!("{size} B"),
        (None, Some(genome), _) => imix(genome),
        (None, None, Some((min, max))) => random(min, max),
        (None, None, None) => format!("mean {} B", amount(frames.mean_frame)),
    }
}

/// The name of what a figure of a suite was measured with; `None` for any other figure.
pub(in crate::report) fn figure(answer: &Answer, figure: &Figure) -> Option<String> {
    let results = &answer.frames.as_ref()?.results;
    results.iter().find(|result| result.trials.contains(&figure.trial)).map(|result| sent(&result.frames))
}

/// The name of a mix as planned.
pub(in crate::report) fn mix(mix: &Mix) -> String {
    match mix {
        Mix::Fixed { size } => format!("{size} B"),
        Mix::Sequence { order, .. } => imix(&order.iter().map(|&at| char::from(b'A' + at % 26)).collect::<String>()),
        Mix::Random { min, max } => random(*min, *max),
    }
}

/// The name of what a trial sent: the plan's, or in a suite over sizes the size of the trial.
pub(in crate::report) fn trial(plan: &Plan, record: &TrialRecord) -> Option<String> {
    let udp = udp_of(plan)?;
    let own = match (&udp.mix, record.frames.as_ref()) {
        (Mix::Fixed { .. }, Some(frames)) => only_size(frames),
        _ => None,
    };
    Some(own.map_or_else(|| mix(&udp.mix), |size| format!("{size} B")))
}

/// Mean bits of the frames of a trial on a layer; `None` for what sends no frames.
pub(in crate::report) fn mean_bits(plan: &Plan, record: &TrialRecord, layer: Layer) -> Option<f64> {
    let udp = udp_of(plan)?;
    let own = record.frames.as_ref().and_then(only_size);
    Some(own.map_or_else(|| udp.mix.mean_bits(layer), |size| size.bits(layer) as f64))
}

/// The size of the frames of a trial, where all are the same.
pub(in crate::report) fn only_size(frames: &FrameRecord) -> Option<FrameSize> {
    match frames.sizes[..] {
        [only] => Some(only.size),
        _ => None,
    }
}

/// What the letters of a genome stand for: `A = 40, B = 576, C = 1,500 B of IP`.
pub(in crate::report) fn letters(sizes: &[FrameSize]) -> String {
    let each = ('A'..).zip(sizes).map(|(letter, size)| format!("{letter} = {}", count(size.ip().into())));
    format!("{} B of IP", each.collect::<Vec<_>>().join(", "))
}

/// The protocol over the frames: `UDP/IPv4`.
pub(in crate::report) fn protocol(version: IpVersion) -> &'static str {
    match version {
        IpVersion::V4 => "UDP/IPv4",
        IpVersion::V6 => "UDP/IPv6",
    }
}

/// Bits per second in the unit that fits: `52.4 Mbit/s`.
pub(in crate::report) fn bit_rate(bits: f64) -> String {
    match bits.abs() {
        _ if !bits.is_finite() => crate::report::text::NOTHING.to_owned(),
        size if size >= 999.5e6 => format!("{:.2} Gbit/s", bits / 1e9),
        size if size >= 999.5e3 => format!("{} Mbit/s", amount(bits / 1e6)),
        _ => format!("{} kbit/s", amount(bits / 1e3)),
    }
}

/// The same rate on every layer: `L1 68.7 Mbit/s, L2 52.4 Mbit/s, L3 37.7 Mbit/s`.
pub(in crate::report) fn layers(rates: LayerRates) -> String {
    let each = [("L1", rates.l1), ("L2", rates.l2), ("L3", rates.l3)];
    each.map(|(name, bits)| format!("{name} {}", bit_rate(bits))).join(", ")
}

/// So many frames per second of a trial's frames, in bits per second.
pub(in crate::report) fn rates(plan: &Plan, record: &TrialRecord, fps: f64) -> Option<LayerRates> {
    let of = |layer| mean_bits(plan, record, layer).map(|bits| bits * fps);
    Some(LayerRates { l1: of(Layer::L1)?, l2: of(Layer::L2)?, l3: of(Layer::L3)? })
}

fn imix(genome: &str) -> String {
    let whole = genome.chars().count();
    if whole <= GENOME_MAX {
        return format!("CUSTOM IMIX - {genome}");
    }
    let begin: String = genome.chars().take(GENOME_MAX).collect();
    format!("CUSTOM IMIX - {begin}… ({} frames)", count(whole as u64))
}

fn random(min: FrameSize, max: FrameSize) -> String {
    format!("random {min} to {max} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(ip: u32) -> FrameSize {
        FrameSize::of_ip(ip).unwrap()
    }

    #[test]
    fn a_mix_is_named_by_its_genome_and_a_long_one_is_cut() {
        let sizes = vec![size(40), size(576), size(1_500)];
        let order = vec![0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 0, 1];
        assert_eq!(mix(&Mix::Sequence { sizes: sizes.clone(), order }), "CUSTOM IMIX - ABAABACABAAB");
        assert_eq!(letters(&sizes), "A = 40, B = 576, C = 1,500 B of IP");
        let long = mix(&Mix::Sequence { sizes, order: [0, 1].repeat(500) });
        assert_eq!(long, format!("CUSTOM IMIX - {}… (1,000 frames)", "AB".repeat(20)));
        assert_eq!(mix(&Mix::Random { min: size(46), max: size(1_500) }), "random 64 to 1518 B");
        assert_eq!(mix(&Mix::Fixed { size: size(46) }), "64 B");
    }

    #[test]
    fn bits_stand_in_the_unit_that_fits() {
        assert_eq!(
            [512.0, 52_430_000.0, 999_700_000.0, 1_234_567_890.0].map(bit_rate),
            ["0.51 kbit/s", "52.4 Mbit/s", "1.00 Gbit/s", "1.23 Gbit/s"]
        );
    }
}
