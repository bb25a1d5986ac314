//! A whole run to its [`Answer`]: which trial is the figure, who limited it, how the program ends.

use crate::measure::books;
use crate::measure::record::{EndedEarly, Purpose};
use crate::measure::{Latency, Outcome, Role, TrialRecord};
use crate::scenario::mix::Mix;
use crate::scenario::plan::{BodyCheck, DutKind, Profile, SearchPlan, Unit, WorkloadKind};
use crate::scenario::{Plan, compliance, final_sustain};
use crate::search::{Details, Found};
use wire::frame::FrameSize;

use super::answer::{Answer, Bound, Exit, Figure, GoalFigure, Mismatch};
use super::expectation::{self, Basis};
use super::limit::{Facts, Finding, Inquiry, Workers, find};
use super::observed::cite;
use super::pass::{Passed, is_testers_doing, passes};
use super::usage::Usage;
use super::{Evidence, Judged, LimitedBy, Validation, Verdict, observed, searched, warning};

/// What happened around the trials.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Whether the user interrupted the run.
    pub interrupted: bool,
    /// How the DUT ended, if it ended before it was told to.
    pub dut_exit: Option<String>,
    /// Warnings of the testbed: a thread that could not be pinned, a quota that was not permitted.
    pub warnings: Vec<String>,
    /// Why the lowest failing load was not tried with one generator worker more, if it was not.
    pub no_more_workers: Option<String>,
    /// What the search has to say beside what it found.
    pub details: Details,
    /// How the DUT stayed down after a failed trial, if it did: the search ended there.
    pub collapsed: Option<String>,
}

/// The answer of a run. `trials` are all trials in their order, `ceiling` the one without the DUT;
/// `found` is what the search found, `None` if it never began.
pub fn answer(
    plan: &Plan,
    trials: &[TrialRecord],
    found: Option<Found>,
    ceiling: Option<&TrialRecord>,
    context: &Context,
) -> Answer {
    let ceiling = ceiling.or_else(|| trials.iter().find(|trial| trial.purpose == Purpose::Ceiling));
    let case = Case::new(plan, trials, found, ceiling, context);
    let finding = case.finding();
    let figures = case.figures(&finding);
    let books: Vec<Mismatch> = ceiling
        .into_iter()
        .chain(case.trials.iter().copied())
        .flat_map(|trial| books::reconcile(plan, trial))
        .collect();
    let doubtful_books = case.rests_on_doubtful(&books);
    let died = case.died();
    let validation = case.validation(&figures);
    let basis = Basis {
        figures: &figures,
        trial: case.deciding,
        unqualified_at: case.unqualified_at(),
        sound: finding.tester_sound && !finding.invalid && case.verdict.as_ref().is_some_and(|passed| passed.decided),
        not_valid: not_valid(plan, &validation),
        doubtful: context.interrupted || died.is_some() || doubtful_books || finding.invalid,
    };
    let judged = expectation::judge(&plan.expect, &basis);
    let limited_by = case.names_a_limit(&figures).then_some(finding.limited_by);
    let evidence = &finding.evidence;
    let ending = Ending { case: &case, judged: &judged, figures: &figures, limited_by, evidence, basis: &basis, died };
    let (exit, reason) = ending.exit(doubtful_books, finding.invalid);
    let warnings = case.warnings(&figures, &validation);
    let compliance = compliance(plan);
    Answer {
        figures,
        limited_by,
        evidence: finding.evidence,
        validation,
        judged,
        books,
        warnings,
        label: compliance.label.to_owned(),
        deviations: compliance.deviations,
        frames: None,
        exit,
        reason,
    }
}

/// The trials of a run in their parts.
struct Case<'a> {
    plan: &'a Plan,
    context: &'a Context,
    found: Option<Found>,
    ceiling: Option<&'a TrialRecord>,
    /// All trials but those beside the search.
    trials: Vec<&'a TrialRecord>,
    /// One generator worker more at the lowest load that failed.
    workers: Option<Workers<'a>>,
    /// The trial that figures and expectations rest on.
    deciding: Option<&'a TrialRecord>,
    /// The lowest failing one above it.
    failing: Option<&'a TrialRecord>,
    /// Whether the deciding trial passed.
    verdict: Option<Passed>,
}

impl<'a> Case<'a> {
    fn new(
        plan: &'a Plan,
        trials: &'a [TrialRecord],
        found: Option<Found>,
        ceiling: Option<&'a TrialRecord>,
        context: &'a Context,
    ) -> Self {
        let workers = workers(trials);
        let trials: Vec<&TrialRecord> = trials.iter().filter(|trial| !trial.purpose.is_beside()).collect();
        let passed: Vec<bool> = trials.iter().map(|trial| passes(plan, trial).passed).collect();
        let lowest_failing = |above: f64, counts: &dyn Fn(&TrialRecord) -> bool| {
            let failing = trials.iter().zip(&passed).filter(|(trial, passed)| !**passed && trial.load.amount() > above);
            let failing = failing.filter(|(trial, _)| trial.purpose.is_searching() && counts(trial));
            failing.map(|(trial, _)| *trial).min_by(|a, b| a.load.amount().total_cmp(&b.load.amount()))
        };
        let says_something = |trial: &TrialRecord| passes(plan, trial).decided || is_testers_doing(trial);
        let carried = match plan.search {
            SearchPlan::Fixed => trials.last().copied(),
            SearchPlan::Stair { .. } => carried(&trials, &passed, found, |_| true),
            _ => carried(&trials, &passed, found, |trial| {
                trial.purpose == Purpose::Confirm
                    || trial.purpose.is_searching() && trial.sustain >= final_sustain(plan)
            })
            .or_else(|| best_of_interrupted(&trials, &passed, context)),
        };
        let fixed = plan.search == SearchPlan::Fixed;
        let above = carried.map_or(0.0, |trial| trial.load.amount());
        // A trial that says nothing about its load is looked at only where there is no other.
        let failing =
            lowest_failing(above, &says_something).or_else(|| lowest_failing(above, &|_| true)).filter(|_| !fixed);
        let none_passed = !trials.iter().zip(&passed).any(|(trial, passed)| *passed && trial.purpose.is_searching());
        let deciding = carried.or_else(|| failing.filter(|_| none_passed));
        let verdict = deciding.map(|trial| passes(plan, trial));
        Self { plan, context, found, ceiling, trials, workers, deciding, failing, verdict }
    }

    /// Whether a load was carried whose figure counts; else the deciding trial is one that failed.
    fn is_carried(&self) -> bool {
        match self.plan.search {
            SearchPlan::Fixed => self.deciding.is_some(),
            _ => self.verdict.as_ref().is_some_and(|passed| passed.passed),
        }
    }

    fn unqualified_at(&self) -> Option<f64> {
        self.deciding.filter(|_| !self.is_carried()).map(|trial| trial.load.amount())
    }

    fn finding(&self) -> Finding {
        let mut evidence = Vec::new();
        evidence.extend(self.deciding);
        evidence
            .extend(self.failing.filter(|failing| self.deciding.is_none_or(|trial| trial.number != failing.number)));
        let qualify = self.trials.iter().find(|trial| {
            trial.purpose == Purpose::Qualify
                && evidence.iter().all(|other| other.number != trial.number)
                && passes(self.plan, trial).passed
        });
        let service_p99 = qualify.and_then(|trial| trial.latencies.percentile(Latency::Service, 99.0));
        find(&Inquiry {
            plan: self.plan,
            trials: evidence.into_iter().map(Facts::of).collect(),
            qualify_service_p99: service_p99.map(|p99| p99.as_nanos() as u64),
            figure: self.deciding.filter(|_| self.is_carried()).map(|trial| figure_value(self.plan.load.unit, trial)),
            ceiling: self.ceiling_value(),
            ceiling_facts: self.ceiling.map(Facts::of),
            workers: self.workers,
            no_workers: self.context.no_more_workers.as_deref().unwrap_or("no core was free for another worker"),
        })
    }

    fn rests_on_doubtful(&self, books: &[Mismatch]) -> bool {
        let deciding = self.deciding.map(|trial| trial.number);
        books.iter().any(|mismatch| mismatch.serious && Some(mismatch.trial) == deciding)
    }

    /// What is known of the trial that the figure comes from.
    fn validation(&self, figures: &[Figure]) -> Validation {
        let Some(trial) = self.deciding else { return Validation::default() };
        Validation::of(self.plan, trial, observed::of(self.plan, trial, figures))
    }

    fn warnings(&self, figures: &[Figure], validation: &Validation) -> Vec<String> {
        let mut warnings = self.context.warnings.clone();
        warnings.extend(searched::warnings(self.plan, &self.trials, self.context));
        if let (Some(trial), Some(passed)) = (self.deciding, &self.verdict) {
            warnings.extend(warning::of(self.plan, trial, passed, figures));
            warnings.extend(warning::of_validation(validation));
        }
        warnings
    }

    /// A fixed load has no limit to name, and a stair only if a step failed.
    fn names_a_limit(&self, figures: &[Figure]) -> bool {
        match self.plan.search {
            SearchPlan::Fixed => false,
            SearchPlan::Stair { .. } => self.failing.is_some(),
            _ => !figures.is_empty() || self.failing.is_some(),
        }
    }

    fn ceiling_value(&self) -> Option<f64> {
        let ceiling = self.ceiling?;
        match self.plan.load.unit {
            Unit::ConnectionsPerSecond | Unit::FramesPerSecond => Some(ceiling.achieved_rate()),
            Unit::TransactionsPerSecond | Unit::Transactions => Some(ceiling.transaction_rate()),
            Unit::Connections => None,
        }
    }

    fn figures(&self, finding: &Finding) -> Vec<Figure> {
        let Some(trial) = self.deciding.filter(|_| self.is_carried()) else { return Vec::new() };
        let unit = self.plan.load.unit;
        let bound = self.bound(trial, finding);
        let mut figures = vec![self.figure(unit.figure(), trial, figure_value(unit, trial), bound)];
        let several = self.plan.workload.requests_per_connection.is_some_and(|requests| requests.get() > 1);
        if unit == Unit::ConnectionsPerSecond && several {
            let mut tps = self.figure("tps", trial, trial.transaction_rate(), bound);
            // The load that failed and the ceiling are counted in connections.
            (tps.failed_at, tps.ceiling) = (None, self.ceiling.map(TrialRecord::transaction_rate));
            figures.push(tps);
        }
        figures
    }

    /// A figure that the DUT did not limit is only a lower bound; without a DUT it is what it is.
    fn bound(&self, trial: &TrialRecord, finding: &Finding) -> Bound {
        let cut_short = trial.ended_early.is_some() || self.context.interrupted || self.context.collapsed.is_some();
        let exact = match self.plan.search {
            _ if cut_short => false,
            SearchPlan::Fixed => true,
            _ => {
                let without_dut = matches!(self.plan.testbed.dut.kind, DutKind::None);
                let at_least = self.found.is_none_or(|found| found.at_least);
                !at_least && (without_dut || finding.limited_by == LimitedBy::Dut)
            }
        };
        if exact { Bound::Exact } else { Bound::Lower }
    }

    fn figure(&self, name: &'static str, trial: &TrialRecord, value: f64, bound: Bound) -> Figure {
        let operations = match name {
            "cps" | "fps" => trial.achieved_rate(),
            _ => trial.transaction_rate(),
        };
        let dut_used = Usage::of(trial).and_then(|usage| Some(usage.role(Role::Dut)?.used));
        // Utilisation law: utilisation = rate × service time, here in core-seconds per operation.
        let cpu_us = dut_used.filter(|used| *used > 0.0 && operations > 0.0).map(|used| used * 1e6 / operations);
        Figure {
            name: name.to_owned(),
            value,
            bound,
            trial: trial.number,
            failed_at: self.found.and_then(|found| found.upper),
            object_bytes: object_bytes(self.plan, trial),
            frame_size: frame_size(self.plan),
            dut_cpu_us_per_operation: cpu_us,
            estimated_capacity_per_core: cpu_us.map(|cpu_us| 1e6 / cpu_us),
            ceiling: self.ceiling_value(),
            repeats: self.context.details.repeats.clone(),
            goals: self.context.details.goals.iter().map(GoalFigure::from).collect(),
        }
    }

    /// Who died in the middle of the run, and how.
    fn died(&self) -> Option<String> {
        let in_trial = self.ceiling.iter().chain(&self.trials).find_map(|trial| {
            if let Some(EndedEarly::DutDied(how)) = &trial.ended_early {
                return Some(format!("the DUT died in trial {}: {how}", trial.number));
            }
            if let Some(EndedEarly::NetworkBroke(how)) = &trial.ended_early {
                return Some(format!("the host broke the network of the testbed in trial {}: {how}", trial.number));
            }
            let how = trial.reflector_deaths.first()?;
            Some(format!("a reflector died in trial {}, so the testbed was not the planned one: {how}", trial.number))
        });
        in_trial.or_else(|| self.context.dut_exit.as_ref().map(|how| format!("the DUT died: {how}")))
    }
}

/// The trial with one worker more, and the one it is compared with: the last one at its load before it.
fn workers(trials: &[TrialRecord]) -> Option<Workers<'_>> {
    let at = trials.iter().position(|trial| trial.purpose == Purpose::MoreWorkers)?;
    let before =
        trials[..at].iter().rev().find(|trial| trial.load == trials[at].load && trial.ended_early.is_none())?;
    Some(Workers { before, more: &trials[at] })
}

/// The trial whose load the search calls its answer.
fn carried<'a>(
    trials: &[&'a TrialRecord],
    passed: &[bool],
    found: Option<Found>,
    counts: impl Fn(&TrialRecord) -> bool,
) -> Option<&'a TrialRecord> {
    let lower = found?.lower?;
    let same = |trial: &TrialRecord| (trial.load.amount() - lower).abs() <= 1e-6 * lower.max(1.0);
    let pairs = trials.iter().zip(passed).rev();
    pairs.filter(|(trial, passed)| **passed && counts(trial) && same(trial)).map(|(trial, _)| *trial).next()
}

/// What an interrupted search had carried so far, unconfirmed.
fn best_of_interrupted<'a>(trials: &[&'a TrialRecord], passed: &[bool], context: &Context) -> Option<&'a TrialRecord> {
    let carried = trials
        .iter()
        .zip(passed)
        .filter(|(trial, passed)| **passed && context.interrupted && trial.purpose.is_searching());
    carried.map(|(trial, _)| *trial).max_by(|a, b| a.load.amount().total_cmp(&b.load.amount()))
}

fn figure_value(unit: Unit, trial: &TrialRecord) -> f64 {
    match unit {
        Unit::ConnectionsPerSecond | Unit::FramesPerSecond => trial.achieved_rate(),
        Unit::TransactionsPerSecond | Unit::Transactions => trial.transaction_rate(),
        // Connections that did not live to their clean end were not held, however long they were open.
        Unit::Connections => trial.open_mean_in_sustain.min(trial.outcomes.of(Outcome::Ok) as f64),
    }
}

fn frame_size(plan: &Plan) -> Option<FrameSize> {
    let WorkloadKind::Udp(udp) = &plan.workload.kind else { return None };
    if let Mix::Fixed { size } = udp.mix { Some(size) } else { None }
}

fn object_bytes(plan: &Plan, trial: &TrialRecord) -> Option<u64> {
    let WorkloadKind::Http(http) = &plan.workload.kind else { return None };
    match http.body {
        BodyCheck::Table { length } => Some(length),
        // Every verified body had the length of the first, so an even division is that length.
        BodyCheck::LengthOfFirst => {
            let (bytes, bodies) = (trial.body_bytes_in_sustain, trial.transactions_in_sustain);
            bytes.checked_div(bodies).filter(|length| length * bodies == bytes)
        }
    }
}

/// Whether RFC 9411 forbids to report the figure. Other profiles promise no results of it.
fn not_valid(plan: &Plan, validation: &Validation) -> bool {
    plan.profile == Profile::Rfc && validation.is_valid() == Some(false)
}

/// What decides how the program ends.
struct Ending<'a> {
    case: &'a Case<'a>,
    judged: &'a [Judged],
    figures: &'a [Figure],
    limited_by: Option<LimitedBy>,
    evidence: &'a [Evidence],
    basis: &'a Basis<'a>,
    died: Option<String>,
}

impl Ending<'_> {
    fn exit(&self, doubtful_books: bool, stolen: bool) -> (Exit, String) {
        if self.case.context.interrupted {
            let text = "interrupted by the user; what was measured until then is kept";
            return (Exit::Interrupted, text.to_owned());
        }
        if let Some(how) = &self.died {
            return (Exit::Undecided, format!("undecided: {how}"));
        }
        if let Some(how) = &self.case.context.collapsed {
            return (Exit::Undecided, format!("undecided: {how}"));
        }
        let Some(passed) = &self.case.verdict else {
            return (Exit::Undecided, searched::nothing_decides(&self.case.trials, self.case.context));
        };
        if stolen {
            return (Exit::Undecided, "undecided: the hypervisor took too much CPU away (more than 5%)".to_owned());
        }
        if doubtful_books {
            return (Exit::Undecided, "undecided: the books of client and reflectors disagree".to_owned());
        }
        self.by_expectations().or_else(|| self.by_trial(passed)).unwrap_or_else(|| self.by_limit())
    }

    fn by_expectations(&self) -> Option<(Exit, String)> {
        let list = |verdict| {
            let of = self.judged.iter().filter(|judged| judged.verdict == verdict);
            let texts: Vec<String> =
                of.map(|judged| format!("{} (measured {})", judged.text, judged.measured)).collect();
            Some(texts.join(", ")).filter(|texts| !texts.is_empty())
        };
        list(Verdict::Fail).map(|texts| (Exit::Missed, format!("missed: {texts}")))
    }

    /// Trials that failed or say nothing, whatever was expected.
    fn by_trial(&self, passed: &Passed) -> Option<(Exit, String)> {
        let reasons = passed.reasons.join("; ");
        if let Some(load) = self.basis.unqualified_at {
            let text = format!("not even {load} {} were carried: {reasons}", self.case.plan.load.unit.name());
            let exit = if self.basis.sound && !self.has_undecided() { Exit::Missed } else { Exit::Undecided };
            let text = if exit == Exit::Missed { text } else { format!("undecided: {text}{}", self.suspect()) };
            return Some((exit, text));
        }
        if !passed.decided {
            let ceiling = self.ceiling_of_fixed();
            return Some((Exit::Undecided, format!("undecided: the trial is invalid: {reasons}{ceiling}")));
        }
        if self.basis.not_valid {
            let source = cite(self.case.plan, "RFC 9411", "RFC 2285, 3.5");
            return Some((Exit::Undecided, format!("undecided: by {source} no valid result: {reasons}")));
        }
        let undecided: Vec<&str> = self
            .judged
            .iter()
            .filter(|judged| judged.verdict == Verdict::Undecided)
            .map(|judged| judged.text.as_str())
            .collect();
        if undecided.is_empty() {
            return None;
        }
        Some((Exit::Undecided, format!("undecided: {}{}", undecided.join(", "), self.suspect())))
    }

    /// What the tester can offer, where a fixed load of frames was beyond it.
    fn ceiling_of_fixed(&self) -> String {
        let plan = self.case.plan;
        let is_asked = plan.search == SearchPlan::Fixed && plan.load.unit == Unit::FramesPerSecond;
        self.case.ceiling_value().filter(|_| is_asked).map_or_else(String::new, |ceiling| {
            format!("; without the DUT, tester and reflectors reach {ceiling:.0} frames/s")
        })
    }

    fn has_undecided(&self) -> bool {
        self.judged.iter().any(|judged| judged.verdict == Verdict::Undecided)
    }

    /// ": the figure is only a lower bound, limited by generator"; for a fixed load, which has no
    /// limit to name, the rule that the tester broke.
    fn suspect(&self) -> String {
        match (self.limited_by, self.figures.first()) {
            (Some(who), Some(figure)) if figure.bound == Bound::Lower => {
                format!(": the figure is only a lower bound, limited by {}", who.name())
            }
            (Some(who), _) if who != LimitedBy::Dut => format!(": limited by {}", who.name()),
            (None, _) if !self.basis.sound => {
                let broken = self.evidence.iter().find(|evidence| !evidence.holds && evidence.rule != "G8");
                broken.map(|evidence| format!(": {}: {}", evidence.rule, evidence.text)).unwrap_or_default()
            }
            _ => String::new(),
        }
    }

    fn by_limit(&self) -> (Exit, String) {
        if !self.judged.is_empty() {
            let texts: Vec<&str> = self.judged.iter().map(|judged| judged.text.as_str()).collect();
            return (Exit::Met, format!("every expectation is met: {}", texts.join(", ")));
        }
        if matches!(self.case.plan.testbed.dut.kind, DutKind::None) {
            return (Exit::Met, "nothing was expected, and there is no DUT".to_owned());
        }
        let at_least = self.case.found.is_some_and(|found| found.at_least);
        match self.limited_by {
            None => (Exit::Met, "nothing was expected of this load".to_owned()),
            Some(LimitedBy::Dut) if !at_least => {
                (Exit::Met, "nothing was expected, and the DUT set the maximum".to_owned())
            }
            Some(LimitedBy::Dut) => (Exit::Undecided, searched::not_bracketed(self.case.plan).to_owned()),
            Some(who) => (
                Exit::Undecided,
                format!("undecided: nothing was expected, and not the DUT set the maximum: {}", who.name()),
            ),
        }
    }
}
