//! What must be equal before figures are compared, and what differs.
//!
//! Conditions are texts by key: every key of the plan but the DUT's (`load.rate`, `workload.close`), the
//! tool (`version`, `commit`, `build_profile`), what carried the connections (`engine`), the host
//! (`host.kernel` …) and the DUT's share of it (`dut.cpu_quota`, `dut.cores`, `dut.protocol`), where
//! there is a DUT of ours. A key is allowed by its name or by that of a group it belongs to (`host`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use wire::hash::fnv1a;

use super::Entrant;
use crate::archive::Archive;
use crate::scenario::Plan;
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

/// What differs between plans in more than the DUT.
pub(super) fn of_plans(plans: &[Plan]) -> Vec<Difference> {
    let column = |plan: &Plan| {
        let mut found = BTreeMap::new();
        plan_conditions(plan, &mut found);
        (plan.testbed.dut.name.clone(), found)
    };
    differences(&plans.iter().map(column).collect::<Vec<_>>())
}

type Column = (String, BTreeMap<String, String>);

pub(super) fn judge(entrants: &[Entrant<'_>], names: &[String], allow: &[String]) -> Judged {
    let mut columns: Vec<Column> = Vec::new();
    for (entrant, name) in entrants.iter().zip(names) {
        for (at, run) in entrant.runs.iter().enumerate() {
            let name = if entrant.runs.len() > 1 { format!("{name}, round {}", at + 1) } else { name.clone() };
            columns.push((name, of(run)));
        }
    }
    let mut judged = Judged::default();
    let mut used = BTreeSet::new();
    for difference in differences(&columns) {
        match allow.iter().find(|allowed| covers(allowed, &difference.key)) {
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

/// The conditions that are not the same in all columns.
fn differences(columns: &[Column]) -> Vec<Difference> {
    let keys: BTreeSet<&String> = columns.iter().flat_map(|(_, conditions)| conditions.keys()).collect();
    let difference = |key: &String| {
        // What a DUT that is not there would share of the host is nobody's condition.
        let shared: Vec<&Column> =
            columns.iter().filter(|(_, conditions)| !key.starts_with("dut.") || conditions.contains_key(key)).collect();
        let equal = shared.windows(2).all(|pair| pair[0].1.get(key) == pair[1].1.get(key));
        let shown = |(name, conditions): &&Column| {
            (name.clone(), conditions.get(key).cloned().unwrap_or_else(|| "not stated".to_owned()))
        };
        (!equal).then(|| Difference { key: key.clone(), values: shared.iter().map(shown).collect() })
    };
    keys.into_iter().filter_map(difference).collect()
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
    plan_conditions(&begun.plan, &mut found);
    found.insert("scenario".to_owned(), begun.scenario.clone());
    found.insert("version".to_owned(), begun.version.clone());
    found.insert("commit".to_owned(), begun.commit.clone().unwrap_or_else(|| "unknown".to_owned()));
    let facts = &run.environment;
    flatten("build_profile", &facts["build_profile"], &mut found);
    flatten("engine", &facts["engine"]["used"], &mut found);
    for name in
        ["cpu_model", "cores", "cores_allowed", "kernel", "architecture", "governor", "virtualisation", "sysctls"]
    {
        flatten(&format!("host.{name}"), &facts[name], &mut found);
    }
    found
}

fn plan_conditions(plan: &Plan, found: &mut BTreeMap<String, String>) {
    let mut value = serde_json::to_value(plan).unwrap_or_default();
    if let Some(testbed) = value.get_mut("testbed").and_then(Value::as_object_mut) {
        testbed.remove("dut");
    }
    flatten("", &value, found);
    dut(&plan.testbed.dut, found);
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
        format!("{short}… ({} bytes, {:016x})", text.len(), fnv1a(text.bytes()))
    } else {
        text
    };
    found.insert(path.to_owned(), text);
}
