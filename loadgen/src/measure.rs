//! What a trial measured: outcomes, latencies, timelines and evidence. Pure data and arithmetic.

pub mod books;
pub mod latency;
pub mod outcome;
pub mod record;
pub mod sample;

pub use latency::{Latencies, Latency};
pub use outcome::{Outcome, Outcomes};
pub use record::{Phase, Second, TrialRecord};
pub use sample::{Role, RoleSample, Sample};
