//! Which load to try next: ask/tell searches that know neither clock nor socket.
//!
//! [`Search::next`] asks for a trial, [`Search::tell`] hands back whether it passed; the same answers
//! always give the same questions, so a search can be replayed and tested in no time.

use std::time::Duration;

use crate::measure::record::Purpose;

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tell {
    /// The load that was asked for.
    pub load: f64,
    /// Whether it passed; see [`crate::verdict`].
    pub passed: bool,
    /// Achieved rate or connections.
    pub achieved: f64,
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

/// A search.
pub trait Search {
    /// The next trial, or `None` when the search is over. `elapsed` is the wall time of the search.
    fn next(&mut self, elapsed: Duration) -> Option<Ask>;
    /// What became of the trial that [`Search::next`] asked for.
    fn tell(&mut self, result: Tell);
    /// What is known so far.
    fn found(&self) -> Found;
}
