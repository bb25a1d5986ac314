//! `loadgen compare RUN RUN…`: finished runs beside each other.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::archive::Archive;
use crate::cli::CompareArgs;
use crate::compare::{self, Entrant, Pairing};
use crate::report;
use crate::verdict::answer::Exit;

pub(super) fn compare(arguments: &CompareArgs) -> Result<Exit, Failure> {
    let archives = arguments.runs.iter().map(|path| Archive::read(path)).collect::<Result<Vec<_>, _>>();
    let archives = archives.map_err(Failure::usage)?;
    let entrants: Vec<_> = archives.iter().map(|archive| Entrant { runs: vec![archive] }).collect();
    let comparison = compare::compare(&entrants, Pairing::Runs, &arguments.allow).map_err(Failure::usage)?;
    let folder = match &arguments.out {
        Some(folder) => report::make_folder(folder).map_err(Failure::host)?,
        None => report::make_stamped(Path::new("reports/compare")).map_err(Failure::host)?,
    };
    let command = command_line(arguments, &folder);
    report::write_comparison(&comparison, &entrants, &command, &folder).map_err(Failure::host)?;
    report::say(&report::comparison_text(&comparison, &folder));
    Ok(Exit::Met)
}

/// The command that gives the same page again.
fn command_line(arguments: &CompareArgs, folder: &Path) -> String {
    let runs = arguments.runs.iter().map(|run: &PathBuf| run.display().to_string());
    let allow = arguments.allow.iter().map(|key| format!("--allow {key}"));
    let words: Vec<_> = runs.chain(allow).collect();
    format!("loadgen compare {} --out {}", words.join(" "), folder.display())
}
