//! The binomial law, exact for any number of trials, and what follows from it: intervals of quantiles
//! by order statistics, and the upper bound of a failure ratio.
//!
//! Single chances by Loader's saddle-point expansion (Fast and Accurate Computation of Binomial
//! Probabilities, 2000), tails by summing from the largest chance outwards, so that they keep twelve
//! digits where a difference of logarithms of factorials would lose them.

use std::f64::consts::{PI, TAU};

/// Ranks of the order statistics that enclose a quantile, counted from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ranks {
    /// The largest rank that is at most the quantile with the confidence asked for on its side.
    pub lower: Option<u64>,
    /// The smallest rank that is at least the quantile with the confidence asked for on its side.
    pub upper: Option<u64>,
}

/// Between which of `count` sorted values the quantile `q` lies with a two-sided `confidence`, each
/// side having half of what is missing to 1 (Conover, Practical Nonparametric Statistics, 3.2). A rank
/// that does not exist is `None`: there are too few values for that bound.
pub fn quantile_ranks(count: u64, q: f64, confidence: f64) -> Ranks {
    let tail = (1.0 - confidence) / 2.0;
    if !(q > 0.0 && q < 1.0 && tail > 0.0 && tail < 0.5) {
        return Ranks { lower: None, upper: None };
    }
    // The number of values below the quantile is binomial, whatever their distribution.
    let lower = largest(count, |rank| at_most(rank - 1, count, q) <= tail);
    // P(X ≥ rank) as P(Y ≤ count − rank) of the values above it, so that small tails keep their digits.
    let below_upper = largest(count, |rank| at_most(count - rank, count, 1.0 - q) > tail).unwrap_or(0);
    Ranks { lower, upper: (below_upper < count).then_some(below_upper + 1) }
}

/// The largest number from 1 to `most` for which something holds that holds for all smaller ones.
fn largest(most: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) { low = middle } else { high = middle - 1 }
    }
    (low > 0).then_some(low)
}

/// The least number of values for which the upper rank of [`quantile_ranks`] exists: qⁿ is at most half
/// of what is missing to 1. `None` for a quantile or confidence not between 0 and 1.
pub fn samples_for_upper_rank(q: f64, confidence: f64) -> Option<u64> {
    let tail = (1.0 - confidence) / 2.0;
    let sound = q > 0.0 && q < 1.0 && tail > 0.0 && tail < 0.5;
    sound.then(|| (tail.ln() / q.ln()).ceil() as u64)
}

/// The ratio of failures is below this with a one-sided `confidence` (Clopper and Pearson 1934): the
/// ratio at which so few failures are just as improbable as is missing to 1. 1 when all failed or
/// nothing was attempted.
pub fn failure_ratio_upper(failed: u64, attempted: u64, confidence: f64) -> f64 {
    if failed >= attempted {
        return 1.0;
    }
    let tail = 1.0 - confidence;
    let (mut low, mut high) = (failed as f64 / attempted as f64, 1.0);
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        if at_most(failed, attempted, middle) > tail { low = middle } else { high = middle }
    }
}

/// P(X ≤ k) of a binomial with `trials` of chance `p`, 0 to 1.
pub fn at_most(k: u64, trials: u64, p: f64) -> f64 {
    if k >= trials || p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    if k as f64 <= trials as f64 * p {
        lower_tail(k, trials, p)
    } else {
        1.0 - lower_tail(trials - k - 1, trials, 1.0 - p)
    }
}

/// P(X ≤ k) for a k not above the mean: terms fall from k downwards.
fn lower_tail(k: u64, trials: u64, p: f64) -> f64 {
    let odds = (1.0 - p) / p;
    let mut term = 1.0;
    let mut sum = 1.0;
    let mut at = k;
    while at > 0 && term > sum * 1e-17 {
        term *= at as f64 / (trials - at + 1) as f64 * odds;
        sum += term;
        at -= 1;
    }
    (exactly(k, trials, p) * sum).min(1.0)
}

/// P(X = k) for a chance `p` between 0 and 1.
fn exactly(k: u64, trials: u64, p: f64) -> f64 {
    let (n, x, rest) = (trials as f64, k as f64, (trials - k) as f64);
    if k == 0 {
        return (n * (-p).ln_1p()).exp();
    }
    if k == trials {
        return (n * p.ln()).exp();
    }
    let log = stirling_error(n)
        - stirling_error(x)
        - stirling_error(rest)
        - deviance(x, n * p)
        - deviance(rest, n * (1.0 - p));
    log.exp() * (n / (TAU * x * rest)).sqrt()
}

/// ln n! less Stirling's formula, for a whole n of 1 or more.
fn stirling_error(n: f64) -> f64 {
    if n <= 15.0 {
        let factorial: f64 = (2..=n as u32).map(f64::from).product();
        return factorial.ln() - (n + 0.5) * n.ln() + n - 0.5 * (2.0 * PI).ln();
    }
    let square = n * n;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / n
}

/// x ln(x / m) + m − x, without losing digits where x is near m.
fn deviance(x: f64, m: f64) -> f64 {
    if (x - m).abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = (x - m) / (x + m);
    let mut sum = (x - m) * v;
    let mut term = 2.0 * x * v;
    for j in 1..1_000 {
        term *= v * v;
        let next = sum + term / f64::from(2 * j + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_small_binomials_written_out() {
        for (trials, p) in [(1_u64, 0.3_f64), (7, 0.5), (20, 0.05), (30, 0.9)] {
            let mut sum = 0.0;
            let mut choose = 1.0;
            for k in 0..=trials {
                sum += choose * p.powi(k as i32) * (1.0 - p).powi((trials - k) as i32);
                choose = choose * (trials - k) as f64 / (k + 1) as f64;
                assert!((at_most(k, trials, p) - sum).abs() < 1e-13, "{k} of {trials}, {p}");
            }
        }
        assert_eq!((at_most(0, 0, 0.5), at_most(3, 10, 0.0), at_most(3, 10, 1.0)), (1.0, 1.0, 0.0));
    }

    #[test]
    fn large_numbers_agree_with_the_poisson_and_the_normal_law() {
        // n → ∞ with np = 3: P(X ≤ 2) = e⁻³ (1 + 3 + 4.5) of the Poisson law.
        let poisson = (-3.0_f64).exp() * 8.5;
        assert!((at_most(2, 1_000_000_000_000, 3e-12) / poisson - 1.0).abs() < 1e-9);
        // One standard deviation (500) above the mean of a fair coin, thrown a million times.
        let one = at_most(500_500, 1_000_000, 0.5);
        assert!((one - 0.841_345).abs() < 5e-4, "{one}");
    }

    #[test]
    fn the_bound_of_a_ratio_is_where_so_few_failures_are_improbable() {
        for (failed, attempted) in [(0, 1), (3, 10), (9, 10), (50, 1_000_000)] {
            let upper = failure_ratio_upper(failed, attempted, 0.95);
            assert!((at_most(failed, attempted, upper) - 0.05).abs() < 1e-9, "{failed} of {attempted}: {upper}");
        }
        assert_eq!((failure_ratio_upper(10, 10, 0.95), failure_ratio_upper(0, 0, 0.95)), (1.0, 1.0));
    }

    #[test]
    fn ranks_that_do_not_exist_are_none() {
        assert_eq!(quantile_ranks(5, 0.5, 0.95), Ranks { lower: None, upper: None });
        assert_eq!(quantile_ranks(0, 0.5, 0.95), Ranks { lower: None, upper: None });
        for q in [0.0, 1.0, f64::NAN] {
            assert_eq!(quantile_ranks(100, q, 0.95), Ranks { lower: None, upper: None });
            assert_eq!(samples_for_upper_rank(q, 0.95), None);
        }
        let needed = samples_for_upper_rank(0.99, 0.95).unwrap();
        assert_eq!(quantile_ranks(needed - 1, 0.99, 0.95).upper, None);
        assert_eq!(quantile_ranks(needed, 0.99, 0.95).upper, Some(needed));
    }
}
