//! More clients than descriptors: accepting pauses and recovers by itself, is logged at most once a
//! second, costs next to no CPU time, and what runs already goes on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::process::{Lb, bounded, until};

/// Descriptors the program may have; it needs about 20 itself.
const DESCRIPTORS: u32 = 48;
/// More clients than that.
const CLIENTS: usize = 100;
/// How long the shortage is watched.
const WATCHED: Duration = Duration::from_millis(2500);
const SHORTAGE: &str = "this machine has run out of something";

/// A server that answers each 5 bytes (TCP) or each request (HTTP) on every connection.
fn echo(is_http: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = bounded(stream.unwrap());
            stream.set_read_timeout(None).unwrap();
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut piece = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut piece) {
                    bytes.extend_from_slice(&piece[..count]);
                    let asked = if is_http { bytes.ends_with(b"\r\n\r\n") } else { bytes.ends_with(b"good?") };
                    if asked {
                        bytes.clear();
                        let answer = if is_http { HTTP_ANSWER } else { "good!" };
                        let _ = stream.write_all(answer.as_bytes());
                    }
                }
            });
        }
    });
    address
}

const HTTP_ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";
const HTTP_ASKED: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// Asks on a connection; whether it was served.
fn ask(stream: &mut TcpStream, is_http: bool) -> bool {
    let asked = if is_http { HTTP_ASKED } else { "good?" };
    let wanted: &[u8] = if is_http { b"\r\n\r\ngood" } else { b"good!" };
    if stream.write_all(asked.as_bytes()).is_err() {
        return false;
    }
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    while !heard.ends_with(wanted) {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => heard.extend_from_slice(&piece[..count]),
            _ => return false,
        }
    }
    true
}

/// Holds more clients than there are descriptors, while `old` go on being served, and lets them go;
/// returns what was measured.
fn exhaust(lb: &Lb, old: &mut [TcpStream], is_http: bool) -> String {
    assert!(old.iter_mut().all(|client| ask(client, is_http)));
    let held: Vec<_> = (0..CLIENTS).map(|_| lb.connect()).collect();
    until(|| "no shortage was logged".to_owned(), || lb.logged(SHORTAGE) > 0);
    let (logged, cpu, began) = (lb.logged(SHORTAGE), host::kernel::process_cpu_ns(lb.pid()).unwrap(), Instant::now());
    let mut served = 0;
    while began.elapsed() < WATCHED {
        assert!(old.iter_mut().all(|client| ask(client, is_http)), "after {served} rounds");
        served += 1;
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let took = began.elapsed();
    let cpu = Duration::from_nanos(host::kernel::process_cpu_ns(lb.pid()).unwrap() - cpu);
    let logged = lb.logged(SHORTAGE) - logged;
    // Accepting is tried about 20 times a second; a busy loop would take all of the time.
    assert!(cpu < took / 10, "{cpu:?} of CPU time in {took:?}");
    assert!((1..=took.as_secs() as usize + 1).contains(&logged), "{logged} lines in {took:?}");
    drop(held);
    // By itself: all who wait are accepted, seen to have gone, and the next one is served. While they
    // are, there may be no descriptor for the server side of one more, who is then turned away.
    until(|| "no fresh client is served".to_owned(), || ask(&mut lb.connect(), is_http));
    assert!(old.iter_mut().all(|client| ask(client, is_http)));
    format!(
        "out of descriptors for {:.1} s: {logged} lines logged, {:.1} ms of CPU time, {served} rounds of {} requests",
        took.as_secs_f64(),
        cpu.as_secs_f64() * 1e3,
        old.len()
    )
}

#[test]
fn tcp_without_descriptors_pauses_and_recovers() {
    let lb = Lb::start_limited("mode = 'tcp'", &[echo(false)], Some(DESCRIPTORS));
    let mut old: Vec<_> = (0..3).map(|_| lb.connect()).collect();
    println!("TCP, {}", exhaust(&lb, &mut old, false));
    assert!(lb.counters()["shortages"] > 0);
    drop(old);
    lb.settles();
}

#[test]
fn http_without_descriptors_pauses_and_recovers() {
    // Its own server connection per client: who has one is not concerned.
    let lb = Lb::start_limited("mode = 'http'\nreuse = 'never'", &[echo(true)], Some(DESCRIPTORS));
    let mut old: Vec<_> = (0..3).map(|_| lb.connect()).collect();
    println!("HTTP, {}", exhaust(&lb, &mut old, true));
    drop(old);
    lb.settles();
}

#[test]
fn a_request_without_a_descriptor_for_its_server_is_told_so_and_counted() {
    let lb = Lb::start_limited("mode = 'http'\nreuse = 'never'", &[echo(true)], Some(DESCRIPTORS));
    let mut client = lb.connect();
    let held: Vec<_> = (0..CLIENTS).map(|_| lb.connect()).collect();
    until(|| "no shortage was logged".to_owned(), || lb.logged(SHORTAGE) > 0);
    client.write_all(HTTP_ASKED.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let count = client.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    drop(held);
    // The connection was kept, and now there is a descriptor.
    until(|| "no descriptor is free".to_owned(), || host::kernel::process_descriptors(lb.pid()).unwrap() < 30);
    assert!(ask(&mut client, true));
    let counters = lb.counters();
    assert_eq!((counters["connection_errors"], counters["5xx"], counters["2xx"]), (1, 1, 1), "{counters:?}");
    assert!(counters["shortages"] >= 2, "accepting and connecting: {counters:?}");
    // It is no server's fault.
    assert_eq!(counters["retry_warnings"], 0);
    drop(client);
    lb.settles();
}
