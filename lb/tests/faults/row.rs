//! A fault as data: who does what in which phase, and what must come of it.
//!
//! Everything that the table of the documentation says is judged by [`super::judge`], but for `how`,
//! which puts the steps into words.

use std::time::Duration;

/// The configured timeout of the wait that a row is about; all others are [`LONG`].
pub(crate) const SHORT: Duration = Duration::from_millis(600);
/// Longer than any row may take.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// Between two bytes of a trickle.
pub(crate) const GAP: Duration = Duration::from_millis(40);
/// More than all socket buffers between two sides hold.
pub(crate) const MUCH: usize = 32 << 20;

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) mode: Mode,
    pub(crate) phase: Phase,
    pub(crate) side: Side,
    pub(crate) fault: Fault,
    /// In what the fault consists.
    pub(crate) how: &'static str,
    /// Lines added to the virtual service.
    pub(crate) service: &'static str,
    /// Whether there is a second, good server.
    pub(crate) second_server: bool,
    pub(crate) client: &'static [Step],
    pub(crate) server: Server,
    pub(crate) client_sees: Sees,
    /// How the connections that reached the server end for it, in the order they were made.
    pub(crate) server_sees: &'static [End],
    pub(crate) bound: Bound,
    /// Counters of the service that go up, once for each time they are named; all others stay.
    pub(crate) counted: &'static [&'static str],
}

/// What most rows of an HTTP service share.
pub(crate) const HTTP: Row = Row {
    mode: Mode::Http,
    phase: Phase::Accept,
    side: Side::Client,
    fault: Fault::Kill,
    how: "",
    service: "",
    second_server: false,
    client: &[],
    server: Server::Plays(&[]),
    client_sees: Sees(Content::Nothing, End::Gone),
    server_sees: &[],
    bound: Bound::AtOnce,
    counted: &[],
};

/// What most rows of a TCP service share.
pub(crate) const TCP: Row = Row { mode: Mode::Tcp, ..HTTP };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Http,
    Tcp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Accept,
    Head,
    Body,
    Connect,
    Waiting,
    Response,
    Idle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is gone: its socket is closed, whatever has not been read.
    Kill,
    /// Says and reads nothing more.
    Stall,
    /// Sends a FIN and reads on.
    HalfClose,
    /// Sends a RST.
    Reset,
    /// A byte now and then, or reads slowly.
    Trickle,
    /// Says what nobody has asked for.
    Unasked,
    /// Comes when the service has as many clients as it may have: another one, which is silent.
    Full,
}

/// What one side does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Sends these bytes.
    Say(&'static str),
    /// Sends [`MUCH`] bytes, as far as they are taken, while the next steps go on.
    SayMuch,
    /// Sends these bytes one by one, a [`GAP`] apart, while the next steps go on.
    Trickle(&'static str),
    /// Reads until these bytes have come, and forgets what has come so far.
    Hear(&'static str),
    /// Reads [`MUCH`] bytes, a piece per [`GAP`].
    HearSlowly,
    /// Reads to the end.
    HearEnd,
    /// Waits until there is something to read, and leaves it.
    Peek,
    /// Lets the other side go on behind its next `Await`.
    Tell,
    /// Waits for one `Tell` of the other side.
    Await,
    /// Waits, without reading, until the server's first connection has ended.
    AwaitEnd,
    HalfClose,
    Close,
    Reset,
}

/// What the real server does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    /// The steps of its first connections; it is a good server on those that follow.
    Plays(&'static [&'static [Step]]),
    /// Its port is closed.
    Refuses,
    /// It does not answer a connect.
    Ignores,
}

/// What the client gets, and how it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sees(pub(crate) Content, pub(crate) End);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Nothing,
    /// A whole response with this status.
    Status(u16),
    /// The beginning of a response with this status.
    Part(u16),
    /// Exactly these bytes.
    Bytes(&'static str),
    /// Some of the server's many bytes.
    Some,
    /// All of the server's many bytes.
    All,
}

/// How a connection ends for one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// That side has ended it itself.
    Gone,
    Fin,
    Reset,
    /// FIN or RST, by what was unread at that moment.
    Closed,
    /// It carries the next good request.
    Kept,
}

/// When the last end is seen, counted from before the connection; when nobody is left to see one, when no connection is left.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// Within 2 s, while every timeout is longer.
    AtOnce,
    /// Not before this timeout.
    After(Timeout),
    /// This timeout is not for it: it goes on for longer, and ends well.
    Outlasts(Timeout),
    /// Not before and not after.
    Between(Duration, Duration, &'static str),
}

/// The timeouts of a virtual service, by the names of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    ClientHead,
    ClientIdle,
    ClientBody,
    Connect,
    ResponseHead,
    ResponseBody,
    Tunnel,
}

impl Timeout {
    pub(crate) const ALL: [Self; 7] = [
        Self::ClientHead,
        Self::ClientIdle,
        Self::ClientBody,
        Self::Connect,
        Self::ResponseHead,
        Self::ResponseBody,
        Self::Tunnel,
    ];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::ClientHead => "client_head",
            Self::ClientIdle => "client_idle",
            Self::ClientBody => "client_body",
            Self::Connect => "connect",
            Self::ResponseHead => "response_head",
            Self::ResponseBody => "response_body",
            Self::Tunnel => "tunnel",
        }
    }
}

impl Bound {
    /// The timeout that has to be [`SHORT`].
    pub(crate) fn timeout(self) -> Option<Timeout> {
        match self {
            Self::After(timeout) | Self::Outlasts(timeout) => Some(timeout),
            Self::AtOnce | Self::Between(..) => None,
        }
    }

    /// Shortest and longest time from the fault to the last end.
    pub(crate) fn range(self) -> (Duration, Duration) {
        match self {
            Self::AtOnce => (Duration::ZERO, Duration::from_secs(2)),
            Self::After(_) => (SHORT, SHORT + Duration::from_secs(4)),
            Self::Outlasts(_) => (SHORT, LONG / 2),
            Self::Between(shortest, longest, _) => (shortest, longest),
        }
    }
}

/// All rows, in the order of the phases.
pub(crate) fn all() -> Vec<&'static Row> {
    use super::{accept, body, connect, head, idle, response, waiting};
    [accept::ROWS, head::ROWS, body::ROWS, connect::ROWS, waiting::ROWS, response::ROWS, idle::ROWS]
        .into_iter()
        .flatten()
        .collect()
}
