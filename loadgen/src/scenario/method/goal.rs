//! `[[search.goal]]`: what method `mlr` goes for (RFC 9971).

use std::time::Duration;

use wire::units::{Percent, Span};

use super::{MethodInput, SUSTAIN_MIN};
use crate::scenario::error::ScenarioError;
use crate::scenario::file::GoalFile;
use crate::scenario::plan::{GoalPlan, MaximumPlan, Metric};

/// Goals of one search.
const GOALS_MAX: usize = 8;
/// Highest share of the time that may lose more than the goal.
const EXCEED_MAX: f64 = 0.95;
/// Full-length trials that may be asked for at one load.
const TRIALS_MAX: f64 = 100.0;

/// Loss and share of the time of the tolerant goal beside RFC 2544's.
const TOLERANT_LOSS: f64 = 0.005;
const TOLERANT_EXCEED: f64 = 0.5;

impl MethodInput<'_> {
    /// The goals, at least one: the tables, or one goal by the keys of `[search]` itself.
    pub(super) fn goals(&self, plan: &MaximumPlan) -> Result<Vec<GoalPlan>, ScenarioError> {
        let by_default = self.default_goals(plan);
        let files = self.file.goal.as_deref().unwrap_or(&by_default);
        if files.is_empty() || files.len() > GOALS_MAX {
            return self.refuse("goal", format!("{} goals; expected 1 to {GOALS_MAX}", files.len()));
        }
        let goals: Result<Vec<GoalPlan>, ScenarioError> = files.iter().map(|file| self.goal(file, plan)).collect();
        let goals = goals?;
        let stated = self.expect.iter().find(|expectation| expectation.metric == Metric::Failed);
        if let (Some(loss), Some(stated)) = (goals[0].loss, stated)
            && loss.as_ratio() > stated.value
        {
            let message = format!(
                "the first goal gives the answer, but its loss of {loss} contradicts {}: leave loss out, or lower it",
                stated.text
            );
            return self.refuse("goal", message);
        }
        Ok(goals)
    }

    /// Of RFC 2544's throughput test: its own goal without any loss, and beside it the one of a device that
    /// may lose half a percent half of the time, which stalls of the host disturb less.
    fn default_goals(&self, plan: &MaximumPlan) -> Vec<GoalFile> {
        if !self.is_rfc2544 {
            return vec![GoalFile::default()];
        }
        let share = |ratio| Percent::from_ratio(ratio).ok();
        let strict = GoalFile { loss: share(0.0), ..GoalFile::default() };
        let width = share(plan.width.as_ratio().max(TOLERANT_LOSS));
        let tolerant =
            GoalFile { loss: share(TOLERANT_LOSS), exceed: share(TOLERANT_EXCEED), width, ..GoalFile::default() };
        vec![strict, tolerant]
    }

    fn goal(&self, file: &GoalFile, plan: &MaximumPlan) -> Result<GoalPlan, ScenarioError> {
        let out = |key: &str, found: String, wanted: &str| {
            self.refuse("goal", format!("{key}: {found} is out of range; expected {wanted}"))
        };
        let exceed = file.exceed.unwrap_or_default();
        if !(0.0..=EXCEED_MAX).contains(&exceed.as_ratio()) {
            return out("exceed", exceed.to_string(), "0% to 95%");
        }
        if let Some(loss) = file.loss.filter(|loss| !(0.0..1.0).contains(&loss.as_ratio())) {
            return out("loss", loss.to_string(), "0% to less than 100%");
        }
        let width = file.width.unwrap_or(plan.width);
        if !(0.001..=0.5).contains(&width.as_ratio()) {
            return out("width", width.to_string(), "0.1% to 50%");
        }
        if let Some(loss) = file.loss.filter(|loss| width.as_ratio() < loss.as_ratio()) {
            let wanted = format!("at least the loss of {loss}: what is lost cannot be told from the width otherwise");
            return out("width", width.to_string(), &wanted);
        }
        let final_sustain = file.final_sustain.map_or(plan.final_sustain, |span| span.0);
        if final_sustain < SUSTAIN_MIN {
            return out("final_sustain", Span(final_sustain).to_string(), "at least 1s");
        }
        let duration_sum = file.duration_sum.map_or_else(|| enough(final_sustain, exceed), |span| span.0);
        if duration_sum < final_sustain || duration_sum > final_sustain.mul_f64(TRIALS_MAX) {
            return out("duration_sum", Span(duration_sum).to_string(), "1 to 100 times final_sustain");
        }
        Ok(GoalPlan { loss: file.loss, exceed, final_sustain, duration_sum, width })
    }
}

/// As many full-length trials as make one of them the share that may lose more: with fewer, the share
/// would change nothing.
fn enough(final_sustain: Duration, exceed: Percent) -> Duration {
    let trials = if exceed.as_ratio() > 0.0 { (1.0 / exceed.as_ratio()).ceil().min(TRIALS_MAX) } else { 1.0 };
    final_sustain.mul_f64(trials)
}
