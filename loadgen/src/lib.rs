//! Nadare's traffic generator and harness: what can this load balancer really carry?
//!
//! - [`cli`]: the command line; `command` does what it says.
//! - [`suite`]: a run, from the first process started to the last file written.
//! - [`scenario`]: files to a [`scenario::Plan`] (pure).
//! - [`schedule`]: when each operation is due (pure).
//! - [`gate`]: is a candidate worse than its baseline by more than is tolerated (pure).
//! - [`statistics`]: quantiles, intervals and exact tests (pure).
//! - [`search`]: which load to try next (pure).
//! - [`trial`]: one trial from ramp-up to collection.
//! - [`engine`]: owns sockets and time and drives workloads.
//! - [`workload`]: what one operation is, sans-I/O (pure).
//! - [`measure`]: what a trial measured (pure).
//! - [`verdict`]: what it means (pure).
//! - [`sizing`]: how many devices a site has to buy (pure).
//! - [`testbed`]: starts, pins, samples and stops DUT and reflectors.
//! - [`archive`]: a run folder, read back.
//! - [`compare`]: finished runs beside each other (pure).
//! - [`merge`]: several runs joined by absolute time (pure).
//! - [`report`]: what a person or a program reads of it; the only code that prints.

pub mod archive;
pub mod cli;
mod command;
pub mod compare;
pub mod engine;
pub mod gate;
pub mod interrupt;
pub mod measure;
pub mod merge;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod search;
pub mod sizing;
pub mod statistics;
pub mod suite;
pub mod testbed;
pub mod trial;
pub mod verdict;
pub mod workload;

pub use command::main;
