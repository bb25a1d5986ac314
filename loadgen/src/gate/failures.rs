//! Operations that failed, beside the metrics: a build that answers fast by failing must not pass.
//!
//! A run keeps or breaks the failed limit of its scenario. Of pairs in which exactly one side broke it,
//! equal builds break it equally often: the exact sign test (Dixon and Mood 1946) tells whether the
//! candidate does so more often. It is asked once, at the end, and has an error share of its own beside
//! that of the metrics: the sum of the looks' α.

use serde::{Deserialize, Serialize};

use super::Settings;

/// What failed in one run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Failures {
    /// Operations that the testbed failed.
    pub failed: u64,
    /// Operations that came to an end, failed ones included.
    pub attempted: u64,
    /// Whether that is more than the scenario allows.
    pub broken: bool,
}

impl Failures {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            failed: self.failed + other.failed,
            attempted: self.attempted + other.attempted,
            broken: self.broken || other.broken,
        }
    }
}

/// What the failures of all pairs say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// The candidate broke the limit no more often than the baseline.
    NotMore,
    /// In so many pairs the candidate alone broke it: more often than the baseline, which may be chance.
    Perhaps(u32),
    /// In so many pairs the candidate alone broke it, and not by chance.
    Surely(u32),
}

/// Judges baseline and candidate of each pair that counts.
pub fn broken(settings: &Settings, pairs: &[[Failures; 2]]) -> Broken {
    let alone = |side: usize| pairs.iter().filter(|pair| pair[side].broken && !pair[1 - side].broken).count() as u32;
    let (baseline, candidate) = (alone(0), alone(1));
    match candidate {
        candidate if candidate <= baseline => Broken::NotMore,
        candidate if tail(candidate, baseline) <= settings.alpha.iter().sum() => Broken::Surely(candidate),
        candidate => Broken::Perhaps(candidate),
    }
}

/// The probability that a fair coin shows at least `heads` heads in `heads + tails` throws.
fn tail(heads: u32, tails: u32) -> f64 {
    let throws = heads + tails;
    let mut chance = 0.5_f64.powi(throws as i32);
    let mut sum = 0.0;
    for at in 0..=tails {
        sum += chance;
        chance *= f64::from(throws - at) / f64::from(at + 1);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Limit, Metric};

    #[test]
    fn a_candidate_that_fails_what_the_baseline_answers_is_seen() {
        let settings = Settings::new(vec![Limit::of(Metric::PRIMARY)]).unwrap();
        let run = |broken| Failures { failed: u64::from(broken), attempted: 100, broken };
        let of = |alone: [usize; 2], both: usize| {
            let pairs = [(alone[0], [true, false]), (alone[1], [false, true]), (both, [true, true])];
            let pairs = pairs.into_iter().flat_map(|(count, sides)| vec![sides.map(run); count]);
            broken(&settings, &pairs.collect::<Vec<_>>())
        };
        assert_eq!(of([0, 8], 0), Broken::Surely(8));
        // 2^-6 = 1.6 % is no proof at 1 %; what fails on both sides is none either.
        assert_eq!(of([0, 6], 0), Broken::Perhaps(6));
        assert_eq!(of([0, 0], 8), Broken::NotMore);
        assert_eq!(of([4, 4], 0), Broken::NotMore);
        assert_eq!(of([8, 0], 0), Broken::NotMore);
    }

    #[test]
    fn the_tail_of_a_fair_coin_is_exact() {
        assert_eq!(tail(8, 0), 1.0 / 256.0);
        assert!((tail(9, 1) - 11.0 / 1_024.0).abs() < 1e-15);
    }
}
