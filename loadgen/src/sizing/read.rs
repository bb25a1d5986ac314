//! A run folder that was read back, as the [`Run`] that sizing needs.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use wire::hash::fnv1a;

use super::runs::{Figure, Run, Spread, Trial};
use super::{LARGE_OBJECT_BYTES, Resource};
use crate::archive::{Archive, Kept};
use crate::measure::record::{Purpose, TrialLoad};
use crate::measure::{Latency, Outcome, TrialRecord};
use crate::scenario::plan::{DutKind, Network, SearchPlan, Template, WorkloadKind};
use crate::scenario::{Plan, final_sustain};
use crate::search::Repeats;
use crate::verdict::answer::{self, Bound};

/// What sizing needs of a run; `folder` is its name in messages.
pub fn run(folder: &str, archive: &Archive) -> Run {
    let begun = &archive.begun;
    let plan = &begun.plan;
    let dut = &plan.testbed.dut;
    let large = has_large_objects(archive);
    let (figures, limited_by, reason, label) = match &archive.answer {
        Some(answer) => (
            answer.figures.iter().map(|found| figure(archive, found, large)).collect(),
            answer.limited_by.map(|limit| limit.name().to_owned()),
            answer.reason.clone(),
            answer.label.clone(),
        ),
        None => (Vec::new(), None, "it was not finished".to_owned(), String::new()),
    };
    Run {
        folder: folder.to_owned(),
        identity: format!("{} {} {}", begun.run, begun.began_unix_ns, begun.began_monotonic_ns),
        several_devices: archive.environment["merged"].is_object() && is_started(&dut.kind),
        scenario: plan.name.clone(),
        dut: dut.name.clone(),
        place: place(archive),
        device: device(archive),
        workload: workload(plan),
        tls: dut.service.starts_with("https:"),
        co_located: plan.testbed.network != Network::External,
        cores: cores(plan),
        workers: workers(&dut.kind).map(NonZeroU32::get),
        searched: !matches!(plan.search, SearchPlan::Fixed | SearchPlan::Stair { .. }),
        asked: resource(plan.load.unit.figure(), large),
        figures,
        limited_by,
        trials: trials(plan, &archive.trials),
        doubts: doubts(archive),
        reason,
        label,
    }
}

/// A figure. One of transactions with large objects is one of bandwidth: the same trial, counted in bits.
fn figure(archive: &Archive, figure: &answer::Figure, large: bool) -> Figure {
    let measured = resource(&figure.name, large);
    let record = archive.records().find(|record| record.number == figure.trial);
    let scale = record.filter(|_| measured == Some(Resource::Bandwidth)).map_or(1.0, bits_per_transaction);
    let spread =
        |repeats: &Repeats| Spread { searches: repeats.n, lowest: repeats.min * scale, highest: repeats.max * scale };
    Figure {
        resource: measured,
        value: figure.value * scale,
        lower: figure.bound == Bound::Lower,
        trial: figure.trial,
        per_core_estimate: figure.estimated_capacity_per_core.map(|estimate| estimate * scale),
        repeats: figure.repeats.as_ref().map(spread),
    }
}

fn bits_per_transaction(record: &TrialRecord) -> f64 {
    record.body_bytes_in_sustain as f64 * 8.0 / record.transactions_in_sustain.max(1) as f64
}

/// Whether the mean body is so large that the run asked for bandwidth.
fn has_large_objects(archive: &Archive) -> bool {
    let through = || archive.records().filter(|record| record.purpose != Purpose::Ceiling);
    let bytes: u64 = through().map(|record| record.body_bytes_in_sustain).sum();
    let bodies: u64 = through().map(|record| record.transactions_in_sustain).sum();
    bodies > 0 && bytes as f64 >= LARGE_OBJECT_BYTES * bodies as f64
}

/// The resource that a figure counts, by its name in result files.
fn resource(name: &str, large: bool) -> Option<Resource> {
    match name {
        "cps" => Some(Resource::Cps),
        "tps" if large => Some(Resource::Bandwidth),
        "tps" => Some(Resource::Tps),
        "cc" => Some(Resource::Cc),
        _ => None,
    }
}

/// Whether runs start the device themselves.
fn is_started(kind: &DutKind) -> bool {
    matches!(kind, DutKind::Reference { .. } | DutKind::Command { .. })
}

/// The trials that helped to choose the answer.
fn trials(plan: &Plan, kept: &[Kept]) -> Vec<Trial> {
    let through = kept.iter().filter(|kept| kept.record.purpose.is_searching());
    through.map(|kept| trial(plan, kept)).collect()
}

fn trial(plan: &Plan, kept: &Kept) -> Trial {
    let record = &kept.record;
    let seconds = record.sustain.as_secs_f64();
    let p99 = |latency| record.latencies.percentile(latency, 99.0);
    let (response, lag) = (p99(Latency::Response), p99(Latency::Lag));
    Trial {
        number: record.number,
        // A search whose steps have the full length already confirms nothing once more.
        confirming: matches!(record.purpose, Purpose::Confirm | Purpose::Fixed)
            || record.sustain >= final_sustain(plan),
        load: record.load.amount(),
        closed: if let TrialLoad::Closed(count) = record.load { Some(f64::from(count)) } else { None },
        open_loop: matches!(record.load, TrialLoad::Rate(_)),
        sustain_s: seconds,
        passed: kept.passed,
        ended_early: record.ended_early.is_some(),
        due: record.due.max(record.outcomes.total()),
        failed: record.outcomes.failed(),
        unsent_late: record.outcomes.of(Outcome::UnsentLate),
        completed: record.completed_in_sustain,
        achieved_per_s: record.achieved_rate(),
        tps: record.transaction_rate(),
        goodput_bps: record.body_bytes_in_sustain as f64 * 8.0 / seconds,
        cc_min: record.open_min_in_sustain as f64,
        response_p99_s: response.map(|time| time.as_secs_f64()),
        lag_shows: lag.zip(response).is_some_and(|(lag, response)| lag * 10 > response),
    }
}

/// Where and with what it was measured.
fn place(archive: &Archive) -> BTreeMap<String, String> {
    let begun = &archive.begun;
    let build = archive.environment["build_profile"].as_str().unwrap_or("unknown").to_owned();
    let network = begun.plan.testbed.network.name();
    // What was used, which is not always what was asked for.
    let engine =
        archive.environment["engine"]["used"].as_str().unwrap_or_else(|| begun.plan.load.engine.name()).to_owned();
    named([
        ("the host", archive.host()),
        ("the kernel's settings", settings(&archive.environment["sysctls"])),
        ("the engine", engine),
        (
            "the version of this program",
            format!("{} {}", begun.version, begun.commit.as_deref().unwrap_or("without a commit")),
        ),
        ("the build of this program", build),
        ("the network", network.to_owned()),
    ])
}

/// The sysctls that a run keeps, in one line.
fn settings(sysctls: &serde_json::Value) -> String {
    let settings = sysctls.as_object().map(|all| all.iter().map(|(name, value)| format!("{name} = {value}")).collect());
    settings.map_or_else(|| "not recorded".to_owned(), |settings: Vec<String>| settings.join(", "))
}

/// The device as it was configured.
fn device(archive: &Archive) -> BTreeMap<String, String> {
    let plan = &archive.begun.plan;
    let dut = &plan.testbed.dut;
    let text = serde_json::to_value(&dut.kind).unwrap_or_default();
    let template = match &dut.kind {
        DutKind::Reference { config, .. } => Some(config),
        DutKind::Command { config, .. } => config.as_ref(),
        DutKind::Kernel { .. } | DutKind::External { .. } | DutKind::None => None,
    };
    let version = ["dut_version", "dut"].into_iter().find_map(|key| archive.environment.get(key)).cloned();
    named([
        ("what it is started as", kind_text(text)),
        ("its file", short(&dut.file_text)),
        ("its configuration", template.map_or_else(String::new, |Template { text, .. }| short(text))),
        ("its cores", format!("{:?}", dut.cores)),
        ("its CPU quota", dut.cpu_quota.map_or_else(|| "none".to_owned(), |quota| quota.to_string())),
        ("the address it serves", dut.service.clone()),
        ("the number of reflectors", plan.testbed.reflectors.to_string()),
        ("its version", version.map_or_else(|| "not recorded".to_owned(), |version| version.to_string())),
    ])
}

/// The kind of a device without the path of its template, which says nothing: its text is compared.
pub(crate) fn kind_text(mut kind: serde_json::Value) -> String {
    if let Some(config) = kind.get_mut("config").and_then(|config| config.as_object_mut()) {
        config.remove("path");
    }
    kind.to_string()
}

/// What one operation was.
fn workload(plan: &Plan) -> BTreeMap<String, String> {
    let kind = match &plan.workload.kind {
        WorkloadKind::Tcp => "tcp".to_owned(),
        other => serde_json::to_value(other).unwrap_or_default().to_string(),
    };
    let requests = plan.workload.requests_per_connection.map_or_else(|| "any".to_owned(), |count| count.to_string());
    named([
        ("the request", kind),
        ("requests per connection", requests),
        ("who closes connections", close(plan)),
        ("the unit of the load", plan.load.unit.name().to_owned()),
        ("the arrivals", serde_json::to_value(plan.load.arrivals).unwrap_or_default().to_string()),
        ("the pattern of the load", serde_json::to_value(plan.load.pattern).unwrap_or_default().to_string()),
    ])
}

fn close(plan: &Plan) -> String {
    serde_json::to_value(plan.workload.close).unwrap_or_default().as_str().unwrap_or_default().to_owned()
}

fn named<const N: usize>(values: [(&str, String); N]) -> BTreeMap<String, String> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A text of many lines as something that fits in a message: equal for equal texts, and hardly for others.
pub(crate) fn short(text: &str) -> String {
    if text.is_empty() {
        return "not kept".to_owned();
    }
    format!("text {:016x}", fnv1a(text.bytes()))
}

fn workers(kind: &DutKind) -> Option<NonZeroU32> {
    match kind {
        DutKind::Reference { workers, .. } => Some(*workers),
        DutKind::Command { workers, .. } => *workers,
        DutKind::Kernel { .. } | DutKind::External { .. } | DutKind::None => None,
    }
}

/// Cores that the device could use: those it was pinned to, at most one per worker, within its quota.
fn cores(plan: &Plan) -> Option<f64> {
    let dut = &plan.testbed.dut;
    let pinned = (!dut.cores.is_empty()).then_some(dut.cores.len() as f64);
    let workers = workers(&dut.kind).map(|count| f64::from(count.get()));
    let quota = dut.cpu_quota.map(|quota| quota.as_ratio());
    [pinned, workers, quota].into_iter().flatten().reduce(f64::min)
}

fn doubts(archive: &Archive) -> Vec<String> {
    let mut doubts = archive.warnings.clone();
    if let Some(answer) = &archive.answer {
        let on_figure = |trial: u32| answer.figures.iter().any(|figure| figure.trial == trial);
        let serious = answer.books.iter().filter(|books| books.serious && on_figure(books.trial));
        doubts.extend(serious.map(|books| format!("the books differ in trial {}: {}", books.trial, books.text)));
        let broken = answer.validation.broken();
        doubts.extend(answer.warnings.iter().cloned());
        doubts.extend(broken.map(|rule| format!("not valid by RFC 9411, {}: {}", rule.rule, rule.text)));
    }
    doubts
}

#[cfg(test)]
mod tests;
