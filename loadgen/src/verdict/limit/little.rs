//! Do rate, lifetime and number of connections agree? Little, 1961: L = λ·W.
//!
//! The connections open on average have to be those opened per second times how long each was open.
//! They are three counters of the generator, so a difference is a leak, a wrong count, or a load that was
//! not steady; it blames nobody, but a reader has to know it.

use super::Evidence;
use crate::measure::TrialRecord;
use crate::scenario::Plan;
use crate::scenario::plan::Unit;

/// Largest relative difference.
const DIFFERENCE_MAX: f64 = 0.05;
/// Fewest connections that have to end for a mean of their lifetimes.
const ENDED_MIN: u64 = 100;
/// Sustain has to be so many lifetimes long: those cut at its ends weigh less then.
const LIFETIMES_MIN: f64 = 20.0;

/// The check of one trial.
pub(super) fn check(plan: &Plan, trial: &TrialRecord) -> Evidence {
    let evidence = |holds, text| Evidence { rule: "Little".to_owned(), holds, text };
    if plan.load.unit == Unit::Connections {
        return evidence(true, "not applied: held connections have no rate".to_owned());
    }
    let seconds = trial.whole_seconds().collect::<Vec<_>>();
    let length = seconds.len() as f64;
    let ended: u64 = seconds.iter().map(|second| second.closed).sum();
    if ended < ENDED_MIN {
        let text = format!("not applied: only {ended} connections ended in sustain ({ENDED_MIN} needed)");
        return evidence(true, text);
    }
    let lifetime = seconds.iter().map(|second| second.lifetime_ns).sum::<u64>() as f64 / 1e9 / ended as f64;
    if lifetime * LIFETIMES_MIN > length {
        let text = format!("not applied: connections live {lifetime:.1} s, too long for {length} whole seconds");
        return evidence(true, text);
    }
    let open = seconds.iter().map(|second| second.open_ns).sum::<i64>() as f64 / 1e9 / length;
    let rate = match plan.load.unit {
        Unit::ConnectionsPerSecond => trial.achieved_rate(),
        _ => ended as f64 / length,
    };
    let expected = rate * lifetime;
    let difference = (open - expected).abs() / open.max(f64::MIN_POSITIVE);
    let text = format!(
        "trial {}: {open:.2} connections open on average, {rate:.0}/s × {:.3} ms = {expected:.2}: {:.1}% apart (limit 5%)",
        trial.number,
        lifetime * 1e3,
        difference * 100.0
    );
    evidence(difference < DIFFERENCE_MAX, text)
}
