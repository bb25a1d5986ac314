//! How near pass and fail are, and which load between them to try next.
//!
//! The achieved rate of a failed trial is a hint: a device that queues completes at its capacity
//! however much it is offered, so two trials around that rate bracket it at once. The hint is taken
//! only where the answer it foretells cuts the interval at least as much as the middle would, and
//! dropped after the first wrong one: a misled search costs one trial more than a plain bisection.

use super::Grain;

/// Whether pass and fail are as near as they are asked to be, or as they can be.
pub(super) fn reached(grain: Grain, width: f64, lower: f64, upper: f64) -> bool {
    let adjacent = grain == Grain::Whole && upper - lower <= 1.0;
    adjacent || 1.0 - lower / upper <= width
}

/// The next load upwards.
pub(super) fn above(grain: Grain, lower: f64, factor: f64, cap: Option<f64>) -> f64 {
    // A factor near 1 must not stand still on whole numbers.
    let raised = if grain == Grain::Whole { (lower * factor).max(lower + 1.0) } else { lower * factor };
    grain.round(cap.map_or(raised, |cap| raised.min(cap)))
}

/// A load strictly between a pass and a fail: where the knee points, else the middle in log space,
/// which halves the relative width.
pub(super) fn between(grain: Grain, knee: &mut Knee, width: f64, lower: f64, upper: f64) -> f64 {
    let middle = (lower * upper).sqrt();
    let inside = |load: f64| Some(grain.round(load)).filter(|load| lower < *load && *load < upper);
    let load = knee.probe(middle, width, inside).or_else(|| inside(middle));
    // Rounding may meet a bound where two whole numbers are left between.
    load.unwrap_or(if grain == Grain::Whole { lower + 1.0 } else { middle })
}

/// Where the achieved rate of a failed trial says the limit is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Knee {
    #[default]
    Unknown,
    At(f64),
    /// Asked for a load beside the knee, and whether it should pass.
    Asked(f64, bool),
    Dropped,
}

impl Knee {
    pub(super) fn suggest(&mut self, achieved: f64, lower: f64, upper: f64) {
        if *self == Self::Unknown && lower < achieved && achieved < upper {
            *self = Self::At(achieved);
        }
    }

    fn probe(&mut self, middle: f64, width: f64, inside: impl Fn(f64) -> Option<f64>) -> Option<f64> {
        let Self::At(knee) = *self else { return None };
        // Together no wider than the width: 1 − (1 − w/3)/(1 + w/2) < w.
        let below = (knee * (1.0 - width / 3.0), true);
        let above = (knee * (1.0 + width / 2.0), false);
        let order = if knee >= middle { [below, above] } else { [above, below] };
        let (load, passes) = order.into_iter().find_map(|(load, passes)| Some((inside(load)?, passes)))?;
        *self = Self::Asked(knee, passes);
        Some(load)
    }

    pub(super) fn learn(&mut self, passed: bool) {
        if let Self::Asked(knee, foretold) = *self {
            *self = if passed == foretold { Self::At(knee) } else { Self::Dropped };
        }
    }
}
