//! What one operation is, sans-I/O: it says what to send and judges what came back.
//!
//! A [`Workload`] belongs to one worker and serves all its connections; what it knows of one
//! connection is its [`Workload::User`]. The engine owns sockets and time, hands in events and does
//! what the returned [`Step`] says. A new workload is one file here and one line in `engine`.

pub mod http;
pub mod tcp;
pub mod udp;

use crate::measure::Outcome;
use crate::scenario::plan::CloseMode;

/// What one operation spans.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// A whole connection: set up, used, closed. Units `connections/s`.
    Connection,
    /// One transaction; the connection is kept for the next one. Units `transactions…`.
    Transaction,
    /// A connection that is held and used every so often until the load ends. Unit `connections`.
    Held,
}

/// What the engine does next with a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Wait for bytes from the peer, within the response timeout.
    Need,
    /// Send what [`Workload::request`] gives, then wait for bytes.
    Send,
    /// The operation succeeded and the connection is free for another one.
    Keep,
    /// The operation succeeded if the connection now closes cleanly in this way.
    Close(CloseMode),
    /// Nothing to do until the engine wakes the user: the connection is held.
    Hold,
    /// The operation failed; the connection is given up.
    Fail(Outcome),
}

/// What a workload noticed while it looked at bytes; the engine books it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Noticed {
    /// The first byte of a response body (or the end of the head of an empty one) was there.
    pub first_byte: bool,
    /// A transaction was completed correctly.
    pub transaction: bool,
    /// Bytes of response bodies.
    pub body_bytes: u64,
}

/// One kind of operation.
pub trait Workload {
    /// What is known of one connection.
    type User: Default;

    /// The connection is established, or free again: a new operation begins on it.
    fn start(&mut self, user: &mut Self::User) -> Step;

    /// The bytes to send after [`Step::Send`]; the same ones again until the next step.
    fn request(&mut self, user: &Self::User) -> &[u8];

    /// Bytes arrived.
    fn received(&mut self, user: &mut Self::User, bytes: &[u8], noticed: &mut Noticed) -> Step;

    /// The peer sent its FIN while something was expected.
    fn ended(&mut self, user: &mut Self::User, noticed: &mut Noticed) -> Step;

    /// A held connection is to be used.
    fn woken(&mut self, user: &mut Self::User) -> Step;

    /// How a held connection is closed when the load ends.
    fn close(&self) -> CloseMode;

    /// What exactly went wrong last, for a person; asked only for the first failure of a kind.
    fn detail(&self, user: &Self::User) -> String;

    /// Responses by the instance that sent them.
    fn instances(&self) -> Vec<(String, u64)>;
}
