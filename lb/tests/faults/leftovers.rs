//! Short connections leave nothing behind: no descriptor, no connection, no memory.
//!
//! What is measured goes to the documentation by hand, with machine and command; the bounds are
//! asserted. The long version runs by name:
//! `cargo test -p lb --test faults -- --ignored --nocapture leftovers`

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::process::{Lb, bounded, until};

/// Connections before memory is looked at for the first time: every stock is full then.
const WARM_UP: usize = 10_000;
/// By how much the memory may differ afterwards, in bytes. A leak of 8 bytes per connection would
/// exceed it in the long version.
const MARGIN: u64 = 512 * 1024;
/// Clients at a time.
const CLIENTS: usize = 8;

const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";

/// A server that answers each piece it gets, on connections that it keeps.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // One each: connections that are kept idle must not keep others waiting.
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(1..) = stream.read(&mut piece) {
                    let _ = stream.write_all(ANSWER);
                }
            });
        }
    });
    address
}

/// Opens, uses and closes so many connections.
fn connections(lb: &Lb, count: usize) {
    let left = AtomicUsize::new(count);
    let one_more = || left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while one_more() {
                    let mut stream = bounded(TcpStream::connect(lb.address).unwrap());
                    stream.write_all(ASKED).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).unwrap();
                    assert!(answer.ends_with(b"good"), "{}", answer.escape_ascii());
                }
            });
        }
    });
}

fn memory(lb: &Lb) -> u64 {
    host::kernel::process_memory(lb.pid()).unwrap().0
}

/// Asserts it; returns what was measured.
fn leaves_nothing(what: &str, service: &str, count: usize) -> String {
    let lb = Lb::start(service, &[server()]);
    let start = memory(&lb);
    connections(&lb, WARM_UP);
    lb.settles();
    let warm = memory(&lb);
    let began = Instant::now();
    connections(&lb, count);
    let took = began.elapsed();
    lb.settles();
    let after = memory(&lb);
    let measured = format!(
        "{what}: {count} connections in {:.1} s; descriptors {} and {}; RssAnon {} KiB at the start, {} KiB after \
         {WARM_UP}, {} KiB after all",
        took.as_secs_f64(),
        lb.descriptors,
        host::kernel::process_descriptors(lb.pid()).unwrap(),
        start / 1024,
        warm / 1024,
        after / 1024
    );
    let counters = lb.counters();
    assert_eq!(counters["sessions"], (WARM_UP + count) as u64);
    assert_eq!((counters["timeouts"], counters["connection_errors"], counters["response_errors"]), (0, 0, 0));
    assert!(after <= warm + MARGIN, "{} bytes more after {count} connections", after - warm);
    // It still lives, and ends cleanly.
    until(|| "no answer".to_owned(), || TcpStream::connect_timeout(&lb.address, Duration::from_secs(1)).is_ok());
    lb.settles();
    measured
}

const HTTP: &str = "mode = 'http'";
const HTTP_ALWAYS: &str = "mode = 'http'\nreuse = 'always'";
const TCP: &str = "mode = 'tcp'";

#[test]
fn ten_thousand_http_connections_leave_nothing() {
    println!("{}", leaves_nothing("HTTP", HTTP, 10_000));
}

#[test]
fn ten_thousand_tcp_connections_leave_nothing() {
    println!("{}", leaves_nothing("TCP", TCP, 10_000));
}

#[test]
#[ignore = "long: about half a minute each; run by name"]
fn a_hundred_thousand_connections_leave_nothing() {
    println!("{}", leaves_nothing("HTTP", HTTP, 100_000));
    println!("{}", leaves_nothing("HTTP, reuse = always", HTTP_ALWAYS, 100_000));
    println!("{}", leaves_nothing("TCP", TCP, 50_000));
}
