//! What is done while a trial runs: sample, write, show, and end it early when it makes no sense.

use crate::interrupt::Interrupt;
use crate::measure::record::{EndedEarly, Purpose};
use crate::measure::{Phase, Role, Sample, Second};
use crate::report::export::{Exports, Kind};
use crate::report::{Live, ReportError, RunFolder};
use crate::scenario::Plan;
use crate::testbed::Testbed;
use crate::trial::Observer;
use crate::verdict;

/// The watch over one trial.
pub(super) struct Watch<'a> {
    pub(super) plan: &'a Plan,
    pub(super) number: u32,
    pub(super) purpose: Purpose,
    /// Operations due in sustain.
    pub(super) planned: u64,
    /// Whether the trial may end when it cannot pass any more.
    pub(super) abortable: bool,
    pub(super) intended: f64,
    pub(super) testbed: &'a mut Testbed,
    pub(super) folder: &'a mut RunFolder,
    pub(super) live: &'a Live,
    pub(super) exports: &'a mut Exports,
    pub(super) interrupt: &'a Interrupt,
    pub(super) last_sample: Option<Sample>,
    /// The reflectors that have died, each once, and how.
    pub(super) reflector_deaths: Vec<(Role, String)>,
    /// The first file that could not be written.
    pub(super) error: Option<ReportError>,
}

impl Watch<'_> {
    /// Looks who has died. A trial goes on without a reflector, because what the DUT does then is
    /// worth seeing to the end; how the DUT itself died is returned.
    pub(super) fn note_deaths(&mut self) -> Option<String> {
        let (dut, others): (Vec<_>, Vec<_>) =
            self.testbed.failures().into_iter().partition(|(role, _)| *role == Role::Dut);
        for (role, how) in others {
            if !self.reflector_deaths.iter().any(|(known, _)| *known == role) {
                self.reflector_deaths.push((role, how));
            }
        }
        dut.into_iter().next().map(|(_, how)| how)
    }
}

impl Observer for Watch<'_> {
    fn sample(&mut self) -> Sample {
        let sample = self.testbed.sample();
        self.last_sample.get_or_insert_with(|| sample.clone());
        sample
    }

    fn second(&mut self, phase: Phase, second: &Second, _failed: u64) {
        let now = self.testbed.sample();
        let samples = self.last_sample.as_ref().map(|before| (before, &now));
        self.live.second(phase, second, self.intended, samples);
        let (trial, purpose, load) = (self.number, self.purpose, self.intended);
        self.exports.tell(Kind::Second { trial, purpose, phase, load, second, samples });
        let written = self.folder.second(self.number, self.purpose, phase, second, samples);
        if let Err(error) = written {
            self.error.get_or_insert(error);
        }
        self.last_sample = Some(now);
    }

    fn end_early(&mut self, failed: u64) -> Option<EndedEarly> {
        if self.interrupt.is_set() || self.error.is_some() {
            return Some(EndedEarly::Interrupted);
        }
        if let Some(how) = self.note_deaths() {
            return Some(EndedEarly::DutDied(how));
        }
        if let Some(how) = self.testbed.network_trouble() {
            return Some(EndedEarly::NetworkBroke(how));
        }
        let hopeless = self.abortable && !verdict::can_still_pass(self.plan, self.planned, failed);
        hopeless.then_some(EndedEarly::CannotPass)
    }
}
