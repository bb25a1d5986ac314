//! A server has been chosen and is being connected to.

use crate::row::{Bound, Content, End, Fault, HTTP, Phase, Row, Sees, Server, Side, Step::*, TCP, Timeout};

const BY_CLIENT: Row = Row { phase: Phase::Connect, side: Side::Client, server: Server::Ignores, ..HTTP };
const BY_SERVER: Row = Row { side: Side::Server, ..BY_CLIENT };
const TCP_BY_CLIENT: Row = Row { phase: Phase::Connect, side: Side::Client, server: Server::Ignores, ..TCP };
const TCP_BY_SERVER: Row = Row { side: Side::Server, ..TCP_BY_CLIENT };

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const GOOD: &str = "GET /good HTTP/1.1\r\nHost: h\r\n\r\n";

pub(crate) const ROWS: &[Row] = &[
    Row {
        fault: Fault::Kill,
        how: "closes while the connect is not answered; seen after it",
        client: &[Say(GET), Close],
        bound: Bound::After(Timeout::Connect),
        counted: &["timeouts", "connection_errors", "5xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN while the connect is not answered",
        client: &[Say(GET), HalfClose],
        client_sees: Sees(Content::Status(504), End::Fin),
        bound: Bound::After(Timeout::Connect),
        counted: &["timeouts", "connection_errors", "5xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST while the connect is not answered; seen after it",
        client: &[Say(GET), Reset],
        bound: Bound::After(Timeout::Connect),
        counted: &["timeouts", "connection_errors", "5xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Kill,
        how: "refuses the connect",
        client: &[Say(GET)],
        server: Server::Refuses,
        client_sees: Sees(Content::Status(503), End::Kept),
        counted: &["connection_errors", "5xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Kill,
        how: "refuses the connect, and there is another server",
        second_server: true,
        client: &[Say(GOOD)],
        server: Server::Refuses,
        client_sees: Sees(Content::Status(200), End::Kept),
        server_sees: &[End::Gone],
        counted: &["retry_warnings", "2xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Stall,
        how: "does not answer the connect",
        client: &[Say(GET)],
        client_sees: Sees(Content::Status(504), End::Kept),
        bound: Bound::After(Timeout::Connect),
        counted: &["timeouts", "connection_errors", "5xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Stall,
        how: "does not answer the connect, and there is another server",
        second_server: true,
        client: &[Say(GOOD)],
        client_sees: Sees(Content::Status(200), End::Kept),
        server_sees: &[End::Gone],
        bound: Bound::After(Timeout::Connect),
        counted: &["timeouts", "retry_warnings", "2xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Kill,
        how: "closes while the connect is not answered; seen after it",
        client: &[Say("abc"), Close],
        bound: Bound::After(Timeout::Connect),
        counted: &["timeouts", "connection_errors"],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN while the connect is not answered",
        client: &[HalfClose],
        client_sees: Sees(Content::Nothing, End::Fin),
        bound: Bound::After(Timeout::Connect),
        counted: &["timeouts", "connection_errors"],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST while the connect is not answered; seen after it",
        client: &[Say("abc"), Reset],
        bound: Bound::After(Timeout::Connect),
        counted: &["timeouts", "connection_errors"],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Kill,
        how: "refuses the connect of a client that has said nothing",
        server: Server::Refuses,
        client_sees: Sees(Content::Nothing, End::Fin),
        counted: &["connection_errors"],
        ..TCP_BY_SERVER
    },
    Row {
        fault: Fault::Kill,
        how: "refuses the connect, and there is another server",
        second_server: true,
        client: &[Say("good?")],
        server: Server::Refuses,
        client_sees: Sees(Content::Bytes("good!"), End::Fin),
        server_sees: &[End::Gone],
        counted: &["retry_warnings"],
        ..TCP_BY_SERVER
    },
    Row {
        fault: Fault::Stall,
        how: "does not answer the connect; the client has bytes unread",
        client: &[Say("abc")],
        client_sees: Sees(Content::Nothing, End::Reset),
        bound: Bound::After(Timeout::Connect),
        counted: &["timeouts", "connection_errors"],
        ..TCP_BY_SERVER
    },
];

#[test]
fn faults_while_a_server_is_connected_to() {
    crate::judge::judge(ROWS);
}
