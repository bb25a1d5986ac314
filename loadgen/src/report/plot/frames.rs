//! Frame tests: throughput over the frame size, loss against the load, loss of each size of a mix.

use plotters::style::RGBColor;

use super::axis::{Axis, Scale};
use super::canvas::{BLUE, Chart, Dot, Form, GREEN, GREY, INK, ORANGE, PURPLE, SKY, Series, VERMILION};
use super::{Material, Omitted};
use crate::report::frames::names;
use crate::report::frames::words::tolerated;
use crate::report::text::{amount, share};
use crate::scenario::Plan;
use crate::verdict::answer::Bound;
use crate::verdict::frames::{FrameResult, FrameSuite, FramesAnswer, SizeLoss, SizesOfTrial};

/// Colours of the sizes of a sweep, in turn.
const COLOURS: [RGBColor; 8] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK, GREY];

/// The charts of a suite, in the order of the report; none for any other run.
pub(super) fn of_suite(material: &Material<'_>) -> Vec<(&'static str, Result<Chart, Omitted>)> {
    let Some(answer) = &material.answer.frames else { return Vec::new() };
    match answer.suite {
        FrameSuite::Rfc2544 => vec![("throughput", throughput(material.plan, answer)), ("loss", loss(answer))],
        FrameSuite::Imix => vec![("loss", loss(answer)), ("sizes", sizes(answer))],
    }
}

/// Frames per second over the frame size with the line of the declared speed and that of the tester
/// without the DUT (RFC 2544, 26.1).
fn throughput(plan: &Plan, answer: &FramesAnswer) -> Result<Chart, Omitted> {
    let has_bounds = answer.results.iter().any(|result| result.fps.is_some() && result.bound != Bound::Exact);
    let lost = tolerated(plan).map_or_else(|| "without loss".to_owned(), |loss| format!("at which {loss},"));
    let caption = format!(
        "frames per second {lost} over the frame size, beside what the declared speed of the links allows and what \
         tester and reflectors reached without the DUT{}",
        if has_bounds { "; the points named ≥ are lower bounds: the DUT may carry more" } else { "" }
    );
    let mut results: Vec<(f64, &FrameResult)> =
        answer.results.iter().filter_map(|result| Some((f64::from(result.frames.size?.frame()), result))).collect();
    results.sort_by(|a, b| a.0.total_cmp(&b.0));
    let line = |of: &dyn Fn(&FrameResult) -> Option<f64>| -> Vec<(f64, f64)> {
        results.iter().filter_map(|(size, result)| Some((*size, of(result)?))).collect()
    };
    let is_exact = |result: &FrameResult| result.bound == Bound::Exact;
    let dots = |exact: bool| -> Vec<Dot> {
        let dot = |(size, result): &(f64, &FrameResult)| {
            let trial = result.delays.first().map_or(0, |delay| delay.trial);
            Some(Dot { trial, x: *size, y: result.fps?, passed: true })
        };
        results.iter().filter(|(_, result)| is_exact(result) == exact).filter_map(dot).collect()
    };
    let (measured, at_least) = (dots(true), dots(false));
    if measured.is_empty() && at_least.is_empty() {
        return Err(Omitted::new(&caption, "no size has a throughput"));
    }
    let name = answer.link_bps.map_or_else(String::new, |bits| format!("declared {}", names::bit_rate(bits as f64)));
    // A line would say that what lies between a value and a mere lower bound is known.
    let named = [("throughput", BLUE, measured), ("≥ (at least)", ORANGE, at_least)].into_iter();
    let named = named.filter(|(.., dots)| !dots.is_empty());
    let point = |(name, colour, dots): (&str, _, _)| Series { name: name.to_owned(), colour, form: Form::Points(dots) };
    let mut series: Vec<Series> = named.map(point).collect();
    for (name, colour, line) in [
        ("without the DUT (MOL)".to_owned(), GREY, line(&|result| result.mol_fps)),
        (name, VERMILION, line(&|result| result.theoretical_fps)),
    ] {
        if !line.is_empty() {
            series.push(Series { name, colour, form: Form::Lines(vec![line], 2) });
        }
    }
    let highest =
        series.iter().flat_map(|series| super::charts::positions(&series.form)).map(|at| at.1).fold(0.0, f64::max);
    let largest = results.last().map_or(0.0, |(size, _)| *size);
    Ok(Chart::new(
        "throughput over the frame size",
        caption,
        Axis::from_zero("frame size in bytes, FCS included", largest, 8),
        Axis::from_zero("frames/s", highest, 6),
        series,
    ))
}

/// Loss in percent over the load in percent of the maximum, both axes 0 to 100 (RFC 2544, 26.3).
fn loss(answer: &FramesAnswer) -> Result<Chart, Omitted> {
    let caption = "share of the frames sent that were lost, over the intended load in percent of the maximum; a cross is a load that lost frames";
    let maximum = match answer.link_bps {
        Some(bits) => format!("the declared {}", names::bit_rate(bits as f64)),
        None => "the highest load of the sweep".to_owned(),
    };
    let series: Vec<Series> = answer
        .results
        .iter()
        .zip(COLOURS.into_iter().cycle())
        .map(|(result, colour)| Series { name: names::sent(&result.frames), colour, form: Form::Points(dots(result)) })
        .filter(|series| matches!(&series.form, Form::Points(dots) if !dots.is_empty()))
        .collect();
    if series.is_empty() {
        return Err(Omitted::new(caption, "no load of a sweep was measured"));
    }
    Ok(Chart::new(
        "loss against load",
        caption,
        Axis::percent(format!("intended load in % of {maximum}")),
        Axis::percent("lost frames in %".to_owned()),
        series,
    ))
}

/// The valid points of a sweep, from the lowest load up.
fn dots(result: &FrameResult) -> Vec<Dot> {
    let mut points: Vec<_> = result.sweep.iter().filter(|point| point.valid).collect();
    points.sort_by(|a, b| a.load_pct.total_cmp(&b.load_pct));
    let dot = |point: &&crate::verdict::frames::SweepPoint| Dot {
        trial: point.trial,
        x: point.load_pct,
        y: point.loss_pct,
        passed: point.lost == 0,
    };
    points.iter().map(dot).collect()
}

/// The loss of each size of a mix, in the lowest trial that failed and at the throughput.
fn sizes(answer: &FramesAnswer) -> Result<Chart, Omitted> {
    let caption =
        "share of the frames of each size that were lost: at the throughput, and in the lowest trial that failed";
    let none = || Omitted::new(caption, "the loss of single sizes was not measured");
    let result = answer.results.first().ok_or_else(none)?;
    let (carried, failed) = (result.per_size_at_throughput.as_ref(), result.per_size_at_upper.as_ref());
    let first = carried.or(failed).ok_or_else(none)?;
    let rows = first.sizes.len();
    let bars = |sizes: &[SizeLoss], shift: f64| -> Vec<(f64, f64, String)> {
        let bar = |(at, of): (usize, &SizeLoss)| (of.loss_pct, (rows - at) as f64 + shift, share(of.loss_pct / 100.0));
        sizes.iter().take(rows).enumerate().map(bar).collect()
    };
    let bars_at = |of: &SizesOfTrial, word: &str, colour, shift| {
        (format!("{word} {} frames/s", amount(of.load_fps)), colour, bars(&of.sizes, shift))
    };
    let carried = carried.map(|of| bars_at(of, "at", BLUE, 0.19));
    let failed = failed.map(|of| bars_at(of, "failed at", VERMILION, -0.19));
    let bars_of: Vec<_> = carried.into_iter().chain(failed).collect();
    let highest = bars_of.iter().flat_map(|(.., ends)| ends).map(|end| end.0).fold(0.0, f64::max);
    let mut x = Axis::from_zero("lost frames of the size in %", highest, 8);
    // Room for the number at the end of the longest bar.
    x.to = highest.max(1.0) * 1.15;
    let names = first.sizes.iter().enumerate().map(|(at, of)| ((rows - at) as f64, format!("{} B", of.size)));
    let y = Axis {
        label: "frame size".to_owned(),
        scale: Scale::Names,
        from: 0.4,
        to: rows as f64 + 0.6,
        ticks: names.collect(),
    };
    let series = bars_of.into_iter().map(|(name, colour, ends)| Series {
        name,
        colour,
        form: Form::Bars { ends, thickness: 0.34 },
    });
    let title = format!("loss by size of {}", names::sent(&result.frames));
    Ok(Chart { height: 140 + 44 * rows as i32, ..Chart::new(title, caption, x, y, series.collect()) })
}
