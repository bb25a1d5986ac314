//! The suites of frame tests: several searches and sweeps in one testbed, one run folder, one answer.
//!
//! Each part (a frame size, or a mix) is a question of its own: what tester and reflectors reach without
//! the DUT, which is the maximum offered load; the search that the plan asks for; the delay at half the
//! throughput of a mix; and the loss sweep from the highest load down (RFC 2544, 26.1 and 26.3; RFC 6985).
//! Trials are numbered on and kept together, so that a run is resumed as any other. A DUT that died, or
//! collapsed and stayed down, ends the suite: the parts after it are not measured, and say so.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

mod estimate;
pub(crate) mod parts;

pub use estimate::{Estimate, estimate};

use super::{Findings, Finished, Run, RunError};
use crate::measure::TrialRecord;
use crate::measure::record::Purpose;
use crate::scenario::Plan;
use crate::scenario::plan::{SuitePlan, SweepPlan};
use crate::search::{Ask, Grain, Sweep, SweepSettings};
use crate::verdict::{self, Context, frames};

/// Share of the throughput at which the delay of a mix is measured once more.
const DELAY_SHARE: f64 = 0.5;

/// What became of one part.
#[derive(Debug, Default)]
struct Ended {
    /// Which of the run's trials are its own.
    trials: Range<usize>,
    findings: Findings,
    context: Context,
}

impl Ended {
    /// The part for its answer; `trials` are all trials of the run.
    fn part<'r>(&self, plan: &'r Plan, trials: &'r [TrialRecord]) -> frames::Part<'r> {
        frames::Part {
            plan,
            trials: &trials[self.trials.clone()],
            found: self.findings.found,
            ceiling: self.findings.ceiling.map(|at| &trials[at]),
            context: self.context.clone(),
        }
    }
}

impl<'a> Run<'a> {
    /// Measures every part and writes the answer.
    pub(super) fn answer_suite(
        mut self,
        parts: &'a [Plan],
        resumed: Option<&Path>,
        path: &Path,
    ) -> Result<Finished, RunError> {
        let plan = self.plan;
        let outcome = self.measure_parts(parts);
        self.note_resumed(resumed);
        let mut stopped = self.stop();
        let ended = outcome?;
        let trials = &stopped.trials;
        let answered: Vec<_> = parts.iter().zip(&ended).map(|(plan, ended)| ended.part(plan, trials)).collect();
        let answer = frames::answer(plan, &answered, std::mem::take(&mut stopped.warnings))
            .ok_or_else(|| RunError::Infeasible("a suite of frame tests needs workload.kind = \"udp\"".to_owned()))?;
        stopped.publish(plan, answer, path)
    }

    fn measure_parts(&mut self, parts: &'a [Plan]) -> Result<Vec<Ended>, RunError> {
        let live = self.live.clone();
        let is_begun = self.begin()?;
        let mut ended = Vec::new();
        for part in parts {
            self.plan = part;
            self.live = live.titled(parts::name(part));
            ended.push(if is_begun { self.part()? } else { self.left_out() });
        }
        Ok(ended)
    }

    /// One part, from its ceiling to its sweep. Nothing is measured any more once the suite has to stop.
    fn part(&mut self) -> Result<Ended, RunError> {
        if self.must_stop() || self.collapsed.is_some() {
            return Ok(self.left_out());
        }
        self.part_begins = self.trials.len();
        let findings = self.search_maximum()?;
        let collapsed = self.collapsed.clone();
        let mut incomplete = None;
        if collapsed.is_none() {
            self.delay_below(&findings)?;
            incomplete = self.sweep(&findings)?;
        }
        let mut context = self.context_of(findings.details.clone());
        context.no_more_workers = self.no_more_workers.take();
        if collapsed.is_none() {
            // The throughput was found before; what came of the sweep does not undo it.
            context.warnings.extend(self.collapsed.as_ref().map(|how| format!("in the loss sweep {how}")));
        }
        context.warnings.extend(incomplete);
        context.collapsed = collapsed;
        Ok(Ended { trials: self.part_begins..self.trials.len(), findings, context })
    }

    /// A part of which no trial is measured.
    fn left_out(&self) -> Ended {
        let at = self.trials.len();
        let mut context = self.context_of(crate::search::Details::default());
        context.collapsed = self.collapsed.as_ref().map(|how| format!("not measured, because before it {how}"));
        Ended { trials: at..at, findings: Findings::default(), context }
    }

    fn context_of(&self, details: crate::search::Details) -> Context {
        Context { interrupted: self.interrupt.is_set(), dut_exit: self.dut_exit.clone(), details, ..Context::default() }
    }

    /// The delay of a mix at a load below its throughput.
    fn delay_below(&mut self, findings: &Findings) -> Result<(), RunError> {
        if !matches!(self.plan.suite, Some(SuitePlan::Imix(_))) || self.must_stop() {
            return Ok(());
        }
        let Some(lower) = findings.found.and_then(|found| found.lower) else { return Ok(()) };
        let load = Grain::of(self.plan.load.unit).round(lower * DELAY_SHARE);
        let ask = Ask { purpose: Purpose::Curve, load, sustain: self.plan.load.phases.sustain };
        let record = self.asked(ask)?;
        let judged = verdict::passes(self.plan, &record);
        self.keep(record, judged.decided.then_some(judged.passed), &judged.reasons)
    }

    /// The loss sweep; what of it was not measured, if it came to no end.
    fn sweep(&mut self, findings: &Findings) -> Result<Option<String>, RunError> {
        let highest = self.highest(findings);
        let settings = sweep_of(self.plan).zip(highest).map(|(sweep, max)| SweepSettings {
            max,
            step: sweep.step.as_ratio(),
            sustain: sweep.sustain,
            grain: Grain::of(self.plan.load.unit),
        });
        let Some(settings) = settings else { return Ok(None) };
        let mut sweep = Sweep::new(settings);
        self.search(&mut sweep)?;
        Ok(incomplete(&sweep.left()))
    }

    /// Where the sweep begins: what tester and reflectors reach without the DUT, or less where a link is
    /// declared to carry less or the user wants no more. Without any of them, the highest load that was tried.
    fn highest(&self, findings: &Findings) -> Option<f64> {
        let ceiling = findings.ceiling.map(|at| self.trials[at].achieved_rate());
        let wanted = self.plan.search.maximum().and_then(|maximum| maximum.max);
        let bounds = [ceiling, frames::theoretical_fps(self.plan), wanted];
        let bound = bounds.into_iter().flatten().reduce(f64::min);
        let tried = self.trials[self.part_begins..].iter().filter(|trial| trial.purpose.is_searching());
        bound.or_else(|| tried.map(|trial| trial.load.amount()).reduce(f64::max)).filter(|load| *load > 0.0)
    }
}

/// The sweep of a suite; `None` if there is none.
pub(crate) fn sweep_of(plan: &Plan) -> Option<SweepPlan> {
    let sweep = match plan.suite.as_ref()? {
        SuitePlan::Imix(sweep) | SuitePlan::Rfc2544 { sweep, .. } => *sweep,
    };
    (sweep.step.as_ratio() > 0.0 && sweep.sustain > Duration::ZERO).then_some(sweep)
}

/// The warning of a sweep that ended with such loads left.
fn incomplete(left: &[f64]) -> Option<String> {
    let loads: Vec<String> = left.iter().map(f64::to_string).collect();
    (!left.is_empty()).then(|| {
        format!(
            "the loss sweep is incomplete: {} of its loads have no valid trial ({} frames/s), so nothing is known of the \
             loss there: repeat the run on a quieter machine",
            left.len(),
            loads.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_sweep_names_the_loads_that_were_not_measured() {
        let text = incomplete(&[200.0, 100.5]).unwrap();
        assert!(
            text.starts_with("the loss sweep is incomplete: 2 of its loads have no valid trial (200, 100.5 frames/s)")
        );
        assert_eq!(incomplete(&[]), None);
    }
}
