//! Scripted servers, exact clients, bounded waits.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lb::Lb;
use lb::config::Config;

/// The longest any test waits for something that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Starts a load balancer with one HTTP service on these servers; `service` is added to its table.
pub(crate) fn lb(service: &str, servers: &[&Server]) -> Lb {
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    lb_on(service, &addresses)
}

/// As [`lb`], on bare addresses.
pub(crate) fn lb_on(service: &str, servers: &[SocketAddr]) -> Lb {
    let servers: Vec<_> = servers
        .iter()
        .enumerate()
        .map(|(at, address)| format!("{{ name = 'r{at}', address = '{address}' }}"))
        .collect();
    let text = format!(
        "workers = 1\ndrain = '5s'\n[admin]\nlisten = '127.0.0.1:0'\n\
         [[virtual_service]]\nname = 'web'\nlisten = '127.0.0.1:0'\nmode = 'http'\ngroup = 'web'\n{service}\n\
         [[group]]\nname = 'web'\nreal_servers = [{}]\n",
        servers.join(", ")
    );
    lb::start(Config::parse("test.toml", &text).unwrap()).unwrap()
}

/// A real server: a script runs once per connection, on a thread of its own.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    pub(crate) fn start(script: impl Fn(Peer) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&server.seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(Vec::new());
                    seen.len() - 1
                };
                let peer = Peer { stream: bounded(stream.unwrap()), number, seen: Arc::clone(&seen) };
                let script = script.clone();
                std::thread::spawn(move || script(peer));
            }
        });
        server
    }

    /// Answers every request with its name; keeps its connections. Understands requests without content.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()))
    }

    /// Answers every head with these bytes and keeps the connection.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut peer| {
            while peer.head().is_some() {
                peer.say(&answer);
            }
        })
    }

    /// Answers the first head with these bytes and closes.
    pub(crate) fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut peer| {
            peer.head();
            peer.say(&answer);
        })
    }

    /// What was received, by connection.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

/// A connection as its server sees it.
pub(crate) struct Peer {
    stream: TcpStream,
    /// Number of the connection, from 0.
    pub(crate) number: usize,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Peer {
    /// Reads one head; `None` when the connection has ended.
    pub(crate) fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.read(1)?);
        }
        Some(String::from_utf8(head).unwrap())
    }

    /// Reads one line without its CR LF; `None` when the connection has ended.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.read(1)?);
        }
        line.truncate(line.len() - 2);
        Some(String::from_utf8(line).unwrap())
    }

    /// Reads so many bytes; `None` when the connection has ended before.
    pub(crate) fn read(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).ok()?;
        self.seen.lock().unwrap()[self.number].extend_from_slice(&bytes);
        Some(bytes)
    }

    /// Sends bytes; whether the other side still takes them.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// The connection itself, for another protocol.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads to the end of the connection; how many bytes came.
    pub(crate) fn drain(&mut self) -> usize {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        rest.len()
    }

    /// Ends its own direction.
    pub(crate) fn half_close(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        host::socket::reset_on_close(&self.stream).unwrap();
    }
}

/// A client connection.
pub(crate) struct Client(pub(crate) TcpStream);

/// What a client got.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Whether the head has this line.
    pub(crate) fn has(&self, line: &str) -> bool {
        self.head.split("\r\n").any(|it| it == line)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn to(lb: &Lb) -> Self {
        Self(bounded(TcpStream::connect_timeout(&lb.addresses()[0], PATIENCE).unwrap()))
    }

    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Sends a GET and returns its response.
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.say(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).response()
    }

    /// Reads one head.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let count = self.0.read(&mut byte).unwrap();
            assert_eq!(count, 1, "the connection ended in the head {}", head.escape_ascii());
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads a response that has a Content-Length, or none and no content.
    pub(crate) fn response(&mut self) -> Response {
        let head = self.head();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let body = self.exactly(length.map_or(0, |length| length.parse().unwrap()));
        Response { status, head, body }
    }

    pub(crate) fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads to the end, which must be a FIN.
    pub(crate) fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Reads to the end, which must be a reset.
    pub(crate) fn rest_until_reset(&mut self) -> String {
        let mut bytes = Vec::new();
        let error = self.0.read_to_end(&mut bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        String::from_utf8(bytes).unwrap()
    }

    /// Ends its own direction.
    pub(crate) fn half_close(&mut self) -> &mut Self {
        self.0.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        host::socket::reset_on_close(&self.0).unwrap();
    }
}

fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// An address on which nobody listens.
pub(crate) fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The value of one line of `/metrics`, by its beginning up to the space.
pub(crate) fn metric(lb: &Lb, name: &str) -> u64 {
    let mut stream = bounded(TcpStream::connect(lb.admin().unwrap()).unwrap());
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let line = answer.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no metric {name} in {answer}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
