//! The trials of a pair to the pair: values, failures, and whether it counts. Pure, so that a pair can be made
//! again from its files.

use crate::archive::gate::{Death, KeptPair, SIDES};
use crate::gate::failures::Failures;
use crate::gate::{self, Metric, Pair};
use crate::measure::TrialRecord;
use crate::measure::record::{EndedEarly, TrialLoad};
use crate::scenario::Plan;
use crate::suite::rounds;
use crate::verdict;

/// A pair before its runs. Number 0 is the warm-up.
pub fn empty(seed: u64, number: u32) -> KeptPair {
    let order = gate::order(seed, number);
    let pair = Pair { number, order, baseline: Vec::new(), candidate: Vec::new(), discarded: None };
    KeptPair {
        warm_up: number == 0,
        pair,
        trials: [Vec::new(), Vec::new()],
        failures: [Failures::default(); 2],
        died: None,
    }
}

/// One run of a side.
#[derive(Clone, Copy, Debug)]
pub struct Booked<'a> {
    /// The plan of the side.
    pub plan: &'a Plan,
    /// Its trials.
    pub trials: &'a [TrialRecord],
    /// How its DUT ended, if it ended before it was told to.
    pub died: Option<&'a str>,
}

/// Writes one run into its pair. What it measured is kept also where the pair does not count.
pub fn book(kept: &mut KeptPair, side: usize, run: Booked<'_>, metrics: &[Metric]) {
    let Booked { plan, trials, died } = run;
    let values = rounds::values(plan, trials, metrics);
    *(if side == 0 { &mut kept.pair.baseline } else { &mut kept.pair.candidate }) = values;
    kept.trials[side] = trials.iter().map(|trial| trial.number).collect();
    let rated = trials.iter().filter(|trial| matches!(trial.load, TrialLoad::Rate(_)));
    kept.failures[side] = rated.map(|trial| verdict::failures(plan, trial)).fold(Failures::default(), Failures::and);
    let seen = trials.iter().find_map(|trial| match &trial.ended_early {
        Some(EndedEarly::DutDied(how)) => Some(how.as_str()),
        _ => None,
    });
    let invalid = trials.iter().find_map(|trial| rounds::invalid(plan, trial));
    if let Some(how) = died.or(seen) {
        let death = kept.died.get_or_insert_with(|| Death { side, how: how.to_owned(), both: false });
        death.both |= death.side != side;
        kept.pair.discarded.get_or_insert_with(|| format!("{}: the DUT died: {how}", SIDES[side]));
    } else if let Some(reason) = invalid {
        kept.pair.discarded.get_or_insert_with(|| format!("{}: {reason}", SIDES[side]));
    }
}
