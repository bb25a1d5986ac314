//! How bytes and processes touch the machine. The only crate with unsafe code, each block of which
//! says why it is sound; it imports none of the programs.
//!
//! - [`clock`]: the one monotonic clock everything is measured with, and wall-clock text.
//! - [`cpu`]: cores and pinning.
//! - [`socket`]: listeners, and the socket options that std does not have.
//! - [`datagram`]: UDP in batches.
//! - [`namespace`]: network namespaces.
//! - [`privilege`]: a user namespace for who may not make network namespaces.
//! - [`process`]: what a child does so that it never outlives its parent.
//! - [`interfaces`]: those of one network namespace, their state, counters and offloads.
//! - [`link`]: network interfaces, their speed and what passed them.
//! - [`kernel`]: counters and limits as the kernel reports them.
//! - [`uring`]: connections over io_uring.

pub mod clock;
pub mod cpu;
pub mod datagram;
pub mod interfaces;
pub mod kernel;
pub mod link;
pub mod namespace;
pub mod privilege;
pub mod process;
pub mod socket;
pub mod uring;
