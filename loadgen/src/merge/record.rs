//! Trials of one moment as one record. Sums are exact; what cannot be added is left out.

use std::collections::BTreeMap;

use super::{MergeError, Placed};
use crate::archive::{Archive, Kept};
use crate::measure::record::TrialLoad;
use crate::measure::{Latencies, Second, TrialRecord};

/// First failures that are kept of all parts together.
const FAILURES_MAX: usize = 64;

/// Joined trials.
pub(super) struct Together {
    /// When it begins, in whole seconds since 1970.
    pub(super) begin_s: i128,
    /// The seconds, by their index, in which all parts were in sustain from beginning to end.
    pub(super) shared: Vec<u32>,
    /// The record; its `began_ns` is the caller's to set.
    pub(super) kept: Kept,
}

/// Joins the trials of one moment under a new number.
///
/// # Errors
/// [`MergeError::Unlike`] when they are not parts of one load.
pub(super) fn join(runs: &[Archive], group: &[Placed<'_>], number: u32) -> Result<Together, MergeError> {
    let first = &group[0].kept.record;
    let begin_s = group.iter().map(|trial| trial.begin_s).min().unwrap_or(0);
    let mut record = TrialRecord { number, ..first.clone() };
    for trial in &group[1..] {
        let unlike =
            |what| MergeError::Unlike { run: runs[trial.run].begun.run.clone(), trial: trial.kept.record.number, what };
        check(first, &trial.kept.record).map_err(unlike)?;
        add(&mut record, &trial.kept.record);
    }
    record.seconds = seconds(group, begin_s);
    let (from, to) = window(group, begin_s);
    let shared: Vec<u32> = record
        .seconds
        .iter()
        .map(|second| second.index)
        .filter(|&index| f64::from(index) >= from && f64::from(index + 1) <= to)
        .collect();
    if group.len() > 1 {
        together(&mut record, &shared);
        // Until the last part is in sustain not all of the load is there.
        record.ramp_up = std::time::Duration::from_secs_f64(from);
        record.warnings = said(runs, group, |record| &record.warnings);
        record.reflector_deaths = said(runs, group, |record| &record.reflector_deaths);
    }
    let passed = group.iter().map(|trial| trial.kept.passed);
    let passed = passed.reduce(|all, one| match (all, one) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    });
    let reasons = group.iter().flat_map(|trial| {
        let run = &runs[trial.run].begun.run;
        trial.kept.reasons.iter().map(move |reason| format!("{run}: {reason}"))
    });
    let mut reasons: Vec<String> = reasons.collect();
    if group.len() < runs.len() {
        let names: Vec<&str> = group.iter().map(|trial| runs[trial.run].begun.run.as_str()).collect();
        reasons.push(format!("only {} had a trial then", names.join(", ")));
    }
    Ok(Together { begin_s, shared, kept: Kept { passed: passed.flatten(), reasons, record } })
}

/// What must be alike in the parts of one load.
fn check(first: &TrialRecord, record: &TrialRecord) -> Result<(), String> {
    let kind = |load| match load {
        TrialLoad::Rate(_) => "an open loop",
        TrialLoad::Closed(_) => "a closed loop",
        TrialLoad::Held(_) => "held connections",
    };
    if record.purpose != first.purpose {
        return Err(format!("the purpose {}", record.purpose.name()));
    }
    if kind(record.load) != kind(first.load) {
        return Err(kind(record.load).to_owned());
    }
    let phases = |record: &TrialRecord| (record.ramp_up, record.sustain, record.ramp_down);
    if phases(record) != phases(first) {
        let (up, sustain, down) = phases(record);
        return Err(format!("phases of {up:?}, {sustain:?} and {down:?}"));
    }
    Ok(())
}

/// Adds what can be added.
fn add(all: &mut TrialRecord, part: &TrialRecord) {
    all.load = match (all.load, part.load) {
        (TrialLoad::Rate(a), TrialLoad::Rate(b)) => TrialLoad::Rate(a + b),
        (TrialLoad::Closed(a), TrialLoad::Closed(b)) => TrialLoad::Closed(a.saturating_add(b)),
        (TrialLoad::Held(a), TrialLoad::Held(b)) => TrialLoad::Held(a.saturating_add(b)),
        (load, _) => load,
    };
    all.outcomes.merge(&part.outcomes);
    all.outcomes_all.merge(&part.outcomes_all);
    all.latencies.merge(&part.latencies);
    all.connections_in_sustain.merge(part.connections_in_sustain);
    for (sum, more) in [
        (&mut all.due, part.due),
        (&mut all.completed_in_sustain, part.completed_in_sustain),
        (&mut all.transactions_in_sustain, part.transactions_in_sustain),
        (&mut all.transactions_all, part.transactions_all),
        (&mut all.opened_all, part.opened_all),
        (&mut all.attempted_connections_all, part.attempted_connections_all),
        (&mut all.body_bytes_in_sustain, part.body_bytes_in_sustain),
        (&mut all.waited_for_slot, part.waited_for_slot),
    ] {
        *sum = sum.saturating_add(more);
    }
    all.slots = all.slots.saturating_add(part.slots);
    all.open_peak = all.open_peak.max(part.open_peak);
    all.slots_cut = all.slots_cut.take().or_else(|| part.slots_cut.clone());
    all.ended_early = all.ended_early.take().or_else(|| part.ended_early.clone());
    let room = FAILURES_MAX.saturating_sub(all.first_failures.len());
    all.first_failures.extend(part.first_failures.iter().take(room).cloned());
    for (name, responses) in &part.responses_by_instance {
        match all.responses_by_instance.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += responses,
            None => all.responses_by_instance.push((name.clone(), *responses)),
        }
    }
    all.responses_by_instance.sort();
}

/// What only all parts together say, and what nobody can say of all of them.
fn together(record: &mut TrialRecord, shared: &[u32]) {
    let open = |second: &&Second| shared.contains(&second.index);
    let open: Vec<u64> = record.seconds.iter().filter(open).map(|second| second.open).collect();
    record.open_min_in_sustain = open.iter().copied().min().unwrap_or(0);
    record.open_mean_in_sustain = open.iter().sum::<u64>() as f64 / open.len().max(1) as f64;
    let most = record.seconds.iter().map(|second| second.open).max();
    record.open_peak = record.open_peak.max(most.unwrap_or(0));
    // Roles of several hosts are no testbed, and reflectors that two runs share would count twice.
    record.samples.clear();
    record.ledgers.clear();
}

/// The seconds of all parts, added where they fall on the same one.
fn seconds(group: &[Placed<'_>], begin_s: i128) -> Vec<Second> {
    let mut all: BTreeMap<u32, Second> = BTreeMap::new();
    for trial in group {
        let later = (trial.begin_s - begin_s) as u32;
        for second in &trial.kept.record.seconds {
            let index = later + second.index;
            let sum = all.entry(index).or_insert_with(|| Second {
                index,
                latencies: Latencies::coarse(),
                ..Second::default()
            });
            sum.ended.merge(&second.ended);
            sum.latencies.merge(&second.latencies);
            sum.open_ns = sum.open_ns.saturating_add(second.open_ns);
            for (sum, more) in [
                (&mut sum.due, second.due),
                (&mut sum.started, second.started),
                (&mut sum.transactions, second.transactions),
                (&mut sum.opened, second.opened),
                (&mut sum.open, second.open),
                (&mut sum.closed, second.closed),
                (&mut sum.lifetime_ns, second.lifetime_ns),
                (&mut sum.body_bytes, second.body_bytes),
            ] {
                *sum = sum.saturating_add(more);
            }
        }
    }
    all.into_values().collect()
}

/// From when to when all parts are in sustain, in seconds since the first began.
fn window(group: &[Placed<'_>], begin_s: i128) -> (f64, f64) {
    let mut window = (0.0_f64, f64::INFINITY);
    for trial in group {
        let record = &trial.kept.record;
        let from = (trial.begin_s - begin_s) as f64 + record.ramp_up.as_secs_f64();
        window = (window.0.max(from), window.1.min(from + record.sustain.as_secs_f64()));
    }
    window
}

fn said(runs: &[Archive], group: &[Placed<'_>], of: impl Fn(&TrialRecord) -> &Vec<String>) -> Vec<String> {
    let texts = group.iter().flat_map(|trial| {
        let run = &runs[trial.run].begun.run;
        of(&trial.kept.record).iter().map(move |text| format!("{run}: {text}"))
    });
    texts.collect()
}
