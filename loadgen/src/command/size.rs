//! `loadgen size`: run folders and a demand file to a number of devices.

use std::fs;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::archive::Archive;
use crate::cli::SizeArgs;
use crate::report::{self, SizingReport};
use crate::scenario::FILE_MAX;
use crate::sizing::capacity::Terms;
use crate::sizing::{self, Demand, Run, scaling};
use crate::verdict::answer::Exit;

pub(super) fn size(arguments: &SizeArgs) -> Result<Exit, Failure> {
    let (exit, text) = answer(arguments)?;
    report::say(&text);
    Ok(exit)
}

/// Writes the report; how to exit, and what to say.
fn answer(arguments: &SizeArgs) -> Result<(Exit, String), Failure> {
    let text = read_demand(&arguments.demand)?;
    let demand = sizing::demand::parse(&arguments.demand.display().to_string(), &text).map_err(Failure::usage)?;
    let runs = read_runs(&arguments.from)?;
    let scaling = match arguments.scaling.as_slice() {
        [] => None,
        folders => Some(curve(folders, &demand)?),
    };
    let sizing = sizing::size(demand, &runs, arguments.trust_cpu_estimate).map_err(Failure::usage)?;
    let words: Vec<String> = std::env::args().collect();
    let report = SizingReport {
        sizing: &sizing,
        scaling: scaling.as_ref(),
        demand_text: &text,
        command: &words.join(" "),
        version: env!("CARGO_PKG_VERSION"),
    };
    let folder = report.write(&arguments.reports).map_err(Failure::host)?;
    let exit = if sizing.decided() { Exit::Met } else { Exit::Undecided };
    Ok((exit, report::sizing_summary(&report, &folder)))
}

fn read_demand(path: &Path) -> Result<String, Failure> {
    let hint = || format!("cannot read {}; expected a demand file, see scenarios/demand.example.toml", path.display());
    let unreadable = |error| Failure::usage(anyhow::Error::new(error).context(hint()));
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_MAX {
        let why = format!("{} has {bytes} bytes; a demand file has at most {FILE_MAX}", path.display());
        return Err(Failure::usage(anyhow::anyhow!(why)));
    }
    fs::read_to_string(path).map_err(unreadable)
}

fn read_runs(folders: &[PathBuf]) -> Result<Vec<Run>, Failure> {
    let read = |folder: &PathBuf| {
        let archive = Archive::read(folder).map_err(Failure::usage)?;
        Ok(sizing::read::run(&folder.display().to_string(), &archive))
    };
    folders.iter().map(read).collect()
}

fn curve(folders: &[PathBuf], demand: &Demand) -> Result<scaling::Scaling, Failure> {
    let runs = read_runs(folders)?;
    let terms = Terms { slo_p99_s: demand.planning.slo_p99_s, trust_cpu_estimate: false };
    scaling::of(&runs, terms, demand.planning.scaling_workers, demand.planning.seed).map_err(Failure::usage)
}

#[cfg(test)]
mod tests;
