//! A real server that keeps what it was sent, and a client that sends exactly what a test says.
//!
//! The server reads with the strict parser: a message counts once it is whole, and then it is answered.
//! What is left of a connection that ends is kept too.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::strict::{self, Message};

/// The longest any single read or write may take before it counts as hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What a server says to a request.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// Whether the connection ends behind it.
    pub(crate) close: bool,
}

impl Answer {
    /// The target to who asks for an echo, else nothing: the same to HEAD and to all others.
    fn usual(request: &Message) -> Self {
        let target = &request.start[1];
        let content = if target.starts_with(b"/echo/") { target.as_slice() } else { b"" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
        Self { bytes: [head.as_bytes(), content].concat(), close: false }
    }
}

/// What has come since it was last taken.
#[derive(Default)]
pub(crate) struct Record {
    /// Whole requests.
    pub(crate) whole: Vec<Message>,
    /// What was left when a connection ended, or could not be read.
    pub(crate) rests: Vec<Vec<u8>>,
}

#[derive(Default)]
struct State {
    record: Record,
    open: usize,
    /// Answers by target; all others get [`Answer::usual`].
    answers: Vec<(&'static str, Answer)>,
}

/// The server.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Recorder {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let recorder = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let accepting = recorder.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = accepting.clone();
                serving.state().open += 1;
                std::thread::spawn(move || {
                    let rest = serving.serve(stream);
                    let mut state = serving.state();
                    state.open -= 1;
                    state.record.rests.extend(rest.filter(|rest| !rest.is_empty()));
                });
            }
        });
        recorder
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.state().open
    }

    /// What has come since the last time.
    pub(crate) fn take(&self) -> Record {
        std::mem::take(&mut self.state().record)
    }

    /// Answers requests for `target` like this from now on.
    pub(crate) fn answer(&self, target: &'static str, answer: Answer) {
        let answers = &mut self.state().answers;
        answers.retain(|(of, _)| *of != target);
        answers.push((target, answer));
    }

    /// One connection to its end; what is left of its bytes.
    fn serve(&self, mut stream: TcpStream) -> Option<Vec<u8>> {
        stream.set_nodelay(true).ok()?;
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match strict::request(&bytes) {
                Err(_) => return Some(bytes),
                Ok(None) => match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => return Some(bytes),
                    Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                },
                Ok(Some(message)) => {
                    bytes.drain(..message.length);
                    let answer = {
                        let mut state = self.state();
                        let found = state.answers.iter().find(|(of, _)| of.as_bytes() == message.start[1]);
                        let answer = found.map_or_else(|| Answer::usual(&message), |(_, answer)| answer.clone());
                        state.record.whole.push(message);
                        answer
                    };
                    stream.write_all(&answer.bytes).ok()?;
                    if answer.close {
                        return Some(bytes);
                    }
                }
            }
        }
    }
}

/// How a connection ended for its client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Open,
    Fin,
    Reset,
}

/// A client connection and all that has come on it.
pub(crate) struct Client {
    stream: TcpStream,
    pub(crate) got: Vec<u8>,
    pub(crate) end: End,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, got: Vec::new(), end: End::Open }
    }

    /// Sends it; a connection that has been closed by then takes no more, which its end will tell.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn half_close(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads until enough has come, the connection has ended, or no byte has come for `patience`.
    pub(crate) fn read_until(&mut self, patience: Duration, mut enough: impl FnMut(&[u8]) -> bool) {
        let mut since = Instant::now();
        let mut buffer = [0; 4096];
        while self.end == End::Open && !enough(&self.got) {
            let left = patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                return;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut buffer) {
                Ok(0) => self.end = End::Fin,
                Ok(count) => {
                    self.got.extend_from_slice(&buffer[..count]);
                    since = Instant::now();
                }
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Err(_) => self.end = End::Reset,
            }
        }
    }

    /// The responses so far that count, interim ones left out; all answers of a [`Recorder`] are as if to HEAD.
    pub(crate) fn answers(&self) -> Vec<Message> {
        let (mut rest, mut found) = (&self.got[..], Vec::new());
        while let Ok(Some(message)) = strict::response(rest, false, self.end == End::Fin) {
            if rest.is_empty() {
                break;
            }
            rest = &rest[message.length..];
            if message.start[1][0] != b'1' {
                found.push(message);
            }
        }
        found
    }
}
