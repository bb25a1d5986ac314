//! Which server connection a request goes over, and what is repeated.

use std::sync::mpsc::channel;

use crate::testbed::{Client, Server, lb, metric, until};

#[test]
fn the_first_request_of_a_client_never_goes_over_a_used_connection() {
    let server = Server::named("one");
    let lb = lb("", &[&server]);
    for clients in 1..=3 {
        let mut client = Client::to(&lb);
        for _ in 0..3 {
            assert_eq!(client.get("/").text(), "one");
        }
        assert_eq!(server.connections(), clients, "one more connection per client, for its first request");
    }
    assert_eq!(metric(&lb, "lb_server_connection_reuses_total{group=\"web\",server=\"r0\"}"), 6);
}

#[test]
fn with_always_any_request_goes_over_a_used_connection() {
    let server = Server::named("one");
    let lb = lb("reuse = 'always'", &[&server]);
    for _ in 0..5 {
        assert_eq!(Client::to(&lb).get("/").text(), "one");
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_connection_is_kept_however_its_response_was_cut_into_reads() {
    // Whole reads, one that fills the buffer to its last byte, one that does so at the end of several.
    for size in [100, 16 * 1024, 4 * 16 * 1024] {
        let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let length = (0..size).rfind(|&length| head(length).len() + length <= size).unwrap();
        let server = Server::answering([head(length).into_bytes(), vec![b'x'; length]].concat());
        let lb = lb("reuse = 'always'", &[&server]);
        for _ in 0..5 {
            assert_eq!(Client::to(&lb).get("/").body.len(), length);
        }
        assert_eq!(server.connections(), 1, "a response of {size} bytes");
    }
    // In two pieces, which the load balancer may read at once or one by one.
    let server = Server::start(|mut peer| {
        while peer.head().is_some() {
            peer.say("HTTP/1.1 200 OK\r\n");
            peer.say("Content-Length: 2\r\n\r\nok");
        }
    });
    let lb = lb("reuse = 'always'", &[&server]);
    for _ in 0..200 {
        assert_eq!(Client::to(&lb).get("/").text(), "ok");
    }
    assert_eq!(server.connections(), 1, "responses in two pieces");
}

#[test]
fn with_never_a_server_connection_belongs_to_one_client() {
    let server = Server::named("one");
    let lb = lb("reuse = 'never'", &[&server]);
    let (mut first, mut second) = (Client::to(&lb), Client::to(&lb));
    for _ in 0..3 {
        assert_eq!(first.get("/1").text(), "one");
        assert_eq!(second.get("/2").text(), "one");
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert!(!seen[0].contains("GET /2") && !seen[1].contains("GET /1"), "{seen:?}");
}

#[test]
fn with_never_a_client_keeps_a_connection_to_each_server() {
    let servers = [Server::named("one"), Server::named("two")];
    let lb = lb("reuse = 'never'", &[&servers[0], &servers[1]]);
    let mut client = Client::to(&lb);
    let texts: Vec<_> = (0..6).map(|_| client.get("/").text().to_owned()).collect();
    assert_eq!(texts, ["one", "two", "one", "two", "one", "two"]);
    assert_eq!(servers.each_ref().map(Server::connections), [1, 1]);
}

#[test]
fn an_idempotent_request_on_a_connection_that_has_just_died_is_repeated_once() {
    // Each connection serves one request and dies with the next.
    let server = Server::start(|mut peer| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.head();
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    assert_eq!(client.get("/0").text(), "ok");
    assert_eq!(client.get("/1").text(), "ok");
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].contains("GET /1 ") && seen[1].contains("GET /1 "), "{seen:?}");
    // A POST may have been carried out; the client is told.
    client.say("POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 502);
    assert!(!response.has("Connection: close"), "the client connection is in order");
    assert_eq!(server.seen().concat().matches("POST /2 ").count(), 1);
    assert_eq!(client.get("/3").text(), "ok");
}

#[test]
fn a_request_on_a_fresh_connection_is_never_repeated() {
    let server = Server::start(|mut peer| drop(peer.head()));
    let lb = lb("", &[&server]);
    assert_eq!(Client::to(&lb).get("/").status, 502);
    assert_eq!(server.seen().concat().matches("GET / ").count(), 1);
}

#[test]
fn a_connection_that_says_something_unasked_is_not_used_again() {
    let server = Server::start(|mut peer| {
        while peer.head().is_some() {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        }
    });
    let lb = lb("reuse = 'always'", &[&server]);
    let mut client = Client::to(&lb);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "ok");
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn a_request_that_was_answered_in_part_is_not_repeated() {
    // Dies in the head of its second response.
    let server = Server::start(|mut peer| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nContent-");
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    assert_eq!(client.get("/0").text(), "ok");
    assert_eq!(client.get("/1").status, 502);
    assert_eq!(server.connections(), 1);
    assert_eq!(client.get("/2").text(), "ok");
}

#[test]
fn an_idle_connection_that_its_server_closes_is_closed_here_too() {
    let (ended, ends) = channel();
    let server = Server::start(move |mut peer| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.half_close();
        peer.drain();
        let _ = ended.send(peer.number);
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(ends.recv_timeout(crate::testbed::PATIENCE), Ok(0));
    assert_eq!(client.get("/").text(), "ok");
}

#[test]
fn no_more_than_64_connections_stay_idle() {
    const CLIENTS: usize = 70;
    let (ended, ends) = channel();
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(CLIENTS));
    let server = Server::start(move |mut peer| {
        peer.head();
        barrier.wait();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.drain();
        let _ = ended.send(());
    });
    let lb = lb("", &[&server]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::to(&lb)).collect();
    for client in &mut clients {
        client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "ok");
    }
    let mut closed = 0;
    until("the connections above 64 are closed", || {
        closed += ends.try_iter().count();
        closed >= CLIENTS - 64
    });
    assert_eq!(closed, CLIENTS - 64);
}

#[test]
fn a_server_that_closes_after_its_response_is_not_used_again() {
    let server = Server::answering_once("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    let lb = lb("reuse = 'always'", &[&server]);
    let mut client = Client::to(&lb);
    for _ in 0..3 {
        let response = client.get("/");
        assert!(response.text() == "ok" && !response.has("Connection: close"));
    }
    assert_eq!(server.connections(), 3);
    assert_eq!(metric(&lb, "lb_server_connection_reuses_total{group=\"web\",server=\"r0\"}"), 0);
}
