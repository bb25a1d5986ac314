//! Requests that are refused: the status, a text, a closed connection, and nothing for any server.

use crate::testbed::{Client, Server, lb, metric};

/// Status and request; every one of them has to stop here.
fn rows() -> Vec<(u16, String)> {
    let with = |fields: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{body}");
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body);
    let line = |line: &str| format!("{line}\r\nHost: h\r\n\r\n");
    let bad = [
        line("GET /"),
        line("GET  / HTTP/1.1"),
        line("GET /  HTTP/1.1"),
        line("GET /a b HTTP/1.1"),
        line("GET / HTTP/1.1 "),
        line(" GET / HTTP/1.1"),
        line("\r\n\r\nGET / HTTP/1.1"),
        line("G\tT / HTTP/1.1"),
        line("G(T / HTTP/1.1"),
        line("GET \\ HTTP/1.1"),
        line("GET /#f HTTP/1.1"),
        line("GET /\0 HTTP/1.1"),
        line("GET /\u{7f} HTTP/1.1"),
        line("GET /\u{e4} HTTP/1.1"),
        line("GET ftp://h/ HTTP/1.1"),
        line("GET http://other/ HTTP/1.1"),
        line("GET http://u@h/ HTTP/1.1"),
        line("GET / HTTP/1.10"),
        line("GET / HTTP/1"),
        line("GET / HTTPS/1.1"),
        "GET / HTTP/1.1\nHost: h\n\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: h\n\r\n".to_owned(),
        "GET / HTTP/1.1\rHost: h\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: h, g\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: h/p\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n Host: h\r\n\r\n".to_owned(),
        with("A : b"),
        with("A\r\n: b"),
        with(": b"),
        with("A"),
        with("A: b\r\n c"),
        with("A: b\rc"),
        with("A: b\0c"),
        with("A: b\u{1}"),
        with("A(: b"),
        with("Connection: a b"),
        post("Content-Length: 5\r\nContent-Length: 5", "hello"),
        post("Content-Length: 5\r\nContent-Length: 6", "hello"),
        post("Content-Length: 5, 5", "hello"),
        post("Content-Length: +5", "hello"),
        post("Content-Length: -5", "hello"),
        post("Content-Length: 5 ;", "hello"),
        post("Content-Length: 0x5", "hello"),
        post("Content-Length:", ""),
        post("Content-Length: 99999999999999999999", "hello"),
        post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
        post("Transfer-Encoding: identity\r\nContent-Length: 5", "hello"),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
        post("Transfer-Encoding: \"chunked\"", "0\r\n\r\n"),
        post("Transfer-Encoding:", "0\r\n\r\n"),
        post("Transfer-Encoding : chunked", "0\r\n\r\n"),
        post("Transfer-Encoding:\u{b}chunked", "0\r\n\r\n"),
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "TRACE / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx".to_owned(),
        chunked("x\r\n\r\n"),
        chunked("-1\r\n\r\n"),
        chunked("0x1\r\na\r\n0\r\n\r\n"),
        chunked("1 \r\na\r\n0\r\n\r\n"),
        chunked("1\na\n0\n\n"),
        chunked("1\r\nab\r\n0\r\n\r\n"),
        chunked("1;\r\na\r\n0\r\n\r\n"),
        chunked("10000000000000001\r\na\r\n0\r\n\r\n"),
        chunked("0\r\nA b\r\n\r\n"),
        chunked("0\r\n A: b\r\n\r\n"),
    ];
    let other = [
        (414, format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(17_000))),
        (431, with(&format!("A: {}", "a".repeat(17_000)))),
        (431, with(&"A: b\r\n".repeat(101))),
        (501, line("CONNECT h:443 HTTP/1.1")),
        (501, post("Transfer-Encoding: gzip, chunked", "")),
        (501, post("Transfer-Encoding: xchunked", "")),
        (505, line("GET / HTTP/2.0")),
        (505, line("PRI * HTTP/2.0")),
    ];
    bad.into_iter().map(|request| (400, request)).chain(other).collect()
}

#[test]
fn every_unsound_request_is_answered_closed_and_kept_from_the_servers() {
    let server = Server::named("one");
    let lb = lb("", &[&server]);
    let rows = rows();
    assert!(rows.len() >= 40);
    for (status, request) in &rows {
        let mut client = Client::to(&lb);
        // What follows a request that cannot be understood is not a request.
        client.say(format!("{request}GET /after HTTP/1.1\r\nHost: h\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, *status, "{}", request.escape_debug());
        assert!(response.has("Connection: close"), "{}", request.escape_debug());
        assert!(response.text().starts_with(&format!("{status} ")), "{}", response.text());
        assert_eq!(client.rest(), "", "nothing follows the refusal of {}", request.escape_debug());
    }
    assert_eq!(server.connections(), 0, "{:?}", server.seen());
    let responses: u64 = ["4xx", "5xx"]
        .iter()
        .map(|class| metric(&lb, &format!("lb_service_http_responses_total{{service=\"web\",code=\"{class}\"}}")))
        .sum();
    assert_eq!(responses, rows.len() as u64);
}

#[test]
fn a_malformed_chunk_in_the_middle_of_a_request_ends_it_on_both_sides() {
    let server = Server::start(|mut peer| {
        peer.head();
        peer.drain();
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
    crate::testbed::until("the server has the head", || server.seen().concat().contains("chunked"));
    assert_eq!(client.say("zz\r\n").response().status, 400);
    assert_eq!(client.rest(), "");
}
