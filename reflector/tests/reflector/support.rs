//! A client that shares no parser with the reflector, and waits that are bounded.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reflector::Reflector;
use reflector::config::{Config, Kind, Listener};
use wire::ledger::Ledger;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn config() -> Config {
    Config { drain: Duration::from_secs(1), ..Config::new("r1", "127.0.0.1:0".parse().unwrap()) }
}

pub(crate) fn start(config: Config) -> Reflector {
    reflector::start(config).unwrap()
}

pub(crate) fn tcp() -> Listener {
    Listener { address: "127.0.0.1:0".parse().unwrap(), kind: Kind::Tcp }
}

/// Waits until the books say what is expected.
pub(crate) fn settle(reflector: &Reflector, mut done: impl FnMut(&Ledger) -> bool) -> Ledger {
    let begun = Instant::now();
    loop {
        let ledger = reflector.ledger(false);
        if done(&ledger) {
            return ledger;
        }
        assert!(begun.elapsed() < PATIENCE, "the books never said so: {ledger:?}");
        std::thread::yield_now();
    }
}

/// Waits until nothing is open, and checks that every connection has exactly one end.
pub(crate) fn closed(reflector: &Reflector) -> Ledger {
    let ledger = settle(reflector, |ledger| ledger.open_now == 0);
    let ends = ledger.closed_by_peer + ledger.closed_by_reflector + ledger.reset_by_peer + ledger.reset_by_reflector;
    assert_eq!(ledger.opened, ends, "{ledger:?}");
    ledger
}

pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    pub(crate) fn to(reflector: &Reflector) -> Self {
        Self::connect(reflector.addresses()[0])
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.answer()
    }

    pub(crate) fn check(&mut self) -> Answer {
        self.send("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: nadare-check\r\n\r\n");
        self.answer()
    }

    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let read = self.stream.read(&mut byte).unwrap();
            assert_eq!(read, 1, "the connection ended in a head: {:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads one answer, framed by length, chunks or the end of the connection.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = Answer { head: self.head(), body: Vec::new() };
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body.extend(chunk);
            }
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.exactly(length.parse().unwrap());
        } else if answer.status() != 204 && answer.status() != 304 {
            self.stream.read_to_end(&mut answer.body).unwrap();
        }
        answer
    }

    fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.exactly(1));
        }
        let length = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim_end(), 16).unwrap();
        let chunk = self.exactly(length);
        assert_eq!(self.exactly(2), b"\r\n");
        (length > 0).then_some(chunk)
    }

    pub(crate) fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Whether the reflector closes now; fails the test if it says something instead.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(0) => true,
            Ok(_) => panic!("more bytes instead of the end"),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                false
            }
        }
    }

    /// Reads until the reset; what came before it.
    pub(crate) fn until_reset(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let error = self.stream.read_to_end(&mut bytes).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        bytes
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        host::socket::reset_on_close(&self.stream).unwrap();
    }
}
