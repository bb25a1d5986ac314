//! Plays one row: sockets on both sides of the load balancer, and no idea what HTTP is.
//!
//! A step that waits has a bound; a difference is reported at its first byte. What did *not* happen is
//! looked at only after [`Stage::settle`], when the load balancer has dealt with all it got before.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::row::Row;
use super::step::{Act, Step, Who};

/// The longest wait for something that has to happen.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longer messages are not sent byte by byte.
const SPLIT_MAX: usize = 2000;

const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
const NEXT_SEEN: &[u8] =
    b"GET /next HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\r\n";
const NEXT_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// Each in one piece.
    Whole,
    /// Each byte on its own.
    Bytes,
}

/// One row being played.
pub(crate) struct Stage<'l> {
    listener: &'l TcpListener,
    vip: SocketAddr,
    bell: SocketAddr,
    pieces: Pieces,
    clients: Vec<Side>,
    servers: Vec<Side>,
}

/// One connection.
struct Side {
    /// `None` once it has been reset.
    stream: Option<TcpStream>,
    /// Its end has been seen or made.
    over: bool,
    /// The row has said what becomes of it.
    decided: bool,
}

impl<'l> Stage<'l> {
    /// A stage for one row: where its servers listen, its virtual service, the one that only tells
    /// when the load balancer has caught up.
    pub(crate) fn new(listener: &'l TcpListener, vip: SocketAddr, bell: SocketAddr, pieces: Pieces) -> Self {
        listener.set_nonblocking(true).unwrap();
        Self { listener, vip, bell, pieces, clients: Vec::new(), servers: Vec::new() }
    }

    /// Plays all steps, then looks for what nobody mentioned.
    pub(crate) fn play(mut self, row: &Row) -> Result<(), String> {
        for (number, step) in row.steps.iter().enumerate() {
            if let Err(failure) = self.step(step) {
                let more = self.nothing_else_happened().err().map(|more| format!("\n  besides, {more}"));
                return Err(format!("  step {}, {}: {failure}{}", number + 1, step.who, more.unwrap_or_default()));
            }
        }
        self.settle();
        self.nothing_else_happened().map_err(|failure| format!("  at the end, {failure}"))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let (vip_port, pieces) = (self.vip.port(), self.pieces);
        match &step.act {
            Act::HearsNothing => {
                self.side(step.who)?;
                self.settle();
                self.side(step.who)?.is_silent()
            }
            Act::Stays { over } => self.next(step.who, Who::Server(*over)),
            Act::Sends(bytes) => self.side(step.who)?.send(&bytes.fill(vip_port), pieces),
            Act::Gets(bytes) => self.side(step.who)?.expect(&bytes.fill(vip_port)),
            Act::Told(reply) => self.side(step.who)?.expect(&reply.bytes()),
            Act::Refused(reply) => {
                self.side(step.who)?.expect(&reply.bytes())?;
                self.side(step.who)?.expect_end(&[End::Fin])
            }
            Act::Ends => self.side(step.who)?.shutdown(),
            Act::Resets => self.side(step.who)?.reset(),
            Act::SeesEnd => self.side(step.who)?.expect_end(&[End::Fin]),
            Act::SeesReset => self.side(step.who)?.expect_end(&[End::Reset]),
            Act::SeesClose => self.side(step.who)?.expect_end(&[End::Fin, End::Reset]),
        }
    }

    /// One more exchange, which shows that both connections are in order.
    fn next(&mut self, client: Who, server: Who) -> Result<(), String> {
        self.side(client)?.send(NEXT, Pieces::Whole)?;
        self.side(server)?.expect(NEXT_SEEN).map_err(|failure| format!("the next request: {failure}"))?;
        self.side(server)?.send(NEXT_ANSWER, Pieces::Whole)?;
        self.side(client)?.expect(NEXT_ANSWER).map_err(|failure| format!("the next answer: {failure}"))?;
        self.side(client)?.decided = true;
        Ok(())
    }

    /// A connection, made or accepted when it is first mentioned.
    fn side(&mut self, who: Who) -> Result<&mut Side, String> {
        let (sides, number) = match who {
            Who::Client(number) => (&mut self.clients, number),
            Who::Server(number) => (&mut self.servers, number),
        };
        if number == sides.len() + 1 {
            let stream = match who {
                Who::Client(_) => TcpStream::connect(self.vip).map_err(|error| error.to_string())?,
                Who::Server(_) => accept(self.listener)?,
            };
            sides.push(Side::new(stream));
        }
        sides.get_mut(number - 1).ok_or_else(|| "mentioned before the one with the lower number".to_owned())
    }

    /// Returns when the load balancer has dealt with everything it has got so far: it has one worker,
    /// which takes events in the order they came in, and has answered a request that came last.
    fn settle(&self) {
        let mut client = Side::new(TcpStream::connect(self.bell).unwrap());
        client.send(b"GET /bell HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", Pieces::Whole).unwrap();
        let mut answer = Vec::new();
        client.io().unwrap().read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
    }

    fn nothing_else_happened(&mut self) -> Result<(), String> {
        for (number, side) in self.clients.iter_mut().enumerate() {
            side.is_silent().map_err(|failure| format!("client{}: {failure}", number + 1))?;
            if !side.decided {
                return Err(format!("nobody has said what becomes of client{}", number + 1));
            }
        }
        for (number, side) in self.servers.iter_mut().enumerate() {
            side.is_silent_or_over().map_err(|failure| format!("server{}: {failure}", number + 1))?;
        }
        match self.listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok((stream, _)) => {
                let mut side = Side::new(stream);
                let (bytes, _) = side.read_now();
                Err(format!("one more server connection, which got \"{}\"", bytes.escape_ascii()))
            }
        }
    }
}

fn accept(listener: &TcpListener) -> Result<TcpStream, String> {
    let bound = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&bound)).map_err(|error| error.to_string())?;
    listener.accept().map(|(stream, _)| stream).map_err(|error| format!("no connection came: {error}"))
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Fin,
    Reset,
}

impl Side {
    fn new(stream: TcpStream) -> Self {
        // Accepted sockets inherit nothing of the listener's mode.
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: Some(stream), over: false, decided: false }
    }

    /// That the other side has closed is no failure here: whether it should have is a step of its own.
    fn send(&mut self, bytes: &[u8], pieces: Pieces) -> Result<(), String> {
        let size = if pieces == Pieces::Bytes && bytes.len() <= SPLIT_MAX { 1 } else { bytes.len().max(1) };
        for piece in bytes.chunks(size) {
            match self.io()?.write_all(piece) {
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => break,
                written => written.map_err(|error| format!("cannot send: {error}"))?,
            }
        }
        Ok(())
    }

    /// The next bytes have to be these.
    fn expect(&mut self, expected: &[u8]) -> Result<(), String> {
        let mut got = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        while got.len() < expected.len() {
            let wanted = buffer.len().min(expected.len() - got.len());
            let end = match self.io()?.read(&mut buffer[..wanted]) {
                Ok(0) => "the end".to_owned(),
                Ok(count) => {
                    got.extend_from_slice(&buffer[..count]);
                    String::new()
                }
                Err(error) => error.to_string(),
            };
            if !end.is_empty() || !expected.starts_with(&got) {
                let (rest, _) = self.read_now();
                got.extend(rest);
                let (expected, got) = (expected.escape_ascii(), got.escape_ascii());
                return Err(format!("expected \"{expected}\"\n     got \"{got}\" {end}"));
            }
        }
        Ok(())
    }

    fn expect_end(&mut self, allowed: &[End]) -> Result<(), String> {
        let mut buffer = [0; 4096];
        let end = match self.io()?.read(&mut buffer) {
            Ok(0) => End::Fin,
            Ok(count) => return Err(format!("expected the end, got \"{}\"", buffer[..count].escape_ascii())),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Reset,
            Err(error) => return Err(format!("expected the end, got {error}")),
        };
        (self.over, self.decided) = (true, true);
        if allowed.contains(&end) { Ok(()) } else { Err(format!("expected {allowed:?}, got {end:?}")) }
    }

    fn shutdown(&mut self) -> Result<(), String> {
        self.io()?.shutdown(Shutdown::Write).map_err(|error| error.to_string())
    }

    /// Ends the connection at once; there is nothing left to look at.
    fn reset(&mut self) -> Result<(), String> {
        let stream = self.stream.take().ok_or("is gone already")?;
        (self.over, self.decided) = (true, true);
        host::socket::reset_on_close(&stream).map_err(|error| error.to_string())
    }

    fn io(&mut self) -> Result<&mut TcpStream, String> {
        self.stream.as_mut().ok_or_else(|| "has reset its connection".to_owned())
    }

    fn is_silent(&mut self) -> Result<(), String> {
        match self.read_now() {
            (bytes, None) if bytes.is_empty() => Ok(()),
            (bytes, Some(_)) if bytes.is_empty() && self.over => Ok(()),
            (bytes, end) => Err(format!("expected nothing, got \"{}\" {end:?}", bytes.escape_ascii())),
        }
    }

    fn is_silent_or_over(&mut self) -> Result<(), String> {
        match self.read_now() {
            (bytes, _) if bytes.is_empty() => Ok(()),
            (bytes, _) => Err(format!("expected nothing, got \"{}\"", bytes.escape_ascii())),
        }
    }

    /// What is there without waiting.
    fn read_now(&mut self) -> (Vec<u8>, Option<End>) {
        let mut bytes = Vec::new();
        let Some(stream) = &mut self.stream else { return (bytes, None) };
        stream.set_nonblocking(true).unwrap();
        let end = match stream.read_to_end(&mut bytes) {
            Ok(_) => Some(End::Fin),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => Some(End::Reset),
        };
        stream.set_nonblocking(false).unwrap();
        (bytes, end)
    }
}
