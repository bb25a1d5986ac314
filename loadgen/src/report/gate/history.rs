//! Appends a gate to a history file, and looks before a gate whether it belongs there.
//!
//! The form of the file is [`crate::gate::history`]. One file is one question on one machine: a gate of
//! another scenario or host is refused, because a change of either would look like one of the DUT.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::GateReport;
use crate::gate::history::{self, Build, Record, SCHEMA};
use crate::report::{self, ReportError};

/// Largest history that is read, in bytes.
const BYTES_MAX: u64 = 1 << 30;

/// Why a gate cannot be added to a history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read.
    #[error("cannot read the history {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is too long to be read; a part of it would be another history.
    #[error("the history {} is longer than {most} bytes; begin another file", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Most bytes that are read.
        most: u64,
    },
    /// The file is no history.
    #[error("{}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, and what to do.
        #[source]
        source: history::HistoryError,
    },
    /// Its last gate asked something else, or elsewhere.
    #[error(
        "{}: its last gate had {what} {found}, this one has {wanted}; their figures cannot be compared: give \
         --history another file",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// `scenario hash` or `host`.
        what: &'static str,
        /// What the last gate had.
        found: String,
        /// What this one has.
        wanted: String,
    },
}

/// Whether a gate of this scenario on this host belongs into a history. A file that does not exist yet
/// takes any gate.
///
/// # Errors
/// [`HistoryError`]: it cannot be read, or its last gate is of another scenario or host.
pub fn check_history(path: &Path, scenario_hash: &str, host: &BTreeMap<String, String>) -> Result<(), HistoryError> {
    let text = read(path)?;
    let damaged = |source| HistoryError::Damaged { path: path.to_owned(), source };
    let history = history::parse(&text).map_err(damaged)?;
    if let Some(warning) = &history.warning {
        report::complain(&format!("warning: {}: {warning}", path.display()));
    }
    let Some(last) = history.records.last() else { return Ok(()) };
    let foreign =
        |what, found: String, wanted: String| Err(HistoryError::Foreign { path: path.to_owned(), what, found, wanted });
    if last.scenario_hash != scenario_hash {
        return foreign("scenario hash", last.scenario_hash.clone(), scenario_hash.to_owned());
    }
    if last.host != *host {
        return foreign("host", last.host_id(), history::host_id(host));
    }
    Ok(())
}

/// What a history line says beside the gate itself.
#[derive(Clone, Debug, Default)]
pub struct HistoryLine {
    /// The host's facts.
    pub host: BTreeMap<String, String>,
    /// What a person called it.
    pub label: Option<String>,
    /// Commits of baseline and candidate, if known.
    pub commits: [Option<String>; 2],
    /// When the gate began, RFC 3339 in UTC.
    pub time: String,
}

/// Appends a finished gate.
///
/// # Errors
/// [`ReportError`] naming the file.
pub fn append_history(path: &Path, report: &GateReport<'_>, line: HistoryLine) -> Result<(), ReportError> {
    let begun = report.begun;
    let [baseline, candidate] = [0, 1].map(|at: usize| Build {
        name: begun.sides[at].dut.clone(),
        version: None,
        commit: line.commits[at].clone(),
    });
    let record = Record {
        schema: SCHEMA,
        time: line.time,
        tool: Build { name: "loadgen".to_owned(), version: Some(begun.version.clone()), commit: begun.commit.clone() },
        baseline,
        candidate,
        scenario: begun.name.clone(),
        scenario_hash: begun.scenario.clone(),
        seed: begun.seed,
        host: line.host,
        settings: begun.settings.clone(),
        pairs: report.pairs.iter().filter(|kept| !kept.warm_up).map(|kept| kept.pair.clone()).collect(),
        decision: report.answer.judgement.decision,
        label: line.label.or_else(|| begun.same.then(|| "same build".to_owned())),
    };
    let damaged = |source: Box<dyn std::error::Error + Send + Sync>| ReportError::format("a gate", path, source);
    let text = history::line(&record).map_err(|source| damaged(source.into()))?;
    let old = read(path).map_err(|source| damaged(source.into()))?;
    let (whole, text) = history::append(&old, &text).map_err(|source| damaged(source.into()))?;
    // A last line that was cut off is no gate; behind it the new one could not be read.
    write_behind(path, Some(whole as u64), text.as_bytes())
}

/// Appends to a file that others may write into, too.
///
/// # Errors
/// [`ReportError`] naming the file.
pub(super) fn append(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    write_behind(path, None, bytes)
}

fn write_behind(path: &Path, keep: Option<u64>, bytes: &[u8]) -> Result<(), ReportError> {
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        if let Some(keep) = keep.filter(|keep| file.metadata().is_ok_and(|data| data.len() > *keep)) {
            file.set_len(keep)?;
        }
        file.write_all(bytes)
    };
    written().map_err(|source| ReportError::write(path, source))
}

/// The text of a history; empty if there is none yet.
fn read(path: &Path) -> Result<String, HistoryError> {
    read_up_to(path, BYTES_MAX)
}

fn read_up_to(path: &Path, most: u64) -> Result<String, HistoryError> {
    let error = |source| HistoryError::Read { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        opened => opened.map_err(error)?,
    };
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > most {
        return Err(HistoryError::TooLong { path: path.to_owned(), most });
    }
    // A last line may be cut off within a character; that must not hide the lines before it.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_that_is_too_long_is_refused_and_not_cut() {
        let path = std::env::temp_dir().join(format!("nadare-history-{}.jsonl", std::process::id()));
        fs::write(&path, "12345678").unwrap();
        let (whole, cut) = (read_up_to(&path, 8), read_up_to(&path, 7));
        fs::remove_file(&path).unwrap();
        assert_eq!(whole.unwrap(), "12345678");
        assert!(matches!(cut, Err(HistoryError::TooLong { most: 7, .. })), "{cut:?}");
    }
}
