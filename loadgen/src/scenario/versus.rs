//! `[versus]`: one scenario, several DUTs, measured in rounds.
//!
//! Each DUT gives an ordinary plan, equal in everything else. A fixed open-loop rate is required, because
//! ratios of response time and CPU time mean something at one load only. `--dut` makes an ordinary run of
//! the file again.

use std::io;
use std::path::Path;

use wire::document::Document;

use super::dut::DutName;
use super::error::{Origin, ScenarioError};
use super::file::VersusFile;
use super::plan::{Plan, SearchPlan};
use super::target::Scheme;
use super::{Overrides, overrides, parse};

/// Fewest and most DUTs of one comparison.
const DUTS: std::ops::RangeInclusive<usize> = 2..=crate::compare::CONTENDERS_MAX;
/// Most rounds: hours.
const ROUNDS_MAX: u32 = 200;
/// Rounds of a file that does not say.
const ROUNDS: u32 = 12;

/// One scenario for several DUTs.
#[derive(Clone, Debug)]
pub struct Versus {
    /// How often each DUT is measured.
    pub rounds: u32,
    /// The plan of each DUT, in the order of the file; the others are compared with the first.
    pub plans: Vec<Plan>,
}

/// The comparison that a scenario asks for; `None` for one without `[versus]`, or with `--dut`.
pub(super) fn read(
    name: &str,
    text: &str,
    resolve: &dyn Fn(&Path) -> io::Result<String>,
    overrides: &Overrides,
) -> Result<Option<Versus>, ScenarioError> {
    let document = Document::new(name, text);
    let (file, set) = overrides::apply(&document, &overrides.set)?;
    let Some(written) = file.versus.filter(|_| overrides.dut.is_none()) else { return Ok(None) };
    let mut origin = Origin::new(document);
    set.into_iter().for_each(|key| origin.give(key, "--set"));
    check(&written, &origin)?;
    let folder = Path::new(name).parent().unwrap_or_else(|| Path::new(""));
    let plan = |dut: &String| {
        let dut = Some(beside(folder, dut));
        let plan = parse(name, text, resolve, &Overrides { dut, ..overrides.clone() })?;
        require_fixed_rate(&plan, &origin)?;
        Ok(plan)
    };
    let plans = written.duts.iter().map(plan).collect::<Result<Vec<_>, ScenarioError>>()?;
    for (at, plan) in plans.iter().enumerate() {
        let name = &plan.testbed.dut.name;
        if plans[..at].iter().any(|other| other.testbed.dut.name == *name) {
            return Err(origin.error("versus.duts", format!("{name:?} stands there twice; expected each DUT once")));
        }
    }
    if let Err(error) = crate::compare::require_equal(&plans) {
        return Err(origin.error("versus.duts", error.to_string()));
    }
    Ok(Some(Versus { rounds: written.rounds.unwrap_or(ROUNDS), plans }))
}

fn check(written: &VersusFile, origin: &Origin) -> Result<(), ScenarioError> {
    if !DUTS.contains(&written.duts.len()) {
        let message = format!("names {} DUTs; expected {} to {}", written.duts.len(), DUTS.start(), DUTS.end());
        return Err(origin.error("versus.duts", message));
    }
    match written.rounds {
        Some(rounds) if !(1..=ROUNDS_MAX).contains(&rounds) => {
            let message = format!("{rounds} is out of range; expected 1 to {ROUNDS_MAX}, 6 for an interval");
            Err(origin.error("versus.rounds", message))
        }
        _ => Ok(()),
    }
}

fn require_fixed_rate(plan: &Plan, origin: &Origin) -> Result<(), ScenarioError> {
    if plan.search != SearchPlan::Fixed || plan.load.rate.is_none() {
        let message = "[versus] compares at one rate; expected method = \"fixed\" with load.rate, or `loadgen compare` for runs that searched";
        return Err(origin.error("search.method", message));
    }
    if let Some(expectation) = plan.expect.first() {
        let message = format!("{:?}: [versus] compares and expects nothing; expected no [expect]", expectation.text);
        return Err(origin.error("expect", message));
    }
    Ok(())
}

/// A DUT file that a scenario names lies beside it.
fn beside(folder: &Path, dut: &str) -> String {
    match DutName::parse(dut, Scheme::Http) {
        Ok(DutName::File(file)) => folder.join(file).display().to_string(),
        _ => dut.to_owned(),
    }
}
