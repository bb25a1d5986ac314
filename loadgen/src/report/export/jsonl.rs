//! JSON lines: one object per event, each with `event` and `t_unix_s`. Pure.
//!
//! - `run`: `schema`, `run`, `scenario`, `question`, `dut`, `unit`.
//! - `trial_begins`: `trial`, `purpose`, `load`.
//! - `second`: `trial`, `purpose`, `phase`, `second` (from 0), `load`; operations `due`, `started`, `ended`
//!   by outcome; `transactions`, `opened`, `open`, `body_bytes`; `response_time_us` and `schedule_lag_us`
//!   with `p50`, `p90`, `p99` (null without enough samples); `busy_ratio` by role.
//! - `trial`: as a trial stands in `result.json`.
//! - `answer`: `exit_code`, `interrupted`, and `answer` as in `result.json`.

use serde_json::{Value, json};

use super::{Event, Head, Kind, note_of};
use crate::measure::{Latencies, Latency, Role, Sample, Second};
use crate::report::{result, usage};
use crate::verdict::answer::Exit;

/// Version of the form; a change that would mislead a reader raises it.
const SCHEMA: u32 = 1;

/// The line of an event, with its line end.
pub(super) fn line(head: &Head, event: &Event<'_>) -> String {
    let (name, mut fields) = match event.kind {
        Kind::Begin => ("run", begin(head)),
        Kind::Trial { number, purpose, load } => {
            ("trial_begins", json!({ "trial": number, "purpose": purpose, "load": load }))
        }
        Kind::Second { trial, purpose, phase, load, second, samples } => {
            let mut fields = second_fields(second, samples);
            fields["trial"] = trial.into();
            fields["purpose"] = purpose.name().into();
            fields["phase"] = phase.name().into();
            fields["load"] = load.into();
            ("second", fields)
        }
        Kind::Done { record, passed, reasons } => {
            ("trial", result::trial(record, Some(&note_of(record, passed, reasons))))
        }
        Kind::Answer(answer) => {
            let interrupted = answer.exit == Exit::Interrupted;
            ("answer", json!({ "exit_code": answer.exit.code(), "interrupted": interrupted, "answer": answer }))
        }
    };
    fields["event"] = name.into();
    fields["t_unix_s"] = (event.unix_ns as f64 / 1e9).into();
    fields.to_string() + "\n"
}

fn begin(head: &Head) -> Value {
    json!({
        "schema": SCHEMA,
        "run": head.run,
        "scenario": head.scenario,
        "question": head.question,
        "dut": head.dut,
        "unit": head.unit.name(),
    })
}

fn second_fields(second: &Second, samples: Option<(&Sample, &Sample)>) -> Value {
    let busy = |role| samples.and_then(|(before, after)| usage::role(before, after, role)).map(|usage| usage.busy);
    let reflectors = samples.and_then(|(before, after)| usage::reflectors(before, after)).map(|usage| usage.busy);
    json!({
        "second": second.index,
        "due": second.due,
        "started": second.started,
        "ended": second.ended.iter().map(|(kind, n)| (kind.name().to_owned(), n.into())).collect::<serde_json::Map<_, _>>(),
        "transactions": second.transactions,
        "opened": second.opened,
        "open": second.open,
        "body_bytes": second.body_bytes,
        "response_time_us": percentiles(&second.latencies, Latency::Response),
        "schedule_lag_us": percentiles(&second.latencies, Latency::Lag),
        "busy_ratio": { "generator": busy(Role::Generator), "dut": busy(Role::Dut), "reflectors": reflectors },
    })
}

fn percentiles(latencies: &Latencies, latency: Latency) -> Value {
    let us = |percentile| latencies.percentile(latency, percentile).map(|value| value.as_nanos() as f64 / 1e3);
    // Of nothing there is no median.
    let us = |percentile| us(percentile).filter(|_| !latencies.of(latency).is_empty());
    json!({ "p50": us(50.0), "p90": us(90.0), "p99": us(99.0) })
}
