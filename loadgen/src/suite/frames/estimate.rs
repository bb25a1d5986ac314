//! How many trials a suite will need, and for how long. Pure.
//!
//! The number of trials is that of the plan's own search over a computed device with a hard limit; how far a
//! real one takes more depends on its losses. The time is bounded by the budget of each search.

use std::time::Duration;

use super::parts;
use super::sweep_of;
use crate::scenario::Plan;
use crate::scenario::plan::{Profile, SuitePlan, Unit};
use crate::search::{self, Limits, Search, Tell, sweep};
use crate::suite::question::PROBE_SUSTAIN;

/// Frames per second that the computed device is offered at most, and what it carries.
const CEILING: f64 = 100_000.0;
const CARRIES: f64 = 61_803.0;
/// No search of a plan asks for more.
const TRIALS_MAX: usize = 1_000;

/// What a suite will take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Estimate {
    /// Parts of the suite.
    pub parts: usize,
    /// Trials of all parts over a device that loses nothing below its limit.
    pub trials: usize,
    /// Wall time of these.
    pub typical: Duration,
    /// Wall time that no device makes much longer.
    pub longest: Duration,
}

/// The estimate of a plan; `None` without a suite of frame tests.
pub fn estimate(plan: &Plan) -> Option<Estimate> {
    let parts = parts::of(plan);
    let first = parts.first()?;
    let around = around(plan);
    let (searched, spent) = searched(first, around);
    let sustain = plan.load.phases.sustain;
    let (points, each) = sweep_of(plan)
        .map_or((0, Duration::ZERO), |swept| (sweep::trials(swept.step.as_ratio()), swept.sustain + around));
    let half = u32::from(matches!(plan.suite, Some(SuitePlan::Imix(_))));
    // The ceiling, and for a mix the delay at half the throughput.
    let fixed = (sustain + around) * (1 + half);
    let swept = each * points as u32;
    // A sweep whose every load is lost is probed after each of them.
    let probes = (PROBE_SUSTAIN + around) * points as u32;
    let maximum = plan.search.maximum()?;
    let sums = maximum.goals.iter().map(|goal| goal.duration_sum).sum::<Duration>().max(maximum.final_sustain);
    // After the budget what has passed is still confirmed, and one trial with one worker more may follow.
    let bounded = maximum.budget + sums + (sustain + around) * 3;
    let count = parts.len() as u32;
    Some(Estimate {
        parts: parts.len(),
        trials: parts.len() * (1 + half as usize + searched + points),
        typical: plan.load.phases.init + (fixed + spent + swept) * count,
        longest: plan.load.phases.init + (fixed + bounded.max(spent) + swept + probes) * count,
    })
}

/// What a trial takes beside its sustain.
fn around(plan: &Plan) -> Duration {
    let phases = plan.load.phases;
    let idle = if plan.profile == Profile::Rfc { Duration::from_secs(5) } else { Duration::from_millis(500) };
    phases.ramp_up + phases.ramp_down + plan.load.drain.min(plan.load.response_timeout) + idle
}

/// Trials of the search over the computed device, probes included, and their wall time.
fn searched(plan: &Plan, around: Duration) -> (usize, Duration) {
    debug_assert_eq!(plan.load.unit, Unit::FramesPerSecond);
    let limits = Limits { ceiling: Some(CEILING), loss: crate::verdict::loss_limit(plan) };
    let mut search: Box<dyn Search + Send> = search::search(plan, limits);
    let (mut trials, mut spent) = (0, Duration::ZERO);
    while let Some(ask) = search.next(spent).filter(|_| trials < TRIALS_MAX) {
        trials += 1;
        spent += ask.sustain + around;
        let loss = (1.0 - CARRIES / ask.load).max(0.0);
        if loss > 0.0 {
            trials += 1;
            spent += PROBE_SUSTAIN + around;
        }
        search.tell(Tell {
            load: ask.load,
            passed: loss == 0.0,
            achieved: ask.load.min(CARRIES),
            loss,
            duration: ask.sustain,
            setup_rate: None,
        });
    }
    (trials, spent)
}

impl Estimate {
    /// The estimate for a person.
    pub fn words(&self) -> String {
        let Self { parts, trials, typical, longest } = *self;
        let searches = if parts == 1 { "1 search".to_owned() } else { format!("{parts} searches in one testbed") };
        let [typical, longest] = [typical, longest].map(|time| time.as_secs().div_ceil(60));
        format!("about {trials} trials in {typical} min for {searches}; at most about {longest} min")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_trials_and_both_times() {
        let seconds = Duration::from_secs;
        let estimate = Estimate { parts: 3, trials: 66, typical: seconds(200), longest: seconds(601) };
        assert_eq!(estimate.words(), "about 66 trials in 4 min for 3 searches in one testbed; at most about 11 min");
        assert!(Estimate { parts: 1, ..estimate }.words().contains("for 1 search;"));
    }
}
