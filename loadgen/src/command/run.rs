//! `loadgen SCENARIO` and `loadgen quick URL`: run, write, say.

use std::net::IpAddr;
use std::path::Path;

use super::Failure;
use super::versus::versus;
use crate::archive::Archive;
use crate::cli::{OverrideArgs, QuickArgs, ResumeArgs, RunArgs, SinkArgs};
use crate::report;
use crate::report::export::ExportOptions;
use crate::scenario::{self, Overrides, Plan, QuickOptions};
use crate::suite::{self, Finished, Options};
use crate::testbed;
use crate::verdict::answer::Exit;

pub(super) fn run(arguments: &RunArgs) -> Result<Exit, Failure> {
    let Some(path) = &arguments.scenario else {
        return Err(Failure::usage(anyhow::anyhow!(
            "no scenario is given; expected a file such as scenarios/cps.toml"
        )));
    };
    let overrides = overrides(&arguments.overrides);
    if let Some(several) = scenario::load_versus(path, &overrides).map_err(Failure::usage)? {
        return versus(several, path, arguments);
    }
    let plan = scenario::load(path, &overrides).map_err(Failure::usage)?;
    execute(&plan, &arguments.reports, arguments.quiet, &arguments.sinks)
}

pub(super) fn quick(arguments: &QuickArgs) -> Result<Exit, Failure> {
    let mut set = Vec::new();
    if arguments.no_keepalive {
        set.push("workload.requests_per_connection=1".to_owned());
    }
    let options = QuickOptions {
        url: arguments.url.clone(),
        connections: arguments.connections,
        duration: arguments.duration.0,
        rate: arguments.rate,
        engine: arguments.engine.clone(),
        set,
    };
    let plan = scenario::quick(&options).map_err(Failure::usage)?;
    execute(&plan, &arguments.reports, arguments.quiet, &arguments.sinks)
}

pub(super) fn overrides(arguments: &OverrideArgs) -> Overrides {
    Overrides {
        dut: arguments.dut.clone(),
        network: arguments.network.clone(),
        engine: arguments.engine.clone(),
        reflectors: arguments.reflector.clone(),
        path: arguments.path.clone(),
        set: arguments.set.clone(),
    }
}

pub(super) fn resume(arguments: &ResumeArgs) -> Result<Exit, Failure> {
    let archive = Archive::read(&arguments.folder).map_err(Failure::usage)?;
    let exports = export_options(&arguments.sinks)?;
    let stdout_is_taken = takes_stdout(&exports);
    let interrupt = super::make_ready([&archive.begun.plan])?;
    let options = Options {
        executable: super::own_executable(),
        reports: arguments.reports.clone(),
        quiet: arguments.quiet,
        exports,
    };
    let finished = suite::resume(&archive, &options, &interrupt)
        .map_err(|error| Failure { exit: error.exit(), error: anyhow::Error::new(error) })?;
    Ok(conclude(&archive.begun.plan, &finished, stdout_is_taken))
}

fn execute(plan: &Plan, reports: &Path, quiet: bool, sinks: &SinkArgs) -> Result<Exit, Failure> {
    let exports = export_options(sinks)?;
    let stdout_is_taken = takes_stdout(&exports);
    testbed::check(plan).map_err(Failure::usage)?;
    let interrupt = super::make_ready([plan])?;
    let options = Options { executable: super::own_executable(), reports: reports.to_owned(), quiet, exports };
    let finished = suite::run(plan, &options, &interrupt)
        .map_err(|error| Failure { exit: error.exit(), error: anyhow::Error::new(error) })?;
    Ok(conclude(plan, &finished, stdout_is_taken))
}

fn takes_stdout(exports: &ExportOptions) -> bool {
    let stdout = Some(Path::new("-"));
    [exports.json_lines.as_deref(), exports.influx.as_deref()].contains(&stdout)
}

/// Says what was found; whoever reads lines from stdout cannot use sentences there.
fn conclude(plan: &Plan, finished: &Finished, stdout_is_taken: bool) -> Exit {
    let summary = report::summary(plan, &finished.trials, &finished.answer, &finished.folder);
    if stdout_is_taken {
        report::complain(&summary);
    } else {
        report::say(&summary);
    }
    finished.answer.exit
}

fn export_options(sinks: &SinkArgs) -> Result<ExportOptions, Failure> {
    if sinks.json_lines.is_some() && sinks.json_lines == sinks.influx {
        let error = anyhow::anyhow!("--json-lines and --influx name the same file; expected two");
        return Err(Failure::usage(error));
    }
    if let Some(address) = sinks.prometheus.filter(|address| !is_private(address.ip())) {
        let error = anyhow::anyhow!(
            "--prometheus {address}: expected a loopback or private address: whoever reaches it may read"
        );
        return Err(Failure::usage(error));
    }
    let SinkArgs { prometheus, json_lines, influx } = sinks.clone();
    Ok(ExportOptions { prometheus, json_lines, influx })
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}
