//! The server has the whole request and has not answered a byte.

use crate::row::{Bound, Content, End, Fault, HTTP, Phase, Row, Sees, Server, Side, Step::*, TCP, Timeout};

const BY_CLIENT: Row = Row { phase: Phase::Waiting, side: Side::Client, ..HTTP };
const BY_SERVER: Row = Row { side: Side::Server, client: &[Say(GET)], ..BY_CLIENT };
const TCP_BY_CLIENT: Row = Row { phase: Phase::Waiting, side: Side::Client, ..TCP };
const TCP_BY_SERVER: Row = Row { side: Side::Server, client: &[Say("abc")], ..TCP_BY_CLIENT };

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
const HEAD: &str = "\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const NO_ANSWER: &[&str] = &["response_errors", "response_errors of servers", "5xx"];

pub(crate) const ROWS: &[Row] = &[
    Row {
        fault: Fault::Kill,
        how: "closes; cannot be told from a half-close, so the answer is awaited",
        client: &[Say(GET), Await, Close, Tell],
        server: Server::Plays(&[&[Hear(HEAD), Tell, Await, Say(OK)]]),
        server_sees: &[End::Kept],
        counted: &["2xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Kill,
        how: "closes, and the server does not answer",
        client: &[Say(GET), Await, Close],
        server: Server::Plays(&[&[Hear(HEAD), Tell]]),
        server_sees: &[End::Fin],
        bound: Bound::After(Timeout::ResponseHead),
        counted: &["timeouts", "response_errors", "response_errors of servers", "5xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN after the request",
        client: &[Say(GET), HalfClose, Tell],
        server: Server::Plays(&[&[Hear(HEAD), Await, Say(OK)]]),
        client_sees: Sees(Content::Status(200), End::Fin),
        server_sees: &[End::Kept],
        counted: &["2xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST",
        client: &[Say(GET), Await, Reset],
        server: Server::Plays(&[&[Hear(HEAD), Tell]]),
        server_sees: &[End::Fin],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Trickle,
        how: "sends its next request byte by byte while the answer trickles in: both are served",
        client: &[Say(GET), Trickle(GET), Hear("ok")],
        server: Server::Plays(&[&[Hear(HEAD), Trickle(OK), Hear(HEAD), Say(OK)]]),
        client_sees: Sees(Content::Status(200), End::Kept),
        server_sees: &[End::Kept],
        bound: Bound::Outlasts(Timeout::ClientHead),
        counted: &["2xx", "2xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Kill,
        how: "closes without an answer",
        server: Server::Plays(&[&[Hear(HEAD), Close]]),
        client_sees: Sees(Content::Status(502), End::Kept),
        server_sees: &[End::Gone],
        counted: NO_ANSWER,
        ..BY_SERVER
    },
    Row {
        fault: Fault::Kill,
        how: "closes a kept connection when a GET comes: repeated once",
        client: &[Say(GET), Hear("ok"), Say(GET)],
        server: Server::Plays(&[&[Hear(HEAD), Say(OK), Hear(HEAD), Close], &[Hear(HEAD), Say(OK)]]),
        client_sees: Sees(Content::Status(200), End::Kept),
        server_sees: &[End::Gone, End::Kept],
        counted: &["2xx", "2xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Kill,
        how: "closes a kept connection when a POST comes: not repeated (RFC 9110, 9.2.2)",
        client: &[Say(GET), Hear("ok"), Say(POST)],
        server: Server::Plays(&[&[Hear(HEAD), Say(OK), Hear("abc"), Close]]),
        client_sees: Sees(Content::Status(502), End::Kept),
        server_sees: &[End::Gone],
        counted: &["2xx", "response_errors", "response_errors of servers", "5xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Stall,
        how: "does not answer",
        server: Server::Plays(&[&[]]),
        client_sees: Sees(Content::Status(504), End::Kept),
        server_sees: &[End::Fin],
        bound: Bound::After(Timeout::ResponseHead),
        counted: &["timeouts", "response_errors", "response_errors of servers", "5xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN instead of an answer",
        server: Server::Plays(&[&[Hear(HEAD), HalfClose]]),
        client_sees: Sees(Content::Status(502), End::Kept),
        server_sees: &[End::Fin],
        counted: NO_ANSWER,
        ..BY_SERVER
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST instead of an answer",
        server: Server::Plays(&[&[Hear(HEAD), Reset]]),
        client_sees: Sees(Content::Status(502), End::Kept),
        server_sees: &[End::Gone],
        counted: NO_ANSWER,
        ..BY_SERVER
    },
    Row {
        fault: Fault::Trickle,
        how: "sends the head byte by byte: the bound is for the whole head",
        server: Server::Plays(&[&[
            Hear(HEAD),
            Trickle("HTTP/1.1 200 OK\r\nA: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ]]),
        client_sees: Sees(Content::Status(504), End::Kept),
        server_sees: &[End::Closed],
        bound: Bound::After(Timeout::ResponseHead),
        counted: &["timeouts", "response_errors", "response_errors of servers", "5xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Kill,
        how: "closes; what the server says then makes it a reset",
        client: &[Say("abc"), Await, Close, Tell],
        server: Server::Plays(&[&[Hear("abc"), Tell, Await, SayMuch, AwaitEnd]]),
        server_sees: &[End::Reset],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN after the request",
        client: &[Say("abc"), HalfClose],
        server: Server::Plays(&[&[Hear("abc"), HearEnd, Say("answer"), Close]]),
        client_sees: Sees(Content::Bytes("answer"), End::Fin),
        server_sees: &[End::Fin],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN, and the server does not answer",
        client: &[Say("abc"), HalfClose],
        server: Server::Plays(&[&[HearEnd, AwaitEnd]]),
        client_sees: Sees(Content::Nothing, End::Fin),
        server_sees: &[End::Fin],
        bound: Bound::After(Timeout::Tunnel),
        counted: &["timeouts"],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Stall,
        how: "does not answer",
        server: Server::Plays(&[&[]]),
        client_sees: Sees(Content::Nothing, End::Fin),
        server_sees: &[End::Fin],
        bound: Bound::After(Timeout::Tunnel),
        counted: &["timeouts"],
        ..TCP_BY_SERVER
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN instead of an answer; the client then closes",
        client: &[Say("abc"), HearEnd, Close],
        server: Server::Plays(&[&[Hear("abc"), HalfClose]]),
        client_sees: Sees(Content::Nothing, End::Fin),
        server_sees: &[End::Fin],
        ..TCP_BY_SERVER
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST instead of an answer",
        server: Server::Plays(&[&[Hear("abc"), Reset]]),
        client_sees: Sees(Content::Nothing, End::Reset),
        server_sees: &[End::Gone],
        counted: &["response_errors", "response_errors of servers"],
        ..TCP_BY_SERVER
    },
];

#[test]
fn faults_while_the_answer_is_awaited() {
    crate::judge::judge(ROWS);
}
