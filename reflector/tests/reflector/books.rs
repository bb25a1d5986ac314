//! The ledger, to the connection, request and byte.

use std::io::Write as _;
use std::time::{Duration, Instant};

use reflector::config::{Checks, Config, Limits};

use crate::support::*;

#[test]
fn every_kind_of_connection_is_booked_exactly() {
    let checks = Checks { paths: vec!["/health".into()], ..Checks::default() };
    let reflector = start(Config { checks, threads: 2.try_into().unwrap(), ..config() });
    for path in ["/", "/?t=1"] {
        for _ in 0..7 {
            drop(Client::to(&reflector)); // silent
            Client::to(&reflector).check();
            Client::to(&reflector).get("/health");
            Client::to(&reflector).get(path); // closed by the peer
            Client::to(&reflector).get(&format!("{}{}C=1", path, if path == "/" { "?" } else { "&" }));
            let mut resetting = Client::to(&reflector);
            resetting.get(path);
            resetting.reset();
            let mut mixed = Client::to(&reflector);
            mixed.check();
            mixed.get(path);
        }
    }
    let ledger = closed(&reflector);
    assert_eq!((ledger.silent, ledger.check_connections, ledger.check_requests), (14, 28, 42));
    assert_eq!((ledger.opened, ledger.requests, ledger.responses), (56, 56, 56));
    assert_eq!(ledger.responses_by_class, [0, 56, 0, 0, 0]);
    assert_eq!((ledger.closed_by_reflector, ledger.reset_by_peer, ledger.closed_by_peer), (14, 14, 28));
    assert_eq!((ledger.bad_requests, ledger.reset_by_reflector, ledger.refused_by_cap), (0, 0, 0));
    let last = reflector.stop();
    assert_eq!(last.per_second.iter().map(|second| second.opened).sum::<u64>(), 14 + 28 + 56);
    assert_eq!(last.per_second.iter().map(|second| second.requests).sum::<u64>(), 56);
    assert_eq!(last.per_second.last().unwrap().open, 0);
}

#[test]
fn bytes_are_counted_as_the_client_counts_them() {
    let reflector = start(config());
    let mut client = Client::to(&reflector);
    let (mut sent, mut received) = (0, 0);
    for target in ["/?s=100", "/?s=70000", "/?s=5&t=1"] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send(&text);
        let answer = client.answer();
        sent += text.len();
        received += answer.head.len() + answer.body.len();
    }
    drop(client);
    let ledger = closed(&reflector);
    assert_eq!((ledger.bytes_in, ledger.bytes_out), (sent as u64, received as u64));
}

#[test]
fn the_peak_is_what_was_open_at_once_and_can_start_again() {
    let reflector = start(config());
    let held: Vec<Client> = (0..30)
        .map(|_| {
            let mut client = Client::to(&reflector);
            client.get("/");
            client
        })
        .collect();
    let ledger = reflector.ledger(false);
    assert_eq!((ledger.open_now, ledger.open_peak, ledger.opened), (30, 30, 30));
    drop(held);
    closed(&reflector);
    assert_eq!(reflector.ledger(true).open_peak, 30);
    assert_eq!(reflector.ledger(false).open_peak, 0);
}

#[test]
fn a_connection_that_only_said_something_incomplete_is_opened_not_silent() {
    let reflector = start(config());
    Client::to(&reflector).send("GET / HT");
    let ledger = settle(&reflector, |ledger| ledger.closed_by_peer == 1);
    assert_eq!((ledger.opened, ledger.silent, ledger.requests, ledger.bad_requests), (1, 0, 0, 0));
}

#[test]
fn stop_finishes_what_is_under_way_and_closes_the_rest() {
    let reflector = start(Config { drain: Duration::from_millis(1500), ..config() });
    let address = reflector.addresses()[0];
    let mut idle = Client::to(&reflector);
    idle.get("/");
    let mut idle_at_hyper = Client::to(&reflector);
    idle_at_hyper.get("/?t=1");
    let _silent = Client::to(&reflector);
    let mut under_way = Client::to(&reflector);
    under_way.send("GET /?t=300&s=5 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut endless = Client::to(&reflector);
    endless.send("GET /?t=60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    settle(&reflector, |ledger| ledger.bytes_in > 4 * 30 && ledger.open_now == 5);
    settle(&reflector, |ledger| ledger.requests == 4);
    let begun = Instant::now();
    let ledger = reflector.stop();
    assert!(begun.elapsed() >= Duration::from_millis(1500), "the endless one was waited for");
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(under_way.answer().body.len(), 5);
    assert!(idle.is_closed() && idle_at_hyper.is_closed());
    endless.is_closed();
    assert_eq!((ledger.open_now, ledger.opened, ledger.closed_by_reflector, ledger.silent), (0, 4, 4, 1));
    assert_eq!((ledger.requests, ledger.responses), (4, 3));
    assert!(std::net::TcpStream::connect(address).is_err(), "the port is free again");
}

#[test]
fn stop_without_connections_is_quick() {
    let reflector = start(Config { drain: Duration::from_secs(60), threads: 2.try_into().unwrap(), ..config() });
    let mut idle = Client::to(&reflector);
    idle.get("/");
    let begun = Instant::now();
    reflector.stop();
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn a_refused_peer_that_does_not_finish_is_reset_and_booked_so() {
    let reflector = start(config());
    for first in ["", "GET /?t=1 HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut polite = Client::to(&reflector);
        let mut endless = Client::to(&reflector);
        for client in [&mut polite, &mut endless] {
            if !first.is_empty() {
                client.send(first);
                assert_eq!(client.answer().status(), 200);
            }
            client.send("GARBAGE\r\n\r\n");
            assert_eq!(client.answer().status(), 400);
            assert!(client.is_closed());
        }
        drop(polite);
        let begun = Instant::now();
        // More than it takes: only a reset can end this.
        while endless.stream.write_all(&[b'x'; 65_536]).is_ok() {
            assert!(begun.elapsed() < PATIENCE, "it takes whatever comes");
        }
    }
    let ledger = closed(&reflector);
    assert_eq!((ledger.closed_by_reflector, ledger.reset_by_reflector, ledger.reset_by_peer), (2, 2, 0));
}

#[test]
fn no_interim_response_is_booked_for_a_body_that_is_refused_unread() {
    let limits = Limits { body_bytes: 10, ..Limits::default() };
    let reflector = start(Config { limits, ..config() });
    let mut client = Client::to(&reflector);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().status(), 413);
    assert!(client.is_closed());
    drop(client);
    assert_eq!(closed(&reflector).responses_by_class, [0, 0, 0, 1, 0]);
}
