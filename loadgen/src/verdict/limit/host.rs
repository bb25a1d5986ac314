//! Limits of the machine itself: descriptors and ports.

use super::{Check, Facts, Inquiry, LimitedBy, Outcome, TrialRecord, Usage, first_failure};
use crate::measure::record::TrialLoad;

/// Share of its descriptors at which a role counts as out of them: programs keep some in reserve.
const DESCRIPTORS_SHARE: f64 = 0.95;
/// Share of the slots at which held connections count as bounded by them.
const SLOTS_SHARE: f64 = 0.95;
/// How the kernel says that descriptors or ports ran out.
const EXHAUSTED: [&str; 8] = [
    "EMFILE",
    "ENFILE",
    "EADDRNOTAVAIL",
    "Too many open files",
    "too many open files",
    "Cannot assign requested address",
    "no descriptor",
    "no free port",
];

pub(super) fn descriptors(_: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    let trial = facts.trial;
    let local = trial.outcomes_all.of(Outcome::LocalError);
    let first = first_failure(trial, Outcome::LocalError);
    if local > 0 && EXHAUSTED.iter().any(|word| first.contains(word)) {
        return Check::blames(LimitedBy::Host, format!("{local} operations found no descriptor or port{first}"));
    }
    if let Some(text) = slots_felt(trial) {
        return Check::blames(LimitedBy::Host, text);
    }
    match facts.usage.as_ref().and_then(out_of_descriptors) {
        Some(text) => Check::blames(LimitedBy::Host, text),
        None => Check::holds("no role ran out of descriptors or ports"),
    }
}

/// Slots that were cut matter only where the load met the cut.
fn slots_felt(trial: &TrialRecord) -> Option<String> {
    let why = trial.slots_cut.as_ref()?;
    let slots = f64::from(trial.slots);
    let felt = match trial.load {
        TrialLoad::Held(count) => f64::from(count) >= SLOTS_SHARE * slots,
        TrialLoad::Closed(count) => f64::from(count) > slots,
        // Only noted where an operation waited for a slot, or where ports bound the load.
        TrialLoad::Rate(_) => true,
    };
    felt.then(|| format!("the load met what this host has, {} slots: {why}", trial.slots))
}

fn out_of_descriptors(usage: &Usage) -> Option<String> {
    let out = usage.roles().iter().find(|role| {
        role.descriptor_limit > 0 && role.descriptors_peak as f64 >= DESCRIPTORS_SHARE * role.descriptor_limit as f64
    })?;
    Some(format!("{} has {} of {} descriptors open", out.role.name(), out.descriptors_peak, out.descriptor_limit))
}
