//! What a trial means: did it pass, who set the limit, were the expectations met.
//!
//! - [`passes`] and [`can_still_pass`]: one trial against the pass rule.
//! - [`answer()`]: a whole run; figures, `limited_by` with its evidence, expectations, exit code.
//!
//! Only records go in, so that every judgement can be repeated from a run folder. Invariant: a figure
//! that the DUT did not limit is a lower bound, and nothing the tester did wrong counts against the
//! DUT.

use serde::{Deserialize, Serialize};

pub mod answer;
mod expectation;
pub mod frames;
mod judge;
mod limit;
mod observed;
mod pass;
mod searched;
#[cfg(test)]
mod tests;
mod usage;
pub mod validity;
mod warning;

pub use judge::{Context, answer};
pub use pass::{
    Passed, achieved, can_still_pass, failures, is_clean, is_testers_doing, loss, loss_limit, passes, setup_rate,
};
pub use usage::dut_cores;
pub use validity::{Validation, Validity};

/// Who set the limit of a figure.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitedBy {
    /// The load balancer under test.
    Dut,
    /// The reflectors behind it.
    Reflector,
    /// This program.
    Generator,
    /// An interface at its declared speed.
    Link,
    /// The machine's own limits: descriptors, ports, memory.
    Host,
    /// Nobody showed that it was them.
    Unexplained,
}

impl LimitedBy {
    /// The name in CSV and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dut => "dut",
            Self::Reflector => "reflector",
            Self::Generator => "generator",
            Self::Link => "link",
            Self::Host => "host",
            Self::Unexplained => "unexplained",
        }
    }
}

/// One rule that was looked at, with what it saw.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Evidence {
    /// Name of the rule: `G1` … `G8`, `books`, `descriptors` …
    pub rule: String,
    /// Whether what it saw is in order (for G8: whether it points at the DUT).
    pub holds: bool,
    /// What it saw, in words with numbers.
    pub text: String,
}

/// Whether an expectation was met.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Met.
    Pass,
    /// Validly missed.
    Fail,
    /// The evidence does not decide it.
    Undecided,
}

impl Verdict {
    /// The name in CSV and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Undecided => "undecided",
        }
    }
}

/// What became of one line of `[expect]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Judged {
    /// The expectation as written.
    pub text: String,
    /// What was measured, in words; `≥` in front when it is a lower bound.
    pub measured: String,
    /// Met or not.
    pub verdict: Verdict,
}
