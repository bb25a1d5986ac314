//! The tables of the report, as text for a person.

use serde_json::{Value, json};

use super::figures::{arrivals, close, dut_kind, profile};
use super::frames::tables as frames;
use super::plot::Material;
use super::rows::{ServerRow, ended_early, load_text};
use super::terminal::{decisive, latency_meaning, shown_trial};
use super::text::{NOTHING, amount, count, maybe_span, share, span};
use super::usage;
use crate::measure::{Latency, Outcome, Role, Sample, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::{BodyCheck, SearchPlan, StartLoad, WorkloadKind};
use crate::verdict::answer::Answer;

/// A table: its head, its rows, and which columns hold words instead of numbers.
pub(super) struct Grid {
    head: Vec<String>,
    rows: Vec<Row>,
    text: Vec<usize>,
    words: Vec<usize>,
}

/// A row: how it is marked, its cells, and a sentence below them.
struct Row {
    mark: &'static str,
    cells: Vec<String>,
    note: String,
}

impl Grid {
    pub(super) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&cell| cell.to_owned()).collect(),
            rows: Vec::new(),
            text: vec![0],
            words: Vec::new(),
        }
    }

    /// Columns that stand to the left.
    pub(super) fn text(mut self, columns: &[usize]) -> Self {
        self.text = columns.to_vec();
        self
    }

    /// Columns that hold sentences, which may break.
    pub(super) fn words(mut self, columns: &[usize]) -> Self {
        self.text.extend(columns);
        self.words = columns.to_vec();
        self
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.marked(cells, "");
    }

    /// A row with a class of the style sheet: `good`, `bad`, `open`, `here`, `zero`.
    pub(super) fn marked(&mut self, cells: Vec<String>, mark: &'static str) {
        debug_assert_eq!(cells.len(), self.head.len(), "{:?}", self.head);
        self.rows.push(Row { mark, cells, note: String::new() });
    }

    /// Puts a sentence below the last row, over its whole width.
    pub(super) fn note(&mut self, note: String) {
        if let Some(row) = self.rows.last_mut() {
            row.note = note;
        }
    }

    /// The table as the template wants it.
    pub(super) fn value(self) -> Value {
        let rows = self.rows.into_iter().map(|row| json!({ "mark": row.mark, "cells": row.cells, "note": row.note }));
        json!({ "head": self.head, "rows": rows.collect::<Vec<_>>(), "text": self.text, "words": self.words })
    }
}

/// The evidence of `limited_by`; what decided it is marked.
pub(super) fn evidence(answer: &Answer) -> Grid {
    let decisive = decisive(answer);
    let mut grid = Grid::new(&["rule", "finding", "what it saw"]).text(&[0, 1]).words(&[2]);
    for evidence in &answer.evidence {
        let finding = match (evidence.rule.as_str(), evidence.holds) {
            ("G8", true) => "points at the DUT",
            ("G8", false) => "does not point at the DUT",
            (_, true) => "in order",
            (_, false) => "not in order",
        };
        let mark = if decisive.iter().any(|other| std::ptr::eq(*other, evidence)) { "here" } else { "" };
        grid.marked([evidence.rule.clone(), finding.to_owned(), evidence.text.clone()].into(), mark);
    }
    grid
}

/// The path of the search; the figure's trial is marked.
pub(super) fn trials(material: &Material<'_>) -> Grid {
    let head = [
        "trial",
        "purpose",
        "load",
        "sustain",
        "passed",
        "due",
        "failed",
        "achieved/s",
        "p50",
        "p99",
        "CPU DUT",
        "CPU generator",
        "CPU reflectors",
    ];
    let mut grid = Grid::new(&head).text(&[1, 4]);
    let shown = shown_trial(material.trials, material.answer).map(|record| record.number);
    for record in material.trials {
        let note = material.notes.iter().find(|note| note.trial == record.number);
        let passed = match note.and_then(|note| note.passed) {
            Some(true) => "✓ yes",
            Some(false) => "✗ no",
            None => NOTHING,
        };
        let busy = |of: &dyn Fn(&Sample, &Sample) -> Option<f64>| {
            let busy = usage::sustain(record).and_then(|(before, after)| of(before, after));
            busy.map_or_else(|| NOTHING.to_owned(), share)
        };
        let response = |percentile| maybe_span(record.latencies.percentile(Latency::Response, percentile));
        let cells = vec![
            record.number.to_string(),
            record.purpose.name().to_owned(),
            load_text(record.load),
            format!("{} s", amount(record.sustain.as_secs_f64())),
            passed.to_owned(),
            count(record.due),
            count(record.outcomes.failed()),
            amount(record.achieved_rate()),
            response(50.0),
            response(99.0),
            busy(&|a, b| usage::role(a, b, Role::Dut).map(|usage| usage.busy)),
            busy(&|a, b| usage::role(a, b, Role::Generator).map(|usage| usage.busy)),
            busy(&|a, b| usage::reflectors(a, b).map(|usage| usage.busy)),
        ];
        grid.marked(cells, if shown == Some(record.number) { "here" } else { "" });
        grid.note(remarks(record, note.map_or(&[], |note| &note.reasons)));
    }
    grid
}

/// Why a trial did not pass, why it ended early, what held it back.
fn remarks(record: &TrialRecord, reasons: &[String]) -> String {
    let early = record.ended_early.as_ref().map(|early| format!("ended early: {}", ended_early(early)));
    let all: Vec<String> = reasons.iter().cloned().chain(early).chain(record.slots_cut.clone()).collect();
    all.join("; ")
}

/// How the operations of one trial ended, and of all trials together; every kind.
pub(super) fn outcomes(all: &[TrialRecord], record: &TrialRecord) -> Grid {
    let mut grid = Grid::new(&["outcome", "in sustain", "share", "whole trial", "all trials"]);
    let total = record.outcomes.total().max(1) as f64;
    for (outcome, operations) in record.outcomes.iter() {
        let everywhere: u64 = all.iter().map(|record| record.outcomes_all.of(outcome)).sum();
        let cells = vec![
            outcome.name().to_owned(),
            count(operations),
            share(operations as f64 / total),
            count(record.outcomes_all.of(outcome)),
            count(everywhere),
        ];
        grid.marked(cells, if operations + everywhere == 0 { "zero" } else { "" });
    }
    let failed = |outcomes: &crate::measure::Outcomes| count(outcomes.failed());
    let everywhere: u64 = all.iter().map(|record| record.outcomes_all.failed()).sum();
    let cells = vec![
        format!("all but {}", Outcome::Ok.name()),
        failed(&record.outcomes),
        share(record.failed_ratio()),
        failed(&record.outcomes_all),
        count(everywhere),
    ];
    grid.marked(cells, "here");
    grid
}

/// Latency percentiles of one trial.
pub(super) fn latency(record: &TrialRecord) -> Grid {
    let word = if record.frames.is_some() { "delay" } else { "latency" };
    let head = [word, "samples", "mean", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "maximum"];
    let mut grid = Grid::new(&head);
    let belongs = |latency: &Latency| match latency {
        Latency::Connect | Latency::Ttfb | Latency::Ttlb => record.frames.is_none(),
        Latency::Departure => record.frames.is_some(),
        Latency::Response | Latency::Service | Latency::Lag => true,
    };
    for latency in Latency::ALL.into_iter().filter(belongs) {
        let histogram = record.latencies.of(latency);
        let mean = std::time::Duration::from_nanos(histogram.mean() as u64);
        let mut cells = vec![latency_meaning(record, latency).to_owned(), count(histogram.len())];
        if histogram.is_empty() {
            cells.resize(grid.head.len(), NOTHING.to_owned());
        } else {
            cells.push(span(mean));
            let percentiles = [50.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0];
            cells.extend(percentiles.map(|percentile| maybe_span(record.latencies.percentile(latency, percentile))));
        }
        grid.marked(cells, if histogram.is_empty() { "zero" } else { "" });
    }
    grid
}

/// The real servers of one trial of frames, by their own books.
pub(super) fn frame_servers(rows: &[ServerRow<'_>]) -> Grid {
    let head = ["real server", "frames received", "share", "frames sent", "dropped on purpose", "buffer drops"];
    let mut grid = Grid::new(&head);
    for row in rows {
        let book = |entry: fn(&wire::ledger::UdpLedger) -> u64| {
            row.ledger.map_or_else(|| NOTHING.to_owned(), |ledger| count(entry(&ledger.udp)))
        };
        grid.row(vec![
            row.name.to_owned(),
            book(|udp| udp.received),
            row.reflector_share.map_or_else(|| NOTHING.to_owned(), share),
            book(|udp| udp.sent),
            book(|udp| udp.dropped),
            book(|udp| udp.buffer_drops),
        ]);
    }
    grid
}

/// The real servers of one trial, from both sides.
pub(super) fn servers(rows: &[ServerRow<'_>]) -> Grid {
    let head = [
        "real server",
        "client: responses",
        "share",
        "reflector: requests",
        "share",
        "connections",
        "resets",
        "bad requests",
        "checks",
        "CC peak",
        "queue drops",
    ];
    let mut grid = Grid::new(&head);
    let maybe_share = |ratio: Option<f64>| ratio.map_or_else(|| NOTHING.to_owned(), share);
    for row in rows {
        let book = |entry: fn(&wire::ledger::Ledger) -> u64| {
            row.ledger.map_or_else(|| NOTHING.to_owned(), |l| count(entry(l)))
        };
        grid.row(vec![
            row.name.to_owned(),
            count(row.responses),
            maybe_share(row.client_share),
            book(|l| l.requests),
            maybe_share(row.reflector_share),
            book(|l| l.opened),
            book(|l| l.reset_by_peer + l.reset_by_reflector),
            book(|l| l.bad_requests),
            book(|l| l.check_requests),
            book(|l| l.open_peak),
            book(|l| l.accept_queue_drops),
        ]);
    }
    grid
}

/// What one operation was, how much of it was asked for, and how the figure was searched.
pub(super) fn method(plan: &Plan) -> Grid {
    let mut grid = Grid::new(&["", ""]).text(&[0]).words(&[1]);
    let load = &plan.load;
    let requests =
        plan.workload.requests_per_connection.map_or_else(|| "as many as it carries".to_owned(), |n| n.to_string());
    let mut lines = vec![("workload", workload(plan))];
    if matches!(plan.workload.kind, WorkloadKind::Http(_)) {
        lines.push(("requests per connection", requests));
    }
    if let WorkloadKind::Udp(udp) = &plan.workload.kind {
        lines.extend(frames::method(plan, udp));
    } else {
        lines.push(("closing", close(plan.workload.close).to_owned()));
    }
    lines.extend([
        ("load", format!("{}, arrivals {}", load.unit.name(), arrivals(load.arrivals))),
        (
            "phases",
            format!(
                "ramp-up {}, sustain {}, ramp-down {}, drain {}; only sustain is measured",
                span(load.phases.ramp_up),
                span(load.phases.sustain),
                span(load.phases.ramp_down),
                span(load.drain)
            ),
        ),
        (
            "limits",
            format!(
                "connect {}, response {}, lag {}, {} slots per worker",
                span(load.connect_timeout),
                span(load.response_timeout),
                span(load.max_lag),
                count(load.slots.get().into())
            ),
        ),
        ("engine asked for", plan.load.engine.name().to_owned()),
        ("search", search(plan)),
        ("DUT", format!("{} ({})", plan.testbed.dut.name, dut_kind(&plan.testbed.dut.kind))),
        (
            "DUT CPU quota",
            plan.testbed.dut.cpu_quota.map_or_else(|| "none".to_owned(), |quota| format!("{quota} of a core")),
        ),
        ("reflectors", (plan.testbed.reflectors as usize + plan.testbed.remote_reflectors.len()).to_string()),
        ("profile", profile(plan.profile).to_owned()),
    ]);
    for (name, text) in lines {
        grid.row([name.to_owned(), text].into());
    }
    grid
}

fn workload(plan: &Plan) -> String {
    match &plan.workload.kind {
        WorkloadKind::Tcp => "TCP: connect and close, no bytes".to_owned(),
        WorkloadKind::Udp(_) => "UDP: datagrams that come back".to_owned(),
        WorkloadKind::Http(http) => {
            let body = match http.body {
                BodyCheck::Table { length } => format!("{} B, every byte verified", count(length)),
                BodyCheck::LengthOfFirst => "as many bytes as the first correct answer".to_owned(),
            };
            format!("HTTP/1.1 GET {}; expected: status {}, body {body}", http.request, http.status)
        }
    }
}

fn search(plan: &Plan) -> String {
    let Some(maximum) = plan.search.maximum() else {
        return match &plan.search {
            SearchPlan::Stair { steps } => format!("stair of {steps} equal steps"),
            _ => "none: one trial at a fixed load".to_owned(),
        };
    };
    let start = match maximum.start {
        StartLoad::OfCeiling(share) => format!("{share} of the ceiling without the DUT"),
        StartLoad::Absolute(load) => amount(load),
    };
    let factor = amount(maximum.factor);
    let steps = match &plan.search {
        SearchPlan::Bisect(_) => format!("bisect from {start} up to a width of {}", maximum.width),
        SearchPlan::GoalSeek(_) => {
            format!("goal-seek from {start}, times {factor} while the rate gains; no upper bound")
        }
        search => {
            let (method, width) = (search.method(), maximum.width);
            format!("{method} from {start}, times {factor} while it passes, bisect to a width of {width}")
        }
    };
    format!(
        "{steps}, confirm for {}; budget {}, {} time(s)",
        span(maximum.final_sustain),
        span(maximum.budget),
        maximum.repeats
    )
}

/// The machine, one line per fact.
pub(super) fn environment(environment: &Value) -> Grid {
    let mut grid = Grid::new(&["", ""]).text(&[0]).words(&[1]);
    flatten(&mut grid, "", environment);
    grid
}

fn flatten(grid: &mut Grid, name: &str, value: &Value) {
    match value {
        Value::Object(entries) => {
            for (key, entry) in entries {
                let name = if name.is_empty() { key.clone() } else { format!("{name} · {key}") };
                flatten(grid, &name, entry);
            }
        }
        Value::Null => {}
        Value::String(text) => grid.row([name.to_owned(), text.clone()].into()),
        other => grid.row([name.to_owned(), other.to_string()].into()),
    }
}
