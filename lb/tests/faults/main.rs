//! Faults in each phase of a connection, from either side, through the real program `lb`.
//!
//! Each fault is a [`row::Row`]: what both sides do, what each of them must see, by when, and what is
//! counted. [`judge`] plays it, and afterwards nothing may be left: no open connection, no descriptor,
//! and the next good request is served. The table in `lb/README.md` is written from the same rows.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that goes wrong, and so does its testbed")]

mod accept;
mod admin;
mod body;
mod connect;
mod datagrams;
mod descriptors;
mod head;
mod idle;
mod judge;
mod leftovers;
mod play;
mod process;
mod response;
mod row;
mod servers;
mod table;
mod waiting;
