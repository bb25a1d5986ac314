//! What the programs of Nadare must agree on.
//!
//! - [`units`]: rates, sizes, shares and durations, as text and as types.
//! - [`document`]: TOML files to types, with errors that point at file, line and key.
//! - [`identity`]: how a reflector names itself and what it says it saw.
//! - [`frame`], [`signature`]: sizes of frames, and what a test datagram says about itself.
//! - [`hash`]: numbers from seeds and texts, the same on every machine.
//! - [`body`]: the bytes of a response body, so that the receiver can verify them.
//! - [`ledger`]: the reflector's books.
//! - [`control`]: the lines a parent and a role exchange over the control channel.
//!
//! The crate is pure: no clock, no I/O, no randomness. It imports none of the programs.

pub mod body;
pub mod control;
pub mod document;
pub mod frame;
pub mod hash;
pub mod identity;
pub mod ledger;
pub mod signature;
pub mod units;
