//! The admin server under clients that do not read or do not speak.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::process::{Lb, bounded, until};

/// How many admin connections there may be at a time, and for how long.
const CONNECTIONS: usize = 64;
const TIME: Duration = Duration::from_secs(5);

/// Connects with the smallest receive buffer, so that a large page does not fit.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&address.into()).unwrap();
    bounded(socket.into())
}

/// Whether the admin server answers.
fn answers(lb: &Lb) -> bool {
    let mut stream = bounded(TcpStream::connect(lb.admin).unwrap());
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.ends_with("ok\n")
}

#[test]
fn readers_who_do_not_read_hold_the_admin_server_for_a_bounded_time() {
    // A page of several MiB: as many servers as a group can have, and the longest names.
    let name = "n".repeat(59);
    let server = |at| format!("{{ name = '{name}{at}', address = '127.0.0.1:9' }}");
    let servers: Vec<_> = (0..1024).map(server).collect();
    let group = |at| format!("[[group]]\nname = '{name}{at}'\nreal_servers = [{}]\n", servers.join(", "));
    let groups: String = (0..3).map(group).collect();
    let lb = Lb::start(&format!("mode = 'tcp'\n{groups}"), &[SocketAddr::from(([127, 0, 0, 1], 9))]);
    let began = Instant::now();
    let requests = ["GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "GET /met", ""];
    let mut held: Vec<_> = (0..CONNECTIONS).map(|_| narrow(lb.admin)).collect();
    for (stream, request) in held.iter_mut().zip(requests.iter().cycle()) {
        stream.write_all(request.as_bytes()).unwrap();
    }
    // Not all of the page fits into the buffers: these connections really hold it.
    until(|| "the page is not begun".to_owned(), || held[0].peek(&mut [0]).is_ok_and(|count| count > 0));
    assert!(!answers(&lb), "there is room beside {CONNECTIONS} connections");
    until(|| "no admin server".to_owned(), || answers(&lb));
    assert!(began.elapsed() >= TIME, "they had only {:?}", began.elapsed());
    // All of them, not just one.
    let descriptors = || host::kernel::process_descriptors(lb.pid()).unwrap();
    until(|| "descriptors are left".to_owned(), || descriptors() == lb.descriptors);
}
