//! What a person or a program reads of a gate: its folder, the terminal, Markdown, JUnit XML, a page.
//!
//! The folder is written as the gate goes, so that one that is killed leaves what it measured. Nothing
//! here decides anything: findings and the answer arrive and are printed as they are.

mod history;
mod junit;
mod markdown;
mod page;
mod table;
mod terminal;

use std::path::{Path, PathBuf};

pub use history::{HistoryError, HistoryLine, append_history, check_history};

use super::sheet::{Lines, replace};
use super::{ReportError, RunFolder};
use crate::archive::RESULT;
use crate::archive::gate::{GATE, GateBegun, KeptPair, PAIRS};
use crate::gate::Pair;
use crate::statistics::hodges_lehmann;
use crate::suite::gating::GateAnswer;

/// The folder of one gate.
#[derive(Debug)]
pub struct GateFolder {
    path: PathBuf,
    pairs: Lines,
}

impl GateFolder {
    /// A new folder `<scenario>-gate/<time>` below `root`.
    ///
    /// # Errors
    /// [`ReportError`] naming the folder.
    pub fn make(root: &Path, scenario: &str) -> Result<PathBuf, ReportError> {
        RunFolder::make(root, &format!("{scenario}-gate"))
    }

    /// Writes what was asked.
    ///
    /// # Errors
    /// [`ReportError`] naming the file.
    pub fn create(path: PathBuf, begun: &GateBegun) -> Result<Self, ReportError> {
        write_json(&path.join(GATE), "what was asked", begun)?;
        let pairs = Lines::create(path.join(PAIRS))?;
        Ok(Self { path, pairs })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a pair.
    ///
    /// # Errors
    /// [`ReportError`] naming the file.
    pub fn pair(&mut self, pair: &KeptPair) -> Result<(), ReportError> {
        self.pairs.push(pair)
    }
}

/// A gate with its answer.
#[derive(Clone, Copy, Debug)]
pub struct GateReport<'a> {
    /// What was asked.
    pub begun: &'a GateBegun,
    /// Every pair, the warm-up included.
    pub pairs: &'a [KeptPair],
    /// The answer.
    pub answer: &'a GateAnswer,
    /// Where its files are.
    pub folder: &'a Path,
}

/// Where a report goes beside its folder.
#[derive(Clone, Debug, Default)]
pub struct Outlets {
    /// JUnit XML.
    pub junit: Option<PathBuf>,
    /// Markdown.
    pub summary: Option<PathBuf>,
    /// Markdown appended to a file that others write into, too: the step summary of a CI job.
    pub step_summary: Option<PathBuf>,
    /// The answer as JSON.
    pub json: Option<PathBuf>,
}

impl GateReport<'_> {
    /// Writes the answer into the folder: JSON first, then the texts and the page.
    ///
    /// # Errors
    /// [`ReportError`] naming the file.
    pub fn write(&self) -> Result<(), ReportError> {
        self.write_json(&self.folder.join(RESULT))?;
        replace(&self.folder.join("junit.xml"), junit::document(self).as_bytes())?;
        replace(&self.folder.join("summary.md"), markdown::document(self).as_bytes())?;
        let path = self.folder.join("report.html");
        let page = page::render(self).map_err(|source| ReportError::format("the page", &path, source))?;
        replace(&path, page.as_bytes())
    }

    /// Writes the answer where the user wants it as well.
    ///
    /// # Errors
    /// [`ReportError`] naming the file.
    pub fn send(&self, outlets: &Outlets) -> Result<(), ReportError> {
        if let Some(path) = &outlets.junit {
            replace(path, junit::document(self).as_bytes())?;
        }
        if let Some(path) = &outlets.summary {
            replace(path, markdown::document(self).as_bytes())?;
        }
        if let Some(path) = &outlets.json {
            self.write_json(path)?;
        }
        match &outlets.step_summary {
            Some(path) => history::append(path, markdown::document(self).as_bytes()),
            None => Ok(()),
        }
    }

    /// The answer for the terminal; with `explain` also how it came about.
    pub fn terminal(&self, explain: bool) -> String {
        terminal::text(self, explain)
    }

    fn write_json(&self, path: &Path) -> Result<(), ReportError> {
        let document = serde_json::json!({
            "schema": self.begun.schema,
            "gate": self.begun,
            "answer": self.answer,
            "pairs": self.pairs,
        });
        write_json(path, "the answer", &document)
    }
}

fn write_json<T: serde::Serialize>(path: &Path, what: &'static str, value: &T) -> Result<(), ReportError> {
    let text = serde_json::to_string_pretty(value).map_err(|source| ReportError::format(what, path, source))?;
    replace(path, (text + "\n").as_bytes())
}

/// One line about the last pair, and what all pairs so far would estimate. It decides nothing.
pub fn progress(begun: &GateBegun, pairs: &[KeptPair]) -> String {
    let Some(last) = pairs.last() else { return String::new() };
    let first = match last.pair.order {
        crate::gate::Order::BaselineFirst => "baseline first",
        crate::gate::Order::CandidateFirst => "candidate first",
    };
    let name = if last.warm_up { "warm-up".to_owned() } else { format!("pair {}", last.pair.number) };
    if let Some(reason) = &last.pair.discarded {
        return format!("✗ {name} ({first}) is discarded: {reason}");
    }
    let valid: Vec<&Pair> =
        pairs.iter().filter(|kept| !kept.warm_up && kept.pair.discarded.is_none()).map(|kept| &kept.pair).collect();
    let of_metric = |limit: &crate::gate::Limit| {
        let metric = limit.metric;
        let own = last.pair.effect(metric).map_or_else(|why| why, |effect| table::change(metric, effect));
        let effects: Vec<f64> = valid.iter().filter_map(|pair| pair.effect(metric).ok()).collect();
        let so_far = hodges_lehmann(&effects).map(|effect| table::change(metric, effect));
        match so_far {
            Some(so_far) if !last.warm_up => format!("{} {own} (so far {so_far})", metric.title()),
            _ => format!("{} {own}", metric.title()),
        }
    };
    let metrics: Vec<String> = begun.settings.limits.iter().map(of_metric).collect();
    format!("· {name} ({first}): {}", metrics.join(", "))
}
