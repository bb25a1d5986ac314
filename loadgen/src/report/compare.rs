//! A comparison to read: on the terminal, as `compare.csv` and as `compare.json`.
//!
//! Nothing is decided here: ratios, intervals and relations arrive in a [`Comparison`]. What was not
//! decided is said in words, never by a number alone.

mod page;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::ReportError;
use super::sheet::{encode, replace};
use super::text::{NOTHING, amount, count, maybe_bare, share, span, table};
use crate::compare::measured::{Better, Counts, Measured};
use crate::compare::relation::{Ratio, RatioBound, Relation};
use crate::compare::{Comparison, Entrant, Row, Standing};
use crate::verdict::answer::Bound;

/// Version of the form of `compare.json`; a change that would mislead a reader raises it.
const SCHEMA: u32 = 1;

/// Columns of `compare.csv`.
const COLUMNS: [&str; 22] = [
    "key",
    "label",
    "counts",
    "better",
    "contender",
    "run",
    "standing",
    "limited_by",
    "value",
    "bound",
    "failed_at",
    "samples",
    "min",
    "median",
    "max",
    "ratio",
    "ratio_bound",
    "interval_low",
    "interval_high",
    "relation",
    "is_better",
    "basis",
];

/// Writes `compare.html`, `compare.csv` and `compare.json` into a folder that is there; `command` is what
/// gives the same page again.
///
/// # Errors
/// [`ReportError`] naming the file.
pub fn write_comparison(
    comparison: &Comparison,
    entrants: &[Entrant<'_>],
    command: &str,
    folder: &Path,
) -> Result<(), ReportError> {
    let path = folder.join("compare.json");
    let document = json!({ "schema": SCHEMA, "comparison": comparison });
    let text =
        serde_json::to_string_pretty(&document).map_err(|source| ReportError::format("the table", &path, source))?;
    replace(&path, (text + "\n").as_bytes())?;
    let path = folder.join("compare.csv");
    let mut rows = vec![COLUMNS.map(str::to_owned).to_vec()];
    rows.extend(comparison.rows.iter().flat_map(|row| csv_rows(comparison, row)));
    let bytes = encode(&rows).map_err(|source| ReportError::format("a row", &path, source))?;
    replace(&path, &bytes)?;
    let path = folder.join("compare.html");
    let page =
        page::render(comparison, entrants, command).map_err(|source| ReportError::format("the page", &path, source))?;
    replace(&path, page.as_bytes())
}

fn csv_rows(comparison: &Comparison, row: &Row) -> Vec<Vec<String>> {
    let line = |at: usize| {
        let contender = &comparison.contenders[at];
        let (cell, ratio) = (row.cells[at].as_ref(), row.ratios[at].as_ref());
        let spread = cell.and_then(Measured::spread);
        let interval = ratio.and_then(|ratio| ratio.interval);
        vec![
            row.quantity.key.clone(),
            row.quantity.label.clone(),
            word(row.quantity.counts),
            word(row.quantity.better),
            contender.name.clone(),
            contender.runs.join(" "),
            contender.standing.name().to_owned(),
            contender.limited_by.clone(),
            maybe_bare(cell.map(|cell| cell.value)),
            cell.map(|cell| word(cell.bound)).unwrap_or_default(),
            maybe_bare(cell.and_then(|cell| cell.failed_at)),
            cell.map(|cell| cell.samples.iter().flatten().count().to_string()).unwrap_or_default(),
            maybe_bare(spread.map(|spread| spread.min)),
            maybe_bare(spread.map(|spread| spread.median)),
            maybe_bare(spread.map(|spread| spread.max)),
            maybe_bare(ratio.and_then(|ratio| ratio.value)),
            ratio.map(|ratio| word(ratio.bound)).unwrap_or_default(),
            maybe_bare(interval.map(|interval| interval.0)),
            maybe_bare(interval.map(|interval| interval.1)),
            ratio.map(|ratio| word(ratio.relation)).unwrap_or_default(),
            ratio.and_then(|ratio| ratio.better).map(|better| better.to_string()).unwrap_or_default(),
            ratio.map(|ratio| ratio.basis.clone()).unwrap_or_default(),
        ]
    };
    (0..row.cells.len()).map(line).collect()
}

/// The word of a small enum, as `compare.json` has it.
fn word(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The comparison on the terminal.
pub fn comparison_text(comparison: &Comparison, folder: &Path) -> String {
    let mut text = format!("{}: {}\n\n", comparison.scenario, comparison.question);
    let mut head = vec!["".to_owned()];
    head.extend(comparison.contenders.iter().map(|contender| contender.name.clone()));
    let mut rows = vec![head];
    let words = |label: &str, of: &dyn Fn(usize) -> String| {
        let mut row = vec![label.to_owned()];
        row.extend((0..comparison.contenders.len()).map(of));
        row
    };
    rows.push(words("run", &|at| standing_text(comparison, at)));
    rows.push(words("limited by", &|at| or_nothing(&comparison.contenders[at].limited_by)));
    for row in &comparison.rows {
        rows.push(words(&row.quantity.label, &|at| cell_text(row, at)));
        if row.cells.iter().flatten().any(|cell| cell.spread().is_some()) {
            rows.push(words("  min / median / max", &|at| spread_text(row, at)));
        }
        if row.ratios.iter().any(Option::is_some) {
            rows.push(words("  ratio to the first", &|at| ratio_text(row.ratios[at].as_ref())));
        }
    }
    text.push_str(&table(&rows));
    text.push('\n');
    for line in bases(comparison) {
        text.push_str(&format!("basis        {line}\n"));
    }
    for line in warnings(comparison) {
        text.push_str(&format!("warning      {line}\n"));
    }
    for note in &comparison.notes {
        text.push_str(&format!("note         {note}\n"));
    }
    text.push_str(&format!("page         {}\n", folder.join("compare.html").display()));
    text
}

pub(super) fn standing_text(comparison: &Comparison, at: usize) -> String {
    let contender = &comparison.contenders[at];
    match contender.standing {
        Standing::Sound => "sound".to_owned(),
        other => format!("{}: not ranked", other.name()).to_uppercase(),
    }
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() { NOTHING.to_owned() } else { text.to_owned() }
}

/// The value with its bound and the lowest load that failed.
pub(super) fn cell_text(row: &Row, at: usize) -> String {
    let Some(cell) = &row.cells[at] else { return NOTHING.to_owned() };
    let bound = if cell.bound == Bound::Lower { "≥ " } else { "" };
    let value = value_text(row.quantity.counts, cell.value);
    let failed = cell.failed_at.map(|load| format!(" … {}", value_text(row.quantity.counts, load))).unwrap_or_default();
    format!("{bound}{value}{failed}")
}

pub(super) fn spread_text(row: &Row, at: usize) -> String {
    let spread = row.cells[at].as_ref().and_then(Measured::spread);
    let of = |value| value_text(row.quantity.counts, value);
    spread.map_or_else(
        || NOTHING.to_owned(),
        |spread| format!("{} / {} / {}", of(spread.min), of(spread.median), of(spread.max)),
    )
}

pub(super) fn value_text(counts: Counts, value: f64) -> String {
    match counts {
        Counts::PerSecond | Counts::Connections => amount(value),
        Counts::Microseconds => span(Duration::from_nanos((value * 1e3).round() as u64)),
        Counts::Bytes if value >= 10_240.0 => format!("{} KiB", count((value / 1_024.0).round() as u64)),
        Counts::Bytes => format!("{} B", count(value as u64)),
        Counts::Share => share(value),
    }
}

/// The ratio with its interval and what it decides: `1.10 (1.07 … 1.13) larger, better`.
pub(super) fn ratio_text(ratio: Option<&Ratio>) -> String {
    let Some(ratio) = ratio else { return NOTHING.to_owned() };
    let bound = match ratio.bound {
        RatioBound::Exact => "",
        RatioBound::AtLeast => "≥ ",
        RatioBound::AtMost => "≤ ",
    };
    let value = ratio.value.map_or_else(|| NOTHING.to_owned(), |value| format!("{bound}{value:.3}"));
    let interval = ratio.interval.map(|(low, high)| format!(" ({low:.3} … {high:.3})")).unwrap_or_default();
    let better = match ratio.better {
        Some(true) => ", better",
        Some(false) => ", worse",
        None => "",
    };
    let relation = match ratio.relation {
        Relation::NotDecided if !is_ranked(ratio) => "",
        relation => relation.name(),
    };
    format!("{value}{interval} {relation}{better}").trim_end().to_owned()
}

/// Whether a ratio is of something that has a better side.
fn is_ranked(ratio: &Ratio) -> bool {
    !ratio.basis.starts_with("not ranked")
}

/// What ratios stand on, each basis once with the rows it holds for.
pub(super) fn bases(comparison: &Comparison) -> Vec<String> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for row in &comparison.rows {
        for (contender, ratio) in comparison.contenders.iter().zip(&row.ratios) {
            let Some(ratio) = ratio.as_ref().filter(|_| row.quantity.better != Better::Neither) else { continue };
            let subject = if comparison.contenders.len() > 2 {
                format!("{} of {}", row.quantity.label, contender.name)
            } else {
                row.quantity.label.clone()
            };
            match found.iter_mut().find(|(basis, _)| *basis == ratio.basis) {
                Some((_, subjects)) => subjects.push(subject),
                None => found.push((ratio.basis.clone(), vec![subject])),
            }
        }
    }
    // A basis that holds for all needs no list.
    let all = found.len() == 1;
    found
        .into_iter()
        .map(|(basis, subjects)| match subjects.len() {
            _ if all => basis,
            0..=3 => format!("{}: {basis}", subjects.join(", ")),
            more => format!("{} and {} more: {basis}", subjects[0], more - 1),
        })
        .collect()
}

/// Allowed differences first, then what the runs warn of.
pub(super) fn warnings(comparison: &Comparison) -> Vec<String> {
    let allowed = comparison.allowed.iter().map(|difference| {
        let values: Vec<_> = difference.values.iter().map(|(name, value)| format!("{value} ({name})")).collect();
        format!("conditions differ, allowed by --allow: {}: {}", difference.key, values.join(", "))
    });
    let unsound = comparison.contenders.iter().filter(|contender| contender.standing != Standing::Sound);
    let unsound = unsound.map(|contender| {
        format!(
            "{} is {}: {}; its values are shown and not ranked",
            contender.name,
            contender.standing.name(),
            contender.reason
        )
    });
    let own = comparison.contenders.iter();
    let own =
        own.flat_map(|contender| contender.warnings.iter().map(move |text| format!("{}: {text}", contender.name)));
    allowed.chain(unsound).chain(own).collect()
}
