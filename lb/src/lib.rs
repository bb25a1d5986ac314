//! The reference load balancer: small, complete in what it does, and one to compare others with.
//!
//! - [`config`]: text to [`config::Config`]; pure.
//! - `worker`: one pinned thread with its own runtime, listeners and connections; nothing is shared per request.
//! - `service`: the data paths of a virtual service, TCP, HTTP and UDP, and what they need (context, connecting, buffers).
//! - `group`: groups and real servers at run time; `balance` holds one pure file per algorithm.
//! - `health`: probes and a pure state machine.
//! - `listen`: one socket for each service and worker.
//! - `control`: the thread beside the workers; reloads.
//! - `operate`: admin HTTP server, metrics, access log, the command line.
//!
//! The crate knows nothing of the generator or the reflector. [`start`] runs it inside a process,
//! [`main`] is the program.

pub mod config;
mod control;
mod counters;
mod group;
mod health;
mod listen;
mod operate;
mod run;
mod service;
mod worker;

pub use control::ReloadError;
pub use operate::command_line::main;
pub use run::{Lb, StartError, start};
