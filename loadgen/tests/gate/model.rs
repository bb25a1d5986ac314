//! A restless machine, made of numbers.
//!
//! The model of a shared runner: what a run measures is its true value times exp(drift + noise), and
//! times 0.8 while a noisy neighbour is there.
//! - drift: AR(1) from run to run with a standard deviation of 5 % and φ = 0.9: two neighbours differ by
//!   2.2 %, runs an hour apart by 7 %;
//! - noise: normal and independent for each run, 3 % (8 % on a tiny runner);
//! - neighbour: comes before a run with 1.6 %, goes with 40 %: there for 4 % of the runs, 2.5 at a time.
//!
//! φ and the two chances are the parts that the table the rule was designed with leaves open. They follow
//! from what it does say: the standard deviation of d is 6.2 % (12 % with 8 % of noise), and a single
//! run beside a stored one fails in 34 % of all cases without a change. No row of the gate was used.

use std::f64::consts::TAU;

use loadgen::gate::{Metric, Pair, order};
use wire::hash::SplitMix64;

/// Standard deviation of the drift.
const DRIFT: f64 = 0.05;
/// What is left of the drift at the next run.
const PHI: f64 = 0.9;
/// The chance that a neighbour comes before a run, and that it has gone before the next one.
const COMES: f64 = 0.016;
const GOES: f64 = 0.4;
/// What a neighbour leaves of a rate.
const NEIGHBOUR: f64 = 0.8;

/// Reproducible numbers.
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// Above 0, up to 1.
    fn share(&mut self) -> f64 {
        ((self.0.number() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.share().ln()).sqrt() * (TAU * self.share()).cos()
    }
}

/// How one metric lives on the machine.
#[derive(Clone, Copy)]
pub(crate) struct Trait {
    pub(crate) metric: Metric,
    /// Standard deviation of its own noise in each run.
    pub(crate) noise: f64,
    /// How much it feels drift and neighbours: 1 for a rate.
    pub(crate) feels: f64,
    /// ln of what the candidate changes, negative for worse.
    pub(crate) change: f64,
}

/// A machine at some moment.
pub(crate) struct Machine {
    random: Random,
    drift: f64,
    neighbour: bool,
}

impl Machine {
    /// A machine somewhere in its life.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let drift = random.normal() * DRIFT;
        let neighbour = random.share() <= COMES / (COMES + GOES);
        Self { random, drift, neighbour }
    }

    /// The state at the next run, ln of what it does to a rate.
    fn state(&mut self) -> f64 {
        self.drift = PHI * self.drift + self.random.normal() * DRIFT * (1.0 - PHI * PHI).sqrt();
        self.neighbour = self.random.share() <= if self.neighbour { 1.0 - GOES } else { COMES };
        self.drift + if self.neighbour { NEIGHBOUR.ln() } else { 0.0 }
    }

    /// ln of what one run of one rate measures, the true value being 1.
    pub(crate) fn run(&mut self, noise: f64) -> f64 {
        self.state() + self.random.normal() * noise
    }

    /// One run of all metrics.
    fn measure(&mut self, traits: &[Trait], candidate: bool) -> Vec<(Metric, f64)> {
        let state = self.state();
        let mut value = |found: &Trait| {
            let change = if candidate { found.change } else { 0.0 };
            let good = state * found.feels + self.random.normal() * found.noise + change;
            let sign = if found.metric.higher_is_better() { 1.0 } else { -1.0 };
            (found.metric, 1_000.0 * (sign * good).exp())
        };
        traits.iter().map(&mut value).collect()
    }

    /// The next pair of a gate.
    pub(crate) fn pair(&mut self, traits: &[Trait], seed: u64, number: u32) -> Pair {
        let order = order(seed, number);
        let first = order == loadgen::gate::Order::CandidateFirst;
        let one = self.measure(traits, first);
        let other = self.measure(traits, !first);
        let (baseline, candidate) = if first { (other, one) } else { (one, other) };
        Pair { number, order, baseline, candidate, discarded: None }
    }
}
