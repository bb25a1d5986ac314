//! What of a trial's lost frames the tester's own side lost, and what it could send at all.
//!
//! A frame that the generator's or a reflector's own socket dropped was carried by the device. Where these
//! make the difference between passed and failed, the trial says nothing about the device.

use super::FailedLimit;
use crate::measure::books::Ways;
use crate::measure::{Outcome, TrialRecord};
use crate::scenario::Plan;

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

/// What left the generator instead of what was asked. An overloaded generator may send less than it could at a
/// lower load, so this is no ceiling.
pub(super) fn offered(trial: &TrialRecord) -> String {
    let Some(frames) = &trial.frames else { return String::new() };
    let seconds = trial.sustain.as_secs_f64().max(f64::MIN_POSITIVE);
    let (offered, asked) = (frames.sustain.sent as f64 / seconds, trial.due as f64 / seconds);
    format!(": it sent {offered:.0} frames/s where {asked:.0} were asked for")
}
