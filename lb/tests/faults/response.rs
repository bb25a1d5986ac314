//! A part of the response has come.

use crate::row::{Bound, Content, End, Fault, HTTP, Phase, Row, Sees, Server, Side, Step::*, TCP, Timeout};

const BY_CLIENT: Row = Row { phase: Phase::Response, side: Side::Client, ..HTTP };
const BY_SERVER: Row = Row { side: Side::Server, client: &[Say(GET)], ..BY_CLIENT };
const TCP_BY_CLIENT: Row = Row { phase: Phase::Response, side: Side::Client, ..TCP };
const TCP_BY_SERVER: Row = Row { side: Side::Server, client: &[Say("abc")], ..TCP_BY_CLIENT };

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const HEAD: &str = "\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const PART: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n";
const MUCH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n";
const CUT: &[&str] = &["2xx", "response_errors", "response_errors of servers"];

pub(crate) const ROWS: &[Row] = &[
    Row {
        fault: Fault::Kill,
        how: "closes while the server goes on",
        client: &[Say(GET), Peek, Close],
        server: Server::Plays(&[&[Hear(HEAD), Say(MUCH), SayMuch]]),
        server_sees: &[End::Closed],
        counted: &["2xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Kill,
        how: "closes while the server is silent; cannot be told from a half-close",
        client: &[Say(GET), Hear("abc"), Close],
        server: Server::Plays(&[&[Hear(HEAD), Say(PART)]]),
        server_sees: &[End::Fin],
        bound: Bound::After(Timeout::ResponseBody),
        counted: &["2xx", "timeouts", "response_errors", "response_errors of servers"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Stall,
        how: "does not read 32 MiB",
        client: &[Say(GET), AwaitEnd],
        server: Server::Plays(&[&[Hear(HEAD), Say(MUCH), SayMuch]]),
        client_sees: Sees(Content::Part(200), End::Reset),
        server_sees: &[End::Closed],
        bound: Bound::After(Timeout::ResponseBody),
        counted: &["2xx", "timeouts"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN within the response",
        client: &[Say(GET), Hear("abc"), HalfClose, Tell],
        server: Server::Plays(&[&[Hear(HEAD), Say(PART), Await, Say("defghi")]]),
        client_sees: Sees(Content::Bytes("defghi"), End::Fin),
        server_sees: &[End::Kept],
        counted: &["2xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST within the response",
        client: &[Say(GET), Hear("abc"), Reset],
        server: Server::Plays(&[&[Hear(HEAD), Say(PART)]]),
        server_sees: &[End::Fin],
        counted: &["2xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Trickle,
        how: "reads 32 MiB slowly",
        client: &[Say(GET), HearSlowly],
        server: Server::Plays(&[&[Hear(HEAD), Say(MUCH), SayMuch]]),
        client_sees: Sees(Content::Status(200), End::Kept),
        server_sees: &[End::Kept],
        bound: Bound::Outlasts(Timeout::ResponseBody),
        counted: &["2xx"],
        ..BY_CLIENT
    },
    Row {
        fault: Fault::Kill,
        how: "closes within the response",
        server: Server::Plays(&[&[Hear(HEAD), Say(PART), Close]]),
        client_sees: Sees(Content::Part(200), End::Reset),
        server_sees: &[End::Gone],
        counted: CUT,
        ..BY_SERVER
    },
    Row {
        fault: Fault::Kill,
        how: "closes a response without length: that is its end",
        server: Server::Plays(&[&[Hear(HEAD), Say("HTTP/1.1 200 OK\r\n\r\nabc"), Close]]),
        client_sees: Sees(Content::Status(200), End::Fin),
        server_sees: &[End::Gone],
        counted: &["2xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Stall,
        how: "says no more",
        server: Server::Plays(&[&[Hear(HEAD), Say(PART)]]),
        client_sees: Sees(Content::Part(200), End::Reset),
        server_sees: &[End::Fin],
        bound: Bound::After(Timeout::ResponseBody),
        counted: &["2xx", "timeouts", "response_errors", "response_errors of servers"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN within the response",
        server: Server::Plays(&[&[Hear(HEAD), Say(PART), HalfClose]]),
        client_sees: Sees(Content::Part(200), End::Reset),
        server_sees: &[End::Fin],
        counted: CUT,
        ..BY_SERVER
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN after the response",
        server: Server::Plays(&[&[Hear(HEAD), Say(OK), HalfClose]]),
        client_sees: Sees(Content::Status(200), End::Kept),
        server_sees: &[End::Fin],
        counted: &["2xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST within the response",
        client: &[Say(GET), Peek, Tell],
        server: Server::Plays(&[&[Hear(HEAD), Say(PART), Await, Reset]]),
        client_sees: Sees(Content::Part(200), End::Reset),
        server_sees: &[End::Gone],
        counted: CUT,
        ..BY_SERVER
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST within a response without length",
        client: &[Say(GET), Hear("abc"), Tell],
        server: Server::Plays(&[&[Hear(HEAD), Say("HTTP/1.1 200 OK\r\n\r\nabc"), Await, Reset]]),
        client_sees: Sees(Content::Nothing, End::Reset),
        server_sees: &[End::Gone],
        counted: CUT,
        ..BY_SERVER
    },
    Row {
        fault: Fault::Trickle,
        how: "sends the content byte by byte: the bound is between two pieces",
        server: Server::Plays(&[&[Hear(HEAD), Say(LONG), Trickle("xxxxxxxxxxxxxxxxxxxx")]]),
        client_sees: Sees(Content::Status(200), End::Kept),
        server_sees: &[End::Kept],
        bound: Bound::Outlasts(Timeout::ResponseBody),
        counted: &["2xx"],
        ..BY_SERVER
    },
    Row {
        fault: Fault::Kill,
        how: "closes with bytes unread",
        client: &[Say("abc"), Peek, Close],
        server: Server::Plays(&[&[Hear("abc"), SayMuch]]),
        server_sees: &[End::Reset],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Stall,
        how: "does not read 32 MiB; what is cut does not look whole",
        client: &[Say("abc"), AwaitEnd],
        server: Server::Plays(&[&[Hear("abc"), SayMuch]]),
        client_sees: Sees(Content::Some, End::Reset),
        server_sees: &[End::Reset],
        bound: Bound::After(Timeout::Tunnel),
        counted: &["timeouts"],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST while the server goes on",
        client: &[Say("abc"), Peek, Reset],
        server: Server::Plays(&[&[Hear("abc"), SayMuch]]),
        server_sees: &[End::Reset],
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Trickle,
        how: "reads 32 MiB slowly",
        client: &[Say("abc"), HearSlowly, HalfClose],
        server: Server::Plays(&[&[Hear("abc"), SayMuch]]),
        client_sees: Sees(Content::All, End::Fin),
        server_sees: &[End::Fin],
        bound: Bound::Outlasts(Timeout::Tunnel),
        ..TCP_BY_CLIENT
    },
    Row {
        fault: Fault::Kill,
        how: "closes after some bytes: TCP has no word for an early end",
        server: Server::Plays(&[&[Hear("abc"), Say("def"), Close]]),
        client_sees: Sees(Content::Bytes("def"), End::Fin),
        server_sees: &[End::Gone],
        ..TCP_BY_SERVER
    },
    Row {
        fault: Fault::Stall,
        how: "says no more; nothing was held, so it is a FIN",
        server: Server::Plays(&[&[Hear("abc"), Say("def")]]),
        client_sees: Sees(Content::Bytes("def"), End::Fin),
        server_sees: &[End::Fin],
        bound: Bound::After(Timeout::Tunnel),
        counted: &["timeouts"],
        ..TCP_BY_SERVER
    },
    Row {
        fault: Fault::HalfClose,
        how: "sends a FIN and hears the client out",
        client: &[Say("abc"), Hear("bye"), HearEnd, Say("more"), Close],
        server: Server::Plays(&[&[Hear("abc"), Say("bye"), HalfClose, Hear("more"), HearEnd]]),
        client_sees: Sees(Content::Nothing, End::Fin),
        server_sees: &[End::Fin],
        ..TCP_BY_SERVER
    },
    Row {
        fault: Fault::Reset,
        how: "sends a RST after some bytes",
        client: &[Say("abc"), Hear("def"), Tell],
        server: Server::Plays(&[&[Hear("abc"), Say("def"), Await, Reset]]),
        client_sees: Sees(Content::Nothing, End::Reset),
        server_sees: &[End::Gone],
        counted: &["response_errors", "response_errors of servers"],
        ..TCP_BY_SERVER
    },
    Row {
        fault: Fault::Trickle,
        how: "sends byte by byte",
        client: &[Say("abc"), Hear("xxxxxxxxxxxxxxxxxxx!"), HalfClose],
        server: Server::Plays(&[&[Hear("abc"), Trickle("xxxxxxxxxxxxxxxxxxx!")]]),
        client_sees: Sees(Content::Nothing, End::Fin),
        server_sees: &[End::Fin],
        bound: Bound::Outlasts(Timeout::Tunnel),
        ..TCP_BY_SERVER
    },
];

#[test]
fn faults_within_a_response() {
    crate::judge::judge(ROWS);
}
