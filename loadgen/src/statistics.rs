//! Quantiles, intervals and tests that assume as little as possible, all exact and without randomness.
//!
//! Nothing here knows what the values mean. Ranks count from 1, as in the tables of textbooks; `q`,
//! `confidence` and `alpha` are shares from 0 to 1. Values have to be finite; where the caller cannot
//! know, the answer is `None`.

mod signed_rank;

pub use signed_rank::{SignedRank, hodges_lehmann, pairs_needed, signed_rank, walsh_averages};
