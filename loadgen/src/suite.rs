//! Which trials answer the question: the run from the first process started to the last file written.
//!
//! Ceiling without the DUT, then whatever the search asks for, then the answer. It decides nothing
//! about a single trial ([`crate::verdict`] does) and nothing about the next load
//! ([`crate::search`] does).

mod calibrate;
mod carrier;
pub mod frames;
pub mod gating;
pub mod limits;
mod more_workers;
mod past;
pub mod probe;
mod question;
mod resume;
pub mod rounds;
pub mod versus;
mod watch;

pub use calibrate::calibrate;
pub use past::Past;
pub use resume::{ResumeError, resume};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use wire::ledger::Ledger;

use self::limits::Slots;
use self::probe::{ProbeError, Question};
use self::watch::Watch;
use crate::engine;
use crate::engine::sources::Sources;
use crate::engine::{Carrier, WorkloadConfig};
use crate::interrupt::Interrupt;
use crate::measure::record::{EndedEarly, Purpose, TrialLoad};
use crate::measure::{Sample, TrialRecord};
use crate::report::export::{ExportOptions, Exports, Head, Kind};
use crate::report::{self, Live, ReportError, RunFolder};
use crate::scenario::plan::{BodyCheck, Profile, Unit, WorkloadKind};
use crate::scenario::{self, Plan};
use crate::search::{Details, Found};
use crate::testbed::{self, Testbed, TestbedError};
use crate::trial::{self, Trial};
use crate::verdict::answer::{Answer, Exit};
use crate::verdict::{self, Context};
use crate::workload::Operation;
use crate::workload::http::{ExpectedBody, HttpConfig};

/// Operations at once of the ceiling trial, per worker.
const CEILING_OPERATIONS: u32 = 64;
/// How long to wait between trials until the reflectors see no open connection, outside `rfc`.
const IDLE_WAIT: Duration = Duration::from_millis(500);

/// What a run needs beside its plan.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that roles are started from.
    pub executable: PathBuf,
    /// Where run folders are made.
    pub reports: PathBuf,
    /// No live line.
    pub quiet: bool,
    /// Who else is told of it while it goes.
    pub exports: ExportOptions,
}

/// A run that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// The answer.
    pub answer: Answer,
    /// All trials.
    pub trials: Vec<TrialRecord>,
    /// Where the files are.
    pub folder: PathBuf,
}

/// Why a run could not come to its end. What was measured until then is kept in its folder.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The testbed cannot be had.
    #[error(transparent)]
    Testbed(#[from] TestbedError),
    /// A file cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The foreign server cannot be measured.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The plan needs more than this host has.
    #[error("{0}")]
    Infeasible(String),
    /// The workers of the generator cannot be started.
    #[error("the generator's workers cannot be started; see `loadgen doctor`")]
    Engine(#[source] io::Error),
}

impl RunError {
    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Testbed(TestbedError::Interrupted) => Exit::Interrupted,
            _ => Exit::Host,
        }
    }
}

/// Runs a plan.
///
/// # Errors
/// [`RunError`]: this host cannot run it.
pub fn run(plan: &Plan, options: &Options, interrupt: &Interrupt) -> Result<Finished, RunError> {
    run_after(plan, options, interrupt, Earlier::default())
}

/// What an earlier run of the same plan has left.
#[derive(Debug, Default)]
struct Earlier {
    past: Past,
    /// Its folder; `None` if there was none.
    folder: Option<PathBuf>,
}

fn run_after(plan: &Plan, options: &Options, interrupt: &Interrupt, earlier: Earlier) -> Result<Finished, RunError> {
    let parts = frames::parts::of(plan);
    let mut run = prepare(plan, options, interrupt, earlier.folder.as_deref())?;
    run.past = earlier.past;
    let path = run.folder.path().to_owned();
    if !parts.is_empty() {
        return run.answer_suite(&parts, earlier.folder.as_deref(), &path);
    }
    let outcome = run.answer_question();
    run.note_resumed(earlier.folder.as_deref());
    run.finish(outcome, &path)
}

/// Makes the run folder and starts the testbed; `resumed` is the folder of the run that this one goes on with.
fn prepare<'a>(
    plan: &'a Plan,
    options: &Options,
    interrupt: &Interrupt,
    resumed: Option<&Path>,
) -> Result<Run<'a>, RunError> {
    let mut environment = serde_json::to_value(testbed::environment()).unwrap_or_default();
    environment["command"] = std::env::args().collect::<Vec<_>>().into();
    let chosen = carrier::choose(plan);
    limits::most(plan, &[0], None, &chosen.carrier).map_err(RunError::Infeasible)?;
    environment["engine"] = chosen.facts;
    if let Some(folder) = resumed {
        environment["resumed_from"] = folder.display().to_string().into();
    }
    if let Some(warning) = &chosen.warning {
        report::complain(&format!("warning: {warning}"));
    }
    let mut folder = RunFolder::create(&options.reports, plan, &scenario::plan_text(plan), &environment)?;
    let path = folder.path().to_owned();
    // Roles run in the folder of their logs or elsewhere; their paths have to stay valid.
    let absolute = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut exports = Exports::open(&options.exports, Head::of(plan, &name), &quiet_cores(plan))?;
    if let Some(address) = exports.address() {
        report::complain(&format!("metrics: http://{address}/metrics"));
    }
    exports.tell(Kind::Begin);
    let testbed = testbed::start(plan, &absolute, &options.executable, interrupt)?;
    folder.note_network(testbed.network())?;
    let parts = Parts {
        sources: limits::sources(plan).map_err(RunError::Infeasible)?,
        carrier: chosen.carrier,
        testbed,
        folder,
        live: Live::new(options.quiet),
        exports,
    };
    let mut run = Run::new(plan, parts, interrupt);
    run.warnings.extend(chosen.warning);
    Ok(run)
}

/// What a run works with.
struct Parts {
    sources: Sources,
    carrier: Carrier,
    testbed: Testbed,
    folder: RunFolder,
    live: Live,
    exports: Exports,
}

/// Cores for what is no part of the testbed: those that no role has, else those that are not the DUT's.
fn quiet_cores(plan: &Plan) -> Vec<usize> {
    let allowed = host::cpu::allowed_cores();
    let Ok(placement) = testbed::placement::Placement::choose(&allowed, &plan.testbed) else { return Vec::new() };
    let taken = [&placement.dut, &placement.generator, &placement.reflectors];
    let free: Vec<_> = allowed.iter().copied().filter(|core| !taken.iter().any(|role| role.contains(core))).collect();
    if !free.is_empty() {
        return free;
    }
    allowed.into_iter().filter(|core| !placement.dut.contains(core)).collect()
}

/// How long a DUT is left alone after a trial, whatever the reflectors see: of datagrams, which leave no open
/// connection, nothing else would be waited for.
fn settling(plan: &Plan) -> Duration {
    match (plan.profile, plan.load.unit) {
        // RFC 2544, 23: at least 5 s for the DUT to settle.
        (Profile::Rfc, Unit::FramesPerSecond) => Duration::from_secs(5),
        _ => Duration::ZERO,
    }
}

/// A run under way.
struct Run<'a> {
    plan: &'a Plan,
    /// What a right body is, once it is known.
    body: Option<ExpectedBody>,
    sources: Sources,
    carrier: Carrier,
    /// What was not as the plan asks, found before the first trial.
    warnings: Vec<String>,
    testbed: Testbed,
    folder: RunFolder,
    live: Live,
    exports: Exports,
    interrupt: Interrupt,
    /// Trials that are in the folder already, from earlier testbeds.
    before: u32,
    trials: Vec<TrialRecord>,
    /// Where in this list the trials of the part of a suite begin that is being measured.
    part_begins: usize,
    /// Books of the reflectors after the last trial.
    ledgers: Vec<Ledger>,
    last_sample: Option<Sample>,
    /// The highest load that may be tried, once it is known.
    most: Option<limits::Most>,
    dut_exit: Option<String>,
    /// Whether a role has died: no trial after that would be one of the plan.
    is_damaged: bool,
    /// A core for one generator worker more.
    extra_core: Option<usize>,
    /// Why no trial with one worker more was run.
    no_more_workers: Option<String>,
    /// What an earlier run has finished and this one has not asked for yet.
    past: Past,
    /// Numbers of the trials that came from it.
    resumed: Vec<u32>,
    /// How the DUT stayed down after a failed trial, if it did.
    collapsed: Option<String>,
}

/// What a run found out before its end, whatever the end was.
#[derive(Debug, Default)]
struct Findings {
    found: Option<Found>,
    details: Details,
    ceiling: Option<usize>,
}

impl<'a> Run<'a> {
    /// A run that has measured nothing yet.
    fn new(plan: &'a Plan, parts: Parts, interrupt: &Interrupt) -> Self {
        let Parts { sources, carrier, testbed, folder, live, exports } = parts;
        Self {
            plan,
            body: None,
            sources,
            carrier,
            warnings: Vec::new(),
            testbed,
            folder,
            live,
            exports,
            interrupt: interrupt.clone(),
            before: 0,
            trials: Vec::new(),
            part_begins: 0,
            ledgers: Vec::new(),
            last_sample: None,
            most: None,
            dut_exit: None,
            is_damaged: false,
            extra_core: None,
            no_more_workers: None,
            past: Past::default(),
            resumed: Vec::new(),
            collapsed: None,
        }
    }

    fn learn_body(&mut self) -> Result<(), RunError> {
        let WorkloadKind::Http(http) = &self.plan.workload.kind else { return Ok(()) };
        self.body = Some(match http.body {
            BodyCheck::Table { length } => ExpectedBody::Table(length),
            BodyCheck::LengthOfFirst => {
                let service = self.testbed.service()[0];
                let host = self.host_header(service);
                let within = self.plan.load.connect_timeout + self.plan.load.response_timeout;
                let question = Question { service, path: &http.request, host: &host, status: http.status };
                let ask = || question.body_length(within, &self.interrupt);
                let unreachable = |source| question.unreachable(source);
                ExpectedBody::Length(match self.testbed.clients() {
                    Some(namespace) => namespace.run(ask).map_err(unreachable)??,
                    None => ask()?,
                })
            }
        });
        Ok(())
    }

    fn host_header(&self, service: SocketAddr) -> String {
        match &self.plan.workload.kind {
            WorkloadKind::Http(http) if !http.host.is_empty() => http.host.clone(),
            _ => service.to_string(),
        }
    }

    fn trial(
        &mut self,
        purpose: Purpose,
        load: TrialLoad,
        sustain: Duration,
        services: Vec<SocketAddr>,
    ) -> Result<TrialRecord, RunError> {
        let number = self.before + self.trials.len() as u32 + 1;
        self.live.trial(number, purpose, load.amount(), self.plan.load.unit);
        self.exports.tell(Kind::Trial { number, purpose, load: load.amount() });
        let (mut engine, slots) = self.engine(load, sustain, services)?;
        if purpose == Purpose::Probe {
            question::hasten(&mut engine.phases, &mut engine.hold_interval, load);
        }
        let planned = engine.planned();
        let mut watch = Watch {
            plan: self.plan,
            number,
            purpose,
            planned: planned.unwrap_or(0),
            abortable: purpose.is_searching() && purpose != Purpose::Fixed && planned.is_some(),
            intended: load.amount(),
            testbed: &mut self.testbed,
            folder: &mut self.folder,
            live: &self.live,
            exports: &mut self.exports,
            interrupt: &self.interrupt,
            last_sample: self.last_sample.take(),
            reflector_deaths: Vec::new(),
            error: None,
        };
        let trial = Trial { number, purpose, engine, slots_cut: None };
        let mut record = trial::run(trial, &mut watch).map_err(RunError::Engine)?;
        if let Some(error) = watch.error {
            return Err(error.into());
        }
        // Somebody may have died since the trial was last looked at.
        self.dut_exit = watch.note_deaths();
        let deaths = watch.reflector_deaths.into_iter();
        record.reflector_deaths = deaths.map(|(role, how)| format!("{}: {how}", role.name())).collect();
        if record.waited_for_slot > 0 {
            record.slots_cut = slots.cut;
        }
        if let Some(most) = self.most.as_ref().filter(|most| purpose != Purpose::Ceiling && load.amount() >= most.load)
        {
            record.slots_cut = most.by_host.clone().or(record.slots_cut);
        }
        self.collect(&mut record);
        Ok(record)
    }

    fn engine(
        &self,
        load: TrialLoad,
        sustain: Duration,
        services: Vec<SocketAddr>,
    ) -> Result<(engine::Config, Slots), RunError> {
        let plan = self.plan;
        let mut cores = self.testbed.placement().generator.clone();
        let mut slots = limits::slots(plan, load, cores.len() as u32, &self.carrier).map_err(RunError::Infeasible)?;
        if let Some(core) = self.extra_core {
            let all = slots.per_worker * cores.len() as u32;
            cores.push(core);
            // As many operations at once as before: more of them alone could help a slow device.
            slots.per_worker = all.div_ceil(cores.len() as u32);
        }
        let mut phases = plan.load.phases;
        phases.sustain = sustain;
        if let TrialLoad::Held(connections) = load {
            // Half a second more than opening takes, so that sustain begins with all of them.
            let opening = Duration::from_secs_f64(f64::from(connections) / plan.load.open_rate.as_f64());
            phases.ramp_up = phases.ramp_up.max(opening + Duration::from_millis(500));
        }
        let operation = match plan.load.unit {
            Unit::ConnectionsPerSecond => Operation::Connection,
            Unit::TransactionsPerSecond | Unit::Transactions | Unit::FramesPerSecond => Operation::Transaction,
            Unit::Connections => Operation::Held,
        };
        let config = engine::Config {
            carrier: self.carrier.clone(),
            load,
            operation,
            workload: self.workload(operation, services[0]),
            services,
            sources: self.sources.clone(),
            cores,
            slots: slots.per_worker,
            phases,
            pattern: plan.load.pattern,
            arrivals: plan.load.arrivals,
            seed: plan.seed,
            max_lag: plan.load.max_lag,
            connect_timeout: plan.load.connect_timeout,
            response_timeout: plan.load.response_timeout,
            drain: plan.load.drain,
            open_rate: plan.load.open_rate.as_f64(),
            hold_interval: plan.load.hold_interval,
            namespace: self.testbed.clients().cloned(),
        };
        Ok((config, slots))
    }

    fn workload(&self, operation: Operation, service: SocketAddr) -> WorkloadConfig {
        let workload = &self.plan.workload;
        match &workload.kind {
            WorkloadKind::Tcp => WorkloadConfig::Tcp(workload.close),
            WorkloadKind::Udp(udp) => WorkloadConfig::Udp(Box::new(udp.clone())),
            WorkloadKind::Http(http) => WorkloadConfig::Http(Box::new(HttpConfig {
                plan: http.clone(),
                host: self.host_header(service),
                body: self.body.unwrap_or(ExpectedBody::Length(0)),
                operation,
                requests_per_connection: workload.requests_per_connection,
                close: workload.close,
                seed: self.plan.seed,
            })),
        }
    }

    /// Waits until the reflectors are idle and adds what they saw during the trial.
    fn collect(&mut self, record: &mut TrialRecord) {
        let bound = match (self.plan.profile, self.plan.load.unit) {
            // The table of connections has to be empty before the next load is put into it.
            (Profile::Rfc, Unit::Connections) => Duration::from_secs(60),
            (_, Unit::Connections) => Duration::from_secs(10),
            (Profile::Rfc, _) => Duration::from_secs(5),
            (Profile::Standard | Profile::Ci, _) => IDLE_WAIT,
        };
        self.interrupt.wait(settling(self.plan));
        let idle = self.testbed.wait_idle(bound);
        if !idle && self.plan.load.unit == Unit::Connections && !self.must_stop() {
            self.warnings.push(format!(
                "trial {}: the reflectors still saw open connections {} s after it, so the next one did not begin with an \
                 empty table: shorten the DUT's timeouts",
                record.number,
                bound.as_secs()
            ));
        }
        let now = self.take_ledgers();
        record.ledgers = now
            .iter()
            .filter_map(|ledger| {
                // Without the books before the trial nobody can say what belongs to it.
                let before = self.ledgers.iter().find(|before| before.instance == ledger.instance)?;
                Some(ledger.since(before))
            })
            .collect();
        self.ledgers = now;
        let broke = matches!(record.ended_early, Some(EndedEarly::NetworkBroke(_)));
        self.is_damaged |= broke || self.dut_exit.is_some() || !record.reflector_deaths.is_empty();
    }

    fn take_ledgers(&mut self) -> Vec<Ledger> {
        self.testbed.ledgers(true).into_iter().filter_map(Result::ok).collect()
    }

    /// Shows, writes and remembers a trial; `passed` is `None` when that cannot be said.
    fn keep(&mut self, record: TrialRecord, passed: Option<bool>, reasons: &[String]) -> Result<(), RunError> {
        self.live.done(&record, passed, reasons);
        self.exports.tell(Kind::Done { record: &record, passed, reasons });
        self.folder.trial(&record, passed, reasons)?;
        self.trials.push(record);
        Ok(())
    }

    /// Stops the testbed and writes the answer, also after an error.
    fn finish(mut self, outcome: Result<Findings, RunError>, path: &Path) -> Result<Finished, RunError> {
        let plan = self.plan;
        let mut context = Context {
            interrupted: self.interrupt.is_set(),
            dut_exit: self.dut_exit.clone(),
            no_more_workers: self.no_more_workers.take(),
            collapsed: self.collapsed.take(),
            ..Context::default()
        };
        let mut stopped = self.stop();
        let findings = outcome?;
        context.details = findings.details;
        context.warnings = std::mem::take(&mut stopped.warnings);
        let ceiling = findings.ceiling.map(|at| &stopped.trials[at]);
        let answer = verdict::answer(plan, &stopped.trials, findings.found, ceiling, &context);
        stopped.publish(plan, answer, path)
    }

    /// Ends the testbed.
    fn stop(self) -> Stopped {
        let Self { mut warnings, testbed, trials, folder, exports, live, .. } = self;
        warnings.extend(testbed.warnings());
        let unclean = testbed.stop().unclean;
        warnings.extend(unclean.iter().map(|(role, how)| format!("{} did not stop as asked: {how}", role.name())));
        live.clear();
        Stopped { trials, warnings, folder, exports }
    }
}

/// What is left of a run when its testbed has stopped.
struct Stopped {
    trials: Vec<TrialRecord>,
    warnings: Vec<String>,
    folder: RunFolder,
    exports: Exports,
}

impl Stopped {
    /// Tells and writes the answer.
    fn publish(mut self, plan: &Plan, answer: Answer, path: &Path) -> Result<Finished, RunError> {
        self.exports.tell(Kind::Answer(&answer));
        let written = self.folder.finish(plan, &self.trials, &answer);
        for problem in self.exports.close() {
            report::complain(&format!("warning: {problem}"));
        }
        written?;
        Ok(Finished { answer, trials: self.trials, folder: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_under_profile_rfc_frames_leave_the_dut_time_to_settle() {
        let mut plan = report::fixture::frames::rfc2544().plan.clone();
        let mut of = |profile, unit| {
            (plan.profile, plan.load.unit) = (profile, unit);
            settling(&plan).as_secs()
        };
        assert_eq!(of(Profile::Rfc, Unit::FramesPerSecond), 5);
        assert_eq!(of(Profile::Standard, Unit::FramesPerSecond), 0);
        assert_eq!(of(Profile::Rfc, Unit::ConnectionsPerSecond), 0);
    }
}
