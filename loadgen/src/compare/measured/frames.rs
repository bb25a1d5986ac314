//! Suites of frame tests beside each other: throughput and delay of every size, or of the mix. Pure.
//!
//! What differs in size, or in the sequence of sizes, is never divided by each other (RFC 6985, 3).
//! Delays belong to the load they were measured at: each at its own throughput, so they are not ranked.

use super::{Better, Cells, Counts, Entrant, Measured, Quantity, joined};
use crate::archive::Archive;
use crate::verdict::frames::{Delay, FrameResult, FramesSent};

/// A percentile of a delay in microseconds, where enough answers stand behind it.
type Percentile = fn(&Delay) -> Option<f64>;

/// Percentiles that are shown.
const PERCENTILES: [(&str, Percentile); 2] = [("p50", |delay| delay.p50_us), ("p99", |delay| delay.p99_us)];

/// The rows of suites, in the order of the first one; `None` for runs of anything else.
pub(super) fn rows(entrants: &[Entrant<'_>]) -> Option<Vec<(Quantity, Cells)>> {
    let first = entrants.iter().flat_map(|entrant| &entrant.runs).find_map(|run| results(run))?;
    let mut rows = Vec::new();
    for result in first {
        let frames = &result.frames;
        rows.push(row(entrants, throughput(frames), |run| {
            let found = of(run, frames)?;
            let trial = found.delays.first().map(|delay| format!("trial {}", delay.trial));
            Some(Measured {
                bound: found.bound,
                failed_at: found.upper_fps,
                note: trial.unwrap_or_default(),
                ..Measured::once(found.fps?)
            })
        }));
        for (percentile, value) in PERCENTILES {
            rows.push(row(entrants, delay(frames, percentile), |run| {
                let is_there = |delay: &&Delay| (delay.of_throughput - 1.0).abs() < 1e-9;
                let found = of(run, frames)?.delays.iter().find(is_there)?;
                let note = format!("at {}", found.load_fps);
                Some(Measured { note, ..Measured::once(value(found)?) })
            }));
        }
    }
    Some(rows)
}

fn row(entrants: &[Entrant<'_>], quantity: Quantity, of: impl Fn(&Archive) -> Option<Measured>) -> (Quantity, Cells) {
    (quantity, entrants.iter().map(|entrant| joined(entrant, &of)).collect())
}

fn throughput(frames: &FramesSent) -> Quantity {
    Quantity {
        key: format!("fps@{}", name(frames)),
        label: format!("frames per second, {}", label(frames)),
        counts: Counts::PerSecond,
        better: Better::Larger,
        comparable: true,
    }
}

fn delay(frames: &FramesSent, percentile: &str) -> Quantity {
    Quantity {
        key: format!("delay_us_{percentile}@{}", name(frames)),
        label: format!("delay {percentile} at its own throughput, {}", label(frames)),
        counts: Counts::Microseconds,
        better: Better::Neither,
        comparable: false,
    }
}

fn results(run: &Archive) -> Option<&[FrameResult]> {
    Some(&run.answer.as_ref()?.frames.as_ref()?.results)
}

/// The result of the same frames.
fn of<'a>(run: &'a Archive, frames: &FramesSent) -> Option<&'a FrameResult> {
    results(run)?.iter().find(|result| result.frames == *frames)
}

/// The frames for programs: `64`, `ABAABACABAAB`, `64-1518`.
fn name(frames: &FramesSent) -> String {
    match (frames.size, &frames.genome, frames.random) {
        (Some(size), ..) => size.to_string(),
        (None, Some(genome), _) => genome.clone(),
        (None, None, Some((min, max))) => format!("{min}-{max}"),
        (None, None, None) => "mix".to_owned(),
    }
}

fn label(frames: &FramesSent) -> String {
    let name = name(frames);
    if frames.genome.is_some() { format!("mix {name}") } else { format!("{name} B") }
}
