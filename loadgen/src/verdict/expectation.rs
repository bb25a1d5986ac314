//! `[expect]` against the confirming trial.
//!
//! A figure that is only a lower bound meets "at least" when it reaches the value and decides
//! nothing when it does not. A miss counts only if the tester kept its own rules; otherwise it is
//! undecided, because a lame tester misses everything.

use crate::measure::{Latency, TrialRecord};
use crate::scenario::plan::{Comparison, Expectation, Metric};

use super::answer::{Bound, Figure};
use super::pass::FailedLimit;
use super::{Judged, Verdict};

/// What expectations are judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Basis<'a> {
    /// The figures of the run.
    pub(super) figures: &'a [Figure],
    /// The trial they come from, or the qualifying one that failed.
    pub(super) trial: Option<&'a TrialRecord>,
    /// The lowest load that failed when not even the first one passed.
    pub(super) unqualified_at: Option<f64>,
    /// Whether a miss would be the DUT's: the trial is valid and the tester kept its rules.
    pub(super) sound: bool,
    /// Whether the result is no valid one by RFC 9411, which then meets nothing; what it misses it misses.
    pub(super) not_valid: bool,
    /// Whether nothing may be decided: interrupted, a role died, the books disagree.
    pub(super) doubtful: bool,
}

pub(super) fn judge(expectations: &[Expectation], basis: &Basis<'_>) -> Vec<Judged> {
    expectations
        .iter()
        .map(|expectation| {
            let (measured, verdict) = match expectation.metric {
                Metric::Cps => figure(expectation, "cps", basis),
                Metric::Tps => figure(expectation, "tps", basis),
                Metric::Cc => figure(expectation, "cc", basis),
                Metric::Fps => figure(expectation, "fps", basis),
                Metric::Failed => failed(expectation, basis),
                Metric::ResponseTime { percentile_e2 } => {
                    latency(expectation, Latency::Response, f64::from(percentile_e2) / 100.0, basis)
                }
                Metric::Ttfb { percentile_e2 } => {
                    latency(expectation, Latency::Ttfb, f64::from(percentile_e2) / 100.0, basis)
                }
            };
            let open = basis.doubtful || basis.not_valid && verdict == Verdict::Pass;
            let verdict = if open { Verdict::Undecided } else { verdict };
            Judged { text: expectation.text.clone(), measured, verdict }
        })
        .collect()
}

fn figure(expectation: &Expectation, name: &str, basis: &Basis<'_>) -> (String, Verdict) {
    let wanted = expectation.value;
    let Some(figure) = basis.figures.iter().find(|figure| figure.name == name) else {
        return match basis.unqualified_at {
            // It failed at a load that is no higher than what is expected of it.
            Some(load) => {
                let upwards = matches!(expectation.comparison, Comparison::Greater | Comparison::GreaterOrEqual);
                let missed = upwards && load <= wanted;
                (format!("failed at {load:.0}"), miss(missed, basis))
            }
            None => ("nothing".to_owned(), Verdict::Undecided),
        };
    };
    let met = holds(expectation.comparison, figure.value, wanted);
    match figure.bound {
        Bound::Exact => (number(figure.value), if met { Verdict::Pass } else { miss(true, basis) }),
        Bound::Lower => {
            let verdict = match expectation.comparison {
                Comparison::Greater | Comparison::GreaterOrEqual if met => Verdict::Pass,
                Comparison::Less | Comparison::LessOrEqual if !met => miss(true, basis),
                _ => Verdict::Undecided,
            };
            (format!("≥ {}", number(figure.value)), verdict)
        }
    }
}

fn miss(missed: bool, basis: &Basis<'_>) -> Verdict {
    if missed && basis.sound { Verdict::Fail } else { Verdict::Undecided }
}

fn failed(expectation: &Expectation, basis: &Basis<'_>) -> (String, Verdict) {
    let Some(trial) = basis.trial else { return ("nothing".to_owned(), Verdict::Undecided) };
    let failed = trial.outcomes.failed_by_testbed();
    let attempted = failed + trial.outcomes.of(crate::measure::Outcome::Ok);
    let measured = format!("{failed} of {attempted} ({:.4}%)", failed as f64 / attempted.max(1) as f64 * 100.0);
    let met = attempted > 0 && FailedLimit::stated(expectation).allows(failed, attempted);
    let verdict = match (met, basis.unqualified_at) {
        _ if attempted == 0 => Verdict::Undecided,
        (false, _) => miss(true, basis),
        (true, None) => Verdict::Pass,
        // A trial that failed for another reason proves no expectation.
        (true, Some(_)) => Verdict::Undecided,
    };
    (measured, verdict)
}

fn latency(expectation: &Expectation, latency: Latency, percentile: f64, basis: &Basis<'_>) -> (String, Verdict) {
    let trial = basis.trial.filter(|_| basis.unqualified_at.is_none());
    let Some(trial) = trial else { return ("nothing".to_owned(), Verdict::Undecided) };
    let Some(value) = trial.latencies.percentile(latency, percentile) else {
        let samples = trial.latencies.of(latency).len();
        let needed = crate::measure::latency::samples_needed(percentile / 100.0);
        return (format!("{samples} samples, {needed} needed"), Verdict::Undecided);
    };
    let met = holds(expectation.comparison, value.as_secs_f64(), expectation.value);
    let measured = format!("{:.3} ms", value.as_secs_f64() * 1e3);
    // A latency that the generator's own lateness made longer can still be short enough.
    let marked = lag_share(trial).is_some_and(|share| share > super::warning::LAG_SHARE_MAX);
    let verdict = match met {
        true => Verdict::Pass,
        false if marked => Verdict::Undecided,
        false => miss(true, basis),
    };
    (measured, verdict)
}

/// p99 of the schedule lag as a share of p99 of the response time.
pub(super) fn lag_share(trial: &TrialRecord) -> Option<f64> {
    let lag = trial.latencies.percentile(Latency::Lag, 99.0)?.as_secs_f64();
    let response = trial.latencies.percentile(Latency::Response, 99.0)?.as_secs_f64();
    Some(lag / response.max(f64::MIN_POSITIVE))
}

fn holds(comparison: Comparison, found: f64, wanted: f64) -> bool {
    match comparison {
        Comparison::Less => found < wanted,
        Comparison::LessOrEqual => found <= wanted,
        Comparison::Greater => found > wanted,
        Comparison::GreaterOrEqual => found >= wanted,
    }
}

fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}
