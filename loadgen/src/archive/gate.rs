//! The folder of a gate, read back: what was asked, every pair, and the trials behind each of them.
//!
//! `gate.json` is written before the first pair, `pairs.jsonl` grows by one line per pair, and the folders
//! `baseline` and `candidate` are ordinary run folders whose trials the pairs name by number. Reading
//! computes every value of every pair again from its trials, and refuses files that do not belong
//! together: another scenario, another host, a pair that its trials contradict.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Archive, ArchiveError, parse, read_lines};
use crate::gate::failures::Failures;
use crate::gate::{Metric, Order, Pair, Settings};
use crate::measure::TrialRecord;
use crate::scenario::Plan;
use crate::suite::gating::{Booked, book, empty};

/// Name of the file that says what a gate was asked.
pub const GATE: &str = "gate.json";
/// Name of the file with one pair per line.
pub const PAIRS: &str = "pairs.jsonl";
/// Version of the form of these files; a change that would mislead a reader raises it.
pub const GATE_SCHEMA: u32 = 2;
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
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeptPair {
    /// Whether it is the warm-up, which no judgement looks at.
    pub warm_up: bool,
    /// The pair.
    pub pair: Pair,
    /// Numbers of the trials of baseline and candidate, in the run folder of each.
    pub trials: [Vec<u32>; 2],
    /// What failed under the fixed load of baseline and candidate.
    pub failures: [Failures; 2],
    /// Whose DUT died in it first; the gate ends with such a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<Death>,
}

/// The end of a DUT that nobody asked for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Death {
    /// Whose: 0 is the baseline, 1 the candidate.
    pub side: usize,
    /// How.
    pub how: String,
    /// Whether the other one died in the same pair, too.
    #[serde(default)]
    pub both: bool,
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
    /// The rule is none that a gate begins with.
    #[error("{} has a rule that no gate begins with; restore the file or measure again", path.display())]
    Rule {
        /// The file.
        path: PathBuf,
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
        check_rule(&begun.settings).ok_or_else(|| GateArchiveError::Rule { path: folder.join(GATE) })?;
        let archives = [Archive::read(&folder.join(SIDES[0]))?, Archive::read(&folder.join(SIDES[1]))?];
        archives.iter().try_for_each(|archive| require_same(archive, &begun))?;
        let sides = archives.map(|archive| SideTrials {
            plan: archive.begun.plan,
            trials: archive.trials.into_iter().map(|kept| (kept.record.number, kept.record)).collect(),
        });
        let mut seen = HashSet::new();
        for (number, kept) in (0..).zip(&pairs) {
            check(kept, &again(&begun, number, kept, &sides)).and_then(|()| each_once(kept, &mut seen)).map_err(
                |reason| GateArchiveError::Contradicts { path: path.clone(), number: kept.pair.number, reason },
            )?;
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

/// Whether a gate can begin with a rule.
fn check_rule(settings: &Settings) -> Option<()> {
    let Settings { limits, looks, alpha, .. } = settings.clone();
    Settings::with_looks(limits, looks, alpha).is_ok_and(|made| made == *settings).then_some(())
}

/// What a run folder says of one side.
struct SideTrials {
    plan: Plan,
    trials: HashMap<u32, TrialRecord>,
}

/// The pair of this number as the trials that `kept` names make it; those that are missing are left out.
fn again(begun: &GateBegun, number: u32, kept: &KeptPair, sides: &[SideTrials; 2]) -> KeptPair {
    let metrics: Vec<Metric> = begun.settings.limits.iter().map(|limit| limit.metric).collect();
    let mut made = empty(begun.seed, number);
    let order = if made.pair.order == Order::BaselineFirst { [0, 1] } else { [1, 0] };
    for side in order {
        let trials: Vec<TrialRecord> =
            kept.trials[side].iter().filter_map(|number| sides[side].trials.get(number)).cloned().collect();
        // A DUT may die between two trials, where no trial can say it.
        let died = kept.died.as_ref().filter(|death| death.both || death.side == side).map(|death| death.how.as_str());
        book(&mut made, side, Booked { plan: &sides[side].plan, trials: &trials, died }, &metrics);
    }
    made
}

/// Whether a pair is the one that its trials make.
fn check(kept: &KeptPair, again: &KeptPair) -> Result<(), String> {
    for (side, name) in SIDES.iter().enumerate() {
        if let Some(missing) = kept.trials[side].iter().find(|number| !again.trials[side].contains(number)) {
            return Err(format!("trial {missing} of the {name} is missing"));
        }
        let of = |kept: &KeptPair| if side == 0 { kept.pair.baseline.clone() } else { kept.pair.candidate.clone() };
        let (stored, found) = (of(kept), of(again));
        let names = |values: &[(Metric, f64)]| {
            let mut names: Vec<Metric> = values.iter().map(|(metric, _)| *metric).collect();
            names.sort();
            names
        };
        if names(&stored) != names(&found) {
            return Err(format!("it has other metrics of the {name} than its trials give"));
        }
        for (metric, value) in stored {
            let again = found.iter().find(|(found, _)| *found == metric).map_or(f64::NAN, |(_, value)| *value);
            let is_same = (again - value).abs() <= SAME * value.abs() || again.is_nan() && value.is_nan();
            if !is_same {
                return Err(format!("{} of the {name} is {value}, but its trials give {again}", metric.name()));
            }
        }
    }
    let fact = |kept: &KeptPair| {
        [
            ("number", kept.pair.number.to_string()),
            ("order", format!("{:?}", kept.pair.order)),
            ("warm_up", kept.warm_up.to_string()),
            ("discarded", kept.pair.discarded.clone().unwrap_or_else(|| "nothing".to_owned())),
            (
                "died",
                kept.died.as_ref().map_or_else(|| "nobody".to_owned(), |d| format!("{} {} {}", d.side, d.how, d.both)),
            ),
            ("failures", format!("{:?}", kept.failures)),
        ]
    };
    match fact(kept).into_iter().zip(fact(again)).find(|(stored, found)| stored != found) {
        Some(((what, stored), (_, found))) => Err(format!("{what} says {stored}, but it should say {found}")),
        None => Ok(()),
    }
}

/// Whether no other pair has the trials of this one.
fn each_once(kept: &KeptPair, seen: &mut HashSet<(usize, u32)>) -> Result<(), String> {
    let mut own = (0..SIDES.len()).flat_map(|side| kept.trials[side].iter().map(move |&number| (side, number)));
    match own.find(|trial| !seen.insert(*trial)) {
        Some((side, number)) => Err(format!("trial {number} of the {} is in another pair, too", SIDES[side])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Limit;
    use crate::report::fixture;

    #[test]
    fn a_pair_that_its_trials_do_not_make_is_refused() {
        let run = fixture::run();
        let limits = vec![Limit::of(Metric::PRIMARY)];
        let record = run.trials.iter().find(|trial| crate::suite::rounds::invalid(&run.plan, trial).is_none()).unwrap();
        let metrics = [Metric::PRIMARY];
        let make = |number| {
            let mut made = empty(7, number);
            let booked = Booked { plan: &run.plan, trials: std::slice::from_ref(record), died: None };
            book(&mut made, 0, booked, &metrics);
            book(&mut made, 1, booked, &metrics);
            made
        };
        let pair = make(3);
        assert_eq!((check(&pair, &make(3)), pair.pair.discarded.as_deref()), (Ok(()), None));
        let changes: [&dyn Fn(&mut KeptPair); 8] = [
            &|pair| pair.pair.discarded = Some("steal 7 %".to_owned()),
            &|pair| pair.pair.candidate.clear(),
            &|pair| pair.pair.candidate[0].1 *= 1.01,
            &|pair| pair.pair.number = 4,
            &|pair| pair.warm_up = true,
            &|pair| {
                let flipped = pair.pair.order == Order::BaselineFirst;
                pair.pair.order = if flipped { Order::CandidateFirst } else { Order::BaselineFirst };
            },
            &|pair| pair.died = Some(Death { side: 1, how: "signal 9".to_owned(), both: false }),
            &|pair| pair.failures[1].failed += 1,
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut changed = pair.clone();
            change(&mut changed);
            assert!(check(&changed, &make(3)).is_err(), "change {at}");
        }
        let mut seen = HashSet::new();
        assert_eq!(each_once(&pair, &mut seen), Ok(()));
        assert!(each_once(&pair, &mut seen).unwrap_err().contains("in another pair"));

        let sound = Settings::new(limits).unwrap();
        assert_eq!(check_rule(&sound), Some(()));
        assert_eq!(check_rule(&Settings { discarded_max: 0.9, ..sound.clone() }), None);
        assert_eq!(check_rule(&Settings { looks: vec![2, 14, 20], ..sound }), None);
    }
}
