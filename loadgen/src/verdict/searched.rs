//! What the user should know about the search itself: loss inversion, repeats, goals that were not
//! bracketed.

use std::time::Duration;

use super::judge::Context;
use super::pass::{is_testers_doing, passes};
use crate::measure::TrialRecord;
use crate::measure::record::Purpose;
use crate::scenario::Plan;
use crate::scenario::plan::SearchPlan;
use crate::search::inversion::{self, Tried};

/// Warnings about the search.
pub(super) fn warnings(plan: &Plan, trials: &[&TrialRecord], context: &Context) -> Vec<String> {
    let undecided = undecided_end(plan, trials, context);
    let too_few = too_few_repeats(context).filter(|_| undecided.is_none() && context.collapsed.is_none());
    let all = [inversion(plan, trials, context), collapsed(context), undecided, too_few, some_found_nothing(context)];
    all.into_iter().flatten().chain(irregular_goals(context)).collect()
}

/// Why no trial decides, where there are trials.
pub(super) fn nothing_decides(trials: &[&TrialRecord], context: &Context) -> String {
    if trials.is_empty() {
        return "undecided: no trial was completed".to_owned();
    }
    match context.details.repeats.as_ref().filter(|repeats| repeats.max > 0.0) {
        Some(repeats) => format!(
            "undecided: of {} searches at least one found no load that is carried, another one {}: nothing can be \
             planned with",
            repeats.n, repeats.max
        ),
        None => "undecided: loads passed short trials, but none was confirmed at full length".to_owned(),
    }
}

/// Why a lower bound is not the maximum, where the DUT is the limit.
pub(super) fn not_bracketed(plan: &Plan) -> &'static str {
    match plan.search {
        SearchPlan::GoalSeek(_) => {
            "undecided: goal-seek brackets no upper bound, its figure is a lower one; use method mlr, or state in \
             [expect] what is wanted"
        }
        _ => "undecided: the search ended before it came near enough to the maximum",
    }
}

/// Why a search ended in a trial that says nothing about its load.
fn undecided_end(plan: &Plan, trials: &[&TrialRecord], context: &Context) -> Option<String> {
    let last = trials.last().filter(|last| last.purpose.is_searching() && last.purpose != Purpose::Fixed)?;
    let judged = passes(plan, last);
    if judged.decided || is_testers_doing(last) || context.interrupted || last.ended_early.is_some() {
        return None;
    }
    Some(format!(
        "the search ended at trial {}, which was tried again and never decided ({}): measure again on a quiet host",
        last.number,
        judged.reasons.join("; ")
    ))
}

fn inversion(plan: &Plan, trials: &[&TrialRecord], context: &Context) -> Option<String> {
    let counts = |trial: &&&TrialRecord| {
        (trial.purpose.is_searching() || trial.purpose == Purpose::Curve) && trial.sustain > Duration::ZERO
    };
    let tried: Vec<Tried> = trials
        .iter()
        .filter(counts)
        .filter_map(|trial| {
            let judged = passes(plan, trial);
            let (number, load, sustain) = (trial.number, trial.load.amount(), trial.sustain);
            judged.decided.then_some(Tried { number, load, sustain, passed: judged.passed })
        })
        .collect();
    let width = plan.search.maximum().map_or(0.0, |maximum| maximum.width.as_ratio());
    let (failed, passed) = inversion::find(&tried, width)?;
    let several = context.details.repeats.as_ref().is_some_and(|repeats| repeats.asked > 1);
    let or_varies = if several { ", or it varies between searches" } else { "" };
    Some(format!(
        "loss inversion: trial {} failed at {} {unit}, although trial {} passed at {}: the DUT loses in a band that a \
         search jumps over{or_varies}. Walk the whole range (search.method = \"stair\", or search.curve) before relying on the figure",
        failed.number,
        failed.load,
        passed.number,
        passed.load,
        unit = plan.load.unit.name()
    ))
}

fn collapsed(context: &Context) -> Option<String> {
    let how = context.collapsed.as_ref()?;
    Some(format!("{how}; see the DUT's log, restart it, and keep the load below that of the failed trial (search.max)"))
}

fn too_few_repeats(context: &Context) -> Option<String> {
    let repeats =
        context.details.repeats.as_ref().filter(|repeats| repeats.n < repeats.asked && !context.interrupted)?;
    let (n, asked) = (repeats.n, repeats.asked);
    // A first search that found nothing is not repeated.
    (repeats.max > 0.0)
        .then(|| format!("{n} of {asked} searches came to an end: raise search.budget, or ask for fewer repeats"))
}

fn some_found_nothing(context: &Context) -> Option<String> {
    let repeats = context.details.repeats.as_ref().filter(|repeats| repeats.min <= 0.0 && repeats.max > 0.0)?;
    Some(format!(
        "of {} searches the best found {}, the median {}, and the worst nothing at all: look for what differs between \
         them before measuring again",
        repeats.n, repeats.max, repeats.median
    ))
}

/// The first goal is the figure itself, and its bound says it.
fn irregular_goals(context: &Context) -> Vec<String> {
    let goals = context.details.goals.iter().enumerate().skip(1).filter(|(_, found)| !found.regular);
    goals
        .map(|(at, found)| {
            let bound = |bound: Option<f64>| bound.map_or_else(|| "none".to_owned(), |load| load.to_string());
            format!(
                "goal {} is irregular: lower bound {}, upper bound {}: raise search.budget or search.max",
                at + 1,
                bound(found.bounds.lower),
                bound(found.bounds.upper)
            )
        })
        .collect()
}
