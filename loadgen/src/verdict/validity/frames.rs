//! Whether a trial of datagrams offered the load that it stands for.
//!
//! Loss itself is judged by the pass rule. What was never sent is no loss of the device, but a trial that
//! offered visibly less than was intended is none of that load (RFC 2285, 3.5).

use super::Validity;
use crate::measure::TrialRecord;

/// Where intended and offered load are told apart.
pub(super) const SOURCE: &str = "RFC 2285, 3.5";
/// Share of the frames due that may remain unsent.
const UNSENT_MAX: f64 = 0.001;

/// The one criterion.
pub(super) fn rules(trial: &TrialRecord) -> Vec<Validity> {
    let rule = "offered-load".to_owned();
    let not_applied = |why: &str| Validity::not_applied("offered-load", UNSENT_MAX, why);
    let Some(frames) = trial.frames.as_ref() else { return vec![not_applied("no frames were counted")] };
    if trial.due == 0 {
        return vec![not_applied("no frame was due")];
    }
    let unsent = trial.due.saturating_sub(frames.sustain.sent);
    let share = unsent as f64 / trial.due as f64;
    let text = format!("{unsent} of {} frames due were never sent (limit 0.1%)", trial.due);
    vec![Validity {
        rule,
        value: Some(share),
        limit: UNSENT_MAX,
        window_s: None,
        holds: Some(share <= UNSENT_MAX),
        text,
    }]
}
