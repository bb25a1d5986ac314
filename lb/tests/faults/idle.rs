//! An exchange is over and its connections have been kept.

use std::time::Duration;

use crate::row::{Bound, Content, End, Fault, HTTP, Mode, Phase, Row, Sees, Server, Side, Step::*, Timeout};

const BY_CLIENT: Row = Row {
    phase: Phase::Idle,
    side: Side::Client,
    server: Server::Plays(&[&[Hear(HEAD), Say(OK)]]),
    server_sees: &[End::Kept],
    counted: &["2xx"],
    ..HTTP
};
/// The next request goes over a fresh connection.
const BY_SERVER: Row = Row {
    side: Side::Server,
    client: &[Say(GET), Hear("ok"), AwaitEnd, Say(GET)],
    client_sees: Sees(Content::Status(200), End::Kept),
    counted: &["2xx", "2xx"],
    ..BY_CLIENT
};
const TCP_BY_CLIENT: Row = Row {
    mode: Mode::Tcp,
    server: Server::Plays(&[&[Hear("abc"), Say("def")]]),
    server_sees: &[],
    counted: &[],
    ..BY_CLIENT
};
const TCP_BY_SERVER: Row = Row { side: Side::Server, ..TCP_BY_CLIENT };

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const HEAD: &str = "\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(crate) const ROWS: &[Row] = &[
    Row { fault: Fault::Kill, how: "closes", client: &[Say(GET), Hear("ok"), Close], ..BY_CLIENT },
    Row {
        fault: Fault::Stall,
        how: "says no more",
        client: &[Say(GET), Hear("ok")],
        client_sees: Sees(Content::Nothing, End::Fin),
        bound: Bound::After(Timeout::ClientIdle),
        counted: &["2xx", "timeouts"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN",
        client: &[Say(GET), Hear("ok"), HalfClose],
        client_sees: Sees(Content::Nothing, End::Fin),
        ..BY_CLIENT
    },
    Row { fault: Fault::Reset, how: "sends a RST", client: &[Say(GET), Hear("ok"), Reset], ..BY_CLIENT },
    Row {
        fault: Fault::Trickle,
        how: "sends its next request byte by byte",
        client: &[Say(GET), Hear("ok"), Trickle("GET / HTTP/1.1\r\nHost: h\r\nA: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")],
        client_sees: Sees(Content::Status(408), End::Fin),
        bound: Bound::After(Timeout::ClientHead),
        counted: &["2xx", "timeouts", "request_errors", "4xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Kill,
        how: "closes; the next request takes a fresh connection",
        server: Server::Plays(&[&[Hear(HEAD), Say(OK), Close], &[Hear(HEAD), Say(OK)]]),
        server_sees: &[End::Gone, End::Kept],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Stall,
        how: "is not asked again",
        client: &[Say(GET), Hear("ok"), AwaitEnd, Close],
        client_sees: Sees(Content::Nothing, End::Gone),
        server_sees: &[End::Fin],
        bound: Bound::Between(Duration::from_millis(4500), Duration::from_secs(8), "4.5 s, looked at every second"),
        counted: &["2xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN; seen every second and at the next use",
        server: Server::Plays(&[&[Hear(HEAD), Say(OK), HalfClose], &[Hear(HEAD), Say(OK)]]),
        server_sees: &[End::Fin, End::Kept],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST; the next request takes a fresh connection",
        client: &[Say(GET), Hear("ok"), Tell, AwaitEnd, Say(GET)],
        server: Server::Plays(&[&[Hear(HEAD), Say(OK), Await, Reset], &[Hear(HEAD), Say(OK)]]),
        server_sees: &[End::Gone, End::Kept],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Unasked,
        how: "sends a second answer long before the next request; nobody gets it",
        client: &[Say(GET), Hear("ok"), Tell, AwaitEnd, Say(GET)],
        server: Server::Plays(&[&[Hear(HEAD), Say(OK), Await, Say(OK)], &[Hear(HEAD), Say(OK)]]),
        server_sees: &[End::Closed, End::Kept],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Kill,
        how: "closes after an answer",
        client: &[Say("abc"), Hear("def"), Close],
        server_sees: &[End::Fin],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Stall,
        how: "says no more after an answer, as does the server",
        client: &[Say("abc"), Hear("def")],
        client_sees: Sees(Content::Nothing, End::Fin),
        server_sees: &[End::Fin],
        bound: Bound::After(Timeout::Tunnel),
        counted: &["timeouts"],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST after an answer",
        client: &[Say("abc"), Hear("def"), Reset],
        server_sees: &[End::Reset],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Kill,
        how: "closes after an answer, then the client",
        client: &[Say("abc"), Hear("def"), HearEnd, Close],
        server: Server::Plays(&[&[Hear("abc"), Say("def"), Close]]),
        client_sees: Sees(Content::Nothing, End::Fin),
        server_sees: &[End::Gone],
        ..TCP_BY_SERVER
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST after an answer",
        client: &[Say("abc"), Hear("def"), Tell],
        server: Server::Plays(&[&[Hear("abc"), Say("def"), Await, Reset]]),
        client_sees: Sees(Content::Nothing, End::Reset),
        server_sees: &[End::Gone],
        counted: &["response_errors", "response_errors of servers"],
        ..TCP_BY_SERVER
    },
];

#[test]
fn faults_between_two_requests() {
    crate::judge::judge(ROWS);
}
