//! The rules that are compared: the gate's own, and what is usually done instead.

use loadgen::gate::{Decision, Limit, Metric, Settings, judge};
use loadgen::statistics::{mann_whitney, median};

use crate::model::{Machine, Random, Trait};

/// How much one machine of a fleet differs from another.
const FLEET: f64 = 0.08;
/// Runs of each build in a block.
const BLOCK: usize = 10;

/// What became of many gates, as shares of all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) failed: f64,
    pub(crate) inconclusive: f64,
    /// Pairs used on average; 0 for a rule without pairs.
    pub(crate) pairs: f64,
}

/// The gate's own rule on a machine.
pub(crate) struct Paired {
    pub(crate) title: &'static str,
    /// Metrics with their tolerance; the change is put in by `worse`.
    pub(crate) traits: Vec<(Trait, f64)>,
    /// How many of the metrics the candidate changes, from the first.
    pub(crate) worse: usize,
}

/// A way to decide from runs.
pub(crate) enum Rule {
    /// One run beside one that was stored on another machine of the fleet; fails below the limit.
    Stored { limit: f64 },
    /// All runs of one build, then all of the other; Mann–Whitney at 5 %, one-sided; fails only if the
    /// median also changed by more than the limit, where there is one.
    Blocks { limit: Option<f64> },
    /// The gate.
    Paired(Paired),
}

impl Rule {
    /// What is usually done instead.
    pub(crate) fn naive() -> Vec<Self> {
        let blocks = [None, Some(0.05)].map(|limit| Self::Blocks { limit });
        [0.05, 0.10].map(|limit| Self::Stored { limit }).into_iter().chain(blocks).collect()
    }

    /// The rows of the table.
    pub(crate) fn all() -> Vec<Self> {
        let mut rules = Self::naive();
        rules.extend(Paired::single().into_iter().chain(Paired::several()).map(Self::Paired));
        rules
    }

    pub(crate) fn title(&self) -> String {
        match self {
            Self::Stored { limit } => {
                format!("one run beside a stored one of the fleet, limit −{:.0} %", limit * 100.0)
            }
            Self::Blocks { limit: None } => "10 runs, then 10 of the other; Mann–Whitney p < 5 %".to_owned(),
            Self::Blocks { limit: Some(limit) } => format!("the same, and median below −{:.0} %", limit * 100.0),
            Self::Paired(paired) => paired.title.to_owned(),
        }
    }

    /// What becomes of `count` gates when the candidate changes by `change`.
    pub(crate) fn series(&self, change: f64, count: u32) -> Outcome {
        let mut sum = Outcome::default();
        for at in 0..count {
            let seed = seed(&self.title(), change, at);
            match self {
                Self::Stored { limit } => sum.failed += f64::from(stored(seed, change, *limit)),
                Self::Blocks { limit } => sum.failed += f64::from(blocks(seed, change, *limit)),
                Self::Paired(paired) => {
                    let (decision, pairs) = paired.gate(seed, change);
                    sum.failed += f64::from(decision == Decision::Fail);
                    sum.inconclusive += f64::from(decision == Decision::Inconclusive);
                    sum.pairs += f64::from(pairs);
                }
            }
        }
        let share = |sum: f64| sum / f64::from(count);
        Outcome { failed: share(sum.failed), inconclusive: share(sum.inconclusive), pairs: share(sum.pairs) }
    }
}

/// A seed of its own for each gate of each cell (FNV-1a).
fn seed(title: &str, change: f64, at: u32) -> u64 {
    let cell = title.bytes().chain(change.to_bits().to_le_bytes()).chain(at.to_le_bytes());
    wire::hash::fnv1a(cell)
}

fn stored(seed: u64, change: f64, limit: f64) -> bool {
    let baseline = Machine::new(seed).run(0.03) + Random::new(seed ^ 1).normal() * FLEET;
    let candidate = Machine::new(seed ^ 2).run(0.03) + change.ln_1p();
    candidate - baseline < (-limit).ln_1p()
}

fn blocks(seed: u64, change: f64, limit: Option<f64>) -> bool {
    let mut machine = Machine::new(seed);
    let mut block = |change: f64| (0..BLOCK).map(|_| (machine.run(0.03) + change).exp()).collect::<Vec<f64>>();
    let (baseline, candidate) = (block(0.0), block(change.ln_1p()));
    let shown = mann_whitney(&candidate, &baseline).is_some_and(|found| found.p_less < 0.05);
    let ratio = median(&candidate).zip(median(&baseline)).map(|(candidate, baseline)| candidate / baseline);
    shown && limit.is_none_or(|limit| ratio.is_some_and(|ratio| ratio < 1.0 - limit))
}

/// A metric that feels the machine fully, with its noise and δ.
fn rate(metric: Metric, noise: f64, delta: f64) -> (Trait, f64) {
    (Trait { metric, noise, feels: 1.0, change: 0.0 }, delta)
}

impl Paired {
    /// One metric.
    pub(crate) fn single() -> Vec<Self> {
        let of = |title, noise, delta| Self { title, traits: vec![rate(Metric::PRIMARY, noise, delta)], worse: 1 };
        vec![
            of("gate, δ 5 %", 0.03, 0.05),
            of("gate, δ 10 %", 0.03, 0.10),
            of("gate, δ 5 %, noise 8 %", 0.08, 0.05),
            of("gate, δ 10 %, noise 8 %", 0.08, 0.10),
        ]
    }

    /// Five metrics. "usual" has the default δ, p99 with 12 % of noise feels the machine twice and memory,
    /// with 1 %, not at all.
    pub(crate) fn several() -> Vec<Self> {
        let same = || Metric::ALL.map(|metric| rate(metric, 0.03, 0.05)).to_vec();
        let usual = |noise: f64| {
            let own = Metric::ALL.map(|metric| {
                let (noise, feels) = match metric {
                    Metric::ResponseTimeP99 => (noise * 4.0, 2.0),
                    Metric::MemoryPerConnection => (0.01, 0.0),
                    _ => (noise, 1.0),
                };
                (Trait { metric, noise, feels, change: 0.0 }, metric.default_delta())
            });
            own.to_vec()
        };
        vec![
            Self { title: "gate, 5 metrics, δ 5 % each, one worse", traits: same(), worse: 1 },
            Self { title: "gate, 5 metrics, δ 5 % each, all worse", traits: same(), worse: 5 },
            Self { title: "gate, 5 usual metrics, the primary one worse", traits: usual(0.03), worse: 1 },
            Self { title: "gate, 5 usual metrics, the primary one worse, noise 8 %", traits: usual(0.08), worse: 1 },
        ]
    }

    /// One gate: its answer and the pairs it took.
    pub(crate) fn gate(&self, seed: u64, change: f64) -> (Decision, u32) {
        let limits = self.traits.iter().map(|(found, delta)| Limit { metric: found.metric, delta: *delta });
        let settings = Settings::new(limits.collect()).expect("the limits of the table are sound");
        let with = |(at, (found, _)): (usize, &(Trait, f64))| {
            let change = if at < self.worse { change.ln_1p() } else { 0.0 };
            Trait { change, ..*found }
        };
        let traits: Vec<Trait> = self.traits.iter().enumerate().map(with).collect();
        let mut machine = Machine::new(seed);
        let mut pairs = Vec::new();
        loop {
            match judge(&settings, &pairs).decision {
                // A gate asks after each pair; here only where the answer may change.
                Decision::More { until } => {
                    let next = pairs.len() as u32 + 1..=until;
                    pairs.extend(next.map(|number| machine.pair(&traits, seed, number)));
                }
                decided => return (decided, pairs.len() as u32),
            }
        }
    }
}
