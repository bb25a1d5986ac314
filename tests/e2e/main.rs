//! End-to-end tests over real processes and sockets, in one binary.
//!
//! - [`bad_dut`]: DUTs that do not start, do not serve, or answer nonsense.
//! - [`bad_host`]: descriptors, cores, ports, permissions and space that a host does not have.
//! - [`bad_input`]: what users get wrong in files and on the command line.
//! - [`differential`]: the same bytes to the reference LB, haproxy and nginx.
//! - [`duts`]: every shipped DUT file carries the smoke scenario.
//! - [`engines`]: the same truth from each engine, and a loud replacement for one that is blocked.
//! - [`frames_truth`]: faults, caps and captures of datagrams, and what must be refused.
//! - [`gate`]: a known regression fails the gate, the same build does not.
//! - [`harness`]: scenarios as text, runs of the real program, what they wrote.
//! - [`kill`]: a role is killed in the middle of a run.
//! - [`layout`]: the invariants of the code base.
//! - [`proxies`], [`recorder`]: load balancers as processes, a server that keeps what it was sent.
//! - [`sizing`]: `loadgen size` as a user meets it.
//! - [`streams`]: seeded streams, good and evil, through a real `lb`.
//! - [`limits`]: the DUT or the reflectors behind it: the answer names the right one.
//! - [`netns`]: the same over network namespaces.
//! - [`peers`]: the comparison with other programs runs.
//! - [`suites`]: several searches and sweeps of frames in one run.
//! - [`survive`]: nothing outlives a run, however it ends.
//! - [`truth`]: what is done on purpose has to be reported exactly.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may fail by panicking and say why it was skipped, and what tests call does so too"
)]

mod bad_dut;
mod bad_host;
mod bad_input;
mod compare;
mod differential;
mod duts;
mod engines;
mod frames_truth;
mod gate;
mod harness;
mod kill;
mod layout;
mod limits;
mod netns;
mod peers;
mod proxies;
mod recorder;
mod resume;
mod rework;
mod sizing;
mod streams;
mod suites;
mod survive;
mod truth;

// The fuzzer of the core and its second opinion, for streams over sockets.
#[path = "../../lb/src/service/http/fuzz/corpus.rs"]
mod corpus;
#[path = "../../lb/src/service/http/fuzz/forwarded.rs"]
mod forwarded;
#[path = "../../lb/src/service/http/fuzz/random.rs"]
mod random;
#[path = "../../lb/src/service/http/fuzz/strict.rs"]
mod strict;
