//! A scenario with `[versus]`: its DUTs in turn, compared.

use std::path::Path;

use super::Failure;
use crate::cli::RunArgs;
use crate::compare::Entrant;
use crate::report;
use crate::report::export::ExportOptions;
use crate::scenario::Versus;
use crate::suite::{self, Options};
use crate::testbed;
use crate::verdict::answer::Exit;

pub(super) fn versus(mut versus: Versus, path: &Path, arguments: &RunArgs) -> Result<Exit, Failure> {
    let sinks = &arguments.sinks;
    if sinks.prometheus.is_some() || sinks.json_lines.is_some() || sinks.influx.is_some() {
        let error = "exports of a scenario with [versus] are not built; expected none, or --dut for one DUT of it";
        return Err(Failure::usage(anyhow::anyhow!(error)));
    }
    for plan in &versus.plans {
        testbed::check(plan).map_err(Failure::usage)?;
    }
    leave_out_missing(&mut versus, arguments.skip_missing)?;
    let interrupt = super::make_ready(&versus.plans)?;
    let options = Options {
        executable: super::own_executable(),
        reports: arguments.reports.clone(),
        quiet: arguments.quiet,
        exports: ExportOptions::default(),
    };
    let done = suite::versus::run(&versus, &options, &interrupt)
        .map_err(|error| Failure { exit: error.exit(), error: anyhow::Error::new(error) })?;
    let Some(comparison) = &done.comparison else {
        report::say(&format!("nothing can be compared; what was measured lies in {}", done.folder.display()));
        return Ok(done.exit);
    };
    let entrants: Vec<_> = done.runs.iter().map(|runs| Entrant { runs: runs.iter().collect() }).collect();
    let command = format!("loadgen {}", path.display());
    report::write_comparison(comparison, &entrants, &command, &done.folder).map_err(Failure::host)?;
    report::say(&report::comparison_text(comparison, &done.folder));
    Ok(done.exit)
}

/// A DUT whose program is not installed is refused at the start, or left out when that was asked for.
fn leave_out_missing(versus: &mut Versus, skip: bool) -> Result<(), Failure> {
    let mut there = Vec::new();
    for plan in std::mem::take(&mut versus.plans) {
        match testbed::require_program(&plan.testbed.dut) {
            Ok(()) => there.push(plan),
            Err(error) if skip => {
                report::complain(&format!("warning: {} is left out: {error}", plan.testbed.dut.name));
            }
            Err(error) => {
                let context = format!("{} cannot take part (--skip-missing leaves it out)", plan.testbed.dut.name);
                return Err(Failure::host(anyhow::Error::new(error).context(context)));
            }
        }
    }
    if there.len() < 2 {
        return Err(Failure::host(anyhow::anyhow!("{} DUT is left; a comparison needs 2", there.len())));
    }
    versus.plans = there;
    Ok(())
}
