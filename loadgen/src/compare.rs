//! Finished runs beside each other: what may be compared, which figures, and what follows from them.
//!
//! Only the DUT may differ: every other difference of the conditions is refused by name, unless it is
//! allowed by name ([`conditions`]). A figure is a bracket, from what was carried to the lowest load
//! that failed (no end for "at least"); of two figures one is larger only if its bracket lies above the
//! other's. Values measured several times are compared by their spread ([`relation`]). Runs that were
//! interrupted, ended without an answer or are undecided are shown and never ranked.

pub mod conditions;
pub mod measured;
pub mod relation;

use serde::Serialize;

use crate::archive::Archive;
use crate::measure::record::EndedEarly;
use crate::scenario::Plan;
use crate::scenario::plan::SearchPlan;
use crate::verdict::answer::{Answer, Bound, Exit};
use conditions::Difference;
use measured::{Measured, Quantity};
use relation::Ratio;

/// Most contenders of one comparison: a table of more cannot be read.
pub const CONTENDERS_MAX: usize = 8;

/// How the values of contenders belong together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Each contender is a run of its own, measured at another time.
    Runs,
    /// Value n of each contender comes from round n, in which all were measured.
    Rounds,
}

/// One run, or the same DUT in several rounds, to be compared.
#[derive(Clone, Debug)]
pub struct Entrant<'a> {
    /// Its runs: one, or one of each round in the order of the rounds.
    pub runs: Vec<&'a Archive>,
}

/// Whether a contender's values may be ranked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// They may.
    Sound,
    /// The user interrupted it.
    Interrupted,
    /// It was ended before it had an answer.
    Unfinished,
    /// It failed or did not carry the fixed load that it was given: what it measured is that of another load.
    Failing,
    /// A trial is invalid, a role died, the books disagree, or the evidence does not decide.
    Undecided,
}

impl Standing {
    /// The word in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Interrupted => "interrupted",
            Self::Unfinished => "unfinished",
            Self::Failing => "failing",
            Self::Undecided => "undecided",
        }
    }
}

/// One column of the comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Contender {
    /// Name of its DUT, with the run behind it where two have the same.
    pub name: String,
    /// Names of its runs.
    pub runs: Vec<String>,
    /// Whether its values may be ranked.
    pub standing: Standing,
    /// Why the run ended as it did, in its own words; of the first round that is not sound.
    pub reason: String,
    /// Who set the limit of its figure; empty if that was not asked.
    pub limited_by: String,
    /// What the user should know of its runs.
    pub warnings: Vec<String>,
}

/// One row: a quantity of every contender, and its ratios to the first one's.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is.
    pub quantity: Quantity,
    /// The values, one for each contender; `None` where it has none.
    pub cells: Vec<Option<Measured>>,
    /// The ratio of each contender to the first; the first has none.
    pub ratios: Vec<Option<Ratio>>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Name of the scenario.
    pub scenario: String,
    /// The question.
    pub question: String,
    /// How values belong together.
    pub pairing: Pairing,
    /// The columns.
    pub contenders: Vec<Contender>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Differences that were allowed by name.
    pub allowed: Vec<Difference>,
    /// What else the reader should know.
    pub notes: Vec<String>,
}

/// Why runs cannot be compared.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum CompareError {
    /// Too few or too many.
    #[error("{found} runs were given; expected 2 to {CONTENDERS_MAX}")]
    Count {
        /// How many.
        found: usize,
    },
    /// The same folder twice.
    #[error("{run} was given twice; a run compared with itself says nothing")]
    Twice {
        /// Its name.
        run: String,
    },
    /// The conditions differ in more than the DUT.
    #[error(
        "the runs differ in more than the DUT:\n{text}measure again under equal conditions, or allow what you know to be harmless, each by name: --allow {first}"
    )]
    Unequal {
        /// The differences, a line each.
        text: String,
        /// The key of the first.
        first: String,
        /// All of them.
        differences: Vec<Difference>,
    },
}

/// Compares; `allow` names keys whose differences are allowed.
///
/// # Errors
/// [`CompareError`]; unequal conditions are all named.
pub fn compare(entrants: &[Entrant<'_>], pairing: Pairing, allow: &[String]) -> Result<Comparison, CompareError> {
    if !(2..=CONTENDERS_MAX).contains(&entrants.len()) {
        return Err(CompareError::Count { found: entrants.len() });
    }
    refuse_twins(entrants)?;
    let names = names(entrants);
    let judged = conditions::judge(entrants, &names, allow);
    refuse(judged.refused)?;
    let contenders: Vec<Contender> =
        entrants.iter().zip(names).map(|(entrant, name)| contender(entrant, name)).collect();
    let rows = measured::rows(entrants).into_iter().map(|(quantity, cells)| {
        let ratios = ratios(&quantity, &cells, &contenders, pairing);
        Row { quantity, cells, ratios }
    });
    let plan = &entrants[0].runs[0].begun.plan;
    Ok(Comparison {
        scenario: plan.name.clone(),
        question: plan.question.clone(),
        pairing,
        rows: rows.collect(),
        contenders,
        allowed: judged.allowed,
        notes: notes(entrants, pairing, judged.notes),
    })
}

/// Whether plans differ in their DUT only, before anything is measured.
///
/// # Errors
/// [`CompareError::Unequal`].
pub fn require_equal(plans: &[Plan]) -> Result<(), CompareError> {
    refuse(conditions::of_plans(plans))
}

fn refuse(differences: Vec<Difference>) -> Result<(), CompareError> {
    let Some(first) = differences.first().map(|difference| difference.key.clone()) else { return Ok(()) };
    Err(CompareError::Unequal { text: conditions::text(&differences), first, differences })
}

fn refuse_twins(entrants: &[Entrant<'_>]) -> Result<(), CompareError> {
    let mut seen = Vec::new();
    for run in entrants.iter().flat_map(|entrant| &entrant.runs) {
        if seen.contains(&&run.path) {
            return Err(CompareError::Twice { run: run.path.display().to_string() });
        }
        seen.push(&run.path);
    }
    Ok(())
}

/// DUT names, told apart by their runs where they are the same.
fn names(entrants: &[Entrant<'_>]) -> Vec<String> {
    let dut = |entrant: &Entrant<'_>| entrant.runs[0].begun.plan.testbed.dut.name.clone();
    let name = |entrant: &Entrant<'_>| {
        let twins = entrants.iter().filter(|other| dut(other) == dut(entrant)).count();
        if twins > 1 { format!("{} ({})", dut(entrant), entrant.runs[0].begun.run) } else { dut(entrant) }
    };
    entrants.iter().map(name).collect()
}

fn contender(entrant: &Entrant<'_>, name: String) -> Contender {
    let worst = entrant.runs.iter().find(|run| standing(run) != Standing::Sound).unwrap_or(&entrant.runs[0]);
    let mut limits: Vec<&str> =
        entrant.runs.iter().filter_map(|run| Some(run.answer.as_ref()?.limited_by?.name())).collect();
    limits.dedup();
    let mut warnings: Vec<String> = Vec::new();
    for run in &entrant.runs {
        let own = run.answer.iter().flat_map(|answer| &answer.warnings);
        for warning in run.warnings.iter().chain(own) {
            if !warnings.contains(warning) {
                warnings.push(warning.clone());
            }
        }
    }
    Contender {
        name,
        runs: entrant.runs.iter().map(|run| run.begun.run.clone()).collect(),
        standing: standing(worst),
        reason: worst.answer.as_ref().map_or_else(|| "ended before it had an answer".to_owned(), |a| a.reason.clone()),
        limited_by: limits.join(", "),
        warnings,
    }
}

/// Whether a run's values may be ranked.
pub fn standing(run: &Archive) -> Standing {
    let Some(answer) = &run.answer else { return Standing::Unfinished };
    match answer.exit {
        Exit::Interrupted => Standing::Interrupted,
        Exit::Usage | Exit::Host => Standing::Undecided,
        _ if is_failing(run) => Standing::Failing,
        Exit::Met | Exit::Missed => Standing::Sound,
        // "At least" is what leaves a run undecided whose trials are all as they should be; the bound
        // itself holds then.
        Exit::Undecided if is_only_a_bound(run, answer) => Standing::Sound,
        Exit::Undecided => Standing::Undecided,
    }
}

/// Whether a trial at the one fixed load was decided, and not passed.
fn is_failing(run: &Archive) -> bool {
    run.begun.plan.search == SearchPlan::Fixed && run.trials.iter().any(|kept| kept.passed == Some(false))
}

fn is_only_a_bound(run: &Archive, answer: &Answer) -> bool {
    let is_bound = answer.figures.first().is_some_and(|figure| figure.bound == Bound::Lower);
    let died = run.records().any(|record| {
        matches!(record.ended_early, Some(EndedEarly::DutDied(_) | EndedEarly::NetworkBroke(_)))
            || !record.reflector_deaths.is_empty()
    });
    is_bound && !died && !answer.books.iter().any(|mismatch| mismatch.serious)
}

fn ratios(
    quantity: &Quantity,
    cells: &[Option<Measured>],
    contenders: &[Contender],
    pairing: Pairing,
) -> Vec<Option<Ratio>> {
    let ratio = |at: usize| {
        if at == 0 {
            return None;
        }
        let mut ratio = relation::ratio(quantity, cells[0].as_ref()?, cells[at].as_ref()?, pairing)?;
        for contender in [&contenders[0], &contenders[at]] {
            // How much failed may be compared also where it is too much.
            let may = contender.standing == Standing::Failing && quantity.key == "failed_ratio";
            if contender.standing != Standing::Sound && !may {
                ratio.unrank(format!("{} is {}", contender.name, contender.standing.name()));
            }
        }
        Some(ratio)
    };
    (0..cells.len()).map(ratio).collect()
}

fn notes(entrants: &[Entrant<'_>], pairing: Pairing, mut notes: Vec<String>) -> Vec<String> {
    let rounds = entrants.iter().map(|entrant| entrant.runs.len()).min().unwrap_or(0);
    match pairing {
        Pairing::Rounds => {
            notes.push(format!(
                "{rounds} rounds, in each of which every DUT was measured once, in an order from the seed; a ratio is taken within each round"
            ));
            notes.push(
                "each ratio has an error of 5 % of its own: of 20 ratios between equal DUTs one is called decided"
                    .to_owned(),
            );
        }
        Pairing::Runs => notes.push(
            "the runs were measured one after the other: what changed on the machine in between is in the ratios; scenarios/versus.toml measures in turn".to_owned(),
        ),
    }
    notes
}

#[cfg(test)]
mod tests;
