//! The folder of a gate, read back: what was asked, every pair, and the trials behind each of them.
//!
//! `gate.json` is written before the first pair, `pairs.jsonl` grows by one line per pair, and the folders
//! `baseline` and `candidate` are ordinary run folders whose trials the pairs name by number. Reading
//! computes every value of every pair again from its trials, and refuses files that do not belong
//! together: another scenario, another host, a pair that its trials contradict.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Archive, ArchiveError, parse, read_lines};
use crate::gate::{Metric, Pair, Settings};
use crate::measure::TrialRecord;
use crate::suite::rounds;

/// Name of the file that says what a gate was asked.
pub const GATE: &str = "gate.json";
/// Name of the file with one pair per line.
pub const PAIRS: &str = "pairs.jsonl";
/// Version of the form of these files; a change that would mislead a reader raises it.
pub const GATE_SCHEMA: u32 = 1;
/// Largest relative difference of a value and the same value computed again: the last digits of JSON.
const SAME: f64 = 1e-9;

/// The two sides of a gate, in the order of their folders.
pub const SIDES: [&str; 2] = ["baseline", "candidate"];

/// What a gate was asked.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct GateBegun {
    /// [`GATE_SCHEMA`] of the program that wrote it.
    pub schema: u32,
    /// Name of the run: that of its folder.
    pub run: String,
    /// Version of the program.
    pub version: String,
    /// Commit it was built from, if the build knew it.
    pub commit: Option<String>,
    /// The command line.
    pub command: Vec<String>,
    /// When it began, in nanoseconds since 1970 (UTC).
    pub began_unix_ns: u64,
    /// Name of the scenario.
    pub name: String,
    /// Its question.
    pub question: String,
    /// [`crate::scenario::fingerprint`] of the plan both sides share.
    pub scenario: String,
    /// [`super::host_fingerprint`] of the machine.
    pub host: String,
    /// Fixes which side of each pair runs first.
    pub seed: u64,
    /// The rule.
    pub settings: Settings,
    /// Whether both sides are the same on purpose (A/A), to learn the noise of the machine.
    pub same: bool,
    /// Baseline and candidate.
    pub sides: [Side; 2],
}

/// One side of a gate.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Side {
    /// How it was named on the command line.
    pub spec: String,
    /// Name of the DUT in reports.
    pub dut: String,
}

/// One pair with the trials it comes from.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct KeptPair {
    /// Whether it is the warm-up, which no judgement looks at.
    pub warm_up: bool,
    /// The pair.
    pub pair: Pair,
    /// Numbers of the trials of baseline and candidate, in the run folder of each.
    pub trials: [Vec<u32>; 2],
    /// Whose DUT died in it; the gate ends with such a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<Death>,
}

/// The end of a DUT that nobody asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Death {
    /// Whose: 0 is the baseline, 1 the candidate.
    pub side: usize,
    /// How.
    pub how: String,
}

/// The folder of a gate, read back.
#[derive(Clone, Debug)]
pub struct GateArchive {
    /// Where it lies.
    pub path: PathBuf,
    /// What was asked.
    pub begun: GateBegun,
    /// Every pair that was measured, the warm-up included.
    pub pairs: Vec<KeptPair>,
    /// What was not quite right with the files, each with what was done about it.
    pub warnings: Vec<String>,
}

/// Why a folder cannot be read as a gate.
#[derive(Debug, thiserror::Error)]
pub enum GateArchiveError {
    /// A file is missing, damaged or of another version.
    #[error(transparent)]
    File(#[from] ArchiveError),
    /// A side belongs to another gate.
    #[error("{} has {what} {found}, but {GATE} says {wanted}: these files are not of one gate; judge each gate in its own folder", folder.display())]
    Foreign {
        /// The folder of the side.
        folder: PathBuf,
        /// What differs: `scenario hash` or `host`.
        what: &'static str,
        /// What the side has.
        found: String,
        /// What the gate was begun with.
        wanted: String,
    },
    /// A pair and its trials do not say the same.
    #[error("pair {number} in {}: {reason}; the files were changed or cut off since: measure again", path.display())]
    Contradicts {
        /// The file with the pairs.
        path: PathBuf,
        /// Number of the pair.
        number: u32,
        /// What does not fit.
        reason: String,
    },
}

impl GateArchive {
    /// Reads the folder of a gate. A last line that was cut off is left out with a warning.
    ///
    /// # Errors
    /// [`GateArchiveError`] naming the file and what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, GateArchiveError> {
        let begun: GateBegun = parse(&folder.join(GATE), Some(GATE_SCHEMA))?;
        let path = folder.join(PAIRS);
        let mut warnings = Vec::new();
        let pairs: Vec<KeptPair> = read_lines(&path, "pair", &mut warnings)?;
        let metrics: Vec<Metric> = begun.settings.limits.iter().map(|limit| limit.metric).collect();
        for (at, side) in SIDES.iter().enumerate() {
            let archive = Archive::read(&folder.join(side))?;
            require_same(&archive, &begun)?;
            let trials: HashMap<u32, TrialRecord> =
                archive.trials.into_iter().map(|kept| (kept.record.number, kept.record)).collect();
            for kept in &pairs {
                let plan = &archive.begun.plan;
                check(kept, at, &trials, |trials| Again {
                    values: rounds::values(plan, trials, &metrics),
                    invalid: trials.iter().find_map(|trial| rounds::invalid(plan, trial)),
                })
                .map_err(|reason| GateArchiveError::Contradicts {
                    path: path.clone(),
                    number: kept.pair.number,
                    reason,
                })?;
            }
        }
        Ok(Self { path: folder.to_owned(), begun, pairs, warnings })
    }
}

fn require_same(archive: &Archive, begun: &GateBegun) -> Result<(), GateArchiveError> {
    let facts =
        [("scenario hash", archive.begun.scenario.clone(), &begun.scenario), ("host", archive.host(), &begun.host)];
    match facts.into_iter().find(|(_, found, wanted)| found != *wanted) {
        Some((what, found, wanted)) => {
            Err(GateArchiveError::Foreign { folder: archive.path.clone(), what, found, wanted: wanted.clone() })
        }
        None => Ok(()),
    }
}

/// What the trials of one side of a pair give.
struct Again {
    values: Vec<(Metric, f64)>,
    /// Why one of them does not count.
    invalid: Option<String>,
}

/// Whether one side of a pair is what its trials give.
fn check(
    kept: &KeptPair,
    side: usize,
    trials: &HashMap<u32, TrialRecord>,
    again: impl Fn(&[TrialRecord]) -> Again,
) -> Result<(), String> {
    let name = SIDES[side];
    let mut own = Vec::new();
    for number in &kept.trials[side] {
        let found = trials.get(number).ok_or_else(|| format!("trial {number} of the {name} is missing"))?;
        own.push(found.clone());
    }
    let stored = if side == 0 { &kept.pair.baseline } else { &kept.pair.candidate };
    let Again { values: again, invalid } = again(&own);
    if let (Some(reason), None) = (&invalid, &kept.pair.discarded) {
        return Err(format!("it counts, but a trial of the {name} does not: {reason}"));
    }
    for &(metric, value) in stored {
        let found = again.iter().find(|(found, _)| *found == metric).map(|(_, value)| *value);
        let is_same = found.is_some_and(|found| (found - value).abs() <= SAME * value.abs());
        if !is_same && value.is_finite() {
            let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
            return Err(format!("{} of the {name} is {value}, but its trials give {found}", metric.name()));
        }
    }
    Ok(())
}
