//! The figures of a run that are compared: what each is, where it comes from, how often it was measured.
//!
//! Rates, failures, CPU time and memory come from the trial behind the figure. Latencies are compared at
//! one load only: at each load that every contender has a trial at, of one length. Those at the figure's
//! own load stand in the table without a ratio where the loads differ. Percentiles are not shown without
//! enough samples behind them.

mod frames;

use std::time::Duration;

use serde::Serialize;

use super::Entrant;
use crate::archive::Archive;
use crate::measure::record::{Purpose, TrialLoad};
use crate::measure::{Latency, Role, TrialRecord};
use crate::scenario::plan::Unit;
use crate::statistics::Summary;
use crate::verdict::answer::Bound;

/// Percentiles that are compared.
const PERCENTILES: [f64; 3] = [50.0, 90.0, 99.0];
/// Most loads at which latencies are compared.
const LOADS_MAX: usize = 6;

/// What a number counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// Per second.
    PerSecond,
    /// Connections.
    Connections,
    /// Microseconds.
    Microseconds,
    /// Bytes.
    Bytes,
    /// A share, 1 = all.
    Share,
}

/// Which of two values is the better one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The larger one.
    Larger,
    /// The smaller one.
    Smaller,
    /// Neither: it is what was asked for, or describes only.
    Neither,
}

/// What a row shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantity {
    /// Name for programs: `cps`, `response_time_us_p99@1000`.
    pub key: String,
    /// Name for a person.
    pub label: String,
    /// Its unit.
    pub counts: Counts,
    /// What is better.
    pub better: Better,
    /// Whether the values may be divided by each other: not when they belong to different loads.
    pub comparable: bool,
}

/// The value of one contender.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The value; the median of several.
    pub value: f64,
    /// The value itself, or "at least".
    pub bound: Bound,
    /// The lowest load that failed, for a figure that was searched.
    pub failed_at: Option<f64>,
    /// The single values, in the order of trials or rounds, where there are several; `None` for a round
    /// that has none.
    pub samples: Vec<Option<f64>>,
    /// Where it comes from, if that needs saying.
    pub note: String,
}

impl Measured {
    fn once(value: f64) -> Self {
        Self { value, bound: Bound::Exact, failed_at: None, samples: vec![Some(value)], note: String::new() }
    }

    /// Minimum, median and maximum of several values.
    pub fn spread(&self) -> Option<Summary> {
        let values: Vec<f64> = self.samples.iter().flatten().copied().collect();
        Summary::of(&values).filter(|summary| summary.count > 1)
    }
}

type Cells = Vec<Option<Measured>>;

/// All rows, each with a cell for each entrant.
pub(super) fn rows(entrants: &[Entrant<'_>]) -> Vec<(Quantity, Cells)> {
    if let Some(mut rows) = frames::rows(entrants) {
        rows.retain(|(_, cells)| cells.iter().any(Option::is_some));
        return rows;
    }
    let mut rows = vec![figure_row(entrants)];
    let plan = &entrants[0].runs[0].begun.plan;
    rows.extend(figure_trial_rows(entrants, plan.load.unit));
    let loads = common_loads(entrants);
    for &load in &loads {
        rows.extend(latency_rows(entrants, load));
    }
    if !is_fixed(entrants) {
        rows.extend(own_latency_rows(entrants));
    }
    rows.retain(|(_, cells)| cells.iter().any(Option::is_some));
    rows
}

fn is_fixed(entrants: &[Entrant<'_>]) -> bool {
    entrants.iter().all(|entrant| entrant.runs.iter().all(|run| run.begun.plan.search.maximum().is_none()))
}

/// The values of an entrant's runs as one cell: the median with all of them beside it.
fn joined(entrant: &Entrant<'_>, of: impl Fn(&Archive) -> Option<Measured>) -> Option<Measured> {
    if let [run] = entrant.runs[..] {
        return of(run);
    }
    let each: Vec<_> = entrant.runs.iter().map(|run| of(run)).collect();
    let values: Vec<f64> = each.iter().flatten().map(|measured| measured.value).collect();
    let value = Summary::of(&values)?.median;
    let is_bound = each.iter().flatten().any(|measured| measured.bound == Bound::Lower);
    Some(Measured {
        value,
        bound: if is_bound { Bound::Lower } else { Bound::Exact },
        failed_at: None,
        samples: each.iter().map(|measured| measured.as_ref().map(|measured| measured.value)).collect(),
        note: String::new(),
    })
}

fn figure_row(entrants: &[Entrant<'_>]) -> (Quantity, Cells) {
    let unit = entrants[0].runs[0].begun.plan.load.unit;
    let fixed = is_fixed(entrants) && unit != Unit::Transactions;
    let (name, counts) = match unit {
        Unit::ConnectionsPerSecond => ("connections per second", Counts::PerSecond),
        Unit::TransactionsPerSecond | Unit::Transactions => ("transactions per second", Counts::PerSecond),
        Unit::FramesPerSecond => ("frames per second", Counts::PerSecond),
        Unit::Connections => ("concurrent connections", Counts::Connections),
    };
    let quantity = Quantity {
        key: unit.figure().to_owned(),
        label: if fixed { format!("{name}, of the fixed load") } else { name.to_owned() },
        counts,
        better: if fixed { Better::Neither } else { Better::Larger },
        comparable: true,
    };
    let cell = |run: &Archive| {
        let figure = run.answer.as_ref()?.figures.iter().find(|figure| figure.name == unit.figure())?;
        // One sample per search: several confirming trials of one search are no repeats of it.
        let repeats = figure.repeats.as_ref().map_or(&[][..], |repeats| &repeats.values);
        let samples =
            if repeats.len() > 1 { repeats.iter().copied().map(Some).collect() } else { vec![Some(figure.value)] };
        Some(Measured {
            value: figure.value,
            bound: figure.bound,
            failed_at: figure.failed_at,
            samples,
            note: format!("trial {}", figure.trial),
        })
    };
    (quantity, entrants.iter().map(|entrant| joined(entrant, cell)).collect())
}

/// The trial behind the figure of a run; of one without a figure, its last one with the DUT.
pub fn figure_trial(run: &Archive) -> Option<&TrialRecord> {
    let figure = run.answer.as_ref().and_then(|answer| answer.figures.first());
    match figure {
        Some(figure) => run.records().find(|record| record.number == figure.trial),
        None => run.records().filter(|record| record.purpose != Purpose::Ceiling).last(),
    }
}

fn figure_trial_rows(entrants: &[Entrant<'_>], unit: Unit) -> Vec<(Quantity, Cells)> {
    type Of = fn(&TrialRecord) -> Option<f64>;
    let described: [(&str, &str, Counts, Better, Of); 5] = [
        (
            "cps_mean",
            "connections opened per second, same trial",
            Counts::PerSecond,
            Better::Neither,
            TrialRecord::opened_rate,
        ),
        ("tps_mean", "transactions per second, same trial", Counts::PerSecond, Better::Neither, |record| {
            Some(record.transaction_rate())
        }),
        ("cc_mean", "connections open, mean, same trial", Counts::Connections, Better::Neither, |record| {
            Some(record.open_mean_in_sustain)
        }),
        ("failed_ratio", "failed operations, same trial", Counts::Share, Better::Smaller, |record| {
            Some(record.failed_ratio())
        }),
        ("dut_memory_bytes_max", "memory of the DUT, most (RssAnon)", Counts::Bytes, Better::Smaller, dut_memory),
    ];
    let mut rows = vec![cpu_row(entrants)];
    for (key, label, counts, better, of) in described {
        let is_rate = key.strip_suffix("_mean");
        // Frames have neither connections nor transactions.
        if is_rate == Some(unit.figure()) || (is_rate.is_some() && unit == Unit::FramesPerSecond) {
            continue;
        }
        let quantity = Quantity { key: key.to_owned(), label: label.to_owned(), counts, better, comparable: true };
        let cell = |run: &Archive| {
            let record = figure_trial(run)?;
            let mut measured = Measured::once(of(record)?);
            if key == "failed_ratio" {
                measured.note = format!("{} of {}", record.outcomes.failed(), record.outcomes.total());
            }
            Some(measured)
        };
        rows.push((quantity, entrants.iter().map(|entrant| joined(entrant, cell)).collect()));
    }
    rows
}

fn cpu_row(entrants: &[Entrant<'_>]) -> (Quantity, Cells) {
    let quantity = Quantity {
        key: "dut_cpu_us_per_operation".to_owned(),
        label: "CPU time of the DUT per operation".to_owned(),
        counts: Counts::Microseconds,
        better: Better::Smaller,
        comparable: true,
    };
    let cell = |run: &Archive| {
        let figure = run.answer.as_ref()?.figures.first()?;
        figure.dut_cpu_us_per_operation.map(Measured::once)
    };
    (quantity, entrants.iter().map(|entrant| joined(entrant, cell)).collect())
}

fn dut_memory(record: &TrialRecord) -> Option<f64> {
    let sizes = record.samples.iter().filter_map(|sample| Some(sample.role(Role::Dut)?.rss_anon_bytes));
    sizes.max().map(|bytes| bytes as f64)
}

/// A load with the length of its sustain: latencies of two such trials may be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Load {
    load: TrialLoad,
    sustain: Duration,
}

fn load_of(record: &TrialRecord) -> Option<Load> {
    let complete = record.ended_early.is_none() && record.purpose != Purpose::Ceiling;
    complete.then_some(Load { load: record.load, sustain: record.sustain })
}

/// The loads at which every run has a complete trial, in ascending order: the lowest and highest ones
/// if there are too many.
fn common_loads(entrants: &[Entrant<'_>]) -> Vec<Load> {
    let mut loads: Vec<Load> = Vec::new();
    for load in entrants[0].runs[0].records().filter_map(load_of) {
        let has = |run: &&Archive| run.records().filter_map(load_of).any(|other| other == load);
        if !loads.contains(&load) && entrants.iter().flat_map(|entrant| &entrant.runs).all(has) {
            loads.push(load);
        }
    }
    loads.sort_by(|a, b| a.load.amount().total_cmp(&b.load.amount()).then(a.sustain.cmp(&b.sustain)));
    if loads.len() > LOADS_MAX {
        loads.drain(LOADS_MAX / 2..loads.len() - LOADS_MAX / 2);
    }
    loads
}

/// The latencies that are compared of a trial: in a closed loop nothing is due.
fn shown(load: TrialLoad) -> Vec<(Latency, &'static str)> {
    let mut shown = vec![(Latency::Service, "service time")];
    if !matches!(load, TrialLoad::Closed(_)) {
        shown.insert(0, (Latency::Response, "response time"));
    }
    shown
}

fn latency_rows(entrants: &[Entrant<'_>], load: Load) -> Vec<(Quantity, Cells)> {
    let mut rows = Vec::new();
    for (latency, name) in shown(load.load) {
        for percentile in PERCENTILES {
            let amount = load.load.amount();
            let quantity = Quantity {
                key: format!("{}_us_p{percentile:.0}@{amount}", latency.name()),
                label: format!("{name} p{percentile:.0} at {amount}"),
                counts: Counts::Microseconds,
                better: Better::Smaller,
                comparable: true,
            };
            let cell = |run: &Archive| {
                let trials = run.records().filter(|record| load_of(record) == Some(load));
                let samples: Vec<_> = trials.map(|record| percentile_us(record, latency, percentile)).collect();
                let values: Vec<f64> = samples.iter().flatten().copied().collect();
                let value = Summary::of(&values)?.median;
                Some(Measured { samples, ..Measured::once(value) })
            };
            rows.push((quantity, entrants.iter().map(|entrant| joined(entrant, cell)).collect()));
        }
    }
    rows
}

/// Latencies of the trial behind each figure, whatever its load.
fn own_latency_rows(entrants: &[Entrant<'_>]) -> Vec<(Quantity, Cells)> {
    let row = |(latency, name, percentile): (Latency, &str, f64)| {
        let quantity = Quantity {
            key: format!("{}_us_p{percentile:.0}@figure", latency.name()),
            label: format!("{name} p{percentile:.0}, each at its own figure"),
            counts: Counts::Microseconds,
            better: Better::Neither,
            comparable: false,
        };
        let cell = |run: &Archive| {
            let record = figure_trial(run)?;
            Some(Measured {
                note: format!("at {}", record.load.amount()),
                ..Measured::once(percentile_us(record, latency, percentile)?)
            })
        };
        (quantity, entrants.iter().map(|entrant| joined(entrant, cell)).collect())
    };
    let wanted = PERCENTILES.map(|percentile| (Latency::Response, "response time", percentile));
    wanted.into_iter().chain([(Latency::Service, "service time", 99.0)]).map(row).collect()
}

fn percentile_us(record: &TrialRecord, latency: Latency, percentile: f64) -> Option<f64> {
    record.latencies.percentile(latency, percentile).map(|value| value.as_nanos() as f64 / 1e3)
}
