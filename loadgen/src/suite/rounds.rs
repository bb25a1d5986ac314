//! Several load balancers under one fixed load, in turn, on one machine: the runs that are compared.
//!
//! A *round* measures every contender once. Each of these runs has a testbed of its own, from the start of
//! the DUT to its end: so a run sees what every other one sees, start-up included, nothing that an
//! earlier run left in a process (a grown heap, a warm cache) is carried over, and memory per connection
//! can be told at all. A start costs about 0.2 s. The ramp-up is the warm-up: it is not measured.
//! Each contender's runs are kept as the trials of one ordinary run folder.
//! What the figures of a round mean, and in which order contenders run, is decided by the caller;
//! [`order()`] gives a random one.

mod figures;
mod order;
mod validity;

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use figures::{applicable, unmeasured, values};
pub use order::order;
pub use validity::invalid;

use super::probe::ProbeError;
use super::{Options, Parts, Run, RunError, carrier, limits};
use crate::engine::Carrier;
use crate::engine::sources::Sources;
use crate::interrupt::Interrupt;
use crate::measure::TrialRecord;
use crate::measure::record::{EndedEarly, Purpose, TrialLoad};
use crate::report::export::Exports;
use crate::report::{Live, RunFolder};
use crate::scenario::plan::{CloseMode, Unit};
use crate::scenario::{self, Plan};
use crate::search;
use crate::testbed;
use crate::verdict;

/// Connections held at once by the two trials that tell memory per connection.
pub const HELD: [u32; 2] = [100, 1_100];
/// How long they are held: two samples of the testbed lie inside.
const HOLD: Duration = Duration::from_secs(2);

/// One load balancer under the common load.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Its name; also that of its folder.
    pub name: String,
    /// The plan: the common scenario with this DUT.
    pub plan: Plan,
}

/// One run of one contender.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Two trials of held connections, the smaller number first, if memory was asked for; then the one
    /// under the fixed load. Fewer if the run ended early.
    pub trials: Vec<TrialRecord>,
    /// How the DUT ended, if it ended before it was told to.
    pub died: Option<String>,
    /// Whether the user ended the run.
    pub interrupted: bool,
}

/// The contenders of a comparison, each with its folder.
pub struct Rounds {
    places: Vec<Place>,
    executable: PathBuf,
    interrupt: Interrupt,
    live: Live,
}

struct Place {
    name: String,
    plan: Plan,
    /// The same DUT with held connections.
    holding: Plan,
    carrier: Carrier,
    sources: Sources,
    /// `None` only while a run writes into it.
    folder: Option<RunFolder>,
    /// Where the testbed's logs go.
    path: PathBuf,
    trials: u32,
    warnings: Vec<String>,
}

impl Rounds {
    /// Makes a run folder below `folder` for each contender. Nothing is started yet.
    ///
    /// # Errors
    /// [`RunError`] when this host cannot offer the load, or a folder cannot be written.
    pub fn begin(
        contenders: Vec<Contender>,
        folder: &Path,
        options: &Options,
        interrupt: &Interrupt,
    ) -> Result<Self, RunError> {
        let mut environment = serde_json::to_value(testbed::environment()).unwrap_or_default();
        environment["command"] = std::env::args().collect::<Vec<_>>().into();
        let places = contenders.into_iter().map(|contender| Place::begin(contender, folder, &environment));
        Ok(Self {
            places: places.collect::<Result<_, _>>()?,
            executable: options.executable.clone(),
            interrupt: interrupt.clone(),
            live: Live::new(options.quiet),
        })
    }

    /// The line on the terminal.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// The plan of a contender.
    pub fn plan(&self, contender: usize) -> &Plan {
        &self.places[contender].plan
    }

    /// Why a trial of a contender does not count, if it does not; see [`invalid()`].
    pub fn invalid(&self, contender: usize, trial: &TrialRecord) -> Option<String> {
        invalid(&self.places[contender].plan, trial)
    }

    /// What disturbed the runs of a contender without preventing them, each text once.
    pub fn warnings(&self, contender: usize) -> &[String] {
        &self.places[contender].warnings
    }

    /// One run of a contender: starts its testbed, measures, stops it. With `memory`, connections are
    /// held before the fixed load comes. `context` says on the terminal which run it is.
    ///
    /// # Errors
    /// [`RunError`]: this host cannot run it.
    pub fn measure(&mut self, contender: usize, memory: bool, context: &str) -> Result<Measured, RunError> {
        let Self { places, executable, interrupt, live } = self;
        let place = &mut places[contender];
        let testbed = testbed::start(&place.plan, &place.path, executable, interrupt)?;
        let mut folder = place.folder.take().expect("every run gives its folder back");
        folder.note_network(testbed.network())?;
        let parts = Parts {
            sources: place.sources.clone(),
            carrier: place.carrier.clone(),
            testbed,
            folder,
            live: live.within(format!("{context} {}", place.name)),
            exports: Exports::default(),
        };
        let mut run = Run::new(&place.plan, parts, interrupt);
        run.before = place.trials;
        let outcome = run.one_of_many(memory.then_some(&place.holding));
        let Run { testbed, folder, trials, dut_exit, .. } = run;
        let mut warnings = testbed.warnings();
        let unclean = testbed.stop().unclean;
        warnings.extend(unclean.iter().map(|(role, how)| format!("{} did not stop as asked: {how}", role.name())));
        place.folder = Some(folder);
        place.trials += trials.len() as u32;
        for warning in warnings {
            if !place.warnings.contains(&warning) {
                place.warnings.push(warning);
            }
        }
        outcome?;
        Ok(Measured { trials, died: dut_exit, interrupted: interrupt.is_set() })
    }
}

impl Place {
    fn begin(contender: Contender, folder: &Path, environment: &serde_json::Value) -> Result<Self, RunError> {
        let Contender { name, plan } = contender;
        let path = folder.join(&name);
        fs::create_dir(&path).map_err(|source| crate::report::ReportError::Folder { path: path.clone(), source })?;
        let chosen = carrier::choose(&plan);
        limits::most(&plan, &[0], None, &chosen.carrier).map_err(RunError::Infeasible)?;
        let mut environment = environment.clone();
        environment["engine"] = chosen.facts;
        let folder = RunFolder::create_at(path.clone(), &plan, &scenario::plan_text(&plan), &environment)?;
        Ok(Self {
            holding: holding_plan(&plan),
            sources: limits::sources(&plan).map_err(RunError::Infeasible)?,
            carrier: chosen.carrier,
            folder: Some(folder),
            // Roles run in the folder of their logs or elsewhere; their paths have to stay valid.
            path: fs::canonicalize(&path).unwrap_or(path),
            trials: 0,
            warnings: chosen.warning.into_iter().collect(),
            name,
            plan,
        })
    }
}

/// The plan with connections that are held, each proven alive by a transaction, instead of its load.
fn holding_plan(plan: &Plan) -> Plan {
    let mut holding = plan.clone();
    holding.load.unit = Unit::Connections;
    holding.load.rate = None;
    holding.load.count = NonZeroU32::new(HELD[1]);
    holding.load.hold_interval = HOLD;
    holding.load.phases.ramp_down = Duration::ZERO;
    holding.workload.requests_per_connection = None;
    holding.workload.close = CloseMode::ClientFin;
    holding
}

impl<'a> Run<'a> {
    /// The trials of one run among many.
    fn one_of_many(&mut self, holding: Option<&'a Plan>) -> Result<(), RunError> {
        self.interrupt.wait(self.plan.load.phases.init);
        match self.learn_body() {
            Err(RunError::Probe(ProbeError::Interrupted)) => return Ok(()),
            other => other?,
        }
        self.ledgers = self.take_ledgers();
        if let Some(holding) = holding {
            let plan = std::mem::replace(&mut self.plan, holding);
            for held in HELD {
                self.fixed(TrialLoad::Held(held), HOLD)?;
            }
            self.plan = plan;
        }
        let load = &self.plan.load;
        let count = load.count.map_or(1.0, |count| f64::from(count.get()));
        let stated = search::trial_load(load.unit, load.rate.map_or(count, |rate| rate.as_f64()));
        self.fixed(stated, load.phases.sustain)
    }

    fn fixed(&mut self, load: TrialLoad, sustain: Duration) -> Result<(), RunError> {
        if self.must_stop() {
            return Ok(());
        }
        let services = self.testbed.service();
        let record = self.trial(Purpose::Fixed, load, sustain, services)?;
        if let Some(EndedEarly::DutDied(how)) = &record.ended_early {
            self.dut_exit.get_or_insert_with(|| how.clone());
        }
        let judged = verdict::passes(self.plan, &record);
        self.keep(record, judged.decided.then_some(judged.passed), &judged.reasons)
    }
}
