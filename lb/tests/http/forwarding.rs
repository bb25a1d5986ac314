//! What servers and clients get: heads, choice of server, interim responses.

use crate::testbed::{Client, Server, closed_port, lb, lb_on, metric};

const FORWARDED: &str = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n";

#[test]
fn each_request_of_a_connection_goes_to_the_next_server() {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let lb = lb("", &[&one, &two]);
    let mut client = Client::to(&lb);
    let answers: Vec<_> = (0..4).map(|n| client.get(&format!("/{n}")).text().to_owned()).collect();
    assert_eq!(answers, ["one", "two", "one", "two"]);
    let request = |n: usize| format!("GET /{n} HTTP/1.1\r\nHost: h\r\n{FORWARDED}\r\n");
    assert_eq!(one.seen().concat(), request(0) + &request(2));
    assert_eq!(two.seen().concat(), request(1) + &request(3));
    assert_eq!(metric(&lb, "lb_service_http_requests_total{service=\"web\"}"), 4);
}

#[test]
fn what_ends_at_this_hop_stays_here_in_both_directions() {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Secret\r\nKeep-Alive: timeout=5\r\nX-Secret: 1\r\nX-Kept: 2\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 3\r\nTE: trailers\r\n\
         Proxy-Connection: keep-alive\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Kept: 2\r\n\r\n",
    );
    assert_eq!(client.head(), "HTTP/1.1 200 OK\r\nX-Kept: 2\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        server.seen().concat(),
        "GET / HTTP/1.1\r\nHost: h\r\nX-Kept: 2\r\nX-Forwarded-For: 192.0.2.1, 127.0.0.1\r\n\
         X-Forwarded-Proto: http\r\n\r\n"
    );
}

#[test]
fn without_forwarded_nothing_is_added() {
    let server = Server::named("one");
    let lb = lb("forwarded = false", &[&server]);
    Client::to(&lb).get("/");
    assert_eq!(server.seen().concat(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let lb = lb("", &[&one, &two]);
    let mut client = Client::to(&lb);
    client.say("GET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c HTTP/1.1\r\nHos");
    assert_eq!(client.response().text(), "one");
    assert_eq!(client.response().text(), "two");
    assert_eq!(client.say("t: h\r\n\r\n").response().text(), "one");
}

#[test]
fn an_old_client_is_closed_unless_it_asks_to_stay() {
    let server = Server::named("one");
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(client.response().has("Connection: keep-alive"));
    client.say("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert!(response.has("Connection: close") && response.text() == "one");
    assert_eq!(client.rest(), "");
    let host = format!("GET / HTTP/1.1\r\nHost: {}\r\n", lb.addresses()[0]);
    assert!(server.seen().iter().all(|seen| seen.starts_with(&host)), "{:?}", server.seen());
}

#[test]
fn interim_responses_reach_the_client_in_order_and_old_clients_not_at_all() {
    let server = Server::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    assert_eq!(client.response().text(), "ok");
    let mut old = Client::to(&lb);
    assert_eq!(old.say("GET / HTTP/1.0\r\n\r\n").response().text(), "ok");
}

#[test]
fn a_client_that_expects_100_waits_for_the_server_to_say_it() {
    let server = Server::start(|mut peer| {
        while peer.head().is_some_and(|head| head.contains("\r\nExpect: 100-continue\r\n")) {
            peer.say("HTTP/1.1 100 Continue\r\n\r\n");
            peer.read(5);
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    for _ in 0..2 {
        client.say("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(client.say("hello").response().text(), "ok");
    }
}

#[test]
fn a_failed_connect_is_tried_on_another_server() {
    let server = Server::named("one");
    let lb = lb_on("", &[closed_port(), server.address]);
    for _ in 0..4 {
        let mut client = Client::to(&lb);
        client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response().text(), "one");
    }
    assert!(metric(&lb, "lb_service_retry_warnings_total{service=\"web\"}") >= 1);
}

#[test]
fn a_drain_lets_the_running_request_end_and_closes() {
    let server = Server::start(|mut peer| {
        peer.head();
        peer.say("HTTP/1.1 103 Early Hints\r\n\r\n");
        // The test begins the drain now and then sends the content.
        peer.read(1);
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.drain();
    });
    let lb = lb("", &[&server]);
    let mut idle = Client::to(&lb);
    let mut client = Client::to(&lb);
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n");
    client.head();
    lb.drain();
    let response = client.say("x").response();
    assert!(response.has("Connection: close") && response.text() == "ok");
    assert_eq!(client.rest(), "");
    // A connection that was open, but has never been used, still gets its one answer.
    idle.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n").head();
    assert!(idle.say("x").response().has("Connection: close"));
    lb.wait();
}

#[test]
fn the_access_log_has_a_line_per_request_with_its_end() {
    let server = Server::named("one");
    let path = std::env::temp_dir().join(format!("lb-http-access-{}.log", std::process::id()));
    let lb = lb(&format!("[log]\naccess = '{}'\nformat = 'json'", path.display()), &[&server]);
    let mut client = Client::to(&lb);
    client.get("/a");
    client.say("PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello").response();
    client.say("nonsense\r\n\r\n").response();
    drop(client);
    lb.drain();
    lb.wait();
    let written = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let rows: Vec<_> = written
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let number = |key: &str| line[key].as_u64().unwrap();
            let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            (number("status"), number("bytes_in"), number("bytes_out"), text("server"), text("request"), text("end"))
        })
        .collect();
    let row = |status, bytes_in, bytes_out, texts: [&str; 3]| {
        let [server, request, end] = texts.map(str::to_owned);
        (status, bytes_in, bytes_out, server, request, end)
    };
    assert_eq!(rows[0], row(200, 28, 41, ["r0", "GET /a HTTP/1.1", "ok"]));
    assert_eq!(rows[1], row(200, 52, 41, ["r0", "PUT /b HTTP/1.1", "ok"]));
    assert_eq!((rows[2].0, rows[2].5.as_str()), (400, "bad-request"));
    assert_eq!(rows.len(), 3, "{written}");
}
