//! Quantiles, intervals and tests that assume as little as possible, all exact and without randomness.
//!
//! Nothing here knows what the values mean. Ranks count from 1, as in the tables of textbooks; `q`,
//! `confidence` and `alpha` are shares from 0 to 1. Values have to be finite; where the caller cannot
//! know, the answer is `None`.

mod binomial;
mod mann_whitney;
mod quantile;
mod signed_rank;
mod student;

pub use binomial::{Ranks, at_most, failure_ratio_upper, quantile_ranks, samples_for_upper_rank};
pub use mann_whitney::{MannWhitney, mann_whitney};
pub use quantile::{Summary, median, quantile};
pub use signed_rank::{SignedRank, hodges_lehmann, pairs_needed, signed_rank, walsh_averages};
pub use student::{mean, t_test};

/// The middle of sorted values, of which there is at least one.
fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    // Halves first: the sum of two large numbers may overflow.
    if sorted.len() % 2 == 1 { sorted[half] } else { sorted[half - 1] / 2.0 + sorted[half] / 2.0 }
}

#[cfg(test)]
mod tests;
