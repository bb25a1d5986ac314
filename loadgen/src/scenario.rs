//! Scenario and DUT files to a validated [`Plan`].
//!
//! [`load()`] reads files and is the only function here that touches the disk; [`parse`] is the same
//! with the files handed in. What comes out needs no further check: contradictions, words of later
//! versions and addresses that nobody allowed are refused here, each with file, line, key, what was
//! found and what is allowed.

use std::io;
use std::path::Path;

use schemars::schema_for;
use wire::document::Document;

pub mod addresses;
mod dut;
mod error;
mod expect;
mod file;
mod frames;
mod label;
mod load;
mod method;
pub mod mix;
pub mod network;
mod overrides;
pub(crate) mod placeholder;
pub mod plan;
mod profile;
mod quick;
mod suite;
mod target;
mod testbed;
#[cfg(test)]
mod tests;
mod text;
mod versus;
mod words;
mod workload;

pub use error::ScenarioError;
pub use label::{Compliance, compliance, final_sustain};
pub use overrides::Overrides;
pub use plan::Plan;
pub use quick::{QuickOptions, quick};
pub use text::{fingerprint, plan_text, summary};
pub use versus::Versus;

use error::Origin;
use file::{ScenarioFile, WorkloadFile};
use frames::Sizes;
use load::{Amounts, LoadInput};
use method::{Method, MethodInput};
use plan::{Profile, SearchPlan, SuitePlan, TestbedPlan, Unit};
use suite::SuiteInput;
use testbed::TestbedInput;

/// Longest scenario, DUT file or template in bytes; a longer one is a mistake.
pub const FILE_MAX: u64 = 1 << 20;
/// Longest name of a scenario in characters: it becomes a folder.
const NAME_MAX: usize = 64;

/// Reads a scenario and every file it names from the disk.
///
/// # Errors
/// [`ScenarioError`] when a file cannot be read, or says what cannot be run.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Plan, ScenarioError> {
    parse(&path.display().to_string(), &read_scenario(path)?, &read_file, overrides)
}

/// Reads a scenario that compares several DUTs; `None` for any other.
///
/// # Errors
/// As [`load()`].
pub fn load_versus(path: &Path, overrides: &Overrides) -> Result<Option<Versus>, ScenarioError> {
    versus::read(&path.display().to_string(), &read_scenario(path)?, &read_file, overrides)
}

fn read_scenario(path: &Path) -> Result<String, ScenarioError> {
    read_file(path).map_err(|source| {
        let hint = if source.kind() == io::ErrorKind::NotFound {
            "; expected a scenario such as scenarios/cps.toml"
        } else {
            ""
        };
        ScenarioError::Unreadable { path: path.to_owned(), hint: hint.to_owned(), source }
    })
}

/// The same with the text handed in; `resolve` gives the files it names.
///
/// # Errors
/// As [`load()`].
pub fn parse(
    name: &str,
    text: &str,
    resolve: &dyn Fn(&Path) -> io::Result<String>,
    overrides: &Overrides,
) -> Result<Plan, ScenarioError> {
    let document = Document::new(name, text);
    let (mut file, set) = overrides::apply(&document, &overrides.set)?;
    let mut origin = Origin::new(document);
    set.into_iter().for_each(|key| origin.give(key, "--set"));
    give_engine(&mut file, &mut origin, overrides.engine.as_deref());
    give_network(&mut file, &mut origin, overrides.network.as_deref());
    resolve_plan(&file, origin, resolve, overrides)
}

/// Reads and checks a DUT file and the template it names.
///
/// # Errors
/// As [`load()`].
pub fn check_dut_file(path: &Path) -> Result<plan::Dut, ScenarioError> {
    dut::read(path, "", &read_file)
}

/// Whether a TOML text is a DUT file rather than a scenario: `loadgen check` takes both.
pub fn is_dut_file(text: &str) -> bool {
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("kind") && !table.contains_key("scenario"))
}

/// The JSON schema of scenario files, for editors; that of DUT files stands in its `$defs` as `Dut`.
pub fn schema() -> serde_json::Value {
    let mut schema = schema_for!(ScenarioFile).to_value();
    schema["title"] = "Nadare scenario".into();
    let mut dut = schema_for!(file::DutFile).to_value();
    // Definitions of an inner schema belong to the whole document, where its references look.
    let inner = dut.as_object_mut().and_then(|dut| dut.remove("$defs"));
    for (name, definition) in inner.as_ref().and_then(|inner| inner.as_object()).into_iter().flatten() {
        schema["$defs"][name] = definition.clone();
    }
    schema["$defs"]["Dut"] = dut;
    schema
}

/// `--engine` on top of what the file says.
fn give_engine(file: &mut ScenarioFile, origin: &mut Origin, engine: Option<&str>) {
    if let Some(engine) = engine {
        file.load.engine = Some(engine.to_owned());
        origin.give("load.engine", "--engine");
    }
}

/// `--network` on top of what the file says.
fn give_network(file: &mut ScenarioFile, origin: &mut Origin, network: Option<&str>) {
    if let Some(network) = network {
        file.testbed.network = Some(network.to_owned());
        origin.give("testbed.network", "--network");
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_MAX {
        return Err(io::Error::other(format!("longer than {FILE_MAX} bytes")));
    }
    std::fs::read_to_string(path)
}

fn resolve_plan(
    file: &ScenarioFile,
    mut origin: Origin,
    resolve: &dyn Fn(&Path) -> io::Result<String>,
    overrides: &Overrides,
) -> Result<Plan, ScenarioError> {
    let (testbed, workload_file) = testbed_and_request(file, &mut origin, resolve, overrides)?;
    let origin = &origin;
    let profile = profile_of(file, origin)?;
    let unit = load::unit(&file.load, origin)?;
    let is_frames = unit == Unit::FramesPerSecond;
    let defaults = if is_frames { profile.defaults_of_frames() } else { profile.defaults() };
    let method = Method::of(&file.search, origin)?;
    let (sizes, is_bandwidth) = (Sizes::of(&testbed), load::is_bandwidth(&file.load));
    let suite = SuiteInput { file: file.suite.as_ref(), unit, is_bandwidth, method, profile, sizes, origin }.plan()?;
    let workload = workload::resolve(&workload_file, unit, &testbed, suite.as_ref(), origin)?;
    let amounts = Amounts::of(&file.load, &workload, origin)?;
    let sustain = if method.is_search() { defaults.search_sustain } else { defaults.sustain };
    let input = LoadInput { file: &file.load, unit, sustain, profile, defaults: &defaults, amounts: &amounts, origin };
    let load = load::resolve(&input)?;
    let expect = expect::resolve(&file.expect, &load, origin)?;
    let has_ceiling = testbed.reflectors > 0 || !testbed.remote_reflectors.is_empty();
    let input = MethodInput {
        file: &file.search,
        method,
        load: &load,
        expect: &expect,
        has_ceiling,
        defaults: &defaults,
        amounts: &amounts,
        is_rfc2544: matches!(suite, Some(SuitePlan::Rfc2544 { .. })),
        origin,
    };
    let search: SearchPlan = input.plan()?;
    expect::require_reachable(&expect, &load, &search, origin)?;
    Ok(Plan {
        name: name_of(file, origin)?,
        question: file.scenario.question.clone().unwrap_or_default(),
        seed: file.scenario.seed.unwrap_or(1),
        profile,
        scenario_text: origin.document().text().to_owned(),
        testbed,
        workload,
        load,
        search,
        expect,
        suite,
    })
}

/// The testbed, and the workload with the path that `--path` or the DUT's URL gave.
fn testbed_and_request(
    file: &ScenarioFile,
    origin: &mut Origin,
    resolve: &dyn Fn(&Path) -> io::Result<String>,
    overrides: &Overrides,
) -> Result<(TestbedPlan, WorkloadFile), ScenarioError> {
    let name = origin.document().name().to_owned();
    let folder = Path::new(&name).parent().unwrap_or_else(|| Path::new(""));
    let (testbed, url_path) = TestbedInput { file, overrides, folder, origin, resolve }.plan()?;
    let mut workload = file.workload.clone();
    let given = overrides.path.clone().map(|path| (path, "--path")).or_else(|| Some((url_path?, "--dut")));
    if let Some((path, option)) = given {
        workload.request = Some(path);
        origin.give("workload.request", option);
    }
    Ok((testbed, workload))
}

fn profile_of(file: &ScenarioFile, origin: &Origin) -> Result<Profile, ScenarioError> {
    let built = [("rfc", Profile::Rfc), ("standard", Profile::Standard), ("ci", Profile::Ci)];
    let word = file.scenario.profile.as_deref().unwrap_or("standard");
    origin.choose("scenario.profile", word, &built, &[])
}

/// The name becomes a folder under `reports/`, so it may not lead anywhere else.
fn name_of(file: &ScenarioFile, origin: &Origin) -> Result<String, ScenarioError> {
    let stem = Path::new(origin.document().name()).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = file.scenario.name.clone().or(stem).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_MAX || name.starts_with('.') || !name.chars().all(plain) {
        let message = format!("{name:?} cannot name a folder; expected up to {NAME_MAX} of a-z, A-Z, 0-9, -, _ and .");
        return Err(origin.error("scenario.name", message));
    }
    Ok(name)
}
