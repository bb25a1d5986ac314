//! Is the figure's trial valid by the criteria of RFC 9411? V-a to V-e as data, over its whole sustain.
//!
//! The names are ours, the criteria those of RFC 9411, 7.2.3.3, 7.3.3.3, 7.4.3.3 and 7.5.3.3. "Less than
//! 0.001 %" is compared in integers: of fewer than 100,001 attempts no failure is tolerated. "Deviation"
//! is not defined there; ours is the largest distance of a window's mean from the mean of all windows,
//! relative to that (`windows`). A reset that the device sent looks like one that it passed on, so
//! those that the reflectors wrote down as their own are taken off.
//!
//! Under profile `rfc` a trial of full length that breaks one has not passed; under the others, whose
//! results are `derived` anyway, that is a warning and an observed deviation. It leaves out who is to
//! blame: `verdict::limit` does that. Datagrams have a criterion of their own (`frames`).

mod frames;
mod windows;

use serde::{Deserialize, Serialize};

use self::windows::Windows;
use super::pass::FailedLimit;
use crate::measure::record::{Purpose, TrialLoad};
use crate::measure::{Outcome, Second, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::{Pattern, Profile, SearchPlan, Unit, WorkloadKind};

/// Failed transactions, and unexpected resets: fewer than 1 in so many.
const ONE_IN: u64 = 100_000;
/// Largest deviation of the rate at which operations complete.
const RATE_DEVIATION_MAX: f64 = 0.05;
/// Largest deviation of the connections open at once.
const CC_DEVIATION_MAX: f64 = 0.10;

/// One criterion with what it saw.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Validity {
    /// `V-a` … `V-e`, or `offered-load`.
    pub rule: String,
    /// What was found, as a ratio; `None` where it could not be applied.
    pub value: Option<f64>,
    /// What it has to stay below, as a ratio.
    pub limit: f64,
    /// Length of the windows that were compared, in seconds, where windows were.
    pub window_s: Option<u32>,
    /// Whether it is met; `None` where it could not be applied.
    pub holds: Option<bool>,
    /// What was seen, in words with numbers.
    pub text: String,
}

impl Validity {
    fn of_counts(rule: &str, (found, of): (u64, u64), text: String) -> Self {
        // RFC 9411, 7.2.3.3: "less than 0.001 % (1 out of 100,000)", so 1 of 100,000 is too many.
        let holds = found == 0 || found.saturating_mul(ONE_IN) < of;
        let value = Some(found as f64 / of.max(1) as f64);
        Self { rule: rule.to_owned(), value, limit: 1.0 / ONE_IN as f64, window_s: None, holds: Some(holds), text }
    }

    fn of_windows(rule: &str, value: f64, limit: f64, windows: &Windows, text: &str) -> Self {
        let text = format!(
            "{text} {:.1}% (limit {:.0}%, {} windows of {} s)",
            value * 100.0,
            limit * 100.0,
            windows.count,
            windows.width_s
        );
        let holds = Some(value < limit);
        Self { rule: rule.to_owned(), value: Some(value), limit, window_s: Some(windows.width_s), holds, text }
    }

    fn not_applied(rule: &str, limit: f64, why: &str) -> Self {
        let text = format!("not applied: {why}");
        Self { rule: rule.to_owned(), value: None, limit, window_s: None, holds: None, text }
    }

    /// Whether it is broken; one that could not be applied is not.
    pub fn is_broken(&self) -> bool {
        self.holds == Some(false)
    }
}

/// What is known of the validity of the figure's trial.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Validation {
    /// V-a to V-e, of frames the offered load; empty without a trial.
    pub rules: Vec<Validity>,
    /// What its failures show with confidence.
    pub resolution: Option<Resolution>,
    /// What was seen while it ran that RFC 9411 wants otherwise; what the plan itself does otherwise
    /// stands in [`super::answer::Answer::deviations`].
    pub observed: Vec<String>,
}

impl Validation {
    /// Of one trial. `observed` are further deviations that only the run showed.
    pub(super) fn of(plan: &Plan, trial: &TrialRecord, observed: Vec<String>) -> Self {
        let rules = rules(plan, trial);
        let source = source(plan);
        let broken = rules.iter().filter(|rule| rule.is_broken());
        let mut deviations: Vec<String> =
            broken.map(|rule| format!("{}: {} ({source})", rule.rule, rule.text)).collect();
        let unknown = rules.iter().filter(|rule| rule.value.is_none() && matches!(rule.rule.as_str(), "V-c" | "V-d"));
        deviations.extend(unknown.map(|rule| format!("{} {} ({source})", rule.rule, rule.text)));
        deviations.extend(observed);
        Self { rules, resolution: Resolution::of(plan, trial), observed: deviations }
    }

    /// The criteria that are broken.
    pub fn broken(&self) -> impl Iterator<Item = &Validity> {
        self.rules.iter().filter(|rule| rule.is_broken())
    }

    /// One criterion by its name.
    pub fn rule(&self, name: &str) -> Option<&Validity> {
        self.rules.iter().find(|rule| rule.rule == name)
    }

    /// Whether every criterion that could be applied is met; `None` without a trial.
    pub fn is_valid(&self) -> Option<bool> {
        (!self.rules.is_empty()).then(|| self.broken().next().is_none())
    }
}

/// Where the criteria of a unit's test stand.
pub(super) fn source(plan: &Plan) -> &'static str {
    match plan.load.unit {
        Unit::ConnectionsPerSecond => "RFC 9411, 7.2.3.3",
        Unit::TransactionsPerSecond | Unit::Transactions => "RFC 9411, 7.3.3.3",
        Unit::Connections => "RFC 9411, 7.5.3.3",
        Unit::FramesPerSecond => frames::SOURCE,
    }
}

/// Why a trial is no valid one under a profile that keeps to RFC 9411; short trials of a search only
/// steer it.
pub(super) fn reasons(plan: &Plan, trial: &TrialRecord) -> Vec<String> {
    let whole = trial.purpose == Purpose::Qualify || trial.sustain >= crate::scenario::final_sustain(plan);
    if plan.profile != Profile::Rfc || !whole {
        return Vec::new();
    }
    let source = source(plan);
    let broken = rules(plan, trial).into_iter().filter(Validity::is_broken);
    broken.map(|rule| format!("{}: {} ({source})", rule.rule, rule.text)).collect()
}

/// The criteria of one trial.
fn rules(plan: &Plan, trial: &TrialRecord) -> Vec<Validity> {
    if plan.load.unit == Unit::FramesPerSecond {
        return frames::rules(trial);
    }
    let mut rules = vec![transactions(plan, trial), resets(trial)];
    rules.extend(deviations(plan, trial));
    rules
}

/// V-a: transactions that failed, of all that were attempted.
fn transactions(plan: &Plan, trial: &TrialRecord) -> Validity {
    let failed = trial.outcomes.failed_by_testbed();
    let held = matches!(trial.load, TrialLoad::Held(_)) && !matches!(plan.workload.kind, WorkloadKind::Tcp);
    // A held connection carries many transactions and fails with one of them.
    let ok = if held { trial.transactions_in_sustain } else { trial.outcomes.of(Outcome::Ok) };
    let attempted = ok + failed;
    let text = format!("{failed} of {attempted} transactions failed (limit: fewer than 1 in 100000)");
    Validity::of_counts("V-a", (failed, attempted), text)
}

/// V-b: connections that ended with a RST nobody of the testbed's own side sent.
fn resets(trial: &TrialRecord) -> Validity {
    let connections = trial.connections_in_sustain;
    let own: u64 = trial.ledgers.iter().map(|ledger| ledger.reset_by_reflector + ledger.refused_by_cap).sum();
    let unexpected = connections.reset.saturating_sub(own);
    // Connections that were begun before sustain are reset in it as well, so there may be more of them.
    let begun = connections.begun.max(trial.open_peak);
    let mut text = format!("{unexpected} of {begun} connections ended with an unexpected RST");
    if own > 0 {
        text.push_str(&format!(" ({} seen, of which up to {own} came from the reflectors)", connections.reset));
    }
    text.push_str(" (limit: fewer than 1 in 100000)");
    Validity::of_counts("V-b", (unexpected, begun), text)
}

/// V-c, V-d and, for a load that is to be held, V-e.
fn deviations(plan: &Plan, trial: &TrialRecord) -> Vec<Validity> {
    let fixed = plan.search == SearchPlan::Fixed && matches!(trial.load, TrialLoad::Rate(_));
    let missing = |why: &str| {
        let mut missing = vec![
            Validity::not_applied("V-c", RATE_DEVIATION_MAX, why),
            Validity::not_applied("V-d", CC_DEVIATION_MAX, why),
        ];
        missing.extend(fixed.then(|| Validity::not_applied("V-e", RATE_DEVIATION_MAX, why)));
        missing
    };
    if plan.load.pattern != Pattern::Flat {
        return missing("the load is not meant to be constant");
    }
    let seconds = trial.whole_seconds().collect::<Vec<_>>();
    let completed: Vec<u64> = seconds.iter().map(|second| completed(plan, second)).collect();
    let held = matches!(trial.load, TrialLoad::Held(_));
    let windows = Windows::of(&completed);
    let mut rules = match &windows {
        Ok(windows) => {
            let rate = windows.deviation(completed.iter().map(|count| *count as f64));
            let text = "the rate of completions deviates from its mean by";
            vec![Validity::of_windows("V-c", rate, RATE_DEVIATION_MAX, windows, text)]
        }
        Err(why) => vec![Validity::not_applied("V-c", RATE_DEVIATION_MAX, why)],
    };
    // Held connections are counted, not sampled: no noise asks for longer windows.
    let windows = if held { Windows::of_seconds(seconds.len()) } else { windows };
    rules.push(match &windows {
        Ok(windows) => concurrency(&seconds, windows),
        Err(why) => Validity::not_applied("V-d", CC_DEVIATION_MAX, why),
    });
    if fixed {
        rules.push(match &windows {
            Ok(windows) => objective(&completed, &seconds, windows),
            Err(why) => Validity::not_applied("V-e", RATE_DEVIATION_MAX, why),
        });
    }
    rules
}

fn completed(plan: &Plan, second: &Second) -> u64 {
    match plan.load.unit {
        Unit::ConnectionsPerSecond | Unit::FramesPerSecond => second.ended.of(Outcome::Ok),
        Unit::TransactionsPerSecond | Unit::Transactions | Unit::Connections => second.transactions,
    }
}

/// V-d over the time average of each window: at high rates of short connections the number at one
/// moment says nothing.
fn concurrency(seconds: &[&Second], windows: &Windows) -> Validity {
    let open: Vec<f64> = seconds.iter().map(|second| second.open_ns as f64 / 1e9).collect();
    if open.iter().sum::<f64>() <= 0.0 {
        return Validity::not_applied("V-d", CC_DEVIATION_MAX, "no connection was open in sustain");
    }
    let deviation = windows.deviation(open.into_iter());
    let text = "the connections open at once deviate from their mean by";
    Validity::of_windows("V-d", deviation, CC_DEVIATION_MAX, windows, text)
}

/// V-e: what the window that carried least lacks of what was due in it.
fn objective(completed: &[u64], seconds: &[&Second], windows: &Windows) -> Validity {
    let due: Vec<u64> = seconds.iter().map(|second| second.due).collect();
    let lacks = |(done, due): (f64, f64)| if due > 0.0 { 1.0 - done / due } else { 0.0 };
    let done = windows.means(completed.iter().map(|count| *count as f64));
    let due = windows.means(due.iter().map(|count| *count as f64));
    let worst = done.into_iter().zip(due).map(lacks).fold(0.0, f64::max);
    Validity::of_windows("V-e", worst, RATE_DEVIATION_MAX, windows, "the window with the fewest completions lacks")
}

/// What the number of failures among so many attempts shows of the share that fails.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Resolution {
    /// Operations attempted.
    pub attempted: u64,
    /// Attempts without a failure that would show the limit of failures with 95 % confidence.
    pub needed: u64,
    /// Attempts from which on one failure would be allowed; `None` if it never is.
    pub one_failure_from: Option<u64>,
    /// Without a failure, 95 % upper confidence bound of the share that fails: 1 − 0.05^(1/n).
    pub failed_ratio_upper95: f64,
    /// Whether no failure was seen and still "below the limit" is not shown.
    pub limited: bool,
}

impl Resolution {
    /// `None` where an operation failed (the share itself then speaks) or nothing was attempted.
    fn of(plan: &Plan, trial: &TrialRecord) -> Option<Self> {
        let attempted = trial.outcomes.of(Outcome::Ok);
        let allowed = FailedLimit::of(plan);
        let limit = allowed.as_ratio();
        if trial.outcomes.failed_by_testbed() > 0 || attempted == 0 || limit <= 0.0 {
            return None;
        }
        // Clopper and Pearson, 1934, for no failure at all: p with (1 − p)^n = 5 %.
        let failed_ratio_upper95 = -(0.05_f64.ln() / attempted as f64).exp_m1();
        let needed = if limit < 1.0 { (0.05_f64.ln() / (-limit).ln_1p()).ceil() as u64 } else { 1 };
        let one_failure_from = allowed.resolution();
        Some(Self { attempted, needed, one_failure_from, failed_ratio_upper95, limited: attempted < needed })
    }

    /// What a person has to know, if anything.
    pub(super) fn warning(self) -> Option<String> {
        let Self { attempted, needed, failed_ratio_upper95, one_failure_from, .. } = self;
        let strict = one_failure_from.filter(|from| attempted < *from);
        let strict = strict.map(|from| format!(" (below {from} a single failure breaks it)")).unwrap_or_default();
        self.limited.then(|| {
            format!(
                "resolution_limited: 0 of {attempted} operations failed, which shows with 95% confidence only that fewer \
                 than {:.4}% fail; the limit of failures is shown from {needed} operations on{strict}: lengthen sustain \
                 (search.final_sustain) to show it",
                failed_ratio_upper95 * 100.0
            )
        })
    }
}
