//! The load balancer on real sockets: in-process where the library suffices, the real binary for the
//! command line. Real servers are plain sockets of the test. Every wait has a bound.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that goes wrong, and so does its testbed")]

mod admin;
mod command_line;
mod drain;
mod health;
mod reload;
mod tcp;
mod testbed;
mod udp;
