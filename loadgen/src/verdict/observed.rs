//! What a run did otherwise than RFC 9411, or RFC 2544 for frames, wants, as far as only the run itself could
//! show it.
//!
//! What the plan already does otherwise is the business of [`crate::scenario::compliance`].

use wire::units::Span;

use super::answer::Figure;
use super::limit::CEILING_SHARE_WARN;
use super::usage::Usage;
use crate::measure::record::EndedEarly;
use crate::measure::{Latency, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::{DutKind, Unit};

/// Deviations of the trial that the figure comes from, one sentence each, with the section.
pub(super) fn of(plan: &Plan, trial: &TrialRecord, figures: &[Figure]) -> Vec<String> {
    let all = [
        ended_early(plan, trial),
        slots_cut(plan, trial),
        margin(plan, figures),
        reflector_deaths(plan, trial),
        shared_cores(plan, trial),
        departures(plan, trial),
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
    let source = cite(plan, "RFC 9411, 4.3.4", "RFC 2544, 24");
    Some(format!("sustain ended after {measured:.1} s of {planned} because {why} ({source})"))
}

fn slots_cut(plan: &Plan, trial: &TrialRecord) -> Option<String> {
    let why = trial.slots_cut.as_ref()?;
    let source = cite(plan, "RFC 9411, 5", "RFC 2285, 3.5.3");
    Some(format!("the load met the limits of the tester's host, not only those of the DUT: {why} ({source})"))
}

/// RFC 9411, 5: the tester has to exceed what is expected of the DUT "reasonably".
fn margin(plan: &Plan, figures: &[Figure]) -> Option<String> {
    let figure = figures.first().filter(|_| !matches!(plan.testbed.dut.kind, DutKind::None))?;
    let share = figure.value / figure.ceiling.filter(|ceiling| *ceiling > 0.0)?;
    (share > CEILING_SHARE_WARN).then(|| {
        format!(
            "the figure is {:.0}% of what the testbed reaches without the DUT: little margin ({})",
            share * 100.0,
            cite(plan, "RFC 9411, 5", "maximum offered load: RFC 2285, 3.5.3")
        )
    })
}

fn reflector_deaths(plan: &Plan, trial: &TrialRecord) -> Option<String> {
    let how = trial.reflector_deaths.first()?;
    let source = cite(plan, "RFC 9411, 4.3.2", "RFC 2544, 7");
    Some(format!("not all real servers lived through the trial: {how} ({source})"))
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

/// The text for the workload: which standard its test follows, what that calls a thing.
pub(super) fn cite(plan: &Plan, connections: &'static str, frames: &'static str) -> &'static str {
    if plan.load.unit == Unit::FramesPerSecond { frames } else { connections }
}

/// Kernel sockets keep no gap between frames: how far apart they left is all that can be said.
fn departures(plan: &Plan, trial: &TrialRecord) -> Option<String> {
    let gaps = trial.latencies.of(Latency::Departure);
    let record = trial.frames.as_ref().filter(|_| !gaps.is_empty() && plan.load.unit == Unit::FramesPerSecond)?;
    let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
    Some(format!(
        "gaps between frames were not kept: departures of a worker were {:.1} us (p50), {:.1} us (p99) and {:.1} us (max) \
         apart, up to {} frames in one system call (RFC 2544, 21)",
        us(gaps.value_at_quantile(0.5)),
        us(gaps.value_at_quantile(0.99)),
        us(gaps.max()),
        record.batch_max
    ))
}
