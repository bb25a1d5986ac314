//! Several runs of one scenario joined by absolute time: what generators side by side did together.
//!
//! Each run counts on its own monotonic clock and wrote down once what the wall clock said then. A
//! trial is moved to the nearest whole second of the wall clock, so every joined second is right to
//! half a second plus what the hosts' clocks differ by, which nobody measured. Trials whose sustain
//! overlaps are one: counts are added, histograms by adding their counts; no percentile is averaged.
//! A figure comes only from the whole seconds in which all were in sustain. Pure; nothing is judged.

mod record;

use std::collections::BTreeSet;

use crate::archive::{Archive, Kept};
use crate::measure::record::Purpose;
use crate::scenario::plan::{DutKind, SearchPlan, Unit};
use crate::scenario::{self, Plan};
use crate::sizing::read::{kind_text, short};
use crate::verdict::answer::{Bound, Figure};

/// Nanoseconds of a second.
pub(crate) const SECOND_NS: i128 = 1_000_000_000;
/// Largest difference of two clocks of one boot before one of them must have been set.
const JUMP_MAX_NS: u128 = 500_000_000;

/// Runs that were joined.
#[derive(Debug)]
pub struct Joined {
    /// When the first of them began, in nanoseconds since 1970.
    pub began_unix_ns: u64,
    /// The same moment on the clock that the joined trials count by.
    pub began_monotonic_ns: u64,
    /// The trials, in order of time.
    pub trials: Vec<Kept>,
    /// The runs, in the order given.
    pub parts: Vec<Part>,
    /// What all carried at once; `None` where nothing was fixed or nothing shared.
    pub figure: Option<Figure>,
    /// Whole seconds in which all runs were in sustain, over all trials.
    pub shared_s: u64,
    /// What a reader must know.
    pub warnings: Vec<String>,
}

/// One of the runs.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name.
    pub run: String,
    /// When it began, in nanoseconds since 1970.
    pub began_unix_ns: u64,
    /// Its trials.
    pub trials: usize,
    /// How far its trials were moved at most to reach whole seconds, in nanoseconds.
    pub moved_ns: u64,
}

/// Why runs cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is nothing to join.
    #[error("{given} run is given; expected at least two run folders")]
    TooFew {
        /// Runs given.
        given: usize,
    },
    /// A run is given twice.
    #[error("run {run} is given twice; its counts would be added to themselves: name each run folder once")]
    Twice {
        /// Its name.
        run: String,
    },
    /// Runs differ in what must be equal.
    #[error(
        "run {run} has {what} {found}, the first run {expected}; only parts of one and the same load can be added: {next}"
    )]
    Differs {
        /// The run that differs.
        run: String,
        /// In what.
        what: &'static str,
        /// What it has.
        found: String,
        /// What the first one has.
        expected: String,
        /// What to do.
        next: &'static str,
    },
    /// A trial began before its run.
    #[error("trial {trial} of run {run} began before its run: its clocks cannot be right, measure again")]
    Clock {
        /// The run.
        run: String,
        /// The trial.
        trial: u32,
    },
    /// Two runs on one boot of one host disagree about the time of day.
    #[error(
        "between runs {first} and {run} on the same host the wall clock was set by {jump_ms} ms; seconds cannot be told to be the same: measure again with a steady clock"
    )]
    Jump {
        /// One run.
        first: String,
        /// The other.
        run: String,
        /// By how much, in milliseconds.
        jump_ms: u128,
    },
    /// A trial overlaps two trials of another run.
    #[error(
        "trial {trial} of run {run} shares its time with more than one trial of another run: they did not go in step; join runs of a fixed load that began together"
    )]
    OutOfStep {
        /// The run.
        run: String,
        /// The trial.
        trial: u32,
    },
    /// Trials of the same time are not alike.
    #[error(
        "trial {trial} of run {run} has {what}, unlike the trial it shares its time with; leave that run out or measure again"
    )]
    Unlike {
        /// The run.
        run: String,
        /// The trial.
        trial: u32,
        /// What differs, with its value.
        what: String,
    },
}

/// A trial on the wall clock.
struct Placed<'a> {
    /// Which of the runs.
    run: usize,
    kept: &'a Kept,
    /// The whole second since 1970 at which it is taken to begin.
    begin_s: i128,
    /// How far that is from when it began.
    moved_ns: i128,
}

impl Placed<'_> {
    /// From when to when its sustain went, in seconds since 1970.
    fn sustain(&self) -> (f64, f64) {
        let record = &self.kept.record;
        let from = self.begin_s as f64 + record.ramp_up.as_secs_f64();
        (from, from + record.sustain.as_secs_f64())
    }
}

/// Joins runs.
///
/// # Errors
/// [`MergeError`] naming the run and what to do.
pub fn join(runs: &[Archive]) -> Result<Joined, MergeError> {
    let Some(first) = runs.first().filter(|_| runs.len() > 1) else {
        return Err(MergeError::TooFew { given: runs.len() });
    };
    for (at, run) in runs.iter().enumerate().skip(1) {
        compare(first, run)?;
        for earlier in &runs[..at] {
            distinct(earlier, run)?;
        }
    }
    let placed = place(runs)?;
    let earliest = runs.iter().min_by_key(|run| run.begun.began_unix_ns).unwrap_or(first);
    // A trial may have been moved to before the run began.
    let origin_ns = placed.first().map_or(i128::MAX, |first| first.begin_s * SECOND_NS);
    let began_ns = origin_ns.min(earliest.begun.began_unix_ns.into());
    let early_ns = i128::from(earliest.begun.began_unix_ns) - began_ns;
    let began_monotonic_ns = earliest.begun.began_monotonic_ns.saturating_sub(early_ns as u64);
    let parts = runs.iter().enumerate().map(|(at, run)| part(at, run, &placed)).collect();
    let mut joined = Joined {
        began_unix_ns: began_ns as u64,
        began_monotonic_ns,
        trials: Vec::new(),
        parts,
        figure: None,
        shared_s: 0,
        warnings: Vec::new(),
    };
    let mut figures = Vec::new();
    for group in groups(runs, placed)? {
        let number = joined.trials.len() as u32 + 1;
        let together = record::join(runs, &group, number)?;
        let from_began_ns = together.begin_s * SECOND_NS - began_ns;
        let mut kept = together.kept;
        kept.record.began_ns = began_monotonic_ns + from_began_ns as u64;
        if group.len() > 1 {
            joined.shared_s += together.shared.len() as u64;
        }
        let is_whole = group.len() == runs.len() && kept.record.purpose != Purpose::Ceiling;
        figures.extend(figure(&first.begun.plan, &kept, &together.shared).filter(|_| is_whole));
        joined.trials.push(kept);
    }
    // Of several trials no one is the answer.
    joined.figure = figures.pop().filter(|_| figures.is_empty());
    joined.warnings = warnings(runs, &joined);
    Ok(joined)
}

/// What must be equal before counts may be added.
fn compare(first: &Archive, run: &Archive) -> Result<(), MergeError> {
    let version = |run: &Archive| run.begun.version.clone();
    let commit = |run: &Archive| run.begun.commit.clone().unwrap_or_else(|| "unknown".to_owned());
    let dut = |run: &Archive| run.begun.plan.testbed.dut.name.clone();
    let service = |run: &Archive| run.begun.plan.testbed.dut.service.clone();
    let differs = |what, of: &dyn Fn(&Archive) -> String, next| {
        let (found, expected) = (of(run), of(first));
        let run = run.begun.run.clone();
        (found != expected).then_some(MergeError::Differs { run, what, found, expected, next })
    };
    let error = differs("version", &version, "measure all parts with one version")
        .or_else(|| differs("scenario", &scenario_of, "run all parts from one scenario file; only the seed may differ"))
        .or_else(|| differs("commit", &commit, "measure all parts with one build of this program"))
        .or_else(|| differs("DUT", &dut, "use `loadgen compare` for different DUTs"))
        .or_else(|| differs("DUT address", &service, "send all parts to one device"))
        .or_else(|| differs("DUT configuration", &configuration, "use one configuration of the DUT for all parts"));
    error.map_or(Ok(()), Err)
}

/// How a DUT is started or reached, with the texts of its files, but not where they lie.
fn configuration(run: &Archive) -> String {
    let dut = &run.begun.plan.testbed.dut;
    let template = match &dut.kind {
        DutKind::Reference { config, .. } => config.text.as_str(),
        DutKind::Command { config, .. } => config.as_ref().map_or("", |config| config.text.as_str()),
        DutKind::Kernel { .. } | DutKind::External { .. } | DutKind::None => "",
    };
    let kind = serde_json::to_value(&dut.kind).unwrap_or_default();
    // What differs may be long: an error names it, and the files lie in the runs.
    format!("{}, file {}, template {}", kind_text(kind), short(&dut.file_text), short(template))
}

/// The fingerprint of the question; generators side by side should have seeds of their own.
fn scenario_of(run: &Archive) -> String {
    let plan = Plan { seed: 0, ..run.begun.plan.clone() };
    format!("{} ({})", plan.name, scenario::fingerprint(&plan))
}

/// Two runs that are not one, on clocks that agree.
fn distinct(one: &Archive, other: &Archive) -> Result<(), MergeError> {
    let (a, b) = (&one.begun, &other.begun);
    if (&a.run, a.began_unix_ns, a.began_monotonic_ns) == (&b.run, b.began_unix_ns, b.began_monotonic_ns) {
        return Err(MergeError::Twice { run: b.run.clone() });
    }
    let boot = |run: &Archive| run.environment["boot_id"].as_str().map(str::to_owned);
    let offset = |unix: u64, monotonic: u64| i128::from(unix) - i128::from(monotonic);
    let jump = offset(a.began_unix_ns, a.began_monotonic_ns) - offset(b.began_unix_ns, b.began_monotonic_ns);
    if boot(one).is_some() && boot(one) == boot(other) && jump.unsigned_abs() > JUMP_MAX_NS {
        let (first, run) = (a.run.clone(), b.run.clone());
        return Err(MergeError::Jump { first, run, jump_ms: jump.unsigned_abs() / 1_000_000 });
    }
    Ok(())
}

/// All trials on the wall clock, in order of their sustain.
fn place(runs: &[Archive]) -> Result<Vec<Placed<'_>>, MergeError> {
    let mut placed = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        for kept in &run.trials {
            let since = kept.record.began_ns.checked_sub(run.begun.began_monotonic_ns);
            let error = || MergeError::Clock { run: run.begun.run.clone(), trial: kept.record.number };
            let began_ns = i128::from(run.begun.began_unix_ns) + i128::from(since.ok_or_else(error)?);
            let begin_s = (began_ns + SECOND_NS / 2).div_euclid(SECOND_NS);
            placed.push(Placed { run: at, kept, begin_s, moved_ns: began_ns - begin_s * SECOND_NS });
        }
    }
    placed.sort_by(|a, b| a.sustain().0.total_cmp(&b.sustain().0));
    Ok(placed)
}

/// Trials whose sustain overlaps; each run at most once in each.
fn groups<'a>(runs: &[Archive], placed: Vec<Placed<'a>>) -> Result<Vec<Vec<Placed<'a>>>, MergeError> {
    let mut groups: Vec<Vec<Placed<'a>>> = Vec::new();
    let mut end = f64::NEG_INFINITY;
    for trial in placed {
        let (from, to) = trial.sustain();
        match groups.last_mut().filter(|_| from < end) {
            Some(group) => {
                // Two trials of one run never overlap, so a third one of another run lies over both.
                if group.iter().any(|other| other.run == trial.run) {
                    let run = runs[trial.run].begun.run.clone();
                    return Err(MergeError::OutOfStep { run, trial: trial.kept.record.number });
                }
                group.push(trial);
                end = end.max(to);
            }
            None => {
                groups.push(vec![trial]);
                end = to;
            }
        }
    }
    Ok(groups)
}

fn part(at: usize, run: &Archive, placed: &[Placed<'_>]) -> Part {
    let moved = placed.iter().filter(|trial| trial.run == at).map(|trial| trial.moved_ns.unsigned_abs() as u64);
    Part {
        run: run.begun.run.clone(),
        began_unix_ns: run.begun.began_unix_ns,
        trials: run.trials.len(),
        moved_ns: moved.max().unwrap_or(0),
    }
}

/// What all carried in the seconds they shared; only of a fixed load, because runs that searched on
/// their own did not offer one load together.
fn figure(plan: &Plan, kept: &Kept, shared: &[u32]) -> Option<Figure> {
    if plan.search != SearchPlan::Fixed || shared.is_empty() {
        return None;
    }
    let (name, of): (_, fn(&crate::measure::Second) -> u64) = match plan.load.unit {
        Unit::ConnectionsPerSecond => ("cps", |second| second.ended.of(crate::measure::Outcome::Ok)),
        Unit::TransactionsPerSecond | Unit::Transactions => ("tps", |second| second.transactions),
        Unit::FramesPerSecond => ("fps", |second| second.ended.of(crate::measure::Outcome::Ok)),
        Unit::Connections => ("cc", |second| second.open),
    };
    let seconds = kept.record.seconds.iter().filter(|second| shared.contains(&second.index));
    let sum: u64 = seconds.map(of).sum();
    Some(Figure {
        name: name.to_owned(),
        value: sum as f64 / shared.len() as f64,
        bound: Bound::Exact,
        trial: kept.record.number,
        failed_at: None,
        object_bytes: None,
        frame_size: None,
        dut_cpu_us_per_operation: None,
        estimated_capacity_per_core: None,
        ceiling: None,
        repeats: None,
        goals: Vec::new(),
    })
}

fn warnings(runs: &[Archive], joined: &Joined) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for run in runs {
        warnings.extend(run.warnings.iter().map(|warning| format!("{}: {warning}", run.begun.run)));
        let own = run.answer.iter().flat_map(|answer| &answer.warnings);
        warnings.extend(own.map(|warning| format!("{}: {warning}", run.begun.run)));
    }
    if joined.shared_s == 0 {
        warnings.push(
            "the runs share no second of sustain: their trials stand one after another, nothing was added".to_owned(),
        );
    }
    let seeds: BTreeSet<u64> = runs.iter().map(|run| run.begun.plan.seed).collect();
    if joined.shared_s > 0 && seeds.len() < runs.len() {
        warnings.push("runs with the same seed have the same arrivals, which then come at the same moments: give each a seed of its own with --set scenario.seed=N".to_owned());
    }
    let started = matches!(runs[0].begun.plan.testbed.dut.kind, DutKind::Reference { .. } | DutKind::Command { .. });
    if joined.shared_s > 0 && started {
        warnings.push("each run started a DUT of its own: the sum is that of several devices, not of one".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests;
