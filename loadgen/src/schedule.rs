//! When each operation is due.
//!
//! A schedule answers one question: how long after the start of the trial is the next operation due?
//! The answer never depends on the DUT. That makes the load *open-loop*: a slow DUT meets the same
//! arrivals as a fast one, and its slowness shows up as response time instead of vanishing.
//!
//! - [`shape`]: the intended rate over time (ramp-up, flat | ramp | stair, ramp-down).
//! - [`arrivals`]: single due times, even or Poisson, from the seed.
//!
//! It does not wait, send or read a clock. Invariants: due times never decrease; the same seed gives
//! the same arrivals on every machine; N workers together see the arrivals of one.

pub mod arrivals;
pub mod shape;

pub use arrivals::Schedule;
pub use shape::Shape;
