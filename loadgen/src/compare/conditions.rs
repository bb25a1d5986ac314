//! What must be equal before figures are compared, and what differs.
//!
//! Conditions are texts by key: every key of the plan but the DUT's (`load.rate`, `workload.close`), the
//! tool (`version`, `commit`, `build_profile`), what carried the connections (`engine`), the host
//! (`host.kernel` …) and the DUT's share of it (`dut.cpu_quota`, `dut.cores`, `dut.protocol`), where
//! there is a DUT of ours. A key is allowed by its name or by that of a group it belongs to (`host`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::Entrant;
use crate::archive::Archive;
use crate::scenario::plan::{Dut, DutKind};

/// Most differences that a refusal lists.
const LISTED_MAX: usize = 20;
/// Longest value that is shown, in characters.
const VALUE_MAX: usize = 80;

/// A condition that is not the same for all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its key.
    pub key: String,
    /// Each contender with its value, in their order.
    pub values: Vec<(String, String)>,
}

/// What became of the differences.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Judged {
    /// Those that nobody allowed.
    pub(super) refused: Vec<Difference>,
    /// Those that were allowed.
    pub(super) allowed: Vec<Difference>,
    /// Permissions that were not needed.
    pub(super) notes: Vec<String>,
}

pub(super) fn judge(entrants: &[Entrant<'_>], names: &[String], allow: &[String]) -> Judged {
    let mut columns: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for (entrant, name) in entrants.iter().zip(names) {
        for (at, run) in entrant.runs.iter().enumerate() {
            let name = if entrant.runs.len() > 1 { format!("{name}, round {}", at + 1) } else { name.clone() };
            columns.push((name, of(run)));
        }
    }
    let keys: BTreeSet<&String> = columns.iter().flat_map(|(_, conditions)| conditions.keys()).collect();
    let mut judged = Judged::default();
    let mut used = BTreeSet::new();
    for key in keys {
        let value = |conditions: &BTreeMap<String, String>| conditions.get(key).cloned();
        // What a DUT that is not there would share of the host is nobody's condition.
        let shared: Vec<_> = columns.iter().filter(|(_, c)| !key.starts_with("dut.") || c.contains_key(key)).collect();
        if shared.windows(2).all(|pair| value(&pair[0].1) == value(&pair[1].1)) {
            continue;
        }
        let shown = |(name, c): &&(String, BTreeMap<String, String>)| {
            (name.clone(), value(c).unwrap_or_else(|| "not stated".to_owned()))
        };
        let difference = Difference { key: key.clone(), values: shared.iter().map(shown).collect() };
        match allow.iter().find(|allowed| covers(allowed, key)) {
            Some(allowed) => {
                used.insert(allowed);
                judged.allowed.push(difference);
            }
            None => judged.refused.push(difference),
        }
    }
    // The fingerprint is made of the keys above; alone it differs only between forms of a plan.
    if judged.refused.iter().chain(&judged.allowed).any(|difference| difference.key != "scenario") {
        judged.refused.retain(|difference| difference.key != "scenario");
        judged.allowed.retain(|difference| difference.key != "scenario");
    }
    let unused = allow.iter().filter(|allowed| !used.contains(allowed));
    judged.notes = unused.map(|allowed| format!("--allow {allowed}: nothing of that name differs")).collect();
    judged
}

/// The differences, a line each.
pub(super) fn text(differences: &[Difference]) -> String {
    let mut text = String::new();
    for difference in differences.iter().take(LISTED_MAX) {
        let values: Vec<_> = difference.values.iter().map(|(name, value)| format!("{value} ({name})")).collect();
        text.push_str(&format!("  {}: {}\n", difference.key, values.join(", ")));
    }
    if differences.len() > LISTED_MAX {
        text.push_str(&format!("  and {} more\n", differences.len() - LISTED_MAX));
    }
    text
}

fn covers(allowed: &str, key: &str) -> bool {
    key == allowed || key.strip_prefix(allowed).is_some_and(|rest| rest.starts_with('.'))
}

/// The conditions of one run.
fn of(run: &Archive) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let begun = &run.begun;
    let mut plan = serde_json::to_value(&begun.plan).unwrap_or_default();
    if let Some(testbed) = plan.get_mut("testbed").and_then(Value::as_object_mut) {
        testbed.remove("dut");
    }
    flatten("", &plan, &mut found);
    found.insert("scenario".to_owned(), begun.scenario.clone());
    found.insert("version".to_owned(), begun.version.clone());
    found.insert("commit".to_owned(), begun.commit.clone().unwrap_or_else(|| "unknown".to_owned()));
    let facts = &run.environment;
    for name in ["build_profile"] {
        flatten(name, &facts[name], &mut found);
    }
    flatten("engine", &facts["engine"]["used"], &mut found);
    for name in
        ["cpu_model", "cores", "cores_allowed", "kernel", "architecture", "governor", "virtualisation", "sysctls"]
    {
        flatten(&format!("host.{name}"), &facts[name], &mut found);
    }
    dut(&begun.plan.testbed.dut, &mut found);
    found
}

/// What of the host a DUT may use, and what it is asked over.
fn dut(dut: &Dut, found: &mut BTreeMap<String, String>) {
    if matches!(dut.kind, DutKind::None) {
        return;
    }
    let protocol = dut.service.split_once("://").map_or("tcp", |(protocol, _)| protocol);
    found.insert("dut.protocol".to_owned(), protocol.to_owned());
    if matches!(dut.kind, DutKind::External { .. }) {
        return;
    }
    let quota = dut.cpu_quota.map_or_else(|| "none".to_owned(), |quota| quota.to_string());
    found.insert("dut.cpu_quota".to_owned(), quota);
    let cores = if dut.cores.is_empty() { "automatic".to_owned() } else { format!("{:?}", dut.cores) };
    found.insert("dut.cores".to_owned(), cores);
}

/// Every leaf of a value by its path; a list is one leaf, and so is nothing.
fn flatten(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    if let Value::Object(fields) = value {
        for (name, value) in fields {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            flatten(&path, value, found);
        }
        return;
    }
    let text = match value {
        Value::Null => "not stated".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let short: String = text.chars().take(VALUE_MAX).collect();
    // A cut value would hide a difference behind the cut: its length tells.
    let text = if short.len() < text.len() {
        format!("{short}… ({} bytes, {:016x})", text.len(), hash(&text))
    } else {
        text
    };
    found.insert(path.to_owned(), text);
}

/// FNV-1a, enough to tell two long values apart.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
