//! The server has the request head, or in TCP the connection, and the client is sending.

use crate::row::{Bound, Content, End, Fault, HTTP, Phase, Row, Sees, Server, Side, Step::*, TCP, Timeout};

const BY_CLIENT: Row = Row { phase: Phase::Body, side: Side::Client, ..HTTP };
const BY_SERVER: Row = Row { side: Side::Server, ..BY_CLIENT };
const TCP_BY_CLIENT: Row = Row { phase: Phase::Body, side: Side::Client, ..TCP };
const TCP_BY_SERVER: Row = Row { side: Side::Server, ..TCP_BY_CLIENT };

const PART: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc";
const LONG: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n";
const MUCH: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 33554432\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HEARS_A_PART: Server = Server::Plays(&[&[Hear("abc"), Tell]]);

pub(crate) const ROWS: &[Row] = &[
    Row {
        fault: Fault::Kill,
        how: "closes within the content",
        client: &[Say(PART), Await, Close],
        server: HEARS_A_PART,
        server_sees: &[End::Fin],
        counted: &["request_errors", "4xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Stall,
        how: "says no more",
        client: &[Say(PART)],
        server: HEARS_A_PART,
        client_sees: Sees(Content::Status(408), End::Fin),
        server_sees: &[End::Fin],
        bound: Bound::After(Timeout::ClientBody),
        counted: &["timeouts", "request_errors", "4xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN within the content",
        client: &[Say(PART), Await, HalfClose],
        server: HEARS_A_PART,
        client_sees: Sees(Content::Status(400), End::Fin),
        server_sees: &[End::Fin],
        counted: &["request_errors", "4xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST within the content",
        client: &[Say(PART), Await, Reset],
        server: HEARS_A_PART,
        server_sees: &[End::Fin],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Trickle,
        how: "goes on byte by byte: the bound is between two pieces",
        client: &[Say(LONG), Trickle("xxxxxxxxxxxxxxxxxxx!")],
        server: Server::Plays(&[&[Hear("!"), Say(OK)]]),
        client_sees: Sees(Content::Status(200), End::Kept),
        server_sees: &[End::Kept],
        bound: Bound::Outlasts(Timeout::ClientBody),
        counted: &["2xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Kill,
        how: "closes with a part of the request unread",
        client: &[Say(PART)],
        server: Server::Plays(&[&[Peek, Close]]),
        client_sees: Sees(Content::Status(502), End::Fin),
        server_sees: &[End::Gone],
        counted: &["response_errors", "response_errors of servers", "5xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Stall,
        how: "does not read 32 MiB of content",
        client: &[Say(MUCH), SayMuch],
        server: Server::Plays(&[&[AwaitEnd]]),
        client_sees: Sees(Content::Status(504), End::Fin),
        server_sees: &[End::Closed],
        bound: Bound::After(Timeout::ResponseHead),
        counted: &["timeouts", "response_errors", "response_errors of servers", "5xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN instead of an answer",
        client: &[Say(PART)],
        server: Server::Plays(&[&[Hear("abc"), HalfClose]]),
        client_sees: Sees(Content::Status(502), End::Fin),
        server_sees: &[End::Fin],
        counted: &["response_errors", "response_errors of servers", "5xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST",
        client: &[Say(PART)],
        server: Server::Plays(&[&[Hear("abc"), Reset]]),
        client_sees: Sees(Content::Status(502), End::Fin),
        server_sees: &[End::Gone],
        counted: &["response_errors", "response_errors of servers", "5xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Trickle,
        how: "reads 32 MiB of content slowly",
        client: &[Say(MUCH), SayMuch],
        server: Server::Plays(&[&[Hear("\r\n\r\n"), HearSlowly, Say(OK)]]),
        client_sees: Sees(Content::Status(200), End::Kept),
        server_sees: &[End::Kept],
        bound: Bound::Outlasts(Timeout::ResponseHead),
        counted: &["2xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Kill,
        how: "closes after some bytes: TCP has no word for an early end",
        client: &[Say("abc"), Close],
        server: Server::Plays(&[&[]]),
        server_sees: &[End::Fin],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST after some bytes",
        client: &[Say("abc"), Await, Reset],
        server: HEARS_A_PART,
        server_sees: &[End::Reset],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Trickle,
        how: "sends byte by byte",
        client: &[Trickle("xxxxxxxxxxxxxxxxxxx!")],
        server: Server::Plays(&[&[Hear("!"), Say("done"), Close]]),
        client_sees: Sees(Content::Bytes("done"), End::Fin),
        server_sees: &[End::Gone],
        bound: Bound::Outlasts(Timeout::Tunnel),
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Kill,
        how: "closes with bytes unread",
        client: &[Say("abc")],
        server: Server::Plays(&[&[Peek, Close]]),
        client_sees: Sees(Content::Nothing, End::Reset),
        server_sees: &[End::Gone],
        counted: &["response_errors", "response_errors of servers"],
        ..TCP_BY_SERVER
    },
    Row {
        fault: Fault::Stall,
        how: "does not read 32 MiB; what is cut does not look whole",
        client: &[SayMuch],
        server: Server::Plays(&[&[AwaitEnd]]),
        client_sees: Sees(Content::Nothing, End::Reset),
        server_sees: &[End::Reset],
        bound: Bound::After(Timeout::Tunnel),
        counted: &["timeouts"],
        ..TCP_BY_SERVER
    },
    Row {
        fault: Fault::Trickle,
        how: "reads 32 MiB slowly",
        client: &[SayMuch],
        server: Server::Plays(&[&[HearSlowly, Say("done"), Close]]),
        client_sees: Sees(Content::Bytes("done"), End::Fin),
        server_sees: &[End::Gone],
        bound: Bound::Outlasts(Timeout::Tunnel),
        ..TCP_BY_SERVER
    },
];

#[test]
fn faults_while_the_client_sends() {
    crate::judge::judge(ROWS);
}
