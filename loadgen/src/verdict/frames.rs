//! What a suite of frame tests found: for each frame size, or for the mix, the throughput, the delay and
//! the loss against the load.
//!
//! Methods: throughput and frame loss rate of RFC 2544 (26.1, 26.3), mixes of RFC 6985, intended and
//! offered load of RFC 2285 (3.5). "Lost" is counted among the frames that were sent: what never left
//! the tester is no loss of the DUT, and stands beside it as the difference of intended and offered
//! load. Delays are round trips between user space and user space; they include the kernels of both ends,
//! so nothing here is called latency. Only `delays[].of_throughput == 1` was measured at the throughput.

use serde::{Deserialize, Serialize};
use wire::frame::{FrameSize, IpVersion, Layer};

use super::answer::{Bound, Exit, GoalFigure};
use super::{LimitedBy, Validation};

mod result;
#[cfg(test)]
mod tests;
mod whole;

pub use result::theoretical_fps;
pub use whole::{Part, answer};

/// The answer of a suite of frame tests.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FramesAnswer {
    /// Which suite.
    pub suite: FrameSuite,
    /// Version of IP that carried the frames.
    pub ip_version: IpVersion,
    /// Speed that the links stand for in bits per second, if one is declared.
    pub link_bps: Option<u64>,
    /// In the order of the trials: one for each frame size, or a single one for a mix.
    pub results: Vec<FrameResult>,
}

/// The suites of frame tests.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameSuite {
    /// A mix of sizes.
    Imix,
    /// One size after another.
    Rfc2544,
}

/// What was found for one size, or for one mix.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FrameResult {
    /// What was sent.
    pub frames: FramesSent,
    /// Most frames per second at the declared speed, if one is declared (RFC 2544, appendix B).
    pub theoretical_fps: Option<f64>,
    /// Maximum offered load: what tester and reflectors reached without the DUT (RFC 2285, 3.5.3).
    pub mol_fps: Option<f64>,
    /// The throughput: completed frames per second of the trial that the figure comes from; `None` when
    /// no load was carried.
    pub fps: Option<f64>,
    /// Whether `fps` is the value itself or "at least".
    pub bound: Bound,
    /// Highest load that passed at full length.
    pub lower_fps: Option<f64>,
    /// Lowest load that failed.
    pub upper_fps: Option<f64>,
    /// 1 − lower/upper, where both exist.
    pub width: Option<f64>,
    /// Sustain of the trial that the figure comes from, in seconds.
    pub trial_s: Option<f64>,
    /// Lost share of the frames sent in the lowest trial that failed, 0 to 1; `None` where the tester's own
    /// sockets lost some of them, or where the trial ended early because it could not pass any more: that
    /// counts its answers, but not yet all of its losses.
    pub loss_at_upper: Option<f64>,
    /// What each goal of an MLRsearch found (RFC 9971); `goals[0]` is the answer, the others are tolerant.
    pub goals: Vec<GoalFigure>,
    /// `fps` in bits per second by layer.
    pub bits_per_s: Option<LayerRates>,
    /// Highest forwarding rate of all trials (RFC 2285, 3.6.3), frames per second.
    pub max_forwarding_fps: Option<f64>,
    /// Round trips at the throughput, and at the other loads that were asked for.
    pub delays: Vec<Delay>,
    /// The loss sweep, from the highest load down; empty if none was asked for.
    pub sweep: Vec<SweepPoint>,
    /// Highest load of the sweep from which on two successive loads were free of loss: where RFC 2544,
    /// 26.3 may stop.
    pub two_clean_from_fps: Option<f64>,
    /// Loads of the sweep that lost below one that did not: a band of loss that a search jumps over.
    pub lossy_bands: Vec<LossyBand>,
    /// Each size of a mix in the trial of the throughput; `None` for one size, or without a throughput.
    pub per_size_at_throughput: Option<SizesOfTrial>,
    /// The same in the lowest trial that failed.
    pub per_size_at_upper: Option<SizesOfTrial>,
    /// Who set the limit; `None` when nothing can be named.
    pub limited_by: Option<LimitedBy>,
    /// How this part ended; the program ends with the worst of all parts.
    pub exit: Exit,
    /// Why, one sentence.
    pub reason: String,
    /// What the user should know of this part.
    pub warnings: Vec<String>,
    /// `unconditional`, `conditional` or `derived` (RFC 2544, 5).
    pub label: String,
    /// What was done otherwise than the RFCs ask.
    pub deviations: Vec<String>,
    /// Whether the trial of the throughput offered its load, and what it did otherwise.
    pub validation: Validation,
    /// Numbers of its trials.
    pub trials: Vec<u32>,
}

/// The frames of one result.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FramesSent {
    /// The size, where all are the same.
    pub size: Option<FrameSize>,
    /// UDP payload in bytes, where all are the same.
    pub payload: Option<usize>,
    /// Mean bytes of a frame, FCS included.
    pub mean_frame: f64,
    /// Mean bytes of an IP packet.
    pub mean_ip: f64,
    /// The name of the mix as in the plan: `CUSTOM IMIX - ABAABACABAAB`.
    pub name: String,
    /// The letters of the genome with their sizes; empty for one size or random lengths.
    pub letters: Vec<(char, FrameSize)>,
    /// What the letters mean, where they are not those of RFC 6985, 4.
    pub letters_text: Option<String>,
    /// The layer whose lengths the sizes of a mix are told by.
    pub layer: Layer,
    /// The genome of a sequence (RFC 6985, 4), letters as above and never cut: `ABAABACABAAB`; of random
    /// lengths their range.
    pub genome: Option<String>,
    /// Smallest and largest size of random lengths.
    pub random: Option<(FrameSize, FrameSize)>,
}

/// A rate in bits per second, by layer: preamble and gap included, frame with FCS, IP packet.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct LayerRates {
    /// Preamble and inter-frame gap included.
    pub l1: f64,
    /// Frames with their FCS.
    pub l2: f64,
    /// IP packets.
    pub l3: f64,
}

/// Round trips of one trial, from the moment a frame was sent to its answer, in microseconds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Delay {
    /// Number of the trial.
    pub trial: u32,
    /// Its load in frames per second.
    pub load_fps: f64,
    /// Its load as a share of the throughput: 1 at the throughput.
    pub of_throughput: f64,
    /// Frames behind the percentiles: a lost one counts as long as it was waited for.
    pub n: u64,
    /// Lost share of the frames sent in percent, 0 to 100.
    pub loss_pct: f64,
    /// Median; like the others `None` where too few answers stand behind it.
    pub p50_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
    /// 99.9th percentile.
    pub p999_us: Option<f64>,
    /// The longest.
    pub max_us: Option<f64>,
}

/// One load of the loss sweep.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SweepPoint {
    /// Number of the trial.
    pub trial: u32,
    /// Share of the maximum in percent: of the declared speed if there is one, else of the highest load of
    /// the sweep.
    pub load_pct: f64,
    /// Intended load in frames per second.
    pub iload_fps: f64,
    /// Offered load: frames due in sustain that were sent, per second.
    pub oload_fps: f64,
    /// Forwarding rate: frames answered in sustain, per second.
    pub rx_fps: f64,
    /// Frames due in sustain that were sent.
    pub sent: u64,
    /// Of these, those without a right answer in time.
    pub lost: u64,
    /// `lost` as a share of `sent` in percent, 0 to 100.
    pub loss_pct: f64,
    /// Frames due in sustain that the tester never sent.
    pub unsent: u64,
    /// Answers that came after one to a later frame of their stream.
    pub reordered: u64,
    /// Answers to frames that had been answered before.
    pub duplicates: u64,
    /// Length of sustain in seconds.
    pub trial_s: f64,
    /// Whether the trial says something about the DUT; `false` where the tester itself failed, lost frames at
    /// its own sockets, was robbed of its CPU or was interrupted.
    pub valid: bool,
    /// Lost share of each size of a mix; empty for one size.
    pub sizes: Vec<SizeLoss>,
}

/// Neighbouring loads of a sweep that lost frames, although a higher load did not.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct LossyBand {
    /// Lowest load of the band that was tried.
    pub low_fps: f64,
    /// Highest load of the band that was tried.
    pub high_fps: f64,
    /// The highest loss in it, in percent.
    pub loss_pct: f64,
    /// The load above it that lost nothing.
    pub clean_above_fps: f64,
}

/// The sizes of a mix in one trial.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SizesOfTrial {
    /// Number of the trial.
    pub trial: u32,
    /// Its load in frames per second.
    pub load_fps: f64,
    /// Its sizes, ascending.
    pub sizes: Vec<SizeLoss>,
}

/// Frames of one size in one trial.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct SizeLoss {
    /// The size; of random lengths the largest of a range.
    pub size: FrameSize,
    /// Due in sustain.
    pub due: u64,
    /// Of these, sent.
    pub sent: u64,
    /// Of the sent ones, those without a right answer in time.
    pub lost: u64,
    /// `lost` as a share of `sent` in percent.
    pub loss_pct: f64,
}
