//! Quantiles by nearest rank, and a sample in four numbers.

use serde::{Deserialize, Serialize};

/// The nearest-rank quantile: the smallest value that at least a share `q` of all values does not
/// exceed, x₍⌈qn⌉₎; the smallest value for q = 0. `None` without values or with a q outside 0 to 1.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    if values.is_empty() || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (q * sorted.len() as f64).ceil() as usize;
    Some(sorted[rank.clamp(1, sorted.len()) - 1])
}

/// The median of values, the mean of the middle two if their number is even. `None` without any.
pub fn median(values: &[f64]) -> Option<f64> {
    Summary::of(values).map(|summary| summary.median)
}

/// A sample in four numbers.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Summary {
    /// How many values.
    pub count: usize,
    /// The smallest.
    pub min: f64,
    /// The median, the mean of the middle two if their number is even.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// Sums up values; `None` without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        Some(Self { count: sorted.len(), min, median: super::middle(&sorted), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_summed_up() {
        let of = |values: &[f64]| Summary::of(values);
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(Summary { count: 3, min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!((of(&[]), median(&[]), quantile(&[], 0.5)), (None, None, None));
    }

    #[test]
    fn a_share_outside_its_range_has_no_quantile() {
        for q in [-0.1, 1.1, f64::NAN] {
            assert_eq!(quantile(&[1.0], q), None);
        }
    }
}
