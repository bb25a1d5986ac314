//! Axes: a range of numbers and the ticks that a person finds round. Pure arithmetic.

use std::time::Duration;

use crate::report::text::{amount, span};

/// What the positions of an axis stand for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scale {
    /// The number itself.
    Number,
    /// log10 of nanoseconds.
    LogDuration,
    /// log10(1 / (1 − quantile)).
    Quantile,
    /// Names at whole positions.
    Names,
}

impl Scale {
    /// The name in the data of a chart.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::LogDuration => "duration",
            Self::Quantile => "quantile",
            Self::Names => "names",
        }
    }
}

/// One axis. Positions are what the series use: the number itself, or its logarithm.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// What it counts, with the unit.
    pub(super) label: String,
    /// What the positions stand for.
    pub(super) scale: Scale,
    /// Position at the left or the bottom.
    pub(super) from: f64,
    /// Position at the right or the top; greater than `from`.
    pub(super) to: f64,
    /// Positions with their labels.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero to a bit more than `highest`, about `steps` ticks.
    pub(super) fn from_zero(label: impl Into<String>, highest: f64, steps: u32) -> Self {
        let highest = if highest.is_finite() && highest > 0.0 { highest } else { 1.0 };
        // Counts and percentages: half a connection is not a tick.
        let step = round_step(highest / f64::from(steps)).max(1.0);
        let ticks = (0..).map(|at| f64::from(at) * step).take_while(|&at| at <= highest * 1.04);
        Self {
            label: label.into(),
            scale: Scale::Number,
            from: 0.0,
            to: highest * 1.04,
            ticks: ticks.map(|at| (at, amount(at))).collect(),
        }
    }

    /// From 0 to 100, whatever there is to show.
    pub(super) fn percent(label: String) -> Self {
        let ticks = (0..=10).map(|at| f64::from(at) * 10.0);
        let ticks = ticks.map(|at| (at, amount(at))).collect();
        Self { label, scale: Scale::Number, from: 0.0, to: 100.0, ticks }
    }

    /// Durations in nanoseconds on a logarithmic scale; positions are log10.
    pub(super) fn log_duration(label: &str, lowest_ns: f64, highest_ns: f64) -> Self {
        let from = (lowest_ns.max(1.0) * 0.8).log10();
        let to = (highest_ns.max(10.0) * 1.25).log10().max(from + 0.5);
        let decades = from.floor() as i32..=to.ceil() as i32;
        // On a long axis whole decades are enough, on a short one 1-2-5 fits.
        let factors: &[f64] = if to - from > 3.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let ticks = decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powi(decade)));
        let ticks = ticks.filter(|ns| (from..=to).contains(&ns.log10()));
        Self {
            label: label.to_owned(),
            scale: Scale::LogDuration,
            from,
            to,
            ticks: ticks.map(|ns| (ns.log10(), span(Duration::from_nanos(ns.round() as u64)))).collect(),
        }
    }

    /// Quantiles up to `highest` (0 to 1), stretched so that each further nine gets the same room;
    /// positions are log10(1 / (1 − q)).
    pub(super) fn quantiles(label: &str, highest: f64) -> Self {
        let marks = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999];
        let names = ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
        let to = quantile_position(highest).max(0.4) * 1.03;
        let ticks = marks.into_iter().map(quantile_position).zip(names.map(str::to_owned));
        let ticks = ticks.filter(|(at, _)| *at <= to).collect();
        Self { label: label.to_owned(), scale: Scale::Quantile, from: 0.0, to, ticks }
    }

    /// Where a position lies between both ends, 0 to 1.
    pub(super) fn share(&self, position: f64) -> f64 {
        ((position - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }
}

/// The position of a quantile (0 to 1) on its axis.
pub(super) fn quantile_position(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-9).log10()
}

/// The next of 1, 2, 5, 10 … that is not smaller.
fn round_step(step: f64) -> f64 {
    let decade = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * decade >= step * 0.999);
    factor.unwrap_or(10.0) * decade
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(labels(&Axis::from_zero("", 4_300.0, 5)), ["0", "1,000", "2,000", "3,000", "4,000"]);
        assert_eq!(labels(&Axis::from_zero("", 0.0, 4)), ["0", "1"]);
        let axis = Axis::log_duration("", 250e3, 9e6);
        assert_eq!(labels(&axis), ["200 µs", "500 µs", "1 ms", "2 ms", "5 ms", "10 ms"]);
        assert_eq!(labels(&Axis::quantiles("", 0.999)), ["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
        assert!((axis.share(axis.to) - 1.0).abs() < 1e-12);
    }
}
