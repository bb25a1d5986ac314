//! Several fixed trials, in equal steps up to one load.
//!
//! Every step is walked, also above the first that fails: what a device does beyond its limit is
//! half of the curve.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Ask, Details, Found, Grain, Search, Tell};
use crate::measure::record::Purpose;

/// Steps of a curve up to the load that was found.
const CURVE_STEPS: u32 = 10;

/// The search that walks up.
#[derive(Clone, Debug)]
pub struct Stair {
    top: f64,
    steps: u32,
    /// Steps that are walked, which may be more than lead to the top.
    walked: u32,
    purpose: Purpose,
    grain: Grain,
    sustain: Duration,
    step: u32,
    passed: Vec<f64>,
    failed: Option<f64>,
}

impl Stair {
    /// `steps` trials at equal distances, the last one at `top`.
    pub fn new(top: f64, steps: NonZeroU32, grain: Grain, sustain: Duration) -> Self {
        let steps = steps.get();
        let purpose = Purpose::Fixed;
        Self { top, steps, walked: steps, purpose, grain, sustain, step: 0, passed: Vec::new(), failed: None }
    }

    /// The curve around a load that was found: 10, 20 … 100 % of it, and 110 %.
    pub fn curve(found: f64, grain: Grain, sustain: Duration) -> Self {
        let steps = NonZeroU32::MIN.saturating_add(CURVE_STEPS - 1);
        Self { walked: CURVE_STEPS + 1, purpose: Purpose::Curve, ..Self::new(found, steps, grain, sustain) }
    }
}

impl Search for Stair {
    fn next(&mut self, _elapsed: Duration) -> Option<Ask> {
        if self.step == self.walked {
            return None;
        }
        self.step += 1;
        let load = self.grain.round(self.top * f64::from(self.step) / f64::from(self.steps));
        Some(Ask { purpose: self.purpose, load, sustain: self.sustain })
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

/// A search, and then the curve around what it found.
pub struct WithCurve {
    search: Box<dyn Search + Send>,
    grain: Grain,
    sustain: Duration,
    curve: Option<Stair>,
}

impl WithCurve {
    /// `sustain` is the length of each step of the curve.
    pub fn new(search: Box<dyn Search + Send>, grain: Grain, sustain: Duration) -> Self {
        Self { search, grain, sustain, curve: None }
    }
}

impl Search for WithCurve {
    fn next(&mut self, elapsed: Duration) -> Option<Ask> {
        if self.curve.is_none() {
            if let Some(ask) = self.search.next(elapsed) {
                return Some(ask);
            }
            let found = self.search.found().lower?;
            self.curve = Some(Stair::curve(found, self.grain, self.sustain));
        }
        self.curve.as_mut()?.next(elapsed)
    }

    fn tell(&mut self, result: Tell) {
        match &mut self.curve {
            Some(curve) => curve.tell(result),
            None => self.search.tell(result),
        }
    }

    fn found(&self) -> Found {
        self.search.found()
    }

    fn details(&self) -> Details {
        self.search.details()
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

    #[test]
    fn a_curve_walks_past_what_was_found_without_changing_it() {
        let found = super::super::Fixed::new(1_000.0, Duration::from_secs(10));
        let mut search = WithCurve::new(Box::new(found), Grain::Fine, Duration::from_secs(30));
        let mut asks = Vec::new();
        while let Some(ask) = search.next(Duration::ZERO) {
            asks.push(ask);
            search.tell(Tell { load: ask.load, passed: ask.load <= 1_000.0, ..Tell::default() });
        }
        let curve: Vec<f64> = asks.iter().filter(|ask| ask.purpose == Purpose::Curve).map(|ask| ask.load).collect();
        assert_eq!(curve, [100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0, 1_000.0, 1_100.0]);
        assert!(asks[1..].iter().all(|ask| ask.sustain == Duration::from_secs(30)));
        assert_eq!(search.found(), Found { lower: Some(1_000.0), upper: None, at_least: false });
    }
}
