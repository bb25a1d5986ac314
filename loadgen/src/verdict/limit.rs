//! Who set the limit: rules over the confirming trial and the lowest failing one.
//!
//! The rules are looked at in a fixed order and the first that points at somebody decides: the host
//! (descriptors, ports), the link, the tester (G2 to G6, then G1), and only then, with positive
//! evidence (G8), the DUT. A generator that cannot keep up is therefore never mistaken for a DUT at
//! its limit. Without any evidence the answer is `unexplained`.

use crate::measure::{Latency, Outcome, Role, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::{DutKind, Unit};

use super::pass::{STEAL_MAX, first_failure};
use super::usage::Usage;
use super::{Evidence, LimitedBy};

mod dut;
mod host;
mod link;
mod little;
mod tester;
mod waiting;
mod workers;

pub(super) use workers::Workers;

/// What the rules look at.
#[derive(Clone, Debug)]
pub(super) struct Inquiry<'a> {
    pub(super) plan: &'a Plan,
    /// The trials whose evidence counts, the confirming one first.
    pub(super) trials: Vec<Facts<'a>>,
    /// What the qualifying trial's operations took, 99th percentile in nanoseconds.
    pub(super) qualify_service_p99: Option<u64>,
    /// The figure, where it can be compared with a ceiling.
    pub(super) figure: Option<f64>,
    /// What tester and reflectors reached without the DUT.
    pub(super) ceiling: Option<f64>,
    /// The trial in which they did.
    pub(super) ceiling_facts: Option<Facts<'a>>,
    /// The trials of G7.
    pub(super) workers: Option<Workers<'a>>,
    /// Why there are none.
    pub(super) no_workers: &'a str,
}

/// One trial with what was made of its samples.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    pub(super) trial: &'a TrialRecord,
    pub(super) usage: Option<Usage>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(trial: &'a TrialRecord) -> Self {
        Self { trial, usage: Usage::of(trial) }
    }

    /// `trial 9 (confirm)`.
    fn name(&self) -> String {
        format!("trial {} ({})", self.trial.number, self.trial.purpose.name())
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) limited_by: LimitedBy,
    pub(super) evidence: Vec<Evidence>,
    /// Whether the hypervisor took so much that the trials say nothing.
    pub(super) invalid: bool,
    /// Whether the tester kept its own rules (G2 to G6) and met no limit of the host.
    pub(super) tester_sound: bool,
}

/// What one rule saw in one trial.
struct Check {
    text: String,
    /// Whom it points at, if at anybody.
    blames: Option<LimitedBy>,
}

impl Check {
    fn holds(text: impl Into<String>) -> Self {
        Self { text: text.into(), blames: None }
    }

    fn blames(who: LimitedBy, text: impl Into<String>) -> Self {
        Self { text: text.into(), blames: Some(who) }
    }
}

/// Runs every rule, also after one has decided: the report shows them all.
pub(super) fn find(inquiry: &Inquiry<'_>) -> Finding {
    let mut court = Court { inquiry, evidence: Vec::new(), decided: None };
    let invalid = court.rule("steal", steal).is_some();
    court.rule("descriptors", host::descriptors);
    court.rule("link", link::full);
    court.rule("G2", tester::unsent);
    court.rule("G3", tester::lag);
    court.rule("G4", tester::processors);
    court.rule("G5", tester::local_errors);
    court.rule("G6", tester::drops);
    court.workers();
    court.rule("reflector-failures", tester::reflector_failures);
    court.rule("reflector-time", waiting::for_reflectors);
    let tester_sound = court.decided.is_none();
    court.ceiling();
    court.rule("G8", dut::at_its_limit);
    if let Some(first) = inquiry.trials.first() {
        court.evidence.push(little::check(inquiry.plan, first.trial));
    }
    let limited_by = court.decided.filter(|_| !invalid).unwrap_or(LimitedBy::Unexplained);
    Finding { limited_by, evidence: court.evidence, invalid, tester_sound }
}

struct Court<'a> {
    inquiry: &'a Inquiry<'a>,
    evidence: Vec<Evidence>,
    decided: Option<LimitedBy>,
}

impl Court<'_> {
    /// Applies a rule to every trial; the first blame of the first rule decides.
    fn rule(&mut self, name: &str, rule: fn(&Inquiry<'_>, &Facts<'_>) -> Check) -> Option<LimitedBy> {
        let checks: Vec<(String, Check)> =
            self.inquiry.trials.iter().map(|facts| (facts.name(), rule(self.inquiry, facts))).collect();
        let blamed = checks.iter().find_map(|(_, check)| check.blames);
        let texts: Vec<String> = checks.iter().map(|(trial, check)| format!("{trial}: {}", check.text)).collect();
        // G8 is the one rule that looks for somebody instead of clearing somebody.
        let holds = if name == "G8" { blamed.is_some() } else { blamed.is_none() };
        self.evidence.push(Evidence { rule: name.to_owned(), holds, text: texts.join("; ") });
        self.decided = self.decided.or(blamed);
        blamed
    }

    fn note(&mut self, name: &str, text: &str) {
        self.evidence.push(Evidence { rule: name.to_owned(), holds: true, text: text.to_owned() });
    }

    /// G7: one worker more.
    fn workers(&mut self) {
        let (evidence, blamed) = workers::judge(self.inquiry.plan, self.inquiry.workers, self.inquiry.no_workers);
        self.evidence.push(evidence);
        self.decided = self.decided.or(blamed);
    }

    /// G1: the figure against what the testbed reaches without the DUT.
    fn ceiling(&mut self) {
        let inquiry = self.inquiry;
        if matches!(inquiry.plan.testbed.dut.kind, DutKind::None) {
            return self.note("G1", "not applied: there is no DUT, the figure is the testbed's own");
        }
        if inquiry.plan.load.unit == Unit::Connections {
            return self.note("G1", "not applied: held connections are bounded by descriptors, not by a rate");
        }
        let (Some(figure), Some(ceiling)) = (inquiry.figure, inquiry.ceiling.filter(|ceiling| *ceiling > 0.0)) else {
            return self.note("G1", "not applied: no ceiling was measured without the DUT");
        };
        let share = figure / ceiling;
        let mut text =
            format!("{figure:.0}/s is {:.0}% of the {ceiling:.0}/s reached without the DUT (limit 90%)", share * 100.0);
        let holds = share <= CEILING_SHARE_MAX;
        if !holds {
            let setter = inquiry.ceiling_facts.as_ref().and_then(waiting::sets_ceiling);
            if let Some((_, why)) = &setter {
                text.push_str(&format!("; {why}"));
            }
            let setter = setter.map_or(LimitedBy::Generator, |(who, _)| who);
            self.decided = self.decided.or(Some(setter));
        }
        self.evidence.push(Evidence { rule: "G1".to_owned(), holds, text });
    }
}

/// Share of the ceiling above which the testbed itself may be the limit.
pub(super) const CEILING_SHARE_MAX: f64 = 0.9;
/// Share of the ceiling above which RFC 9411, 5 would like more margin.
pub(super) const CEILING_SHARE_WARN: f64 = 0.67;

fn steal(_: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    let Some(usage) = &facts.usage else { return Check::holds(NO_SAMPLES) };
    let text = format!("the hypervisor took {:.1}% (limit 5%)", usage.steal() * 100.0);
    if usage.steal() > STEAL_MAX { Check::blames(LimitedBy::Unexplained, text) } else { Check::holds(text) }
}

const NO_SAMPLES: &str = "not applied: the trial has no two samples";
