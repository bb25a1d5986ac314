//! Latency: how it is distributed in one trial, and how it grows with the load.

use super::axis::{Axis, quantile_position};
use super::canvas::{BLUE, Chart, Dot, Form, GREEN, GREY, Mark, ORANGE, PURPLE, Series, VERMILION};
use super::{Material, Omitted};
use crate::measure::record::{Purpose, TrialLoad};
use crate::measure::{Latencies, Latency, TrialRecord};
use crate::report::frames::words::delay_word;
use crate::report::terminal::{figure_unit, shown_trial};
use crate::report::text::amount;
use crate::scenario::plan::Unit;

/// Steps of the percentile axis per further nine.
const STEPS_PER_NINE: f64 = 40.0;

/// Percentiles of the latencies of the figure's trial.
pub(super) fn latency_curve(material: &Material<'_>) -> Result<Chart, Omitted> {
    let word = delay_word(material.plan);
    let caption = format!("{word} percentiles of the trial behind the figure, as far as there are enough samples");
    let none = || Omitted::new(&caption, &format!("no {word} was measured"));
    let record = shown_trial(material.trials, material.answer).ok_or_else(none)?;
    let shown = [
        // Those that often lie on one another grow thinner, so that each is seen.
        (Latency::Response, "response time", VERMILION, 6),
        (Latency::Service, "service time", BLUE, 4),
        (Latency::Ttfb, "TTFB", GREEN, 2),
        (Latency::Connect, "connect", ORANGE, 2),
        (Latency::Lag, "schedule lag", PURPLE, 2),
    ];
    let mut series = Vec::new();
    for (latency, name, colour, width) in shown {
        let line = curve(record, latency);
        if !line.is_empty() {
            series.push(Series { name: name.to_owned(), colour, form: Form::Lines(vec![line], width) });
        }
    }
    let points: Vec<(f64, f64)> = series.iter().flat_map(|series| positions(&series.form)).collect();
    let (lowest, highest) = range(points.iter().map(|point| point.1)).ok_or_else(none)?;
    let last = points.iter().map(|point| point.0).fold(0.0, f64::max);
    let title = format!("{word} percentiles of trial {} at {}", record.number, load_text(material, record));
    let x = Axis::quantiles("percentile", 1.0 - 10_f64.powf(-last));
    let y = Axis::log_duration(&format!("{word}, logarithmic"), 10_f64.powf(lowest), 10_f64.powf(highest));
    Ok(Chart { height: 400, ..Chart::new(title, caption, x, y, series) })
}

/// Latency percentiles of every trial over its load.
pub(super) fn latency_against_load(material: &Material<'_>) -> Result<Chart, Omitted> {
    let caption = "p50 and p99 of the response time against the offered load of every trial; a cross is a trial that did not pass".to_owned();
    let mut trials: Vec<&TrialRecord> = material
        .trials
        .iter()
        .filter(|record| record.purpose.is_searching() || record.purpose == Purpose::Curve)
        .collect();
    trials.sort_by(|a, b| a.load.amount().total_cmp(&b.load.amount()));
    let of = |percentile| {
        let point = |record: &&TrialRecord| {
            let latency = record.latencies.percentile(response_of(record), percentile)?;
            let passed = material.passed(record.number) != Some(false);
            let y = (latency.as_nanos() as f64).max(1.0).log10();
            Some(Dot { trial: record.number, x: record.load.amount(), y, passed })
        };
        Form::Points(trials.iter().filter_map(point).collect())
    };
    let series = vec![
        Series { name: "p99".to_owned(), colour: VERMILION, form: of(99.0) },
        Series { name: "p50".to_owned(), colour: BLUE, form: of(50.0) },
    ];
    let points: Vec<(f64, f64)> = series.iter().flat_map(|series| positions(&series.form)).collect();
    let (lowest, highest) = range(points.iter().map(|point| point.1))
        .ok_or_else(|| Omitted::new(&caption, &format!("no trial with the DUT has a {}", delay_word(material.plan))))?;
    let marks = marks(material);
    let heaviest = points.iter().map(|point| point.0).chain(marks.iter().map(|mark| mark.x)).fold(0.0, f64::max);
    let x = Axis::from_zero(format!("offered load, {}", material.plan.load.unit.name()), heaviest, 8);
    let y = Axis::log_duration("response time, logarithmic", 10_f64.powf(lowest), 10_f64.powf(highest));
    Ok(Chart { marks, ..Chart::new("response time against offered load", caption, x, y, series) })
}

/// The figure and the ceiling, where they have the unit of the load.
fn marks(material: &Material<'_>) -> Vec<Mark> {
    let mut marks = Vec::new();
    let Some(figure) = material.answer.figures.first() else { return marks };
    if figure_unit(material.plan, figure) == material.plan.load.unit.name() {
        let limit = material.answer.limited_by.map_or("figure", |limit| limit.name());
        let text = match material.answer.limited_by {
            Some(_) => format!("limited by {limit}: {}", amount(figure.value)),
            None => format!("{limit}: {}", amount(figure.value)),
        };
        marks.push(Mark { x: figure.value, text, colour: GREEN });
    }
    let per_second = matches!(
        material.plan.load.unit,
        Unit::ConnectionsPerSecond | Unit::TransactionsPerSecond | Unit::FramesPerSecond
    );
    if let Some(ceiling) = figure.ceiling.filter(|_| per_second) {
        marks.push(Mark { x: ceiling, text: format!("without the DUT: {}", amount(ceiling)), colour: GREY });
    }
    marks
}

/// The latency that stands for a trial: in a closed loop nothing is ever due.
pub(super) fn response_of(record: &TrialRecord) -> Latency {
    match record.load {
        TrialLoad::Closed(_) => Latency::Service,
        TrialLoad::Rate(_) | TrialLoad::Held(_) => Latency::Response,
    }
}

/// The percentile curve in positions of its axes.
fn curve(record: &TrialRecord, latency: Latency) -> Vec<(f64, f64)> {
    curve_of(&record.latencies, latency)
}

/// The same of latencies that were put together.
pub(super) fn curve_of(latencies: &Latencies, latency: Latency) -> Vec<(f64, f64)> {
    let mut line = Vec::new();
    if latencies.of(latency).is_empty() {
        return line;
    }
    for step in 0.. {
        let quantile = 1.0 - 10_f64.powf(-f64::from(step) / STEPS_PER_NINE);
        let Some(value) = latencies.percentile(latency, quantile * 100.0) else { break };
        // Beyond six nines there is no axis; a billion samples would be needed anyway.
        if quantile > 0.999_999 {
            break;
        }
        line.push((quantile_position(quantile), (value.as_nanos() as f64).max(1.0).log10()));
    }
    line
}

pub(super) fn positions(form: &Form) -> Vec<(f64, f64)> {
    match form {
        Form::Lines(lines, _) => lines.iter().flatten().copied().collect(),
        Form::Points(points) => points.iter().map(|dot| (dot.x, dot.y)).collect(),
        Form::Bars { .. } | Form::Steps(_) => Vec::new(),
    }
}

pub(super) fn range(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    Some((values.clone().reduce(f64::min)?, values.reduce(f64::max)?))
}

fn load_text(material: &Material<'_>, record: &TrialRecord) -> String {
    format!("{} {}", amount(record.load.amount()), material.plan.load.unit.name())
}
