//! The result of one part of a suite, from its trials and nothing else.

use super::{Delay, FrameResult, FramesSent, LayerRates, LossyBand, SizeLoss, SizesOfTrial, SweepPoint};
use crate::measure::record::{Purpose, SizeCount, TrialLoad};
use crate::measure::{Latency, Outcome, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::mix::Mix;
use crate::scenario::plan::{UdpPlan, WorkloadKind};
use crate::search::{Found, sweep};
use crate::verdict::answer::{Answer, Bound};
use crate::verdict::pass::lost_by_tester;
use crate::verdict::passes;
use wire::frame::Layer;

/// The trials of one part, with what its search found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured<'a> {
    pub(super) plan: &'a Plan,
    pub(super) udp: &'a UdpPlan,
    pub(super) trials: &'a [TrialRecord],
    pub(super) found: Option<Found>,
    pub(super) ceiling: Option<&'a TrialRecord>,
}

impl<'a> Measured<'a> {
    /// The same with what the plan says of frames; `None` if its workload has none.
    pub(super) fn of(
        plan: &'a Plan,
        trials: &'a [TrialRecord],
        found: Option<Found>,
        ceiling: Option<&'a TrialRecord>,
    ) -> Option<Self> {
        let WorkloadKind::Udp(udp) = &plan.workload.kind else { return None };
        Some(Self { plan, udp, trials, found, ceiling })
    }

    /// All that is known, `answer` being the answer of the same trials.
    pub(super) fn result(&self, answer: &Answer) -> FrameResult {
        let figure = answer.figures.first();
        let deciding = figure.and_then(|figure| self.trials.iter().find(|trial| trial.number == figure.trial));
        let (lower, upper) = (self.found.and_then(|found| found.lower), self.found.and_then(|found| found.upper));
        let failing = self.failing(upper);
        let sweep = self.sweep();
        let clean: Vec<_> = sweep.iter().map(|point| (point.iload_fps, point.is_clean())).collect();
        FrameResult {
            frames: FramesSent::of(self.udp, self.plan.testbed.links.mtu),
            theoretical_fps: theoretical_fps(self.plan),
            mol_fps: self.ceiling.map(TrialRecord::achieved_rate),
            fps: figure.map(|figure| figure.value),
            bound: figure.map_or(Bound::Lower, |figure| figure.bound),
            lower_fps: lower,
            upper_fps: upper,
            width: lower.zip(upper).filter(|(_, upper)| *upper > 0.0).map(|(lower, upper)| 1.0 - lower / upper),
            trial_s: deciding.map(|trial| trial.sustain.as_secs_f64()),
            loss_at_upper: failing.map(|trial| Ended::of(trial).loss()),
            goals: figure.map(|figure| figure.goals.clone()).unwrap_or_default(),
            bits_per_s: figure.map(|figure| bits_per_s(&self.udp.mix, figure.value)),
            max_forwarding_fps: self.through_dut().map(TrialRecord::achieved_rate).reduce(f64::max),
            delays: self.delays(deciding),
            two_clean_from_fps: sweep::two_clean_from(&clean),
            lossy_bands: lossy_bands(
                &sweep,
                lower.filter(|_| deciding.is_some_and(|trial| Ended::of(trial).lost == 0)),
            ),
            sweep,
            per_size_at_throughput: deciding
                .filter(|trial| !lost_by_tester(trial))
                .and_then(|trial| self.sizes_of(trial)),
            per_size_at_upper: failing.and_then(|trial| self.sizes_of(trial)),
            limited_by: answer.limited_by,
            exit: answer.exit,
            reason: answer.reason.clone(),
            warnings: answer.warnings.clone(),
            label: answer.label.clone(),
            deviations: answer.deviations.clone(),
            validation: answer.validation.clone(),
            trials: self.trials.iter().map(|trial| trial.number).collect(),
        }
    }

    /// Trials whose frames went through the DUT under a stated rate.
    fn through_dut(&self) -> impl Iterator<Item = &'a TrialRecord> {
        self.trials.iter().filter(|trial| trial.purpose != Purpose::Ceiling && matches!(trial.load, TrialLoad::Rate(_)))
    }

    /// The longest trial at the lowest load that failed, of those whose loss is the DUT's alone and was counted
    /// to the end: an answer counts at once, a loss only after its timeout, so that of a trial which ended early
    /// the last losses are missing.
    fn failing(&self, upper: Option<f64>) -> Option<&'a TrialRecord> {
        let upper = upper?;
        let same = |trial: &&TrialRecord| (trial.load.amount() - upper).abs() <= 1e-6 * upper.max(1.0);
        let failed = self.through_dut().filter(|trial| trial.purpose.is_searching()).filter(same);
        let counts = |trial: &&TrialRecord| {
            let judged = passes(self.plan, trial);
            judged.decided && !judged.passed && trial.ended_early.is_none() && !lost_by_tester(trial)
        };
        failed.filter(counts).max_by_key(|trial| trial.sustain)
    }

    /// Round trips at the throughput, then at every load that was tried for its own sake and passed: delays
    /// of a load that was not carried are mostly timeouts.
    fn delays(&self, deciding: Option<&'a TrialRecord>) -> Vec<Delay> {
        let Some(at) = deciding.map(|trial| trial.load.amount()).filter(|load| *load > 0.0) else { return Vec::new() };
        let others = self.through_dut().filter(|trial| trial.purpose == Purpose::Curve);
        let passed = others.filter(|trial| passes(self.plan, trial).passed);
        deciding.into_iter().chain(passed).map(|trial| delay(trial, trial.load.amount() / at)).collect()
    }

    fn sweep(&self) -> Vec<SweepPoint> {
        let points: Vec<&TrialRecord> = self.trials.iter().filter(|trial| trial.purpose == Purpose::Sweep).collect();
        let highest = points.iter().map(|trial| trial.load.amount()).fold(0.0, f64::max);
        let whole = theoretical_fps(self.plan).unwrap_or(highest);
        points.into_iter().map(|trial| self.point(trial, whole)).collect()
    }

    fn point(&self, trial: &TrialRecord, whole: f64) -> SweepPoint {
        let ended = Ended::of(trial);
        let counts = trial.frames.as_ref().map(|frames| frames.sustain).unwrap_or_default();
        let seconds = trial.sustain.as_secs_f64();
        let load = trial.load.amount();
        SweepPoint {
            trial: trial.number,
            load_pct: if whole > 0.0 { load / whole * 100.0 } else { 0.0 },
            iload_fps: load,
            oload_fps: if seconds > 0.0 { ended.sent as f64 / seconds } else { 0.0 },
            rx_fps: if seconds > 0.0 { trial.achieved_rate() } else { 0.0 },
            sent: ended.sent,
            lost: ended.lost,
            loss_pct: ended.loss() * 100.0,
            unsent: ended.unsent,
            reordered: counts.reordered,
            duplicates: counts.duplicates,
            trial_s: seconds,
            valid: passes(self.plan, trial).decided && !lost_by_tester(trial),
            sizes: self.sizes_of(trial).map(|sizes| sizes.sizes).unwrap_or_default(),
        }
    }

    /// The sizes of a mix in one trial; `None` for a single size.
    fn sizes_of(&self, trial: &TrialRecord) -> Option<SizesOfTrial> {
        if matches!(self.udp.mix, Mix::Fixed { .. }) {
            return None;
        }
        let sizes = trial.frames.as_ref()?.sizes.iter().map(SizeLoss::of).collect();
        Some(SizesOfTrial { trial: trial.number, load_fps: trial.load.amount(), sizes })
    }
}

impl SweepPoint {
    /// Whether it says that the DUT lost nothing.
    fn is_clean(&self) -> bool {
        self.valid && self.sent > 0 && self.lost == 0
    }
}

impl SizeLoss {
    fn of(count: &SizeCount) -> Self {
        let SizeCount { size, due, sent, answered } = *count;
        let lost = sent.saturating_sub(answered);
        Self { size, due, sent, lost, loss_pct: ratio(lost, sent) * 100.0 }
    }
}

/// How the frames due in sustain ended, as far as loss is concerned.
struct Ended {
    sent: u64,
    lost: u64,
    unsent: u64,
}

impl Ended {
    fn of(trial: &TrialRecord) -> Self {
        let unsent = trial.outcomes.iter().filter(|(outcome, _)| !outcome.was_sent()).map(|(_, frames)| frames).sum();
        let sent = trial.outcomes.total().saturating_sub(unsent);
        Self { sent, lost: sent.saturating_sub(trial.outcomes.of(Outcome::Ok)), unsent }
    }

    fn loss(&self) -> f64 {
        ratio(self.lost, self.sent)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Most frames per second of the plan at the declared speed of its links, if one is declared; of a mix by
/// its mean frame.
pub fn theoretical_fps(plan: &Plan) -> Option<f64> {
    let WorkloadKind::Udp(udp) = &plan.workload.kind else { return None };
    let speed = plan.testbed.links.speed_bps?;
    Some(match &udp.mix {
        Mix::Fixed { size } => size.max_fps(speed) as f64,
        mix => (speed as f64 / mix.mean_bits(Layer::L1)).floor(),
    })
}

fn bits_per_s(mix: &Mix, fps: f64) -> LayerRates {
    let of = |layer| fps * mix.mean_bits(layer);
    LayerRates { l1: of(Layer::L1), l2: of(Layer::L2), l3: of(Layer::L3) }
}

impl FramesSent {
    /// What a plan sends; `mtu` is the largest IP packet in bytes.
    pub(crate) fn of(udp: &UdpPlan, mtu: u32) -> Self {
        let mix = &udp.mix;
        let size = if let Mix::Fixed { size } = mix { Some(*size) } else { None };
        let letters = mix.letters(mtu);
        let genome = match mix {
            Mix::Sequence { order, .. } => Some(order.iter().map(|&at| letters[usize::from(at)].0).collect()),
            Mix::Random { .. } => Some(mix.name(mtu)),
            Mix::Fixed { .. } => None,
        };
        Self {
            size,
            payload: size.and_then(|size| size.payload(udp.ip_version)),
            mean_frame: mix.mean_bits(Layer::L2) / 8.0,
            mean_ip: mix.mean_bits(Layer::L3) / 8.0,
            name: mix.name(mtu),
            letters,
            letters_text: mix.table(mtu),
            layer: mix.layer(),
            genome,
            random: if let Mix::Random { min, max } = mix { Some((*min, *max)) } else { None },
        }
    }
}

fn delay(trial: &TrialRecord, of_throughput: f64) -> Delay {
    let us = |percentile| {
        trial.latencies.percentile(Latency::Service, percentile).map(|delay| delay.as_nanos() as f64 / 1e3)
    };
    let histogram = trial.latencies.of(Latency::Service);
    Delay {
        trial: trial.number,
        load_fps: trial.load.amount(),
        of_throughput,
        n: histogram.len(),
        loss_pct: Ended::of(trial).loss() * 100.0,
        p50_us: us(50.0),
        p99_us: us(99.0),
        p999_us: us(99.9),
        max_us: (!histogram.is_empty()).then(|| histogram.max() as f64 / 1e3),
    }
}

/// Runs of lossy loads below one that lost nothing: another load of the sweep, or `carried`, which the search
/// found. The sweep comes from the highest load down; trials that say nothing about the DUT neither begin nor
/// end a band.
fn lossy_bands(sweep: &[SweepPoint], carried: Option<f64>) -> Vec<LossyBand> {
    let mut bands: Vec<LossyBand> = Vec::new();
    let mut clean_above: Option<f64> = None;
    let mut is_inside = false;
    for point in sweep.iter().filter(|point| point.valid && point.sent > 0) {
        let load = point.iload_fps;
        if point.is_clean() {
            clean_above = Some(load);
            is_inside = false;
            continue;
        }
        let above = clean_above.into_iter().chain(carried.filter(|carried| load < *carried)).reduce(f64::min);
        let Some(clean_above_fps) = above else { continue };
        match bands.last_mut().filter(|_| is_inside) {
            Some(band) => (band.low_fps, band.loss_pct) = (load, band.loss_pct.max(point.loss_pct)),
            None => {
                let (low_fps, high_fps) = (load, load);
                bands.push(LossyBand { low_fps, high_fps, loss_pct: point.loss_pct, clean_above_fps });
            }
        }
        is_inside = true;
    }
    bands
}

impl LossyBand {
    /// What the user should know of it.
    pub(super) fn warning(&self) -> String {
        let Self { low_fps, high_fps, loss_pct, clean_above_fps } = *self;
        format!(
            "the loss sweep lost up to {loss_pct:.3}% between {low_fps} and {high_fps} frames/s, although \
             {clean_above_fps} frames/s lost nothing: a band of loss that a search jumps over; look closer with a finer \
             suite.sweep_step before relying on the figure"
        )
    }
}
