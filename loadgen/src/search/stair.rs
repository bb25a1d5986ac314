//! Several fixed trials, in equal steps up to one load.
//!
//! Every step is walked, also above the first that fails: what a device does beyond its limit is
//! half of the curve.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Ask, Found, Grain, Search, Tell};
use crate::measure::record::Purpose;

/// The search that walks up.
#[derive(Clone, Debug)]
pub struct Stair {
    top: f64,
    steps: u32,
    grain: Grain,
    sustain: Duration,
    step: u32,
    passed: Vec<f64>,
    failed: Option<f64>,
}

impl Stair {
    /// `steps` trials at equal distances, the last one at `top`.
    pub fn new(top: f64, steps: NonZeroU32, grain: Grain, sustain: Duration) -> Self {
        Self { top, steps: steps.get(), grain, sustain, step: 0, passed: Vec::new(), failed: None }
    }
}

impl Search for Stair {
    fn next(&mut self, _elapsed: Duration) -> Option<Ask> {
        if self.step == self.steps {
            return None;
        }
        self.step += 1;
        let load = self.grain.round(self.top * f64::from(self.step) / f64::from(self.steps));
        Some(Ask { purpose: Purpose::Fixed, load, sustain: self.sustain })
    }

    fn tell(&mut self, result: Tell) {
        if result.passed {
            self.passed.push(result.load);
        } else {
            self.failed = Some(self.failed.map_or(result.load, |failed| failed.min(result.load)));
        }
    }

    fn found(&self) -> Found {
        let below = |load: &f64| self.failed.is_none_or(|failed| *load < failed);
        let lower = self.passed.iter().copied().filter(below).reduce(f64::max);
        Found { lower, upper: self.failed, at_least: self.failed.is_none() && lower.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_walked_and_a_pass_above_a_fail_does_not_count() {
        let mut search = Stair::new(100.0, NonZeroU32::new(4).unwrap(), Grain::Whole, Duration::from_secs(1));
        let mut loads = Vec::new();
        while let Some(ask) = search.next(Duration::ZERO) {
            loads.push(ask.load);
            search.tell(Tell { load: ask.load, passed: ask.load != 75.0, achieved: ask.load, ..Tell::default() });
        }
        assert_eq!(loads, [25.0, 50.0, 75.0, 100.0]);
        assert_eq!(search.found(), Found { lower: Some(50.0), upper: Some(75.0), at_least: false });
    }

    #[test]
    fn a_stair_that_never_fails_is_a_lower_bound() {
        let mut search = Stair::new(3.0, NonZeroU32::new(5).unwrap(), Grain::Whole, Duration::from_secs(1));
        while let Some(ask) = search.next(Duration::ZERO) {
            assert!(ask.load >= 1.0, "a load of nothing was asked for");
            search.tell(Tell { load: ask.load, passed: true, achieved: ask.load, ..Tell::default() });
        }
        assert_eq!(search.found(), Found { lower: Some(3.0), upper: None, at_least: true });
    }
}
