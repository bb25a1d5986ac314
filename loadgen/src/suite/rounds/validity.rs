//! Whether a trial says anything about its DUT. Decided from how the tester, the host and the books fared,
//! never from the figures: a comparison that chose its evidence by value would prove what it likes.

use crate::measure::TrialRecord;
use crate::measure::books;
use crate::measure::record::TrialLoad;
use crate::scenario::Plan;
use crate::search::Found;
use crate::verdict::{self, Context};

/// Rules about tester and host, by the names under which a verdict states its evidence.
const TESTER: [&str; 7] = ["steal", "descriptors", "G2", "G3", "G4", "G5", "G6"];

/// Why a trial does not count, if it does not: it was cut short or robbed of its processor, the tester
/// could not keep its own rules, or the books of client and reflectors disagree. `plan` is the contender's;
/// a trial of held connections is judged by what it was made of.
pub fn invalid(plan: &Plan, record: &TrialRecord) -> Option<String> {
    let holding = matches!(record.load, TrialLoad::Held(_)).then(|| super::holding_plan(plan));
    let plan = holding.as_ref().unwrap_or(plan);
    let passed = verdict::passes(plan, record);
    if !passed.decided {
        return Some(passed.reasons.join("; "));
    }
    let found = Found { lower: Some(record.load.amount()), upper: None, at_least: false };
    let trials = std::slice::from_ref(record);
    let answer = verdict::answer(plan, trials, Some(found), None, &Context::default());
    let broken = answer.evidence.iter().find(|evidence| !evidence.holds && TESTER.contains(&evidence.rule.as_str()));
    if let Some(broken) = broken {
        return Some(format!("{}: {}", broken.rule, broken.text));
    }
    let doubtful = books::reconcile(plan, record).into_iter().find(|mismatch| mismatch.serious);
    doubtful.map(|mismatch| format!("the books disagree: {}", mismatch.text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Outcome;
    use crate::measure::record::EndedEarly;
    use crate::report::fixture;

    #[test]
    fn a_trial_counts_unless_the_tester_failed() {
        let run = fixture::run();
        let plan = &run.plan;
        let record = run.trials.iter().find(|record| invalid(plan, record).is_none()).expect("a sound trial").clone();
        let mut cut = record.clone();
        cut.ended_early = Some(EndedEarly::Interrupted);
        assert!(invalid(plan, &cut).unwrap().starts_with("it was interrupted"));
        let mut died = record.clone();
        died.ended_early = Some(EndedEarly::DutDied("signal 9".to_owned()));
        assert!(invalid(plan, &died).unwrap().starts_with("the DUT died"));
        let mut late = record.clone();
        let due = late.due;
        late.outcomes.add(Outcome::UnsentLate, due / 10);
        assert!(invalid(plan, &late).is_some());
        // What the DUT did badly is a value and no reason.
        let mut slow = record;
        slow.completed_in_sustain /= 2;
        assert_eq!(invalid(plan, &slow), None);
    }
}
