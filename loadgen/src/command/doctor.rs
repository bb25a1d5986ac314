//! `loadgen doctor`: what this host can generate and what would have to change.

use std::fs;
use std::path::Path;

use super::Failure;
use crate::cli::DoctorArgs;
use crate::report;
use crate::scenario::plan::Unit;
use crate::scenario::{self, Overrides, Plan};
use crate::suite;
use crate::testbed::doctor::{Calibration, DutFile, Level};
use crate::testbed::{self, Finding};
use crate::verdict::answer::Exit;

pub(super) fn doctor(arguments: &DoctorArgs) -> Result<Exit, Failure> {
    let plan = match &arguments.scenario {
        Some(path) => Some(scenario::load(path, &Overrides::default()).map_err(Failure::usage)?),
        None => None,
    };
    let (files, unsound) = dut_files(arguments.scenario.as_deref());
    let calibration = plan.as_ref().filter(|_| !arguments.no_probe).and_then(calibration);
    let findings = testbed::doctor(plan.as_ref(), &files, calibration);
    for finding in &findings {
        report::say(&line(finding));
    }
    for name in unsound {
        report::say(&format!("advice   DUT file: {name} is not sound\n         see loadgen check {name}"));
    }
    let problem = findings.iter().any(|finding| finding.level == Level::Problem);
    Ok(if problem { Exit::Host } else { Exit::Met })
}

/// What a short closed loop to reflectors of our own shows; nothing where there can be none.
fn calibration(plan: &Plan) -> Option<Calibration> {
    let needless = plan.load.unit == Unit::Connections || plan.testbed.reflectors == 0;
    if needless {
        return None;
    }
    let calibrate = || -> anyhow::Result<Calibration> {
        let interrupt = super::make_ready([plan]).map_err(|failure| failure.error)?;
        Ok(suite::calibrate(plan, &super::own_executable(), &interrupt)?)
    };
    match calibrate() {
        Ok(calibration) => Some(calibration),
        Err(error) => {
            report::complain(&format!("warning: no calibration: {error:#}"));
            None
        }
    }
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
