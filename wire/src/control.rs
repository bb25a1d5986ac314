//! The lines a parent and a role exchange over the control channel.
//!
//! The channel is the role's file descriptor 0, a socket pair, or for a remote reflector a TCP
//! connection. One JSON object per line, at most [`LINE_MAX`] bytes. End of file means stop: it is
//! the lifeline by which a role never outlives its parent.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

use crate::ledger::Ledger;

/// Longest control line in bytes; a peer that sends a longer one is cut off.
pub const LINE_MAX: usize = 1 << 20;

/// What a parent asks of a role.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Answer with [`Event::Ledger`]; set `open_peak` back to `open_now` when `reset_peak` is true.
    Ledger {
        /// Whether the peak starts again from the connections open now.
        reset_peak: bool,
    },
    /// Finish what is under way, within the role's own bound, and exit.
    Stop,
}

/// What a role tells its parent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The role serves; sent once, before anything else.
    Ready {
        /// Addresses on which it accepts connections, in the order of its configuration.
        addresses: Vec<SocketAddr>,
        /// The admin address, if it has one.
        admin: Option<SocketAddr>,
        /// What the parent should know: for example that a thread could not be pinned.
        warnings: Vec<String>,
    },
    /// The role cannot serve and exits.
    Failed {
        /// What went wrong, for a person.
        message: String,
    },
    /// The answer to [`Command::Ledger`].
    Ledger {
        /// The books at the time of the answer.
        ledger: Box<Ledger>,
    },
}
