//! What the user should know beside the answer, each with the next step.

use crate::measure::{Outcome, Role, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::DutKind;

use super::answer::Figure;
use super::expectation::lag_share;
use super::limit::{CEILING_SHARE_MAX, CEILING_SHARE_WARN};
use super::observed::cite;
use super::pass::Passed;
use super::usage::Usage;
use super::validity::{Resolution, Validation};

/// Share of the response time's p99 above which the generator's lag marks latencies.
pub(super) const LAG_SHARE_MAX: f64 = 0.10;
const STEAL_WARN: f64 = 0.01;

/// Warnings about the trial that the answer rests on.
pub(super) fn of(plan: &Plan, trial: &TrialRecord, passed: &Passed, figures: &[Figure]) -> Vec<String> {
    let usage = Usage::of(trial);
    let all = [
        ceiling(plan, figures),
        lag(plan, trial),
        steal(usage.as_ref()),
        throttled(usage.as_ref()),
        slots(trial),
        late(trial),
        not_passed(plan, passed),
        no_ledgers(plan, trial),
        no_samples(plan, usage.as_ref()),
    ];
    all.into_iter().flatten().collect()
}

/// Warnings about the validity of that trial.
pub(super) fn of_validation(validation: &Validation) -> Vec<String> {
    let resolution = validation.resolution.and_then(Resolution::warning);
    let broken = validation.broken().map(|rule| {
        let of = if rule.rule.starts_with("V-") { "RFC 9411" } else { "RFC 2285, 3.5" };
        format!(
            "{} of {of} is broken: {}: a valid result needs a steadier or lower load (profile rfc refuses this one)",
            rule.rule, rule.text
        )
    });
    resolution.into_iter().chain(broken).collect()
}

fn ceiling(plan: &Plan, figures: &[Figure]) -> Option<String> {
    let figure = figures.first().filter(|_| !matches!(plan.testbed.dut.kind, DutKind::None))?;
    let share = figure.value / figure.ceiling.filter(|ceiling| *ceiling > 0.0)?;
    (share > CEILING_SHARE_WARN && share <= CEILING_SHARE_MAX).then(|| {
        format!(
            "little margin: the figure is {:.0}% of what the testbed reaches without the DUT ({}): give the \
             generator more cores, or set cpu_quota in the DUT's file",
            share * 100.0,
            cite(plan, "RFC 9411, 5 asks for a margin", "maximum offered load: RFC 2285, 3.5.3")
        )
    })
}

fn lag(plan: &Plan, trial: &TrialRecord) -> Option<String> {
    let share = lag_share(trial).filter(|share| *share > LAG_SHARE_MAX)?;
    // What RFC 2544, 26.2 calls latency is not measured between kernel sockets.
    let times = cite(plan, "latencies", "delays");
    Some(format!(
        "{times} carry the generator's own lateness: its lag p99 is {:.0}% of the response time's p99 (limit 10%): \
         lower the load or give the generator a core of its own",
        share * 100.0
    ))
}

fn steal(usage: Option<&Usage>) -> Option<String> {
    let steal = usage?.steal();
    (steal > STEAL_WARN)
        .then(|| format!("the hypervisor took {:.1}% of a core away: repeat on a quieter machine", steal * 100.0))
}

fn throttled(usage: Option<&Usage>) -> Option<String> {
    let role = usage?.testers().find(|role| role.throttled > 0)?;
    Some(format!(
        "{} was stopped {} times by a CPU quota: raise the quota of the tester's cgroup",
        role.role.name(),
        role.throttled
    ))
}

fn slots(trial: &TrialRecord) -> Option<String> {
    let why = trial.slots_cut.as_ref()?;
    Some(format!(
        "slots were cut to {}: {why}: raise the limit of descriptors (ulimit -n), or widen the ports",
        trial.slots
    ))
}

fn late(trial: &TrialRecord) -> Option<String> {
    let late = trial.outcomes.of(Outcome::UnsentLate);
    (late > 0)
        .then(|| format!("the generator never started {late} operations in time: lower the load or give it more cores"))
}

/// A fixed load has no search to say so.
fn not_passed(plan: &Plan, passed: &Passed) -> Option<String> {
    let fixed = plan.search.maximum().is_none();
    (fixed && !passed.passed).then(|| {
        format!(
            "the load was not carried: {}: lower it, or state in [expect] what is acceptable",
            passed.reasons.join("; ")
        )
    })
}

fn no_ledgers(plan: &Plan, trial: &TrialRecord) -> Option<String> {
    let ours = plan.testbed.reflectors > 0 || !plan.testbed.remote_reflectors.is_empty();
    if trial.ledgers.is_empty() {
        let next = if ours {
            "the reflectors gave none: see their logs"
        } else {
            "there is no reflector of ours: put some behind the DUT and name them with --reflector"
        };
        return Some(format!("no ledger to compare with, bodies are verified by length at most: {next}"));
    }
    None
}

fn no_samples(plan: &Plan, usage: Option<&Usage>) -> Option<String> {
    let seen = usage.is_some_and(|usage| usage.role(Role::Dut).is_some());
    let local = matches!(plan.testbed.dut.kind, DutKind::Reference { .. } | DutKind::Command { .. });
    (local && !seen).then(|| "the DUT's CPU was not seen: lengthen sustain to at least 2s".to_owned())
}
