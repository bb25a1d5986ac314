//! Plain TCP: what is read is sent back, until the peer closes.
//!
//! At most one buffer of bytes is on its way; while the peer does not take them, nothing more is
//! read. A half-close is respected: the rest is echoed before our side closes too. A connection
//! without a byte is fine.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::accept::Arrival;
use crate::books::{ConnectionBooks, End};
use crate::cap::Ticket;
use crate::server::Worker;
use crate::socket::{Socket, Wake, Watch};

/// Bytes that are on their way at most.
const BUFFER_BYTES: usize = 16 * 1024;

/// Runs a connection to its end in a task of its own.
pub(crate) fn begin(worker: &Arc<Worker>, arrival: Arrival) {
    let Arrival { stream, books, now_ns, ticket, .. } = arrival;
    match Socket::Fresh(stream).register() {
        Ok(stream) => {
            let echo = Echo { worker: Arc::clone(worker), books, active_ns: now_ns };
            drop(tokio::spawn(echo.run(stream, ticket)));
        }
        // Out of memory for one more epoll entry; the connection is closed and booked as our doing.
        Err(error) => tracing::warn!("cannot watch a connection: {error}"),
    }
}

struct Echo {
    worker: Arc<Worker>,
    books: ConnectionBooks,
    active_ns: u64,
}

impl Echo {
    async fn run(mut self, stream: TcpStream, ticket: Option<Ticket>) {
        let mut watch = Watch::new(&self.worker.shared);
        let socket = Socket::Registered(stream);
        let Socket::Registered(stream) = &socket else { return };
        let mut waited = Ok(());
        if let Some(ticket) = ticket {
            waited = self.wait_turn(stream, ticket).await;
        }
        let end = match waited {
            Err(end) => end,
            Ok(()) => loop {
                if let Err(end) = self.turn(&socket, stream, &mut watch).await {
                    break end;
                }
            },
        };
        if end == End::ResetByReflector {
            socket.reset_on_close();
        }
        self.books.end(end);
        // The books before the socket, as for HTTP.
        drop(self);
    }

    /// Waits for this connection's turn at the rate cap. A peer that leaves without a word gives its
    /// place up; one that has sent something is owed its echo, even after a half-close, and its bytes
    /// stay with the kernel until then.
    async fn wait_turn(&mut self, stream: &TcpStream, mut ticket: Ticket) -> Result<(), End> {
        let stopped = self.worker.shared.stopped();
        tokio::pin!(stopped);
        let mut spoke = false;
        let mut byte = [0];
        loop {
            tokio::select! {
                biased;
                // The dispatcher outlives every ticket, so this is the connection's turn.
                _ = &mut ticket => break,
                // Closing with unread bytes would be a reset anyway.
                () = &mut stopped => return Err(if spoke { End::ResetByReflector } else { End::ClosedByReflector }),
                peeked = stream.peek(&mut byte), if !spoke => match peeked {
                    Ok(0) => return Err(End::ClosedByPeer),
                    Ok(_) => spoke = true,
                    Err(_) => return Err(End::ResetByPeer),
                },
                _ = stream.ready(Interest::ERROR), if spoke => return Err(End::ResetByPeer),
            }
        }
        self.active_ns = host::clock::monotonic_ns();
        Ok(())
    }

    /// Reads once and sends it back; the error says how the connection ended.
    async fn turn(&mut self, socket: &Socket, stream: &TcpStream, watch: &mut Watch) -> Result<(), End> {
        let mut ready = |cx: &mut std::task::Context<'_>| stream.poll_read_ready(cx).map(drop);
        if watch.wait(self.deadline_ns(), true, &mut ready).await != Wake::Ready {
            return Err(End::ClosedByReflector);
        }
        // Made for this turn only: an idle connection holds no buffer.
        let mut buffer = vec![0; BUFFER_BYTES];
        let read = match socket.read(&mut buffer) {
            Ok(0) => return Err(End::ClosedByPeer),
            Ok(read) => read,
            Err(error) if is_retry(&error) => return Ok(()),
            Err(_) => return Err(End::ResetByPeer),
        };
        self.books.bytes_in(read);
        self.books.count();
        self.active_ns = host::clock::monotonic_ns();
        self.hold_back().await;
        self.send(socket, stream, watch, &buffer[..read]).await
    }

    async fn hold_back(&self) {
        loop {
            let hold = self.worker.shared.stall_remaining(host::clock::monotonic_ns(), true);
            if hold.is_zero() {
                return;
            }
            tokio::time::sleep(hold).await;
        }
    }

    async fn send(
        &mut self,
        socket: &Socket,
        stream: &TcpStream,
        watch: &mut Watch,
        mut bytes: &[u8],
    ) -> Result<(), End> {
        while !bytes.is_empty() {
            match socket.write(&[IoSlice::new(bytes)]) {
                Ok(sent) => {
                    self.books.bytes_out(sent);
                    self.active_ns = host::clock::monotonic_ns();
                    bytes = &bytes[sent..];
                }
                Err(error) if is_retry(&error) => {
                    let mut ready = |cx: &mut std::task::Context<'_>| stream.poll_write_ready(cx).map(drop);
                    if watch.wait(self.deadline_ns(), false, &mut ready).await != Wake::Ready {
                        return Err(End::ClosedByReflector);
                    }
                }
                Err(_) => return Err(End::ResetByPeer),
            }
        }
        Ok(())
    }

    fn deadline_ns(&self) -> u64 {
        let idle: Duration = self.worker.shared.config.limits.idle_timeout;
        self.active_ns.saturating_add(idle.as_nanos() as u64)
    }
}

fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
