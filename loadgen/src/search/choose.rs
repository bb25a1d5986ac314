//! The search that a plan asks for.

use super::climb::{Climb, ClimbSettings, Steps};
use super::fixed::Fixed;
use super::goal_seek::{GoalSeek, GoalSeekSettings};
use super::mlr::{Goal, Mlr, MlrGoal, MlrSettings};
use super::repeat::{Make, Repeated};
use super::stair::{Stair, WithCurve};
use super::{Grain, Search};
use crate::scenario::Plan;
use crate::scenario::plan::{GoalPlan, LoadPlan, MaximumPlan, SearchPlan, StartLoad};

/// First load of a search that should be a share of a ceiling which could not be measured.
const START_WITHOUT_CEILING: f64 = 100.0;
/// Connections by which pass and fail may differ however many are held.
const CC_ERROR: f64 = 1_000.0;

/// What a search has to know beside its plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// What tester and reflectors reached without the DUT, in the unit of the load: per second, or the
    /// connections that descriptors and ports allow.
    pub ceiling: Option<f64>,
    /// Loss ratio that a trial may have where a goal states none.
    pub loss: f64,
}

/// The search of a plan.
pub fn search(plan: &Plan, limits: Limits) -> Box<dyn Search + Send> {
    let grain = Grain::of(plan.load.unit);
    let sustain = plan.load.phases.sustain;
    let Some(maximum) = plan.search.maximum() else {
        let stated = stated_load(&plan.load);
        return match &plan.search {
            SearchPlan::Stair { steps } => Box::new(Stair::new(stated, *steps, grain, sustain)),
            _ => Box::new(Fixed::new(grain.round(stated), sustain)),
        };
    };
    let repeated = Repeated::new(one_search(plan, maximum, limits), maximum.repeats, maximum.budget);
    match maximum.curve {
        Some(sustain) => Box::new(WithCurve::new(Box::new(repeated), grain, sustain)),
        None => Box::new(repeated),
    }
}

/// Makes one of the repeated searches.
fn one_search(plan: &Plan, maximum: &MaximumPlan, limits: Limits) -> Make {
    let (start, descend) = match maximum.start {
        StartLoad::OfCeiling(share) => {
            (limits.ceiling.map_or(START_WITHOUT_CEILING, |ceiling| ceiling * share.as_ratio()), true)
        }
        StartLoad::Absolute(load) => (load, false),
    };
    let grain = Grain::of(plan.load.unit);
    let climb = |steps| ClimbSettings {
        steps,
        start,
        descend,
        factor: maximum.factor,
        width: maximum.width.as_ratio(),
        // Rounded to the nearest it could ask for a little more than there is.
        cap: [maximum.max, limits.ceiling].into_iter().flatten().reduce(f64::min).map(|cap| grain.round_down(cap)),
        grain,
        sustain: plan.load.phases.sustain,
        final_sustain: maximum.final_sustain,
        budget: maximum.budget,
    };
    let settings = match plan.search {
        SearchPlan::Mlr(_) => {
            let settings = mlr(climb(Steps::Climb), &maximum.goals, limits.loss);
            return Box::new(move || Box::new(Mlr::new(settings.clone())));
        }
        SearchPlan::GoalSeek(_) => {
            let settings = goal_seek(climb(Steps::Climb));
            return Box::new(move || Box::new(GoalSeek::new(settings.clone())));
        }
        SearchPlan::Bisect(_) => ClimbSettings { descend: false, ..climb(Steps::Bisect) },
        SearchPlan::Cc(_) => climb(Steps::Connections { error: CC_ERROR }),
        SearchPlan::Climb(_) | SearchPlan::Fixed | SearchPlan::Stair { .. } => climb(Steps::Climb),
    };
    Box::new(move || Box::new(Climb::new(settings.clone())))
}

fn mlr(climb: ClimbSettings, goals: &[GoalPlan], loss: f64) -> MlrSettings {
    let goal = |goal: &GoalPlan| MlrGoal {
        goal: Goal {
            final_seconds: goal.final_sustain.as_secs_f64(),
            sum_seconds: goal.duration_sum.as_secs_f64(),
            loss: goal.loss.map_or(loss, wire::units::Percent::as_ratio),
            exceed: goal.exceed.as_ratio(),
        },
        width: goal.width.as_ratio(),
    };
    MlrSettings {
        start: climb.start,
        descend: climb.descend,
        floor: None,
        factor: climb.factor,
        cap: climb.cap,
        grain: climb.grain,
        initial: climb.sustain,
        goals: goals.iter().map(goal).collect(),
        budget: climb.budget,
    }
}

fn goal_seek(climb: ClimbSettings) -> GoalSeekSettings {
    GoalSeekSettings {
        start: climb.start,
        descend: climb.descend,
        factor: climb.factor,
        cap: climb.cap,
        grain: climb.grain,
        sustain: climb.sustain,
        final_sustain: climb.final_sustain,
        budget: climb.budget,
    }
}

/// The load of `[load]`: a plan without a search has one.
fn stated_load(load: &LoadPlan) -> f64 {
    load.rate.map_or_else(|| load.count.map_or(1.0, |count| f64::from(count.get())), |rate| rate.as_f64())
}
