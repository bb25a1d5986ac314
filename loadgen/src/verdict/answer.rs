//! The answer of a run: figures, who limited them, what became of the expectations.

use serde::{Deserialize, Serialize};
use wire::frame::FrameSize;

use super::frames::FramesAnswer;
use super::{Evidence, Judged, LimitedBy, Validation};
use crate::search::{GoalFound, Repeats};

/// How a program of Nadare ends.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// Every stated expectation is decided and met; or none is stated and the DUT set the maximum,
    /// the load was fixed, or there was no DUT.
    Met,
    /// An expectation was validly missed.
    Missed,
    /// The command line, the scenario or a DUT file is wrong.
    Usage,
    /// This host cannot run it.
    Host,
    /// The evidence does not decide.
    Undecided,
    /// Interrupted by the user.
    Interrupted,
}

impl Exit {
    /// The exit code of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::Met => 0,
            Self::Missed => 1,
            Self::Usage => 2,
            Self::Host => 3,
            Self::Undecided => 4,
            Self::Interrupted => 130,
        }
    }
}

/// Whether a figure is the value itself or a lower bound of it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The value.
    Exact,
    /// At least this.
    Lower,
}

/// One figure of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Figure {
    /// `cps`, `tps`, `cc` or `fps`.
    pub name: String,
    /// Per second, or connections.
    pub value: f64,
    /// The value itself, or "at least".
    pub bound: Bound,
    /// Number of the trial it comes from (the confirming one).
    pub trial: u32,
    /// Lowest load that failed in the search, if one did.
    pub failed_at: Option<f64>,
    /// Size of one response body in bytes, where it is known.
    pub object_bytes: Option<u64>,
    /// Size of the frames, where all are the same.
    #[serde(default)]
    pub frame_size: Option<FrameSize>,
    /// CPU time of the DUT per operation of that trial in microseconds, where it can be seen.
    pub dut_cpu_us_per_operation: Option<f64>,
    /// Operations per second of one fully used DUT core by the utilisation law; an estimate.
    pub estimated_capacity_per_core: Option<f64>,
    /// What tester and reflectors reached without the DUT, per second.
    pub ceiling: Option<f64>,
    /// The spread of what several searches found, in the unit of the load; the figure is that of the
    /// lowest.
    #[serde(default)]
    pub repeats: Option<Repeats>,
    /// What a search for several goals found for each, in the unit of the load.
    #[serde(default)]
    pub goals: Vec<GoalFigure>,
}

/// What was found for one goal (RFC 9971).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct GoalFigure {
    /// Loss ratio up to which a trial is low-loss.
    pub loss: f64,
    /// Share of the time that may lose more.
    pub exceed: f64,
    /// Relevant lower bound.
    pub lower: Option<f64>,
    /// Relevant upper bound.
    pub upper: Option<f64>,
    /// Whether both bounds exist and are as near as asked; otherwise the result is irregular.
    pub regular: bool,
    /// What is carried at the lower bound in all but the share of the time that may lose more.
    pub conditional_throughput: Option<f64>,
}

impl From<&GoalFound> for GoalFigure {
    fn from(found: &GoalFound) -> Self {
        let goal = found.goal.goal;
        Self {
            loss: goal.loss,
            exceed: goal.exceed,
            lower: found.bounds.lower,
            upper: found.bounds.upper,
            regular: found.regular,
            conditional_throughput: found.conditional_throughput,
        }
    }
}

/// A disagreement between the books of client and reflectors, or within one of them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Mismatch {
    /// Number of the trial.
    pub trial: u32,
    /// What should agree, both numbers and what that can mean.
    pub text: String,
    /// Whether it makes the trial's figure doubtful; otherwise it is information.
    pub serious: bool,
}

/// The answer of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Answer {
    /// The figures; empty if nothing could be measured.
    pub figures: Vec<Figure>,
    /// Who set the limit; `None` for a fixed load.
    pub limited_by: Option<LimitedBy>,
    /// Everything that was looked at for `limited_by`.
    pub evidence: Vec<Evidence>,
    /// Whether the figure's trial is valid by RFC 9411, and what it did otherwise.
    pub validation: Validation,
    /// What became of the expectations.
    pub judged: Vec<Judged>,
    /// Disagreements of the books.
    pub books: Vec<Mismatch>,
    /// What the user should know, each with the next step.
    pub warnings: Vec<String>,
    /// `unconditional`, `conditional` or `derived` (RFC 2544, 5), from the plan.
    pub label: String,
    /// What the plan does otherwise than the RFCs.
    pub deviations: Vec<String>,
    /// What a suite of frame tests found for each size; `None` for any other question.
    #[serde(default)]
    pub frames: Option<FramesAnswer>,
    /// How the program ends.
    pub exit: Exit,
    /// Why it ends so, one sentence.
    pub reason: String,
}
