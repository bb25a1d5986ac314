//! The connection has been accepted and has not said a byte.
//!
//! In HTTP no server has been chosen yet; in TCP one has been connected to.

use crate::row::{Bound, Content, End, Fault, HTTP, Phase, Row, Sees, Server, Side, Step::*, TCP, Timeout};

const BY_CLIENT: Row = Row { phase: Phase::Accept, side: Side::Client, ..HTTP };
const FULL: Row = Row { service: "max_connections = 1", counted: &["connections_denied", "5xx"], ..BY_CLIENT };
const TCP_BY_CLIENT: Row = Row { phase: Phase::Accept, side: Side::Client, server: Server::Plays(&[&[]]), ..TCP };

pub(crate) const ROWS: &[Row] = &[
    Row { fault: Fault::Kill, how: "closes", client: &[Close], ..BY_CLIENT },
    Row {
        fault: Fault::Stall,
        how: "says nothing",
        client_sees: Sees(Content::Nothing, End::Fin),
        bound: Bound::After(Timeout::ClientIdle),
        counted: &["timeouts"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN",
        client: &[HalfClose],
        client_sees: Sees(Content::Nothing, End::Fin),
        ..BY_CLIENT
    },
    Row { fault: Fault::Reset, how: "sends a RST", client: &[Reset], ..BY_CLIENT },
    Row {
        fault: Fault::Full,
        how: "is one too many and silent",
        client_sees: Sees(Content::Status(503), End::Fin),
        ..FULL
    },
    Row {
        fault: Fault::Full,
        how: "is one too many and asks only after the answer has been sent",
        client: &[Peek, Say("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), HearEnd, Say("GET / HTTP/1.1\r\nHost: h\r\n\r\n")],
        client_sees: Sees(Content::Status(503), End::Fin),
        ..FULL
    },
    Row { fault: Fault::Kill, how: "closes", client: &[Close], server_sees: &[End::Fin], ..TCP_BY_CLIENT },
    Row {
        fault: Fault::Stall,
        how: "says nothing, as does the server",
        client_sees: Sees(Content::Nothing, End::Fin),
        server_sees: &[End::Fin],
        bound: Bound::After(Timeout::Tunnel),
        counted: &["timeouts"],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN; the server hears it and answers",
        client: &[HalfClose],
        server: Server::Plays(&[&[HearEnd, Say("answer"), Close]]),
        client_sees: Sees(Content::Bytes("answer"), End::Fin),
        server_sees: &[End::Fin],
        ..TCP_BY_CLIENT
    },
    Row { fault: Fault::Reset, how: "sends a RST", client: &[Reset], server_sees: &[End::Reset], ..TCP_BY_CLIENT },
    Row {
        fault: Fault::Full,
        how: "is one too many",
        service: "max_connections = 1",
        client_sees: Sees(Content::Nothing, End::Fin),
        counted: &["connections_denied"],
        ..TCP_BY_CLIENT
    },
];

#[test]
fn faults_before_the_first_byte() {
    crate::judge::judge(ROWS);
}
