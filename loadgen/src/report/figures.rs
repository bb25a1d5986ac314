//! `summary.csv`: one wide row per figure, bare numbers.

use wire::frame::Layer;

use super::frames::books::departure;
use super::frames::{names, udp_of};
use super::rows::{goodput_bps, lag_shows, percent};
use super::text::{bare, bare_us, maybe_bare};
use super::usage;
use crate::measure::record::FrameRecord;
use crate::measure::{Latency, Outcome, Role, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::{Arrivals, CloseMode, DutKind, Profile};
use crate::verdict::Validation;
use crate::verdict::Verdict;
use crate::verdict::answer::{Answer, Bound, Exit, Figure};
use crate::verdict::frames::LayerRates;

/// One figure with all that belongs to it.
pub(super) struct FigureRow<'a> {
    /// The question.
    pub(super) plan: &'a Plan,
    /// The figure.
    pub(super) figure: &'a Figure,
    /// The trial it comes from.
    pub(super) record: Option<&'a TrialRecord>,
    /// The answer it is part of.
    pub(super) answer: &'a Answer,
    /// Name of the run folder.
    pub(super) run: &'a str,
}

/// A field of such a row.
pub(super) type FigureRowField = fn(&FigureRow<'_>) -> String;

impl FigureRow<'_> {
    fn number(&self, of: impl Fn(&TrialRecord) -> f64) -> String {
        maybe_bare(self.record.map(of))
    }

    /// Of the figure's own trial: a suite has a result for each of its figures.
    fn validation(&self) -> &Validation {
        let results = self.answer.frames.iter().flat_map(|frames| &frames.results);
        let own = results.into_iter().find(|result| result.trials.contains(&self.figure.trial));
        own.map_or(&self.answer.validation, |result| &result.validation)
    }

    /// What a criterion of validity found, times `scale`; empty where it could not be applied.
    fn validity(&self, rule: &str, scale: f64) -> String {
        let value = self.validation().rule(rule).and_then(|rule| rule.value);
        value.map(|value| (value * scale).to_string()).unwrap_or_default()
    }

    /// The trial, unless it sent frames: those have neither connections nor transactions.
    fn of_connections(&self) -> Option<&TrialRecord> {
        self.record.filter(|record| record.frames.is_none())
    }

    /// What a trial of frames counted; empty for any other.
    fn frames(&self, of: impl Fn(&FrameRecord, &TrialRecord) -> String) -> String {
        self.record.and_then(|record| Some(of(record.frames.as_ref()?, record))).unwrap_or_default()
    }

    /// A figure of frames in bits per second.
    fn bits(&self) -> Option<LayerRates> {
        names::rates(self.plan, self.record?, self.figure.value)
    }

    fn latency(&self, latency: Latency, percentile: f64) -> String {
        bare_us(self.record.and_then(|record| record.latencies.percentile(latency, percentile)))
    }
}

/// Columns of `summary.csv`. The first twenty are promised to readers, in this order; more are added to the right.
pub(super) const SUMMARY: &[(&str, FigureRowField)] = &[
    ("scenario", |f| f.plan.name.clone()),
    ("dut", |f| f.plan.testbed.dut.name.clone()),
    ("figure", |f| f.figure.name.clone()),
    ("object_bytes", |f| f.figure.object_bytes.map(|bytes| bytes.to_string()).unwrap_or_default()),
    ("trial_s", |f| f.number(|r| r.sustain.as_secs_f64())),
    ("cps_mean", |f| {
        if f.figure.name == "cps" {
            bare(f.figure.value)
        } else {
            maybe_bare(f.of_connections().and_then(TrialRecord::opened_rate))
        }
    }),
    ("tps_mean", |f| maybe_bare(f.of_connections().map(TrialRecord::transaction_rate))),
    ("cc_mean", |f| maybe_bare(f.of_connections().map(|r| r.open_mean_in_sustain))),
    ("goodput_bps_mean", |f| maybe_bare(f.of_connections().map(goodput_bps))),
    ("failed", |f| f.number(|r| r.outcomes.failed() as f64)),
    ("attempted", |f| f.number(|r| r.outcomes.total() as f64)),
    ("ttfb_us_p50", |f| f.latency(Latency::Ttfb, 50.0)),
    ("ttfb_us_p99", |f| f.latency(Latency::Ttfb, 99.0)),
    ("ttlb_us_p50", |f| f.latency(Latency::Ttlb, 50.0)),
    ("ttlb_us_p99", |f| f.latency(Latency::Ttlb, 99.0)),
    ("bound", |f| bound(f.figure.bound).to_owned()),
    ("limited_by", |f| f.answer.limited_by.map(|limit| limit.name().to_owned()).unwrap_or_default()),
    ("verdict", |f| verdict(f.answer).map(|verdict| verdict.name().to_owned()).unwrap_or_default()),
    ("label", |f| f.answer.label.clone()),
    ("dut_cpu_us_per_operation", |f| maybe_bare(f.figure.dut_cpu_us_per_operation)),
    ("generator_busy_pct", |f| {
        let ends = f.record.and_then(usage::sustain);
        percent(ends.and_then(|(before, after)| usage::role(before, after, Role::Generator)).map(|usage| usage.busy))
    }),
    ("seed", |f| f.plan.seed.to_string()),
    ("figure_value", |f| bare(f.figure.value)),
    ("failed_at", |f| maybe_bare(f.figure.failed_at)),
    ("ceiling_per_s", |f| maybe_bare(f.figure.ceiling)),
    ("estimated_capacity_per_core_per_s", |f| maybe_bare(f.figure.estimated_capacity_per_core)),
    ("failed_ratio", |f| f.record.map(|r| r.failed_ratio().to_string()).unwrap_or_default()),
    ("cc_min", |f| f.number(|r| r.open_min_in_sustain as f64)),
    ("intended_per_s", |f| f.number(|r| r.due as f64 / r.sustain.as_secs_f64())),
    ("response_time_us_p50", |f| f.latency(Latency::Response, 50.0)),
    ("response_time_us_p90", |f| f.latency(Latency::Response, 90.0)),
    ("response_time_us_p99", |f| f.latency(Latency::Response, 99.0)),
    ("response_time_us_p99.9", |f| f.latency(Latency::Response, 99.9)),
    ("service_time_us_p50", |f| f.latency(Latency::Service, 50.0)),
    ("service_time_us_p99", |f| f.latency(Latency::Service, 99.0)),
    ("connect_us_p50", |f| f.latency(Latency::Connect, 50.0)),
    ("connect_us_p99", |f| f.latency(Latency::Connect, 99.0)),
    ("schedule_lag_us_p99", |f| f.latency(Latency::Lag, 99.0)),
    ("lag_shows_in_latency", |f| {
        f.record.and_then(|r| lag_shows(&r.latencies)).map(|shows| shows.to_string()).unwrap_or_default()
    }),
    ("unit", |f| f.plan.load.unit.name().to_owned()),
    ("arrivals", |f| arrivals(f.plan.load.arrivals).to_owned()),
    ("requests_per_connection", |f| {
        f.plan.workload.requests_per_connection.map(|requests| requests.to_string()).unwrap_or_default()
    }),
    ("close", |f| close(f.plan.workload.close).to_owned()),
    ("profile", |f| profile(f.plan.profile).to_owned()),
    ("dut_kind", |f| dut_kind(&f.plan.testbed.dut.kind).to_owned()),
    ("trial", |f| f.figure.trial.to_string()),
    ("exit_code", |f| f.answer.exit.code().to_string()),
    ("run", |f| f.run.to_owned()),
    ("valid", |f| f.validation().is_valid().map(|valid| valid.to_string()).unwrap_or_default()),
    ("failed_transactions_ratio", |f| f.validity("V-a", 1.0)),
    ("rst_ratio", |f| f.validity("V-b", 1.0)),
    ("dev_rate_pct", |f| f.validity("V-c", 100.0)),
    ("dev_cc_pct", |f| f.validity("V-d", 100.0)),
    ("window_s", |f| {
        let window = f.validation().rule("V-c").and_then(|rule| rule.window_s);
        window.map(|width| width.to_string()).unwrap_or_default()
    }),
    ("resolution_limited", |f| {
        f.validation().resolution.map(|resolution| resolution.limited.to_string()).unwrap_or_default()
    }),
    ("failed_ratio_upper95", |f| {
        f.validation().resolution.map(|found| found.failed_ratio_upper95.to_string()).unwrap_or_default()
    }),
    ("repeats", |f| f.figure.repeats.as_ref().map(|repeats| repeats.n.to_string()).unwrap_or_default()),
    ("repeats_min", |f| maybe_bare(f.figure.repeats.as_ref().map(|repeats| repeats.min))),
    ("repeats_median", |f| maybe_bare(f.figure.repeats.as_ref().map(|repeats| repeats.median))),
    ("repeats_max", |f| maybe_bare(f.figure.repeats.as_ref().map(|repeats| repeats.max))),
    ("conditional_throughput", |f| {
        let strict = f.figure.goals.first().filter(|goal| goal.exceed > 0.0);
        maybe_bare(strict.and_then(|goal| goal.conditional_throughput))
    }),
    ("fps_mean", |f| f.frames(|_, record| bare(record.achieved_rate()))),
    ("frames", |f| f.record.and_then(|record| names::trial(f.plan, record)).unwrap_or_default()),
    ("mean_frame_b", |f| f.frames(|_, record| maybe_bare(mean_frame(f.plan, record)))),
    ("l1_bps", |f| maybe_bare(f.bits().map(|bits| bits.l1))),
    ("l2_bps", |f| maybe_bare(f.bits().map(|bits| bits.l2))),
    ("l3_bps", |f| maybe_bare(f.bits().map(|bits| bits.l3))),
    ("ip_version", |f| udp_of(f.plan).map(|udp| udp.ip_version.name().to_owned()).unwrap_or_default()),
    ("streams", |f| f.frames(|frames, _| frames.streams.to_string())),
    ("frames_sent", |f| f.frames(|frames, _| frames.sustain.sent.to_string())),
    ("lost", |f| f.frames(|_, record| record.outcomes.of(Outcome::Lost).to_string())),
    ("reordered", |f| f.frames(|frames, _| frames.sustain.reordered.to_string())),
    ("duplicates", |f| f.frames(|frames, _| frames.sustain.duplicates.to_string())),
    ("late", |f| f.frames(|frames, _| frames.sustain.late.to_string())),
    ("corrupted", |f| f.frames(|frames, _| frames.sustain.corrupted.to_string())),
    ("foreign", |f| f.frames(|frames, _| frames.sustain.foreign.to_string())),
    ("own_drops_all", |f| f.frames(|frames, _| frames.own_drops.to_string())),
    ("inter_departure_us_p50", |f| f.frames(|_, record| departure(record, 50.0))),
    ("inter_departure_us_p99", |f| f.frames(|_, record| departure(record, 99.0))),
    ("inter_departure_us_max", |f| f.frames(|_, record| departure(record, 100.0))),
];

/// Mean bytes of the frames of a trial, FCS included.
fn mean_frame(plan: &Plan, record: &TrialRecord) -> Option<f64> {
    names::mean_bits(plan, record, Layer::L2).map(|bits| bits / 8.0)
}

/// The verdict over all expectations; `None` when nothing is stated.
pub(super) fn verdict(answer: &Answer) -> Option<Verdict> {
    let says = |verdict| answer.judged.iter().any(|judged| judged.verdict == verdict);
    match answer.exit {
        Exit::Missed => Some(Verdict::Fail),
        Exit::Host | Exit::Interrupted | Exit::Undecided | Exit::Usage => Some(Verdict::Undecided),
        Exit::Met if says(Verdict::Fail) => Some(Verdict::Fail),
        Exit::Met if says(Verdict::Undecided) => Some(Verdict::Undecided),
        Exit::Met => (!answer.judged.is_empty()).then_some(Verdict::Pass),
    }
}

/// The name of a bound in CSV and JSON.
pub(super) fn bound(bound: Bound) -> &'static str {
    match bound {
        Bound::Exact => "exact",
        Bound::Lower => "lower",
    }
}

/// The name of a close mode in files.
pub(super) fn close(mode: CloseMode) -> &'static str {
    match mode {
        CloseMode::ClientFin => "client-fin",
        CloseMode::ServerFin => "server-fin",
        CloseMode::ClientRst => "client-rst",
    }
}

/// The name of an arrival process in files.
pub(super) fn arrivals(arrivals: Arrivals) -> &'static str {
    match arrivals {
        Arrivals::Even => "even",
        Arrivals::Poisson => "poisson",
    }
}

/// The name of a profile in files.
pub(super) fn profile(profile: Profile) -> &'static str {
    match profile {
        Profile::Rfc => "rfc",
        Profile::Standard => "standard",
        Profile::Ci => "ci",
    }
}

/// The name of a kind of DUT in files.
pub(super) fn dut_kind(kind: &DutKind) -> &'static str {
    match kind {
        DutKind::Reference { .. } => "reference",
        DutKind::Command { .. } => "command",
        DutKind::Kernel { .. } => "kernel",
        DutKind::External { .. } => "external",
        DutKind::None => "none",
    }
}
