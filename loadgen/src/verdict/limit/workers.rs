//! G7: one generator worker more on a free core, at the lowest load that failed.
//!
//! If more operations succeed then, the generator held them back before. Two trials never give the very
//! same number, so the gain has to be more than chance as well.

use super::{Evidence, LimitedBy};
use crate::measure::TrialRecord;
use crate::measure::record::EndedEarly;
use crate::scenario::Plan;
use crate::scenario::plan::Unit;

/// Gain above which the generator was the limit.
const GAIN_MAX: f64 = 0.02;
/// Standard deviations that two counts of independent events may be apart by chance.
const CHANCE: f64 = 3.0;

/// The trials at the same load with as many workers as ever, and with one more.
#[derive(Clone, Copy, Debug)]
pub(in crate::verdict) struct Workers<'a> {
    pub(in crate::verdict) before: &'a TrialRecord,
    pub(in crate::verdict) more: &'a TrialRecord,
}

/// What they show, and whom they point at.
pub(super) fn judge(plan: &Plan, workers: Option<Workers<'_>>, why_not: &str) -> (Evidence, Option<LimitedBy>) {
    let evidence = |holds, text| Evidence { rule: "G7".to_owned(), holds, text };
    let Some(Workers { before, more }) = workers else {
        return (evidence(true, format!("not applied: {why_not}")), None);
    };
    if let Some(EndedEarly::Interrupted | EndedEarly::DutDied(_) | EndedEarly::NetworkBroke(_)) = &more.ended_early {
        return (evidence(true, "not applied: the trial with one worker more was ended early".to_owned()), None);
    }
    let rate = |trial: &TrialRecord| match plan.load.unit {
        Unit::Transactions => trial.transaction_rate(),
        _ => trial.achieved_rate(),
    };
    let (old, new) = (rate(before), rate(more));
    let gain = (new - old) / old.max(f64::MIN_POSITIVE);
    // Counts over the shorter of both: rates times their time.
    let seconds = before.sustain.min(more.sustain).as_secs_f64();
    let chance = CHANCE * ((new + old) * seconds).sqrt() / seconds.max(f64::MIN_POSITIVE);
    let text = format!(
        "trial {} with one worker more completed {new:.0}/s, trial {} {old:.0}/s of the same load: {:+.1}% (limit 2%)",
        more.number,
        before.number,
        gain * 100.0
    );
    let more_succeeds = gain > GAIN_MAX && new - old > chance;
    (evidence(!more_succeeds, text), more_succeeds.then_some(LimitedBy::Generator))
}
