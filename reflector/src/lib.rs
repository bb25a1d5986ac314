//! The real server of a testbed: it answers as it is asked to and keeps books of what it saw.
//!
//! - [`config`]: what it runs on, read from TOML.
//! - `behaviour` (pure): size, delay, status, framing, stall and reset of one answer.
//! - `pace` (pure): rate caps and stall windows; `cap`: connections and requests that wait for one.
//! - `books`: counters of each thread and their merger into a [`wire::ledger::Ledger`].
//! - `server`: listeners, threads, start and stop; `accept`: from the accept queue to a connection.
//! - `http`: plain GETs answered in one write, everything else by hyper; `tcp`: echo.
//! - `udp`: datagrams, echoed or counted, on threads of their own.
//! - `cli`: the program `reflector`.
//!
//! It knows nothing of the load balancer or the generator in front of it.

mod accept;
mod behaviour;
mod books;
mod cap;
mod cli;
pub mod config;
mod http;
mod pace;
mod server;
mod socket;
mod tcp;
mod udp;

pub use cli::{config_of, main};
pub use server::{Reflector, StartError, start};
