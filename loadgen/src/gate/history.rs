//! The history of a gate: JSON lines, one gate a line, only ever appended to.
//!
//! A line holds what a later reader needs to judge it anew: every pair with its values, what was
//! compared, on which host and with which scenario, and by which rule. Times and hosts are read
//! elsewhere; this is texts and types only. A last line that is cut off (the disk was full, the
//! process was killed) is left out and named; any other line that cannot be read is an error, because
//! a history with holes shows trends that are none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::hash::fnv1a;

use super::{Decision, Metric, Pair, Settings, counts};
use crate::statistics::median;

/// The schema of the lines written; a change that an older reader would misread gets the next number.
pub const SCHEMA: u32 = 1;

/// A program: this one, or a DUT.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Build {
    /// Its name: `loadgen`, `haproxy`.
    pub name: String,
    /// Its version, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The commit it was built from, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// One gate, as kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When the gate began: RFC 3339, in UTC.
    pub time: String,
    /// The program that measured.
    pub tool: Build,
    /// The build that was there before.
    pub baseline: Build,
    /// The build that was judged.
    pub candidate: Build,
    /// Name of the scenario, for people.
    pub scenario: String,
    /// Hash of the resolved scenario: results of different ones are never compared.
    pub scenario_hash: String,
    /// The seed of orders and of the load.
    pub seed: u64,
    /// What can make the same work faster or slower on this host: model of the processor, cores, kernel,
    /// governor, virtualisation.
    pub host: BTreeMap<String, String>,
    /// The rule.
    pub settings: Settings,
    /// Every pair tried, discarded ones too.
    pub pairs: Vec<Pair>,
    /// The answer.
    pub decision: Decision,
    /// What a person called it: `nightly`, `same build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Record {
    /// 16 hexadecimal digits for the facts of the host, the same for the same facts on every machine.
    pub fn host_id(&self) -> String {
        host_id(&self.host)
    }

    /// The candidate's value of a metric: the median of its runs in pairs that count. `None` without any.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        let valid = self.pairs.iter().filter(|pair| counts(&self.settings, pair));
        let of = |pair: &Pair| pair.candidate.iter().find(|(found, _)| *found == metric).map(|(_, value)| *value);
        // What a gate judges as nothing at all is no level of a trend.
        let of = |pair: &Pair| of(pair).filter(|value| value.is_finite() && *value > 0.0);
        median(&valid.filter_map(of).collect::<Vec<f64>>())
    }
}

/// 16 hexadecimal digits for the facts of a host (FNV-1a): tells hosts apart, and is no secret of any.
pub fn host_id(facts: &BTreeMap<String, String>) -> String {
    // Zero bytes cannot be part of a fact, so that no two lists of facts read the same.
    let bytes = facts.iter().flat_map(|(name, value)| name.bytes().chain([0]).chain(value.bytes()).chain([0]));
    format!("{:016x}", fnv1a(bytes))
}

/// A history, as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The gates, in the order of the file.
    pub records: Vec<Record>,
    /// What a person has to know about the file: its last line is cut off.
    pub warning: Option<String>,
    /// How many bytes of the file hold whole lines; what follows is cut off.
    pub whole_bytes: usize,
}

/// Reads a history. Empty lines are passed over.
///
/// # Errors
/// The first line that cannot be read, unless it is the last one and has no line end.
pub fn parse(text: &str) -> Result<History, HistoryError> {
    let mut history = History::default();
    let mut begin = 0;
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let end = begin + line.len();
        if line.trim().is_empty() {
            (begin, history.whole_bytes) = (end, end);
            continue;
        }
        match parse_line(at + 1, line) {
            Ok(record) => history.records.push(record),
            Err(HistoryError::Line { line: number, .. }) if !line.ends_with('\n') => {
                let cut = format!("line {number}, the last one, is cut off after {} bytes and is left out", line.len());
                history.warning = Some(cut);
                return Ok(history);
            }
            Err(error) => return Err(error),
        }
        (begin, history.whole_bytes) = (end, end);
    }
    Ok(history)
}

fn parse_line(line: usize, text: &str) -> Result<Record, HistoryError> {
    #[derive(Deserialize)]
    struct Head {
        schema: u32,
    }
    let bad = |source| HistoryError::Line { line, source };
    // Its schema first: a line of another one may well have other fields.
    let head: Head = serde_json::from_str(text).map_err(bad)?;
    if head.schema != SCHEMA {
        return Err(HistoryError::Schema { line, found: head.schema });
    }
    serde_json::from_str(text).map_err(bad)
}

/// One gate as a line of the file, with its line end.
///
/// # Errors
/// A value that JSON cannot hold.
pub fn line(record: &Record) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string(record)? + "\n")
}

/// How to append a line to the history whose text is `text`: keep its first so many bytes and write this
/// behind them. What is dropped is a last line that is cut off; in the middle it would be an error.
///
/// # Errors
/// The history cannot be read: appending to it would only hide that.
pub fn append(text: &str, line: &str) -> Result<(usize, String), HistoryError> {
    let whole = parse(text)?.whole_bytes;
    let open = whole > 0 && !text[..whole].ends_with('\n');
    Ok((whole, if open { format!("\n{line}") } else { line.to_owned() }))
}

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A line is no gate.
    #[error("line {line} is not a gate as this program writes it; repair it, or remove it if it cannot be")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A line was written by a program with another schema.
    #[error("line {line} has schema {found}, but this program reads {SCHEMA}; use the loadgen that wrote it")]
    Schema {
        /// Its number, from 1.
        line: usize,
        /// Its schema.
        found: u32,
    },
}

#[cfg(test)]
mod tests;
