//! Every wait ends, and the one who was waited for is named.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::testbed::{Client, PATIENCE, Server, lb, metric};

const SHORT: Duration = Duration::from_millis(200);

fn timeouts(which: &str) -> String {
    format!("timeouts = {{ {which} = '200ms' }}")
}

#[test]
fn a_head_that_trickles_in_is_ended_by_one_deadline() {
    let server = Server::named("one");
    let lb = lb(&timeouts("client_head"), &[&server]);
    let mut client = Client::to(&lb);
    let start = Instant::now();
    let mut sender = client.0.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        // A byte every 20 ms would keep a deadline per read from ever passing.
        for byte in b"GET / HTTP/1.1\r\nHost: h\r\nA: ".iter().chain([b'x'; 400].iter()) {
            if sender.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    let response = client.response();
    assert_eq!(response.status, 408);
    assert!((SHORT..Duration::from_secs(3)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(response.has("Connection: close"));
    drop(client);
    trickle.join().unwrap();
    assert_eq!(server.connections(), 0);
}

#[test]
fn an_empty_line_does_not_begin_a_request() {
    let server = Server::named("one");
    let path = std::env::temp_dir().join(format!("lb-http-empty-line-{}.log", std::process::id()));
    let log = format!("{}\n[log]\naccess = '{}'\nformat = 'json'", timeouts("client_head"), path.display());
    let lb = lb(&log, &[&server]);
    let mut client = Client::to(&lb);
    let mut paused = Duration::ZERO;
    for empty_line in [["\r\n", ""], ["\r", "\n"]] {
        for piece in empty_line {
            client.say(piece);
            let start = Instant::now();
            // Longer than a head may take; an end would be read here.
            client.0.set_read_timeout(Some(2 * SHORT)).unwrap();
            assert!(client.0.peek(&mut [0]).is_err(), "{piece:?} was answered, or ended the connection");
            paused = start.elapsed();
        }
        client.0.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(client.get("/").text(), "one");
    }
    drop(client);
    lb.drain();
    lb.wait();
    let written = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(written.lines().count(), 2, "{written}");
    for line in written.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((line["status"].as_u64(), line["bytes_in"].as_u64()), (Some(200), Some(29)));
        let took = Duration::from_micros(line["duration_us"].as_u64().unwrap());
        assert!(took < paused, "{took:?} begin with the empty line, or before it");
    }
}

#[test]
fn an_empty_line_does_not_make_an_idle_connection_stay() {
    let server = Server::named("one");
    let lb = lb(&timeouts("client_idle"), &[&server]);
    let mut client = Client::to(&lb);
    let start = Instant::now();
    assert_eq!(client.say("\r\n").rest(), "");
    assert!((SHORT / 2..PATIENCE).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(metric(&lb, "lb_service_timeouts_total{service=\"web\"}"), 1);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = Server::named("one");
    let lb = lb(&timeouts("client_idle"), &[&server]);
    assert_eq!(Client::to(&lb).rest(), "");
    let mut client = Client::to(&lb);
    assert_eq!(client.get("/").text(), "one");
    let start = Instant::now();
    assert_eq!(client.rest(), "");
    assert!(start.elapsed() > SHORT / 2);
}

#[test]
fn content_that_stops_coming_is_408() {
    let server = Server::start(|mut peer| {
        peer.head();
        peer.drain();
    });
    let lb = lb(&timeouts("client_body"), &[&server]);
    let mut client = Client::to(&lb);
    client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    assert_eq!(client.response().status, 408);
    assert_eq!(metric(&lb, "lb_service_response_errors_total{service=\"web\"}"), 0, "it is not the server's fault");
}

#[test]
fn a_server_that_does_not_answer_is_504() {
    let silent = |says: &'static str| {
        Server::start(move |mut peer| {
            peer.head();
            peer.say(says);
            peer.drain();
        })
    };
    for says in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let server = silent(says);
        let lb = lb(&timeouts("response_head"), &[&server]);
        let mut client = Client::to(&lb);
        client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        if says.contains("100") {
            client.head();
        }
        assert_eq!(client.response().status, 504, "{says:?}");
        assert_eq!(metric(&lb, "lb_service_response_errors_total{service=\"web\"}"), 1);
    }
    // Who waits for 100 Continue waits for the server, too.
    let server = silent("");
    let lb = lb(&timeouts("response_head"), &[&server]);
    let mut client = Client::to(&lb);
    client.say("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(client.response().status, 504);
}

#[test]
fn a_response_that_stops_coming_is_cut_off() {
    let server = Server::start(|mut peer| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        peer.drain();
    });
    let lb = lb(&timeouts("response_body"), &[&server]);
    let mut client = Client::to(&lb);
    client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n").head();
    assert_eq!(client.exactly(3), b"abc");
    client.rest_until_reset();
}

#[test]
fn a_slow_but_steady_response_is_not_cut_off() {
    let server = Server::start(|mut peer| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        for _ in 0..10 {
            std::thread::park_timeout(SHORT / 4);
            peer.say("x");
        }
        peer.drain();
    });
    let lb = lb(&timeouts("response_body"), &[&server]);
    assert_eq!(Client::to(&lb).get("/").text(), "xxxxxxxxxx");
}
