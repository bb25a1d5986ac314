//! What malformed, oversized and slow requests get, on the fast path and on hyper's.

use std::io::Write;
use std::time::{Duration, Instant};

use reflector::config::{Config, Limits};

use crate::support::*;

fn strict() -> Config {
    let limits = Limits {
        head_bytes: 8192,
        body_bytes: 1000,
        head_timeout: Duration::from_millis(200),
        body_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(400),
    };
    Config { limits, ..config() }
}

#[test]
fn bad_requests_are_refused_with_a_status_and_a_reason() {
    let reflector = start(strict());
    let long = "a".repeat(9000);
    let cases = [
        ("GARBAGE\r\n\r\n".to_owned(), 400, "METHOD TARGET VERSION"),
        ("GET / HTTP/3.7\r\n\r\n".to_owned(), 400, "HTTP/1.0 nor HTTP/1.1"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "no Host"),
        ("GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n".to_owned(), 400, "name"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".to_owned(), 400, "\"x\""),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n".to_owned(), 413, "1000 bytes"),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{}\r\n0\r\n\r\n",
                &long[..1001]
            ),
            413,
            "1000 bytes",
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(), 400, "malformed"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 501, "\"gzip\""),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414, "request line"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nx: {long}\r\n\r\n"), 431, "8192 bytes"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(200)), 431, "header lines"),
    ];
    for (request, status, reason) in &cases {
        let mut client = Client::to(&reflector);
        client.send(request);
        let answer = client.answer();
        let shown = request.chars().take(60).collect::<String>();
        assert_eq!(answer.status(), *status, "{shown}: {}", answer.text());
        assert!(answer.text().contains(reason), "{shown}: {}", answer.text());
        assert!(client.is_closed(), "{shown}");
    }
    let ledger = closed(&reflector);
    assert_eq!((ledger.bad_requests, ledger.requests), (cases.len() as u64, 0));
    assert_eq!((ledger.opened, ledger.responses), (cases.len() as u64, cases.len() as u64));
}

#[test]
fn a_bad_parameter_is_named_and_the_connection_is_kept() {
    let reflector = start(config());
    let mut client = Client::to(&reflector);
    let answer = client.get("/?s=1k&t=fast");
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.text(), "parameter t is \"fast\"; expected a whole number of milliseconds up to 3600000\n");
    assert_eq!(client.get("/?s=2").body.len(), 2);
    let ledger = settle(&reflector, |ledger| ledger.responses == 2);
    assert_eq!((ledger.requests, ledger.bad_requests), (2, 1));
}

#[test]
fn a_bad_request_behind_a_good_one_is_refused_too() {
    let reflector = start(config());
    for first in ["/", "/?t=1"] {
        let mut client = Client::to(&reflector);
        client.send(&format!("GET {first} HTTP/1.1\r\nHost: a\r\n\r\nGARBAGE\r\n\r\n"));
        assert_eq!(client.answer().status(), 200);
        assert_eq!(client.answer().status(), 400);
        assert!(client.is_closed());
    }
    let ledger = closed(&reflector);
    assert_eq!((ledger.requests, ledger.bad_requests, ledger.responses), (2, 2, 4));
}

#[test]
fn hyper_s_refusals_get_a_reason_too() {
    let reflector = start(strict());
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "a".repeat(9000));
    for (bad, status) in [("GARBAGE\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: a\r\nb c: d\r\n\r\n", 400), (&*long, 431)]
    {
        let mut client = Client::to(&reflector);
        assert_eq!(client.get("/?t=1").status(), 200);
        client.send(bad);
        let answer = client.answer();
        assert_eq!(answer.status(), status);
        assert!(answer.text().len() > 10, "{:?}", answer.text());
        assert_eq!(answer.header(wire::identity::REQUEST), Some("2"));
        assert!(client.is_closed());
    }
    let ledger = closed(&reflector);
    assert_eq!((ledger.requests, ledger.bad_requests, ledger.responses), (3, 3, 6));
}

#[test]
fn a_head_that_trickles_is_cut_off_in_time() {
    let reflector = start(strict());
    for first in ["", "GET /?t=1 HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut client = Client::to(&reflector);
        if !first.is_empty() {
            client.send(first);
            assert_eq!(client.answer().status(), 200);
        }
        let begun = Instant::now();
        client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        // One byte every 20 ms: never idle, never complete.
        while client.stream.peek(&mut [0]).is_err() && begun.elapsed() < PATIENCE {
            client.stream.write_all(b"G").unwrap();
        }
        assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
        client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let answer = client.answer();
        assert_eq!(answer.status(), 408);
        assert!(answer.text().contains("not complete after 200ms"), "{}", answer.text());
        assert!(client.is_closed());
    }
    assert_eq!(closed(&reflector).bad_requests, 2);
}

#[test]
fn a_body_that_does_not_come_is_cut_off_in_time() {
    let reflector = start(strict());
    let mut client = Client::to(&reflector);
    let begun = Instant::now();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    let answer = client.answer();
    assert_eq!(answer.status(), 408, "{}", answer.text());
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert!(client.is_closed());
    assert_eq!(closed(&reflector).bad_requests, 1);
}

#[test]
fn idle_connections_are_closed_in_time() {
    let reflector = start(Config { listeners: vec![config().listeners[0], tcp()], ..strict() });
    let begun = Instant::now();
    let mut silent = Client::to(&reflector);
    let mut fast = Client::to(&reflector);
    assert_eq!(fast.get("/").status(), 200);
    let mut whole = Client::to(&reflector);
    assert_eq!(whole.get("/?t=1").status(), 200);
    let mut echo = Client::connect(reflector.addresses()[1]);
    echo.send("x");
    assert_eq!(echo.exactly(1), b"x");
    for client in [&mut silent, &mut fast, &mut whole, &mut echo] {
        assert!(client.is_closed());
    }
    assert!(begun.elapsed() >= Duration::from_millis(400));
    let ledger = closed(&reflector);
    assert_eq!((ledger.silent, ledger.closed_by_reflector), (1, 3));
}

#[test]
fn no_bytes_make_it_fall_over() {
    let reflector = start(strict());
    let mut state = 7_u64;
    for _ in 0..200 {
        let mut client = Client::to(&reflector);
        let bytes: Vec<u8> = (0..300)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        // It may have refused and closed before all was sent.
        let _ = client.stream.write_all(&bytes);
    }
    closed(&reflector);
    assert_eq!(Client::to(&reflector).get("/").status(), 200);
}

#[test]
fn a_taken_port_is_named_with_the_cause_and_a_hint() {
    let first = start(config());
    for threads in [1, 2] {
        let mut config = config();
        config.listeners[0].address = first.addresses()[0];
        config.threads = threads.try_into().unwrap();
        let error = reflector::start(config).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot listen on {}: Address already in use", first.addresses()[0])),
            "{error}"
        );
        assert!(error.ends_with("choose another port or port 0"), "{error}");
    }
    let mut config = config();
    config.listeners[0].address = "192.0.2.1:0".parse().unwrap();
    let error = reflector::start(config).unwrap_err().to_string();
    assert!(error.contains("192.0.2.1:0") && error.contains("no interface of this host"), "{error}");
}

#[test]
fn a_core_that_does_not_exist_is_a_warning() {
    let reflector = start(Config { cores: vec![100_000], ..config() });
    assert_eq!(reflector.warnings().len(), 1);
    assert!(reflector.warnings()[0].contains("core 100000 was refused"), "{}", reflector.warnings()[0]);
    assert_eq!(Client::to(&reflector).get("/").status(), 200);
}
