//! A chart as data for the script of a page (`assets/charts.js`). Pure.
//!
//! It holds the very numbers that the drawing shows, so that both cannot differ: positions of the
//! axes, rounded to what a screen can show. All series share one column of x; a series without a
//! value there has `null`, which is a gap.

use serde_json::{Value, json};

use super::axis::{Axis, Scale};
use super::canvas::{Chart, Form, Head, NAMED, Region, Series};
use plotters::style::RGBColor;

/// The data of a chart; `None` for one that is told by its drawing alone (bars).
pub(super) fn data(stem: &str, chart: &Chart) -> Option<Value> {
    if chart.series.iter().any(|series| matches!(series.form, Form::Bars { .. })) {
        return None;
    }
    let columns: Vec<Vec<Cell>> = chart.series.iter().map(cells).collect();
    let mut keys: Vec<Key> = columns.iter().flatten().map(|cell| cell.key).collect();
    keys.sort_by(Key::order);
    keys.dedup_by(|a, b| a.order(b).is_eq());
    let series = chart.series.iter().zip(&columns).map(|(series, column)| {
        let mut values = vec![Value::Null; keys.len()];
        for cell in column {
            if let Ok(at) = keys.binary_search_by(|key| key.order(&cell.key)) {
                values[at] = cell.y.map_or(Value::Null, |y| rounded(&chart.y, y));
            }
        }
        json!({ "name": series.name, "colour": colour(series.colour), "look": look(series), "ys": values })
    });
    let series: Vec<Value> = series.collect();
    let crosses = keys.iter().map(|key| key.passed == Some(false)).collect::<Vec<_>>();
    let notes = keys.iter().map(|key| key.trial.map(|trial| note(trial, key.passed))).collect::<Vec<_>>();
    Some(json!({
        "id": stem,
        "title": chart.title,
        "x": axis(&chart.x),
        "y": axis(&chart.y),
        "xs": keys.iter().map(|key| rounded(&chart.x, key.x)).collect::<Vec<_>>(),
        "series": series,
        "crosses": if crosses.contains(&true) { json!(crosses) } else { Value::Null },
        "notes": if notes.iter().any(Option::is_some) { json!(notes) } else { Value::Null },
        "bands": chart.bands,
        "band": chart.band_name,
        "regions": chart.regions.iter().map(region).collect::<Vec<_>>(),
        "heads": chart.heads.iter().map(head).collect::<Vec<_>>(),
        "marks": chart.marks.iter().map(|mark| json!({ "x": mark.x, "text": mark.text, "colour": colour(mark.colour) })).collect::<Vec<_>>(),
    }))
}

/// A row of the shared column.
#[derive(Clone, Copy)]
struct Key {
    x: f64,
    trial: Option<u32>,
    passed: Option<bool>,
}

impl Key {
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.x.total_cmp(&other.x).then(self.trial.cmp(&other.trial))
    }
}

struct Cell {
    key: Key,
    y: Option<f64>,
}

/// The values of one series; a row without one ends a line.
fn cells(series: &Series) -> Vec<Cell> {
    let cell = |x, y| Cell { key: Key { x, trial: None, passed: None }, y };
    match &series.form {
        Form::Lines(lines, _) => lines.iter().flatten().map(|&(x, y)| cell(x, Some(y))).collect(),
        Form::Points(dots) => dots
            .iter()
            .map(|dot| Cell { key: Key { x: dot.x, trial: Some(dot.trial), passed: Some(dot.passed) }, y: Some(dot.y) })
            .collect(),
        Form::Steps(lines) => {
            let mut cells: Vec<Cell> = Vec::new();
            for (number, line) in lines.iter().enumerate() {
                cells.extend(line.iter().map(|&(from, _, y)| cell(from, Some(y))));
                let Some(&(_, to, y)) = line.last() else { continue };
                cells.push(cell(to, Some(y)));
                // Between this line and the next one nothing is known.
                if let Some(next) = lines.get(number + 1).and_then(|line| line.first()).filter(|next| next.0 > to) {
                    cells.push(cell((to + next.0) / 2.0, None));
                }
            }
            cells
        }
        Form::Bars { .. } => Vec::new(),
    }
}

fn head(head: &Head) -> Value {
    json!([head.range.0, head.range.1, head.texts, colour(head.colour)])
}

fn region(region: &Region) -> Value {
    let milli = |position: f64| (position * 1e3).round() / 1e3;
    let parts = region.parts.iter().map(|&(end, name)| json!([milli(end), name]));
    json!([milli(region.from), parts.collect::<Vec<_>>(), region.text])
}

fn look(series: &Series) -> &'static str {
    match series.form {
        Form::Steps(_) => "steps",
        Form::Points(_) => "points",
        Form::Lines(..) | Form::Bars { .. } => "line",
    }
}

fn note(trial: u32, passed: Option<bool>) -> String {
    match passed {
        Some(false) => format!("trial {trial}, did not pass"),
        Some(true) | None => format!("trial {trial}"),
    }
}

fn axis(axis: &Axis) -> Value {
    json!({ "label": axis.label, "scale": axis.scale.name(), "from": axis.from, "to": axis.to })
}

fn colour(colour: RGBColor) -> &'static str {
    NAMED.iter().find(|(known, _)| *known == colour).map_or("ink", |(_, name)| name)
}

/// A position with as many digits as can be told apart on a screen, and by a reader of the value.
fn rounded(axis: &Axis, position: f64) -> Value {
    let digits = match axis.scale {
        Scale::Number | Scale::Names => 1e3,
        Scale::LogDuration | Scale::Quantile => 1e5,
    };
    let value = (position * digits).round() / digits;
    if value == value.trunc() && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}
