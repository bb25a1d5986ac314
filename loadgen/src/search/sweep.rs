//! The frame loss rate against the load (RFC 2544, 26.3): from the highest load down in equal steps.
//!
//! The steps are at most a tenth of the highest load. The RFC may stop after two successive trials without
//! loss; this goes on to the lowest step, because a band of loss below a load that is carried is what a
//! search jumps over and nobody else would find. A band that is narrower than a step can still lie between
//! two of them. It knows no clock and makes no second try: the number of trials is fixed beforehand.

use std::time::Duration;

use super::{Ask, Found, Grain, Search, Tell};
use crate::measure::record::Purpose;

/// Largest step as a share of the highest load (RFC 2544, 26.3).
pub const STEP_MAX: f64 = 0.1;
/// Smallest step; a finer one is taken for this one.
pub const STEP_MIN: f64 = 0.01;

/// What a sweep goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SweepSettings {
    /// Highest load: the first one.
    pub max: f64,
    /// Distance of two loads as a share of the highest; see [`STEP_MAX`] and [`STEP_MIN`].
    pub step: f64,
    /// Sustain of each trial.
    pub sustain: Duration,
    /// Which loads make sense.
    pub grain: Grain,
}

/// One sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    sustain: Duration,
    /// Loads that nothing was told of, the next one last.
    left: Vec<f64>,
    told: Vec<(f64, bool)>,
}

impl Sweep {
    /// A sweep that has not asked yet.
    pub fn new(settings: SweepSettings) -> Self {
        Self { sustain: settings.sustain, left: loads(settings), told: Vec::new() }
    }

    /// The loads that nothing was told of, from the highest down; none once the sweep is complete.
    pub fn left(&self) -> Vec<f64> {
        self.left.iter().rev().copied().collect()
    }
}

/// Trials that a sweep with such a step asks for, at most.
pub fn trials(step: f64) -> usize {
    (1.0 / step.clamp(STEP_MIN, STEP_MAX)).round() as usize
}

/// The loads of a sweep, ascending.
fn loads(SweepSettings { max, step, grain, .. }: SweepSettings) -> Vec<f64> {
    let steps = trials(step);
    // The highest load is a bound: rounded up it would be more than what there is.
    let mut loads: Vec<f64> = (1..=steps).map(|at| grain.round_down(max * at as f64 / steps as f64)).collect();
    loads.retain(|load| *load > 0.0);
    loads.dedup();
    loads
}

/// The highest of the first two successive loads without loss, from the highest load down; both values
/// are (load, whether it was free of loss).
pub fn two_clean_from(points: &[(f64, bool)]) -> Option<f64> {
    points.windows(2).find(|pair| pair.iter().all(|(_, clean)| *clean)).map(|pair| pair[0].0)
}

impl Search for Sweep {
    fn next(&mut self, _elapsed: Duration) -> Option<Ask> {
        let load = *self.left.last()?;
        Some(Ask { purpose: Purpose::Sweep, load, sustain: self.sustain })
    }

    fn tell(&mut self, result: Tell) {
        self.left.pop();
        self.told.push((result.load, result.passed));
    }

    /// The loads around the first two successive ones without loss.
    fn found(&self) -> Found {
        let lower = two_clean_from(&self.told);
        let above = |load: f64| lower.is_none_or(|lower| load > lower);
        let upper = self.told.iter().filter(|(load, clean)| !clean && above(*load)).map(|(load, _)| *load);
        Found { lower, upper: upper.reduce(f64::min), at_least: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks a sweep over a device; the loads with what they lost, in their order.
    fn walk(step: f64, max: f64, forwards: impl Fn(f64) -> f64) -> (Vec<(f64, f64)>, Found) {
        let settings = SweepSettings { max, step, sustain: Duration::from_secs(2), grain: Grain::Fine };
        let mut sweep = Sweep::new(settings);
        let mut points = Vec::new();
        while let Some(ask) = sweep.next(Duration::ZERO) {
            assert_eq!((ask.purpose, ask.sustain), (Purpose::Sweep, Duration::from_secs(2)));
            let loss = 1.0 - forwards(ask.load) / ask.load;
            sweep.tell(Tell { load: ask.load, passed: loss <= 0.0, loss, ..Tell::default() });
            points.push((ask.load, loss));
            assert!(points.len() <= 100, "the sweep does not end");
        }
        (points, sweep.found())
    }

    #[test]
    fn it_goes_down_in_tenths_of_the_highest_load() {
        let (points, found) = walk(0.1, 1_000_000.0, |load| load.min(650_000.0));
        let loads: Vec<f64> = points.iter().map(|(load, _)| *load).collect();
        let tenths: Vec<f64> = (1..=10).rev().map(|tenth| f64::from(tenth) * 100_000.0).collect();
        assert_eq!(loads, tenths);
        assert_eq!(found, Found { lower: Some(600_000.0), upper: Some(700_000.0), at_least: false });
        assert!((points[0].1 - 0.35).abs() < 1e-9);
    }

    #[test]
    fn a_load_that_nothing_is_told_of_is_left_with_all_below_it() {
        let settings = SweepSettings { max: 10.0, step: 0.1, sustain: Duration::from_secs(2), grain: Grain::Fine };
        let mut sweep = Sweep::new(settings);
        for expected in [10.0, 9.0, 8.0] {
            let ask = sweep.next(Duration::ZERO).unwrap();
            assert_eq!(ask.load, expected);
            sweep.tell(Tell { load: ask.load, ..Tell::default() });
        }
        assert_eq!(sweep.next(Duration::ZERO).unwrap().load, 7.0);
        assert_eq!(sweep.left(), [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
    }

    #[test]
    fn a_device_that_collapses_loses_more_the_higher_the_load() {
        let collapses = |load: f64| if load > 500_000.0 { 500_000.0 - (load - 500_000.0) * 0.5 } else { load };
        let (points, found) = walk(0.05, 1_000_000.0, collapses);
        assert_eq!(points.len(), 20);
        assert_eq!(found.lower, Some(500_000.0));
        assert!(points.windows(2).all(|pair| pair[0].1 >= pair[1].1), "{points:?}");
    }

    #[test]
    fn a_lossy_band_below_a_load_that_is_carried_is_found() {
        let band = |load: f64| if (640_000.0..=660_000.0).contains(&load) { load * 0.99 } else { load };
        let (points, found) = walk(0.02, 1_000_000.0, band);
        let lossy: Vec<f64> = points.iter().filter(|(_, loss)| *loss > 0.0).map(|(load, _)| *load).collect();
        assert_eq!(lossy, [660_000.0, 640_000.0]);
        // The RFC may have stopped far above it.
        assert_eq!(found.lower, Some(1_000_000.0));
    }

    #[test]
    fn one_clean_load_between_two_lossy_ones_is_not_enough() {
        let points = [(10.0, false), (9.0, true), (8.0, false), (7.0, true), (6.0, true), (5.0, false)];
        assert_eq!(two_clean_from(&points), Some(7.0));
        assert_eq!(two_clean_from(&points[..4]), None);
    }

    #[test]
    fn the_number_of_loads_is_bounded_and_no_load_is_above_the_highest() {
        assert_eq!([0.5, 0.1, 0.02, 1e-9].map(trials), [10, 10, 50, 100]);
        for max in [123_456.7, 0.37, 3.0] {
            let (points, _) = walk(1e-9, max, |load| load);
            assert!(points.iter().all(|(load, _)| *load <= max && *load > 0.0), "{max}");
            assert!(points.windows(2).all(|pair| pair[0].0 > pair[1].0), "{max}");
        }
    }
}
