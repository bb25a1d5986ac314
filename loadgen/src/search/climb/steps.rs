//! How loads follow one another on the way to the highest one that passes.

use super::ClimbSettings;
use crate::search::Grain;
use crate::search::knee::{self, Knee};

/// How loads follow one another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Steps {
    /// Up by the factor to the first fail, then the middle in log space, or where the achieved rate
    /// points.
    Climb,
    /// The highest load, the lowest one, then always the middle between a pass and a fail.
    Bisect,
    /// Connections held at once (after RFC 9693, 4.9): up by the factor, then the whole number in the
    /// middle, until pass and fail differ by no more than the width or so many connections. A load that
    /// can only be set up far more slowly than the one before counts as failed.
    Connections {
        /// Difference of pass and fail that always suffices, in connections.
        error: f64,
    },
}

/// Share of the last good setup rate below which a load counts as failed while the search goes up.
const SETUP_CLIMB: f64 = 0.1;
/// The same once a fail is known.
const SETUP_BISECT: f64 = 0.5;

impl Steps {
    /// Whether pass and fail are as near as they are asked to be, or as they can be.
    pub(super) fn reached(settings: &ClimbSettings, lower: f64, upper: f64) -> bool {
        match settings.steps {
            Self::Climb | Self::Bisect => knee::reached(settings.grain, settings.width, lower, upper),
            Self::Connections { error } => upper - lower <= (settings.width * upper).min(error).max(1.0),
        }
    }

    /// The next load upwards.
    pub(super) fn above(settings: &ClimbSettings, lower: f64) -> f64 {
        knee::above(settings.grain, lower, settings.factor, settings.cap)
    }

    /// A load strictly between a pass and a fail.
    pub(super) fn between(settings: &ClimbSettings, knee: &mut Knee, lower: f64, upper: f64) -> f64 {
        let middle = f64::midpoint(lower, upper);
        match settings.steps {
            Self::Climb => knee::between(settings.grain, knee, settings.width, lower, upper),
            Self::Connections { .. } => middle.floor(),
            Self::Bisect if settings.grain == Grain::Whole => middle.floor(),
            Self::Bisect => {
                Some(settings.grain.round(middle)).filter(|load| lower < *load && *load < upper).unwrap_or(middle)
            }
        }
    }

    /// Whether connections could be set up fast enough, beside the last load that passed.
    pub(super) fn is_set_up(self, rate: Option<f64>, last: Option<f64>, failed: bool) -> bool {
        let share = if failed { SETUP_BISECT } else { SETUP_CLIMB };
        let slow = rate.zip(last).is_some_and(|(rate, last)| rate < share * last);
        !(matches!(self, Self::Connections { .. }) && slow)
    }
}
