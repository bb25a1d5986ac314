//! What well-formed requests get.

use std::io::Read;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use reflector::config::{Config, Stall};
use wire::{body, identity};

use crate::support::*;

#[test]
fn an_answer_says_who_answered_and_what_was_seen() {
    let reflector = start(config());
    drop(Client::to(&reflector));
    let mut client = Client::to(&reflector);
    for (request, target) in ["/", "/?s=5", "/?t=1", "/?k=1", "/?s=70000"].into_iter().enumerate() {
        let answer = client.get(target);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header(identity::INSTANCE), Some("r1"));
        assert_eq!(answer.header(identity::CLIENT), Some(&*client.stream.local_addr().unwrap().to_string()));
        assert_eq!(answer.header(identity::CONNECTION), Some("2"));
        assert_eq!(answer.header(identity::REQUEST), Some(&*(request + 1).to_string()));
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")));
    }
}

#[test]
fn bodies_have_the_size_and_the_bytes_that_were_asked_for() {
    let reflector = start(config());
    let mut client = Client::to(&reflector);
    for chunked in [0, 1] {
        for size in [0, 1, 1024, 65_536, 65_537, 1 << 20] {
            for nonce in [0, 1, 0xdead_beef_u32] {
                client.send(&format!(
                    "GET /?s={size}&k={chunked} HTTP/1.1\r\nHost: a\r\nX-Nadare-Nonce: {nonce:08x}\r\n\r\n"
                ));
                let answer = client.answer();
                assert_eq!(answer.header("content-length").is_some(), chunked == 0, "{}", answer.head);
                assert_eq!(answer.body.len(), size, "k={chunked}");
                assert!(body::matches(nonce, 0, &answer.body), "size {size}, nonce {nonce}");
            }
        }
    }
    assert_eq!(client.get("/").body.len(), 1024, "the default size");
}

#[test]
fn head_gets_the_length_and_no_body() {
    let reflector = start(config());
    let mut client = Client::to(&reflector);
    for target in ["/?s=10", "/?s=10&t=1", "/?s=100000", "/?s=10&k=1"] {
        client.send(&format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    assert_eq!(client.get("/?s=3").body.len(), 3, "nothing of a body may be in the way");
    let ledger = settle(&reflector, |ledger| ledger.responses == 5);
    assert_eq!(ledger.requests, 5);
}

#[test]
fn http_10_closes_unless_asked_to_keep() {
    let reflector = start(config());
    for target in ["/?s=5", "/?s=5&t=1"] {
        let mut client = Client::to(&reflector);
        client.send(&format!("GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.header("connection"), answer.body.len()), (Some("keep-alive"), 5));
        client.send(&format!("GET {target} HTTP/1.0\r\n\r\n"));
        assert_eq!(client.answer().body.len(), 5);
        assert!(client.is_closed());
    }
    let mut client = Client::to(&reflector);
    client.send("GET /?s=100000&k=1 HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.header("transfer-encoding"), None, "HTTP/1.0 has no chunks");
    assert!(answer.body.len() == 100_000 && body::matches(0, 0, &answer.body));
}

#[test]
fn the_connection_is_kept_or_closed_as_asked() {
    let reflector = start(config());
    for target in ["/?C=1", "/?C=1&t=1"] {
        let mut client = Client::to(&reflector);
        assert_eq!(client.get(target).header("connection"), Some("close"));
        assert!(client.is_closed());
    }
    let mut client = Client::to(&reflector);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().header("connection"), Some("close"));
    assert!(client.is_closed());
    assert_eq!(closed(&reflector).closed_by_reflector, 3);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let reflector = start(config());
    let mut client = Client::to(&reflector);
    let sizes = [1, 2, 60_000, 70_000, 3];
    let text: String = sizes.iter().map(|size| format!("GET /?s={size} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(&text);
    for (at, size) in sizes.into_iter().enumerate() {
        let answer = client.answer();
        assert_eq!(answer.body.len(), size);
        assert_eq!(answer.header(identity::REQUEST), Some(&*(at + 1).to_string()));
    }
    // Cut inside a head, behind a complete one.
    client.send("GET /?s=4 HTTP/1.1\r\nHost: a\r\n\r\nGET /?s=5 HT");
    assert_eq!(client.answer().body.len(), 4);
    client.send("TP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().body.len(), 5);
}

#[test]
fn answers_that_the_peer_takes_late_are_whole() {
    let reflector = start(config());
    let mut client = Client::to(&reflector);
    let count = 400;
    client.send(&"GET /?s=60000 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count));
    for _ in 0..count {
        let answer = client.answer();
        assert!(answer.body.len() == 60_000 && body::matches(0, 0, &answer.body));
    }
    assert_eq!(settle(&reflector, |ledger| ledger.responses == count as u64).requests, count as u64);
}

#[test]
fn request_bodies_are_read_before_the_answer() {
    let reflector = start(config());
    let mut client = Client::to(&reflector);
    client.send("POST /?s=7 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().body.len(), 7);
    client.send("POST /?s=8 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(client.answer().body.len(), 8);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("ok");
    assert_eq!(client.answer().status(), 200);
    let ledger = settle(&reflector, |ledger| ledger.responses == 3);
    assert_eq!((ledger.requests, ledger.responses_by_class), (3, [1, 3, 0, 0, 0]));
}

#[test]
fn statuses_are_as_asked() {
    let reflector = start(config());
    let mut client = Client::to(&reflector);
    for (target, status) in
        [("/?r=404", 404), ("/?r=503&t=1", 503), ("/?r=204", 204), ("/?r=304&k=1", 304), ("/?r=599", 599)]
    {
        assert_eq!(client.get(target).status(), status);
    }
    assert_eq!(client.get("/?c=0").header("cache-control"), Some("no-cache"));
    assert_eq!(settle(&reflector, |ledger| ledger.responses == 6).responses_by_class, [0, 2, 1, 1, 2]);
}

#[test]
fn a_delay_is_never_shorter_than_asked() {
    let mut config = config();
    config.defaults.delay = reflector::config::Spread::Fixed(0.010);
    let reflector = start(config);
    let mut client = Client::to(&reflector);
    for (target, ms) in [("/", 10), ("/?t=1", 1), ("/?t=100", 100), ("/?t=0", 0)] {
        let begun = Instant::now();
        assert_eq!(client.get(target).status(), 200);
        assert!(begun.elapsed() >= Duration::from_millis(ms), "{target} took {:?}", begun.elapsed());
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[test]
fn a_stall_stops_half_way_through_the_body() {
    let reflector = start(config());
    let mut client = Client::to(&reflector);
    let begun = Instant::now();
    client.send("GET /?s=1000&stall=200 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    let first = client.exactly(500);
    assert!(body::matches(0, 0, &first));
    client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(client.stream.read(&mut [0]).is_err(), "the second half came without a stall");
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(body::matches(0, 500, &client.exactly(500)));
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_configured_stall_holds_every_answer_back() {
    let stall = Stall { at: Duration::ZERO, length: Duration::from_millis(300), every: None };
    let reflector = start(Config { stall: Some(stall), ..config() });
    // A check must not start the clock.
    let mut client = Client::to(&reflector);
    let begun = Instant::now();
    client.check();
    let after_check = Instant::now();
    client.get("/");
    assert!(after_check.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    let begun = Instant::now();
    client.get("/");
    assert!(begun.elapsed() < Duration::from_millis(300), "the window is over");
}

#[test]
fn resets_come_where_they_were_asked_for() {
    let reflector = start(config());
    let reset = |request: &str| {
        let mut client = Client::to(&reflector);
        client.send(request);
        client.until_reset()
    };
    let get = |target: &str| reset(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(get("/?x=accept"), b"");
    assert_eq!(reset("POST /?x=accept HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"), b"");
    for target in ["/?x=head&s=1000", "/?x=head&s=0", "/?x=head&k=1"] {
        let bytes = get(target);
        assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n") && bytes.ends_with(b"\r\n\r\n"), "{target}");
    }
    for size in [1000, 1 << 20] {
        let bytes = get(&format!("/?x=body&s={size}"));
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(bytes.len() - head, size / 2);
    }
    let ledger = closed(&reflector);
    assert_eq!((ledger.reset_by_reflector, ledger.requests, ledger.responses), (7, 7, 0));
}

#[test]
fn a_client_that_half_closes_still_gets_its_answer() {
    let reflector = start(config());
    for target in ["/?s=9", "/?s=9&t=20"] {
        let mut client = Client::to(&reflector);
        client.send(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.answer().body.len(), 9);
        assert!(client.is_closed());
    }
    assert_eq!(closed(&reflector).closed_by_peer, 2);
}

#[test]
fn plain_tcp_echoes_and_respects_a_half_close() {
    let reflector = start(Config { listeners: vec![tcp()], ..config() });
    let mut client = Client::to(&reflector);
    let bytes: Vec<u8> = body::window(3, 0, 50_000).to_vec();
    client.send(std::str::from_utf8(&bytes).unwrap());
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.exactly(bytes.len()), bytes);
    assert!(client.is_closed());
    drop(Client::to(&reflector));
    let ledger = settle(&reflector, |ledger| ledger.silent == 1);
    assert_eq!((ledger.opened, ledger.closed_by_peer, ledger.bytes_in, ledger.bytes_out), (1, 1, 50_000, 50_000));
}

#[test]
fn it_serves_ipv4_and_ipv6_on_several_threads() {
    let mut config = config();
    config.listeners.push(reflector::config::Listener { address: "[::1]:0".parse().unwrap(), ..config.listeners[0] });
    config.threads = 2.try_into().unwrap();
    let reflector = start(config);
    assert_eq!(reflector.addresses().len(), 2);
    for _ in 0..20 {
        for &address in reflector.addresses() {
            let mut client = Client::connect(address);
            let answer = client.get("/");
            assert_eq!(answer.header(identity::CLIENT), Some(&*client.stream.local_addr().unwrap().to_string()));
        }
    }
    assert_eq!(closed(&reflector).requests, 40);
}

#[test]
fn an_empty_query_lists_the_parameters() {
    let reflector = start(config());
    let answer = Client::to(&reflector).get("/?");
    assert!(answer.text().contains("s=<size>"), "{}", answer.text());
}

#[test]
fn exactly_the_configured_share_fails() {
    let mut config = config();
    config.defaults.failures = Some(reflector::config::Failures { per_billion: 50_000_000, status: 500 });
    config.threads = 2.try_into().unwrap();
    let reflector = start(config);
    let statuses = (0..400).map(|n| {
        let mut client = Client::to(&reflector);
        assert_eq!(client.check().status(), 200, "checks never fail");
        // Every third by way of hyper: both paths draw from one sequence.
        client.get(if n % 3 == 0 { "/?t=1" } else { "/" }).status()
    });
    assert_eq!(statuses.filter(|&status| status == 500).count(), 20);
    assert_eq!(closed(&reflector).responses_by_class, [0, 380, 0, 0, 20]);
}
