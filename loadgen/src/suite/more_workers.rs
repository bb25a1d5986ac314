//! G7: does the lowest load that failed fare better with one generator worker more?
//!
//! Only where a core is free: a worker that shared one would take CPU from whoever has it. At most two
//! trials: a failing trial that was given up early says nothing about rates, so it is first repeated as it
//! was, to its end. The operations that may be under way stay as many as before, because more of them
//! alone could help a slow device. What the two trials mean is decided in [`crate::verdict`].

use super::{Run, RunError};
use crate::measure::TrialRecord;
use crate::measure::record::{Purpose, TrialLoad};
use crate::scenario::plan::Unit;
use crate::search::Found;
use crate::verdict;

impl Run<'_> {
    /// Runs the trials; why there are none is kept for the answer.
    pub(super) fn more_workers(&mut self, found: Found) -> Result<(), RunError> {
        match self.worth_more_workers(found) {
            Ok((core, failing)) => self.run_more_workers(core, failing),
            Err(why) => {
                self.no_more_workers = Some(why);
                Ok(())
            }
        }
    }

    /// A free core, and where in the list the lowest failing trial stands.
    fn worth_more_workers(&self, found: Found) -> Result<(usize, usize), String> {
        if self.must_stop() {
            return Err("the run was ended before".to_owned());
        }
        if self.collapsed.is_some() {
            return Err("the DUT collapsed and stayed down".to_owned());
        }
        if self.plan.search.maximum().is_none() {
            return Err("the load was not searched".to_owned());
        }
        if self.plan.load.unit == Unit::Connections {
            return Err("held connections need no rate of the generator".to_owned());
        }
        let above = found.lower.unwrap_or(0.0);
        let failed = |trial: &TrialRecord| trial.purpose.is_searching() && trial.load.amount() > above;
        let own = self.trials.iter().enumerate().skip(self.part_begins);
        let failing = own.filter(|(_, trial)| failed(trial));
        let failing = failing.filter(|(_, trial)| !verdict::passes(self.plan, trial).passed);
        let lowest = failing.min_by(|a, b| a.1.load.amount().total_cmp(&b.1.load.amount()));
        let (at, _) = lowest.ok_or_else(|| "no load failed".to_owned())?;
        let core = self.testbed.placement().free_core(&host::cpu::allowed_cores(), &self.plan.testbed)?;
        Ok((core, at))
    }

    fn run_more_workers(&mut self, core: usize, failing: usize) -> Result<(), RunError> {
        let (load, sustain) = (self.trials[failing].load, self.plan.load.phases.sustain);
        if self.trials[failing].ended_early.is_some() || self.trials[failing].sustain != sustain {
            self.beside(Purpose::Control, load, sustain)?;
        }
        if self.must_stop() {
            return Ok(());
        }
        self.extra_core = Some(core);
        let outcome = self.beside(Purpose::MoreWorkers, load, sustain);
        self.extra_core = None;
        outcome
    }

    /// A trial that tells nothing to the search.
    fn beside(&mut self, purpose: Purpose, load: TrialLoad, sustain: std::time::Duration) -> Result<(), RunError> {
        let services = self.testbed.service();
        let record = self.measured(purpose, load, sustain, services)?;
        self.keep(record, None, &[])
    }
}
