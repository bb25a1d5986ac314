//! The same things in words: the lines of the terminal, and which word stands for a time.
//!
//! Times of frames are round trips from user space to user space through the kernels of both ends. They
//! are called delay, never latency: that word is kept for what RFC 2544, 26.2 defines.

use wire::units::Percent;

use super::books::{Directions, Way, batch_mean};
use super::results::{at_throughput, verdict};
use super::{names, udp_of};
use crate::measure::{Latency, Outcome, TrialRecord};
use crate::report::text::{NOTHING, amount, count, maybe_span, share, span, table};
use crate::scenario::Plan;
use crate::verdict::answer::{Bound, Exit};
use crate::verdict::frames::{Delay, FrameResult, FrameSuite, FramesAnswer};
use crate::verdict::loss_limit;

/// What times of an operation are called.
pub(in crate::report) fn delay_word(plan: &Plan) -> &'static str {
    if udp_of(plan).is_some() { "delay" } else { "latency" }
}

/// From where to where a time of a frame counts.
pub(in crate::report) fn meaning(latency: Latency) -> &'static str {
    match latency {
        Latency::Response => "response time (due to answer)",
        Latency::Service => "round-trip delay (sent to answer, user space to user space)",
        Latency::Lag => "schedule lag (due to sent)",
        Latency::Departure => "inter-departure (between two datagrams of a worker)",
        Latency::Connect | Latency::Ttfb | Latency::Ttlb => latency.name(),
    }
}

/// The bound and the value of a throughput: `≥ 81,274`.
pub(in crate::report) fn throughput(result: &FrameResult) -> String {
    let bound = if result.bound == Bound::Lower { "≥ " } else { "" };
    result.fps.map_or_else(|| NOTHING.to_owned(), |fps| format!("{bound}{}", amount(fps)))
}

/// The loss that the throughput of a plan may have: `at most 0.5 % of the frames sent were lost`; `None` if it
/// may have none.
pub(in crate::report) fn tolerated(plan: &Plan) -> Option<String> {
    let goal = plan.search.maximum().and_then(|maximum| maximum.goals.first());
    let loss = goal.and_then(|goal| goal.loss).map_or_else(|| loss_limit(plan), Percent::as_ratio);
    let exceed = goal.map_or(0.0, |goal| goal.exceed.as_ratio());
    let lost = match loss {
        0.0 => "no frame sent was lost".to_owned(),
        loss => format!("at most {} of the frames sent were lost", share(loss)),
    };
    let most = if exceed > 0.0 { format!(" in all but {} of the time", share(exceed)) } else { String::new() };
    (loss > 0.0 || exceed > 0.0).then(|| format!("{lost}{most}"))
}

/// A time in microseconds that may be missing.
pub(in crate::report) fn delay(us: Option<f64>) -> String {
    maybe_span(us.map(|us| std::time::Duration::from_nanos((us * 1e3).round() as u64)))
}

/// What a suite found, as a small table with a line for each size.
pub(in crate::report) fn suite(answer: &FramesAnswer) -> String {
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    for result in &answer.results {
        let delays = at_throughput(result);
        let [p50, p99] =
            [|delay: &Delay| delay.p50_us, |delay: &Delay| delay.p99_us].map(|of| delay(delays.and_then(of)));
        rows.push(vec![
            names::sent(&result.frames),
            throughput(result),
            result.upper_fps.map_or_else(|| NOTHING.to_owned(), amount),
            of_maximum(result.fps, result.mol_fps),
            result.bits_per_s.map_or_else(|| NOTHING.to_owned(), |bits| names::bit_rate(bits.l2)),
            delays.map_or_else(|| NOTHING.to_owned(), |delay| share(delay.loss_pct / 100.0)),
            p50,
            p99,
            result.limited_by.map_or(NOTHING, |limit| limit.name()).to_owned(),
            if result.exit == Exit::Interrupted { "interrupted" } else { verdict(result.exit).name() }.to_owned(),
        ]);
    }
    table(&rows).trim_end().to_owned()
}

const HEAD: [&str; 10] =
    ["frames", "frames/s", "failed at", "of MOL", "L2", "loss", "delay p50", "p99", "limited by", "verdict"];

/// A rate as a share of a maximum that may not be known.
pub(in crate::report) fn of_maximum(fps: Option<f64>, maximum: Option<f64>) -> String {
    let ratio = fps.zip(maximum).filter(|(_, maximum)| *maximum > 0.0).map(|(fps, maximum)| fps / maximum);
    ratio.map_or_else(|| NOTHING.to_owned(), share)
}

/// What the sweep of a result says, one sentence; `None` without one.
pub(in crate::report) fn sweep(result: &FrameResult) -> Option<String> {
    let valid = || result.sweep.iter().filter(|point| point.valid);
    let worst = valid().map(|point| point.loss_pct).reduce(f64::max)?;
    let name = names::sent(&result.frames);
    let clean = match result.two_clean_from_fps {
        Some(fps) => format!("two successive loads without loss from {} frames/s down", amount(fps)),
        None => "no two successive loads without loss".to_owned(),
    };
    let bands: String = result
        .lossy_bands
        .iter()
        .map(|band| {
            format!(
                "; LOSSY BAND {} to {} frames/s (up to {}), although {} frames/s lost nothing",
                amount(band.low_fps),
                amount(band.high_fps),
                share(band.loss_pct / 100.0),
                amount(band.clean_above_fps)
            )
        })
        .collect();
    Some(format!("{name}: {} loads, at most {} lost; {clean}{bands}", valid().count(), share(worst / 100.0)))
}

/// What a suite is called.
pub(in crate::report) fn suite_name(suite: FrameSuite) -> &'static str {
    match suite {
        FrameSuite::Imix => "mix of sizes (RFC 6985)",
        FrameSuite::Rfc2544 => "frame sizes (RFC 2544)",
    }
}

/// What became of the frames of a trial's sustain, every kind.
pub(in crate::report) fn counts(record: &TrialRecord) -> Option<String> {
    let frames = record.frames.as_ref()?;
    let sustain = &frames.sustain;
    let kinds = [
        ("sent", sustain.sent),
        ("answered", sustain.answered),
        ("lost", record.outcomes.of(Outcome::Lost)),
        ("reordered", sustain.reordered),
        ("duplicates", sustain.duplicates),
        ("late", sustain.late),
        ("corrupted", sustain.corrupted),
        ("foreign", sustain.foreign),
    ];
    Some(kinds.map(|(name, frames)| format!("{} {name}", count(frames))).join(", "))
}

/// Loss of each direction over the whole trial, one sentence each.
pub(in crate::report) fn directions(record: &TrialRecord) -> Vec<String> {
    let Some(directions) = Directions::of(record) else { return Vec::new() };
    let (Some(forward), Some(back)) = (directions.forward(), directions.back()) else {
        return vec!["not known: no reflector of this program kept books".to_owned()];
    };
    let line = |name: &str, way: Way, drops: &str| {
        let loss = way.loss().map_or_else(|| NOTHING.to_owned(), share);
        let extra = if way.extra() > 0 { format!(", {} more than sent", count(way.extra())) } else { String::new() };
        let dropped = way.dropped_at_end;
        let dropped = if dropped > 0 { format!(", {} dropped by {drops}", count(dropped)) } else { String::new() };
        format!("{name}: {} of {} lost ({loss}){extra}{dropped}", count(way.lost()), count(way.sent))
    };
    vec![
        line("clients to reflectors", forward, "the reflectors' own buffers"),
        line("reflectors to clients", back, "the clients' own buffers"),
    ]
}

/// How evenly the frames of a trial left, and in which batches.
pub(in crate::report) fn departures(record: &TrialRecord) -> Option<String> {
    let frames = record.frames.as_ref()?;
    let histogram = record.latencies.of(Latency::Departure);
    let value = |percentile| match record.latencies.percentile(Latency::Departure, percentile) {
        Some(gap) if !histogram.is_empty() => span(gap),
        _ => NOTHING.to_owned(),
    };
    let batch = batch_mean(frames).map_or_else(|| NOTHING.to_owned(), amount);
    Some(format!(
        "inter-departure p50 {}, p99 {}, maximum {}; {batch} frames per system call, at most {}",
        value(50.0),
        value(99.0),
        value(100.0),
        frames.batch_max
    ))
}
