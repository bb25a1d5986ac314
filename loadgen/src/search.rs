//! Which load to try next: ask/tell searches that know neither clock nor socket.
//!
//! [`Search::next`] asks for a trial, [`Search::tell`] hands back whether it passed; the same answers
//! always give the same questions, so a search can be replayed and tested in no time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::measure::record::{Purpose, TrialLoad};
use crate::scenario::plan::Unit;
use crate::statistics::Summary;

pub mod burst;
mod choose;
pub mod climb;
pub mod fixed;
pub mod goal_seek;
pub mod inversion;
mod knee;
pub mod mlr;
pub mod repeat;
pub mod stair;
pub mod sweep;

pub use choose::{Limits, search};
pub use climb::{Climb, ClimbSettings, Steps};
pub use fixed::Fixed;
pub use goal_seek::{GoalSeek, GoalSeekSettings};
pub use mlr::{Goal, GoalFound, Mlr, MlrGoal, MlrSettings};
pub use repeat::Repeated;
pub use stair::{Stair, WithCurve};
pub use sweep::{Sweep, SweepSettings};

/// A trial that a search wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask {
    /// What it is for.
    pub purpose: Purpose,
    /// Load in the unit of the scenario.
    pub load: f64,
    /// Length of sustain.
    pub sustain: Duration,
}

/// What became of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tell {
    /// The load that was asked for.
    pub load: f64,
    /// Whether it passed; see [`crate::verdict`].
    pub passed: bool,
    /// Achieved rate or connections.
    pub achieved: f64,
    /// (planned − successful) / planned, 0 to 1; what was never sent is lost (RFC 9971).
    pub loss: f64,
    /// Effective duration: the length of sustain that the trial stands for. One that was ended early
    /// because it could not pass any more stands for its whole length.
    pub duration: Duration,
    /// Connections opened per second before sustain, where connections are held.
    pub setup_rate: Option<f64>,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Highest load that passed its confirming trial; `None` if even the qualifying one failed.
    pub lower: Option<f64>,
    /// Lowest load that failed; `None` if none did.
    pub upper: Option<f64>,
    /// Whether the answer is "at least": the highest load allowed still passed, or the budget ended
    /// the search before its width was reached.
    pub at_least: bool,
}

/// What a search has to say beside what it found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// The spread of what several searches found; `None` where one was asked for.
    pub repeats: Option<Repeats>,
    /// What was found for each goal, where there are goals.
    pub goals: Vec<GoalFound>,
}

/// The spread of what several searches found, in the unit of the load.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Repeats {
    /// Searches that were asked for.
    pub asked: u32,
    /// Searches that came to an end.
    pub n: u32,
    /// The lowest load found: what one can plan with. 0 if one search found nothing.
    pub min: f64,
    /// The median; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The highest.
    pub max: f64,
    /// What each search found, in the order in which they were done; empty where it was not written down.
    #[serde(default)]
    pub values: Vec<f64>,
}

impl Repeats {
    /// The spread of these loads, 0 for a search that found nothing; `None` if none came to an end.
    pub fn of(asked: u32, loads: Vec<f64>) -> Option<Self> {
        let Summary { count, min, median, max } = Summary::of(&loads)?;
        Some(Self { asked, n: count as u32, min, median, max, values: loads })
    }
}

/// A search.
pub trait Search {
    /// The next trial, or `None` when the search is over. `elapsed` is the wall time of the search.
    fn next(&mut self, elapsed: Duration) -> Option<Ask>;
    /// What became of the trial that [`Search::next`] asked for.
    fn tell(&mut self, result: Tell);
    /// What is known so far.
    fn found(&self) -> Found;
    /// What else there is to say.
    fn details(&self) -> Details {
        Details::default()
    }
}

/// The loads that make sense in a unit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grain {
    /// Whole numbers from 1: connections, transactions at once.
    Whole,
    /// Rates, to five significant digits: more would be noise in a report.
    Fine,
    /// Any number: for devices that are computed.
    Exact,
}

impl Grain {
    /// The grain of a unit.
    pub fn of(unit: Unit) -> Self {
        match unit {
            Unit::Connections | Unit::Transactions => Self::Whole,
            Unit::ConnectionsPerSecond | Unit::TransactionsPerSecond | Unit::FramesPerSecond => Self::Fine,
        }
    }

    /// The highest load that makes sense and is not above this one: for bounds. Never below 1 where whole
    /// numbers are asked for.
    pub fn round_down(self, load: f64) -> f64 {
        let nearest = self.round(load);
        let step = match self {
            Self::Fine if load > 0.0 => 10_f64.powf(load.log10().floor() - 4.0),
            _ => 1.0,
        };
        if nearest <= load { nearest } else { self.round(load - step) }
    }

    /// The nearest load that makes sense.
    pub fn round(self, load: f64) -> f64 {
        match self {
            Self::Whole => load.round().max(1.0),
            Self::Fine if load > 0.0 => {
                let digit = 10_f64.powf(load.log10().floor() - 4.0);
                // Divided by the inverse where the digit is a fraction: 0.1 has no exact binary form.
                if digit < 1.0 {
                    (load / digit).round() / (1.0 / digit).round()
                } else {
                    (load / digit).round() * digit
                }
            }
            Self::Fine | Self::Exact => load,
        }
    }
}

/// The load of an [`Ask`] in the terms of a trial.
pub fn trial_load(unit: Unit, load: f64) -> TrialLoad {
    let whole = load.round().clamp(1.0, f64::from(u32::MAX)) as u32;
    match unit {
        Unit::ConnectionsPerSecond | Unit::TransactionsPerSecond | Unit::FramesPerSecond => TrialLoad::Rate(load),
        Unit::Connections => TrialLoad::Held(whole),
        Unit::Transactions => TrialLoad::Closed(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_rounded_to_what_makes_sense() {
        assert_eq!([0.2, 1.5, 999.4].map(|load| Grain::Whole.round(load)), [1.0, 2.0, 999.0]);
        assert_eq!(
            [12_345.678, 0.012_345_678, 707.106_78].map(|load| Grain::Fine.round(load)),
            [12_346.0, 0.012_346, 707.11]
        );
        assert_eq!(Grain::Fine.round(1_234_567.0), 1_234_600.0);
        assert_eq!([5.5, 7.0, 0.2].map(|load| Grain::Whole.round_down(load)), [5.0, 7.0, 1.0]);
        assert_eq!(
            [12_345.9, 6_587.46, 12_345.0].map(|load| Grain::Fine.round_down(load)),
            [12_345.0, 6_587.4, 12_345.0]
        );
        assert_eq!(Grain::Exact.round_down(0.3), 0.3);
    }
}
