//! Several runs in one picture each: latency against load, rate over time, percentiles.
//!
//! One colour for each contender. Rounds of one contender are lines of its colour; their percentile
//! curve is that of all rounds together.

use plotters::style::RGBColor;

use super::axis::Axis;
use super::canvas::{BLUE, Chart, Dot, Form, GREEN, GREY, INK, ORANGE, PURPLE, SKY, Series, VERMILION};
use super::charts::{curve_of, positions, range, response_of};
use super::{Omitted, Picture, draw_svg};
use crate::measure::record::Purpose;
use crate::measure::{Latencies, Latency, Outcome, TrialRecord};

/// Steps of one line; a longer run is drawn as means over several seconds.
const STEPS_MAX: usize = 600;
const COLOURS: [RGBColor; 8] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY, INK];

/// One contender.
pub(in crate::report) struct Overlaid<'a> {
    /// Its name.
    pub(in crate::report) name: String,
    /// The trials of each of its runs, with whether they passed.
    pub(in crate::report) runs: Vec<Vec<(&'a TrialRecord, Option<bool>)>>,
    /// The trial behind the figure of each run that has one.
    pub(in crate::report) shown: Vec<&'a TrialRecord>,
}

/// All pictures, in the order of the page; `unit` is what loads are counted in.
pub(in crate::report) fn pictures(contenders: &[Overlaid<'_>], unit: &str) -> Vec<Picture> {
    let charts = [
        ("latency_load", latency_against_load(contenders, unit)),
        ("rate", rate(contenders)),
        ("latency_curve", latency_curve(contenders)),
    ];
    let picture = |(stem, chart): (&'static str, Result<Chart, Omitted>)| match chart {
        Ok(chart) => Picture { stem, caption: chart.caption.clone(), drawn: draw_svg(stem, chart) },
        Err(Omitted { what, why }) => Picture { stem, caption: what, drawn: Err(why) },
    };
    charts.into_iter().map(picture).collect()
}

fn coloured<'a, 'b>(contenders: &'a [Overlaid<'b>], form: impl Fn(&'a Overlaid<'b>) -> Form + 'a) -> Vec<Series> {
    let series = |(contender, colour): (&'a Overlaid<'b>, RGBColor)| Series {
        name: contender.name.clone(),
        colour,
        form: form(contender),
    };
    contenders.iter().zip(COLOURS.into_iter().cycle()).map(series).collect()
}

fn latency_against_load(contenders: &[Overlaid<'_>], unit: &str) -> Result<Chart, Omitted> {
    let caption =
        "p99 of the response time against the offered load of every trial; a cross is a trial that did not pass";
    let series = coloured(contenders, |contender| {
        let trials = contender.runs.iter().flatten().filter(|(record, _)| record.purpose != Purpose::Ceiling);
        let mut dots: Vec<Dot> = trials
            .filter_map(|(record, passed)| {
                let p99 = record.latencies.percentile(response_of(record), 99.0)?;
                let y = (p99.as_nanos() as f64).max(1.0).log10();
                Some(Dot { trial: record.number, x: record.load.amount(), y, passed: *passed != Some(false) })
            })
            .collect();
        dots.sort_by(|a, b| a.x.total_cmp(&b.x));
        Form::Points(dots)
    });
    let points: Vec<_> = series.iter().flat_map(|series| positions(&series.form)).collect();
    let (lowest, highest) = range(points.iter().map(|point| point.1))
        .ok_or_else(|| Omitted::new(caption, "no trial with a DUT has enough samples for a p99"))?;
    let heaviest = points.iter().map(|point| point.0).fold(0.0, f64::max);
    Ok(Chart::new(
        "p99 of the response time against offered load",
        caption,
        Axis::from_zero(format!("offered load, {unit}"), heaviest, 8),
        Axis::log_duration("response time, logarithmic", 10_f64.powf(lowest), 10_f64.powf(highest)),
        series,
    ))
}

fn rate(contenders: &[Overlaid<'_>]) -> Result<Chart, Omitted> {
    let caption =
        "operations completed correctly in every second, each run from its own beginning, ceiling trials left out";
    let longest = contenders.iter().flat_map(|contender| &contender.runs).map(|run| seconds(run)).max().unwrap_or(0);
    let step = longest.div_ceil(STEPS_MAX).max(1);
    let series =
        coloured(contenders, |contender| Form::Steps(contender.runs.iter().flat_map(|run| steps(run, step)).collect()));
    let ends = |series: &Series| match &series.form {
        Form::Steps(lines) => lines.iter().flatten().map(|&(_, to, y)| (to, y)).collect(),
        _ => Vec::new(),
    };
    let points: Vec<_> = series.iter().flat_map(ends).collect();
    if points.is_empty() {
        return Err(Omitted::new(caption, "no second was measured"));
    }
    let highest = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let last = points.iter().map(|point| point.0).fold(1.0, f64::max);
    let mean = if step > 1 { format!(" (means over {step} s)") } else { String::new() };
    let mut x = Axis::from_zero("seconds since the first trial with the DUT began", last, 8);
    x.to = last;
    x.ticks.retain(|(at, _)| *at <= last);
    Ok(Chart::new(
        "completed operations per second",
        caption,
        x,
        Axis::from_zero(format!("operations/s{mean}"), highest, 5),
        series,
    ))
}

fn seconds(run: &[(&TrialRecord, Option<bool>)]) -> usize {
    run.iter().map(|(record, _)| record.seconds.len()).sum()
}

/// A line of steps for each trial of a run.
fn steps(run: &[(&TrialRecord, Option<bool>)], step: usize) -> Vec<Vec<(f64, f64, f64)>> {
    let trials = || run.iter().map(|(record, _)| record).filter(|record| record.purpose != Purpose::Ceiling);
    let Some(began_ns) = trials().map(|record| record.began_ns).min() else { return Vec::new() };
    let line = |record: &&TrialRecord| {
        let start = (record.began_ns - began_ns) as f64 / 1e9;
        let chunk = |seconds: &[crate::measure::Second]| {
            let done: u64 = seconds.iter().map(|second| second.ended.of(Outcome::Ok)).sum();
            let from = start + f64::from(seconds[0].index);
            (from, from + seconds.len() as f64, done as f64 / seconds.len() as f64)
        };
        record.seconds.chunks(step).map(chunk).collect::<Vec<_>>()
    };
    trials().map(line).filter(|line| !line.is_empty()).collect()
}

fn latency_curve(contenders: &[Overlaid<'_>]) -> Result<Chart, Omitted> {
    let caption = "response time percentiles of the trial behind each figure (closed loop: service time), as far as there are enough samples";
    let series = coloured(contenders, |contender| {
        let mut all = Latencies::default();
        contender.shown.iter().for_each(|record| all.merge(&record.latencies));
        let latency = contender.shown.first().map_or(Latency::Response, |record| response_of(record));
        let line = curve_of(&all, latency);
        Form::Lines(if line.is_empty() { Vec::new() } else { vec![line] }, 3)
    });
    let points: Vec<_> = series.iter().flat_map(|series| positions(&series.form)).collect();
    let (lowest, highest) =
        range(points.iter().map(|point| point.1)).ok_or_else(|| Omitted::new(caption, "no latency was measured"))?;
    let last = points.iter().map(|point| point.0).fold(0.0, f64::max);
    Ok(Chart::new(
        "response time percentiles behind the figures",
        caption,
        Axis::quantiles("percentile", 1.0 - 10_f64.powf(-last)),
        Axis::log_duration("response time, logarithmic", 10_f64.powf(lowest), 10_f64.powf(highest)),
        series,
    ))
}
