//! Several DUTs under one scenario, compared in interleaved rounds.
//!
//! A round measures every DUT once, in an order from the seed, so that whatever changes on the machine
//! reaches all of them alike. A round in which one trial does not count is left out as a whole and named (if none
//! counts, they are shown and nothing is ranked);
//! which trials count is decided by [`rounds::invalid`], never by a figure. A DUT that dies ends it.

use std::path::PathBuf;

use super::rounds::{self, Contender, Measured, Rounds};
use super::{Options, RunError};
use crate::archive::{Archive, ArchiveError, Kept, folder_name};
use crate::compare::{self, CompareError, Comparison, Entrant, Pairing};
use crate::interrupt::Interrupt;
use crate::measure::TrialRecord;
use crate::report;
use crate::scenario::{Plan, Versus};
use crate::search::Found;
use crate::verdict::answer::Exit;
use crate::verdict::{self, Context};

/// Fewest rounds that have an interval of 95 %.
const ROUNDS_MIN: usize = 6;

/// A comparison that came to its end.
#[derive(Debug)]
pub struct Versed {
    /// Where the files are.
    pub folder: PathBuf,
    /// What came of it; `None` if no round was complete.
    pub comparison: Option<Comparison>,
    /// The runs behind it: for each contender one of each round.
    pub runs: Vec<Vec<Archive>>,
    /// How the program ends.
    pub exit: Exit,
}

/// Why a comparison could not come to its end. What was measured until then is kept.
#[derive(Debug, thiserror::Error)]
pub enum VersusError {
    /// This host cannot run it.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A folder just written cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What was measured cannot be compared.
    #[error(transparent)]
    Compare(#[from] CompareError),
}

impl VersusError {
    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Run(error) => error.exit(),
            Self::Archive(_) | Self::Compare(_) => Exit::Host,
        }
    }
}

/// One trial of one contender, and why it does not count, if it does not.
struct Turn {
    record: TrialRecord,
    fault: Option<String>,
}

/// Runs it.
///
/// # Errors
/// [`VersusError`].
pub fn run(versus: &Versus, options: &Options, interrupt: &Interrupt) -> Result<Versed, VersusError> {
    let folder =
        report::make_stamped(&options.reports.join(folder_name(&versus.plans[0].name))).map_err(RunError::Report)?;
    let contender = |plan: &Plan| Contender { name: folder_name(&plan.testbed.dut.name), plan: plan.clone() };
    let mut rounds = Rounds::begin(versus.plans.iter().map(contender).collect(), &folder, options, interrupt)?;
    let (turns, end, failure) = measure(versus, &mut rounds, interrupt);
    rounds.live().clear();
    // Without any round nothing is lost with the error.
    let failure = match failure {
        Some(error) if turns.is_empty() => return Err(error.into()),
        failure => failure.map(|error| error.exit()),
    };
    let tried = turns.len();
    let (kept, notes, counts) = sort_out(versus, turns, end.as_deref());
    if kept.is_empty() {
        let open = if interrupt.is_set() { Exit::Interrupted } else { Exit::Undecided };
        let exit = failure.unwrap_or(open);
        report::complain(&format!("warning: no round was complete: {}", notes.join("; ")));
        return Ok(Versed { folder, comparison: None, runs: Vec::new(), exit });
    }
    let kept_count = kept.len();
    let mut runs = Vec::new();
    for (at, plan) in versus.plans.iter().enumerate() {
        let archive = Archive::read(&folder.join(folder_name(&plan.testbed.dut.name)))?;
        let warnings = rounds.warnings(at).to_vec();
        let mut own: Vec<_> = kept.iter().map(|(round, turns)| one(&archive, *round, &turns[at], &warnings)).collect();
        if !counts {
            own.iter_mut().for_each(leave_undecided);
        }
        runs.push(own);
    }
    let entrants: Vec<_> = runs.iter().map(|runs| Entrant { runs: runs.iter().collect() }).collect();
    let mut comparison = compare::compare(&entrants, Pairing::Rounds, &[])?;
    comparison.notes.extend(notes);
    let enough = counts && is_enough(kept_count, tried, versus.rounds);
    if counts && !enough {
        comparison.notes.push(format!(
            "only {kept_count} of {tried} rounds count: nothing is decided with fewer than {ROUNDS_MIN}, or with more \
             than 30 % left out"
        ));
    }
    let exit = match end {
        Some(_) if let Some(exit) = failure => exit,
        Some(_) if interrupt.is_set() => Exit::Interrupted,
        Some(_) => Exit::Undecided,
        None if !enough => Exit::Undecided,
        None => Exit::Met,
    };
    Ok(Versed { folder, comparison: Some(comparison), runs, exit })
}

/// Whether the rounds that count are enough: fewer have no interval, and a machine that spoils more of them
/// is too restless. Who asks for fewer gets ratios without an interval.
fn is_enough(kept: usize, tried: usize, asked: u32) -> bool {
    kept >= ROUNDS_MIN.min(asked as usize) && (tried - kept) * 10 <= tried * 3
}

type Round = Vec<Option<Turn>>;
/// A round with all its turns, and its number from 1.
type Whole = (usize, Vec<Turn>);

/// All rounds, or those until the end that is returned, with the error that ended them.
fn measure(
    versus: &Versus,
    rounds: &mut Rounds,
    interrupt: &Interrupt,
) -> (Vec<Round>, Option<String>, Option<RunError>) {
    let contenders = versus.plans.len();
    let mut done = Vec::new();
    for round in 0..versus.rounds {
        let mut turns: Round = (0..contenders).map(|_| None).collect();
        for at in rounds::order(versus.plans[0].seed, round, contenders) {
            let context = format!("round {} of {}", round + 1, versus.rounds);
            let Measured { mut trials, died, interrupted } = match rounds.measure(at, false, &context) {
                Ok(measured) => measured,
                Err(error) => {
                    let end = format!("{} in round {}: {error}", versus.plans[at].testbed.dut.name, round + 1);
                    return (done, Some(end), Some(error));
                }
            };
            if let Some(record) = trials.pop() {
                let fault = rounds::invalid(&versus.plans[at], &record);
                turns[at] = Some(Turn { record, fault });
            }
            let end = match died {
                Some(how) => Some(format!("{} died in round {}: {how}", versus.plans[at].testbed.dut.name, round + 1)),
                None => (interrupted || interrupt.is_set()).then(|| format!("interrupted in round {}", round + 1)),
            };
            if end.is_some() {
                done.push(turns);
                return (done, end, None);
            }
        }
        done.push(turns);
    }
    (done, None, None)
}

/// The rounds that count, by number, a sentence about each that does not, and `true`. If none counts,
/// those in which everything was at least measured, and `false`: they are shown and decide nothing.
fn sort_out(versus: &Versus, rounds: Vec<Round>, end: Option<&str>) -> (Vec<Whole>, Vec<String>, bool) {
    let (mut kept, mut faulty, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    notes.extend(end.map(str::to_owned));
    for (number, round) in (1..).zip(rounds) {
        let faults = round.iter().zip(&versus.plans).filter_map(|(turn, plan)| {
            let fault = match turn {
                Some(turn) => turn.fault.as_deref()?,
                None => "not measured",
            };
            Some(format!("{}: {fault}", plan.testbed.dut.name))
        });
        let faults: Vec<_> = faults.collect();
        let is_whole = round.iter().all(Option::is_some);
        let turns: Vec<Turn> = round.into_iter().flatten().collect();
        if faults.is_empty() {
            kept.push((number, turns));
            continue;
        }
        notes.push(format!("round {number} does not count: {}", faults.join("; ")));
        if is_whole {
            faulty.push((number, turns));
        }
    }
    if kept.is_empty() { (faulty, notes, false) } else { (kept, notes, true) }
}

fn leave_undecided(run: &mut Archive) {
    if let Some(answer) = &mut run.answer {
        // Not even "at least" follows from a tester that broke its own rules.
        answer.exit = Exit::Host;
        answer.reason = "no round counts".to_owned();
    }
}

/// One trial as a run of its own.
fn one(archive: &Archive, round: usize, turn: &Turn, warnings: &[String]) -> Archive {
    let plan = &archive.begun.plan;
    let found = Found { lower: Some(turn.record.load.amount()), upper: None, at_least: false };
    let passed = verdict::passes(plan, &turn.record);
    let answer = verdict::answer(plan, std::slice::from_ref(&turn.record), Some(found), None, &Context::default());
    let mut begun = archive.begun.clone();
    begun.run = format!("{}, round {round}", begun.run);
    Archive {
        path: archive.path.join(format!("round {round}")),
        begun,
        trials: vec![Kept {
            passed: passed.decided.then_some(passed.passed),
            reasons: passed.reasons,
            record: turn.record.clone(),
        }],
        answer: Some(answer),
        environment: archive.environment.clone(),
        warnings: warnings.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn few_rounds_decide_nothing() {
        assert!(is_enough(6, 6, 6) && is_enough(9, 12, 12) && is_enough(7, 10, 10) && is_enough(2, 2, 2));
        assert!(!is_enough(5, 5, 6) && !is_enough(1, 12, 12) && !is_enough(8, 12, 12) && !is_enough(1, 2, 2));
    }

    #[test]
    fn a_round_counts_as_a_whole_or_not_at_all() {
        let run = fixture::run();
        let versus = Versus { rounds: 4, plans: vec![run.plan.clone(), run.plan.clone()] };
        let turn = |fault: Option<&str>| Some(Turn { record: run.trials[1].clone(), fault: fault.map(str::to_owned) });
        let rounds = vec![
            vec![turn(None), turn(None)],
            vec![turn(None), turn(Some("G4: too busy"))],
            vec![turn(None), turn(None)],
            vec![turn(None), None],
        ];
        let (kept, notes, counts) = sort_out(&versus, rounds, Some("interrupted in round 4"));
        assert_eq!((kept.iter().map(|(number, _)| *number).collect::<Vec<_>>(), counts), (vec![1, 3], true));
        assert_eq!(
            notes,
            [
                "interrupted in round 4",
                "round 2 does not count: reference-http: G4: too busy",
                "round 4 does not count: reference-http: not measured"
            ]
        );
        let faulty = vec![vec![turn(None), turn(Some("G4: too busy"))], vec![turn(None), None]];
        let (shown, _, counts) = sort_out(&versus, faulty, None);
        assert_eq!((shown.len(), counts), (1, false));
    }
}
