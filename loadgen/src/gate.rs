//! Is the candidate worse than the baseline by more than is tolerated? The rule of a regression gate.
//!
//! Both builds run on one machine as neighbours in pairs, in random order inside a pair; a pair gives
//! d = ln(candidate / baseline) for each metric, with the sign turned so that negative is worse.
//! [`judge()`] looks at the pairs at planned numbers only and answers with a [`Decision`]; neither more
//! pairs after a decision nor looks in between can change it. What it needs from a machine is measured
//! by [`noise()`] from pairs of the same build. Pure: pairs are measured, stored and printed elsewhere.

pub mod failures;
pub mod history;
mod judge;
mod metric;
mod noise;
mod pair;
mod settings;
pub mod trend;
mod words;

pub use judge::{Decision, Finding, Judgement, counts, judge};
pub use metric::{Limit, Metric};
pub use noise::{MetricNoise, Noise, noise};
pub use pair::{Order, Pair, order};
pub use settings::{Settings, SettingsError};
pub use words::change;
