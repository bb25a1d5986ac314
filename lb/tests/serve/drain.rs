//! The drain: nothing new, running connections finish, the bound holds.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::testbed::{Server, ask, config, connect, get, read_text, real_servers, until};

fn start(drain: &str, server: &Server) -> lb::Lb {
    let text = config("mode = 'tcp'", &real_servers(&[server.address])).replace("drain = '5s'", drain);
    lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap()
}

#[test]
fn a_running_connection_finishes_while_new_ones_are_refused() {
    let server = Server::start(|mut stream| {
        let mut request = [0; 4];
        while stream.read_exact(&mut request).is_ok() {
            stream.write_all(&request).unwrap();
        }
    });
    let lb = start("drain = '10s'", &server);
    let (address, admin) = (lb.addresses()[0], lb.admin().unwrap());
    let mut client = connect(address);
    client.write_all(b"ping").unwrap();
    assert_eq!(read_text(&mut client, 4), "ping");
    lb.drain();
    until("the listener is closed", || TcpStream::connect(address).is_err());
    assert_eq!(get(admin, "/health"), (503, "draining\n".to_owned()));
    client.write_all(b"pong").unwrap();
    assert_eq!(read_text(&mut client, 4), "pong");
    let waiting = std::thread::spawn(move || lb.wait());
    assert!(!waiting.is_finished(), "a connection is still open");
    drop(client);
    let ending = Instant::now();
    waiting.join().unwrap();
    assert!(ending.elapsed() < Duration::from_secs(5), "the drain waited for its bound: {:?}", ending.elapsed());
}

#[test]
fn a_connection_that_does_not_end_is_closed_at_the_bound() {
    const BOUND: Duration = Duration::from_millis(300);
    let server = Server::named("a");
    let lb = start("drain = '300ms'", &server);
    let mut client = connect(lb.addresses()[0]);
    assert_eq!(read_text(&mut client, 1), "a");
    let began = Instant::now();
    lb.drain();
    lb.wait();
    assert!(began.elapsed() >= BOUND, "closed after {:?}", began.elapsed());
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn an_access_log_that_nobody_reads_does_not_keep_it() {
    let path = std::env::temp_dir().join(format!("lb-{}-unread.log", std::process::id()));
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&path).unwrap();
    let size = rustix::pipe::fcntl_setpipe_size(&reader, 4096).unwrap();
    let server = Server::named("a");
    let text = config("mode = 'tcp'", &real_servers(&[server.address]));
    let text = format!("{text}[log]\naccess = '{}'\n", path.display());
    let lb = lb::start(lb::config::Config::parse("test.toml", &text).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    // A line has more than 40 bytes, so these are more than the pipe takes.
    for _ in 0..=size / 40 {
        assert_eq!(ask(lb.addresses()[0]), "a");
    }
    let began = Instant::now();
    lb.drain();
    lb.wait();
    assert!((2..5).contains(&began.elapsed().as_secs()), "ended after {:?}", began.elapsed());
}

#[test]
fn dropping_it_closes_everything_at_once() {
    let server = Server::named("a");
    let lb = start("drain = '60s'", &server);
    let address = lb.addresses()[0];
    let mut client = connect(address);
    assert_eq!(read_text(&mut client, 1), "a");
    drop(lb);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn bytes_that_are_lost_at_the_bound_look_lost() {
    const SIZE: usize = 16 << 20;
    let server = Server::start(|mut stream| {
        // More than all socket buffers hold, so a part of it is in the load balancer's hands.
        let _ = stream.write_all(&vec![7; SIZE]);
    });
    let lb = start("drain = '300ms'", &server);
    let mut client = connect(lb.addresses()[0]);
    // What is lost is only what has been read from the server and not been taken by this client.
    client.peek(&mut [0]).unwrap();
    lb.drain();
    lb.wait();
    let mut heard = Vec::new();
    let error = client.read_to_end(&mut heard).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(heard.len() < SIZE, "all {SIZE} bytes were in socket buffers");
}
