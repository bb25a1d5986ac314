//! `loadgen gate`: is one build of a load balancer worse than another by more than is tolerated?
//!
//! Puts the question together and refuses what cannot be compared; measuring is done by
//! [`crate::suite::gating`], judging by [`crate::gate`].

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use wire::units::Percent;

use super::Failure;
use crate::archive::gate::{GateArchive, SIDES};
use crate::archive::host_facts;
use crate::cli::GateArgs;
use crate::compare::{self, CompareError};
use crate::gate::{Limit, Metric, Settings};
use crate::report;
use crate::report::export::ExportOptions;
use crate::report::gate::{GateReport, HistoryLine, Outlets, append_history, check_history};
use crate::scenario::plan::{self, DutKind, Pattern, SearchPlan, Unit};
use crate::scenario::{self, Overrides, Plan};
use crate::suite::Options;
use crate::suite::gating::{self, GateError, Gated, Question, Stop};
use crate::suite::rounds::{self, Contender};
use crate::testbed;
use crate::verdict::answer::Exit;

pub(super) fn gate(arguments: &GateArgs) -> Result<Exit, Failure> {
    if let Some(folder) = &arguments.rejudge {
        return rejudge(folder, arguments);
    }
    let question = question(arguments).map_err(Failure::usage)?;
    let facts = host_facts(&serde_json::to_value(testbed::environment()).unwrap_or_default());
    if let Some(path) = &arguments.outlets.history {
        let hash = scenario::fingerprint(&question.contenders[0].plan);
        check_history(path, &hash, &facts).map_err(Failure::usage)?;
    }
    warn_of_kinds(&question);
    let line = HistoryLine {
        host: facts,
        label: arguments.outlets.label.clone(),
        commits: [arguments.outlets.baseline_commit.clone(), arguments.outlets.candidate_commit.clone()],
        time: host::clock::wall_clock(),
    };
    let interrupt = super::make_ready(question.contenders.iter().map(|contender| &contender.plan))?;
    let options = Options {
        executable: super::own_executable(),
        reports: arguments.reports.clone(),
        quiet: arguments.quiet,
        exports: ExportOptions::default(),
    };
    let gated = gating::gate(question, &options, &interrupt).map_err(failure)?;
    let Gated { begun, pairs, stop, warnings, folder } = gated;
    let answer = gating::answer(&begun, &pairs, stop, arguments.strict, warnings);
    let report = GateReport { begun: &begun, pairs: &pairs, answer: &answer, folder: folder.path() };
    report.write().map_err(Failure::host)?;
    publish(&report, arguments)?;
    let is_whole = stop == Stop::Finished && pairs.iter().all(|kept| kept.died.is_none());
    if let Some(path) = arguments.outlets.history.as_deref().filter(|_| is_whole) {
        append_history(path, &report, line).map_err(Failure::host)?;
    }
    Ok(answer.exit)
}

/// The answer once more, from the files alone.
fn rejudge(folder: &Path, arguments: &GateArgs) -> Result<Exit, Failure> {
    let archive = GateArchive::read(folder).map_err(Failure::usage)?;
    let GateArchive { begun, pairs, warnings, .. } = &archive;
    let answer = gating::answer(begun, pairs, Stop::Finished, arguments.strict, warnings.clone());
    publish(&GateReport { begun, pairs, answer: &answer, folder }, arguments)?;
    Ok(answer.exit)
}

fn publish(report: &GateReport<'_>, arguments: &GateArgs) -> Result<(), Failure> {
    let wanted = &arguments.outlets;
    let step_summary = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from);
    let outlets = Outlets {
        junit: wanted.junit.clone(),
        step_summary: step_summary.filter(|_| wanted.summary.is_none()),
        summary: wanted.summary.clone(),
        json: wanted.json.clone(),
    };
    report::say(&report.terminal(arguments.explain));
    report.send(&outlets).map_err(Failure::host)
}

fn failure(error: GateError) -> Failure {
    let exit = match &error {
        GateError::Run { source, .. } => source.exit(),
        GateError::Host(source) => source.exit(),
    };
    Failure { exit, error: error.into() }
}

fn question(arguments: &GateArgs) -> anyhow::Result<Question> {
    let baseline = arguments.baseline_dut.clone().unwrap_or_default();
    let candidate = if arguments.aa { baseline.clone() } else { arguments.candidate_dut.clone().unwrap_or_default() };
    let specs = [baseline, candidate];
    let contenders = [contender(arguments, SIDES[0], &specs[0])?, contender(arguments, SIDES[1], &specs[1])?];
    compare::require_equal(&contenders.each_ref().map(|contender| contender.plan.clone())).map_err(unequal)?;
    let settings = settings(arguments, &contenders)?;
    let same = arguments.aa.then(|| arguments.rounds_max.unwrap_or_else(|| settings.pairs_max()));
    if same == Some(0) {
        return Err(anyhow!("--rounds-max 0 measures nothing; expected 1 or more"));
    }
    let seed = arguments.seed.unwrap_or_else(|| host::clock::unix_ns() / 1_000_000);
    Ok(Question { contenders, specs, settings, seed, same })
}

fn contender(arguments: &GateArgs, side: &str, spec: &str) -> anyhow::Result<Contender> {
    let path = arguments.scenario.clone().unwrap_or_default();
    let mut set = arguments.set.clone();
    set.extend(arguments.run.map(|run| format!("load.phases.sustain={run}")));
    let overrides =
        Overrides { dut: Some(spec.to_owned()), network: arguments.network.clone(), set, ..Overrides::default() };
    let mut plan = scenario::load(&path, &overrides)?;
    testbed::check(&plan)?;
    require_fixed_load(&path, &plan)?;
    // What is expected of one build says nothing about the difference of two; what may fail is the limit of
    // both.
    plan.expect.retain(|expectation| expectation.metric == plan::Metric::Failed);
    Ok(Contender { name: side.to_owned(), plan })
}

/// Builds are compared under one load that both carry: at its maximum a load balancer is measured by
/// a search, which is known to its width only.
fn require_fixed_load(path: &Path, plan: &Plan) -> anyhow::Result<()> {
    let is_rate = matches!(plan.load.unit, Unit::ConnectionsPerSecond | Unit::TransactionsPerSecond);
    if plan.search == SearchPlan::Fixed && is_rate && plan.load.pattern == Pattern::Flat {
        return Ok(());
    }
    Err(anyhow!(
        "{}: a gate compares builds under one flat rate; expected search.method = \"fixed\" with load.unit = \
         \"connections/s\" or \"transactions/s\", as in scenarios/ci/cps.toml",
        path.display()
    ))
}

/// Here nothing can be allowed by name: a gate asks one question.
fn unequal(error: CompareError) -> anyhow::Error {
    match error {
        CompareError::Unequal { text, .. } => {
            anyhow!(
                "baseline and candidate differ in more than the DUT:\n{text}give both DUT files the same conditions"
            )
        }
        other => other.into(),
    }
}

/// The reference LB of this program and one that is a program of its own are built in different ways.
fn warn_of_kinds(question: &Question) {
    let is_own = |at: usize| matches!(question.contenders[at].plan.testbed.dut.kind, DutKind::Reference { .. });
    if is_own(0) != is_own(1) {
        report::complain(
            "warning: one side is the reference LB inside this program and the other is a program of its own: they may \
             be built with other settings; name both as reference:PROGRAM to compare builds",
        );
    }
}

fn settings(arguments: &GateArgs, contenders: &[Contender; 2]) -> anyhow::Result<Settings> {
    let limits = limits(arguments, &contenders[0].plan)?;
    // Guards alone are chosen, and never what is left when the primary metric cannot be had.
    let primary = arguments.metric.is_empty().then_some(Metric::PRIMARY);
    for metric in primary.into_iter().chain(limits.iter().map(|limit| limit.metric)) {
        contenders.iter().try_for_each(|contender| require_measured(contender, metric))?;
    }
    let settings = if arguments.looks.is_empty() {
        Settings::new(limits)?
    } else {
        let alpha = arguments.alpha.iter().map(|alpha| alpha.as_ratio()).collect();
        Settings::with_looks(limits, arguments.looks.clone(), alpha)?
    };
    let Some(most) = arguments.rounds_max.filter(|_| !arguments.aa) else { return Ok(settings) };
    let kept = settings.looks.iter().filter(|&&look| look <= most).count();
    if kept == 0 {
        return Err(anyhow!(
            "--rounds-max {most} is below the first look at {} pairs; expected at least so many, or give --looks and --alpha",
            settings.looks.first().copied().unwrap_or_default()
        ));
    }
    let Settings { limits, looks, alpha, .. } = settings;
    Ok(Settings::with_looks(limits, looks[..kept].into(), alpha[..kept].into())?)
}

fn limits(arguments: &GateArgs, plan: &Plan) -> anyhow::Result<Vec<Limit>> {
    let delta = |metric| arguments.delta.map_or_else(|| Limit::of(metric).delta, |delta| delta.as_ratio());
    if arguments.metric.is_empty() {
        let metrics = if arguments.primary_only { vec![Metric::PRIMARY] } else { rounds::applicable(plan) };
        return Ok(metrics.into_iter().map(|metric| Limit { metric, delta: delta(metric) }).collect());
    }
    let read = |text: &String| {
        let (name, own) = text.split_once('=').map_or((text.as_str(), None), |(name, own)| (name, Some(own)));
        let names = || Metric::ALL.map(Metric::name).join(", ");
        let metric = Metric::named(name)
            .ok_or_else(|| anyhow!("--metric {name:?} is not known; expected one of {}", names()))?;
        let own = own.map(str::parse::<Percent>).transpose();
        let own = own.map_err(|error| anyhow!("--metric {text}: {error}"))?;
        Ok(Limit { metric, delta: own.map_or_else(|| delta(metric), |own| own.as_ratio()) })
    };
    arguments.metric.iter().map(read).collect()
}

fn require_measured(contender: &Contender, metric: Metric) -> anyhow::Result<()> {
    let Some(why) = rounds::unmeasured(&contender.plan, metric) else { return Ok(()) };
    let (name, side) = (metric.name(), &contender.name);
    Err(anyhow!("--metric {name} of the {side} {why}; name others with --metric, or gate with another scenario or DUT"))
}
