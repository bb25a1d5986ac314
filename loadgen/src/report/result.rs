//! `result.json`: the answer and its trials for programs.

use serde_json::{Value, json};

use super::folder::TrialNote;
use super::rows::{ended_early, goodput_bps, lag_shows, load_kind};
use super::usage;
use crate::measure::{Latencies, Latency, Role, Sample, TrialRecord};
use crate::scenario::Plan;
use crate::verdict::answer::{Answer, Exit};

/// Version of the form of `result.json`; a change that would mislead a reader raises it.
const SCHEMA: u32 = 1;

/// The whole document.
///
/// # Errors
/// What serde says about a plan or an answer that JSON cannot hold.
pub(super) fn document(
    run: &str,
    plan: &Plan,
    trials: &[TrialRecord],
    notes: &[TrialNote],
    answer: &Answer,
) -> Result<Value, serde_json::Error> {
    let trials = trials.iter().map(|record| trial(record, notes.iter().find(|note| note.trial == record.number)));
    Ok(json!({
        "schema": SCHEMA,
        "run": run,
        "scenario": plan.name,
        "question": plan.question,
        "dut": plan.testbed.dut.name,
        "interrupted": answer.exit == Exit::Interrupted,
        "exit_code": answer.exit.code(),
        "answer": serde_json::to_value(answer)?,
        "trials": trials.collect::<Vec<_>>(),
        "plan": serde_json::to_value(plan)?,
    }))
}

/// One trial, with what became of it.
pub(super) fn trial(record: &TrialRecord, note: Option<&TrialNote>) -> Value {
    let ends = usage::sustain(record);
    let busy = |of: &dyn Fn(&Sample, &Sample) -> Option<f64>| ends.and_then(|(before, after)| of(before, after));
    json!({
        "trial": record.number,
        "purpose": record.purpose,
        "load_kind": load_kind(record.load),
        "load": record.load.amount(),
        "sustain_s": record.sustain.as_secs_f64(),
        "passed": note.and_then(|note| note.passed),
        "reasons": note.map(|note| note.reasons.clone()).unwrap_or_default(),
        "ended_early": record.ended_early.as_ref().map(ended_early),
        "due": record.due,
        "outcomes": record.outcomes.iter().map(|(kind, n)| (kind.name().to_owned(), n.into())).collect::<serde_json::Map<_, _>>(),
        "achieved_per_s_mean": record.achieved_rate(),
        "tps_mean": record.transaction_rate(),
        "cc_mean": record.open_mean_in_sustain,
        "cc_min": record.open_min_in_sustain,
        "goodput_bps_mean": goodput_bps(record),
        "latency_us": Latency::ALL.iter().map(|&latency| (latency.name().to_owned(), percentiles(&record.latencies, latency))).collect::<serde_json::Map<_, _>>(),
        "lag_shows_in_latency": lag_shows(&record.latencies),
        "frames": record.frames,
        "busy_ratio": {
            "generator": busy(&|a, b| usage::role(a, b, Role::Generator).map(|usage| usage.busy)),
            "dut": busy(&|a, b| usage::role(a, b, Role::Dut).map(|usage| usage.busy)),
            "reflectors": busy(&|a, b| usage::reflectors(a, b).map(|usage| usage.busy)),
            "busiest_core": busy(&|a, b| usage::cores(a, b).into_iter().flatten().reduce(f64::max)),
            "steal": busy(&usage::steal),
        },
        "first_failures": record.first_failures.iter().map(|(kind, text)| json!({ "outcome": kind, "text": text })).collect::<Vec<_>>(),
    })
}

fn percentiles(latencies: &Latencies, latency: Latency) -> Value {
    let us = |percentile| latencies.percentile(latency, percentile).map(|value| value.as_nanos() as f64 / 1e3);
    let histogram = latencies.of(latency);
    let mean = (!histogram.is_empty()).then(|| histogram.mean() / 1e3);
    json!({
        "n": histogram.len(),
        "mean": mean,
        "p50": us(50.0),
        "p90": us(90.0),
        "p95": us(95.0),
        "p99": us(99.0),
        "p99.9": us(99.9),
        "p99.99": us(99.99),
        "max": if histogram.is_empty() { None } else { us(100.0) },
    })
}
