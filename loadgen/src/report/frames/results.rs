//! `throughput.csv`, `imix.csv` and `loss.csv`: what a suite found, bare numbers.
//!
//! The first columns of each are promised to readers, in this order; more are added to the right. Loads
//! and rates are frames per second, `_bps` bits per second of the layer in front of it.

use wire::frame::FrameSize;

use super::names;
use crate::report::figures::bound;
use crate::report::rows::{Row, header, percent, row};
use crate::report::text::{bare, maybe_bare};
use crate::verdict::Verdict;
use crate::verdict::answer::Exit;
use crate::verdict::frames::{Delay, FrameResult, FrameSuite, FramesAnswer, SizeLoss, SizesOfTrial, SweepPoint};

/// A result with all that belongs to it.
struct ResultRow<'a> {
    result: &'a FrameResult,
    answer: &'a FramesAnswer,
    seed: u64,
    run: &'a str,
}

type ResultField = fn(&ResultRow<'_>) -> String;

impl ResultRow<'_> {
    /// The size, or the name of the mix.
    fn frame_size(&self) -> String {
        frame_size(self.result)
    }

    fn delay(&self, of: fn(&Delay) -> Option<f64>) -> String {
        maybe_bare(at_throughput(self.result).and_then(of))
    }
}

/// Columns of a throughput test (RFC 2544, 26.1).
const THROUGHPUT: &[(&str, ResultField)] = &[
    ("frame_size", |r| r.frame_size()),
    ("theoretical_fps", |r| maybe_bare(r.result.theoretical_fps)),
    ("mol_fps", |r| maybe_bare(r.result.mol_fps)),
    ("lower_fps", |r| maybe_bare(r.result.lower_fps)),
    ("upper_fps", |r| maybe_bare(r.result.upper_fps)),
    ("width", |r| r.result.width.map(|width| width.to_string()).unwrap_or_default()),
    ("trial_s", |r| maybe_bare(r.result.trial_s)),
    ("loss_at_upper", |r| r.result.loss_at_upper.map(|loss| loss.to_string()).unwrap_or_default()),
    ("l2_bps", |r| maybe_bare(r.result.bits_per_s.map(|bits| bits.l2))),
    ("l1_bps", |r| maybe_bare(r.result.bits_per_s.map(|bits| bits.l1))),
    ("direction", |_| "round-trip".to_owned()),
    ("protocol", |r| names::protocol(r.answer.ip_version).to_owned()),
    ("seed", |r| r.seed.to_string()),
    ("label", |r| r.result.label.clone()),
];

/// Columns of a mix behind those (RFC 6985).
const MIX: &[(&str, ResultField)] = &[
    ("genome", |r| r.result.frames.genome.clone().unwrap_or_default()),
    ("layer", |r| r.result.frames.layer.name().to_owned()),
    ("mean_ip_b", |r| bare(r.result.frames.mean_ip)),
    ("mean_frame_b", |r| bare(r.result.frames.mean_frame)),
    ("scope", |_| SCOPE.to_owned()),
    ("per_size_loss", |r| of_trial(r.result.per_size_at_upper.as_ref())),
    ("per_size_loss_at_throughput", |r| of_trial(r.result.per_size_at_throughput.as_ref())),
    ("letters_ip_b", |r| {
        let sizes = r.result.frames.letters.iter();
        sizes.map(|(letter, size)| format!("{letter}={}", size.ip())).collect::<Vec<_>>().join(" ")
    }),
];

/// What both have at the end.
const MORE: &[(&str, ResultField)] = &[
    ("l3_bps", |r| maybe_bare(r.result.bits_per_s.map(|bits| bits.l3))),
    ("limited_by", |r| r.result.limited_by.map(|limit| limit.name().to_owned()).unwrap_or_default()),
    ("verdict", |r| verdict(r.result.exit).name().to_owned()),
    ("throughput_fps", |r| maybe_bare(r.result.fps)),
    ("bound", |r| bound(r.result.bound).to_owned()),
    ("mfr_fps", |r| maybe_bare(r.result.max_forwarding_fps)),
    ("delay_us_p50", |r| r.delay(|delay| delay.p50_us)),
    ("delay_us_p99", |r| r.delay(|delay| delay.p99_us)),
    ("delay_us_p99.9", |r| r.delay(|delay| delay.p999_us)),
    ("delay_us_max", |r| r.delay(|delay| delay.max_us)),
    ("tolerant_loss", |r| r.result.goals.get(1).map(|goal| goal.loss.to_string()).unwrap_or_default()),
    ("tolerant_lower_fps", |r| maybe_bare(r.result.goals.get(1).and_then(|goal| goal.lower))),
    ("tolerant_upper_fps", |r| maybe_bare(r.result.goals.get(1).and_then(|goal| goal.upper))),
    ("link_bps", |r| r.answer.link_bps.map(|bits| bits.to_string()).unwrap_or_default()),
    ("payload_b", |r| r.result.frames.payload.map(|bytes| bytes.to_string()).unwrap_or_default()),
    ("frames", |r| names::sent(&r.result.frames)),
    ("deviations", |r| r.result.deviations.join("; ")),
    ("run", |r| r.run.to_owned()),
    ("delay_loss_pct", |r| r.delay(|delay| Some(delay.loss_pct))),
];

/// What a sequence of sizes counts over (RFC 6985, 5).
const SCOPE: &str = "all streams of a generator worker";

/// The table of the throughput of a suite: its file name and its rows, header first.
pub(in crate::report) fn throughput(answer: &FramesAnswer, seed: u64, run: &str) -> (&'static str, Vec<Row>) {
    let (name, groups): (_, &[&[(&'static str, ResultField)]]) = match answer.suite {
        FrameSuite::Rfc2544 => ("throughput.csv", &[THROUGHPUT, MORE]),
        FrameSuite::Imix => ("imix.csv", &[THROUGHPUT, MIX, MORE]),
    };
    let mut rows = vec![groups.iter().flat_map(|columns| header(columns)).collect::<Row>()];
    for result in &answer.results {
        let of = ResultRow { result, answer, seed, run };
        rows.push(groups.iter().flat_map(|columns| row(columns, &of)).collect());
    }
    (name, rows)
}

/// A load of a sweep with its result.
type Point<'a> = (&'a FrameResult, &'a SweepPoint);
type PointField = fn(&Point<'_>) -> String;

/// Columns of `loss.csv` (RFC 2544, 26.3).
const LOSS: &[(&str, PointField)] = &[
    ("frame_size", |(result, _)| frame_size(result)),
    ("load_pct", |(_, point)| bare(point.load_pct)),
    ("iload_fps", |(_, point)| bare(point.iload_fps)),
    ("oload_fps", |(_, point)| bare(point.oload_fps)),
    ("rx_fps", |(_, point)| bare(point.rx_fps)),
    ("lost", |(_, point)| point.lost.to_string()),
    ("loss_pct", |(_, point)| point.loss_pct.to_string()),
    ("reordered", |(_, point)| point.reordered.to_string()),
    ("duplicates", |(_, point)| point.duplicates.to_string()),
    ("trial_s", |(_, point)| bare(point.trial_s)),
    ("trial", |(_, point)| point.trial.to_string()),
    ("sent", |(_, point)| point.sent.to_string()),
    ("unsent", |(_, point)| point.unsent.to_string()),
    ("valid", |(_, point)| point.valid.to_string()),
    ("per_size_loss", |(_, point)| per_size(&point.sizes)),
];

/// The rows of `loss.csv`, header first.
pub(in crate::report) fn loss(answer: &FramesAnswer) -> Vec<Row> {
    let points = answer.results.iter().flat_map(|result| result.sweep.iter().map(move |point| (result, point)));
    std::iter::once(header(LOSS)).chain(points.map(|point| row(LOSS, &point))).collect()
}

/// How a part ended, as a verdict.
pub(in crate::report) fn verdict(exit: Exit) -> Verdict {
    match exit {
        Exit::Met => Verdict::Pass,
        Exit::Missed => Verdict::Fail,
        Exit::Usage | Exit::Host | Exit::Undecided | Exit::Interrupted => Verdict::Undecided,
    }
}

/// The delay at the throughput itself.
pub(in crate::report) fn at_throughput(result: &FrameResult) -> Option<&Delay> {
    result.delays.iter().find(|delay| is_at_throughput(delay))
}

/// Whether a delay was measured at the throughput: only then may it be called latency (RFC 2544, 26.2).
pub(in crate::report) fn is_at_throughput(delay: &Delay) -> bool {
    (delay.of_throughput - 1.0).abs() < 1e-9
}

fn frame_size(result: &FrameResult) -> String {
    match result.frames.size {
        Some(size) => size.frame().to_string(),
        None => names::sent(&result.frames),
    }
}

fn of_trial(sizes: Option<&SizesOfTrial>) -> String {
    sizes.map(|of| per_size(&of.sizes)).unwrap_or_default()
}

/// Lost share in percent by size of the frame: `64:0 594:0.01`.
fn per_size(sizes: &[SizeLoss]) -> String {
    let name = |size: FrameSize| size.frame();
    let each = sizes.iter().map(|of| format!("{}:{}", name(of.size), percent(Some(of.loss_pct / 100.0))));
    each.collect::<Vec<_>>().join(" ")
}
