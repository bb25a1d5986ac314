//! Names of what was sent, and its bits. Pure.
//!
//! A mix has the name that the plan gives it, its genome, because results of one sequence do not hold for
//! another (RFC 6985, 3).

use wire::frame::{FrameSize, IpVersion, Layer};

use crate::measure::TrialRecord;
use crate::measure::record::FrameRecord;
use crate::report::text::amount;
use crate::scenario::Plan;
use crate::scenario::mix::Mix;
use crate::verdict::answer::{Answer, Figure};
use crate::verdict::frames::{FramesSent, LayerRates};

use super::udp_of;

/// Characters of a name in a table: all of a genome that is not told in runs. The whole genome stands in
/// `imix.csv`.
const NAME_MAX: usize = 80;

/// The name of what a result was measured with: `64 B`, `CUSTOM IMIX - ABAABACABAAB`.
pub(in crate::report) fn sent(frames: &FramesSent) -> String {
    frames.size.map_or_else(|| cut(&frames.name), |size| format!("{size} B"))
}

/// The name of what a figure of a suite was measured with; `None` for any other figure.
pub(in crate::report) fn figure(answer: &Answer, figure: &Figure) -> Option<String> {
    let results = &answer.frames.as_ref()?.results;
    results.iter().find(|result| result.trials.contains(&figure.trial)).map(|result| sent(&result.frames))
}

/// The name of a mix as planned.
pub(in crate::report) fn mix(mix: &Mix, mtu: u32) -> String {
    match mix {
        Mix::Fixed { size } => format!("{size} B"),
        Mix::Sequence { .. } | Mix::Random { .. } => cut(&mix.name(mtu)),
    }
}

/// The name of what a trial sent: the plan's, or in a suite over sizes the size of the trial.
pub(in crate::report) fn trial(plan: &Plan, record: &TrialRecord) -> Option<String> {
    let udp = udp_of(plan)?;
    let own = match (&udp.mix, record.frames.as_ref()) {
        (Mix::Fixed { .. }, Some(frames)) => only_size(frames),
        _ => None,
    };
    Some(own.map_or_else(|| mix(&udp.mix, plan.testbed.links.mtu), |size| format!("{size} B")))
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

fn cut(name: &str) -> String {
    match name.char_indices().nth(NAME_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::plan::{Tuples, UdpPlan};

    fn udp(mix: Mix) -> UdpPlan {
        UdpPlan {
            ip_version: IpVersion::V4,
            mix,
            streams: 1.try_into().unwrap(),
            tuples: Tuples::Fixed,
            burst: 1.try_into().unwrap(),
        }
    }

    #[test]
    fn a_result_and_a_plan_have_one_name_for_a_mix() {
        let ip = |ip: u32| FrameSize::of_ip(ip).unwrap();
        let frame = |frame: u32| FrameSize::of_frame(frame).unwrap();
        let simple = Mix::Sequence { sizes: vec![ip(40), ip(576), ip(1_500)], order: vec![0, 1, 0, 2] };
        let standard = Mix::Sequence { sizes: vec![frame(64), frame(512), frame(1_518)], order: vec![0, 1, 2, 0] };
        let range = Mix::Random { min: frame(64), max: frame(1_518) };
        let cases = [
            (simple, "CUSTOM IMIX - ABAC", "ABAC", Layer::L3),
            (standard, "IMIX - adga", "adga", Layer::L2),
            (range, "random 64 to 1518 bytes", "random 64 to 1518 bytes", Layer::L2),
        ];
        for (sizes, name, genome, layer) in cases {
            let frames = FramesSent::of(&udp(sizes.clone()), 1_500);
            assert_eq!((sent(&frames).as_str(), mix(&sizes, 1_500).as_str()), (name, name));
            assert_eq!(
                (sizes.name(1_500).as_str(), frames.genome.as_deref(), frames.layer),
                (name, Some(genome), layer)
            );
        }
        assert_eq!(mix(&Mix::Fixed { size: frame(64) }, 1_500), "64 B");
    }

    #[test]
    fn a_long_name_is_cut_but_not_its_genome() {
        let sizes = [40, 576].map(|ip| FrameSize::of_ip(ip).unwrap()).to_vec();
        let frames = FramesSent::of(&udp(Mix::Sequence { sizes, order: [0, 1].repeat(500) }), 1_500);
        assert_eq!(sent(&frames), format!("CUSTOM IMIX - {}…", "A1 B1 ".repeat(11)));
        assert_eq!(frames.genome.unwrap(), "AB".repeat(500));
    }

    #[test]
    fn bits_stand_in_the_unit_that_fits() {
        assert_eq!(
            [512.0, 52_430_000.0, 999_700_000.0, 1_234_567_890.0].map(bit_rate),
            ["0.51 kbit/s", "52.4 Mbit/s", "1.00 Gbit/s", "1.23 Gbit/s"]
        );
    }
}
