//! `loadgen report RUN` and `loadgen merge RUN RUN…`: what can be made of runs that are over.

use super::Failure;
use crate::archive::Archive;
use crate::cli::{MergeArgs, ReportArgs};
use crate::merge;
use crate::report;
use crate::verdict::answer::Exit;

pub(super) fn report(arguments: &ReportArgs) -> Result<Exit, Failure> {
    let archive = Archive::read(&arguments.run).map_err(Failure::usage)?;
    let page = report::rebuild(&archive, arguments.out.as_deref()).map_err(Failure::host)?;
    warn(&archive.warnings);
    report::say(&page.display().to_string());
    Ok(Exit::Met)
}

/// Joining judges nothing, so that it ends well whatever the runs' own verdicts are.
pub(super) fn merge(arguments: &MergeArgs) -> Result<Exit, Failure> {
    let runs: Result<Vec<_>, _> = arguments.runs.iter().map(|run| Archive::read(run)).collect();
    let runs = runs.map_err(Failure::usage)?;
    let joined = merge::join(&runs).map_err(Failure::usage)?;
    let folder =
        report::write_merged(&runs, &joined, &arguments.reports, arguments.out.as_deref()).map_err(Failure::host)?;
    warn(&joined.warnings);
    report::say(&folder.join("report.html").display().to_string());
    Ok(Exit::Met)
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        report::complain(&format!("warning: {warning}"));
    }
}
