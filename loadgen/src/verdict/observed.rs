//! What a run did otherwise than RFC 9411 wants, as far as only the run itself could show it.
//!
//! What the plan already does otherwise is the business of [`crate::scenario::compliance`].

use wire::units::Span;

use super::answer::Figure;
use super::limit::CEILING_SHARE_WARN;
use super::usage::Usage;
use crate::measure::TrialRecord;
use crate::measure::record::EndedEarly;
use crate::scenario::Plan;
use crate::scenario::plan::DutKind;

/// Deviations of the trial that the figure comes from, one sentence each, with the section.
pub(super) fn of(plan: &Plan, trial: &TrialRecord, figures: &[Figure]) -> Vec<String> {
    let all = [
        ended_early(plan, trial),
        slots_cut(trial),
        margin(plan, figures),
        reflector_deaths(trial),
        shared_cores(plan, trial),
    ];
    all.into_iter().flatten().chain(pinning(trial)).collect()
}

fn ended_early(plan: &Plan, trial: &TrialRecord) -> Option<String> {
    let why = match trial.ended_early.as_ref()? {
        EndedEarly::CannotPass => "it could not pass any more",
        EndedEarly::Interrupted => "it was interrupted",
        EndedEarly::DutDied(_) => "the DUT died",
        EndedEarly::NetworkBroke(_) => "the network broke",
    };
    let planned = Span(crate::scenario::final_sustain(plan));
    let measured = trial.sustain.as_secs_f64();
    Some(format!("sustain ended after {measured:.1} s of {planned} because {why} (RFC 9411, 4.3.4)"))
}

fn slots_cut(trial: &TrialRecord) -> Option<String> {
    let why = trial.slots_cut.as_ref()?;
    Some(format!("the load met the limits of the tester's host, not only those of the DUT: {why} (RFC 9411, 5)"))
}

/// RFC 9411, 5: the tester has to exceed what is expected of the DUT "reasonably".
fn margin(plan: &Plan, figures: &[Figure]) -> Option<String> {
    let figure = figures.first().filter(|_| !matches!(plan.testbed.dut.kind, DutKind::None))?;
    let share = figure.value / figure.ceiling.filter(|ceiling| *ceiling > 0.0)?;
    (share > CEILING_SHARE_WARN).then(|| {
        format!(
            "the figure is {:.0}% of what the testbed reaches without the DUT: little margin (RFC 9411, 5)",
            share * 100.0
        )
    })
}

fn reflector_deaths(trial: &TrialRecord) -> Option<String> {
    let how = trial.reflector_deaths.first()?;
    Some(format!("not all real servers lived through the trial: {how} (RFC 9411, 4.3.2)"))
}

/// RFC 8172, 3.4: shared resources distort a benchmark; a shared core distorts it most.
fn shared_cores(plan: &Plan, trial: &TrialRecord) -> Option<String> {
    let usage = Usage::of(trial)?;
    let dut = usage.role(crate::measure::Role::Dut)?;
    let shared = dut.cores.iter().find(|core| usage.testers().any(|role| role.cores.contains(core)))?;
    let quota = if plan.testbed.dut.cpu_quota.is_some() { ", within a quota" } else { "" };
    Some(format!("the DUT shared core {shared} with the tester{quota} (RFC 8172, 3.4)"))
}

fn pinning(trial: &TrialRecord) -> impl Iterator<Item = String> {
    let unpinned = trial.warnings.iter().filter(|warning| warning.contains("could not be pinned"));
    unpinned.map(|warning| format!("{warning} (RFC 8172, 3.4)"))
}
