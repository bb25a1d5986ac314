//! `loadgen check`: whether scenario, DUT and demand files are sound, and what they resolve to.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Failure, run::overrides};
use crate::cli::CheckArgs;
use crate::report;
use crate::scenario;
use crate::scenario::Overrides;
use crate::sizing;
use crate::suite;
use crate::testbed;
use crate::verdict::answer::Exit;

/// Deepest folder that is looked into.
const DEPTH_MAX: usize = 8;

pub(super) fn check(arguments: &CheckArgs) -> Result<Exit, Failure> {
    let overrides = overrides(&arguments.overrides);
    let mut files = Vec::new();
    for path in &arguments.files {
        collect(path, 0, &mut files)?;
    }
    if files.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!("no scenario or DUT file (*.toml) is in the given folders")));
    }
    let mut wrong = 0;
    for file in &files {
        match check_one(file, &overrides) {
            Ok(text) => report::say(&text),
            Err(error) => {
                wrong += 1;
                report::complain(&format!("error: {error:#}"));
            }
        }
    }
    report::say(&format!("{} of {} files are sound", files.len() - wrong, files.len()));
    Ok(if wrong == 0 { Exit::Met } else { Exit::Usage })
}

/// Scenario and DUT files below a path; configurations of the reference LB (`*.lb.toml`) are
/// templates and judged by `lb check` when they are filled in.
fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let unreadable =
        |error| Failure::usage(anyhow::Error::new(error).context(format!("cannot read {}", path.display())));
    let mut entries = fs::read_dir(path).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries.iter().map(fs::DirEntry::path) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_file = name.ends_with(".toml") && !name.ends_with(".lb.toml");
        if is_file || entry.is_dir() && depth < DEPTH_MAX {
            collect(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}

fn check_one(file: &Path, overrides: &Overrides) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    if sizing::demand::is_demand_file(&text) {
        let demand = sizing::demand::parse(&file.display().to_string(), &text)?;
        let services = demand.services.len();
        let plural = if services == 1 { "" } else { "s" };
        return Ok(format!("{}: demand of {}, {services} service{plural}\n", file.display(), demand.site));
    }
    if scenario::is_dut_file(&text) {
        let dut = scenario::check_dut_file(file)?;
        testbed::check_dut(&dut)?;
        return Ok(format!("{}: DUT {}, clients connect to {}\n", file.display(), dut.name, dut.service));
    }
    if let Some(versus) = scenario::load_versus(file, overrides)? {
        for plan in &versus.plans {
            testbed::check(plan)?;
        }
        let names: Vec<_> = versus.plans.iter().map(|plan| plan.testbed.dut.name.as_str()).collect();
        let summary = scenario::summary(&versus.plans[0]);
        return Ok(format!(
            "{}\n{summary}  versus     {} rounds of {}\n",
            file.display(),
            versus.rounds,
            names.join(", ")
        ));
    }
    let plan = scenario::load(file, overrides)?;
    testbed::check(&plan)?;
    let takes = suite::frames::estimate(&plan).map(|estimate| format!("  takes      {}\n", estimate.words()));
    Ok(format!("{}\n{}{}", file.display(), scenario::summary(&plan), takes.unwrap_or_default()))
}
