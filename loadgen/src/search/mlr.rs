//! MLRsearch (RFC 9971): the highest load that fulfils each of several goals.
//!
//! The controller is ours, as the RFC leaves the choice of loads free: qualify, climb by a factor to
//! the first fail, then bisect in log space. For each goal it walks a chain of targets, from short
//! trials to the goal itself, over one data base of trials, so that long trials are spent only where
//! short ones could not exclude the goal. What counts is [`Goal::bounds`] over that data base and
//! nothing else: the answer can be derived again from the list of trials. Goals are walked one after
//! another, the first is the one whose bounds are the answer. A short trial that failed where the
//! goal allows no excess is an upper bound (so says the RFC); one that passed never is a lower one.
//! When a long trial refutes shorter ones, they have proven to mislead, and the search goes on at full
//! length.

use std::time::Duration;

use super::knee::{self, Knee};
use super::{Ask, Details, Found, Grain, Search, Tell};
use crate::measure::record::Purpose;

pub mod goal;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

pub use goal::{Bounds, Class, Goal, Measured};

/// Trials of one search that any goals may take, before those that a long duration sum asks for.
const TRIALS_MAX: usize = 40;
/// How many loads of one goal may be tried at full length.
const CONFIRMS_MAX: usize = 8;
/// Qualifying trials of a search whose first load was our own guess and that has no lowest load.
const QUALIFIES_MAX: u32 = 3;
/// How far a guessed first load goes down after it failed to qualify.
const DESCENT: f64 = 10.0;

/// One goal with the distance of bounds that it is content with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MlrGoal {
    /// The goal.
    pub goal: Goal,
    /// Relative width: 1 − lower/upper.
    pub width: f64,
}

/// What a search goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct MlrSettings {
    /// First load.
    pub start: f64,
    /// Whether the first load is only a guess, below which is looked before the search gives up.
    pub descend: bool,
    /// Lowest load that may be tried.
    pub floor: Option<f64>,
    /// Factor between two loads while they pass; greater than 1.
    pub factor: f64,
    /// Highest load that may be tried.
    pub cap: Option<f64>,
    /// Which loads make sense.
    pub grain: Grain,
    /// Sustain of the shortest trials.
    pub initial: Duration,
    /// What is searched, at least one; the first is the answer.
    pub goals: Vec<MlrGoal>,
    /// Wall time after which only full-length trials of what has passed may begin.
    pub budget: Duration,
}

/// What was found for one goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoalFound {
    /// The goal.
    pub goal: MlrGoal,
    /// Its relevant bounds.
    pub bounds: Bounds,
    /// Whether both exist and are as near as asked.
    pub regular: bool,
    /// Conditional throughput at the relevant lower bound.
    pub conditional_throughput: Option<f64>,
}

/// One search.
#[derive(Clone, Debug)]
pub struct Mlr {
    settings: MlrSettings,
    trials: Vec<Measured>,
    /// Which goal is being walked.
    at: usize,
    knee: Knee,
    qualifies: u32,
    /// Full-length trials for the goal being walked.
    confirms: usize,
    /// Whether a full-length trial has refuted shorter ones.
    refuted: bool,
}

/// A goal on the way to the last one: shorter, and with a wider width.
#[derive(Clone, Copy, Debug)]
struct Target {
    goal: Goal,
    width: f64,
    sustain: Duration,
    /// Whether it is the goal itself, after others.
    confirms: bool,
}

impl Mlr {
    /// A search that has not asked yet.
    pub fn new(settings: MlrSettings) -> Self {
        debug_assert!(!settings.goals.is_empty(), "a search without a goal finds nothing");
        Self { settings, trials: Vec::new(), at: 0, knee: Knee::default(), qualifies: 0, confirms: 0, refuted: false }
    }

    /// All trials, in order: what everything found follows from.
    pub fn trials(&self) -> &[Measured] {
        &self.trials
    }

    /// What was found for each goal.
    pub fn goals(&self) -> Vec<GoalFound> {
        self.settings.goals.iter().map(|goal| self.goal_found(*goal)).collect()
    }

    fn goal_found(&self, goal: MlrGoal) -> GoalFound {
        let bounds = goal.goal.bounds(&self.trials);
        let near = |(lower, upper)| knee::reached(self.settings.grain, goal.width, lower, upper);
        GoalFound {
            goal,
            bounds,
            regular: bounds.lower.zip(bounds.upper).is_some_and(near),
            conditional_throughput: goal.goal.conditional_throughput(&self.trials),
        }
    }

    /// The chain of targets of a goal: durations and sums grow geometrically, widths shrink.
    fn targets(&self, goal: MlrGoal) -> Vec<Target> {
        let initial = self.settings.initial.as_secs_f64().min(goal.goal.final_seconds);
        let growth = goal.goal.final_seconds.max(goal.goal.sum_seconds) / initial;
        let preceding: u32 = match growth {
            growth if growth <= 1.0 => 0,
            growth if growth <= 8.0 => 1,
            _ => 2,
        };
        let target = |step: u32| {
            let grown = |last: f64| match step {
                _ if step == preceding => last,
                _ => tenths(initial * (last / initial).powf(f64::from(step) / f64::from(preceding))),
            };
            let goal_of_step = Goal {
                final_seconds: grown(goal.goal.final_seconds),
                sum_seconds: grown(goal.goal.sum_seconds),
                ..goal.goal
            };
            Target {
                goal: goal_of_step,
                width: if step + 1 < preceding { 2.0 * goal.width } else { goal.width },
                sustain: Duration::from_secs_f64(goal_of_step.final_seconds),
                confirms: step == preceding && preceding > 0,
            }
        };
        (0..=preceding).map(target).collect()
    }

    /// The next trial for the goal being walked.
    fn step(&mut self, out_of_budget: bool) -> Option<Ask> {
        let targets = self.targets(self.settings.goals[self.at]);
        let (last, preceding) = targets.split_last()?;
        if self.trials.is_empty() {
            let capped = self.settings.cap.map_or(self.settings.start, |cap| self.settings.start.min(cap));
            return self.ask(&targets[0], Purpose::Qualify, self.settings.grain.round(capped));
        }
        let believed = preceding.iter().filter_map(|target| target.goal.bounds(&self.trials).lower).reduce(f64::max);
        if out_of_budget || self.trials.len() >= self.trials_max() {
            return self.confirm(last, believed);
        }
        let skipped = if self.refuted { preceding.len() } else { 0 };
        for (target, previous) in
            targets.iter().zip(std::iter::once(None).chain(preceding.iter().map(Some))).skip(skipped)
        {
            let believed = previous.and(believed);
            if let Some((purpose, load)) = self.nominate(target, believed) {
                return self.ask(target, purpose, load);
            }
            target.goal.bounds(&self.trials).lower?;
        }
        None
    }

    /// All that may still begin when there is no time left: proving what has passed so far.
    fn confirm(&mut self, last: &Target, believed: Option<f64>) -> Option<Ask> {
        let proven = last.goal.bounds(&self.trials).lower;
        let load = believed.filter(|load| proven.is_none_or(|proven| proven < *load))?;
        self.ask(last, Purpose::Confirm, load)
    }

    /// Which load a target needs next and why; `None` when its bounds are near enough, or nothing more
    /// can be asked. `believed` is the highest load that shorter trials take for a lower bound.
    fn nominate(&mut self, target: &Target, believed: Option<f64>) -> Option<(Purpose, f64)> {
        let Bounds { lower, upper } = target.goal.bounds(&self.trials);
        let undecided: Vec<f64> = goal::loads(&self.trials)
            .into_iter()
            .filter(|load| upper.is_none_or(|upper| *load < upper) && lower.is_none_or(|lower| lower < *load))
            .filter(|load| target.goal.class_of(*load, &self.trials) == Class::Undecided)
            .collect();
        let Settled { grain, factor, cap } = Settled::of(&self.settings);
        match (lower, upper) {
            (None, _) => self.lowest(target, believed, upper, &undecided),
            (Some(lower), None) => {
                let top = cap.is_some_and(|cap| lower >= grain.round(cap));
                let climb = (!top).then(|| knee::above(grain, lower, factor, cap));
                undecided.first().copied().or(climb).map(|load| (Purpose::Climb, load))
            }
            (Some(lower), Some(upper)) if knee::reached(grain, target.width, lower, upper) => None,
            (Some(lower), Some(upper)) => {
                let load = nearest_middle(&undecided, lower, upper)
                    .unwrap_or_else(|| knee::between(grain, &mut self.knee, target.width, lower, upper));
                Some((Purpose::Bisect, load))
            }
        }
    }

    /// A load for a target that has no lower bound yet.
    fn lowest(
        &self,
        target: &Target,
        believed: Option<f64>,
        upper: Option<f64>,
        undecided: &[f64],
    ) -> Option<(Purpose, f64)> {
        let grain = self.settings.grain;
        if let Some(believed) = believed {
            // Shorter trials have misled: look between what they say and what was refuted.
            let far = upper.filter(|upper| self.refuted && !knee::reached(grain, target.width, believed, *upper));
            let load = far.map(|upper| knee::between(grain, &mut Knee::Dropped, target.width, believed, upper));
            return Some((Purpose::Bisect, load.unwrap_or(believed)));
        }
        if let Some(load) = undecided.last() {
            return Some((Purpose::Qualify, *load));
        }
        let upper = upper.filter(|_| self.settings.descend)?;
        let below = grain.round((upper / DESCENT).max(self.settings.floor.unwrap_or(0.0)));
        let more = self.settings.floor.is_some() || self.qualifies < QUALIFIES_MAX;
        (more && below < upper).then_some((Purpose::Qualify, below))
    }

    fn ask(&mut self, target: &Target, purpose: Purpose, load: f64) -> Option<Ask> {
        let repeats = (target.goal.sum_seconds / target.goal.final_seconds).ceil().max(1.0) as usize;
        if target.confirms && self.confirms >= CONFIRMS_MAX * repeats {
            return None;
        }
        self.confirms += usize::from(target.confirms);
        self.qualifies += u32::from(purpose == Purpose::Qualify);
        let purpose = if target.confirms { Purpose::Confirm } else { purpose };
        Some(Ask { purpose, load, sustain: target.sustain })
    }

    fn trials_max(&self) -> usize {
        let repeats = |goal: &MlrGoal| (goal.goal.sum_seconds / goal.goal.final_seconds).ceil().max(1.0) as usize - 1;
        TRIALS_MAX + 4 * self.settings.goals.iter().map(repeats).sum::<usize>()
    }
}

impl Search for Mlr {
    fn next(&mut self, elapsed: Duration) -> Option<Ask> {
        let out_of_budget = elapsed >= self.settings.budget;
        while self.at < self.settings.goals.len() {
            if let Some(ask) = self.step(out_of_budget) {
                return Some(ask);
            }
            self.at += 1;
            (self.knee, self.confirms, self.refuted) = (Knee::default(), 0, false);
        }
        None
    }

    fn tell(&mut self, result: Tell) {
        let Some(goal) = self.settings.goals.get(self.at).copied() else { return };
        let targets = self.targets(goal);
        let Some((last, preceding)) = targets.split_last() else { return };
        let is = |target: &Target, class, trials: &[Measured]| target.goal.class_of(result.load, trials) == class;
        let believed = preceding.iter().any(|target| is(target, Class::Lower, &self.trials));
        let low = result.loss <= goal.goal.loss;
        let lower = goal.goal.bounds(&self.trials).lower.unwrap_or(0.0);
        let trial = Measured { load: result.load, seconds: result.duration.as_secs_f64(), loss: result.loss };
        self.trials.push(trial);
        self.knee.learn(low);
        if !low {
            self.knee.suggest(result.achieved / (1.0 - goal.goal.loss), lower, result.load);
        }
        let long = trial.seconds >= goal.goal.final_seconds;
        self.refuted |= believed && long && !low && is(last, Class::Upper, &self.trials);
    }

    fn found(&self) -> Found {
        let GoalFound { bounds, regular, .. } = self.goal_found(self.settings.goals[0]);
        Found { lower: bounds.lower, upper: bounds.upper, at_least: bounds.lower.is_some() && !regular }
    }

    fn details(&self) -> Details {
        Details { repeats: None, goals: self.goals() }
    }
}

/// The settings that every step needs.
struct Settled {
    grain: Grain,
    factor: f64,
    cap: Option<f64>,
}

impl Settled {
    fn of(settings: &MlrSettings) -> Self {
        Self { grain: settings.grain, factor: settings.factor, cap: settings.cap }
    }
}

/// Durations between the first and the last are told to a person, too.
fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

fn nearest_middle(loads: &[f64], lower: f64, upper: f64) -> Option<f64> {
    let middle = (lower * upper).sqrt().ln();
    let distance = |load: &f64| (load.ln() - middle).abs();
    loads.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b)))
}
