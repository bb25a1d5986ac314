//! Rules that clear the tester: generator and reflectors kept up with what was asked of them.

use super::{Check, Facts, Inquiry, Latency, LimitedBy, NO_SAMPLES, Outcome, Role, Usage, first_failure};
use crate::measure::TrialRecord;
use crate::measure::books::Ways;
use crate::scenario::plan::WorkloadKind;
use crate::verdict::pass::own_unsent;

/// G2: share of operations that the generator never started.
const UNSENT_LATE_MAX: f64 = 0.001;
/// G3: 99th percentile of the schedule lag in milliseconds.
const LAG_P99_MS_MAX: f64 = 10.0;
/// G4: busy share of the busiest core or process of the tester.
const BUSY_MAX: f64 = 0.90;

/// The part of the tester that uses more CPU.
pub(super) fn busier(usage: &Usage) -> LimitedBy {
    if usage.reflectors_used() > usage.generator_used() { LimitedBy::Reflector } else { LimitedBy::Generator }
}

pub(super) fn unsent(inquiry: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    let trial = facts.trial;
    if let Some(text) = own_unsent(inquiry.plan, trial) {
        return Check::blames(LimitedBy::Generator, text);
    }
    let late = trial.outcomes.of(Outcome::UnsentLate);
    let planned = trial.due.max(trial.outcomes.total()).max(1);
    let share = late as f64 / planned as f64;
    let text = format!("{late} of {planned} operations started too late or never (limit 0.1%)");
    if share > UNSENT_LATE_MAX { Check::blames(LimitedBy::Generator, text) } else { Check::holds(text) }
}

pub(super) fn lag(_: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    let Some(p99) = facts.trial.latencies.percentile(Latency::Lag, 99.0) else {
        return Check::holds("not applied: too few operations for a p99 of the schedule lag");
    };
    let (free, due) = (facts.trial.latencies.of(Latency::Lag).len(), facts.trial.due);
    let milliseconds = p99.as_secs_f64() * 1e3;
    if milliseconds <= LAG_P99_MS_MAX && free * 2 < due {
        // Whoever waited for a slot says nothing about the generator.
        return Check::holds(format!("not applied: only {free} of {due} operations found a free slot"));
    }
    let text = format!("schedule lag p99 {milliseconds:.2} ms (limit 10 ms){}", departures(facts.trial));
    if milliseconds > LAG_P99_MS_MAX { Check::blames(LimitedBy::Generator, text) } else { Check::holds(text) }
}

/// How evenly datagrams left: kernel sockets cannot keep a gap.
fn departures(trial: &TrialRecord) -> String {
    let gaps = trial.latencies.of(Latency::Departure);
    if gaps.is_empty() {
        return String::new();
    }
    let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
    let [p50, p99] = [0.5, 0.99].map(|quantile| us(gaps.value_at_quantile(quantile)));
    format!(", departures of a worker {p50:.1} us apart (p50), {p99:.1} us (p99), {:.1} us (max)", us(gaps.max()))
}

pub(super) fn processors(_: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    let Some(usage) = &facts.usage else { return Check::holds(NO_SAMPLES) };
    let stopped: Vec<_> = usage.testers().filter(|role| role.throttled > 0).collect();
    if let Some(role) = stopped.iter().max_by_key(|role| role.throttled) {
        let text = format!("{} was stopped {} times by its CPU quota", role.role.name(), role.throttled);
        return Check::blames(blame_of(role.role), text);
    }
    // Only counters of its own tell how busy a process is: paced work hides from tick accounting.
    let busiest = usage.testers().map(|role| (role.role, role.busy(usage.host_cores(), None)));
    let busiest = busiest.max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((role, busy)) = busiest.filter(|(_, busy)| *busy > BUSY_MAX) {
        let text = format!("{} uses {:.0}% of what it may (limit 90%)", role.name(), busy * 100.0);
        return Check::blames(blame_of(role), text);
    }
    let cores = usage.testers().flat_map(|role| role.cores.iter().copied());
    let Some((core, busy)) = usage.busiest(cores) else {
        return Check::holds("not applied: nobody knows on which cores the tester runs");
    };
    let text = format!(
        "busiest core of the tester ({core}) {:.0}% busy (limit 90%); generator {:.0}%, reflectors {:.0}% of a core",
        busy * 100.0,
        usage.generator_used() * 100.0,
        // An empty sum is -0.
        usage.reflectors_used().abs() * 100.0
    );
    if busy <= BUSY_MAX {
        return Check::holds(text);
    }
    let text = if busy - usage.generator_used() - usage.reflectors_used() > busy / 2.0 {
        format!("{text}: other programs use most of it, stop them and run again")
    } else {
        text
    };
    Check::blames(owner(usage, core).unwrap_or_else(|| busier(usage)), text)
}

/// The only part of the tester on a core, if there is only one.
pub(super) fn owner(usage: &Usage, core: usize) -> Option<LimitedBy> {
    let mut on_core = usage.testers().filter(|role| role.cores.contains(&core)).map(|role| blame_of(role.role));
    let first = on_core.next()?;
    on_core.all(|other| other == first).then_some(first)
}

fn blame_of(role: Role) -> LimitedBy {
    match role {
        Role::Generator => LimitedBy::Generator,
        Role::Reflector(_) => LimitedBy::Reflector,
        Role::Dut => LimitedBy::Dut,
    }
}

pub(super) fn local_errors(_: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    let errors = facts.trial.outcomes_all.of(Outcome::LocalError);
    let text =
        format!("{errors} errors of the tester's own system calls{}", first_failure(facts.trial, Outcome::LocalError));
    if errors > 0 { Check::blames(LimitedBy::Generator, text) } else { Check::holds(text) }
}

pub(super) fn drops(_: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    let accept_queue: u64 = facts.trial.ledgers.iter().map(|ledger| ledger.accept_queue_drops).sum();
    let frames = Ways::of(facts.trial).unwrap_or_default();
    let by_role = |reflectors: bool| -> u64 {
        let roles = facts.usage.iter().flat_map(|usage| usage.testers());
        roles.filter(|role| matches!(role.role, Role::Reflector(_)) == reflectors).map(|role| role.drops).sum()
    };
    // Drops appear in the books, in the samples, or in both.
    let generator = by_role(false).max(frames.lost_by_generator);
    let reflectors = by_role(true).max(accept_queue + frames.lost_by_reflectors);
    let text = format!("own sockets dropped: generator {generator}, reflectors {reflectors}");
    match (generator, reflectors) {
        (0, 0) => Check::holds(text),
        _ if reflectors > generator => Check::blames(LimitedBy::Reflector, text),
        _ => Check::blames(LimitedBy::Generator, text),
    }
}

/// Failures that the reflectors themselves made: resets, refusals, wrong statuses. If these explain
/// all that went wrong, the DUT only passed them on.
pub(super) fn reflector_failures(inquiry: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    let made = made_by_reflectors(inquiry, facts.trial);
    let failed = facts.trial.outcomes_all.failed_by_testbed();
    let text = format!("reflectors made {made} failures, clients saw {failed}");
    let explains = failed > 0 && made >= failed && facts.trial.outcomes.failed_by_testbed() > 0;
    if explains { Check::blames(LimitedBy::Reflector, text) } else { Check::holds(text) }
}

/// Resets, refusals and unexpected statuses in the reflectors' ledgers; of datagrams what they dropped or
/// corrupted on purpose.
pub(super) fn made_by_reflectors(inquiry: &Inquiry<'_>, trial: &TrialRecord) -> u64 {
    let expected = match &inquiry.plan.workload.kind {
        WorkloadKind::Http(http) => usize::from(http.status / 100),
        WorkloadKind::Udp(_) => return Ways::of(trial).map_or(0, |ways| ways.on_purpose),
        WorkloadKind::Tcp => 2,
    };
    let wrong_status = |classes: &[u64; 5]| -> u64 {
        // 1xx are no answers; classes count from 1.
        (1..classes.len()).filter(|class| class + 1 != expected).map(|class| classes[class]).sum()
    };
    let of = |ledger: &wire::ledger::Ledger| {
        ledger.reset_by_reflector + ledger.refused_by_cap + wrong_status(&ledger.responses_by_class)
    };
    trial.ledgers.iter().map(of).sum()
}
