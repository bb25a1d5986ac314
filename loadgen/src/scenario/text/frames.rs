//! Datagrams and suites as text: as a file, and in words for a person.

use wire::frame::{FrameSize, Layer};
use wire::units::{BitRate, Span};

use crate::scenario::file::{FramesFile, RandomFile, SuiteFile, WorkloadFile};
use crate::scenario::mix::Mix;
use crate::scenario::plan::{Plan, SuitePlan, Tuples, UdpPlan};

/// `[workload]` of a plan of datagrams.
pub(super) fn workload(udp: &UdpPlan, suite: Option<&SuitePlan>) -> WorkloadFile {
    // The sizes of RFC 2544 stand in the suite.
    let has_own_sizes = !matches!(suite, Some(SuitePlan::Rfc2544 { .. }));
    WorkloadFile {
        kind: Some("udp".to_owned()),
        streams: Some(udp.streams.get().into()),
        tuples: Some(tuples_word(udp.tuples).to_owned()),
        burst: Some(udp.burst.get()),
        frames: has_own_sizes.then(|| frames(&udp.mix)),
        ..WorkloadFile::default()
    }
}

fn frames(mix: &Mix) -> FramesFile {
    let is_padded = |size: &FrameSize| FrameSize::of_frame(size.frame()) != Some(*size);
    let (min, max) = mix.range();
    let sizes = match mix {
        Mix::Sequence { sizes, .. } => sizes.clone(),
        _ => vec![min, max],
    };
    let by_ip = sizes.iter().any(is_padded);
    let bytes = |size: FrameSize| if by_ip { size.ip() } else { size.frame() };
    let file = FramesFile { layer: Some(if by_ip { "ip" } else { "ethernet" }.to_owned()), ..FramesFile::default() };
    match mix {
        Mix::Fixed { size } => FramesFile { size: Some(bytes(*size)), ..file },
        Mix::Random { .. } => FramesFile { random: Some(RandomFile { min: bytes(min), max: bytes(max) }), ..file },
        Mix::Sequence { order, .. } => FramesFile {
            sizes: Some(sizes.into_iter().map(bytes).collect()),
            genome: Some(order.iter().map(|at| char::from(b'A' + at)).collect()),
            ..file
        },
    }
}

/// `[suite]` of a plan.
pub(super) fn suite(suite: &SuitePlan) -> SuiteFile {
    let (kind, sizes, sweep) = match suite {
        SuitePlan::Imix(sweep) => ("imix", None, sweep),
        SuitePlan::Rfc2544 { sizes, sweep } => {
            ("rfc2544", Some(sizes.iter().map(|size| size.frame()).collect()), sweep)
        }
    };
    SuiteFile {
        kind: Some(kind.to_owned()),
        sizes,
        sweep_step: Some(sweep.step),
        sweep_sustain: Some(Span(sweep.sustain)),
    }
}

/// What the datagrams are.
pub(super) fn workload_words(plan: &Plan, udp: &UdpPlan) -> String {
    let mtu = plan.testbed.links.mtu;
    let what = match &plan.suite {
        Some(SuitePlan::Rfc2544 { .. }) => "frames of the sizes below".to_owned(),
        _ => {
            let table = udp.mix.table(mtu).map(|table| format!(" ({table})")).unwrap_or_default();
            format!("{}{table}", udp.mix.name(mtu))
        }
    };
    let burst = if udp.burst.get() == 1 { String::new() } else { format!(", bursts of {}", udp.burst) };
    format!(
        "udp over IP{}, {what}; {} stream(s), 5-tuples {}{burst}",
        udp.ip_version.name(),
        udp.streams,
        tuples_word(udp.tuples)
    )
}

/// What one frame is on each layer, and what a declared line carries at most; lines of their own.
pub(super) fn frame_words(plan: &Plan, udp: &UdpPlan) -> Vec<String> {
    if let Some(SuitePlan::Rfc2544 { sizes, .. }) = &plan.suite {
        return sizes.iter().map(|size| one_mix(plan, &Mix::Fixed { size: *size })).collect();
    }
    let mut lines = vec![one_mix(plan, &udp.mix)];
    if let Some(rate) = plan.load.rate {
        let bits =
            |layer| format!("{} {}", bits_words(rate.as_f64() * udp.mix.mean_bits(layer)), layer.name().to_uppercase());
        lines.push(format!(
            "{:.1} frames/s are {}",
            rate.as_f64(),
            [Layer::L1, Layer::L2, Layer::L3].map(bits).join(", ")
        ));
    }
    lines
}

fn one_mix(plan: &Plan, mix: &Mix) -> String {
    let bytes = |layer| mix.mean_bits(layer) / 8.0;
    let speed = plan.testbed.links.speed_bps.and_then(|speed| BitRate::bits_per_second(speed).ok());
    let most = speed.map(|speed| format!("; at most {} frames/s at {speed}", mix.max_fps(speed.as_u64())));
    let head = if matches!(mix, Mix::Fixed { .. }) { "frame" } else { "mean frame" };
    format!(
        "{head} {:.2} B (L1 {:.2} B with preamble and gap, L3 {:.2} B of IP){}",
        bytes(Layer::L2),
        bytes(Layer::L1),
        bytes(Layer::L3),
        most.unwrap_or_else(|| "; no line rate declared".to_owned())
    )
}

/// What a suite does beside the search.
pub(super) fn suite_words(suite: &SuitePlan) -> String {
    let (what, sweep) = match suite {
        SuitePlan::Imix(sweep) => ("imix: the search".to_owned(), sweep),
        SuitePlan::Rfc2544 { sizes, sweep } => {
            let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
            (format!("rfc2544: the search for each of {} bytes", sizes.join(", ")), sweep)
        }
    };
    let then = match sweep.step.as_ratio() {
        0.0 => "no loss sweep".to_owned(),
        _ => format!(
            "then a loss sweep from the highest load down in steps of {}, {} each",
            sweep.step,
            Span(sweep.sustain)
        ),
    };
    format!("{what}, {then}")
}

fn bits_words(bits: f64) -> String {
    let (divisor, unit) = match bits {
        1e9.. => (1e9, "Gbit/s"),
        1e6.. => (1e6, "Mbit/s"),
        1e3.. => (1e3, "kbit/s"),
        _ => (1.0, "bit/s"),
    };
    format!("{:.3} {unit}", bits / divisor)
}

fn tuples_word(tuples: Tuples) -> &'static str {
    match tuples {
        Tuples::Fixed => "fixed",
        Tuples::Sequential => "sequential",
        Tuples::Random => "random",
    }
}
