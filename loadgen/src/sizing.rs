//! How many of which device a site has to buy (pure).
//!
//! - [`demand`]: the site's requirement sheet, `demand.toml`.
//! - [`runs`]: what is needed of finished runs, and which may be put together; [`read`] takes it from a
//!   run folder.
//! - [`capacity`]: the highest load at which a device still serves users in time.
//! - [`model`]: demand and capacities to a number of devices; [`sensitivity`]: what would change it.
//! - [`scaling`]: how throughput grows with a device's workers ([`usl`]); [`queueing`]: how long
//!   operations wait for one.
//! - [`answer`]: all of it for every device.
//!
//! Invariants: a lower bound of a capacity gives an upper bound of devices, and is called so; nothing
//! that was not measured is filled in silently; the same runs and demand give the same answer.

use serde::Serialize;

pub mod answer;
pub mod capacity;
pub mod demand;
pub mod model;
pub mod queueing;
pub mod read;
pub mod runs;
pub mod scaling;
pub mod sensitivity;
#[cfg(test)]
pub(crate) mod tests;
pub mod usl;

pub use answer::{DeviceAnswer, Sizing, size};
pub use demand::Demand;
pub use runs::{Run, UnlikeRuns};

/// Smallest mean response body in bytes with which transactions show bandwidth: RFC 9411, 7.3 measures
/// throughput with 1, 16, 64 and 256 KB, and with the smallest of them a device works on headers.
pub const LARGE_OBJECT_BYTES: f64 = 16_384.0;

/// What a site demands and a device carries.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// New connections per second.
    Cps,
    /// Transactions per second.
    Tps,
    /// Application bits per second.
    Bandwidth,
    /// Connections open at once.
    Cc,
}

impl Resource {
    /// All, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Cps, Self::Tps, Self::Bandwidth, Self::Cc];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Cps => "connections per second",
            Self::Tps => "transactions per second",
            Self::Bandwidth => "bandwidth",
            Self::Cc => "connections at once",
        }
    }

    /// Behind a number.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Cps => "connections/s",
            Self::Tps => "transactions/s",
            Self::Bandwidth => "bit/s",
            Self::Cc => "connections",
        }
    }

    /// The scenario that measures it.
    pub fn scenario(self) -> &'static str {
        match self {
            Self::Cps => "scenarios/cps.toml",
            Self::Tps => "scenarios/tps.toml",
            Self::Bandwidth => "scenarios/tps.toml with large objects (--path \"/?s=256k\")",
            Self::Cc => "scenarios/cc.toml",
        }
    }
}
