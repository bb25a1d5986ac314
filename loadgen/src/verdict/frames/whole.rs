//! The answer of a whole suite, from the answers of its parts.
//!
//! A part that validly misses an expectation is a miss of the whole, whatever became of the others, as a
//! missed line of `[expect]` is for a single question; else a part without an answer leaves the whole
//! undecided.

use super::result::Measured;
use super::{FrameResult, FrameSuite, FramesAnswer, LossyBand};
use crate::measure::TrialRecord;
use crate::scenario::plan::{SuitePlan, WorkloadKind};
use crate::scenario::{Plan, compliance};
use crate::search::Found;
use crate::verdict::answer::{Answer, Exit, Mismatch};
use crate::verdict::{Context, Evidence, Judged, LimitedBy, Validation, Validity};

/// One part of a suite: the search of one size or of a mix, with its sweep.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The plan of this part alone.
    pub plan: &'a Plan,
    /// Its trials in their order; none if it was never begun.
    pub trials: &'a [TrialRecord],
    /// What its search found; `None` if that never began.
    pub found: Option<Found>,
    /// Its trial without the DUT.
    pub ceiling: Option<&'a TrialRecord>,
    /// What happened around its trials.
    pub context: Context,
}

/// The answer of a suite; `warnings` are those of the whole run. `None` if the plan has no suite.
pub fn answer(plan: &Plan, parts: &[Part<'_>], warnings: Vec<String>) -> Option<Answer> {
    let suite = match plan.suite.as_ref()? {
        SuitePlan::Imix(_) => FrameSuite::Imix,
        SuitePlan::Rfc2544 { .. } => FrameSuite::Rfc2544,
    };
    let WorkloadKind::Udp(udp) = &plan.workload.kind else { return None };
    let answered: Vec<(Answer, FrameResult)> = parts.iter().filter_map(answer_part).collect();
    let results = answered.iter().map(|(_, result)| result.clone()).collect();
    let link_bps = plan.testbed.links.speed_bps;
    let frames = FramesAnswer { suite, ip_version: udp.ip_version, link_bps, results };
    let mut whole = match <[_; 1]>::try_from(answered) {
        Ok([(answer, _)]) => answer,
        Err(several) => join(plan, several),
    };
    let own = std::mem::replace(&mut whole.warnings, warnings);
    whole.warnings.extend(own);
    whole.frames = Some(frames);
    Some(whole)
}

fn answer_part(part: &Part<'_>) -> Option<(Answer, FrameResult)> {
    let Part { plan, trials, found, ceiling, ref context } = *part;
    let measured = Measured::of(plan, trials, found, ceiling)?;
    let mut answer = crate::verdict::answer(plan, trials, found, ceiling, context);
    let mut result = measured.result(&answer);
    answer.warnings.extend(result.lossy_bands.iter().map(LossyBand::warning));
    result.warnings.clone_from(&answer.warnings);
    Some((answer, result))
}

fn join(plan: &Plan, parts: Vec<(Answer, FrameResult)>) -> Answer {
    let compliance = compliance(plan);
    let exit = worst(parts.iter().map(|(answer, _)| answer.exit));
    let mut whole = Answer {
        figures: Vec::new(),
        limited_by: common_limit(&parts),
        evidence: Vec::new(),
        validation: Validation::default(),
        judged: Vec::new(),
        books: Vec::new(),
        warnings: Vec::new(),
        label: compliance.label.to_owned(),
        deviations: compliance.deviations,
        frames: None,
        exit,
        reason: reason(&parts, exit),
    };
    for (answer, result) in parts {
        let name = name(&result);
        let named = |text: &str| format!("{name}: {text}");
        whole.figures.extend(answer.figures);
        let rules = answer.validation.rules.into_iter();
        whole.validation.rules.extend(rules.map(|rule| Validity { rule: named(&rule.rule), ..rule }));
        whole.validation.observed.extend(answer.validation.observed.iter().map(|seen| named(seen)));
        whole.evidence.extend(answer.evidence.iter().map(|seen| Evidence { text: named(&seen.text), ..seen.clone() }));
        whole.judged.extend(answer.judged.iter().map(|judged| Judged { text: named(&judged.text), ..judged.clone() }));
        whole.books.extend(answer.books.iter().map(|book| Mismatch { text: named(&book.text), ..book.clone() }));
        whole.warnings.extend(answer.warnings.iter().map(|warning| named(warning)));
        let further = answer.deviations.into_iter().filter(|text| !whole.deviations.contains(text));
        let further: Vec<String> = further.collect();
        whole.deviations.extend(further);
    }
    whole
}

/// How the whole ends: see the head of this file.
fn worst(exits: impl Iterator<Item = Exit>) -> Exit {
    let rank = |exit: &Exit| match exit {
        Exit::Met => 0,
        Exit::Undecided => 1,
        Exit::Missed => 2,
        Exit::Usage | Exit::Host => 3,
        Exit::Interrupted => 4,
    };
    exits.max_by_key(rank).unwrap_or(Exit::Undecided)
}

/// Who set all the limits; `None` where they differ, or one is not known.
fn common_limit(parts: &[(Answer, FrameResult)]) -> Option<LimitedBy> {
    let first = parts.first()?.0.limited_by?;
    parts.iter().all(|(answer, _)| answer.limited_by == Some(first)).then_some(first)
}

/// The reasons of the parts that ended as the whole did, the same ones once, with the sizes they are of.
fn reason(parts: &[(Answer, FrameResult)], exit: Exit) -> String {
    if parts.is_empty() {
        return "undecided: no size was measured".to_owned();
    }
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for (answer, result) in parts.iter().filter(|(answer, _)| answer.exit == exit) {
        match reasons.iter_mut().find(|(reason, _)| *reason == answer.reason) {
            Some((_, names)) => names.push(name(result)),
            None => reasons.push((&answer.reason, vec![name(result)])),
        }
    }
    match reasons.as_slice() {
        [(reason, names)] if names.len() == parts.len() => format!("all {} sizes: {reason}", names.len()),
        several => {
            let texts = several.iter().map(|(reason, names)| format!("{}: {reason}", names.join(", ")));
            texts.collect::<Vec<_>>().join("; ")
        }
    }
}

/// What a part is called where several stand beside each other.
fn name(result: &FrameResult) -> String {
    result.frames.size.map_or_else(|| "mix".to_owned(), |size| format!("{size} B"))
}
