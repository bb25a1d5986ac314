//! `loadgen doctor`: what this host can generate and what would have to change.

use std::fs;
use std::path::Path;

use super::Failure;
use crate::cli::DoctorArgs;
use crate::report;
use crate::scenario::{self, Overrides};
use crate::testbed::doctor::{DutFile, Level};
use crate::testbed::{self, Finding};
use crate::verdict::answer::Exit;

pub(super) fn doctor(arguments: &DoctorArgs) -> Result<Exit, Failure> {
    let plan = match &arguments.scenario {
        Some(path) => Some(scenario::load(path, &Overrides::default()).map_err(Failure::usage)?),
        None => None,
    };
    let (files, unsound) = dut_files(arguments.scenario.as_deref());
    let findings = testbed::doctor(plan.as_ref(), &files);
    for finding in &findings {
        report::say(&line(finding));
    }
    for name in unsound {
        report::say(&format!("advice   DUT file: {name} is not sound\n         see loadgen check {name}"));
    }
    let problem = findings.iter().any(|finding| finding.level == Level::Problem);
    Ok(if problem { Exit::Host } else { Exit::Met })
}

/// The DUT files that come with a scenario, or with this project when it is where we are, by name; and
/// those that cannot be read.
fn dut_files(scenario: Option<&Path>) -> (Vec<DutFile>, Vec<String>) {
    let beside = scenario.and_then(Path::parent).unwrap_or_else(|| Path::new("scenarios"));
    let entries = fs::read_dir(beside.join("dut")).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| fs::read_to_string(path).is_ok_and(|text| is_toml(path) && scenario::is_dut_file(&text)));
    paths.sort();
    let (mut files, mut unsound) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match scenario::check_dut_file(&path) {
            Ok(dut) => files.push((name, dut)),
            Err(_) => unsound.push(path.display().to_string()),
        }
    }
    (files, unsound)
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

fn line(finding: &Finding) -> String {
    let mark = match finding.level {
        Level::Good => "good   ",
        Level::Advice => "advice ",
        Level::Problem => "problem",
    };
    let mut line = format!("{mark}  {}: {}", finding.subject, finding.found);
    if !finding.advice.is_empty() {
        line.push_str(&format!("\n         {}", finding.advice));
    }
    line
}
