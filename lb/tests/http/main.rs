//! The HTTP data path on real sockets: a load balancer in this process, real servers that follow a
//! script and remember every byte they got, clients that write exactly what a test says.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that goes wrong, and so does its testbed")]

mod conformance;
mod failures;
mod forwarding;
mod framing;
mod malformed;
mod pieces;
mod reuse;
mod testbed;
mod timeouts;
mod upgrade;
mod websocket;
