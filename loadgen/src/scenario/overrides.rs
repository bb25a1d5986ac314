//! `--set`, `--dut`, `--network`, `--path` and `--reflector` on top of a scenario file.
//!
//! `--set load.rate=5k/s` changes the text before it is judged, so a set value meets the same checks
//! as a written one; its errors name `--set` instead of a line.

use toml::{Table, Value};
use wire::document::{Document, DocumentError};

use super::error::ScenarioError;
use super::file::ScenarioFile;

/// What the command line changes in a scenario.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--dut`: a DUT file, an address or URL, or `none`.
    pub dut: Option<String>,
    /// `--network`: where the testbed's addresses live.
    pub network: Option<String>,
    /// `--set`: each `dotted.key=value`.
    pub set: Vec<String>,
    /// `--engine`: what carries the connections.
    pub engine: Option<String>,
    /// `--path`: what HTTP clients ask for.
    pub path: Option<String>,
    /// `--reflector`: addresses of reflectors that are there already.
    pub reflectors: Vec<String>,
}

/// The scenario file with every `--set` in it, and the keys that were set.
pub(super) fn apply(document: &Document, set: &[String]) -> Result<(ScenarioFile, Vec<String>), ScenarioError> {
    // The text as written comes first, so that its own mistakes are shown at their lines.
    let file: ScenarioFile = document.parse()?;
    if set.is_empty() {
        return Ok((file, Vec::new()));
    }
    let mut table: Table = document.parse()?;
    let mut keys = Vec::new();
    for assignment in set {
        let (key, value) = read(assignment)?;
        let path: Vec<&str> = key.split('.').collect();
        check_alone(&path, &value)?;
        insert(&mut table, &path, value);
        keys.push(key);
    }
    let merged: ScenarioFile = table.try_into().map_err(|error: toml::de::Error| DocumentError {
        name: "--set".to_owned(),
        line: None,
        key: keys.join(", "),
        message: error.message().to_owned(),
    })?;
    Ok((merged, keys))
}

/// Splits `key=value`; the value is TOML if it reads as such, else text.
fn read(assignment: &str) -> Result<(String, Value), ScenarioError> {
    let refuse = |message: &str| ScenarioError::Option {
        option: "--set",
        found: assignment.to_owned(),
        message: message.to_owned(),
    };
    let (key, value) =
        assignment.split_once('=').ok_or_else(|| refuse("expected key=value, such as load.phases.sustain=5s"))?;
    let key = key.trim();
    let bare = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if !key.split('.').all(bare) {
        return Err(refuse("the key is not a dotted key; expected such as load.phases.sustain"));
    }
    let parsed = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| {
        // A value with a line break could bring further keys with it.
        if table.len() == 1 { table.remove("value") } else { None }
    });
    Ok((key.to_owned(), parsed.unwrap_or_else(|| Value::String(value.trim().to_owned()))))
}

/// Reads the one assignment as a scenario of its own, for an error that names key and value.
fn check_alone(path: &[&str], value: &Value) -> Result<(), ScenarioError> {
    let mut alone = Table::new();
    insert(&mut alone, path, value.clone());
    let document = Document::new("--set", alone.to_string());
    match document.parse::<ScenarioFile>() {
        Ok(_) => Ok(()),
        Err(error) => Err(DocumentError { line: None, ..error }.into()),
    }
}

/// Puts a value at a dotted key; whatever stands in the way and is no table is replaced.
fn insert(table: &mut Table, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        table.insert((*first).to_owned(), value);
        return;
    }
    let inner = table.entry((*first).to_owned()).or_insert_with(|| Value::Table(Table::new()));
    if !inner.is_table() {
        *inner = Value::Table(Table::new());
    }
    if let Value::Table(inner) = inner {
        insert(inner, rest, value);
    }
}
