//! Servers and clients that fail: who is told what, and what is closed.

use std::sync::mpsc::channel;

use crate::testbed::{Client, PATIENCE, Server, closed_port, lb, lb_on, metric};

#[test]
fn a_server_that_talks_nonsense_becomes_502() {
    let rows = [
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
        "HTTP/1.1 200 O",
        "",
    ];
    for answer in rows {
        let server = Server::answering_once(answer);
        let lb = lb("", &[&server]);
        let mut client = Client::to(&lb);
        let response = client.get("/");
        assert_eq!(response.status, 502, "{answer:?}");
        assert!(response.text().starts_with("502 Bad Gateway: "), "{}", response.text());
        if !response.has("Connection: close") {
            assert_eq!(client.get("/again").status, 502, "the client connection is in order");
        }
        assert_eq!(metric(&lb, "lb_service_http_responses_total{service=\"web\",code=\"2xx\"}"), 0);
        let errors = metric(&lb, "lb_service_response_errors_total{service=\"web\"}");
        assert_eq!(errors, metric(&lb, "lb_service_http_responses_total{service=\"web\",code=\"5xx\"}"));
    }
}

#[test]
fn an_endless_response_head_becomes_502() {
    let server = Server::start(|mut peer| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\n");
        while peer.say("A: b\r\n".repeat(100)) {}
    });
    let lb = lb("", &[&server]);
    assert_eq!(Client::to(&lb).get("/").status, 502);
}

#[test]
fn without_a_server_the_answer_is_503() {
    let lb = lb_on("", &[closed_port(), closed_port()]);
    let mut client = Client::to(&lb);
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.status, 503);
        assert_eq!(response.text(), "503 Service Unavailable: no server can be reached\n");
    }
    client.say("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let head = client.rest();
    assert!(head.starts_with("HTTP/1.1 503 ") && head.ends_with("Connection: close\r\n\r\n"), "{head}");
}

#[test]
fn an_old_client_that_would_stay_is_not_left_waiting_behind_our_answer() {
    let server = Server::answering_once("nonsense\r\n\r\n");
    for lb in [lb_on("", &[closed_port()]), lb("", &[&server])] {
        let mut client = Client::to(&lb);
        let answer = client.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").rest();
        assert!(answer.starts_with("HTTP/1.1 50") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
}

#[test]
fn a_response_that_is_cut_off_looks_cut_off() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let server = Server::answering_once(answer);
        let lb = lb("", &[&server]);
        let mut client = Client::to(&lb);
        client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.rest_until_reset();
    }
    // Nothing but a reset tells such a cut from the end.
    let server = Server::start(|mut peer| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\n\r\nabc");
        peer.read(1);
        peer.reset();
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n").head();
    assert_eq!(client.exactly(3), b"abc");
    client.say("x").rest_until_reset();
}

#[test]
fn a_response_that_is_still_coming_when_everything_ends_looks_cut_off() {
    let server = Server::start(|mut peer| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\n\r\nabc");
        peer.drain();
    });
    let lb = lb("", &[&server]);
    let (mut client, mut idle) = (Client::to(&lb), Client::to(&lb));
    client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n").head();
    assert_eq!(client.exactly(3), b"abc");
    drop(lb);
    client.rest_until_reset();
    assert_eq!(idle.rest(), "", "nothing was cut here");
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let server = Server::start(|mut peer| {
        peer.head();
        peer.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
        // Closed with content unread: the kernel resets the connection.
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n");
    let mut sender = Client(client.0.try_clone().unwrap());
    let sending = std::thread::spawn(move || sender.say(vec![b'x'; 4_000_000]).0.take_error());
    let response = client.response();
    assert_eq!((response.status, response.text()), (413, "big"));
    assert!(response.has("Connection: close"));
    assert_eq!(client.rest(), "");
    // Not ended before the answer is there, which may be later than all of that content.
    sending.join().unwrap().unwrap();
}

#[test]
fn a_client_that_ends_its_direction_still_gets_the_response() {
    let (go, wait) = channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let server = Server::start(move |mut peer| {
        peer.head();
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.drain();
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n").half_close();
    crate::testbed::until("the request has arrived", || server.seen().concat().ends_with("\r\n\r\n"));
    go.send(()).unwrap();
    assert_eq!(client.response().text(), "ok");
    assert_eq!(client.rest(), "");
}

#[test]
fn a_client_that_goes_away_takes_its_request_along() {
    for request in ["GET / HTTP/1.1\r\nHost: h\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"] {
        let (ended, ends) = channel();
        let server = Server::start(move |mut peer| {
            peer.head();
            peer.drain();
            let _ = ended.send(());
        });
        let lb = lb("", &[&server]);
        let mut client = Client::to(&lb);
        client.say(request);
        crate::testbed::until("the request has arrived", || server.seen().concat().contains("\r\n\r\n"));
        client.reset();
        assert_eq!(ends.recv_timeout(PATIENCE), Ok(()), "the server connection is closed after {request:?}");
    }
}

#[test]
fn a_request_that_is_cut_off_is_told_so_and_not_carried_out() {
    let (counted, count) = channel();
    let server = Server::start(move |mut peer| {
        peer.head();
        let _ = counted.send(peer.drain());
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc").half_close();
    assert_eq!(client.response().status, 400);
    assert_eq!(count.recv_timeout(PATIENCE), Ok(3));
    let mut client = Client::to(&lb);
    assert_eq!(client.say("GET / HT").half_close().response().status, 400);
    assert_eq!(Client::to(&lb).half_close().rest(), "", "who says nothing is told nothing");
}
