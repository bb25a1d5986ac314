//! A gate from its first pair to its last file: baseline and candidate measured as neighbours, in random
//! order, until the rule has its answer.
//!
//! The rule itself is [`crate::gate`]; which trials count is decided by [`super::rounds::invalid`]. A pair of
//! which one run is invalid is discarded as a whole and another one is measured. The first pair warms
//! the machine up and is never judged. A DUT that dies ends the gate with its pair: no later pair could
//! make up for it.

mod answer;
mod book;

use std::path::Path;

pub use answer::{GateAnswer, Stop, answer};
pub use book::{Booked, book, empty};

use super::rounds::{Contender, Measured, Rounds};
use super::{Options, RunError};
use crate::archive::gate::{GATE_SCHEMA, GateBegun, KeptPair, SIDES, Side};
use crate::archive::host_fingerprint;
use crate::gate::{self, Decision, Metric, Order, Pair, Settings};
use crate::interrupt::Interrupt;
use crate::report::gate::{GateFolder, progress};
use crate::scenario;
use crate::testbed;
use crate::verdict::answer::Exit;

/// What a gate is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Baseline and candidate, named as [`SIDES`].
    pub contenders: [Contender; 2],
    /// How they were named by the user.
    pub specs: [String; 2],
    /// The rule.
    pub settings: Settings,
    /// Fixes which side of each pair runs first.
    pub seed: u64,
    /// Both sides are the same on purpose: so many pairs are measured, whatever the rule says on the way.
    pub same: Option<u32>,
}

/// A gate that came to its end, or to that of the user's patience.
#[derive(Debug)]
pub struct Gated {
    /// What was asked.
    pub begun: GateBegun,
    /// Every pair that was measured, the warm-up included.
    pub pairs: Vec<KeptPair>,
    /// How the measuring ended.
    pub stop: Stop,
    /// What disturbed the measurement without preventing it.
    pub warnings: Vec<String>,
    /// The folder, still open for the answer.
    pub folder: GateFolder,
}

/// Why a gate could not come to its end. What was measured until then is kept.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// One of its runs cannot be had.
    #[error("the {side} ({spec}) cannot be measured in pair {pair}")]
    Run {
        /// `baseline` or `candidate`.
        side: &'static str,
        /// How it was named.
        spec: String,
        /// Number of the pair; 0 is the warm-up.
        pair: u32,
        /// Why.
        #[source]
        source: Box<RunError>,
    },
    /// The gate cannot begin, or its files cannot be written.
    #[error(transparent)]
    Host(#[from] RunError),
}

impl From<crate::report::ReportError> for GateError {
    fn from(error: crate::report::ReportError) -> Self {
        Self::Host(error.into())
    }
}

/// Measures pairs until the rule has its answer.
///
/// # Errors
/// [`GateError`]: this host cannot run it, or one side does not start.
pub fn gate(question: Question, options: &Options, interrupt: &Interrupt) -> Result<Gated, GateError> {
    let path = GateFolder::make(&options.reports, &question.contenders[0].plan.name)?;
    let begun = begun(&question, &path);
    let mut folder = GateFolder::create(path, &begun)?;
    let rounds = Rounds::begin(question.contenders.into(), folder.path(), options, interrupt)?;
    let metrics = begun.settings.limits.iter().map(|limit| limit.metric).collect();
    let mut course = Course { begun: &begun, metrics, rounds, same: question.same, pairs: Vec::new() };
    let stop = course.run(&mut folder);
    course.rounds.live().clear();
    let stop = stop?;
    let Course { rounds, pairs, .. } = course;
    let mut warnings = Vec::new();
    for (at, side) in SIDES.iter().enumerate() {
        warnings.extend(rounds.warnings(at).iter().map(|warning| format!("{side}: {warning}")));
    }
    Ok(Gated { begun, pairs, stop, warnings, folder })
}

fn begun(question: &Question, path: &Path) -> GateBegun {
    let environment = testbed::environment();
    let facts = serde_json::to_value(&environment).unwrap_or_default();
    let plan = &question.contenders[0].plan;
    let side = |at: usize| Side {
        spec: question.specs[at].clone(),
        dut: question.contenders[at].plan.testbed.dut.name.clone(),
    };
    GateBegun {
        schema: GATE_SCHEMA,
        run: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        version: environment.version,
        commit: environment.commit,
        command: std::env::args().collect(),
        began_unix_ns: host::clock::unix_ns(),
        name: plan.name.clone(),
        question: plan.question.clone(),
        scenario: scenario::fingerprint(plan),
        host: host_fingerprint(&facts),
        seed: question.seed,
        settings: question.settings.clone(),
        same: question.same.is_some(),
        sides: [side(0), side(1)],
    }
}

/// A gate on its way.
struct Course<'a> {
    begun: &'a GateBegun,
    metrics: Vec<Metric>,
    rounds: Rounds,
    same: Option<u32>,
    pairs: Vec<KeptPair>,
}

impl Course<'_> {
    fn run(&mut self, folder: &mut GateFolder) -> Result<Stop, GateError> {
        // 0 is the warm-up.
        for number in 0.. {
            let Some(kept) = self.pair(number)? else { return Ok(Stop::Interrupted) };
            folder.pair(&kept)?;
            let died = kept.died.is_some();
            self.pairs.push(kept);
            self.rounds.live().note(&progress(self.begun, &self.pairs));
            if died || self.has_enough(number) {
                break;
            }
        }
        Ok(Stop::Finished)
    }

    /// Whether no further pair is needed. The rule bounds the number of pairs: with too many discarded
    /// ones its answer is that the machine is unfit.
    fn has_enough(&self, number: u32) -> bool {
        match self.same {
            Some(wanted) => number >= wanted,
            None => {
                let judged: Vec<Pair> = answer::judged(&self.pairs).cloned().collect();
                number > 0 && !matches!(gate::judge(&self.begun.settings, &judged).decision, Decision::More { .. })
            }
        }
    }

    /// One pair; `None` if the user ended it. After a death the other side still runs: whether it dies, too,
    /// tells a build from a load that no build carries, and no coin may decide that.
    fn pair(&mut self, number: u32) -> Result<Option<KeptPair>, GateError> {
        let mut kept = empty(self.begun.seed, number);
        let sides = if kept.pair.order == Order::BaselineFirst { [0, 1] } else { [1, 0] };
        for side in sides {
            let Some(Measured { trials, died, .. }) = self.measure(number, side)? else { return Ok(None) };
            let run = Booked { plan: self.rounds.plan(side), trials: &trials, died: died.as_deref() };
            book(&mut kept, side, run, &self.metrics);
        }
        Ok(Some(kept))
    }

    fn measure(&mut self, pair: u32, side: usize) -> Result<Option<Measured>, GateError> {
        let memory = self.metrics.contains(&Metric::MemoryPerConnection);
        match self.rounds.measure(side, memory, &format!("pair {pair},")) {
            Ok(measured) if measured.interrupted => Ok(None),
            Ok(measured) => Ok(Some(measured)),
            Err(error) if error.exit() == Exit::Interrupted => Ok(None),
            Err(source) => {
                let (spec, source) = (self.begun.sides[side].spec.clone(), Box::new(source));
                Err(GateError::Run { side: SIDES[side], spec, pair, source })
            }
        }
    }
}
