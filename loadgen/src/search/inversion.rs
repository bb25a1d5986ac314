//! Loss inversion: a lower load failed while a higher one passed.
//!
//! A search looks at few loads and can jump over a band in which a device loses. Where the trials at hand
//! show such a band, the answer must say so. A short pass does not contradict a longer fail: the longer
//! trial has simply seen more.

use std::time::Duration;

/// One trial, as far as this looks at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// Number within the run.
    pub number: u32,
    /// Its load.
    pub load: f64,
    /// Length of sustain.
    pub sustain: Duration,
    /// Whether it passed.
    pub passed: bool,
}

/// The lowest failed load with a pass above it that lasted at least as long: that fail, and the highest
/// such pass. Loads within `width` of each other count as one, and so does a load that also passed: that
/// is noise.
pub fn find(tried: &[Tried], width: f64) -> Option<(Tried, Tried)> {
    let passes = |failed: &Tried| {
        let failed = *failed;
        tried.iter().filter(move |other| other.passed && other.sustain >= failed.sustain)
    };
    let pass_above = |failed: &Tried| {
        let above = passes(failed).filter(|other| failed.load < other.load * (1.0 - width));
        above.max_by(|a, b| a.load.total_cmp(&b.load))
    };
    let failed = tried.iter().filter(|trial| !trial.passed);
    let failed = failed.filter(|failed| !passes(failed).any(|other| other.load == failed.load));
    let inverted = failed.filter_map(|failed| Some((*failed, *pass_above(failed)?)));
    inverted.min_by(|(a, _), (b, _)| a.load.total_cmp(&b.load))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(trials: &[(f64, u64, bool)]) -> Vec<Tried> {
        let numbered = trials.iter().zip(1..);
        numbered
            .map(|((load, seconds, passed), number)| Tried {
                number,
                load: *load,
                sustain: Duration::from_secs(*seconds),
                passed: *passed,
            })
            .collect()
    }

    #[test]
    fn a_pass_above_a_fail_is_named() {
        let trials = tried(&[(100.0, 3, true), (640.0, 3, false), (900.0, 3, true), (800.0, 3, true)]);
        let (failed, passed) = find(&trials, 0.05).unwrap();
        assert_eq!((failed.number, passed.number), (2, 3));
    }

    #[test]
    fn a_longer_trial_that_fails_below_a_short_pass_is_no_inversion() {
        assert_eq!(find(&tried(&[(900.0, 3, true), (850.0, 10, false), (800.0, 10, true)]), 0.05), None);
        assert_eq!(find(&tried(&[(100.0, 3, true), (200.0, 3, false)]), 0.05), None);
    }

    #[test]
    fn noise_is_no_inversion() {
        assert_eq!(find(&tried(&[(900.0, 3, false), (910.0, 3, true)]), 0.05), None);
        assert_eq!(find(&tried(&[(500.0, 3, false), (500.0, 3, true), (910.0, 3, true)]), 0.05), None);
    }
}
