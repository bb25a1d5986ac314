//! Rate caps and the connection cap.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reflector::config::{CapUnit, Config, Over, RateCap};
use wire::units::Rate;

use crate::support::*;

fn capped(rate: f64, over: Over, unit: CapUnit) -> Config {
    let rate = Rate::per_second(rate).unwrap();
    Config {
        rate_cap: Some(RateCap { rate, over, unit, burst: Duration::from_millis(20) }),
        threads: 2.try_into().unwrap(),
        ..config()
    }
}

#[test]
fn connections_above_the_connection_cap_are_reset_and_booked_apart() {
    let reflector = start(Config { connection_cap: Some(3), ..config() });
    let mut held: Vec<Client> = (0..3).map(|_| Client::to(&reflector)).collect();
    for client in &mut held {
        assert_eq!(client.get("/").status(), 200);
    }
    for _ in 0..5 {
        let error = attempt(reflector.addresses()[0]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    }
    // One leaves, one may come: also at once after the reflector's own close.
    let mut leaving = held.pop().unwrap();
    leaving.get("/?C=1");
    assert!(leaving.is_closed());
    assert_eq!(Client::to(&reflector).get("/").status(), 200);
    drop(held);
    let ledger = closed(&reflector);
    assert_eq!((ledger.refused_by_cap, ledger.opened, ledger.open_peak, ledger.reset_by_reflector), (5, 4, 3, 0));
}

#[test]
fn a_refusing_cap_resets_connections_that_come_too_fast() {
    let reflector = start(capped(100.0, Over::Refuse, CapUnit::Connections));
    let begun = Instant::now();
    let (mut served, mut refused) = (0_u64, 0_u64);
    while begun.elapsed() < Duration::from_secs(1) {
        match attempt(reflector.addresses()[0]) {
            Ok(bytes) if !bytes.is_empty() => served += 1,
            _ => refused += 1,
        }
    }
    let allowed = begun.elapsed().as_secs_f64() * 100.0;
    assert!((served as f64 - allowed).abs() <= 5.0, "{served} served, {allowed} allowed, {refused} refused");
    assert!(refused > 100, "{refused}");
    let ledger = closed(&reflector);
    assert_eq!((ledger.responses, ledger.reset_by_reflector, ledger.opened), (served, refused, served + refused));
}

/// One request on a connection of its own. The reset may come at any time: while connecting too.
fn attempt(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /?C=1 HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_refusing_cap_answers_requests_that_come_too_fast_with_503() {
    let reflector = start(capped(50.0, Over::Refuse, CapUnit::Requests));
    let mut client = Client::to(&reflector);
    let statuses: Vec<u16> = (0..20).map(|n| client.get(if n % 2 == 0 { "/" } else { "/?t=0" }).status()).collect();
    assert_eq!(statuses[0], 200);
    assert!(statuses.iter().filter(|&&status| status == 503).count() >= 10, "{statuses:?}");
    for _ in 0..20 {
        assert_eq!(client.check().status(), 200, "checks are not capped");
    }
    let ledger = settle(&reflector, |ledger| ledger.responses == 20);
    assert_eq!(ledger.requests, 20);
}

#[test]
fn a_503_of_the_cap_has_no_body_for_head_and_says_whether_the_connection_is_kept() {
    // Two are granted at once; the third comes long before its time.
    let reflector = start(capped(0.01, Over::Refuse, CapUnit::Requests));
    for target in ["/", "/?t=0", "/?t=1"] {
        let mut client = Client::to(&reflector);
        if target == "/" {
            assert_eq!((client.get(target).status(), client.get(target).status()), (200, 200));
        }
        client.send(&format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(client.head().starts_with("HTTP/1.1 503"), "{target}");
        // Where a body was sent, the next head would begin with its text.
        client.send(&format!("GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        let kept = client.answer();
        assert_eq!((kept.status(), kept.text()), (503, "the rate cap is reached\n"), "{target}");
        assert_eq!(kept.header("connection"), Some("keep-alive"), "{target}");
        client.send(&format!("GET {target} HTTP/1.0\r\n\r\n"));
        let last = client.answer();
        assert_eq!(last.status(), 503, "{target}");
        assert!(client.is_closed(), "{target}");
    }
}

/// Serves a backlog through a queueing cap; the time from the first request to the last answer.
fn drain_backlog(unit: CapUnit, target: &str) -> Duration {
    const BACKLOG: usize = 400;
    let reflector = start(capped(400.0, Over::Queue, unit));
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let begun = Instant::now();
    let mut waiting: Vec<Client> = (0..BACKLOG)
        .map(|_| {
            let mut client = Client::to(&reflector);
            client.send(&request);
            client
        })
        .collect();
    for client in &mut waiting {
        assert_eq!(client.answer().status(), 200);
    }
    let took = begun.elapsed();
    drop(waiting);
    let ledger = closed(&reflector);
    assert_eq!((ledger.responses, ledger.reset_by_reflector), (BACKLOG as u64, 0));
    took
}

/// 400 at 400/s, of which nine go at once (20 ms worth and one): never faster, and not much slower.
fn assert_rate(took: Duration) {
    assert!((977..1200).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_queueing_cap_serves_connections_at_exactly_its_rate() {
    assert_rate(drain_backlog(CapUnit::Connections, "/"));
}

#[test]
fn a_queueing_cap_serves_requests_at_exactly_its_rate() {
    assert_rate(drain_backlog(CapUnit::Requests, "/"));
}

#[test]
fn who_leaves_the_queue_gives_the_place_up() {
    for unit in [CapUnit::Connections, CapUnit::Requests] {
        let reflector = start(capped(10.0, Over::Queue, unit));
        let send = || {
            let mut client = Client::to(&reflector);
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        };
        // Twenty seconds' worth, of which all leave.
        let leaving: Vec<Client> = (0..200).map(|_| send()).collect();
        settle(&reflector, |ledger| ledger.bytes_in == 200 * 27);
        drop(leaving);
        settle(&reflector, |ledger| ledger.open_now == 0);
        let begun = Instant::now();
        assert_eq!(send().answer().status(), 200);
        assert!(begun.elapsed() < Duration::from_secs(2), "{unit:?}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_plain_tcp_peer_in_the_queue_may_leave_or_half_close_and_does_not_hold_up_the_end() {
    let listeners = vec![tcp()];
    let reflector = start(Config { listeners, drain: PATIENCE, ..capped(5.0, Over::Queue, CapUnit::Connections) });
    // Twenty seconds' worth, of which all leave: by a close, by a reset after a word.
    for n in 0..100 {
        let mut client = Client::to(&reflector);
        if n % 2 == 1 {
            client.send("x");
            client.reset();
        }
    }
    settle(&reflector, |ledger| ledger.open_now == 0);
    let begun = Instant::now();
    let mut half_closed = Client::to(&reflector);
    half_closed.send("hello");
    half_closed.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut echo = Vec::new();
    half_closed.stream.read_to_end(&mut echo).unwrap();
    assert_eq!(echo, b"hello");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let waiting: Vec<Client> = (0..50).map(|_| Client::to(&reflector)).collect();
    settle(&reflector, |ledger| ledger.open_now == 50);
    let begun = Instant::now();
    assert_eq!(reflector.stop().open_now, 0);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(waiting);
}
