//! The search of a run: ceiling, the trials that the search asks for, and the probes between them.
//!
//! After a trial that failed, a very light load has to pass before the search goes on: a DUT that lies on
//! the ground would fail whatever comes next, and the figure would be one of its collapse. The probe is
//! tried a bounded number of times; a DUT that stays down ends the search, undecided. Trials that an
//! earlier run has finished are taken from it instead of being measured again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::past::{self, Past};
use super::{CEILING_OPERATIONS, Findings, Run, RunError, frames, limits};
use crate::measure::record::{Purpose, TrialLoad};
use crate::measure::{Outcome, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::{Phases, Profile, Unit};
use crate::search::{self, Ask, Grain, Search, Tell};
use crate::suite::probe::ProbeError;
use crate::verdict;

/// Share of the failed load that a probe asks for.
const PROBE_SHARE: f64 = 0.01;
/// Operations per second below which a probe would show nothing.
const PROBE_RATE_MIN: f64 = 5.0;
/// Sustain of a probe.
pub(super) const PROBE_SUSTAIN: Duration = Duration::from_secs(1);
/// How often a trial is tried that says nothing about its load.
const TRIES: u32 = 3;
/// Longest ramp of a probe.
const PROBE_RAMP: Duration = Duration::from_millis(100);
/// Waits before each try of a probe, in seconds.
const PROBE_WAITS: [u64; 4] = [0, 1, 3, 8];
/// The same under profile `rfc` (RFC 2544, 23: at least 5 s for the DUT to settle).
const PROBE_WAITS_RFC: [u64; 4] = [5, 10, 20, 40];

impl Run<'_> {
    pub(super) fn answer_question(&mut self) -> Result<Findings, RunError> {
        if self.begin()? { self.search_maximum() } else { Ok(Findings::default()) }
    }

    /// What comes once before the first trial; whether trials may follow.
    pub(super) fn begin(&mut self) -> Result<bool, RunError> {
        self.interrupt.wait(self.plan.load.phases.init);
        match self.learn_body() {
            Err(RunError::Probe(ProbeError::Interrupted)) => return Ok(false),
            other => other?,
        }
        self.ledgers = self.take_ledgers();
        Ok(true)
    }

    /// The ceiling and the search of the plan, and what follows from it.
    pub(super) fn search_maximum(&mut self) -> Result<Findings, RunError> {
        let mut findings = Findings::default();
        if self.wants_ceiling() && !self.must_stop() {
            findings.ceiling = Some(self.ceiling()?);
        }
        let ceiling = findings.ceiling.map(|at| self.trials[at].achieved_rate());
        let most = limits::most(self.plan, &self.testbed.placement().generator, ceiling, &self.carrier)
            .map_err(RunError::Infeasible)?;
        // The search asks for no more than this, so that meeting the bound can be told from missing it.
        let down =
            |most: limits::Most| limits::Most { load: Grain::of(self.plan.load.unit).round_down(most.load), ..most };
        let most = most.map(down);
        let limits =
            search::Limits { ceiling: most.as_ref().map(|most| most.load), loss: verdict::loss_limit(self.plan) };
        self.most = most;
        let mut search = search::search(self.plan, limits);
        let searched = self.search(search.as_mut());
        let found = search.found();
        findings.found = Some(found);
        findings.details = search.details();
        searched?;
        self.more_workers(found)?;
        let lacks_ceiling = self.trials.last().is_some_and(|trial| lacks_ceiling(self.plan, trial));
        if lacks_ceiling && !self.testbed.reflectors().is_empty() && !self.must_stop() {
            findings.ceiling = Some(self.ceiling()?);
        }
        Ok(findings)
    }

    pub(super) fn search(&mut self, search: &mut dyn Search) -> Result<(), RunError> {
        self.past.begin_search();
        let mut live: Option<Instant> = None;
        while !self.must_stop() && self.collapsed.is_none() {
            let elapsed = match self.past.elapsed() {
                Some(elapsed) => elapsed,
                None => self.past.spent() + live.get_or_insert_with(Instant::now).elapsed(),
            };
            let Some(ask) = search.next(elapsed) else { break };
            // Without an answer the search cannot go on; the report will say why.
            let Some((told, passed)) = self.answered(&ask)? else { break };
            // A load that the tester itself could not offer counts as failed: the search goes on below
            // it, and the answer names the generator.
            search.tell(told);
            if passed == Some(false) && needs_recovery(ask.purpose) {
                self.wait_for_recovery(&ask)?;
            }
        }
        Ok(())
    }

    /// What became of a trial. One that says nothing about the load, because this host was robbed of its
    /// CPU meanwhile, is asked again; `None` if none of so many did.
    fn answered(&mut self, ask: &Ask) -> Result<Option<(Tell, Option<bool>)>, RunError> {
        for _ in 0..TRIES {
            let record = self.asked(*ask)?;
            let judged = verdict::passes(self.plan, &record);
            let passed = judged.decided.then_some(judged.passed);
            let told = tell(self.plan, ask, &record, passed);
            let is_robbed = is_robbed(ask.purpose, passed, verdict::is_testers_doing(&record));
            self.keep(record, passed, &judged.reasons)?;
            if !is_robbed {
                return Ok(Some((told, passed)));
            }
            if self.must_stop() {
                break;
            }
        }
        Ok(None)
    }

    /// Probes a DUT that has just failed until a light load is clean; notes it as collapsed when none is.
    fn wait_for_recovery(&mut self, failed: &Ask) -> Result<(), RunError> {
        let waits = if self.plan.profile == Profile::Rfc { PROBE_WAITS_RFC } else { PROBE_WAITS };
        let load = probe_load(self.plan.load.unit, failed.load);
        let after = self.trials.len();
        for wait in waits {
            if !self.past.has_next() {
                self.interrupt.wait(Duration::from_secs(wait));
            }
            if self.must_stop() {
                return Ok(());
            }
            let record = self.asked(Ask { purpose: Purpose::Probe, load, sustain: PROBE_SUSTAIN })?;
            let decided = verdict::passes(self.plan, &record).decided;
            let clean = verdict::is_clean(self.plan, &record);
            let reasons = if clean { Vec::new() } else { vec!["the DUT has not recovered".to_owned()] };
            self.keep(record, decided.then_some(clean), &reasons)?;
            // What went wrong in the tester says nothing about the DUT.
            if clean || !decided {
                return Ok(());
            }
        }
        let total: u64 = waits.iter().sum();
        self.collapsed = Some(format!(
            "the DUT collapsed in trial {after} at {} {unit} and stayed down: {} probes at {load} {unit} within {total} s \
             of waiting were not clean",
            failed.load,
            waits.len(),
            unit = self.plan.load.unit.name()
        ));
        Ok(())
    }

    pub(super) fn must_stop(&self) -> bool {
        self.interrupt.is_set() || self.is_damaged
    }

    /// A ceiling needs reflectors of our own, and matters when a maximum is searched. A fixed load needs one only
    /// when it could not be offered: see [`lacks_ceiling`].
    fn wants_ceiling(&self) -> bool {
        let searched = self.plan.search.maximum().is_some() && self.plan.load.unit != Unit::Connections;
        searched && !self.testbed.reflectors().is_empty()
    }

    pub(super) fn ceiling(&mut self) -> Result<usize, RunError> {
        let workers = self.testbed.placement().generator.len() as u32;
        let load = TrialLoad::Closed(CEILING_OPERATIONS * workers);
        let services = self.testbed.reflectors().to_vec();
        let record = self.measured(Purpose::Ceiling, load, self.plan.load.phases.sustain, services)?;
        self.keep(record, None, &[])?;
        Ok(self.trials.len() - 1)
    }

    pub(super) fn asked(&mut self, ask: Ask) -> Result<TrialRecord, RunError> {
        let load = search::trial_load(self.plan.load.unit, ask.load);
        let services = self.testbed.service();
        self.measured(ask.purpose, load, ask.sustain, services)
    }

    /// The trial of the earlier run, if it was finished there; else a new one.
    pub(super) fn measured(
        &mut self,
        purpose: Purpose,
        load: TrialLoad,
        sustain: Duration,
        services: Vec<SocketAddr>,
    ) -> Result<TrialRecord, RunError> {
        let wanted = past::Wanted { purpose, load, sustain, size: frames::parts::size(self.plan) };
        match self.past.take(&wanted) {
            Some(mut record) => {
                record.number = self.trials.len() as u32 + 1;
                self.resumed.push(record.number);
                Ok(record)
            }
            None => self.trial(purpose, load, sustain, services),
        }
    }
}

impl Past {
    /// Whether the earlier run has a further trial, so that nothing has to be waited for.
    fn has_next(&self) -> bool {
        self.elapsed().is_some()
    }
}

/// Fits a trial to the few operations of a probe, which need no gentle beginning. Held connections do:
/// all of them have to be open when sustain begins, and each has to prove itself within it.
pub(super) fn hasten(phases: &mut Phases, hold_interval: &mut Duration, load: TrialLoad) {
    phases.ramp_down = phases.ramp_down.min(PROBE_RAMP);
    if matches!(load, TrialLoad::Held(_)) {
        *hold_interval = (*hold_interval).min(phases.sustain / 2);
    } else {
        phases.ramp_up = phases.ramp_up.min(PROBE_RAMP);
    }
}

/// Whether a trial says nothing about the load. A fixed load is the whole question: it is not repeated.
fn is_robbed(purpose: Purpose, passed: Option<bool>, is_testers_doing: bool) -> bool {
    passed.is_none() && !is_testers_doing && purpose != Purpose::Fixed
}

/// Whether further loads come after such a trial, which would be lost on a DUT that lies on the ground.
fn needs_recovery(purpose: Purpose) -> bool {
    purpose == Purpose::Sweep || purpose.is_searching() && purpose != Purpose::Fixed
}

/// Whether a fixed load of frames was not decided because the tester could not send it all: then the user wants
/// to know what it can.
fn lacks_ceiling(plan: &Plan, trial: &TrialRecord) -> bool {
    let is_fixed = trial.purpose == Purpose::Fixed && plan.load.unit == Unit::FramesPerSecond;
    let is_undecided = || !verdict::passes(plan, trial).decided;
    is_fixed && trial.outcomes.of(Outcome::UnsentLate) > 0 && is_undecided()
}

fn tell(plan: &Plan, ask: &Ask, record: &TrialRecord, passed: Option<bool>) -> Tell {
    Tell {
        load: ask.load,
        passed: passed.unwrap_or(false),
        achieved: verdict::achieved(plan, record),
        loss: verdict::loss(plan, record),
        duration: ask.sustain,
        setup_rate: verdict::setup_rate(record),
    }
}

/// A load that any device carries which is up, in the unit of the load.
fn probe_load(unit: Unit, failed: f64) -> f64 {
    let least = match unit {
        Unit::ConnectionsPerSecond | Unit::TransactionsPerSecond | Unit::FramesPerSecond => {
            PROBE_RATE_MIN.min(failed / 2.0)
        }
        Unit::Connections | Unit::Transactions => 1.0,
    };
    Grain::of(unit).round((failed * PROBE_SHARE).max(least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Outcomes;
    use crate::scenario::plan::SearchPlan;

    #[test]
    fn held_connections_of_a_probe_are_opened_and_used_within_its_sustain() {
        let seconds = Duration::from_secs;
        let phases = Phases { init: seconds(1), ramp_up: seconds(3), sustain: PROBE_SUSTAIN, ramp_down: seconds(3) };
        let hastened = |load| {
            let (mut phases, mut interval) = (phases, seconds(5));
            hasten(&mut phases, &mut interval, load);
            (phases.ramp_up, phases.ramp_down, interval)
        };
        let half = Duration::from_millis(500);
        assert_eq!(hastened(TrialLoad::Held(5_000)), (seconds(3), PROBE_RAMP, half));
        assert_eq!(hastened(TrialLoad::Rate(50.0)), (PROBE_RAMP, PROBE_RAMP, seconds(5)));
    }

    #[test]
    fn a_fixed_load_of_frames_that_was_not_sent_asks_for_the_ceiling() {
        let mut plan = crate::report::fixture::frames::rfc2544().plan.clone();
        plan.suite = None;
        plan.search = SearchPlan::Fixed;
        let mut trial = crate::report::fixture::frames::rfc2544().trials[1].clone();
        (trial.purpose, trial.ended_early) = (Purpose::Fixed, None);
        trial.outcomes = Outcomes::default();
        trial.outcomes.add(Outcome::Ok, trial.due);
        assert!(!lacks_ceiling(&plan, &trial), "all of it was sent");
        trial.outcomes.add(Outcome::UnsentLate, trial.due / 4);
        trial.due += trial.due / 4;
        assert!(lacks_ceiling(&plan, &trial));
        plan.load.unit = Unit::ConnectionsPerSecond;
        assert!(!lacks_ceiling(&plan, &trial), "a fixed load has no other use for it");
    }

    #[test]
    fn a_probe_is_a_hundredth_but_never_nothing() {
        assert_eq!(probe_load(Unit::ConnectionsPerSecond, 16_000.0), 160.0);
        assert_eq!(probe_load(Unit::TransactionsPerSecond, 100.0), 5.0);
        assert_eq!(probe_load(Unit::ConnectionsPerSecond, 4.0), 2.0);
        assert_eq!(probe_load(Unit::Connections, 5_000.0), 50.0);
        assert_eq!(probe_load(Unit::Connections, 3.0), 1.0);
    }
}
