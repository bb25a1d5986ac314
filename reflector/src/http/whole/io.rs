//! The stream under hyper: replays what was read before, counts bytes, notes who closes, and settles
//! answers when they are written out.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::{Phase, Shared, State, lock};
use crate::books::End;
use crate::socket;

/// A registered connection with its books.
pub(super) struct Tap {
    stream: TcpStream,
    replay: Vec<u8>,
    replayed: usize,
    state: Shared,
}

impl Tap {
    pub(super) fn new(stream: TcpStream, replay: Vec<u8>, state: Shared) -> Self {
        Self { stream, replay, replayed: 0, state }
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Whether hyper writes without having been given an answer: its own refusal of a request that
    /// is malformed. It is swallowed here and replaced by one with a reason.
    fn is_refusal(&self) -> bool {
        let mut state = lock(&self.state);
        let unasked = matches!(state.phase, Phase::Idle | Phase::Head);
        state.mute |= unasked;
        unasked
    }

    /// Books what a write took.
    fn wrote(&self, result: io::Result<usize>) -> io::Result<usize> {
        let mut state = lock(&self.state);
        match &result {
            Ok(bytes) => {
                state.books.bytes_out(*bytes);
                state.since_ns = host::clock::monotonic_ns();
            }
            Err(_) => state.books.end(End::ResetByPeer),
        }
        result
    }
}

impl Read for Tap {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.replayed < self.replay.len() {
            let rest = &self.replay[self.replayed..];
            let taken = rest.len().min(to.remaining());
            to.put_slice(&rest[..taken]);
            self.replayed += taken;
            if self.replayed == self.replay.len() {
                self.replay = Vec::new();
                self.replayed = 0;
            }
            return Poll::Ready(Ok(()));
        }
        // By way of the stack, because filling hyper's uninitialised buffer directly would be unsafe.
        let mut bytes = [0; 8192];
        let room = to.remaining().min(bytes.len());
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match socket::read(&self.stream, &mut bytes[..room]) {
                Ok(read) => {
                    to.put_slice(&bytes[..read]);
                    heard(&mut lock(&self.state), read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    lock(&self.state).books.end(End::ResetByPeer);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

fn heard(state: &mut State, read: usize) {
    if read == 0 {
        return state.books.end(End::ClosedByPeer);
    }
    state.books.bytes_in(read);
    if state.phase == Phase::Idle {
        state.enter(Phase::Head);
    }
}

impl Write for Tap {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_refusal() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(self.wrote(result))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_refusal() {
            return Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, pieces));
        Poll::Ready(self.wrote(result))
    }

    /// hyper calls this when its own buffer is empty, so what is owed has been sent.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        let mut settled = false;
        while let Some((status, check)) = state.owed.pop() {
            state.books.response(status, check);
            settled = true;
        }
        if settled && state.phase == Phase::Sending {
            state.enter(Phase::Idle);
        }
        if state.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closing is decided above hyper, where the books are.
        Poll::Ready(Ok(()))
    }
}
