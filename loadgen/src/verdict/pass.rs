//! Did a trial pass, and can it still?
//!
//! A rate trial passes if failures stay below the limit *and* completions inside sustain are at
//! least 99 % of the operations due in it; without the second half a queueing device would pass far
//! above its capacity. A trial of held connections passes if every one of them lives to the end.
//! What the tester itself did wrong makes a trial undecided, never failed by the DUT. Shares are
//! compared in integers: "less than 0.001 %" of 100,000 is no failure at all (RFC 9411, 7.2). Under
//! profile `rfc` a trial of full length also has to be valid ([`super::validity`]).

use crate::gate::failures::Failures;
use crate::measure::record::{EndedEarly, TrialLoad};
use crate::measure::{Latency, Outcome, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::{Comparison, Expectation, GoalPlan, Metric, SearchPlan, Unit, WorkloadKind};

use super::usage::Usage;

mod frames;

pub(super) use frames::{lost_by_tester, own_unsent};

/// Completions inside sustain, of the operations due in it, in percent.
const COMPLETED_PERCENT: u64 = 99;
/// Share of the operations of a probe that may fail, as 1 in so many.
const CLEAN_FAILED_ONE_IN: u64 = 10;
/// Share of never-started operations that is tolerated, as 1 in so many (G2: 0.1 %). Of frames, those within it
/// count as lost wherever a load is confirmed.
const UNSENT_LATE_ONE_IN: u64 = 1_000;
/// Share of the held connections whose opening counts for the setup rate: the last few may be retries.
const SETUP_SHARE: f64 = 0.95;
/// Share of the CPU taken by the hypervisor above which a trial is invalid.
pub(super) const STEAL_MAX: f64 = 0.05;

/// Whether a trial passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Passed {
    /// Whether it passed.
    pub passed: bool,
    /// What kept it from passing or from being decided, with numbers.
    pub reasons: Vec<String>,
    /// Whether the trial is valid: `false` when the tester itself failed, was robbed of its CPU or
    /// was interrupted. An undecided trial never counts as passed.
    pub decided: bool,
}

/// The limit of the failed share, exact in integers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FailedLimit {
    /// In units of 10⁻¹² of the attempts.
    parts: u128,
    inclusive: bool,
}

const WHOLE: u128 = 1_000_000_000_000;

impl FailedLimit {
    /// What the answer may fail: the loss of the first goal, `[expect] failed`, less than 0.001 %, or for
    /// frames none at all (RFC 2544, 26.1).
    pub(super) fn of(plan: &Plan) -> Self {
        let goals = plan.search.maximum().map(|maximum| maximum.goals.as_slice()).unwrap_or_default();
        let loss = goals.first().and_then(|goal| goal.loss);
        loss.map_or_else(|| Self::of_expectation(plan), |loss| Self::up_to(loss.as_ratio()))
    }

    /// The loosest limit of all goals: a trial beyond it says "no" to each of them.
    fn loosest(plan: &Plan) -> Self {
        let goals = plan.search.maximum().map(|maximum| maximum.goals.as_slice()).unwrap_or_default();
        let loss = |goal: &GoalPlan| goal.loss.map(|loss| Self::up_to(loss.as_ratio()));
        let losses = goals.iter().map(|goal| loss(goal).unwrap_or_else(|| Self::of_expectation(plan)));
        losses.fold(Self::of(plan), |a, b| if (b.parts, b.inclusive) > (a.parts, a.inclusive) { b } else { a })
    }

    fn of_expectation(plan: &Plan) -> Self {
        let stated = plan.expect.iter().find(|expectation| expectation.metric == Metric::Failed);
        let default = match plan.workload.kind {
            WorkloadKind::Udp(_) => Self { parts: 0, inclusive: true },
            WorkloadKind::Tcp | WorkloadKind::Http(_) => Self { parts: WHOLE / 100_000, inclusive: false },
        };
        stated.map_or(default, Self::stated)
    }

    fn up_to(loss: f64) -> Self {
        Self { parts: (loss * WHOLE as f64).round() as u128, inclusive: true }
    }

    /// The limit that one line of `[expect]` states.
    pub(super) fn stated(expectation: &Expectation) -> Self {
        Self {
            parts: (expectation.value * WHOLE as f64).round() as u128,
            inclusive: expectation.comparison == Comparison::LessOrEqual,
        }
    }

    /// As a ratio, 0 to 1.
    pub(super) fn as_ratio(self) -> f64 {
        self.parts as f64 / WHOLE as f64
    }

    /// How many of so many may fail at most.
    fn share_of(self, attempted: u64) -> u64 {
        u64::try_from(u128::from(attempted) * self.parts / WHOLE).unwrap_or(u64::MAX).min(attempted)
    }

    pub(super) fn allows(self, failed: u64, attempted: u64) -> bool {
        let (share, limit) = (u128::from(failed) * WHOLE, u128::from(attempted) * self.parts);
        failed == 0 || share < limit || self.inclusive && share == limit
    }

    /// Fewest attempts among which one failure would be allowed; `None` if none ever is.
    pub(super) fn resolution(self) -> Option<u64> {
        let exact = WHOLE.checked_div(self.parts)?;
        let needed = if self.inclusive { WHOLE.div_ceil(self.parts) } else { exact + 1 };
        u64::try_from(needed).ok()
    }
}

/// Whether a trial passed by the rule of the plan.
pub fn passes(plan: &Plan, trial: &TrialRecord) -> Passed {
    let mut invalid = invalid(plan, trial);
    if invalid.is_empty() {
        invalid.extend(own_unsent(plan, trial));
    }
    let failed: Vec<String> = broken(plan, trial).into_iter().chain(super::validity::reasons(plan, trial)).collect();
    let decided = invalid.is_empty();
    Passed { passed: decided && failed.is_empty(), decided, reasons: invalid.into_iter().chain(failed).collect() }
}

/// What failed in a trial, and whether that is more than the plan allows.
pub fn failures(plan: &Plan, trial: &TrialRecord) -> Failures {
    let failed = trial.outcomes.failed_by_testbed();
    let attempted = failed + trial.outcomes.of(Outcome::Ok);
    Failures { failed, attempted, broken: !FailedLimit::of(plan).allows(failed, attempted) }
}

/// Whether a trial can still pass after so many failures, of so many operations planned in sustain.
pub fn can_still_pass(plan: &Plan, due_planned: u64, failed_so_far: u64) -> bool {
    FailedLimit::loosest(plan).allows(failed_so_far, due_planned)
}

/// The highest loss ratio that a trial may have by `[expect] failed`, or less than 0.001 % (of frames: none):
/// what a goal that states none goes for.
pub fn loss_limit(plan: &Plan) -> f64 {
    let limit = FailedLimit::of_expectation(plan);
    let ratio = limit.parts as f64 / WHOLE as f64;
    if limit.inclusive || ratio == 0.0 { ratio } else { ratio.next_down() }
}

/// The loss ratio of a trial (RFC 9971): (planned − successful) / planned, where an operation that was
/// never sent, a lost connection, or what a queue kept beyond sustain was not successful. A trial that
/// says nothing about the DUT, is no valid one where the profile asks for that, or was ended early because
/// it could not pass, has lost at least what it may.
pub fn loss(plan: &Plan, trial: &TrialRecord) -> f64 {
    if !invalid(plan, trial).is_empty() || !super::validity::reasons(plan, trial).is_empty() {
        return 1.0;
    }
    let failed = trial.outcomes.failed_by_testbed() + frames::never_sent(plan, trial);
    let attempted = failed + trial.outcomes.of(Outcome::Ok);
    let share = |part: u64, whole: u64| part.min(whole) as f64 / whole.max(1) as f64;
    let kept = match trial.load {
        TrialLoad::Rate(_) if is_carried(plan, trial) => 0.0,
        TrialLoad::Rate(_) => share(trial.due.saturating_sub(trial.completed_in_sustain), trial.due),
        TrialLoad::Held(count) => {
            let lost = trial.outcomes_all.of(Outcome::HoldLost);
            share(lost.max(u64::from(count).saturating_sub(trial.open_min_in_sustain)), count.into())
        }
        TrialLoad::Closed(_) => 0.0,
    };
    let loss = share(failed, attempted).max(kept);
    let cut_short = trial.ended_early.is_some() && FailedLimit::loosest(plan).allows(failed, attempted);
    if cut_short { 1.0 } else { loss }
}

/// Connections opened per second until all that were asked for were open; `None` where none are held
/// or they never all were.
pub fn setup_rate(trial: &TrialRecord) -> Option<f64> {
    let TrialLoad::Held(count) = trial.load else { return None };
    let wanted = f64::from(count) * SETUP_SHARE;
    let mut opened = 0.0;
    for second in &trial.seconds {
        let now = second.opened as f64;
        if opened + now >= wanted && now > 0.0 {
            let seconds = f64::from(second.index) + (wanted - opened) / now;
            return Some(wanted / seconds.max(0.1));
        }
        opened += now;
    }
    None
}

/// What the trial achieved, in the unit of the load: operations per second of sustain, or the fewest
/// connections that were open in it.
pub fn achieved(plan: &Plan, trial: &TrialRecord) -> f64 {
    match plan.load.unit {
        Unit::ConnectionsPerSecond | Unit::TransactionsPerSecond | Unit::FramesPerSecond => trial.achieved_rate(),
        Unit::Transactions => trial.transaction_rate(),
        Unit::Connections => trial.open_min_in_sustain as f64,
    }
}

/// Whether a very light load was carried: a DUT that lies on the ground fails most of it, one that loses
/// a few of a hundred is up. Its few operations are not held against the ends of sustain.
pub fn is_clean(plan: &Plan, trial: &TrialRecord) -> bool {
    let failed = trial.outcomes.failed_by_testbed().max(trial.outcomes_all.of(Outcome::HoldLost));
    let ok = trial.outcomes.of(Outcome::Ok);
    let few = failed.saturating_mul(CLEAN_FAILED_ONE_IN) <= failed + ok;
    ok > 0 && (few || FailedLimit::loosest(plan).allows(failed, failed + ok))
}

/// Why a trial says nothing about the DUT.
fn invalid(plan: &Plan, trial: &TrialRecord) -> Vec<String> {
    let mut reasons: Vec<String> = frames::own_loss(plan, trial).into_iter().collect();
    let count = |outcome| trial.outcomes.of(outcome);
    let planned = trial.due.max(trial.outcomes.total());
    let late = count(Outcome::UnsentLate);
    if late.saturating_mul(UNSENT_LATE_ONE_IN) > planned {
        let offered = frames::offered(trial);
        reasons.push(format!("the generator started {late} of {planned} operations too late or never{offered}"));
    }
    if count(Outcome::LocalError) > 0 {
        let first = first_failure(trial, Outcome::LocalError);
        reasons.push(format!("{} operations failed in the tester itself{first}", count(Outcome::LocalError)));
    }
    if let Some(steal) = Usage::of(trial).map(|usage| usage.steal()).filter(|steal| *steal > STEAL_MAX) {
        reasons.push(format!("the hypervisor took {:.1}% of a core away", steal * 100.0));
    }
    match &trial.ended_early {
        None | Some(EndedEarly::CannotPass) => {}
        Some(EndedEarly::Interrupted) => reasons.push("it was interrupted".to_owned()),
        Some(EndedEarly::DutDied(how)) => reasons.push(format!("the DUT died: {how}")),
        Some(EndedEarly::NetworkBroke(how)) => reasons.push(format!("the network broke: {how}")),
    }
    reasons.extend(trial.reflector_deaths.iter().map(|how| format!("a reflector died: {how}")));
    if planned == 0 && trial.ended_early.is_none() {
        reasons.push("no operation was due".to_owned());
    }
    reasons
}

/// What the testbed did not carry.
fn broken(plan: &Plan, trial: &TrialRecord) -> Vec<String> {
    let mut reasons = Vec::new();
    let failed = trial.outcomes.failed_by_testbed();
    let attempted = failed + trial.outcomes.of(Outcome::Ok);
    if failed > 0 && !FailedLimit::of(plan).allows(failed, attempted) {
        let kinds: Vec<String> = trial
            .outcomes
            .iter()
            .filter(|(outcome, operations)| *outcome != Outcome::Ok && !outcome.is_testers_fault() && *operations > 0)
            .map(|(outcome, operations)| format!("{} {operations}", outcome.name()))
            .collect();
        reasons.push(format!("{failed} of {attempted} operations failed ({})", kinds.join(", ")));
    }
    match trial.load {
        TrialLoad::Rate(_) => {
            let (completed, due) = (trial.completed_in_sustain, trial.due);
            if !is_carried(plan, trial) {
                let share = completed as f64 / due.max(1) as f64 * 100.0;
                reasons
                    .push(format!("{completed} operations completed in sustain, {share:.1}% of the {due} due in it"));
            }
        }
        TrialLoad::Held(count) => {
            let lost = trial.outcomes_all.of(Outcome::HoldLost);
            if lost > 0 {
                reasons.push(format!("{lost} held connections were lost"));
            }
            if trial.open_min_in_sustain < u64::from(count) {
                let open = trial.open_min_in_sustain;
                reasons.push(format!("{open} connections were open throughout sustain instead of {count}"));
            }
        }
        TrialLoad::Closed(_) => {}
    }
    if reasons.is_empty() && trial.ended_early.is_some() {
        reasons.push("it ended before its time".to_owned());
    }
    reasons
}

/// Whether completions inside sustain kept up with what was due in it, less what may fail. The loss of a
/// goal of MLRsearch is all that was not successful in time, so there its whole share may be missing.
fn is_carried(plan: &Plan, trial: &TrialRecord) -> bool {
    let carried = trial.completed_in_sustain + carried_over(trial);
    let allowed = FailedLimit::of(plan).share_of(trial.due);
    let forgiven = match plan.search {
        SearchPlan::Mlr(_) => allowed,
        _ => allowed.min(trial.outcomes.failed_by_testbed()),
    };
    let due = trial.due.saturating_sub(forgiven);
    carried.saturating_mul(100) >= due.saturating_mul(COMPLETED_PERCENT)
}

/// Completions that a steady but slow DUT shifts out of sustain: with service time L and a ramp of
/// length U, the operations that complete in the first L of sustain were due in the ramp, which held
/// fewer of them: rate × L² / 2U. A queue that grows is not excused by it: its L grows with it far
/// more slowly than its arrears.
fn carried_over(trial: &TrialRecord) -> u64 {
    let service = trial.latencies.of(Latency::Service);
    let (ramp, rate) = (trial.ramp_up.as_secs_f64(), trial.load.amount());
    if service.is_empty() || ramp == 0.0 {
        return 0;
    }
    let typical = (service.value_at_quantile(0.5) as f64 / 1e9).min(ramp);
    (rate * typical * typical / (2.0 * ramp)) as u64
}

/// Whether a trial is invalid because the tester itself could not offer its load.
pub fn is_testers_doing(trial: &TrialRecord) -> bool {
    let tester = trial.outcomes.of(Outcome::UnsentLate) + trial.outcomes.of(Outcome::LocalError);
    let tester = tester > 0 || lost_by_tester(trial);
    tester && matches!(trial.ended_early, None | Some(EndedEarly::CannotPass))
}

/// The text of the first failure of a kind, in brackets, or nothing.
pub(super) fn first_failure(trial: &TrialRecord, outcome: Outcome) -> String {
    let first = trial.first_failures.iter().find(|(kind, _)| *kind == outcome);
    first.map(|(_, text)| format!(" ({text})")).unwrap_or_default()
}
