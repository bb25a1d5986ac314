//! A run folder, read back: what was asked, what every trial measured, what the answer was.
//!
//! Three files hold all of it: `begun.json` is written before the first trial, `trials.jsonl` grows by
//! one line per finished trial, `result.json` comes last. A run that was killed therefore still gives
//! its finished trials. Reading judges nothing and changes nothing.

pub mod gate;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::measure::TrialRecord;
use crate::scenario::Plan;
use crate::scenario::plan::DutKind;
use crate::verdict::answer::Answer;

/// Name of the file that says what was begun.
pub const BEGUN: &str = "begun.json";
/// Name of the file with one finished trial per line.
pub const TRIALS: &str = "trials.jsonl";
/// Name of the file with the answer.
pub const RESULT: &str = "result.json";
/// Name of the file about the host and this build.
pub const ENVIRONMENT: &str = "environment.json";
/// Version of the form of [`Begun`] and [`Kept`]; a change that would mislead a reader raises it.
pub const SCHEMA: u32 = 1;
/// Largest file that is read, in bytes: hours of trials stay far below.
const FILE_MAX: u64 = 512 << 20;

/// What was asked, and when it began.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Begun {
    /// [`SCHEMA`] of the program that wrote it.
    pub schema: u32,
    /// Name of the run: that of its folder.
    pub run: String,
    /// Version of the program.
    pub version: String,
    /// Commit it was built from, if the build knew it.
    pub commit: Option<String>,
    /// When it began, in nanoseconds since 1970 (UTC).
    pub began_unix_ns: u64,
    /// The same moment on `CLOCK_MONOTONIC`, which the trials count by.
    pub began_monotonic_ns: u64,
    /// [`crate::scenario::fingerprint`] of the plan: equal for runs of the same question, whatever
    /// the DUT.
    pub scenario: String,
    /// The plan, without the texts of its files, which lie beside it.
    pub plan: Plan,
}

/// One finished trial.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Kept {
    /// Whether it passed; `None` where that was not asked or could not be said.
    pub passed: Option<bool>,
    /// Why not, or what else there is to say.
    pub reasons: Vec<String>,
    /// All it measured.
    pub record: TrialRecord,
}

/// A run folder, read back.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Where it lies.
    pub path: PathBuf,
    /// What was asked; the texts of scenario, DUT file and template are filled in where they are kept.
    pub begun: Begun,
    /// The finished trials, in order.
    pub trials: Vec<Kept>,
    /// The answer; `None` for a run that was killed before it had one.
    pub answer: Option<Answer>,
    /// Host and build.
    pub environment: Value,
    /// What was not quite right with the files, each with what was done about it.
    pub warnings: Vec<String>,
}

/// Why a folder cannot be read as a run.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file is missing or cannot be read.
    #[error("cannot read {}; expected a run folder such as reports/cps/20261123-040506, written by this version", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any run's.
    #[error("{} has {bytes} bytes; expected at most {FILE_MAX}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A file is not what this program writes.
    #[error("{}, line {line}: not what a run writes; the file is damaged or of another version: measure again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// Another version wrote it.
    #[error("{} has schema {found}; this version reads {SCHEMA}: read it with the version that wrote it, or measure again", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema found.
        found: u64,
    },
}

impl Archive {
    /// Reads a run folder. A last line of `trials.jsonl` that was cut off is left out with a warning.
    ///
    /// # Errors
    /// [`ArchiveError`] naming the file and the line.
    pub fn read(folder: &Path) -> Result<Self, ArchiveError> {
        let mut begun: Begun = parse(&folder.join(BEGUN), Some(SCHEMA))?;
        let mut warnings = Vec::new();
        let trials: Vec<Kept> = read_lines(&folder.join(TRIALS), "trial", &mut warnings)?;
        let result = folder.join(RESULT);
        let answer = if fs::exists(&result).unwrap_or(false) {
            Some(parse::<ResultFile>(&result, None)?.answer)
        } else {
            warnings.push(format!("there is no {RESULT}: the run was ended before it had an answer"));
            None
        };
        fill_texts(folder, &mut begun.plan);
        Ok(Self {
            path: folder.to_owned(),
            begun,
            trials,
            answer,
            environment: parse(&folder.join(ENVIRONMENT), None)?,
            warnings,
        })
    }

    /// The trials' records, in order.
    pub fn records(&self) -> impl Iterator<Item = &TrialRecord> {
        self.trials.iter().map(|kept| &kept.record)
    }

    /// What must be equal before figures of two runs are compared: processor, cores, kernel, governor
    /// and virtualisation of the host.
    pub fn host(&self) -> String {
        host_fingerprint(&self.environment)
    }
}

/// The host in one line, from the facts of `environment.json`.
pub fn host_fingerprint(environment: &Value) -> String {
    HOST.map(|name| format!("{name}={}", host_fact(environment, name))).join("; ")
}

/// The same facts by name.
pub fn host_facts(environment: &Value) -> BTreeMap<String, String> {
    HOST.map(|name| (name.to_owned(), host_fact(environment, name))).into()
}

const HOST: [&str; 7] = ["cpu_model", "cores", "cores_allowed", "kernel", "architecture", "governor", "virtualisation"];

fn host_fact(environment: &Value, name: &str) -> String {
    match &environment[name] {
        Value::Null => "unknown".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[derive(Deserialize)]
struct ResultFile {
    answer: Answer,
}

fn read(path: &Path) -> Result<String, ArchiveError> {
    let not_text =
        |error| ArchiveError::Read { path: path.to_owned(), source: io::Error::new(io::ErrorKind::InvalidData, error) };
    String::from_utf8(read_bytes(path)?).map_err(not_text)
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, ArchiveError> {
    let error = |source| ArchiveError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(error)?;
    let bytes = file.metadata().map_err(error)?.len();
    if bytes > FILE_MAX {
        return Err(ArchiveError::TooLarge { path: path.to_owned(), bytes });
    }
    let mut content = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut content).map_err(error)?;
    Ok(content)
}

fn parse<T: DeserializeOwned>(path: &Path, schema: Option<u32>) -> Result<T, ArchiveError> {
    let text = read(path)?;
    let damaged =
        |source: serde_json::Error| ArchiveError::Damaged { path: path.to_owned(), line: source.line(), source };
    let value: Value = serde_json::from_str(&text).map_err(damaged)?;
    match value["schema"].as_u64() {
        Some(found) if schema.is_some_and(|wanted| found != u64::from(wanted)) => {
            Err(ArchiveError::Schema { path: path.to_owned(), found })
        }
        // From the text again: only the text knows the lines.
        _ => serde_json::from_str(&text).map_err(damaged),
    }
}

/// One value per line. A last line that was cut off is left out with a warning.
fn read_lines<T: DeserializeOwned>(
    path: &Path,
    what: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<T>, ArchiveError> {
    // A line may have been cut off within a character.
    let text = String::from_utf8_lossy(&read_bytes(path)?).into_owned();
    let mut values = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        match serde_json::from_str(line) {
            Ok(value) => values.push(value),
            Err(_) if lines.peek().is_none() && !text.ends_with('\n') => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                warnings.push(format!("line {} of {name} was cut off: that {what} is left out", at + 1));
            }
            Err(source) => return Err(ArchiveError::Damaged { path: path.to_owned(), line: at + 1, source }),
        }
    }
    Ok(values)
}

/// Puts back the texts that lie beside [`BEGUN`] as files. One that is missing stays empty: nothing
/// that was measured depends on it.
fn fill_texts(folder: &Path, plan: &mut Plan) {
    let text = |path: PathBuf| read(&path).unwrap_or_default();
    plan.scenario_text = text(folder.join("scenario.toml"));
    plan.testbed.dut.file_text = text(dut_file(folder, plan));
    let template = match &mut plan.testbed.dut.kind {
        DutKind::Reference { config, .. } => Some(config),
        DutKind::Command { config, .. } => config.as_mut(),
        DutKind::Kernel { .. } | DutKind::External { .. } | DutKind::None => None,
    };
    if let Some(template) = template
        && let Some(name) = template.path.file_name()
    {
        template.text = text(folder.join(DUT).join(name));
    }
}

/// Folder of the DUT's file and its template in a run folder.
pub const DUT: &str = "dut";

/// Where a run folder keeps the DUT's file: under its own name, because reports call the DUT by it.
pub fn dut_file(folder: &Path, plan: &Plan) -> PathBuf {
    folder.join(DUT).join(format!("{}.toml", folder_name(&plan.testbed.dut.name)))
}

/// A name as the name of one folder or file: whatever could lead elsewhere is replaced.
pub fn folder_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = name.chars().take(100).map(plain).collect();
    let name = name.trim_start_matches('.');
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, Scratch};

    #[test]
    fn a_run_reads_back_as_it_was_measured() {
        let scratch = Scratch::new("archive");
        let run = fixture::run();
        let archive = Archive::read(&fixture::write(run, scratch.path())).unwrap();
        assert_eq!(archive.warnings, Vec::<String>::new());
        assert_eq!(serde_json::to_value(&archive.begun.plan).unwrap(), serde_json::to_value(&run.plan).unwrap());
        assert_eq!(archive.begun.plan.testbed.dut.file_text, run.plan.testbed.dut.file_text);
        assert_eq!(archive.trials.len(), run.trials.len());
        for (kept, record) in archive.trials.iter().zip(&run.trials) {
            assert_eq!(serde_json::to_string(&kept.record).unwrap(), serde_json::to_string(record).unwrap());
        }
        let answer = archive.answer.unwrap();
        assert_eq!(serde_json::to_value(answer).unwrap(), serde_json::to_value(&run.answer).unwrap());
        assert_eq!(archive.environment, run.environment);
    }

    #[test]
    fn a_killed_run_gives_its_finished_trials() {
        let scratch = Scratch::new("killed");
        let folder = fixture::write(fixture::run(), scratch.path());
        fs::remove_file(folder.join(RESULT)).unwrap();
        let text = fs::read_to_string(folder.join(TRIALS)).unwrap();
        fs::write(folder.join(TRIALS), &text[..text.len() - 100]).unwrap();
        let archive = Archive::read(&folder).unwrap();
        assert_eq!(archive.trials.len(), fixture::run().trials.len() - 1);
        assert!(archive.answer.is_none());
        let last = fixture::run().trials.len();
        assert_eq!(
            archive.warnings,
            [
                format!("line {last} of trials.jsonl was cut off: that trial is left out"),
                "there is no result.json: the run was ended before it had an answer".to_owned()
            ]
        );
    }

    #[test]
    fn a_line_cut_within_a_character_is_left_out_like_any_other() {
        let scratch = Scratch::new("cut");
        let folder = fixture::write(fixture::run(), scratch.path());
        let mut bytes = fs::read(folder.join(TRIALS)).unwrap();
        bytes.truncate(bytes.len() - 100);
        bytes.push("é".as_bytes()[0]);
        fs::write(folder.join(TRIALS), bytes).unwrap();
        let archive = Archive::read(&folder).unwrap();
        assert_eq!(archive.trials.len(), fixture::run().trials.len() - 1);
        assert!(archive.warnings[0].contains("was cut off"), "{:?}", archive.warnings);
    }

    #[test]
    fn files_that_are_no_run_are_refused_by_name_and_line() {
        let scratch = Scratch::new("damaged");
        let error = Archive::read(scratch.path()).unwrap_err().to_string();
        assert!(error.starts_with("cannot read ") && error.contains("begun.json; expected a run folder"), "{error}");

        let folder = fixture::write(fixture::run(), scratch.path());
        let text = fs::read_to_string(folder.join(TRIALS)).unwrap();
        fs::write(folder.join(TRIALS), text.replacen('{', "[", 1)).unwrap();
        let error = Archive::read(&folder).unwrap_err().to_string();
        assert!(error.contains("trials.jsonl, line 1: "), "{error}");

        let text = fs::read_to_string(folder.join(BEGUN)).unwrap();
        fs::write(folder.join(BEGUN), text.replace("\"schema\": 1", "\"schema\": 77")).unwrap();
        let error = Archive::read(&folder).unwrap_err().to_string();
        assert!(error.contains("begun.json has schema 77; this version reads 1"), "{error}");
    }
}
