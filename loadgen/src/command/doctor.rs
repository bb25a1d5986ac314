//! `loadgen doctor`: what this host can generate and what would have to change.

use super::Failure;
use crate::cli::DoctorArgs;
use crate::report;
use crate::scenario::{self, Overrides};
use crate::testbed::doctor::Level;
use crate::testbed::{self, Finding};
use crate::verdict::answer::Exit;

pub(super) fn doctor(arguments: &DoctorArgs) -> Result<Exit, Failure> {
    let plan = match &arguments.scenario {
        Some(path) => Some(scenario::load(path, &Overrides::default()).map_err(Failure::usage)?),
        None => None,
    };
    let findings = testbed::doctor(plan.as_ref());
    for finding in &findings {
        report::say(&line(finding));
    }
    let problem = findings.iter().any(|finding| finding.level == Level::Problem);
    Ok(if problem { Exit::Host } else { Exit::Met })
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
