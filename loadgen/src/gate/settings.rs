//! What a gate checks, when it looks, and how much of its error budget each look may spend.

use serde::{Deserialize, Serialize};

use super::{Limit, Metric};
use crate::statistics;

/// Looks with one metric: the smallest p of 8 pairs is 1/256 = 0.0039.
const LOOKS_ONE: [u32; 3] = [8, 14, 20];
/// Looks with several metrics: Holm over five asks for p ≤ 0.0008, which 8 pairs never have.
const LOOKS_SEVERAL: [u32; 3] = [12, 18, 24];
/// The share of wrong failures that each look may add, 1 % together.
const ALPHA: [f64; 3] = [0.004, 0.003, 0.003];
/// The most pairs that a gate may plan; the exact distributions are made for as many.
const PAIRS_MAX: u32 = 500;

/// The rule of one gate. Made by [`Settings::new`] or [`Settings::with_looks`], which refuse nonsense.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The metrics, each once, with their tolerance.
    pub limits: Vec<Limit>,
    /// Numbers of valid pairs at which the gate looks, rising.
    pub looks: Vec<u32>,
    /// The share of wrong failures that each look may add, 0 to 1.
    pub alpha: Vec<f64>,
    /// Confidence of the lower bound that passes, 0 to 1.
    pub confidence: f64,
    /// The share of discarded pairs above which the machine is unfit for a gate, 0 to 1.
    pub discarded_max: f64,
}

impl Settings {
    /// The usual rule: looks at 8, 14 and 20 pairs for one metric and at 12, 18 and 24 for several, with
    /// α = 0.4, 0.3 and 0.3 %.
    ///
    /// # Errors
    /// No limit, a metric given twice, or a δ that is not above 0 and below 1.
    pub fn new(limits: Vec<Limit>) -> Result<Self, SettingsError> {
        let looks = if limits.len() > 1 { LOOKS_SEVERAL } else { LOOKS_ONE };
        Self::with_looks(limits, looks.into(), ALPHA.into())
    }

    /// A rule with looks of its own.
    ///
    /// # Errors
    /// As [`Settings::new`]; further looks that do not rise, a number of α other than that of looks, an α
    /// outside 0 to 1 or more than 10 % together, and a first look with too few pairs to fail at its α.
    pub fn with_looks(limits: Vec<Limit>, looks: Vec<u32>, alpha: Vec<f64>) -> Result<Self, SettingsError> {
        check_limits(&limits)?;
        check_looks(&looks, &alpha)?;
        let confidence = 0.95;
        let settings = Self { limits, looks, alpha, confidence, discarded_max: 0.3 };
        settings.check_power()?;
        Ok(settings)
    }

    /// The most valid pairs that the gate will ask for.
    pub fn pairs_max(&self) -> u32 {
        self.looks.last().copied().unwrap_or_default()
    }

    /// A look that cannot fail whatever it sees is a check that cannot fail.
    fn check_power(&self) -> Result<(), SettingsError> {
        let metrics = self.limits.len();
        for (&look, &alpha) in self.looks.iter().zip(&self.alpha) {
            let least = 0.5_f64.powi(look as i32);
            let strictest = alpha / metrics as f64;
            if least > strictest {
                let needed = statistics::pairs_needed(strictest);
                return Err(SettingsError::Powerless { look, alpha, metrics, needed });
            }
        }
        Ok(())
    }
}

fn check_limits(limits: &[Limit]) -> Result<(), SettingsError> {
    if limits.is_empty() {
        return Err(SettingsError::NoLimit);
    }
    for (at, limit) in limits.iter().enumerate() {
        let metric = limit.metric;
        if limits[..at].iter().any(|earlier| earlier.metric == metric) {
            return Err(SettingsError::Twice { metric });
        }
        if !(limit.delta > 0.0 && limit.delta < 1.0) {
            return Err(SettingsError::Delta { metric, found: limit.delta });
        }
    }
    Ok(())
}

fn check_looks(looks: &[u32], alpha: &[f64]) -> Result<(), SettingsError> {
    let rising = looks.windows(2).all(|pair| pair[0] < pair[1]);
    let bounded = looks.first().is_some_and(|&first| first > 0) && looks.last().is_some_and(|&last| last <= PAIRS_MAX);
    if !rising || !bounded {
        return Err(SettingsError::Looks { found: looks.to_vec() });
    }
    if alpha.len() != looks.len() {
        return Err(SettingsError::AlphaCount { alpha: alpha.len(), looks: looks.len() });
    }
    let sum: f64 = alpha.iter().sum();
    if !alpha.iter().all(|&alpha| alpha > 0.0) || sum > 0.1 + 1e-12 {
        return Err(SettingsError::Alpha { found: alpha.to_vec() });
    }
    Ok(())
}

/// Why a rule cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// No metric is gated.
    #[error("a gate without a metric has nothing to decide; name at least one of {}", names())]
    NoLimit,
    /// A metric has two limits.
    #[error("{} is limited twice; name each metric once", metric.name())]
    Twice {
        /// The metric.
        metric: Metric,
    },
    /// A tolerance out of range.
    #[error("delta of {} is {found}; expected a relative loss above 0 and below 1, such as 0.05", metric.name())]
    Delta {
        /// The metric.
        metric: Metric,
        /// What was given.
        found: f64,
    },
    /// Looks that no gate can follow.
    #[error("looks are {found:?}; expected rising numbers of pairs from 1 to {PAIRS_MAX}, such as 8, 14, 20")]
    Looks {
        /// What was given.
        found: Vec<u32>,
    },
    /// Not one α for each look.
    #[error("{alpha} values of alpha for {looks} looks; give one for each look")]
    AlphaCount {
        /// Values of α given.
        alpha: usize,
        /// Looks given.
        looks: usize,
    },
    /// An α out of range.
    #[error("alpha is {found:?}; expected values above 0 that are at most 0.1 together, such as 0.004, 0.003, 0.003")]
    Alpha {
        /// What was given.
        found: Vec<f64>,
    },
    /// A look that can never fail.
    #[error(
        "the look at {look} pairs with alpha {alpha} over {metrics} metrics can never fail, \
         because its smallest p is larger; at least {needed} pairs are needed"
    )]
    Powerless {
        /// Pairs of the look.
        look: u32,
        /// Its α.
        alpha: f64,
        /// Metrics that share it.
        metrics: usize,
        /// The least number of pairs that can fail.
        needed: u32,
    },
}

fn names() -> String {
    Metric::ALL.map(Metric::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(count: usize) -> Vec<Limit> {
        Metric::ALL[..count].iter().map(|&metric| Limit::of(metric)).collect()
    }

    #[test]
    fn one_metric_and_several_have_their_own_looks() {
        assert_eq!(Settings::new(limits(1)).unwrap().looks, [8, 14, 20]);
        for count in 2..=5 {
            let settings = Settings::new(limits(count)).unwrap();
            assert_eq!((settings.looks, settings.alpha), (vec![12, 18, 24], vec![0.004, 0.003, 0.003]));
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_is_allowed() {
        let with = |looks: &[u32], alpha: &[f64]| Settings::with_looks(limits(1), looks.into(), alpha.into());
        assert_eq!(Settings::new(Vec::new()), Err(SettingsError::NoLimit));
        let twice = [limits(1), limits(1)].concat();
        assert_eq!(Settings::new(twice), Err(SettingsError::Twice { metric: Metric::PRIMARY }));
        for delta in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
            let refused = Settings::new(vec![Limit { metric: Metric::Cps, delta }]);
            assert!(matches!(refused, Err(SettingsError::Delta { .. })), "{delta}");
        }
        for looks in [&[][..], &[0], &[14, 8], &[8, 8], &[501]] {
            assert!(matches!(with(looks, &[0.01]), Err(SettingsError::Looks { .. })), "{looks:?}");
        }
        assert_eq!(with(&[8, 14], &[0.004]), Err(SettingsError::AlphaCount { alpha: 1, looks: 2 }));
        for alpha in [0.0, -0.1, 0.11, f64::NAN, f64::INFINITY] {
            assert!(matches!(with(&[20], &[alpha]), Err(SettingsError::Alpha { .. })), "{alpha}");
        }
    }

    #[test]
    fn a_look_that_can_never_fail_is_refused() {
        let eight = |count, alpha| Settings::with_looks(limits(count), vec![8], vec![alpha]);
        assert!(eight(1, 1.0 / 256.0).is_ok());
        let refused = eight(5, 0.004).unwrap_err();
        assert_eq!(refused, SettingsError::Powerless { look: 8, alpha: 0.004, metrics: 5, needed: 11 });
        assert!(refused.to_string().contains("at least 11 pairs"), "{refused}");
    }
}
