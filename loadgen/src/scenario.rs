//! Scenario and DUT files to a validated [`Plan`].

pub mod plan;

pub use plan::Plan;
