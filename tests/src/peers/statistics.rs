//! Medians, intervals and the order of rounds. Pure.
//!
//! The interval of a median comes from order statistics (the sign test turned round): the number of
//! rounds below the true median is binomial with p = 1/2, whatever the distribution, so from the k-th
//! smallest to the k-th largest value it is covered with 1 − 2·P(X < k). See Conover, Practical
//! Nonparametric Statistics, 3.2. It assumes independent rounds and nothing else.

pub(crate) use loadgen::statistics::median;
use loadgen::statistics::{at_most, quantile_ranks};

/// The coverage that an interval has to reach, if there are rounds enough (6 or more).
pub(crate) const COVERAGE: f64 = 0.95;

/// A median with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// The median.
    pub(crate) median: f64,
    /// Lower end of the interval.
    pub(crate) low: f64,
    /// Upper end of the interval.
    pub(crate) high: f64,
    /// How often such an interval covers the true median, 0 to 1. Below [`COVERAGE`] with fewer than 6
    /// values, of which the smallest and the largest are taken.
    pub(crate) coverage: f64,
}

/// The median of values with its interval, `None` without values.
pub(crate) fn estimate(values: &[f64]) -> Option<Estimate> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = median(values)?;
    let count = sorted.len() as u64;
    // The smallest and the largest where there are too few for the coverage asked for.
    let rank = quantile_ranks(count, 0.5, COVERAGE).lower.unwrap_or(1);
    let coverage = (1.0 - 2.0 * at_most(rank - 1, count, 0.5)).max(0.0);
    let at = rank as usize - 1;
    Some(Estimate { median, low: sorted[at], high: sorted[sorted.len() - 1 - at], coverage })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_has_the_ranks_of_the_sign_test() {
        // Tables of the sign test: 12 values, third smallest to third largest, 96.14 %.
        let values: Vec<f64> = (1..=12).map(f64::from).collect();
        let found = estimate(&values).unwrap();
        assert_eq!((found.low, found.median, found.high), (3.0, 6.5, 10.0));
        assert!((found.coverage - 0.961_4).abs() < 1e-4, "{found:?}");
        // 20 values, sixth smallest to sixth largest, 95.86 %.
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        let found = estimate(&values).unwrap();
        assert_eq!((found.low, found.high), (6.0, 15.0));
        assert!((found.coverage - 0.958_6).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn few_values_say_that_they_cover_less() {
        let found = estimate(&[2.0, 1.0, 3.0]).unwrap();
        assert_eq!((found.low, found.median, found.high, found.coverage), (1.0, 2.0, 3.0, 0.75));
        assert_eq!(estimate(&[7.0]).unwrap().coverage, 0.0);
        assert!(estimate(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap().coverage >= COVERAGE);
        assert_eq!(estimate(&[]), None);
    }
}
