//! What of a trial's lost frames the tester's own side lost, and what it could send at all.
//!
//! A frame that the generator's or a reflector's own socket dropped was carried by the device. Where these
//! make the difference between passed and failed, the trial says nothing about the device.

use super::FailedLimit;
use crate::measure::books::Ways;
use crate::measure::{Outcome, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::WorkloadKind;

/// Why a trial failed only by what the tester's own side lost.
pub(super) fn own_loss(plan: &Plan, trial: &TrialRecord) -> Option<String> {
    let ways = Ways::of(trial).filter(|ways| ways.lost_by_testers() > 0)?;
    let failed = trial.outcomes.failed_by_testbed();
    let attempted = failed + trial.outcomes.of(Outcome::Ok);
    let limit = FailedLimit::of(plan);
    let others = failed.saturating_sub(ways.lost_by_testers());
    let decides = !limit.allows(failed, attempted) && limit.allows(others, attempted);
    decides.then(|| {
        format!(
            "{failed} frames were lost, and up to {} of them by the tester itself (full buffers: generator {}, reflectors {})",
            ways.lost_by_testers().min(failed),
            ways.lost_by_generator,
            ways.lost_by_reflectors
        )
    })
}

/// Whether the tester's own side lost frames, so that the trial's loss is not the device's alone.
pub(in crate::verdict) fn lost_by_tester(trial: &TrialRecord) -> bool {
    Ways::of(trial).is_some_and(|ways| ways.lost_by_testers() > 0)
}

/// Why a trial that helps to choose the answer would pass only because frames that were never sent are no loss.
/// Nobody knows what the device had done with them: by RFC 9971 a load is confirmed by all of its frames, so of
/// a goal without loss not one may be missing.
pub(in crate::verdict) fn own_unsent(plan: &Plan, trial: &TrialRecord) -> Option<String> {
    let late = Some(never_sent(plan, trial)).filter(|late| *late > 0 && trial.purpose.is_searching())?;
    let failed = trial.outcomes.failed_by_testbed();
    let attempted = failed + trial.outcomes.of(Outcome::Ok);
    let limit = FailedLimit::of(plan);
    let decides = limit.allows(failed, attempted) && !limit.allows(failed + late, attempted + late);
    decides.then(|| {
        let (planned, offered) = (trial.due.max(trial.outcomes.total()), offered(trial));
        format!("{late} of {planned} frames were never sent, which the load's loss does not allow{offered}")
    })
}

/// Frames due in sustain that the tester never sent; 0 for any other workload.
pub(super) fn never_sent(plan: &Plan, trial: &TrialRecord) -> u64 {
    match plan.workload.kind {
        WorkloadKind::Udp(_) => trial.outcomes.of(Outcome::UnsentLate),
        WorkloadKind::Tcp | WorkloadKind::Http(_) => 0,
    }
}

/// What left the generator instead of what was asked. An overloaded generator may send less than it could at a
/// lower load, so this is no ceiling.
pub(super) fn offered(trial: &TrialRecord) -> String {
    let Some(frames) = &trial.frames else { return String::new() };
    let seconds = trial.sustain.as_secs_f64().max(f64::MIN_POSITIVE);
    let (offered, asked) = (frames.sustain.sent as f64 / seconds, trial.due as f64 / seconds);
    format!(": it sent {offered:.0} frames/s where {asked:.0} were asked for")
}
